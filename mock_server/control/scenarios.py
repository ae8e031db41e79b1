"""Controls of scenarios: which there are, and which run in a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from contract_tests.source import InputError
from mock_server.call import Answer, Call, Handler
from mock_server.clock import rfc3339
from mock_server.control.answers import json_answer, refused
from mock_server.control.asking import session_of
from mock_server.event_log import Event
from mock_server.scenarios.events import ScenarioStarted, ScenarioStopped
from mock_server.scenarios.library import Library
from mock_server.scenarios.reading import Reader, source_of
from mock_server.scenarios.scenario import Scenario, Step
from mock_server.scenarios.state import Run, state_of
from mock_server.world import Draft, Refusal, World, Worlds

MOST_RUNS = 20


class ScenarioControls:
    """The operations under /_mock/scenarios and /_mock/sessions/{session}/scenarios."""

    def __init__(self, worlds: Worlds, reader: Reader, library: Library) -> None:
        self._worlds = worlds
        self._reader = reader
        self._library = library
        self.handlers: Mapping[str, Handler] = {
            "scenarios": self.scenarios,
            "sessionScenarios": self.session_scenarios,
            "startScenario": self.start,
            "stopScenarios": self.stop_all,
            "stopScenario": self.stop,
        }

    async def scenarios(self, call: Call) -> Answer:
        """GET /_mock/scenarios"""
        return json_answer(200, {"scenarios": [_about(scenario) for scenario in self._library.scenarios.values()]})

    async def session_scenarios(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/scenarios"""
        world = await self._worlds.current(session_of(call))
        return json_answer(200, {"scenarios": [_run(run) for run in state_of(world).runs.values()]})

    async def start(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/scenarios"""
        scenario = self._wanted(orjson.loads(call.request.body))

        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], None]:
            runs = state_of(world).runs
            run = runs.get(scenario.scenario)
            if run is not None and run.following is not None:
                raise Refusal(f"scenario {scenario.scenario} runs already: stop it first, or give the other one its own name")
            if run is None and len(runs) >= MOST_RUNS:
                raise Refusal(f"{len(runs)} scenarios are there already: stop some, done ones too")
            return [ScenarioStarted(at=draft.at, scenario=scenario.plain())], None

        world, _ = await self._worlds.commit(session_of(call), decide)
        return json_answer(201, _run(state_of(world).runs[scenario.scenario]))

    async def stop_all(self, call: Call) -> Answer:
        """DELETE /_mock/sessions/{session}/scenarios"""
        await self._stop(session_of(call), None)
        return Answer(204)

    async def stop(self, call: Call) -> Answer:
        """DELETE /_mock/sessions/{session}/scenarios/{scenario}"""
        name = call.request.path_params["scenario"]
        if not await self._stop(session_of(call), name):
            raise refused(404, "not_found", f"No scenario {name!r} runs in this session")
        return Answer(204)

    async def _stop(self, session: str, name: str | None) -> bool:
        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], bool]:
            names = [run for run in state_of(world).runs if name in (None, run)]
            return [ScenarioStopped(at=draft.at, scenario=run) for run in names], bool(names)

        return (await self._worlds.commit(session, decide))[1]

    def _wanted(self, body: Mapping[str, str]) -> Scenario:
        if "text" in body:
            try:
                return self._reader.read(source_of(Path("text"), body["text"]))
            except InputError as problem:
                raise Refusal(str(problem)) from None
        try:
            return self._library.named(body["name"])
        except InputError as problem:
            raise refused(404, "not_found", str(problem)) from None


def _about(scenario: Scenario) -> dict[str, Any]:
    head = {"name": scenario.scenario, "about": scenario.about, "repeat": scenario.repeat}
    if scenario.provider is not None:
        head["provider"] = scenario.provider
    return {**head, "steps": [_step(step) for step in scenario.steps]}


def _step(step: Step) -> dict[str, Any]:
    return {name: value for name, value in step.model_dump(mode="json").items() if value is not None}


def _run(run: Run) -> dict[str, Any]:
    step = run.following
    body: dict[str, Any] = {
        "name": run.scenario.scenario,
        "about": run.scenario.about,
        "steps": len(run.scenario.steps),
        "done": step is None,
        "happened": [
            {"at": rfc3339(event.at), "step": event.step, "action": event.action}
            | ({} if event.problem is None else {"problem": event.problem})
            for event in run.happened
        ],
    }
    if step is not None:
        body["next"] = {"step": run.step + 1} | _step(step)
        if step.after.calls:
            body["next"]["calls_counted"] = run.calls
        elif run.due is not None:
            body["next"]["due"] = rfc3339(run.due)
    return body
