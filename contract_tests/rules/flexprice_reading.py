"""Flexprice's messages as rules read them: which members of a wallet are stored, and when two of them say the same."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from contract_tests.rules.flexprice import moment
from contract_tests.rules.observation import decimal

REAL_TIME = frozenset(
    {
        "real_time_balance",
        "real_time_credit_balance",
        "current_period_usage",
        "unpaid_invoices_amount",
        "balance_updated_at",
        "is_cached_fallback",
        "credits_available_breakdown",
    }
)
"""Fields that some answers have and others have not, or that move by themselves."""

FIXED = ("id", "customer_id", "currency", "wallet_type", "conversion_rate", "topup_conversion_rate", "created_at")
"""Fields of a wallet that never change."""

_CUT = timedelta(milliseconds=1)  # what databases cut off a time


def time_of(value: Any) -> datetime | None:
    """A time that others are counted from; None for the first and the last year there are, beyond which nothing can be."""
    found = moment(value)
    return found if found is not None and 1 < found.year < 9999 else None


def same(name: str, one: Any, two: Any, slack: Decimal = Decimal(0)) -> bool:
    """Whether two values of a member say the same: decimals are numbers, which may be `slack` apart; times are cut somewhere."""
    if one == two:
        return True
    if name.endswith("_at"):
        first, second = moment(one), moment(two)
        return first is not None and second is not None and abs(first - second) < _CUT
    first_number, second_number = decimal(one), decimal(two)
    return first_number is not None and second_number is not None and abs(first_number - second_number) <= slack
