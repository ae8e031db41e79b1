"""Where defects play: around the honest way of a request."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from contract_tests.exchange import Request, Response
from mock_server.call import Call
from mock_server.defects.board import Board, wished
from mock_server.defects.changes import with_header
from mock_server.defects.defect import Defect
from mock_server.defects.tampering import Tampering
from mock_server.defects.visit import Visit
from mock_server.world import COMMIT, Worlds

_PLAYED = ("flexprice", "polar")  # the controls are always honest

Respond = Callable[[Call], Awaitable[Response]]
"""The honest way of a request."""


class Stage:
    """Has requests answered with the defects that their session, or they themselves, have switched on."""

    def __init__(self, board: Board, worlds: Worlds) -> None:
        self.board = board
        self._worlds = worlds

    def concerns(self, request: Request) -> bool:
        """Whether there may be anything to do; most requests pass by on this."""
        return self.board.on or b"prefer" in request.header

    def spoiled(self, session: str) -> bool:
        """Whether a session may hold what a defect left behind."""
        return session in self.board.spoiled

    def chosen(self, call: Call) -> tuple[Sequence[Defect], Sequence[Defect]]:
        """The defects for a call, and those of them that it asks for itself. InputError if it asks for what is none."""
        if call.provider.name not in _PLAYED:
            return (), ()
        asked_for = [defect for defect in wished(call.request.headers) if defect.provider == call.provider.name]
        lasting = [defect for defect in self.board.of(call.session) if defect.provider == call.provider.name]
        return list(dict.fromkeys([*lasting, *asked_for])), asked_for

    async def play(self, call: Call, defects: Sequence[Defect], respond: Respond) -> Response:
        """The answer to a call with these defects."""

        async def ask(request: Request) -> Response:
            inner = Call(request, call.provider)
            inner.session = call.session
            token = COMMIT.set(None)
            try:
                return await respond(inner)
            finally:
                COMMIT.reset(token)

        self.board.spoiled.add(call.session)
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
        return response


def applied(response: Response, defects: Sequence[Defect]) -> Response:
    """The answer that says which wishes it fulfils."""
    if not defects:
        return response
    names = ", ".join(f"defect={defect.name}" for defect in defects)
    return with_header(response, b"preference-applied", names.encode())
