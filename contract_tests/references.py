"""References inside an OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def resolved(document: Mapping[str, Any], node: Any) -> dict[str, Any]:
    """What a `$ref` leads to, or the node itself. It leads somewhere: that is checked when a document is read."""
    while "$ref" in node:
        target: Any = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        node = target
    found: dict[str, Any] = node
    return found
