"""What scenarios make happen by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from mock_server.actions import Action
from mock_server.clock import FIRST, Clock
from mock_server.event_log import Event
from mock_server.problems import first_problem
from mock_server.scenarios.events import ScenarioStarted, StepTaken
from mock_server.scenarios.scenario import Scenario
from mock_server.scenarios.state import Run, state_of
from mock_server.world import Draft, Refusal, World


class ScenarioAgenda:
    """Takes the steps that are due, one action at a time, so that each finds done what the one before made due.

    `everywhere` are the scenarios that every session begins with: started as soon as anybody looks at it.
    """

    def __init__(self, actions: Mapping[str, type[Action]], everywhere: Sequence[Scenario], clock: Clock) -> None:
        self._actions = actions
        self._everywhere = everywhere
        self._clock = clock

    def due(self, world: World) -> datetime | None:
        """When the next action is due."""
        state = state_of(world)
        if self._everywhere and not state.begun:
            return FIRST
        return min((due for run in state.runs.values() if (due := run.due)), default=None)

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """The events of the first action that is due, and that it was done; a refused one is passed over."""
        state = state_of(world)
        if self._everywhere and not state.begun:
            at = max(draft.at, world.clock.now(self._clock.now()))
            return [ScenarioStarted(at=at, scenario=scenario.plain()) for scenario in self._everywhere]
        # Of those due at the same time the one that was started first.
        first, _ = min(((run, due) for run in state.runs.values() if (due := run.due)), key=lambda pair: pair[1])
        return self._act(first, world, draft)

    def _act(self, run: Run, world: World, draft: Draft) -> list[Event]:
        step = run.following
        assert step is not None, "what is done has nothing due"
        [(name, fields)] = step.do[run.action].items()
        events: Sequence[Event] = ()
        problem = None
        try:
            events = self._action(name, fields).decide(world, draft)
        except Refusal as refusal:
            problem = str(refusal)
        taken = StepTaken(at=draft.at, scenario=run.scenario.scenario, step=run.step + 1, action=name, problem=problem)
        return [*events, taken]

    def _action(self, name: str, fields: Mapping[str, Any]) -> Action:
        """What was read from a file is known, but a log may come from a server that serves other providers."""
        model = self._actions.get(name)
        if model is None:
            raise Refusal(f"this server knows no action {name!r}")
        try:
            return model.model_validate(fields)
        except ValidationError as error:
            raise Refusal(f"this server knows no such {name!r}: {first_problem(error)[1]}") from None
