"""What a process does from time to time for a log that it shares with others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from datetime import timedelta
from itertools import count

from mock_server.clock import Stopwatch
from mock_server.event_log import LogUnavailable
from mock_server.ids import Ulids
from mock_server.sessions import DEFAULT_SESSION
from mock_server.webhooks.delivery import Courier
from mock_server.world import Worlds

log = logging.getLogger("walletproof")

_LONGEST = 20.0  # seconds between two rounds
_NUMBERED = timedelta(seconds=3 * _LONGEST)


class Rounds:
    """Says which sessions are in use here, ends those that nobody uses anywhere, and sees to webhooks that are left behind.

    Has nothing to do where the log is not shared.
    """

    def __init__(self, worlds: Worlds, courier: Courier) -> None:
        self._worlds = worlds
        self._courier = courier
        self._number = 0
        self._last = Stopwatch.seconds()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make this process known to the log, and begin."""
        if self._worlds.log.shared:
            self._worlds.name = secrets.token_hex(8)  # not before: workers are copies of one process
            with contextlib.suppress(LogUnavailable):  # requests will be told; it may come back
                await self._take_number()
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End, and let go of the log."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            with contextlib.suppress(LogUnavailable):
                await self._worlds.log.lease(self._lease, self._worlds.name, timedelta())
        await self._worlds.log.close()

    @property
    def _lease(self) -> str:
        return f"process {self._number}"

    async def _take_number(self) -> None:
        """The smallest number that no other process has; request ids are drawn by it, so that two never draw the same."""
        for self._number in count():
            if await self._worlds.log.lease(self._lease, self._worlds.name, _NUMBERED):
                break
        names = ("request ids", self._number) if self._number else ("request ids",)  # the first draws as one without a log does
        self._worlds.request_ids = Ulids(self._worlds.seed, *names)

    async def _run(self) -> None:
        failing = False
        while True:
            try:
                await self._round()
                failing = False
            except LogUnavailable as problem:
                if not failing:
                    log.warning("the log is not available: %s", problem)
                failing = True
            except Exception:
                log.exception("a look after the sessions failed")
            await asyncio.sleep(min(_LONGEST, self._worlds.sessions.idle.total_seconds() / 4))

    async def _round(self) -> None:
        worlds = self._worlds
        since, self._last = self._last, Stopwatch.seconds()
        if not await worlds.log.lease(self._lease, worlds.name, _NUMBERED):
            await self._take_number()  # this process was away for so long that another one has its number
        await worlds.log.touch([session.name for session in worlds.sessions if session.used >= since])
        idle = worlds.sessions.idle.total_seconds()
        for listing in await worlds.log.sessions():
            if listing.idle > idle and listing.session != DEFAULT_SESSION:
                await worlds.end(listing.session)
        for session in await self._courier.left_behind():
            await worlds.current(session)
