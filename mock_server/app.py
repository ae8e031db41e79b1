"""The application: everything that a request passes, in one list.

Connexion's exception handling is not in it: `Edge` turns what is raised into the provider's answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from starlette.types import Scope

from mock_server.call import Call, Provider
from mock_server.connexion_parts import AsyncApp, Resolver
from mock_server.defects.stage import Stage
from mock_server.edge import CALL, Edge, Operations, note_operation
from mock_server.faults.playing import Playing
from mock_server.faults.striking import Striking
from mock_server.journal import Journal
from mock_server.scenarios.counting import CallCounter
from mock_server.shortcuts import Routing, Security
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
            Routing,
            partial(Security, authenticate=_authenticate),
            Operations,
        ],
    )
    app.add_api(
        _routing_view(providers),
        base_path="",
        resolver=_Handlers(providers),
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


def _authenticate(scope: Scope) -> None:
    call: Call = scope[CALL]
    note_operation(call, scope)
    call.provider.authenticate(call)
