"""What a process that died has left behind."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
from conftest import start, stop


def test_messages_of_a_process_that_died_are_sent_by_the_next(tmp_path: Path) -> None:
    """Also those for which it had made no attempt yet, and although nobody asks for their session."""
    bodies: list[bytes] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listener = HTTPServer(("127.0.0.1", 0), Listener)
    listener.timeout = 15
    waiting = Thread(target=listener.handle_request)
    waiting.start()
    place = f"sqlite:{tmp_path}/log"
    first = start("--log", place, "--webhook-host", "127.0.0.1")
    url = f"{first.url}/_mock/sessions/left"
    settings = {"url": f"http://127.0.0.1:{listener.server_port}/", "delay": "2s"}
    httpx.put(f"{url}/webhooks", json=settings).raise_for_status()
    changed = httpx.patch(f"{url}/wallets/healthy", json={"credit_balance": 3})
    changed.raise_for_status()
    first.process.kill()
    stop(first)
    second = start("--log", place, "--webhook-host", "127.0.0.1")
    waiting.join()
    listener.server_close()
    assert len(bodies) == 1
    stop(second)
