"""The event log: the only thing a world's state is made from, and the only thing that several processes share.

A log is a sequence of events per session, numbered from 1. It is append-only, except that a session can be rewritten: reset is
a rewrite with nothing. The interface is small on purpose (catch up from where you are; append if nothing came between), so
that a file or a database can stand in for memory. `logs/` has one module for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple, Protocol

from mock_server.clock import Moment, Stopwatch


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
    """The session has moved on since what an append, or a change of its desk, was decided on."""


class LogUnavailable(Exception):
    """The log cannot be read or written now: what was asked for has not been done, or nobody knows whether it has.

    The text says why, without secrets. Asking again later may well succeed.
    """


class Patience:
    """How many seconds a request may still wait for the log to answer, all its waiting added up."""

    __slots__ = ("seconds",)

    longest: ClassVar[float] = 5.0

    def __init__(self, seconds: float = longest) -> None:
        self.seconds = min(seconds, self.longest)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Whatever time passes within is waiting."""
        began = Stopwatch.seconds()
        try:
            yield
        finally:
            self.seconds = max(0.0, self.seconds - (Stopwatch.seconds() - began))


PATIENCE: ContextVar[Patience | None] = ContextVar("PATIENCE", default=None)
"""That of the request at hand; whatever is no request has a new one for each thing that it asks."""


def patience() -> Patience:
    """How long whoever asks the log now may wait."""
    return PATIENCE.get() or Patience()


class Head(NamedTuple):
    """Where a session is.

    `generation` is a number that nothing else ever had: a session gets another one when it begins, and with every rewrite. 0 is
    that of a session that is not there. `position` is how many events it has, `revision` counts the changes of its desk.
    """

    generation: int = 0
    position: int = 0
    revision: int = 0


NOWHERE = Head()
"""The head of a session that is not there: nobody has changed it, or it has ended."""


class Tail(NamedTuple):
    """What somebody who knew an earlier head does not know yet.

    `events` are those after the known position, or all if the generation is another one. `desk` is the desk if the
    generation or the revision is another one, else None.
    """

    head: Head
    events: Sequence[Event]
    desk: bytes | None


class Listing(NamedTuple):
    """A session that is there. `idle` is for how many seconds nobody has used it, as far as the log was told."""

    session: str
    head: Head
    idle: float


class Record(NamedTuple):
    """An entry of a session's journal. Numbers count from 1 and go on when entries are dropped or cleared."""

    number: int
    entry: bytes


class Records(NamedTuple):
    """The journal of a session, oldest entry first.

    `last` is the number of its latest entry, 0 if there never was one. `dropped` is how many made room for later ones since it
    was last cleared.
    """

    last: int
    dropped: int
    records: Sequence[Record]


class EventLog(Protocol):
    """All that processes share. Every method but `describe` raises LogUnavailable if it cannot be done now.

    Beside its events a session has a desk: one small document that everybody must know before they answer; things that are
    kept by a name, looked up when needed; and a journal. All of it ends with `forget`.

    What a method did, every later call in any process sees: also one that waits for nothing else than its own answer.
    """

    shared: bool
    """Whether other processes may write as well, so that what is known has to be looked up again."""

    def describe(self) -> str:
        """What a banner says of it: kind and place, without passwords."""
        ...

    async def catch_up(self, session: str, known: Head) -> Tail | None:
        """What has happened since a head; None if nothing has. A session that is gone has NOWHERE and no events."""
        ...

    async def read(self, session: str, after: int = 0) -> Sequence[Event]:
        """The session's events after a position, in order; none if it is not there."""
        ...

    async def append(self, session: str, events: Sequence[Event], at: Head) -> Head:
        """Append all events or none; the new head. Conflict unless generation and position are still those of `at`.

        A session that is not there begins: for it `at` is NOWHERE.
        """
        ...

    async def rewrite(self, session: str, events: Sequence[Event], at: Head | None = None) -> Head:
        """Put these events in the place of all there are, at once; the new head. Desk, kept things and journal stay.

        With `at`: Conflict unless generation and position are still those.
        """
        ...

    async def put_desk(self, session: str, desk: bytes, at: Head) -> Head:
        """Replace the desk; the new head. Conflict unless generation and revision are still those of `at`.

        A session that is not there begins: for it `at` is NOWHERE. A new session's desk is empty.
        """
        ...

    async def touch(self, sessions: Iterable[str]) -> None:
        """These sessions are in use now; those that are not there begin."""
        ...

    async def sessions(self) -> Sequence[Listing]:
        """All sessions, the least recently used first."""
        ...

    async def forget(self, session: str) -> None:
        """The session ends, with all that belongs to it."""
        ...

    def release(self, session: str) -> None:
        """A session is needed no longer in this process. Where the log is not shared it ends; elsewhere nothing happens."""
        ...

    async def keep(self, session: str, name: str, value: bytes | None) -> None:
        """Keep something under a name, in place of what was there; None: keep nothing there. The session is there."""
        ...

    async def kept(self, session: str, name: str) -> bytes | None:
        """What is kept under a name; None if nothing is."""
        ...

    async def keeping(self, name: str) -> Sequence[str]:
        """The sessions that keep something under a name."""
        ...

    async def lease(self, name: str, holder: str, span: timedelta) -> bool:
        """Have a name to oneself for a while; False if another holder has it. One's own lease is prolonged, or with 0 ended."""
        ...

    async def record(self, entries: Sequence[tuple[str, bytes]], most: int) -> None:
        """Add entries to the journals of their sessions, in order; of each journal the latest `most` are kept.

        Sessions that are not there begin.
        """
        ...

    async def records(self, session: str) -> Records:
        """A session's journal."""
        ...

    async def clear_records(self, session: str, *, forget: bool = False) -> None:
        """Drop a session's journal; numbers go on unless it is forgotten altogether. Nothing counts as dropped then."""
        ...

    async def compact(self, session: str, position: int) -> None:
        """Store the events up to a position in less room. Nothing else changes: all can still be read."""
        ...

    async def flush(self) -> None:
        """Return once all that this process has written is where a failing machine does not lose it, but for the journal.

        Others may see it before. Nobody is told of it before.
        """
        ...

    async def close(self) -> None:
        """Let go of files and connections. Whatever is asked for later opens them again."""
        ...
