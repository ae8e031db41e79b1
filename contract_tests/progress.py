"""How far a run has got, while it runs: a live line on a terminal, a line now and then in a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_PAUSE = 5.0


class Progress:
    """Shows what `update` is told, from whichever thread. `quiet` shows nothing."""

    def __init__(self, console: Console, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._quiet = quiet
        self._clock = clock
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._spinner = Spinner("line")
        self._phase = ""
        self._told = -_PAUSE

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal and not self._console.is_dumb_terminal:
            # Transient: when the run is over, what it found takes the line's place.
            self._live = Live(console=self._console, transient=True, refresh_per_second=8, redirect_stdout=False)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, what: str, *, operations: tuple[int, int], cases: int, findings: int, left: float | None) -> None:
        """Say where the run is: its phase and perhaps, after a colon, what it is at.

        `operations` are those reached of all, `cases` the requests sent, `left` seconds if they are limited.
        """
        words = [f"{operations[0]}/{operations[1]} operations", f"{cases:,} sent", f"{findings:,} found"]
        if left is not None:
            words.append(f"{_clock_time(left)} left")
        self._show(" ".join(what.split()), operations, ", ".join(words))

    def count(self, what: str, done: int, of: int = 0) -> None:
        """Say how many exchanges are done, of how many if that is known. Cheap enough to call for each."""
        if done % 100 == 0 or done == of:
            self._show(what, (done, of), f"{done:,} of {of:,} exchanges" if of else f"{done:,} exchanges")

    def _show(self, what: str, part: tuple[int, int], words: str) -> None:
        if self._quiet:
            return
        with self._lock:
            if self._live is not None:
                self._live.update(self._line(what, part, words))
            elif (phase := what.partition(":")[0]) != self._phase or self._clock() - self._told >= _PAUSE:
                line = f"{what}: {words}"
                self._console.print(line, soft_wrap=True, markup=False, highlight=False, emoji=False)
                self._told = self._clock()
                self._phase = phase

    def _line(self, what: str, part: tuple[int, int], words: str) -> Table:
        done, all_ = part
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(width=1)
        line.add_column(ratio=1, no_wrap=True, overflow="crop")
        line.add_column(width=min(20, self._console.width // 6))
        line.add_column(no_wrap=True, justify="right")
        bar = ProgressBar(total=max(all_, 1), completed=done, complete_style="cyan", finished_style="cyan")
        line.add_row(self._spinner, Text(what), bar, Text(words, "dim"))
        return line


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(max(round(seconds), 0), 60)
    return f"{minutes}:{rest:02}"
