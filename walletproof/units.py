"""Times, rates and amounts as they are written on a command line."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from contract_tests.durations import duration
from contract_tests.source import InputError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_DAY = 24 * 3600.0
_LONGEST = 7 * _DAY  # what is longer no socket takes


def seconds(flag: str, text: str, *, most_days: int = 7) -> float:
    """`500ms`, `90s`, `5m`, `1h`, or a bare number of seconds."""
    bare = re.fullmatch(r"\d+(?:\.\d+)?", text.strip(), re.ASCII)
    try:
        value = duration(text + "s" if bare else text).total_seconds()
    except ValueError:
        value = -1.0
    if value < 0 or (value == 0 and flag != "--settle"):
        raise InputError(f"{flag} {text}: expected a time such as 90s, 5m or 500ms")
    if value > most_days * _DAY:
        raise InputError(f"{flag} {text}: expected a time of at most {most_days} days")
    return value


def at_least_one(flag: str, number: int) -> int:
    """A count that is not zero."""
    if number < 1:
        raise InputError(f"{flag} {number}: expected at least 1")
    return number


def rate(text: str) -> float:
    """`20/s`, `100/m`, or a bare number per second; requests per second."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(s|m|h))?", text.strip(), re.ASCII)
    value = float(match[1]) / _SECONDS[match[2] or "s"] if match else 0.0
    if not 1 / _LONGEST <= value <= 1e6:
        raise InputError(f"--rate {text}: expected a rate such as 20/s or 100/m")
    return value


def amount(flag: str, text: str) -> Decimal:
    """A decimal that is not negative."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        raise InputError(f"{flag} {text}: expected an amount such as 10000 or 99.50")
    return value
