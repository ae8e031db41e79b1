"""Serving clients until told to end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import h11

from contract_tests.proxy.passing import Passing
from contract_tests.proxy.wire import Wire

_GRACE = 2.0  # seconds that open exchanges have once the proxy is told to end


class Serving:
    """Serves clients of a listening socket, until it is told to end."""

    def __init__(self, passing: Passing, bound: socket.socket) -> None:
        self._passing = passing
        self._bound = bound
        self._told = asyncio.Event()
        self._hurry = asyncio.Event()
        self._clients: dict[asyncio.Task[None], Wire] = {}

    def end(self) -> None:
        """Take no more requests, and give those that are open a while. Told twice, it does not wait."""
        (self._hurry if self._told.is_set() else self._told).set()

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve; `ready` is called once requests are answered."""
        server = await asyncio.get_running_loop().create_server(lambda: Wire(h11.SERVER, self._opened), sock=self._bound)
        ready()
        await self._told.wait()
        server.close()
        for task, client in self._clients.items():
            if client.http.their_state is h11.IDLE:
                task.cancel()
        if self._clients:
            hurry = asyncio.create_task(self._hurry.wait())
            closed = asyncio.gather(*self._clients, return_exceptions=True)
            await asyncio.wait((hurry, closed), timeout=_GRACE, return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            for task, client in self._clients.items():
                client.cut()
                task.cancel()
            await closed

    def _opened(self, client: Wire) -> None:
        task = asyncio.get_running_loop().create_task(self._passing.serve(client))
        self._clients[task] = client
        task.add_done_callback(self._clients.pop)
