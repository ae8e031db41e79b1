"""What the defects of Polar have in common: its two operations and its customers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from mock_server.defects.book import Book
from mock_server.defects.changes import data_of
from mock_server.defects.visit import Visit
from mock_server.polar.entities import Wallet
from mock_server.polar.provider import Polar
from mock_server.polar.state import PolarState, polar_of

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


async def state_and_time(visit: Visit) -> tuple[PolarState, datetime]:
    """Polar's part of the session's world, and the time in it."""
    world = await visit.world()
    return polar_of(world), visit.worlds.draft(world).at


async def good_token(visit: Visit) -> bytes:
    """A token that may read wallets; empty if there is none."""
    state, now = await state_and_time(visit)
    for customer in state.customers():
        for token in state.tokens_of(customer):
            if customer.role != "member" and not token.expired(now):
                return token.text.encode()
    opening = provider_of(visit).opening
    return opening.member(0)[0].encode() if opening.population else b""


async def foreign_wallets(visit: Visit, own: str) -> list[Wallet]:
    """Wallets of customers other than `own`."""
    state, _ = await state_and_time(visit)
    opening = provider_of(visit).opening
    members = (opening.member(index)[1] for index in range(min(opening.population, _MEMBERS)))
    return [wallet for customer in (*state.customers(), *members) if customer.id != own for wallet in customer.wallets]


async def whole_list(visit: Visit) -> list[dict[str, Any]]:
    """The caller's wallets in the order asked for."""
    sorting = [value for name, value in visit.call.request.query if name == "sorting"]
    first = await visit.ask("GET", LIST_PATH, query={"limit": 100, "sorting": sorting})
    items: list[dict[str, Any]] = data_of(first)["items"]
    return items
