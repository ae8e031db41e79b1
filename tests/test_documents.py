"""The documents in `openapi/` say what the providers published.

`tests/seeds/` records the structure of the two pages the documents started from, without their prose.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_spec_validator import validate

ROOT = Path(__file__).parent.parent
SEEDS = ROOT / "tests" / "seeds"

FLEXPRICE_OPERATIONS = [
    ("post", "/wallets", "createWallet", "200 400 500"),
    ("post", "/wallets/search", "queryWallet", "200 400 500"),
    ("get", "/wallets/{id}", "getWallet", "200 400 404 500"),
    ("put", "/wallets/{id}", "updateWallet", "200 400 404 500"),
    ("get", "/wallets/{id}/balance/real-time", "getWalletBalance", "200 400 404 500"),
    ("post", "/wallets/{id}/top-up", "topUpWallet", "200 400 404 500"),
    ("post", "/wallets/{id}/terminate", "terminateWallet", "200 400 404 500"),
    ("get", "/wallets/{id}/transactions", "getWalletTransactions", "200 400 404 500"),
    ("post", "/wallets/transactions/search", "queryWalletTransaction", "200 400 500"),
    ("get", "/customers/wallets", "getCustomerWallets", "200 400 404 500"),
    ("get", "/customers/{id}/wallets", "getWalletsByCustomerId", "200 400 500"),
]

# The page shows types of a generated Python client; this is what they are in JSON, where its `date` is a date-time.
JSON_TYPES: dict[str, list[dict[str, str]]] = {
    "str": [{"type": "string"}, {"type": "string", "format": "uuid4"}],
    "int": [{"type": "integer"}],
    "date": [{"type": "string", "format": "date-time"}],
}


def load(path: Path) -> dict[str, Any]:
    """Read a YAML file."""
    document: dict[str, Any] = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
    return document


def without_prose(node: Any) -> Any:
    """`node` without descriptions and summaries; a property that is itself named `description` stays."""
    if isinstance(node, dict):
        prose = {key for key in ("description", "summary") if isinstance(node.get(key), str)}
        return {key: without_prose(value) for key, value in node.items() if key not in prose}
    if isinstance(node, list):
        return [without_prose(item) for item in node]
    return node


def references(node: Any) -> Iterator[str]:
    """Names of the schemas that `node` refers to."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix("#/components/schemas/")
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def reachable(operation: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The schemas that `operation` needs, directly or through other schemas."""
    found: dict[str, Any] = {}
    waiting = list(references(operation))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = schemas[name]
            waiting.extend(references(schemas[name]))
    return found


def in_order(node: Any) -> str:
    """`node` as text in which the order of keys counts, as it does not when dicts are compared."""
    return json.dumps(node, indent=2)


def test_flexprice_balance_has_the_structure_of_its_page() -> None:
    """getWalletBalance, all it reaches and the head of the document equal the page, down to the order of properties."""
    page = load(SEEDS / "flexprice-001.yaml")
    document = without_prose(load(ROOT / "openapi" / "flexprice.yaml"))
    path = "/wallets/{id}/balance/real-time"
    operation = document["paths"][path]["get"]
    schemas = reachable(operation, document["components"]["schemas"])

    assert in_order(operation) == in_order(page["paths"][path]["get"])
    assert set(schemas) == set(page["components"]["schemas"])
    for name, schema in page["components"]["schemas"].items():
        assert in_order(schemas[name]) == in_order(schema), name
    for part in ("openapi", "info", "servers", "security"):
        assert in_order(document[part]) == in_order(page[part]), part
    assert in_order(document["components"]["securitySchemes"]) == in_order(page["components"]["securitySchemes"])


def test_polar_wallet_has_the_fields_of_its_page() -> None:
    """CustomerWallet has exactly the page's six fields, all required, with its types and examples.

    Only `modified_at` differs: required means that the key is there, and its value is null until the wallet is changed.
    The page was generated from a document that says so, and lost it on the way.
    """
    page = load(SEEDS / "polar-003.yaml")["CustomerWallet"]
    wallet = load(ROOT / "openapi" / "polar.yaml")["components"]["schemas"]["CustomerWallet"]

    assert list(wallet["properties"]) == list(page)
    assert wallet["required"] == [name for name, field in page.items() if field["required"]]
    assert len(page) == 6
    for name, field in page.items():
        schema = wallet["properties"][name]
        if name == "modified_at":
            schema, null = schema["anyOf"]
            assert null == {"type": "null"}
        assert {key: schema[key] for key in ("type", "format") if key in schema} in JSON_TYPES[field["type"]], name
        assert schema.get("examples", []) == ([field["example"]] if "example" in field else []), name


@pytest.mark.parametrize("name", ["flexprice", "polar"])
def test_document_is_valid_openapi(name: str) -> None:
    """The document holds to the OpenAPI version it names."""
    validate(load(ROOT / "openapi" / f"{name}.yaml"))


def test_flexprice_has_the_eleven_wallet_operations() -> None:
    """Methods, paths, operation ids and statuses are the published ones, no more and no fewer."""
    paths = load(ROOT / "openapi" / "flexprice.yaml")["paths"]

    assert [
        (method, path, operation["operationId"], " ".join(operation["responses"]))
        for path, methods in paths.items()
        for method, operation in methods.items()
    ] == FLEXPRICE_OPERATIONS
