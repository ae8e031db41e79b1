"""What was sent and answered, without the secrets in it: for whatever shows exchanges to people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from contract_tests.exchange import RawHeaders
from contract_tests.identity import HIDDEN, WITH_SCHEME, hide

_SECRET_HEADERS = frozenset({"cookie", "set-cookie", "x-api-key", *WITH_SCHEME})
_SECRET_NAME = re.compile(r"token|secret|passwor|passwd|api[_-]?key|authorization|credential", re.IGNORECASE)
# Of a body that is no JSON, such as half of one or a form: what follows a secret's name, or a scheme.
_SECRET_TEXT = re.compile(
    r"""((?:token|secret|passwor|passwd|api[_-]?key|authorization|credential)[\w-]{0,40}\\?["']?\s{0,9}[:=]\s{0,9}\\?["']?"""
    r"""(?:(?:bearer|basic)\s{1,9})?|\bbearer\s{1,9})[^\s"'&,;}\\]+""",
    re.IGNORECASE,
)
# A JSON web token is a secret under whatever name: it begins with an encoded `{"`.
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{2,}\.[\w-]*")
_LONG_ENOUGH = 8  # what is shorter is no secret, and may be part of any text: the key `test`


@lru_cache(maxsize=1024)
def is_secret(name: str) -> bool:
    """Whether what has this name, a header, a parameter or a member of a body, is a secret."""
    return name.lower() in _SECRET_HEADERS or _SECRET_NAME.search(name) is not None


def secrets_of(headers: RawHeaders) -> frozenset[str]:
    """The secrets that headers carry, which must not show elsewhere either; tokens without their scheme as well."""
    return frozenset(secret for secret in _secrets(headers) if len(secret) >= _LONG_ENOUGH)


def redacted_pairs(pairs: Iterable[tuple[str, str]], secrets: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Headers or parameters by name, secrets hidden."""
    for name, value in pairs:
        yield redacted_text(name, secrets), HIDDEN if is_secret(name) else redacted_text(value, secrets)


def redacted_json(value: Any, secrets: frozenset[str]) -> Any:
    """JSON without secrets: neither those that are known, nor what members with a secret's name hold."""
    if isinstance(value, str):
        return _without_jwt(hide(value, secrets))
    if isinstance(value, dict):
        return {
            hide(name, secrets): HIDDEN if is_secret(name) and not isinstance(item, bool | None) else redacted_json(item, secrets)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [redacted_json(item, secrets) for item in value]
    return value


def redacted_text(text: str, secrets: frozenset[str]) -> str:
    """Text without secrets."""
    return _without_jwt(_SECRET_TEXT.sub(rf"\1{HIDDEN}", hide(text, secrets)))


def _without_jwt(text: str) -> str:
    return _JWT.sub(HIDDEN, text) if "eyJ" in text else text


def _secrets(headers: RawHeaders) -> Iterator[str]:
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if is_secret(name):
            yield value
            yield from (part.partition("=")[2] for part in value.split("; ") if name in ("cookie", "set-cookie"))
            if name in WITH_SCHEME:
                yield value.partition(" ")[2]
