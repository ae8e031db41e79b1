"""What can happen in a Flexprice world. Named after the provider's own webhook events where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mock_server.clock import Moment
from mock_server.event_log import Event
from mock_server.flexprice.entities import (
    AlertSettings,
    AlertState,
    AutoTopup,
    Currency,
    Invoice,
    PriceType,
    Transaction,
    Unit,
    Wallet,
)
from mock_server.flexprice.money import Positive


@dataclass(frozen=True, kw_only=True)
class WalletCreated(Event):
    """A wallet without money; its first credits are transactions of their own. `initial_credits`: there will be some at once."""

    wallet: Wallet
    initial_credits: bool = False


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
    """A ledger row. A completed one moves the wallet's balance; `consumed` is what is left of the credits a debit took from.

    `automatic`: one of the rows of an automatic top-up, which do not ask for another.
    """

    transaction: Transaction
    consumed: Mapping[str, Positive]
    automatic: bool = False


@dataclass(frozen=True, kw_only=True)
class TransactionCompleted(Event):
    """Credits bought on invoice are paid: the row as it is from now on, and the balance grows by its amount."""

    transaction: Transaction


@dataclass(frozen=True, kw_only=True)
class TransactionFailed(Event):
    """Credits bought on invoice will never be paid: the row as it is from now on."""

    transaction: Transaction


@dataclass(frozen=True, kw_only=True)
class CreditExpiryMoved(Event):
    """A credit expires at another time than it said."""

    wallet_id: str
    transaction_id: str
    expiry_date: Moment


@dataclass(frozen=True, kw_only=True)
class InvoiceCreated(Event):
    """A customer owes money, as for credits bought on invoice."""

    invoice: Invoice


@dataclass(frozen=True, kw_only=True)
class InvoicePaid(Event):
    """Money came in for an invoice; it is paid once nothing remains."""

    invoice_id: str
    amount: Positive


@dataclass(frozen=True, kw_only=True)
class InvoiceVoided(Event):
    """Nothing is to be paid any more."""

    invoice_id: str


@dataclass(frozen=True, kw_only=True)
class UsageRecorded(Event):
    """A customer has used something: so much more is pending in a currency."""

    customer_id: str
    currency: Currency
    amount: Positive


@dataclass(frozen=True, kw_only=True)
class UsageSet(Event):
    """So much usage is pending, whatever was before."""

    customer_id: str
    currency: Currency
    amount: Positive


@dataclass(frozen=True, kw_only=True)
class UsageRateSet(Event):
    """From here on usage accrues with time: so much per unit."""

    customer_id: str
    currency: Currency
    amount: Positive
    per: Unit


@dataclass(frozen=True, kw_only=True)
class WalletEvaluated(Event):
    """Accruing usage has taken a wallet to a threshold: its alert state and automatic top-up are looked at."""

    wallet_id: str


@dataclass(frozen=True, kw_only=True)
class WalletStatusChanged(Event):
    """The wallet is frozen, or active again."""

    wallet_id: str
    status: Literal["active", "frozen"]


@dataclass(frozen=True, kw_only=True)
class WalletTerminated(Event):
    """The wallet is closed for good."""

    wallet_id: str
