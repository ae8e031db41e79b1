"""The application: everything that a request passes, in one list.

Connexion's exception handling is not in it: `Edge` turns what is raised into the provider's answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from connexion import AsyncApp
from connexion.lifecycle import ConnexionRequest
from connexion.middleware.routing import RoutingMiddleware
from connexion.middleware.security import SecurityMiddleware
from connexion.resolver import Resolver
from connexion.security import AbstractSecurityHandler

from mock_server.call import Call, Provider
from mock_server.defects.stage import Stage
from mock_server.edge import CALL, Edge, Operations, note_operation
from mock_server.faults.playing import Playing
from mock_server.faults.striking import Striking
from mock_server.journal import Journal
from mock_server.scenarios.counting import CallCounter
from mock_server.stopping import Stopping
from mock_server.world import Worlds


def build_app(
    providers: Sequence[Provider],
    stage: Stage,
    worlds: Worlds,
    journal: Journal,
    calls: CallCounter,
    striking: Striking,
    playing: Playing,
    stopping: Stopping,
) -> AsyncApp:
    """One application that serves all providers; the last one answers for paths that nobody owns."""
    app = AsyncApp(
        "mock_server",
        middlewares=[
            partial(
                Edge,
                providers=providers,
                stage=stage,
                worlds=worlds,
                journal=journal,
                calls=calls,
                striking=striking,
                playing=playing,
                stopping=stopping,
            ),
            RoutingMiddleware,
            SecurityMiddleware,
            Operations,
        ],
    )
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
