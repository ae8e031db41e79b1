"""Spans of time as people write them: `800ms`, `90s`, `7d`, `1h30m`, `7 days`."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "millisecond": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "second": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "minute": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "hour": timedelta(hours=1),
    "d": timedelta(days=1),
    "day": timedelta(days=1),
    "w": timedelta(weeks=1),
    "week": timedelta(weeks=1),
}
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,9})?) ?(ms|[smhdw]|(?:millisecond|second|minute|hour|day|week)s?)(?![a-z]) ?", re.ASCII)

EXPECTED = "a time such as 800ms, 90s, 5m, 1h30m, 7d or `7 days`"


def duration(text: str) -> timedelta:
    """The span that a text names, never negative; ValueError says what was expected."""
    text = text.strip()
    total = timedelta()
    place = 0
    try:
        while match := _PART.match(text, place):
            number, unit = match.groups()
            total += float(number) * _UNITS[unit if unit in _UNITS else unit.removesuffix("s")]
            place = match.end()
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is longer than any calendar") from None
    if not place or place < len(text):
        raise ValueError(f"expected {EXPECTED}, got {text[:40]!r}")
    return total


def written(span: timedelta) -> str:
    """The same span as text that `duration` reads: `7d`, `1h30m`, `0s`."""
    micros = span // timedelta(microseconds=1)
    parts = []
    for unit in ("d", "h", "m"):
        count, micros = divmod(micros, _UNITS[unit] // timedelta(microseconds=1))
        if count:
            parts.append(f"{count}{unit}")
    if micros or not parts:
        seconds, rest = divmod(micros, 1_000_000)
        parts.append(f"{seconds}.{rest:06}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)
