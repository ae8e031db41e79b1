"""One connection, as the events of h11: the proxy's end of a client's, or of one to the service.

h11 and not a server with an application interface, because a proxy passes on what those hide: the request target as it was
sent, reason phrases, interim answers, trailers, and an answer that begins before the request has ended.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import cast

import h11

Event = h11.Event | type[h11.PAUSED]

_LONGEST_HEAD = 64 << 10  # start line and headers; most servers take less
_MOST_UNREAD = 256 << 10  # then the other side has to wait
_LINGER_NOT = struct.pack("ii", 1, 0)


class Wire(asyncio.Protocol):
    """Gives events and takes them. `role` is the one that this end plays; `opened` is told when the connection stands.

    Either direction waits for the other side: nothing piles up here, however large a body is.
    """

    def __init__(self, role: type[h11.CLIENT | h11.SERVER], opened: Callable[[Wire], None] = lambda _: None) -> None:
        self.http = h11.Connection(role, max_incomplete_event_size=_LONGEST_HEAD)
        self.received = 0  # bytes, since whoever has it set this to 0
        self._opened = opened
        self._transport: asyncio.Transport
        self._lost: Exception | None = None
        self._ended = False
        self._unread = 0
        self._reading: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None

    # ------------------------------------------------------------------ asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.http.receive_data(data)
        self._unread += len(data)
        if self._unread > _MOST_UNREAD:
            self._transport.pause_reading()
        _wake(self._reading)

    def eof_received(self) -> bool:
        """A client that has said all may still listen; TLS knows no such half."""
        self._ended = True
        self.http.receive_data(b"")
        _wake(self._reading)
        return self._transport.get_extra_info("ssl_object") is None

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = error or ConnectionResetError("the connection was closed")
        _wake(self._reading)
        _wake(self._writing)

    def pause_writing(self) -> None:
        self._writing = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        _wake(self._writing)
        self._writing = None

    # ------------------------------------------------------------------ ours

    def ready(self) -> Event | None:
        """The next event, None if it has not come yet; h11.RemoteProtocolError if what came is no HTTP."""
        event = self.http.next_event()
        return None if event is h11.NEED_DATA else cast(Event, event)

    async def event(self) -> Event:
        """Wait for the next event; h11.RemoteProtocolError or OSError if there is none."""
        while (event := self.ready()) is None:
            if self._lost is not None:
                raise self._lost
            if self._unread > _MOST_UNREAD:
                self._transport.resume_reading()
            self._unread = 0
            self._reading = asyncio.get_running_loop().create_future()
            try:
                await self._reading
            finally:
                self._reading = None
        return event

    async def send(self, *events: h11.Event) -> None:
        """Send events, in one piece, and wait until there is room for more; OSError if the other side is gone."""
        self._transport.write(b"".join([self.http.send(event) or b"" for event in events]))
        if self._lost is not None:
            raise self._lost
        if self._writing is not None:
            await self._writing
            if self._lost is not None:
                raise self._lost

    async def tunnelled(self, tls: ssl.SSLContext | None, host: str) -> Wire:
        """The connection within this one, after a CONNECT; with TLS to `host` if there is to be any."""
        inner = Wire(self.http.our_role)
        transport: asyncio.BaseTransport | None = self._transport
        if tls is None:
            self._transport.set_protocol(inner)
        else:
            loop = asyncio.get_running_loop()
            transport = await loop.start_tls(self._transport, inner, tls, server_hostname=host)
        assert transport is not None
        inner.connection_made(transport)
        return inner

    @property
    def open(self) -> bool:
        """Whether events can still be sent and may come."""
        return self._lost is None and not self._ended and not self._transport.is_closing()

    @property
    def peer(self) -> str:
        """The other side's address, without its port."""
        name = self._transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else ""

    def close(self) -> None:
        """Close, after what was sent has left."""
        self._transport.close()

    async def linger(self, seconds: float) -> None:
        """Say that nothing more comes, and hear the other side out for a while: closing at once could take back what was said."""
        try:
            if self._transport.can_write_eof():
                self._transport.write_eof()
            async with asyncio.timeout(seconds):
                while self._lost is None and not self._ended:
                    await self._drop()
        except (OSError, RuntimeError, TimeoutError):
            pass  # it is gone
        self.close()

    def cut(self) -> None:
        """End the connection so that nobody takes it for an orderly end."""
        if not self._transport.is_closing():
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()

    async def _drop(self) -> None:
        """Throw away what comes."""
        self.http = h11.Connection(self.http.our_role)
        self._unread = 0
        self._transport.resume_reading()
        self._reading = asyncio.get_running_loop().create_future()
        await self._reading


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
