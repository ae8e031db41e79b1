"""Exchanges without secrets, in such a way that they still can be judged: what was different stays different.

Schemes, names and the kinds of values stay (`Bearer ***1`, `sid=***2; Path=/`, `"token": "***3"`), and so do all other bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from urllib.parse import unquote_plus

import orjson

from contract_tests.exchange import Exchange, RawHeaders, Request, Response, content_type
from contract_tests.identity import HIDDEN, WITH_SCHEME, hide
from contract_tests.redaction import is_secret, redacted_text

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\],:]|-?[0-9][0-9.eE+-]*+')
_MASKED = re.compile(r"\*\*\*\d*")  # by an earlier recording
_FORM = "application/x-www-form-urlencoded"
_LONG_ENOUGH = 8  # what is shorter is hidden in its own place only: it may be part of any text
_NO_SECRET = re.compile(r"(type|_at|_in|_count)$|^access-control-|^www-authenticate$|^proxy-authenticate$", re.IGNORECASE)
"""Names that only speak of secrets, and whose values are promised to be something: `token_type`, `token_expires_at`."""


class Mask:
    """Numbers the secrets of one recording in the order in which they appear; the same secret has the same number."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def exchange(self, exchange: Exchange) -> Exchange:
        """The exchange without secrets. A body that is neither JSON nor a form is searched for what follows a secret's name."""
        request, response = exchange.request, exchange.response
        known: set[str] = set()
        query = self._pairs(request.query_string.decode("latin-1"), known)
        sent_headers = [(name, self._header(name, value, known)) for name, value in request.headers]
        sent = self._body(request.body, request.headers, known)
        answer_headers = [(name, self._header(name, value, known)) for name, value in response.headers]
        answer = self._body(response.body, response.headers, known)
        # Each of them may be anywhere, and only now are all known.
        secrets = frozenset(secret for secret in known if len(secret) >= _LONG_ENOUGH and not _MASKED.fullmatch(secret))
        sent, answer = _hidden(sent, secrets), _hidden(answer, secrets)
        return Exchange(
            Request(
                request.method,
                hide(request.path, secrets),
                hide(query, secrets).encode("latin-1"),
                [(name, _sized(name, _hidden(value, secrets), len(request.body), len(sent))) for name, value in sent_headers],
                sent,
            ),
            Response(
                response.status,
                [
                    (name, _sized(name, _hidden(value, secrets), len(response.body), len(answer)))
                    for name, value in answer_headers
                ],
                answer,
            ),
        )

    def _number(self, secret: str) -> int:
        digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        return self._numbers.setdefault(digest, len(self._numbers) + 1)

    def _masked(self, secret: str, known: set[str]) -> str:
        if not secret or _MASKED.fullmatch(secret):
            return secret
        known.add(secret)
        return f"{HIDDEN}{self._number(secret)}"

    def _header(self, raw_name: bytes, raw_value: bytes, known: set[str]) -> bytes:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in WITH_SCHEME and " " in value:
            scheme, _, secret = value.partition(" ")
            value = f"{scheme} {self._masked(secret.strip(), known)}"
        elif name in ("cookie", "set-cookie"):
            # Of a cookie that is set the first part is the value, the others are attributes.
            parts = value.split(";")
            secret_parts = parts[:1] if name == "set-cookie" else parts
            value = ";".join([*(self._cookie(part, known) for part in secret_parts), *parts[len(secret_parts) :]])
        elif _is_secret(name):
            value = self._masked(value, known)
        elif not _NO_SECRET.search(name):
            value = redacted_text(value, frozenset())
        return value.encode("latin-1")

    def _token(self, token: str, known: set[str]) -> str:
        """A text or number of JSON, which stays one."""
        if not token.startswith('"'):
            return str(self._number(token))
        text = orjson.loads(token)
        masked = self._masked(text, known)
        return token if masked == text else f'"{masked}"'

    def _cookie(self, part: str, known: set[str]) -> str:
        name, equals, secret = part.partition("=")
        return f"{name}={self._masked(secret, known)}" if equals else self._masked(part, known)

    def _pairs(self, text: str, known: set[str]) -> str:
        """A query or form: the values of those names that are a secret's."""
        return "&".join(self._pair(pair, known) for pair in text.split("&"))

    def _pair(self, pair: str, known: set[str]) -> str:
        name, equals, value = pair.partition("=")
        if equals and value and _is_secret(unquote_plus(name)):
            return f"{name}={self._masked(unquote_plus(value), known)}"
        return pair

    def _body(self, body: bytes, headers: RawHeaders, known: set[str]) -> bytes:
        text = body.decode("utf-8", "surrogateescape")
        if content_type(headers).startswith(_FORM):
            text = self._pairs(text, known)
        elif "\\u" not in text and not is_secret.__wrapped__(text):  # no secret's name is anywhere in it; not to be remembered
            return body
        else:
            try:
                orjson.loads(body)
            except orjson.JSONDecodeError:
                text = redacted_text(text, frozenset())
            else:
                text = "".join(self._json(text, known))
        return text.encode("utf-8", "surrogateescape")

    def _json(self, text: str, known: set[str]) -> Iterator[str]:
        """JSON, byte for byte as it was but for secrets: all that is anywhere in a member with a secret's name."""
        within: list[tuple[bool, bool]] = []  # for each bracket that is open: an object?, in a secret?
        named = secret = is_name = False
        position = 0
        for match in _TOKEN.finditer(text):
            yield text[position : match.start()]
            position, token = match.end(), match[0]
            if token in "{[":
                within.append((token == "{", secret))
                is_name = token == "{"
            elif token in "}]":
                within.pop()
            elif token == ",":
                is_name, secret = within[-1]
            elif token == ":":
                is_name, secret = False, secret or named
            elif token.startswith('"') and is_name:
                named = _is_secret(orjson.loads(token))
            elif secret:
                token = self._token(token, known)
            elif token.startswith('"'):
                token = redacted_text(token, frozenset())
            yield token
        yield text[position:]


def _sized(name: bytes, value: bytes, before: int, after: int) -> bytes:
    """The length of a body, if it was right, is so again."""
    return b"%d" % after if name == b"content-length" and value == b"%d" % before else value


def _is_secret(name: str) -> bool:
    return is_secret(name) and not _NO_SECRET.search(name)


def _hidden(value: bytes, secrets: frozenset[str]) -> bytes:
    if not secrets:
        return value
    return hide(value.decode("utf-8", "surrogateescape"), secrets).encode("utf-8", "surrogateescape")
