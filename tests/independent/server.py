"""Serves both wallet APIs from memory on one port.

    python -m independent [--port 0] [--fault NAME]     in the folder above, or
    python server.py [--port 0] [--fault NAME]          by the name of this file

Flexprice is at /v1, Polar at /v1/customer-portal/wallets/. The first line of output says where the server listens, the
second one holds a key, tokens and ids to begin with.
"""

import argparse
import json
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    __package__ = "independent"

from . import faults
from .flexprice import Flexprice
from .polar import Polar
from .wire import Answer, Request

LARGEST_BODY = 1 << 20


class Server(ThreadingHTTPServer):
    """One thread for each connection."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.flexprice = Flexprice()
        self.polar = Polar()

    def answer(self, request: Request) -> Answer:
        """Both APIs live under /v1; what belongs to neither goes to the one whose credentials it has."""
        path = request.path.lower()
        has_bearer = request.headers.get("Authorization", "").lower().startswith("bearer ")
        flexprice_path = path.startswith(("/v1/wallets", "/v1/customers"))
        if "customer-portal" in path or (not flexprice_path and (has_bearer or "Polar-Version" in request.headers)):
            return self.polar.answer(request)
        return self.flexprice.answer(request)


class Handler(BaseHTTPRequestHandler):
    """Reads requests whole and writes answers whole, so that connections can be kept."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "wallets/1.0"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 120

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Every method is served; which ones exist is for the two APIs to say."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        body = self._read_body()
        path, _, query = (self.path if self.path.startswith("/") else "/").partition("?")
        too_large = body is None
        answer = self.server.answer(Request(self.command, path, query, self.headers, body or b"", too_large))
        if too_large:
            self.close_connection = True
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _read_body(self) -> bytes | None:
        """The body, or None if it is longer than this server wants to read."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            return None
        return self.rfile.read(int(length))

    def _read_chunks(self) -> bytes | None:
        parts: list[bytes] = []
        while True:
            try:
                size = int(self.rfile.readline(100).split(b";")[0], 16)
            except ValueError:
                return None
            if size < 0 or size + sum(map(len, parts)) > LARGEST_BODY:
                return None
            if size == 0:
                break
            parts.append(self.rfile.read(size))
            self.rfile.readline(100)
        while self.rfile.readline(1000).strip():
            pass
        return b"".join(parts)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silent."""


def main() -> None:
    """Start, say where, and serve until stopped."""
    parser = argparse.ArgumentParser(description="Both wallet APIs, from memory.")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--fault", choices=list(faults.FAULTS), help="a mistake to make")
    options = parser.parse_args()
    if options.fault:
        faults.switch_on(options.fault)
    server = Server(options.port)
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    print(json.dumps({"flexprice": server.flexprice.samples(), "polar": server.polar.samples()}), flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


if __name__ == "__main__":
    main()
