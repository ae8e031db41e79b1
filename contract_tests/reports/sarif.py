"""SARIF 2.1.0, for code scanning.

GitHub shows only results that have a place in a file, so each stands at the first line of the provider's document; where it
really is (operation, place in the answer) is its logical location.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from contract_tests.reports.ranking import ranked
from contract_tests.reports.wording import FAILS, comparison, headline, one_line, place, reasons, visible
from contract_tests.results import EXIT_CODES, Cause, Results, Run, Step

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_MOST_EXCERPT = 4000


def sarif(results: Results) -> dict[str, Any]:
    """The results as a SARIF log."""
    runs = []
    categories: dict[str, int] = {}
    for run in results.runs:
        categories[run.provider] = number = categories.get(run.provider, 0) + 1
        runs.append(_run(results, run, run.provider if number == 1 else f"{run.provider}-{number}"))
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": runs}


def _run(results: Results, run: Run, category: str) -> dict[str, Any]:
    causes = ranked(run.causes)
    meanings = {cause.rule: cause.rule for cause in causes} | {rule.rule: rule.meaning or rule.rule for rule in run.rules}
    indexes = {rule: index for index, rule in enumerate(meanings)}
    compared = bool(run.fixed) or any(cause.standing == "known" for cause in causes)
    return {
        "tool": {
            "driver": {
                "name": "Walletproof",
                "version": results.version,
                "rules": [_rule(rule, meaning) for rule, meaning in meanings.items()],
            }
        },
        # GitHub tells the analyses of one commit apart by this.
        "automationDetails": {"id": f"walletproof/{category}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(results, run)],
        "results": [_result(run, cause, indexes[cause.rule], compared) for cause in causes],
        "properties": {
            "command": results.command,
            "target": run.target,
            "mode": run.mode,
            "level": run.level,
            "seed": run.seed,
            "requests": run.requests,
            "verdict": run.verdict,
            "tally": run.tally(),
            "fixed": run.fixed,
            "coverage": {kind: {"seen": seen, "all": all} for kind, (seen, all) in run.coverage.counts().items()},
        },
    }


def _rule(rule: str, meaning: str) -> dict[str, Any]:
    return {
        "id": rule,
        "shortDescription": {"text": meaning},
        "help": {"text": meaning},
        "properties": {"tags": [rule.partition(".")[0]]},
    }


def _invocation(results: Results, run: Run) -> dict[str, Any]:
    level = "error" if run.verdict == "inconclusive" else "note"
    why = reasons(run) or ([headline(run)] if run.verdict == "inconclusive" else [])
    notes = [(level, reason) for reason in why]
    notes += [("error" if note.startswith(FAILS) else "note", one_line(note.removeprefix(FAILS))) for note in run.policy_notes]
    invocation: dict[str, Any] = {
        "executionSuccessful": run.verdict != "inconclusive",
        "exitCode": EXIT_CODES[run.verdict],
        "toolExecutionNotifications": [{"level": level, "message": {"text": text}} for level, text in notes],
    }
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", results.started):
        invocation["startTimeUtc"] = results.started.replace("+00:00", "Z")
    return invocation


def _result(run: Run, cause: Cause, index: int, compared: bool) -> dict[str, Any]:
    words = comparison(cause)
    result: dict[str, Any] = {
        "ruleId": cause.rule,
        "ruleIndex": index,
        "level": _level(cause),
        "message": {"text": f"{place(cause)}: {one_line(cause.problem)}" + (f" ({words})" if words else "")},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": f"openapi/{quote(run.provider)}.yaml"},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [_logical(cause)],
            }
        ],
        # The second is the one that GitHub goes by; without it, it would take the text of the line, the same for all.
        "partialFingerprints": {"walletproof/v1": cause.fingerprint, "primaryLocationLineHash": cause.fingerprint},
        "occurrenceCount": max(cause.count, 1),
        "properties": {
            "curl": [visible(step.curl) for step in cause.steps],
            "expected": cause.expected,
            "got": cause.got,
            "confirmation": cause.confirmation,
            "seen": cause.seen,
            "sent": cause.sent,
            "standing": cause.standing,
            "fails": cause.fails,
            "level": cause.level,
            "probe": cause.probe,
        },
    }
    if compared:
        result["baselineState"] = "unchanged" if cause.standing == "known" else "new"
    if cause.standing == "known" and cause.reason:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": cause.reason}]
    if cause.steps:
        result |= _exchange(cause.steps[-1])
    return result


def _level(cause: Cause) -> str:
    if cause.fails:
        return "error"
    return "warning" if cause.confirmation == "flaky" and cause.standing == "new" else "note"


def _logical(cause: Cause) -> dict[str, Any]:
    operation = cause.operation or "no operation"
    if not cause.pointer:
        return {"name": operation, "fullyQualifiedName": operation, "kind": "function"}
    return {"name": cause.pointer, "fullyQualifiedName": f"{operation} {cause.pointer}", "kind": "member"}


def _exchange(step: Step) -> dict[str, Any]:
    """The exchange that showed it."""
    request: dict[str, Any] = {"method": step.method, "target": step.url, "headers": step.request_headers}
    response: dict[str, Any] = {"headers": step.response_headers}
    if step.request_body:
        request["body"] = {"text": step.request_body[:_MOST_EXCERPT]}
    if step.response_body:
        response["body"] = {"text": step.response_body[:_MOST_EXCERPT]}
    if step.status is None:
        response["noResponseReceived"] = True
    else:
        response["statusCode"] = step.status
    return {"webRequest": request, "webResponse": response}
