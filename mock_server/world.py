"""Worlds: all state of one session, a fold over its event log."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from mock_server.clock import FIRST, LAST, REAL, Clock, ClockSetting, Stopwatch, milliseconds, rfc3339
from mock_server.desk import EMPTY, Desk
from mock_server.event_log import NOWHERE, Conflict, Event, EventLog, Head, Tail
from mock_server.ids import Seed, Ulids
from mock_server.notice import Notice
from mock_server.problems import first_problem
from mock_server.sessions import DEFAULT_SESSION, Sessions, too_many
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

    def memento(self) -> Any:
        """What the fold has made, as plain typed data of the type that is annotated here."""
        ...

    def recall(self, memento: Any) -> None:
        """Be, to which nothing has happened, what the state was that this is the memento of."""
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

    def recall(self, position: int, decided: int, latest: datetime, clock: ClockSetting) -> None:
        """Stand where a checkpoint was, once states and outbox have been recalled."""
        self.position, self.decided, self.latest, self.clock = position, decided, latest, clock
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


class Checkpoints(Protocol):
    """What spares a process to fold a long log from its first event."""

    async def recalled(self, session: str, new: Callable[[], World]) -> tuple[int, World] | None:
        """The session's generation and world at its checkpoint, made of a new world; None if there is none."""
        ...

    def appended(self, session: str, generation: int, world: World) -> None:
        """Told of each append, with the world that has it."""
        ...

    def forget(self, session: str) -> None:
        """A session is not needed any more."""
        ...


class Commit(Protocol):
    """Stands in for `Worlds.commit`."""

    async def commit(self, worlds: Worlds, session: str, decide: Decision[T]) -> tuple[World, T]:
        """Decide, append, and return the world with the decision's result."""
        ...


COMMIT: ContextVar[Commit | None] = ContextVar("COMMIT", default=None)
"""What commits the writes of the request at hand, if not the worlds themselves: defects set it."""


@dataclass(slots=True)
class _Replica:
    """A session as this process knows it."""

    head: Head
    world: World
    desk: Desk


ENTERED: ContextVar[str | None] = ContextVar("ENTERED", default=None)
"""The session that the request at hand has caught up with: what was true when it came is good enough for its answer."""

_BEGINNING = timedelta(seconds=5)
_POLL = 0.25  # seconds after which a change that another process made is noticed by who waits for one
_NO_TURN: contextlib.AbstractAsyncContextManager[None] = contextlib.nullcontext()


class Worlds:
    """The worlds of all sessions.

    A session costs nothing until it is changed: until then it reads the one pristine world. Two sessions share the seed,
    never a change. Whatever reads a world finds done what was due by then.

    Where the log is shared, other processes have the same worlds: each catches up with the log before it answers, and
    nothing is known before it is in the log.
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
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.seed = seed
        self.name = secrets.token_hex(8)
        self.request_ids = Ulids(seed, "request ids")
        self.log = log
        self.sessions = Sessions() if sessions is None else sessions
        self._clock = clock
        self._factories = factories
        self._agendas = agendas
        self._setting = setting
        self._webhooks = webhooks
        self._changes: list[Callable[[str, World], None]] = []
        self._moves: list[Callable[[str], Awaitable[None]]] = []
        self._most_events = most_events
        self._checkpoints = checkpoints
        self._replicas: dict[str, _Replica] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._writing: dict[str, asyncio.Future[None]] = {}
        self._waking: dict[str, set[asyncio.Event]] = {}
        self.pristine = self._new()
        self._untouched = _Replica(NOWHERE, self.pristine, EMPTY)
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
        return self._replicas.get(session, self._untouched).world

    def desk(self, session: str) -> Desk:
        """The session's desk as it was when somebody last looked."""
        return self._replicas.get(session, self._untouched).desk

    def generation(self, session: str) -> int:
        """A number that changes whenever the session's events were rewritten; 0 before it has any."""
        return self._replicas.get(session, self._untouched).head.generation

    def time_of(self, session: str) -> datetime:
        """The time in a session, as far as this process knows it."""
        return self.now(self.known(session))

    async def enter(self, session: str) -> None:
        """Catch up with a session whose request has come, and begin it where it is not there. For shared logs."""
        replica = await self._caught_up(session)
        if replica.head == NOWHERE:
            self.sessions.get(session)  # TooManySessions before anything is written
            await self._make_room()
            await self.log.touch([session])
            await self._caught_up(session)
        ENTERED.set(session)

    async def current(self, session: str) -> World:
        """The session's world, caught up with its log and with the time. For reading only."""
        while True:
            world = (await self._replica(session)).world
            if world.due > self.now(world):
                return world
            await self._append_if_still(session, world.decide_due(self.seed), world)

    async def commit(self, session: str, decide: Decision[T]) -> tuple[World, T]:
        """Decide on the current world, append the events, and return the world that has them with the decision's result.

        When another writer was first, the decision is made again on what that writer left.
        """
        other = COMMIT.get()
        if other is not None:
            return await other.commit(self, session, decide)
        async with self._turn(session):
            while True:
                world = await self.current(session)
                events, result = decide(world, self.draft(world))
                if not events:
                    return world, result
                if await self._append_if_still(session, events, world):
                    return await self.current(session), result

    def draft(self, world: World, position: int | None = None) -> Draft:
        """What a decision on a world needs. Its time is never before what has happened already."""
        return Draft(self.seed, world.decided if position is None else position, max(self.now(world), world.latest))

    async def append(self, session: str, events: Sequence[Event], world: World) -> None:
        """Append events that were decided on a session's world; Conflict if it has changed, SessionFull if it has too many."""
        if world.position + len(events) > self._most_events:
            raise SessionFull(f"session {session} has its {self._most_events} events: reset it, or start with more --max-events")
        self.sessions.get(session)  # TooManySessions before anything is written
        replica = self._replicas.get(session, self._untouched)
        if replica.world is not world:
            raise Conflict(f"session {session!r} has begun anew")
        at = replica.head
        with self._writing_to(session):
            head = await self.log.append(session, events, at)
            # Whoever caught up just before with what was there already has left nothing to take.
            if self._replicas.get(session, self._untouched) is replica and replica.head == at:
                replica = self._take(session, replica, Tail(head._replace(revision=at.revision), events, None))
        if self._checkpoints is not None:
            self._checkpoints.appended(session, head.generation, replica.world)

    @contextlib.contextmanager
    def _writing_to(self, session: str) -> Iterator[None]:
        """Until this ends nobody in this process takes news of the session from the log.

        So whoever wrote answers with the world that has its own events, and no later ones of others.
        """
        if not self.log.shared:
            yield
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writing[session] = done
        try:
            yield
        finally:
            if self._writing.get(session) is done:
                del self._writing[session]
            done.set_result(None)

    async def rearrange(self, session: str, change: Callable[[Desk], Desk]) -> Desk:
        """Change a session's desk; when another process was first, on what that one left."""
        while True:
            replica = await self._caught_up(session)
            desk = change(replica.desk)
            if desk == replica.desk:
                return desk
            self.sessions.get(session).changed = True
            try:
                await self.log.put_desk(session, desk.encode(), replica.head)
            except Conflict:
                continue
            return (await self._caught_up(session)).desk

    async def changed(self, session: str, position: int, seconds: float) -> bool:
        """Wait until a session is not at a position any more; False if it still is after some seconds."""
        until = Stopwatch.seconds() + seconds
        waking = asyncio.Event()
        self._waking.setdefault(session, set()).add(waking)
        try:
            while True:
                await self._caught_up(session)
                world = await self.current(session)
                left = until - Stopwatch.seconds()
                if world.position != position or left <= 0:
                    return world.position != position
                until_due = (world.due - self.now(world)).total_seconds()
                with contextlib.suppress(TimeoutError):
                    # Not wait_for: it forgets that it was cancelled if it is woken at the same moment.
                    async with asyncio.timeout(min(left, until_due, _POLL if self.log.shared else left)):
                        await waking.wait()
        finally:
            waiting = self._waking.get(session, set())
            waiting.discard(waking)
            if not waiting:
                self._waking.pop(session, None)

    async def pretend(self, session: str, events: Sequence[Event]) -> World:
        """The world as it would be with some more events, which do not happen."""
        world = self._new()
        world.apply([*await self.log.read(session), *events])
        return world

    async def move_clock(self, session: str, move: Callable[[World, datetime], ClockSetting]) -> World:
        """Give a session another clock, after everything that falls due until then has happened, in order.

        `move` makes of the world and wall time the new clock. Refusal if that would go back behind what has happened, beyond
        the end of the calendar, or over more than MOST_DUE events.
        """
        while True:
            world = await self.current(session)
            position = world.position
            wall = self._clock.now()
            clock = move(world, wall)
            target = _within_calendar(clock, wall)
            if target < world.latest:
                raise Refusal(f"the world has come to {rfc3339(world.latest)}: its time does not go back, reset it")
            scratch = await self.pretend(session, ())
            if scratch.position != position or world.position != position:
                await self._caught_up(session)
                continue
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
            if await self._append_if_still(session, events, world):
                for settle in self._moves:
                    await settle(session)
                return await self.current(session)

    async def advance(self, session: str, span: timedelta) -> World:
        """Move a session's clock on by a span; Refusal as with `move_clock`."""

        def move(world: World, wall: datetime) -> ClockSetting:
            try:
                return world.clock.moved_to(max(world.clock.now(wall), world.latest) + span, wall)
            except OverflowError:
                raise Refusal("that is beyond the end of the calendar") from None

        return await self.move_clock(session, move)

    async def reset(self, session: str) -> None:
        """Back to the world that the seed gives, without defects. Snapshots stay."""
        replica = await self._caught_up(session)
        if replica.head.position or replica.world is not self.pristine:
            await self._rewrite(session, (), None)
        elif session in self.sessions:
            self.sessions.get(session).clear()
        await self.rearrange(session, lambda desk: Desk(snapshots=desk.snapshots, secret=desk.secret))

    async def events(self, session: str, after: int = 0) -> Sequence[Event]:
        """What has happened in a session after a position."""
        await self.current(session)
        return await self.log.read(session, after)

    async def undo(self, session: str, count: int) -> Sequence[Event]:
        """Take back the last events of a session, and return them; Refusal if it has not so many."""
        while True:
            head = (await self._caught_up(session)).head
            if count > head.position:
                raise Refusal(f"only {head.position} events have happened")
            events = await self.log.read(session)
            kept, undone = events[: head.position - count], events[head.position - count :]
            try:
                await self._rewrite(session, kept, head)
            except Conflict:
                continue
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
        await self._rewrite(session, events, None)
        return (await self._caught_up(session)).world

    async def begin(self, session: str) -> bool:
        """Begin a session; False if it is in use already."""
        if await self.exists(session):
            return False
        self.sessions.get(session)  # TooManySessions before anything is written
        if self.log.shared:
            await self._make_room()
            if not await self.log.lease(f"begin {session}", self.name, _BEGINNING):
                return False  # another process is beginning it
            await self.log.touch([session])
            await self._caught_up(session)
        return True

    async def in_use(self) -> Sequence[tuple[str, float]]:
        """The sessions that are in use, and for how many seconds nobody has used them."""
        now = Stopwatch.seconds()
        here = {session.name: max(0.0, now - session.used) for session in self.sessions}
        if not self.log.shared:
            return list(here.items())
        listed = {listing.session: listing.idle for listing in await self.log.sessions()}
        listed.setdefault(DEFAULT_SESSION, here[DEFAULT_SESSION])
        return [(session, min(idle, here.get(session, idle))) for session, idle in listed.items()]

    async def exists(self, session: str) -> bool:
        """Whether a session is in use, in whichever process."""
        if self.log.shared:
            return session == DEFAULT_SESSION or (await self._caught_up(session)).head != NOWHERE
        return session in self.sessions

    async def end(self, session: str) -> None:
        """Forget a session and all that is its own, in every process."""
        await self.log.forget(session)
        if session in self.sessions:
            self.sessions.end(session)

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

    async def _make_room(self) -> None:
        """One more session of a shared log: one that nobody changed ends if there are too many, as in `Sessions`."""
        listed = await self.log.sessions()
        if len(listed) < self.sessions.most:
            return
        for listing in listed:
            if listing.session != DEFAULT_SESSION and not listing.head.position and not listing.head.revision:
                await self.end(listing.session)
                return
        raise too_many(len(listed))

    async def _rewrite(self, session: str, events: Sequence[Event], at: Head | None) -> None:
        await self.log.rewrite(session, events, at)
        await self._caught_up(session)

    def _turn(self, session: str) -> contextlib.AbstractAsyncContextManager[None]:
        """Those of one process wait for each other: against a shared log all but one would conflict, and ask it again."""
        if not self.log.shared:
            return _NO_TURN
        turn = self._turns.get(session)
        if turn is None:
            turn = self._turns[session] = asyncio.Lock()
        return turn

    def _wake(self, session: str) -> None:
        for waking in self._waking.pop(session, ()):
            waking.set()

    async def _append_if_still(self, session: str, events: Sequence[Event], world: World) -> bool:
        try:
            await self.append(session, events, world)
        except Conflict:
            await self._caught_up(session)
            return False
        return True

    async def _replica(self, session: str) -> _Replica:
        """The session as it was not before the request at hand came."""
        if not self.log.shared or ENTERED.get() == session:
            return self._replicas.get(session, self._untouched)
        return await self._caught_up(session)

    async def _caught_up(self, session: str) -> _Replica:
        """The session as the log has it."""
        checkpoints = self._checkpoints
        while True:
            replica = self._replicas.get(session, self._untouched)
            if replica is self._untouched and checkpoints is not None:
                replica = await self._recalled(session, checkpoints)
            known = replica.head
            tail = await self.log.catch_up(session, known)
            there = known if tail is None else tail.head
            writing = self._writing.get(session)
            if writing is not None and tail is not None:
                await asyncio.wait({writing})  # it may be what is new
            now = self._replicas.get(session, self._untouched)
            if now is not replica or now.head != known:  # this process has moved on meanwhile
                if _covers(now.head, there):
                    return now
                continue
            if tail is None:
                return replica
            if tail.head.generation == known.generation and tail.head < known:
                # Somebody has put the log back to an earlier copy: nothing known here counts, nor a checkpoint of later.
                self._replicas.pop(session, None)
                checkpoints = None
                continue
            return self._take(session, replica, tail)

    async def _recalled(self, session: str, checkpoints: Checkpoints) -> _Replica:
        """The session as a checkpoint has it, or as if nothing had happened."""
        found = await checkpoints.recalled(session, self._new)
        if found is not None and session not in self._replicas:
            generation, world = found
            self._replicas[session] = _Replica(Head(generation, world.position, -1), world, EMPTY)
            for tell in self._changes:
                tell(session, world)
        return self._replicas.get(session, self._untouched)

    def _take(self, session: str, replica: _Replica, tail: Tail) -> _Replica:
        """Know what the log says that has happened."""
        if tail.head == NOWHERE:
            if session in self.sessions:
                self.sessions.end(session)  # another process has ended it
            self._replicas.pop(session, None)
            return self._untouched
        head, events = tail.head, tail.events
        begun = head.generation != replica.head.generation
        changed = bool(events) or (begun and replica.world is not self.pristine)
        world = self.pristine if begun else replica.world
        if events:
            if world is self.pristine:
                world = self._new()
            world.apply(events)
        desk = replica.desk if tail.desk is None else Desk.decode(tail.desk)
        if begun:
            if replica.head != NOWHERE and session in self.sessions:
                self.sessions.get(session).clear()
            replica = self._replicas[session] = _Replica(head, world, desk)
        else:
            replica.head, replica.world, replica.desk = head, world, desk
        if head.position or desk is not EMPTY:
            self.sessions.get(session).changed = True
        if changed:
            self._wake(session)
            for tell in self._changes:
                tell(session, world)
        return replica

    def _forget(self, session: str) -> None:
        self._replicas.pop(session, None)
        self._turns.pop(session, None)
        if self._checkpoints is not None:
            self._checkpoints.forget(session)
        self.log.release(session)
        self._wake(session)

    def _new(self) -> World:
        states = {name: factory() for name, factory in self._factories.items()}
        return World(states, self._agendas, self._setting, Outbox(self._webhooks))


def _covers(known: Head, there: Head) -> bool:
    """Whether whoever knows one head knows all that another one says."""
    return known.generation == there.generation and known.position >= there.position and known.revision >= there.revision


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
