"""Flexprice: wallets and transactions, and how credits move between them. Call everything here with the lock held."""

import heapq
import secrets
import threading
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from . import faults
from .forms import UNITS
from .values import Clock, Ulids, plain, product, quotient, rounded, stamp

LARGEST = Decimal(10) ** 11
PURCHASES = ("PURCHASED_CREDIT_DIRECT", "PURCHASED_CREDIT_INVOICED")
GRANTS = ("FREE_CREDIT_GRANT", "SUBSCRIPTION_CREDIT_GRANT")
LEVELS = {"critical": "in_alarm", "warning": "warning", "info": "info"}
MOST_AUTO_TOPUPS = 50
ZERO = Decimal(0)


class Refused(Exception):
    """An error of the API."""

    def __init__(self, status: int, code: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, details


def invalid(message: str, **details: Any) -> Refused:
    """400 for a value that is not acceptable."""
    return Refused(400, "validation_error", message, details)


def forbidden_now(message: str, **details: Any) -> Refused:
    """400 for what the present state does not allow."""
    return Refused(400, "invalid_operation", message, details)


@dataclass
class Wallet:
    """One wallet; times are microseconds."""

    id: str
    customer_id: str
    currency: str
    wallet_type: str
    conversion_rate: Decimal
    topup_conversion_rate: Decimal
    name: str
    config: dict[str, Any]
    created_at: int
    updated_at: int
    description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    alert_settings: dict[str, Any] = field(default_factory=dict)
    auto_topup: dict[str, Any] | None = None
    alert_state: str = "ok"
    wallet_status: str = "active"
    credit_balance: Decimal = ZERO
    balance: Decimal = ZERO

    @property
    def real_time_balance(self) -> Decimal:
        """Nothing is ever pending here, so an active wallet has all of its balance."""
        return self.balance if self.wallet_status == "active" else ZERO

    @property
    def real_time_credits(self) -> Decimal:
        return quotient(self.real_time_balance, self.conversion_rate)


@dataclass
class Transaction:
    """One movement of credits."""

    id: str
    wallet_id: str
    customer_id: str
    currency: str
    type: str
    transaction_reason: str
    credit_amount: Decimal
    rate: Decimal
    credit_balance_before: Decimal
    credit_balance_after: Decimal
    credits_available: Decimal
    created_at: int
    transaction_status: str = "completed"
    description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    idempotency_key: str = ""
    reference_type: str | None = None
    reference_id: str = ""
    expiry_date: int | None = None
    priority: int | None = None
    parent_transaction_id: str | None = None

    @property
    def amount(self) -> Decimal:
        return product(self.credit_amount, self.rate)

    @property
    def spending_order(self) -> tuple[float, float, Decimal]:
        """Credits with the lowest value are spent first."""
        never = float("inf")
        priority = never if self.priority is None else self.priority
        return priority, never if self.expiry_date is None else self.expiry_date, -self.credit_amount


class Ledger:
    """All wallets and transactions of one environment."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clock = Clock()
        self.ulids = Ulids()
        self.wallets: dict[str, Wallet] = {}
        self.rows: list[Transaction] = []
        self.rows_of: dict[str, list[Transaction]] = {}
        self._keys: set[str] = set()
        self._expiring: list[tuple[int, int, Transaction]] = []

    def open(self, **values: Any) -> Wallet:
        """A new empty wallet. Only one of a customer, currency and type may be active."""
        for other in self.wallets.values():
            if other.wallet_status == "active" and all(
                getattr(other, name) == values[name] for name in ("customer_id", "currency", "wallet_type")
            ):
                raise forbidden_now("The customer has such a wallet already.", wallet_id=other.id)
        now = self.clock.tick()
        wallet = Wallet(id=self.ulids.make("wallet"), created_at=now, updated_at=now, **values)
        self.wallets[wallet.id] = wallet
        self.rows_of[wallet.id] = []
        return wallet

    def claim_key(self, wallet: Wallet, key: str) -> None:
        """Every key is used once in the whole environment."""
        scoped = f"{wallet.id} {key}" if faults.on("key-per-wallet") else key
        if scoped in self._keys:
            raise forbidden_now("This idempotency key was used before.", idempotency_key=key)
        self._keys.add(scoped)

    def add(self, wallet: Wallet, reason: str, credits: Decimal, *, pending: bool = False, **values: Any) -> Transaction:
        """Credits coming in; pending ones leave the wallet as it is."""
        before = wallet.credit_balance
        if faults.on("lost-update"):
            self.lock.release()
            time.sleep(0.01)
            self.lock.acquire()
        row = self._record(
            wallet,
            type="credit",
            transaction_reason=reason,
            transaction_status="pending" if pending else "completed",
            credit_amount=credits,
            rate=wallet.topup_conversion_rate,
            credit_balance_before=before,
            credit_balance_after=before if pending else before + credits,
            credits_available=credits,
            **values,
        )
        if not pending or faults.on("pending-credited"):
            self._set_balance(wallet, before + credits)
            if row.expiry_date is not None and not pending:
                heapq.heappush(self._expiring, (row.expiry_date, len(self.rows), row))
        return row

    def take(self, wallet: Wallet, reason: str, sources: list[Transaction], **values: Any) -> Transaction:
        """Everything that is left of some credits."""
        credits = sum((row.credits_available for row in sources), ZERO)
        before = wallet.credit_balance
        row = self._record(
            wallet,
            type="debit",
            transaction_reason=reason,
            credit_amount=credits,
            rate=wallet.conversion_rate,
            credit_balance_before=before,
            credit_balance_after=before - credits,
            credits_available=ZERO,
            reference_type="REQUEST",
            **values,
        )
        row.metadata["consumed_credit_tx_ids"] = ",".join(source.id for source in sources)
        for source in sources:
            source.credits_available = ZERO
        self._set_balance(wallet, before - credits)
        return row

    def close(self, wallet: Wallet) -> None:
        """Debits what is left, in the order of spending, and closes for good."""
        if wallet.wallet_status == "closed":
            raise forbidden_now("The wallet is closed already.", wallet_id=wallet.id)
        left = sorted(
            (row for row in self.completed_credits(wallet) if row.credits_available), key=lambda row: row.spending_order
        )
        if left:
            self.claim_key(wallet, wallet.id)
            self.take(wallet, "WALLET_TERMINATION", left, idempotency_key=wallet.id, reference_id=wallet.id)
        wallet.wallet_status = "closed"
        wallet.updated_at = self.clock.tick()

    def sweep(self) -> None:
        """Takes expired credits away as soon as anybody looks."""
        now = time.time_ns() // 1000
        while self._expiring and self._expiring[0][0] < now:
            _, _, credit = heapq.heappop(self._expiring)
            if credit.credits_available:
                metadata = {"expired_transaction_id": credit.id, "expiry_date": stamp(credit.expiry_date or 0)}
                values = {"metadata": metadata, "idempotency_key": credit.id, "reference_id": credit.id}
                self.take(self.wallets[credit.wallet_id], "CREDIT_EXPIRED", [credit], **values)

    def completed_credits(self, wallet: Wallet) -> list[Transaction]:
        """Rows whose credits have arrived."""
        rows = self.rows_of[wallet.id]
        return [row for row in rows if row.type == "credit" and row.transaction_status == "completed"]

    def breakdown(self, wallet: Wallet) -> dict[str, str] | None:
        """Unspent credits by origin; None once there are credits of yet another origin, such as a bonus."""
        rows = self.completed_credits(wallet)
        if any(row.transaction_reason not in PURCHASES + GRANTS for row in rows):
            return None
        bought = sum((row.credits_available for row in rows if row.transaction_reason in PURCHASES), ZERO)
        return {"purchased": plain(bought), "free": plain(sum((row.credits_available for row in rows), ZERO) - bought)}

    def auto_top_up(self, wallet: Wallet) -> None:
        """Buys credits while the wallet is at or below its threshold."""
        for _ in range(MOST_AUTO_TOPUPS):
            settings = wallet.auto_topup
            if not settings or not settings.get("enabled") or settings["amount"] <= 0:
                return
            if wallet.real_time_credits > settings["threshold"]:
                return
            bought = [row for row in self.rows_of[wallet.id] if row.metadata.get("auto_topup") == "true"]
            pause = settings.get("cooldown")
            if bought and (bought[-1].transaction_status == "pending" or (pause and not _is_over(pause, bought[-1].created_at))):
                return
            if not has_room(wallet.credit_balance + settings["amount"], wallet.conversion_rate, wallet.topup_conversion_rate):
                return
            reason = PURCHASES[1] if settings["invoicing"] else PURCHASES[0]
            key = self.ulids.make("wtxn")
            values = {"description": "Automatic top-up", "metadata": {"auto_topup": "true"}, "idempotency_key": key}
            self.add(wallet, reason, settings["amount"], pending=settings["invoicing"], **values)

    def _record(self, wallet: Wallet, **values: Any) -> Transaction:
        owner: dict[str, Any] = {"wallet_id": wallet.id, "customer_id": wallet.customer_id, "currency": wallet.currency}
        row = Transaction(id=self.ulids.make("wtxn"), created_at=self.clock.tick(), **owner, **values)
        self.rows.append(row)
        self.rows_of[wallet.id].append(row)
        return row

    def _set_balance(self, wallet: Wallet, credits: Decimal) -> None:
        wallet.credit_balance = credits
        wallet.balance = product(credits, wallet.conversion_rate)
        if faults.on("cents-rounding"):
            wallet.balance = rounded(wallet.balance, 2)
        wallet.updated_at = self.clock.tick()
        self._evaluate_alerts(wallet)

    def _evaluate_alerts(self, wallet: Wallet) -> None:
        settings = wallet.alert_settings
        levels = [(settings[name], state) for name, state in LEVELS.items() if name in settings]
        if not settings.get("alert_enabled") or not levels or wallet.wallet_status != "active":
            return
        above = levels[0][0]["condition"] == "above"
        credits = wallet.real_time_credits
        hits = (state for level, state in levels if (credits >= level["threshold"] if above else credits <= level["threshold"]))
        wallet.alert_state = next(hits, "ok")


def _is_over(pause: dict[str, Any], since: int) -> bool:
    ends: int = since + pause["value"] * UNITS[pause["unit"]] * 1_000_000
    return ends <= time.time_ns() // 1000


def has_room(credits: Decimal, *rates: Decimal) -> bool:
    """Whether the columns, with eleven digits before the point, can hold it."""
    return product(credits, max(*rates, Decimal(1))) < LARGEST


def made_up_key() -> str:
    """For a top-up whose caller gave none."""
    return f"wallet_top_up-{secrets.token_hex(8)}"
