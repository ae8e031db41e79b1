"""OpenAPI Overlay 1.0: what a provider's document leaves unsaid, applied to a copy of it.

Actions run in order. `update` is merged into every object that `target` (RFC 9535 JSONPath) selects:
mappings merge, arrays are appended to, everything else is replaced. `remove: true` takes the selected
values out. Unlike the specification, a target that selects nothing is an error: it means that the document
has changed under the overlay, and a silently lost promise is worse than a start refused.
"""

from __future__ import annotations

import copy
from typing import Any

import jsonpath_rfc9535 as jsonpath

from contract_tests.source import Source

_ACTION_KEYS = {"target", "description", "update", "remove"}


def apply_overlay(document: dict[str, Any], overlay: Source) -> dict[str, Any]:
    """A copy of `document` with every action of `overlay` applied; raises SourceError at the faulty action."""
    actions = _actions(overlay)
    result = copy.deepcopy(document)
    for index, action in enumerate(actions):
        place = ("actions", index)
        if not isinstance(action, dict) or not isinstance(action.get("target"), str):
            raise overlay.error(place, "an action needs a `target` (a JSONPath)")
        unknown = sorted(key for key in action if key not in _ACTION_KEYS and not key.startswith("x-"))
        if unknown:
            raise overlay.error((*place, unknown[0]), f"unknown field; an action has {', '.join(sorted(_ACTION_KEYS))}")
        removes = action.get("remove", False)
        if not isinstance(removes, bool):
            raise overlay.error((*place, "remove"), "`remove` is true or false")
        if removes == ("update" in action):
            raise overlay.error(place, "an action needs exactly one of `update` and `remove: true`")
        try:
            found = jsonpath.find(action["target"], result)
        except jsonpath.JSONPathError as error:
            raise overlay.error((*place, "target"), f"not a JSONPath: {error}") from None
        if not found:
            raise overlay.error(
                (*place, "target"),
                f"target {action['target']} matches nothing in the document; has the document changed?",
            )
        if removes:
            # Later items first, so that removing one does not move another that is still to go; each only once.
            for location in sorted({node.location for node in found}, key=_removal_order, reverse=True):
                if not location:
                    raise overlay.error(place, "the whole document cannot be removed")
                _remove(result, location)
        else:
            for node in found:
                if not isinstance(node.value, dict) or not isinstance(action["update"], dict):
                    raise overlay.error(place, "`update` merges an object into objects; this target selects something else")
                _merge(node.value, action["update"])
    return result


def _actions(overlay: Source) -> list[Any]:
    data = overlay.data
    if not isinstance(data, dict) or not str(data.get("overlay", "")).startswith("1.0"):
        raise overlay.error(("overlay",), "expected an OpenAPI Overlay (`overlay: 1.0.0`)")
    actions = data.get("actions")
    if not isinstance(actions, list) or not actions:
        raise overlay.error(("actions",), "expected a list of at least one action")
    return actions


def _removal_order(location: tuple[str | int, ...]) -> list[tuple[bool, int, str]]:
    """A key that sorts array items by their number, and children behind their parents."""
    return [(True, step, "") if isinstance(step, int) else (False, 0, step) for step in location]


def _remove(document: Any, location: tuple[str | int, ...]) -> None:
    *parents, last = location
    for step in parents:
        document = document[step]
    del document[last]


def _merge(target: dict[str, Any], update: dict[str, Any]) -> None:
    for key, value in update.items():
        current = target.get(key)
        if isinstance(current, dict) and isinstance(value, dict):
            _merge(current, value)
        elif isinstance(current, list) and isinstance(value, list):
            current.extend(copy.deepcopy(value))
        else:
            target[key] = copy.deepcopy(value)
