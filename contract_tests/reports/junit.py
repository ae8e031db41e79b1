"""JUnit XML: one suite per run, one case per rule, so that a pipeline's test page shows which promises hold."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from contract_tests.reports.ranking import ranked
from contract_tests.reports.wording import (
    VERDICTS,
    broken_policy,
    cut,
    details,
    failing_notes,
    headline,
    one_line,
    place,
    plural,
    reasons,
    visible,
)
from contract_tests.results import Cause, Results, RuleResult, Run

_MOST_CAUSES = 50
_LONGEST_MESSAGE = 500


def junit(results: Results) -> str:
    """The results as JUnit XML."""
    root = ET.Element("testsuites", name="walletproof")
    for run in results.runs:
        _suite(root, results, run)
    if not results.runs:
        suite = ET.SubElement(root, "testsuite", name="walletproof")
        _error(_case(suite, "walletproof", "evidence"), ["nothing was run"])
    for suite in [*root, root]:
        for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(attribute, str(sum(1 for _ in suite.iter(tag))))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, results: Results, run: Run) -> None:
    name = _attribute(f"walletproof.{run.provider}")
    suite = ET.SubElement(root, "testsuite", name=name, time=f"{run.seconds:.3f}")
    if moment := re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", results.started):
        suite.set("timestamp", moment[0])
    _properties(suite, results, run)
    causes: dict[str, list[Cause]] = {}
    for cause in ranked(run.causes):
        causes.setdefault(cause.rule, []).append(cause)
    rules = {rule.rule: rule for rule in run.rules}
    for rule in [*rules.values(), *(RuleResult(rule, "", "failed") for rule in causes if rule not in rules)]:
        area = rule.rule.partition(".")[0]
        _rule(_case(suite, f"{name}.{area}", rule.rule), rule, causes.get(rule.rule, []))
    if notes := failing_notes(run):
        _add(_case(suite, name, "policy"), "failure", broken_policy(notes), "\n".join(notes))
    evidence = _case(suite, name, "evidence")
    if run.verdict == "inconclusive":
        _error(evidence, reasons(run) or [headline(run)])
    elif why := reasons(run):
        ET.SubElement(evidence, "system-out").text = _text("\n".join(why))


def _properties(suite: ET.Element, results: Results, run: Run) -> None:
    properties = ET.SubElement(suite, "properties")
    values = {
        "command": results.command,
        "version": results.version,
        "target": run.target,
        "mode": run.mode,
        "level": run.level,
        "seed": run.seed,
        "requests": run.requests,
        "verdict": run.verdict,
        **{f"causes.{kind}": count for kind, count in run.tally().items()},
        **{f"coverage.{kind}": f"{seen}/{all}" for kind, (seen, all) in run.coverage.counts().items()},
    }
    for name, value in values.items():
        if value is not None:
            ET.SubElement(properties, "property", name=name, value=_attribute(str(value)))


def _rule(case: ET.Element, rule: RuleResult, causes: list[Cause]) -> None:
    failing = [cause for cause in causes if cause.fails]
    others = [cause for cause in causes if not cause.fails]
    if failing:
        first = failing[0]
        more = f" (and {plural(len(failing) - 1, 'more cause')})" if failing[1:] else ""
        message = f"{place(first)}: {one_line(first.problem)}"
        _add(case, "failure", cut(message, _LONGEST_MESSAGE) + more, _all(failing, rule.meaning))
    elif rule.outcome == "failed" and not causes:
        _add(case, "failure", rule.reason or "failed", rule.meaning)
    elif rule.outcome == "not tested":
        ET.SubElement(case, "skipped", message=_attribute(rule.reason or "not tested"))
    if others:
        ET.SubElement(case, "system-out").text = _text(_all(others, "Seen, but does not fail the run:"))


def _all(causes: list[Cause], opening: str) -> str:
    parts = [opening, *(details(cause) for cause in causes[:_MOST_CAUSES])]
    if len(causes) > _MOST_CAUSES:
        parts.append(f"... and {len(causes) - _MOST_CAUSES} more; see the JSON report")
    return "\n\n".join(part for part in parts if part)


def _case(suite: ET.Element, group: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=_attribute(group), name=_attribute(name))


def _error(case: ET.Element, why: list[str]) -> None:
    _add(case, "error", f"{VERDICTS['inconclusive']}: {why[0]}", "\n".join(why))


def _add(case: ET.Element, tag: str, message: str, text: str) -> None:
    ET.SubElement(case, tag, message=_attribute(cut(message, _LONGEST_MESSAGE + 50))).text = _text(text)


def _attribute(text: str) -> str:
    return one_line(text)


def _text(text: str) -> str:
    """XML has no way to write most control characters, not even as references."""
    return visible(text)
