"""Worlds: all state of one session, a fold over its event log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from pydantic import ValidationError

from mock_server.clock import FIRST, LAST, REAL, Clock, ClockSetting, milliseconds, rfc3339
from mock_server.event_log import Conflict, Event, EventLog
from mock_server.ids import Seed
from mock_server.notice import Notice
from mock_server.problems import first_problem
from mock_server.sessions import Sessions
from mock_server.webhooks.events import WebhookAttempted
from mock_server.webhooks.outbox import AS_STARTED, Outbox
from mock_server.webhooks.settings import WebhookSettings

T = TypeVar("T")


class Refusal(Exception):
    """What was asked of a world cannot be; the text says why, and nothing has changed."""


MOST_EVENTS = 100_000
MOST_DUE = 10_000
"""How much may fall due while a clock is moved once."""

_SIDE_BY_SIDE = timedelta(seconds=1)
"""How much earlier than the one before an event can be: defects let requests decide side by side."""

_MISFITS = (ArithmeticError, AssertionError, AttributeError, LookupError, Refusal, TypeError, ValueError)
"""What a fold, which trusts its events, may raise over one that cannot be."""

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class ClockMoved(Event):
    """The world has another time from here on; `at` is the new time."""

    clock: ClockSetting


class State(Protocol):
    """One part of a world, such as a provider's."""

    def apply(self, event: Event) -> Iterable[Notice]:
        """Fold one event in, and say what it makes the provider tell; events of other parts pass by."""
        ...


StateFactory = Callable[[], State]


class Agenda(Protocol):
    """What happens in a world by itself when its time has come."""

    def due(self, world: World) -> datetime | None:
        """When the next thing is due; None if nothing ever will be unless something changes."""
        ...

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """The events of what is due first, at `draft.at`. There is always one, and it moves what is due."""
        ...


class World:
    """The states of all providers after `position` events.

    `due` is when the next thing happens by itself, `latest` the time of the last event. `decided` counts the events that ids are
    drawn by: all but attempts to deliver messages, so that a listener changes no id.
    """

    def __init__(self, states: Mapping[str, State], agendas: Sequence[Agenda], clock: ClockSetting, outbox: Outbox) -> None:
        self.states = states
        self.clock = clock
        self.outbox = outbox
        self.position = 0
        self.decided = 0
        self.latest = datetime.min.replace(tzinfo=UTC)
        self._agendas = agendas
        self._due: datetime | None = None

    def apply(self, events: Iterable[Event]) -> None:
        """Fold events in, in order."""
        for event in events:
            if isinstance(event, ClockMoved):
                self.clock = event.clock
            notices = [notice for state in self.states.values() for notice in state.apply(event)]
            self.outbox.apply(event, notices)
            self.latest = max(self.latest, event.at)
            self.position += 1
            if not isinstance(event, WebhookAttempted):
                self.decided += 1
        self._due = None

    @property
    def due(self) -> datetime:
        """When the next thing happens by itself; the end of time if nothing does."""
        if self._due is None:
            self._due = min((due for agenda in self._agendas if (due := agenda.due(self))), default=_NEVER)
        return self._due

    def decide_due(self, seed: Seed) -> Sequence[Event]:
        """The events of what is due first."""
        agenda = min(self._agendas, key=lambda agenda: agenda.due(self) or _NEVER)
        events = agenda.decide(self, Draft(seed, self.decided, max(self.due, self.latest)))
        assert events, f"{agenda} has something due at {self.due} and does nothing"
        return events


class Draft:
    """What a decision needs besides the world: the time, and fresh ids that are the same whenever it is decided again."""

    def __init__(self, seed: Seed, position: int, at: datetime) -> None:
        self.at = at
        self.seed = seed
        self._position = position
        self._count = 0

    def id(self, prefix: str) -> str:
        """A new id, `<prefix>_<ULID>`."""
        self._count += 1
        return self.seed.id(prefix, milliseconds(self.at), "event", self._position, self._count)


Audit = Callable[[World, Event], None]
"""Looks at an event that is about to be folded into a world: ValueError if it contradicts what was before."""

Decision = Callable[[World, Draft], tuple[Sequence[Event], T]]


class SessionFull(Exception):
    """A session has as many events as it may have."""


class Commit(Protocol):
    """Stands in for `Worlds.commit`."""

    async def commit(self, worlds: Worlds, session: str, decide: Decision[T]) -> tuple[World, T]:
        """Decide, append, and return the world with the decision's result."""
        ...


COMMIT: ContextVar[Commit | None] = ContextVar("COMMIT", default=None)
"""What commits the writes of the request at hand, if not the worlds themselves: defects set it."""


class Worlds:
    """The worlds of all sessions.

    A session costs nothing until it is changed: until then it reads the one pristine world. Two sessions share the seed,
    never a change. Whatever reads a world finds done what was due by then.
    """

    def __init__(
        self,
        log: EventLog,
        clock: Clock,
        seed: Seed,
        factories: Mapping[str, StateFactory],
        *,
        agendas: Sequence[Agenda] = (),
        setting: ClockSetting = REAL,
        webhooks: WebhookSettings = AS_STARTED,
        sessions: Sessions | None = None,
        most_events: int = MOST_EVENTS,
    ) -> None:
        self.seed = seed
        self.sessions = Sessions() if sessions is None else sessions
        self._log = log
        self._clock = clock
        self._factories = factories
        self._agendas = agendas
        self._setting = setting
        self._webhooks = webhooks
        self._changes: list[Callable[[str, World], None]] = []
        self._moves: list[Callable[[str], Awaitable[None]]] = []
        self._most_events = most_events
        self._worlds: dict[str, World] = {}
        self._waking: dict[str, set[asyncio.Event]] = {}
        self.pristine = self._new()
        self.sessions.at_end(self._forget)

    def at_change(self, tell: Callable[[str, World], None]) -> None:
        """Have something told of every session whose world has changed."""
        self._changes.append(tell)

    def at_move(self, settle: Callable[[str], Awaitable[None]]) -> None:
        """Have something settled whenever a clock was moved, before that is answered."""
        self._moves.append(settle)

    def now(self, world: World) -> datetime:
        """The time in a world."""
        return world.clock.now(self._clock.now())

    def known(self, session: str) -> World:
        """The session's world as it was when somebody last looked, for a glance that may be a moment late."""
        return self._worlds.get(session, self.pristine)

    def time_of(self, session: str) -> datetime:
        """The time in a session, as far as this process knows it."""
        return self.now(self.known(session))

    async def current(self, session: str) -> World:
        """The session's world, caught up with its log and with the time. For reading only."""
        while True:
            world = await self._read(session)
            if world.due > self.now(world):
                return world
            await self._append_if_still(session, world.decide_due(self.seed), world.position)

    async def commit(self, session: str, decide: Decision[T]) -> tuple[World, T]:
        """Decide on the current world, append the events, and return the world that has them with the decision's result.

        When another writer was first, the decision is made again on what that writer left.
        """
        other = COMMIT.get()
        if other is not None:
            return await other.commit(self, session, decide)
        while True:
            world = await self.current(session)
            events, result = decide(world, self.draft(world))
            if not events:
                return world, result
            if await self._append_if_still(session, events, world.position):
                return await self.current(session), result

    def draft(self, world: World, position: int | None = None) -> Draft:
        """What a decision on a world needs. Its time is never before what has happened already."""
        return Draft(self.seed, world.decided if position is None else position, max(self.now(world), world.latest))

    async def append(self, session: str, events: Sequence[Event], position: int) -> None:
        """Append events to a session's log; Conflict unless it is still at `position`, SessionFull if it has too many."""
        if position + len(events) > self._most_events:
            raise SessionFull(f"session {session} has its {self._most_events} events: reset it, or start with more --max-events")
        self.sessions.get(session)  # TooManySessions before anything is written
        await self._log.append(session, events, position)
        self._wake(session)

    async def changed(self, session: str, position: int, seconds: float) -> bool:
        """Wait until a session is not at a position any more; False if it still is after some seconds."""
        waking = asyncio.Event()
        self._waking.setdefault(session, set()).add(waking)
        try:
            world = await self.current(session)
            if world.position == position:
                until_due = (world.due - self.now(world)).total_seconds()
                with contextlib.suppress(TimeoutError):
                    # Not wait_for: it forgets that it was cancelled if it is woken at the same moment.
                    async with asyncio.timeout(min(seconds, until_due)):
                        await waking.wait()
                world = await self.current(session)
            return world.position != position
        finally:
            waiting = self._waking.get(session, set())
            waiting.discard(waking)
            if not waiting:
                self._waking.pop(session, None)

    async def pretend(self, session: str, events: Sequence[Event]) -> World:
        """The world as it would be with some more events, which do not happen."""
        world = self._new()
        world.apply([*await self._log.read(session, 0), *events])
        return world

    async def move_clock(self, session: str, move: Callable[[World, datetime], ClockSetting]) -> World:
        """Give a session another clock, after everything that falls due until then has happened, in order.

        `move` makes of the world and wall time the new clock. Refusal if that would go back behind what has happened, beyond
        the end of the calendar, or over more than MOST_DUE events.
        """
        while True:
            world = await self.current(session)
            wall = self._clock.now()
            clock = move(world, wall)
            target = _within_calendar(clock, wall)
            if target < world.latest:
                raise Refusal(f"the world has come to {rfc3339(world.latest)}: its time does not go back, reset it")
            scratch = await self.pretend(session, ())
            events: list[Event] = []
            while scratch.due <= target:
                following = scratch.decide_due(self.seed)
                events += following
                scratch.apply(following)
                if len(events) > MOST_DUE:
                    raise Refusal(
                        f"more than {MOST_DUE} things would happen until {rfc3339(scratch.latest)}: go in smaller steps"
                    )
            events.append(ClockMoved(at=target, clock=clock))
            if await self._append_if_still(session, events, world.position):
                for settle in self._moves:
                    await settle(session)
                return await self.current(session)

    async def advance(self, session: str, span: timedelta) -> World:
        """Move a session's clock on by a span; Refusal as with `move_clock`."""

        def move(world: World, wall: datetime) -> ClockSetting:
            try:
                return world.clock.moved_to(max(self.now(world), world.latest) + span, wall)
            except OverflowError:
                raise Refusal("that is beyond the end of the calendar") from None

        return await self.move_clock(session, move)

    async def reset(self, session: str) -> None:
        """Back to the world that the seed gives. Snapshots stay."""
        await self._rewrite(session, ())

    async def events(self, session: str, after: int = 0) -> Sequence[Event]:
        """What has happened in a session after a position."""
        await self.current(session)
        return await self._log.read(session, after)

    async def undo(self, session: str, count: int) -> Sequence[Event]:
        """Take back the last events of a session, and return them; Refusal if it has not so many."""
        world = await self._read(session)
        if count > world.position:
            raise Refusal(f"only {world.position} events have happened")
        undone = await self._log.read(session, world.position - count)
        await self._rewrite(session, (await self._log.read(session, 0))[: world.position - count])
        return undone

    async def restore(self, session: str, events: Sequence[Event], audits: Sequence[Audit] = ()) -> World:
        """Put a session where these events bring it, whatever has happened in it; Refusal if they cannot happen so.

        Events from elsewhere are looked at by `audits` before each is folded in.
        """
        if len(events) > self._most_events:
            raise Refusal(f"a session may have {self._most_events} events, these are {len(events)}")
        self.sessions.get(session)  # TooManySessions before anything is written
        scratch = self._new()
        for number, event in enumerate(events, 1):
            try:
                for audit in audits:
                    audit(scratch, event)
                scratch.apply([event])
            except _MISFITS as error:
                raise Refusal(f"event {number} ({type(event).__name__}) cannot happen here: {_in_short(error)}") from None
        await self._rewrite(session, events)
        return await self._read(session)

    def audit_time(self, world: World, event: Event) -> None:
        """The audit of an event's time, and of what it does to the clock."""
        if not FIRST <= event.at < LAST:
            raise ValueError("clocks go from 1970 to the end of 9998")
        if event.at + _SIDE_BY_SIDE < world.latest:
            raise ValueError(f"time goes back from {rfc3339(world.latest)} to {rfc3339(event.at)}")
        if isinstance(event, ClockMoved):
            _within_calendar(event.clock, self._clock.now())
            if not event.clock.sound:
                raise ValueError("such a clock there is not: a frozen one has a moment, an offset one an offset")

    async def _rewrite(self, session: str, events: Sequence[Event]) -> None:
        await self._log.truncate(session, 0)
        self._worlds.pop(session, None)
        if session in self.sessions:
            self.sessions.get(session).clear()
        if events:
            await self._log.append(session, events, 0)
        self._wake(session)

    def _wake(self, session: str) -> None:
        for waking in self._waking.pop(session, ()):
            waking.set()

    async def _append_if_still(self, session: str, events: Sequence[Event], position: int) -> bool:
        try:
            await self.append(session, events, position)
        except Conflict:
            return False
        return True

    async def _read(self, session: str) -> World:
        """The session's world, caught up with its log."""
        while True:
            world = self._worlds.get(session, self.pristine)
            position = world.position
            events = await self._log.read(session, position)
            if not events:
                return world
            if world is not self._worlds.get(session, self.pristine) or world.position != position:
                continue  # another request reset the session, or caught up, while this one was reading
            if world is self.pristine:
                self.sessions.get(session).changed = True
                world = self._worlds[session] = self._new()
            world.apply(events)
            for tell in self._changes:
                tell(session, world)
            return world

    def _forget(self, session: str) -> None:
        self._worlds.pop(session, None)
        self._log.forget(session)
        self._wake(session)

    def _new(self) -> World:
        states = {name: factory() for name, factory in self._factories.items()}
        return World(states, self._agendas, self._setting, Outbox(self._webhooks))


def _in_short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return ": ".join(first_problem(error))[:300]
    return f"it speaks of {str(error)[:100]}, which is not there" if type(error) is KeyError else str(error)[:300]


def _within_calendar(clock: ClockSetting, wall: datetime) -> datetime:
    try:
        moment = clock.now(wall)
    except OverflowError:
        moment = _NEVER
    if not FIRST <= moment < LAST:
        raise Refusal("clocks go from 1970 to the end of 9998")
    return moment
