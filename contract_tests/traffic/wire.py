"""What recordings write down, as it was on the wire: where to, when, which headers, which bytes."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any, NamedTuple
from urllib.parse import quote

from contract_tests import codings
from contract_tests.exchange import RawHeaders, content_type
from contract_tests.traffic.recorded import Reason

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]@\\]+)(?::([0-9]{0,5}))?")
_PORTS = {"http": "80", "https": "443"}
_UNSAFE = re.compile(r"[^\x21-\x7e]")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}")
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)")
_LATEST = 253402300800.0  # the year 10000
_MILLISECONDS = 1e11  # numbers from here on are no seconds, or they were of the year 5138


class NotUsable(Exception):
    """An entry cannot be judged: for what reason, and what exactly is wrong, without anything secret."""

    def __init__(self, why: str, reason: Reason = "unreadable") -> None:
        super().__init__(why)
        self.why = why
        self.reason = reason


class Place(NamedTuple):
    """Where a URL leads: `origin` as `Recorded` has it, path and query as they were sent."""

    origin: str
    path: str
    query: bytes


def kind(value: Any) -> str:
    """What a JSON value is, for people."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "something else")


def member(value: dict[str, Any], name: str, expected: type, where: str) -> Any:
    """A member that may be missing or null, then None; anything but `expected` is refused."""
    found = value.get(name)
    if found is None or (isinstance(found, expected) and not isinstance(found, bool)):
        return found
    raise NotUsable(f"{where}{name} is {kind(found)}, expected {kind(expected())}")


def place(url: Any, where: str) -> Place:
    """Where a URL leads, without user information and fragment.

    Of a URL that HTTP does not speak (`data:`, `blob:`, `chrome-extension:`) only the scheme is told, as origin.
    """
    if not isinstance(url, str) or not url:
        raise NotUsable(f"{where} is {kind(url) if url != '' else 'empty'}, expected a URL")
    match = _URL.fullmatch(url.strip())
    if not match:
        raise NotUsable(f"{where} is no absolute URL, such as https://api.example.com/v1/wallets")
    scheme = match[1].lower()
    if scheme in ("ws", "wss"):
        raise NotUsable("is a websocket", "unanswered")
    if scheme not in _PORTS:
        return Place(f"{scheme}:", "", b"")
    return Place(_origin(scheme, match[2] or "", where), _escaped(match[3]) or "/", _escaped(match[4] or "").encode("ascii"))


@lru_cache(maxsize=1024)
def _origin(scheme: str, authority: str, where: str) -> str:
    match = _HOST.fullmatch(authority.rpartition("@")[2])
    port = (match[2] or _PORTS[scheme]).lstrip("0") if match else ""
    if not match or not port or int(port) > 65535:
        raise NotUsable(f"{where} has no valid host and port")
    host = match[1].lower()
    try:
        if host.startswith("["):
            host = f"[{IPv6Address(host[1:-1])}]"
        elif not host.isascii():
            host = host.encode("idna").decode("ascii")
    except ValueError:
        raise NotUsable(f"{where} has no valid host") from None
    return f"{scheme}://{host}" if port == _PORTS[scheme] else f"{scheme}://{host}:{port}"


def _escaped(text: str) -> str:
    """Percent-encoded where a URL on the wire must be; recorders show some of it decoded."""
    return _UNSAFE.sub(lambda match: quote(match[0], safe="", errors="replace"), text)


def method(value: Any, where: str) -> str:
    """A request's method."""
    if isinstance(value, str) and _METHOD.fullmatch(value):
        return value
    raise NotUsable(f"{where} is {kind(value) if value != '' else 'empty'}, expected a method such as GET")


def started(value: Any, where: str) -> float | None:
    """Seconds since 1970, of ISO 8601 (without an offset: UTC) or of a number; None if it is missing or empty."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value.strip())
            found = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found = value / 1000 if value >= _MILLISECONDS else float(value)
        else:
            raise NotUsable(f"{where} is {kind(value)}, expected a time")
        if 0 <= found < _LATEST:
            return found
    except (ValueError, OverflowError):
        pass
    raise NotUsable(f"{where} is no time, expected ISO 8601 such as 2026-11-21T18:45:01.069Z")


def seconds(value: Any, where: str, unit: float = 1.0) -> float:
    """How long something took; 0 if nobody knows, as -1 says."""
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotUsable(f"{where} is {kind(value)}, expected a number")
    return value * unit if 0 <= value < _LATEST else 0.0


def headers(value: Any, where: str) -> list[tuple[bytes, bytes]]:
    """Headers as they are written anywhere: a list of objects with name and value, a list of pairs, or an object.

    HTTP/2's own (`:authority`) are none. Chrome puts the values of a repeated one into lines.
    """
    if value is None:
        return []
    if isinstance(value, dict):
        pairs: list[Any] = [
            (name, item) for name, items in value.items() for item in (items if isinstance(items, list) else [items])
        ]
    elif isinstance(value, list):
        pairs = value
    else:
        raise NotUsable(f"{where} is {kind(value)}, expected a list or an object")
    found: list[tuple[bytes, bytes]] = []
    for number, pair in enumerate(pairs):
        name, item = _pair(pair, f"{where}[{number}]")
        if not name.startswith(":"):
            found += _header(name, item) if len(item) < 200 else _header.__wrapped__(name, item)
    return found


def _pair(pair: Any, where: str) -> tuple[str, str]:
    if isinstance(pair, dict):
        name, value = pair.get("name"), pair.get("value")
    elif isinstance(pair, list | tuple) and len(pair) == 2:
        name, value = pair
    else:
        raise NotUsable(f"{where} is {kind(pair)}, expected an object with name and value")
    if not isinstance(name, str) or not name:
        raise NotUsable(f"{where} has no name")
    if value is None:
        return name, ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return name, str(value)
    if not isinstance(value, str):
        raise NotUsable(f"{where}: the value is {kind(value)}, expected text")
    return name, value


@lru_cache(maxsize=4096)
def _header(name: str, value: str) -> tuple[tuple[bytes, bytes], ...]:
    raw = _latin(name).lower()
    return tuple((raw, _latin(line.strip())) for line in (value.splitlines() if "\n" in value else [value]))


def _latin(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def declared_size(found: RawHeaders) -> int | None:
    """What Content-Length says."""
    for name, value in found:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 19 else None
    return None


def from_base64(text: Any, where: str) -> bytes:
    """The bytes that base64 stands for."""
    if not isinstance(text, str):
        raise NotUsable(f"{where} is {kind(text)}, expected text")
    try:
        return b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise NotUsable(f"{where} is no valid base64") from None


def charset(found: RawHeaders) -> str:
    """The encoding of a body's text: UTF-8, unless the content type says otherwise."""
    kind_of_content = content_type(found)
    match = _CHARSET.search(kind_of_content) if "charset" in kind_of_content else None
    return match[1] if match else "utf-8"


def from_text(text: str, found: RawHeaders, size: int | None) -> bytes | None:
    """The bytes of a body that is written as text; None if the text is not what was sent. `size` is the bytes' number, if known.

    Some recorders (mitmproxy, k6 Studio) write bytes that are no text as characters of the same number, others write
    U+FFFD in their place.
    """
    try:
        body = text.encode(charset(found))
    except (UnicodeError, LookupError):
        body = text.encode("utf-8", "ignore")
        if "\ufffd" not in text and any("\ud800" <= sign <= "\udfff" for sign in text):
            return None
    if size is None or len(body) == size or text.isascii():
        return body
    if len(text) == size:
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            pass
    return None if "\ufffd" in text else body


def decoded(body: bytes, found: Sequence[tuple[bytes, bytes]], most: int) -> tuple[bytes | None, list[tuple[bytes, bytes]]]:
    """A body without its content encoding, and the headers without what they say of it; None for a body nobody can decode.

    Recorders keep bodies decoded and the header beside it: whether the body still is encoded is told by its bytes.
    """
    coding = b",".join(value for name, value in found if name == b"content-encoding").decode("latin-1").lower()
    if coding.strip() in ("", "identity"):
        return body, list(found)
    # The length is that of the encoded body, which nobody has any more.
    rest = [(name, value) for name, value in found if name not in (b"content-encoding", b"content-length")]
    if not codings.begins_encoded(body) and ("gzip" in coding or _is_text(body, found)):
        return body, rest
    try:
        return codings.decoded(body, coding, most), rest
    except codings.Undecodable:
        return None, rest


def _is_text(body: bytes, found: RawHeaders) -> bool:
    try:
        body.decode(charset(found))
    except (UnicodeError, LookupError):
        return False
    return True
