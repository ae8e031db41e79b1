"""Without credentials, with wrong ones, with expired ones: refused, and told nothing."""

from __future__ import annotations

from collections.abc import Iterator

from contract_tests.identity import Identity, bearer
from contract_tests.probes.polar.asking import WALLETS, Query, answered, ask, judge_status, nobodys, page, read, shown, wallets
from contract_tests.probes.probe import WRONG_KEY, NotTested, Stage, probe
from contract_tests.rules.observation import Observation
from contract_tests.rules.polar_errors import REFUSAL_FITS
from contract_tests.rules.rule import Rule
from contract_tests.rules.shared import EXPIRED_REFUSED, MISSING_KEY_REFUSED, SAME_REFUSAL_FOR_ALL, WRONG_KEY_REFUSED

NOBODY = Identity("none")
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"

BEARER_ONLY = Rule(
    "auth.bearer-only",
    "A token counts as a bearer token and in no other scheme.",
    "server/polar/oauth2/exception_handlers.py:7-12; RFC 6750 section 2.1",
    "both operations, with a valid token in the wrong place",
    "",
    ("polar",),
    frozenset({"credential"}),
)

SCHEME_IN_ANY_CASE = Rule(
    "auth.scheme-in-any-case",
    "The word Bearer may be written in upper or lower case.",
    "RFC 9110 section 11.1; seen on the wire",
    "the list",
    "",
    ("polar",),
    frozenset({"credential"}),
)

INVALID_TOKEN_FIRST = Rule(
    "auth.invalid-token-first",
    "A token that is not valid is refused before the path is looked up, so that it learns of no path either.",
    "server/polar/auth/middlewares.py; seen on the wire",
    "unknown paths and redirects",
    "",
    ("polar",),
    frozenset({"credential"}),
)


@probe("polar", MISSING_KEY_REFUSED, WRONG_KEY_REFUSED, REFUSAL_FITS, needs=["credential"])
def strangers(stage: Stage) -> None:
    """Both operations, whatever is wrong with the request besides."""
    for identity in _strangers(stage):
        missing = identity is NOBODY
        for what, seen in _requests(stage, nobodys(stage.random), identity):
            if missing:
                judge_status(stage, MISSING_KEY_REFUSED, f"{what} without a token", seen, 401)
            else:
                judge_status(stage, WRONG_KEY_REFUSED, f"{what} with a wrong token", seen, 401)
            if missing and seen.status == 401:
                error = seen.body.get("error") if isinstance(seen.body, dict) else None
                problem = "the body is another than the one for no bearer token"
                stage.judge(
                    REFUSAL_FITS, error == "Unauthorized", problem, seen, pointer="/error", expected="Unauthorized", got=error
                )


@probe("polar", SAME_REFUSAL_FOR_ALL)
def refusals(stage: Stage) -> None:
    """A wallet that exists, one that does not, and no id at all: three times the same answer."""
    known = wallets(stage, 1)[0]
    for identity in _strangers(stage):
        first = read(stage, known, identity=identity)
        for what, seen in _requests(stage, nobodys(stage.random), identity):
            stage.judge(
                SAME_REFUSAL_FOR_ALL,
                _told(seen) == _told(first),
                f"{what} is refused in another way than a wallet that exists",
                first,
                seen,
                expected=shown(first),
                got=shown(seen),
            )


def _told(seen: Observation) -> tuple[int, bytes, str | None]:
    return seen.status, seen.response.body, seen.header(b"www-authenticate")


def _requests(stage: Stage, nobody: str, identity: Identity) -> Iterator[tuple[str, Observation]]:
    """An unknown id, a malformed one, lists right and wrong."""
    yield "an unknown wallet", read(stage, nobody, identity=identity)
    yield "a malformed id", read(stage, "not-an-id", identity=identity)
    queries: tuple[tuple[str, Query], ...] = (("the list", ()), ("a list of page 0", [("page", 0), ("sorting", "foo")]))
    for what, query in queries:
        yield what, ask(stage, query, identity)


def _strangers(stage: Stage) -> tuple[Identity, ...]:
    """Nobody, a key that is none at all, and one that looks right."""
    letters = "".join(stage.random.choice(_LETTERS) for _ in range(36))
    return NOBODY, bearer("wrong", WRONG_KEY), bearer("wrong", f"polar_cst_invalid{letters}")


@probe("polar", EXPIRED_REFUSED)
def expired(stage: Stage) -> None:
    """Never an answer, never 403. Which body a 401 has is read by a rule over single exchanges."""
    identity = stage.subject.identities["expired"]
    for what, seen in _requests(stage, nobodys(stage.random), identity):
        judge_status(stage, EXPIRED_REFUSED, f"{what} with an expired token", seen, 401)
    for wallet_id in stage.subject.wallets[:1]:
        judge_status(stage, EXPIRED_REFUSED, "a wallet with an expired token", read(stage, wallet_id, identity=identity), 401)


@probe("polar", BEARER_ONLY)
def other_schemes(stage: Stage) -> None:
    """The main identity's own token, which is valid where it belongs."""
    page(stage)
    token = _token(stage)
    for value in (f"Basic {token}", f"Token {token}", token, "Bearer", "Basic d2FsbGV0cHJvb2Y6aW52YWxpZA=="):
        identity = Identity("main", (("authorization", value),), stage.subject.identities["main"].variable)
        judge_status(stage, BEARER_ONLY, "a token in another scheme", ask(stage, identity=identity), 401)


@probe("polar", SCHEME_IN_ANY_CASE)
def scheme_in_any_case(stage: Stage) -> None:
    """Small and large."""
    page(stage)
    token = _token(stage)
    for scheme in ("bearer", "BEARER"):
        identity = Identity("main", (("authorization", f"{scheme} {token}"),), stage.subject.identities["main"].variable)
        judge_status(stage, SCHEME_IN_ANY_CASE, f"a valid token after {scheme}", ask(stage, identity=identity), 200)


@probe("polar", INVALID_TOKEN_FIRST)
def invalid_token_first(stage: Stage) -> None:
    """Where a valid token or none would get 404 or 307."""
    identity = bearer("wrong", WRONG_KEY)
    for path in ("/v1/customer-portal/walletz/", WALLETS.rstrip("/"), f"{WALLETS}{nobodys(stage.random)}/"):
        seen = answered(stage, stage.send("GET", path, identity=identity))
        judge_status(stage, INVALID_TOKEN_FIRST, f"an invalid token at {path}", seen, 401)


def _token(stage: Stage) -> str:
    """The main identity's bearer token."""
    for name, value in stage.subject.identities["main"].headers:
        scheme, _, token = value.partition(" ")
        if name.lower() == "authorization" and scheme.lower() == "bearer" and token:
            return token
    raise NotTested("needs a bearer token (--bearer)")
