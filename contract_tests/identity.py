"""Who sends a request: credentials by name, and how they are kept out of everything that is written down."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from urllib.parse import quote, quote_plus

HIDDEN = "***"
WITH_SCHEME = ("authorization", "proxy-authorization")
"""Headers whose value is a scheme, a space, and the secret."""

_WORD = 8  # what is shorter may be part of any word: `test` of `tested`


@dataclass(frozen=True)
class Identity:
    """Credentials under a name (`main`, `other`, `expired`, `none`, `wrong`).

    `headers` are sent as they are. `variable` is the environment variable that stands for the secret where a command is
    shown; empty if there is nothing to hide.
    """

    name: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    variable: str = ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be written down: the header values, and tokens without their scheme."""
        if not self.variable:
            return ()
        found = []
        for name, value in self.headers:
            found += [value, value.partition(" ")[2]] if name in WITH_SCHEME else [value]
        return tuple(secret for secret in found if secret)


def api_key(name: str, key: str, variable: str = "") -> Identity:
    """Flexprice's: a key in `x-api-key`."""
    return Identity(name, (("x-api-key", key),), variable)


def bearer(name: str, token: str, variable: str = "") -> Identity:
    """Polar's: a bearer token."""
    return Identity(name, (("authorization", f"Bearer {token}"),), variable)


def hide(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of `secrets`, plain or escaped; short ones where they are words."""
    pattern = _pattern(frozenset(secrets))
    return pattern.sub(HIDDEN, text) if pattern else text


@lru_cache(maxsize=256)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    """The longest first, so that no part of one is left."""
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
    parts = [
        re.escape(spelling) if len(spelling) >= _WORD else rf"(?<!\w){re.escape(spelling)}(?!\w)"
        for spelling in sorted(spellings, key=len, reverse=True)
    ]
    return re.compile("|".join(parts)) if parts else None


def _spellings(secret: str) -> Iterator[str]:
    """As servers and reports may write it: in JSON (Go escapes `&`, `<` and `>` as well), in URLs, in HTML."""
    in_json = json.dumps(secret, ensure_ascii=False)[1:-1]
    yield from (secret, in_json, json.dumps(secret)[1:-1], in_json.replace("/", r"\/"))
    yield in_json.translate({ord(sign): f"\\u{ord(sign):04x}" for sign in "&<>"})
    yield from (quote(secret, safe=""), quote(secret), quote_plus(secret), escape(secret))
