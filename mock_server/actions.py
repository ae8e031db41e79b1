"""What can be done to a world from outside its providers' own operations: by a control, or by a step of a scenario."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from mock_server.event_log import Event
from mock_server.fixture_files import FixtureModel
from mock_server.world import Draft, Refusal, World


class Unknown(Refusal, LookupError):
    """There is nothing of the name or id that an action, or a control, speaks of."""


class Action(FixtureModel):
    """One thing to do. Its fields are what a file or a control says of it; unknown fields are errors."""

    @abstractmethod
    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """The events that do it; `world.Refusal` says why it cannot be done now."""
