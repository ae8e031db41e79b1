"""The page `shop/`, served on this machine as a development server would."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

_PAGES = Path(__file__).parent / "shop"
_KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript"}
_LOGO = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")  # one transparent pixel
_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "content-type"}


@contextmanager
def shop(settings: dict[str, Any], port: int = 0) -> Iterator[str]:
    """The page's address. `settings` are what it reads from `settings.json`, and its own second name as `elsewhere`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            file = _PAGES / (path.removeprefix("/") or "index.html")
            if path == "/settings.json":
                self._answer(200, "application/json", json.dumps(known).encode(), {"Cache-Control": "max-age=3600"})
            elif path == "/logo.gif":
                self._answer(200, "image/gif", _LOGO)
            elif file.parent == _PAGES and file.is_file():
                self._answer(200, _KINDS[file.suffix], file.read_bytes(), {"Cache-Control": "no-cache"})
            else:
                self._answer(404, "text/plain", b"")

        def do_OPTIONS(self) -> None:
            self._answer(204, "", b"", _ANY_ORIGIN)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._answer(202, "text/plain", b"", _ANY_ORIGIN)

        def _answer(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, **(headers or {})}.items():
                if value:
                    self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            return "shop"

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    known = {**settings, "elsewhere": f"http://127.0.0.1:{server.server_port}"}
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
