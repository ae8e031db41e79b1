"""Reading what clients send, once openapi-core has accepted its shape: null is absent, decimals come as text or number."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from mock_server.call import Call
from mock_server.flexprice import money
from mock_server.flexprice.answers import invalid

Fields = dict[str, Any]


def body(call: Call) -> Fields:
    """The JSON object of a request without its nulls. Numbers keep the digits they were sent with."""
    data = json.loads(call.request.body, parse_float=Decimal)
    return present(data)


def present(data: Any) -> Fields:
    """An object without the members that are null."""
    return {name: value for name, value in data.items() if value is not None}


def decimal(fields: Fields, name: str) -> Decimal | None:
    """A decimal member, or None if it is absent."""
    if name not in fields:
        return None
    try:
        return money.parse(fields[name])
    except money.TooLarge:
        raise invalid(f"{name} has more digits than can be stored") from None
    except ValueError:
        raise invalid(f"{name} must be a decimal number") from None


def stored(value: Decimal, name: str) -> Decimal:
    """Money or credits as they will be kept."""
    try:
        return money.store(value)
    except money.TooLarge:
        raise invalid(f"{name} has more digits than can be stored") from None


def stored_rate(value: Decimal, name: str) -> Decimal:
    """A rate as it will be kept."""
    try:
        return money.store_rate(value)
    except money.TooLarge:
        raise invalid(f"{name} has more digits than can be stored") from None


def moment(text: str | None, name: str) -> datetime | None:
    """An RFC 3339 time; None if absent or empty."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text.replace(" ", "+"))  # a `+` in a query that nobody escaped
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(f"{name} must be a time such as 2026-08-22T10:15:30Z") from None


def expand(text: str | None, allowed: tuple[str, ...]) -> set[str]:
    """The names in a comma list; empty or absent is none, anything that is not allowed is an error."""
    if not text:
        return set()
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in allowed:
            raise invalid(f"expand: {name!r} cannot be expanded; allowed: {', '.join(allowed)}")
    return set(names)
