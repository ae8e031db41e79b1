"""What a comparison found out, as one HTML page that needs nothing else."""

from __future__ import annotations

from contract_tests.compare.outcome import Comparison, Comparisons
from contract_tests.compare.wording import VERDICTS, fidelity, skipped, words
from contract_tests.reports.html import render


def page(comparisons: Comparisons) -> str:
    """The page."""
    views = [_view(run) for run in comparisons.runs]
    return render("comparison.html", comparisons=comparisons, verdict=VERDICTS[comparisons.verdict].capitalize(), views=views)


def _view(run: Comparison) -> dict[str, object]:
    """What the template needs besides the run itself."""
    operations = sorted(run.by_operation.items(), key=lambda entry: (entry[1].share or 0.0, entry[0]))
    return {
        "run": run,
        "verdict": VERDICTS[run.verdict],
        "fidelity": fidelity(run.fidelity),
        "differences": sorted(run.differences, key=lambda entry: not entry.fails),
        "facts": {
            run.names[0]: run.a,
            run.names[1]: run.b,
            "Mode": run.mode,
            "Seed": str(run.seed),
            "Steps": f"{run.steps:,}",
            "Requests": f"{run.requests:,}",
            "Time": f"{run.seconds:.1f} s",
        },
        "operations": [
            {
                "title": name or "no operation",
                "percent": int(100 * (entry.share or 0.0)),
                "agreed": entry.agreed,
                "compared": entry.compared,
            }
            for name, entry in operations
        ],
        "lists": {
            "Defects with which the mock does what the other side does": [f"--defect {name}" for name in run.imitations],
            "Not comparable": [skipped(entry) for entry in run.not_comparable],
            "Other words, which count as no difference": [words(entry) for entry in run.words],
            "Wallets paired": run.paired,
            "Left behind": run.leftovers,
        },
    }
