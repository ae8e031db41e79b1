"""A request as a curl line that can be pasted into a shell. Secrets stand as environment variables."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Collection
from urllib.parse import quote

from contract_tests.exchange import Request
from contract_tests.identity import HIDDEN, WITH_SCHEME, Identity, hide

# What HTTP clients add by themselves, and curl too.
_OWN_HEADERS = (b"host", b"content-length", b"connection", b"accept", b"accept-encoding", b"user-agent")


def url_of(base: str, request: Request) -> str:
    """The whole URL: `base` (scheme, host, prefix) with the request's path and query."""
    query = "?" + request.query_string.decode("ascii", "replace") if request.query_string else ""
    return base + quote(request.path, safe="/:@!$&'()*+,;=-._~%") + query


def curl(base: str, request: Request, identity: Identity, secrets: Collection[str] = ()) -> str:
    """The line for `request` as `identity` sent it; `secrets` that are not the identity's own are hidden."""
    parts = ["curl", "-sS", "-i"]
    if request.method == "HEAD":
        parts.append("-I")  # with -X, curl would wait for a body
    elif request.method != "GET" or request.body:
        parts += ["-X", shlex.quote(request.method)]
    if "/." in request.path:
        parts.append("--path-as-is")
    if set("[]{}") & set(request.query_string.decode("latin-1")):
        parts.append("-g")
    for raw_name, raw_value in request.headers:
        if raw_name in _OWN_HEADERS:
            continue
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        secret = identity.variable and (name, value) in identity.headers
        if secret:
            found = re.match(r"[A-Za-z0-9-]+ ", value) if name in WITH_SCHEME else None
            scheme = found[0] if found else ""
            parts += ["-H", f'"{name}: {scheme}${identity.variable}"']
        else:
            value = hide(value, secrets)
            parts += ["-H", shlex.quote(f"{name}: {value}" if value else f"{name};")]
    tail = [shlex.quote(hide(url_of(base, request), secrets))]
    if not request.body:
        return " ".join(parts + tail)
    try:
        text = hide(request.body.decode(), secrets)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" not in text:
        # `@` would name a file.
        return " ".join([*parts, "--data-raw" if text.startswith("@") else "--data-binary", shlex.quote(text), *tail])
    encoded = base64.b64encode(request.body).decode()
    return f"echo {encoded} | base64 -d | " + " ".join([*parts, "--data-binary", "@-", *tail])


def hidden_headers(request: Request, identity: Identity) -> dict[str, str]:
    """The request's headers for a report: names as sent, secrets hidden."""
    hidden = {(name.encode(), value.encode()) for name, value in identity.headers} if identity.variable else set()
    return {
        name.decode("latin-1"): HIDDEN if (name, value) in hidden else value.decode("latin-1") for name, value in request.headers
    }
