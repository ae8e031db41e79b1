"""Compiled plans: the fast half of validation. A plan only ever accepts; whatever it does not accept, openapi-core judges.

openapi-core walks the document for every message, which costs hundreds of microseconds. A plan is made once per
operation (and per status) from the schemas that openapi-core resolves, compiled by jsonschema-rs with openapi-core's
own format checkers. `tests/test_plans.py` compares the two on mutated messages: a plan that accepts what the library
rejects is a defect. Anything a plan does not know (a style, a keyword, a media type) makes it stand aside.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import orjson

from contract_tests.exchange import Request, Response
from contract_tests.references import resolved

Check = Callable[[Any], bool]
FormatCheck = Callable[[Any], bool]

# Read and write differ for these, and discriminators are resolved by the library only.
_UNPLANNED_KEYWORDS = {"readOnly", "writeOnly", "discriminator", "contentMediaType", "$dynamicRef", "$schema"}

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")

_SCHEMAS = "#/components/schemas/"

_UNSURE = object()

_DIGITS = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else ord(" ") for byte in range(256))
_LONG = b"0" * 19

_TEXT_ONLY = {"type", "description"}  # a schema of nothing else, with the type string, takes any text

_NUMBER_FORMATS = ("int32", "int64", "float", "double")
_BOUNDS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}

_CASTS: dict[str, Callable[[str], Any]] = {
    "string": lambda text: text,
    "integer": lambda text: int(text) if _INTEGER.fullmatch(text) else _UNSURE,
    "number": lambda text: float(text) if _NUMBER.fullmatch(text) else _UNSURE,
    "boolean": lambda text: {"true": True, "false": False}.get(text, _UNSURE),
}


def _ANY_TEXT(value: Any) -> bool:  # noqa: N802 - a constant that happens to be callable
    return True


def has_long_number(body: bytes) -> bool:
    """Whether there may be a whole number beyond 64 bits in a body, of which orjson would make a float."""
    return _LONG in body.translate(_DIGITS)  # an eighth of the time of a pattern


@dataclass(frozen=True, slots=True)
class _Parameter:
    where: str
    name: str
    required: bool
    is_list: bool
    cast: Callable[[str], Any] | None  # None: present values are for the library
    check: Check
    allow_empty: bool


class _Unplannable(Exception):
    """A schema says something that only the library can judge."""


class RequestPlan:
    """What an acceptable request of one operation looks like."""

    __slots__ = ("_bodies", "_body_required", "_credentials", "_headers", "_paths", "_queries", "_query_required")

    def __init__(
        self,
        parameters: list[_Parameter],
        credentials: list[list[tuple[bytes, bytes]]],
        bodies: Mapping[str, Check] | None,
        body_required: bool,
    ) -> None:
        self._paths = [p for p in parameters if p.where == "path"]
        self._headers = [(p.name.lower().encode(), p) for p in parameters if p.where == "header"]
        self._queries = {p.name: p for p in parameters if p.where == "query"}
        self._query_required = any(p.required for p in self._queries.values())
        self._credentials = credentials
        self._bodies = bodies
        self._body_required = body_required

    def accepts(self, request: Request) -> bool:
        """True: the request is valid. False: ask openapi-core."""
        header = request.header
        if len(header) != len(request.headers):
            return False  # a repeated header: which one counts is the library's to say
        if self._credentials and not self._has_credentials(header):
            return False
        for parameter in self._paths:
            text = request.path_params.get(parameter.name)
            if not text or not _value_ok(parameter, text):
                return False
        for raw_name, parameter in self._headers:
            raw = header.get(raw_name)
            if raw is None:
                if parameter.required:
                    return False
            elif not _value_ok(parameter, raw.decode("latin-1")):
                return False
        if not self._query_ok(request):
            return False
        if self._bodies is None:
            return True
        if not request.body:
            return not self._body_required
        check = self._bodies.get(_media_type(header.get(b"content-type", b"")))
        if check is None:
            return False
        if has_long_number(request.body):
            return False
        try:
            return check(orjson.loads(request.body))
        except orjson.JSONDecodeError:
            return False

    def _has_credentials(self, header: Mapping[bytes, bytes]) -> bool:
        for group in self._credentials:
            for name, scheme in group:
                value = header.get(name)
                if value is None or (scheme and value[: len(scheme)].lower() != scheme):
                    break
            else:
                return True
        return False

    def _query_ok(self, request: Request) -> bool:
        if not request.query_string:
            return not self._query_required
        given: dict[str, list[str]] = {}
        for name, value in request.query:
            given.setdefault(name, []).append(value)
        for name, parameter in self._queries.items():
            values = given.get(name)
            if values is None:
                if parameter.required:
                    return False
            elif parameter.is_list:
                if parameter.cast is None or "" in values or not parameter.check(values):
                    return False
            elif len(values) > 1 or not _value_ok(parameter, values[0]):
                return False
        return True


class AcceptedBodies:
    """Bodies that were judged acceptable lately: the verdict depends on nothing but plan and bytes, so it holds.

    Bounded in bytes, of which each takes `besides` more than its body has; the oldest go first. Rejections are never remembered.
    """

    __slots__ = ("_besides", "_bodies", "_bytes")

    LONGEST = 4_096
    CAPACITY = 4 << 20

    def __init__(self, besides: int = 300) -> None:
        self._besides = besides
        self._bodies: OrderedDict[tuple[object, bytes], None] = OrderedDict()  # a plain one looks for its oldest ever longer
        self._bytes = 0

    def __contains__(self, key: tuple[object, bytes]) -> bool:
        return key in self._bodies

    def add(self, key: tuple[object, bytes]) -> None:
        """Remember a body that its plan has accepted."""
        size = len(key[1])
        if size > self.LONGEST or key in self._bodies:
            return
        size += self._besides
        while self._bytes + size > self.CAPACITY:
            oldest, _ = self._bodies.popitem(last=False)
            self._bytes -= len(oldest[1]) + self._besides
        self._bodies[key] = None
        self._bytes += size


class ResponsePlan:
    """What an acceptable response of one operation and status looks like."""

    __slots__ = ("_accepted", "_content", "_headers")

    def __init__(
        self,
        content: Mapping[str, Check] | None,
        headers: list[tuple[bytes, bool, Check | None]],
        accepted: AcceptedBodies,
    ) -> None:
        self._content = content
        self._headers = headers
        self._accepted = accepted

    def accepts(self, response: Response) -> bool:
        """True: the response is valid. False: ask openapi-core."""
        header = dict(response.headers)
        if len(header) != len(response.headers):
            return False
        for name, required, check in self._headers:
            value = header.get(name)
            if value is None:
                if required:
                    return False
            elif check is not _ANY_TEXT and (check is None or not check(value.decode("latin-1"))):
                return False
        if self._content is None:
            return True
        body_check = self._content.get(_media_type(header.get(b"content-type", b"")))
        if body_check is None:
            return False
        key = (self, response.body)
        if key in self._accepted:
            return True
        if has_long_number(response.body):
            return False
        try:
            ok = body_check(orjson.loads(response.body))
        except orjson.JSONDecodeError:
            return False
        if ok:
            self._accepted.add(key)
        return ok


class Planner:
    """Makes plans for the operations of one document (`merged`: a whole OpenAPI document, 3.0 or 3.1)."""

    def __init__(self, merged: dict[str, Any], formats: Mapping[str, FormatCheck]) -> None:
        self._document = merged
        self._is_30 = str(merged["openapi"]).startswith("3.0")
        self._formats = {name: _library_format(name) for name in _formats_in(merged)} | dict(formats)
        self._validator = jsonschema_rs.Draft4Validator if self._is_30 else jsonschema_rs.Draft202012Validator
        self._accepted = AcceptedBodies()
        self._components: dict[str, Any] = {}
        self._checks: dict[str, Check] = {}
        self._plannable = not _uses(merged, _UNPLANNED_KEYWORDS)
        try:
            self._components = self._translate(merged.get("components", {}).get("schemas", {}))
        except _Unplannable:
            self._plannable = False

    def request_plan(self, path_item: dict[str, Any], operation: dict[str, Any]) -> RequestPlan | None:
        """The plan of an operation, or None where only the library can judge."""
        try:
            return self._request_plan(path_item, operation)
        except _Unplannable:
            return None

    def _request_plan(self, path_item: dict[str, Any], operation: dict[str, Any]) -> RequestPlan | None:
        if not self._plannable:
            return None
        overridden = {(p["name"], p["in"]) for p in map(self._resolve, operation.get("parameters", []))}
        parameters = [self._resolve(p) for p in operation.get("parameters", [])]
        parameters += [p for p in map(self._resolve, path_item.get("parameters", [])) if (p["name"], p["in"]) not in overridden]
        planned = [self._parameter(p) for p in parameters]
        credentials = self._credentials(operation)
        if None in planned or credentials is None:
            return None
        bodies: dict[str, Check] | None = None
        body = self._resolve(operation["requestBody"]) if "requestBody" in operation else None
        if body is not None:
            bodies = self._content(body.get("content", {}))
            if bodies is None:
                return None
        return RequestPlan([p for p in planned if p], credentials, bodies, bool(body and body.get("required")))

    def response_plan(self, operation: dict[str, Any], status: int) -> ResponsePlan | None:
        """The plan of an operation's answer with `status`, or None where only the library can judge."""
        try:
            return self._response_plan(operation, status)
        except _Unplannable:
            return None

    def _response_plan(self, operation: dict[str, Any], status: int) -> ResponsePlan | None:
        response = operation["responses"].get(str(status))
        if response is None or not self._plannable:
            return None
        response = self._resolve(response)
        content = None
        if "content" in response:
            content = self._content(response["content"])
            if content is None:
                return None
        headers: list[tuple[bytes, bool, Check | None]] = []
        for name, reference in response.get("headers", {}).items():
            header = self._resolve(reference)
            if name.lower() == "content-type":
                continue
            headers.append((name.lower().encode(), bool(header.get("required")), self._header_check(header)))
        return ResponsePlan(content, headers, self._accepted)

    def _header_check(self, header: dict[str, Any]) -> Check | None:
        schema = self._resolve(header.get("schema", {}))
        if schema.get("type") != "string" or "style" in header:
            return None
        return _ANY_TEXT if set(schema) <= _TEXT_ONLY else self._compile(schema)

    def _parameter(self, parameter: dict[str, Any]) -> _Parameter | None:
        where, name = parameter["in"], parameter["name"]
        if where == "cookie" or "schema" not in parameter:
            return None
        schema = self._resolve(parameter["schema"])
        shape = schema if "type" in schema or "anyOf" not in schema else self._resolve(schema["anyOf"][0])
        is_list = shape.get("type") == "array"
        usual_style = {"path": "simple", "header": "simple", "query": "form"}[where]
        cast = _CASTS.get(str(shape.get("type")))
        if is_list:
            items = self._resolve(shape.get("items", {}))
            plain_list = where == "query" and items.get("type") == "string" and parameter.get("explode", True)
            cast = _CASTS["string"] if plain_list else None
        elif shape is not schema:
            cast = None
        if parameter.get("style", usual_style) != usual_style or parameter.get("deprecated"):
            cast = None
        check = _ANY_TEXT if set(schema) <= _TEXT_ONLY and schema.get("type") == "string" else self._compile(schema)
        if "default" in schema and not check(schema["default"]):
            return None
        return _Parameter(
            where, name, bool(parameter.get("required")), is_list, cast, check, bool(parameter.get("allowEmptyValue"))
        )

    def _credentials(self, operation: dict[str, Any]) -> list[list[tuple[bytes, bytes]]] | None:
        groups = []
        for requirement in operation.get("security", self._document.get("security", [])):
            group = []
            for name in requirement:
                scheme = self._resolve(self._document["components"]["securitySchemes"][name])
                if scheme["type"] == "apiKey" and scheme["in"] == "header":
                    group.append((scheme["name"].lower().encode(), b""))
                elif scheme["type"] == "http":
                    group.append((b"authorization", scheme["scheme"].lower().encode() + b" "))
                else:
                    return None
            groups.append(group)
        return groups

    def _content(self, content: dict[str, Any]) -> dict[str, Check] | None:
        if "application/json" not in content:
            return None
        return {"application/json": self._compile(content["application/json"].get("schema", {}))}

    def _resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        return resolved(self._document, node)

    def _compile(self, schema: dict[str, Any]) -> Check:
        translated = self._translate(schema)
        text = json.dumps(translated, sort_keys=True)
        if text not in self._checks:
            # With no more than it refers to: every compiled schema is as large as what it was given.
            whole = {**translated, "components": {"schemas": self._referred_to(translated)}}
            try:
                self._checks[text] = self._validator(whole, validate_formats=True, formats=self._formats).is_valid
            except (ValueError, jsonschema_rs.ReferencingError):  # a pattern or a reference that only the library understands
                raise _Unplannable from None
        return self._checks[text]

    def _referred_to(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The component schemas that a schema refers to, and those that they refer to."""
        found: dict[str, Any] = {}
        waiting = [schema]
        while waiting:
            for name in _names_in(waiting.pop()):
                if name in self._components and name not in found:
                    found[name] = self._components[name]
                    waiting.append(found[name])
        return found

    def _translate(self, node: Any) -> Any:
        """OpenAPI 3.0 `nullable` in JSON Schema words; 3.1 schemas are JSON Schema already."""
        if isinstance(node, list):
            return [self._translate(item) for item in node]
        if not isinstance(node, dict):
            return node
        translated = {key: self._translate(value) for key, value in node.items()}
        kind, form = translated.get("type"), translated.get("format")
        if isinstance(form, str) and form in _NUMBER_FORMATS:
            # jsonschema-rs asks formats of text only.
            if form not in _BOUNDS or kind != "integer":
                raise _Unplannable
            low, high = _BOUNDS[form]
            del translated["format"]
            translated["allOf"] = [*translated.get("allOf", []), {"minimum": low, "maximum": high}]
        if self._is_30 and isinstance(translated.get("nullable"), bool) and translated.pop("nullable") and isinstance(kind, str):
            translated["type"] = [kind, "null"]
        if translated.get("format") == "date-time" and "anyOf" not in translated:
            del translated["format"]
            translated["anyOf"] = [{"type": "string", "pattern": _PLAIN_TIME}, {"format": "date-time"}]
        return translated


def _value_ok(parameter: _Parameter, text: str) -> bool:
    if parameter.cast is None or (not text and not parameter.allow_empty):
        return False
    value = parameter.cast(text)
    return value is not _UNSURE and (parameter.check is _ANY_TEXT or parameter.check(value))


def _media_type(raw: bytes) -> str:
    """`application/json` for JSON in UTF-8; anything with other parameters is for the library."""
    return "application/json" if raw in _JSON else ""


_JSON = (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")


# A date-time that no library disputes: UTC, no leap second, a day that every month has. Most are of this form, and a
# pattern is matched without leaving jsonschema-rs for Python.
_PLAIN_TIME = "^(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?Z$"


def _library_format(name: str) -> FormatCheck:
    """The library's own check of a format; a name that it does not know says nothing, as with the library."""

    def conforms(value: Any) -> bool:
        # What openapi-core has for 3.0 and for 3.1. Most values need no check in Python, so most servers never import it.
        from openapi_schema_validator import oas30_format_checker

        try:
            return bool(oas30_format_checker.conforms(value, name))
        except ValueError:  # some checkers trip over text that they should refuse
            return False

    return conforms


def _formats_in(node: Any) -> set[str]:
    """The names of formats that a document may use."""
    if isinstance(node, list):
        return set().union(*map(_formats_in, node))
    if not isinstance(node, dict):
        return set()
    name = node.get("format")
    return set().union({name} if isinstance(name, str) else (), *map(_formats_in, node.values()))


def _names_in(node: Any) -> Iterator[str]:
    """The names of the component schemas that a node refers to itself."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith(_SCHEMAS):
            yield unquote(reference.removeprefix(_SCHEMAS).split("/", 1)[0]).replace("~1", "/").replace("~0", "~")
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _names_in(child)


def _uses(node: Any, keywords: set[str]) -> bool:
    if isinstance(node, dict):
        return not keywords.isdisjoint(node) or any(_uses(value, keywords) for value in node.values())
    if isinstance(node, list):
        return any(_uses(item, keywords) for item in node)
    return False
