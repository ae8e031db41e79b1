"""Which route a request is for, and which are near one that has none: typing errors, another method, a prefix too many."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote

from contract_tests.contract import Contract, Operation
from contract_tests.exchange import RawHeaders, Request
from mock_server.call import Answer, Call

MOST = 3
_SEGMENTS, _LETTERS = 12, 60  # more of a path is not looked at
_TEMPLATE = "{}"
_OF_TEMPLATE = 0.02  # any value fits, but a segment that is written out fits better
_OF_METHOD = 0.5
_OF_PREFIX = 0.3  # `/v1` or `/api` too few or too many
_OF_MISSING = 0.8  # a path that stops short is likelier than one that goes too far
_SPREAD = 0.7  # how much further away than the nearest route others may be
_HINT, _BEGINNING, _BETWEEN, _LONGEST = b"x-mock-hint", "nearest: ", ", ", 500
_PREFIX = re.compile(r"v\d+|api")


def operation_of(call: Call) -> Operation | None:
    """The operation that a call is for, which is known before it is routed, and where it never will be; None if for none."""
    return call.provider.contract.operation_at(call.request.method, _path(call.request))


def path_params(operation: Operation, request: Request) -> Mapping[str, str]:
    """The values in the path of a request for an operation."""
    segments = zip(operation.path.split("/"), _path(request).split("/"), strict=True)
    return {name[1:-1]: unquote(value) for name, value in segments if name.startswith("{")}


def nearest(contracts: Iterable[Contract], method: str, path: str) -> list[str]:
    """The routes nearest to a request, the nearest first, such as `GET /v1/wallets/{id}`; none if it has a route itself."""
    segments = _segments(path)
    ranked = []
    for contract in contracts:
        for operation in contract.operations.values():
            matches = operation.pattern.fullmatch(path) is not None
            if matches and operation.method == method:
                return []
            # Another method on a path that is right comes first.
            away = -1.0 if matches else _away(_segments(operation.path), segments)
            ranked.append((away + (operation.method != method) * _OF_METHOD, f"{operation.method} {operation.path}"))
    ranked.sort()
    return [route for away, route in ranked[:MOST] if away <= ranked[0][0] + _SPREAD]


def near(call: Call) -> list[str]:
    """The routes nearest to a call that has reached none."""
    return nearest(call.neighbours, call.request.method, call.request.path)


def hinted(call: Call, answer: Answer) -> None:
    """Have the answer to a call without a route say which are nearest."""
    routes = near(call)
    if routes:
        answer.headers = [*answer.headers, (_HINT, f"{_BEGINNING}{_BETWEEN.join(routes)}".encode("ascii", "replace")[:_LONGEST])]


def routes_of(headers: RawHeaders) -> list[str]:
    """The routes that the headers of an answer name."""
    for name, value in headers:
        if name == _HINT:
            return value.decode("ascii").removeprefix(_BEGINNING).split(_BETWEEN)
    return []


def _path(request: Request) -> str:
    """The path without the alias that Polar has for it."""
    return request.path.removeprefix("/api") if request.path.startswith("/api/v1/") else request.path


def _segments(path: str) -> tuple[str, ...]:
    """A path's segments; slashes too many make none."""
    parts = [part[:_LETTERS] for part in path.split("/", 64) if part][:_SEGMENTS]
    return tuple(_TEMPLATE if part.startswith("{") else part.lower() for part in parts)


def _away(route: Sequence[str], path: Sequence[str]) -> float:
    """How much has to be done to a path until it is a route: an edit distance whose letters are segments."""
    row = [0.0]
    for segment in path:
        row.append(row[-1] + _alone(segment, 1.0))
    for wanted in route:
        missing = _alone(wanted, _OF_MISSING)
        above, row = row, [row[0] + missing]
        for index, segment in enumerate(path):
            row.append(min(row[-1] + _alone(segment, 1.0), above[index + 1] + missing, above[index] + _apart(wanted, segment)))
    return row[-1]


def _alone(segment: str, usually: float) -> float:
    """What a segment costs that only one of the two has."""
    return _OF_PREFIX if _PREFIX.fullmatch(segment) else usually


@lru_cache(maxsize=4096)
def _apart(wanted: str, segment: str) -> float:
    """0 for the same segment; from 1 on it is another one."""
    if wanted == _TEMPLATE:
        return _OF_TEMPLATE
    row = list(range(len(segment) + 1))
    for number, letter in enumerate(wanted, 1):
        above, row = row, [number]
        for index, other in enumerate(segment):
            row.append(min(row[-1] + 1, above[index + 1] + 1, above[index] + (letter != other)))
    share = row[-1] / max(len(wanted), len(segment))
    return share if share <= 0.5 else 1.5
