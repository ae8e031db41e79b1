"""What Flexprice tells its tenant by webhook, and when: wallets, transactions, and balances that fall or recover.

Alert messages come from a log per wallet and kind of alert, which is apart from the wallet's own alert state: only what changes
the log is told, and of that only the alarm and its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from mock_server.clock import rfc3339
from mock_server.event_log import Event
from mock_server.flexprice import ledger
from mock_server.flexprice.entities import AlertSettings, AlertState, Threshold, Transaction, Wallet
from mock_server.flexprice.events import (
    TransactionCompleted,
    TransactionCreated,
    WalletCreated,
    WalletTerminated,
    WalletUpdated,
)
from mock_server.flexprice.ledger import Account, RealTime
from mock_server.flexprice.money import ZERO, wire
from mock_server.notice import Notice

Body = dict[str, Any]

EMPTY = AlertSettings(critical=Threshold("below", ZERO))
"""When a stored credit balance is low, for wallets without thresholds of their own."""


@dataclass(frozen=True, slots=True)
class BulletinMemento:
    """The logs by wallet, and the wallets that are yet to be told of."""

    credit: dict[str, AlertState]
    ongoing: dict[str, AlertState]
    last_balance: dict[str, Decimal]
    awaited: set[str]


class Bulletin:
    """A world's alert logs, and what its events make the provider tell. Kept only of wallets that have changed."""

    def __init__(self, opening: Callable[[str], Account | None], tenant_alerts: AlertSettings) -> None:
        self._opening = opening
        self._tenant_alerts = tenant_alerts
        self._evaluated: list[tuple[Account, RealTime]] = []
        self._credit: dict[str, AlertState] = {}
        self._ongoing: dict[str, AlertState] = {}
        self._last_balance: dict[str, Decimal] = {}
        self._awaited: set[str] = set()

    def evaluated(self, account: Account, now: RealTime) -> None:
        """The event at hand makes the provider look at an account's real-time balance."""
        self._evaluated.append((account, now))

    def of(self, event: Event, accounts: Mapping[str, Account]) -> list[Notice]:
        """What an event makes the provider tell, once the accounts have folded it in."""
        notices = list(self._of_account(event, accounts))
        for account, now in self._evaluated:
            notices += self._ongoing_balance(account, now)
        self._evaluated.clear()
        if self._awaited and isinstance(event, TransactionCreated) and event.transaction.wallet_id in self._awaited:
            self._awaited.discard(event.transaction.wallet_id)
            notices.append(_of_wallet("wallet.created", accounts[event.transaction.wallet_id].wallet))
        return notices

    def memento(self) -> BulletinMemento:
        """All that lasts from one event to the next."""
        return BulletinMemento(self._credit, self._ongoing, self._last_balance, self._awaited)

    def recall(self, memento: BulletinMemento) -> None:
        """All that was."""
        self._credit, self._ongoing = memento.credit, memento.ongoing
        self._last_balance, self._awaited = memento.last_balance, memento.awaited

    def _of_account(self, event: Event, accounts: Mapping[str, Account]) -> Iterator[Notice]:
        match event:
            case WalletCreated(wallet=wallet):
                if event.initial_credits:  # the provider tells of the credits first
                    self._awaited.add(wallet.id)
                else:
                    yield _of_wallet("wallet.created", wallet)
            case WalletUpdated(wallet_id=wallet_id):
                yield _of_wallet("wallet.updated", accounts[wallet_id].wallet)
            case WalletTerminated(wallet_id=wallet_id):
                yield _of_wallet("wallet.terminated", accounts[wallet_id].wallet)
            case TransactionCreated(transaction=row) if row.transaction_status == "completed":
                if row.transaction_reason != "PURCHASED_CREDIT_BONUS":
                    yield Notice("wallet.transaction.created", partial(_transaction_body, "transaction", row))
                account = accounts[row.wallet_id]
                if not account.bought_on_invoice(row):  # there at once without payment: the provider looks at nothing then
                    yield from self._credit_balance(account)
            case TransactionCompleted(transaction=row):
                if row.transaction_reason != "PURCHASED_CREDIT_BONUS":
                    yield Notice("wallet.transaction.updated", partial(_transaction_body, "updated_transaction", row))
                yield from self._credit_balance(accounts[row.wallet_id])

    def _credit_balance(self, account: Account) -> Iterator[Notice]:
        """The log of stored credits, which does not ask whether alerts are enabled."""
        wallet = account.wallet
        before = self._credit.get(wallet.id) or self._at_opening(wallet.id)
        state = self._credit[wallet.id] = _credit_level(wallet)
        change = _CHANGES.get(state)
        if state != before and change is not None:
            alert = partial(_alert, wallet, state, "low_credit_balance", wallet.balance, wallet.credit_balance)
            yield _of_wallet(f"wallet.credit_balance.{change}", wallet, alert)

    def _ongoing_balance(self, account: Account, now: RealTime) -> Iterator[Notice]:
        """The log of real-time balances; the wallet has its new alert state already."""
        wallet, topup = account.wallet, account.wallet.auto_topup
        alerting = ledger.effective_alerts(wallet, self._tenant_alerts).alert_enabled
        if not alerting and not (topup is not None and topup.enabled):
            return
        alert = partial(_alert, wallet, wallet.alert_state, "low_ongoing_balance", now.balance, now.credit_balance)
        if alerting:
            before = self._ongoing.get(wallet.id)
            if before is None:
                opening = self._opening(wallet.id)
                before = "ok" if opening is None else opening.wallet.alert_state
            state = self._ongoing[wallet.id] = wallet.alert_state
            change = _CHANGES.get(state)
            if state != before and change is not None:
                yield _of_wallet(f"wallet.ongoing_balance.{change}", wallet, alert)
        # The provider compares credits with the money that it saw last, as it is.
        if self._last_balance.get(wallet.id) != now.credit_balance:
            yield _of_wallet("wallet.ongoing_balance.updated", wallet, alert)
        self._last_balance[wallet.id] = now.balance

    def _at_opening(self, wallet_id: str) -> AlertState:
        opening = self._opening(wallet_id)
        return _credit_level(opening.wallet) if opening is not None and opening.transactions else "ok"


_CHANGES = {"in_alarm": "dropped", "ok": "recovered"}


def _credit_level(wallet: Wallet) -> AlertState:
    return ledger.alert_level(ledger.effective_alerts(wallet, EMPTY), wallet.credit_balance, "ok")


def _has_own(wallet: Wallet) -> bool:
    settings = wallet.alert_settings
    return settings is not None and (settings.critical or settings.warning or settings.info) is not None


def _of_wallet(type: str, wallet: Wallet, alert: Callable[[], Body] | None = None) -> Notice:
    return Notice(type, partial(_wallet_body, type, wallet, alert))


def _wallet_body(type: str, wallet: Wallet, alert: Callable[[], Body] | None) -> Body:
    about: Body = {
        "id": wallet.id,
        "customer_id": wallet.customer_id,
        "currency": wallet.currency,
        "balance": wire(wallet.balance),
        "credit_balance": wire(wallet.credit_balance),
        "wallet_status": wallet.wallet_status,
        "name": wallet.name,
        "wallet_type": wallet.wallet_type,
        "conversion_rate": wire(wallet.conversion_rate),
    }
    if not wallet.name:
        del about["name"]
    body: Body = {"event_type": type, "wallet": about}
    if alert is not None and _has_own(wallet):
        body["alert"] = alert()
    return body


def _alert(wallet: Wallet, state: AlertState, type: str, balance: Decimal, credits: Decimal) -> Body:
    assert wallet.alert_settings is not None
    return {
        "state": state,
        "current_balance": wire(balance),
        "credit_balance": wire(credits),
        "alert_type": type,
        "alert_settings": _settings_body(wallet.alert_settings),
    }


def _settings_body(settings: AlertSettings) -> Body:
    """Nothing is left out here, and thresholds are text, as the live server writes them."""
    return {
        **{name: _threshold_body(getattr(settings, name)) for name in ("critical", "warning", "info")},
        "alert_enabled": settings.alert_enabled,
    }


def _threshold_body(threshold: Threshold | None) -> Body | None:
    return None if threshold is None else {"threshold": wire(threshold.threshold), "condition": threshold.condition}


def _transaction_body(name: str, row: Transaction) -> Body:
    type = "wallet.transaction.created" if name == "transaction" else "wallet.transaction.updated"
    body: Body = {
        "id": row.id,
        "wallet_id": row.wallet_id,
        "customer_id": row.customer_id,
        "type": row.type,
        "amount": wire(row.amount),
        "credit_amount": wire(row.credit_amount),
        "credit_balance_before": wire(row.credit_balance_before),
        "credit_balance_after": wire(row.credit_balance_after),
        "transaction_status": row.transaction_status,
        "reference_type": row.reference_type or "",
        "reference_id": row.reference_id,
        "description": row.description,
        "expiry_date": row.expiry_date and rfc3339(row.expiry_date),
        "transaction_reason": row.transaction_reason,
        "currency": row.currency,
        "metadata": dict(row.metadata),
    }
    for optional in ("reference_id", "description", "expiry_date", "metadata"):
        if not body[optional]:
            del body[optional]
    return {"event_type": type, name: body}
