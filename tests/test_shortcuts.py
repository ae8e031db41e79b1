"""The short ways through Connexion lead where Connexion's own ways lead."""

import asyncio
import re
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from contract_tests.contract import Contract
from mock_server.connexion_parts import ROUTING_CONTEXT, AsyncApp, RoutingMiddleware, SpecMiddleware
from mock_server.shortcuts import Routing, Security

OPENAPI = Path(__file__).parent.parent / "openapi"
VALUES = ["wallet_1", "a.b", "é", "%2F", "search", "wallets", "x y", "transactions"]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"]


class Reached(SpecMiddleware):
    """The innermost layer: notes what the others noted."""

    def __init__(self, app: Any) -> None:
        self.scopes: list[dict[str, Any]] = []

    def add_api(self, specification: Any, **options: Any) -> None:
        """Nothing to learn."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)


def view(*names: str) -> dict[str, Any]:
    """The routing view of shipped contracts, as if of one."""
    views = [Contract.load(name, *(OPENAPI / f"{name}{kind}.yaml" for kind in ("", ".overlay"))).routing_view() for name in names]
    whole = views[0]
    for other in views[1:]:
        whole["paths"] |= other["paths"]
        whole["components"]["securitySchemes"] |= other["components"]["securitySchemes"]
    return whole


def ask(app: AsyncApp, method: str, path: str) -> Any:
    """What a request reaches: operation and values, an answer of the router's own, or an exception's status."""
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
    started: list[Any] = []

    async def send(message: Any) -> None:
        started.append((message.get("status"), dict(message.get("headers", ())).get(b"location")))

    async def go() -> None:
        await app(scope | {"scheme": "http", "server": ("localhost", 80), "root_path": ""}, None, send)  # type: ignore[arg-type]

    try:
        asyncio.run(go())
    except HTTPException as error:
        return error.status_code
    scopes = reached(app).scopes
    if not scopes:
        return started
    scope = scopes.pop()
    return scope["extensions"][ROUTING_CONTEXT]["operation_id"], scope.get("path_params", {})


def reached(app: AsyncApp) -> Reached:
    """The innermost layer of an application."""
    return next(layer for layer in app.middleware.middleware_stack if isinstance(layer, Reached))


def application(document: dict[str, Any], *layers: Any) -> AsyncApp:
    """Layers around one that notes what comes through."""
    app = AsyncApp("mock_server", middlewares=[*layers, Reached])
    app.add_api(document, base_path="", resolver=lambda name: ask)
    return app


def test_routing_finds_what_connexion_finds() -> None:
    """A route that came first by mistake, a value under another's name, a path that is none: all would differ here."""
    document = view("flexprice", "polar")
    ours, theirs = application(document, Routing), application(document, RoutingMiddleware)
    paths = ["/", "", "//", "/v1", "/v1/wallets/", "/v1//wallets", "/v1/wallets/a\n", "/V1/wallets", "/v1/x/y"]
    values = cycle(VALUES)
    for pattern in document["paths"]:
        filled = re.sub(r"\{[^}]+\}", lambda _: next(values), pattern)
        paths += [filled, f"{filled}/", f"{filled}/more", f"{filled}\n"]

    asked = [(method, path) for path in paths for method in METHODS]
    answers = [ask(ours, *one) for one in asked]

    assert answers == [ask(theirs, *one) for one in asked]
    assert {answer[0] for answer in answers if isinstance(answer, tuple) and answer[0]} == {
        operation["operationId"] for item in document["paths"].values() for operation in item.values()
    }


def test_a_path_below_another_root_is_left_to_connexion() -> None:
    """What is routed is the rest of the path, where the server says that a part of it is not the application's."""
    app = application(view("flexprice"), Routing)
    found = []
    for path in ("/v1/v1/wallets/w", "/v1/wallets/w"):
        scope = {"type": "http", "method": "GET", "path": path, "root_path": "/v1", "headers": [], "query_string": b""}
        asyncio.run(app(scope, None, None))  # type: ignore[arg-type]
        found.append(reached(app).scopes.pop()["extensions"][ROUTING_CONTEXT]["operation_id"])

    assert found == ["flexprice/getWallet", None]


SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": "x-key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}


class Unwelcome(Exception):
    """The provider does not know who asks."""


@pytest.mark.parametrize(
    ("security", "asked", "passes"),
    [
        ([{"key": []}], True, False),
        ([{"bearer": []}], True, False),
        ([{"key": [], "bearer": []}], True, False),
        ([{"key": []}, {"bearer": []}], True, False),
        ([], False, True),
        ([{}], False, True),
        ([{"key": []}, {}], True, True),
    ],
)
def test_the_provider_is_asked_unless_credentials_may_be_left_out(
    security: list[dict[str, list[str]]], asked: bool, passes: bool
) -> None:
    """An operation that asks for credentials never runs without them, and one that does not is open."""
    calls = []

    def refuse(scope: Any) -> None:
        calls.append(scope)
        raise Unwelcome

    operation = {"operationId": "it", "responses": {"default": {"description": ""}}, "security": security}
    document = {
        "openapi": "3.0.3",
        "info": {"title": "it", "version": "1"},
        "paths": {"/it": {"get": operation}},
        "components": {"securitySchemes": SCHEMES},
    }

    def guarded(app: Any) -> Security:
        return Security(app, refuse)

    app = application(document, Routing, guarded)
    try:
        outcome = ask(app, "GET", "/it")
    except Unwelcome:
        outcome = None

    assert (bool(calls), outcome is not None) == (asked, passes)
