"""What a defect is: a name, a sentence, and the places where it takes hold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from contract_tests.exchange import Response
from mock_server.defects.visit import Visit
from mock_server.event_log import Event
from mock_server.world import Draft, World

Provider = Literal["flexprice", "polar"]
Area = Literal["schema", "protocol", "auth", "errors", "money", "state", "lists", "concurrency", "rare"]

Before = Callable[[Visit], Awaitable[None] | None]
"""Changes the request before it is routed."""

After = Callable[[Visit, Response], Awaitable[Response] | Response]
"""Changes the answer after it was checked."""

Booking = Callable[[Visit, World, Draft, Sequence[Event]], Sequence[Event]]
"""Changes what is about to happen to the world."""

When = Callable[[Visit], bool]
"""Whether a request is one that the defect concerns."""


@dataclass(frozen=True, kw_only=True)
class Defect:
    """A named contract violation. `live`: the real service does so.

    Three more places where a write goes wrong, each for the requests that its predicate chooses: `lost` answers as if it
    was done and forgets it, `hasty` decides on what it read a while ago and writes all the same, `blind` decides as if
    nothing had happened in the session.
    """

    name: str
    provider: Provider
    area: Area
    about: str
    live: bool = False
    before: Before | None = None
    after: After | None = None
    events: Booking | None = None
    lost: When | None = None
    hasty: When | None = None
    blind: When | None = None

    @property
    def tampers(self) -> bool:
        """Whether it takes hold of writes."""
        return bool(self.events or self.lost or self.hasty or self.blind)
