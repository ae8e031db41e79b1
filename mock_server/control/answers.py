"""The controls' answers: JSON, and one shape for every error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mock_server.call import Answer, Header, Refused
from mock_server.json_bytes import json_bytes


def json_answer(status: int, body: Any, headers: Sequence[Header] = ()) -> Answer:
    """An answer in JSON."""
    return Answer(status, json_bytes(body), content_type=b"application/json", headers=headers)


def error(status: int, code: str, message: str, headers: Sequence[Header] = ()) -> Answer:
    """An error: what is wrong, and what to do."""
    return json_answer(status, {"error": code, "message": message}, headers)


def refused(status: int, code: str, message: str) -> Refused:
    """The same to raise from a handler."""
    return Refused(error(status, code, message))
