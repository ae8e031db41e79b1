"""What goes wrong once in twenty times."""

from __future__ import annotations

from decimal import Decimal

from contract_tests.exchange import Response
from mock_server.defects.book import Book
from mock_server.defects.changes import data_of, truncated, with_data, with_status
from mock_server.defects.flexprice.money import one_behind
from mock_server.defects.visit import Visit
from mock_server.flexprice import money
from mock_server.flexprice.answers import error_answer

book = Book("flexprice", "rare")


@book.after("getWalletBalance")
def rarely_500(visit: Visit, response: Response) -> Response:
    """One real-time balance in twenty is a 500."""
    return visit.answer(error_answer("internal_error", "An unexpected error occurred"))


@book.after("getWalletBalance")
async def rarely_stale(visit: Visit, response: Response) -> Response:
    """One real-time balance in twenty is the one from before the last transaction."""
    return await one_behind(visit, response)


@book.after("getWallet")
def rarely_field_missing(visit: Visit, response: Response) -> Response:
    """One wallet in twenty comes without its balance."""
    wallet = data_of(response)
    del wallet["balance"]
    return with_data(response, wallet)


@book.after("getWalletBalance")
def rarely_truncated(visit: Visit, response: Response) -> Response:
    """One real-time balance in twenty ends in the middle."""
    return truncated(response)


@book.after("getWalletBalance")
def rarely_off_by_one_cent(visit: Visit, response: Response) -> Response:
    """One real-time balance in twenty is a cent too high."""
    wallet = data_of(response)
    wallet["balance"] = money.wire(Decimal(wallet["balance"]) + Decimal("0.01"))
    return with_data(response, wallet)


@book.after("getWalletTransactions")
def rarely_transaction_missing(visit: Visit, response: Response) -> Response:
    """One list of a wallet's transactions in twenty lacks its last."""
    data = data_of(response)
    return with_data(response, {**data, "items": data["items"][:-1]}) if data["items"] else response


@book.after("getWallet")
def rarely_202(visit: Visit, response: Response) -> Response:
    """One wallet in twenty is answered with 202."""
    return with_status(response, 202)


@book.after("topUpWallet")
def rarely_top_up_500(visit: Visit, response: Response) -> Response:
    """One top-up in twenty is answered with a 500 although it is done."""
    return visit.answer(error_answer("internal_error", "An unexpected error occurred"))
