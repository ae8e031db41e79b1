"""What a rule is: an id, a sentence, and where it comes from. How it is checked stands beside it, in the rule's module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from contract_tests.rules.observation import Observation

Area = Literal["contract", "errors", "auth", "money", "state", "lists", "robustness", "concurrency"]

Need = Literal["wallet", "write", "other identity", "expired credential", "credential"]
"""What a rule cannot do without. `wallet`: one that can be read; `write`: leave to create wallets and change them."""

WRITES: frozenset[Need] = frozenset({"write"})

PROVIDERS = ("flexprice", "polar")


@dataclass(frozen=True)
class Rule:
    """A named check of meaning.

    `source` says where the promise was made, `applies` when it is judged, `exceptions` which honest servers it must not
    accuse. `providers` are those that promise it.
    """

    id: str
    meaning: str
    source: str
    applies: str
    exceptions: str = ""
    providers: tuple[str, ...] = PROVIDERS
    needs: frozenset[Need] = frozenset()

    @property
    def area(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where: a JSON pointer into the body, or `header NAME`."""

    problem: str
    pointer: str = ""
    expected: Any = None
    got: Any = None


Check = Callable[[Observation], Iterator[Problem | None]]


@dataclass(frozen=True)
class ExchangeRule:
    """A rule over single exchanges.

    `check` yields a Problem for each thing wrong and None for each thing looked at and found right; from an exchange that
    the rule does not apply to it yields nothing, and that does not count as a test of it.
    """

    rule: Rule
    check: Check = field(repr=False)


def exchange_rule(rule: Rule) -> Callable[[Check], ExchangeRule]:
    """Make a generator the check of `rule`."""
    return lambda check: ExchangeRule(rule, check)
