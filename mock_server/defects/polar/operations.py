"""What the defects of Polar have in common: its two operations and its customers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from mock_server.defects.book import Book
from mock_server.defects.changes import data_of
from mock_server.defects.visit import Visit
from mock_server.polar.opening import Wallet
from mock_server.polar.provider import Polar

LIST = "customer_portal:wallets:list"
GET = "customer_portal:wallets:get"
LIST_PATH = "/v1/customer-portal/wallets/"

_MEMBERS = 1000  # of the population are looked through for a wallet

Change = Callable[[dict[str, Any]], None]


def each_wallet(book: Book, *operations: str, **more: Any) -> Callable[[Change], Change]:
    """A change of every wallet in good answers of both operations, or of some."""

    def note(function: Change) -> Change:
        def change(data: Any) -> None:
            for wallet in data.get("items", [data]):
                function(wallet)

        book.data(*(operations or (LIST, GET)), **more)(wraps(function)(change))
        return function

    return note


def provider_of(visit: Visit) -> Polar:
    """The provider, with all its customers."""
    provider = visit.call.provider
    assert isinstance(provider, Polar)
    return provider


def good_token(visit: Visit) -> bytes:
    """A token that may read wallets; empty if there is none."""
    opening = provider_of(visit).opening
    for name, customer in opening.fixtures.customers.items():
        if customer.token == "valid" and customer.role != "member":
            return opening.tokens[name].encode()
    return opening.member(0)[0].encode() if opening.population else b""


def foreign_wallets(visit: Visit, own: str) -> Iterator[Wallet]:
    """Wallets of customers other than `own`."""
    opening = provider_of(visit).opening
    customers = [opening.customer(name) for name in opening.fixtures.customers]
    members = (opening.member(index)[1] for index in range(min(opening.population, _MEMBERS)))
    for customer in (*customers, *members):
        if customer.id != own:
            yield from customer.wallets


async def whole_list(visit: Visit) -> list[dict[str, Any]]:
    """The caller's wallets in the order asked for."""
    sorting = [value for name, value in visit.call.request.query if name == "sorting"]
    first = await visit.ask("GET", LIST_PATH, query={"limit": 100, "sorting": sorting})
    items: list[dict[str, Any]] = data_of(first)["items"]
    return items
