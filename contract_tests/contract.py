"""A contract: one provider's document and overlay, loaded once, for every library that needs it.

Connexion routes a reduced 3.0 view (it reads nothing newer), openapi-core judges the whole of document plus
overlay, and people ask for operations by id. Nothing that routes is ever what validates.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from contract_tests import shipped
from contract_tests.exchange import Exchange, Request
from contract_tests.finding import Finding
from contract_tests.overlay import apply_overlay
from contract_tests.source import Pointer, Source, SourceError
from contract_tests.validation import Validator

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

_UNROUTED_PATH = "/x-unrouted"


@dataclass(frozen=True)
class Operation:
    """One operation. `path` is the whole path pattern, base path included; `method` is in upper case.

    `secured`: it may not be called without credentials.
    """

    id: str
    method: str
    path: str
    secured: bool
    key: tuple[str, str] = field(repr=False)  # (path as in the document, method as in the document)
    pattern: re.Pattern[str] = field(repr=False)


class Contract:
    """What a provider promises: `Contract.load(name, document, overlay, ...)`.

    `document` is the published one, `merged` has the overlays applied, in order. `base_path` comes from the first server.
    `error_format` names the shape of the provider's errors (the overlay's `x-error-format`). `unrouted` stands for
    requests that reach no operation; what may be answered there is the overlay's `x-unrouted`.
    """

    def __init__(self, name: str, document: dict[str, Any], merged: dict[str, Any]) -> None:
        self.name = name
        self.document = document
        self.merged = merged
        self.error_format: str = merged.get("x-error-format", name)
        self.base_path = _base_path(document)
        self.operations = {operation.id: operation for operation in self._operations()}
        unrouted = {"operationId": "unrouted", "responses": merged.get("x-unrouted", {}).get("responses", {}), "security": []}
        self.unrouted = Operation("", "GET", _UNROUTED_PATH, False, (_UNROUTED_PATH, "get"), re.compile("(?!)"))
        self._merged = Validator(self._served(merged, {_UNROUTED_PATH: {"get": unrouted}}))

    @classmethod
    def load(cls, name: str, document: Path, *overlays: Path) -> Contract:
        """Read, merge and check; raises SourceError with file, line and pointer for whatever is wrong.

        Files that are known to be good are not checked again: it is a fifth of a start.
        """
        source = Source(document)
        _check_version(source)
        if not overlays:
            if not shipped.is_known([source]):
                _check_document(source, source.data, "this document")
            return cls(name, source.data, source.data)
        try:
            merged = source.data
            sources = [source]
            for overlay in overlays:
                sources.append(Source(overlay))
                merged = apply_overlay(merged, sources[-1])
            if not shipped.is_known(sources):
                _check_document(source, merged, f"this document with {' and '.join(map(str, overlays))} applied")
        except SourceError:
            # Whose fault is it? Checking the document alone every time would double what a start pays for checking.
            _check_document(source, source.data, "this document")
            raise
        return cls(name, source.data, merged)

    def check_request(self, operation: Operation, request: Request) -> list[Finding]:
        """Everything in which `request` breaks the contract; empty if it keeps it."""
        if self._merged.request_ok(operation.key, request):
            return []
        return self._findings("request", operation, lambda validator: validator.request_errors(operation.key, request))

    def check_response(self, operation: Operation, exchange: Exchange) -> list[Finding]:
        """Everything in which the response of `exchange` breaks the contract; empty if it keeps it."""
        if self._merged.response_ok(operation.key, exchange.response):
            return []
        request, response = exchange.request, exchange.response
        return self._findings(
            "response", operation, lambda validator: validator.response_errors(operation.key, request, response)
        )

    def _findings(self, side: str, operation: Operation, judge: Callable[[Validator], list[Exception]]) -> list[Finding]:
        """What document and overlay complain of; what the document alone complains of too is of its level."""
        from contract_tests.complaints import findings

        found = list(findings(judge(self._merged), side, operation.id, "overlay"))
        path, method = operation.key
        if not found or method not in self.document["paths"].get(path, {}):
            return found
        published = {_where(f) for f in findings(judge(self._published), side, operation.id, "published")}
        return [replace(f, level="published") if _where(f) in published else f for f in found]

    def operation_at(self, method: str, path: str) -> Operation | None:
        """The operation that a method and a concrete path reach; None if none."""
        return next((o for o in self._by_specificity if o.method == method and o.pattern.fullmatch(path)), None)

    def methods_at(self, path: str) -> list[str]:
        """The methods that operations offer at a concrete path, e.g. for an `Allow` header."""
        return sorted({operation.method for operation in self.operations.values() if operation.pattern.fullmatch(path)})

    def routing_view(self) -> dict[str, Any]:
        """An OpenAPI 3.0 document with just what Connexion needs to route and authenticate.

        Names are prefixed with the contract's own, so that the views of several contracts can be merged.
        """
        paths: dict[str, Any] = {}
        schemes = self.merged.get("components", {}).get("securitySchemes", {})
        for operation in self._by_specificity:
            path, method = operation.key
            original = self.merged["paths"][path][method]
            names = re.findall(r"\{([^}]+)\}", path)
            paths.setdefault(operation.path, {})[method] = {
                "operationId": f"{self.name}/{operation.id}",
                "parameters": [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names],
                "responses": {"default": {"description": ""}},
                "security": [
                    {f"{self.name}.{scheme}": scopes for scheme, scopes in requirement.items()}
                    for requirement in original.get("security", self.merged.get("security", []))
                ],
            }
        return {
            "openapi": "3.0.3",
            "info": {"title": self.name, "version": "1"},
            "paths": paths,
            "components": {"securitySchemes": {f"{self.name}.{name}": scheme for name, scheme in schemes.items()}},
        }

    @cached_property
    def _by_specificity(self) -> list[Operation]:
        """Routers take the first match: literal segments before templated ones, as OpenAPI has it."""
        return sorted(self.operations.values(), key=_specificity)

    @cached_property
    def _published(self) -> Validator:
        return Validator(self._served(self.document, {}))

    def _served(self, document: dict[str, Any], more_paths: dict[str, Any]) -> dict[str, Any]:
        """The document as if served from this machine: one server, whatever hosts it names."""
        return {**document, "servers": [{"url": self.base_path or "/"}], "paths": {**document["paths"], **more_paths}}

    def _operations(self) -> list[Operation]:
        result = []
        for path, item in self.merged["paths"].items():
            for method in METHODS:
                if method in item:
                    whole = self.base_path + path
                    pattern = "".join(
                        "[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]+\})", whole)
                    )
                    operation_id = item[method].get("operationId") or f"{method.upper()} {path}"
                    security = item[method].get("security", self.merged.get("security", []))
                    secured = bool(security) and {} not in security
                    result.append(Operation(operation_id, method.upper(), whole, secured, (path, method), re.compile(pattern)))
        return result


def _specificity(operation: Operation) -> tuple[int, list[bool]]:
    segments = operation.path.split("/")
    return -len(segments), [segment.startswith("{") for segment in segments]


def _where(finding: Finding) -> tuple[str, str]:
    return finding.rule, finding.pointer


def _base_path(document: dict[str, Any]) -> str:
    servers = document.get("servers") or [{"url": ""}]
    return urlsplit(str(servers[0].get("url", ""))).path.rstrip("/")


def _check_version(source: Source) -> None:
    version = str(source.data.get("openapi", "")) if isinstance(source.data, dict) else ""
    if not re.fullmatch(r"3\.[01]\.\d+", version):
        found = f"found `openapi: {version}`" if version else "found no `openapi` field"
        raise source.error(("openapi",), f"expected an OpenAPI 3.0 or 3.1 document, {found}")


def _check_document(source: Source, document: dict[str, Any], what: str) -> None:
    from jsonschema_path import SchemaPath
    from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

    version = str(document["openapi"])
    _check_references(source, document, document, ())
    paths = document.get("paths", {})
    if paths == {}:
        raise source.error(("paths",), f"{what} has no paths: there is nothing to serve")
    _check_operation_ids(source, paths if isinstance(paths, dict) else {})
    validator = OpenAPIV30SpecValidator if version.startswith("3.0") else OpenAPIV31SpecValidator
    try:
        error = next(iter(validator(SchemaPath.from_dict(document, resolved_cache_maxsize=4096)).iter_errors()), None)
    except Exception as failure:  # noqa: BLE001 - several libraries' errors surface here
        raise SourceError(f"{source.path}: {what} is not valid OpenAPI: {_one_line(str(failure))}") from None
    if error is not None:
        problem = _one_line(getattr(error, "message", str(error)))
        raise source.error(getattr(error, "absolute_path", ()), f"{what} is not valid OpenAPI {version}: {problem}")


def _check_references(source: Source, document: dict[str, Any], node: Any, pointer: Pointer) -> None:
    """Every `$ref` must lead somewhere in this file; the libraries would fetch others, or fail without saying where."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and not _leads_somewhere(document, reference):
            raise source.error((*pointer, "$ref"), f"$ref {reference} leads nowhere in this document")
        for key, value in node.items():
            _check_references(source, document, value, (*pointer, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _check_references(source, document, value, (*pointer, index))


def _leads_somewhere(document: Any, reference: str) -> bool:
    if not reference.startswith("#/"):
        return False
    for step in reference[2:].split("/"):
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        elif isinstance(document, dict) and name in document:
            document = document[name]
        else:
            return False
    return True


def _check_operation_ids(source: Source, paths: dict[str, Any]) -> None:
    seen: dict[str, str] = {}
    for path, item in paths.items():
        if not isinstance(item, dict):
            continue
        if "$ref" in item:
            raise source.error(("paths", path, "$ref"), "a path item that is a $ref is not supported: put its operations here")
        for method in METHODS:
            operation = item.get(method)
            operation_id = operation.get("operationId") if isinstance(operation, dict) else None
            if isinstance(operation_id, str):
                here = f"{method.upper()} {path}"
                if seen.setdefault(operation_id, here) != here:
                    raise source.error(
                        ("paths", path, method, "operationId"), f"operationId {operation_id!r} is taken by {seen[operation_id]}"
                    )


def _one_line(text: str) -> str:
    line = text.split("\n", 1)[0]
    return line if len(line) <= 300 else line[:297] + "..."
