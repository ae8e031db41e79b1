"""The sessions of a server: who is there, for how long, and how many at most.

A session is nothing but a name until something is changed in it, so one more costs next to nothing. What is kept beside its
log is here, and goes with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from mock_server.clock import Stopwatch

MOST_SESSIONS = 10_000
IDLE = timedelta(hours=1)

DEFAULT_SESSION = "default"


class TooManySessions(Exception):
    """Every session that there may be has been changed, and none has been idle for long enough."""


def too_many(number: int) -> TooManySessions:
    """What is said when there is no room for one more."""
    return TooManySessions(f"{number} sessions are in use; delete some, or start with more --max-sessions")


class Session:
    """What is kept of a session beside its log.

    `used` is when it was last used, in seconds of the stopwatch. `changed`: something would be lost with it. `memory` is for
    what parts of the mock keep between two requests, by their name. `requests` counts the ids given to requests.
    """

    __slots__ = ("changed", "memory", "name", "requests", "used")

    def __init__(self, name: str, used: float) -> None:
        self.name = name
        self.used = used
        self.changed = False
        self.memory: dict[str, Any] = {}
        self.requests = 0

    def clear(self) -> None:
        """Back to the beginning."""
        self.memory = {}
        self.requests = 0


class Sessions:
    """All sessions, the least recently used first. One that was not used for `idle` ends by itself; `default` is always there."""

    def __init__(self, most: int = MOST_SESSIONS, idle: timedelta = IDLE) -> None:
        self.most = most
        self.idle = idle
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._endings: list[Callable[[str], None]] = []
        self.get(DEFAULT_SESSION)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, name: object) -> bool:
        return name in self._sessions

    def at_end(self, forget: Callable[[str], None]) -> None:
        """Have something forgotten whenever a session ends."""
        self._endings.append(forget)

    def get(self, name: str) -> Session:
        """A session by name, in use from now on; TooManySessions if it is new and there is no room."""
        session = self._sessions.get(name)
        now = Stopwatch.seconds()
        if session is not None:
            session.used = now
            self._sessions.move_to_end(name)
            return session
        self._end_idle(now)
        if len(self._sessions) >= self.most:
            self._make_room()
        session = self._sessions[name] = Session(name, now)
        return session

    def at_hand(self, name: str) -> Session:
        """A session that the request at hand has asked for with `get` before."""
        return self._sessions.get(name) or self.get(name)

    def end(self, name: str) -> None:
        """Forget a session and all that is its own."""
        del self._sessions[name]
        for forget in self._endings:
            forget(name)
        if name == DEFAULT_SESSION:
            self.get(name)

    def _end_idle(self, now: float) -> None:
        before = now - self.idle.total_seconds()
        ending = []
        for session in self._sessions.values():
            if session.used >= before:
                break
            if session.name != DEFAULT_SESSION:
                ending.append(session.name)
        for name in ending:
            self.end(name)

    def _make_room(self) -> None:
        """A session in which nothing happened can go: asked for again, it is what it was."""
        for session in self._sessions.values():
            if not session.changed and session.name != DEFAULT_SESSION:
                self.end(session.name)
                return
        raise too_many(len(self._sessions))
