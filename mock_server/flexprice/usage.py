"""Usage that is pending, and grows with time where it has a rate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from mock_server.clock import FIRST
from mock_server.flexprice.entities import UNITS, Unit
from mock_server.flexprice.money import MOST, ZERO

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Usage:
    """An amount of money at `since`, and `rate` more `per` unit from then on, to nine decimals and never more than is stored."""

    amount: Decimal = ZERO
    since: datetime = FIRST
    rate: Decimal = ZERO
    per: Unit = "hour"

    def at(self, moment: datetime) -> Decimal:
        """What is pending at a moment."""
        if not self.rate:
            return self.amount
        passed = max(0, (moment - self.since) // _MICROSECOND)
        grown = min(_billionths(self.rate) * passed // (UNITS[self.per] // _MICROSECOND), _billionths(MOST))
        return min(MOST, self.amount + Decimal(grown).scaleb(-9))

    def reaches(self, amount: Decimal) -> datetime | None:
        """The first moment at which at least so much is pending; None if that never comes. `amount` has nine decimals."""
        if amount <= self.amount:
            return self.since
        if not self.rate or amount > MOST:
            return None
        micros = -(-_billionths(amount - self.amount) * (UNITS[self.per] // _MICROSECOND) // _billionths(self.rate))
        try:
            return self.since + timedelta(microseconds=micros)
        except OverflowError:
            return None


def _billionths(amount: Decimal) -> int:
    return int(amount.scaleb(9))


NO_USAGE = Usage()
