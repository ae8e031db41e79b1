"""Requests per second: groups of rows, measured in rounds, one row after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.speed.postgres import Database
from benchmarks.speed.processes import BenchError
from benchmarks.speed.results import Group, Row, Run
from benchmarks.speed.servers import CLIENT_CORE, SERVER_CORE, SOME_WALLET, Running, Server, bare, running, walletproof
from benchmarks.speed.wrk import MIXED, READ, TOP_UP, Load, send

BOTH_CORES = f"{SERVER_CORE},{CLIENT_CORE}"
SPREAD_READ = Load("balance read, 1,000 sessions", sessions=1000)
SPREAD_TOP_UP = Load("top-up, 1,000 sessions", reads=0, sessions=1000)
MANY_READ = Load("balance read, 20,000 wallets")
LONG_READ = Load("balance read, 1,000 changes before", sessions=1, session="long")
EVENTS = 1000
_MEMORY = "memory log"


@dataclass(frozen=True)
class Pace:
    """How long it all takes: rounds, seconds of each run, and whether servers are warmed up first."""

    rounds: int
    seconds: int
    warm: bool


@dataclass(frozen=True)
class Planned:
    """A row to be measured; `against` names rows by the heading of their column."""

    server: Server
    load: Load
    against: dict[str, str] = field(default_factory=dict)
    wallets: int = 1000
    prepare: Callable[[Running], None] | None = None


def side_by_side(peers: list[Server]) -> list[Planned]:
    """The mock as it starts by itself, beside the limit and the peers."""
    mock, limit = walletproof("Walletproof"), bare()
    columns = {"of bare ASGI": f"{limit.name}: {READ.name}"}
    if peers:
        columns |= {f"of {peer.name}": f"{peer.name}: {READ.name}" for peer in peers if peer.name.startswith("Prism")}
    rows = [Planned(limit, READ), *(Planned(mock, load, columns) for load in (READ, TOP_UP, MIXED))]
    rows += [Planned(peer, READ, columns) for peer in peers]
    # Those that were given one answer by hand have none for a top-up.
    return rows + [Planned(peer, TOP_UP, columns) for peer in peers if "given" not in peer.name]


def sizes() -> list[Planned]:
    """What a balance read costs by population, sessions and journal."""
    mock, limit = walletproof("Walletproof"), bare()
    large = walletproof("population 10,000,000", "--population", "10000000")
    columns = {"of bare ASGI": f"{limit.name}: {READ.name}", "of the first": f"{mock.name}: {READ.name}"}
    return [
        Planned(limit, READ),
        Planned(mock, READ, columns),
        Planned(walletproof("population 1", "--population", "1"), READ, columns, wallets=1),
        Planned(large, READ, columns),
        Planned(large, MANY_READ, columns, wallets=20_000),
        Planned(mock, SPREAD_READ, columns),
        Planned(mock, LONG_READ, columns, prepare=_long_session),
        Planned(walletproof("journal off", "--journal", "0"), READ, columns),
        Planned(walletproof("journal off", "--journal", "0"), TOP_UP, {"of the first": f"{mock.name}: {READ.name}"}),
    ]


def logs(places: dict[str, list[str]], database: int, loads: Sequence[Load]) -> list[Planned]:
    """Every log with one worker, and those that workers can share with two as well, under each load.

    `places` has a value of `--log` for each server to start, by name; `database` is the process of PostgreSQL.
    """
    rows = []
    for name, (of_one, *of_two) in places.items():
        helpers = (database,) if of_one.startswith("postgresql:") else ()
        mock = walletproof(name, "--log", of_one, helpers=helpers)
        beside = {load: {} if name == _MEMORY else {"of memory": f"{_MEMORY}: {load.name}"} for load in loads}
        rows += [Planned(mock, load, beside[load]) for load in loads]
        for place in of_two:
            pair = walletproof(f"{name}, two workers", "--log", place, "--workers", "2", cores=BOTH_CORES, helpers=helpers)
            rows += [Planned(pair, load, {**beside[load], "of one worker": f"{name}: {load.name}"}) for load in loads]
    return rows


def places(folder: Path, database: Database) -> dict[str, list[str]]:
    """Values of `--log`, by the name of the log: for one worker, and if several can share it, for two."""
    return {
        _MEMORY: ["memory"],
        "SQLite": [f"sqlite:{folder / 'one.sqlite'}", f"sqlite:{folder / 'two.sqlite'}"],
        "PostgreSQL": [database.new_url(), database.new_url()],
    }


def measure(title: str, plan: list[Planned], pace: Pace, folder: Path, say: Callable[[str], None]) -> Group:
    """All rows of a group, round by round, all its servers running all the time."""
    with ExitStack() as stack:
        started: dict[str, Running] = {}
        say(f"{title}: starting {len({row.server.name for row in plan})} servers")
        for server in {row.server.name: row.server for row in plan}.values():
            started[server.name] = stack.enter_context(running(server, folder))
        known = {(row.server.name, row.wallets): row for row in plan if row.server.ours}
        wallets = {key: started[row.server.name].wallets(row.wallets) for key, row in known.items()}
        some = next(iter(wallets.values()))  # peers and the bare function take any id
        for there in started.values():
            _answers_balances(there)
        for row in plan:
            if row.prepare:
                row.prepare(started[row.server.name])
            if pace.warm:
                send(started[row.server.name], row.load, wallets.get((row.server.name, row.wallets), some), row.server.warm_up)
        runs: list[list[Run]] = [[] for _ in plan]
        for number in range(1, pace.rounds + 1):
            for row, found in zip(plan, runs, strict=True):
                run = send(started[row.server.name], row.load, wallets.get((row.server.name, row.wallets), some), pace.seconds)
                found.append(run)
                say(f"  round {number}  {row.server.name + ': ' + row.load.name:58} {run.rate:9,.0f}/s")
    rows = [
        Row(row.server.name, row.server.ours, row.load.name, row.against, row.server.core_count, found)
        for row, found in zip(plan, runs, strict=True)
    ]
    return Group(title, rows)


def _answers_balances(there: Running) -> None:
    answer = there.ask("GET", f"{there.server.prefix}wallets/{SOME_WALLET}/balance/real-time")
    if "balance" not in answer:
        raise BenchError(f"{there.server.name} answers something else than a balance: {answer}")


def _long_session(mock: Running) -> None:
    mock.top_up_all([(wallet, LONG_READ.session) for wallet in mock.wallets(EVENTS)])
