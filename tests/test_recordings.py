"""Recordings: what is read out of HAR files and lines of exchanges, in what order, and what is written into them."""

from __future__ import annotations

import errno
import gzip
import json
import os
import stat
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract_tests.exchange import Exchange, Request, Response
from contract_tests.source import InputError
from contract_tests.traffic.har_file import LARGEST_BODY, HarFile
from contract_tests.traffic.in_order import InOrder
from contract_tests.traffic.reading import Limits, read
from contract_tests.traffic.recorded import Recorded, Unusable

DATA = Path(__file__).parent / "data" / "recordings"
URL = "https://api.example.com/v1/wallets/w1"
BODY = '{"id":"w1","balance":"1.10"}'
Make = Callable[..., list[Recorded | Unusable]]


def entry(**parts: Any) -> dict[str, Any]:
    """A HAR entry as Chrome writes them; `request`, `response` and `content` change parts of it."""
    content = {"size": len(BODY), "mimeType": "application/json", "text": BODY} | parts.pop("content", {})
    request = {"method": "GET", "url": URL, "headers": [{"name": "Accept", "value": "*/*"}], "bodySize": 0}
    response = {"status": 200, "headers": [{"name": "Content-Type", "value": "application/json"}], "content": content}
    return {
        "startedDateTime": "2026-11-21T18:45:01.069Z",
        "time": 12.5,
        "request": request | parts.pop("request", {}),
        "response": response | parts.pop("response", {}),
        **parts,
    }


def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    """An object without some of its members, `a.b` is one of a member."""
    value = json.loads(json.dumps(value))
    for name in names:
        *path, last = name.split(".")
        part = value
        for step in path:
            part = part[step]
        del part[last]
    return value


def har(*entries: Any) -> bytes:
    """A HAR file, compact."""
    return json.dumps({"log": {"version": "1.2", "creator": {"name": "x", "version": "1"}, "entries": entries}}).encode()


@pytest.fixture
def read_bytes(tmp_path: Path) -> Make:
    """Reads bytes as a file."""

    def of(data: bytes, limits: Limits | None = None, name: str = "shop.har") -> list[Recorded | Unusable]:
        path = tmp_path / name
        path.write_bytes(data)
        return list(read([path], limits=limits or Limits()))

    return of


@pytest.fixture
def read_entry(read_bytes: Make) -> Callable[..., Recorded | Unusable]:
    """Reads a file with this entry, made by `entry`."""

    def of(**parts: Any) -> Recorded | Unusable:
        [found] = read_bytes(har(entry(**parts)))
        return found

    return of


def test_an_entry_is_read_as_it_was_on_the_wire(read_bytes: Make) -> None:
    """Method, path, query, headers by lower-case name, body, status, time and place."""
    sent = {
        "method": "POST",
        "url": f"{URL}/top-up?a=%2F&b=",
        "postData": {"mimeType": "application/json", "text": '{"x": "é"}'},
        "headers": [
            {"name": "Content-Type", "value": "application/json"},
            {"name": "X-A", "value": "1"},
            {"name": "x-a", "value": "2"},
        ],
        "queryString": [{"name": "other", "value": "ignored"}],
    }

    [found] = read_bytes(har(entry(request=sent)))

    assert isinstance(found, Recorded)
    request, response = found.exchange.request, found.exchange.response
    assert (request.method, request.path, request.query_string) == ("POST", "/v1/wallets/w1/top-up", b"a=%2F&b=")
    assert list(request.headers) == [(b"content-type", b"application/json"), (b"x-a", b"1"), (b"x-a", b"2")]
    assert request.body == '{"x": "é"}'.encode()
    assert (response.status, response.body) == (200, BODY.encode())
    assert list(response.headers) == [(b"content-type", b"application/json")]
    assert (found.origin, found.started, found.seconds) == ("https://api.example.com", 1795286701.069, 0.0125)
    assert (found.sent_known, found.answered_known, found.client) == (True, True, "")
    assert found.place.endswith("shop.har: entry 1")


@pytest.mark.parametrize(
    ("written", "origin", "path", "query"),
    [
        ("HTTPS://API.Example.COM:443/a", "https://api.example.com", "/a", b""),
        ("http://api.example.com:8080?x=1#part", "http://api.example.com:8080", "/", b"x=1"),
        ("https://ada:secret@api.example.com/a#b?c", "https://api.example.com", "/a", b""),
        ("http://[0:0::1]:80/a", "http://[::1]", "/a", b""),
        ("https://bücher.example/ä b?q=ü", "https://xn--bcher-kva.example", "/%C3%A4%20b", b"q=%C3%BC"),
        ("https://a.example/%e2%82?x=%00;", "https://a.example", "/%e2%82", b"x=%00;"),
        ("data:text/html,<p>hello", "data:", "", b""),
        ("chrome-extension://abc/page.html", "chrome-extension:", "", b""),
        ("blob:https://a.example/1", "blob:", "", b""),
    ],
)
def test_urls(read_entry: Callable[..., Any], written: str, origin: str, path: str, query: bytes) -> None:
    """Hosts are in one form, user information and fragments are gone, paths stay as they were sent."""
    found = read_entry(request={"url": written})

    assert (found.origin, found.exchange.request.path, found.exchange.request.query_string) == (origin, path, query)


@pytest.mark.parametrize(
    ("written", "started"),
    [
        ("2026-11-21T18:45:01.0690000Z", 1795286701.069),
        ("2026-11-21T20:45:01.069+02:00", 1795286701.069),
        ("2026-11-21 18:45:01.069", 1795286701.069),
        (1795286701069, 1795286701.069),
        (1795286701.5, 1795286701.5),
    ],
)
def test_times(read_entry: Callable[..., Any], written: object, started: float) -> None:
    """Any form of ISO 8601, and numbers."""
    assert read_entry(startedDateTime=written).started == started


def test_times_without_an_offset_are_utc(read_entry: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the reader is."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()

    found = read_entry(startedDateTime="2026-11-21T18:45:01.069")

    monkeypatch.undo()
    time.tzset()
    assert found.started == 1795286701.069


@pytest.mark.parametrize("written", [-1, -5000, None, 10**400])
def test_a_duration_that_nobody_knows_is_none(read_entry: Callable[..., Any], written: object) -> None:
    """Negative and missing durations do not turn time round."""
    assert read_entry(time=written).seconds == 0


def test_an_entry_without_a_time_follows_the_one_before(read_bytes: Make) -> None:
    """K6 Studio leaves times empty: the order in the file is all that is left."""
    first, second = read_bytes(har(entry(), entry(startedDateTime="")))

    assert isinstance(second, Recorded)
    assert isinstance(first, Recorded)
    assert second.started == first.started


GZIPPED = b64encode(gzip.compress(BODY.encode(), mtime=0)).decode()
ENCODED = [{"name": "content-encoding", "value": "gzip"}, {"name": "content-length", "value": "48"}]


@pytest.mark.parametrize(
    ("content", "response", "body"),
    [
        ({"text": b64encode(b"\xff\0").decode(), "encoding": "base64", "size": 2}, {}, b"\xff\0"),
        ({"text": "ä", "size": 1}, {"headers": [{"name": "content-type", "value": "text/plain; charset=ISO-8859-1"}]}, b"\xe4"),
        ({"text": BODY, "size": 48}, {"headers": ENCODED}, BODY.encode()),
        ({"text": BODY, "size": 40, "compression": -12}, {"headers": ENCODED[:1]}, BODY.encode()),
        ({"text": GZIPPED, "encoding": "base64"}, {"headers": ENCODED}, BODY.encode()),
        ({"text": "", "size": 0}, {}, b""),
    ],
    ids=["base64", "charset", "size of the encoded", "compression", "still encoded", "empty"],
)
def test_bodies_of_answers(read_entry: Callable[..., Any], content: Any, response: Any, body: bytes) -> None:
    """Bodies are decoded, and no header says otherwise."""
    found = read_entry(content=content, response=response | {"content": content})

    assert (found.answered_known, found.exchange.response.body) == (True, body)
    assert not {b"content-encoding"} & {name for name, _ in found.exchange.response.headers}


@pytest.mark.parametrize(
    ("content", "response"),
    [
        ({"size": 4711}, {}),
        ({"size": -1}, {}),
        ({"size": 0}, {"status": 302}),
        ({"size": 0}, {"headers": [{"name": "content-length", "value": "12"}]}),
        ({"text": BODY, "size": 4711}, {}),
        ({"text": BODY, "size": 0, "comment": "Body truncated: 28 of 99 bytes recorded"}, {}),
        ({"text": GZIPPED[:20], "encoding": "base64", "size": 15}, {"headers": ENCODED}),
        ({"text": "\ud800", "size": 3}, {}),
    ],
    ids=["dropped", "no size", "redirect", "declared", "short", "comment", "cut gzip", "half a sign"],
)
def test_bodies_that_were_not_kept_whole_are_unknown(read_bytes: Make, content: Any, response: Any) -> None:
    """What is left of a body is not judged."""
    value = entry(response=response)
    value["response"]["content"] = {"mimeType": "application/json"} | content

    [found] = read_bytes(har(value))

    assert isinstance(found, Recorded)
    assert (found.answered_known, found.exchange.response.body) == (False, b"")


@pytest.mark.parametrize("change", [{"status": 204}, {"status": 200, "method": "HEAD"}])
def test_answers_that_have_no_body(read_bytes: Make, change: dict[str, Any]) -> None:
    """Nothing is missing from 204 and from answers to HEAD, whatever length they declare."""
    value = entry(request={"method": change.get("method", "GET")}, response={"status": change["status"]})
    value["response"] |= {"content": {"size": 0}, "headers": [{"name": "content-length", "value": "12"}]}

    [found] = read_bytes(har(value))

    assert isinstance(found, Recorded)
    assert found.answered_known


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("request_parts", "known", "body"),
    [
        ({"postData": {"mimeType": FORM, "params": [{"name": "a b", "value": "1&2"}, {"name": "c"}]}}, True, b"a+b=1%262&c="),
        ({"postData": {"mimeType": "multipart/form-data; boundary=x", "params": [{"name": "a", "value": "1"}]}}, False, b""),
        ({"bodySize": 12}, False, b""),
        ({"bodySize": -1, "headers": [{"name": "Content-Length", "value": "12"}]}, False, b""),
        ({"postData": {"mimeType": "application/json"}, "bodySize": -1}, False, b""),
        ({"postData": {"mimeType": "application/json", "text": "{}"}, "bodySize": 99}, False, b""),
        ({"postData": {"mimeType": "", "text": ""}, "bodySize": 0}, True, b""),
        (
            {"postData": {"mimeType": "application/octet-stream", "text": "\xff\xfe\0", "params": []}, "bodySize": 3},
            True,
            b"\xff\xfe\0",
        ),
        ({"postData": {"mimeType": "image/png", "text": "\ufffd\ufffd\0"}, "bodySize": 3}, False, b""),
        ({"postData": {"mimeType": "image/png", "text": "/w==", "_encoding": "base64"}, "bodySize": 1}, True, b"\xff"),
        ({"postData": None, "bodySize": 0}, True, b""),
    ],
    ids=["form", "multipart", "size", "length", "no text", "short", "empty", "mitmproxy", "replaced", "base64", "null"],
)
def test_bodies_of_requests(read_entry: Callable[..., Any], request_parts: Any, known: bool, body: bytes) -> None:
    """A body comes from its text or its fields; one that was sent and not kept is unknown."""
    found = read_entry(request={"method": "POST"} | request_parts)

    assert (found.sent_known, found.exchange.request.body) == (known, body)


def test_a_content_type_is_taken_from_the_body_if_no_header_has_it(read_entry: Callable[..., Any]) -> None:
    """Tools that write few headers still say what a body is."""
    found = read_entry(
        request={"method": "POST", "headers": [], "postData": {"mimeType": "application/json", "text": "{}"}},
        response={"headers": []},
    )

    assert found.exchange.request.header == {b"content-type": b"application/json"}
    assert list(found.exchange.response.headers) == [(b"content-type", b"application/json")]


def test_headers_of_http2_and_repeated_ones(read_entry: Callable[..., Any]) -> None:
    """`:authority` is no header; values in lines are several; objects and pairs are read as well."""
    written = [{"name": ":authority", "value": "a"}, {"name": "Set-Cookie", "value": "a=1\nb=2"}, {"name": "X-N", "value": 7}]

    found = read_entry(request={"headers": {"X-One": "1", "X-Two": ["2", "3"]}}, response={"headers": written})

    assert list(found.exchange.request.headers) == [(b"x-one", b"1"), (b"x-two", b"2"), (b"x-two", b"3")]
    assert list(found.exchange.response.headers) == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-n", b"7")]


@pytest.mark.parametrize(
    ("parts", "reason", "why"),
    [
        ({"response": {"status": 0, "_error": "net::ERR_CONNECTION_REFUSED"}}, "unanswered", "net::ERR_CONNECTION_REFUSED"),
        ({"response": {"status": -1, "_failureText": "net::ERR_ABORTED"}}, "unanswered", "net::ERR_ABORTED"),
        ({"response": {"status": 200, "_error": "net::ERR_ABORTED"}}, "unanswered", "net::ERR_ABORTED"),
        ({"response": {"status": 0, "_error": None}}, "unanswered", "was not answered"),
        ({"_wasAborted": True}, "unanswered", "was not answered"),
        ({"response": {"status": 101}}, "unanswered", "websocket"),
        ({"_webSocketMessages": []}, "unanswered", "websocket"),
        ({"request": {"url": "wss://api.example.com/live"}}, "unanswered", "websocket"),
        ({"_fromCache": "disk"}, "cached", "cache"),
        ({"response": {"status": 304}}, "cached", "cache"),
        ({"cache": {"afterRequest": None}}, "cached", "cache"),
        ({"_fetchType": "Memory Cache"}, "cached", "cache"),
        ({"_wasFulfilled": True}, "cached", "client itself"),
        ({"response": {"status": 307, "headers": {"Non-Authoritative-Reason": "HSTS"}}}, "cached", "client itself"),
        ({"response": {"_serviceWorkerResponseSource": "cache-storage"}}, "cached", "cache"),
    ],
)
def test_what_no_server_answered(read_entry: Callable[..., Any], parts: Any, reason: str, why: str) -> None:
    """Failures, websockets and caches say nothing about a server."""
    found = read_entry(**parts)

    assert isinstance(found, Unusable)
    assert found.reason == reason
    assert why in found.why


@pytest.mark.parametrize(
    "parts",
    [
        {"response": {"status": 404, "_error": "net::ERR_HTTP_RESPONSE_CODE_FAILURE"}},
        {"_fetchType": "Network Load"},
        {"cache": {}},
        {"response": {"_serviceWorkerResponseSource": "network"}},
    ],
)
def test_what_a_server_did_answer(read_entry: Callable[..., Any], parts: Any) -> None:
    """An error status is an answer, and so is what a service worker fetched."""
    assert isinstance(read_entry(**parts), Recorded)


BROKEN = [
    ("not an object", "null", "expected an object"),
    ("no request", without(entry(), "request"), "has no request"),
    ("no url", without(entry(), "request.url"), "request.url is null, expected a URL"),
    ("relative", entry(request={"url": "/v1/wallets?token=s3cret-token"}), "request.url is no absolute URL"),
    ("port", entry(request={"url": "http://a.example:99999/"}), "request.url has no valid host and port"),
    ("url type", entry(request={"url": 7}), "request.url is a number, expected a URL"),
    ("method", entry(request={"method": "G E T"}), "request.method is text, expected a method"),
    ("request type", entry() | {"request": []}, "request is a list, expected an object"),
    ("headers type", entry(request={"headers": "x"}), "request.headers is text, expected a list or an object"),
    ("header", entry(request={"headers": [{"value": "x"}]}), "request.headers[0] has no name"),
    ("header value", entry(response={"headers": [{"name": "x", "value": {}}]}), "response.headers[0]: the value is an object"),
    ("base64", entry(content={"encoding": "base64", "text": "%%%"}), "response.content.text is no valid base64"),
    ("encoding", entry(content={"encoding": "hex"}), "response.content.encoding is neither missing nor base64"),
    ("text type", entry(content={"text": {}}), "response.content.text is an object, expected text"),
    ("size", entry(content={"size": "many"}), "response.content.size is text, expected a number"),
    ("date", entry(startedDateTime="yesterday"), "startedDateTime is no time"),
    ("year", entry(startedDateTime="0001-01-01T00:00:00+10:00"), "startedDateTime is no time"),
    ("duration", entry(time="12 ms"), "time is text, expected a number"),
    ("negative status", entry(response={"status": -200}), "response.status is -200, expected 100 to 999"),
    ("status type", entry(response={"status": "200"}), "response.status is text, expected a number"),
    ("no UTF-8", json.dumps(entry()).encode().replace(b"wallets", b"wall\xffts"), "is not UTF-8"),
    ("literal", json.dumps(entry()).replace("12.5", "twelve"), "is broken JSON at byte"),
    ("comma", json.dumps(entry()).replace('200, "headers"', '200 "headers"'), "is not valid JSON"),
    ("end", json.dumps(entry())[:-1], "is broken JSON at byte"),
    ("bracket", json.dumps(entry()).replace('"*/*"}]', '"*/*"}'), "is broken JSON at byte"),
    ("quote", json.dumps(entry()).replace('"GET"', '"GET'), "is broken JSON at byte"),
    ("nesting", json.dumps(entry()).replace("12.5", "[" * 600 + "]" * 600), "is nested deeper than 200"),
    ("inside out", json.dumps(entry()).replace('"*/*"}', '"*/*", {"a":, {"x": 1}'), "is not valid JSON"),
    ("a number", "12", "is a number, true, false or null, expected an object"),
]


@pytest.mark.parametrize(("value", "why"), [pytest.param(value, why, id=name) for name, value, why in BROKEN])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_broken_entry_costs_no_other(read_bytes: Make, value: Any, why: str, indent: int | None) -> None:
    """Entry 2 of 4 is broken in every way: it is named with the reason, and the others are read."""
    good = [json.dumps(entry(request={"url": f"{URL}?n={n}"}), indent=indent).encode() for n in (1, 3, 4)]
    broken = value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()

    found = read_bytes(b'{"log": {"entries": [' + b" , ".join([good[0], broken, good[1], good[2]]) + b"]}}")

    assert [type(each) for each in found] == [Recorded, Unusable, Recorded, Recorded]
    assert [each.entry for each in found] == [1, 2, 3, 4]
    assert isinstance(found[1], Unusable)
    assert found[1].reason == "unreadable"
    assert why in found[1].why
    assert "s3cret" not in str(found[1])
    assert [each.exchange.request.query_string for each in found if isinstance(each, Recorded)] == [b"n=1", b"n=3", b"n=4"]


def test_an_entry_without_an_end_ends_where_the_next_begins(read_bytes: Make) -> None:
    """The file is not searched to its end for the bracket that is missing."""
    data = har(entry(), entry(request={"url": f"{URL}?n=2"}), *[entry()] * 50)
    end = data.index(b'{"startedDateTime"', data.index(b"n=2"))
    data = data[: end - 3] + data[end - 2 :]

    found = read_bytes(data, Limits(entry=2000))

    assert str(found[1]).endswith(f"entry 2: is broken JSON at byte {end - 1:,}")
    assert [type(each) for each in found] == [Recorded, Unusable, *[Recorded] * 50]


def test_a_file_that_was_cut_off_says_where(read_bytes: Make) -> None:
    """Wherever it was cut, all entries before are read, and one problem names the entry and the byte."""
    data = har(*[entry(request={"url": f"{URL}?n={n}"}) for n in range(3)])
    ends = [position + 1 for position in range(len(data)) if data[position : position + 3] in (b"}, ", b"}]}")]
    second = data.index(b"n=1")

    found = read_bytes(data[:second])

    assert [type(each) for each in found] == [Recorded, Unusable]
    assert found[1].entry == 2
    assert f"is cut off: the file ends in it, at byte {second:,}" in str(found[1])
    third = data.index(b"n=2")
    between = max(end for end in ends if end < data.rindex(b'{"startedDateTime"', 0, third) + 1)
    found = read_bytes(data[:between])
    assert [type(each) for each in found] == [Recorded, Recorded, Unusable]
    assert "the file ends before this entry" in str(found[2])


def test_broken_json_before_the_entries_does_no_harm(read_bytes: Make) -> None:
    """Nobody needs the creator."""
    assert len(read_bytes(har(entry(), entry()).replace(b'"name": "x"', b'"name": x'))) == 2


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"<!doctype html><html>", "is HTML or XML"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG image"),
        (b"PK\x03\x04abc", "is a ZIP archive: unpack it"),
        (b"\xd4\xc3\xb2\xa1abc", "is a packet capture"),
        (b"command: st run\nhttp_interactions:\n", "is a VCR cassette in YAML"),
        (b"1421:9:websocket;0:~8:response;", "is a file of mitmproxy's flows"),
        (b"hello", "is not JSON"),
        (b"[1, 2]", "begins with a JSON list"),
        (b'{"openapi": "3.0.0", "info": {}}', "is a JSON object with `openapi`, `info`"),
        (b'{\n "openapi": "3.0.0",\n "info": {}\n}', "is a JSON object with `openapi`, `info`"),
        (b'{"log": []}', "its `log` is no object"),
        (b'{"log": {"pages": []}}', "its `log` has no `entries`"),
        (b'{"log": {"entries": {}}}', "its `log.entries` is no list"),
        (b'{"log": {"version": "1', "its JSON is broken or cut off at byte"),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "is packed with gzip twice"),
        (b"\x1f\x8b\x08nonsense", "its gzip data is damaged"),
    ],
)
def test_what_is_no_recording_is_named(read_bytes: Make, data: bytes, what: str) -> None:
    """The message says what the file seems to be."""
    with pytest.raises(InputError) as raised:
        read_bytes(data)

    assert "shop.har" in str(raised.value)
    assert what in str(raised.value)


@pytest.mark.parametrize("name", ["missing.har", "."])
def test_what_cannot_be_opened(tmp_path: Path, name: str) -> None:
    """A missing file and a directory are the user's mistakes."""
    with pytest.raises(InputError, match="cannot be read: "):
        list(read([tmp_path / name]))


def test_a_log_without_entries_is_a_recording(read_bytes: Make) -> None:
    """Nothing happened."""
    assert read_bytes(har()) == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("packed", [False, True])
def test_encodings(read_bytes: Make, encoding: str, packed: bool) -> None:
    """Byte order marks, other widths and gzip are seen in the bytes, whatever the file's name is."""
    text = json.dumps({"log": {"entries": [entry(request={"url": f"{URL}?q=é"}), entry()]}}, ensure_ascii=False).encode(encoding)

    found = read_bytes(gzip.compress(text) if packed else text)

    assert [type(each) for each in found] == [Recorded, Recorded]
    assert isinstance(found[0], Recorded)
    assert found[0].exchange.request.query_string == b"q=%C3%A9"


def test_a_cut_gzip_file_is_read_up_to_the_cut(read_bytes: Make) -> None:
    """What was unpacked before counts."""
    packed = gzip.compress(har(*[entry(request={"url": f"{URL}?n={os.urandom(200).hex()}"}) for _ in range(20)]))

    *before, last = read_bytes(packed[: len(packed) // 2])

    assert len(before) > 5
    assert {type(each) for each in before} == {Recorded}
    assert isinstance(last, Unusable)
    assert "gzip data is cut off" in last.why


def test_a_zip_bomb_is_given_up(read_bytes: Make) -> None:
    """Unpacking stops when the sizes tell what it is; memory stays small meanwhile."""
    bomb = gzip.compress(har(entry())[:-3] + b"," + b" " * (24 << 20) + b"]}}")
    tracemalloc.start()

    found = read_bytes(bomb)

    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(found[0], Recorded)
    assert "unpacks to more than 500 times its size" in str(found[-1])
    assert most < 16 << 20


def test_limits_of_size(read_bytes: Make) -> None:
    """An entry that is too large is left out, by its own size and not by that of the file; others are read."""
    large = entry(content={"text": "x" * 5000, "size": 5000})
    deep = entry(_initiator={"stack": {"parent": {"a": [[[[[[[[[[[[["x" * 5000]]]]]]]]]]]]]}}})

    found = read_bytes(har(entry(), large, entry(), deep, *[entry()] * 8), Limits(entry=3000))

    assert [type(each) for each in found] == [Recorded, Unusable, Recorded, Unusable, *[Recorded] * 8]
    assert "is larger than" in str(found[1])


def test_deep_entries_are_read(read_bytes: Make) -> None:
    """Chrome's call stacks have parents of parents."""
    parent: dict[str, Any] = {}
    for _ in range(40):
        parent = {"callFrames": [{"functionName": "f", "url": "}{"}], "parent": parent}

    assert [type(each) for each in read_bytes(har(entry(_initiator=parent), entry()))] == [Recorded, Recorded]


def test_ten_thousand_redirects_are_ten_thousand_exchanges(read_bytes: Make) -> None:
    """Each is an exchange of its own, in little memory."""
    redirect = entry(response={"status": 302, "headers": [{"name": "Location", "value": URL}], "redirectURL": URL})
    data = har(*[redirect] * 10_000)

    found = read_bytes(data)

    assert len(found) == 10_000
    assert {each.exchange.response.status for each in found if isinstance(each, Recorded)} == {302}


def test_reading_takes_little_memory(tmp_path: Path) -> None:
    """Of a file of 10 MB never more than a few pieces are held."""
    path = tmp_path / "large.har"
    path.write_bytes(har(*[entry(content={"text": "x" * 100_000, "size": 100_000})] * 100))
    tracemalloc.start()

    count = sum(1 for _ in read([path]))

    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 100
    assert most < 6 << 20


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_bytes_break_the_reader(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever happens to a recording: exchanges, problems, or a refusal."""
    good = data.draw(st.sampled_from(SEEDS))
    broken = bytearray(good[: data.draw(st.integers(0, len(good)))])
    signs = st.sampled_from([b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"},{", b'"}', b"\xff"])
    for place, length, other in data.draw(
        st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=3) | signs), max_size=4)
    ):
        at = int(place * len(broken))
        broken[at : at + length] = other
    path = tmp_path / "broken"
    path.write_bytes(broken)

    try:
        found = list(read([path]))
    except InputError:
        return

    assert all(isinstance(each, Recorded | Unusable) for each in found)
    with InOrder() as in_order:
        for each in found:
            if isinstance(each, Recorded):
                in_order.add(each)
        assert len(list(in_order)) == sum(isinstance(each, Recorded) for each in found)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-2, 700)
        | st.sampled_from([1e300, "", "GET", URL, "http://[::1", "data:", "é\n", "200"]),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "value", "text", "size"]), inner, max_size=2)
        ),
        max_leaves=4,
    ),
    st.sampled_from(
        ["", "time", "startedDateTime", "cache", "_error", "_client", "request", "response"]
        + [f"request.{name}" for name in ("url", "method", "headers", "postData", "bodySize")]
        + [f"response.{name}" for name in ("status", "headers", "content", "_error", "_fromCache")]
        + ["response.content.text", "response.content.size", "response.content.encoding", "response.content.comment"]
    ),
)
def test_no_value_anywhere_breaks_the_reader(tmp_path: Path, value: Any, where: str) -> None:
    """Any JSON in any place of an entry: an exchange or a problem."""
    whole: dict[str, Any] = {"it": entry()}
    part, *steps = whole, "it", *(step for step in where.split(".") if step)
    for step in steps[:-1]:
        part = part[step]
    part[steps[-1]] = value
    path = tmp_path / "odd.har"
    path.write_bytes(har(whole["it"], entry()))

    found = list(read([path]))

    assert len(found) == 2
    assert isinstance(found[1], Recorded)


PLAIN = {
    "method": "POST",
    "url": f"{URL}/top-up",
    "request_headers": {"Content-Type": "application/json"},
    "request_body": '{"amount": 1.10}',
    "status": 200,
    "response_headers": [["Content-Type", "application/json"], ["X-A", "1"]],
    "response_body_base64": b64encode(BODY.encode()).decode(),
    "started": "2026-11-21T18:45:01.069Z",
    "seconds": 0.0125,
    "client": "shop-7",
}
NESTED = {
    "request": {
        "method": "POST",
        "url": f"{URL}/top-up",
        "headers": {"Content-Type": "application/json"},
        "body": '{"amount": 1.10}',
    },
    "response": {"status": 200, "headers": {"Content-Type": "application/json", "X-A": "1"}, "body": BODY},
    "started": 1795286701.069,
    "seconds": 0.0125,
    "client": "shop-7",
}
SEEDS = [
    har(
        entry(),
        entry(request={"method": "POST", "postData": {"mimeType": FORM, "params": [{"name": "a", "value": "b"}]}}),
        entry(),
    ),
    json.dumps({"log": {"entries": [entry(), entry()]}}, indent=1).encode(),
    gzip.compress(har(entry(), entry()), mtime=0),
    b"\n".join(json.dumps(line).encode() for line in (PLAIN, NESTED, entry())),
]


@pytest.mark.parametrize("line", [PLAIN, NESTED], ids=["flat", "nested"])
def test_lines_in_the_plain_form(read_bytes: Make, line: dict[str, Any]) -> None:
    """One exchange per line, all members side by side or in two objects."""
    [found] = read_bytes(json.dumps(line).encode() + b"\r\n\n")

    assert isinstance(found, Recorded)
    request, response = found.exchange.request, found.exchange.response
    assert (request.method, request.path, request.body) == ("POST", "/v1/wallets/w1/top-up", b'{"amount": 1.10}')
    assert list(response.headers) == [(b"content-type", b"application/json"), (b"x-a", b"1")]
    assert (response.status, response.body) == (200, BODY.encode())
    assert (found.origin, found.started, found.seconds, found.client) == (
        "https://api.example.com",
        1795286701.069,
        0.0125,
        "shop-7",
    )
    assert (found.sent_known, found.answered_known) == (True, True)


def test_the_line_in_the_guide_is_read(read_bytes: Make) -> None:
    """As it stands there."""
    guide = (Path(__file__).parent.parent / "docs" / "recordings.md").read_text(encoding="utf-8")

    [found] = read_bytes(guide.partition("```json\n")[2].partition("```")[0].encode())

    assert isinstance(found, Recorded)
    assert (found.exchange.response.status, found.client, found.sent_known, found.answered_known) == (201, "shop-7", True, True)


@pytest.mark.parametrize(
    ("line", "sent_known", "answered_known"),
    [
        (without(PLAIN, "request_body"), True, True),
        (PLAIN | {"request_body": None}, False, True),
        (without(PLAIN, "request_body") | {"request_headers": {"Content-Length": "9"}}, False, True),
        (without(PLAIN, "response_body_base64"), True, False),
        (without(PLAIN, "response_body_base64") | {"status": 204}, True, True),
    ],
)
def test_lines_without_bodies(read_bytes: Make, line: dict[str, Any], sent_known: bool, answered_known: bool) -> None:
    """A request without a body had none, unless it says so; an answer's body was not kept."""
    [found] = read_bytes(json.dumps(line).encode())

    assert isinstance(found, Recorded)
    assert (found.sent_known, found.answered_known) == (sent_known, answered_known)


@pytest.mark.parametrize(
    ("line", "reason", "why"),
    [
        ('{"method": "GET", "ur', "unreadable", "is not valid JSON (line 2"),
        ("[]", "unreadable", "is a list, expected an object"),
        ('{"level": "info", "msg": "hi"}', "unreadable", "it has neither `url` nor `request`, but `level`, `msg`"),
        (
            json.dumps(PLAIN | {"request_body": {"a": 1}}),
            "unreadable",
            "request_body is an object, expected the text that was sent",
        ),
        (json.dumps(PLAIN | {"method": None}), "unreadable", "method is null, expected a method"),
        (json.dumps(PLAIN | {"status": "ok"}), "unreadable", "status is text, expected a number"),
        (json.dumps(PLAIN | {"status": 0}), "unanswered", "was not answered"),
        (json.dumps(without(PLAIN, "status")), "unanswered", "was not answered"),
        (json.dumps(without(NESTED, "response")), "unanswered", "was not answered"),
        (json.dumps(PLAIN | {"seconds": "long"}), "unreadable", "seconds is text, expected a number"),
    ],
)
def test_a_broken_line_costs_no_other(read_bytes: Make, line: str, reason: str, why: str) -> None:
    """It is named with its number, in a file of mixed forms."""
    found = read_bytes("\n".join([json.dumps(PLAIN), line, json.dumps(entry()), json.dumps(NESTED)]).encode())

    assert [type(each) for each in found] == [Recorded, Unusable, Recorded, Recorded]
    assert isinstance(found[1], Unusable)
    assert (found[1].entry, found[1].reason) == (2, reason)
    assert why in found[1].why


def test_a_first_line_may_be_broken(read_bytes: Make) -> None:
    """What a file is, any of its first lines can tell."""
    found = read_bytes(b'{"method": "GET", "url": "http\n' + json.dumps(PLAIN).encode())

    assert [type(each) for each in found] == [Unusable, Recorded]


def test_a_line_that_is_too_long_is_left_out(read_bytes: Make) -> None:
    """And only that."""
    long = json.dumps(PLAIN | {"note": "x" * 5000})

    found = read_bytes("\n".join([json.dumps(PLAIN), long, json.dumps(PLAIN)]).encode(), Limits(entry=2000))

    assert [type(each) for each in found] == [Recorded, Unusable, Recorded]


def test_a_file_that_is_one_endless_line_is_not_kept(read_bytes: Make) -> None:
    """However long it is."""
    data = json.dumps(PLAIN).encode() + b"\n" + b"{" * (16 << 20)
    tracemalloc.start()

    found = read_bytes(data, Limits(entry=1 << 20))

    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "is larger than 1 MiB (line 2)" in str(found[1])
    assert most < 8 << 20


@pytest.mark.parametrize(("name", "count"), [("schemathesis.har", 3), ("schemathesis.ndjson", 4), ("mitmproxy.har", 4)])
def test_recordings_of_other_tools(name: str, count: int) -> None:
    """As Schemathesis 4.32 and mitmproxy 11 wrote them, of a mock."""
    found = list(read([DATA / name]))

    assert len(found) == count
    assert all(isinstance(each, Recorded) and each.sent_known and each.answered_known for each in found)
    assert all(each.exchange.response.body for each in found if isinstance(each, Recorded))


def test_schemathesis_notes_when_an_answer_was_there() -> None:
    """In both of its reports; the time of an exchange is that of the request."""
    in_har = next(iter(read([DATA / "schemathesis.har"])))
    in_lines = next(iter(read([DATA / "schemathesis.ndjson"])))
    events = [json.loads(line) for line in (DATA / "schemathesis.ndjson").read_text().splitlines()]
    recorder = next(event["ScenarioFinished"]["recorder"] for event in events if "ScenarioFinished" in event)
    first = next(iter(recorder["interactions"].values()))

    assert isinstance(in_har, Recorded)
    assert isinstance(in_lines, Recorded)
    # 18:45:01.069226, 124.88 ms later than it was sent
    assert in_har.started == pytest.approx(1795286701.069226 - 0.12488, abs=1e-6)
    assert in_lines.started == pytest.approx(first["timestamp"] - first["response"]["elapsed"], abs=1e-6)


def exchange(**parts: Any) -> Recorded:
    """A recorded exchange, parts changed."""
    sent = [(b"content-type", b"application/json"), *parts.pop("sent_headers", [])]
    answered = [(b"content-type", b"application/json"), *parts.pop("answered_headers", [])]
    request = Request("POST", parts.pop("path", "/v1/wallets"), parts.pop("query", b""), sent, parts.pop("sent", b"{}"))
    response = Response(parts.pop("status", 200), answered, parts.pop("answered", BODY.encode()))
    return Recorded(Exchange(request, response), "https://api.example.com", parts.pop("started", 1795286701.069), 0.0125, **parts)


def test_exchanges_in_order_of_time() -> None:
    """By their start; equal ones as they came; everything of them comes back."""
    first = exchange(started=2.0, entry=1, query=b"a=\xff", answered=b"\0\xff", answered_headers=[(b"x-odd", b"\xff\0")])
    others = [exchange(started=time, entry=number) for number, time in enumerate([3.0, 1.0, 2.0, 3.0], 2)]

    with InOrder() as in_order:
        for each in [first, *others]:
            in_order.add(each)
        found = list(in_order)
        again = [each.entry for each in in_order]

    assert [each.entry for each in found] == [3, 1, 4, 2, 5] == again
    back = found[1]
    assert (back.exchange.request.query_string, back.exchange.response.body) == (b"a=\xff", b"\0\xff")
    assert list(back.exchange.response.headers) == list(first.exchange.response.headers)
    assert (back.origin, back.started, back.seconds, back.place) == (first.origin, 2.0, 0.0125, "exchange 1")


def test_what_waits_is_private_and_temporary() -> None:
    """What does not fit into memory lies in a file without a name, for the owner only, and goes even if nobody closes it."""

    def files() -> list[Path]:
        return [file for file in Path("/proc/self/fd").iterdir() if file.is_symlink() and "etilqs" in str(file.readlink())]

    with InOrder() as in_order:
        for number in range(40):
            in_order.add(exchange(answered=os.urandom(200_000), started=float(number)))
        assert next(iter(in_order)).started == 0

        [ours] = files()
        assert str(ours.readlink()).endswith("(deleted)")
        assert stat.S_IMODE(ours.stat().st_mode) == 0o600
        assert ours.stat().st_size > 4_000_000
    assert files() == []


def test_a_har_file_is_whole_after_every_exchange(tmp_path: Path) -> None:
    """HAR 1.2 by Walletproof, readable by its owner only, also if it was readable by all before."""
    path = tmp_path / "proxy.har"
    path.write_text("x" * 100_000)
    path.chmod(0o644)
    with HarFile(path) as file:
        assert json.loads(path.read_bytes())["log"]["entries"] == []
        for count in range(1, 4):
            file.add(exchange(), comment="request.body")
            log = json.loads(path.read_bytes())["log"]
            assert len(log["entries"]) == count

    assert (log["version"], log["creator"]["name"]) == ("1.2", "Walletproof")
    assert log["entries"][0]["comment"] == "request.body"
    assert {"startedDateTime", "time", "request", "response", "cache", "timings"} <= set(log["entries"][0])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", [".", "missing/proxy.har", "/dev/full", "pipe"])
def test_a_har_file_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    """A directory, a missing one, a device, a pipe that nobody reads: the user's mistakes."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError):
        HarFile(tmp_path / name)


def test_a_full_disk_leaves_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written before stays readable."""
    path = tmp_path / "proxy.har"
    with HarFile(path) as file:
        file.add(exchange())
        write, room = os.pwrite, [100]

        def short_of_room(number: int, data: bytes, at: int) -> int:
            if len(data) > 100 and not room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(number, data[: room.pop()] if len(data) > 100 else data, at)

        monkeypatch.setattr(os, "pwrite", short_of_room)
        with pytest.raises(InputError, match="cannot be written: No space left on device"):
            file.add(exchange())

    assert len(json.loads(path.read_bytes())["log"]["entries"]) == 1
    assert len(list(read([path]))) == 1


ROUND_TRIP = [
    exchange(),
    exchange(query=b"a=%2F&b=", path="/v1/%C3%A4", client="10.0.0.1", started=1795286701.000001),
    exchange(answered=b"\x89PNG\xff\0", sent=b""),
    exchange(sent=b"\xff\xfe", answered='é\u2028\\"'.encode()),
    exchange(sent_known=False, answered_known=False, sent=b"", answered=b""),
    exchange(answered_headers=[(b"x-a", b"1"), (b"x-a", b"2"), (b"x-odd", b"\xe4")], status=404),
    exchange(status=204, answered=b""),
    exchange(answered=b'{"balance": 1.10, "n": 1e2, "e": "\\u00e9"}'),
]


@pytest.mark.parametrize("recorded", ROUND_TRIP)
def test_what_is_written_is_read(tmp_path: Path, recorded: Recorded) -> None:
    """The same exchange, byte for byte."""
    with HarFile(tmp_path / "proxy.har") as file:
        file.add(recorded)

    [found] = read([tmp_path / "proxy.har"])

    assert isinstance(found, Recorded)
    for message, back in (
        (recorded.exchange.request, found.exchange.request),
        (recorded.exchange.response, found.exchange.response),
    ):
        assert list(back.headers) == list(message.headers)
        assert back.body == message.body
    assert found.exchange.request.path == recorded.exchange.request.path
    assert found.exchange.request.query_string == recorded.exchange.request.query_string
    assert found.exchange.response.status == recorded.exchange.response.status
    assert (found.origin, found.seconds, found.client) == (recorded.origin, recorded.seconds, recorded.client)
    assert found.started == pytest.approx(recorded.started, abs=1e-6)
    assert (found.sent_known, found.answered_known) == (recorded.sent_known, recorded.answered_known)


def test_large_bodies_are_left_out(tmp_path: Path) -> None:
    """Their size stays, and the reader knows that they are missing."""
    with HarFile(tmp_path / "proxy.har") as file:
        file.add(exchange(sent=b"x" * (LARGEST_BODY + 1), answered=b"y" * (LARGEST_BODY + 1)))

    [found] = read([tmp_path / "proxy.har"])

    assert isinstance(found, Recorded)
    assert (found.sent_known, found.answered_known) == (False, False)
    assert (tmp_path / "proxy.har").stat().st_size < 3000
    assert f'"size":{LARGEST_BODY + 1}' in (tmp_path / "proxy.har").read_text()


@pytest.mark.parametrize(("kind", "charset"), [("application/json; charset=utf-16", "utf-16"), ("application/json", "utf-16")])
def test_secrets_in_wide_characters_are_not_written(tmp_path: Path, kind: str, charset: str) -> None:
    """The mask knows the names of secrets as they are in ASCII; a body in which they look otherwise is left out."""
    body = '{"token": "sesame-open-1234"}'.encode(charset)
    with HarFile(tmp_path / "x.har") as file:
        file.add(exchange(answered=body, answered_headers=[(b"content-type", kind.encode())]))

    (entry,) = json.loads((tmp_path / "x.har").read_text("utf-8"))["log"]["entries"]
    assert "text" not in entry["response"]["content"]


def test_a_file_that_cannot_be_mended_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes nothing any more is the same clear word, whatever fails last."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with HarFile(tmp_path / "x.har") as file:
        monkeypatch.setattr(os, "pwrite", refuse)
        with pytest.raises(InputError, match="cannot be written: Input/output error"):
            file.add(exchange())


def test_secrets_are_masked_and_stay_different(tmp_path: Path) -> None:
    """In headers, queries, forms and bodies; numbered in order of appearance, schemes and all other bytes kept."""
    path = tmp_path / "proxy.har"
    first = exchange(
        path="/v1/echo/tok-aaaaaaaa",
        query=b"api_key=key-bbbbbbbb&page=1",
        sent_headers=[
            (b"authorization", b"Bearer tok-aaaaaaaa"),
            (b"x-api-key", b"key-cccccccc"),
            (b"cookie", b"sid=sid-dddddddd; theme=dark-eeeeeeee"),
            (b"referer", b"https://a.example/?t=key-cccccccc"),
            (b"content-length", b"113"),
        ],
        sent=b'{"password": "pass-ffffffff", "a": {"token": ["tok-aaaaaaaa", 7, null]}, "note": "of tok-aaaaaaaa", "n": 1.10}',
        answered_headers=[
            (b"set-cookie", b"sid=sid-gggggggg; Domain=api.example.com"),
            (b"access-control-allow-credentials", b"true"),
            (b"www-authenticate", b'Bearer realm="wallets"'),
        ],
        answered=b'{"token": "tok-hhhhhhhh", "token_type": "Bearer", "echo": "key-cccccccc and key-bbbbbbbb", "url": "https://api.example.com/"}',
    )
    second = exchange(sent_headers=[(b"authorization", b"Bearer tok-hhhhhhhh")], answered=b"\xff tok-hhhhhhhh")
    third = exchange(
        sent_headers=[(b"authorization", b"Bearer tok-aaaaaaaa"), (b"content-encoding", b"gzip")],
        sent=gzip.compress(b'"tok-aaaaaaaa"'),
    )
    with HarFile(path) as file:
        for each in (first, second, third):
            file.add(each, comment="sent tok-aaaaaaaa" if each is first else "")

    text = path.read_text()
    one, two, three = read([path])

    assert not [
        secret
        for secret in ("aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd", "eeeeeeee", "ffffffff", "gggggggg")
        if secret in text.replace("\\", "")
    ]
    assert "hhhhhhhh" not in text
    assert b64encode(b"\xff tok-hhhhhhhh").decode() not in text
    assert isinstance(one, Recorded)
    assert isinstance(two, Recorded)
    assert isinstance(three, Recorded)
    request, response = one.exchange.request, one.exchange.response
    assert request.path == "/v1/echo/***"
    assert request.query_string == b"api_key=***1&page=1"
    assert request.header[b"authorization"] == b"Bearer ***2"
    assert request.header[b"x-api-key"] == b"***3"
    assert request.header[b"cookie"] == b"sid=***4; theme=***5"
    assert request.body == b'{"password": "***6", "a": {"token": ["***2", 7, null]}, "note": "of ***", "n": 1.10}'
    assert dict(response.headers)[b"set-cookie"] == b"sid=***8; Domain=api.example.com"
    assert dict(response.headers)[b"access-control-allow-credentials"] == b"true"
    assert dict(response.headers)[b"www-authenticate"] == b'Bearer realm="wallets"'
    assert response.body == b'{"token": "***9", "token_type": "Bearer", "echo": "*** and ***", "url": "https://api.example.com/"}'
    assert two.exchange.request.header[b"authorization"] == b"Bearer ***9"
    assert three.exchange.request.header[b"authorization"] == b"Bearer ***2"
    assert three.exchange.request.body == b'"***"'
