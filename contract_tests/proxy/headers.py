"""What a proxy changes on the way: the headers that belong to one connection, and where each side thinks the other is."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, urlsplit

import h11

from contract_tests.codings import acceptable
from contract_tests.exchange import RawHeaders

Headers = list[tuple[bytes, bytes]]

FINDINGS = b"X-Walletproof-Findings"

# RFC 9110, 7.6.1, and those that are about this hop's own login.
_OF_A_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    )
)
_IN_PATHS = "/%:@!$&'()*+,;=-._~"
_PORTS = {"http": 80, "https": 443}


class Refused(Exception):
    """A request that is not passed on; `status` is the proxy's own answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Place:
    """Where the service is, from a URL that was checked. `prefix` stands in front of every path; no slash ends it."""

    scheme: str
    host: str
    port: int
    netloc: str
    prefix: str
    pseudonym: str = field(default_factory=lambda: f"walletproof-{secrets.token_hex(4)}")  # one of its own: a loop is noticed

    @classmethod
    def parse(cls, url: str) -> Place:
        """The place of a URL such as `https://api.example.com/billing`."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        try:
            host = host.encode("ascii").decode()
        except UnicodeEncodeError:
            host = host.encode("idna").decode()
        return cls(
            parts.scheme,
            host,
            parts.port or _PORTS[parts.scheme],
            _netloc(parts, host),
            quote(parts.path.rstrip("/"), safe=_IN_PATHS),
        )

    @property
    def origin(self) -> str:
        """`https://api.example.com`; with a port unless it is the scheme's own."""
        return f"{self.scheme}://{self.netloc}"


def target(request: h11.Request, place: Place, own: Iterable[str]) -> bytes:
    """The target to ask the service for; Refused if it is somebody else's. `own` are the proxy's names, with port."""
    asked = request.target
    if request.method == b"CONNECT":
        raise Refused(
            501,
            f"CONNECT is for forward proxies; this one stands for {place.origin}{place.prefix}: "
            "put its address in the place of that URL",
        )
    if asked.startswith(b"/"):
        return place.prefix.encode() + asked
    if asked == b"*" and request.method == b"OPTIONS":
        return asked
    scheme, separator, rest = asked.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise Refused(400, "the request target is neither a path nor a URL")
    netloc, _, path = rest.partition(b"/")
    name = netloc.decode("latin-1").lower()
    if name in own:
        return place.prefix.encode() + b"/" + path
    if f"{scheme.decode().lower()}://{name}" == place.origin and (b"/" + path).startswith(place.prefix.encode() + b"/"):
        return b"/" + path
    raise Refused(421, f"this proxy forwards to {place.origin}{place.prefix} and to nobody else")


def to_service(request: h11.Request, place: Place, peer: str) -> tuple[Headers, Headers]:
    """The headers of a request as the service gets them: the client's, and ours. Refused if it comes from this proxy itself."""
    gone = _of_this_hop(request.headers)
    kept: Headers = [(b"Host", place.netloc.encode())]
    passed: dict[bytes, list[bytes]] = {}
    host = b""
    chunked = False
    for raw_name, value in request.headers.raw_items():
        name = raw_name.lower()
        if name == b"host":
            host = value
        elif name == b"transfer-encoding":
            chunked = True
        elif name in (b"x-forwarded-for", b"via"):
            passed.setdefault(name, []).append(value)
        elif name == b"accept-encoding" and name not in gone:
            kept.append((raw_name, acceptable(value)))
        elif name == b"content-length" or name not in gone:
            kept.append((raw_name, value))
            passed.setdefault(name, []).append(value)
    came_by = b", ".join(passed.get(b"via", ()))
    if place.pseudonym.encode() in came_by:
        raise Refused(508, f"{place.origin} leads back to this proxy: give it the service's own URL")
    added: Headers = [(b"Transfer-Encoding", b"chunked")] if chunked else []
    added.append((b"X-Forwarded-For", b", ".join([*passed.get(b"x-forwarded-for", ()), peer.encode()])))
    for name, value in ((b"X-Forwarded-Host", host), (b"X-Forwarded-Proto", b"http")):
        if name.lower() not in passed and value:  # who is in front of us knows better what the client asked for
            added.append((name, value))
    added.append((b"Via", b", ".join([*passed.get(b"via", ()), b"1.1 " + place.pseudonym.encode()])))
    return kept, added


def to_client(answer: h11.Response | h11.InformationalResponse, place: Place, host: bytes) -> Headers:
    """The headers of an answer as the client gets them. `host` is what the client calls this proxy."""
    gone = _of_this_hop(answer.headers)
    return [
        (raw_name, _led_back(value, place, host) if raw_name.lower() == b"location" else value)
        for raw_name, value in answer.headers.raw_items()
        if raw_name.lower() == b"content-length" or (raw_name.lower() not in gone and raw_name.lower() != FINDINGS.lower())
    ]


def framed_twice(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a message says in two ways where it ends: whoever reads the other one sees another message."""
    names = {name for name, _ in headers}
    return b"content-length" in names and b"transfer-encoding" in names


def lower(headers: RawHeaders) -> Headers:
    """Headers with names in lower case, as exchanges have them."""
    return [(name.lower(), value) for name, value in headers]


def _of_this_hop(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    named = [part.strip().lower() for name, value in headers if name == b"connection" for part in value.split(b",")]
    return _OF_A_HOP.union(named) if named else _OF_A_HOP


def _led_back(location: bytes, place: Place, host: bytes) -> bytes:
    """A Location within the service, as it is reached through this proxy: else a client would go on without it."""
    prefix = place.prefix.encode()
    path, start = location, b""
    if b"://" in location or location.startswith(b"//"):
        scheme, _, rest = location.rpartition(b"//") if location.startswith(b"//") else location.partition(b"//")
        netloc = re.split(rb"[/?#]", rest, maxsplit=1)[0]
        path = rest[len(netloc) :]
        if scheme.lower() not in (b"", place.scheme.encode() + b":") or not _same(netloc, place):
            return location
        start = b"http://" + host if host else b""
        if not path.startswith(b"/"):
            path = b"/" + path
    elif not location.startswith(b"/"):
        return location
    if not path.startswith(prefix + b"/"):
        return location  # the proxy does not reach it
    return start + path[len(prefix) :]


def _same(netloc: bytes, place: Place) -> bool:
    try:
        parts = urlsplit(f"{place.scheme}://{netloc.decode('ascii')}")
        return (parts.hostname, parts.port or _PORTS[place.scheme]) == (place.host, place.port) and "@" not in parts.netloc
    except ValueError:
        return False


def _netloc(parts: SplitResult, host: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if parts.port in (None, _PORTS[parts.scheme]) else f"{shown}:{parts.port}"
