"""From fixtures to entities: the wallet, ledger rows and customer that a fixture file describes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from mock_server.fixture_files import expiry
from mock_server.flexprice import ledger
from mock_server.flexprice.entities import (
    AlertSettings,
    AutoTopup,
    BonusSlab,
    Cooldown,
    Customer,
    TenantSettings,
    Threshold,
    Transaction,
    Wallet,
)
from mock_server.flexprice.fixtures import (
    AlertFixture,
    AutoTopupFixture,
    CreditFixture,
    CustomerFixture,
    TenantFixture,
    ThresholdFixture,
    WalletFixture,
)
from mock_server.flexprice.ledger import Account

Text = Callable[[str], str]
"""What makes of a fixture's text the text that is kept, Faker expressions evaluated."""


def wallet_of(wallet_id: str, customer_id: str, fixture: WalletFixture, created: datetime, fake: Text) -> Wallet:
    """The wallet that a fixture describes, before any money came in."""
    name, price_types = ledger.defaults(fixture.type, fixture.currency)
    alerts, topup = fixture.alerts, fixture.auto_topup
    return Wallet(
        id=wallet_id,
        customer_id=customer_id,
        currency=fixture.currency,
        wallet_type=fixture.type,
        conversion_rate=fixture.conversion_rate,
        topup_conversion_rate=fixture.topup_conversion_rate or fixture.conversion_rate,
        created_at=created,
        updated_at=created,
        name=name if fixture.name is None else fake(fixture.name),
        description=fake(fixture.description),
        metadata={key: fake(value) for key, value in fixture.metadata.items()},
        auto_topup=auto_topup_of(topup) if topup else None,
        allowed_price_types=price_types if fixture.allowed_price_types is None else tuple(fixture.allowed_price_types),
        alert_settings=alerts_of(alerts) if alerts else None,
    )


def alerts_of(fixture: AlertFixture) -> AlertSettings:
    """The alert settings that a fixture describes."""
    return AlertSettings(fixture.enabled, _threshold(fixture.critical), _threshold(fixture.warning), _threshold(fixture.info))


def auto_topup_of(fixture: AutoTopupFixture) -> AutoTopup:
    """The automatic top-up that a fixture describes."""
    cooldown = Cooldown(fixture.cooldown.value, fixture.cooldown.unit) if fixture.cooldown else None
    return AutoTopup(fixture.enabled, fixture.threshold, fixture.amount, fixture.invoicing, cooldown)


def tenant_settings_of(fixture: TenantFixture) -> TenantSettings:
    """The tenant's settings that a fixture file describes."""
    return TenantSettings(
        alerts=alerts_of(fixture.alerts),
        auto_complete_invoices=fixture.auto_complete_invoices,
        bonus_slabs=tuple(BonusSlab(slab.from_, slab.flat, slab.percent) for slab in fixture.bonus_slabs),
    )


def record_row(account: Account, row: object, row_id: str, at: datetime, fake: Text, first_day: datetime) -> Transaction:
    """Book one fixture transaction."""
    consumed: dict[str, Decimal] = {}
    if isinstance(row, CreditFixture):
        incoming = ledger.Credit(
            amount=row.credit,
            reason=row.reason,
            pending=row.status != "completed",
            expiry_date=expiry(row.expires, first_day) if row.expires is not None else None,
            priority=row.priority,
            idempotency_key=row.idempotency_key,
            description=fake(row.description),
            metadata={key: fake(value) for key, value in row.metadata.items()},
        )
        booked = replace(ledger.credit(account.wallet, row_id, incoming, at), transaction_status=row.status)
    else:
        booked, consumed = ledger.debit(
            account,
            row_id,
            row.debit,  # type: ignore[attr-defined]
            row.reason,  # type: ignore[attr-defined]
            at,
            idempotency_key=row.idempotency_key,  # type: ignore[attr-defined]
            description=fake(row.description),  # type: ignore[attr-defined]
            metadata={key: fake(value) for key, value in row.metadata.items()},  # type: ignore[attr-defined]
        )
    account.record(booked, consumed)
    return booked


def customer_of(customer_id: str, external_id: str, fixture: CustomerFixture, created: datetime, fake: Text) -> Customer:
    """The customer that a fixture describes."""
    return Customer(
        id=customer_id,
        external_id=external_id,
        name=fake(fixture.name),
        email=fake(fixture.email),
        created_at=created,
        address={part: fake(text) for part, text in fixture.address.items()},
        metadata={key: fake(value) for key, value in fixture.metadata.items()},
    )


def _threshold(fixture: ThresholdFixture | None) -> Threshold | None:
    return Threshold(fixture.condition, fixture.threshold) if fixture else None
