"""One HTTP request with its response: the single currency of validation.

Headers are kept as ASGI has them, pairs of lower-case name and value as bytes: nothing is lost (order,
repetition, odd bytes), and the mock's hot path need not convert anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl

RawHeaders = Sequence[tuple[bytes, bytes]]


class Request:
    """An HTTP request as it was on the wire.

    `path_params` are the values that a router or matcher took out of the path; they are empty until then. `header` has
    the headers by lower-case name; of a repeated one the last.
    """

    __slots__ = ("body", "header", "headers", "method", "path", "path_params", "query_string")

    def __init__(
        self,
        method: str,
        path: str,
        query_string: bytes = b"",
        headers: RawHeaders = (),
        body: bytes = b"",
        path_params: Mapping[str, str] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query_string = query_string
        self.headers = headers
        self.header = dict(headers)
        self.body = body
        self.path_params: Mapping[str, str] = path_params or {}

    def add_header(self, name: bytes, value: bytes) -> None:
        """Add a header, unless the request has it; `name` is in lower case."""
        if name not in self.header:
            self.headers = [*self.headers, (name, value)]
            self.header[name] = value

    @property
    def query(self) -> list[tuple[str, str]]:
        """Query parameters in order, decoded; empty values are kept."""
        if not self.query_string:
            return []
        return parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True, errors="replace")

    @property
    def query_first(self) -> dict[str, str]:
        """Query parameters by name; of a repeated one the first."""
        return dict(reversed(self.query))


class Response:
    """An HTTP response as it was, or will be, on the wire. `headers` include the content type."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Exchange:
    """A request with its response."""

    __slots__ = ("request", "response")

    def __init__(self, request: Request, response: Response) -> None:
        self.request = request
        self.response = response


def content_type(headers: RawHeaders) -> str:
    """The content type, lower-case, with those of its parameters that are some (`a=b`); empty if there is none."""
    for name, value in headers:
        if name == b"content-type":
            return _content_type(value)
    return ""


@lru_cache(256)
def _content_type(value: bytes) -> str:
    kind, *parameters = value.decode("latin-1").lower().split(";")
    return ";".join([kind, *(parameter for parameter in parameters if "=" in parameter)])
