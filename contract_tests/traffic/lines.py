"""One exchange as JSON in each line: in the plain form of docs/recordings.md, as a HAR entry, or as Schemathesis reports it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contract_tests.exchange import Exchange, Request, Response
from contract_tests.traffic import har, wire
from contract_tests.traffic.recorded import Recorded
from contract_tests.traffic.wire import NotUsable, kind, member

_EVENTS = frozenset({"Initialize", "ScenarioFinished", "ScenarioStarted"})
NO_EXCHANGE = "is no exchange"
"""What is said of a line that holds JSON in none of the forms begins like this."""

_ENDINGS = ("Started", "Finished", "Error", "Interrupted", "Exceeded", "Warning")


def exchanges(line: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a line holds: one exchange, or with Schemathesis none or many."""
    name, event = next(iter(line.items()), ("", None))
    if len(line) == 1 and isinstance(event, dict) and (name in _EVENTS or (name[:1].isupper() and name.endswith(_ENDINGS))):
        recorder = event.get("recorder")
        interactions = recorder.get("interactions") if isinstance(recorder, dict) else None
        for interaction in interactions.values() if isinstance(interactions, dict) else ():
            yield interaction if isinstance(interaction, dict) else {}
    else:
        yield line


def recorded(value: dict[str, Any], file: str, number: int, before: float, most: int) -> Recorded:
    """An exchange of a line. `before` is the time of the exchange before, `most` the largest body in bytes.

    Raises `NotUsable` if it is broken or was not answered.
    """
    request = value.get("request")
    if isinstance(request, dict) and "uri" in request:
        return _of_schemathesis(value, request, file, number, most)
    if har.is_entry(value):
        return har.recorded(value, file, number, before, most)
    if isinstance(request, dict) or "url" in value:
        return _plain(value, file, number, before, most)
    raise NotUsable(f"{NO_EXCHANGE}: it has neither `url` nor `request`, but {names(value)}")


def _plain(value: dict[str, Any], file: str, number: int, before: float, most: int) -> Recorded:
    flat = "url" in value
    sent, answer = _flat(value) if flat else (value["request"], member(value, "response", dict, ""))
    sent_at, answer_at = ("request_", "response_") if flat else ("request.", "response.")
    where = wire.place(sent.get("url"), "url" if flat else "request.url")
    started, client = wire.started(value.get("started"), "started"), member(value, "client", str, "") or ""
    if not answer or not answer.get("status"):
        raise NotUsable("was not answered", "unanswered")
    parts = _Parts(
        wire.method(sent.get("method"), "method" if flat else "request.method"),
        wire.headers(sent.get("headers"), f"{sent_at}headers"),
        _body(sent, sent_at),
        _status(answer["status"], "status" if flat else "response.status"),
        wire.headers(answer.get("headers"), f"{answer_at}headers"),
        _body(answer, answer_at),
    )
    if parts.body is None and "body" not in sent and not wire.declared_size(parts.headers):
        parts.body = b""
    if parts.answer_body is None and (parts.method == "HEAD" or parts.status == 204):
        parts.answer_body = b""
    time = before if started is None else started
    seconds = wire.seconds(value.get("seconds"), "seconds")
    return parts.recorded(where, time, seconds, client.encode("utf-8", "replace").decode(), file, number, most)


def _flat(value: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Request and answer of an exchange whose members all stand side by side."""
    sent = {name.removeprefix("request_"): item for name, item in value.items() if name.startswith("request_")}
    answer = {name.removeprefix("response_"): item for name, item in value.items() if name.startswith("response_")}
    return {**sent, "method": value.get("method"), "url": value["url"]}, {**answer, "status": value.get("status")}


def _of_schemathesis(value: dict[str, Any], sent: dict[str, Any], file: str, number: int, most: int) -> Recorded:
    """An interaction: it notes the time when it ended."""
    answer = member(value, "response", dict, "")
    if answer is None:
        raise NotUsable("was not answered", "unanswered")
    seconds = wire.seconds(answer.get("elapsed"), "response.elapsed")
    ended = wire.started(value.get("timestamp"), "timestamp") or 0.0
    parts = _Parts(
        wire.method(sent.get("method"), "request.method"),
        wire.headers(sent.get("headers"), "request.headers"),
        _bytes(sent.get("body"), "request.body"),
        _status(answer.get("status_code"), "response.status_code"),
        wire.headers(answer.get("headers"), "response.headers"),
        None if "content_size" in answer else _bytes(answer.get("content"), "response.content"),
    )
    return parts.recorded(wire.place(sent["uri"], "request.uri"), max(0.0, ended - seconds), seconds, "", file, number, most)


@dataclass
class _Parts:
    """What any form tells of an exchange. A body is None if it was not kept."""

    method: str
    headers: list[tuple[bytes, bytes]]
    body: bytes | None
    status: int
    answer_headers: list[tuple[bytes, bytes]]
    answer_body: bytes | None

    def recorded(
        self, where: wire.Place, started: float, seconds: float, client: str, file: str, number: int, most: int
    ) -> Recorded:
        """The exchange, its bodies without content encoding."""
        body, headers, answer_body, answer_headers = self.body, self.headers, self.answer_body, self.answer_headers
        if body is not None:
            body, headers = wire.decoded(body, headers, most)
        if answer_body is not None:
            answer_body, answer_headers = wire.decoded(answer_body, answer_headers, most)
        request = Request(self.method, where.path, where.query, headers, body or b"")
        exchange = Exchange(request, Response(self.status, answer_headers, answer_body or b""))
        known = (body is not None, answer_body is not None)
        return Recorded(exchange, where.origin, started, seconds, client, *known, file, number)


def _bytes(value: Any, where: str) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, dict):
        raise NotUsable(f"{where} is {kind(value)}, expected an object with $base64")
    return wire.from_base64(value.get("$base64"), f"{where}.$base64")


def _body(part: dict[str, Any], where: str) -> bytes | None:
    """The body of a request or answer in the plain form; None if it was not kept."""
    if (encoded := part.get("body_base64")) is not None:
        return wire.from_base64(encoded, f"{where}body_base64")
    body = part.get("body")
    if body is None:
        return None
    if not isinstance(body, str):
        raise NotUsable(f"{where}body is {kind(body)}, expected the text that was sent, with its numbers and spaces as they were")
    return wire.from_text(body, (), None)


def _status(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise NotUsable(f"{where} is {kind(value)}, expected a number")
    if value == 101:
        raise NotUsable("is a websocket", "unanswered")
    if not 100 <= value <= 999:
        raise NotUsable(f"{where} is {value}, expected 100 to 999")
    return value


def names(value: dict[str, Any]) -> str:
    """The first members of an object, for people."""
    first = ", ".join(f"`{name[:30]}`" for name in list(value)[:5])
    return first + (" ..." if len(value) > 5 else "") if first else "no members"
