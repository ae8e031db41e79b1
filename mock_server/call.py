"""One request on its way through the mock, and the answer it gets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Protocol

from contract_tests.contract import Contract, Operation
from contract_tests.exchange import Request, Response
from contract_tests.finding import Finding
from mock_server.world import State

Header = tuple[bytes, bytes]


class Answer:
    """What a provider answers; the headers that all its answers share are added on the way out.

    `chunks` follow the body for as long as there are any and somebody listens.
    """

    __slots__ = ("body", "chunks", "content_type", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        *,
        content_type: bytes | None = None,
        headers: Sequence[Header] = (),
        chunks: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.chunks = chunks


class Refused(Exception):
    """Raised with the answer wherever a request cannot go on."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Call:
    """A request with what the mock has learned about it so far."""

    __slots__ = ("answer", "at", "headers", "identity", "misnamed", "neighbours", "operation", "provider", "request", "session")

    def __init__(self, request: Request, provider: Provider, session: str, at: datetime) -> None:
        self.request = request
        self.provider = provider
        self.session = session
        self.misnamed = ""  # what is wrong with the session's name, if anything is
        self.at = at  # the time in the session when the request came
        self.neighbours: Sequence[Contract] = ()  # of all providers: where a path may lead that has no operation
        self.operation: Operation | None = None
        self.identity: Any = None
        self.headers: tuple[Header, ...] = ()  # which the answer will have, whatever it is
        self.answer: Answer | None = None


def response_of(call: Call, answer: Answer) -> Response:
    """An answer as it leaves: with its provider's headers, and with those that the call has for it."""
    headers = [(b"date", _http_date(int(call.at.timestamp()))), *call.provider.headers(call)]
    headers += call.headers
    headers += answer.headers
    if answer.content_type is not None:
        headers.append((b"content-type", answer.content_type))
    if answer.status != 204 and answer.chunks is None:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    return Response(answer.status, headers, answer.body)


@lru_cache(maxsize=64)
def _http_date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


def path_of(location: str) -> bytes:
    """The path and query of an absolute URL, as a `Location` header may have them."""
    path = location.split("://", 1)[-1]
    return path[path.index("/") :].encode("latin-1", "replace")


Handler = Callable[[Call], Awaitable[Answer]]


class Provider(Protocol):
    """An API that the mock serves: its contract, its behaviour, and its way to say no."""

    name: str
    contract: Contract
    handlers: Mapping[str, Handler]
    """By operationId."""
    prefixes: tuple[str, ...]
    """Which paths are this provider's: those that begin so."""
    max_body: int
    """How many bytes of a body are read."""

    def new_state(self) -> State:
        """Its part of a world, before any event."""
        ...

    async def before_routing(self, call: Call) -> Answer | None:
        """An answer to what is decided before any route is looked up, such as CORS preflights."""
        ...

    def authenticate(self, call: Call) -> None:
        """Set `call.identity`, or raise Refused."""
        ...

    def refuse(self, call: Call, findings: list[Finding]) -> Answer | None:
        """The answer to a request that breaks the contract; None if this provider is known to take it all the same."""
        ...

    def unrouted(self, call: Call, allowed: Sequence[str]) -> Answer:
        """No operation; `allowed` are the methods that the path would have."""
        ...

    def redirect(self, call: Call, location: str) -> Answer:
        """The path exists with, or without, a slash at its end."""
        ...

    def too_large(self, call: Call, limit: int) -> Answer:
        """The body has more than `limit` bytes."""
        ...

    def bad_header(self, call: Call, header: str, problem: str) -> Answer:
        """A header that is the mock's own has a value that is none."""
        ...

    def failure(self, call: Call) -> Answer:
        """The mock itself failed, or was about to break the contract."""
        ...

    def unavailable(self, call: Call, problem: Exception) -> Answer:
        """503: the mock has no room for what is asked, or cannot reach its log."""
        ...

    def headers(self, call: Call) -> list[Header]:
        """The headers of every answer, in a new list."""
        ...
