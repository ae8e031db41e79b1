"""An entry of a HAR file as an exchange, with all that browsers, proxies and test tools make of the format.

https://w3c.github.io/web-performance/specs/HAR/Overview.html; names with an underscore are those that recorders added.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote_plus

from contract_tests.exchange import Exchange, RawHeaders, Request, Response
from contract_tests.traffic import wire
from contract_tests.traffic.recorded import Recorded
from contract_tests.traffic.wire import NotUsable, kind, member

_FORM = "application/x-www-form-urlencoded"
_CUT = re.compile("truncat", re.IGNORECASE)
_BY_THE_CLIENT = re.compile("cache|service worker|override", re.IGNORECASE)
_NO_FAILURE = "ERR_HTTP_RESPONSE_CODE_FAILURE"  # Chrome's word for an answer of 4xx or 5xx
_SCHEMATHESIS = b"x-schemathesis-testcaseid"


def is_entry(value: dict[str, Any]) -> bool:
    """Whether an object is an entry of a HAR file, and not an exchange in the plain form of `lines`."""
    request, response = value.get("request"), value.get("response")
    return isinstance(request, dict) and (
        "startedDateTime" in value
        or "postData" in request
        or (isinstance(response, dict) and isinstance(response.get("content"), dict))
    )


def recorded(entry: dict[str, Any], file: str, number: int, before: float, most: int) -> Recorded:
    """The exchange of an entry. `before` is the time of the entry before, `most` the largest body in bytes.

    Raises `NotUsable` if it is broken, was not answered, or came from a cache.
    """
    sent = member(entry, "request", dict, "")
    if sent is None:
        raise NotUsable("has no request")
    request_headers = wire.headers(sent.get("headers"), "request.headers")
    method = wire.method(sent.get("method"), "request.method")
    answer = member(entry, "response", dict, "") or {}
    _refuse_websocket(entry, answer)
    where = wire.place(sent.get("url"), "request.url")
    seconds = wire.seconds(entry.get("time"), "time", 0.001)
    started = wire.started(entry.get("startedDateTime"), "startedDateTime")
    if started is not None and _notes_the_end(entry, request_headers):
        started = max(0.0, started - seconds)
    if not where.path:  # `data:` and the like: nothing of it was on a wire
        exchange = Exchange(Request(method, ""), Response(0, (), b""))
        return Recorded(exchange, where.origin, started or before, seconds, "", False, False, file, number)

    status = _status(entry, answer)
    answer_headers = wire.headers(answer.get("headers"), "response.headers")
    if any(name == b"non-authoritative-reason" for name, _ in answer_headers):  # Chrome's own redirect to https
        raise NotUsable("was answered by the client itself", "cached")
    content = member(answer, "content", dict, "response.") or {}
    mime = content.get("mimeType")
    if not answer_headers and isinstance(mime, str) and mime:
        answer_headers = [(b"content-type", mime.encode("latin-1", "replace"))]
    request_body = _request_body(sent, method, request_headers)
    response_body = _response_body(content, method, status, answer_headers)
    if request_body is not None:
        request_body, request_headers = wire.decoded(request_body, request_headers, most)
    if response_body is not None:
        response_body, answer_headers = wire.decoded(response_body, answer_headers, most)

    client = entry.get("_client")
    return Recorded(
        Exchange(
            Request(method, where.path, where.query, request_headers, request_body or b""),
            Response(status, answer_headers, response_body or b""),
        ),
        where.origin,
        before if started is None else started,
        seconds,
        client.encode("utf-8", "replace").decode() if isinstance(client, str) else "",
        request_body is not None,
        response_body is not None,
        file,
        number,
    )


def _notes_the_end(entry: dict[str, Any], request_headers: RawHeaders) -> bool:
    """Whether Schemathesis wrote the entry (others record its requests as well): it notes the time when the answer was there."""
    timings = entry.get("timings")
    return (
        isinstance(timings, dict)
        and timings.get("wait") == 0
        and timings.get("receive") == entry.get("time")
        and any(name == _SCHEMATHESIS for name, _ in request_headers)
    )


def _refuse_websocket(entry: dict[str, Any], answer: dict[str, Any]) -> None:
    if answer.get("status") == 101 or "_webSocketMessages" in entry or entry.get("_resourceType") == "websocket":
        raise NotUsable("is a websocket", "unanswered")


def _status(entry: dict[str, Any], answer: dict[str, Any]) -> int:
    """The status that the server answered with."""
    status = answer.get("status")
    if isinstance(status, float) and status.is_integer():
        status = int(status)
    if status is not None and (isinstance(status, bool) or not isinstance(status, int)):
        raise NotUsable(f"response.status is {kind(status)}, expected a number")
    if _cached(entry, answer, status):
        raise NotUsable("came from the client's cache", "cached")
    if entry.get("_wasFulfilled"):
        raise NotUsable("was answered by the client itself", "cached")
    failure = next((text for name in ("_error", "_failureText") if isinstance(text := answer.get(name), str) and text), "")
    if not failure and isinstance(entry.get("_error"), str):
        failure = entry["_error"]
    if entry.get("_wasAborted") or not status or status == -1 or (failure and _NO_FAILURE not in failure):
        word = re.match(r"[\w.:-]{1,60}", failure)
        raise NotUsable(f"was not answered ({word[0]})" if word else "was not answered", "unanswered")
    if not 100 <= status <= 999:
        raise NotUsable(f"response.status is {status}, expected 100 to 999")
    return status


def _cached(entry: dict[str, Any], answer: dict[str, Any], status: int | None) -> bool:
    cache = entry.get("cache")
    fetched, worker = entry.get("_fetchType"), answer.get("_serviceWorkerResponseSource")
    return (
        status == 304
        or bool(entry.get("_fromCache") or entry.get("fromCache") or answer.get("fromCache") or answer.get("_fromCache"))
        or (isinstance(cache, dict) and "afterRequest" in cache and cache["afterRequest"] is None)  # Firebug
        or (isinstance(fetched, str) and _BY_THE_CLIENT.search(fetched) is not None)  # Safari
        or (isinstance(worker, str) and worker not in ("", "network"))  # Chrome
    )


def _request_body(sent: dict[str, Any], method: str, headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """The bytes of the request's body; None if they were not kept. Adds a content type that only the body's part tells."""
    size = _size(sent, "bodySize", "request.")
    declared = size or wire.declared_size(headers)
    post = member(sent, "postData", dict, "request.")
    if post is None:
        return None if declared and method not in ("GET", "HEAD") else b""
    mime = member(post, "mimeType", str, "request.postData.") or ""
    text = member(post, "text", str, "request.postData.")
    params = member(post, "params", list, "request.postData.")
    if mime and not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", mime.encode("latin-1", "replace")))
    if not text:
        if params:
            return _form(params) if not mime or mime.lower().startswith(_FORM) else None
        return None if declared or (text is None and params is None and size is None) else b""
    if (post.get("encoding") or post.get("_encoding")) == "base64":
        return wire.from_base64(text, "request.postData.text")
    if _is_cut(post):
        return None
    body = wire.from_text(text, headers, declared)
    encoded = any(name == b"content-encoding" for name, _ in headers)
    return None if body is not None and size and len(body) < size and not encoded else body


def _form(params: list[Any]) -> bytes | None:
    """A form that was kept as its fields; None if a field was a file."""
    pairs = []
    for number, param in enumerate(params):
        where = f"request.postData.params[{number}]"
        if not isinstance(param, dict):
            raise NotUsable(f"{where} is {kind(param)}, expected an object")
        name, value = member(param, "name", str, f"{where}."), member(param, "value", str, f"{where}.")
        if name is None:
            raise NotUsable(f"{where} has no name")
        if param.get("fileName"):
            return None
        pairs.append(f"{quote_plus(name, errors='replace')}={quote_plus(value or '', errors='replace')}")
    return "&".join(pairs).encode("ascii")


def _response_body(content: dict[str, Any], method: str, status: int, headers: RawHeaders) -> bytes | None:
    """The bytes of the answer's body, or None if they were not kept, or only in part."""
    if method == "HEAD" or status < 200 or status == 204:
        return b""
    text = member(content, "text", str, "response.content.")
    size = _size(content, "size", "response.content.")
    if not text:
        return _nothing(text, size, status, headers)
    if _is_cut(content):
        return None
    encoding = member(content, "encoding", str, "response.content.") or ""
    if encoding.lower() == "base64":
        body: bytes | None = wire.from_base64(text, "response.content.text")
    elif encoding.lower() in ("", "utf-8", "utf8"):
        body = wire.from_text(text, headers, size)
    else:
        raise NotUsable("response.content.encoding is neither missing nor base64")
    if body is not None and size and len(body) < size and not _is_encoded_size(content, size, len(body), headers):
        return None
    return body


def _nothing(text: str | None, size: int | None, status: int, headers: RawHeaders) -> bytes | None:
    """Whether a body without text was empty: Chrome drops bodies, of redirects always, and so do exports without content."""
    declared = wire.declared_size(headers)
    if size or declared:
        return None
    if text is None and declared is None and (size is None or 300 <= status < 400):
        return None
    return b""


def _is_encoded_size(content: dict[str, Any], size: int, length: int, headers: RawHeaders) -> bool:
    """Whether `size` is that of the body as it was encoded, which can be longer: as mitmproxy counts."""
    if not any(name == b"content-encoding" for name, _ in headers):
        return False
    saved = content.get("compression")
    return size == wire.declared_size(headers) or (isinstance(saved, int | float) and size + saved == length)


def _size(value: dict[str, Any], name: str, where: str) -> int | None:
    """A size in bytes; None if nobody knows it, as -1 says."""
    size = value.get(name)
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int | float):
        raise NotUsable(f"{where}{name} is {kind(size)}, expected a number")
    return int(size) if 0 <= size < 1 << 62 else None


def _is_cut(part: dict[str, Any]) -> bool:
    comment = part.get("comment")
    return isinstance(comment, str) and _CUT.search(comment) is not None
