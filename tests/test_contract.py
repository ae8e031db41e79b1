"""Contracts: documents read with care, mistakes shown with their place, messages judged by document and overlay."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from contract_tests.contract import Contract
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.finding import Finding
from contract_tests.source import InputError, Source, SourceError

ROOT = Path(__file__).parent.parent

DOCUMENT = """\
openapi: 3.0.3
info: {title: Things, version: '1'}
servers:
  - url: https://api.example.com/base
paths:
  /things/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: string}}
    get:
      operationId: getThing
      parameters:
        - {name: limit, in: query, schema: {type: integer, minimum: 1}}
      responses:
        '200':
          description: A thing.
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Thing'}
    put:
      operationId: putThing
      requestBody:
        required: true
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Thing'}
      responses:
        '200': {description: Done.}
  /things/search:
    post:
      operationId: searchThings
      responses:
        '200': {description: Found.}
components:
  schemas:
    Thing:
      type: object
      properties:
        a/b~c: {type: string}
        parts:
          type: array
          items:
            type: object
            properties:
              size: {type: number}
"""

OVERLAY = """\
overlay: 1.0.0
info: {title: More, version: '1'}
actions:
  - target: $.components.schemas.Thing
    update:
      required: [parts]
  - target: $.components.schemas.Thing.properties.parts.items.properties.size
    update: {minimum: 0}
  - target: $
    update:
      x-error-format: things
      x-unrouted:
        responses:
          '404': {description: Nothing there.}
"""


def write(folder: Path, text: str, name: str = "things.yaml") -> Path:
    """A file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """The small document with its overlay."""
    return Contract.load("things", write(tmp_path, DOCUMENT), write(tmp_path, OVERLAY, "things.overlay.yaml"))


def refusal(folder: Path, text: str) -> str:
    """What is said of a document that is wrong; its file and its line come first."""
    path = write(folder, text)
    with pytest.raises(SourceError) as caught:
        Contract.load("things", path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < len(str(path)) + 500
    return message.removeprefix(str(path))


def get(contract: Contract, body: Any, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> list[Finding]:
    """Findings about a response of getThing."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = [(b"content-type", b"application/json")] if headers is None else headers
    request = Request("GET", "/base/things/1", path_params={"id": "1"})
    return contract.check_response(contract.operations["getThing"], Exchange(request, Response(status, given, raw)))


def put(contract: Contract, body: Any, content_type: bytes = b"application/json") -> list[Finding]:
    """Findings about a request of putThing."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request("PUT", "/base/things/1", b"", [(b"content-type", content_type)], raw, {"id": "1"})
    return contract.check_request(contract.operations["putThing"], request)


# ---------------------------------------------------------------- loading


def test_operations_by_id(contract: Contract) -> None:
    """Operations have their id, upper-case method and whole path; the error format comes from the overlay."""
    assert {(o.id, o.method, o.path) for o in contract.operations.values()} == {
        ("getThing", "GET", "/base/things/{id}"),
        ("putThing", "PUT", "/base/things/{id}"),
        ("searchThings", "POST", "/base/things/search"),
    }
    assert (contract.name, contract.base_path, contract.error_format) == ("things", "/base", "things")


def test_the_document_is_kept_as_published(contract: Contract) -> None:
    """The overlay changes a copy: `document` is still what was published."""
    assert "required" not in contract.document["components"]["schemas"]["Thing"]
    assert contract.merged["components"]["schemas"]["Thing"]["required"] == ["parts"]


def test_an_operation_without_id_is_named_by_method_and_path(tmp_path: Path) -> None:
    """Without operationId the method and the path stand in."""
    contract = Contract.load("things", write(tmp_path, DOCUMENT.replace("      operationId: searchThings\n", "")))

    assert "POST /things/search" in contract.operations


@pytest.mark.parametrize(
    ("servers", "base"),
    [
        ("[{url: /}]", ""),
        ("[{url: 'https://api.example.com'}]", ""),
        ("[{url: 'https://api.example.com/v1/'}, {url: /v2}]", "/v1"),
        ("[]", ""),
    ],
)
def test_base_path_comes_from_the_first_server(tmp_path: Path, servers: str, base: str) -> None:
    """Whatever host a document names, its first server's path is the base path."""
    text = DOCUMENT.replace("servers:\n  - url: https://api.example.com/base\n", f"servers: {servers}\n")

    assert Contract.load("things", write(tmp_path, text)).base_path == base


def test_unreadable_file(tmp_path: Path) -> None:
    """A file that is not there, a folder, and bytes that are not text are named with the reason."""
    with pytest.raises(SourceError, match=r"missing\.yaml: cannot be read: No such file"):
        Contract.load("things", tmp_path / "missing.yaml")
    with pytest.raises(SourceError, match=r"cannot be read: Is a directory"):
        Contract.load("things", tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"openapi: \xff\xfe")
    with pytest.raises(SourceError, match=r"binary\.yaml: cannot be read: it is not UTF-8 text"):
        Contract.load("things", tmp_path / "binary.yaml")
    with pytest.raises(InputError):
        Contract.load("things", write(tmp_path, DOCUMENT), tmp_path / "missing.overlay.yaml")


@pytest.mark.parametrize("text", ["openapi: [", "a: b: c", "\ttab: 1", "a: 'x", "a: *nobody", "key: \x07"])
def test_not_yaml(tmp_path: Path, text: str) -> None:
    """What is not YAML is said with the line."""
    message = refusal(tmp_path, "first: line\n" + text)

    assert "this is not YAML" in message
    assert message.startswith((":2:", ":3:", ":"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n- b\n", "plain text", "1: 2", "openapi:"])
def test_not_a_document(tmp_path: Path, text: str) -> None:
    """YAML that is no OpenAPI document is told what is missing."""
    assert "expected an OpenAPI 3.0 or 3.1 document" in refusal(tmp_path, text)


@pytest.mark.parametrize("version", ["2.0", "3.2.0", "4.0.0", "3.0", "'3.0.3-rc1'", "3"])
def test_unknown_version(tmp_path: Path, version: str) -> None:
    """Only OpenAPI 3.0 and 3.1 are read; what was found is said, with its line."""
    message = refusal(tmp_path, DOCUMENT.replace("openapi: 3.0.3", f"openapi: {version}"))

    assert message.startswith(":1: /openapi: expected an OpenAPI 3.0 or 3.1 document")
    assert version.strip("'") in message


def test_duplicate_key(tmp_path: Path) -> None:
    """A key given twice, which YAML readers swallow, is refused where it stands for the second time."""
    text = DOCUMENT.replace("        a/b~c:", "        parts: {type: string}\n        a/b~c:")
    line = text.splitlines().index("        parts:") + 1
    message = refusal(tmp_path, text)

    assert message.startswith(f":{line}: /components/schemas/Thing/properties/parts: duplicate key 'parts'")


def test_invalid_document(tmp_path: Path) -> None:
    """A document that breaks OpenAPI is refused with pointer and line of the place."""
    message = refusal(tmp_path, DOCUMENT.replace("in: query", "in: body"))

    assert message.startswith(":12: /paths/~1things~1{id}/get/parameters/0")
    assert "is not valid OpenAPI 3.0.3" in message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("info: {title: Things, version: '1'}\n", ""),
        ("  /things/search:", "  things/search:"),
        ("        '200': {description: Found.}", "        '200': {}"),
        ("{type: number}", "{type: numeric}"),
        ("{name: id, in: path, required: true, schema: {type: string}}", "{name: other, in: path, required: true, schema: {}}"),
        ("paths:\n", "paths: []\nx-paths:\n"),
        ("      responses:\n        '200': {description: Found.}\n", "      responses: {}\n"),
    ],
)
def test_invalid_documents_are_refused(tmp_path: Path, old: str, new: str) -> None:
    """Missing parts, wrong types and undeclared path parameters each stop the loading."""
    assert old in DOCUMENT
    message = refusal(tmp_path, DOCUMENT.replace(old, new))

    assert "is not valid OpenAPI" in message
    assert message.startswith(":")


@pytest.mark.parametrize(
    "reference", ["#/components/schemas/Nothing", "nowhere.yaml#/Thing", "#/components/schemas/Thing/x/y", "%"]
)
def test_unresolvable_reference(tmp_path: Path, reference: str) -> None:
    """A reference that leads nowhere is refused at once, not at the first message that needs it, and nothing is fetched."""
    message = refusal(tmp_path, DOCUMENT.replace("{$ref: '#/components/schemas/Thing'}", f"{{$ref: '{reference}'}}", 1))

    assert re.match(r":\d+: /paths/~1things~1{id}/get/responses/200/content/application~1json/schema", message)
    assert reference in message


def test_duplicate_operation_id(tmp_path: Path) -> None:
    """Two operations of one name are refused, with the place of the second and the name of the first."""
    text = DOCUMENT.replace("operationId: searchThings", "operationId: getThing")
    line = text.splitlines().index("    post:") + 1
    message = refusal(tmp_path, text)

    assert message.startswith(
        (f":{line}: /paths/~1things~1search/post", f":{line + 1}: /paths/~1things~1search/post/operationId")
    )
    assert "getThing" in message
    assert "GET /things/{id}" in message


def test_references_fetch_nothing(tmp_path: Path) -> None:
    """A reference to a web address, or to another file, is not followed: loading reads the two files it was given."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = b"Thing: {type: object, description: a secret}\n"
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Quietly."""

    (tmp_path / "secret.yaml").write_text("Thing: {type: object, description: a secret}\n", "utf-8")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        targets = [f"http://127.0.0.1:{server.server_port}/x.yaml", (tmp_path / "secret.yaml").as_uri(), "secret.yaml"]
        for number, target in enumerate(targets):
            text = DOCUMENT.replace("'#/components/schemas/Thing'", f"'{target}#/Thing'", 1)
            with pytest.raises(SourceError):
                Contract.load("things", write(tmp_path, text, f"things-{number}.yaml"))
        server.shutdown()

    assert asked == []


def test_aliases_cannot_explode(tmp_path: Path) -> None:
    """A short file whose aliases describe a billion nodes is refused, and soon."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    message = refusal(tmp_path, "\n".join(lines))

    assert "too large or too deeply nested" in message


def test_an_alias_of_itself_is_refused(tmp_path: Path) -> None:
    """A value that contains itself has no end."""
    assert "too large or too deeply nested" in refusal(tmp_path, "a: &a [*a]\n")


@pytest.mark.parametrize(
    "text",
    [
        "x-x: !!python/object/apply:os.system ['true']",
        "x-x: !!python/name:os.system ''",
        "x-x: !secret value",
        "x-x: !!binary aGk=",
        "x-x: !!set {a, b}",
        "x-x: !!omap [a: 1]",
        "x-x: !mapping {a: 1}",
    ],
)
def test_tags_are_refused(tmp_path: Path, text: str) -> None:
    """Only plain data is read: a YAML tag of any kind is an error with its place."""
    message = refusal(tmp_path, DOCUMENT + text + "\n")

    assert "tag" in message
    assert ": /x-x" in message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("1:30", "1:30"),
        ("012", "012"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("2026-08-22", "2026-08-22"),
        ("2026-08-22T10:00:00Z", "2026-08-22T10:00:00Z"),
        ("12", 12),
        ("-7", -7),
        ("1.50", 1.5),
        ("~", None),
        ("=", "="),
        ("<<", "<<"),
        ("'12'", "12"),
    ],
)
def test_scalars_are_read_as_yaml_1_2_has_them(tmp_path: Path, text: str, value: object) -> None:
    """No Norway problem: only what is a number, a boolean or null in YAML 1.2 becomes one; dates stay text."""
    data = Source(write(tmp_path, f"value: {text}\n")).data

    assert data == {"value": value}
    assert type(data["value"]) is type(value)


def test_places_are_kept(tmp_path: Path) -> None:
    """Every place has its line; a place that does not exist has that of its nearest ancestor."""
    source = Source(write(tmp_path, "a:\n  b:\n    - one\n    - two: 2\n"))

    assert [source.line(p) for p in ((), ("a",), ("a", "b"), ("a", "b", 0), ("a", "b", 1, "two"), ("a", "b", 9, "x"))] == [
        1,
        1,
        2,
        3,
        4,
        2,
    ]
    assert str(source.error(("a", "b/c~d"), "is wrong")).endswith(":1: /a/b~1c~0d: is wrong")


# ---------------------------------------------------------------- judging


def test_a_valid_message_has_no_findings(contract: Contract) -> None:
    """What keeps document and overlay is not complained about."""
    assert get(contract, {"parts": [{"size": 0}]}) == []
    assert put(contract, {"parts": [], "a/b~c": "x", "more": 1}) == []


def test_breaking_the_document_is_published(contract: Contract) -> None:
    """What the provider's own document forbids is of level `published`, with pointer, expectation and value."""
    [finding] = get(contract, {"parts": [{"size": 1}, {"size": "big"}]})

    assert (finding.rule, finding.level, finding.operation, finding.pointer) == (
        "response.body",
        "published",
        "getThing",
        "/parts/1/size",
    )
    assert (finding.expected, finding.got) == ("number", "big")
    assert str(finding) == "[published] response.body getThing at /parts/1/size: 'big' is not of type 'number'"


def test_breaking_the_overlay_only_is_overlay(contract: Contract) -> None:
    """What only the overlay forbids is of level `overlay`."""
    assert [(f.level, f.pointer) for f in get(contract, {})] == [("overlay", "/")]
    assert [(f.level, f.pointer) for f in get(contract, {"parts": [{"size": -1}]})] == [("overlay", "/parts/0/size")]


def test_levels_side_by_side(contract: Contract) -> None:
    """Of two broken promises in one body each has its own level, and a pointer as RFC 6901 writes it."""
    found = {f.pointer: f.level for f in get(contract, {"parts": [{"size": -1}], "a/b~c": 1})}

    assert found == {"/parts/0/size": "overlay", "/a~1b~0c": "published"}


def test_a_problem_of_both_at_one_place_is_told_apart(contract: Contract) -> None:
    """A body whose type is wrong breaks the document; missing what the overlay requires does not make it so."""
    assert [(f.level, f.pointer) for f in get(contract, [])] == [("published", "/")]


def test_unknown_status(contract: Contract) -> None:
    """A status that neither knows is a finding of level `published`."""
    [finding] = get(contract, {}, status=418)

    assert (finding.rule, finding.level) == ("response.status", "published")
    assert "418" in finding.problem


def test_a_second_overlay_comes_after_the_first(tmp_path: Path) -> None:
    """It finds what the first one made; what breaks a route that only it has is of level `overlay`; its faults are its own."""
    more = "overlay: 1.0.0\ninfo: {title: More still, version: '1'}\nactions:\n"
    extra = "{get: {operationId: extra, responses: {'200': {description: Fine.}}}}"
    more += "  - target: $['x-unrouted'].responses\n    update: {'405': {description: Not so.}}\n"
    more += f"  - target: $.paths\n    update: {{/extra: {extra}}}\n"
    files = [write(tmp_path, DOCUMENT), write(tmp_path, OVERLAY, "one.yaml"), write(tmp_path, more, "two.yaml")]
    contract = Contract.load("things", *files)
    exchange = Exchange(Request("GET", "/extra"), Response(404, [], b""))

    assert set(contract.merged["x-unrouted"]["responses"]) == {"404", "405"}
    assert [f.level for f in contract.check_response(contract.operations["extra"], exchange)] == ["overlay"]
    with pytest.raises(SourceError, match=r"two\.yaml:4: .*matches nothing"):
        Contract.load("things", files[0], files[2])


def test_a_status_that_the_overlay_adds_is_no_finding(tmp_path: Path) -> None:
    """What the overlay declares is allowed, though the document does not know it."""
    overlay = OVERLAY + "  - target: $.paths.*.get.responses\n    update:\n      '401': {description: No key.}\n"
    contract = Contract.load("things", write(tmp_path, DOCUMENT), write(tmp_path, overlay, "o.yaml"))

    assert get(contract, b"", status=401, headers=[]) == []


@pytest.mark.parametrize("content_type", [b"text/html", b"application/problem+json", b"", b"nonsense", b"application/json;"])
def test_wrong_content_type(contract: Contract, content_type: bytes) -> None:
    """A content type that the contract does not have is named, and is not a crash whatever it is."""
    findings = get(contract, {"parts": []}, headers=[(b"content-type", content_type)])

    assert len(findings) == 1 or content_type == b"application/json;"
    assert all(f.rule in ("response.content-type", "response.body") and f.level == "published" for f in findings)


@pytest.mark.parametrize("body", [b"{", b"", b"NaN", b'{"parts": []} x', b"\xff\xfe", b'{"parts": [{"size": NaN}]}'])
def test_a_body_that_is_not_json(contract: Contract, body: bytes) -> None:
    """Bytes that are not JSON as RFC 8259 has it are a finding in a response and in a request."""
    assert [f.rule for f in get(contract, body)] == ["response.body"]
    assert [f.rule for f in put(contract, body)] == ["request.body"]


def test_whole_numbers_of_any_size(tmp_path: Path) -> None:
    """A whole number beyond 64 bits is a whole number, in both versions of OpenAPI."""
    for version in ("3.0.3", "3.1.0"):
        text = DOCUMENT.replace("3.0.3", version).replace("{type: number}", "{type: integer}")
        contract = Contract.load("things", write(tmp_path, text))
        assert get(contract, {"parts": [{"size": 2**65 + 1}]}) == []
        assert [f.pointer for f in get(contract, {"parts": [{"size": 0.5}]})] == ["/parts/0/size"]


def test_request_parameters(contract: Contract) -> None:
    """A bad parameter is named by where it was sent and what it is called."""
    operation = contract.operations["getThing"]
    found = contract.check_request(operation, Request("GET", "/base/things/1", b"limit=0", path_params={"id": "1"}))
    [wrong] = contract.check_request(operation, Request("GET", "/base/things/1", b"limit=x", path_params={"id": "1"}))

    assert [(f.rule, f.pointer, f.level) for f in found] == [("request.parameter", "query limit", "published")]
    assert wrong.pointer == "query limit"
    assert contract.check_request(operation, Request("GET", "/base/things/1", b"limit=5&other=", path_params={"id": "1"})) == []


def test_unrouted_requests(contract: Contract) -> None:
    """What is answered where no operation is reached is held to the overlay's `x-unrouted`."""
    exchange = Exchange(Request("GET", "/nowhere"), Response(404, [], b""))
    odd = Exchange(Request("GET", "/nowhere"), Response(400, [], b""))

    assert contract.check_response(contract.unrouted, exchange) == []
    assert [(f.rule, f.level, f.operation) for f in contract.check_response(contract.unrouted, odd)] == [
        ("response.status", "overlay", "")
    ]


def test_a_union_is_explained_by_its_nearest_branch(tmp_path: Path) -> None:
    """Of an anyOf that failed, the branch that came furthest says what is wrong."""
    text = DOCUMENT.replace(
        "              size: {type: number}",
        "              size: {anyOf: [{type: string}, {type: object, properties: {cm: {type: integer}}}]}",
    )
    [finding] = get(Contract.load("things", write(tmp_path, text)), {"parts": [{"size": {"cm": "x"}}]})

    assert finding.pointer == "/parts/0/size/cm"


# ---------------------------------------------------------------- routing


def test_methods_at_a_path(contract: Contract) -> None:
    """The methods of every operation whose pattern fits a concrete path, in order, and none for other paths."""
    assert contract.methods_at("/base/things/1") == ["GET", "PUT"]
    assert contract.methods_at("/base/things/search") == ["GET", "POST", "PUT"]
    assert contract.methods_at("/base/things/a%20b") == ["GET", "PUT"]
    for path in ("/things/1", "/base/things/", "/base/things/1/", "/base/things/1/2", "/base/thingsX1", "", "/x-unrouted"):
        assert contract.methods_at(path) == []


def test_dots_in_paths_are_dots(tmp_path: Path) -> None:
    """Characters that mean something in patterns mean themselves in paths."""
    text = DOCUMENT.replace("/things/search:", "/things.v1+x/search:")
    contract = Contract.load("things", write(tmp_path, text))

    assert contract.methods_at("/base/things.v1+x/search") == ["POST"]
    assert contract.methods_at("/base/thingsAv1x/search") == []


NEWER = """\
openapi: 3.1.0
info: {title: Newer, version: '1'}
paths:
  /things/{id}:
    get:
      operationId: getThing
      parameters:
        - {name: id, in: path, required: true, schema: {type: string, format: uuid4}}
        - {name: sort, in: query, schema: {anyOf: [{type: array, items: {type: string}}, {type: 'null'}]}}
      security: [{token: []}, {}]
      responses:
        '200':
          description: A thing.
          content:
            application/json:
              schema:
                type: object
                required: [id, size]
                properties:
                  id: {type: string, format: uuid4}
                  size: {type: [integer, 'null'], exclusiveMinimum: 0}
                  kind: {const: thing}
  /things/all:
    get:
      operationId: allThings
      responses: {'200': {description: All.}}
components:
  securitySchemes:
    token: {type: http, scheme: bearer}
"""


def test_routing_view_of_a_newer_document(tmp_path: Path) -> None:
    """A 3.1 document gives Connexion a valid 3.0 one: literal paths first, ids and schemes under the contract's name."""
    contract = Contract.load("newer", write(tmp_path, NEWER))
    view = contract.routing_view()

    assert next(iter(OpenAPIV30SpecValidator(view).iter_errors()), None) is None
    assert view["openapi"].startswith("3.0")
    assert list(view["paths"]) == ["/things/all", "/things/{id}"]
    operation = view["paths"]["/things/{id}"]["get"]
    assert operation["operationId"] == "newer/getThing"
    assert operation["security"] == [{"newer.token": []}, {}]
    assert [p["name"] for p in operation["parameters"]] == ["id"]
    assert view["components"]["securitySchemes"] == {"newer.token": {"type": "http", "scheme": "bearer"}}


def test_a_newer_document_is_judged_as_it_is(tmp_path: Path) -> None:
    """What validates is the 3.1 document itself: null beside a type, const, numeric exclusiveMinimum."""
    contract = Contract.load("newer", write(tmp_path, NEWER))
    thing: dict[str, Any] = {"id": "9f0c7a44-6a3c-4d5e-8b1a-0123456789ab", "size": None}

    assert get(contract, thing) == []
    assert get(contract, thing | {"size": 1, "kind": "thing"}) == []
    for name, value in (("size", 0), ("size", "1"), ("kind", "Thing"), ("id", None)):
        assert [f.pointer for f in get(contract, thing | {name: value})] == [f"/{name}"]


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("9f0c7a44-6a3c-4d5e-8b1a-0123456789ab", True),
        ("9F0C7A44-6A3C-4D5E-8B1A-0123456789AB", True),
        ("9f0c7a446a3c4d5e8b1a0123456789ab", True),
        ("9f0c7a44-6a3c-1d5e-8b1a-0123456789ab", False),
        ("9f0c7a44-6a3c-7d5e-8b1a-0123456789ab", False),
        ("9f0c7a44-6a3c-4d5e-0b1a-0123456789ab", False),
        ("00000000-0000-0000-0000-000000000000", False),
        ("9f0c7a44-6a3c-4d5e-8b1a-0123456789a", False),
        ("thing", False),
        ("", False),
    ],
)
def test_format_uuid4(tmp_path: Path, text: str, ok: bool) -> None:
    """`uuid4`, a format that no library knows, is checked: version 4 only, any spelling."""
    contract = Contract.load("newer", write(tmp_path, NEWER))

    assert (get(contract, {"id": text, "size": 1}) == []) is ok


@pytest.mark.parametrize("name", ["flexprice", "polar", "control"])
def test_shipped_contracts_load(name: str) -> None:
    """The documents in `openapi/` load with their overlays, and route with Connexion's version of OpenAPI."""
    overlay = ROOT / "openapi" / f"{name}.overlay.yaml"
    contract = Contract.load(name, ROOT / "openapi" / f"{name}.yaml", *([overlay] if overlay.exists() else []))

    assert next(iter(OpenAPIV30SpecValidator(contract.routing_view()).iter_errors()), None) is None
    assert contract.error_format == name
