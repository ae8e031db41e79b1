"""Measure the mock and write down what was found.

    python -m benchmarks.speed [--peers] [--only PART] [--quick | --save | --render]

Each server runs on core 0 and wrk, the load generator, on core 1, in turns, so that a machine whose speed drifts slows all.
Figures are for comparing within one run; nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed import footprint, machine, peers, plot, results, table, throughput
from benchmarks.speed.postgres import Database, database
from benchmarks.speed.processes import BenchError
from benchmarks.speed.results import Group, Reset, Results
from benchmarks.speed.servers import CLIENT_CORE, ROOT, SOME_WALLET, Server, running, walletproof
from benchmarks.speed.throughput import SPREAD_TOP_UP, Pace, Planned
from benchmarks.speed.wrk import MIXED, READ, TOP_UP, Load, tool


@dataclass(frozen=True)
class Amount:
    """How much is measured."""

    pace: Pace
    loads: Sequence[Load]  # on each log
    starts: int
    requests: int  # after which memory is looked at
    most_seconds: int  # that a slow server gets for them
    resets: int


PARTS = ("side", "sizes", "logs", "start", "sessions")
FULL = Amount(Pace(3, 3, True), (READ, TOP_UP, MIXED, SPREAD_TOP_UP), starts=3, requests=100_000, most_seconds=15, resets=3)
QUICK = Amount(Pace(1, 1, False), (READ, TOP_UP), starts=1, requests=5_000, most_seconds=2, resets=1)


def main() -> int:
    """Measure, or render what was measured; 2 if that is not possible."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__.partition("\n")[0], epilog="Needs wrk and two cores."
    )
    parser.add_argument(
        "--peers", action="store_true", help="with Prism, Mockoon and Specmatic, fetched with npm (needs node, java)"
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="measure only this part; repeatable")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="where benchmarks.json, .md and .svg are (docs)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--quick", action="store_true", help="under a minute, to see that all of it runs; figures mean little")
    what.add_argument("--save", action="store_true", help="write table, plot and figures into the folder")
    what.add_argument("--render", action="store_true", help="measure nothing; write table and plot from the figures anew")
    options = parser.parse_args()
    figures = options.folder / "benchmarks.json"
    try:
        if options.render:
            found = results.read(figures)
        else:
            found = measure(QUICK if options.quick else FULL, options.only or PARTS, with_peers=options.peers)
            print(table.page(found, notes=""))
        if options.save:
            results.write(found, figures)
            found = results.read(figures)  # as rounded, so that rendering again changes nothing
        if options.save or options.render:
            render(found, options.folder)
    except (BenchError, OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted; nothing was saved", file=sys.stderr)
        return 130
    return 0


def measure(amount: Amount, parts: Collection[str], *, with_peers: bool) -> Results:
    """The parts that are asked for, of PARTS."""
    began = time.monotonic()
    tool()
    machine.two_cores()
    os.sched_setaffinity(0, {int(CLIENT_CORE)})  # nor does this process disturb a server
    modules = peers.fetched() if with_peers else None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="walletproof-bench-")))
        postgres = stack.enter_context(database())
        about = machine.about(folder, postgres.version, peers.PACKAGES if modules else {})
        servers = peers.peers(modules, _an_answer(folder), folder) if modules else []
        groups = _groups(amount, parts, servers, postgres, folder)
        results = Results("make bench-peers ARGS=--save" if modules else "make bench ARGS=--save", about, groups)
        if "start" in parts:
            subjects = footprint.subjects(servers)
            prints = footprint.footprints(subjects, amount.starts, amount.requests, amount.most_seconds, folder, _say)
            results.footprints.extend(prints)
        if "sessions" in parts:
            _say("Sessions and resets")
            results.sessions.append(footprint.sessions(1000, folder))
            results.resets.extend(_resets(amount, postgres, folder))
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    results.about["measured in"] = f"{minutes} min {seconds} s"
    return results


def _groups(amount: Amount, parts: Collection[str], servers: list[Server], postgres: Database, folder: Path) -> list[Group]:
    plans: list[tuple[str, str, Callable[[], list[Planned]]]] = [
        ("side", "Side by side", lambda: throughput.side_by_side(servers)),
        ("sizes", "Population, sessions, journal", throughput.sizes),
        ("logs", "Logs and workers", lambda: throughput.logs(throughput.places(folder, postgres), postgres.pid, amount.loads)),
    ]
    return [throughput.measure(title, plan(), amount.pace, folder, _say) for part, title, plan in plans if part in parts]


def _resets(amount: Amount, postgres: Database, folder: Path) -> list[Reset]:
    own = folder / "resets"
    own.mkdir()
    return [
        footprint.reset(name, of_one, throughput.EVENTS, amount.resets, folder)
        for name, (of_one, *_) in throughput.places(own, postgres).items()
    ]


def _an_answer(folder: Path) -> dict[str, object]:
    """A balance as the mock gives it, for peers that take an answer."""
    with running(walletproof("Walletproof"), folder) as mock:
        answer: dict[str, object] = mock.ask("GET", f"/v1/wallets/{SOME_WALLET}/balance/real-time")
        return answer


def render(found: Results, folder: Path) -> None:
    """Table and plot; what people wrote about the figures is at the table's end."""
    notes = (ROOT / "benchmarks/notes.md").read_text("utf-8")
    (folder / "benchmarks.md").write_text(table.page(found, notes), encoding="utf-8")
    (folder / "benchmarks.svg").write_text(plot.svg(found), encoding="utf-8")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
