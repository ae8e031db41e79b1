"""Binding a port and serving until told to stop."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from contract_tests.source import InputError

GRACE = 0.4  # seconds that open requests have once the server is told to stop


def bind(host: str, port: int) -> socket.socket:
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
        bound.listen(2048)  # at once, so that a second server on this port is told so; answers come when all is ready
    except OSError as error:
        bound.close()
        if error.errno in (98, 48, 10048):
            raise InputError(
                f"port {port} on {host} is in use; choose another with --port, or any free one with --port 0"
            ) from None
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    bound.set_inheritable(True)
    return bound


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)


def serve(app: Any, bound: socket.socket, ready: Callable[[], None], stopping: Callable[[], None]) -> None:
    """Serve until interrupted; `ready` is called once requests are answered, `stopping` before the last ones are waited for."""
    config = uvicorn.Config(
        app,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # the mock's own tells the time of the world
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,  # type: ignore[arg-type] # uvicorn hands it to asyncio, which takes fractions
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down by then, and passes the signal on
        _Server(config, ready, stopping).run(sockets=[bound])
