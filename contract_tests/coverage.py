"""What of a contract a run has seen: operations, statuses, parameters, response fields, enum values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from contract_tests.contract import Contract, Operation
from contract_tests.exchange import content_type
from contract_tests.references import resolved
from contract_tests.results import Coverage
from contract_tests.rules.observation import NO_JSON, Observation

_MAX_DEPTH = 8
_LEADS_ON = frozenset({"enum", "properties", "items", "allOf", "anyOf", "oneOf"})


@dataclass(frozen=True)
class _Shape:
    """Of a schema: whether it lists values, its items and its parts; and its properties, each with whether it is plain."""

    enum: bool
    items: Any
    parts: tuple[Any, ...]
    properties: list[tuple[str, Any, bool]]


class Seen:
    """Collects. `keys` is all that was seen, so that another process can hand it over."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.keys: set[str] = set()
        self.statuses: dict[str, int] = {}
        self._shapes: dict[int, _Shape] = {}

    def saw(self, observation: Observation) -> None:
        """Take one exchange into account."""
        operation, status = observation.operation, observation.status
        self.statuses[str(status)] = self.statuses.get(str(status), 0) + 1
        if not operation.id:
            return
        if 200 <= status < 300:
            self.keys.add(f"operation {operation.id}")
        for name in {name for name, _ in observation.request.query}:
            self.keys.add(f"parameter {operation.id} query {name}")
        for name in observation.request.path_params:
            self.keys.add(f"parameter {operation.id} path {name}")
        if isinstance(observation.sent, dict):
            for name in observation.sent:
                self.keys.add(f"parameter {operation.id} body {name}")
        declared = self._declared(operation, status)
        self.keys.add(f"status {operation.id} {declared or status}")
        schema = self._response_schema(operation, declared, content_type(observation.response.headers))
        if schema is not None and observation.body is not NO_JSON:
            self._walk_body(schema, observation.body, f"{operation.id} {declared} ", 0)

    def saw_again(self, observation: Observation) -> None:
        """Take an exchange into account that is like one before."""
        self.statuses[str(observation.status)] += 1

    def reached(self, operation: Operation) -> bool:
        """Whether the operation answered with a 2xx."""
        return f"operation {operation.id}" in self.keys

    def coverage(self) -> Coverage:
        """Everything that the contract has, and whether it was seen."""
        result = Coverage()
        for operation in self._contract.operations.values():
            result.operations[operation.id] = self.reached(operation)
            for status in self._spec(operation)["responses"]:
                result.statuses[f"{operation.id} {status}"] = f"status {operation.id} {status}" in self.keys
                schema = self._response_schema(operation, status, "application/json")
                if schema is not None:
                    for kind, key in self._walk_schema(schema, f"{operation.id} {status} ", 0, ()):
                        (result.fields if kind == "field" else result.enums)[key] = f"{kind} {key}" in self.keys
            for key in self._parameters(operation):
                result.parameters[key] = f"parameter {key}" in self.keys
        return result

    def _spec(self, operation: Operation) -> dict[str, Any]:
        path, method = operation.key
        spec: dict[str, Any] = self._contract.merged["paths"][path][method]
        return spec

    def _parameters(self, operation: Operation) -> Iterator[str]:
        spec = self._spec(operation)
        item = self._contract.merged["paths"][operation.key[0]]
        for entry in (*item.get("parameters", ()), *spec.get("parameters", ())):
            parameter = self._resolved(entry)
            yield f"{operation.id} {parameter['in']} {parameter['name']}"
        content = self._resolved(spec.get("requestBody", {})).get("content", {})
        for media in content.values():
            for name in self._properties(self._resolved(media.get("schema", {}))):
                yield f"{operation.id} body {name}"

    def _declared(self, operation: Operation, status: int) -> str:
        """What the document calls a status: `404`, `4XX`, `default`; empty if it does not have it."""
        responses = self._spec(operation)["responses"]
        return next((name for name in (str(status), f"{status // 100}XX", "default") if name in responses), "")

    def _response_schema(self, operation: Operation, status: str, kind: str) -> dict[str, Any] | None:
        response = self._resolved(self._spec(operation)["responses"].get(status, {}))
        for media_type, media in response.get("content", {}).items():
            if media_type == kind.partition(";")[0]:
                schema: dict[str, Any] = media.get("schema", {})
                return schema
        return None

    def _walk_schema(self, node: Any, at: str, depth: int, seen: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Fields and enum values that a schema has, as (kind, key)."""
        reference = node.get("$ref", "") if isinstance(node, dict) else ""
        if not isinstance(node, dict) or depth > _MAX_DEPTH or (reference and reference in seen):
            return
        seen = (*seen, reference) if reference else seen
        schema = self._resolved(node)
        for value in schema.get("enum", ()):
            yield "enum", f"{at}= {value}"
        for name, child in self._properties(schema).items():
            yield "field", f"{at}/{name}"
            yield from self._walk_schema(child, f"{at}/{name}", depth + 1, seen)
        if "items" in schema:
            yield from self._walk_schema(schema["items"], f"{at}/*", depth + 1, seen)
        for part in _parts(schema):
            yield from self._walk_schema(part, at, depth + 1, seen)

    def _walk_body(self, node: Any, body: Any, at: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            return
        shape = self._shape(node)
        if shape.enum and not isinstance(body, dict | list):
            self.keys.add(f"enum {at}= {body}")
        if isinstance(body, dict):
            for name, child, plain in shape.properties:
                if name in body:
                    below = f"{at}/{name}"
                    self.keys.add(f"field {below}")
                    if not plain:
                        self._walk_body(child, body[name], below, depth + 1)
        elif isinstance(body, list) and shape.items is not None:
            below = f"{at}/*"
            for entry in body[:200]:
                self._walk_body(shape.items, entry, below, depth + 1)
        for part in shape.parts:
            self._walk_body(part, body, at, depth + 1)

    def _shape(self, node: Any) -> _Shape:
        """What matters of a schema here. The document's nodes live as long as this does, so that one is known by its id."""
        known = self._shapes.get(id(node))
        if known is None:
            schema = self._resolved(node)
            children = self._properties(schema).items()
            known = self._shapes[id(node)] = _Shape(
                "enum" in schema,
                schema.get("items"),
                _parts(schema),
                [(name, child, _LEADS_ON.isdisjoint(self._resolved(child))) for name, child in children],
            )
        return known

    def _properties(self, schema: dict[str, Any]) -> dict[str, Any]:
        properties: dict[str, Any] = schema.get("properties", {})
        return properties

    def _resolved(self, node: Any) -> dict[str, Any]:
        return resolved(self._contract.merged, node) if isinstance(node, dict) else {}

    def take(self, keys: Iterable[str], statuses: dict[str, int]) -> None:
        """Take over what another process has seen."""
        self.keys.update(keys)
        for status, count in statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count


def _parts(schema: dict[str, Any]) -> tuple[Any, ...]:
    return (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ()))
