"""Decimals, times and ids."""

import calendar
import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal

EXACT = Context(prec=80, rounding=ROUND_HALF_UP)
DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANO = 1_000_000_000


class BadValue(Exception):
    """A value in a request is of the wrong type or form."""


# ---------------------------------------------------------------- decimals


def plain(number: Decimal) -> str:
    """Plain notation: no exponent, no zeros at the end of a fraction, no minus before zero."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "0") else text


def padded(number: Decimal) -> str:
    """All nine places of a numeric(20,9) column."""
    return f"{rounded(number, 9):.9f}"


def rounded(number: Decimal, places: int) -> Decimal:
    """Half away from zero."""
    return EXACT.quantize(number, Decimal(1).scaleb(-places))


def product(left: Decimal, right: Decimal) -> Decimal:
    """Nine places, as products are stored."""
    return rounded(EXACT.multiply(left, right), 9)


def quotient(left: Decimal, right: Decimal) -> Decimal:
    """Sixteen places, as quotients are sent."""
    return rounded(EXACT.divide(left, right), 16)


def as_number(number: Decimal) -> int | float:
    """For the few members that are JSON numbers."""
    return int(number) if number == number.to_integral_value() else float(number)


def bounded(number: Decimal) -> Decimal:
    """At most eleven digits before the point; places from the 31st on do not count."""
    if number and number.adjusted() >= 11:
        raise BadValue("too large")
    return rounded(number, 30) if number and number.adjusted() > -40 else Decimal(0)


def parse_decimal(text: str) -> Decimal:
    """A decimal that fits into a column."""
    if not DECIMAL.fullmatch(text):
        raise BadValue("not a decimal")
    return bounded(Decimal(text))


# ---------------------------------------------------------------- times, in microseconds since 1970


class Clock:
    """Microseconds that never repeat, so that no two records share a time. Call with a lock held."""

    def __init__(self) -> None:
        self._last = 0

    def tick(self) -> int:
        self._last = max(time.time_ns() // 1000, self._last + 1)
        return self._last


def stamp(micros: int) -> str:
    """RFC 3339 in UTC."""
    return (EPOCH + timedelta(microseconds=micros)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> int:
    """Nanoseconds since 1970, finer than what is stored, so that inclusive limits are exact."""
    match = RFC3339.fullmatch(text)
    if not match:
        raise BadValue("not an RFC 3339 time")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        seconds = calendar.timegm(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timetuple())
    except ValueError as error:
        raise BadValue("no such time") from error
    if match[8]:
        seconds -= (1 if match[8] == "+" else -1) * (int(match[9]) * 60 + int(match[10])) * 60
    if not -62_135_596_800 <= seconds <= 253_402_300_799:
        raise BadValue("no such time")
    return seconds * NANO + int((match[7] or "0")[:9].ljust(9, "0"))


# ---------------------------------------------------------------- ids


class Ulids:
    """Ids that sort by time; within a millisecond each is one more than the one before. Call with a lock held."""

    def __init__(self) -> None:
        self._last = 0

    def make(self, prefix: str = "") -> str:
        fresh = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(79)
        self._last = fresh if fresh >> 80 > self._last >> 80 else self._last + 1
        digits = "".join(CROCKFORD[self._last >> shift & 31] for shift in range(125, -1, -5))
        return f"{prefix}_{digits}" if prefix else digits
