"""The controls, served like any provider and guarded more closely.

A web page that a developer happens to visit can send requests to localhost. So a control answers only if the request
names this machine as host (no rebound domain name does) and comes from no other origin.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

from contract_tests.contract import Contract
from contract_tests.finding import Finding
from mock_server.actions import Unknown
from mock_server.call import Answer, Call, Handler, Header, Refused, path_of
from mock_server.control.answers import error, json_answer
from mock_server.event_log import Event, LogUnavailable
from mock_server.notice import Notice
from mock_server.personas import Cast, Persona
from mock_server.world import Refusal, Worlds

_LONGEST_REFUSAL = 2_000  # it quotes what came, which may be long
_LOCAL_HOST = re.compile(rb"(([A-Za-z0-9-]+\.)?localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


class ControlState:
    """Controls keep nothing of their own in a world."""

    def apply(self, event: Event) -> Iterable[Notice]:
        """Events of providers pass by."""
        return ()

    def memento(self) -> None:
        """Nothing."""

    def recall(self, memento: None) -> None:
        """Nothing."""


class Control:
    """The provider `control`.

    `casts` are the personas by provider; `exposed` means bound beyond this machine.
    """

    name = "control"
    max_body = 16 << 20  # a whole session may be sent in

    def __init__(
        self,
        contract: Contract,
        casts: Mapping[str, Cast],
        *,
        population: int,
        token: str | None,
        exposed: bool,
    ) -> None:
        self.contract = contract
        self.prefixes: tuple[str, ...] = ("/_mock/", "/_mock")
        self._casts = casts
        self._population = population
        self._token = token.encode() if token else None
        self._exposed = exposed
        self.handlers: Mapping[str, Handler] = {}
        self.add(
            {
                "health": self.health,
                "personas": self.personas,
                "member": self.member,
            }
        )

    def attach(self, worlds: Worlds) -> None:
        """Controls act on all sessions' worlds."""
        self._worlds = worlds

    def add(self, handlers: Mapping[str, Handler]) -> None:
        """Serve more controls; what a world refuses is a 409, and what it does not have a 404."""
        self.handlers = {**self.handlers, **{operation: _refusing(handler) for operation, handler in handlers.items()}}

    def new_state(self) -> ControlState:
        """A world's part before any event."""
        return ControlState()

    async def before_routing(self, call: Call) -> Answer | None:
        """Only requests that could not come from a foreign web page; HEAD and OPTIONS have no routes."""
        header = call.request.header
        host = header.get(b"host", b"")
        if self._token is None and not self._exposed and not _LOCAL_HOST.fullmatch(host):
            return error(
                403, "foreign_host", "Controls answer to localhost and 127.0.0.1 only; set a control token for other names"
            )
        origin = header.get(b"origin")
        if origin is not None and origin.split(b"://", 1)[-1] != host:
            return error(403, "foreign_origin", "A page of another origin may not use the controls")
        if call.request.method in ("HEAD", "OPTIONS"):
            return self.unrouted(call, self.contract.methods_at(call.request.path))
        return None

    def authenticate(self, call: Call) -> None:
        """The control token, if there is one; without one, this machine only."""
        if self._token is None:
            if self._exposed:
                message = "This server listens beyond this machine: start it with --control-token to use the controls"
                raise Refused(error(403, "controls_off", message))
            # The contract asks for a token; where the server has none, whatever stands there will do.
            call.request.add_header(b"x-control-token", b"none")
            return
        given = call.request.header.get(b"x-control-token", b"")
        if not hmac.compare_digest(given, self._token):
            raise Refused(error(401, "unauthorized", "Send the server's control token as X-Control-Token"))

    def refuse(self, call: Call, findings: list[Finding]) -> Answer | None:
        """400."""
        return error(400, "bad_request", "; ".join(f"{f.pointer}: {f.problem}" for f in findings)[:500])

    def unrouted(self, call: Call, allowed: Sequence[str]) -> Answer:
        """404 with the list of controls, or 405."""
        if allowed:
            return error(405, "method_not_allowed", f"Use {' or '.join(allowed)}", [(b"allow", ", ".join(allowed).encode())])
        known = ", ".join(f"{o.method} {o.path}" for o in self.contract.operations.values())
        return error(404, "not_found", f"No such control; there are {known}")

    def redirect(self, call: Call, location: str) -> Answer:
        """A slash too many at the end."""
        return Answer(307, headers=[(b"location", path_of(location))])

    def too_large(self, call: Call, limit: int) -> Answer:
        """A body beyond what the mock reads."""
        return error(413, "too_large", f"The request body is larger than {limit} bytes", [(b"connection", b"close")])

    def bad_header(self, call: Call, header: str, problem: str) -> Answer:
        """The name of a mock session is no name."""
        return error(400, "bad_session", problem)

    def failure(self, call: Call) -> Answer:
        """500."""
        return error(500, "internal_error", "The mock failed; its log says why")

    def unavailable(self, call: Call, problem: Exception) -> Answer:
        """503."""
        return error(503, "unavailable" if isinstance(problem, LogUnavailable) else "no_room", str(problem))

    def headers(self, call: Call) -> list[Header]:
        """Nothing may keep or embed these."""
        return [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]

    async def health(self, call: Call) -> Answer:
        """GET /_mock/health"""
        body = {
            "status": "ready",
            "version": metadata.version("walletproof"),
            "seed": self._worlds.seed.number,
            "population": self._population,
            "providers": list(self._casts),
        }
        return json_answer(200, body)

    async def personas(self, call: Call) -> Answer:
        """GET /_mock/personas"""
        return json_answer(200, {"personas": [_body(persona) for cast in self._casts.values() for persona in cast.personas()]})

    async def member(self, call: Call) -> Answer:
        """GET /_mock/population/{provider}/{index}"""
        provider, index = call.request.path_params["provider"], int(call.request.path_params["index"])
        cast = self._casts.get(provider)
        if cast is None:
            return error(404, "not_found", f"No provider {provider!r}; there are {', '.join(self._casts)}")
        persona = cast.member(index)
        if persona is None:
            return error(404, "not_found", f"The population has {self._population} members; number them from 0")
        return json_answer(200, _body(persona))


def _body(persona: Persona) -> dict[str, Any]:
    body = asdict(persona)
    if persona.token is None:
        del body["token"]
    return body


def _refusing(handler: Handler) -> Handler:
    async def handle(call: Call) -> Answer:
        try:
            return await handler(call)
        except Unknown as unknown:
            return error(404, "not_found", str(unknown))
        except Refusal as refusal:
            return error(409, "refused", str(refusal)[:_LONGEST_REFUSAL])

    return handle
