"""The Polar world before its first event: customers, their tokens and wallets, each made when first asked for.

Everything is a pure function of (seed, name). A token of the population carries its member's number, so that ten million
customers can sign in without a table of tokens.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from contract_tests.source import Source
from mock_server.fixture_files import moment
from mock_server.ids import Seed
from mock_server.polar.fixtures import PolarFixtures, WalletFixture

_START = datetime(2026, 2, 1, tzinfo=UTC)
_POPULATION_START = datetime(2023, 1, 1, tzinfo=UTC)
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIXES = {"customer": "polar_cst_", "member": "polar_mst_"}
_RANDOM, _NUMBER, _CHECKSUM = 31, 6, 6  # characters after the prefix


@dataclass(frozen=True, slots=True)
class Wallet:
    """What a customer can see of a wallet; `balance` is in the smallest unit of the currency."""

    id: str
    customer_id: str
    currency: str
    balance: int
    created_at: datetime
    modified_at: datetime | None


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer with all wallets, in the order of the fixture."""

    id: str
    wallets: tuple[Wallet, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """What a token stands for."""

    customer: Customer
    role: str = "owner"
    expired: bool = False


class Opening:
    """Customers of the fixture file, then the population."""

    def __init__(self, seed: Seed, fixtures: PolarFixtures, population: int) -> None:
        self.population = population if fixtures.population else 0
        self.fixtures = fixtures
        self._seed = seed
        self.tokens = {
            name: self._token(customer.session, None, "customer", name) for name, customer in fixtures.customers.items()
        }
        self._names = {token: name for name, token in self.tokens.items()}
        self._member = lru_cache(maxsize=4096)(self._make_member)
        self._sessions: dict[str, Session] = {}

    def session(self, token: str) -> Session | None:
        """What a token stands for; None if it was never given out."""
        known = self._sessions.get(token)
        if known is not None:
            return known
        name = self._names.get(token)
        if name is not None:
            fixture = self.fixtures.customers[name]
            session = Session(self.customer(name), fixture.role, fixture.token == "expired")
            self._sessions[token] = session
            return session
        index = self._token_number(token)
        return Session(self._member(index)) if index is not None else None

    def customer(self, name: str) -> Customer:
        """A customer of the fixture file."""
        fixture = self.fixtures.customers[name]
        customer_id = fixture.id or self._seed.uuid4("customer", name)
        wallets = (self._wallet(w, customer_id, _START, name, key) for key, w in fixture.wallets.items())
        return Customer(customer_id, tuple(wallets))

    def member(self, index: int) -> tuple[str, Customer]:
        """Token and customer of a member of the population."""
        return self._token("customer", index, "member", index), self._member(index)

    def member_about(self, index: int) -> str:
        """What kind of customer a member is."""
        return self.fixtures.population[index % len(self.fixtures.population)].about

    def check(self, source: Source) -> None:
        """Raise SourceError where the fixtures contradict themselves."""
        seen: dict[str, str] = {}
        for name, customer in self.fixtures.customers.items():
            customer_id = customer.id or self._seed.uuid4("customer", name)
            if seen.setdefault(customer_id, name) != name:
                raise source.error(("customers", name, "id"), f"duplicate id {customer_id}: {seen[customer_id]!r} has it")
        places: dict[str, str] = {}
        for name, customer in self.fixtures.customers.items():
            kinds: dict[tuple[str, str], str] = {}
            for key, wallet in customer.wallets.items():
                place = ("customers", name, "wallets", key)
                wallet_id = wallet.id or self._seed.uuid4("wallet", name, key)
                if places.setdefault(wallet_id, f"{name}.{key}") != f"{name}.{key}":
                    raise source.error((*place, "id"), f"duplicate id {wallet_id}: {places[wallet_id]!r} has it")
                kind = (wallet.type, wallet.currency)
                if kinds.setdefault(kind, key) != key:
                    raise source.error(
                        place, f"a customer has one {wallet.type} wallet per currency; {kinds[kind]!r} is in {wallet.currency}"
                    )

    def _make_member(self, index: int) -> Customer:
        template = self.fixtures.population[index % len(self.fixtures.population)]
        customer_id = self._seed.uuid4("member", index)
        start = _POPULATION_START + timedelta(seconds=index)
        wallets = (self._wallet(w, customer_id, start, "member", index, key) for key, w in enumerate(template.wallets))
        return Customer(customer_id, tuple(wallets))

    def _wallet(self, fixture: WalletFixture, customer_id: str, start: datetime, *name: str | int) -> Wallet:
        created = start + timedelta(microseconds=self._seed.bits(64, "created", *name) % (90 * 86_400 * 10**6))
        return Wallet(
            id=fixture.id or self._seed.uuid4("wallet", *name),
            customer_id=customer_id,
            currency=fixture.currency,
            balance=fixture.balance,
            created_at=moment(fixture.created) if fixture.created else created,
            modified_at=moment(fixture.modified) if fixture.modified else None,
        )

    def _token(self, kind: str, number: int | None, *name: str | int) -> str:
        """Prefix, 37 random characters (the last six are the number), checksum: the form of the provider's own tokens."""
        digits = _base62(self._seed.bits(256, "token", *name), _RANDOM)
        tail = _base62(self._seed.bits(64, "token tail", *name) if number is None else number, _NUMBER)
        return _PREFIXES[kind] + digits + tail + _base62(zlib.crc32((digits + tail).encode()), _CHECKSUM)

    def _token_number(self, token: str) -> int | None:
        """Which member of the population a token belongs to, if any."""
        tail = token.removeprefix(_PREFIXES["customer"])[_RANDOM : _RANDOM + _NUMBER]
        if not self.population or len(tail) != _NUMBER or any(digit not in _DIGITS for digit in tail):
            return None
        number = 0
        for digit in tail:
            number = number * 62 + _DIGITS.index(digit)
        return number if number < self.population and self._token("customer", number, "member", number) == token else None


def _base62(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        value, digit = divmod(value, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
