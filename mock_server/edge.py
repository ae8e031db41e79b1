"""The outermost and the innermost layer of the application, around Connexion's.

`Edge` is where a request enters and the answer leaves: it reads the body, finds provider and session, and checks every
answer against the contract before it is sent. In between Connexion routes and authenticates. `Operations` checks the
request and has it handled.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from connexion.middleware.abstract import ROUTING_CONTEXT, SpecMiddleware
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract_tests.contract import Operation
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.judge import Judge
from contract_tests.rules.observation import Observation
from contract_tests.source import InputError
from mock_server.call import Answer, Call, Handler, Provider, Refused, response_of
from mock_server.clock import Stopwatch
from mock_server.defects.changes import CutShort
from mock_server.defects.stage import Stage, applied
from mock_server.journal import Journal
from mock_server.sessions import DEFAULT_SESSION, Sessions, TooManySessions
from mock_server.world import SessionFull

log = logging.getLogger("walletproof")

CALL = "walletproof.call"
_SESSION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SESSION_HOST = re.compile(rb"([a-z0-9][a-z0-9-]{0,62})\.localhost(:\d+)?")
_WITH_BODY = ("POST", "PUT", "PATCH")  # what other methods send is ignored


class _BodyTooLarge(Exception):
    """The client sends more than the mock reads."""


class _ClientGone(Exception):
    """The client went away before the request was whole; what came so far must not take effect."""


class Edge:
    """Outermost layer: `providers` in order of their claim on a path, the last one takes what nobody owns."""

    def __init__(self, app: ASGIApp, providers: Sequence[Provider], stage: Stage, sessions: Sessions, journal: Journal) -> None:
        self._app = app
        self._claims = [(provider.prefixes, provider) for provider in providers]
        self._default = providers[-1]
        self._judges = {provider.name: Judge(provider.contract) for provider in providers}
        self._stage = stage
        self._sessions = sessions
        self._journal = journal

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
        call = Call(request, provider)
        began = Stopwatch.seconds()
        try:
            if self._stage.concerns(request):
                response = await self._staged(call, scope, receive)
                if isinstance(response, CutShort):
                    await _cut_short(response, receive, send)
                    return
            else:
                response = await self._respond(call, scope, receive)
        except _ClientGone:
            return
        self._journal.note(call, response, Stopwatch.seconds() - began)
        if call.answer is not None and call.answer.chunks is not None:
            await _stream(response, call.answer.chunks, receive, send)
            return
        body = b"" if request.method == "HEAD" else response.body
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        await send({"type": "http.response.body", "body": body})

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
        except (SessionFull, TooManySessions) as full:
            call.session = DEFAULT_SESSION
            return response_of(call, call.provider.unavailable(call, str(full)))
        except Exception:
            log.exception("%s %r failed", request.method, request.path)
            answer = call.provider.failure(call)
        return self._checked(call, answer)

    async def _staged(self, call: Call, scope: Scope, receive: Receive) -> Response:
        """The way through the defects that are on."""
        request = call.request
        _choose_session(call)  # a name that is none is refused on the honest way
        try:
            defects, asked_for = self._stage.chosen(call)
        except InputError as error:
            return self._checked(call, call.provider.bad_header(call, "prefer", str(error)))
        if not defects:
            return await self._respond(call, scope, receive)
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
            return applied(await self._stage.play(call, defects, respond), asked_for)
        except _ClientGone:
            raise
        except Exception:
            log.exception("%s %r failed with the defects %s", request.method, request.path, [d.name for d in defects])
            return self._checked(call, call.provider.failure(call))

    async def _answer(self, call: Call, scope: Scope, receive: Receive) -> Answer:
        request = call.request
        problem = _choose_session(call)
        if problem:
            return call.provider.bad_header(call, "x-mock-session", problem)
        self._sessions.get(call.session)
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

    def _checked(self, call: Call, answer: Answer) -> Response:
        """The response as it leaves; one that would break a promise becomes a logged finding and a 500."""
        contract = call.provider.contract
        operation = call.operation or contract.unrouted
        response = response_of(call, answer)
        exchange = Exchange(call.request, response)
        if answer.status >= 500 or self._stage.spoiled(call.session):
            # That the server has failed is known, and what defects did to a world is wanted: only the contract must hold.
            findings = contract.check_response(operation, exchange)
        else:
            judge = self._judges[call.provider.name]
            if judge.faultless(operation, exchange):
                return response
            findings = judge.findings(Observation(contract, operation, exchange))
        if not findings:
            return response
        for finding in findings:
            log.error(
                "%s %r: the mock was about to answer %d: %s", call.request.method, call.request.path, answer.status, finding
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


async def _cut_short(response: Response, receive: Receive, send: Send) -> None:
    """Send a body that ends before its announced length, and close the connection."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    connection = getattr(getattr(send, "__self__", None), "transport", None)  # uvicorn's; ASGI knows no way to hang up
    await send({"type": "http.response.body", "body": response.body, "more_body": connection is not None})
    if connection is not None:
        connection.close()
        while (await receive())["type"] != "http.disconnect":
            pass  # the server complains of an answer that is not whole, unless it has noticed


async def _stream(response: Response, chunks: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Send an answer piece by piece until there is no more, or nobody listens any more."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})

    async def send_all() -> None:
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.create_task(send_all()), asyncio.create_task(until_gone())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if tasks[0] in done:
        await send({"type": "http.response.body", "body": b""})


def _choose_session(call: Call) -> str | None:
    """Set the call's session from header or host; a sentence if the name is no name."""
    header = call.request.header
    named = header.get(b"x-mock-session")
    if named is not None:
        name = named.decode("latin-1")
        if not _SESSION_NAME.fullmatch(name):
            return "X-Mock-Session must be 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first"
        call.session = name
    elif b".localhost" in (host := header.get(b"host", b"").lower()) and (match := _SESSION_HOST.fullmatch(host)):
        call.session = match[1].decode()
    return None


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
