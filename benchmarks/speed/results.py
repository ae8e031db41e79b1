"""What a run found: the one model behind the table, the plot and the JSON file."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1


@dataclass(frozen=True)
class Run:
    """One run of the load generator against one server.

    `rate` is in requests per second, latencies in milliseconds; what server, load generator and everything else on the machine
    used of the processor is in cores.
    """

    rate: float
    median: float
    p99: float
    server_busy: float
    client_busy: float
    others_busy: float


@dataclass(frozen=True)
class Row:
    """The runs of one load on one server, one of each round.

    `against` names rows of the same group to compare with, by the heading of their column.
    """

    server: str
    ours: bool
    load: str
    against: dict[str, str]
    cores: int
    runs: list[Run]

    @property
    def key(self) -> str:
        """What other rows call it."""
        return f"{self.server}: {self.load}"

    @property
    def rate(self) -> float:
        """Requests per second, the median of the rounds."""
        return statistics.median(run.rate for run in self.runs)


@dataclass(frozen=True)
class Group:
    """Rows that were measured in turns, so that what slows the machine slows all of them."""

    title: str
    rows: list[Row]

    def ratios(self, row: Row, heading: str) -> list[float]:
        """How many times as fast as the row under `heading`, round by round; nothing where there is none to compare with."""
        other = next((candidate for candidate in self.rows if candidate.key == row.against.get(heading)), None)
        return [mine.rate / theirs.rate for mine, theirs in zip(row.runs, other.runs, strict=True)] if other else []


@dataclass(frozen=True)
class Footprint:
    """What one server costs before and after its work: seconds to the first 200, and MiB of resident memory."""

    server: str
    ours: bool
    starts: list[float]
    idle: float
    worked: float
    requests: int


@dataclass(frozen=True)
class Sessions:
    """KiB of memory that each session takes, of so many."""

    count: int
    touched: float
    changed: float


@dataclass(frozen=True)
class Reset:
    """Milliseconds that resetting a session takes, by log."""

    server: str
    events: int
    milliseconds: list[float]


@dataclass(frozen=True)
class Results:
    """A whole run; `about` has machine, versions and settings in the order in which they are shown."""

    command: str
    about: dict[str, str]
    groups: list[Group] = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list)
    sessions: list[Sessions] = field(default_factory=list)
    resets: list[Reset] = field(default_factory=list)


def write(results: Results, path: Path) -> None:
    """As JSON, numbers to four digits after the point."""
    data = json.loads(json.dumps({"format": FORMAT, **asdict(results)}), parse_float=lambda text: round(float(text), 4))
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> Results:
    """What `write` wrote; ValueError if it is something else."""
    try:
        return _results(**json.loads(path.read_text("utf-8")))
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: not results of this version of the benchmarks; measure again") from None


def _results(format: int, command: str, about: dict[str, str], **lists: list[dict[str, Any]]) -> Results:
    if format != FORMAT:
        raise ValueError(format)
    return Results(
        command,
        about,
        [_group(**group) for group in lists["groups"]],
        [Footprint(**entry) for entry in lists["footprints"]],
        [Sessions(**entry) for entry in lists["sessions"]],
        [Reset(**entry) for entry in lists["resets"]],
    )


def _group(title: str, rows: list[dict[str, Any]]) -> Group:
    return Group(title, [Row(**{**row, "runs": [Run(**run) for run in row["runs"]]}) for row in rows])
