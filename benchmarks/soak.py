"""A long day of a shared mock: 200,000 mixed requests of many sessions, with the server's memory watched.

    python benchmarks/soak.py [--requests 200000] [--connections 8]

Prints the resident memory after every tenth of the requests. Flat means: the last half does not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

from contract_tests.mock_client import MockClient
from contract_tests.mock_process import running_mock

SESSIONS = 300


class Connection:
    """One kept-alive HTTP/1.1 connection that reads statuses and passes over bodies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, method: str, path: str, headers: dict[str, str], body: object = None) -> int:
        """One request; the status of its answer."""
        content = b"" if body is None else json.dumps(body).encode()
        fields = {"host": "localhost", "content-type": "application/json", "content-length": str(len(content)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", answer)
        if length:
            await self._reader.readexactly(int(length[1]))
        return int(answer.split(b" ", 2)[1])


def resident(pid: int) -> float:
    """MiB of memory that a process has."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    match = re.search(r"VmRSS:\s+(\d+)", status)
    assert match, "no such process"
    return int(match[1]) / 1024


def child() -> int:
    """The one process that this one has started."""
    me = os.getpid()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text("ascii").rsplit(")", 1)[1].split()[1]) == me:
                return int(path.parent.name)
    raise SystemExit("the mock is gone")


async def work(
    connection: Connection, number: int, count: int, wallets: list[str], tokens: list[str], seen: Counter[int]
) -> None:
    """A share of the requests: mostly reads, some writes, mistakes, faults and resets, of ever other sessions."""
    draw = random.Random(number)
    for step in range(count):
        session = f"s{draw.randrange(SESSIONS)}"
        wallet = draw.choice(wallets)
        key = {"x-api-key": "k", "x-mock-session": session}
        chance = draw.random()
        if chance < 0.55:
            status = await connection.send("GET", f"/v1/wallets/{wallet}/balance/real-time", key)
        elif chance < 0.65:
            status = await connection.send("GET", f"/v1/wallets/{wallet}/transactions?limit=10", key)
        elif chance < 0.75:
            bearer = {"authorization": f"Bearer {draw.choice(tokens)}", "x-mock-session": session}
            status = await connection.send("GET", "/v1/customer-portal/wallets/", bearer)
        elif chance < 0.88:
            body = {"credits_to_add": 1, "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": f"{number}-{step}"}
            status = await connection.send("POST", f"/v1/wallets/{wallet}/top-up", key, body)
        elif chance < 0.92:
            status = await connection.send("GET", "/v1/nothing/here", key)
        elif chance < 0.95:
            status = await connection.send("POST", f"/_mock/sessions/{session}/clock/advance", {}, {"by": "1h"})
        elif chance < 0.97:
            status = await connection.send("PUT", f"/_mock/sessions/{session}/snapshots/s", {})
        else:
            status = await connection.send("DELETE", f"/_mock/sessions/{session}", {})
        seen[status] += 1


async def soak(port: int, pid: int, options: argparse.Namespace, wallets: list[str], tokens: list[str]) -> None:
    """All of it, in tenths."""
    seen: Counter[int] = Counter()
    connections = [Connection(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(options.connections)]
    share = options.requests // options.connections // 10
    began = time.perf_counter()
    print(f"{0:>8} requests  {resident(pid):6.1f} MiB")
    for tenth in range(1, 11):
        await asyncio.gather(*(work(c, tenth * 1000 + n, share, wallets, tokens, seen) for n, c in enumerate(connections)))
        rate = seen.total() / (time.perf_counter() - began)
        print(f"{seen.total():>8} requests  {resident(pid):6.1f} MiB  {rate:,.0f}/s", flush=True)
    print("statuses", dict(sorted(seen.items())))


def main() -> None:
    """Start a mock, and keep it busy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    with running_mock() as url, MockClient(url) as controls:
        port = int(url.rsplit(":", 1)[1])
        personas = controls.personas().values()
        wallets = [p["ids"]["wallet"] for p in personas if p["provider"] == "flexprice"]
        tokens = sorted({p["token"] for p in personas if p["provider"] == "polar"})
        asyncio.run(soak(port, child(), options, wallets, tokens))


if __name__ == "__main__":
    sys.exit(main())
