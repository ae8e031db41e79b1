"""The event log: the only thing a world's state is made from.

A log is a sequence of events per session, numbered from 1. It is append-only, except that reset truncates it. The
interface is small on purpose (read after a position; append if the position is still N), so that a file or a database
can stand in for memory and several processes can share one truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from mock_server.clock import Moment


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in a world. Subclasses add plain data only, so that any event can be written down."""

    at: Moment

    kinds: ClassVar[dict[str, type[Event]]] = {}
    """All subclasses by name, as `event_codec` reads them."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Event.kinds[cls.__name__] = cls


class Conflict(Exception):
    """The log has moved on since the position that an append was decided on."""


class EventLog(Protocol):
    """Events of every session. `position` is the number of events that a session has."""

    async def read(self, session: str, after: int) -> Sequence[Event]:
        """The session's events after a position, in order."""
        ...

    async def append(self, session: str, events: Sequence[Event], position: int) -> None:
        """Append all events or none; raises Conflict unless the session is still at `position`."""
        ...

    async def truncate(self, session: str, position: int) -> None:
        """Forget every event after a position (0 = reset)."""
        ...

    def forget(self, session: str) -> None:
        """Forget a session that ended by itself; nobody waits for it."""
        ...


class MemoryLog:
    """A log that lives as long as the process."""

    def __init__(self) -> None:
        self._events: dict[str, list[Event]] = {}

    async def read(self, session: str, after: int) -> Sequence[Event]:
        """The session's events after a position, in order."""
        events = self._events.get(session, [])
        return events[after:] if len(events) > after else ()

    async def append(self, session: str, events: Sequence[Event], position: int) -> None:
        """Append all events or none; raises Conflict unless the session is still at `position`."""
        stored = self._events.setdefault(session, [])
        if len(stored) != position:
            raise Conflict(f"session {session!r} is at {len(stored)}, not {position}")
        stored.extend(events)

    async def truncate(self, session: str, position: int) -> None:
        """Forget every event after a position (0 = reset)."""
        if position == 0:
            self._events.pop(session, None)
        else:
            del self._events[session][position:]

    def forget(self, session: str) -> None:
        """Forget a session that ended by itself; nobody waits for it."""
        self._events.pop(session, None)
