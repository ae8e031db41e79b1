"""Connections to one origin. A deadline holds for the whole of an exchange, however slowly the other side drips.

Neither cookies nor anything else is kept from one request for the next: what is sent is what the caller says.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore

# Many servers close what is idle for a few seconds; a request that meets such a closing would look like a broken answer.
_KEPT: dict[str, Any] = {"max_connections": 64, "max_keepalive_connections": 32, "keepalive_expiry": 1.0}


def connections(origin: SplitResult, verify: ssl.SSLContext | None, *, proxies: bool) -> tuple[httpcore.ConnectionPool, Deadline]:
    """A pool for `origin`, and what sets the time for the calling thread's next exchange on it.

    `proxies`: the environment's proxies are used (HTTPS_PROXY, NO_PROXY and so on).
    """
    deadline = Deadline()
    backend = _Backend(deadline)
    way = forward_proxy(origin) if proxies else None
    if way is None:
        return httpcore.ConnectionPool(ssl_context=verify, network_backend=backend, **_KEPT), deadline
    parts, login = way
    url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return httpcore.HTTPProxy(url, proxy_auth=login, ssl_context=verify, network_backend=backend, **_KEPT), deadline


def forward_proxy(origin: SplitResult) -> tuple[SplitResult, tuple[str, str] | None] | None:
    """The proxy that the environment names for `origin`, and name and password for it; None if it names none."""
    host = origin.hostname or ""
    named = getproxies() if not proxy_bypass(host) else {}
    proxy = named.get(origin.scheme) or named.get("all")
    if not proxy:
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts, (unquote(parts.username), unquote(parts.password or "")) if parts.username else None


def tls_context(*, insecure: bool) -> ssl.SSLContext:
    """A client's side of TLS; `insecure` trusts any certificate."""
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def tls_trouble(origin: str, error: BaseException) -> str:
    """What went wrong before any request, and what to do about it where that is plain."""
    told = str(getattr(error, "verify_message", "")) or str(getattr(error, "reason", "")).lower().replace("_", " ") or str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "SSL_CERT_FILE can name one to trust, --insecure takes any"
        return f"TLS failed: the certificate of {origin} is not trusted: {told} ({hint})"
    if "wrong version number" in told or "record layer failure" in told or "http request" in told:
        return f"TLS failed: {told}; {origin} does not seem to speak TLS: http://?"
    return f"TLS failed: {told}"


class Deadline(threading.local):
    """When the calling thread's exchange must be over (time.monotonic)."""

    at = 0.0

    def left(self) -> float:
        """Seconds that are left; httpcore.ReadTimeout if there are none."""
        seconds = self.at - time.monotonic()
        if seconds <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return seconds


class _Backend(httpcore.NetworkBackend):
    """Connects in time. What others say about timeouts does not count here and below."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._plain.connect_tcp(host, port, self._deadline.left(), local_address, socket_options)
        return _Stream(stream, self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._deadline.left()), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
