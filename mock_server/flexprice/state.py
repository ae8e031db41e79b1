"""Flexprice's part of a world: the opening, and whatever has changed since."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from mock_server.clock import later
from mock_server.event_log import Event
from mock_server.flexprice import auto_topup, ledger
from mock_server.flexprice.crossings import EVALUATED_EVERY, next_look
from mock_server.flexprice.entities import Invoice, Transaction
from mock_server.flexprice.events import (
    CreditExpiryMoved,
    InvoiceCreated,
    InvoicePaid,
    InvoiceVoided,
    TransactionCompleted,
    TransactionCreated,
    TransactionFailed,
    UsageRateSet,
    UsageRecorded,
    UsageSet,
    WalletCreated,
    WalletEvaluated,
    WalletStatusChanged,
    WalletTerminated,
    WalletUpdated,
)
from mock_server.flexprice.ledger import Account, AccountMemento, RealTime
from mock_server.flexprice.money import MOST, ZERO
from mock_server.flexprice.notices import Bulletin, BulletinMemento
from mock_server.flexprice.opening import Opening
from mock_server.flexprice.schedule import Item, Schedule
from mock_server.flexprice.usage import Usage
from mock_server.notice import Notice
from mock_server.world import World


@dataclass(frozen=True, slots=True)
class Due:
    """An item of the schedule, and its time."""

    item: Item
    when: datetime


@dataclass(frozen=True, slots=True)
class Pending:
    """A customer's usage in a currency."""

    customer_id: str
    currency: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class FlexpriceMemento:
    """What has changed since the opening, and all that is due.

    By customer's id are `new_wallets`, the ids of theirs, and `unpaid`, those of invoices, some of which are the opening's. By
    wallet's id is when usage last made the provider look at it (`evaluated`). `keys` are the wallets' ids by idempotency key.
    """

    accounts: list[AccountMemento]
    schedule: list[Due]
    new_wallets: dict[str, list[str]]
    invoices: list[Invoice]
    unpaid: dict[str, list[str]]
    usage: list[Pending]
    evaluated: dict[str, datetime]
    keys: dict[str, str]
    bulletin: BulletinMemento


class FlexpriceState:
    """Accounts by id, customers' wallets, usage and invoices, used idempotency keys, and what falls due when."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.tenant = opening.tenant_settings
        self.changed: dict[str, Account] = {}
        self.schedule = Schedule(opening.schedule)
        self._new_wallets: dict[str, list[str]] = {}
        self._invoices: dict[str, Invoice] = {}
        self._unpaid: dict[str, dict[str, Invoice]] = {}
        self._usage: dict[tuple[str, str], Usage] = {}
        self._evaluated: dict[str, datetime] = {}
        self._keys: dict[str, str] = {}
        self._bulletin = Bulletin(opening.account, self.tenant.alerts)

    def account(self, wallet_id: str) -> Account | None:
        """The account of a wallet, or None if there is no such wallet. For reading only."""
        return self.changed.get(wallet_id) or self.opening.account(wallet_id)

    def accounts_of(self, customer_id: str) -> list[Account]:
        """A customer's accounts, oldest first."""
        ids = self.opening.wallet_ids(customer_id) + self._new_wallets.get(customer_id, [])
        return [account for wallet_id in ids if (account := self.account(wallet_id))]

    def listed_accounts(self) -> Iterable[Account]:
        """All accounts but the untouched members of the population."""
        for wallet_id in self.opening.persona_ids.values():
            if wallet_id not in self.changed and (account := self.opening.account(wallet_id)):
                yield account
        yield from self.changed.values()

    def invoices(self, customer_id: str) -> Collection[Invoice]:
        """A customer's unpaid invoices, oldest first. For reading at once: it follows what happens."""
        unpaid = self._unpaid.get(customer_id)
        return self.opening.invoices(customer_id) if unpaid is None else unpaid.values()

    def all_invoices(self, customer_id: str) -> list[Invoice]:
        """A customer's invoices, whatever has become of them, oldest first."""
        opening = {invoice.id: invoice for invoice in self.opening.invoices(customer_id)}
        own = {invoice.id: invoice for invoice in self._invoices.values() if invoice.customer_id == customer_id}
        return list((opening | own).values())

    def invoice(self, invoice_id: str) -> Invoice | None:
        """An invoice by id."""
        return self._invoices.get(invoice_id) or self.opening.invoices_by_id.get(invoice_id)

    def usage(self, customer_id: str, currency: str) -> Usage:
        """A customer's pending usage in a currency."""
        return self._usage.get((customer_id, currency)) or self.opening.usage(customer_id, currency)

    def key_owner(self, idempotency_key: str) -> str | None:
        """The wallet that a key was used for; keys are unique over all wallets."""
        return self._keys.get(idempotency_key) or self.opening.idempotency_keys.get(idempotency_key)

    def real_time(self, account: Account, at: datetime) -> RealTime:
        """The real-time balance of an account at a time."""
        wallet = account.wallet
        usage = self.usage(wallet.customer_id, wallet.currency).at(at)
        return ledger.real_time(wallet, usage, self.invoices(wallet.customer_id))

    def apply(self, event: Event) -> Iterable[Notice]:
        """Fold one event in."""
        match event:
            case WalletCreated(wallet=wallet):
                account = self.changed[wallet.id] = Account(wallet)
                self._new_wallets.setdefault(wallet.customer_id, []).append(wallet.id)
                self._expect_look(account, event.at)
            case TransactionCreated(transaction=row):
                self._record(event, row)
            case TransactionCompleted(transaction=row):
                account = self._own(row.wallet_id)
                account.revise(row)
                self._expect_sweep(row)
                self._evaluate(account, event.at)
            case TransactionFailed(transaction=row):
                account = self._own(row.wallet_id)
                account.revise(row)
                self._expect_look(account, event.at)
            case CreditExpiryMoved():
                account = self._own(event.wallet_id)
                found = account.row(event.transaction_id)
                assert found is not None, f"an event speaks of {event.transaction_id}, which never existed"
                row = replace(found, expiry_date=event.expiry_date, updated_at=event.at)
                account.revise(row)
                self._expect_sweep(row)
            case InvoiceCreated(invoice=invoice):
                self._put_invoice(invoice, event.at)
            case InvoicePaid(amount=amount):
                invoice = self._known_invoice(event.invoice_id)
                left = invoice.remaining - amount
                status = invoice.status if left else "paid"
                self._put_invoice(replace(invoice, remaining=left, paid=invoice.paid + amount, status=status), event.at)
            case InvoiceVoided():
                self._put_invoice(replace(self._known_invoice(event.invoice_id), remaining=ZERO, status="void"), event.at)
            case UsageRecorded() | UsageSet() | UsageRateSet():
                self._use(event)
            case WalletEvaluated(wallet_id=wallet_id):
                self._evaluated[wallet_id] = event.at
                self._evaluate(self._own(wallet_id), event.at)
            case WalletUpdated():
                account = self._own(event.wallet_id)
                changes = {name: value for name in _SETTINGS if (value := getattr(event, name)) is not None}
                account.wallet = replace(account.wallet, updated_at=event.at, **changes)
                self._expect_look(account, event.at)
            case WalletStatusChanged(wallet_id=wallet_id) | WalletTerminated(wallet_id=wallet_id):
                account = self._own(wallet_id)
                wallet_status = event.status if isinstance(event, WalletStatusChanged) else "closed"
                account.wallet = replace(account.wallet, wallet_status=wallet_status, updated_at=event.at)
                self.schedule.put(Item("0 topup", wallet_id), None)
                self._expect_look(account, event.at)
        return self._bulletin.of(event, self.changed)

    def memento(self) -> FlexpriceMemento:
        """All that has changed."""
        return FlexpriceMemento(
            accounts=[account.memento() for account in self.changed.values()],
            schedule=[Due(item, when) for item, when in self.schedule.times().items()],
            new_wallets=self._new_wallets,
            invoices=list(self._invoices.values()),
            unpaid={customer_id: list(unpaid) for customer_id, unpaid in self._unpaid.items()},
            usage=[Pending(*whose, usage) for whose, usage in self._usage.items()],
            evaluated=self._evaluated,
            keys=self._keys,
            bulletin=self._bulletin.memento(),
        )

    def recall(self, memento: FlexpriceMemento) -> None:
        """All that was."""
        self.changed.update({account.wallet.id: Account.recalled(account) for account in memento.accounts})
        self.schedule = Schedule({due.item: due.when for due in memento.schedule})
        self._new_wallets = memento.new_wallets
        self._invoices = {invoice.id: invoice for invoice in memento.invoices}
        for customer_id, ids in memento.unpaid.items():
            known = {invoice.id: invoice for invoice in self.opening.invoices(customer_id)} | self._invoices
            self._unpaid[customer_id] = {invoice_id: known[invoice_id] for invoice_id in ids}
        self._usage = {(pending.customer_id, pending.currency): pending.usage for pending in memento.usage}
        self._evaluated = memento.evaluated
        self._keys = memento.keys
        self._bulletin.recall(memento.bulletin)

    def _record(self, event: TransactionCreated, row: Transaction) -> None:
        account = self._own(row.wallet_id)
        account.record(row, event.consumed)
        if row.idempotency_key:
            self._keys[row.idempotency_key] = row.wallet_id
        self._expect_sweep(row)
        for credit_id, left in event.consumed.items():
            if not left:
                self.schedule.put(Item("2 sweep", row.wallet_id, credit_id), None)
        if row.transaction_status != "completed" or account.bought_on_invoice(row):
            self._expect_look(account, event.at)  # not there yet, or at once without payment: the provider looks at nothing then
        else:
            self._evaluate(account, event.at)
        if event.automatic:
            self.schedule.put(Item("0 topup", row.wallet_id), None)

    def _evaluate(self, account: Account, at: datetime) -> None:
        """Look at alert state and automatic top-up, as the provider does right after every direct credit or debit."""
        wallet = account.wallet
        now = self.real_time(account, at)
        credits = now.credit_balance
        state = ledger.alert_state(ledger.effective_alerts(wallet, self.tenant.alerts), credits, wallet.alert_state)
        if state != wallet.alert_state:
            account.wallet = replace(wallet, alert_state=state)
        self._bulletin.evaluated(account, now)
        due = auto_topup.is_due(account, credits, self.invoices(wallet.customer_id), at)
        self.schedule.put(Item("0 topup", wallet.id), at if due else None)
        self._expect_look(account, at, evaluated=True)

    def _use(self, event: UsageRecorded | UsageSet | UsageRateSet) -> None:
        usage = self.usage(event.customer_id, event.currency)
        now = usage.at(event.at)
        match event:
            case UsageRecorded(amount=amount):
                usage = replace(usage, amount=min(MOST, now + amount), since=event.at)
            case UsageSet(amount=amount):
                usage = replace(usage, amount=amount, since=event.at)
            case UsageRateSet(amount=amount, per=per):
                usage = Usage(now, event.at, amount, per)
        self._usage[event.customer_id, event.currency] = usage
        evaluating = self.tenant.alerts.alert_enabled and not isinstance(event, UsageRateSet)
        for account in self.accounts_of(event.customer_id):
            if account.wallet.currency != event.currency:
                continue
            if evaluating and ledger.counts_usage(account.wallet):
                self._evaluate(self._own(account.wallet.id), event.at)
            else:
                self._expect_look(account, event.at)

    def _expect_look(self, account: Account, at: datetime, *, evaluated: bool = False) -> None:
        wallet = account.wallet
        usage, invoices = self.usage(wallet.customer_id, wallet.currency), self.invoices(wallet.customer_id)
        when = next_look(account, usage, invoices, self.tenant.alerts, at, evaluated=evaluated)
        if when is not None and wallet.id in self._evaluated:
            when = max(when, later(self._evaluated[wallet.id], EVALUATED_EVERY))
        self.schedule.put(Item("1 look", wallet.id), when)

    def _expect_sweep(self, row: Transaction) -> None:
        self.schedule.put(Item("2 sweep", row.wallet_id, row.id), ledger.sweep_time(row))

    def _known_invoice(self, invoice_id: str) -> Invoice:
        invoice = self.invoice(invoice_id)
        assert invoice is not None, f"an event speaks of {invoice_id}, which never existed"
        return invoice

    def _put_invoice(self, invoice: Invoice, at: datetime) -> None:
        """Unpaid invoices change real-time balances and hold up automatic top-ups; nobody looks at the wallets for that."""
        unpaid = self._unpaid.get(invoice.customer_id)
        if unpaid is None:
            opening = self.opening.invoices(invoice.customer_id)
            unpaid = self._unpaid[invoice.customer_id] = {other.id: other for other in opening}
        unpaid.pop(invoice.id, None)
        if invoice.status == "unpaid":
            unpaid[invoice.id] = invoice
        self._invoices[invoice.id] = invoice
        for account in self.accounts_of(invoice.customer_id):
            self._expect_look(account, at)

    def _own(self, wallet_id: str) -> Account:
        account = self.changed.get(wallet_id)
        if account is None:
            opening = self.opening.account(wallet_id)
            assert opening is not None, f"an event speaks of {wallet_id}, which never existed"
            account = self.changed[wallet_id] = opening.copy()
        return account


_SETTINGS = ("name", "description", "metadata", "auto_topup", "alert_settings", "alert_state", "allowed_price_types")


def state_of(world: World) -> FlexpriceState:
    """Flexprice's part of a world."""
    state = world.states["flexprice"]
    assert isinstance(state, FlexpriceState)
    return state
