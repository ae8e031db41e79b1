"""Was an operation called as expected? And if not: what was called instead, and how it differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contract_tests.contract import Operation
from contract_tests.identity import HIDDEN
from contract_tests.redaction import is_secret, redacted_text, secrets_of
from mock_server.control.entries import Reader
from mock_server.journal import Entry
from mock_server.journal.bodies import NO_JSON, parsed
from mock_server.journal.findings import in_short
from mock_server.journal.hiding import is_same

MOST_NEAREST = 3
_ABSENT = object()
_MOST_OTHERS = 200  # of the calls of other operations only the latest are looked at


@dataclass(frozen=True)
class Times:
    """How often something is expected; `most` is None where there is no bound."""

    least: int
    most: int | None

    def allow(self, count: int) -> bool:
        """Whether this often is as expected."""
        return count >= self.least and (self.most is None or count <= self.most)

    def __str__(self) -> str:
        if self.most is None:
            return f"at least {self.least}"
        if self.least == self.most:
            return f"exactly {self.least}"
        return f"{self.least} to {self.most}" if self.least else f"at most {self.most}"


def matches_status(wanted: Any, status: int) -> bool:
    """Whether a status is the wanted one, such as 404, or one of its kind, such as `4xx`."""
    text = str(wanted)
    return str(status) == text or (text[1:] == "xx" and str(status)[0] == text[0])


def of_operation(entry: Entry, operation: str) -> bool:
    """Whether an exchange reached an operation."""
    return entry.call.operation is not None and entry.call.operation.id == operation


def differences(entry: Entry, where: dict[str, Any]) -> Iterator[str]:
    """In what an exchange is not as wanted, in words."""
    request = entry.call.request
    secrets = secrets_of(request.headers)
    if "status" in where and not matches_status(where["status"], entry.response.status):
        yield f"status was {entry.response.status}, expected {where['status']}"
    given = {name: [value] for name, value in request.path_params.items()}
    yield from _pairs("path", given, where.get("path", {}), secrets)
    given = {}
    for name, value in request.query:
        given.setdefault(name, []).append(value)
    yield from _pairs("query", given, where.get("query", {}), secrets)
    given = {}
    for raw_name, raw_value in request.headers:
        given.setdefault(raw_name.decode("latin-1"), []).append(raw_value.decode("latin-1"))
    wanted = {name.lower(): value for name, value in where.get("headers", {}).items()}
    yield from _pairs("headers", given, wanted, secrets)
    if "body" in where:
        body = parsed(request.body)
        if body is NO_JSON:
            yield f"body was {'no JSON' if request.body else 'empty'}, expected {in_short(where['body'])}"
        else:
            yield from _unlike("body", body, where["body"], secrets)


def nearest(reader: Reader, entries: Sequence[Entry], operation: Operation, where: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls that come nearest to what was expected, the nearest first.

    Those of the operation itself, then those that reached none and were near its route, then others; of equals the latest.
    """
    own = [entry for entry in entries if of_operation(entry, operation.id)]
    others = [entry for entry in entries[-_MOST_OTHERS:] if not of_operation(entry, operation.id)]
    route = f"{operation.method} {operation.path}"
    ranked: list[tuple[tuple[int, int, int], Entry, list[str]]] = []
    for entry in [*own, *(others if len(own) < MOST_NEAREST else ())]:
        differing = list(differences(entry, where))
        reached = entry.call.operation
        kind = 0
        if reached is None or reached.id != operation.id:
            differing.insert(0, f"operation was {reached.id if reached else 'none'}, expected {operation.id}")
            kind = 1 if reached is None and route in reader.hint(entry) else 2
        if differing:
            ranked.append(((kind, len(differing), -entry.number), entry, differing))
    ranked.sort(key=lambda each: each[0])
    return [_near(entry, differing) for _, entry, differing in ranked[:MOST_NEAREST]]


def _near(entry: Entry, differing: Sequence[str]) -> dict[str, Any]:
    request = entry.call.request
    secrets = secrets_of(request.headers)
    return {
        "number": entry.number,
        "method": request.method,
        "path": redacted_text(request.path, secrets),
        "status": entry.response.status,
        "differences": differing,
    }


def _pairs(part: str, given: dict[str, list[str]], wanted: dict[str, Any], secrets: frozenset[str]) -> Iterator[str]:
    for name, value in wanted.items():
        values = given.get(name)
        if values is None:
            yield _said(f"{part}.{name}", _ABSENT, value, secrets)
        elif not any(is_same(each, value) for each in values):
            yield _said(f"{part}.{name}", ", ".join(values), value, secrets)


def _unlike(place: str, value: Any, wanted: Any, secrets: frozenset[str]) -> Iterator[str]:
    """Members that are not wanted do no harm, in objects at any depth; lists must have as many items."""
    if isinstance(wanted, dict) and isinstance(value, dict):
        for key, item in wanted.items():
            yield from _unlike(f"{place}.{key}", value.get(key, _ABSENT), item, secrets)
    elif isinstance(wanted, list) and isinstance(value, list) and len(wanted) == len(value):
        for index, item in enumerate(wanted):
            yield from _unlike(f"{place}[{index}]", value[index], item, secrets)
    elif isinstance(wanted, bool) is not isinstance(value, bool) or wanted != value:
        yield _said(place, value, wanted, secrets)


def _said(place: str, value: Any, wanted: Any, secrets: frozenset[str]) -> str:
    """A difference in words, which show no secret."""
    if value is _ABSENT:
        was = "not there"
    elif is_secret(place):
        return f"{place} {'is a secret, and was not kept' if value == HIDDEN else 'was another than expected'}"
    else:
        was = in_short(value, secrets)
    return f"{place} was {was}" + ("" if is_secret(place) else f", expected {in_short(wanted, secrets)}")
