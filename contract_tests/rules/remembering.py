"""What histories remember: of many things a little, in a bounded room, and what came before what.

A history judges by what was seen long ago, so it keeps extracts, and for a while the exchanges that they are from, which
reports show. Those cost the most and go first: then a problem is reported with what is wrong, and without the earlier exchange.
"""

from __future__ import annotations

import bisect
import re
import weakref
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

import orjson

from contract_tests.rules.history import Moment
from contract_tests.rules.observation import Observation

LARGEST_EXCHANGE = 64 << 10
"""Bytes of the bodies of an exchange that is kept to be shown."""

MOST_BYTES = 16 << 20
"""Bytes of all exchanges that are kept to be shown."""

_OVERHEAD = 1_500  # bytes that an exchange takes besides its bodies and headers
_OF_A_HEADER = 150  # bytes besides name and value
_LONGEST = 60.0  # seconds: an answer of which nobody knows how long it took was there by then
_RESOLUTION = 1.0  # second of an HTTP Date
_NOT_OWN = (b"age", b"preference-applied", b"x-mock-fault")

_SECRET = 16  # characters; what is shorter may be anybody's
_MIXED = 8  # different characters of a secret; what has fewer stands for one that was taken out
_NUMBERED = re.compile(r"\*\*\*[0-9]+")
# What stands in a secret's place has brackets, dots, or the same again and again, where secrets have none of it.
_STANDS_IN = re.compile(r"[^A-Za-z0-9._~+/=:-]|\.\.\.|([A-Za-z0-9])\1{5}")

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A dictionary of the `most` entries that were used last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """An entry, which is used by that."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: K, value: V) -> V:
        """Add an entry, or change it; gives the value."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return value

    def __len__(self) -> int:
        return len(self._entries)


class Sighting:
    """When something was seen, and in which moment, as long as that is kept."""

    __slots__ = ("_date", "_moment", "_offset", "_took", "ended", "started")

    def __init__(self, moment: Moment, kept: Moment | None = None) -> None:
        self._took = max(0.0, moment.ended - moment.started)
        self.started = moment.started
        self.ended = self.started + (self._took or _LONGEST)
        self._date = date_of(moment.observation)
        self._offset = (self._date or 0.0) - (self.started + self._took)
        self._moment = None if kept is None else weakref.ref(kept)

    @property
    def moment(self) -> Moment | None:
        """The moment; None if there was no room for it."""
        return None if self._moment is None else self._moment()

    @property
    def began(self) -> datetime | None:
        """The time of the service's clock that it did not begin before; None if the answer has no Date."""
        if self._date is None:
            return None
        return datetime.fromtimestamp(max(0.0, self._date - (self.ended - self.started)), UTC)

    def is_before(self, later: Sighting, settle: float = 0.0) -> bool:
        """Whether this had ended, `settle` seconds before the other began.

        Recordings of several machines may be merged, and their clocks differ. What the service's own said, in the Date of both
        answers, tells: then it must say so as well. A Date may be of any time between the beginning and the end.
        """
        if self.ended + settle > later.started:
            return False
        if self._date is None or later._date is None:
            return True
        if abs(self._offset - later._offset) <= _RESOLUTION:
            return True
        return self._date + self._took + _RESOLUTION + settle <= later._date - (later.ended - later.started)


class Sightings:
    """Makes sightings, and keeps the moments that are small enough, the latest ones of them."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._used = 0
        self._kept: deque[tuple[Moment, int]] = deque()

    def of(self, moment: Moment) -> Sighting:
        """The sighting of everything that a moment shows."""
        seen = moment.observation
        size = len(seen.request.body) + len(seen.response.body)
        if size > LARGEST_EXCHANGE:
            return Sighting(moment)
        size += _OVERHEAD
        for name, value in (*seen.request.headers, *seen.response.headers):
            size += len(name) + len(value) + _OF_A_HEADER
        # Without what was read of its bodies, which takes several times the room of the bodies themselves.
        bare = Observation(seen.contract, seen.operation, seen.exchange, seen.secrets)
        kept = replace(moment, observation=bare)
        self._kept.append((kept, size))
        self._used += size
        while self._used > self._most:
            self._used -= self._kept.popleft()[1]
        return Sighting(moment, kept)


class ServiceClock:
    """What the service's own clock showed: the latest time in any answer that had come by then.

    Every write after that carries a later time, also where a service's clock stands still or is behind.
    """

    def __init__(self, most: int = 4_096) -> None:
        self._most = most
        self._ended: list[float] = []
        self._shown: list[datetime] = []

    def saw(self, shown: datetime, ended: float) -> None:
        """An answer that was there at `ended` has the time `shown`."""
        at = bisect.bisect_right(self._ended, ended)
        if at and self._shown[at - 1] >= shown:
            return
        until = at
        while until < len(self._shown) and self._shown[until] <= shown:
            until += 1
        self._ended[at:until] = [ended]
        self._shown[at:until] = [shown]
        if len(self._ended) > self._most:
            del self._ended[0], self._shown[0]

    def at(self, seen: Sighting) -> datetime | None:
        """A time that the clock had reached when a moment began; None if none is known.

        Where several machines recorded, their clocks may differ; then it is no later than the Date of the moment's answer says.
        """
        index = bisect.bisect_right(self._ended, seen.started)
        if not index:
            return None
        return self._shown[index - 1] if seen.began is None else min(self._shown[index - 1], seen.began)


def is_own_answer(seen: Observation) -> bool:
    """Whether an answer is one of the service's own state: not kept by a cache, and not what somebody wished for.

    Mocks answer the wishes of a request (`Prefer: example=...`), and those of a whole session, and say so.
    """
    return not any(seen.header(name) for name in _NOT_OWN)


def place_of(moment: Moment) -> tuple[bytes, bytes]:
    """Which service, and which session of a mock, a request went to: what is known of one says nothing of another.

    Hosts alone do not tell: recorders of HTTP/2 leave them out, and gateways have several services behind one.
    """
    header = moment.observation.request.header
    host = header.get(b"host", header.get(b":authority", b""))
    return _place(moment.base, host, header.get(b"x-mock-session", b""))


@lru_cache(1_000)  # so that all that is kept of a place has it once
def _place(base: str, host: bytes, session: bytes) -> tuple[bytes, bytes]:
    return base.encode() + b" " + host.lower(), session


def sender(moment: Moment, credentials: bytes) -> str:
    """Who sent a request, if that is certain: the client, if it sent a secret in the header `credentials`; empty if not.

    Recorders take secrets out, and put the same in the place of all; but for our own, which numbers them.
    """
    value = moment.observation.request.header.get(credentials, b"").decode("latin-1")
    secret = value.rpartition(" ")[2]
    if _NUMBERED.fullmatch(secret):
        return moment.client
    mixed = len(secret) >= _SECRET and len(set(secret)) >= _MIXED and any(letter.isdigit() for letter in secret)
    return moment.client if mixed and not _STANDS_IN.search(secret) else ""


def shown(*sightings: Sighting | None) -> tuple[Moment, ...]:
    """The moments of sightings that are kept, each once, in the order in which they began."""
    found = {id(moment): moment for each in sightings if each is not None and (moment := each.moment) is not None}
    return tuple(sorted(found.values(), key=lambda moment: moment.started))


def packed(said: dict[str, Any]) -> bytes:
    """An object as JSON, in little room; an empty one if it holds what cannot be written again, such as numbers without end."""
    try:
        # A copy: what orjson makes keeps the room that it was written in, some kilobytes.
        return bytes(memoryview(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)))
    except TypeError:
        return b"{}"


def unpacked(said: bytes) -> dict[str, Any]:
    """What was packed."""
    result: dict[str, Any] = orjson.loads(said)
    return result


def date_of(seen: Observation) -> float | None:
    """The Date of an answer in seconds since 1970; None if it has none."""
    value = seen.header(b"date")
    return None if value is None else _seconds(value)


@lru_cache(256)
def _seconds(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
