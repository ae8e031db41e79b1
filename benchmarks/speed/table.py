"""The page with all figures."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from benchmarks.speed.results import Footprint, Group, Reset, Results, Row, Sessions
from benchmarks.speed.wrk import CONNECTIONS

_HEAD = """# Benchmarks

<!-- Made by `python -m benchmarks.speed`; what people wrote is in benchmarks/notes.md. -->

Measured with `{command}`; `ARGS=--render` makes this page and the plot again from
[benchmarks.json](benchmarks.json). Each server has one core and wrk another, with {connections} connections that each wait for
their answer. The servers of a table take turns, round by round; a rate is the median of its rounds, a ratio the median of the
ratios within a round. *Server µs* is the processor time that each request took. Compare within a table: rates of another machine,
or of another hour of this one, say little.

![Requests per second, seconds to the first answer, memory](benchmarks.svg)
"""


def page(results: Results, notes: str) -> str:
    """The whole page, Markdown."""
    parts = [
        _HEAD.format(command=results.command, connections=CONNECTIONS),
        _table(("what", "which"), [*results.about.items(), ("other work", _others(results.groups))]),
    ]
    for group in results.groups:
        parts += [f"## {group.title}\n", _rates(group)]
    if results.footprints:
        parts += ["## Start and memory\n", _footprints(results.footprints)]
    if results.sessions or results.resets:
        parts += ["## Sessions and resets\n", _sessions(results.sessions, results.resets)]
    return "\n".join([*parts, *([notes] if notes else [])])


def limit(row: Row) -> str:
    """What had no more to give: cores of the server, wrk, or neither, so that all were waiting for something else.

    Where other work was in the way, nothing can be said.
    """
    if statistics.median(run.others_busy for run in row.runs) > 0.1:
        return "other work"
    busy = statistics.median(run.server_busy for run in row.runs) / row.cores
    client = statistics.median(run.client_busy for run in row.runs)
    if client > 0.9:
        return "wrk"
    if row.cores > 1 and busy + client / row.cores > 0.9:
        return "both cores, which wrk shares"
    return "the server's core" if busy > 0.9 else "waiting"


def _rates(group: Group) -> str:
    headings = list(dict.fromkeys(heading for row in group.rows for heading in row.against))
    head = (
        "server",
        "load",
        "requests/s",
        "lowest to highest",
        *headings,
        "median ms",
        "p99 ms",
        "server busy",
        "server µs",
        "limit",
    )
    return _table(
        head,
        (
            (
                row.server,
                row.load,
                f"{row.rate:,.0f}",
                _span([run.rate for run in row.runs], ",.0f"),
                *(_ratio(group.ratios(row, heading)) for heading in headings),
                f"{statistics.median(run.median for run in row.runs):.2f}",
                f"{statistics.median(run.p99 for run in row.runs):.1f}",
                f"{statistics.median(run.server_busy for run in row.runs):.0%}",
                f"{statistics.median(run.server_busy / run.rate for run in row.runs) * 1e6:,.0f}",
                limit(row),
            )
            for row in group.rows
        ),
    )


def _others(groups: Sequence[Group]) -> str:
    busy = [run.others_busy for group in groups for row in group.rows for run in row.runs]
    if not busy:
        return "not measured"
    return f"kept {statistics.median(busy):.2f} of a core busy meanwhile (median of the runs; most {max(busy):.2f})"


def _footprints(footprints: Sequence[Footprint]) -> str:
    return _table(
        ("server", "first 200, s", "lowest to highest", "memory idle, MiB", "memory afterwards, MiB", "after so many requests"),
        (
            (
                entry.server,
                f"{statistics.median(entry.starts):.2f}",
                _span(entry.starts, ".2f"),
                f"{entry.idle:.0f}",
                f"{entry.worked:.0f}",
                f"{entry.requests:,}",
            )
            for entry in footprints
        ),
    )


def _sessions(sessions: Sequence[Sessions], resets: Sequence[Reset]) -> str:
    rows = []
    for entry in sessions:
        rows += [
            (f"memory of a session that was read, mean of {entry.count:,}", f"{entry.touched:.1f} KiB", ""),
            (f"memory of a session that was changed, mean of {entry.count:,}", f"{entry.changed:.1f} KiB", ""),
        ]
    rows += [
        (
            f"reset after {entry.events:,} top-ups, {entry.server}",
            f"{statistics.median(entry.milliseconds):.1f} ms",
            _span(entry.milliseconds, ".1f"),
        )
        for entry in resets
    ]
    return _table(("what", "median", "lowest to highest"), rows)


def _span(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} to {max(values):{form}}"


def _ratio(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f}" if ratios else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
