"""What a run found out: one model, from which every report is made.

Everything in here is plain data without secrets; `to_json` is the JSON report (docs/results.md describes it), and
`from_json` reads one back, so that reports can be made of an earlier run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from types import GenericAlias, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from contract_tests.finding import Level

FORMAT = 1
"""Version of the JSON report. It grows when a member is removed or changes its meaning, not when one is added."""

Verdict = Literal["pass", "findings", "inconclusive"]
EXIT_CODES: dict[Verdict, int] = {"pass": 0, "findings": 1, "inconclusive": 3}

Confirmation = Literal["confirmed", "flaky", "unconfirmed"]
"""`confirmed`: seen again when sent again; `flaky`: not seen again; `unconfirmed`: not sent again (no time, no leave)."""

Standing = Literal["new", "known"]
"""`known`: the policy accepts it, or the baseline has it."""

Outcome = Literal["passed", "failed", "not tested"]


@dataclass(frozen=True)
class Step:
    """One exchange as it is shown: secrets hidden, long bodies cut. `status` is None if no whole answer came."""

    identity: str
    method: str
    url: str
    curl: str
    request_headers: dict[str, str]
    request_body: str
    status: int | None
    response_headers: dict[str, str]
    response_body: str
    trouble: str = ""


@dataclass
class Cause:
    """Findings that have one cause: the same rule, operation and place. `count` says how many there were.

    `expected` and `got` are the first one's, as text. `seen` of `sent`: how often it showed when it was sent again, the
    first time included. `first_request` and `first_seconds` say when it was found, counted from the run's start.
    """

    fingerprint: str
    rule: str
    area: str
    level: Level
    operation: str
    pointer: str
    problem: str
    expected: str
    got: str
    probe: str
    steps: list[Step]
    count: int = 1
    confirmation: Confirmation = "unconfirmed"
    seen: int = 1
    sent: int = 1
    standing: Standing = "new"
    reason: str = ""
    fails: bool = True
    first_request: int = 0
    first_seconds: float = 0.0


@dataclass
class RuleResult:
    """A rule after the run. `judged` counts what it was applied to; `reason` says why it was not tested."""

    rule: str
    meaning: str
    outcome: Outcome
    judged: int = 0
    reason: str = ""


@dataclass
class Coverage:
    """What of the contract was seen. Keys are `operationId`, `operationId status`, `operationId in name` ..."""

    operations: dict[str, bool] = field(default_factory=dict)
    statuses: dict[str, bool] = field(default_factory=dict)
    parameters: dict[str, bool] = field(default_factory=dict)
    fields: dict[str, bool] = field(default_factory=dict)
    enums: dict[str, bool] = field(default_factory=dict)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Seen and all, by kind."""
        return {f.name: (sum(getattr(self, f.name).values()), len(getattr(self, f.name))) for f in fields(self)}


@dataclass
class Run:
    """One provider on one target. `seed` is None where others sent the requests."""

    provider: str
    target: str
    mode: str
    level: Level
    seed: int | None
    requests: int = 0
    seconds: float = 0.0
    verdict: Verdict = "inconclusive"
    why: list[str] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    fixed: list[str] = field(default_factory=list)
    policy_notes: list[str] = field(default_factory=list)
    rules: list[RuleResult] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)
    statuses: dict[str, int] = field(default_factory=dict)
    created: int = 0
    cleaned: int = 0
    leftovers: list[str] = field(default_factory=list)
    interrupted: str = ""

    def tally(self) -> dict[str, int]:
        """How many causes are new, known, flaky; how many were fixed."""
        count = Counter(cause.standing for cause in self.causes)
        flaky = sum(cause.confirmation == "flaky" for cause in self.causes)
        return {"new": count["new"], "known": count["known"], "fixed": len(self.fixed), "flaky": flaky}


@dataclass
class TrafficSeen:
    """What of traffic that others sent was looked at, and what was not.

    `exchanges` counts everything, `judged` what the contracts have; `elsewhere` counts the others by origin; `unusable`
    counts entries that say nothing, by reason, and `problems` names the first of those that are broken.
    """

    files: list[str] = field(default_factory=list)
    exchanges: int = 0
    judged: int = 0
    elsewhere: dict[str, int] = field(default_factory=dict)
    unusable: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass
class Results:
    """All runs of one command. `traffic` is there if others sent the requests.

    `binding`: the verdict is what the command ends with; else it ends with 0, whatever was found.
    """

    command: str
    version: str
    started: str
    runs: list[Run] = field(default_factory=list)
    traffic: TrafficSeen | None = None
    binding: bool = True
    format: int = FORMAT

    @property
    def verdict(self) -> Verdict:
        """The worst of the runs: findings, then inconclusive, then pass."""
        verdicts = {run.verdict for run in self.runs}
        for verdict in ("findings", "inconclusive"):
            if verdict in verdicts:
                return verdict
        return "pass" if verdicts else "inconclusive"

    @property
    def exit_code(self) -> int:
        """0 pass, 1 findings, 3 inconclusive; 0 if the verdict is not binding."""
        return EXIT_CODES[self.verdict] if self.binding else 0


def to_json(results: Results) -> dict[str, Any]:
    """The results as plain JSON."""
    return {"format": results.format, "verdict": results.verdict, "exit_code": results.exit_code, **asdict(results)}


def from_json(data: dict[str, Any]) -> Results:
    """The results that `to_json` made `data` of; members that this version does not know are left out."""
    result = _build(Results, data)
    assert isinstance(result, Results)
    return result


def _build(kind: Any, data: Any) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        known = {f.name for f in fields(kind)}
        return kind(**{name: _build(hints[name], value) for name, value in data.items() if name in known})
    if isinstance(kind, GenericAlias) and get_origin(kind) is list:
        return [_build(get_args(kind)[0], entry) for entry in data]
    if isinstance(kind, UnionType):
        return None if data is None else _build(get_args(kind)[0], data)
    return data
