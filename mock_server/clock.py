"""The world's clock. Nothing else in the mock reads wall time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time of a world."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    def milliseconds(self) -> int:
        """The same in whole milliseconds since 1970."""
        ...


class RealClock:
    """Wall time, to the microsecond."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)

    def milliseconds(self) -> int:
        """The same in whole milliseconds since 1970."""
        return time.time_ns() // 1_000_000


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, as ids carry them."""
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def rfc3339(moment: datetime) -> str:
    """UTC with six decimals and `Z`, as both providers write times."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06}Z"
