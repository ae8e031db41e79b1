"""Where no operation is reached: other paths, other methods, other slashes, other versions."""

from __future__ import annotations

from urllib.parse import urlsplit

from contract_tests.identity import Identity
from contract_tests.probes.polar.asking import WALLETS, answered, nobodys, shown
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.observation import Observation
from contract_tests.rules.rule import Rule

_NO_ROUTE = {"detail": "Not Found"}
_NO_METHOD = {"detail": "Method Not Allowed"}

NO_ROUTE = Rule(
    "errors.no-route",
    'What is not there answers 404 {"detail": "Not Found"}: unknown paths, another case, and what customers cannot do.',
    "server/polar/exception_handlers.py:16-32; seen on the wire",
    "paths beside those of the document",
    "",
    ("polar",),
)

WRONG_METHOD = Rule(
    "errors.wrong-method",
    'Any method but GET answers 405 {"detail": "Method Not Allowed"}.',
    "server/polar/customer_portal/endpoints/wallet.py:28-67; seen on the wire",
    "both paths",
    "HEAD has no body; OPTIONS as a CORS preflight is answered",
    ("polar",),
)

SLASH_PUT_RIGHT = Rule(
    "errors.slash-put-right",
    "The list without its slash, and a wallet with one, redirect with 307 to the right path and keep the query.",
    "server/polar/app.py:213; seen on the wire",
    "both paths, with and without a token",
    "",
    ("polar",),
)

UNKNOWN_VERSION = Rule(
    "errors.unknown-version",
    'An unknown Polar-Version answers 404 {"detail": "Not Found"}, on every path.',
    "server/polar/kit/versioning.py:155-176",
    "both operations",
    "",
    ("polar",),
)


@probe("polar", NO_ROUTE)
def no_routes(stage: Stage) -> None:
    """Near the paths that exist."""
    nobody = nobodys(stage.random)
    for path in (
        "/v1/customer-portal/walletz/",
        "/v1/customer-portal/Wallets/",
        f"/v1/customer-portal/wallets/{nobody}/transactions",
        f"/v1/customer-portal/wallets/{nobody}/top-up",
    ):
        _judge(stage, NO_ROUTE, path, _send(stage, "GET", path), 404, _NO_ROUTE)


@probe("polar", NO_ROUTE, needs=["write"])
def no_top_up(stage: Stage) -> None:
    """Merchants can top up, customers cannot."""
    path = f"{WALLETS}{nobodys(stage.random)}/top-up"
    _judge(stage, NO_ROUTE, f"POST {path}", _send(stage, "POST", path), 404, _NO_ROUTE)


@probe("polar", WRONG_METHOD)
def reading_methods(stage: Stage) -> None:
    """The two that change nothing."""
    for path in (WALLETS, WALLETS + nobodys(stage.random)):
        for method in ("HEAD", "OPTIONS"):
            _judge_method(stage, method, path)


@probe("polar", WRONG_METHOD, needs=["write"])
def writing_methods(stage: Stage) -> None:
    """Sent to the list, and to a wallet that does not exist: nothing can come of it."""
    for path in (WALLETS, WALLETS + nobodys(stage.random)):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            _judge_method(stage, method, path)


def _judge_method(stage: Stage, method: str, path: str) -> None:
    seen = _send(stage, method, path)
    _judge(stage, WRONG_METHOD, f"{method} {path}", seen, 405, None if method == "HEAD" else _NO_METHOD)


@probe("polar", SLASH_PUT_RIGHT)
def slashes(stage: Stage) -> None:
    """Routes are found before anybody asks for a token."""
    wallet = WALLETS + nobodys(stage.random)
    for identity in (None, Identity("none")):
        for path, right, query in (
            (WALLETS.rstrip("/"), WALLETS, ""),
            (WALLETS.rstrip("/"), WALLETS, "page=2&limit=3"),
            (wallet + "/", wallet, ""),
        ):
            pairs = [(name, value) for name, _, value in (part.partition("=") for part in query.split("&")) if name]
            seen = answered(stage, stage.send("GET", path, query=pairs, identity=identity))
            location = _split(seen.header(b"location"))
            stage.judge(
                SLASH_PUT_RIGHT,
                seen.status == 307 and location[0].endswith(right) and location[1] == query,
                f"{path} does not lead to {right}",
                seen,
                pointer="header Location",
                expected=f"307 to {right}{'?' if query else ''}{query}",
                got=f"{seen.status} to {seen.header(b'location')}",
            )


def _split(location: str | None) -> tuple[str, str]:
    """Path and query of a Location."""
    try:
        parts = urlsplit(location or "")
    except ValueError:
        return "", ""
    return parts.path, parts.query


@probe("polar", UNKNOWN_VERSION)
def unknown_versions(stage: Stage) -> None:
    """A year too early, a word, and a version that only SDKs know so far."""
    wallet = WALLETS + (stage.subject.wallets or [nobodys(stage.random)])[0]
    for path in (WALLETS, wallet):
        for version in ("1999-01", "latest", "2026-4"):
            seen = answered(stage, stage.send("GET", path, headers=[("Polar-Version", version)]))
            _judge(stage, UNKNOWN_VERSION, f"Polar-Version {version}", seen, 404, _NO_ROUTE)


def _send(stage: Stage, method: str, path: str) -> Observation:
    return answered(stage, stage.send(method, path))


def _judge(stage: Stage, rule: Rule, what: str, seen: Observation, status: int, body: object) -> None:
    """Status and body; the body does not matter where it is None."""
    stage.judge(
        rule,
        seen.status == status and (body is None or seen.body == body),
        f"{what}: not {status} {body or ''}".rstrip(),
        seen,
        expected=f"{status} {body or ''}",
        got=shown(seen),
    )
