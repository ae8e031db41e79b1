"""A proposal for review: an overlay with which the contract fits what the reference answered.

Each action names what was seen. It only loosens: what the reference does is allowed, what it did before stays so.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from contract_tests.compare.places import missing, place
from contract_tests.contract import Contract
from contract_tests.exchange import content_type
from contract_tests.finding import Finding
from contract_tests.judge import GATEWAY
from contract_tests.overlay import apply_overlay
from contract_tests.rules.observation import NO_JSON, Observation
from contract_tests.source import Source, SourceError

Location = tuple[str | int, ...]

_ROUNDS = 4  # behind what is allowed now there may be more: a list within an object that was refused as a whole


@dataclass
class Proposal:
    """The overlay's text, how many actions it has, and what they do not cover. `text` is empty if there is nothing to propose."""

    text: str = ""
    actions: int = 0
    uncovered: list[str] = field(default_factory=list)


def propose(contract: Contract, answers: Iterable[Observation], extends: str) -> Proposal:
    """An overlay to be applied after those that `contract` has, so that `answers` keep it."""
    seen = [answer for answer in answers if answer.operation.id and answer.status not in GATEWAY]
    actions: list[dict[str, Any]] = []
    merged = contract.merged
    for _ in range(_ROUNDS):
        current = Contract(contract.name, contract.document, merged)
        more = _Actions(merged)
        for answer in seen:
            for finding in current.check_response(answer.operation, answer.exchange):
                more.allow(answer, finding)
        if not more.actions:
            break
        try:
            merged = _applied(merged, more.listed)
        except SourceError:
            break
        actions += more.listed
    current = Contract(contract.name, contract.document, merged)
    uncovered = dict.fromkeys(
        f"{answer.operation.id} {answer.status} {place(finding.pointer)}: {finding.problem[:200]}"
        for answer in seen
        for finding in current.check_response(answer.operation, answer.exchange)
    )
    if not actions:
        return Proposal(uncovered=list(uncovered))
    return Proposal(_text(contract.name, extends, actions, list(uncovered)), len(actions), list(uncovered))


class _Actions:
    """Actions of one round. Each place is changed once, for all that was seen there."""

    def __init__(self, merged: dict[str, Any]) -> None:
        self._merged = merged
        self.actions: dict[Location, list[dict[str, Any]]] = {}
        self._schemas: dict[Location, dict[str, dict[str, Any]]] = {}  # of the values seen, by their text

    @property
    def listed(self) -> list[dict[str, Any]]:
        """All of them in order."""
        return [action for actions in self.actions.values() for action in actions]

    def allow(self, answer: Observation, finding: Finding) -> None:
        """Allow what a finding complains of, if that can be said."""
        path, method = answer.operation.key
        responses: Location = ("paths", path, method, "responses")
        why = f"{answer.operation.id} {answer.status}: "
        if finding.rule == "response.status":
            response: dict[str, Any] = {"description": "As the real service answers."}
            if answer.body is not NO_JSON:
                response["content"] = {_media(answer): {"schema": self._inferred(answer.body)}}
            self._update(responses, {str(answer.status): response}, f"{why}a status that the document does not have")
            return
        at = self._resolved((*responses, self._declared(responses, answer.status)))
        if finding.rule == "response.content-type" and answer.response.body:
            schema = {"type": "string"} if answer.body is NO_JSON else self._inferred(answer.body)
            self._update(
                (*at, "content"), {_media(answer): {"schema": schema}}, f"{why}a media type that the document does not have"
            )
        elif finding.rule == "response.header":
            name = finding.pointer.removeprefix("header ")
            self._optional_header(at, name, f"{why}without {name}, or with another form of it")
        elif finding.rule == "response.body" and answer.body is not NO_JSON:
            self._allow_body((*at, "content", _media(answer), "schema"), answer, finding, why)

    def _allow_body(self, schema: Location, answer: Observation, finding: Finding, why: str) -> None:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in finding.pointer.rstrip("/").split("/")[1:]]
        found = self._walk(schema, answer.body, steps)
        if found is None:
            return
        location, value = found
        where = f"{why}{place(finding.pointer) or 'the body'} "
        member = missing(finding)
        if member and isinstance(value, dict) and any(self._of_member(location, name) for name in value):
            self._not_required(location, member, f"{why}without {place(finding.pointer)}/{member}")
        else:
            self._widen(location, value, f"{where}is {_kind(value)}")

    # ------------------------------------------------------------------ kinds of actions

    def _update(self, location: Location, update: dict[str, Any], description: str) -> None:
        key = (*location, *update)
        self.actions.setdefault(key, [{"target": _path(location), "description": description, "update": update}])

    def _not_required(self, location: Location, name: str, description: str) -> None:
        location = self._holding(location, name)
        if name in (self._node(location) or {}).get("required", ()):
            target = f"{_path(location)}.required[?@ == {_quoted(name)}]"
            self.actions.setdefault(
                (*location, "required", name), [{"target": target, "description": description, "remove": True}]
            )

    def _optional_header(self, response: Location, name: str, description: str) -> None:
        headers = self._node((*response, "headers")) or {}
        known = next((key for key in headers if key.lower() == name.lower()), None)
        if known is None:
            return
        looser = {**copy.deepcopy(self._node(self._resolved((*response, "headers", known)))), "required": False, "schema": {}}
        self._replace((*response, "headers", known), looser, description)

    def _widen(self, location: Location, value: Any, description: str) -> None:
        node = self._node(location)
        schema = self._enum(node, value) or self._inferred(value)
        schemas = self._schemas.setdefault(location, {})
        key = json.dumps(schema, sort_keys=True)
        if key in schemas:
            return
        schemas[key] = schema
        if value is None and len(schemas) == 1 and self._is_30 and "$ref" not in node and "type" in node:
            allowed = {"nullable": True, **({"enum": [None]} if "enum" in node else {})}
            self.actions[location] = [{"target": _path(location), "description": description, "update": allowed}]
            return
        self.actions.pop(location, None)
        self._replace(location, {"anyOf": [copy.deepcopy(node), *schemas.values()]}, description)

    def _replace(self, location: Location, value: Any, description: str) -> None:
        *parent, last = location
        self.actions.setdefault(
            location,
            [
                {
                    "target": _path(location),
                    "description": f"{description} (what was there is taken out, to be put back below)",
                    "remove": True,
                },
                {"target": _path(tuple(parent)), "description": description, "update": {str(last): value}},
            ],
        )

    # ------------------------------------------------------------------ schemas

    @property
    def _is_30(self) -> bool:
        return str(self._merged.get("openapi", "")).startswith("3.0")

    def _enum(self, node: dict[str, Any], value: Any) -> dict[str, Any] | None:
        """One more word, where there is a list of words."""
        resolved = self._node(self._resolved_node(node))
        words = isinstance(value, str) and isinstance(resolved, dict) and "enum" in resolved
        return {"type": "string", "enum": [value]} if words else None

    def _inferred(self, value: Any, depth: int = 0) -> dict[str, Any]:
        """A schema for values of this form, without anything that the value says."""
        if value is None:
            return {"type": "string", "nullable": True, "enum": [None]} if self._is_30 else {"type": "null"}
        if isinstance(value, bool):
            return {"type": "boolean"}
        if isinstance(value, int):
            return {"type": "integer"}
        if isinstance(value, float):
            return {"type": "number"}
        if isinstance(value, str):
            return {"type": "string"}
        if isinstance(value, list):
            return {"type": "array", "items": self._inferred(value[0], depth + 1) if value and depth < 8 else {}}
        schema: dict[str, Any] = {"type": "object"}
        if value and depth < 8:
            schema |= {"required": sorted(value), "properties": {k: self._inferred(v, depth + 1) for k, v in value.items()}}
        return schema

    def _walk(self, schema: Location, body: Any, steps: Sequence[str]) -> tuple[Location, Any] | None:
        """Where the schema of a place in the body stands, and the value there."""
        location, value = schema, body
        for step in steps:
            if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                inside = next(iter(self._parts(location, "items")), None)
                location, value = ((*inside, "items") if inside else ()), value[int(step)]
            elif isinstance(value, dict) and step in value:
                location, value = self._of_member(location, step), value[step]
            else:
                return None
            if not location:
                return None
        return location, value

    def _of_member(self, location: Location, name: str) -> Location:
        for part in self._parts(location, "properties"):
            if name in self._node((*part, "properties")):
                return (*part, "properties", name)
        for part in self._parts(location, "additionalProperties"):
            if isinstance(self._node((*part, "additionalProperties")), dict):
                return (*part, "additionalProperties")
        return ()

    def _holding(self, location: Location, name: str) -> Location:
        """The part of a schema that requires a member."""
        parts = self._parts(location, "required")
        return next((part for part in parts if name in self._node((*part, "required"))), self._resolved(location))

    def _parts(self, location: Location, keyword: str) -> Iterator[Location]:
        """The schemas at a location that have a keyword: itself, or what it is put together of."""
        location = self._resolved(location)
        node = self._node(location)
        if not isinstance(node, dict):
            return
        if keyword in node:
            yield location
        for word in ("allOf", "anyOf", "oneOf"):
            for index in range(len(node.get(word, ()))):
                yield from self._parts((*location, word, index), keyword)

    def _declared(self, responses: Location, status: int) -> str:
        declared = self._node(responses)
        return next((key for key in (str(status), f"{status // 100}XX", "default") if key in declared), str(status))

    def _resolved(self, location: Location) -> Location:
        """Where a `$ref` leads to."""
        node = self._node(location)
        while isinstance(node, dict) and "$ref" in node:
            location = self._resolved_node(node)
            node = self._node(location)
        return location

    def _resolved_node(self, node: Any) -> Location:
        reference = node.get("$ref", "") if isinstance(node, dict) else ""
        steps = reference.removeprefix("#/").split("/") if reference else []
        return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)

    def _node(self, location: Location) -> Any:
        node: Any = self._merged
        for step in location:
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                return None
        return node


def _media(answer: Observation) -> str:
    return content_type(answer.response.headers).partition(";")[0] or "application/json"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = ((bool, "true or false"), ((int, float), "a number"), (str, "text of another form"), (list, "a list"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "another object")


def _path(location: Location) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f"[{_quoted(step)}]" for step in location)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _document(title: str, extends: str, actions: list[dict[str, Any]]) -> dict[str, Any]:
    return {"overlay": "1.0.0", "info": {"title": title, "version": "0.0.1"}, "extends": extends, "actions": actions}


def _dumped(data: Any) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes what is there twice twice: nobody likes to review anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _applied(merged: dict[str, Any], actions: list[dict[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "proposal.yaml"
        file.write_text(_dumped(_document("proposal", "", actions)), "utf-8")
        return apply_overlay(merged, Source(file))


def _text(name: str, extends: str, actions: list[dict[str, Any]], uncovered: list[str]) -> str:
    head = [
        f"# Proposed by `walletproof compare`: with these actions after those of {extends}, the contract fits what the",
        "# reference answered. Review each: what the service should not do belongs into an issue, not in here.",
    ]
    if uncovered:
        head += ["#", "# Not covered:", *(f"#   {' '.join(line.split())}" for line in uncovered)]
    return (
        "\n".join(head) + "\n\n" + _dumped(_document(f"What the real {name} service does beyond its document", extends, actions))
    )
