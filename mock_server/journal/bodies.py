"""Bodies as JSON that can be compared and shown again."""

from __future__ import annotations

import json
import math
from typing import Any

NO_JSON = object()
"""Stands where a body is not JSON, which null is."""

_DEEPEST = 100


def parsed(body: bytes) -> Any:
    """A body as JSON with exact whole numbers; NO_JSON if it is none, or not one that can be shown."""
    try:
        return _sound(json.loads(body, parse_constant=_refused, parse_float=_finite), _DEEPEST)
    except (ValueError, RecursionError):
        return NO_JSON


def plain(text: str) -> str:
    """Text that can be written: half characters are replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _sound(value: Any, levels: int) -> Any:
    """JSON that can be written again: no deeper than `levels`, and half characters, which JSON can name, are replaced."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict | list) and not levels:
        raise ValueError("too deep")
    if isinstance(value, dict):
        return {plain(name): _sound(item, levels - 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_sound(item, levels - 1) for item in value]
    return value


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large")
    return value
