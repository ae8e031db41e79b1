"""The page that documents everything the mock serves: the providers' operations and its own controls, from their contracts.

It needs no network and no script, so it works offline and can do nothing but be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from contract_tests.contract import Contract, Operation
from contract_tests.references import resolved
from mock_server.call import Answer, Call, Handler

_FOLDER = Path(__file__).parent


def page(contracts: Iterable[Contract]) -> str:
    """The whole page."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = Markup((_FOLDER / "docs.css").read_text("utf-8"))  # noqa: S704 - our own file
    return environment.get_template("docs.html").render(contracts=[_contract(contract) for contract in contracts], style=style)


def _contract(contract: Contract) -> dict[str, Any]:
    info = contract.merged["info"]
    return {
        "name": contract.name,
        "title": info["title"],
        "about": info.get("description", ""),
        "operations": [_operation(contract, operation) for operation in contract.operations.values()],
        "schemas": {name: _shown(schema) for name, schema in sorted(contract.merged["components"]["schemas"].items())},
    }


def _operation(contract: Contract, operation: Operation) -> dict[str, Any]:
    path, method = operation.key
    item = contract.merged["paths"][path]
    definition = item[method]
    parameters = [*item.get("parameters", ()), *definition.get("parameters", ())]
    body = definition.get("requestBody")
    return {
        "id": operation.id,
        "method": operation.method,
        "path": operation.path,
        "summary": definition.get("summary", ""),
        "about": definition.get("description", ""),
        "undocumented": bool(definition.get("x-undocumented")),
        "parameters": [resolved(contract.merged, parameter) for parameter in parameters],
        "body": _content(contract, body) if body else [],
        "responses": [
            (str(status), resolved(contract.merged, response).get("description", ""), _content(contract, response))
            for status, response in sorted(definition["responses"].items(), key=lambda pair: str(pair[0]))
        ],
    }


def _content(contract: Contract, holder: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Media types with the name of their schema, or the schema itself where it has none."""
    content = resolved(contract.merged, holder).get("content", {})
    return [(media, _shown(entry.get("schema", {}))) for media, entry in content.items()]


def _shown(schema: Mapping[str, Any]) -> str:
    """A schema as people read it: a reference by name, everything else as JSON without the noise."""
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[-1])
    return json.dumps(_with_names(schema), indent=2, ensure_ascii=False)


def _with_names(node: Any) -> Any:
    if isinstance(node, Mapping):
        if "$ref" in node:
            return f"→ {node['$ref'].rsplit('/', 1)[-1]}"
        return {name: _with_names(value) for name, value in node.items()}
    return [_with_names(item) for item in node] if isinstance(node, list) else node


class DocsPage:
    """The control that serves the page, which is made when it is first looked at."""

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self._contracts = tuple(contracts)
        self.handlers: Mapping[str, Handler] = {"docs": self.docs}

    async def docs(self, call: Call) -> Answer:
        """GET /_mock/docs"""
        return Answer(200, self.text(), content_type=b"text/html; charset=utf-8")

    @lru_cache(maxsize=1)  # noqa: B019 - there is one, and it lives as long as the process
    def text(self) -> bytes:
        """The page as it is sent."""
        return page(self._contracts).encode()
