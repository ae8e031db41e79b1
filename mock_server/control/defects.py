"""Controls of defects: which there are, and which are on in a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from contract_tests.source import InputError
from mock_server.call import Answer, Call, Handler
from mock_server.control.answers import error, json_answer
from mock_server.control.asking import session_of
from mock_server.defects.board import Board
from mock_server.defects.catalogue import CATALOGUE
from mock_server.defects.defect import Defect
from mock_server.world import Worlds


class DefectControls:
    """The operations under /_mock/defects and /_mock/sessions/{session}/defects."""

    def __init__(self, worlds: Worlds, board: Board) -> None:
        self._worlds = worlds
        self._board = board
        self.handlers: Mapping[str, Handler] = {
            "defects": self.all,
            "sessionDefects": self.of_session,
            "putSessionDefects": self.put,
        }

    async def all(self, call: Call) -> Answer:
        """GET /_mock/defects"""
        return json_answer(200, {"defects": [_entry(defect) for defect in CATALOGUE.values()]})

    async def of_session(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/defects"""
        session = session_of(call)
        await self._worlds.current(session)
        return _names(self._board.of(session))

    async def put(self, call: Call) -> Answer:
        """PUT /_mock/sessions/{session}/defects"""
        session = session_of(call)
        try:
            return _names(await self._board.put(session, orjson.loads(call.request.body)["defects"]))
        except InputError as problem:
            return error(404, "not_found", str(problem))


def _entry(defect: Defect) -> dict[str, object]:
    return {name: getattr(defect, name) for name in ("name", "provider", "area", "about", "live")}


def _names(defects: Sequence[Defect]) -> Answer:
    return json_answer(200, {"defects": [defect.name for defect in defects]})
