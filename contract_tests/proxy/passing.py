"""How an exchange passes: the request to the service while it still comes, the answer back while it still comes.

An answer that may be judged is held back for a moment, so that what was found can be said in front of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from http import HTTPStatus

import h11

from contract_tests.exchange import Request
from contract_tests.finding import Finding
from contract_tests.proxy import headers
from contract_tests.proxy.examination import KEPT, NOT_OURS, Examination, Judged, Sides, summary
from contract_tests.proxy.headers import FINDINGS, Refused
from contract_tests.proxy.upstream import Upstream
from contract_tests.proxy.wire import Wire
from contract_tests.reports.wording import one_line
from contract_tests.target import Trouble

_log = logging.getLogger(__name__)

HELD = 0.25
"""Seconds that an answer is held back at most, counted from its head."""

_IDLE = 75.0  # seconds that a client may think between two requests, or stop in the middle of one
_LINGER = 2.0
_REPEATABLE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
_BROKEN = (OSError, h11.RemoteProtocolError, TimeoutError)
_LATER = "later: it is long or slow"
_STREAMS = (b"text/event-stream", b"application/x-ndjson", b"application/json-seq")  # nobody knows when they end
_TEXT_MOST = 200
_ENDINGS = ("closed connection", "ConnectionClosed")  # h11's words for an end that came too early
_TLS = b"\x16\x03"
_QUOTED = re.compile(r":? (?:bytearray\()?b['\"].*", re.DOTALL)


class ClientGone(Exception):
    """The client broke off, or sent what is no HTTP."""


class _Cut(Exception):
    """The answer ended too early, and its beginning is on its way to the client."""


class Passing:
    """Serves clients, each on a connection of its own. `own` are the proxy's names, with port, in lower case."""

    def __init__(self, upstream: Upstream, examination: Examination, own: frozenset[str], *, block: bool) -> None:
        self.upstream = upstream
        self.examination = examination
        self.own = own
        self.block = block

    async def serve(self, client: Wire) -> None:
        """Answer one request after the other, until the client has no more."""
        try:
            await self._serve(client)
            if client.http.their_state in (h11.SEND_BODY, h11.ERROR):
                await client.linger(_LINGER)  # it was answered before it had said all
        except (OSError, TimeoutError, ClientGone):
            pass
        finally:
            client.close()

    async def _serve(self, client: Wire) -> None:
        while True:
            try:
                async with asyncio.timeout(_IDLE):
                    event = await client.event()
            except h11.RemoteProtocolError as error:
                if client.open:
                    await self._not_understood(client, error)
                return
            if not isinstance(event, h11.Request):
                return
            await _Exchange(self, client, event).run()
            if client.http.our_state is not h11.DONE or client.http.their_state is not h11.DONE:
                return
            client.http.start_next_cycle()

    async def _not_understood(self, client: Wire, error: h11.RemoteProtocolError) -> None:
        message = f"no request of HTTP/1.1: {_short(error)}"
        if client.http.trailing_data[0].startswith(_TLS):
            message = "no request of HTTP/1.1, but of TLS: the proxy's own URL begins with http://"
        sides = Sides(Request("-", "-"), self.upstream.place.origin, client.peer, time.time())
        self.examination.refused(sides, error.error_status_hint, message)
        await client.send(*_answer(error.error_status_hint, message, close=True))


class _Exchange:
    """One request and its answer."""

    def __init__(self, passing: Passing, client: Wire, head: h11.Request) -> None:
        self._upstream = passing.upstream
        self._place = passing.upstream.place
        self._examination = passing.examination
        self._own = passing.own
        self._block = passing.block
        self._client = client
        self._head = head
        self._begun = time.perf_counter()
        path, _, query = head.target.partition(b"?")
        request = Request(head.method.decode("latin-1"), path.decode("latin-1"), query)
        self._sides = Sides(request, self._place.origin, client.peer, time.time())
        self._known = False
        self._counted = False

    async def run(self) -> None:
        """Pass it on, or say why not."""
        sides = self._sides
        try:
            await self._pass()
        except Refused as refusal:
            self._ended()
            self._examination.refused(sides, refusal.status, str(refusal))
            await self._say(_answer(refusal.status, str(refusal), close=self._client.http.their_state is not h11.DONE))
        except Trouble as trouble:
            self._ended()
            self._examination.unanswered(sides, str(trouble))
            status = 504 if trouble.kind == "timeout" else 502
            await self._say(_answer(status, str(trouble), close=self._client.http.their_state is not h11.DONE))
        except h11.LocalProtocolError as error:
            # What one side may say and the other may not: no such message is known.
            _log.error("%s %s cannot be passed on: %s", sides.request.method, one_line(sides.request.path), _short(error))
            self._client.cut()
            raise ClientGone from None
        except _Cut as cut:
            self._ended()
            self._examination.unanswered(sides, str(cut))
            self._client.cut()
            raise ClientGone from None
        except asyncio.CancelledError:
            if not self._counted:
                self._ended()
                self._examination.unanswered(sides, "the proxy was stopped before the answer was whole")
            raise

    # ------------------------------------------------------------------ the request

    async def _pass(self) -> None:
        kept, added = self._checked()
        sides, request = self._sides, self._sides.request
        path, _, query = headers.target(self._head, self._place, self._own).partition(b"?")
        sides.request = Request(request.method, path.decode("latin-1"), query, headers.lower(kept))
        self._known = self._examination.is_known(sides)
        first: list[h11.Event] = []
        if self._block and self._known:
            first = await self._whole_body()
            if not sides.recorded(0).sent_known:
                raise Refused(415, "--block reads requests before they are passed on: send it gzip'd, deflated or as it is")
            findings = await self._examination.objections(sides)
            if findings:
                await self._object(findings)
                return
            kept = [pair for pair in kept if pair[0].lower() != b"expect"]  # it was met
        else:
            first = self._body_so_far()
        target = path + b"?" + query if b"?" in self._head.target else path
        head = h11.Request(method=self._head.method, target=target, headers=[*kept, *added])
        await self._forward([head, *first])

    def _checked(self) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
        """The headers to send, the request's own and ours; Refused for what does not pass."""
        head = self._head
        if head.http_version not in (b"1.0", b"1.1"):
            raise Refused(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        if headers.framed_twice(head.headers):
            raise Refused(400, "the request has both Content-Length and Transfer-Encoding: nobody can say where it ends")
        if any(name == b"upgrade" and b"websocket" in value.lower() for name, value in head.headers):
            raise Refused(
                501,
                f"websockets are not passed on: they are no part of the contracts; connect to {self._place.origin} directly",
            )
        return headers.to_service(head, self._place, self._client.peer)

    def _body_so_far(self) -> list[h11.Event]:
        """What of the body has come already."""
        found: list[h11.Event] = []
        while self._client.http.their_state is h11.SEND_BODY and (event := self._ready()) is not None:
            found.append(self._noted(event))
        return found

    def _ready(self) -> h11.Event | None:
        try:
            event = self._client.ready()
        except h11.RemoteProtocolError as error:
            raise Refused(error.error_status_hint, f"the request's body is broken: {_short(error)}") from None
        assert not isinstance(event, type)
        return event

    async def _whole_body(self) -> list[h11.Event]:
        found = self._body_so_far()
        while not found or not isinstance(found[-1], h11.EndOfMessage):
            if self._client.http.they_are_waiting_for_100_continue:
                await self._client.send(h11.InformationalResponse(status_code=100, headers=[]))
            found.append(await self._next_of_body())
            if not self._sides.sent.whole:
                raise Refused(413, f"--block reads requests before they are passed on, and no more than {KEPT >> 20} MiB of them")
        return found

    async def _next_of_body(self) -> h11.Event:
        """ClientGone if there is no more, though there should be."""
        try:
            async with asyncio.timeout(_IDLE):
                event = await self._client.event()
        except (OSError, TimeoutError, h11.RemoteProtocolError):
            raise ClientGone from None
        assert not isinstance(event, type)
        return self._noted(event)

    def _noted(self, event: h11.Event) -> h11.Event:
        if isinstance(event, h11.Data):
            self._sides.sent.add(event.data)
        return event

    async def _upload(self, service: Wire) -> None:
        """Pass on the rest of the request, until the service wants no more."""
        while True:
            try:
                event = await self._next_of_body()
            except ClientGone:
                service.cut()  # half a request must not look like a whole one
                raise
            try:
                async with asyncio.timeout(self._upstream.timeout):
                    await service.send(event)
            except (OSError, TimeoutError, h11.LocalProtocolError):
                return  # perhaps it has answered
            if isinstance(event, h11.EndOfMessage):
                return

    # ------------------------------------------------------------------ the answer

    async def _forward(self, sent: list[h11.Event]) -> None:
        """Send what there is of the request, and relay the answer; Trouble if none comes."""
        whole = isinstance(sent[-1], h11.EndOfMessage)
        again = whole and self._head.method in _REPEATABLE
        service = self._upstream.kept()
        fresh = service is None
        if service is None:
            service = await self._upstream.connect()
        while True:
            upload = None
            try:
                try:
                    await service.send(*sent)
                except OSError:
                    if not whole:
                        raise
                if not whole:
                    upload = asyncio.create_task(self._upload(service))
                answer = await self._answer_of(service, upload)
                break
            except _BROKEN as error:
                gone = await _finish(upload)
                stale = not fresh and again and not service.received and not isinstance(error, TimeoutError)
                service.close()
                if gone:
                    raise ClientGone from None
                if not stale:
                    raise self._trouble(error, service) from None
                service, fresh = await self._upstream.connect(), True
            except BaseException:
                await _finish(upload)
                service.close()
                raise
        try:
            await self._relay(service, answer)
        except BaseException:
            service.close()
            raise
        finally:
            gone = await _finish(upload)
        self._upstream.keep(service)
        if gone:
            raise ClientGone

    async def _answer_of(self, service: Wire, upload: asyncio.Task[None] | None) -> h11.Response:
        """The head of the answer. The time that the service has for it begins when it has the request."""
        seconds = self._upstream.timeout
        async with asyncio.timeout(None if upload else seconds) as patience:
            waiting = True

            def sent(_: object) -> None:
                if waiting:
                    patience.reschedule(asyncio.get_running_loop().time() + seconds)

            if upload is not None:
                upload.add_done_callback(sent)
            try:
                while not isinstance(event := await service.event(), h11.Response):
                    if not isinstance(event, h11.InformationalResponse):
                        raise h11.RemoteProtocolError("peer closed connection")
                    await self._interim(event)
            finally:
                waiting = False
        if headers.framed_twice(event.headers):
            raise h11.RemoteProtocolError("the answer has both Content-Length and Transfer-Encoding")
        return event

    async def _interim(self, event: h11.InformationalResponse) -> None:
        # h11 takes any interim answer for the one that a client waits for.
        expected = self._sides.sent.size == 0 and any(name == b"expect" for name, _ in self._head.headers)
        if self._head.http_version == b"1.1" and (event.status_code != 100 or expected):
            passed = headers.to_client(event, self._place, self._host)
            await self._send(h11.InformationalResponse(status_code=event.status_code, headers=passed, reason=event.reason))

    async def _relay(self, service: Wire, answer: h11.Response) -> None:
        """Pass the answer on. Before its first byte has left it is Trouble if it breaks off, then the client's is cut as well."""
        sides = self._sides
        sides.status, sides.headers = answer.status_code, [(bytes(name), bytes(value)) for name, value in answer.headers]
        held: list[h11.Event] = []
        until = asyncio.get_running_loop().time() + HELD
        if self._known and not any(name == b"content-type" and _is_stream(value) for name, value in sides.headers):
            try:
                held = await self._hold(service)
            except _BROKEN as error:
                raise self._trouble(error, service) from None
        if held and isinstance(held[-1], h11.EndOfMessage):
            judging = asyncio.create_task(self._judged())
            try:
                if not self._examination.judges_at_once(sides):
                    await asyncio.wait((judging,), timeout=max(0.0, until - asyncio.get_running_loop().time()))
                else:
                    await judging
                said = judging.result().said if judging.done() else _LATER
                await self._send(self._head_of(answer, said), *held)
            finally:  # it counts also if nobody waited for it
                await self._examination.passed(sides, await judging)
        else:
            await self._stream(service, [self._head_of(answer, _LATER if self._known else NOT_OURS), *held])
            await self._examination.passed(sides, await self._judged())

    async def _judged(self) -> Judged:
        self._ended()
        self._counted = True
        return await self._examination.judge(self._sides, self._known)

    async def _stream(self, service: Wire, begin: list[h11.Event]) -> None:
        """Pass on what comes, as it comes, behind what came already."""
        batch = begin
        try:
            while not isinstance(batch[-1], h11.EndOfMessage):
                await self._send(*batch)
                batch = await self._some(service)
        except _BROKEN as error:
            raise _Cut(str(self._trouble(error, service))) from None
        await self._send(*batch)

    async def _hold(self, service: Wire) -> list[h11.Event]:
        """The answer's body, unless it is too long or too slow; then its beginning."""
        found: list[h11.Event] = []
        try:
            async with asyncio.timeout(min(HELD, self._upstream.timeout)):
                while self._sides.answered.whole and not (found and isinstance(found[-1], h11.EndOfMessage)):
                    found.append(self._kept(await service.event()))
        except TimeoutError:
            pass
        return found

    async def _some(self, service: Wire) -> list[h11.Event]:
        """Wait for more of the body, and take what came with it."""
        async with asyncio.timeout(self._upstream.timeout):
            found = [self._kept(await service.event())]
        while not isinstance(found[-1], h11.EndOfMessage) and (event := service.ready()) is not None:
            found.append(self._kept(event))
        return found

    def _kept(self, event: object) -> h11.Event:
        if isinstance(event, h11.Data):
            self._sides.answered.add(event.data)
            return event
        assert isinstance(event, h11.EndOfMessage)
        # Trailers can only be sent behind chunks.
        chunked = any(name == b"transfer-encoding" for name, _ in self._sides.headers) and self._head.http_version == b"1.1"
        return event if chunked else h11.EndOfMessage()

    def _head_of(self, answer: h11.Response, said: str) -> h11.Response:
        passed = headers.to_client(answer, self._place, self._host)
        added = [(FINDINGS, said.encode())]
        if any(name.lower() == b"access-control-allow-origin" for name, _ in passed):
            added.append((b"Access-Control-Expose-Headers", FINDINGS))  # or the page that may read the answer cannot read this
        return h11.Response(
            status_code=answer.status_code,
            headers=[*passed, *added],
            reason=answer.reason,
        )

    async def _send(self, *events: h11.Event) -> None:
        """To the client; ClientGone if it is."""
        try:
            await self._client.send(*events)
        except OSError:
            raise ClientGone from None

    # ------------------------------------------------------------------ our own answers

    async def _object(self, findings: Sequence[Finding]) -> None:
        self._ended()
        message = f"the request breaks the contract and was not sent to {self._place.origin} (--block)"
        self._examination.refused(self._sides, 400, "blocked", findings)
        await self._say(_answer(400, message, findings=findings))

    async def _say(self, events: list[h11.Event]) -> None:
        if self._client.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._send(*events if self._head.method != b"HEAD" else (events[0], events[-1]))

    def _trouble(self, error: Exception, service: Wire) -> Trouble:
        origin = self._place.origin
        if isinstance(error, TimeoutError):
            return Trouble("timeout", f"no whole answer of {origin} within {self._upstream.timeout:g} s")
        if isinstance(error, h11.RemoteProtocolError) and service.received and not any(sign in str(error) for sign in _ENDINGS):
            return Trouble("protocol", f"the answer of {origin} is not understood as HTTP: {_short(error)}")
        if service.received:
            return Trouble("incomplete", f"the connection to {origin} ended before the answer was whole: {_why(error)}")
        return Trouble("incomplete", f"{origin} ended the connection without an answer: {_why(error)}")

    def _ended(self) -> None:
        self._sides.seconds = time.perf_counter() - self._begun

    @property
    def _host(self) -> bytes:
        return next((value for name, value in self._head.headers if name == b"host"), b"")


def _is_stream(kind: bytes) -> bool:
    return kind.lower().startswith(_STREAMS)


async def _finish(upload: asyncio.Task[None] | None) -> bool:
    """End an upload; tells whether the client broke it off."""
    if upload is None:
        return False
    upload.cancel()
    (result,) = await asyncio.gather(upload, return_exceptions=True)
    return isinstance(result, ClientGone)


def _short(error: Exception) -> str:
    """What h11 says, without the line that it quotes: there may be a secret in it."""
    return one_line(_QUOTED.sub("", str(error)), _TEXT_MOST)


def _why(error: Exception) -> str:
    if isinstance(error, h11.RemoteProtocolError) and "ConnectionClosed" in str(error):
        return "it was closed"
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__


def _answer(status: int, message: str, *, close: bool = False, findings: Sequence[Finding] = ()) -> list[h11.Event]:
    """An answer of the proxy itself, as problem+json (RFC 9457)."""
    problem: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": f"walletproof proxy: {message}",
    }
    if findings:
        problem["findings"] = [asdict(finding) for finding in findings]
    body = json.dumps(problem, default=str).encode()
    fields = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        (FINDINGS.decode(), summary(findings) if findings else "unjudged: an answer of the proxy itself"),
        *([("Connection", "close")] if close else []),
    ]
    return [
        h11.Response(status_code=status, headers=fields, reason=HTTPStatus(status).phrase),
        h11.Data(data=body),
        h11.EndOfMessage(),
    ]
