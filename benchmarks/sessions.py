"""What a session costs until something is changed in it, and after its first change.

python benchmarks/sessions.py [--sessions 1000]
"""

from __future__ import annotations

import argparse
import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import timedelta

from mock_server.assembly import Settings, assemble


async def measured(count: int, make: Callable[[int], Awaitable[object]]) -> tuple[float, float]:
    """Microseconds, and bytes of memory, of each."""
    began = time.perf_counter()
    for number in range(count):
        await make(number)
    seconds = time.perf_counter() - began
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(count, 2 * count):
        await make(number)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return seconds / count * 1e6, taken / count


async def main() -> None:
    """Read in so many sessions, then change each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1000)
    count = parser.parse_args().sessions
    worlds = assemble(Settings(population=10, max_sessions=10 * count)).worlds

    async def read(number: int) -> None:
        worlds.sessions.get(f"s{number}")
        await worlds.current(f"s{number}")

    async def change(number: int) -> None:
        await worlds.advance(f"s{number}", timedelta(seconds=1))

    for name, make in (("made and read", read), ("changed", change)):
        micros, size = await measured(count, make)
        print(f"{name:<14} {micros:8.1f} us  {size:8.0f} bytes each, of {count}")


if __name__ == "__main__":
    asyncio.run(main())
