"""What a fault is, said the same way in a file, to a control, and in short in `Prefer`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, StrictBool, StrictInt, ValidationError, model_validator

from contract_tests.durations import duration
from mock_server.fixture_files import FixtureModel

Kind = Literal["error", "delay", "slow-body", "cut", "reset", "refused", "garbage", "surprise"]

SurpriseName = Literal[
    "no-optionals", "longest-strings", "new-strings", "zero-amounts", "huge-amounts", "empty-page", "unicode-names"
]

KINDS: Mapping[Kind, str] = {
    "error": "The provider's own error `code`: a status that the operation documents, 429 or 503, or a word of the provider",
    "delay": "The answer comes later by `delay`",
    "slow-body": "The head of the answer comes at once, its body in pieces, the last one after `delay`",
    "cut": "The body ends before its announced length, with the connection",
    "reset": "The connection is reset (TCP RST) instead of an answer",
    "refused": "The connection is closed without a byte of an answer",
    "garbage": "Bytes come that are no HTTP, and then the end of the connection",
    "surprise": "A lawful but rare answer: see `surprise`",
}

UNANSWERED: tuple[Kind, ...] = ("reset", "refused", "garbage")
"""Kinds after which no answer comes."""

GATEWAY_STATUSES = (429, 503)
"""What any gateway may answer, documented or not."""

LONGEST = timedelta(minutes=5)

_WITH_HANDLED: tuple[Kind, ...] = ("error", *UNANSWERED)
_WITH_DELAY: tuple[Kind, ...] = ("delay", "slow-body")


def _span(text: str) -> str:
    if duration(text) > LONGEST:
        raise ValueError("a fault lasts at most 5 minutes")
    return text


Span = Annotated[str, Field(max_length=40), AfterValidator(_span)]
"""A time of at most five minutes, as text."""


Draws = tuple[float, float]
"""Two numbers drawn from 0 up to, but never, 1."""


class Uniform(FixtureModel):
    """Any time between two, each as likely as the other."""

    uniform: tuple[Span, Span]

    @model_validator(mode="after")
    def _in_order(self) -> Uniform:
        shortest, longest = self.uniform
        if duration(shortest) > duration(longest):
            raise ValueError(f"the shorter time comes first, got {shortest} and {longest}")
        return self

    def seconds(self, draws: Draws) -> float:
        """A time drawn from it."""
        shortest, longest = (duration(text).total_seconds() for text in self.uniform)
        return shortest + (longest - shortest) * draws[0]


class Shape(FixtureModel):
    """The two numbers of a log-normal distribution: half of all times are below the median."""

    median: Span
    sigma: Annotated[float, Field(ge=0, le=5)]


class Lognormal(FixtureModel):
    """Times as networks have them: mostly near the median, now and then much longer."""

    lognormal: Shape

    def seconds(self, draws: Draws) -> float:
        """A time drawn from it, never more than faults may last."""
        # Box and Muller's way from two uniform numbers to a normal one.
        normal = math.sqrt(-2 * math.log(1 - draws[0])) * math.cos(2 * math.pi * draws[1])
        drawn = duration(self.lognormal.median).total_seconds() * math.exp(self.lognormal.sigma * normal)
        return min(drawn, LONGEST.total_seconds())


FaultName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""What a fault is called: headers and paths carry it."""

Delay = Span | Uniform | Lognormal


class Fault(FixtureModel):
    """One fault.

    What it does: `fault`, with `code` and `retry_after`, `delay` or `surprise` as the kind needs. `handled`: the request takes
    effect and its answer is lost; otherwise it never reached the provider. Where: the calls that fit `operation`, `method`,
    `provider` and `wallet` (a persona's name, or an id, in the path); all of the session if none is given. When: the first
    `skip` calls are spared, of the others every n-th (`every`) is struck with a `probability`, until it has been `times` often.
    """

    fault: Kind
    name: FaultName | None = None
    code: StrictInt | Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z_]{0,63}$")] | None = None
    retry_after: Span | None = None
    delay: Delay | None = None
    surprise: SurpriseName | None = None
    handled: StrictBool = False
    operation: Annotated[str | None, Field(max_length=200)] = None
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None = None
    provider: Annotated[str | None, Field(max_length=64)] = None
    wallet: Annotated[str | None, Field(max_length=200)] = None
    every: Annotated[StrictInt | None, Field(ge=1, le=1_000_000)] = None
    probability: Annotated[float | None, Field(gt=0, le=1)] = None
    skip: Annotated[StrictInt, Field(ge=0, le=1_000_000)] = 0
    times: Annotated[StrictInt | None, Field(ge=1, le=1_000_000)] = None

    @model_validator(mode="after")
    def _fields_of_its_kind(self) -> Fault:
        for field, kinds in _KINDS_OF_FIELD.items():
            if field in self.model_fields_set and self.fault not in kinds:
                raise ValueError(f"{field} is for {' and '.join(kinds)}, not for {self.fault}")
        if self.fault == "error" and self.code is None:
            raise ValueError("an error needs its code: a status, or a word of the provider such as already_exists")
        if self.fault in _WITH_DELAY and self.delay is None:
            raise ValueError(f"{self.fault} needs a delay such as 800ms")
        if self.fault == "surprise" and self.surprise is None:
            raise ValueError(f"a surprise needs its name; there are {', '.join(SURPRISES)}")
        return self

    @property
    def counted(self) -> bool:
        """Whether it depends on how many calls have met it."""
        drawn = self.delay is not None and not isinstance(self.delay, str)
        return drawn or bool(self.every or self.probability or self.skip or self.times)


SURPRISES: tuple[SurpriseName, ...] = get_args(SurpriseName)

_KINDS_OF_FIELD: Mapping[str, tuple[Kind, ...]] = {
    "code": ("error",),
    "retry_after": ("error",),
    "delay": _WITH_DELAY,
    "surprise": ("surprise",),
    "handled": _WITH_HANDLED,
}


def fields_of(kind: str) -> Sequence[str]:
    """The fields that say what a fault of this kind does."""
    return [field for field, kinds in _KINDS_OF_FIELD.items() if kind in kinds]


def complaint(error: ValidationError) -> str:
    """What is wrong with a fault: the field, what was expected, what came."""
    found = error.errors(include_url=False)
    # Where there are several ways to write something, the one that was meant is the one that was understood furthest.
    first = next((one for one in found if one["type"] == "value_error"), found[0])
    message = first["msg"].removeprefix("Value error, ")
    place = "/".join(str(step) for step in first["loc"] if str(step) in _PLACES or isinstance(step, int))
    if first["type"] == "extra_forbidden":
        return f"unknown field {first['loc'][-1]!r}; known here: {', '.join(sorted(Fault.model_fields))}"
    got = f", got {str(first['input'])[:60]!r}" if first["loc"] and first["type"] != "value_error" else ""
    return f"{place}: {message}{got}" if place else message


_PLACES = {*Fault.model_fields, *Uniform.model_fields, *Lognormal.model_fields, *Shape.model_fields}
