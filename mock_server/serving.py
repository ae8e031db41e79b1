"""Serving until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from types import FrameType

import uvicorn

from mock_server.assembly import Mock

GRACE = 0.4  # seconds that open requests have once the server is told to stop
GRACE_OF_A_SHARED_LOG = 6.0  # a request may wait for a database, and what it did must be answered


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, mock: Mock, ready: Callable[[], None], life: int | None) -> None:
        super().__init__(config)
        self._mock = mock
        self._ready = ready
        self._life = life

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._life is not None:
            asyncio.get_running_loop().add_reader(self._life, self._orphaned)
        await self._mock.rounds.start()
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._mock.stopping.begin()
        if self.config.is_ssl:
            self._hang_up()
        await super().shutdown(sockets)
        await self._mock.rounds.stop()

    def _hang_up(self) -> None:
        """End idle connections: TLS would wait until their clients agree, who do not look at them before they need them."""
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is None or cycle.response_complete:
                connection.transport.abort()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Told to stop. Workers hear a Ctrl-C twice, from the terminal and from their parent, and that is no hurry."""
        if self._life is None:
            super().handle_exit(sig, frame)
        else:
            self.should_exit = True

    def _orphaned(self) -> None:
        """Nobody is there any more who would replace this worker, or tell it to stop."""
        assert self._life is not None
        asyncio.get_running_loop().remove_reader(self._life)
        self.should_exit = True


def serve(
    mock: Mock, bound: socket.socket, ready: Callable[[], None], tls: ssl.SSLContext | None = None, life: int | None = None
) -> None:
    """Serve until interrupted, or until the other end of the pipe `life` closes; `ready` is called once requests are answered."""
    config = uvicorn.Config(
        mock.app,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # the mock's own tells the time of the world
        proxy_headers=False,
        ssl_context_factory=None if tls is None else lambda *_: tls,
        timeout_graceful_shutdown=GRACE_OF_A_SHARED_LOG if mock.worlds.log.shared else GRACE,  # type: ignore[arg-type] # uvicorn hands it to asyncio, which takes fractions
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down by then, and passes the signal on
        _Server(config, mock, ready, life).run(sockets=[bound])
