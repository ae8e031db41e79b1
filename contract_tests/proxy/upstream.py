"""Connections to the one service that a proxy stands for."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from base64 import b64encode
from collections import deque
from urllib.parse import SplitResult, urlsplit

import h11

from contract_tests.connection import forward_proxy, tls_context, tls_trouble
from contract_tests.guard import is_loopback
from contract_tests.proxy.headers import Place
from contract_tests.proxy.wire import Event, Wire
from contract_tests.target import Trouble

_KEPT = 256  # idle connections at most
_IDLE = 3.0  # seconds: many servers close what is idle for five, and a request that meets that is lost


class Upstream:
    """Opens connections, and keeps the idle ones for the next request.

    `timeout`: seconds for connecting, and for the service's next bytes.
    """

    def __init__(self, place: Place, *, timeout: float, insecure: bool) -> None:
        self.place = place
        self.timeout = timeout
        self._tls = tls_context(insecure=insecure) if place.scheme == "https" else None
        if self._tls is not None:
            self._tls.set_alpn_protocols(["http/1.1"])
        self._way = None if is_loopback(place.host) else forward_proxy(urlsplit(place.origin))
        self._idle: deque[tuple[float, Wire]] = deque()

    def kept(self) -> Wire | None:
        """A connection that served before and still stands; None if there is none."""
        while self._idle:
            since, wire = self._idle.pop()  # the latest is the most likely to be good
            if wire.open and not wire.received and time.monotonic() - since < _IDLE:
                return wire
            wire.close()
        return None

    def keep(self, wire: Wire) -> None:
        """Take a connection back, whose exchange is over; one that cannot serve again is closed."""
        over = wire.http.our_state is h11.DONE and wire.http.their_state is h11.DONE
        if not wire.open or not over or wire.http.trailing_data[0]:  # what came behind the answer would be taken for the next
            wire.close()
            return
        wire.http.start_next_cycle()
        wire.received = 0
        now = time.monotonic()
        self._idle.append((now, wire))
        while len(self._idle) > _KEPT or now - self._idle[0][0] > _IDLE:
            self._idle.popleft()[1].close()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop()[1].close()

    async def connect(self) -> Wire:
        """A new connection; Trouble if there is none to be had."""
        place = self.place
        try:
            async with asyncio.timeout(self.timeout):
                if self._way is None:
                    return await self._open(place.host, place.port, self._tls)
                return await self._through(*self._way)
        except TimeoutError:
            raise Trouble("timeout", f"cannot connect to {place.origin} within {self.timeout:g} s") from None
        except ssl.SSLError as error:
            raise Trouble("tls", tls_trouble(place.origin, error)) from None
        except (OSError, UnicodeError, h11.RemoteProtocolError) as error:
            raise Trouble("unreachable", f"cannot connect to {place.origin}: {_reason(error)}") from None

    async def _open(self, host: str, port: int, tls: ssl.SSLContext | None) -> Wire:
        _, wire = await asyncio.get_running_loop().create_connection(
            lambda: Wire(h11.CLIENT), host, port, ssl=tls, server_hostname=host if tls is not None else None
        )
        return wire

    async def _through(self, proxy: SplitResult, login: tuple[str, str] | None) -> Wire:
        """A tunnel through the proxy that the environment names."""
        place = self.place
        end = f"{f'[{place.host}]' if ':' in place.host else place.host}:{place.port}"
        headers = [("Host", end)]
        if login is not None:
            headers.append(("Proxy-Authorization", "Basic " + b64encode(":".join(login).encode()).decode()))
        own = tls_context(insecure=False) if proxy.scheme == "https" else None
        wire = await self._open(proxy.hostname or "", proxy.port or (443 if own else 80), own)
        try:
            await wire.send(h11.Request(method="CONNECT", target=end, headers=headers), h11.EndOfMessage())
            _must_agree(await wire.event(), f"the proxy at {proxy.hostname}", end)
            return await wire.tunnelled(self._tls, place.host)
        except BaseException:
            wire.close()
            raise


def _must_agree(answer: Event, proxy: str, end: str) -> None:
    """OSError unless a proxy's answer to CONNECT is that it is done."""
    said = answer.status_code if isinstance(answer, h11.Response) else 0
    if not 200 <= said < 300:
        raise OSError(None, f"{proxy} answers {said or 'nothing'} to CONNECT {end}")


def _reason(error: Exception) -> str:
    """Why, without the addresses: they are said already."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return f"no address for this name ({error.strerror})"
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
