"""The application: everything that a request passes, in one list."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from connexion import AsyncApp
from connexion.lifecycle import ConnexionRequest, ConnexionResponse
from connexion.middleware.exceptions import ExceptionMiddleware
from connexion.middleware.routing import RoutingMiddleware
from connexion.middleware.security import SecurityMiddleware
from connexion.resolver import Resolver
from connexion.security import AbstractSecurityHandler
from starlette.exceptions import HTTPException

from mock_server.call import Call, Provider, Refused
from mock_server.edge import CALL, Edge, Operations, note_operation, unrouted

log = logging.getLogger("walletproof")


def build_app(providers: Sequence[Provider]) -> AsyncApp:
    """One application that serves all providers; the last one answers for paths that nobody owns."""
    app = AsyncApp(
        "mock_server",
        middlewares=[
            partial(Edge, providers=providers),
            ExceptionMiddleware,
            RoutingMiddleware,
            SecurityMiddleware,
            Operations,
        ],
    )
    app.add_error_handler(Refused, _on_refused)
    app.add_error_handler(HTTPException, _on_http_exception)
    app.add_error_handler(Exception, _on_failure)
    app.add_api(
        _routing_view(providers),
        base_path="",
        resolver=_Handlers(providers),
        security_map={"apiKey": _Security, "bearer": _Security},
        providers=providers,
    )
    return app


def _routing_view(providers: Sequence[Provider]) -> dict[str, Any]:
    """One document for Connexion: of three APIs with one base path it would lose one, and of two whose paths nest as well."""
    views = [provider.contract.routing_view() for provider in providers]
    paths: dict[str, Any] = {}
    schemes: dict[str, Any] = {}
    for view in reversed(views):  # routes are tried in order: first the provider with the most
        for path, item in view["paths"].items():
            paths.setdefault(path, {}).update(item)
        schemes |= view["components"]["securitySchemes"]
    return {**views[0], "paths": paths, "components": {"securitySchemes": schemes}}


class _Handlers(Resolver):
    """Connexion's way from operationId to function."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        super().__init__()
        self._providers = {provider.name: provider for provider in providers}

    def resolve_function_from_operation_id(self, operation_id: str) -> Any:
        provider, _, operation = operation_id.partition("/")
        return self._providers[provider].handlers[operation]


class _Security(AbstractSecurityHandler):
    """Connexion calls it for each scheme of an operation; the provider judges the whole request."""

    def get_fn(self, security_scheme: Any, required_scopes: Any) -> Any:
        return _authenticate


def _authenticate(request: ConnexionRequest) -> dict[str, str]:
    scope = request.scope
    call: Call = scope[CALL]
    note_operation(call, scope)
    call.provider.authenticate(call)
    return {}


# Connexion demands a response of its error handlers; ours is in `call.answer`, this one goes nowhere.
_NOWHERE = ConnexionResponse(status_code=500, body=b"")


async def _on_refused(request: ConnexionRequest, exc: Refused) -> ConnexionResponse:
    _call(request).answer = exc.answer
    return _NOWHERE


async def _on_http_exception(request: ConnexionRequest, exc: HTTPException) -> ConnexionResponse:
    call = _call(request)
    if exc.status_code in (404, 405):
        call.answer = unrouted(call)
    else:
        log.error("%s %r: %r", call.request.method, call.request.path, exc)
        call.answer = call.provider.failure(call)
    return _NOWHERE


async def _on_failure(request: ConnexionRequest, exc: Exception) -> ConnexionResponse:
    call = _call(request)
    log.error("%s %r failed", call.request.method, call.request.path, exc_info=exc)
    call.answer = call.provider.failure(call)
    return _NOWHERE


def _call(request: ConnexionRequest) -> Call:
    call: Call = request.scope[CALL]
    return call
