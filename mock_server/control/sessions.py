"""Controls of sessions: which there are, their clocks, their snapshots, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import orjson

from contract_tests.durations import duration, written
from mock_server.call import Answer, Call, Handler
from mock_server.clock import parse_clock, parse_moment, rfc3339
from mock_server.control.answers import json_answer, refused
from mock_server.control.asking import session_of
from mock_server.defects.board import Board
from mock_server.desk import Desk
from mock_server.event_codec import decode, encode, to_json
from mock_server.journal import Journal
from mock_server.world import Refusal, World, Worlds

MOST_SNAPSHOTS = 20
_SNAPSHOT = "snapshot/"  # how their events are kept beside the log


class SessionControls:
    """The operations under /_mock/sessions that are about a session as a whole."""

    def __init__(self, worlds: Worlds, board: Board, journal: Journal, max_events: int) -> None:
        self._worlds = worlds
        self._log = worlds.log
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
        found = [await self._about(name, idle) for name, idle in await self._worlds.in_use()]
        return json_answer(200, {"sessions": found, "limits": limits})

    async def create(self, call: Call) -> Answer:
        """POST /_mock/sessions"""
        wanted = orjson.loads(call.request.body)
        name = wanted.get("name")
        if name is None:
            while not await self._worlds.begin(name := f"session-{next(self._numbers)}"):
                pass
        elif not await self._worlds.begin(name):
            raise refused(409, "exists", f"There is a session {name!r} already; reset or delete it")
        if "clock" in wanted:
            try:
                await self._set_clock(name, wanted["clock"])
            except Refusal:
                await self._worlds.end(name)
                raise
        return json_answer(201, await self._about(name, 0.0))

    async def get(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}"""
        name = await self._existing(call)
        idle = dict(await self._worlds.in_use()).get(name, 0.0)
        return json_answer(200, await self._about(name, idle))

    async def delete(self, call: Call) -> Answer:
        """DELETE /_mock/sessions/{session}"""
        await self._worlds.end(await self._existing(call))
        return Answer(204)

    async def reset(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/reset"""
        session = session_of(call)
        await self._worlds.reset(session)
        await self._journal.forget(session)
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
        taken = await self._snapshots(session_of(call))
        return json_answer(200, {"snapshots": [_snapshot_body(name, events) for name, events in taken.items()]})

    async def put_snapshot(self, call: Call) -> Answer:
        """PUT /_mock/sessions/{session}/snapshots/{snapshot}"""
        session, name = session_of(call), call.request.path_params["snapshot"]
        self._worlds.sessions.get(session)  # TooManySessions before anything is written
        taken = await self._snapshots(session)
        if name not in taken and len(taken) >= MOST_SNAPSHOTS:
            raise Refusal(f"a session keeps {MOST_SNAPSHOTS} snapshots at most: delete one")
        events = await self._worlds.events(session)
        await self._log.touch([session])
        await self._log.keep(session, _SNAPSHOT + name, "\n".join(map(encode, events)).encode())
        await self._note_snapshots(session, {name: len(events)})
        return json_answer(200, _snapshot_body(name, len(events)))

    async def delete_snapshot(self, call: Call) -> Answer:
        """DELETE /_mock/sessions/{session}/snapshots/{snapshot}"""
        session, name, _ = await self._snapshot(call)
        await self._note_snapshots(session, {name: None})
        await self._log.keep(session, _SNAPSHOT + name, None)
        return Answer(204)

    async def restore_snapshot(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/snapshots/{snapshot}/restore"""
        session, name, data = await self._snapshot(call)
        events = [decode(line) for line in data.decode().split("\n") if line]
        await self._worlds.restore(session, events)
        return json_answer(200, _snapshot_body(name, len(events)))

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

    async def _about(self, session: str, idle: float) -> dict[str, Any]:
        world = await self._worlds.current(session)
        return {
            "name": session,
            "events": world.position,
            "idle_seconds": round(max(0.0, idle), 3),
            "snapshots": list(self._worlds.desk(session).snapshots),
            "defects": [defect.name for defect in self._board.of(session)],
            **self._clock_body(world),
        }

    async def _existing(self, call: Call) -> str:
        name = session_of(call)
        if not await self._worlds.exists(name):
            raise refused(404, "not_found", f"No session {name!r} is in use; GET /_mock/sessions lists them")
        return name

    async def _snapshots(self, session: str) -> Mapping[str, int]:
        await self._worlds.current(session)
        return self._worlds.desk(session).snapshots

    async def _snapshot(self, call: Call) -> tuple[str, str, bytes]:
        session, name = session_of(call), call.request.path_params["snapshot"]
        taken = await self._snapshots(session)
        data = await self._log.kept(session, _SNAPSHOT + name) if name in taken else None
        if data is None:
            known = ", ".join(taken) or "none"
            raise refused(404, "not_found", f"No snapshot {name!r} in session {session!r}; there are: {known}")
        return session, name, data

    async def _note_snapshots(self, session: str, changes: Mapping[str, int | None]) -> None:
        def change(desk: Desk) -> Desk:
            return replace(desk, snapshots={n: e for n, e in {**desk.snapshots, **changes}.items() if e is not None})

        await self._worlds.rearrange(session, change)


def _snapshot_body(name: str, events: int) -> dict[str, Any]:
    return {"name": name, "events": events}
