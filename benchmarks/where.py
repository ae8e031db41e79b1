"""Where the time of a request goes inside the process: `python benchmarks/where.py [read|topup] [LOG]`.

No socket, no HTTP: the application is called as the server would call it. First the whole, without a profiler; then the shares of
its parts, with one, which makes parts of many small calls look larger than they are.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import uvloop

from mock_server.assembly import Mock, Settings, assemble
from walletproof.serve import tune_collector

WALLETS = 1_000
PARTS = {
    "routing": ("shortcuts.py", "Routing"),
    "request checked": ("contract.py", "check_request"),
    "handler": ("", ""),
    "answer checked": ("judge.py", "faultless"),
    "headers of the answer": ("call.py", "response_of"),
    "journal": ("memory.py", "note"),
    "journal, shared": ("shared.py", "note"),
    "caught up with the log": ("world.py", "enter"),
    "written to the log": ("world.py", "append"),
    "decided": ("topups.py", "_decide"),
}
HANDLERS = {"read": ("wallets.py", "_balance_answer"), "topup": ("topups.py", "top_up")}

One = Callable[[], Awaitable[None]]


def main() -> None:
    """Measure and print."""
    what = sys.argv[1] if len(sys.argv) > 1 else "read"
    place = sys.argv[2] if len(sys.argv) > 2 else "memory"
    uvloop.run(measure(assemble(Settings(population=WALLETS, log=place)), what))


async def measure(mock: Mock, what: str) -> None:
    """Both measurements."""
    await mock.rounds.start()
    stop = await started(mock)
    one = request(mock, what)
    tune_collector()
    for _ in range(500):
        await one()
    best = min([await timed(one) for _ in range(30)])
    print(f"{what}: {best * 1e6:.1f} us of processor time (best of 30 times 100)")
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(3_000):
        await one()
    profile.disable()
    stats: Any = pstats.Stats(profile)
    spent = {(path.rpartition("/")[2], name): cumulative for (path, _, name), (_, _, _, cumulative, _) in stats.stats.items()}
    whole = spent["edge.py", "__call__"]
    for part, function in {**PARTS, "handler": HANDLERS[what]}.items():
        if function in spent:
            print(f"  {part:24} {spent[function] / whole:5.0%}")
    stop.set()
    await mock.rounds.stop()


async def timed(one: One) -> float:
    """Processor seconds of a request, the mean of a hundred."""
    begun = time.process_time()
    for _ in range(100):
        await one()
    return (time.process_time() - begun) / 100


def request(mock: Mock, what: str) -> One:
    """Sends the next request."""
    cast = mock.casts["flexprice"]
    members = [cast.member(number) for number in range(WALLETS)]
    wallets = [member.ids["wallet"] for member in members if member is not None]
    numbers = count()

    async def one() -> None:
        number = next(numbers)
        wallet, body = wallets[number % WALLETS], b""
        headers = [(b"host", b"127.0.0.1:8080"), (b"x-api-key", b"bench")]
        if what == "topup":
            body = b'{"credits_to_add":"10","transaction_reason":"PURCHASED_CREDIT_DIRECT","idempotency_key":"k-%d"}' % number
            headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        path = f"/v1/wallets/{wallet}/{'top-up' if body else 'balance/real-time'}"
        scope = {"type": "http", "method": "POST" if body else "GET", "path": path, "raw_path": path.encode()}
        scope |= {"query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http", "root_path": "", "state": {}}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        await mock.app(scope, receive, expect_200)

    return one


async def expect_200(message: dict[str, Any]) -> None:
    """An answer that is no 200 would be measured for nothing."""
    assert message.get("status", 200) == 200, message


async def started(mock: Mock) -> asyncio.Event:
    """Have the application build itself, as a server does; what ends it."""
    ready, stop = asyncio.Event(), asyncio.Event()
    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        if ready.is_set():
            await stop.wait()
        return {"type": next(messages)}

    async def send(message: dict[str, Any]) -> None:
        ready.set()

    stop.task = asyncio.create_task(mock.app({"type": "lifespan", "state": {}}, receive, send))  # type: ignore[attr-defined] # kept
    await ready.wait()
    return stop


if __name__ == "__main__":
    main()
