"""Making fixture files: exchanges in, a file for each provider out, without personal data and secrets."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from contract_tests.contract import Operation
from contract_tests.exchange import Exchange
from contract_tests.identity import HIDDEN
from contract_tests.source import Source, SourceError, exact_number
from contract_tests.traffic.personal import Pseudonyms, Replacement
from mock_server.fixture_files import parse
from mock_server.flexprice.fixtures import FlexpriceFixtures
from mock_server.flexprice.opening import Opening as FlexpriceOpening
from mock_server.from_traffic.comparing import differences
from mock_server.from_traffic.flexprice import SeenCustomer, SeenFlexprice, SeenWallet, left_out
from mock_server.from_traffic.flexprice_file import FlexpriceFile, problem
from mock_server.from_traffic.polar import PolarFile, SeenPolar
from mock_server.from_traffic.seen import text
from mock_server.ids import Seed
from mock_server.polar.fixtures import PolarFixtures
from mock_server.polar.opening import Opening as PolarOpening


@dataclass(frozen=True)
class FixtureFile:
    """A fixture file that traffic made. `began` is the time of the first exchange.

    `notes` say what could not be carried over, and why; `tokens` are those that the mock gives to customers.
    """

    provider: str
    text: str
    wallets: int
    began: datetime
    notes: list[str] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)


class FixtureMaker:
    """Takes the exchanges of any providers, in the order of their times; the same seed replaces the same by the same."""

    def __init__(self, seed: int = 1) -> None:
        self._pseudonyms = Pseudonyms(seed)
        self._salt = os.urandom(16)
        self._flexprice = SeenFlexprice()
        self._polar = SeenPolar()
        self._began: dict[str, float] = {}
        self._known: set[bytes] = set()

    @property
    def replaced(self) -> list[Replacement]:
        """What was replaced."""
        return self._pseudonyms.replaced

    def take(self, provider: str, operation: Operation, exchange: Exchange, started: float, client: str = "") -> None:
        """An exchange that the provider's contract has, started in seconds since 1970. Other providers' are left alone.

        `client` tells who sent it, where the recording has the token no more.
        """
        if provider not in ("flexprice", "polar"):
            return
        self._began.setdefault(provider, started)
        sender = self._sender(exchange, client)
        if self._is_known(exchange, sender):
            return
        clean = self._pseudonyms.exchange(exchange)
        if provider == "flexprice":
            self._flexprice.take(operation.id, clean, started)
        else:
            self._polar.take(clean, sender)

    def files(self, *, seed: int = 1) -> list[FixtureFile]:
        """A file for each provider of which wallets or customers were seen. `seed` is what the mock will be started with."""
        made = []
        if "flexprice" in self._began:
            made.append(self._flexprice_file(seed))
        if "polar" in self._began:
            made.append(self._polar_file(seed))
        return made

    def _flexprice_file(self, seed: int) -> FixtureFile:
        began = datetime.fromtimestamp(self._began["flexprice"], UTC)
        notes: list[str] = []
        wallets = list(self._usable(Seed(seed), began, notes))
        writing = FlexpriceFile(wallets, self._flexprice.customers, self._pseudonyms.text)
        written = writing.write()
        opening = _opening(written, Seed(seed), began)
        notes += [*writing.notes, *differences(opening, writing.personas), *left_out(self._flexprice)]
        return FixtureFile("flexprice", written, len(wallets), began, notes)

    def _usable(self, seed: Seed, began: datetime, notes: list[str]) -> Iterator[SeenWallet]:
        """The wallets that a mock can have, each tried alone; those whose rows cannot be booked come without them."""
        active: set[tuple[str, ...]] = set()
        customers = {customer.id: customer for customer in self._flexprice.customers}
        for wallet in self._flexprice.wallets:
            wrong = problem(wallet)
            kind = (text(wallet.body, "customer_id"), text(wallet.body, "currency"), wallet.type)
            if not wrong and wallet.status == "active" and kind in active:
                wrong = f"its customer has another active {kind[1]} wallet of its kind"
            if not wrong and (wrong := self._refusal(wallet, customers, seed, began)) and wallet.rows:
                notes.append(f"{wallet.id}: its rows are made up, since those that were seen cannot be booked: {wrong}")
                wallet.rows.clear()
                wrong = self._refusal(wallet, customers, seed, began)
            if wrong:
                notes.append(f"{wallet.id} is left out: {wrong}")
                continue
            if wallet.status == "active":
                active.add(kind)
            yield wallet

    def _refusal(self, wallet: SeenWallet, customers: Mapping[str, SeenCustomer], seed: Seed, began: datetime) -> str:
        """What a mock would say to a file with this wallet alone; empty if it takes it."""
        try:
            _opening(FlexpriceFile([wallet], [customers[wallet.body["customer_id"]]], self._pseudonyms.text).write(), seed, began)
        except SourceError as error:
            return str(error).partition(": ")[2]
        return ""

    def _polar_file(self, seed: int) -> FixtureFile:
        writing = PolarFile(self._polar)
        written = writing.write()
        began = datetime.fromtimestamp(self._began["polar"], UTC)
        source = _source("polar", written)
        opening = PolarOpening(Seed(seed), parse(source, PolarFixtures), 0, began)
        opening.check(source)
        return FixtureFile("polar", written, writing.wallets, began, writing.notes, dict(opening.tokens))

    def _is_known(self, exchange: Exchange, sender: str) -> bool:
        """Whether the same read had the same answer before: clients ask again and again, and what was first seen counts."""
        request, response = exchange.request, exchange.response
        if request.method != "GET":
            return False
        digest = hashlib.blake2b(digest_size=16, key=self._salt)
        for part in (request.path.encode(), request.query_string, sender.encode(), b"%d" % response.status, response.body):
            digest.update(b"%d:" % len(part) + part)
        known = digest.digest() in self._known
        self._known.add(digest.digest())
        return known

    def _sender(self, exchange: Exchange, client: str) -> str:
        """The same for the same token. It is salted, and forgotten with this object."""
        token = exchange.request.header.get(b"authorization", b"")
        known = client.encode() if not token or token.endswith(HIDDEN.encode()) else token
        return hashlib.blake2b(known, key=self._salt).hexdigest() if known else ""


def _opening(written: str, seed: Seed, began: datetime) -> FlexpriceOpening:
    source = _source("flexprice", written)
    opening = FlexpriceOpening(seed, parse(source, FlexpriceFixtures), 0, began)
    opening.check(source)
    return opening


def _source(provider: str, written: str) -> Source:
    """What was written, read as a mock reads it: a file that it would refuse must not come out."""
    return Source(Path(f"the {provider} fixtures"), written, number=exact_number)
