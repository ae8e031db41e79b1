"""Changes that many defects make to an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from contract_tests.exchange import Response, content_type


class CutShort(Response):
    """A response whose body ends before the length that its headers announce, with the connection."""

    __slots__ = ()


def data_of(response: Response) -> Any:
    """The body as data; None if it is not JSON."""
    if not content_type(response.headers).startswith("application/json"):
        return None
    try:
        return json.loads(response.body)
    except ValueError:
        return None


def with_data(response: Response, data: Any) -> Response:
    """The same answer with another JSON body."""
    return with_body(response, json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


def with_body(response: Response, body: bytes) -> Response:
    """The same answer with another body of the same type."""
    return with_header(type(response)(response.status, response.headers, body), b"content-length", str(len(body)).encode())


def with_status(response: Response, status: int) -> Response:
    """The same answer under another status."""
    return type(response)(status, response.headers, response.body)


def with_header(response: Response, name: bytes, value: bytes | None) -> Response:
    """The same answer with another header, or without it (None)."""
    headers = [pair for pair in response.headers if pair[0] != name]
    return type(response)(response.status, headers if value is None else [*headers, (name, value)], response.body)


def objects(data: Any, prefix: str) -> Iterator[dict[str, Any]]:
    """All objects within whose id begins so: wallets by `wallet_`, transactions by `wtxn_`."""
    if isinstance(data, list):
        for item in data:
            yield from objects(item, prefix)
    elif isinstance(data, dict):
        for value in data.values():
            yield from objects(value, prefix)
        if str(data.get("id", "")).startswith(prefix):
            yield data


def truncated(response: Response) -> Response:
    """The answer without its last third, under a length that fits."""
    return with_body(response, response.body[: len(response.body) * 2 // 3])
