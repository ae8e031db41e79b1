"""The Flexprice world before its first event: personas and population, each thing made when first asked for.

Everything is a pure function of (seed, id) and of the world's first day, which relative expiries count from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property

from contract_tests.source import Pointer, Source
from mock_server.clock import milliseconds
from mock_server.faking import Fake
from mock_server.fixture_files import moment
from mock_server.flexprice import ledger, money
from mock_server.flexprice.crossings import next_look
from mock_server.flexprice.entities import Customer, Invoice
from mock_server.flexprice.fixtures import CreditFixture, DebitFixture, FlexpriceFixtures, PersonaFixture, WalletFixture
from mock_server.flexprice.from_fixtures import Text, customer_of, record_row, tenant_settings_of, wallet_of
from mock_server.flexprice.ledger import Account
from mock_server.flexprice.money import ZERO
from mock_server.flexprice.population import POPULATION_START, Population
from mock_server.flexprice.schedule import Item
from mock_server.flexprice.usage import NO_USAGE, Usage
from mock_server.ids import Seed

_CUSTOMERS_START = datetime(2026, 3, 5, tzinfo=UTC)
_PERSONAS_START = datetime(2026, 4, 1, tzinfo=UTC)


class Tenant:
    """Whose data this is: the environment, tenant and user that every row names."""

    def __init__(self, seed: Seed) -> None:
        start = milliseconds(POPULATION_START) - 86_400_000
        self.environment_id = seed.id("env", start)
        self.tenant_id = seed.id("tenant", start)
        self.user_id = seed.id("user", start)


class Opening:
    """What exists from the start. Nothing in it ever changes; worlds keep their changes to themselves."""

    def __init__(self, seed: Seed, fixtures: FlexpriceFixtures, population: int, first_day: datetime) -> None:
        self.seed = seed
        self.tenant = Tenant(seed)
        self.tenant_settings = tenant_settings_of(fixtures.tenant)
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

    @cached_property
    def invoices_by_id(self) -> dict[str, Invoice]:
        """All unpaid invoices there are."""
        return {invoice.id: invoice for customer_id in self._customer_names for invoice in self.invoices(customer_id)}

    def usage(self, customer_id: str, currency: str) -> Usage:
        """A customer's pending usage of the current period in a currency."""
        name = self._customer_names.get(customer_id)
        usages = self._usages[name] if name is not None else self.population.usage(customer_id)
        return usages.get(currency, NO_USAGE)

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

    @cached_property
    def schedule(self) -> dict[Item, datetime]:
        """What falls due by itself, and when. Only the personas that have such a thing are made for it, without their texts."""
        times: dict[Item, datetime] = {}
        for name, fixture in self._fixtures.personas.items():
            rate = self._fixtures.customers[fixture.customer].usage_rate.get(fixture.currency)
            if not rate and not any(isinstance(row, CreditFixture) and row.expires for row in fixture.transactions):
                continue
            wallet_id = self.persona_ids[name]
            account = self._build(wallet_id, fixture, name, str)
            for row in account.transactions:
                if (when := ledger.sweep_time(row)) is not None:
                    times[Item("2 sweep", wallet_id, row.id)] = when
            if (when := self._next_look(account)) is not None:
                times[Item("1 look", wallet_id)] = when
        return times

    def _next_look(self, account: Account) -> datetime | None:
        wallet = account.wallet
        usage, invoices = self.usage(wallet.customer_id, wallet.currency), self.invoices(wallet.customer_id)
        return next_look(account, usage, invoices, self.tenant_settings.alerts, usage.since, evaluated=False)

    def check(self, source: Source) -> None:
        """Raise SourceError where the fixtures contradict themselves."""
        self._check_ids(source)
        active: dict[tuple[str, str, str], str] = {}
        keys: dict[str, str] = {}
        row_ids: dict[str, str] = {}
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
                if row.id and row_ids.setdefault(row.id, f"{name}, row {index}") != f"{name}, row {index}":
                    raise source.error((*place, "transactions", index, "id"), f"duplicate id {row.id}: {row_ids[row.id]} has it")
                if row.idempotency_key and keys.setdefault(row.idempotency_key, name) != name:
                    raise source.error(
                        (*place, "transactions", index, "idempotency_key"),
                        f"key {row.idempotency_key!r} is used by {keys[row.idempotency_key]!r}",
                    )
            self._check_rows(source, place, fixture)
        for index, template in enumerate(self._fixtures.population):
            self._check_rows(source, ("population", index), template)

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

    def _check_rows(self, source: Source, place: Pointer, fixture: WalletFixture) -> None:
        """Book the rows once, with texts as they are, to see whether they can be booked."""
        previous = datetime.min.replace(tzinfo=UTC)
        account = Account(wallet_of("", "", fixture, _PERSONAS_START, str))
        for index, row in enumerate(fixture.transactions):
            here = (*place, "transactions", index)
            at = moment(row.at) if row.at else previous
            if at < previous:
                raise source.error((*here, "at"), "transactions are listed oldest first")
            previous = at
            try:
                record_row(account, row, str(index), at, str, self._first_day)
            except ledger.InsufficientCredits:
                raise source.error((*here, "debit"), "more than the credits that can be consumed by then") from None
            except money.TooLarge as error:
                raise source.error(here, f"the balance after it cannot be stored: {error}") from None

    def _customer_id(self, name: str) -> str:
        return self.seed.id("cust", milliseconds(_spread(self.seed, _CUSTOMERS_START, 20, "customer", name)), "customer", name)

    def _created(self, name: str) -> datetime:
        created = self._fixtures.personas[name].created
        return moment(created) if created else _spread(self.seed, _PERSONAS_START, 60, "persona", name)

    def _wallet_id(self, name: str) -> str:
        return self.seed.id("wallet", milliseconds(self._created(name)), "persona", name)

    @cached_property
    def _usages(self) -> dict[str, dict[str, Usage]]:
        """Pending usage by customer's name and currency; what accrues does so from the first day on."""
        usages = {}
        for name, fixture in self._fixtures.customers.items():
            usages[name] = {currency: Usage(amount, self._first_day) for currency, amount in fixture.usage.items()}
            for currency, rate in fixture.usage_rate.items():
                amount = fixture.usage.get(currency, ZERO)
                usages[name][currency] = Usage(amount, self._first_day, rate.amount, rate.per)
        return usages

    @cached_property
    def _external_ids(self) -> dict[str, str]:
        return {fixture.external_id or name: name for name, fixture in self._fixtures.customers.items()}

    @cache  # noqa: B019 - an Opening lives as long as the process
    def _persona_customer(self, name: str) -> Customer:
        fixture = self._fixtures.customers[name]
        created = _spread(self.seed, _CUSTOMERS_START, 20, "customer", name)
        fake = Fake(self.seed, self._fixtures.locale, "customer", name)
        return customer_of(self._customer_ids[name], fixture.external_id or name, fixture, created, fake)

    @cache  # noqa: B019
    def _invoices(self, name: str, customer_id: str) -> tuple[Invoice, ...]:
        created = _spread(self.seed, _CUSTOMERS_START, 20, "customer", name)
        invoices = [
            Invoice(
                id=self.seed.id("inv", milliseconds(created), "customer", name, number),
                customer_id=customer_id,
                currency=invoice.currency,
                remaining=invoice.remaining,
                usage_due=sum((line.amount - line.prepaid_credits - line.discount for line in invoice.usage_lines), ZERO),
                paid=invoice.paid,
                created_at=created,
            )
            for number, invoice in enumerate(self._fixtures.customers[name].unpaid_invoices)
        ]
        for persona, fixture in self._fixtures.personas.items():
            if fixture.customer == name:
                invoices += self._purchase_invoices(persona, fixture, customer_id)
        return tuple(invoices)

    def _purchase_invoices(self, name: str, fixture: PersonaFixture, customer_id: str) -> Iterator[Invoice]:
        """The invoices of credits that are bought and not paid."""
        for index, (row, at) in enumerate(self._dated_rows(name, fixture)):
            if isinstance(row, CreditFixture) and row.reason == "PURCHASED_CREDIT_INVOICED" and row.status == "pending":
                rate = fixture.topup_conversion_rate or fixture.conversion_rate
                yield Invoice(
                    id=self.seed.id("inv", milliseconds(at), "persona", name, index),
                    customer_id=customer_id,
                    currency=fixture.currency,
                    remaining=money.store(money.multiply(row.credit, rate)),
                    billing_reason="WALLET_AUTO_TOPUP" if row.metadata.get("auto_topup") == "true" else "WALLET_TOPUP",
                    created_at=at,
                    wallet_id=self.persona_ids[name],
                    transaction_id=self._row_id(name, index, row, at),
                )

    def _dated_rows(self, name: str, fixture: PersonaFixture) -> Iterator[tuple[CreditFixture | DebitFixture, datetime]]:
        """A persona's transactions with their times."""
        at = self._created(name)
        for row in fixture.transactions:
            at = moment(row.at) if row.at else at + timedelta(days=1)
            yield row, at

    def _row_id(self, name: str, index: int, row: CreditFixture | DebitFixture, at: datetime) -> str:
        return row.id or self.seed.id("wtxn", milliseconds(at), "persona", name, index)

    def _build(self, wallet_id: str, fixture: PersonaFixture, name: str, fake: Text) -> Account:
        customer_id = self._customer_ids[fixture.customer]
        created = self._created(name)
        account = Account(wallet_of(wallet_id, customer_id, fixture, created, fake))
        for index, (row, at) in enumerate(self._dated_rows(name, fixture)):
            record_row(account, row, self._row_id(name, index, row, at), at, fake, self._first_day)
        usage = self.usage(customer_id, fixture.currency)
        now = ledger.real_time(account.wallet, usage.amount, self.invoices(customer_id))
        alerts = ledger.effective_alerts(account.wallet, self.tenant_settings.alerts)
        state = ledger.alert_state(alerts, now.credit_balance, "ok")
        account.wallet = replace(account.wallet, wallet_status=fixture.status, alert_state=state)
        return account


def _spread(seed: Seed, start: datetime, days: int, *name: str | int) -> datetime:
    """A moment drawn by name from some days, to the second."""
    return start + timedelta(seconds=seed.bits(64, *name) % (days * 86_400))
