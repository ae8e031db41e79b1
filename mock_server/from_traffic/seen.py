"""What every provider's part reads of exchanges."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from contract_tests.exchange import Request
from mock_server.flexprice import money

Body = dict[str, Any]


def parsed(body: bytes) -> Any:
    """A body's JSON, numbers with the digits that they were written with; None if it is none."""
    try:
        return json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None


def objects(body: Any) -> Iterator[Body]:
    """The things in an answer: itself, its items, or the list that it is."""
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        body = body["items"]
    for item in body if isinstance(body, list) else [body]:
        if isinstance(item, dict):
            yield item


def section(body: Mapping[str, Any], name: str) -> Body:
    """A member that is an object; empty if it is none. Services answer what they like, and here nobody judges it."""
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def text(body: Mapping[str, Any], name: str) -> str:
    """A member that is a text; empty if it is none."""
    value = body.get(name)
    return value if isinstance(value, str) else ""


def decimal(body: Mapping[str, Any], name: str) -> Decimal | None:
    """A member that is an amount that can be stored, a number or as text; None if it is none."""
    try:
        return money.store(money.parse(body.get(name)))
    except ValueError:
        return None


def moment(body: Mapping[str, Any], name: str) -> datetime | None:
    """A member that is a time with its zone; None if it is none."""
    try:
        at = datetime.fromisoformat(text(body, name))
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def member(request: Request, name: str) -> str:
    """A text member of a request's JSON body; empty if there is none."""
    body = parsed(request.body)
    return text(body, name) if isinstance(body, dict) else ""
