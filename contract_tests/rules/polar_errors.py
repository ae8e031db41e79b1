"""Rules over single Polar exchanges that were refused: which body goes with which mistake.

Texts for people (`msg`) depend on libraries and are not judged; `type` and `loc` are what clients tell mistakes apart by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from contract_tests.rules.observation import Observation
from contract_tests.rules.polar_reading import GET, complaints, member
from contract_tests.rules.rule import Problem, Rule, exchange_rule
from contract_tests.rules.shared import INVALID_REFUSED

ONLY = ("polar",)

_HANDLERS = "server/polar/exception_handlers.py:16-32"

REFUSAL_FITS = Rule(
    "auth.refusal-fits",
    "A bearer token that is not valid gets OAuth's `invalid_token`; no bearer token at all gets `Unauthorized`.",
    f"{_HANDLERS}, server/polar/oauth2/exception_handlers.py:7-12; P15",
    "every 401",
    "tokens of organizations and the like, which may be valid without being a customer's; recordings without credentials",
    ONLY,
)

BEARER_CHALLENGE = Rule(
    "auth.bearer-challenge",
    "WWW-Authenticate asks for a bearer token, and says so if the one sent is not valid.",
    "server/polar/oauth2/exception_handlers.py:7-12; RFC 6750 section 3",
    "every 401 with that header",
    "what else the header says",
    ONLY,
)

NOT_FOUND_BODY = Rule(
    "errors.not-found-body",
    'A wallet that is not found has the body {"error": "ResourceNotFound", "detail": "Not found"}, whatever the reason.',
    "server/polar/exceptions.py:88-113; P8",
    "every 404 of a wallet",
    "",
    ONLY,
)

ALLOW_NAMES_GET = Rule(
    "errors.allow-names-get",
    "A 405 says in Allow that GET is the one method there is.",
    "RFC 9110 section 15.5.6; server/polar/customer_portal/endpoints/wallet.py:28-67",
    "every 405 on a path of wallets",
    "",
    ONLY,
)

ENTRY_SHAPE = Rule(
    "errors.entry-shape",
    "A 422 has `error` and `detail` and nothing else; an entry has type, loc, msg, input, perhaps ctx, and nothing else.",
    f"{_HANDLERS}, server/polar/exceptions.py:88-113",
    "every 422",
    "",
    ONLY,
)

EVERY_MISTAKE_NAMED = Rule(
    "errors.every-mistake-named",
    "A 422 names every bad parameter once, in the order page, limit, sorting, each with its type, place and input.",
    f"{_HANDLERS}; server/polar/kit/pagination.py:108-119, server/polar/kit/sorting.py:20-82",
    "every 422 to a request with a mistake",
    "spellings that servers may read one way or another; the input where the text is not printable",
    ONLY,
)

VALID_ACCEPTED = Rule(
    "errors.valid-accepted",
    "Parameters that keep the rules are not refused with 422.",
    "server/polar/kit/pagination.py:108-119, server/polar/kit/sorting.py:20-82; P4, P7",
    "every answer to a request without a mistake",
    "complaints about headers",
    ONLY,
)

# These begin every token of a customer or of a member of one; `invalid` begins no token at all.
_CUSTOMERS_TOKENS = ("polar_cst_", "polar_mst_", "invalid")
_NOT_FOUND = {"error": "ResourceNotFound", "detail": "Not found"}
_WALLETS_PATH = re.compile(r"(/api)?/v1/customer-portal/wallets/[^/]*")


@exchange_rule(REFUSAL_FITS)
def refusal_fits(seen: Observation) -> Iterator[Problem | None]:
    """Looks at the credentials that were sent."""
    case = _credentials(seen)
    if seen.status != 401 or case is None or not isinstance(seen.body, dict):
        return
    expected = "Unauthorized" if case == "none" else "invalid_token"
    if seen.body.get("error") == expected:
        yield None
    else:
        yield Problem(f"the body is another than the one for {_CASES[case]}", "/error", expected, seen.body.get("error"))


@exchange_rule(BEARER_CHALLENGE)
def bearer_challenge(seen: Observation) -> Iterator[Problem | None]:
    """Looks for the scheme, and for the error where a token was sent."""
    challenge, case = seen.header(b"www-authenticate"), _credentials(seen)
    if seen.status != 401 or challenge is None:
        return
    if not re.match(r"bearer\b", challenge, re.IGNORECASE):
        yield Problem("not a challenge for a bearer token", "header WWW-Authenticate", "Bearer ...", challenge)
    elif case == "token" and "invalid_token" not in challenge:
        yield Problem("does not say that the token is not valid", "header WWW-Authenticate", 'error="invalid_token"', challenge)
    else:
        yield None


@exchange_rule(NOT_FOUND_BODY)
def not_found_body(seen: Observation) -> Iterator[Problem | None]:
    """Compares."""
    if seen.operation.id == GET and seen.status == 404 and isinstance(seen.body, dict):
        yield None if seen.body == _NOT_FOUND else Problem("not the body of every 404", "", _NOT_FOUND, seen.body)


@exchange_rule(ALLOW_NAMES_GET)
def allow_names_get(seen: Observation) -> Iterator[Problem | None]:
    """Compares."""
    allow = seen.header(b"allow")
    if seen.status == 405 and allow is not None and _WALLETS_PATH.fullmatch(seen.request.path):
        yield None if allow.strip().upper() == "GET" else Problem("Allow is not GET", "header Allow", "GET", allow)


@exchange_rule(ENTRY_SHAPE)
def entry_shape(seen: Observation) -> Iterator[Problem | None]:
    """Looks at members; their types are the contract's business."""
    if seen.status != 422 or not isinstance(seen.body, dict):
        return
    entries = seen.body.get("detail")
    if set(seen.body) != {"error", "detail"}:
        yield Problem("the error has not exactly `error` and `detail`", "", ["error", "detail"], sorted(seen.body))
    elif entries == []:
        yield Problem("the error names nothing that is wrong", "/detail", "at least one entry", [])
    else:
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, dict):
                yield _entry_problem(f"/detail/{index}", entry)


def _entry_problem(at: str, entry: dict[str, Any]) -> Problem | None:
    more = sorted(set(entry) - {"type", "loc", "msg", "input", "ctx"})
    if more:
        return Problem("the entry has more than type, loc, msg, input and ctx", at, None, more)
    loc = entry.get("loc")
    if isinstance(loc, list) and (len(loc) < 2 or loc[0] not in ("query", "path", "header", "body")):
        return Problem("loc is not where a value can come from", f"{at}/loc", ["query", "page"], loc)
    return None


@exchange_rule(EVERY_MISTAKE_NAMED)
def every_mistake_named(seen: Observation) -> Iterator[Problem | None]:
    """Compares the entries with the mistakes in the request."""
    expected = complaints(seen)
    entries = member(seen.body, "detail")
    if seen.status != 422 or not expected or not isinstance(entries, list) or _about_headers(entries):
        return
    wanted = [[entry.type, list(entry.loc)] for entry in expected]
    named = [[member(entry, "type"), member(entry, "loc")] for entry in entries]
    if named != wanted:
        yield Problem("the complaints are not the mistakes that the request has", "/detail", wanted, named)
        return
    for index, (entry, mistake) in enumerate(zip(entries, expected, strict=True)):
        if not mistake.input.isprintable() or "�" in mistake.input or member(entry, "input") == mistake.input:
            yield None
        else:
            yield Problem("not the value that was sent", f"/detail/{index}/input", mistake.input, member(entry, "input"))


@exchange_rule(INVALID_REFUSED)
def invalid_refused(seen: Observation) -> Iterator[Problem | None]:
    """A mistake is never answered as if there were none. Refusals that come earlier (401, 403, 429) say nothing of it."""
    mistakes = complaints(seen)
    if not mistakes:
        return
    if 200 <= seen.status < 300:
        mistake = mistakes[0]
        place = f"{mistake.loc[0]} {mistake.loc[1]}"
        yield Problem(f"accepted although it is {mistake.type}", place, 422, mistake.input[:200])
    elif seen.status == 422:
        yield None


@exchange_rule(VALID_ACCEPTED)
def valid_accepted(seen: Observation) -> Iterator[Problem | None]:
    """The other way round."""
    if complaints(seen) != []:
        return
    entries = member(seen.body, "detail")
    if seen.status == 422 and not (isinstance(entries, list) and _about_headers(entries)):
        place = (
            seen.request.path_params.get("id", "") if seen.operation.id == GET else seen.request.query_string.decode("latin-1")
        )
        yield Problem("refused although nothing is wrong", "", place, seen.text)
    elif seen.ok or (seen.operation.id == GET and seen.status == 404):
        yield None


_CASES = {"none": "no bearer token", "token": "a bearer token that is not valid"}


def _credentials(seen: Observation) -> str | None:
    """`none`: no bearer token; `token`: one that looks like a customer's. None if nobody can say."""
    header = seen.request.header.get(b"authorization")
    if header is None:
        return None
    scheme, _, token = header.decode("latin-1").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return "none"
    return (
        "token" if re.fullmatch(r"\w+[\w-]*", token.strip(), re.ASCII) and token.strip().startswith(_CUSTOMERS_TOKENS) else None
    )


def _about_headers(entries: list[Any]) -> bool:
    places = [member(entry, "loc") for entry in entries]
    return any(isinstance(place, list) and place[:1] == ["header"] for place in places)
