"""Accounts and how money moves through them: pure functions, used for fixtures and for live requests alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from mock_server.clock import later, rfc3339
from mock_server.flexprice import money
from mock_server.flexprice.entities import (
    AlertSettings,
    AlertState,
    CreditReason,
    DebitReason,
    Invoice,
    PriceType,
    Threshold,
    Transaction,
    Wallet,
    WalletType,
)
from mock_server.flexprice.money import ZERO
from mock_server.packing import pack, unpack

PURCHASED = ("PURCHASED_CREDIT_INVOICED", "PURCHASED_CREDIT_DIRECT")

SWEEP_DELAY = timedelta(hours=6)
SWEEP_EVERY = timedelta(minutes=15)

_NO_ROWS = "[]"


class InsufficientCredits(Exception):
    """A debit is larger than the credits that may be consumed."""


@dataclass(frozen=True, slots=True)
class AccountMemento:
    """A wallet with its ledger: `transactions` as `pack` writes a list of them."""

    wallet: Wallet
    transactions: str


class Account:
    """A wallet with its ledger, oldest row first. `rendered` is what was written of it, kept by who did.

    A ledger that was recalled stays packed until somebody reads it: most wallets of a long log are not asked for again soon.
    """

    __slots__ = ("_packed", "_places", "_rows", "rendered", "wallet")

    def __init__(self, wallet: Wallet, transactions: Iterable[Transaction] = (), *, packed: str = _NO_ROWS) -> None:
        self.wallet = wallet
        self.rendered: Any = None
        self._packed = packed  # the first rows
        self._rows = list(transactions)  # those after them
        self._places: dict[str, int] | None = None  # of the rows by id, once somebody has looked one up

    @property
    def transactions(self) -> list[Transaction]:
        """The rows. For reading only."""
        if self._packed != _NO_ROWS:
            self._rows = [*unpack(list[Transaction], self._packed), *self._rows]
            self._packed = _NO_ROWS
        return self._rows

    def copy(self) -> Account:
        """An account that can change without the original noticing (rows and wallets are immutable)."""
        return Account(self.wallet, self._rows, packed=self._packed)

    def memento(self) -> AccountMemento:
        """All but what follows from it."""
        packed = pack(self._rows).decode()
        if self._packed != _NO_ROWS:
            packed = f"{self._packed[:-1]},{packed[1:]}" if self._rows else self._packed
        return AccountMemento(self.wallet, packed)

    @classmethod
    def recalled(cls, memento: AccountMemento) -> Account:
        """The account that this is the memento of."""
        return cls(memento.wallet, packed=memento.transactions)

    def record(self, transaction: Transaction, consumed: Mapping[str, Decimal]) -> None:
        """Append a row; a completed one becomes the wallet's balance, but what was bought on invoice adds its amount to it."""
        for credit_id, left in consumed.items():
            place = self._place(credit_id)
            if place is not None:
                self._rows[place] = replace(self._rows[place], credits_available=left, updated_at=transaction.created_at)
        self._rows.append(transaction)
        if self._places is not None:
            self._places[transaction.id] = len(self._rows) - 1
        if transaction.transaction_status == "completed":
            self._move_balance(transaction)

    def revise(self, transaction: Transaction) -> None:
        """Put a row in the place of its earlier self; one that is completed now adds its amount to the wallet's balance."""
        place = self._place(transaction.id)
        assert place is not None, f"an event speaks of {transaction.id}, which never existed"
        earlier, self._rows[place] = self._rows[place], transaction
        if earlier.transaction_status == "pending" and transaction.transaction_status == "completed":
            self._move_balance(transaction)

    def row(self, transaction_id: str) -> Transaction | None:
        """A row by id."""
        place = self._place(transaction_id)
        return None if place is None else self._rows[place]

    def bought_on_invoice(self, row: Transaction) -> bool:
        """Whether a row is a purchase on invoice, or the bonus of one."""
        if row.transaction_reason == "PURCHASED_CREDIT_BONUS":
            parent = self.row(row.parent_transaction_id)
            return parent is not None and self.bought_on_invoice(parent)
        return row.transaction_reason == "PURCHASED_CREDIT_INVOICED"

    def _place(self, transaction_id: str) -> int | None:
        """Where a row is among `_rows`, all of which are unpacked then."""
        if self._places is None:
            self._places = {row.id: place for place, row in enumerate(self.transactions)}
        return self._places.get(transaction_id)

    def _move_balance(self, row: Transaction) -> None:
        wallet, credits = self.wallet, row.credit_balance_after
        if wallet.topup_conversion_rate != wallet.conversion_rate and self.bought_on_invoice(row):
            balance = wallet.balance + row.amount
        else:
            balance = money.multiply(credits, wallet.conversion_rate)
        self.wallet = replace(wallet, credit_balance=credits, balance=money.store(balance), updated_at=row.updated_at)


def defaults(wallet_type: WalletType, currency: str) -> tuple[str, tuple[PriceType, ...]]:
    """Name and allowed price types of a new wallet; neither can be chosen on creation."""
    if wallet_type == "PRE_PAID":
        return f"Prepaid Wallet - {currency.upper()}", ("USAGE",)
    return f"Postpaid Wallet - {currency.upper()}", ("ALL",)


@dataclass(frozen=True, slots=True)
class Credit:
    """Credits to come in. `pending`: bought but not paid, so the balance stays."""

    amount: Decimal
    reason: CreditReason
    pending: bool = False
    expiry_date: datetime | None = None
    priority: int | None = None
    external: bool = True
    idempotency_key: str = ""
    description: str = ""
    metadata: Mapping[str, str] | None = None
    parent_transaction_id: str = ""


def credit(wallet: Wallet, transaction_id: str, incoming: Credit, at: datetime) -> Transaction:
    """The row that brings credits in, priced with the top-up rate."""
    before = wallet.credit_balance
    after = before if incoming.pending else money.store(before + incoming.amount)
    available = _available(incoming.amount, before, after)
    return Transaction(
        id=transaction_id,
        wallet_id=wallet.id,
        customer_id=wallet.customer_id,
        currency=wallet.currency,
        type="credit",
        transaction_status="pending" if incoming.pending else "completed",
        transaction_reason=incoming.reason,
        amount=money.store(money.multiply(incoming.amount, wallet.topup_conversion_rate)),
        credit_amount=incoming.amount,
        credit_balance_before=before,
        credit_balance_after=after,
        credits_available=available,
        created_at=at,
        updated_at=at,
        topup_conversion_rate=wallet.topup_conversion_rate,
        reference_type="EXTERNAL" if incoming.external else None,
        reference_id=incoming.idempotency_key if incoming.external else "",
        idempotency_key=incoming.idempotency_key,
        description=incoming.description,
        metadata=incoming.metadata or {},
        expiry_date=incoming.expiry_date,
        priority=incoming.priority,
        parent_transaction_id=incoming.parent_transaction_id,
    )


def _available(amount: Decimal, before: Decimal, after: Decimal) -> Decimal:
    """What there is of a credit once it has repaid what the wallet was overdrawn by; a pending one cannot repay."""
    return amount if before >= 0 else max(ZERO, after)


def completed(wallet: Wallet, row: Transaction, at: datetime) -> Transaction:
    """A pending row once it is paid: it comes after everything that happened meanwhile."""
    before = wallet.credit_balance
    after = money.store(before + row.credit_amount)
    return replace(
        row,
        transaction_status="completed",
        credit_balance_before=before,
        credit_balance_after=after,
        credits_available=_available(row.credit_amount, before, after),
        updated_at=at,
    )


def has_room(wallet: Wallet, incoming: Decimal, *, invoiced: bool = False) -> bool:
    """Whether a wallet can hold so many credits more, and their price can be stored."""
    try:
        amount = money.store(money.multiply(incoming, wallet.topup_conversion_rate))
        credits = money.store(wallet.credit_balance + incoming)
        money.store(money.multiply(credits, wallet.conversion_rate))
        if invoiced:
            money.store(wallet.balance + amount)
    except money.TooLarge:
        return False
    return True


def debit(
    account: Account,
    transaction_id: str,
    amount: Decimal,
    reason: DebitReason,
    at: datetime,
    *,
    idempotency_key: str = "",
    description: str = "",
    metadata: Mapping[str, str] | None = None,
) -> tuple[Transaction, dict[str, Decimal]]:
    """The row that takes credits out, priced with the conversion rate, and what is left of the credits it consumed.

    InsufficientCredits unless enough may be consumed; only a manual debit may overdraw, and TooLarge if it does so beyond what
    can be stored.
    """
    left = amount
    consumed: dict[str, Decimal] = {}
    for row in consumable(account, at):
        if left <= 0:
            break
        taken = min(left, row.credits_available)
        consumed[row.id] = row.credits_available - taken
        left -= taken
    if left > 0 and reason != "MANUAL_BALANCE_DEBIT":
        raise InsufficientCredits
    if left > 0:
        _check_overdraft(account, amount, consumed)
    row = _debit_row(account.wallet, transaction_id, amount, reason, at, consumed, idempotency_key, description, metadata)
    return row, consumed


def swept(
    account: Account, transaction_id: str, credit_row: Transaction, at: datetime, *, idempotency_key: str
) -> tuple[Transaction, dict[str, Decimal]]:
    """The row that writes off what is left of one expired credit, and of that alone."""
    assert credit_row.expiry_date is not None
    consumed = {credit_row.id: ZERO}
    about = {"expired_transaction_id": credit_row.id, "expiry_date": rfc3339(credit_row.expiry_date)}
    amount = credit_row.credits_available
    row = _debit_row(
        account.wallet, transaction_id, amount, "CREDIT_EXPIRED", at, consumed, idempotency_key, "Credits have expired", about
    )
    return row, consumed


def sweep_time(row: Transaction) -> datetime | None:
    """When what is left of a credit is written off: at the first quarter of an hour at least six hours after it expired."""
    if row.type != "credit" or row.transaction_status != "completed" or row.credits_available <= 0 or row.expiry_date is None:
        return None
    at = max(later(row.expiry_date, SWEEP_DELAY), row.updated_at)  # paid for later than that, it is swept then
    past = timedelta(minutes=at.minute, seconds=at.second, microseconds=at.microsecond) % SWEEP_EVERY
    return later(at, SWEEP_EVERY - past) if past else at


def _check_overdraft(account: Account, amount: Decimal, consumed: Mapping[str, Decimal]) -> None:
    """An overdrawn wallet must be able to lose its expired credits as well."""
    expired = sum(
        (
            consumed.get(row.id, row.credits_available)
            for row in account.transactions
            if row.type == "credit" and row.transaction_status == "completed"
        ),
        ZERO,
    )
    least = money.store(account.wallet.credit_balance - amount - expired)
    money.store(money.multiply(least, account.wallet.conversion_rate))


def _debit_row(
    wallet: Wallet,
    transaction_id: str,
    amount: Decimal,
    reason: DebitReason,
    at: datetime,
    consumed: Mapping[str, Decimal],
    idempotency_key: str,
    description: str,
    metadata: Mapping[str, str] | None,
) -> Transaction:
    details = dict(metadata or {})
    if consumed:
        details["consumed_credit_tx_ids"] = ",".join(consumed)
    return Transaction(
        id=transaction_id,
        wallet_id=wallet.id,
        customer_id=wallet.customer_id,
        currency=wallet.currency,
        type="debit",
        transaction_status="completed",
        transaction_reason=reason,
        amount=money.store(money.multiply(amount, wallet.conversion_rate)),
        credit_amount=amount,
        credit_balance_before=wallet.credit_balance,
        credit_balance_after=wallet.credit_balance - amount,
        credits_available=ZERO,
        created_at=at,
        updated_at=at,
        conversion_rate=wallet.conversion_rate,
        reference_type={"INVOICE_PAYMENT": "PAYMENT", "CREDIT_ADJUSTMENT": "INVOICE"}.get(reason, "REQUEST"),  # type: ignore[arg-type]
        reference_id=idempotency_key,
        idempotency_key=idempotency_key,
        description=description,
        metadata=details,
    )


def consumable(account: Account, at: datetime) -> list[Transaction]:
    """Credits that a debit may take from, in the provider's order: priority, expiry (each: none last), largest first."""
    eligible = [
        row
        for row in account.transactions
        if row.type == "credit"
        and row.transaction_status == "completed"
        and row.credits_available > 0
        and (row.expiry_date is None or row.expiry_date >= at)
    ]
    far = at.max.replace(tzinfo=at.tzinfo)
    return sorted(
        eligible,
        key=lambda row: (row.priority is None, row.priority or 0, row.expiry_date or far, -row.credit_amount),
    )


@dataclass(frozen=True, slots=True)
class RealTime:
    """A wallet's balance less what is pending; `unpaid` is None where the provider leaves it out."""

    balance: Decimal
    credit_balance: Decimal
    usage: Decimal
    unpaid: Decimal | None


def real_time(wallet: Wallet, usage: Decimal, invoices: Iterable[Invoice]) -> RealTime:
    """The real-time balance of a wallet whose customer has this usage and these unpaid invoices (any currency).

    Pending charges are usage + all that remains unpaid for wallets that may pay anything, but usage + unpaid usage -
    payments for wallets that pay usage only; so the result can even exceed the balance.
    """
    if wallet.wallet_status != "active":
        return RealTime(ZERO, ZERO, ZERO, None)
    if wallet.wallet_type == "POST_PAID":
        return RealTime(wallet.balance, money.divide(wallet.balance, wallet.conversion_rate), ZERO, ZERO)
    allowed = wallet.allowed_price_types or ()
    counted = usage if counts_usage(wallet) else ZERO
    total = due = paid = ZERO
    for invoice in invoices:
        if invoice.currency == wallet.currency:
            total += invoice.remaining
            due += invoice.usage_due
            paid += invoice.paid
    pending = counted + total if "ALL" in allowed or "FIXED" in allowed else counted + due - paid
    balance = wallet.balance - pending
    return RealTime(balance, money.divide(balance, wallet.conversion_rate), pending, due)


def counts_usage(wallet: Wallet) -> bool:
    """Whether its customer's usage is taken from a wallet's real-time balance."""
    allowed = wallet.allowed_price_types
    return (
        wallet.wallet_status == "active"
        and wallet.wallet_type == "PRE_PAID"
        and (not allowed or "USAGE" in allowed or "ALL" in allowed)
    )


def effective_alerts(wallet: Wallet, tenants: AlertSettings) -> AlertSettings:
    """A wallet's own alert settings if they have a threshold, else the tenant's."""
    own = wallet.alert_settings
    return own if own is not None and (own.critical or own.warning or own.info) else tenants


def breakdown(account: Account) -> dict[str, str]:
    """Available credits by class. Bonus, credit note and refund credits count as free."""
    purchased = free = ZERO
    for row in account.transactions:
        if row.type == "credit" and row.transaction_status == "completed":
            if row.transaction_reason in PURCHASED:
                purchased += row.credits_available
            else:
                free += row.credits_available
    return {"purchased": money.wire(purchased), "free": money.wire(free)}


def alert_state(settings: AlertSettings, credits: Decimal, current: AlertState) -> AlertState:
    """The state that a real-time credit balance puts a wallet in; unchanged unless the settings are enabled."""
    return alert_level(settings, credits, current) if settings.alert_enabled else current


def alert_level(settings: AlertSettings, credits: Decimal, current: AlertState) -> AlertState:
    """The level of thresholds that credits are at, whether or not anybody is told; `current` if there are no thresholds."""
    first = settings.critical or settings.warning or settings.info
    if first is None:
        return current
    below = first.condition == "below"
    levels: tuple[tuple[AlertState, Threshold | None], ...] = (
        ("in_alarm", settings.critical),
        ("warning", settings.warning),
        ("info", settings.info),
    )
    for state, threshold in levels:
        if threshold is not None and (credits <= threshold.threshold if below else credits >= threshold.threshold):
            return state
    return "ok"
