"""What counts as seen of a contract: parameters, nested fields, enum values, recursive schemas, statuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract_tests.contract import Contract
from contract_tests.coverage import Seen
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.rules.observation import Observation

DOCUMENT = """
openapi: 3.0.3
info: {title: Small, version: "1"}
paths:
  /things/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: string}}
    get:
      operationId: getThing
      parameters:
        - $ref: '#/components/parameters/Expand'
        - {name: limit, in: query, schema: {type: integer}}
      responses:
        '200':
          description: A thing
          content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}
        '404':
          description: None
          content: {application/json: {schema: {type: object, properties: {code: {type: string, enum: [not_found, gone]}}}}}
        4XX:
          description: No
          content: {application/json: {schema: {type: object, properties: {error: {type: string}}}}}
    put:
      operationId: putThing
      requestBody:
        content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}
      responses:
        '204': {description: Done}
        default: {description: Anything}
  /things:
    get:
      operationId: listThings
      responses:
        '200':
          description: Things
          content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Thing'}}}}
components:
  parameters:
    Expand: {name: expand, in: query, schema: {type: string}}
  schemas:
    Thing:
      type: object
      properties:
        kind: {type: string, enum: [red, green]}
        size: {type: integer}
        parts: {type: array, items: {$ref: '#/components/schemas/Thing'}}
        owner: {allOf: [{$ref: '#/components/schemas/Named'}, {type: object, properties: {age: {type: integer}}}]}
    Named:
      type: object
      properties: {name: {type: string}}
"""


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The small document's."""
    path = tmp_path_factory.mktemp("document") / "small.yaml"
    path.write_text(DOCUMENT, encoding="utf-8")
    return Contract.load("small", path)


def saw(
    seen: Seen,
    contract: Contract,
    operation: str,
    status: int = 200,
    body: Any = None,
    *,
    query: str = "",
    sent: Any = None,
    kind: str = "application/json; charset=utf-8",
) -> None:
    """One exchange."""
    known = contract.operations.get(operation, contract.unrouted)
    params = {"id": "7"} if "{id}" in known.path else {}
    request = Request(
        known.method, "/things/7", query.encode(), body=b"" if sent is None else json.dumps(sent).encode(), path_params=params
    )
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    response = Response(status, [(b"content-type", kind.encode())], content)
    seen.saw(Observation(contract, known, Exchange(request, response)))


def things(kind: str, values: dict[str, bool]) -> set[str]:
    """Keys of getThing's 200 that were seen."""
    return {key.removeprefix("getThing 200 ") for key, was in values.items() if was and key.startswith("getThing 200 ")}


def test_everything_that_the_document_has_is_listed(contract: Contract) -> None:
    """Nothing is seen yet; references, shared parameters and allOf are followed, recursion ends after one round."""
    coverage = Seen(contract).coverage()

    assert set(coverage.operations) == {"getThing", "putThing", "listThings"}
    assert set(coverage.statuses) == {
        *("getThing 200", "getThing 404", "getThing 4XX", "putThing 204", "putThing default", "listThings 200"),
    }
    assert set(coverage.parameters) == {
        *("getThing path id", "getThing query expand", "getThing query limit", "putThing path id"),
        *("putThing body kind", "putThing body size", "putThing body parts", "putThing body owner"),
    }
    fields = {"/kind", "/size", "/parts", "/owner", "/owner/name", "/owner/age"}
    assert set(coverage.fields) == {
        *(f"getThing 200 {name}" for name in fields),
        *(f"listThings 200 /*{name}" for name in fields),
        *("getThing 404 /code", "getThing 4XX /error"),
    }
    assert set(coverage.enums) == {
        *("getThing 200 /kind= red", "getThing 200 /kind= green", "getThing 404 /code= not_found", "getThing 404 /code= gone"),
        *("listThings 200 /*/kind= red", "listThings 200 /*/kind= green"),
    }
    assert not any(was for values in vars(coverage).values() for was in values.values())


def test_fields_and_enum_values(contract: Contract) -> None:
    """What is in the body counts, with nested members, and no more than that."""
    seen = Seen(contract)
    saw(seen, contract, "getThing", body={"kind": "red", "owner": {"name": "x"}, "parts": [], "strange": 1})
    coverage = seen.coverage()

    assert things("fields", coverage.fields) == {"/kind", "/owner", "/owner/name", "/parts"}
    assert things("enums", coverage.enums) == {"/kind= red"}


def test_items_of_lists(contract: Contract) -> None:
    """Every item counts for the fields of all."""
    seen = Seen(contract)
    saw(seen, contract, "listThings", body=[{"kind": "red"}, {"size": 1, "kind": "green"}])

    assert {key for key, was in seen.coverage().fields.items() if was} == {"listThings 200 /*/kind", "listThings 200 /*/size"}
    assert sum(seen.coverage().enums.values()) == 2


def test_no_value_is_taken_for_one_of_the_enum(contract: Contract) -> None:
    """Neither an unknown value nor another type adds to what the document has."""
    seen = Seen(contract)
    saw(seen, contract, "getThing", body={"kind": "blue"})
    saw(seen, contract, "getThing", body={"kind": ["red"]})
    saw(seen, contract, "getThing", body={"kind": None})

    assert things("enums", seen.coverage().enums) == set()


def test_deep_recursion_in_an_answer(contract: Contract) -> None:
    """An answer that is nested deeply ends the walk, not the run."""
    seen = Seen(contract)
    saw(seen, contract, "getThing", body=b'{"parts":[' * 505 + b"{}" + b"]}" * 505)

    assert things("fields", seen.coverage().fields) == {"/parts"}


def test_parameters(contract: Contract) -> None:
    """Those of the query, of the path and of the body, whatever was answered."""
    seen = Seen(contract)
    saw(seen, contract, "getThing", 404, {"code": "gone"}, query="limit=1&limit=2&unknown=1")
    saw(seen, contract, "putThing", 204, sent={"size": 1, "unknown": 2})
    coverage = seen.coverage()

    expected = {"getThing path id", "getThing query limit", "putThing path id", "putThing body size"}
    assert {key for key, was in coverage.parameters.items() if was} == expected
    assert coverage.enums["getThing 404 /code= gone"]


def test_statuses_and_operations(contract: Contract) -> None:
    """An operation counts once it answers with a 2xx; an undeclared status is counted but is no part of the contract."""
    seen = Seen(contract)
    saw(seen, contract, "getThing", 404, {"code": "gone"})
    saw(seen, contract, "getThing", 500)
    assert not seen.reached(contract.operations["getThing"])
    saw(seen, contract, "putThing", 204)
    saw(seen, contract, "putThing", 418)
    saw(seen, contract, "getThing", 429, {"error": "slow down", "code": "gone"})
    saw(seen, contract, "", 404)
    coverage = seen.coverage()

    assert coverage.operations == {"getThing": False, "putThing": True, "listThings": False}
    expected = {"getThing 404", "getThing 4XX", "putThing 204", "putThing default"}
    assert {key for key, was in coverage.statuses.items() if was} == expected
    assert {key for key, was in coverage.fields.items() if was} == {"getThing 404 /code", "getThing 4XX /error"}
    assert seen.statuses == {"404": 2, "500": 1, "204": 1, "418": 1, "429": 1}
    assert coverage.counts()["operations"] == (1, 3)


def test_what_is_not_json_shows_no_fields(contract: Contract) -> None:
    """A web page with the right status does not count as the fields of an answer."""
    seen = Seen(contract)
    saw(seen, contract, "getThing", body={"kind": "red"}, kind="text/html")

    assert things("fields", seen.coverage().fields) == set()
    assert seen.coverage().statuses["getThing 200"]


def test_another_process_hands_over_what_it_saw(contract: Contract) -> None:
    """Keys and counts add up."""
    here, there = Seen(contract), Seen(contract)
    saw(here, contract, "getThing", body={"kind": "red"})
    saw(there, contract, "getThing", body={"kind": "green"})
    saw(there, contract, "putThing", 204)
    here.take(there.keys, there.statuses)

    assert things("enums", here.coverage().enums) == {"/kind= red", "/kind= green"}
    assert here.statuses == {"200": 2, "204": 1}
    assert here.reached(contract.operations["putThing"])
