"""A listening socket, or a clear word on why there is none."""

from __future__ import annotations

import errno
import socket

from contract_tests.source import InputError

_IN_USE_ON_WINDOWS = 10048


def listen(host: str, port: int, backlog: int = 2048) -> socket.socket:
    """A socket that listens at once, so that a second server on this port is told so; InputError if it cannot."""
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
        bound.listen(backlog)
    except OSError as error:
        bound.close()
        if error.errno in (errno.EADDRINUSE, _IN_USE_ON_WINDOWS):
            raise InputError(
                f"port {port} on {host} is in use; choose another with --port, or any free one with --port 0"
            ) from None
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return bound
