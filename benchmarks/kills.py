"""What is killed loses nothing: rounds of 10,000 top-ups by 32 clients, while workers, the server and the database are killed.

    python benchmarks/kills.py [--rounds 20] [--count 10000] [--seed 1] [--log sqlite|postgresql] [--folder DIR]

Rounds take turns: a SQLite file and a PostgreSQL server (both on the disk, which is waited for), clients that ask again under the
same idempotency key until they are told, and clients that ask once. In each round six workers are killed, the whole server, and
the parent of the workers alone, at random moments; the database twice. After each round every top-up is looked for: the round
fails if an acknowledged one is missing, if any is there twice, or if a balance is not the sum of its transactions.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

sys.path.append(str(Path(__file__).parent.parent / "tests"))

import postgres
from crew import crew
from topups import CLIENTS, Break, Load, Outcome, account, moments

WALLETS = 8
_GOOD = "nothing lost, nothing twice"


@dataclass(frozen=True)
class Round:
    """What one round came to."""

    log: str
    retrying: bool
    kills: int
    outcome: Outcome
    there: int
    untold: int
    seconds: float

    @property
    def verdict(self) -> str:
        """Whether anybody was told what no document tells of."""
        others = {status: times for status, times in self.outcome.refused.items() if status != 503}
        return f"nothing lost, but refused with {others}" if others else _GOOD

    @property
    def line(self) -> str:
        """The same in columns."""
        outcome = self.outcome
        asked = len(outcome.acknowledged) + len(outcome.unknown)
        return (
            f"{self.log:<10}  {'until told' if self.retrying else 'once':<11}  {self.kills:5}  {len(outcome.acknowledged):12,}  "
            f"{self.there:6,}  {f'{len(outcome.unknown)}, {self.untold}':<14}  {outcome.lost:9}  {outcome.refused[503]:<5}  "
            f"{asked / self.seconds:9.0f}"
        )


def play(log: str, count: int, folder: Path, draw: random.Random, *, retrying: bool) -> Round:
    """One round on a new log; AssertionError if anything is lost, doubled, or does not add up."""
    with ExitStack() as stack:
        database = stack.enter_context(postgres.cluster(fsync=True)) if log == "postgresql" else None
        place = f"sqlite:{folder}/log" if database is None else database.new_database()
        server = stack.enter_context(crew("--log", place, "--workers", "2"))
        client = stack.enter_context(httpx.Client(base_url=f"{server.url}/v1", headers={"x-api-key": "test"}, timeout=60))

        async def kill_a_worker() -> None:
            server.kill_worker(draw.random())

        async def kill_the_server() -> None:
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.again)

        async def kill_the_parent() -> None:
            await asyncio.to_thread(server.orphan)
            await asyncio.to_thread(server.again)

        async def kill_the_database() -> None:
            assert database is not None
            await asyncio.to_thread(database.kill)
            await asyncio.to_thread(database.start)

        breaks: list[Break] = [kill_a_worker] * 6 + [kill_the_server, kill_the_parent]
        if database is not None:
            breaks += [kill_the_database] * 2
        draw.shuffle(breaks)
        wallets = [_new_wallet(client, number) for number in range(WALLETS)]
        load = Load(server.address, wallets, count, retrying=retrying)
        began = time.perf_counter()
        outcome = asyncio.run(load.run(*zip(moments(draw, count, len(breaks)), breaks, strict=True)))
        took = time.perf_counter() - began
        done = account(client, wallets, outcome)
        assert not retrying or done.there == count, f"{count - done.there} are missing, though clients asked until they were told"
        return Round(log, retrying, len(breaks), outcome, done.there, done.untold, took)


def _new_wallet(client: httpx.Client, number: int) -> str:
    made: str = client.post("/wallets", json={"currency": "usd", "customer_id": f"cust_{number}"}).raise_for_status().json()["id"]
    return made


def main(arguments: Sequence[str]) -> int:
    """Play, and print a line for each round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--count", type=int, default=10_000, help="top-ups in a round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", choices=["sqlite", "postgresql"], action="append", help="default: both, by turns")
    parser.add_argument("--folder", type=Path, help="where SQLite files are (default: the system's for temporary files)")
    options = parser.parse_args(arguments)
    logs = options.log or ["sqlite", "postgresql"]
    print(f"{options.rounds} rounds, {options.count:,} top-ups each, {CLIENTS} clients, 2 workers\n")
    print("round  log         clients ask  kills  acknowledged   there  unknown, there  no answer  503    top-ups/s  result")
    good = True
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            draw = random.Random(f"{options.seed}/{number}")
            retrying = number // len(logs) % 2 == 0
            try:
                played = play(logs[number % len(logs)], options.count, Path(folder), draw, retrying=retrying)
            except AssertionError as failure:
                print(f"{number + 1:5}  {logs[number % len(logs)]}: LOST: {failure}", flush=True)
                return 1
        good = good and played.verdict == _GOOD
        print(f"{number + 1:5}  {played.line}  {played.verdict}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
