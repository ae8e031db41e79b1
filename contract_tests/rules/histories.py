"""All histories, by provider."""

from __future__ import annotations

from contract_tests.rules.flexprice_history import FlexpriceHistory
from contract_tests.rules.history import History
from contract_tests.rules.polar_history import PolarHistory
from contract_tests.rules.rule import Rule


def history(provider: str, settle: float) -> History | None:
    """A history of one service of a provider; None for a provider without rules of its own.

    `settle` is how many seconds a read may lag behind a write.
    """
    if provider == "flexprice":
        return FlexpriceHistory(settle)
    return PolarHistory() if provider == "polar" else None


def rules(provider: str) -> tuple[Rule, ...]:
    """Every rule that a provider's history may judge."""
    return {"flexprice": FlexpriceHistory.rules, "polar": PolarHistory.rules}.get(provider, ())
