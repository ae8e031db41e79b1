"""The part of a world that knows which scenarios run in it, and how far they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from mock_server.clock import later
from mock_server.event_log import Event
from mock_server.notice import Notice
from mock_server.scenarios.events import CallCounted, ScenarioStarted, ScenarioStopped, StepTaken
from mock_server.scenarios.scenario import Scenario, Step
from mock_server.world import World

_KEPT = 100
"""How many of the last actions are remembered for people to see; the log has them all."""


@dataclass
class Run:
    """A scenario on its way. `since` is when its last action was done, or when it started; `called` its last counted call."""

    scenario: Scenario
    since: datetime
    called: datetime
    step: int = 0
    action: int = 0
    calls: int = 0
    happened: deque[StepTaken] = field(default_factory=lambda: deque(maxlen=_KEPT))

    @property
    def following(self) -> Step | None:
        """The step that is next, or in the middle of which it is; None if it is done."""
        steps = self.scenario.steps
        return steps[self.step] if self.step < len(steps) else None

    @property
    def counts(self) -> bool:
        """Whether it waits for calls."""
        step = self.following
        return step is not None and self.calls < step.after.calls

    @property
    def due(self) -> datetime | None:
        """When its next action is due; None while it waits for calls, and once it is done."""
        step = self.following
        if step is None or self.counts:
            return None
        if self.action:
            return self.since
        return self.called if step.after.calls else later(self.since, step.after.span)

    def act(self, event: StepTaken) -> None:
        """One action further."""
        step = self.following
        if step is None:
            raise ValueError(f"scenario {self.scenario.scenario} is done, and takes no step")
        self.happened.append(event)
        self.since = event.at
        self.action += 1
        if self.action == len(step.do):
            self.action = self.calls = 0
            self.step += 1
            if self.scenario.repeat:
                self.step %= len(self.scenario.steps)

    def memento(self) -> RunMemento:
        """All of it."""
        happened = list(self.happened)
        return RunMemento(self.scenario, self.since, self.called, self.step, self.action, self.calls, happened)

    @classmethod
    def recalled(cls, memento: RunMemento) -> Run:
        """The run that this is the memento of."""
        run = cls(memento.scenario, memento.since, memento.called, memento.step, memento.action, memento.calls)
        run.happened.extend(memento.happened)
        return run


@dataclass(frozen=True, slots=True)
class RunMemento:
    """The fields of a run."""

    scenario: Scenario
    since: datetime
    called: datetime
    step: int
    action: int
    calls: int
    happened: list[StepTaken]


@dataclass(frozen=True, slots=True)
class ScenariosMemento:
    """The runs in their order."""

    runs: list[RunMemento]
    begun: bool


class ScenariosState:
    """Runs by name, the oldest first. `begun`: what the server starts in every session was started here."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.begun = False
        self.counting = False

    def apply(self, event: Event) -> Iterable[Notice]:
        """Fold one event in."""
        match event:
            case ScenarioStarted():
                scenario = Scenario.model_validate(event.scenario)
                self.runs.pop(scenario.scenario, None)
                self.runs[scenario.scenario] = Run(scenario, event.at, event.at)
                self.begun = True
            case CallCounted():
                for name in event.scenarios:
                    run = self.runs[name]
                    run.calls += 1
                    run.called = event.at
            case StepTaken():
                self.runs[event.scenario].act(event)
            case ScenarioStopped():
                del self.runs[event.scenario]
            case _:
                return ()
        self.counting = any(run.counts for run in self.runs.values())
        return ()

    def memento(self) -> ScenariosMemento:
        """Whether any of them counts follows from themselves."""
        return ScenariosMemento([run.memento() for run in self.runs.values()], self.begun)

    def recall(self, memento: ScenariosMemento) -> None:
        """All that was."""
        for run in memento.runs:
            self.runs[run.scenario.scenario] = Run.recalled(run)
        self.begun = memento.begun
        self.counting = any(run.counts for run in self.runs.values())


def state_of(world: World) -> ScenariosState:
    """The scenarios of a world."""
    state = world.states["scenarios"]
    assert isinstance(state, ScenariosState)
    return state
