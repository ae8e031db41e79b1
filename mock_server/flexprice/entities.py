"""What Flexprice keeps: customers, wallets, transactions, unpaid invoices. Values only, no behaviour.

Amounts are in the wallet's currency, credits in credits; amount = credits x rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from mock_server.clock import Moment
from mock_server.flexprice.money import ZERO, Number, Positive, Rate, Stored

WalletType = Literal["PRE_PAID", "POST_PAID"]
WalletStatus = Literal["active", "frozen", "closed"]
PriceType = Literal["ALL", "USAGE", "FIXED"]
AlertState = Literal["ok", "info", "warning", "in_alarm"]
TransactionStatus = Literal["pending", "completed", "failed"]
TopUpReason = Literal[
    "FREE_CREDIT_GRANT",
    "SUBSCRIPTION_CREDIT_GRANT",
    "PURCHASED_CREDIT_DIRECT",
    "PURCHASED_CREDIT_INVOICED",
    "CREDIT_NOTE",
    "INVOICE_VOID_REFUND",
]
CreditReason = Literal[TopUpReason, "PURCHASED_CREDIT_BONUS"]
Currency = Annotated[str, Field(pattern=r"^[^A-Z]{3}$")]
BillingReason = Literal["MANUAL", "WALLET_TOPUP", "WALLET_AUTO_TOPUP"]
InvoiceStatus = Literal["unpaid", "paid", "void"]
Unit = Literal["second", "minute", "hour", "day"]
DebitReason = Literal["INVOICE_PAYMENT", "CREDIT_ADJUSTMENT", "CREDIT_EXPIRED", "WALLET_TERMINATION", "MANUAL_BALANCE_DEBIT"]


UNITS: Mapping[Unit, timedelta] = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where an alert begins, in credits."""

    condition: Literal["above", "below"]
    threshold: Number


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """When a wallet's owner wants to hear; a wallet without any threshold has no settings of its own."""

    alert_enabled: bool | None = None
    critical: Threshold | None = None
    warning: Threshold | None = None
    info: Threshold | None = None


@dataclass(frozen=True, slots=True)
class Cooldown:
    """The least time between two automatic top-ups."""

    value: Annotated[int, Field(ge=0, lt=2**63)]
    unit: Unit

    @property
    def span(self) -> timedelta:
        """How long it is; the end of the calendar stands for anything longer."""
        try:
            return self.value * UNITS[self.unit]
        except OverflowError:
            return timedelta.max


@dataclass(frozen=True, slots=True)
class AutoTopup:
    """Automatic top-up: `amount` credits whenever the real-time credit balance is at or below `threshold`."""

    enabled: bool | None = None
    threshold: Number | None = None
    amount: Annotated[Number, Field(ge=0)] | None = None
    invoicing: bool | None = None
    cooldown: Cooldown | None = None


@dataclass(frozen=True, slots=True)
class BonusSlab:
    """What a purchase of at least so many credits gets on top: a number of credits, or a percentage."""

    at_least: Decimal
    flat: Decimal = ZERO
    percent: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """What the tenant has decided for all wallets.

    `alerts` apply to wallets without thresholds of their own. Only if they are enabled does usage move the alert state or the
    automatic top-up of any wallet. `auto_complete_invoices`: credits bought on invoice are there at once.
    """

    alerts: AlertSettings = AlertSettings(alert_enabled=False, critical=Threshold("below", ZERO))
    auto_complete_invoices: bool = False
    bonus_slabs: tuple[BonusSlab, ...] = ()


@dataclass(frozen=True, slots=True)
class Customer:
    """Who owns wallets."""

    id: str
    external_id: str
    name: str
    email: str
    created_at: Moment
    address: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice. Real-time balances see it while it is unpaid.

    `remaining` is what is left to pay, `usage_due` the usage lines less credits and discounts, `paid` what was paid. If it is for
    credits, `wallet_id` and `transaction_id` name them.
    """

    id: Annotated[str, Field(pattern=r"^inv_[0-9A-HJKMNP-TV-Z]{26}$")]
    customer_id: str
    currency: Currency
    remaining: Positive
    usage_due: Positive = ZERO
    paid: Positive = ZERO
    status: InvoiceStatus = "unpaid"
    billing_reason: BillingReason = "MANUAL"
    created_at: Moment | None = None
    wallet_id: str = ""
    transaction_id: str = ""


@dataclass(frozen=True, slots=True)
class Wallet:
    """A wallet's stored fields. `allowed_price_types` None means never configured, () a list stored empty."""

    id: Annotated[str, Field(pattern=r"^wallet_[0-9A-HJKMNP-TV-Z]{26}$")]
    customer_id: Annotated[str, Field(min_length=1)]
    currency: Currency
    wallet_type: WalletType
    conversion_rate: Rate
    topup_conversion_rate: Rate
    created_at: Moment
    updated_at: Moment
    balance: Stored = ZERO
    credit_balance: Stored = ZERO
    wallet_status: WalletStatus = "active"
    name: str = ""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    auto_topup: AutoTopup | None = None
    allowed_price_types: tuple[PriceType, ...] | None = None
    alert_settings: AlertSettings | None = None
    alert_state: AlertState = "ok"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One row of a wallet's ledger. Exactly one of the two rates is set: the one its amount was priced with."""

    id: Annotated[str, Field(pattern=r"^wtxn_[0-9A-HJKMNP-TV-Z]{26}$")]
    wallet_id: str
    customer_id: str
    currency: Currency
    type: Literal["credit", "debit"]
    transaction_status: TransactionStatus
    transaction_reason: CreditReason | DebitReason
    amount: Positive
    credit_amount: Positive
    credit_balance_before: Stored
    credit_balance_after: Stored
    credits_available: Positive
    created_at: Moment
    updated_at: Moment
    conversion_rate: Rate | None = None
    topup_conversion_rate: Rate | None = None
    reference_type: Literal["PAYMENT", "EXTERNAL", "REQUEST", "INVOICE"] | None = None
    reference_id: str = ""
    idempotency_key: str = ""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    expiry_date: Moment | None = None
    priority: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    parent_transaction_id: str = ""
