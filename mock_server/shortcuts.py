"""Connexion's routing and authentication, with a short way for what is plain.

Connexion has Starlette try one route after the other, and copies the scope on the way; for authentication it makes two request
objects and walks through the schemes. Here the same routes are one pattern per method, and where every scheme is the
provider's, the provider is asked at once. Whatever is not plain goes Connexion's own way: no route, the wrong method, a slash
too many, credentials that may be left out, schemes of other kinds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from mock_server.connexion_parts import (
    ROUTING_CONTEXT,
    AbstractSecurityHandler,
    ConnexionRequest,
    RoutingMiddleware,
    SecurityMiddleware,
)

Authenticate = Callable[[Scope], None]
"""Lets the request of a scope pass, or raises."""


class Routing(RoutingMiddleware):
    """Notes in the scope which operation a request reaches, and the values in its path."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._tables: dict[str, _Table] = {}

    def add_api(self, specification: Any, **options: Any) -> None:
        """Have Connexion make the routes, and make tables of them."""
        super().add_api(specification, **options)
        routes = self.router.routes[-1].app.routes
        for method in {method for route in routes for method in route.methods}:
            self._tables[method] = _Table([route for route in routes if method in route.methods])

    # Neither class has coroutines of its own around the next one: each would take its time.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        table = self._tables.get(scope["method"]) if scope["type"] == "http" and not scope.get("root_path") else None
        found = table.find(scope["path"]) if table is not None else None
        if found is None:
            return super().__call__(scope, receive, send)
        operation_id, scope["path_params"] = found
        scope.setdefault("extensions", {})[ROUTING_CONTEXT] = {"api_base_path": "", "operation_id": operation_id}
        return self.app(scope, receive, send)


class _Table:
    """The routes of one method, of which the first that matches counts, as with Starlette. Values in paths are all text."""

    def __init__(self, routes: Sequence[Any]) -> None:
        patterns = []
        for number, route in enumerate(routes):
            pattern = re.sub(r"\(\?P<\w+>", "(", route.path_regex.pattern)
            patterns.append(f"(?P<r{number}>{pattern})")
        self._pattern = re.compile("|".join(patterns))
        self._operations: dict[str | None, tuple[str, list[tuple[str, int]]]] = {}
        for number, route in enumerate(routes):
            before = self._pattern.groupindex[f"r{number}"]
            values = [(name, before + group) for name, group in route.path_regex.groupindex.items()]
            self._operations[f"r{number}"] = (route.endpoint.operation_id, values)

    def find(self, path: str) -> tuple[str, Mapping[str, str]] | None:
        """The id of the operation at a path, with the values in the path by name; None if there is none."""
        match = self._pattern.match(path)
        if match is None:
            return None
        operation_id, values = self._operations[match.lastgroup]
        return operation_id, {name: match[group] for name, group in values}


class Security(SecurityMiddleware):
    """Asks the provider whether a request may pass."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate) -> None:
        super().__init__(app)
        self._authenticate = authenticate
        self._plain: set[str] = set()

    def add_api(self, specification: Any, **options: Any) -> Any:
        """Have Connexion make its operations, and note those whose credentials are all for the provider to judge."""
        authenticate = self._authenticate

        class Handler(AbstractSecurityHandler):
            """Connexion calls it for each scheme of an operation; the provider judges the whole request."""

            def get_fn(self, security_scheme: Any, required_scopes: Any) -> Any:
                def verify(request: ConnexionRequest) -> dict[str, str]:
                    authenticate(request.scope)
                    return {}

                return verify

        api = super().add_api(specification, **options | {"security_map": {"apiKey": Handler, "bearer": Handler}})
        self._plain |= {operation_id for operation_id, operation in api.operations.items() if _is_plain(operation)}
        return api

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] == "http" and scope["extensions"][ROUTING_CONTEXT]["operation_id"] in self._plain:
            self._authenticate(scope)
            return self.app(scope, receive, send)
        return super().__call__(scope, receive, send)


def _is_plain(operation: Any) -> bool:
    """Whether an operation asks for credentials, and any of its schemes would have the provider judge the request."""
    return bool(operation.security) and all(
        requirement and all(_is_ours(operation.security_schemes[name]) for name in requirement)
        for requirement in operation.security
    )


def _is_ours(scheme: Mapping[str, Any]) -> bool:
    if scheme["type"] == "http":
        return str(scheme["scheme"]).lower() == "bearer"
    return scheme["type"] == "apiKey" and "x-authentication-scheme" not in scheme
