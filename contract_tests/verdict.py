"""From causes to a verdict: what the policy says of each, whether there is evidence enough, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from contract_tests.policy import Policy
from contract_tests.results import Cause, RuleResult, Run
from contract_tests.rules.rule import Rule


def rule_results(
    rules: Iterable[Rule], causes: Iterable[Cause], judged: Mapping[str, int], reasons: Mapping[str, str]
) -> list[RuleResult]:
    """Every rule with its outcome. `judged` says how often each was applied, `reasons` why one was not."""
    failed = {cause.rule for cause in causes}
    results = []
    for rule in rules:
        count = judged.get(rule.id, 0)
        reason = reasons.get(rule.id, "") or ("" if count else "nothing came up that it applies to")
        outcome = RuleResult(rule.id, rule.meaning, "passed", count)
        if rule.id in failed:
            outcome.outcome = "failed"
        elif not count:
            outcome.outcome, outcome.reason = "not tested", reason
        results.append(outcome)
    return results


def decide(run: Run) -> None:
    """Set the verdict, when all causes are weighed and `why` is complete."""
    if any(cause.fails for cause in run.causes) or any(note.startswith("fails: ") for note in run.policy_notes):
        run.verdict = "findings"
    elif run.why:
        run.verdict = "inconclusive"
    else:
        run.verdict = "pass"


def weigh(run: Run, policy: Policy, known: frozenset[str], today: date) -> None:
    """Decide for each cause whether it fails the build, and note what the policy has to say."""
    used = set()
    for cause in run.causes:
        cause.fails = policy.counts(cause.level) and not (cause.confirmation == "flaky" and policy.flaky == "report")
        if cause.fingerprint in known:
            cause.standing, cause.reason, cause.fails = "known", "in the baseline", False
        for entry in policy.accept:
            if entry.covers(cause):
                used.add(entry)
                if entry.until is None or entry.until >= today:
                    cause.standing, cause.reason, cause.fails = "known", entry.reason, False
    for entry in policy.accept:
        if entry.until is not None and entry.until < today:
            prefix = "fails: " if policy.expired == "fail" else ""
            run.policy_notes.append(f"{prefix}accepted until {entry.until}, which has passed: {entry}")
        elif entry not in used and _was_tested(run, entry.rule, entry.operation):
            prefix = "fails: " if policy.stale == "fail" else ""
            run.policy_notes.append(f"{prefix}accepted, but not seen any more: {entry}")
    seen = {cause.fingerprint for cause in run.causes}
    run.fixed = sorted(key for key in known - seen if _was_tested(run, *key.split(" ")[:2]))


def _was_tested(run: Run, rule: str, operation: str) -> bool:
    """Whether it means something that the run did not see a finding: only if it looked."""
    if run.interrupted or not any(result.rule == rule and result.outcome != "not tested" for result in run.rules):
        return False
    return operation in ("", "-") or run.coverage.operations.get(operation, False)


def missing_evidence(run: Run, policy: Policy, operations: list[str]) -> list[str]:
    """What the evidence floor asks for and the run has not got."""
    missing = []
    unreached = [name for name in operations if not run.coverage.operations.get(name)]
    if operations and 1 - len(unreached) / len(operations) < policy.floor.operations:
        missing.append(f"operations that never answered with a 2xx: {', '.join(unreached)}")
    able = [rule for rule in run.rules if not rule.reason.startswith("needs ")]
    judged = [rule for rule in able if rule.outcome != "not tested"]
    if not able or len(judged) / len(able) < policy.floor.rules:
        missing.append(f"only {len(judged)} of {len(able)} rules could be judged")
    unseen = [status for status in policy.floor.statuses if status not in run.statuses]
    if unseen:
        missing.append(f"statuses never seen: {', '.join(unseen)}")
    return missing
