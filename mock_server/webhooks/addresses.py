"""Where messages may go: to this machine, and to hosts that whoever started the server has named."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

MOST_CHARACTERS = 2000


class BadAddress(ValueError):
    """A URL that nothing is sent to; the text says why, and what would do."""


class Addresses:
    """Loopback and `hosts`."""

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)

    def check(self, url: str) -> None:
        """BadAddress unless messages may go there."""
        host = host_of(url)
        if host not in self._hosts and not _is_loopback(host):
            raise BadAddress(f"{host} is not configured: start with --webhook-host {host}, or listen on this machine")


def host_of(url: str) -> str:
    """The host of an http or https URL without user and password, as it is asked for on the wire; BadAddress if it is none."""
    import httpx  # reads URLs as it will when it sends

    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii")
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        raise BadAddress(f"no URL: {error}") from None
    if parsed.userinfo:
        raise BadAddress("a URL with user or password is not taken: messages are signed")
    if parsed.scheme not in ("http", "https"):
        raise BadAddress(f"expected a URL that begins with http:// or https://, got {url[:80]!r}")
    if not host or not (parsed.port is None or 0 < parsed.port < 65_536) or len(url) > MOST_CHARACTERS:
        raise BadAddress(f"expected a URL such as http://127.0.0.1:9000/webhooks, got {url[:80]!r}")
    return host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
