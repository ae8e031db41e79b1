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
