"""Controls of what happened in a session: its events, listed or live, and the whole of it as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from contract_tests.source import InputError
from mock_server import session_file
from mock_server.call import Answer, Call, Handler
from mock_server.control.answers import json_answer
from mock_server.control.asking import session_of
from mock_server.defects.board import Board
from mock_server.defects.catalogue import find
from mock_server.event_codec import to_json
from mock_server.flexprice.audit import audit as flexprice_audit
from mock_server.polar.audit import audit as polar_audit
from mock_server.session_file import Origin, SessionFile
from mock_server.webhooks.delivery import Courier
from mock_server.world import ClockMoved, Refusal, World, Worlds

_EVENT_STREAM = b"text/event-stream"
_PAUSE = 10.0  # seconds without an event after which a sign of life is sent


class HistoryControls:
    """The operations under /_mock/sessions/{session} that read and write its events."""

    def __init__(self, worlds: Worlds, board: Board, origin: Origin, courier: Courier) -> None:
        self._worlds = worlds
        self._courier = courier
        self._board = board
        self._origin = origin
        self.handlers: Mapping[str, Handler] = {
            "events": self.events,
            "exportSession": self.export,
            "importSession": self.load,
        }

    async def events(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/events"""
        name = session_of(call)
        query = call.request.query_first
        header = call.request.header
        after = int(header.get(b"last-event-id", b"").decode("latin-1") or query.get("after", "0"))
        if _EVENT_STREAM in header.get(b"accept", b""):
            headers = [(b"x-accel-buffering", b"no")]
            return Answer(200, b": hello\n\n", content_type=_EVENT_STREAM, headers=headers, chunks=self._stream(name, after))
        limit = int(query.get("limit", "1000"))
        found = (await self._worlds.events(name, after))[:limit]
        return json_answer(200, {"events": [to_json(event) for event in found], "next": after + len(found)})

    async def export(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/export"""
        name = session_of(call)
        events = await self._worlds.events(name)
        session = self._worlds.sessions.get(name)
        defects = tuple(defect.name for defect in self._board.of(name))
        spoiled = self._board.spoiled(name)
        file = SessionFile(name, self._origin, self._worlds.time_of(name), session.requests, defects, spoiled, events)
        return Answer(200, file.text(), content_type=b"application/json")

    async def load(self, call: Call) -> Answer:
        """PUT /_mock/sessions/{session}/import"""
        name = session_of(call)
        try:
            file = session_file.parse(call.request.body, "body")
        except InputError as error:
            raise Refusal(str(error)) from None
        differences = file.origin.differences(self._origin)
        if differences:
            comes_from = "; ".join(differences)
            raise Refusal(f"the file comes from a server with {comes_from} as here; `walletproof replay FILE` starts one like it")
        try:
            world = await load(self._worlds, self._board, name, file)
        except InputError as error:
            raise Refusal(f"body: /defects: {error}") from None
        await self._courier.listen(name, world)
        return json_answer(200, {"session": name, "events": len(file.events)})

    async def _stream(self, session: str, after: int) -> AsyncIterator[bytes]:
        """Server-sent events: each with its number as id, `rewound` where a reset or undo took some back."""
        generation = 0
        while True:
            position = (await self._worlds.current(session)).position
            before, generation = generation, self._worlds.generation(session)
            if position < after or (before != generation and before and after):
                # Which of the events that are there again are the same, nobody knows.
                after = position if position < after else 0
                yield _message("rewound", after, {"events": after})
            for event in await self._worlds.events(session, after):
                after += 1
                yield _message(type(event).__name__, after, to_json(event))
            if not await self._worlds.changed(session, after, _PAUSE):
                yield b": still here\n\n"


async def load(worlds: Worlds, board: Board, session: str, file: SessionFile) -> World:
    """Put a session where a file says.

    If its clock runs, it is stopped at the moment when the file was written: who reads it sees what its writer saw.
    Refusal if the events cannot be applied, InputError if there is no such defect; then nothing has changed.
    """
    for name in file.defects:
        find(name)  # before anything changes
    events = list(file.events)
    clock = next((event.clock for event in reversed(events) if isinstance(event, ClockMoved)), worlds.pristine.clock)
    if clock.moment is None:
        moment = max([file.at, *(event.at for event in events)])
        events.append(ClockMoved(at=moment, clock=clock.stopped(moment)))
    audits = [worlds.audit_time, *((flexprice_audit, polar_audit) if not file.spoiled else ())]
    world = await worlds.restore(session, events, audits)
    kept = worlds.sessions.get(session)
    kept.requests = file.requests
    kept.changed = True
    await board.put(session, file.defects)
    if file.spoiled:
        await board.spoil(session)
    return world


def _message(kind: str, number: int, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\nid: {number}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"
