"""All rules that need no requests of their own, by provider: over single exchanges, and over what came before."""

from __future__ import annotations

from types import ModuleType

from contract_tests.rules import errors, flexprice, histories, polar, polar_errors, polar_pages, robustness
from contract_tests.rules.conformance import CONFORMANCE, OF_REQUESTS
from contract_tests.rules.rule import PROVIDERS, ExchangeRule, Rule

_GENERAL = (errors, robustness)

_OWN: dict[str, tuple[ModuleType, ...]] = {"flexprice": (flexprice,), "polar": (polar, polar_pages, polar_errors)}


def exchange_rules(provider: str) -> list[ExchangeRule]:
    """The rules that a provider's answers are judged by; for a provider without rules of its own, those of everybody."""
    return [
        entry
        for module in (*_GENERAL, *_OWN.get(provider, ()))
        for entry in vars(module).values()
        if isinstance(entry, ExchangeRule)
        and (provider in entry.rule.providers or (provider not in PROVIDERS and entry.rule.providers == PROVIDERS))
    ]


def traffic_rules(provider: str) -> dict[str, Rule]:
    """The rules that traffic of others is judged by, by id."""
    found = (*CONFORMANCE, *OF_REQUESTS, *(entry.rule for entry in exchange_rules(provider)), *histories.rules(provider))
    return {rule.id: rule for rule in found}
