"""Worlds: all state of one session, a fold over its event log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Protocol, TypeVar

from mock_server.clock import Clock, milliseconds
from mock_server.event_log import Conflict, Event, EventLog
from mock_server.ids import Seed

T = TypeVar("T")


class State(Protocol):
    """One provider's part of a world."""

    def apply(self, event: Event) -> None:
        """Fold one event in; events of other providers pass by."""
        ...


StateFactory = Callable[[], State]


class World:
    """The states of all providers after `position` events."""

    def __init__(self, states: Mapping[str, State]) -> None:
        self.states = states
        self.position = 0

    def apply(self, events: Iterable[Event]) -> None:
        """Fold events in, in order."""
        for event in events:
            for state in self.states.values():
                state.apply(event)
            self.position += 1


class Draft:
    """What a decision needs besides the world: the time, and fresh ids that are the same whenever it is decided again."""

    def __init__(self, seed: Seed, position: int, at: datetime) -> None:
        self.at = at
        self._seed = seed
        self._position = position
        self._count = 0

    def id(self, prefix: str) -> str:
        """A new id, `<prefix>_<ULID>`."""
        self._count += 1
        return self._seed.id(prefix, milliseconds(self.at), "event", self._position, self._count)


Decision = Callable[[World, Draft], tuple[Sequence[Event], T]]


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
    never a change.
    """

    def __init__(self, log: EventLog, clock: Clock, seed: Seed, factories: Mapping[str, StateFactory]) -> None:
        self.clock = clock
        self.seed = seed
        self._log = log
        self._factories = factories
        self.pristine = self._new()
        self._worlds: dict[str, World] = {}

    async def current(self, session: str) -> World:
        """The session's world, caught up with its log. For reading only."""
        while True:
            world = self._worlds.get(session, self.pristine)
            position = world.position
            events = await self._log.read(session, position)
            if not events:
                return world
            if world is not self._worlds.get(session, self.pristine) or world.position != position:
                continue  # another request reset the session, or caught up, while this one was reading
            if world is self.pristine:
                world = self._worlds[session] = self._new()
            world.apply(events)
            return world

    async def commit(self, session: str, decide: Decision[T]) -> tuple[World, T]:
        """Decide on the current world, append the events, and return the world that has them with the decision's result.

        When another writer was first, the decision is made again on what that writer left.
        """
        other = COMMIT.get()
        if other is not None:
            return await other.commit(self, session, decide)
        while True:
            world = await self.current(session)
            events, result = decide(world, self.draft(world.position))
            if not events:
                return world, result
            try:
                await self._log.append(session, events, world.position)
            except Conflict:
                continue
            return await self.current(session), result

    def draft(self, position: int) -> Draft:
        """What a decision at a position needs."""
        return Draft(self.seed, position, self.clock.now())

    async def append(self, session: str, events: Sequence[Event], position: int) -> None:
        """Append events to a session's log; Conflict unless it is still at `position`."""
        await self._log.append(session, events, position)

    async def pretend(self, session: str, events: Sequence[Event]) -> World:
        """The world as it would be with some more events, which do not happen."""
        world = self._new()
        world.apply([*await self._log.read(session, 0), *events])
        return world

    async def reset(self, session: str) -> None:
        """Back to the world that the seed gives."""
        await self._log.truncate(session, 0)
        self._worlds.pop(session, None)

    def _new(self) -> World:
        return World({name: factory() for name, factory in self._factories.items()})
