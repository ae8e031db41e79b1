"""What a terminal shows: the verdict and the first ten causes on one screen, the rest below.

Plain words and ASCII: it reads the same in a log file, and colours only repeat what the words say.
"""

from __future__ import annotations

import io
import os
import sys
from collections import defaultdict

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from contract_tests.reports.ranking import together
from contract_tests.reports.wording import (
    FAILS,
    VERDICTS,
    command,
    comparison,
    coverage,
    failing_notes,
    headline,
    one_line,
    outcomes,
    place,
    plural,
    reasons,
    seed,
    standing,
    totals,
    traffic,
    visible,
)
from contract_tests.results import Cause, Results, Run, TrafficSeen

_MOST_CAUSES = 10
_MOST_STEPS = 8
_MOST_LISTED = 6
_ABOVE = 23
"""So many lines at most are the verdict and the causes: with the prompt, 24."""
_COLOURS = {"pass": "bold green", "findings": "bold red", "inconclusive": "bold yellow"}


class Terminal(Console):
    """A console whose reader may go away (`gate | head`): that is no verdict."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_results(console: Console, results: Results) -> None:
    """Print what a run found out."""
    printer = _Printer(console)
    for run in results.runs:
        printer.run(run)
        printer.line()
    if results.traffic is not None:
        printer.traffic(results.traffic)
    elif not results.runs:
        printer.line(("nothing was run", ""))
    verdict = results.verdict
    printer.line(
        (f"{command(results)}: ", ""), (VERDICTS[verdict].lower(), _COLOURS[verdict]), (f" (exit code {results.exit_code})", "")
    )


def as_text(results: Results, width: int = 100) -> str:
    """The same as text."""
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=False, force_jupyter=False, color_system=None, legacy_windows=False)
    print_results(console, results)
    return out.getvalue()


class _Printer:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = console.width

    def line(self, *parts: tuple[str, str], cut: bool = True) -> None:
        """One line of parts with their styles; cut at the console's width if it is to stay one."""
        line, room = Text(), self._width
        for part, style in parts:
            shown = self._encodable(part)
            shown = _fit(shown, room) if cut else shown
            room -= cell_len(shown)
            line.append(shown, style)
        self._console.print(line, soft_wrap=True, highlight=False)

    def run(self, run: Run) -> None:
        groups = together(run.causes)
        numbers = f"{plural(run.requests, 'request')} in {run.seconds:.1f} s{seed(run)}"
        what = f"  {one_line(run.mode)}, {run.level}  "
        room = self._width - cell_len(numbers) - cell_len(what) - cell_len(run.provider) - 2
        self.line((one_line(run.provider), "bold"), ("  " + _fit(one_line(run.target), room), ""), (what + numbers, "dim"))
        shown = groups[:_MOST_CAUSES]
        below = self._verdict(run, _ABOVE - 2 - 2 * len(shown) - (len(groups) > len(shown)))
        for number, group in enumerate(shown, 1):
            # Which probe it was the report tells; the entry of a recording is where to look.
            found = one_line(group[0].probe.rpartition("/")[2])
            self._group(number, group, f"{found}: " if run.seed is None else "")
        more = sum(len(group) for group in groups[_MOST_CAUSES:])
        if more:
            self.line((f"    ... and {more} more; see the report", "dim"))
        self._list("why", below, most=len(below))
        self._numbers(run)
        self._lists(run)
        if groups and groups[0][0].steps:
            self._reproduce(groups[0][0])

    def traffic(self, seen: TrafficSeen) -> None:
        """What of the traffic was looked at."""
        lines = [("read" if not number else "", line) for number, line in enumerate(traffic(seen))]
        problems = [one_line(problem) for problem in seen.problems]
        lines += [("broken" if not number else "", problem) for number, problem in enumerate(problems[:_MOST_LISTED])]
        if len(problems) > _MOST_LISTED:
            lines.append(("", f"... and {len(problems) - _MOST_LISTED} more; see the report"))
        for title, text in lines:
            # Never cut: which file, which entry, which host is what a reader is here for.
            self.line((f"{title:<7}", "dim"), (text, ""), cut=False)
        self.line()

    def _verdict(self, run: Run, room: int) -> list[str]:
        """The verdict and what is behind it; gives back the reasons that there is no room for."""
        self.line((VERDICTS[run.verdict].upper(), _COLOURS[run.verdict]), (f": {headline(run)}", ""))
        why = [*(f"policy: {note}" for note in failing_notes(run)), *reasons(run)]
        for reason in why[:room]:
            self.line((f"  {reason}", ""))
        return why[room:]

    def _group(self, number: int, group: list[Cause], found: str) -> None:
        cause = group[0]
        colour = "red" if cause.fails else "yellow" if cause.standing == "new" else "dim"
        others = f" and {len(group) - 1} more places" if len(group) > 2 else " and one more place" if len(group) > 1 else ""
        tags = f"{others}  {standing(cause)}"
        start = f"{number:>3} "
        room = self._width - cell_len(start) - cell_len(cause.rule) - cell_len(tags) - 1
        where = _fit(place(cause), max(room, 0))
        self.line((start, "dim"), (f"{one_line(cause.rule)} ", f"bold {colour}"), (where, ""), (tags, "dim"))
        words = comparison(cause)
        if not words:
            self.line((f"    {found}{one_line(cause.problem)}", ""))
            return
        # Of a problem and a comparison that are both long, something of each.
        room = self._width - len("    : ") - cell_len(found)
        problem = _fit(one_line(cause.problem), max(room - cell_len(words), room // 2))
        self.line((f"    {found}{problem}: {words}", ""))

    def _numbers(self, run: Run) -> None:
        count = outcomes(run)
        seen = ", ".join(f"{kind} {seen}/{all}" for kind, (seen, all) in coverage(run).items())
        rules = f"{count['passed']} passed, {count['failed']} failed, {count['not tested']} not tested"
        for title, text in (("causes", totals(run)), ("rules", rules)):
            self._entry(title, text)
        reasons_of: dict[str, int] = defaultdict(int)
        for rule in run.rules:
            if rule.outcome == "not tested":
                reasons_of[one_line(rule.reason) or "no reason given"] += 1
        self._list("", [f"{number} not tested: {reason}" for reason, number in _by_count(reasons_of)])
        self._entry("seen", seen)
        if run.seed is not None:
            self._entry("own", f"{plural(run.created, 'wallet')} created, {run.cleaned} cleaned up")

    def _lists(self, run: Run) -> None:
        self._list("left", [one_line(entry) for entry in run.leftovers])
        self._list("policy", [one_line(note) for note in run.policy_notes if not note.startswith(FAILS)])
        self._list("fixed", [one_line(entry) for entry in run.fixed])

    def _entry(self, title: str, text: str) -> None:
        self.line((f"{title:<7}", "dim"), (text, ""))

    def _list(self, title: str, entries: list[str], most: int = _MOST_LISTED) -> None:
        for number, entry in enumerate(entries[:most]):
            self._entry("" if number else title, entry)
        if len(entries) > most:
            self._entry("", f"... and {len(entries) - most} more; see the report")

    def _reproduce(self, cause: Cause) -> None:
        self.line()
        steps = cause.steps[-_MOST_STEPS:]
        left_out = f" (the last {len(steps)} of {len(cause.steps)} requests)" if len(steps) < len(cause.steps) else ""
        self.line((f"To see {cause.rule} again{left_out}:", "bold"))
        shown = [visible(step.curl) for step in steps]
        for line in shown:
            self.line((line, ""), cut=False)
        if any(line != step.curl for line, step in zip(shown, steps, strict=True)):
            self.line(("Characters that cannot be printed are shown as escapes; the JSON report has them as they are.", "dim"))

    def _encodable(self, text: str) -> str:
        """What the console's encoding has no sign for, as an escape."""
        encoding = self._console.encoding
        return text.encode(encoding, "backslashreplace").decode(encoding)


def _by_count(counted: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))


def _fit(text: str, room: int) -> str:
    """The text, or as much of it as there is room for, with three dots."""
    if cell_len(text) <= room:
        return text
    kept, used = [], 0
    for character in text[:room]:
        used += cell_len(character)
        if used > room - 3:
            break
        kept.append(character)
    return "".join(kept) + "..."[: max(room, 0)]
