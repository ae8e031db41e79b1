"""Fixture files as text: YAML as people would write it, with comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from mock_server.clock import rfc3339
from mock_server.flexprice.money import wire

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(?: [A-Za-z0-9_-]+)*", re.ASCII)
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def scalar(value: Any) -> str:
    """A text, a number, a time, a truth."""
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, Decimal):
        return wire(value)
    if isinstance(value, datetime):
        return rfc3339(value.astimezone(UTC))
    text = str(value)
    return text if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT else json.dumps(text)


def flow(value: Any) -> str:
    """Anything in one line: `{threshold: 50, condition: above}`."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(name)}: {flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def fields(values: Mapping[str, Any], indent: int) -> Iterator[str]:
    """A line for each field that is not None."""
    for name, value in values.items():
        if value is not None:
            yield f"{' ' * indent}{scalar(name)}: {flow(value)}"


def comment(text: str, indent: int = 0) -> Iterator[str]:
    """Lines of a comment."""
    return (f"{' ' * indent}# {line}" if line else f"{' ' * indent}#" for line in text.split("\n"))


def joined(lines: Iterable[str]) -> str:
    """A file's text."""
    return "\n".join(lines) + "\n"
