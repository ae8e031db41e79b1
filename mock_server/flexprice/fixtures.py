"""The shape of a Flexprice fixture file (`fixtures/flexprice.yaml`): customers, personas, population."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from mock_server.fixture_files import Currency, Expiry, FixtureModel, Moment, Money
from mock_server.flexprice.entities import (
    CreditReason,
    DebitReason,
    PriceType,
    TransactionStatus,
    Unit,
    WalletStatus,
    WalletType,
)
from mock_server.ids import ULID

_COOLDOWN = re.compile(r"(\d{1,9}) (second|minute|hour|day)s?", re.ASCII)


def _cooldown(value: Any) -> Any:
    """`30 minutes`, as the provider's number and unit."""
    if not isinstance(value, str):
        return value
    match = _COOLDOWN.fullmatch(value)
    if not match:
        raise ValueError("expected a number of seconds, minutes, hours or days, such as `1 day`")
    return {"value": int(match[1]), "unit": match[2]}


def _id(prefix: str) -> AfterValidator:
    def check(value: str) -> str:
        if not (value.startswith(prefix + "_") and ULID.fullmatch(value[len(prefix) + 1 :])):
            raise ValueError(f"expected {prefix}_ and a ULID (26 characters)")
        return value

    return AfterValidator(check)


ZERO = Decimal(0)
ONE = Decimal(1)

Rate = Annotated[Money, Field(gt=0, lt=100_000, decimal_places=5)]
Positive = Annotated[Money, Field(gt=0)]
NotNegative = Annotated[Money, Field(ge=0)]


class InvoiceLine(FixtureModel):
    """A usage line of an unpaid invoice: what it adds to unpaid usage is amount - prepaid_credits - discount."""

    amount: NotNegative
    prepaid_credits: NotNegative = ZERO
    discount: NotNegative = ZERO


class InvoiceFixture(FixtureModel):
    """An unpaid invoice: what remains to pay, what was paid, and its usage lines."""

    currency: Currency
    remaining: NotNegative
    paid: NotNegative = ZERO
    usage_lines: list[InvoiceLine] = []


class UsageRateFixture(FixtureModel):
    """Usage that accrues with time, in money."""

    amount: NotNegative
    per: Unit


class CustomerFixture(FixtureModel):
    """Who owns wallets."""

    id: Annotated[str, _id("cust")] | None = None
    external_id: str | None = None
    name: str = "{{company}}"
    email: str = "{{company_email}}"
    address: dict[Literal["line1", "line2", "city", "state", "postal_code", "country"], str] = {}
    metadata: dict[str, str] = {}
    usage: dict[Currency, NotNegative] = {}
    usage_rate: dict[Currency, UsageRateFixture] = {}
    unpaid_invoices: list[InvoiceFixture] = []


class CreditFixture(FixtureModel):
    """Credits that came in."""

    credit: Positive
    id: Annotated[str, _id("wtxn")] | None = None
    reason: CreditReason = "PURCHASED_CREDIT_DIRECT"
    status: TransactionStatus = "completed"
    at: Moment | None = None
    expires: Expiry | None = None
    priority: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = None
    description: str = ""
    idempotency_key: str = ""
    metadata: dict[str, str] = {}


class DebitFixture(FixtureModel):
    """Credits that went out."""

    debit: Positive
    id: Annotated[str, _id("wtxn")] | None = None
    reason: DebitReason = "CREDIT_ADJUSTMENT"
    at: Moment | None = None
    description: str = ""
    idempotency_key: str = ""
    metadata: dict[str, str] = {}


def _row_kind(row: Any) -> str | None:
    given = [kind for kind in ("credit", "debit") if (kind in row if isinstance(row, dict) else hasattr(row, kind))]
    return f"{given[0]} row" if len(given) == 1 else None


TransactionFixture = Annotated[
    Annotated[CreditFixture, Tag("credit row")] | Annotated[DebitFixture, Tag("debit row")],
    Discriminator(
        _row_kind,
        custom_error_type="transaction",
        custom_error_message="each transaction has either `credit:` or `debit:`",
    ),
]


class ThresholdFixture(FixtureModel):
    """Where an alert begins, in credits."""

    condition: Literal["above", "below"] = "below"
    threshold: Money


class AlertFixture(FixtureModel):
    """Alert settings; the alert state follows from them and the balance."""

    enabled: bool = True
    critical: ThresholdFixture | None = None
    warning: ThresholdFixture | None = None
    info: ThresholdFixture | None = None


class CooldownFixture(FixtureModel):
    """The least time between two automatic top-ups."""

    value: Annotated[int, Field(gt=0, le=1_000_000_000)]
    unit: Unit


class AutoTopupFixture(FixtureModel):
    """Automatic top-up, in credits."""

    enabled: bool = True
    threshold: NotNegative
    amount: Positive
    invoicing: bool = False
    cooldown: Annotated[CooldownFixture | None, BeforeValidator(_cooldown)] = None


class WalletFixture(FixtureModel):
    """What a wallet is and how it came to its balance."""

    about: str
    currency: Currency = "usd"
    type: WalletType = "PRE_PAID"
    status: WalletStatus = "active"
    conversion_rate: Rate = ONE
    topup_conversion_rate: Rate | None = None
    name: str | None = None
    description: str = ""
    metadata: dict[str, str] = {}
    allowed_price_types: list[PriceType] | None = None
    alerts: AlertFixture | None = None
    auto_topup: AutoTopupFixture | None = None
    transactions: list[TransactionFixture] = []


class PersonaFixture(WalletFixture):
    """A hand-described wallet."""

    id: Annotated[str, _id("wallet")] | None = None
    customer: str
    created: Moment | None = None


class TemplateFixture(WalletFixture):
    """One kind of wallet in the population; the population repeats the list of kinds in order."""

    customer: CustomerFixture = CustomerFixture()
    transactions: Annotated[list[TransactionFixture], Field(max_length=500)] = []

    @model_validator(mode="after")
    def _is_plain(self) -> Self:
        if self.customer.id or self.customer.external_id or self.customer.unpaid_invoices or self.customer.usage_rate:
            raise ValueError("a customer in the population has no id, external_id, unpaid_invoices or usage_rate of its own")
        if any(row.id or row.at or getattr(row, "expires", None) or row.idempotency_key for row in self.transactions):
            raise ValueError("transactions in the population have no `id`, `at`, `expires` or `idempotency_key`")
        return self


class BonusSlabFixture(FixtureModel):
    """What a purchase of at least `from` credits gets on top: `flat` credits, or `percent` of what was bought."""

    from_: Annotated[Positive, Field(alias="from")]
    flat: NotNegative = ZERO
    percent: Annotated[NotNegative, Field(le=1000)] = ZERO

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if bool(self.flat) == bool(self.percent):
            raise ValueError("expected either `flat:` or `percent:`, more than 0")
        return self


class TenantFixture(FixtureModel):
    """What the tenant has decided for all wallets."""

    alerts: AlertFixture = AlertFixture(enabled=False, critical=ThresholdFixture(threshold=ZERO))
    auto_complete_invoices: bool = False
    bonus_slabs: Annotated[list[BonusSlabFixture], Field(max_length=100)] = []


class FlexpriceFixtures(FixtureModel):
    """A whole file."""

    provider: Literal["flexprice"]
    locale: str = "en_US"
    tenant: TenantFixture = TenantFixture()
    customers: dict[str, CustomerFixture]
    personas: dict[str, PersonaFixture]
    population: list[TemplateFixture] = []
