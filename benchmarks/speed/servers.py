"""What is measured: how each server is started, and where it has the balance operation."""

from __future__ import annotations

import http.client
import json
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.speed.processes import BenchError, free_port, pinned

ROOT = Path(__file__).parents[2]
SERVER_CORE, CLIENT_CORE = "0", "1"
KEY = {"x-api-key": "bench"}
SOME_WALLET = "wallet_01GNNA1J008KFR43H174Y55B8P"  # the population's first; peers answer for any


@dataclass(frozen=True)
class Server:
    """A way to start a server: its command by port, and the path before `wallets/`."""

    name: str
    command: Callable[[int], Sequence[str]]
    prefix: str = "/v1/"
    environment: Mapping[str, str] = field(default_factory=dict)
    cores: str = SERVER_CORE
    warm_up: int = 1  # seconds of load before its speed counts; compilers at run time need more
    helpers: tuple[int, ...] = ()  # processes that work for it: the database
    ours: bool = False  # has sessions, controls and wallets of its own

    @property
    def core_count(self) -> int:
        """On how many cores it may run."""
        return len(self.cores.split(","))


@dataclass(frozen=True)
class Running:
    """A server that answers, `first_answer` seconds after it was started."""

    server: Server
    url: str
    pid: int
    first_answer: float

    def roots(self) -> list[int]:
        """All that works for it."""
        return [self.pid, *self.server.helpers]

    def ask(self, method: str, path: str, body: object = None, session: str | None = None) -> Any:
        """One request of ours, which has to succeed: the body of the answer, if it has one."""
        return next(self.ask_all([(method, path, body, session)]))

    def ask_all(self, requests: Sequence[tuple[str, str, object, str | None]]) -> Iterator[Any]:
        """The same for (method, path, body, session), one after the other over one connection."""
        target = urlsplit(self.url)
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
        try:
            for method, path, body, session in requests:
                headers = {**KEY, "content-type": "application/json"} | ({"x-mock-session": session} if session else {})
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = connection.getresponse()
                content = answer.read()
                if answer.status >= 300:
                    raise BenchError(f"{self.server.name}: {method} {path} gave {answer.status}: {content.decode()[:500]}")
                yield json.loads(content) if content else None
        finally:
            connection.close()

    def read_all(self, which: Sequence[tuple[str, str]]) -> None:
        """A balance read for each (wallet, session)."""
        deque(self.ask_all([("GET", f"/v1/wallets/{w}/balance/real-time", None, session) for w, session in which]), maxlen=0)

    def top_up_all(self, which: Sequence[tuple[str, str]]) -> None:
        """A credit for each (wallet, session)."""
        body = {"credits_to_add": "1", "transaction_reason": "FREE_CREDIT_GRANT"}
        requests = [
            ("POST", f"/v1/wallets/{wallet}/top-up", {**body, "idempotency_key": f"one-{number}"}, session)
            for number, (wallet, session) in enumerate(which)
        ]
        deque(self.ask_all(requests), maxlen=0)

    def wallets(self, count: int) -> list[str]:
        """Ids of so many wallets, spread over a population of at least as many."""
        first = self.ask("POST", "/v1/wallets/search", {"limit": 1})
        size = min(count, 1000)
        step = max(first["pagination"]["total"] // max(count // size, 1), 1)
        pages = [{"limit": size, "offset": number * step, "order": "asc"} for number in range(-(-count // size))]
        found = self.ask_all([("POST", "/v1/wallets/search", page, None) for page in pages])
        return [wallet["id"] for page in found for wallet in page["items"]]


@contextmanager
def running(server: Server, folder: Path) -> Iterator[Running]:
    """The server, started in `folder`, once it answers a balance; BenchError with what it said if it does not."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with pinned(list(server.command(port)), server.cores, server.environment, folder) as process:
        seconds = process.until_answered(f"{url}{server.prefix}wallets/{SOME_WALLET}/balance/real-time", KEY)
        yield Running(server, url, process.pid, seconds)


def walletproof(name: str, *options: str, cores: str = SERVER_CORE, helpers: tuple[int, ...] = ()) -> Server:
    """The mock of this checkout."""

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "walletproof", "serve", "--port", str(port), *options]

    return Server(name, command, cores=cores, helpers=helpers, environment={"PYTHONPATH": str(ROOT)}, ours=True)


def bare() -> Server:
    """The bare ASGI function in the same HTTP server with the same settings."""

    def command(port: int) -> list[str]:
        line = [sys.executable, "-m", "uvicorn", "bare:app", "--app-dir", str(ROOT / "benchmarks"), "--port", str(port)]
        return [*line, "--log-level", "error", "--no-access-log", "--no-server-header", "--no-proxy-headers", "--lifespan", "off"]

    return Server("bare ASGI", command)
