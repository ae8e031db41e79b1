"""Polar's answers: compact JSON, and five different ways to say no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mock_server.call import Answer, Header, Refused
from mock_server.json_bytes import json_bytes

PRIVATE = (b"cache-control", b"private, no-store")
_DESCRIPTION = "The access token provided is expired, revoked, malformed, or invalid for other reasons."

# Written with spaces, as the provider's OAuth library does; everything else is compact.
_INVALID_TOKEN = f'{{"error": "invalid_token", "error_description": "{_DESCRIPTION}"}}'.encode()
_INVALID_TOKEN_CHALLENGE = f'Bearer realm="polar", error="invalid_token", error_description="{_DESCRIPTION}"'.encode()


def json_answer(status: int, body: Any, headers: Sequence[Header] = ()) -> Answer:
    """An answer in JSON, which nobody may keep."""
    return Answer(status, json_bytes(body), content_type=b"application/json", headers=[PRIVATE, *headers])


def unauthorized() -> Refused:
    """401: no token, or one of a kind that no customer has."""
    body = {"error": "Unauthorized", "detail": "Unauthorized"}
    return Refused(json_answer(401, body, [(b"www-authenticate", b'Bearer realm="polar"')]))


def invalid_token() -> Answer:
    """401: a bearer token that means nothing any more, or never did."""
    headers = [(b"www-authenticate", _INVALID_TOKEN_CHALLENGE), (b"cache-control", b"no-store")]
    return Answer(401, _INVALID_TOKEN, content_type=b"application/json", headers=headers)


def not_permitted() -> Refused:
    """403: a member who is neither owner nor billing manager."""
    detail = "Only owners and billing managers can access billing features."
    return Refused(json_answer(403, {"error": "NotPermitted", "detail": detail}))


def not_found() -> Refused:
    """404: no such wallet, or someone else's."""
    return Refused(json_answer(404, {"error": "ResourceNotFound", "detail": "Not found"}))


def no_route() -> Answer:
    """404: no such path."""
    return json_answer(404, {"detail": "Not Found"})


def no_version() -> Answer:
    """404: no such version, decided before anything that sets headers."""
    return Answer(404, json_bytes({"detail": "Not Found"}), content_type=b"application/json")


def no_method(allowed: Sequence[str]) -> Answer:
    """405: the path exists for other methods."""
    return json_answer(405, {"detail": "Method Not Allowed"}, [(b"allow", ", ".join(allowed).encode())])


def invalid(entries: Sequence[dict[str, Any]]) -> Answer:
    """422: all that is wrong with the parameters."""
    return json_answer(422, {"error": "RequestValidationError", "detail": list(entries)})
