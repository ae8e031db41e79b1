"""The Flexprice world before its first event: personas and population, each thing made when first asked for.

Everything is a pure function of (seed, id) and of the world's first day, which relative expiries count from. Ids tell
what they are: a population id carries its index in its time, so that ten million wallets are found without a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache, cached_property, lru_cache

from contract_tests.source import Source
from mock_server.clock import milliseconds
from mock_server.faking import Fake
from mock_server.fixture_files import moment
from mock_server.flexprice import ledger
from mock_server.flexprice.entities import (
    AlertSettings,
    AutoTopup,
    Customer,
    Invoice,
    Threshold,
    Transaction,
    Wallet,
)
from mock_server.flexprice.fixtures import (
    CreditFixture,
    CustomerFixture,
    FlexpriceFixtures,
    PersonaFixture,
    ThresholdFixture,
    WalletFixture,
)
from mock_server.flexprice.ledger import Account
from mock_server.flexprice.money import ZERO
from mock_server.ids import Seed, ulid_milliseconds

# The population was created second by second from this day on; personas came after the last possible member.
_POPULATION_START = datetime(2023, 1, 1, tzinfo=UTC)
_LONGEST_SLOT = timedelta(milliseconds=100)
MAX_POPULATION = 100_000_000
_CUSTOMERS_START = datetime(2026, 3, 5, tzinfo=UTC)
_PERSONAS_START = datetime(2026, 4, 1, tzinfo=UTC)

_CACHED = 4096

Text = Callable[[str], str]


class Tenant:
    """Whose data this is: the environment, tenant and user that every row names."""

    def __init__(self, seed: Seed) -> None:
        start = milliseconds(_POPULATION_START) - 86_400_000
        self.environment_id = seed.id("env", start)
        self.tenant_id = seed.id("tenant", start)
        self.user_id = seed.id("user", start)


class Opening:
    """What exists from the start. Nothing in it ever changes; worlds keep their changes to themselves."""

    def __init__(self, seed: Seed, fixtures: FlexpriceFixtures, population: int, first_day: datetime) -> None:
        self.seed = seed
        self.tenant = Tenant(seed)
        self.population = Population(seed, fixtures, population)
        self._fixtures = fixtures
        self._first_day = first_day
        self._customer_ids = {name: fixture.id or self._customer_id(name) for name, fixture in fixtures.customers.items()}
        self._customer_names = {customer_id: name for name, customer_id in self._customer_ids.items()}
        self.persona_ids = {name: fixture.id or self._wallet_id(name) for name, fixture in fixtures.personas.items()}
        self._persona_names = {wallet_id: name for name, wallet_id in self.persona_ids.items()}
        self._personas: dict[str, Account] = {}

    def account(self, wallet_id: str) -> Account | None:
        """The account of a persona or of a member of the population. Shared: copy it before changing it."""
        account = self._personas.get(wallet_id)
        if account is not None:
            return account
        name = self._persona_names.get(wallet_id)
        if name is not None:
            fixture = self._fixtures.personas[name]
            fake = Fake(self.seed, self._fixtures.locale, "persona", name)
            account = self._personas[wallet_id] = self._build(wallet_id, fixture, name, fake)
            return account
        return self.population.account(wallet_id)

    def customer(self, customer_id: str) -> Customer | None:
        """A customer by id."""
        name = self._customer_names.get(customer_id)
        return self._persona_customer(name) if name is not None else self.population.customer(customer_id)

    def customer_by_external_id(self, external_id: str) -> Customer | None:
        """A customer by the id that the tenant's own system knows it by."""
        name = self._external_ids.get(external_id)
        return self._persona_customer(name) if name is not None else self.population.customer_by_external_id(external_id)

    def invoices(self, customer_id: str) -> tuple[Invoice, ...]:
        """A customer's unpaid invoices."""
        name = self._customer_names.get(customer_id)
        return self._invoices(name, customer_id) if name is not None else ()

    def usage(self, customer_id: str) -> Mapping[str, Decimal]:
        """A customer's pending usage of the current period, by currency."""
        name = self._customer_names.get(customer_id)
        return self._fixtures.customers[name].usage if name is not None else self.population.usage(customer_id)

    def wallet_ids(self, customer_id: str) -> list[str]:
        """A customer's wallets, oldest first, closed ones included."""
        index = self.population.customer_index(customer_id)
        if index is not None:
            return [self.population.wallet_id(index)]
        name = self._customer_names.get(customer_id)
        return sorted(self.persona_ids[p] for p, fixture in self._fixtures.personas.items() if fixture.customer == name)

    def cast(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Name, description, wallet id, customer id and external customer id of each persona, in the order of the file."""
        for name, fixture in self._fixtures.personas.items():
            external_id = self._fixtures.customers[fixture.customer].external_id or fixture.customer
            yield name, fixture.about, self.persona_ids[name], self._customer_ids[fixture.customer], external_id

    @cached_property
    def idempotency_keys(self) -> dict[str, str]:
        """Keys used by fixture transactions, with the transaction's wallet. (The population uses none.)"""
        return {
            row.idempotency_key: self.persona_ids[name]
            for name, fixture in self._fixtures.personas.items()
            for row in fixture.transactions
            if row.idempotency_key
        }

    def check(self, source: Source) -> None:
        """Raise SourceError where the fixtures contradict themselves."""
        self._check_ids(source)
        active: dict[tuple[str, str, str], str] = {}
        keys: dict[str, str] = {}
        for name, fixture in self._fixtures.personas.items():
            place = ("personas", name)
            if fixture.customer not in self._fixtures.customers:
                known = ", ".join(sorted(self._fixtures.customers))
                raise source.error((*place, "customer"), f"no customer {fixture.customer!r} in `customers`; there are {known}")
            kind = (fixture.customer, fixture.currency, fixture.type)
            if fixture.status == "active" and active.setdefault(kind, name) != name:
                raise source.error(
                    place,
                    f"customer {fixture.customer!r} has an active {fixture.currency} {fixture.type} wallet: {active[kind]!r}",
                )
            for index, row in enumerate(fixture.transactions):
                if row.idempotency_key and keys.setdefault(row.idempotency_key, name) != name:
                    raise source.error(
                        (*place, "transactions", index, "idempotency_key"),
                        f"key {row.idempotency_key!r} is used by {keys[row.idempotency_key]!r}",
                    )
            self._check_rows(source, place, self.persona_ids[name], fixture, name)
        for index, template in enumerate(self._fixtures.population):
            self._check_rows(source, ("population", index), self.population.wallet_id(index), template, str(index))

    def _check_ids(self, source: Source) -> None:
        for section, ids in (("customers", self._customer_ids), ("personas", self.persona_ids)):
            seen: dict[str, str] = {}
            for name, thing_id in ids.items():
                if seen.setdefault(thing_id, name) != name:
                    raise source.error((section, name, "id"), f"duplicate id {thing_id}: {seen[thing_id]!r} has it")
        seen = {}
        for name, customer in self._fixtures.customers.items():
            if seen.setdefault(customer.external_id or name, name) != name:
                raise source.error(("customers", name, "external_id"), f"duplicate external_id {customer.external_id!r}")

    def _check_rows(
        self, source: Source, place: tuple[str | int, ...], wallet_id: str, fixture: WalletFixture, name: str
    ) -> None:
        previous = _PERSONAS_START.min.replace(tzinfo=UTC)
        account = Account(self._wallet(wallet_id, "", fixture, _PERSONAS_START, str))
        for index, row in enumerate(fixture.transactions):
            here = (*place, "transactions", index)
            at = moment(row.at) if row.at else previous
            if at < previous:
                raise source.error((*here, "at"), "transactions are listed oldest first")
            previous = at
            try:
                self._record(account, row, str(index), at, str)
            except ledger.InsufficientCredits:
                raise source.error((*here, "debit"), "more than the credits that can be consumed by then") from None

    def _customer_id(self, name: str) -> str:
        return self.seed.id("cust", milliseconds(_spread(self.seed, _CUSTOMERS_START, 20, "customer", name)), "customer", name)

    def _created(self, name: str) -> datetime:
        created = self._fixtures.personas[name].created
        return moment(created) if created else _spread(self.seed, _PERSONAS_START, 60, "persona", name)

    def _wallet_id(self, name: str) -> str:
        return self.seed.id("wallet", milliseconds(self._created(name)), "persona", name)

    @cached_property
    def _external_ids(self) -> dict[str, str]:
        return {fixture.external_id or name: name for name, fixture in self._fixtures.customers.items()}

    @cache  # noqa: B019 - an Opening lives as long as the process
    def _persona_customer(self, name: str) -> Customer:
        fixture = self._fixtures.customers[name]
        created = _spread(self.seed, _CUSTOMERS_START, 20, "customer", name)
        fake = Fake(self.seed, self._fixtures.locale, "customer", name)
        return _customer(self._customer_ids[name], fixture.external_id or name, fixture, created, fake)

    @cache  # noqa: B019
    def _invoices(self, name: str, customer_id: str) -> tuple[Invoice, ...]:
        created = milliseconds(_spread(self.seed, _CUSTOMERS_START, 20, "customer", name))
        return tuple(
            Invoice(
                id=self.seed.id("inv", created, "customer", name, number),
                customer_id=customer_id,
                currency=invoice.currency,
                remaining=invoice.remaining,
                usage_due=sum((line.amount - line.prepaid_credits - line.discount for line in invoice.usage_lines), ZERO),
                paid=invoice.paid,
            )
            for number, invoice in enumerate(self._fixtures.customers[name].unpaid_invoices)
        )

    def _build(self, wallet_id: str, fixture: PersonaFixture, name: str, fake: Text) -> Account:
        customer_id = self._customer_ids[fixture.customer]
        created = self._created(name)
        account = Account(self._wallet(wallet_id, customer_id, fixture, created, fake))
        at = created
        for index, row in enumerate(fixture.transactions):
            at = moment(row.at) if row.at else at + timedelta(days=1)
            row_id = self.seed.id("wtxn", milliseconds(at), "persona", name, index)
            self._record(account, row, row_id, at, fake)
        customer = self._fixtures.customers[fixture.customer]
        usage = customer.usage.get(fixture.currency, ZERO)
        now = ledger.real_time(account.wallet, usage, self.invoices(customer_id))
        state = ledger.alert_state(account.wallet.alert_settings, now.credit_balance, "ok")
        account.wallet = replace(account.wallet, wallet_status=fixture.status, alert_state=state)
        return account

    def _wallet(self, wallet_id: str, customer_id: str, fixture: WalletFixture, created: datetime, fake: Text) -> Wallet:
        return wallet_of(wallet_id, customer_id, fixture, created, fake)

    def _record(self, account: Account, row: object, row_id: str, at: datetime, fake: Text) -> None:
        record_row(account, row, row_id, at, fake, self._first_day)


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
        return _POPULATION_START + timedelta(seconds=index)

    def last_created(self, moment: datetime) -> int:
        """The last member created at or before a moment, -1 if there was none by then."""
        return max(-1, min(self.size - 1, (moment - _POPULATION_START) // timedelta(seconds=1)))

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
        index, rest = divmod(created - milliseconds(_POPULATION_START), 1000)
        return index if rest == 0 and 0 <= index < self.size and make(index) == thing_id else None

    def _find_account(self, wallet_id: str) -> Account | None:
        index = self.wallet_index(wallet_id)
        return None if index is None else self.account_at(index)

    def _find_usage(self, customer_id: str) -> Mapping[str, Decimal]:
        index = self.customer_index(customer_id)
        return {} if index is None else self._templates[index % self.period].customer.usage

    def _customer(self, index: int) -> Customer:
        fixture = self._templates[index % self.period].customer
        fake = Fake(self._seed, self._locale, "member", index)
        return _customer(self.customer_id(index), f"member-{index}", fixture, self.created(index), fake)

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


def wallet_of(wallet_id: str, customer_id: str, fixture: WalletFixture, created: datetime, fake: Text) -> Wallet:
    """The wallet that a fixture describes, before any money came in."""
    name, price_types = ledger.defaults(fixture.type, fixture.currency)
    alerts, topup = fixture.alerts, fixture.auto_topup
    return Wallet(
        id=wallet_id,
        customer_id=customer_id,
        currency=fixture.currency,
        wallet_type=fixture.type,
        conversion_rate=fixture.conversion_rate,
        topup_conversion_rate=fixture.topup_conversion_rate or fixture.conversion_rate,
        created_at=created,
        updated_at=created,
        name=name if fixture.name is None else fake(fixture.name),
        description=fake(fixture.description),
        metadata={key: fake(value) for key, value in fixture.metadata.items()},
        auto_topup=AutoTopup(topup.enabled, topup.threshold, topup.amount, topup.invoicing) if topup else None,
        allowed_price_types=price_types if fixture.allowed_price_types is None else tuple(fixture.allowed_price_types),
        alert_settings=AlertSettings(
            alerts.enabled, _threshold(alerts.critical), _threshold(alerts.warning), _threshold(alerts.info)
        )
        if alerts
        else None,
    )


def record_row(account: Account, row: object, row_id: str, at: datetime, fake: Text, first_day: datetime) -> Transaction:
    """Book one fixture transaction."""
    consumed: dict[str, Decimal] = {}
    if isinstance(row, CreditFixture):
        incoming = ledger.Credit(
            amount=row.credit,
            reason=row.reason,
            pending=row.status != "completed",
            expiry_date=_expiry(row.expires, first_day),
            priority=row.priority,
            idempotency_key=row.idempotency_key,
            description=fake(row.description),
            metadata={key: fake(value) for key, value in row.metadata.items()},
        )
        booked = replace(ledger.credit(account.wallet, row_id, incoming, at), transaction_status=row.status)
    else:
        booked, consumed = ledger.debit(
            account,
            row_id,
            row.debit,  # type: ignore[attr-defined]
            row.reason,  # type: ignore[attr-defined]
            at,
            idempotency_key=row.idempotency_key,  # type: ignore[attr-defined]
            description=fake(row.description),  # type: ignore[attr-defined]
            metadata={key: fake(value) for key, value in row.metadata.items()},  # type: ignore[attr-defined]
        )
    account.record(booked, consumed)
    return booked


def _customer(customer_id: str, external_id: str, fixture: CustomerFixture, created: datetime, fake: Text) -> Customer:
    return Customer(
        id=customer_id,
        external_id=external_id,
        name=fake(fixture.name),
        email=fake(fixture.email),
        created_at=created,
        address={part: fake(text) for part, text in fixture.address.items()},
        metadata={key: fake(value) for key, value in fixture.metadata.items()},
        usage=fixture.usage,
    )


def _threshold(fixture: ThresholdFixture | None) -> Threshold | None:
    return Threshold(fixture.condition, fixture.threshold) if fixture else None


def _expiry(value: timedelta | datetime | date | None, first_day: datetime) -> datetime | None:
    if value is None:
        return None
    return first_day + value if isinstance(value, timedelta) else moment(value)


def _spread(seed: Seed, start: datetime, days: int, *name: str | int) -> datetime:
    """A moment drawn by name from some days, to the second."""
    return start + timedelta(seconds=seed.bits(64, *name) % (days * 86_400))
