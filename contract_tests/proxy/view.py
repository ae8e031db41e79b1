"""What passes, while it passes: the last exchanges on a terminal, a line for each in a log.

Neither queries nor bodies are shown, and of paths no id that people chose: they may hold secrets, or be about persons.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from contract_tests.proxy.examination import Seen
from contract_tests.reports.wording import one_line, plural
from contract_tests.traffic.kinds import is_of_people

_LONGEST = 200
_PATH = 2  # of the cells
_LONGEST_PART = 20
_LINES_BESIDE = 4  # the counts, a line above them, and room for the prompt


class View:
    """Shows exchanges. `quiet` shows nothing."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._lock = threading.Lock()
        self._last: deque[Seen] = deque(maxlen=100)
        self._statuses: Counter[str] = Counter()
        self._findings: Counter[str] = Counter()
        self._seen = 0
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(get_renderable=self._screen, console=self._console, transient=True, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, seen: Seen) -> None:
        """Show one more exchange."""
        if self._quiet:
            return
        with self._lock:
            self._seen += 1
            self._last.append(seen)
            self._statuses[f"{seen.status // 100}xx" if seen.status else "no answer"] += 1
            self._findings.update(finding.rule for finding in seen.findings or ())
        if self._live is None:
            try:
                self._console.print("  ".join(_cells(seen)), soft_wrap=True, markup=False, highlight=False, emoji=False)
            except OSError:  # a full disk: no reason to stop the traffic
                self._quiet = True

    def _screen(self) -> Table:
        with self._lock:
            last, seen = list(self._last), self._seen
            statuses, findings = sorted(self._statuses.items()), self._findings.most_common(3)
            found = self._findings.total()
        table = Table.grid(padding=(0, 2), expand=True)
        for ratio in (None, None, 3, None, None, 2):
            table.add_column(ratio=ratio, no_wrap=True, overflow="ellipsis")
        for entry in last[-max(self._console.height - _LINES_BESIDE, 1) :]:
            *cells, words = _cells(entry)
            cells[_PATH] = "/".join(_shortened(part) for part in cells[_PATH].split("/"))
            style = "red" if entry.findings or not entry.status else "green" if words == "0" else "dim"
            table.add_row(*(Text(cell) for cell in cells), Text(words, style))
        outer = Table.grid(expand=True)
        outer.add_column(no_wrap=True, overflow="ellipsis")
        outer.add_row(table)
        counts = [plural(seen, "exchange"), *(f"{number:,} {kind}" for kind, number in statuses), plural(found, "finding")]
        outer.add_row(Text(", ".join(counts) + "".join(f"; {rule} x{number:,}" for rule, number in findings), "bold"))
        return outer


def _shortened(part: str) -> str:
    """An id that is told apart by its end."""
    return part if len(part) <= _LONGEST_PART else f"{part[:9]}..{part[-6:]}"


def _place(pointer: str) -> str:
    """A pointer as far as its names are the contract's: those of metadata are what people chose, an e-mail perhaps."""
    parts = pointer.split("/")
    known = next((number for number, part in enumerate(parts, 1) if is_of_people(part)), len(parts))
    return "/".join([*parts[:known], *("*" for _ in parts[known:])])


def _cells(seen: Seen) -> list[str]:
    """Time, method, path, status, milliseconds, and what was found: rules with their places."""
    if seen.findings:
        words = ", ".join(dict.fromkeys(f"{finding.rule} {_place(finding.pointer)}".rstrip() for finding in seen.findings))
        words = f"{len(seen.findings)} {words}"
    else:
        words = "0" if seen.findings is not None else "-"
    if seen.note:
        words = seen.note if words == "-" else f"{seen.note}: {words}"
    return [
        time.strftime("%H:%M:%S", time.localtime(seen.started)),
        one_line(seen.method, 10),
        one_line(seen.path, _LONGEST),
        str(seen.status or "---"),
        f"{seen.seconds * 1000:.0f} ms",
        one_line(words, _LONGEST),
    ]
