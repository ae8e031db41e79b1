"""Overlays: what they merge and remove, and how a mistake in one is told."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract_tests.checking import contract, provider_names
from contract_tests.contract import Contract
from contract_tests.overlay import apply_overlay
from contract_tests.source import InputError, Source, SourceError
from mock_server.assembly import Settings, assemble

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "tags": ["a"],
    "paths": {
        "/a": {"get": {"operationId": "getA", "responses": {"200": {"description": "A."}}}},
        "/b": {"get": {"operationId": "getB", "responses": {"200": {"description": "B."}, "400": {"description": "Bad."}}}},
    },
    "list": [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}],
}


def applied(folder: Path, *actions: dict[str, Any]) -> dict[str, Any]:
    """The document with actions applied; the document itself stays as it was."""
    path = folder / "overlay.yaml"
    path.write_text(yaml.safe_dump({"overlay": "1.0.0", "info": {}, "actions": list(actions)}, sort_keys=False), "utf-8")
    document = copy.deepcopy(DOCUMENT)
    result = apply_overlay(document, Source(path))
    assert document == DOCUMENT
    return result


def refusal(folder: Path, text: str) -> str:
    """What is said of an overlay that is wrong, after the file's name."""
    path = folder / "overlay.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(SourceError) as caught:
        apply_overlay(copy.deepcopy(DOCUMENT), Source(path))
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    assert "\n" not in message
    return message.removeprefix(str(path))


ACTIONS = "overlay: 1.0.0\nactions:\n"


def test_mappings_merge(tmp_path: Path) -> None:
    """Members are added and replaced at any depth; what is not mentioned stays."""
    update = {"get": {"operationId": "newA", "responses": {"401": {"description": "No."}}}, "x-new": {"y": 1}}
    result = applied(tmp_path, {"target": "$.paths['/a']", "update": update})

    assert result["paths"]["/a"] == {
        "get": {"operationId": "newA", "responses": {"200": {"description": "A."}, "401": {"description": "No."}}},
        "x-new": {"y": 1},
    }
    assert result["paths"]["/b"] == DOCUMENT["paths"]["/b"]


def test_arrays_are_appended(tmp_path: Path) -> None:
    """An array in the update goes to the end of the array that is there, or becomes one."""
    result = applied(tmp_path, {"target": "$", "update": {"tags": ["b", "a"], "more": ["c"]}})

    assert (result["tags"], result["more"]) == (["a", "b", "a"], ["c"])


@pytest.mark.parametrize("value", [None, 1, "text", {"n": 1}])
def test_other_values_are_replaced(tmp_path: Path, value: object) -> None:
    """What is not of the same kind on both sides is replaced as a whole."""
    result = applied(tmp_path, {"target": "$", "update": {"tags": value}})

    assert result["tags"] == value


def test_every_target_is_updated(tmp_path: Path) -> None:
    """One action changes everything that its target selects."""
    result = applied(tmp_path, {"target": "$.paths.*.*.responses[*]", "update": {"headers": {"X": {}}}})

    for path in ("/a", "/b"):
        for response in result["paths"][path]["get"]["responses"].values():
            assert response["headers"] == {"X": {}}


def test_merged_values_are_not_shared(tmp_path: Path) -> None:
    """A value merged into two targets becomes two values: a later change of one leaves the other alone."""
    result = applied(
        tmp_path,
        {"target": "$.paths.*.get", "update": {"security": [{"key": []}], "x": {"deep": {"list": [1]}}}},
        {"target": "$.paths['/a'].get", "update": {"security": [{"other": []}], "x": {"deep": {"list": [2], "more": True}}}},
        {"target": "$.paths['/a'].get.security[0]", "update": {"key": ["scope"]}},
    )

    assert result["paths"]["/a"]["get"]["security"] == [{"key": ["scope"]}, {"other": []}]
    assert result["paths"]["/a"]["get"]["x"] == {"deep": {"list": [1, 2], "more": True}}
    assert result["paths"]["/b"]["get"]["security"] == [{"key": []}]
    assert result["paths"]["/b"]["get"]["x"] == {"deep": {"list": [1]}}


def test_aliases_in_an_overlay_are_not_shared(tmp_path: Path) -> None:
    """What YAML wrote once with an alias is two values after merging."""
    path = tmp_path / "overlay.yaml"
    path.write_text(
        ACTIONS + "  - {target: $, update: {one: &x {list: [1]}, two: *x}}\n  - {target: $.one, update: {list: [2]}}\n", "utf-8"
    )
    result = apply_overlay(DOCUMENT, Source(path))

    assert (result["one"], result["two"]) == ({"list": [1, 2]}, {"list": [1]})


def test_aliases_in_a_document_are_not_shared(tmp_path: Path) -> None:
    """A document that wrote two places with one alias is changed only where the target points."""
    (tmp_path / "document.yaml").write_text("one: &x {list: [1]}\ntwo: *x\n", "utf-8")
    (tmp_path / "overlay.yaml").write_text(ACTIONS + "  - {target: $.one, update: {list: [2]}}\n", "utf-8")
    result = apply_overlay(Source(tmp_path / "document.yaml").data, Source(tmp_path / "overlay.yaml"))

    assert result == {"one": {"list": [1, 2]}, "two": {"list": [1]}}


def test_remove(tmp_path: Path) -> None:
    """`remove: true` takes out every value that the target selects, in mappings and in arrays."""
    result = applied(
        tmp_path,
        {"target": "$.list[?@.n > 0 && @.n < 3]", "remove": True},
        {"target": "$.paths.*.get.responses['400']", "remove": True},
        {"target": "$.tags", "remove": True},
    )

    assert result["list"] == [{"n": 0}, {"n": 3}]
    assert list(result["paths"]["/b"]["get"]["responses"]) == ["200"]
    assert "tags" not in result


@pytest.mark.parametrize("count", [3, 12])
def test_remove_all_items(tmp_path: Path, count: int) -> None:
    """All items of an array go, also when there are more than ten and they are selected in any order."""
    result = applied(
        tmp_path,
        {"target": "$", "update": {"many": list(range(count))}},
        {"target": "$.many[?@ != 1]", "remove": True},
    )

    assert result["many"] == [1]


def test_remove_what_lies_in_what_is_removed(tmp_path: Path) -> None:
    """A target that selects a value and parts of it removes them all."""
    result = applied(tmp_path, {"target": "$.paths['/b', '/a']", "remove": True}, {"target": "$.list..*", "remove": True})

    assert result["paths"] == {}
    assert result["list"] == []


def test_a_value_selected_twice_is_changed_once_or_as_often_as_said(tmp_path: Path) -> None:
    """A target that names one value twice removes it once, without a crash."""
    result = applied(tmp_path, {"target": "$.list[0, 0]", "remove": True})

    assert result["list"] == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_actions_run_in_order(tmp_path: Path) -> None:
    """A later action sees what an earlier one did."""
    result = applied(
        tmp_path,
        {"target": "$", "update": {"x": {"y": 1}}},
        {"target": "$.x", "update": {"z": 2}, "description": "More of it.", "x-note": "any"},
        {"target": "$.x.y", "remove": True},
    )

    assert result["x"] == {"z": 2}


def test_a_target_that_matches_nothing(tmp_path: Path) -> None:
    """A target without a match is refused with its place and text: a promise must not get lost in silence."""
    message = refusal(tmp_path, ACTIONS + "  - {target: $, update: {a: 1}}\n  - target: $.paths['/c']\n    update: {}\n")

    assert message.startswith(":4: /actions/1/target: target $.paths['/c'] matches nothing")


def test_a_target_that_matches_no_more(tmp_path: Path) -> None:
    """What an earlier action removed cannot be the target of a later one."""
    message = refusal(tmp_path, ACTIONS + "  - {target: $.tags, remove: true}\n  - {target: $.tags, remove: true}\n")

    assert message.startswith(":4: /actions/1/target:")


@pytest.mark.parametrize("target", ["paths", "$.paths[", "$..[?@.x ==]", "$.", "'$'", '""', "$.paths.*.get | x"])
def test_a_bad_jsonpath(tmp_path: Path, target: str) -> None:
    """A target that is no JSONPath is refused with its place and the reason."""
    message = refusal(tmp_path, f"{ACTIONS}  - target: {target!r}\n    update: {{}}\n")

    assert message.startswith(":3: /actions/0/target: not a JSONPath")


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("{update: {}}", "an action needs a `target`"),
        ("{target: 1, update: {}}", "an action needs a `target`"),
        ("text", "an action needs a `target`"),
        ("{target: $}", "exactly one of `update` and `remove: true`"),
        ("{target: $, remove: false}", "exactly one of `update` and `remove: true`"),
        ("{target: $.tags, update: {}, remove: true}", "exactly one of `update` and `remove: true`"),
        ("{target: $, updates: {}}", "unknown field"),
        ("{target: $.tags, update: {a: 1}}", "merges an object into objects"),
        ("{target: $, update: [a]}", "merges an object into objects"),
        ("{target: $, update: null}", "merges an object into objects"),
        ("{target: $, remove: true}", "whole document"),
    ],
)
def test_a_bad_action(tmp_path: Path, action: str, expected: str) -> None:
    """Every malformed action is refused with its line and what an action needs."""
    message = refusal(tmp_path, f"{ACTIONS}  - {action}\n")

    assert message.startswith(":3: /actions/0")
    assert expected in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("overlay: 2.0.0\nactions: [{target: $, update: {}}]\n", ":1: /overlay: expected an OpenAPI Overlay"),
        ("openapi: 3.0.3\n", ":1: /overlay: expected an OpenAPI Overlay"),
        ("- a\n", ":1: /overlay: expected an OpenAPI Overlay"),
        ("overlay: 1.0.0\n", ":1: /actions: expected a list of at least one action"),
        ("overlay: 1.0.0\nactions: []\n", ":2: /actions: expected a list of at least one action"),
        ("overlay: 1.0.0\nactions: {a: b}\n", ":2: /actions: expected a list of at least one action"),
        ("overlay: 1.0.0\nactions:\n  - {target: $, target: $.paths}\n", ":3: /actions/0/target: duplicate key 'target'"),
    ],
)
def test_not_an_overlay(tmp_path: Path, text: str, expected: str) -> None:
    """A file that is no overlay, or has no action, is told so with its line."""
    assert refusal(tmp_path, text).startswith(expected)


def test_an_overlay_that_breaks_the_document(tmp_path: Path) -> None:
    """An overlay whose result is no valid OpenAPI stops the loading, and the message names the overlay."""
    document = tmp_path / "document.yaml"
    document.write_text(
        "openapi: 3.0.3\ninfo: {title: T, version: '1'}\npaths:\n  /a:\n    get:\n      responses: {'200': {description: A.}}\n",
        "utf-8",
    )
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(ACTIONS + "  - target: $.paths['/a'].get.responses['200']\n    update: {description: 5}\n", "utf-8")
    with pytest.raises(SourceError) as caught:
        Contract.load("t", document, overlay)

    assert str(overlay) in str(caught.value)
    assert "/paths/~1a/get/responses/200" in str(caught.value)


def test_an_overlay_may_extend_the_shipped_one(tmp_path: Path) -> None:
    """One that `extends` the shipped overlay (as `compare --to-overlay` writes it) comes after it; others take its place."""
    path = tmp_path / "nearer.overlay.yaml"
    actions = "actions:\n  - target: $.info\n    update: {x-nearer: true}\n"
    path.write_text(f"overlay: 1.0.0\ninfo: {{}}\nextends: flexprice.yaml\n{actions}", "utf-8")
    alone = contract("flexprice", overlay=path)
    path = tmp_path / "after.overlay.yaml"
    path.write_text(f"overlay: 1.0.0\ninfo: {{}}\nextends: flexprice.overlay.yaml\n{actions}", "utf-8")
    after = contract("flexprice", overlay=path)
    served = assemble(Settings(providers=("flexprice",), overlay=path)).contracts["flexprice"]

    assert "x-unrouted" not in alone.merged
    for one in (after, served):
        assert one.merged["x-unrouted"] == contract("flexprice").merged["x-unrouted"]
        assert one.merged["info"]["x-nearer"] is True


def test_whose_overlay() -> None:
    """A file's name tells the provider only if it is one's; else the option is missing, not a file of ours."""
    assert provider_names((), None, Path("polar.overlay.yaml")) == ("polar",)
    with pytest.raises(InputError, match=r"--overlay nearer\.overlay\.yaml: say whose overlay it is, with --provider"):
        provider_names((), None, Path("nearer.overlay.yaml"))
