"""The words that all reports of a comparison share."""

from __future__ import annotations

from contract_tests.compare.outcome import Fidelity, NotComparable, Words
from contract_tests.reports.wording import one_line
from contract_tests.results import Verdict

VERDICTS: dict[Verdict, str] = {"pass": "no difference", "findings": "differences", "inconclusive": "inconclusive"}


def skipped(entry: NotComparable) -> str:
    """What could not be compared, why, and how often."""
    return f"{entry.what or 'no operation'}: {one_line(entry.reason)}, x{entry.count}"


def words(entry: Words) -> str:
    """A text for people on both sides."""
    return f"{entry.operation or 'no operation'} {entry.pointer}: {one_line(entry.a)} / {one_line(entry.b)}"


def fidelity(figure: Fidelity) -> str:
    """`fidelity 99.24%: 4,071 of 4,102 comparisons agree`; never 100% unless all do."""
    if figure.share is None:
        return "nothing was comparable"
    share = min(figure.share, 0.9999) if figure.agreed < figure.compared else 1.0
    return f"fidelity {share:.2%}: {figure.agreed:,} of {figure.compared:,} comparisons agree"
