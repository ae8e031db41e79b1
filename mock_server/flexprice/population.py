"""Any number of Flexprice wallets that nobody described one by one.

A population id carries its member's number in its time, so that ten million wallets are found without a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from mock_server.clock import milliseconds
from mock_server.faking import Fake
from mock_server.flexprice.entities import Customer
from mock_server.flexprice.fixtures import FlexpriceFixtures
from mock_server.flexprice.from_fixtures import customer_of, record_row, wallet_of
from mock_server.flexprice.ledger import Account
from mock_server.flexprice.usage import Usage
from mock_server.ids import Seed, ulid_milliseconds

# The population was created second by second from this day on; personas came after the last possible member.
POPULATION_START = datetime(2023, 1, 1, tzinfo=UTC)
MAX_POPULATION = 100_000_000
_LONGEST_SLOT = timedelta(milliseconds=100)
_CACHED = 4096


class Population:
    """Any number of wallets, one customer each, none of which exists until it is asked for.

    `account` and `usage` find a member's account by wallet id (or None) and pending usage by customer id, `account_at`
    the account by number; the latest ones are kept.

    Member i repeats template i mod K; it was created i seconds after the first, and its ledger rows followed within the
    same second. So rows of the whole population, in the order of time, are in the order of members as well.
    """

    def __init__(self, seed: Seed, fixtures: FlexpriceFixtures, size: int) -> None:
        self._seed = seed
        self._templates = fixtures.population
        self._locale = fixtures.locale
        self.size = size if fixtures.population else 0
        most_rows = max((len(template.transactions) for template in fixtures.population), default=0)
        self._slot = min(_LONGEST_SLOT, timedelta(seconds=1) / (most_rows + 1))
        self._usages = [
            {currency: Usage(amount) for currency, amount in template.customer.usage.items()} for template in fixtures.population
        ]
        self.account_at = lru_cache(maxsize=_CACHED)(self._make_account)
        self.account = lru_cache(maxsize=_CACHED)(self._find_account)
        self.usage = lru_cache(maxsize=_CACHED)(self._find_usage)

    def about(self, index: int) -> str:
        """What kind of wallet a member has."""
        return self._templates[index % self.period].about

    @property
    def period(self) -> int:
        """How many kinds of wallet there are."""
        return len(self._templates)

    def created(self, index: int) -> datetime:
        """When a member was created."""
        return POPULATION_START + timedelta(seconds=index)

    def last_created(self, moment: datetime) -> int:
        """The last member created at or before a moment, -1 if there was none by then."""
        return max(-1, min(self.size - 1, (moment - POPULATION_START) // timedelta(seconds=1)))

    def wallet_id(self, index: int) -> str:
        """The id of a member's wallet."""
        return self._seed.id("wallet", milliseconds(self.created(index)), "population", index)

    def customer_id(self, index: int) -> str:
        """The id of a member's customer."""
        return self._seed.id("cust", milliseconds(self.created(index)), "population", index)

    def wallet_index(self, wallet_id: str) -> int | None:
        """Which member a wallet id belongs to, if any."""
        return self._index(wallet_id, "wallet_", self.wallet_id)

    def customer_index(self, customer_id: str) -> int | None:
        """Which member a customer id belongs to, if any."""
        return self._index(customer_id, "cust_", self.customer_id)

    def template_account(self, template: int) -> Account:
        """What the accounts of one kind have in common: a member's account, its ids and times aside."""
        return self.account_at(template)

    def customer(self, customer_id: str) -> Customer | None:
        """A member's customer."""
        index = self.customer_index(customer_id)
        return None if index is None else self._customer(index)

    def customer_by_external_id(self, external_id: str) -> Customer | None:
        """A member's customer by its external id, `member-<index>`."""
        number = external_id.removeprefix("member-")
        if not number.isascii() or not number.isdecimal() or len(number) > 9 or f"member-{int(number)}" != external_id:
            return None
        return self._customer(int(number)) if int(number) < self.size else None

    def _index(self, thing_id: str, prefix: str, make: Callable[[int], str]) -> int | None:
        if not self.size or not thing_id.startswith(prefix):
            return None
        created = ulid_milliseconds(thing_id.removeprefix(prefix))
        if created is None:
            return None
        index, rest = divmod(created - milliseconds(POPULATION_START), 1000)
        return index if rest == 0 and 0 <= index < self.size and make(index) == thing_id else None

    def _find_account(self, wallet_id: str) -> Account | None:
        index = self.wallet_index(wallet_id)
        return None if index is None else self.account_at(index)

    def _find_usage(self, customer_id: str) -> Mapping[str, Usage]:
        index = self.customer_index(customer_id)
        return {} if index is None else self._usages[index % self.period]

    def _customer(self, index: int) -> Customer:
        fixture = self._templates[index % self.period].customer
        fake = Fake(self._seed, self._locale, "member", index)
        return customer_of(self.customer_id(index), f"member-{index}", fixture, self.created(index), fake)

    def _make_account(self, index: int) -> Account:
        template = self._templates[index % self.period]
        created = self.created(index)
        fake = Fake(self._seed, self._locale, "member", index)
        account = Account(wallet_of(self.wallet_id(index), self.customer_id(index), template, created, fake))
        for slot, row in enumerate(template.transactions):
            at = created + (slot + 1) * self._slot
            row_id = self._seed.id("wtxn", milliseconds(at), "population", index, slot)
            record_row(account, row, row_id, at, str, created)
        account.wallet = replace(account.wallet, wallet_status=template.status)
        return account
