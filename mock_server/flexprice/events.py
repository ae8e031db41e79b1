"""What can happen in a Flexprice world. Named after the provider's own webhook events where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from mock_server.event_log import Event
from mock_server.flexprice.entities import (
    AlertSettings,
    AlertState,
    AutoTopup,
    Invoice,
    PriceType,
    Transaction,
    Wallet,
)


@dataclass(frozen=True, kw_only=True)
class WalletCreated(Event):
    """A wallet without money; its first credits are transactions of their own."""

    wallet: Wallet


@dataclass(frozen=True, kw_only=True)
class WalletUpdated(Event):
    """Settings changed; None leaves a field as it is."""

    wallet_id: str
    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    auto_topup: AutoTopup | None = None
    alert_settings: AlertSettings | None = None
    alert_state: AlertState | None = None
    allowed_price_types: tuple[PriceType, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class TransactionCreated(Event):
    """A ledger row. A completed one moves the wallet's balance; `consumed` is what is left of the credits a debit took from."""

    transaction: Transaction
    consumed: Mapping[str, Decimal]


@dataclass(frozen=True, kw_only=True)
class InvoiceCreated(Event):
    """A customer owes money, as for credits bought on invoice."""

    invoice: Invoice


@dataclass(frozen=True, kw_only=True)
class WalletTerminated(Event):
    """The wallet is closed for good."""

    wallet_id: str
