"""Flexprice's part of a world: the opening, and whatever has changed since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from mock_server.event_log import Event
from mock_server.flexprice import ledger
from mock_server.flexprice.entities import Invoice
from mock_server.flexprice.events import (
    InvoiceCreated,
    TransactionCreated,
    WalletCreated,
    WalletTerminated,
    WalletUpdated,
)
from mock_server.flexprice.ledger import Account, RealTime
from mock_server.flexprice.money import ZERO
from mock_server.flexprice.opening import Opening
from mock_server.notice import Notice
from mock_server.world import World


class FlexpriceState:
    """Accounts by id, customers' wallets and invoices, used idempotency keys."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.changed: dict[str, Account] = {}
        self._new_wallets: dict[str, list[str]] = {}
        self._new_invoices: dict[str, list[Invoice]] = {}
        self._keys: dict[str, str] = {}

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

    def invoices(self, customer_id: str) -> tuple[Invoice, ...]:
        """A customer's unpaid invoices."""
        return (*self.opening.invoices(customer_id), *self._new_invoices.get(customer_id, ()))

    def key_owner(self, idempotency_key: str) -> str | None:
        """The wallet that a key was used for; keys are unique over all wallets."""
        return self._keys.get(idempotency_key) or self.opening.idempotency_keys.get(idempotency_key)

    def real_time(self, account: Account, at: datetime) -> RealTime:
        """The real-time balance of an account at a time."""
        wallet = account.wallet
        usage = self.opening.usage(wallet.customer_id).get(wallet.currency, ZERO)
        return ledger.real_time(wallet, usage, self.invoices(wallet.customer_id))

    def apply(self, event: Event) -> Iterable[Notice]:
        """Fold one event in."""
        match event:
            case WalletCreated(wallet=wallet):
                self.changed[wallet.id] = Account(wallet)
                self._new_wallets.setdefault(wallet.customer_id, []).append(wallet.id)
            case TransactionCreated(transaction=row, consumed=consumed):
                account = self._own(row.wallet_id)
                account.record(row, consumed)
                if row.idempotency_key:
                    self._keys[row.idempotency_key] = row.wallet_id
                self._watch(account, event.at)
            case InvoiceCreated(invoice=invoice):
                self._new_invoices.setdefault(invoice.customer_id, []).append(invoice)
            case WalletUpdated():
                account = self._own(event.wallet_id)
                changes = {name: value for name in _SETTINGS if (value := getattr(event, name)) is not None}
                account.wallet = replace(account.wallet, updated_at=event.at, **changes)
            case WalletTerminated(wallet_id=wallet_id):
                account = self._own(wallet_id)
                account.wallet = replace(account.wallet, wallet_status="closed", updated_at=event.at)
        return ()

    def _watch(self, account: Account, at: datetime) -> None:
        """The alert state is evaluated right after every direct credit or debit."""
        wallet = account.wallet
        if account.transactions[-1].transaction_status == "completed":
            state = ledger.alert_state(wallet.alert_settings, self.real_time(account, at).credit_balance, wallet.alert_state)
            if state != wallet.alert_state:
                account.wallet = replace(wallet, alert_state=state)

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
