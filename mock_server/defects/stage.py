"""Where defects play: around the honest way of a request."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from contract_tests.exchange import Request, Response
from mock_server.call import Call
from mock_server.defects.board import Board
from mock_server.defects.catalogue import find
from mock_server.defects.defect import Defect
from mock_server.defects.tampering import Tampering
from mock_server.defects.visit import Visit
from mock_server.prefer import Wish
from mock_server.world import COMMIT, Worlds

Respond = Callable[[Call], Awaitable[Response]]
"""The honest way of a request."""


class Stage:
    """Has requests answered with the defects that their session, or they themselves, have switched on."""

    def __init__(self, board: Board, worlds: Worlds) -> None:
        self.board = board
        self._worlds = worlds

    def chosen(self, call: Call, wishes: Sequence[Wish]) -> tuple[Sequence[Defect], Sequence[Defect]]:
        """The defects for a call, and those of them that it wishes for itself. InputError if it wishes for what is none."""
        on = self.board.of(call.session)
        if not on and not wishes:
            return (), ()  # most requests
        wished = [find(value) for name, value in dict.fromkeys(wishes) if name == "defect"]
        asked_for = [defect for defect in wished if defect.provider == call.provider.name]
        lasting = [defect for defect in on if defect.provider == call.provider.name]
        return list(dict.fromkeys([*lasting, *asked_for])), asked_for

    async def play(self, call: Call, defects: Sequence[Defect], respond: Respond) -> Response:
        """The answer to a call with these defects."""

        async def ask(request: Request) -> Response:
            inner = Call(request, call.provider, call.session, call.at)
            inner.neighbours = call.neighbours
            token = COMMIT.set(None)
            try:
                return await respond(inner)
            finally:
                COMMIT.reset(token)

        await self.board.spoil(call.session)
        visit = Visit(call, self._worlds, ask)
        scenes = [(defect, self.board.memory(call.session, defect)) for defect in defects]
        # What one defect leaves of an answer may be nothing that another one knows how to spoil.
        excused: tuple[type[Exception], ...] = (Exception,) if len(defects) > 1 else ()
        for defect, visit.memory in scenes:
            if defect.before is not None:
                with suppress(*excused):
                    waiting = defect.before(visit)
                    if inspect.isawaitable(waiting):
                        await waiting
        tampering = [scene for scene in scenes if scene[0].tampers]
        token = COMMIT.set(Tampering(visit, tampering) if tampering else None)
        try:
            response = await respond(call)
        finally:
            COMMIT.reset(token)
        for defect, visit.memory in scenes:
            if defect.after is not None:
                with suppress(*excused):
                    changed = defect.after(visit, response)
                    response = await changed if inspect.isawaitable(changed) else changed
        await self.board.remember(call.session, {defect.name: memory for defect, memory in scenes})
        return response
