"""What a comparison found out, in every format."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.text import Text

from contract_tests.compare.answers import KINDS
from contract_tests.compare.outcome import Comparison, Comparisons, Difference, to_json
from contract_tests.compare.wording import VERDICTS, fidelity, skipped, words
from contract_tests.reports.wording import one_line, plural, visible

_MOST_GROUPS = 12
_MOST_LISTED = 6
_MOST_OPERATIONS = 4
_WIDTH = 100
_COLOURS = {"pass": "bold green", "findings": "bold red", "inconclusive": "bold yellow"}


def print_comparisons(console: Console, comparisons: Comparisons) -> None:
    """Print what was found: the differences first, how to see the first of them again last."""
    printer = _Printer(console)
    for run in comparisons.runs:
        printer.run(run)
        printer.line()
    verdict = comparisons.verdict
    printer.line(
        ("walletproof compare: ", ""), (VERDICTS[verdict], _COLOURS[verdict]), (f" (exit code {comparisons.exit_code})", "")
    )


def as_text(comparisons: Comparisons) -> str:
    """The same as text."""
    out = io.StringIO()
    console = Console(file=out, width=_WIDTH, force_terminal=False, color_system=None, legacy_windows=False)
    print_comparisons(console, comparisons)
    return out.getvalue()


def as_json(comparisons: Comparisons) -> str:
    """Everything (docs/compare.md)."""
    text = json.dumps(to_json(comparisons), indent=2, ensure_ascii=False)
    # A target may send a lone surrogate, which only stands within strings, where JSON has an escape for it.
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def as_html(comparisons: Comparisons) -> str:
    """One page that needs nothing else."""
    from contract_tests.compare.page import page

    return page(comparisons)


FORMATS: dict[str, Callable[[Comparisons], str]] = {"json": as_json, "html": as_html, "text": as_text}


def together(differences: Iterable[Difference]) -> list[list[Difference]]:
    """Differences that look like one: the same kind, member and problem in several operations. Those that count come first."""
    groups: dict[tuple[str, ...], list[Difference]] = {}
    for entry in differences:
        member = entry.pointer.rpartition("/")[2]
        key = (entry.kind, member, entry.problem, entry.operation if not member else "", str(entry.fails))
        groups.setdefault(key, []).append(entry)
    return sorted(groups.values(), key=lambda group: (not group[0].fails, KINDS.index(group[0].kind)))


class _Printer:
    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, *parts: tuple[str, str]) -> None:
        """One line of parts with their styles."""
        line = Text()
        for part, style in parts:
            line.append(part.encode(self._console.encoding, "backslashreplace").decode(self._console.encoding), style)
        self._console.print(line, soft_wrap=True, highlight=False)

    def run(self, run: Comparison) -> None:
        numbers = f"{plural(run.steps, 'step')}, {plural(run.requests, 'request')} in {run.seconds:.1f} s, seed {run.seed}"
        self.line((one_line(run.provider), "bold"), (f"  {run.mode}  {numbers}", "dim"))
        for name, url in zip(run.names, (run.a, run.b), strict=True):
            self.line((f"{name:<5}", "bold"), (one_line(url), ""))
        counting = [entry for entry in run.differences if entry.fails]
        groups = together(run.differences)
        failing = sum(group[0].fails for group in groups)
        shown = f"{plural(len(counting), 'difference')} in {plural(failing, 'group')}" if counting else "no difference"
        self.line((shown.upper() if run.verdict == "pass" else shown, _COLOURS[run.verdict]), (f", {fidelity(run.fidelity)}", ""))
        for reason in run.why:
            self.line((f"  {one_line(reason)}", "yellow"))
        for number, group in enumerate(groups[:_MOST_GROUPS], 1):
            self._group(run, number, group)
        if len(groups) > _MOST_GROUPS:
            self.line((f"    ... and {len(groups) - _MOST_GROUPS} more; see the report", "dim"))
        self._lists(run)
        if counting:
            self._reproduce(run, groups[0][0])

    def _group(self, run: Comparison, number: int, group: list[Difference]) -> None:
        first = group[0]
        operations = list(dict.fromkeys(f"{entry.operation or 'no operation'} {entry.pointer}".strip() for entry in group))
        more = f" and {len(operations) - _MOST_OPERATIONS} more" if len(operations) > _MOST_OPERATIONS else ""
        state = "known" if first.ignored else first.confirmation
        count = sum(entry.count for entry in group)
        self.line(
            (f"{number:>3} ", "dim"),
            (f"{first.kind} ", "bold red" if first.fails else "bold yellow"),
            (f"{', '.join(operations[:_MOST_OPERATIONS])}{more}", ""),
            (f"  {state}, {plural(count, 'step')}", "dim"),
        )
        rules = f"; only one side breaks {', '.join(first.rules)}" if first.rules else ""
        self.line((f"    {one_line(first.problem)}: {one_line(first.situation)}{rules}", ""))
        for name, said in zip(run.names, (first.a, first.b), strict=True):
            self.line((f"      {name} says ", "dim"), (one_line(said)[:200], ""))
        if first.also:
            self.line((f"      and so {', '.join(first.also[:_MOST_LISTED])}", "dim"))

    def _lists(self, run: Comparison) -> None:
        low = sorted((entry.share or 0.0, name) for name, entry in run.by_operation.items() if entry.agreed < entry.compared)
        self._list("lowest", [f"{name} {share:.1%}" for share, name in low])
        self._list("not comparable", [skipped(entry) for entry in sorted(run.not_comparable, key=lambda entry: -entry.count)])
        self._list("other words", [words(entry)[:160] for entry in run.words])
        if run.imitations:
            flags = " ".join(f"--defect {name}" for name in run.imitations)
            self._list("to be alike", [f"walletproof serve {flags}"])
        self._list("paired", run.paired)
        self._list("left", [one_line(entry) for entry in run.leftovers])

    def _list(self, title: str, entries: list[str]) -> None:
        for number, entry in enumerate(entries[:_MOST_LISTED]):
            self.line((f"{'' if number else title:<15}", "dim"), (entry, ""))
        if len(entries) > _MOST_LISTED:
            self.line((" " * 15, ""), (f"... and {len(entries) - _MOST_LISTED} more; see the report", "dim"))

    def _reproduce(self, run: Comparison, first: Difference) -> None:
        self.line()
        self.line(("To see the first difference again:", "bold"))
        for line in first.before:
            self.line((f"      after {one_line(line)}", "dim"))
        for name, step in zip(run.names, (first.step_a, first.step_b), strict=True):
            self.line((f"{name:<5}", "bold"), (visible(step.curl), ""))
            answer = f"{step.status or step.trouble} {step.response_body[:300]}"
            self.line(("      ", ""), (one_line(answer), "dim"))
