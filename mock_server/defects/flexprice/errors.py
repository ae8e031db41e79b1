"""Errors that are wrong in status, code or form, or that should be errors and are none."""

from __future__ import annotations

import json
from typing import Any

from contract_tests.exchange import Response
from mock_server.defects.book import Book
from mock_server.defects.changes import data_of, with_body, with_data, with_header
from mock_server.defects.visit import Visit
from mock_server.flexprice.answers import error_answer, json_answer

book = Book("flexprice", "errors")

Object = dict[str, Any]
_TRACE = "goroutine 42 [running]:\nmain.(*walletHandler).Get(0xc0001a2000)\n\t/app/internal/api/v1/wallet.go:128 +0x1f4"


@book.errors()
def error_status_differs(error: Object) -> None:
    """The http_status_code in the body is 200 whatever the status is."""
    error["http_status_code"] = 200


@book.data(status=404)
def not_found_as_validation_error(error: Object) -> None:
    """A 404 has the code validation_error."""
    error["code"] = "validation_error"


@book.errors()
def error_code_unknown(error: Object) -> None:
    """The code of errors is a word that the document does not have."""
    error["code"] = f"wallet_{error.get('code', 'error')}"


@book.errors()
def error_without_message(error: Object) -> None:
    """Errors have no message."""
    del error["message"]


@book.errors()
def error_in_envelope(error: Object) -> Object:
    """Errors are wrapped in an object with one member, `error`."""
    return {"error": error}


@book.errors()
def stack_trace_in_message(error: Object) -> None:
    """Error messages show the server's stack trace."""
    error["message"] += f"\n{_TRACE}"


@book.after(status=None)
def error_echoes_key(visit: Visit, response: Response) -> Response:
    """Error messages repeat the caller's key."""
    error = data_of(response)
    if response.status < 400 or response.status == 401 or "message" not in (error or {}):
        return response
    key = visit.call.request.header.get(b"x-api-key", b"").decode("latin-1")
    return with_data(response, {**error, "message": f"{error['message']} (x-api-key {key})"})


@book.after(status=None)
def error_as_plain_text(visit: Visit, response: Response) -> Response:
    """Errors of handlers are plain text."""
    error = data_of(response)
    if response.status < 400 or "message" not in (error or {}):
        return response
    return with_header(with_body(response, error["message"].encode()), b"content-type", b"text/plain; charset=utf-8")


@book.after("getWallet", "getWalletBalance", status=404)
async def unknown_wallet_is_empty(visit: Visit, response: Response) -> Response:
    """An unknown wallet reads as an empty one."""
    found = data_of(await visit.ask("POST", "/wallets/search", {"limit": 1}))
    if not found["items"]:
        return response
    known = data_of(await visit.ask("GET", visit.path.replace(visit.path_id, found["items"][0]["id"])))
    empty = dict.fromkeys({"balance", "credit_balance", "real_time_balance", "real_time_credit_balance"} & set(known), "0")
    return visit.answer(json_answer(200, {**known, **empty, "id": f"wallet_{'0' * 26}", "name": "", "metadata": {}}))


@book.after(status=404)
def unknown_wallet_is_500(visit: Visit, response: Response) -> Response:
    """An unknown wallet is a 500."""
    if not visit.operation:
        return response
    return visit.answer(error_answer("internal_error", "An unexpected error occurred"))


@book.after(status=404)
def unknown_wallet_is_400(visit: Visit, response: Response) -> Response:
    """An unknown wallet is a 400."""
    return visit.answer(error_answer("validation_error", "Bad request")) if visit.operation else response


@book.after(status=400)
def validation_error_is_500(visit: Visit, response: Response) -> Response:
    """A request that breaks the rules is answered as a 500."""
    return visit.answer(error_answer("internal_error", "An unexpected error occurred"))


@book.after(status=400)
def bad_json_is_500(visit: Visit, response: Response) -> Response:
    """A body that is no JSON is a 500 without a body."""
    try:
        json.loads(visit.call.request.body or b"{}")
    except ValueError:
        return _empty_500(response)
    return response


@book.after(status=409)
def conflict_as_200(visit: Visit, response: Response) -> Response:
    """A conflict is answered 200 with the error in the body."""
    return visit.answer(json_answer(200, data_of(response)))


@book.after("queryWallet", live=True)
def search_without_paging_fails(visit: Visit, response: Response) -> Response:
    """A search that names no page, order or expand is a 500 without a body."""
    return response if {"limit", "offset", "sort", "order", "expand"} & set(visit.asked) else _empty_500(response)


@book.after("updateWallet", status=404, live=True)
def update_of_unknown_fails(visit: Visit, response: Response) -> Response:
    """Updating an unknown wallet is a 404 and a 500 by turns."""
    visit.memory["even"] = not visit.memory.get("even", True)
    if visit.memory["even"]:
        return response
    return visit.answer(error_answer("database_error", "An unexpected error occurred", status=500))


@book.before("getWalletBalance", "getWalletsByCustomerId")
def bad_expand_accepted(visit: Visit) -> None:
    """An `expand` that cannot be expanded is ignored instead of refused."""
    if visit.asked.get("expand") != "credits_available_breakdown":
        visit.forget("expand")


@book.before("topUpWallet")
def negative_top_up_accepted(visit: Visit) -> None:
    """A negative top-up is taken for a positive one."""
    for name in ("credits_to_add", "amount"):
        if str(visit.asked.get(name)).startswith("-"):
            visit.set(name, str(visit.asked[name])[1:])


@book.before("topUpWallet")
def empty_top_up_accepted(visit: Visit) -> None:
    """A top-up of nothing is taken for one of a single credit."""
    if not any(str(visit.asked.get(name) or "").strip("+-0.") for name in ("credits_to_add", "amount")):
        visit.set("credits_to_add", "1")


@book.before("createWallet")
def missing_currency_accepted(visit: Visit) -> None:
    """A wallet created without currency is in dollars."""
    if not visit.asked.get("currency"):
        visit.set("currency", "usd")


@book.before("topUpWallet")
def missing_reason_accepted(visit: Visit) -> None:
    """A top-up without a reason is a free grant."""
    if not visit.asked.get("transaction_reason"):
        visit.set("transaction_reason", "FREE_CREDIT_GRANT")


def _empty_500(response: Response) -> Response:
    return Response(500, with_header(with_body(response, b""), b"content-type", None).headers, b"")
