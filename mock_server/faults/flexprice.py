"""Flexprice's errors and surprises."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from contract_tests.contract import Contract, Operation
from mock_server.call import Answer, Call
from mock_server.faults import surprises
from mock_server.faults.fault import SurpriseName
from mock_server.flexprice.answers import STATUS, error_answer, json_answer
from mock_server.flexprice.money import divide, multiply, wire

_WORDS = {413: "validation_error"} | {status: word for word, status in reversed(STATUS.items())}
_MESSAGE = "This error was asked for"
_AMOUNTS = frozenset(
    {
        "amount",
        "balance",
        "credit_amount",
        "credit_balance",
        "credit_balance_after",
        "credit_balance_before",
        "credits_available",
        "current_period_usage",
        "free",
        "purchased",
        "real_time_balance",
        "real_time_credit_balance",
        "unpaid_invoices_amount",
    }
)
_NOT_WITHIN = frozenset({"alert_settings", "auto_topup", "metadata"})  # what stands there is the client's own
_LIMIT = 10**11  # more cannot be stored
_ROUNDING = Decimal("1e-9")  # how far a stored product may be from its factors
_READS = frozenset({"queryWallet", "queryWalletTransaction"})  # besides GET


class FlexpriceRepertoire:
    """Flexprice's."""

    codes: Mapping[str, int] = {**STATUS, "version_conflict": 409, "database_error": 500, "system_error": 500}

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def error(self, call: Call, status: int, word: str | None) -> Answer:
        """ErrorResponse, but for the two that do not come from the error handler."""
        if status == 401:
            return json_answer(401, {"error": "Unauthorized"})
        if status == 403 and word is None:
            return json_answer(403, {"message": _MESSAGE})
        return error_answer(word or _WORDS[status], _MESSAGE, status=status)

    def surprise(self, name: SurpriseName, operation: Operation, call: Call, body: Any) -> Any:
        """A write repeats what was asked of it, so there only optional fields may go."""
        if name == "no-optionals":
            return surprises.required_only(self._contract.merged, operation.key, body)
        if operation.method != "GET" and operation.id not in _READS:
            return body
        if name == "empty-page":
            return _emptied(body)
        asked = _asked(call)
        if asked.get("filters"):
            return body  # what comes must fit them
        if name == "zero-amounts":
            return body if asked.get("credits_available_gt") else surprises.scaled(body, 0, _AMOUNTS, _NOT_WITHIN)
        if name == "huge-amounts":
            factor = surprises.largest_factor(surprises.amounts(body, _AMOUNTS, _NOT_WITHIN), _LIMIT)
            return _in_step(surprises.scaled(body, factor, _AMOUNTS, _NOT_WITHIN), factor) if factor > 1 else body
        return surprises.reworded(body, surprises.TEXTS[name], currencies=name == "new-strings")


def _in_step(body: Any, factor: int) -> Any:
    """Scaled products that were rounded before are what their factors make again."""
    if isinstance(body, list):
        return [_in_step(item, factor) for item in body]
    if not isinstance(body, dict):
        return body
    result = {name: _in_step(value, factor) for name, value in body.items()}
    slack = _ROUNDING * factor
    if "credit_amount" in result:
        rate = result.get("topup_conversion_rate" if result["type"] == "credit" else "conversion_rate")
        if rate is not None:
            result["amount"] = wire(multiply(Decimal(result["credit_amount"]), Decimal(rate)))
    elif "credit_balance" in result and "conversion_rate" in result:
        balance, rate = Decimal(result["balance"]), Decimal(result["conversion_rate"])
        exact = multiply(Decimal(result["credit_balance"]), rate)
        if abs(exact - balance) <= slack * (1 + rate):
            result["balance"] = wire(exact)
            if result.get("current_period_usage") is not None and result["real_time_balance"] != "0":
                real_time = Decimal(result["real_time_balance"]) + exact - balance
                result |= {"real_time_balance": wire(real_time), "real_time_credit_balance": wire(divide(real_time, rate))}
    return result


def _emptied(body: Any) -> Any:
    """A page after the last one: as many items as come before it are all there are."""
    if isinstance(body, list):
        return []
    if not isinstance(body, dict) or "items" not in body:
        return body
    page = body["pagination"]
    return {**body, "items": [], "pagination": {**page, "total": min(page["total"], page["offset"])}} if body["items"] else body


def _asked(call: Call) -> Mapping[str, Any]:
    if call.request.method == "GET":
        return call.request.query_first
    try:
        body = orjson.loads(call.request.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
