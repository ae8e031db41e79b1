"""Listening, and ending when told to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import h11

from contract_tests.proxy.passing import Passing
from contract_tests.proxy.wire import Wire
from contract_tests.source import InputError

_GRACE = 2.0  # seconds that open exchanges have once the proxy is told to end
_BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; InputError if the address cannot be had."""
    if not 0 <= port <= 65_535:
        raise InputError(f"--port {port}: a port is a number from 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError):
        raise InputError(f"--host {host}: no such address on this machine") from None
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"cannot listen on {host}:{port}: {reason}; --port chooses another, 0 any free one") from None
    return bound


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
