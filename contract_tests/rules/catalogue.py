"""All rules over single exchanges, by provider."""

from __future__ import annotations

from types import ModuleType

from contract_tests.rules import errors, flexprice, polar, polar_errors, polar_pages, robustness
from contract_tests.rules.rule import PROVIDERS, ExchangeRule

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
