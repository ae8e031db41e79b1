"""`Prefer` (RFC 7240): what one request wishes for itself, and the answer that says what was done."""

from __future__ import annotations

import re
from collections.abc import Sequence

from contract_tests.exchange import RawHeaders, Response
from contract_tests.source import InputError

KNOWN = ("code", "defect", "delay", "fault", "handled", "retry-after", "surprise")

_OF_OTHERS = {"depth-noroot", "handling", "respond-async", "return", "safe", "transclude", "wait"}
"""Names that are registered with IANA for purposes of their own."""

_PREFERENCE = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^,"])+')  # commas separate, unless they are quoted
_WORD = re.compile(r'\s*([^\s=;"]+)(?:\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s;"]*)))?\s*(?:;.*)?', re.DOTALL)

Wish = tuple[str, str]
"""Name, in lower case, and value."""


def wishes(headers: RawHeaders) -> Sequence[Wish]:
    """What a request prefers, in order, without what is meant for others; InputError for what nobody knows."""
    given = b",".join(value for name, value in headers if name == b"prefer").decode("latin-1")
    found = []
    for preference in _PREFERENCE.findall(given):
        if not preference.strip():
            continue
        match = _WORD.fullmatch(preference)
        name = match[1].lower() if match else preference.strip()[:60]
        if name in _OF_OTHERS or name.startswith("odata."):
            continue
        if match is None or name not in KNOWN:
            raise InputError(f"Prefer: unknown {name[:60]!r}; there are {', '.join(f'{known}=' for known in KNOWN)}")
        found.append((name, re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3] or ""))
    return found


def applied(response: Response, done: Sequence[Wish]) -> Response:
    """The answer that says which wishes it fulfils, besides those that it says already."""
    if not done:
        return response
    said = [value for name, value in response.headers if name == b"preference-applied"]
    said.append(", ".join(f"{name}={value}" for name, value in done).encode("latin-1", "replace"))
    kept = [pair for pair in response.headers if pair[0] != b"preference-applied"]
    return type(response)(response.status, [*kept, (b"preference-applied", b", ".join(said))], response.body)
