"""Servers in trouble: each goes wrong in its own way, over real sockets. And a proxy that lets through what it is told to."""

from __future__ import annotations

import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpcore


@dataclass
class Asked:
    """A request as it came. `ended` is set when the server stops: what waits for nothing waits for that."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    number: int
    ended: threading.Event = field(repr=False)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


Answer = Callable[[Asked, socket.socket], bool | None]
"""Answers on the socket; the connection is closed afterwards, unless it says that it is to be kept."""


def http(status: str, body: bytes = b"", *headers: str, kept: bool = False) -> bytes:
    """An answer as it stands on the wire; unless the connection is `kept`, there is no more after it."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", *([] if kept else ["Connection: close"]), "", ""]
    return "\r\n".join(lines).encode() + body


def always(answer: bytes) -> Answer:
    """The same for everybody."""
    return lambda _, connection: connection.sendall(answer)


def reset(connection: socket.socket) -> None:
    """End a connection with a TCP reset instead of an orderly close."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_then_reset(_: Asked, connection: socket.socket) -> None:
    """Half of a body, then a reset."""
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"items": [')
    reset(connection)


def silent(asked: Asked, _: socket.socket) -> None:
    """Never a byte."""
    asked.ended.wait()


def dripping(beginning: bytes, drop: bytes) -> Answer:
    """After the beginning a drop, and another, for ever: never so slow that a single read would time out."""

    def answer(asked: Asked, connection: socket.socket) -> None:
        connection.sendall(beginning)
        while not asked.ended.wait(0.2):
            connection.sendall(drop)

    return answer


def endless(_: Asked, connection: socket.socket) -> None:
    """Fifty megabytes of JSON."""
    megabyte = b"[" + b" " * ((1 << 20) - 2) + b"]"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {50 << 20}\r\n\r\n"
    connection.sendall(head.encode())
    for _number in range(50):
        connection.sendall(megabyte)


class _Handler(socketserver.BaseRequestHandler):
    server: Troubled

    def handle(self) -> None:
        connection = self.server.dressed(self.request)
        if connection is None:
            return
        with suppress(OSError), connection:
            while asked := self._read(connection):
                self.server.asked.append(asked)
                if not self.server.answer(asked, connection):
                    break

    def _read(self, connection: socket.socket) -> Asked | None:
        taken = b""
        while b"\r\n\r\n" not in taken:
            more = connection.recv(1 << 16)
            if not more:
                return None
            taken += more
            if taken[0] < ord(" "):  # no HTTP: somebody speaks TLS to us
                return Asked("?", "?", {}, taken, next(self.server.numbers), self.server.ended)
        head, _, body = taken.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(1 << 16)
        method, target, _ = first.split(" ", 2)
        return Asked(method, target, headers, body, next(self.server.numbers), self.server.ended)


class Troubled(socketserver.ThreadingTCPServer):
    """Listens on a free port of this machine; one thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.ended = threading.Event()
        self._numbers = iter(range(1, 1 << 30))
        self._lock = threading.Lock()
        self._tls = tls
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def numbers(self) -> Iterator[int]:
        """Numbers of requests, from 1."""
        with self._lock:
            return iter([next(self._numbers)])

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.server_address[1]}"

    def dressed(self, connection: socket.socket) -> socket.socket | None:
        """The connection with TLS, if the server speaks it; None if that fails."""
        if self._tls is None:
            return connection
        try:
            return self._tls.wrap_socket(connection, server_side=True)
        except OSError:
            return None

    def handle_error(self, *_: object) -> None:
        """A client that went away is no error."""


@contextmanager
def troubled(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Troubled]:
    """A server, while it is needed."""
    server = Troubled(answer, tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def without_certificate() -> ssl.SSLContext:
    """TLS that no client can agree to: the server has no certificate to show."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


Meddle = Callable[[Asked, socket.socket], bool]
"""Answers instead of the server behind, and says whether it did."""

_LEFT_OUT = ("host", "connection", "content-length", "transfer-encoding", "date", "server")


@contextmanager
def proxy(
    url: str,
    meddle: Meddle = lambda *_: False,
    change: Callable[[Asked, bytes], bytes] = lambda _, body: body,
    more: Iterable[str] = (),
) -> Iterator[Troubled]:
    """Passes requests on to `url` and answers back, but for what is meddled with.

    `change` makes another body of an answer's, `more` are headers that are added to it.
    """
    origin = httpcore.URL(url)

    def answer(asked: Asked, connection: socket.socket) -> bool:
        if meddle(asked, connection):
            return False
        headers = [(name, value) for name, value in asked.headers.items() if name not in _LEFT_OUT]
        headers += [("host", origin.host.decode()), ("content-length", str(len(asked.body)))]
        target = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=asked.target.encode("latin-1"))
        seen = pool.request(asked.method, target, headers=headers, content=asked.body)
        back = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in seen.headers]
        lines = [f"{name}: {value}" for name, value in back if name not in _LEFT_OUT]
        whole = http(f"{seen.status} X", change(asked, seen.content), *lines, *more, kept=True)
        connection.sendall(whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if asked.method == "HEAD" else whole)
        return True

    with httpcore.ConnectionPool(max_connections=64, keepalive_expiry=60) as pool, troubled(answer) as server:
        yield server
