"""A scenario as people write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo, field_validator, model_validator

from contract_tests.durations import EXPECTED, duration, written
from mock_server.fixture_files import FixtureModel

MOST_STEPS = 1_000
SHORTEST_ROUND = timedelta(minutes=1)
"""What a scenario that repeats by time alone takes at least for a round: less would fill a session with its events."""

_CALLS = re.compile(r"(\d{1,6}) calls?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wait:
    """What a step waits for: calls, or time on the world's clock. Nothing of either: it is taken at once."""

    calls: int = 0
    span: timedelta = timedelta()


def _wait(value: Any) -> Wait:
    text = value if isinstance(value, str) else ""
    if match := _CALLS.fullmatch(text):
        return Wait(calls=int(match[1]))
    try:
        return Wait(span=duration(text))
    except ValueError:
        raise ValueError(f"expected calls such as `3 calls`, or {EXPECTED}") from None


def _written(wait: Wait) -> str:
    return f"{wait.calls} call{'' if wait.calls == 1 else 's'}" if wait.calls else written(wait.span)


def _actions(value: Any) -> Any:
    """A list of mappings of one action each, whose fields may be left out if it needs none; one action may stand alone."""
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, dict) and len(item) == 1 for item in items):
        raise ValueError("expected a list of actions such as `- debit: {wallet: low, credits: 4}`")
    return [{name: {} if fields is None else fields for name, fields in item.items()} for item in items]


After = Annotated[Wait, BeforeValidator(_wait), PlainSerializer(_written)]
Actions = Annotated[list[dict[str, dict[str, Any]]], BeforeValidator(_actions), Field(max_length=100)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
About = Annotated[str, Field(max_length=1_000)]
Word = Annotated[str, Field(min_length=1, max_length=200)]


class Step(FixtureModel):
    """Something that happens once enough calls were answered, or enough time has passed, since the step before."""

    about: About = ""
    after: After = Wait()
    of: Word | None = None
    wallet: Word | None = None
    do: Actions

    @model_validator(mode="after")
    def _choice_of_calls(self) -> Step:
        if (self.of is not None or self.wallet is not None) and not self.after.calls:
            raise ValueError("`of` and `wallet` say which calls count: `after` must be a number of calls, such as `3 calls`")
        return self


class Scenario(FixtureModel):
    """Steps in order; `repeat` begins anew after the last one."""

    scenario: Name
    about: About = ""
    provider: Word | None = None
    steps: Annotated[list[Step], Field(min_length=1, max_length=MOST_STEPS)]
    repeat: bool = False

    @field_validator("repeat")
    @classmethod
    def _waits(cls, repeat: bool, info: ValidationInfo) -> bool:
        steps: list[Step] = info.data.get("steps", [])
        counts = any(step.after.calls for step in steps)
        # Each capped, since spans may add up to more than a calendar holds.
        span = sum((min(step.after.span, SHORTEST_ROUND) for step in steps), timedelta())
        if repeat and steps and not counts and span < SHORTEST_ROUND:
            raise ValueError("what repeats must wait for calls, or take a minute for each round")
        return repeat

    def plain(self) -> dict[str, Any]:
        """The same as plain data, as its file has it."""
        return self.model_dump(mode="json", exclude_defaults=True)
