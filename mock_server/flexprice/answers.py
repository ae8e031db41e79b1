"""Flexprice's answers. Errors have one flat shape when a handler refuses, others when no handler was reached."""

from __future__ import annotations

from typing import Any

from mock_server.call import Answer, Header, Refused
from mock_server.json_bytes import json_bytes

STATUS = {
    "validation_error": 400,
    "invalid_operation": 400,
    "permission_denied": 403,
    "not_found": 404,
    "already_exists": 409,
    "too_many_requests": 429,
    "internal_error": 500,
    "service_unavailable": 503,
}

JSON = b"application/json; charset=utf-8"
"""The label of every body, as on the live server."""

BAD_REQUEST = "The request is not in the format that this endpoint expects"


def json_answer(status: int, body: Any, headers: tuple[Header, ...] = ()) -> Answer:
    """An answer in JSON, labelled as the live server does."""
    return Answer(status, json_bytes(body), content_type=JSON, headers=headers)


def error_answer(code: str, message: str, *, status: int | None = None, headers: tuple[Header, ...] = ()) -> Answer:
    """ErrorResponse; `status` only where it is not the code's own."""
    status = status or STATUS[code]
    return json_answer(status, {"code": code, "message": message, "http_status_code": status}, headers)


def refused(code: str, message: str) -> Refused:
    """An error to raise from a handler."""
    return Refused(error_answer(code, message))


def invalid(message: str) -> Refused:
    """400 validation_error."""
    return refused("validation_error", message)


def wallet_not_found(wallet_id: str) -> Refused:
    """404 for a wallet."""
    return refused("not_found", f"Wallet {wallet_id} was not found")
