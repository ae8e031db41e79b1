"""The end of the server, told to those who wait: it does not wait for them."""

from __future__ import annotations

import asyncio


class Stopping:
    """Ends all waiting once the server begins to stop."""

    def __init__(self) -> None:
        self.begun = False
        self._waiting: set[asyncio.Future[None]] = set()

    def begin(self) -> None:
        """The server stops."""
        self.begun = True
        for waiter in self._waiting:
            _wake(waiter)

    async def sleep(self, seconds: float) -> None:
        """Let some seconds pass, or fewer if the server stops."""
        if seconds > 0:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            timer = asyncio.get_running_loop().call_later(seconds, _wake, waiter)
            try:
                await self._wait(waiter)
            finally:
                timer.cancel()

    async def wait(self) -> None:
        """Wait until the server stops."""
        await self._wait(asyncio.get_running_loop().create_future())

    async def _wait(self, waiter: asyncio.Future[None]) -> None:
        if self.begun:
            return
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
