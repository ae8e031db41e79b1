"""Exchanges without their secrets: what a journal writes outlives the process, and others can read it.

What counts as a secret, and what is put in its place, `contract_tests.redaction` says. Most exchanges have none but a header,
and redacting takes longer than answering: so texts are first searched for what a secret, or the name of one, cannot do without.

Whether a client sent the right key can still be verified: of a secret header a salted digest is kept. Keys and tokens are
made by machines, and cannot be guessed from one; of passwords, which people make, nothing is kept.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple
from urllib.parse import urlencode

from contract_tests.exchange import RawHeaders, Request, Response
from contract_tests.identity import HIDDEN
from contract_tests.redaction import is_secret, redacted_json, redacted_pairs, redacted_text, secrets_of
from mock_server.journal.bodies import NO_JSON, parsed

# However a secret is written, in JSON, in a URL, in HTML: these signs stay what they are.
_UNCHANGING = re.compile(rb"[A-Za-z0-9._~-]+")
_BETWEEN = b"\n"  # what no header has

_LONGEST_KNOWN = 4 << 10  # of the bodies that are known by their bytes

_SEAL = f"{HIDDEN}~"
_SALT = os.urandom(8)


class Told(NamedTuple):
    """An exchange without secrets. Headers are names and values in turn, with line feeds between them.

    `changed` are the secrets that it had, if any was elsewhere than in a header of its own, else None.
    """

    path: str
    path_params: Mapping[str, str]
    query: bytes
    asked: bytes
    body: bytes
    answered: bytes
    response_body: bytes
    changed: frozenset[str] | None


def told(request: Request, response: Response) -> Told:
    """What may be written of an exchange."""
    asked = [*chain.from_iterable(request.headers)]
    answered = [*chain.from_iterable(response.headers)]
    names = _BETWEEN.join(asked[::2])
    seals = _secret_at(names)
    holes = _secret_at(_BETWEEN.join(answered[::2]))
    known = _Known(frozenset(), ())
    if seals or holes:
        pairs = [(asked[2 * at], asked[2 * at + 1]) for at in seals]
        pairs += [(answered[2 * at], answered[2 * at + 1]) for at in holes]
        known = _known(tuple(pairs))
        for at in seals:
            asked[2 * at + 1] = _sealed(asked[2 * at + 1])
        for at in holes:
            answered[2 * at + 1] = HIDDEN.encode()
    path, query, body = request.path, request.query_string, request.body
    path_params, response_body = request.path_params, response.body
    changed = None
    # The name of a secret header tells nothing.
    text = _BETWEEN.join((path.encode("utf-8", "replace"), query, body, *asked[1::2], *answered[1::2]))
    # An answer is often the same as the last one.
    innocent = _innocent_lately if len(response_body) <= _LONGEST_KNOWN else _innocent
    if not (_innocent(text) and innocent(response_body) and b"%" not in query) or known.are_in(text, response_body, names):
        secrets = known.secrets
        before = path, query, body, response_body, asked, answered
        path = redacted_text(path, secrets)
        path_params = {name: redacted_text(value, secrets) for name, value in path_params.items()}
        query = _query(request, known)
        body = _body(body, known)
        response_body = _body(response_body, known)
        asked = _headers(asked, seals, known)
        answered = _headers(answered, holes, known)
        if (path, query, body, response_body, asked, answered) != before:
            changed = secrets
    return Told(path, path_params, query, _BETWEEN.join(asked), body, _BETWEEN.join(answered), response_body, changed)


def pairs_of(headers: bytes) -> RawHeaders:
    """Headers as they are told, in pairs again."""
    parts = headers.split(_BETWEEN)
    return list(zip(parts[::2], parts[1::2], strict=False))


def is_same(value: object, wanted: object) -> bool:
    """Whether a value is a wanted one, or its seal fits."""
    if value == wanted:
        return True
    if isinstance(value, str) and isinstance(wanted, str) and value.startswith(_SEAL):
        salt = value[len(_SEAL) :][: 2 * len(_SALT)]
        try:
            return value == _seal(wanted.encode("latin-1"), bytes.fromhex(salt))
        except ValueError:  # a header that only looks like a seal, or a wanted value that no header can have
            return False
    return False


class _Known(NamedTuple):
    """The secrets that headers carry; `signs` are of each the longest part that is the same however it is written."""

    secrets: frozenset[str]
    signs: tuple[bytes, ...]

    def are_in(self, *texts: bytes) -> bool:
        """Whether one of them may be in one of these texts."""
        for sign in self.signs:
            for text in texts:
                if sign in text:
                    return True
        return False


@lru_cache(maxsize=256)
def _known(headers: RawHeaders) -> _Known:
    secrets = secrets_of(headers)
    signs = {max(_UNCHANGING.findall(secret.encode("latin-1")), key=len, default=b"") for secret in secrets}
    return _Known(secrets, tuple(signs))


@lru_cache(maxsize=256)
def _secret_at(names: bytes) -> tuple[int, ...]:
    """Which headers are secret by their name."""
    return tuple(at for at, name in enumerate(names.split(_BETWEEN)) if is_secret(name.decode("latin-1")))


@lru_cache(maxsize=256)
def _sealed(value: bytes) -> bytes:
    """A seal in the place of a key or a token, of a password nothing."""
    return HIDDEN.encode() if value[:6].lower() == b"basic " else _seal(value, _SALT).encode()


def _seal(value: bytes, salt: bytes) -> str:
    return f"{_SEAL}{salt.hex()}{blake2b(value, digest_size=16, salt=salt).hexdigest()}"


def _innocent(text: bytes) -> bool:
    """Whether a text has no part of a secret's name, nor anything that may hide one: escapes, wide characters."""
    # A long s or a Kelvin sign is an s or a k to whoever ignores case.
    lower = text.lower() if text.isascii() else text.decode("utf-8", "replace").casefold().encode()
    return not (
        b"oken" in lower
        or b"ecret" in lower
        or b"passw" in lower
        or b"api" in lower
        or b"authoriz" in lower
        or b"credential" in lower
        or b"bearer" in lower
        or b"eyJ" in text  # a JSON web token
        or b"\\" in text
        or b"\0" in text
    )


_innocent_lately = lru_cache(maxsize=1024)(_innocent)


def _query(request: Request, known: _Known) -> bytes:
    pairs = request.query
    redacted = list(redacted_pairs(pairs, known.secrets))
    return request.query_string if redacted == pairs else urlencode(redacted).encode()


def _body(body: bytes, known: _Known) -> bytes:
    """A body without secrets, the same if it has none."""
    if _innocent(body) and not known.are_in(body):
        return body
    value = parsed(body)
    if value is NO_JSON:
        text = body.decode("utf-8", "replace")
        redacted = redacted_text(text, known.secrets)
        return body if redacted == text else redacted.encode()
    without = redacted_json(value, known.secrets)
    return body if without == value else json.dumps(without, ensure_ascii=False).encode()


def _headers(parts: list[bytes], done: tuple[int, ...], known: _Known) -> list[bytes]:
    """Names and values without secrets; those whose place is in `done` have none any more."""
    if _innocent(_BETWEEN.join(parts[1::2])) and not known.are_in(_BETWEEN.join(parts)):
        return parts
    return [
        part if index // 2 in done and index % 2 else redacted_text(part.decode("latin-1"), known.secrets).encode("latin-1")
        for index, part in enumerate(parts)
    ]
