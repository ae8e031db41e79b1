"""What comparing two services found out: plain data without secrets, from which every report is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from contract_tests.compare.answers import Kind
from contract_tests.results import EXIT_CODES, Confirmation, Step, Verdict

FORMAT = 1
"""Version of the JSON report."""


@dataclass
class Difference:
    """One way in which B is not like A: the same operation, kind and place. `count` says in how many steps.

    `a` and `b` are what the first such step showed, `step_a` and `step_b` its exchanges, `before` what led to it in a few
    words. `rules` are those that only one side breaks there. `also` are places that differ because of this one.
    """

    fingerprint: str
    operation: str
    kind: Kind
    pointer: str
    problem: str
    situation: str
    a: str
    b: str
    step_a: Step
    step_b: Step
    before: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    count: int = 1
    confirmation: Confirmation = "unconfirmed"
    ignored: bool = False

    @property
    def fails(self) -> bool:
        """Whether it counts."""
        return not self.ignored and self.confirmation != "flaky"


@dataclass
class Fidelity:
    """Of what was comparable, how much agrees: pairs of a step and a kind of comparison."""

    agreed: int = 0
    compared: int = 0

    @property
    def share(self) -> float | None:
        """0 to 1; None if nothing was comparable."""
        return self.agreed / self.compared if self.compared else None


@dataclass
class NotComparable:
    """What could not be compared, and why; `count` steps, or pairs of a step and a kind."""

    what: str
    reason: str
    count: int = 1


@dataclass
class Words:
    """A text for people that differs, which counts as no difference."""

    operation: str
    pointer: str
    a: str
    b: str
    count: int = 1


@dataclass
class Comparison:
    """One provider on two services. `imitations` are defects of the mock B that do what A does."""

    provider: str
    a: str
    b: str
    mode: str
    seed: int
    names: list[str] = field(default_factory=lambda: ["A", "B"])
    steps: int = 0
    requests: int = 0
    seconds: float = 0.0
    verdict: Verdict = "inconclusive"
    why: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    fidelity: Fidelity = field(default_factory=Fidelity)
    by_operation: dict[str, Fidelity] = field(default_factory=dict)
    not_comparable: list[NotComparable] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)
    paired: list[str] = field(default_factory=list)
    created: int = 0
    cleaned: int = 0
    leftovers: list[str] = field(default_factory=list)
    imitations: list[str] = field(default_factory=list)
    interrupted: str = ""


@dataclass
class Comparisons:
    """All of one command."""

    version: str
    started: str
    runs: list[Comparison] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """The worst of the runs: findings, then inconclusive, then pass."""
        return worst(run.verdict for run in self.runs)

    @property
    def exit_code(self) -> int:
        """0 no difference, 1 differences, 3 inconclusive."""
        return EXIT_CODES[self.verdict]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The one that counts for all."""
    found = set(verdicts)
    for verdict in ("findings", "inconclusive"):
        if verdict in found:
            return verdict
    return "pass" if found else "inconclusive"


def to_json(comparisons: Comparisons) -> dict[str, Any]:
    """As plain JSON, fidelity with its share."""
    data = asdict(comparisons)
    for run, shown in zip(comparisons.runs, data["runs"], strict=True):
        shown["fidelity"]["share"] = run.fidelity.share
        for name, entry in run.by_operation.items():
            shown["by_operation"][name]["share"] = entry.share
    return {
        "format": FORMAT,
        "command": "compare",
        "verdict": comparisons.verdict,
        "exit_code": comparisons.exit_code,
        **data,
    }
