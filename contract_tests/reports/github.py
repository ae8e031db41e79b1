"""GitHub Actions: annotations as workflow commands, and the job summary as Markdown."""

from __future__ import annotations

from contract_tests.reports.ranking import ranked
from contract_tests.reports.wording import (
    VERDICTS,
    command,
    comparison,
    coverage,
    cut,
    details,
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
    visible,
)
from contract_tests.results import Cause, Results, Run

_MOST = 10
"""GitHub shows so many errors and so many warnings of a step, and drops the others without a word."""
_LONGEST = 4000
_LONGEST_CELL = 200
_LONGEST_REASON = 1000
_MOST_STEPS = 8
_MARKS = "&<>\"'|`*_[]()~\\@#!"


def workflow_commands(results: Results) -> str:
    """Workflow commands: an error for what fails the run, a warning for what one should know, a notice if there is more."""
    errors, warnings = [], []
    if not results.runs:
        warnings.append(_command("warning", "walletproof: inconclusive", "nothing was run"))
    for run in results.runs:
        about = f"walletproof {run.provider}"
        errors += [_command("error", f"{about}: policy", note) for note in failing_notes(run)]
        why = reasons(run) or ([headline(run)] if run.verdict == "inconclusive" else [])
        warnings += [_command("warning", f"{about}: {run.verdict}", reason) for reason in why]
    for run in results.runs:
        for cause in ranked(run.causes):
            kind = "error" if cause.fails else "warning"
            extra = "" if cause.fails else f" ({standing(cause)})"
            made = _command(kind, f"{cause.rule} {cause.operation or 'no operation'}{extra}", details(cause))
            (errors if cause.fails else warnings).append(made)
    lines = [*errors[:_MOST], *warnings[:_MOST]]
    if hidden := len(errors[_MOST:]) + len(warnings[_MOST:]):
        lines.append(_command("notice", "walletproof", f"and {hidden} more; see the report"))
    return "".join(f"{line}\n" for line in lines)


def _command(kind: str, title: str, message: str) -> str:
    return f"::{kind} title={_property(one_line(title, 200))}::{_data(cut(visible(message), _LONGEST))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def summary_markdown(results: Results) -> str:
    """The job summary: verdict, numbers, and the first ten causes of each run."""
    lines = [f"## {_cell(command(results))}: {VERDICTS[results.verdict].lower()} (exit code {results.exit_code})", ""]
    for run in results.runs:
        lines += _run(run)
    if not results.runs:
        lines.append("Nothing was run.")
    return "\n".join(lines).rstrip() + "\n"


def _run(run: Run) -> list[str]:
    seen = ", ".join(f"{kind} {seen}/{all}" for kind, (seen, all) in coverage(run).items())
    count = outcomes(run)
    lines = [
        f"### {_cell(run.provider)} on {_cell(run.target)}: {run.verdict}",
        "",
        f"{_cell(headline(run))}",
        "",
        *(f"- {_cell(reason, _LONGEST_REASON)}" for reason in [*failing_notes(run), *reasons(run)]),
        f"- {plural(run.requests, 'request')} in {run.seconds:.1f} s{seed(run)}, mode {_cell(run.mode)}, level {run.level}",
        f"- causes: {totals(run)}",
        f"- rules: {count['passed']} passed, {count['failed']} failed, {count['not tested']} not tested",
        f"- seen: {seen}",
        "",
    ]
    causes = ranked(run.causes)
    if causes:
        lines += ["| | rule | where | problem | seen |", "|---|---|---|---|---|", *map(_row, causes[:_MOST]), ""]
    if len(causes) > _MOST:
        lines += [f"... and {len(causes) - _MOST} more; see the report", ""]
    if causes and causes[0].steps:
        lines += [*_commands(causes[0]), ""]
    return lines


def _row(cause: Cause) -> str:
    problem = one_line(cause.problem) + (f" ({comparison(cause)})" if comparison(cause) else "")
    cells = [
        "fails" if cause.fails else "",
        f"<code>{_cell(cause.rule)}</code>",
        f"<code>{_cell(place(cause))}</code>",
        _cell(problem),
        _cell(standing(cause)),
    ]
    return f"| {' | '.join(cells)} |"


def _commands(cause: Cause) -> list[str]:
    steps = cause.steps[-_MOST_STEPS:]
    lines = "\n".join(visible(step.curl) for step in steps)
    fence = "```"
    while fence in lines:
        fence += "`"
    title = f"Reproduce <code>{_cell(cause.rule)}</code>"
    return [f"<details><summary>{title}</summary>", "", f"{fence}sh", lines, fence, "", "</details>"]


def _cell(text: str, longest: int = _LONGEST_CELL) -> str:
    """Text that is neither HTML nor Markdown nor the end of a table's cell."""
    return "".join(f"&#{ord(mark)};" if mark in _MARKS else mark for mark in one_line(text, longest))
