"""Polar's errors and surprises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract_tests.contract import Operation
from mock_server.call import Answer, Call
from mock_server.faults import surprises
from mock_server.faults.fault import SurpriseName
from mock_server.polar import answers
from mock_server.polar.parameters import list_query

_AMOUNTS = frozenset({"balance"})
_LIMIT = 2**63  # of the provider's column


class PolarRepertoire:
    """Polar's five ways to say no, the empty 429 of its gateway, and failures in plain text."""

    codes: Mapping[str, int] = {
        "Unauthorized": 401,
        "invalid_token": 401,
        "NotPermitted": 403,
        "ResourceNotFound": 404,
        "RequestValidationError": 422,
    }

    def error(self, call: Call, status: int, word: str | None) -> Answer:
        """The shape that goes with the status."""
        if status == 401:
            return answers.unauthorized().answer if word == "Unauthorized" else answers.invalid_token()
        if status == 403:
            return answers.not_permitted().answer
        if status == 404:
            return answers.not_found().answer if call.operation is not None else answers.no_route()
        if status == 422:
            return answers.invalid([_mistake(call)])
        if status == 429:
            return Answer(429)
        return call.provider.failure(call) if status == 500 else call.provider.unavailable(call, Exception("Service Unavailable"))

    def surprise(self, name: SurpriseName, operation: Operation, call: Call, body: Any) -> Any:
        """Wallets have neither optional fields nor free text: there are amounts, currencies and pages."""
        if name == "zero-amounts":
            return surprises.scaled(body, 0, _AMOUNTS) if _any_order(operation, call) else body
        if name == "huge-amounts":
            return surprises.scaled(body, surprises.largest_factor(surprises.amounts(body, _AMOUNTS), _LIMIT), _AMOUNTS)
        if name == "new-strings":
            return surprises.reworded(body, None, currencies=True)
        if name == "empty-page" and isinstance(body, dict) and body.get("items"):
            query = list_query(call.request)
            limit = min(query.limit, 100)
            total = min(body["pagination"]["total_count"], (query.page - 1) * limit)
            return {**body, "items": [], "pagination": {"total_count": total, "max_page": -(-total // limit)}}
        return body


def _any_order(operation: Operation, call: Call) -> bool:
    """Whether wallets of the same balance may come in any order: not if another criterion is to tell them apart."""
    if operation.path.endswith("}"):
        return True
    sorting = [criterion.lstrip("-") for criterion in list_query(call.request).sorting]
    return sorting[0] != "balance" or len(sorting) == 1


def _mistake(call: Call) -> dict[str, Any]:
    """An entry that complains of the first parameter."""
    wallet_id = call.request.path_params.get("id")
    if wallet_id is not None:
        loc, given = ["path", "id"], wallet_id
        return {"type": "uuid_parsing", "loc": loc, "msg": "Input should be a valid UUID", "input": given}
    given = call.request.query_first.get("page", "")
    message = "Input should be a valid integer, unable to parse string as an integer"
    return {"type": "int_parsing", "loc": ["query", "page"], "msg": message, "input": given}
