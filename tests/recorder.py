"""Real exchanges with a mock, taken down as if somebody had recorded them elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import httpx

from contract_tests.exchange import Exchange, Request, Response
from contract_tests.traffic.recorded import Recorded

ORIGIN = "https://api.example.com"
_STEP = 10.0  # seconds between two requests, on the recording's clock


class Recorder:
    """An HTTP client whose exchanges are in `taken`, one after the other, each ten seconds after the one before."""

    def __init__(self, url: str, headers: dict[str, str], *, origin: str = ORIGIN) -> None:
        self.taken: list[Recorded] = []
        self._origin = origin
        self.http = httpx.Client(
            base_url=url,
            headers=headers,
            event_hooks={"response": [self._take]},
            verify=False,
            limits=httpx.Limits(max_keepalive_connections=0),  # so that nobody has to close it
        )

    def _take(self, response: httpx.Response) -> None:
        sent = response.request
        url = sent.url.raw_path.partition(b"?")
        request = Request(sent.method, url[0].decode(), url[2], _raw(sent.headers.raw), sent.read())
        exchange = Exchange(request, Response(response.status_code, _raw(response.headers.raw), response.read()))
        number = len(self.taken) + 1
        self.taken.append(Recorded(exchange, self._origin, number * _STEP, 0.1, file="test.har", entry=number))


def _raw(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers]


def altered(recorded: Recorded, **members: Any) -> Recorded:
    """A recorded exchange with other parts.

    `method`, `path`, `query_string`, `headers`, `body` are the request's; `status`, `answered_headers`, `answer` the
    response's; any other name is one of Recorded's own.
    """
    sent, came = recorded.exchange.request, recorded.exchange.response
    request = Request(
        members.pop("method", sent.method),
        members.pop("path", sent.path),
        members.pop("query_string", sent.query_string),
        members.pop("headers", sent.headers),
        members.pop("body", sent.body),
    )
    response = Response(
        members.pop("status", came.status), members.pop("answered_headers", came.headers), members.pop("answer", came.body)
    )
    return replace(recorded, exchange=Exchange(request, response), **members)
