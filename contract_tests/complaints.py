"""openapi-core over one document: what it says against a message, turned into findings.

Only what a plan did not accept comes here, so a server that is asked nothing odd never imports the library.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson
from jsonschema.exceptions import ValidationError as SchemaError
from jsonschema_path import SchemaPath
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.deserializing.media_types.exceptions import MediaTypeDeserializeError
from openapi_core.templating.media_types.exceptions import MediaTypeNotFound
from openapi_core.templating.responses.exceptions import ResponseNotFound
from openapi_core.validation.request.exceptions import ParameterValidationError, SecurityValidationError
from openapi_core.validation.response.exceptions import HeaderValidationError
from werkzeug.datastructures import Headers, ImmutableMultiDict

from contract_tests.exchange import RawHeaders, Request, Response, content_type
from contract_tests.finding import Finding, Level
from contract_tests.plans import FormatCheck, has_long_number
from contract_tests.source import json_pointer

# openapi-core warns on every request that uses a deprecated parameter or an empty value; documents may lawfully have both.
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"openapi_core\.")


def _strict_json(raw: bytes, **_: str) -> Any:
    """JSON as RFC 8259 has it: no NaN, no stray surrogates. The media type's parameters do not matter."""
    value = orjson.loads(raw)
    # orjson makes floats of whole numbers beyond 64 bits. Once it has vouched for the text, the slower reader may count.
    return json.loads(raw) if has_long_number(raw) else value


class Library:
    """openapi-core's opinion on messages of one document. Operations are named by (path pattern, method in lower case)."""

    def __init__(self, document: dict[str, Any], formats: Mapping[str, FormatCheck]) -> None:
        config = Config(
            spec_validator_cls=None,  # type: ignore[arg-type] # the document was validated, with file and line, when it was loaded
            extra_format_validators=dict(formats),
            extra_media_type_deserializers={"application/json": _strict_json},
        )
        self._core = OpenAPI(SchemaPath.from_dict(document, resolved_cache_maxsize=1024), config)
        self._base = str(document["servers"][0]["url"]).rstrip("/")

    def request_errors(self, key: tuple[str, str], request: Request) -> list[Exception]:
        """Its complaints about a request, in its own terms."""
        return _complaints(lambda: self._core.request_validator.iter_errors(_CoreRequest(request, key, self._base)))

    def response_errors(self, key: tuple[str, str], request: Request, response: Response) -> list[Exception]:
        """Its complaints about a response, in its own terms."""
        core_request = _CoreRequest(request, key, self._base)
        return _complaints(lambda: self._core.response_validator.iter_errors(core_request, _CoreResponse(response)))


def _complaints(judge: Callable[[], Iterable[Exception]]) -> list[Exception]:
    """All complaints; where the library itself fails at a message, that is one: nobody can rely on such a message."""
    try:
        return list(judge())
    except Exception as failure:  # noqa: BLE001 - whatever odd content types and bytes provoke in it
        return [failure]


def findings(errors: Iterable[Exception], side: str, operation: str, level: Level) -> Iterator[Finding]:
    """openapi-core's complaints as findings; `side` is `request` or `response`."""
    for error in errors:
        cause: BaseException = error.__cause__ or error
        schema_errors = [e for e in getattr(cause, "schema_errors", ()) if isinstance(e, SchemaError)]
        part, place = _part(error)
        if schema_errors:
            for schema_error in schema_errors:
                deepest = _deepest(schema_error)
                pointer = place or json_pointer(deepest.absolute_path)
                yield Finding(
                    f"{side}.{part}", level, operation, pointer, deepest.message, deepest.validator_value, deepest.instance
                )
        elif isinstance(error, ResponseNotFound):
            yield Finding(f"{side}.status", level, operation, "", f"status {error.http_status} is not in the contract")
        elif isinstance(cause, MediaTypeDeserializeError):
            # Said in our words: the library's repeat the whole body, and stumble over bytes that are not UTF-8.
            yield Finding(f"{side}.{part}", level, operation, place, f"cannot be read as {cause.mimetype}")
        elif isinstance(cause, MediaTypeNotFound):
            problem = f"content type {cause.mimetype or '(none)'} is not in the contract"
            yield Finding(f"{side}.content-type", level, operation, "", problem, list(cause.availableMimetypes), cause.mimetype)
        else:
            yield Finding(f"{side}.{part}", level, operation, place, str(cause))


def _part(error: Exception) -> tuple[str, str]:
    """Which part of the message an error is about, and its place if that is not the body."""
    if isinstance(error, ParameterValidationError):
        return "parameter", f"{error.location} {error.name}"
    if isinstance(error, HeaderValidationError):
        return "header", f"header {error.name}"
    if isinstance(error, SecurityValidationError):
        return "security", ""
    return "body", ""


def _deepest(error: SchemaError) -> SchemaError:
    """Of an anyOf that failed, the branch that came furthest: that is where the sender meant to be."""
    while error.context:
        error = max(error.context, key=lambda e: len(e.absolute_path))
    return error


class _CoreRequest:
    """openapi-core's `Request` protocol over ours."""

    host_url = "http://localhost"

    def __init__(self, request: Request, key: tuple[str, str], base: str) -> None:
        self.path = request.path
        self.path_pattern = base + key[0]
        self.method = key[1]
        self.body: bytes | None = request.body or None
        self.content_type = content_type(request.headers)
        query: ImmutableMultiDict[str, str] = ImmutableMultiDict(request.query)
        self.parameters = RequestParameters(query=query, header=_headers(request.headers), path=dict(request.path_params))


class _CoreResponse:
    """openapi-core's `Response` protocol over ours."""

    def __init__(self, response: Response) -> None:
        self.status_code = response.status
        self.data: bytes | None = response.body or None
        self.content_type = content_type(response.headers)
        self.headers = _headers(response.headers)


def _headers(headers: RawHeaders) -> Headers:
    return Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
