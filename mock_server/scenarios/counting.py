"""Counting the calls that scenarios wait for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from contract_tests.contract import Operation
from mock_server.call import Call
from mock_server.event_log import Event, LogUnavailable
from mock_server.routes import operation_of
from mock_server.scenarios.events import CallCounted
from mock_server.scenarios.reading import Reader
from mock_server.scenarios.state import Run, state_of
from mock_server.sessions import TooManySessions
from mock_server.world import Draft, SessionFull, World, Worlds


class CallCounter:
    """Told of the calls that were answered, in sessions whose scenarios wait for some."""

    def __init__(self, worlds: Worlds, reader: Reader) -> None:
        self._worlds = worlds
        self._reader = reader

    def concern(self, call: Call) -> bool:
        """Whether a call that was answered may be one that a scenario waits for."""
        # Whatever has answered the call has brought the world up to date.
        return state_of(self._worlds.known(call.session)).counting and self._reader.serves(call.provider.name)

    async def answered(self, call: Call) -> None:
        """Count a call to one of a provider's operations, whatever was answered, and have done what it makes due."""
        # A call that finds no room is answered all the same, and says so itself.
        with suppress(LogUnavailable, SessionFull, TooManySessions):
            await self._count(call)

    async def _count(self, call: Call) -> None:
        operation = call.operation or operation_of(call)
        if operation is None or call.misnamed:
            return

        def count(world: World, draft: Draft) -> tuple[Sequence[Event], None]:
            runs = state_of(world).runs.items()
            names = tuple(name for name, run in runs if run.counts and self._is_for(run, call, operation))
            return [CallCounted(at=draft.at, scenarios=names, operation=operation.id)] if names else [], None

        await self._worlds.commit(call.session, count)

    def _is_for(self, run: Run, call: Call, operation: Operation) -> bool:
        step = run.following
        assert step is not None, "what is done counts nothing"
        if run.scenario.provider not in (None, call.provider.name) or step.of not in (None, operation.id):
            return False
        if step.wallet is None:
            return True
        wallet = self._reader.wallets[call.provider.name].get(step.wallet, step.wallet)
        return wallet in call.request.path.split("/")
