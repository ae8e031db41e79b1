"""What goes wrong once in twenty times."""

from __future__ import annotations

from typing import Any

from contract_tests.exchange import Response
from mock_server.call import Answer
from mock_server.defects.book import Book
from mock_server.defects.changes import truncated
from mock_server.defects.polar.operations import GET, LIST, each_wallet
from mock_server.defects.visit import Visit

book = Book("polar", "rare")


@book.after(GET)
def rarely_500(visit: Visit, response: Response) -> Response:
    """One wallet in twenty is a 500."""
    return visit.answer(Answer(500, b"Internal Server Error", content_type=b"text/plain; charset=utf-8"))


@each_wallet(book, GET)
def rarely_off_by_one(wallet: dict[str, Any]) -> None:
    """One wallet in twenty has a balance one too high."""
    wallet["balance"] += 1


@book.data(LIST)
def rarely_loses_item(data: Any) -> None:
    """One list in twenty lacks its last wallet."""
    del data["items"][-1:]


@book.after(LIST)
def rarely_truncated(visit: Visit, response: Response) -> Response:
    """One list in twenty ends in the middle."""
    return truncated(response)
