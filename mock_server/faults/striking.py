"""Which faults strike a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract_tests.contract import Operation
from contract_tests.durations import duration
from contract_tests.source import InputError
from mock_server.call import Call
from mock_server.event_log import Event
from mock_server.faults.catalogue import Catalogue
from mock_server.faults.fault import UNANSWERED, Fault
from mock_server.faults.state import FaultsMet, Standing, faults_of
from mock_server.faults.wished import wished_faults
from mock_server.ids import Seed
from mock_server.prefer import Wish
from mock_server.routes import operation_of
from mock_server.world import Draft, World, Worlds


@dataclass(frozen=True)
class Strike:
    """A fault that strikes a call: one of the session, which has a `name`, or one that the call `wishes` for itself.

    `seconds` is how long it lasts.
    """

    fault: Fault
    seconds: float = 0
    name: str | None = None
    wishes: Sequence[Wish] = ()


class Striking:
    """Decides what strikes a call: the session's faults in the order in which they were set, then the call's own.

    A fault that takes the answer's place ends the matter: those after it do not meet the call, so that faults which are over
    after some `times` follow one another.
    """

    def __init__(self, worlds: Worlds, catalogue: Catalogue) -> None:
        self._worlds = worlds
        self._catalogue = catalogue

    def calm(self, call: Call) -> bool:
        """Whether a session has no faults, nor anything due that could bring some."""
        world = self._worlds.known(call.session)
        return not faults_of(world).active and world.due > call.at

    async def strikes(self, call: Call, wishes: Sequence[Wish]) -> Sequence[Strike]:
        """What strikes a call, in order; InputError if it wishes for what it cannot have."""
        world = await self._worlds.current(call.session)
        active = faults_of(world).active
        if not active and not wishes:
            return ()
        provider, request = call.provider.name, call.request
        operation = operation_of(call)
        wished = self._wished(wishes, provider, operation)
        if request.method == "OPTIONS":
            return ()  # a browser's question before the call; the call itself will meet what it must
        found = [*(await self._of_session(call, operation) if active else ()), *wished]
        endings = [strike for strike in found if ends(strike.fault)]
        return [strike for strike in found if strike not in endings[1:]]

    def _wished(self, wishes: Sequence[Wish], provider: str, operation: Operation | None) -> list[Strike]:
        strikes = []
        for fault, its_wishes in wished_faults(wishes):
            if fault.code is not None:
                problem = self._catalogue.problem_of_code(fault, [(provider, operation)])
                if problem:
                    raise InputError(f"Prefer: {problem}")
            seconds = duration(fault.delay).total_seconds() if isinstance(fault.delay, str) else 0
            strikes.append(Strike(fault, seconds, wishes=its_wishes))
        return strikes

    async def _of_session(self, call: Call, operation: Operation | None) -> list[Strike]:
        provider, request = call.provider.name, call.request

        def meet(world: World, draft: Draft) -> tuple[Sequence[Event], list[Strike]]:
            met, struck, strikes = [], [], []
            for one in faults_of(world).active:
                if not self._catalogue.fits(one.fault, provider, operation, request):
                    continue
                hit = not one.fault.counted or _hits(one, draft.seed)
                if one.fault.counted:
                    met.append(one.name)
                    struck += [one.name] if hit else []
                if hit:
                    strikes.append(Strike(one.fault, _seconds(one, draft.seed), one.name))
                    if ends(one.fault):
                        break
            events = [FaultsMet(at=draft.at, met=tuple(met), struck=tuple(struck))] if met else []
            return events, strikes

        _, strikes = await self._worlds.commit(call.session, meet)
        return strikes


def ends(fault: Fault) -> bool:
    """Whether it takes the place of the answer."""
    return fault.fault == "error" or fault.fault in UNANSWERED


def _hits(one: Standing, seed: Seed) -> bool:
    """Whether a fault strikes the next call that meets it."""
    fault, number = one.fault, one.met + 1
    if number <= fault.skip or (fault.every is not None and (number - fault.skip) % fault.every):
        return False
    return fault.probability is None or _draw(one, seed, "strikes") < fault.probability


def _seconds(one: Standing, seed: Seed) -> float:
    """How long a fault lasts when it strikes the next call that meets it."""
    delay = one.fault.delay
    if delay is None:
        return 0
    if isinstance(delay, str):
        return duration(delay).total_seconds()
    return delay.seconds((_draw(one, seed, "delay"), _draw(one, seed, "delay again")))


def _draw(one: Standing, seed: Seed, purpose: str) -> float:
    """A number from 0 up to 1, the same one for the same call of a session that began anew."""
    return seed.bits(32, "fault", purpose, one.name, one.met + 1) / 2**32
