"""What Flexprice keeps: customers, wallets, transactions, unpaid invoices. Values only, no behaviour.

Amounts are in the wallet's currency, credits in credits; amount = credits x rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from mock_server.flexprice.money import ZERO

WalletType = Literal["PRE_PAID", "POST_PAID"]
WalletStatus = Literal["active", "frozen", "closed"]
PriceType = Literal["ALL", "USAGE", "FIXED"]
AlertState = Literal["ok", "info", "warning", "in_alarm"]
TransactionStatus = Literal["pending", "completed", "failed"]
CreditReason = Literal[
    "FREE_CREDIT_GRANT",
    "SUBSCRIPTION_CREDIT_GRANT",
    "PURCHASED_CREDIT_DIRECT",
    "PURCHASED_CREDIT_INVOICED",
    "PURCHASED_CREDIT_BONUS",
    "CREDIT_NOTE",
    "INVOICE_VOID_REFUND",
]
DebitReason = Literal["INVOICE_PAYMENT", "CREDIT_ADJUSTMENT", "CREDIT_EXPIRED", "WALLET_TERMINATION", "MANUAL_BALANCE_DEBIT"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where an alert begins, in credits."""

    condition: Literal["above", "below"]
    threshold: Decimal


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

    value: int
    unit: Literal["second", "minute", "hour", "day"]


@dataclass(frozen=True, slots=True)
class AutoTopup:
    """Automatic top-up: `amount` credits whenever the real-time credit balance is at or below `threshold`."""

    enabled: bool | None = None
    threshold: Decimal | None = None
    amount: Decimal | None = None
    invoicing: bool | None = None
    cooldown: Cooldown | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """Who owns wallets. `usage` is the pending usage of the current period by currency."""

    id: str
    external_id: str
    name: str
    email: str
    created_at: datetime
    address: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    usage: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Invoice:
    """An unpaid invoice as real-time balances see it.

    `remaining` is what is left to pay, `usage_due` the usage lines less credits and discounts, `paid` what was paid.
    """

    id: str
    customer_id: str
    currency: str
    remaining: Decimal
    usage_due: Decimal = ZERO
    paid: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Wallet:
    """A wallet's stored fields. `allowed_price_types` None means never configured, () a list stored empty."""

    id: str
    customer_id: str
    currency: str
    wallet_type: WalletType
    conversion_rate: Decimal
    topup_conversion_rate: Decimal
    created_at: datetime
    updated_at: datetime
    balance: Decimal = ZERO
    credit_balance: Decimal = ZERO
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

    id: str
    wallet_id: str
    customer_id: str
    currency: str
    type: Literal["credit", "debit"]
    transaction_status: TransactionStatus
    transaction_reason: CreditReason | DebitReason
    amount: Decimal
    credit_amount: Decimal
    credit_balance_before: Decimal
    credit_balance_after: Decimal
    credits_available: Decimal
    created_at: datetime
    updated_at: datetime
    conversion_rate: Decimal | None = None
    topup_conversion_rate: Decimal | None = None
    reference_type: Literal["PAYMENT", "EXTERNAL", "REQUEST", "INVOICE"] | None = None
    reference_id: str = ""
    idempotency_key: str = ""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    expiry_date: datetime | None = None
    priority: int | None = None
    parent_transaction_id: str = ""
