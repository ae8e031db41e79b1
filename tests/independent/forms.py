"""Flexprice: what its requests may hold. Whatever does not fit is a BadValue."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from .values import BadValue, bounded, parse_decimal, parse_time, rounded

REASONS = (
    "INVOICE_PAYMENT FREE_CREDIT_GRANT SUBSCRIPTION_CREDIT_GRANT PURCHASED_CREDIT_INVOICED PURCHASED_CREDIT_DIRECT CREDIT_NOTE "
    "CREDIT_EXPIRED WALLET_TERMINATION MANUAL_BALANCE_DEBIT CREDIT_ADJUSTMENT INVOICE_VOID_REFUND PURCHASED_CREDIT_BONUS"
).split()
STATUSES = ("published", "deleted", "archived")
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

# ---------------------------------------------------------------- members of request bodies; null suits none of them

Check = Callable[[Any], Any]


def string(value: Any) -> str:
    """Text."""
    if not isinstance(value, str):
        raise BadValue("not a string")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise BadValue("not a boolean")
    return value


def integer(value: Any) -> int:
    """A whole number of 64 bits; 1.0 is one."""
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 20 and value == value.to_integral_value():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise BadValue("not an integer")
    return value


def decimal_text(value: Any) -> Decimal:
    """A decimal in a string; a JSON number is refused."""
    return parse_decimal(string(value))


def number(value: Any) -> Decimal:
    """A JSON number."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadValue("not a number")
    return Decimal(value)


def threshold(value: Any) -> Decimal:
    """A number or a decimal in a string."""
    return rounded(parse_decimal(value) if isinstance(value, str) else bounded(number(value)), 9)


def moment(value: Any) -> int:
    """An RFC 3339 time."""
    return parse_time(string(value))


def one_of(*words: str) -> Check:
    """One of some words."""

    def check(value: Any) -> str:
        if value not in words or not isinstance(value, str):
            raise BadValue("not one of " + ", ".join(words))
        return value

    return check


def list_of(item: Check) -> Check:
    """An array of equals."""

    def check(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise BadValue("not an array")
        return [item(member) for member in value]

    return check


def strings(value: Any) -> dict[str, str]:
    """An object whose members are all text."""
    if not isinstance(value, dict):
        raise BadValue("not an object")
    return {name: string(member) for name, member in value.items()}


def record(required: tuple[str, ...] = (), /, **members: Check) -> Check:
    """An object; members that are not named here are ignored."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BadValue("not an object")
        for name in required:
            if value.get(name) in (None, ""):
                raise BadValue(f"{name} is missing")
        result = {}
        for name, member in members.items():
            if name in value:
                try:
                    result[name] = member(value[name])
                except BadValue as error:
                    raise BadValue(f"{name}: {error}") from error
        return result

    return check


# ---------------------------------------------------------------- the requests

_level = record(condition=string, threshold=threshold)
_alerts = record(alert_enabled=flag, critical=_level, warning=_level, info=_level)
_cooldown = record(value=integer, unit=one_of(*UNITS))
_auto_topup = record(enabled=flag, invoicing=flag, threshold=threshold, amount=threshold, cooldown=_cooldown)
_page = {"limit": integer, "offset": integer, "order": one_of("asc", "desc")}
CREATE = record(
    ("currency",), currency=string, customer_id=string, external_customer_id=string, wallet_type=string, description=string,
    metadata=strings, price_unit=string, conversion_rate=decimal_text, topup_conversion_rate=decimal_text,
    initial_credits_to_load=decimal_text, initial_credits_expiry_date_utc=moment, initial_credits_to_load_expiry_date=integer,
    alert_settings=_alerts, auto_topup=_auto_topup,
)  # fmt: skip
UPDATE = record(
    name=string, description=string, metadata=strings, alert_settings=_alerts, auto_topup=_auto_topup,
    config=record(allowed_price_types=list_of(one_of("ALL", "USAGE", "FIXED"))),
)  # fmt: skip
_provider_config = record(
    max_mandate_limit=string,
    collection_method=one_of("charge_automatically", "send_invoice"),
    payment_method=one_of("CARD", "ACH", "OFFLINE", "CREDITS", "PAYMENT_LINK", "UPI"),
)
CHECKOUT = record(
    ("payment_provider",), payment_provider=string, success_url=string, failure_url=string, cancel_url=string,
    idempotency_key=string, metadata=strings, payment_provider_config=_provider_config,
)  # fmt: skip
TOP_UP = record(
    ("transaction_reason",), transaction_reason=string, credits_to_add=decimal_text, amount=decimal_text, description=string,
    bonus_credits_to_add=decimal_text, bonus_credits_expiry_date_utc=moment, expiry_date_utc=moment, force_sync_invoice=flag,
    idempotency_key=string, metadata=strings, priority=integer, checkout=CHECKOUT,
)  # fmt: skip
WALLET_FILTER = record(
    **_page,
    sort=string,
    expand=string,
    alert_enabled=flag,
    wallet_ids=list_of(string),
    status=one_of("active", "frozen", "closed"),
)
_value = record(array=list_of(string), boolean=flag, date=string, number=number, string=string)
_data_type = one_of("string", "number", "date", "array")
_operator = one_of("eq", "contains", "not_contains", "gt", "lt", "gte", "in", "not_in", "before", "after")
_condition = record(("field", "operator"), field=string, operator=_operator, data_type=_data_type, value=_value)
_sort = record(("field",), field=string, direction=one_of("asc", "desc"))
WORDS = {
    "type": one_of("credit", "debit"),
    "transaction_status": one_of("pending", "completed", "failed"),
    "transaction_reason": one_of(*REASONS),
}
ROW_FILTER = record(
    **_page, **WORDS, status=one_of(*STATUSES), id=string, created_by=string, credits_available_gt=number, start_time=moment,
    end_time=moment, expand=string, expiry_date_after=moment, expiry_date_before=moment, priority=integer, reference_id=string,
    reference_type=string, filters=list_of(_condition), sort=list_of(_sort),
)  # fmt: skip


def _query_integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise BadValue("not an integer")
    return integer(int(text))


def _query_time(text: str) -> int | None:
    return parse_time(text) if text else None


ROW_QUERY: dict[str, Callable[[str], Any]] = {
    "limit": _query_integer, "offset": _query_integer, "order": one_of("asc", "desc"), **WORDS, "status": str,
    "credits_available_gt": parse_decimal, "start_time": _query_time, "end_time": _query_time, "priority": _query_integer,
    "expiry_date_before": _query_time, "expiry_date_after": _query_time, "reference_type": str, "reference_id": str,
}  # fmt: skip
