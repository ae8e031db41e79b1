"""The controls over faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import ValidationError

from mock_server.call import Answer, Call, Handler
from mock_server.control.answers import error, json_answer
from mock_server.control.asking import session_of
from mock_server.event_log import Event
from mock_server.faults import surprises
from mock_server.faults.actions import set_faults
from mock_server.faults.catalogue import Catalogue
from mock_server.faults.fault import KINDS, Fault, complaint, fields_of
from mock_server.faults.state import FaultsCleared, Standing, faults_of
from mock_server.world import Draft, Refusal, World, Worlds


class FaultControls:
    """Serves the faults of sessions, and what there is to choose from."""

    def __init__(self, worlds: Worlds, catalogue: Catalogue) -> None:
        self._worlds = worlds
        self._catalogue = catalogue
        self.handlers: Mapping[str, Handler] = {
            "faults": self.catalogue,
            "sessionFaults": self.of_session,
            "putSessionFaults": self.replace,
            "addSessionFault": self.add,
            "clearSessionFaults": self.clear,
            "clearSessionFault": self.clear_one,
        }

    async def catalogue(self, call: Call) -> Answer:
        """GET /_mock/faults"""
        body = {
            "kinds": [{"fault": kind, "about": about, "fields": fields_of(kind)} for kind, about in KINDS.items()],
            "surprises": [{"surprise": name, "about": about} for name, about in surprises.ABOUT.items()],
            "operations": [
                {
                    "provider": provider,
                    "operation": operation.id,
                    "method": operation.method,
                    "path": operation.path,
                    "statuses": self._catalogue.statuses(provider, operation),
                }
                for provider, contract in self._catalogue.contracts.items()
                for operation in contract.operations.values()
            ],
            "codes": [
                {"provider": provider, "code": word, "status": status}
                for provider in self._catalogue.contracts
                for word, status in self._catalogue.codes(provider).items()
            ],
        }
        return json_answer(200, body)

    async def of_session(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/faults"""
        return _list(await self._worlds.current(session_of(call)))

    async def replace(self, call: Call) -> Answer:
        """PUT /_mock/sessions/{session}/faults"""
        faults = [_fault(entry, f"/faults/{index}: ") for index, entry in enumerate(orjson.loads(call.request.body)["faults"])]
        names = [fault.name for fault in faults if fault.name is not None]
        twin = next((name for name in names if names.count(name) > 1), None)
        if twin is not None:
            raise Refusal(f"/faults: two faults are called {twin!r}")

        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], None]:
            return [FaultsCleared(at=draft.at), *set_faults(world, draft, faults, replacing=True)], None

        world, _ = await self._worlds.commit(session_of(call), decide)
        return _list(world)

    async def add(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/faults"""
        fault = _fault(orjson.loads(call.request.body), "")

        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], str]:
            events = set_faults(world, draft, [fault])
            return events, events[0].name

        world, name = await self._worlds.commit(session_of(call), decide)
        standing = faults_of(world).standing.get(name)
        return json_answer(201, _body(standing or Standing(name, fault)))

    async def clear(self, call: Call) -> Answer:
        """DELETE /_mock/sessions/{session}/faults"""

        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], None]:
            return [FaultsCleared(at=draft.at)] if faults_of(world).standing else [], None

        await self._worlds.commit(session_of(call), decide)
        return Answer(204)

    async def clear_one(self, call: Call) -> Answer:
        """DELETE /_mock/sessions/{session}/faults/{name}"""
        name = call.request.path_params["name"]

        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], list[str]]:
            standing = faults_of(world).standing
            return [FaultsCleared(at=draft.at, name=name)] if name in standing else [], list(standing)

        _, names = await self._worlds.commit(session_of(call), decide)
        if name not in names:
            return error(404, "not_found", f"No fault {name!r}; there are {', '.join(names) or 'none'}")
        return Answer(204)


def _fault(fields: Any, place: str) -> Fault:
    try:
        return Fault.model_validate(fields)
    except ValidationError as problem:
        # What the document can say of a fault has been checked by now.
        raise Refusal(f"{place}{complaint(problem)}"[:1000]) from None


def _list(world: World) -> Answer:
    return json_answer(200, {"faults": [_body(one) for one in faults_of(world).standing.values()]})


def _body(one: Standing) -> dict[str, Any]:
    """A fault with what came of it; counts only where it counts."""
    fault = one.fault.model_dump(mode="json", exclude_defaults=True)
    body: dict[str, Any] = {"name": one.name, "fault": fault, "over": one.over}
    if one.fault.counted:
        body |= {"met": one.met, "struck": one.struck}
    if one.fault.times is not None:
        body["left"] = one.fault.times - one.struck
    return body
