"""The parts of Connexion that the mock is made of, imported without what only Connexion's clients need.

Connexion imports `requests` to fetch documents, `httpx` to ask others about tokens, and Starlette's test client: an eighth of
a start and 12 MiB for what this server never calls. All of it still works; it is imported when it is used.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands in for a module that is imported when something of it is first used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _test_client(*arguments: Any, **options: Any) -> Any:
    """Stands in for Starlette's `TestClient`, which Connexion only ever calls."""
    from starlette.testclient import TestClient

    return TestClient(*arguments, **options)


@contextmanager
def _without_clients() -> Iterator[None]:
    """Imports within are given stand-ins; who imports these modules afterwards is given the real ones."""
    later = {name: _Later(name) for name in ("httpx", "requests", "starlette.testclient") if name not in sys.modules}
    if "starlette.testclient" in later:
        later["starlette.testclient"].__dict__["TestClient"] = _test_client
    sys.modules.update(later)
    try:
        yield
    finally:
        for name in later:
            del sys.modules[name]


with _without_clients():
    from connexion import AsyncApp
    from connexion.lifecycle import ConnexionRequest
    from connexion.middleware.abstract import ROUTING_CONTEXT, SpecMiddleware
    from connexion.middleware.routing import RoutingMiddleware
    from connexion.middleware.security import SecurityMiddleware
    from connexion.resolver import Resolver
    from connexion.security import AbstractSecurityHandler

__all__ = [
    "ROUTING_CONTEXT",
    "AbstractSecurityHandler",
    "AsyncApp",
    "ConnexionRequest",
    "Resolver",
    "RoutingMiddleware",
    "SecurityMiddleware",
    "SpecMiddleware",
]
