"""Writes that go wrong: what some defects do where events are committed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import TypeVar

from mock_server.defects.defect import Defect, When
from mock_server.defects.visit import Visit
from mock_server.event_log import Conflict, Event
from mock_server.world import Decision, Draft, World, Worlds

T = TypeVar("T")

HASTE = 0.05  # seconds between reading and writing, in which others write too

_hasty_ids = count(1 << 40)  # far from any position: two decisions on one position need ids of their own


class Tampering:
    """Stands in for the commit of one request."""

    def __init__(self, visit: Visit, defects: Sequence[tuple[Defect, dict[str, object]]]) -> None:
        self._visit = visit
        self._defects = defects

    async def commit(self, worlds: Worlds, session: str, decide: Decision[T]) -> tuple[World, T]:
        """Like `Worlds.commit`, with whatever the defects do to it."""
        hasty = self._any("hasty")
        while True:
            world = await worlds.current(session)
            draft = worlds.draft(world, next(_hasty_ids) if hasty else None)
            events, result = decide(worlds.pristine if self._any("blind") else world, draft)
            if hasty:
                await asyncio.sleep(HASTE)
                decided_on, world = world, await worlds.current(session)
                if decided_on not in (world, worlds.pristine):
                    continue  # the session was reset meanwhile
            events = self._changed(world, draft, events)
            if not events:
                return world, result
            if self._any("lost"):
                return await worlds.pretend(session, events), result
            try:
                await worlds.append(session, events, world)
            except Conflict:
                continue
            return await worlds.current(session), result

    def _changed(self, world: World, draft: Draft, events: Sequence[Event]) -> Sequence[Event]:
        for defect, memory in self._defects:
            if defect.events is not None:
                self._visit.memory = memory
                events = defect.events(self._visit, world, draft, events)
        return events

    def _any(self, field: str) -> bool:
        predicates: list[When | None] = [getattr(defect, field) for defect, _ in self._defects]
        return any(when(self._visit) for when in predicates if when is not None)
