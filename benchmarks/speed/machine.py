"""What the figures depend on: the machine and the versions of everything."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path

from benchmarks.speed.processes import BenchError
from benchmarks.speed.wrk import tool


def two_cores() -> None:
    """BenchError unless there are two cores to keep server and load apart."""
    if len(os.sched_getaffinity(0)) < 2:
        raise BenchError("bench needs two cores: one for the server, one for the load generator")


def about(folder: Path, postgres: str | None, peers: dict[str, str]) -> dict[str, str]:
    """Shown as it is, in this order."""
    shown = {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory():.0f} GiB, {platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.2f} (mean of one minute; what else ran on the machine)",
        "files of databases": f"{_file_system(folder)}, writes synchronised as the databases do by default",
        "Walletproof": f"{version('walletproof')} on Python {platform.python_version()}",
        "libraries": ", ".join(
            f"{name} {version(name)}" for name in ("connexion", "openapi-core", "jsonschema-rs", "uvicorn", "uvloop", "httptools")
        ),
        "SQLite": sqlite3.sqlite_version,
    }
    if postgres:
        shown["PostgreSQL"] = postgres
    shown["load generator"] = _first_line([tool(), "--version"], r"wrk \S+")
    if peers:
        shown["peers"] = ", ".join(f"{name} {number}" for name, number in peers.items())
        shown["Node"] = _first_line(["node", "--version"], r"\S+")
        shown["Java"] = _first_line(["java", "-version"], r".*Runtime.*")
    return shown


def _first_line(command: list[str], pattern: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(pattern, result.stdout + result.stderr, flags=re.MULTILINE)
    return match[0] if match else "unknown"


def _processor() -> str:
    match = re.search(r"model name\s+: (.+)", Path("/proc/cpuinfo").read_text("utf-8"))
    return match[1].strip() if match else platform.machine()


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _file_system(folder: Path) -> str:
    return _first_line(["df", "--output=fstype", str(folder)], r"^(?!Type).+$")
