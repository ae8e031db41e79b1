"""What strikes a call is played: the answer is waited for, replaced, changed, or lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from contract_tests.exchange import Response
from mock_server.call import Call, response_of
from mock_server.defects.changes import data_of, with_data, with_header
from mock_server.faults.catalogue import Catalogue, retry_after
from mock_server.faults.striking import Strike, ends
from mock_server.ids import Seed
from mock_server.prefer import applied
from mock_server.routes import operation_of, path_params
from mock_server.stopping import Stopping
from mock_server.wire import Ending

_RETRY_AT_ONCE = 1  # seconds: Retry-After of a 429 that was asked for without one


class Played:
    """What became of a call.

    `response` is the answer; where the connection is to end without one (`ending`), it is what would have been answered, with
    status 0 if the request never reached its provider. Its body is to take `seconds`, and to be `cut` short. `error`: it is
    one that was asked for. `surprising`: it is another one than the usual, by a surprise.
    """

    __slots__ = ("cut", "ending", "error", "response", "seconds", "surprising")

    def __init__(self, strikes: Sequence[Strike]) -> None:
        kinds = [strike.fault.fault for strike in strikes]
        self.cut = "cut" in kinds
        self.seconds = sum(strike.seconds for strike in strikes if strike.fault.fault == "slow-body")
        self.ending: Ending | None = None
        self.response = Response(0, (), b"")
        self.error = "error" in kinds
        self.surprising = False


class Playing:
    """Plays what strikes a call around the usual way to answer it. Only calls to `providers` can be struck."""

    def __init__(self, catalogue: Catalogue, seed: Seed, stopping: Stopping) -> None:
        self._catalogue = catalogue
        self._seed = seed
        self._stopping = stopping
        self.providers = frozenset(catalogue.contracts)

    async def play(
        self,
        call: Call,
        strikes: Sequence[Strike],
        respond: Callable[[], Awaitable[Response]],
        drain: Callable[[], Awaitable[None]],
    ) -> Played:
        """`respond` gives the usual answer, `drain` reads the request without doing what it asks for."""
        played = Played(strikes)
        await self._stopping.sleep(sum(strike.seconds for strike in strikes if strike.fault.fault == "delay"))
        ending = next((strike for strike in strikes if ends(strike.fault)), None)
        if ending is None or ending.fault.handled:
            played.response = await respond()
        else:
            self._note_operation(call)
            await drain()
        done = [strike for strike in strikes if strike.fault.fault != "surprise"]
        if ending is not None and ending.fault.fault == "error":
            played.response = self._error(call, ending)
        elif ending is not None:
            played.ending = cast(Ending, ending.fault.fault)
        else:
            for strike in strikes:
                changed = self._surprised(call, strike, played.response)
                if changed is not None:
                    played.response = changed
                    played.surprising = True
                    done.append(strike)
        played.response = _labelled(played.response, done)
        return played

    def garbage(self, call: Call) -> bytes:
        """Bytes that are no HTTP, the same ones for the same seed."""
        noise = self._seed.bits(512, "garbage", call.request.path).to_bytes(64, "big")
        return b"\x15\x03\x00\r\n" + noise + b"\r\n\r\n"

    def _note_operation(self, call: Call) -> None:
        """What the router would have told of a request that never gets there."""
        call.operation = operation_of(call)
        if call.operation is not None:
            call.request.path_params = path_params(call.operation, call.request)

    def _error(self, call: Call, strike: Strike) -> Response:
        provider, fault = call.provider.name, strike.fault
        status = self._catalogue.status(fault, provider)
        assert status is not None
        word = fault.code if isinstance(fault.code, str) else None
        response = response_of(call, self._catalogue.repertoires[provider].error(call, status, word))
        seconds = retry_after(fault)
        if seconds is None and status == 429:
            seconds = _RETRY_AT_ONCE
        return response if seconds is None else with_header(response, b"retry-after", str(seconds).encode())

    def _surprised(self, call: Call, strike: Strike, response: Response) -> Response | None:
        """The answer with a surprise; None where it has nothing to change."""
        name, operation = strike.fault.surprise, call.operation
        if name is None or operation is None or not 200 <= response.status < 300:
            return None
        data = data_of(response)
        if data is None:
            return None
        changed = self._catalogue.repertoires[call.provider.name].surprise(name, operation, call, data)
        return None if changed == data else with_data(response, changed)


def _labelled(response: Response, done: Sequence[Strike]) -> Response:
    """The answer that says what was done to it."""
    names = [strike.name for strike in done if strike.name is not None]
    if names:
        response = with_header(response, b"x-mock-fault", ", ".join(names).encode())
    return applied(response, [wish for strike in done for wish in strike.wishes])
