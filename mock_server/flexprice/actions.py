"""What can be done to a wallet from outside the provider's own operations: by a control, or by a step of a scenario."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated

from pydantic import BeforeValidator, Field

from contract_tests.durations import duration
from mock_server.actions import Action, Unknown
from mock_server.clock import later
from mock_server.event_log import Event
from mock_server.fixture_files import Money
from mock_server.flexprice import agenda, closing, ledger, money, purchases, settings
from mock_server.flexprice.entities import AutoTopup, Invoice, TopUpReason, Transaction, Unit, WalletStatus
from mock_server.flexprice.events import (
    CreditExpiryMoved,
    InvoiceCreated,
    InvoicePaid,
    InvoiceVoided,
    TransactionCreated,
    UsageRateSet,
    UsageRecorded,
    UsageSet,
    WalletStatusChanged,
    WalletUpdated,
)
from mock_server.flexprice.fixtures import AlertFixture, AutoTopupFixture, NotNegative, Positive
from mock_server.flexprice.from_fixtures import alerts_of, auto_topup_of
from mock_server.flexprice.ledger import Account
from mock_server.flexprice.money import MOST, ZERO
from mock_server.flexprice.state import FlexpriceState, state_of
from mock_server.world import Draft, Refusal, World

Name = Annotated[str, Field(min_length=1, max_length=200)]
"""A wallet by its persona's name or its id; an invoice or a transaction by its id."""

Text = Annotated[str, Field(max_length=1000)]

LATEST = "latest"
"""Stands for the newest unpaid invoice."""

_FULL = "that is more than can be stored: 11 digits before the point"


def _span(value: object) -> object:
    return duration(value) if isinstance(value, str) else value


Span = Annotated[timedelta, BeforeValidator(_span), Field(gt=timedelta())]
"""A span of time as people write it: `7 days`, `1h30m`."""


def find_wallet(state: FlexpriceState, name: str) -> Account:
    """A wallet by its persona's name or by its id; Unknown lists the names that are near."""
    personas = state.opening.persona_ids
    account = state.account(personas.get(name, name))
    if account is None:
        near = get_close_matches(name, personas, 3, 0.5) or sorted(personas)
        raise Unknown(f"no wallet {name[:60]!r}; there are {', '.join(near)}, and any wallet by its id")
    return account


def find_transaction(account: Account, transaction_id: str) -> Transaction:
    """A row of a wallet; Unknown if it has no such row."""
    row = account.row(transaction_id)
    if row is None:
        raise Unknown(f"wallet {account.wallet.id} has no transaction {transaction_id[:60]!r}")
    return row


def find_invoice(state: FlexpriceState, invoice_id: str, wallet: str | None) -> Invoice:
    """An invoice by id, or the newest unpaid one; of a wallet's customer and in its currency, if a wallet is named."""
    owner = find_wallet(state, wallet).wallet if wallet is not None else None
    if invoice_id != LATEST:
        invoice = state.invoice(invoice_id)
        if invoice is None or (owner and (invoice.customer_id, invoice.currency) != (owner.customer_id, owner.currency)):
            raise Unknown(f"no invoice {invoice_id[:60]!r}" + (f" of wallet {wallet}" if wallet else ""))
        return invoice
    if owner is None:
        raise Refusal("`latest` needs a wallet: the newest invoice of whom?")
    unpaid = [invoice for invoice in state.invoices(owner.customer_id) if invoice.currency == owner.currency]
    if not unpaid:
        raise Refusal(f"wallet {wallet} has no unpaid invoice")
    return unpaid[-1]


class WalletAction(Action):
    """Something done to one wallet, named by persona or id."""

    wallet: Name

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """The events that do it; Refusal says why it cannot be done now."""
        state = state_of(world)
        try:
            return list(self.events(state, find_wallet(state, self.wallet), draft))
        except money.TooLarge:
            raise Refusal(_FULL) from None

    @abstractmethod
    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """The events that do it to this account."""


class SetBalance(WalletAction):
    """Make the credit balance what it says: the difference is granted as free credits, or debited by hand."""

    credits: Money

    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """One row, or none."""
        difference = self.credits - account.wallet.credit_balance
        if difference > 0:
            yield _credit(account, ledger.Credit(difference, "FREE_CREDIT_GRANT", description="Balance set"), draft)
        elif difference < 0:
            yield _debit(account, -difference, "Balance set", draft)


class Debit(WalletAction):
    """Take credits out by hand; the wallet may be overdrawn."""

    credits: Positive
    description: Text = ""

    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """One row."""
        wallet = account.wallet
        if wallet.wallet_status != "active":
            raise Refusal(f"wallet {self.wallet} is {wallet.wallet_status}: only active wallets can be debited")
        yield _debit(account, self.credits, self.description, draft)


class TopUp(WalletAction):
    """Put credits in."""

    credits: Positive
    reason: TopUpReason = "PURCHASED_CREDIT_DIRECT"
    expires_in: Span | None = None
    priority: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = None
    description: Text = ""

    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """As the provider's own top-up does it, the tenant's bonus included."""
        bonus = purchases.slab_bonus(state.tenant, self.credits, self.reason)
        if not ledger.has_room(account.wallet, self.credits + bonus, invoiced=self.reason == "PURCHASED_CREDIT_INVOICED"):
            raise Refusal(_FULL)
        incoming = ledger.Credit(
            amount=self.credits,
            reason=self.reason,
            expiry_date=None if self.expires_in is None else later(draft.at, self.expires_in),
            priority=self.priority,
            idempotency_key=draft.id("wtxn"),
            description=self.description,
        )
        yield from purchases.top_up(state.tenant, account, incoming, draft, bonus=bonus)


class SetStatus(WalletAction):
    """Freeze, unfreeze or close; what is closed stays closed."""

    status: WalletStatus

    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """Closing takes the credits out first, as a client's terminating does."""
        wallet = account.wallet
        if wallet.wallet_status == self.status:
            return
        if wallet.wallet_status == "closed":
            raise Refusal(f"wallet {self.wallet} is closed, and nothing opens it again")
        if self.status == "closed":
            try:
                yield from closing.close(state, account, draft)
            except closing.KeyUsed:
                raise Refusal(f"idempotency key {wallet.id} was used before, and closing needs it") from None
            except ledger.InsufficientCredits:
                raise Refusal(
                    "part of the credits has expired and is not written off yet: a wallet cannot be closed then"
                ) from None
            return
        if self.status == "active":
            for other in state.accounts_of(wallet.customer_id):
                kind = (other.wallet.wallet_status, other.wallet.currency, other.wallet.wallet_type)
                if kind == ("active", wallet.currency, wallet.wallet_type):
                    raise Refusal(f"the customer has an active {wallet.currency} {wallet.wallet_type} wallet: {other.wallet.id}")
        yield WalletStatusChanged(at=draft.at, wallet_id=wallet.id, status=self.status)


class Use(WalletAction):
    """Add to the pending usage of the wallet's customer in the wallet's currency, in money."""

    amount: Positive

    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """One event."""
        wallet = account.wallet
        if state.usage(wallet.customer_id, wallet.currency).at(draft.at) + self.amount > MOST:
            raise Refusal(_FULL)
        yield UsageRecorded(at=draft.at, customer_id=wallet.customer_id, currency=wallet.currency, amount=self.amount)


class SetUsage(WalletAction):
    """Make the pending usage what it says, in money."""

    amount: NotNegative

    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """One event."""
        wallet = account.wallet
        yield UsageSet(at=draft.at, customer_id=wallet.customer_id, currency=wallet.currency, amount=self.amount)


class SetUsageRate(WalletAction):
    """Have usage accrue with time, in money; 0 stops it."""

    amount: NotNegative
    per: Unit

    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """One event."""
        wallet = account.wallet
        yield UsageRateSet(
            at=draft.at, customer_id=wallet.customer_id, currency=wallet.currency, amount=self.amount, per=self.per
        )


class CreateInvoice(WalletAction):
    """Give the wallet's customer an unpaid invoice in the wallet's currency; `usage` is the part of it that is usage."""

    amount: Positive
    usage: NotNegative = ZERO
    paid: NotNegative = ZERO

    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """One event."""
        if self.usage > self.amount:
            raise Refusal(f"an invoice of {self.amount} cannot have {self.usage} of usage in it")
        if self.paid >= self.amount:
            raise Refusal(f"an invoice of {self.amount} of which {self.paid} is paid is not an unpaid one")
        invoice = Invoice(
            draft.id("inv"),
            account.wallet.customer_id,
            account.wallet.currency,
            remaining=self.amount - self.paid,
            usage_due=self.usage,
            paid=self.paid,
            created_at=draft.at,
        )
        yield InvoiceCreated(at=draft.at, invoice=invoice)


class InvoiceAction(Action):
    """Something done to an unpaid invoice: by id, or the newest one of a wallet."""

    invoice: Name = LATEST
    wallet: Name | None = None

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """The events that do it; Refusal says why it cannot be done now."""
        state = state_of(world)
        invoice = find_invoice(state, self.invoice, self.wallet)
        if invoice.status != "unpaid":
            raise Refusal(f"invoice {invoice.id} is {invoice.status} already")
        try:
            return list(self.events(state, invoice, draft))
        except money.TooLarge:
            raise Refusal(_FULL) from None

    @abstractmethod
    def events(self, state: FlexpriceState, invoice: Invoice, draft: Draft) -> Iterator[Event]:
        """The events that do it to this invoice."""


class PayInvoice(InvoiceAction):
    """Pay an invoice, all that remains of it unless an amount is given. Paid in full, what was bought with it arrives."""

    amount: Positive | None = None

    def events(self, state: FlexpriceState, invoice: Invoice, draft: Draft) -> Iterator[Event]:
        """The payment, and the credits that it pays for."""
        amount = invoice.remaining if self.amount is None else self.amount
        if amount > invoice.remaining:
            raise Refusal(f"only {money.wire(invoice.remaining)} of invoice {invoice.id} remains to be paid")
        yield InvoicePaid(at=draft.at, invoice_id=invoice.id, amount=amount)
        account = state.account(invoice.wallet_id)
        if account is not None and amount == invoice.remaining:
            yield from purchases.complete(account, invoice.transaction_id, draft.at)


class VoidInvoice(InvoiceAction):
    """Void an unpaid invoice: nothing remains to be paid, and what was bought with it never arrives."""

    def events(self, state: FlexpriceState, invoice: Invoice, draft: Draft) -> Iterator[Event]:
        """The end of the invoice, and of its rows."""
        yield InvoiceVoided(at=draft.at, invoice_id=invoice.id)
        account = state.account(invoice.wallet_id)
        if account is not None:
            yield from purchases.fail(account, invoice.transaction_id, draft.at)


class SetAlerts(WalletAction):
    """Replace the alert settings. As when a client does so, the alert state stays until it is evaluated next."""

    settings: AlertFixture

    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """One event."""
        alerts = alerts_of(self.settings)
        if problem := settings.alert_problem(alerts):
            raise Refusal(problem)
        yield WalletUpdated(
            at=draft.at,
            wallet_id=account.wallet.id,
            alert_settings=alerts,
            alert_state=None if alerts.alert_enabled else "ok",
        )


class SetAutoTopup(WalletAction):
    """Replace the automatic top-up, or take it away."""

    settings: AutoTopupFixture | None

    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """One event; settings that say nothing are none."""
        topup = AutoTopup() if self.settings is None else auto_topup_of(self.settings)
        yield WalletUpdated(at=draft.at, wallet_id=account.wallet.id, auto_topup=topup)


class ExpireCredits(WalletAction):
    """Have credits expire now and be written off at once: one transaction's, or all that are left."""

    transaction: Name | None = None

    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """For each credit its new expiry, unless it has expired already, and the row that writes it off."""
        if self.transaction is None:
            credits = [row for row in account.transactions if is_left(row)]
        else:
            credits = [row for row in (find_transaction(account, self.transaction),) if is_left(row)]
        if not credits:
            raise Refusal("there are no credits left that could expire")
        account = account.copy()
        for row in credits:
            expired = row
            if row.expiry_date is None or row.expiry_date > draft.at:
                expired = replace(row, expiry_date=draft.at)
                yield CreditExpiryMoved(at=draft.at, wallet_id=account.wallet.id, transaction_id=row.id, expiry_date=draft.at)
            event = agenda.sweep(state, account, expired, draft)
            account.record(event.transaction, event.consumed)
            yield event


class Refund(WalletAction):
    """Give the credits of a debit back, all of them unless a number is given, as a credit that refers to it."""

    transaction: Name
    credits: Positive | None = None

    def events(self, state: FlexpriceState, account: Account, draft: Draft) -> Iterator[Event]:
        """One row: what was taken for an invoice comes back as a void invoice's refund, anything else as a credit note."""
        row = find_transaction(account, self.transaction)
        if row.type != "debit":
            raise Refusal(f"transaction {row.id} is a credit: only debits can be refunded")
        refunded = sum((other.credit_amount for other in account.transactions if other.metadata.get(_REFUND_OF) == row.id), ZERO)
        left = row.credit_amount - refunded
        credits = left if self.credits is None else self.credits
        if not 0 < credits <= left:
            raise Refusal(f"only {money.wire(max(ZERO, left))} credits of transaction {row.id} can be refunded")
        invoiced = row.transaction_reason in ("INVOICE_PAYMENT", "CREDIT_ADJUSTMENT")
        incoming = ledger.Credit(
            credits,
            "INVOICE_VOID_REFUND" if invoiced else "CREDIT_NOTE",
            description="Refund",
            metadata={_REFUND_OF: row.id},
        )
        yield _credit(account, incoming, draft)


_REFUND_OF = "refunded_transaction_id"


def is_left(row: Transaction) -> bool:
    """Whether a row is a credit of which something is left."""
    return row.type == "credit" and row.transaction_status == "completed" and row.credits_available > 0


def _credit(account: Account, incoming: ledger.Credit, draft: Draft) -> Event:
    if not ledger.has_room(account.wallet, incoming.amount):
        raise Refusal(_FULL)
    row_id = draft.id("wtxn")
    row = ledger.credit(account.wallet, row_id, replace(incoming, idempotency_key=draft.id("wtxn")), draft.at)
    return TransactionCreated(at=draft.at, transaction=row, consumed={})


def _debit(account: Account, credits: Decimal, description: str, draft: Draft) -> Event:
    money.store(credits)
    row, consumed = ledger.debit(
        account,
        draft.id("wtxn"),
        credits,
        "MANUAL_BALANCE_DEBIT",
        draft.at,
        idempotency_key=draft.id("wtxn"),
        description=description,
    )
    return TransactionCreated(at=draft.at, transaction=row, consumed=consumed)


ACTIONS: dict[str, type[Action]] = {
    "set-balance": SetBalance,
    "debit": Debit,
    "top-up": TopUp,
    "set-status": SetStatus,
    "use": Use,
    "set-usage": SetUsage,
    "set-usage-rate": SetUsageRate,
    "create-invoice": CreateInvoice,
    "pay-invoice": PayInvoice,
    "void-invoice": VoidInvoice,
    "set-alerts": SetAlerts,
    "set-auto-topup": SetAutoTopup,
    "expire-credits": ExpireCredits,
    "refund": Refund,
}
