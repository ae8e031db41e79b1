"""The Polar world before its first event: customers, their tokens and wallets, each made when first asked for.

Everything is a pure function of (seed, name). A token of the population carries its member's number, so that ten million
customers can sign in without a table of tokens.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache

from contract_tests.source import Source
from mock_server.fixture_files import expiry, moment
from mock_server.ids import Seed
from mock_server.polar.entities import Customer, SessionKind, Token, Wallet
from mock_server.polar.fixtures import PolarFixtures, WalletFixture

_START = datetime(2026, 2, 1, tzinfo=UTC)
_POPULATION_START = datetime(2023, 1, 1, tzinfo=UTC)
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIXES: Mapping[SessionKind, str] = {"customer": "polar_cst_", "member": "polar_mst_"}
_RANDOM, _NUMBER, _CHECKSUM = 31, 6, 6  # characters after the prefix
_MEMBER = re.compile(r"member (0|[1-9]\d{0,8})", re.ASCII)


class Opening:
    """Customers of the fixture file, then the population, whose members are named `member 0`, `member 1` ..."""

    def __init__(self, seed: Seed, fixtures: PolarFixtures, population: int, first_day: datetime) -> None:
        self.population = population if fixtures.population else 0
        self.fixtures = fixtures
        self._seed = seed
        self._first_day = first_day
        self.tokens = {
            name: make_token(seed, customer.session, "customer", name) for name, customer in fixtures.customers.items()
        }
        self._customers: dict[str, Customer] = {}
        self._known = {text: self._fixture_token(name, text) for name, text in self.tokens.items()}
        self._member = lru_cache(maxsize=4096)(self._make_member)

    def token(self, text: str) -> Token | None:
        """What a token stands for; None if it was never given out."""
        known = self._known.get(text)
        if known is not None:
            return known
        index = self._token_number(text)
        return Token(text, f"member {index}") if index is not None else None

    def token_of(self, name: str) -> Token | None:
        """The token that a customer has from the beginning; None if there is no such customer."""
        if name in self.tokens:
            return self._known[self.tokens[name]]
        index = self._index(name)
        return Token(self._member_token(index), name) if index is not None else None

    def customer(self, name: str) -> Customer | None:
        """A customer by name; None if there is none."""
        known = self._customers.get(name)
        if known is not None:
            return known
        if name in self.fixtures.customers:
            return self._customers.setdefault(name, self._make_customer(name))
        index = self._index(name)
        return self._member(index) if index is not None else None

    def customers(self) -> Iterator[Customer]:
        """Those of the fixture file, in its order."""
        return (self._customers.get(name) or self._customers.setdefault(name, self._make_customer(name)) for name in self.tokens)

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """The names of the fixture file's customers by their ids, and by those of their wallets."""
        by_wallet = {wallet.id: customer.name for customer in self.customers() for wallet in customer.wallets}
        return by_wallet | {customer.id: customer.name for customer in self.customers()}

    def member(self, index: int) -> tuple[str, Customer]:
        """Token and customer of a member of the population."""
        return self._member_token(index), self._member(index)

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

    def _fixture_token(self, name: str, text: str) -> Token:
        expires = self.fixtures.customers[name].token.expires
        return Token(text, name, expiry(expires, self._first_day) if expires is not None else None)

    def _make_customer(self, name: str) -> Customer:
        fixture = self.fixtures.customers[name]
        customer_id = fixture.id or self._seed.uuid4("customer", name)
        wallets = (self._wallet(w, key, customer_id, _START, name, key) for key, w in fixture.wallets.items())
        return Customer(customer_id, name, fixture.session, fixture.role, tuple(wallets))

    def _index(self, name: str) -> int | None:
        """The number of a member of the population by name."""
        match = _MEMBER.fullmatch(name)
        return int(match[1]) if match and int(match[1]) < self.population else None

    def _make_member(self, index: int) -> Customer:
        template = self.fixtures.population[index % len(self.fixtures.population)]
        customer_id = self._seed.uuid4("member", index)
        start = _POPULATION_START + timedelta(seconds=index)
        wallets = (self._wallet(w, str(key), customer_id, start, "member", index, key) for key, w in enumerate(template.wallets))
        return Customer(customer_id, f"member {index}", "customer", "owner", tuple(wallets))

    def _wallet(self, fixture: WalletFixture, key: str, customer_id: str, start: datetime, *name: str | int) -> Wallet:
        created = start + timedelta(microseconds=self._seed.bits(64, "created", *name) % (90 * 86_400 * 10**6))
        return Wallet(
            id=fixture.id or self._seed.uuid4("wallet", *name),
            name=key,
            customer_id=customer_id,
            type=fixture.type,
            currency=fixture.currency,
            balance=fixture.balance,
            created_at=moment(fixture.created) if fixture.created else created,
            modified_at=moment(fixture.modified) if fixture.modified else None,
        )

    def _member_token(self, index: int) -> str:
        return _token_text(self._seed, "customer", _base62(index, _NUMBER), "member", index)

    def _token_number(self, token: str) -> int | None:
        """Which member of the population a token belongs to, if any."""
        tail = token.removeprefix(_PREFIXES["customer"])[_RANDOM : _RANDOM + _NUMBER]
        if not self.population or len(tail) != _NUMBER or any(digit not in _DIGITS for digit in tail):
            return None
        number = 0
        for digit in tail:
            number = number * 62 + _DIGITS.index(digit)
        return number if number < self.population and self._member_token(number) == token else None


def make_token(seed: Seed, kind: SessionKind, *name: str | int) -> str:
    """A token of the form of the provider's own, drawn by name."""
    return _token_text(seed, kind, _base62(seed.bits(64, "token tail", *name), _NUMBER), *name)


def _token_text(seed: Seed, kind: SessionKind, tail: str, *name: str | int) -> str:
    """Prefix, 37 random characters (the last six are the number of a member), checksum."""
    digits = _base62(seed.bits(256, "token", *name), _RANDOM)
    return _PREFIXES[kind] + digits + tail + _base62(zlib.crc32((digits + tail).encode()), _CHECKSUM)


def _base62(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        value, digit = divmod(value, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
