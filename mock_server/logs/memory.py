"""A log that lives as long as the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from mock_server.clock import Stopwatch
from mock_server.event_log import NOWHERE, Conflict, Event, Head, Listing, Record, Records, Tail
from mock_server.logs.rows import JOURNAL_BYTES


@dataclass(slots=True)
class _Session:
    generation: int
    used: float
    revision: int = 0
    desk: bytes = b""
    events: list[Event] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    records: deque[Record] = field(default_factory=deque)
    last: int = 0
    dropped: int = 0
    size: int = 0  # of all records together, in bytes

    @property
    def head(self) -> Head:
        return Head(self.generation, len(self.events), self.revision)


class MemoryLog:
    """Nobody else writes it, and it is never unavailable."""

    def __init__(self) -> None:
        self.shared = False
        self._sessions: dict[str, _Session] = {}
        self._generations = count(1)
        self._leases: dict[str, tuple[str, float]] = {}

    def describe(self) -> str:
        """What a banner says of it."""
        return "memory"

    async def catch_up(self, session: str, known: Head) -> Tail | None:
        """What has happened since a head; None if nothing has."""
        found = self._sessions.get(session)
        if found is None:
            return None if known.generation == 0 else Tail(NOWHERE, (), b"")
        same = found.generation == known.generation
        if same and len(found.events) == known.position and found.revision == known.revision:
            return None
        events = found.events[known.position if same else 0 :]
        return Tail(found.head, events, None if same and found.revision == known.revision else found.desk)

    async def read(self, session: str, after: int = 0) -> Sequence[Event]:
        """The session's events after a position, in order."""
        found = self._sessions.get(session)
        return found.events[after:] if found else ()

    async def append(self, session: str, events: Sequence[Event], at: Head) -> Head:
        """Append all events or none; Conflict unless generation and position are still those of `at`."""
        found = self._expected(session, at)
        if len(found.events) != at.position:
            raise Conflict(f"session {session!r} is at {len(found.events)}, not {at.position}")
        found.events.extend(events)
        return found.head

    async def rewrite(self, session: str, events: Sequence[Event], at: Head | None = None) -> Head:
        """Put these events in the place of all there are; Conflict unless generation and position are those of `at`, if given."""
        found = self._begun(session) if at is None else self._expected(session, at)
        if at is not None and len(found.events) != at.position:
            raise Conflict(f"session {session!r} is at {len(found.events)}, not {at.position}")
        found.generation = next(self._generations)
        found.events = list(events)
        return found.head

    async def put_desk(self, session: str, desk: bytes, at: Head) -> Head:
        """Replace the desk; Conflict unless generation and revision are still those of `at`."""
        found = self._expected(session, at)
        if found.revision != at.revision:
            raise Conflict(f"the desk of session {session!r} is at {found.revision}, not {at.revision}")
        found.desk = desk
        found.revision += 1
        return found.head

    async def touch(self, sessions: Iterable[str]) -> None:
        """These sessions are in use now; those that are not there begin."""
        for session in sessions:
            self._begun(session).used = Stopwatch.seconds()

    async def sessions(self) -> Sequence[Listing]:
        """All sessions, the least recently used first."""
        now = Stopwatch.seconds()
        found = sorted(self._sessions.items(), key=lambda item: item[1].used)
        return [Listing(name, session.head, now - session.used) for name, session in found]

    async def forget(self, session: str) -> None:
        """The session ends, with all that belongs to it."""
        self._sessions.pop(session, None)

    def release(self, session: str) -> None:
        """A session is needed no longer in this process, and there is no other."""
        self._sessions.pop(session, None)

    async def keep(self, session: str, name: str, value: bytes | None) -> None:
        """Keep something under a name; None: keep nothing there."""
        if value is not None:
            self._begun(session).kept[name] = value
        elif session in self._sessions:
            self._sessions[session].kept.pop(name, None)

    async def kept(self, session: str, name: str) -> bytes | None:
        """What is kept under a name."""
        found = self._sessions.get(session)
        return found.kept.get(name) if found else None

    async def keeping(self, name: str) -> Sequence[str]:
        """The sessions that keep something under a name."""
        return [session for session, found in self._sessions.items() if name in found.kept]

    async def lease(self, name: str, holder: str, span: timedelta) -> bool:
        """Have a name to oneself for a while."""
        now = Stopwatch.seconds()
        other, until = self._leases.get(name, (holder, 0.0))
        if other != holder and until > now:
            return False
        self._leases[name] = (holder, now + span.total_seconds())
        return True

    async def record(self, entries: Sequence[tuple[str, bytes]], most: int) -> None:
        """Add entries to the journals of their sessions."""
        for session, entry in entries:
            found = self._begun(session)
            found.last += 1
            found.size += len(entry)
            records = found.records
            records.append(Record(found.last, entry))
            while len(records) > 1 and (len(records) > most or found.size > JOURNAL_BYTES):
                found.size -= len(records.popleft().entry)
                found.dropped += 1

    async def records(self, session: str) -> Records:
        """A session's journal."""
        found = self._sessions.get(session)
        return Records(found.last, found.dropped, tuple(found.records)) if found else Records(0, 0, ())

    async def clear_records(self, session: str, *, forget: bool = False) -> None:
        """Drop a session's journal."""
        found = self._sessions.get(session)
        if found is not None:
            found.records.clear()
            found.dropped = found.size = 0
            if forget:
                found.last = 0

    async def compact(self, session: str, position: int) -> None:
        """Memory has no less room."""

    async def flush(self) -> None:
        """A machine that fails loses it all the same."""

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _begun(self, session: str) -> _Session:
        found = self._sessions.get(session)
        if found is None:
            found = self._sessions[session] = _Session(next(self._generations), Stopwatch.seconds())
        return found

    def _expected(self, session: str, at: Head) -> _Session:
        """The session if it is still of a generation, begun if it should not be there and is not."""
        found = self._sessions.get(session)
        if found is None and at == NOWHERE:
            return self._begun(session)
        if found is None or found.generation != at.generation:
            raise Conflict(f"session {session!r} has begun anew")
        return found
