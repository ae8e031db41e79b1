"""Reading what clients send, once openapi-core has accepted its shape: null is absent, decimals come as text or number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from mock_server.call import Call
from mock_server.flexprice import ledger, money
from mock_server.flexprice.answers import invalid
from mock_server.flexprice.entities import Wallet

Fields = dict[str, Any]


def body(call: Call) -> Fields:
    """The JSON object of a request without its nulls. Numbers keep the digits they were sent with."""
    try:
        return present(json.loads(call.request.body, parse_float=Decimal))
    except ValueError:  # whole numbers of thousands of digits; everything else was refused before
        raise invalid("The body holds a number with too many digits") from None


def page(fields: Mapping[str, Any]) -> tuple[int, int]:
    """Limit and offset; 50 and 0 if absent. Their ranges are the contract's, but for what a database can count."""
    limit, offset = int(fields.get("limit", 50)), int(fields.get("offset", 0))
    if offset >= 2**63:
        raise invalid("offset is too large")
    return limit, offset


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


def check_room(wallet: Wallet, incoming: Decimal, name: str, *, invoiced: bool = False) -> None:
    """Refuse credits that would take a balance, or the price of the credits, beyond what can be kept."""
    if not ledger.has_room(wallet, incoming, invoiced=invoiced):
        raise invalid(f"{name} has more digits than can be stored")


def moment(text: str | None, name: str) -> datetime | None:
    """An RFC 3339 time; None if absent or empty."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
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
