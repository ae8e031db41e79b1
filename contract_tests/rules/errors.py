"""Rules about errors and about JSON: what is sent can be read, says the same twice, and gives nothing away."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import orjson

from contract_tests.exchange import Request
from contract_tests.rules.observation import NO_JSON, Observation
from contract_tests.rules.rule import Problem, Rule, exchange_rule

STRICT_JSON = Rule(
    "errors.strict-json",
    "What is declared as JSON is one whole JSON text in UTF-8: no NaN, no second value, no member twice, no byte order mark.",
    "RFC 8259 sections 2, 4 and 8.1",
    "every answer with a JSON content type",
)

STATUS_AGREES = Rule(
    "errors.status-agrees",
    "`http_status_code` in an error body is the status that was sent.",
    "I21; internal/errors/dto.go",
    "error bodies with that member",
    providers=("flexprice",),
)

CODE_FITS_STATUS = Rule(
    "errors.code-fits-status",
    "The error's `code` is one that goes with the status.",
    "I21; internal/errors/errors.go:54-68",
    "error bodies with that member",
    "413 and 415, for which there is no code",
    providers=("flexprice",),
)

ERROR_SHAPE = Rule(
    "errors.shape",
    "An error has exactly the provider's shape for it; what a client tells cases apart by is there.",
    "Flexprice internal/errors/dto.go:4-9 and internal/rest/middleware; Polar server/polar/exception_handlers.py:16-32",
    "every answer with a status of 400 or more",
    "plain-text 404 for paths and methods that do not exist (Flexprice), statuses that gateways send (413, 429, 502, 503, 504)",
)

NO_INTERNALS = Rule(
    "errors.no-internals",
    "No answer shows stack traces, source files, SQL or paths of the server.",
    "OWASP API Security, API8 (improper error handling)",
    "every answer with a status of 400 or more",
    "text that the request itself contained",
)

NO_SECRETS = Rule(
    "errors.no-secrets",
    "No answer repeats the credentials that a request was sent with.",
    "OWASP API Security, API8",
    "every answer",
)

_MOST_TEXT = 100_000
_BESIDE = 60  # characters
_SECRET = 12  # shorter ones are words, which may stand in an answer by chance

_STATUS_OF_CODE = {
    "validation_error": 400,
    "invalid_operation": 400,
    "permission_denied": 403,
    "not_found": 404,
    "already_exists": 409,
    "version_conflict": 409,
    "too_many_requests": 429,
    "http_client_error": 500,
    "database_error": 500,
    "system_error": 500,
    "internal_error": 500,
    "not_implemented": 501,
    "service_unavailable": 503,
}

_INTERNALS = re.compile(
    r"Traceback \(most recent call last\)"
    r"|goroutine \d+ \["
    r"|\bpanic: "
    r"|\b[\w./-]+\.(?:go|py|rb|php|java|kt|cs|ts):\d+"
    r"|\bat [\w$.<>]+\([\w$]+\.\w+:\d+\)"
    r"|File \"[^\"]+\", line \d+"
    r"|\bSQLSTATE\b|\bpq: |\bpsycopg\w*\.|\bsqlalchemy\.|\basyncpg\."
    r"|\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM) [\w\"*., ]+ (?:FROM|VALUES|SET|WHERE)\b"
    r"|(?<![\w.:/])/(?:usr|home|var|opt|app|srv|root)/[\w.-]+/",
)


@exchange_rule(STRICT_JSON)
def strict_json(seen: Observation) -> Iterator[Problem | None]:
    """Reads the body as strictly as the standard has it."""
    body = seen.response.body
    if not seen.is_json or not body:
        return
    if _plain(seen):
        yield None
        return
    if body.startswith(b"\xef\xbb\xbf"):
        yield Problem("the body begins with a byte order mark")
        return
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        yield Problem(f"the body is not UTF-8 at byte {error.start}")
        return
    try:
        json.loads(text, object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except _NotStrict as error:
        yield Problem(str(error))
    except ValueError as error:
        yield Problem(f"the body is not one whole JSON text: {error}")
    except RecursionError:
        yield Problem("the body is nested too deeply to be read")
    else:
        yield None


def _plain(seen: Observation) -> bool:
    """Whether a body is what a writer of strict JSON makes of its value: then it is strict, which is known in little time."""
    try:
        return seen.body is not NO_JSON and orjson.dumps(seen.body) == seen.response.body
    except TypeError:  # nested too deeply to be written
        return False


class _NotStrict(Exception):
    """JSON that readers disagree about."""


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise _NotStrict(f"the member {twin!r} is there twice")
    return result


def _no_constant(name: str) -> Any:
    raise _NotStrict(f"{name} is not JSON")


@exchange_rule(STATUS_AGREES)
def status_agrees(seen: Observation) -> Iterator[Problem | None]:
    """Compares the two."""
    if seen.status >= 400 and isinstance(seen.body, dict) and "http_status_code" in seen.body:
        said = seen.body["http_status_code"]
        if said == seen.status and isinstance(said, int):
            yield None
        else:
            yield Problem("http_status_code is not the status", "/http_status_code", seen.status, said)


@exchange_rule(CODE_FITS_STATUS)
def code_fits_status(seen: Observation) -> Iterator[Problem | None]:
    """Looks the code up."""
    if seen.status < 400 or seen.status in (413, 415) or not isinstance(seen.body, dict):
        return
    code = seen.body.get("code")
    if isinstance(code, str) and code in _STATUS_OF_CODE:
        if _STATUS_OF_CODE[code] == seen.status:
            yield None
        else:
            yield Problem(f"code {code} goes with {_STATUS_OF_CODE[code]}", "/code", _STATUS_OF_CODE[code], seen.status)


@exchange_rule(ERROR_SHAPE)
def error_shape(seen: Observation) -> Iterator[Problem | None]:
    """The provider's shape; contract validation has the types already, here is what tells the cases apart."""
    if seen.status < 400 or seen.status in (413, 429, 502, 503, 504):
        return
    shape = {"flexprice": _flexprice_shape, "polar": _polar_shape}.get(seen.contract.error_format)
    if shape is None:
        return
    problem = shape(seen)
    yield None if problem is None else Problem(problem, "", None, seen.text[:_MOST_TEXT])


def _flexprice_shape(seen: Observation) -> str | None:
    if not seen.operation.id and seen.status in (404, 405):
        return None if seen.body is NO_JSON or isinstance(seen.body, dict) else "the error is not an object"
    if not isinstance(seen.body, dict):
        return "the error is not a JSON object"
    if seen.status == 401:
        if not isinstance(seen.body.get("error"), str) or "code" in seen.body:
            return "a 401 has `error` and no `code`"
        return None
    if seen.status == 403:
        return None if isinstance(seen.body.get("message"), str) else "a 403 has a `message`"
    missing = [name for name in ("code", "message", "http_status_code") if name not in seen.body]
    return f"the error has no {' and no '.join(missing)}" if missing else None


def _polar_shape(seen: Observation) -> str | None:
    if seen.status >= 500:
        return None
    if not isinstance(seen.body, dict):
        return None if seen.request.method == "HEAD" else "the error is not a JSON object"
    keys = set(seen.body)
    if seen.status == 401:
        if seen.header(b"www-authenticate") is None:
            return "a 401 has a WWW-Authenticate header"
        return (
            None
            if keys in ({"error", "detail"}, {"error", "error_description"})
            else "a 401 has `error` with `detail` or `error_description`"
        )
    if seen.status == 403:
        return None if {"error", "detail"} <= keys else "a 403 has `error` and `detail`"
    if seen.status == 404 and seen.operation.id:
        return None if {"error", "detail"} <= keys else "a wallet that is not found has `error` and `detail`"
    if seen.status == 405:
        return None if seen.header(b"allow") else "a 405 says in Allow what is allowed"
    if seen.status == 422:
        return None if isinstance(seen.body.get("detail"), list) and "error" in keys else "a 422 has `error` and a list `detail`"
    return None


@exchange_rule(NO_INTERNALS)
def no_internals(seen: Observation) -> Iterator[Problem | None]:
    """Looks for what only the server's own code can have put there."""
    if seen.status < 400:
        return
    text, said = seen.text[:100_000], _said(seen.request)
    match = next((found for found in _INTERNALS.finditer(text) if found[0] not in said), None)
    if match is None:
        yield None
    else:
        yield Problem("the error shows the server's insides", "", None, _around(text, match))


@exchange_rule(NO_SECRETS)
def no_secrets(seen: Observation) -> Iterator[Problem | None]:
    """Looks for the credentials of this request and of the run."""
    sent = [
        value.decode("latin-1").removeprefix("Bearer ")
        for name, value in seen.request.headers
        if name in (b"x-api-key", b"authorization")
    ]
    haystack = seen.text + "".join(value.decode("latin-1") for _, value in seen.response.headers)
    leaked = any(len(secret) >= _SECRET and secret in haystack for secret in (*sent, *seen.secrets))
    yield Problem("the answer repeats credentials") if leaked else None


def _around(text: str, match: re.Match[str]) -> str:
    """What was found with whole words beside it: half a word could not be told from others, or hidden as a secret."""
    start, end = max(0, match.start() - _BESIDE), match.end() + _BESIDE
    before, after = text[start : match.start()], text[match.end() : end]
    if start:
        before = re.sub(r"\A\S*", "", before)
    if end < len(text):
        after = re.sub(r"\S*\Z", "", after)
    return (before + match[0] + after).strip()


def _said(request: Request) -> str:
    path = request.path + unquote(request.path)
    return path + "".join(f"{name}={value}" for name, value in request.query) + request.body.decode("utf-8", "replace")
