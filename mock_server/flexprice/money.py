"""Money, credits and rates: Decimal inside, Flexprice's plain notation on the wire.

The live server stores money and credits with 11 integer and 9 fractional digits and rates with 5 and 5, divides to 16
digits, rounds half away from zero, and writes decimals without exponent, leading `+` or trailing zeros.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_HALF_UP, Context, Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)  # half up in magnitude: half away from zero
_MONEY = Decimal("1e-9")
_RATE = Decimal("1e-5")
_QUOTIENT = Decimal("1e-16")
_MONEY_LIMIT = Decimal("1e11")
_RATE_LIMIT = Decimal("1e5")

_INPUT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")

ZERO = Decimal(0)
ONE = Decimal(1)
TINIEST = _MONEY
MOST = _MONEY_LIMIT - TINIEST
"""The most money, or credits, that can be stored."""


def _writable(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -40 or (number and number.adjusted() > 40):
        raise ValueError("expected a decimal of at most 41 digits before the point and 40 after it")
    return number


Number = Annotated[Decimal, AfterValidator(_writable)]
"""Any decimal that can be written out, also where it is read from a file."""

Stored = Annotated[Number, Field(gt=-_MONEY_LIMIT, lt=_MONEY_LIMIT)]
"""Money or credits as the database can keep them."""

Positive = Annotated[Stored, Field(ge=0)]
"""The same, never negative."""

Rate = Annotated[Number, Field(gt=0, lt=_RATE_LIMIT)]
"""A conversion rate."""


class TooLarge(ValueError):
    """A value has more integer digits than the provider can store."""


def parse(value: object) -> Decimal:
    """A decimal as clients send it: text (exponents allowed) or a JSON number. ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("not a decimal")
    text = str(value)
    if len(text) > 400 or not _INPUT.fullmatch(text):
        raise ValueError("not a decimal")
    number = Decimal(text)
    if number and number.adjusted() > 40:
        raise TooLarge("too many digits")
    if number and number.adjusted() < -40:
        return ZERO
    return number


def store(amount: Decimal) -> Decimal:
    """Money or credits as the database keeps them; TooLarge beyond 11 integer digits."""
    if abs(amount) >= _MONEY_LIMIT:
        raise TooLarge("more than 11 digits before the point")
    return amount.quantize(_MONEY, context=_EXACT)


def store_rate(rate: Decimal) -> Decimal:
    """A conversion rate as the database keeps it; TooLarge beyond 5 integer digits."""
    if abs(rate) >= _RATE_LIMIT:
        raise TooLarge("more than 5 digits before the point")
    return rate.quantize(_RATE, context=_EXACT)


def multiply(amount: Decimal, rate: Decimal) -> Decimal:
    """A product, exact."""
    return _EXACT.multiply(amount, rate)


def subtract(amount: Decimal, less: Decimal) -> Decimal:
    """A difference, exact."""
    return _EXACT.subtract(amount, less)


def round_up(amount: Decimal) -> Decimal:
    """To nine decimals, never less."""
    return amount.quantize(_MONEY, ROUND_CEILING, _EXACT)


def divide(amount: Decimal, rate: Decimal) -> Decimal:
    """A quotient to 16 decimals."""
    return _EXACT.divide(amount, rate).quantize(_QUOTIENT, context=_EXACT)


def wire(number: Decimal) -> str:
    """The text that goes into a body: `12.5`, `0`, `-50`."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
