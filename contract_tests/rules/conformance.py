"""The rules that openapi-core checks: an exchange keeps the provider's document and our overlay."""

from __future__ import annotations

from contract_tests.rules.rule import Rule

_SOURCE = "openapi/*.yaml (level published) and openapi/*.overlay.yaml (level overlay)"

RESPONSE_STATUS = Rule("response.status", "The status is one that the contract has for the operation.", _SOURCE, "every answer")
RESPONSE_CONTENT_TYPE = Rule(
    "response.content-type", "The content type is one that the contract has for the status.", _SOURCE, "every answer"
)
RESPONSE_HEADER = Rule("response.header", "Headers that the contract requires are there and right.", _SOURCE, "every answer")
RESPONSE_BODY = Rule("response.body", "The body fits its schema.", _SOURCE, "every answer")

CONFORMANCE = (RESPONSE_STATUS, RESPONSE_CONTENT_TYPE, RESPONSE_HEADER, RESPONSE_BODY)

_JUDGED = "every request of a recording or behind the proxy"
_REFUSED = "requests that the service refused: they are listed, and fail nothing"

REQUEST_PARAMETER = Rule("request.parameter", "Parameters that a client sends fit the contract.", _SOURCE, _JUDGED, _REFUSED)
REQUEST_CONTENT_TYPE = Rule(
    "request.content-type", "The content type of a request is one that the contract has.", _SOURCE, _JUDGED, _REFUSED
)
REQUEST_BODY = Rule("request.body", "The body that a client sends fits its schema.", _SOURCE, _JUDGED, _REFUSED)
REQUEST_SECURITY = Rule(
    "request.security",
    "Requests carry the credentials that the contract asks for.",
    _SOURCE,
    _JUDGED,
    f"{_REFUSED}; recordings that were made without any credentials",
)

OF_REQUESTS = (REQUEST_PARAMETER, REQUEST_CONTENT_TYPE, REQUEST_BODY, REQUEST_SECURITY)
"""What only traffic of others is held to: a run's own requests break the contract on purpose."""
