"""What can happen to a world's scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mock_server.event_log import Event


@dataclass(frozen=True, kw_only=True)
class ScenarioStarted(Event):
    """A scenario runs from here on. It is carried whole, so that a log replays where its file is not."""

    scenario: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class CallCounted(Event):
    """A call was answered that these scenarios' steps were waiting for."""

    scenarios: tuple[str, ...]
    operation: str


@dataclass(frozen=True, kw_only=True)
class StepTaken(Event):
    """One action of a step was done, or was refused by the world, which is the problem. Numbers count from 1."""

    scenario: str
    step: int
    action: str
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScenarioStopped(Event):
    """A scenario is forgotten, whether it was done or not."""

    scenario: str
