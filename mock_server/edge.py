"""The outermost and the innermost layer of the application, around Connexion's.

`Edge` is where a request enters and the answer leaves: it reads the body, finds provider and session, and checks every
answer against the contract before it is sent. In between Connexion routes and authenticates. `Operations` checks the
request and has it handled.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract_tests.contract import Operation
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.judge import Judge
from contract_tests.rules.observation import Observation
from contract_tests.source import InputError
from mock_server import wire
from mock_server.call import Answer, Call, Handler, Provider, Refused, response_of
from mock_server.clock import Stopwatch
from mock_server.connexion_parts import ROUTING_CONTEXT, SpecMiddleware
from mock_server.defects.changes import CutShort
from mock_server.defects.defect import Defect
from mock_server.defects.stage import Stage
from mock_server.event_log import PATIENCE, LogUnavailable, Patience
from mock_server.faults.fault import GATEWAY_STATUSES
from mock_server.faults.playing import Played, Playing
from mock_server.faults.striking import Strike, Striking
from mock_server.journal import Journal
from mock_server.prefer import applied, wishes
from mock_server.routes import hinted
from mock_server.scenarios.counting import CallCounter
from mock_server.sessions import DEFAULT_SESSION, TooManySessions
from mock_server.stopping import Stopping
from mock_server.world import SessionFull, Worlds

log = logging.getLogger("walletproof")

CALL = "walletproof.call"
_SESSION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SESSION_HOST = re.compile(rb"([a-z0-9][a-z0-9-]{0,62})\.localhost(:\d+)?")
_NOT_NOW = (LogUnavailable, SessionFull, TooManySessions)
_WITH_BODY = ("POST", "PUT", "PATCH")  # what other methods send is ignored


class _BodyTooLarge(Exception):
    """The client sends more than the mock reads."""


class _ClientGone(Exception):
    """The client went away before the request was whole; what came so far must not take effect."""


class Edge:
    """Outermost layer: `providers` in order of their claim on a path, the last one takes what nobody owns."""

    def __init__(
        self,
        app: ASGIApp,
        providers: Sequence[Provider],
        stage: Stage,
        worlds: Worlds,
        journal: Journal,
        calls: CallCounter,
        striking: Striking,
        playing: Playing,
        stopping: Stopping,
    ) -> None:
        self._app = app
        self._claims = [(provider.prefixes, provider) for provider in providers]
        self._default = providers[-1]
        self._contracts = [provider.contract for provider in providers]
        self._judges = {provider.name: Judge(provider.contract) for provider in providers}
        self._stage = stage
        self._worlds = worlds
        self._journal = journal
        self._calls = calls
        self._striking = striking
        self._playing = playing
        self._stopping = stopping
        self._troubled = playing.providers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope["method"], scope["path"], scope["query_string"], scope["headers"])
        provider = self._default
        for prefixes, claimant in self._claims:
            if request.path.startswith(prefixes):
                provider = claimant
                break
        session, misnamed = _session_of(request)
        began = Stopwatch.seconds()
        unknown = await self._entered(session) if self._worlds.log.shared else None
        call = Call(request, provider, session, self._worlds.time_of(session))
        call.misnamed = misnamed
        call.neighbours = self._contracts
        played: Played | None = None
        try:
            if unknown is not None:
                response = self._not_now(call, unknown)
            elif provider.name in self._troubled:
                response, played = await self._provided(call, scope, receive)
            else:
                response = await self._respond(call, scope, receive)
            if self._calls.concern(call):
                await self._calls.answered(call)
            if unknown is None:
                if self._worlds.log.shared:
                    response = await self._flushed(call, response)
                await self._journal.note(call, response, Stopwatch.seconds() - began)
        except _ClientGone:
            return
        except asyncio.CancelledError:
            if not self._stopping.begun:
                raise
            # The server stops, and this took longer than it waits. Whether it was done nobody knows.
            await self._send(call, self._not_now(call, LogUnavailable("the server is stopping")), None, receive, send)
            return
        await self._send(call, response, played, receive, send)

    async def _flushed(self, call: Call, response: Response) -> Response:
        """The response, once all that it may tell of is where it stays."""
        try:
            await self._worlds.log.flush()
        except LogUnavailable as problem:
            return self._not_now(call, problem)
        return response

    async def _entered(self, session: str) -> Exception | None:
        """Know what other processes know of a session; what keeps from it, if anything does."""
        PATIENCE.set(Patience())
        try:
            await self._worlds.enter(session)
        except _NOT_NOW as problem:
            return problem
        return None

    async def _send(self, call: Call, response: Response, played: Played | None, receive: Receive, send: Send) -> None:
        if call.answer is not None and call.answer.chunks is not None:
            await wire.send_stream(response, call.answer.chunks, self._stopping, receive, send)
            return
        body = b"" if call.request.method == "HEAD" else response.body
        if played is not None and played.ending is not None:
            await wire.end(played.ending, self._playing.garbage(call), receive, send)
        elif isinstance(response, CutShort):
            await wire.send_cut(response, body, 0, self._stopping, receive, send)
        elif played is None:
            await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
            await send({"type": "http.response.body", "body": body})
        elif played.cut:
            await wire.send_cut(response, body[: len(body) * 2 // 3], played.seconds, self._stopping, receive, send)
        else:
            await wire.send_slowly(response, body, played.seconds, self._stopping, send)

    async def _provided(self, call: Call, scope: Scope, receive: Receive) -> tuple[Response, Played | None]:
        """The way of a provider's request: through the faults that strike it and the defects that are on."""
        request, provider = call.request, call.provider
        if call.misnamed:
            return await self._respond(call, scope, receive), None  # refused there
        if b"prefer" not in request.header and not self._stage.board.of(call.session) and self._striking.calm(call):
            return await self._respond(call, scope, receive), None  # most requests
        try:
            wished = wishes(request.headers) if b"prefer" in request.header else ()
            defects, asked_for = self._stage.chosen(call, wished)
            strikes = await self._striking.strikes(call, wished)
        except InputError as error:
            return self._checked(call, provider.bad_header(call, "prefer", str(error))), None
        except _NOT_NOW as problem:
            return self._not_now(call, problem), None
        except Exception:
            log.exception("%s %r: its faults could not be found", request.method, request.path)
            return self._checked(call, provider.failure(call)), None

        async def usual() -> Response:
            if not defects:
                return await self._respond(call, scope, receive)
            response = await self._staged(call, defects, scope, receive)
            return applied(response, [("defect", defect.name) for defect in asked_for])

        if not strikes:
            return await usual(), None
        return await self._struck(call, strikes, usual, receive)

    async def _struck(
        self, call: Call, strikes: Sequence[Strike], usual: Callable[[], Awaitable[Response]], receive: Receive
    ) -> tuple[Response, Played | None]:
        """The way through the faults."""
        request = call.request

        async def drain() -> None:
            if request.method in _WITH_BODY:
                with suppress(_BodyTooLarge):
                    request.body = await _read_body(request, receive, call.provider.max_body)

        try:
            self._worlds.sessions.get(call.session)
            played = await self._playing.play(call, strikes, usual, drain)
        except _ClientGone:
            raise
        except (LogUnavailable, TooManySessions) as problem:
            return self._not_now(call, problem), None
        except Exception:
            log.exception("%s %r failed with the faults %s", request.method, request.path, strikes)
            return self._checked(call, call.provider.failure(call)), None
        if played.error or (played.surprising and not self._stage.board.spoiled(call.session)):
            played.response = self._vetted(call, played.response, contract_only=played.error)
        return played.response, played

    async def _respond(self, call: Call, scope: Scope, receive: Receive) -> Response:
        """The honest way."""
        request = call.request
        scope[CALL] = call
        try:
            answer = await self._answer(call, scope, receive)
        except _BodyTooLarge:
            answer = call.provider.too_large(call, call.provider.max_body)
        except _ClientGone:
            raise
        except _NOT_NOW as problem:
            return self._not_now(call, problem)
        except Exception:
            log.exception("%s %r failed", request.method, request.path)
            answer = call.provider.failure(call)
        if call.operation is None and answer.status in (404, 405):
            hinted(call, answer)
        return self._checked(call, answer)

    async def _staged(self, call: Call, defects: Sequence[Defect], scope: Scope, receive: Receive) -> Response:
        """The way through the defects that are on."""
        request = call.request
        try:
            if request.method in _WITH_BODY:
                request.body = await _read_body(request, receive, call.provider.max_body)
        except _BodyTooLarge:
            return self._checked(call, call.provider.too_large(call, call.provider.max_body))

        async def respond(call: Call) -> Response:
            request = call.request
            body = request.body

            async def replay() -> Message:
                return {"type": "http.request", "body": body}

            changed = {"method": request.method, "query_string": request.query_string, "headers": request.headers}
            extensions = dict(scope.get("extensions") or {})  # each way through the router notes its finds there
            return await self._respond(call, {**scope, **changed, "path": request.path, "extensions": extensions}, replay)

        try:
            self._worlds.sessions.get(call.session)  # what defects leave behind ends with it
            return await self._stage.play(call, defects, respond)
        except _ClientGone:
            raise
        except _NOT_NOW as problem:
            return self._not_now(call, problem)
        except Exception:
            log.exception("%s %r failed with the defects %s", request.method, request.path, [d.name for d in defects])
            return self._checked(call, call.provider.failure(call))

    async def _answer(self, call: Call, scope: Scope, receive: Receive) -> Answer:
        request = call.request
        if call.misnamed:
            return call.provider.bad_header(call, "x-mock-session", call.misnamed)
        self._worlds.sessions.get(call.session)
        early = await call.provider.before_routing(call)
        if early is not None:
            return early
        if "\n" in request.path:
            # The router's patterns end before a line feed at the end: it would route such a path, and skip authentication.
            return unrouted(call)
        if request.method in _WITH_BODY:
            request.body = await _read_body(request, receive, call.provider.max_body)
        start: Message = {}

        async def sink(message: Message) -> None:
            # Only what never becomes `call.answer` matters here: the redirects of Starlette's router.
            if message["type"] == "http.response.start":
                start.update(message)

        scope["path"] = request.path  # a provider may have rewritten an alias
        try:
            await self._app(scope, receive, sink)
        except Refused as refused:
            return refused.answer
        except HTTPException as exception:
            if exception.status_code not in (404, 405):
                raise
            return unrouted(call)
        if call.answer is not None:
            return call.answer
        location = dict(start.get("headers", ())).get(b"location")
        if location is not None:
            return call.provider.redirect(call, location.decode("latin-1"))
        log.error("%s %r was not answered", request.method, request.path)
        return call.provider.failure(call)

    def _not_now(self, call: Call, problem: Exception) -> Response:
        """503; said in the default session, which is always there."""
        call.session = DEFAULT_SESSION
        call.answer = None  # which may be one that goes on
        return response_of(call, call.provider.unavailable(call, problem))

    def _checked(self, call: Call, answer: Answer) -> Response:
        """The response as it leaves; one that would break a promise becomes a logged finding and a 500."""
        # That the server has failed is known, and what defects did to a world is wanted: only the contract must hold.
        contract_only = answer.status >= 500 or self._stage.board.spoiled(call.session)
        return self._vetted(call, response_of(call, answer), contract_only=contract_only)

    def _vetted(self, call: Call, response: Response, *, contract_only: bool) -> Response:
        contract = call.provider.contract
        operation = call.operation or contract.unrouted
        exchange = Exchange(call.request, response)
        if contract_only:
            findings = contract.check_response(operation, exchange)
            if response.status in GATEWAY_STATUSES:
                findings = [finding for finding in findings if finding.rule != "response.status"]
        else:
            judge = self._judges[call.provider.name]
            if judge.faultless(operation, exchange):
                return response
            findings = judge.findings(Observation(contract, operation, exchange))
        if not findings:
            return response
        for finding in findings:
            log.error(
                "%s %r: the mock was about to answer %d: %s", call.request.method, call.request.path, response.status, finding
            )
        return response_of(call, call.provider.failure(call))


class Operations(SpecMiddleware):
    """Innermost layer: has openapi-core check the request, and calls the handler that Connexion's resolver has for it.

    Connexion's own last step builds three decorators per request; calling the handler here instead saves most of the time
    that a request takes. See ARCHITECTURE.md.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._handlers: dict[str, Handler] = {}

    def add_api(self, specification: Any, providers: Sequence[Provider], resolver: Any, **kwargs: Any) -> None:
        """Learn operations and handlers under the ids of the routing view."""
        for provider in providers:
            for operation in provider.contract.operations.values():
                routed_id = f"{provider.name}/{operation.id}"
                self._handlers[routed_id] = resolver.resolve_function_from_operation_id(routed_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call: Call = scope[CALL]
        provider = call.provider
        operation = call.operation
        if operation is None:
            operation = note_operation(call, scope)
            if operation is None:
                call.answer = unrouted(call)
                return
            if operation.secured:
                raise RuntimeError(f"{operation.id} was reached without authentication")
        findings = provider.contract.check_request(operation, call.request)
        if findings:
            refusal = provider.refuse(call, findings)
            if refusal is not None:
                call.answer = refusal
                return
        call.answer = await self._handlers[scope["extensions"][ROUTING_CONTEXT]["operation_id"]](call)


def unrouted(call: Call) -> Answer:
    """The provider's answer to a path or method that no operation has."""
    allowed = call.provider.contract.methods_at(call.request.path)
    # Paths with line feeds are not routed. A method that such a path would have but for them is no wrong method.
    return call.provider.unrouted(call, [] if call.request.method in allowed else allowed)


def note_operation(call: Call, scope: Scope) -> Operation | None:
    """Tell the call which operation Connexion's router found; None if none."""
    operation_id: str | None = scope["extensions"][ROUTING_CONTEXT]["operation_id"]
    if operation_id is not None:
        call.operation = call.provider.contract.operations[operation_id.partition("/")[2]]
        call.request.path_params = scope["path_params"]
    return call.operation


def _session_of(request: Request) -> tuple[str, str]:
    """The session that header or host names, and a sentence if the name is no name."""
    header = request.header
    named = header.get(b"x-mock-session")
    if named is not None:
        name = named.decode("latin-1")
        if _SESSION_NAME.fullmatch(name):
            return name, ""
        wanted = "1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first"
        return DEFAULT_SESSION, f"X-Mock-Session must be {wanted}"
    if b".localhost" in (host := header.get(b"host", b"").lower()) and (match := _SESSION_HOST.fullmatch(host)):
        return match[1].decode(), ""
    return DEFAULT_SESSION, ""


async def _read_body(request: Request, receive: Receive, most: int) -> bytes:
    announced = request.header.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > most:
        raise _BodyTooLarge
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise _BodyTooLarge
        chunks.append(chunk)
        if not message.get("more_body"):
            break
    return b"".join(chunks)
