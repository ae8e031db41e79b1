"""Times that services make: no two services make the same, but what is later on one side is later on the other."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from contract_tests.rules.flexprice import moment

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?P<zone>Z|[+-]\d\d:?\d\d)?")
_SHORTEST = timedelta(milliseconds=1)  # databases cut off what is shorter

Key = tuple[str, str]
"""Of what, and which of its members: `("<wallet 1>", "updated_at")`."""


def instant(text: str) -> datetime | None:
    """The time that a text is, in UTC if it does not say; None if it is none."""
    found = _TIME.fullmatch(text)
    return moment(text if found["zone"] else f"{text}Z") if found else None


def form(text: str) -> str:
    """How a time is written, but for the fraction of the second, whose zeros some services leave out."""
    found = _TIME.fullmatch(text)
    assert found is not None
    return {"Z": "with Z", None: "without zone"}.get(found["zone"], "with offset")


class Times:
    """The times of both sides by what they are times of."""

    def __init__(self) -> None:
        self._last: dict[Key, tuple[datetime, datetime]] = {}

    def unlike(self, key: Key, first: datetime, second: datetime) -> tuple[str, str] | None:
        """How the two moved since they were last seen, if not alike; then they are not remembered."""
        last = self._last.get(key)
        if last is not None:
            one, two = _moves(last[0], first), _moves(last[1], second)
            if not one & two:
                return " or ".join(sorted(one)), " or ".join(sorted(two))
        self._last[key] = first, second
        return None


def _moves(last: datetime, now: datetime) -> set[str]:
    """What may be said of two times; what is too near may be either."""
    if last == now:
        return {"as before"}
    if abs(now - last) < _SHORTEST:
        return {"as before", "later", "earlier"}
    return {"later"} if now > last else {"earlier"}
