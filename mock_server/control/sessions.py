"""Controls of sessions: which there are, their clocks, their snapshots, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import orjson

from contract_tests.durations import duration, written
from mock_server.call import Answer, Call, Handler
from mock_server.clock import Stopwatch, parse_clock, parse_moment, rfc3339
from mock_server.control.answers import json_answer, refused
from mock_server.control.asking import session_of
from mock_server.defects.board import Board
from mock_server.event_codec import to_json
from mock_server.journal import Journal
from mock_server.sessions import Session
from mock_server.world import Refusal, World, Worlds

MOST_SNAPSHOTS = 20


class SessionControls:
    """The operations under /_mock/sessions that are about a session as a whole."""

    def __init__(self, worlds: Worlds, board: Board, journal: Journal, max_events: int) -> None:
        self._worlds = worlds
        self._board = board
        self._journal = journal
        self._max_events = max_events
        self._numbers = count(1)
        self.handlers: Mapping[str, Handler] = {
            "sessions": self.list,
            "createSession": self.create,
            "session": self.get,
            "deleteSession": self.delete,
            "resetSession": self.reset,
            "clock": self.clock,
            "putClock": self.put_clock,
            "advanceClock": self.advance,
            "snapshots": self.snapshots,
            "putSnapshot": self.put_snapshot,
            "deleteSnapshot": self.delete_snapshot,
            "restoreSnapshot": self.restore_snapshot,
            "undo": self.undo,
        }

    async def list(self, call: Call) -> Answer:
        """GET /_mock/sessions"""
        sessions = self._worlds.sessions
        limits = {
            "sessions": sessions.most,
            "events": self._max_events,
            "idle": written(sessions.idle),
            "snapshots": MOST_SNAPSHOTS,
        }
        return json_answer(200, {"sessions": [await self._about(session) for session in list(sessions)], "limits": limits})

    async def create(self, call: Call) -> Answer:
        """POST /_mock/sessions"""
        wanted = orjson.loads(call.request.body)
        sessions = self._worlds.sessions
        name = wanted.get("name") or next(name for number in self._numbers if (name := f"session-{number}") not in sessions)
        if name in sessions:
            raise refused(409, "exists", f"There is a session {name!r} already; reset or delete it")
        if "clock" in wanted:
            await self._set_clock(name, wanted["clock"])
        return json_answer(201, await self._about(sessions.get(name)))

    async def get(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}"""
        return json_answer(200, await self._about(self._existing(call)))

    async def delete(self, call: Call) -> Answer:
        """DELETE /_mock/sessions/{session}"""
        self._worlds.sessions.end(self._existing(call).name)
        return Answer(204)

    async def reset(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/reset"""
        session = session_of(call)
        await self._worlds.reset(session)
        self._board.reset(session)
        self._journal.forget(session)
        return Answer(204)

    async def clock(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/clock"""
        return json_answer(200, self._clock_body(await self._worlds.current(session_of(call))))

    async def put_clock(self, call: Call) -> Answer:
        """PUT /_mock/sessions/{session}/clock"""
        name = session_of(call)
        return json_answer(200, self._clock_body(await self._set_clock(name, orjson.loads(call.request.body)["clock"])))

    async def advance(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/clock/advance"""
        name = session_of(call)
        wanted = orjson.loads(call.request.body)
        before = (await self._worlds.current(name)).position
        try:
            if "by" in wanted:
                span = duration(wanted["by"])
                world = await self._worlds.advance(name, span)
            else:
                moment = parse_moment(wanted["to"])
                world = await self._worlds.move_clock(name, lambda world, wall: world.clock.moved_to(moment, wall))
        except ValueError as problem:
            raise Refusal(str(problem)) from None
        happened = await self._worlds.events(name, before)
        return json_answer(200, {**self._clock_body(world), "happened": [to_json(event) for event in happened]})

    async def snapshots(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/snapshots"""
        taken = self._worlds.sessions.get(session_of(call)).snapshots
        return json_answer(200, {"snapshots": [_snapshot_body(name, len(events)) for name, events in taken.items()]})

    async def put_snapshot(self, call: Call) -> Answer:
        """PUT /_mock/sessions/{session}/snapshots/{snapshot}"""
        session = self._worlds.sessions.get(session_of(call))
        name = call.request.path_params["snapshot"]
        if name not in session.snapshots and len(session.snapshots) >= MOST_SNAPSHOTS:
            raise Refusal(f"a session keeps {MOST_SNAPSHOTS} snapshots at most: delete one")
        events = session.snapshots[name] = tuple(await self._worlds.events(session.name))
        session.changed = True
        return json_answer(200, _snapshot_body(name, len(events)))

    async def delete_snapshot(self, call: Call) -> Answer:
        """DELETE /_mock/sessions/{session}/snapshots/{snapshot}"""
        session, name = self._snapshot(call)
        del session.snapshots[name]
        return Answer(204)

    async def restore_snapshot(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/snapshots/{snapshot}/restore"""
        session, name = self._snapshot(call)
        await self._worlds.restore(session.name, session.snapshots[name])
        return json_answer(200, _snapshot_body(name, len(session.snapshots[name])))

    async def undo(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/undo"""
        name = session_of(call)
        undone = await self._worlds.undo(name, int(orjson.loads(call.request.body)["events"]))
        world = await self._worlds.current(name)
        return json_answer(200, {"undone": [to_json(event) for event in undone], "events": world.position})

    async def _set_clock(self, session: str, text: str) -> World:
        try:
            return await self._worlds.move_clock(session, lambda world, wall: parse_clock(text, world.clock.now(wall)))
        except ValueError as problem:
            raise Refusal(f"clock: {problem}") from None

    def _clock_body(self, world: World) -> dict[str, str]:
        return {"clock": world.clock.text, "mode": world.clock.mode, "now": rfc3339(self._worlds.now(world))}

    async def _about(self, session: Session) -> dict[str, Any]:
        idle = Stopwatch.seconds() - session.used
        world = await self._worlds.current(session.name)
        return {
            "name": session.name,
            "events": world.position,
            "idle_seconds": round(max(0.0, idle), 3),
            "snapshots": list(session.snapshots),
            "defects": [defect.name for defect in self._board.of(session.name)],
            **self._clock_body(world),
        }

    def _existing(self, call: Call) -> Session:
        name = session_of(call)
        if name not in self._worlds.sessions:
            raise refused(404, "not_found", f"No session {name!r} is in use; GET /_mock/sessions lists them")
        return self._worlds.sessions.get(name)

    def _snapshot(self, call: Call) -> tuple[Session, str]:
        session = self._worlds.sessions.get(session_of(call))
        name = call.request.path_params["snapshot"]
        if name not in session.snapshots:
            known = ", ".join(session.snapshots) or "none"
            raise refused(404, "not_found", f"No snapshot {name!r} in session {session.name!r}; there are: {known}")
        return session, name


def _snapshot_body(name: str, events: int) -> dict[str, Any]:
    return {"name": name, "events": events}
