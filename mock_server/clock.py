"""The world's clock. Nothing else in the mock reads wall time.

A world's time is one of three: `real` is wall time, `offset` is wall time and something, `frozen` stands still until it is
moved. Moving never goes back: what has happened has happened.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator

from contract_tests.durations import duration, written

Mode = Literal["real", "frozen", "offset"]

FIRST = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 1, 1, tzinfo=UTC)
"""No world's clock leaves this span: ids and dates must still be writable at its end."""


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("expected a time with its zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("that is beyond the end of the calendar") from None


Moment = Annotated[datetime, AfterValidator(_utc)]
"""A time in UTC, also where it is read from a file."""


class Clock(Protocol):
    """Tells wall time, or stands in for it in tests."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...


class RealClock:
    """Wall time, to the microsecond."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ClockSetting:
    """How a world's time follows from wall time. `moment` is where a frozen clock stands, `offset` what is added otherwise."""

    mode: Mode = "real"
    moment: Moment | None = None
    offset: timedelta = timedelta()

    def now(self, wall: datetime) -> datetime:
        """The world's time."""
        if self.moment is not None:
            return self.moment
        return wall + self.offset if self.offset else wall

    @property
    def text(self) -> str:
        """The setting as `parse_clock` reads it."""
        if self.moment is not None:
            return f"frozen:{rfc3339(self.moment)}"
        if self.mode == "offset":
            return f"offset:-{written(-self.offset)}" if self.offset < timedelta() else f"offset:{written(self.offset)}"
        return "real"

    @property
    def sound(self) -> bool:
        """Whether mode, moment and offset go together."""
        return (self.mode == "frozen") == (self.moment is not None) and (self.mode == "offset" or not self.offset)

    def moved_to(self, moment: datetime, wall: datetime) -> ClockSetting:
        """The clock that shows a moment now, and goes on as this one does: a real one becomes one with an offset."""
        if self.mode == "frozen":
            return self.stopped(moment)
        return ClockSetting("offset", None, moment - wall)

    @staticmethod
    def stopped(moment: datetime) -> ClockSetting:
        """A clock that stands."""
        return ClockSetting("frozen", moment)


REAL = ClockSetting()


def parse_clock(text: str, now: datetime) -> ClockSetting:
    """`real`, `frozen` (at this moment), `frozen:2026-11-21T09:00:00Z` or `offset:7d`; ValueError says what was expected."""
    kind, _, rest = text.partition(":")
    if text == "real":
        return REAL
    if text == "frozen":
        return ClockSetting.stopped(now)
    if kind == "frozen" and rest:
        return ClockSetting.stopped(parse_moment(rest))
    if kind == "offset" and rest:
        span = duration(rest.removeprefix("-"))
        return ClockSetting("offset", None, -span if rest.startswith("-") else span)
    raise ValueError(f"expected real, frozen, frozen:2026-11-21T09:00:00Z or offset:7d, got {text[:60]!r}")


def parse_moment(text: str) -> datetime:
    """A time in UTC, one without a zone is taken to be in it; ValueError if it is none, or is out of range."""
    try:
        parsed = datetime.fromisoformat(text)
        moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a time such as 2026-11-21T09:00:00Z, got {text[:60]!r}") from None
    if not FIRST <= moment <= LAST:
        raise ValueError(f"expected a time from 1970 to 9998, got {text[:60]!r}")
    return moment


def later(moment: datetime, span: timedelta) -> datetime:
    """A moment and a span; the end of time if that is beyond it."""
    try:
        return moment + span
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


class Stopwatch:
    """Seconds that really pass, whatever the worlds' clocks show: for timings, delays and idle sessions."""

    @staticmethod
    def seconds() -> float:
        """Seconds since some moment."""
        return time.monotonic()


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, as ids carry them."""
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def rfc3339(moment: datetime) -> str:
    """UTC with six decimals and `Z`, as both providers write times."""
    return f"{moment.isoformat(timespec='microseconds')[:26]}Z"
