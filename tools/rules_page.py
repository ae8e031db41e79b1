"""Writes docs/rules.md from the rules themselves (`make docs`); with --check only says whether it is right."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from contract_tests.probes import catalogue
from contract_tests.rules.catalogue import traffic_rules
from contract_tests.rules.conformance import CONFORMANCE
from contract_tests.rules.rule import PROVIDERS, Rule

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"

NEEDS = {
    "wallet": "a wallet that can be read: found by itself, or `--wallet ID`",
    "write": "leave to write: `--mode own`, which is the default",
    "other identity": "a second identity: `--other-api-key`, `--other-bearer`",
    "expired credential": "an expired credential: `--expired-api-key`, `--expired-bearer`",
    "credential": "a credential: `--api-key`, `--bearer`",
}

AREAS = {
    "response": "the contract, as openapi-core judges it",
    "request": "what clients send, judged in the traffic of others only",
    "contract": "the contract, where no schema can say it",
    "errors": "what is refused, and how",
    "auth": "who may see and do what",
    "money": "what the numbers have to do with each other",
    "state": "what stays and what changes",
    "lists": "pages, order, filters",
    "robustness": "whatever is sent, the server stays up",
    "concurrency": "several requests at the same moment",
}

INTRO = """# The rules

What `walletproof gate` and `walletproof fuzz` hold a target to, and `walletproof check` and `walletproof proxy` the traffic of
others: {count} rules. `make docs` writes this page from the code.

A finding has the **level** of the promise that is broken:

| level | what is broken | rules |
|---|---|---|
| `published` | the provider's own OpenAPI document | {conformance} |
| `overlay` | what our overlay adds to it: required members, patterns, headers, statuses | the same |
| `semantic` | a rule of meaning | all others |

`--level published` counts the first only, `--level overlay` the first two, and `--level semantic`, the default, all.

**How to read a rule.** It is *judged on* what stands there, and on nothing else. *Not accused* are honest servers that do it
another way. What a rule *needs* must be given to the run: without it, or if nothing came up that it applies to, the rule is
reported as `not tested` with the reason. That is never a pass, and when too many rules are not tested, or too few operations
ever answered, the run is `inconclusive` ([what that means](testing.md#verdict)).

**Traffic of others.** `check` and `proxy` send nothing and cannot ask again, and anybody may write at any time. They judge the
rules that say so below, each as far as no honest service breaks it whoever else is at work.

**Where a rule comes from.** Providers publish their sources: files named below are those of the public repositories
[flexprice/flexprice](https://github.com/flexprice/flexprice) at commit e4b5303fde24 and
[polarsource/polar](https://github.com/polarsource/polar) at commit c6c3645. `I1` to `I32` (Flexprice) and `P1` to `P15`
(Polar) number the promises that were read there, `D1` to `D24` the places where Flexprice's live service breaks its own
document. No rule forbids what an honest server may do; where sources disagree, none speaks.
"""


def page() -> str:
    """The whole page."""
    by_provider = {provider: _rules(provider) for provider in PROVIDERS}
    everywhere = set.intersection(*(set(rules) for rules in by_provider.values()))
    count = len(set().union(*by_provider.values()))
    parts = [INTRO.format(count=count, conformance=", ".join(f"`{rule.id}`" for rule in CONFORMANCE))]
    first, *_ = by_provider.values()
    parts += _chapter("Both providers", (rule for rule in first.values() if rule.id in everywhere))
    for provider, rules in by_provider.items():
        parts += _chapter(f"{provider.capitalize()} alone", (rule for rule in rules.values() if rule.id not in everywhere))
    return "\n".join(parts)


def _rules(provider: str) -> dict[str, Rule]:
    found = {rule.id: rule for rule in catalogue.rules(provider)} | traffic_rules(provider)
    return dict(sorted(found.items()))


def _chapter(title: str, rules: Iterable[Rule]) -> Iterator[str]:
    yield f"## {title}\n"
    by_area: dict[str, list[Rule]] = {}
    for rule in rules:
        by_area.setdefault(rule.area, []).append(rule)
    for area, about in AREAS.items():
        if area in by_area:
            yield f"### {title}, {area}: {about}\n"
            yield from map(_entry, by_area.pop(area))
    if by_area:
        raise KeyError(f"areas without a title: {', '.join(by_area)}")


def _entry(rule: Rule) -> str:
    lines = [f'<a id="{rule.id}"></a>\n**`{rule.id}`**: {_text(rule.meaning)}\n', f"- judged on: {_text(rule.applies)}"]
    if rule.exceptions:
        lines.append(f"- not accused: {_text(rule.exceptions)}")
    if rule.needs:
        lines.append(f"- needs {'; '.join(NEEDS[need] for need in sorted(rule.needs))}")
    judged = [provider.capitalize() for provider in PROVIDERS if rule.id in traffic_rules(provider)]
    if judged:
        lines.append(f"- in the traffic of others: judged{'' if len(judged) == len(PROVIDERS) else f' ({judged[0]})'}")
    lines.append(f"- from: {_text(rule.source)}")
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    return text.replace("*", "\\*").replace("<", "&lt;")


def main() -> int:
    """Write, or check."""
    right = page()
    if "--check" in sys.argv:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != right)
    PAGE.write_text(right, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
