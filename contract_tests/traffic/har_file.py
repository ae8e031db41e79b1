"""Writes a HAR file exchange by exchange, without secrets, and whole at every moment."""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl

import orjson

from contract_tests.exchange import Exchange, RawHeaders, Request, Response, content_type
from contract_tests.redaction import redacted_text, secrets_of
from contract_tests.source import InputError
from contract_tests.traffic import wire
from contract_tests.traffic.masking import Mask
from contract_tests.traffic.opening import shown
from contract_tests.traffic.recorded import Recorded

LARGEST_BODY = 1 << 20
"""A larger body is left out, and its size kept."""

_TAIL = b"\n]}}\n"


class HarFile:
    """A HAR 1.2 file that grows. Only its owner may read it; one that was there is replaced.

    Secrets are masked (`Mask`), bodies are written without their content encoding. After every `add` the file is complete.
    Raises `InputError` if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mask = Mask()
        self._first = True
        creator = {"name": "Walletproof", "version": version("walletproof")}
        head = b'{"log":{"version":"1.2","creator":' + orjson.dumps(creator) + b',"entries":['
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                os.close(self._file)
                raise InputError(f"{shown(path)}: is no file that a recording could be written to")
            os.fchmod(self._file, 0o600)
            os.ftruncate(self._file, 0)
        except OSError as error:
            raise self._refused(error) from None
        self._end = 0
        self._write(head)

    def add(self, recorded: Recorded, *, comment: str = "") -> None:
        """Write an exchange."""
        entry = orjson.dumps(self._entry(recorded, comment))
        self._write((b"\n" if self._first else b",\n") + entry)
        self._first = False

    def close(self) -> None:
        """Close the file; what was added is in it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        """Over the tail, with a new tail behind it."""
        whole = memoryview(data + _TAIL)
        try:
            done = 0
            while done < len(whole):
                done += os.pwrite(self._file, whole[done:], self._end + done)
        except OSError as error:
            with suppress(OSError):  # what was there is made whole again, for which there mostly is room
                os.pwrite(self._file, _TAIL, self._end)
                os.ftruncate(self._file, self._end + len(_TAIL))
            raise self._refused(error) from None
        self._end += len(data)

    def _refused(self, error: OSError) -> InputError:
        return InputError(f"{shown(self._path)}: cannot be written: {error.strerror or error}")

    def _entry(self, recorded: Recorded, comment: str) -> dict[str, Any]:
        sent, sent_size = _kept(recorded.exchange.request, known=recorded.sent_known)
        answered, answered_size = _kept(recorded.exchange.response, known=recorded.answered_known)
        request, response = recorded.exchange.request, recorded.exchange.response
        masked = self._mask.exchange(
            Exchange(
                Request(request.method, request.path, request.query_string, sent[0], sent[1] or b""),
                Response(response.status, answered[0], answered[1] or b""),
            )
        )
        milliseconds = round(recorded.seconds * 1000, 6)
        entry = {
            "startedDateTime": datetime.fromtimestamp(recorded.started, UTC).isoformat(timespec="microseconds"),
            "time": milliseconds,
            "request": _request(recorded.origin, masked.request, sent_size, kept=sent[1] is not None),
            "response": _response(masked.response, answered_size, kept=answered[1] is not None),
            "cache": {},
            "timings": {"send": 0, "wait": milliseconds, "receive": 0},
        }
        secrets = secrets_of(request.headers) | secrets_of(response.headers)
        if recorded.client:
            entry["_client"] = redacted_text(recorded.client, secrets)
        if comment:
            entry["comment"] = redacted_text(comment, secrets)
        return entry


_Kept = tuple[list[tuple[bytes, bytes]], bytes | None]


def _kept(message: Request | Response, *, known: bool) -> tuple[_Kept, int]:
    """Headers and body as they are written: no body if it is unknown, large, or could hide a secret; and its size, or -1."""
    headers = list(message.headers)
    if not known:
        return (headers, None), wire.declared_size(headers) or -1
    body, headers = wire.decoded(message.body, headers, LARGEST_BODY)
    if body is None:
        return (headers, None), len(message.body)
    hides = content_type(headers).startswith("multipart/") or _is_disguised(wire.charset(headers), body)
    return (headers, None if hides or len(body) > LARGEST_BODY else body), len(body)


def _is_disguised(charset: str, body: bytes) -> bool:
    """Whether names of secrets look otherwise in a body than the mask knows them."""
    if body.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and b"\0" in body:
        return True
    try:
        return "token".encode(charset) != b"token"
    except (UnicodeError, LookupError):
        return False


def _request(origin: str, request: Request, size: int, *, kept: bool) -> dict[str, Any]:
    query = request.query_string.decode("latin-1")
    found: dict[str, Any] = {
        "method": request.method,
        "url": f"{origin}{request.path}" + (f"?{query}" if query else ""),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(request.headers),
        "queryString": [{"name": name, "value": value} for name, value in parse_qsl(query, keep_blank_values=True)],
        "headersSize": -1,
        "bodySize": len(request.body) if kept else size,
    }
    if not kept:
        found["postData"] = {"mimeType": content_type(request.headers), "comment": "The body was not kept."}
    elif request.body:
        found["postData"] = {"mimeType": content_type(request.headers), **_text(request.body, request.headers, "_encoding")}
    return found


def _response(response: Response, size: int, *, kept: bool) -> dict[str, Any]:
    content = {"size": len(response.body) if kept else size, "mimeType": content_type(response.headers)}
    if kept:
        content |= _text(response.body, response.headers, "encoding")
    else:
        content["comment"] = "The body was not kept."
    return {
        "status": response.status,
        "statusText": "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(response.headers),
        "content": content,
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1,
    }


def _text(body: bytes, headers: RawHeaders, encoding: str) -> dict[str, str]:
    """A body as text if that is all there is to it, or else as base64."""
    charset = wire.charset(headers)
    try:
        text = body.decode(charset)
        if text.encode(charset) == body:
            return {"text": text}
    except (UnicodeError, LookupError):
        pass
    return {"text": b64encode(body).decode("ascii"), encoding: "base64"}


def _headers(headers: RawHeaders) -> list[dict[str, str]]:
    return [{"name": name.decode("latin-1"), "value": value.decode("latin-1")} for name, value in headers]
