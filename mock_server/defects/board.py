"""Which defects are on: at start for all sessions, per session, per request."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mock_server.defects.catalogue import find
from mock_server.defects.defect import Defect
from mock_server.world import Worlds

Memory = dict[str, Any]


class Board:
    """The switches, which are on the desk of each session; a session's own set replaces the one from the start.

    A session is spoiled once any defect has played in it: what it left behind may go on breaking rules of meaning.
    """

    def __init__(self, at_start: Sequence[Defect], worlds: Worlds) -> None:
        self._at_start = tuple(at_start)
        self._worlds = worlds

    def of(self, session: str) -> tuple[Defect, ...]:
        """The defects of a session, in the order in which they were asked for."""
        names = self._worlds.desk(session).defects
        return self._at_start if names is None else tuple(find(name) for name in names)

    def spoiled(self, session: str) -> bool:
        """Whether a session may hold what a defect left behind."""
        return self._worlds.desk(session).spoiled

    async def put(self, session: str, names: Iterable[str]) -> tuple[Defect, ...]:
        """Give a session another set; InputError if a name is none."""
        chosen = tuple(find(name) for name in dict.fromkeys(names))
        defects = tuple(defect.name for defect in chosen)
        await self._worlds.rearrange(session, lambda desk: replace(desk, defects=defects, memory={}))
        return chosen

    async def spoil(self, session: str) -> None:
        """A defect is about to play in a session."""
        if not self.spoiled(session):
            await self._worlds.rearrange(session, lambda desk: replace(desk, spoiled=True))

    def memory(self, session: str, defect: Defect) -> Memory:
        """What a defect keeps between requests of a session, to be changed and handed to `remember`."""
        return copy.deepcopy(dict(self._worlds.desk(session).memory.get(defect.name, {})))

    async def remember(self, session: str, memories: Mapping[str, Memory]) -> None:
        """Keep what defects have noted, by their names."""
        known = self._worlds.desk(session).memory
        changed = {name: memory for name, memory in memories.items() if memory != known.get(name, {})}
        if changed:
            await self._worlds.rearrange(session, lambda desk: replace(desk, memory={**desk.memory, **changed}))
