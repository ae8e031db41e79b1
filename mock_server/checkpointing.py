"""When checkpoints are written and read: for logs that outlive the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mock_server.checkpoints import Misfit, memento, recall
from mock_server.event_log import EventLog, LogUnavailable
from mock_server.world import World

log = logging.getLogger("walletproof")

_NAME = "checkpoint"
_EVENTS = 1_000
"""So many events are folded quickly enough; after half as many again as there were at the last checkpoint comes the next."""


class Checkpointing:
    """Keeps a checkpoint beside each long log, and has the events before it packed.

    `origin` says all that decides on a world besides its events.
    """

    def __init__(self, event_log: EventLog, origin: str) -> None:
        self._log = event_log
        self._origin = origin
        self._next: dict[tuple[str, int], int] = {}  # by session and generation: at which position the next one is due
        self._tasks: set[asyncio.Task[None]] = set()

    async def recalled(self, session: str, new: Callable[[], World]) -> tuple[int, World] | None:
        """The session's generation and world at its checkpoint; None if there is none that fits."""
        data = await self._log.kept(session, _NAME)
        if data is None:
            return None
        first, _, body = data.partition(b"\n")
        generation = int(first) if first.isdigit() else 0
        world = new()
        try:
            recall(body, world, self._origin)
        except Misfit as misfit:
            log.info("session %r is folded from its first event: %s", session, misfit)
            return None
        self._next[session, generation] = world.position * 3 // 2
        return generation, world

    def appended(self, session: str, generation: int, world: World) -> None:
        """A session has come so far; write a checkpoint if it is time."""
        if world.position < _EVENTS or world.position < self._next.get((session, generation), _EVENTS):
            return
        self._next[session, generation] = world.position * 3 // 2
        data = b"%d\n%s" % (generation, memento(world, self._origin))
        task = asyncio.create_task(self._write(session, world.position, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, session: str) -> None:
        """A session is not needed any more."""
        for key in [key for key in self._next if key[0] == session]:
            del self._next[key]

    async def _write(self, session: str, position: int, data: bytes) -> None:
        try:
            await self._log.keep(session, _NAME, data)
            await self._log.compact(session, position)
        except LogUnavailable as problem:
            log.info("no checkpoint of session %r: %s", session, problem)
