"""Rules over exchanges in their order in time, as others sent them: nothing can be asked again, and anybody may write.

So a history judges only what holds whoever else is at work: what never changes, what is never taken back, what two answers
cannot both say. What is *before* something else had ended when that began; what overlaps has no order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from contract_tests.rules.observation import Observation
from contract_tests.rules.rule import Problem, Rule


@dataclass(frozen=True, eq=False)
class Moment:
    """An exchange at its time. `client` is the same for the same sender; `started` and `ended` are in seconds since 1970.

    `base` is where the service is: origin, and what stands before the contract's paths.
    """

    observation: Observation
    client: str
    started: float
    ended: float
    base: str = ""


@dataclass(frozen=True)
class Judged:
    """A rule was applied. `problem` is None if it held; `before` are the earlier moments that show the problem, in order."""

    rule: Rule
    problem: Problem | None = None
    before: tuple[Moment, ...] = ()


class History(Protocol):
    """What was seen of one provider, moment after moment: ordered by when they started or, from a proxy, by when they ended.

    `rules` are all that it may judge. It keeps little of each moment, and of no more wallets than there is room for.
    """

    rules: tuple[Rule, ...]

    def take(self, moment: Moment) -> Iterator[Judged]:
        """Judge a moment by those before it, and remember it."""
        ...
