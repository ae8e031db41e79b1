"""wrk, the load generator: one thread on a core of its own, 16 connections that each wait for an answer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks.speed.busy import Meter
from benchmarks.speed.processes import BenchError
from benchmarks.speed.results import Run
from benchmarks.speed.servers import CLIENT_CORE, Running

CONNECTIONS = 16
_SCRIPT = Path(__file__).with_name("load.lua")
_marks = count(1)


@dataclass(frozen=True)
class Load:
    """What is asked: `reads` of ten requests are balances, the others top-ups, of the wallets in turn.

    `sessions`: None uses `default`, 1 or more are named `session`, or `session-1` and so on. A load of one session that
    writes begins with a session that nothing has happened in.
    """

    name: str
    reads: int = 10
    sessions: int = 0
    session: str = "s"


READ, TOP_UP, MIXED = Load("balance read"), Load("top-up", reads=0), Load("90% reads, 10% top-ups", reads=9)


def tool() -> str:
    """The path of wrk; BenchError if it is not there."""
    path = shutil.which("wrk")
    if path is None:
        raise BenchError("bench needs wrk as load generator (Debian: apt-get install wrk)")
    return path


def send(running: Running, load: Load, wallets: list[str], seconds: int) -> Run:
    """Some seconds of load; BenchError if anything but a success was answered."""
    mark = f"run{next(_marks)}"
    sessions, session = load.sessions, load.session
    if running.server.ours and load.reads < 10 and not sessions:
        sessions, session = 1, mark  # of its own, so that every run begins with as little behind it
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(wallets))
        file.flush()
        arguments = [running.server.prefix, file.name, load.reads, sessions, session, mark]
        line = ["taskset", "-c", CLIENT_CORE, tool(), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "-s", str(_SCRIPT), running.url]
        meter = Meter(running.roots(), running.server.cores)
        output = subprocess.run([*line, "--", *map(str, arguments)], capture_output=True, text=True, check=False)
        busy = meter.read()
    result = said(f"{running.server.name}, {load.name}", output.stdout + output.stderr)
    if sessions == 1 and session == mark:
        running.ask("DELETE", f"/_mock/sessions/{mark}")
    rate = result["requests"] / result["seconds"]
    return Run(rate, result["median"], result["p99"], busy.server, busy.client, busy.others)


def said(what: str, output: str) -> dict[str, float]:
    """The result in what wrk wrote; BenchError if the load did not go well."""
    found = re.search(r"^result (\{.*\})$", output, flags=re.MULTILINE)
    if found is None:
        raise BenchError(f"{what}: wrk gave no result:\n{output.strip()}")
    result: dict[str, float] = json.loads(found[1])
    if result["refused"] or result["broken"] or not result["requests"]:
        raise BenchError(
            f"{what}: of {result['requests']} requests {result['refused']} were answered with an error and"
            f" {result['broken']} not at all, so this would not be a speed"
        )
    return result
