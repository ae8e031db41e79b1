"""The words that all reports share, and how text of a target is made harmless to show.

What a target sends may hold control characters (a terminal would obey them), lone surrogates (no file takes them), or
characters that change the order of those around them. They are shown as escapes.
"""

from __future__ import annotations

from collections import Counter

from contract_tests.reports.ranking import ranked
from contract_tests.results import Cause, Results, Run, TrafficSeen, Verdict

VERDICTS: dict[Verdict, str] = {"pass": "Pass", "findings": "Findings", "inconclusive": "Inconclusive"}
_MOST_ORIGINS = 4
FAILS = "fails: "
"""How a policy note begins that fails the run."""


def visible(text: str, keep: str = "\n\t") -> str:
    """`text` with everything that cannot be printed as an escape, but for what is in `keep`."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character in keep else _escape(character) for character in text)


def one_line(text: str, longest: int = 0) -> str:
    """`text` on one line, line ends as escapes; cut if there are more than `longest` characters."""
    return cut(visible(text, keep=""), longest)


def cut(text: str, longest: int) -> str:
    """`text`, or its beginning and `...`; 0 cuts nothing."""
    return text if not longest or len(text) <= longest else text[: max(longest - 3, 0)] + "..."


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def plural(number: int, noun: str) -> str:
    """`1 cause`, `1,234 causes`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def place(cause: Cause) -> str:
    """Where it is: operation and pointer."""
    return one_line(" ".join(part for part in (cause.operation or "no operation", cause.pointer) if part))


def standing(cause: Cause) -> str:
    """How sure it is, and whether it counts: `x12 confirmed, known`."""
    words = [f"x{cause.count} {cause.confirmation}"]
    if cause.standing == "known":
        words.append("known")
    elif not cause.fails:
        words.append("does not fail the run")
    return ", ".join(words)


def comparison(cause: Cause) -> str:
    """`expected 1, got 2`; empty if the problem says it all."""
    parts = [f"{word} {one_line(value)}" for word, value in (("expected", cause.expected), ("got", cause.got)) if value]
    return ", ".join(parts)


def again(cause: Cause) -> str:
    """What sending it again showed."""
    if cause.confirmation == "unconfirmed":
        return "not sent again"
    return f"{cause.confirmation}: seen {cause.seen} of {plural(cause.sent, 'time')}"


def details(cause: Cause) -> str:
    """Everything there is to say about a cause as plain lines, the commands to reproduce it last."""
    lines = [one_line(cause.problem), f"operation: {one_line(cause.operation) or 'no operation'}"]
    pairs = (("place", cause.pointer), ("expected", cause.expected), ("got", cause.got))
    lines += [f"{name}: {one_line(value)}" for name, value in pairs if value]
    lines.append(f"level: {cause.level}, found by {one_line(cause.probe) or 'no probe'}, x{cause.count}, {again(cause)}")
    if cause.standing == "known" or cause.reason:
        lines.append(f"{cause.standing}: {one_line(cause.reason) or 'no reason given'}")
    if cause.steps:
        lines += ["reproduce:", *(visible(step.curl) for step in cause.steps)]
    return "\n".join(lines)


def headline(run: Run) -> str:
    """The verdict's reason in one sentence, without what `why` adds to it."""
    if run.verdict == "inconclusive":
        return "too little was tested to say that the contract is kept"
    failing = sum(cause.fails for cause in run.causes)
    parts = []
    if failing:
        areas = Counter(cause.area for cause in ranked(run.causes) if cause.fails)
        fail = "cause fails" if failing == 1 else "causes fail"
        parts.append(f"{failing} {fail} the run ({', '.join(f'{count} {one_line(area)}' for area, count in areas.items())})")
    if notes := failing_notes(run):
        parts.append(broken_policy(notes))
    if parts:
        return ", ".join(parts)
    rest = len(run.causes)
    return f"{plural(rest, 'cause')} found, none that fails the run" if rest else "nothing found"


def failing_notes(run: Run) -> list[str]:
    """The policy's complaints that fail the run, without the mark."""
    return [one_line(note.removeprefix(FAILS)) for note in run.policy_notes if note.startswith(FAILS)]


def broken_policy(notes: list[str]) -> str:
    """How many entries of the policy fail the run."""
    return "1 entry of the policy no longer holds" if len(notes) == 1 else f"{len(notes)} entries of the policy no longer hold"


def reasons(run: Run) -> list[str]:
    """`why`, and what cut the run short if `why` does not say it."""
    found = [one_line(reason) for reason in run.why]
    stopped = one_line(run.interrupted)
    return [*([stopped] if stopped and stopped not in found else []), *found]


def totals(run: Run) -> str:
    """New, known, fixed and flaky, counted apart."""
    return ", ".join(f"{count} {name}" for name, count in run.tally().items())


def outcomes(run: Run) -> Counter[str]:
    """How many rules passed, failed, were not tested."""
    return Counter(rule.outcome for rule in run.rules)


def coverage(run: Run) -> dict[str, tuple[int, int]]:
    """Seen and all, by the word that readers know."""
    names = {"enums": "enum values"}
    return {names.get(name, name): pair for name, pair in run.coverage.counts().items()}


def seed(run: Run) -> str:
    """`, seed 1`; nothing where others sent the requests."""
    return "" if run.seed is None else f", seed {run.seed}"


def traffic(seen: TrafficSeen) -> list[str]:
    """What of the traffic was looked at, in a few lines."""
    lines = [f"{plural(seen.exchanges, 'exchange')}, {seen.judged:,} judged"]
    if seen.elsewhere:
        most = sorted(seen.elsewhere.items(), key=lambda entry: (-entry[1], entry[0]))
        shown = ", ".join(f"{one_line(origin, 60)} ({count:,})" for origin, count in most[:_MOST_ORIGINS])
        more = f" and {plural(len(most) - _MOST_ORIGINS, 'other host')}" if len(most) > _MOST_ORIGINS else ""
        lines.append(f"{sum(seen.elsewhere.values()):,} of other hosts or paths, left alone: {shown}{more}")
    if seen.unusable:
        lines.append(", ".join(f"{count:,} {reason}" for reason, count in sorted(seen.unusable.items())))
    if not seen.judged:
        hint = "; --server URL says where the service is, if it is behind another path" if seen.files else ""
        lines.append(f"nothing to judge: no request that was answered is for an operation of a contract{hint}")
    return lines


def command(results: Results) -> str:
    """`walletproof gate`."""
    return one_line(f"walletproof {results.command}".strip())
