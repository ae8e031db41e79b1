"""Entries as a log keeps them: one line of JSON each, without secrets.

Bytes are written as text of as many characters (latin-1), so that whatever was sent comes back, and a person can read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from contract_tests.exchange import Request, Response
from mock_server.call import Call, Provider
from mock_server.event_log import Record
from mock_server.journal import Entry
from mock_server.journal.findings import Judges
from mock_server.journal.hiding import pairs_of, told

_LATIN = "latin-1"


class Line(NamedTuple):
    """What a record has. `lost` is how many entries before it could not be written."""

    lost: int
    provider: str
    operation: str | None
    at: str
    seconds: float
    status: int
    method: str
    path: str
    path_params: dict[str, str]
    query: str
    asked: str
    body_bytes: int
    body: str
    answered: str
    response_bytes: int
    response_body: str
    findings: list[dict[str, Any]] | None


class WrittenEntry(Entry):
    """An entry from a log: without its secrets an exchange may have other lengths and other faults than it had."""

    __slots__ = ("_line",)

    def __init__(self, number: int, call: Call, response: Response, line: Line) -> None:
        super().__init__(number, line.seconds, call, response)
        self._line = line

    @property
    def body_bytes(self) -> tuple[int, int]:
        """How long the bodies of request and answer were on the wire."""
        return self._line.body_bytes, self._line.response_bytes

    @property
    def findings(self) -> list[dict[str, Any]] | None:
        """What was found when secrets were taken out of anything but their own headers, else None."""
        return self._line.findings


def record_of(call: Call, response: Response, seconds: float, lost: int, judges: Judges) -> bytes:
    """An exchange as a record. `judges` find what is wrong with it where its secrets are needed for that."""
    request, operation = call.request, call.operation
    without = told(request, response)
    return orjson.dumps(
        (
            lost,
            call.provider.name,
            operation.id if operation else None,
            call.at,
            seconds,
            response.status,
            request.method,
            without.path,
            dict(without.path_params),
            without.query.decode(_LATIN),
            without.asked.decode(_LATIN),
            len(request.body),
            without.body.decode(_LATIN),
            without.answered.decode(_LATIN),
            len(response.body),
            without.response_body.decode(_LATIN),
            None if without.changed is None else judges.shown(call, response, without.changed),
        )
    )


def line_of(record: Record) -> Line:
    """A record as it was written."""
    return Line(*orjson.loads(record.entry))


def entry_of(number: int, session: str, line: Line, providers: Mapping[str, Provider]) -> Entry | None:
    """The entry of a session that a line tells; None if it is one of a provider that is not served."""
    provider = providers.get(line.provider)
    if provider is None:
        return None
    request = Request(
        line.method,
        line.path,
        line.query.encode(_LATIN),
        pairs_of(line.asked.encode(_LATIN)),
        line.body.encode(_LATIN),
        line.path_params,
    )
    call = Call(request, provider, session, datetime.fromisoformat(line.at))
    if line.operation is not None:
        call.operation = provider.contract.operations.get(line.operation)
    response = Response(line.status, pairs_of(line.answered.encode(_LATIN)), line.response_body.encode(_LATIN))
    return WrittenEntry(number, call, response, line)
