"""Entities as Flexprice writes them: decimals as text, times in UTC, empty things left out where the provider leaves them out.

Where the live server sends null for a field that its document does not let be null, the field is left out, or sent empty
if it is always present; the document's type wins where the live server sends text for a `number`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mock_server.clock import rfc3339
from mock_server.flexprice.entities import AlertSettings, AutoTopup, Customer, Threshold, Transaction, Wallet
from mock_server.flexprice.ledger import Account, RealTime
from mock_server.flexprice.money import wire
from mock_server.flexprice.opening import Tenant
from mock_server.json_bytes import json_bytes

Body = dict[str, Any]


def wallet_body(wallet: Wallet, tenant: Tenant) -> Body:
    """WalletResponse."""
    body: Body = {
        "id": wallet.id,
        "customer_id": wallet.customer_id,
        "currency": wallet.currency,
        "balance": wire(wallet.balance),
        "credit_balance": wire(wallet.credit_balance),
        "wallet_status": wallet.wallet_status,
        "name": wallet.name,
        "description": wallet.description,
        "metadata": dict(wallet.metadata),
        "auto_topup": wallet.auto_topup and _auto_topup(wallet.auto_topup),
        "wallet_type": wallet.wallet_type,
        "config": {} if wallet.allowed_price_types is None else {"allowed_price_types": list(wallet.allowed_price_types)},
        "conversion_rate": wire(wallet.conversion_rate),
        "topup_conversion_rate": wire(wallet.topup_conversion_rate),
        "environment_id": tenant.environment_id,
        "alert_settings": wallet.alert_settings and _alert_settings(wallet.alert_settings),
        "alert_state": wallet.alert_state,
        "tenant_id": tenant.tenant_id,
        "status": "published",
        "created_at": rfc3339(wallet.created_at),
        "updated_at": rfc3339(wallet.updated_at),
        "created_by": tenant.user_id,
        "updated_by": tenant.user_id,
    }
    for optional in ("name", "auto_topup", "alert_settings"):
        if not body[optional]:
            del body[optional]
    return body


class _Rendered:
    """What was written of an account last: the wallet's body, and the balance's text with what it was written from."""

    __slots__ = ("balance", "cached", "now", "wallet", "wallet_body")

    def __init__(self, wallet: Wallet, body: Body) -> None:
        self.wallet = wallet
        self.wallet_body = body
        self.now: RealTime | None = None
        self.cached = False
        self.balance = b""


def _rendered(account: Account, tenant: Tenant) -> _Rendered:
    rendered: _Rendered | None = account.rendered
    if rendered is None or rendered.wallet is not account.wallet:
        rendered = account.rendered = _Rendered(account.wallet, wallet_body(account.wallet, tenant))
    return rendered


def balance_json(account: Account, now: RealTime, tenant: Tenant, *, cached: bool) -> bytes:
    """WalletBalanceResponse without a breakdown, written anew when anything in it has changed."""
    rendered = _rendered(account, tenant)
    if rendered.now != now or rendered.cached is not cached:
        body = balance_body(account, now, tenant, None)
        body["is_cached_fallback"] = cached
        rendered.now, rendered.cached, rendered.balance = now, cached, json_bytes(body)
    return rendered.balance


def balance_body(account: Account, now: RealTime, tenant: Tenant, credits: dict[str, str] | None) -> Body:
    """WalletBalanceResponse; `credits` is the breakdown, if asked for."""
    body = _rendered(account, tenant).wallet_body.copy()
    body["real_time_balance"] = wire(now.balance)
    body["real_time_credit_balance"] = wire(now.credit_balance)
    body["balance_updated_at"] = body["updated_at"]
    body["current_period_usage"] = wire(now.usage)
    body["is_cached_fallback"] = False
    if now.unpaid is not None:
        body["unpaid_invoices_amount"] = wire(now.unpaid)
    if credits is not None:
        body["credits_available_breakdown"] = credits
    return body


def transaction_body(row: Transaction, tenant: Tenant) -> Body:
    """WalletTransactionResponse."""
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
        "reference_type": row.reference_type,
        "reference_id": row.reference_id,
        "description": row.description,
        "metadata": dict(row.metadata),
        "expiry_date": row.expiry_date and rfc3339(row.expiry_date),
        "credits_available": wire(row.credits_available),
        "transaction_reason": row.transaction_reason,
        "priority": row.priority,
        "currency": row.currency,
        "idempotency_key": row.idempotency_key,
        "environment_id": tenant.environment_id,
        "tenant_id": tenant.tenant_id,
        "status": "published",
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        "created_by": tenant.user_id,
        "updated_by": tenant.user_id,
        "parent_transaction_id": row.parent_transaction_id or None,
        "conversion_rate": _rate(row.conversion_rate),
        "topup_conversion_rate": _rate(row.topup_conversion_rate),
    }
    for optional in (
        "reference_type",
        "expiry_date",
        "priority",
        "parent_transaction_id",
        "conversion_rate",
        "topup_conversion_rate",
    ):
        if body[optional] is None:
            del body[optional]
    return body


def customer_body(customer: Customer, tenant: Tenant) -> Body:
    """CustomerResponse."""
    return {
        "id": customer.id,
        "external_id": customer.external_id,
        "name": customer.name,
        "email": customer.email,
        **{f"address_{part}": text for part, text in customer.address.items()},
        "metadata": dict(customer.metadata),
        "timezone": "UTC",
        "environment_id": tenant.environment_id,
        "tenant_id": tenant.tenant_id,
        "status": "published",
        "created_at": rfc3339(customer.created_at),
        "updated_at": rfc3339(customer.created_at),
        "created_by": tenant.user_id,
        "updated_by": tenant.user_id,
    }


def user_body(tenant: Tenant) -> Body:
    """UserResponse of the one user of the tenant."""
    return {"id": tenant.user_id, "name": "Fixture User", "email": "fixture.user@example.com", "type": "user", "roles": []}


def page_body(items: list[Body], total: int, limit: int, offset: int) -> Body:
    """A list with its pagination."""
    return {"items": items, "pagination": {"total": total, "limit": limit, "offset": offset}}


def _auto_topup(settings: AutoTopup) -> Body:
    body: Body = {
        "enabled": settings.enabled,
        "threshold": _number(settings.threshold),
        "amount": _number(settings.amount),
        "invoicing": settings.invoicing,
        "cooldown": settings.cooldown and {"value": settings.cooldown.value, "unit": settings.cooldown.unit},
    }
    return {name: value for name, value in body.items() if value is not None}


def _alert_settings(settings: AlertSettings) -> Body | None:
    thresholds = {
        name: _threshold(threshold)
        for name in ("critical", "warning", "info")
        if (threshold := getattr(settings, name)) is not None
    }
    if not thresholds:
        return None  # settings without a threshold are not the wallet's own
    return thresholds | ({} if settings.alert_enabled is None else {"alert_enabled": settings.alert_enabled})


def _threshold(threshold: Threshold) -> Body:
    return {"condition": threshold.condition, "threshold": _number(threshold.threshold)}


def _number(value: Decimal | None) -> int | float | None:
    """A decimal where the document says `number`."""
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def _rate(value: Decimal | None) -> str | None:
    return None if value is None else wire(value)
