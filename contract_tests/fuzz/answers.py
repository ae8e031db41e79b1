"""Answers of `requests`, taken as they came over the wire, and what went wrong when none came."""

from __future__ import annotations

import time
from http.client import HTTPException, RemoteDisconnected
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError, ProtocolError, ReadTimeoutError

from contract_tests.target import TroubleKind

_LONGEST_WAIT = 30.0


class TooLargeError(requests.exceptions.RequestException):
    """The answer is larger than anything that is promised."""


def raw_headers(answer: requests.Response) -> list[tuple[bytes, bytes]]:
    """The headers in order, repeated ones too."""
    found = answer.raw.headers
    pairs = found.iteritems() if hasattr(found, "iteritems") else found.items()
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in pairs]


def read(answer: requests.Response, most: int, until: float) -> None:
    """Read the body as it is, encoded or not: at most `most` bytes, and until that moment."""
    chunks, size = [], 0
    try:
        while chunk := answer.raw.read1(1 << 16, decode_content=False):
            chunks.append(chunk)
            size += len(chunk)
            if size > most:
                answer.close()
                raise TooLargeError(f"the answer is larger than {most >> 20} MiB", request=answer.request)
            if time.monotonic() > until:
                answer.close()
                raise requests.exceptions.ReadTimeout("the answer takes too long", request=answer.request)
    except ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error, request=answer.request) from None
    except ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error, request=answer.request) from None
    answer.raw.release_conn()
    answer._content, answer._content_consumed = b"".join(chunks), True  # noqa: SLF001


def answered_here(prepared: requests.PreparedRequest, status: int = 404) -> requests.Response:
    """Stands for the answer to a request that is not sent; nobody judges it."""
    answer = requests.Response()
    answer.status_code, answer.reason, answer.url, answer.request = status, "Not Sent", prepared.url or "", prepared
    answer._content, answer._content_consumed = b"", True  # noqa: SLF001
    return answer


def seconds(timeout: Any, otherwise: float) -> float:
    """For how long Schemathesis wants to wait."""
    value = timeout[1] if isinstance(timeout, tuple) else timeout
    return float(value) if isinstance(value, int | float) else otherwise


def retry_after(answer: requests.Response) -> float | None:
    """For how long the target asks us to wait; None if it does not, or for too long."""
    value = answer.headers.get("Retry-After", "").strip()
    if answer.status_code not in (429, 503) or not value.isdigit() or float(value) > _LONGEST_WAIT:
        return None
    return float(value)


def is_stale(error: requests.exceptions.ConnectionError) -> bool:
    """Whether the server had closed the connection, as it may between two requests."""
    reason = error.args[0] if error.args else None
    causes = reason.args if isinstance(reason, ProtocolError) else ()
    return any(isinstance(cause, RemoteDisconnected | ConnectionError) for cause in causes)


def kind(error: requests.exceptions.RequestException, base: str, timeout: float) -> tuple[TroubleKind | None, str]:
    """What went wrong, in the target's terms; None if that says nothing about the server."""
    reason = error.args[0] if error.args else None
    reason = getattr(reason, "reason", None) or reason
    if isinstance(error, TooLargeError):
        return "too large", str(error)
    if isinstance(error, requests.exceptions.Timeout):
        return "timeout", f"no whole answer within {timeout:g} s"
    if isinstance(error, requests.exceptions.SSLError):
        return "tls", "TLS failed"
    if isinstance(reason, NewConnectionError):
        return "unreachable", f"cannot connect to {base}"
    causes = reason.args if isinstance(reason, ProtocolError) else ()
    no_http = any(isinstance(cause, HTTPException) and not isinstance(cause, RemoteDisconnected) for cause in causes)
    if isinstance(error, requests.exceptions.ConnectionError):
        if no_http:
            return "protocol", f"not understood as HTTP: {reason}"
        return "incomplete", f"the connection ended before the answer was whole: {reason}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "incomplete", f"the connection ended before the answer was whole: {reason}"
    return None, str(error)
