"""All probes and all rules, by provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType

from contract_tests.probes import polar
from contract_tests.probes.flexprice import access, known, lists, races, refusals, topups, wallets
from contract_tests.probes.probe import Probe, Stage
from contract_tests.rules import catalogue
from contract_tests.rules.conformance import CONFORMANCE
from contract_tests.rules.robustness import TROUBLE_RULES
from contract_tests.rules.rule import Rule

_FLEXPRICE = (known, wallets, topups, lists, access, refusals, races)


def probes(provider: str) -> list[Probe]:
    """A provider's probes in the order in which they run; none for a provider without rules of its own."""
    modules: Sequence[ModuleType] = {"flexprice": _FLEXPRICE, "polar": polar.MODULES}.get(provider, ())
    return [entry for module in modules for entry in vars(module).values() if isinstance(entry, Probe)]


def discover(provider: str) -> Callable[[Stage], list[str]] | None:
    """How a provider's readable wallets are found."""
    return {"flexprice": known.discover, "polar": polar.discover}.get(provider)


def rules(provider: str) -> list[Rule]:
    """Every rule that a provider's run may judge, each once, ordered by id."""
    found = {rule.id: rule for rule in (*CONFORMANCE, *TROUBLE_RULES.values())}
    found |= {entry.rule.id: entry.rule for entry in catalogue.exchange_rules(provider)}
    found |= {rule.id: rule for probe in probes(provider) for rule in probe.rules}
    return [found[rule_id] for rule_id in sorted(found)]
