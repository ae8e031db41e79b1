"""Lists that are ordered, cut or filled wrongly."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from contract_tests.exchange import Response
from mock_server.defects.book import Book
from mock_server.defects.changes import data_of, with_data
from mock_server.defects.polar.operations import LIST, each_wallet, foreign_wallets, whole_list
from mock_server.defects.visit import Visit
from mock_server.polar import parameters
from mock_server.polar.answers import invalid, not_found
from mock_server.polar.provider import wallet_body

book = Book("polar", "lists")

Object = dict[str, Any]


def _page(visit: Visit) -> tuple[int, int]:
    """Page and limit of a list that was served."""
    query = parameters.list_query(visit.call.request)
    return query.page, min(query.limit, parameters.MAX_LIMIT)


async def _shifted(visit: Visit, response: Response, by: int) -> Response:
    """The page, if it is not the first, from some wallets further on."""
    page, limit = _page(visit)
    if page == 1:
        return response
    start = (page - 1) * limit + by
    return with_data(response, data_of(response) | {"items": (await whole_list(visit))[start : start + limit]})


@book.after(LIST)
async def pages_overlap(visit: Visit, response: Response) -> Response:
    """Every page begins with the last wallet of the one before."""
    return await _shifted(visit, response, -1)


@book.after(LIST)
async def page_loses_item(visit: Visit, response: Response) -> Response:
    """Between two pages a wallet is lost."""
    return await _shifted(visit, response, 1)


@book.data(LIST)
def total_counts_page(data: Any) -> None:
    """The total is the number of wallets on the page."""
    data["pagination"]["total_count"] = len(data["items"])


@book.data(LIST)
def max_page_one_short(data: Any) -> None:
    """The number of pages is rounded down."""
    data["pagination"]["max_page"] = max(0, data["pagination"]["max_page"] - 1)


@book.after(LIST)
def max_page_ignores_limit(visit: Visit, response: Response) -> Response:
    """The number of pages is always that for ten wallets a page."""
    data = data_of(response)
    data["pagination"]["max_page"] = -(-data["pagination"]["total_count"] // 10)
    return with_data(response, data)


@book.after(LIST)
def limit_over_100_refused(visit: Visit, response: Response) -> Response:
    """A limit over 100 is refused instead of taken for 100."""
    query = parameters.list_query(visit.call.request)
    if query.limit <= parameters.MAX_LIMIT:
        return response
    entry = {"type": "less_than_equal", "loc": ["query", "limit"], "msg": "Input should be less than or equal to 100"}
    return visit.answer(invalid([{**entry, "input": str(query.limit), "ctx": {"le": 100}}]))


@book.before(LIST)
def limit_clamped_to_5(visit: Visit) -> None:
    """Pages have at most 5 wallets, whatever the limit."""
    limit = str(visit.asked.get("limit", 10))
    if limit.isdecimal() and int(limit[:50]) > 5:
        visit.set("limit", 5)


@book.before(LIST)
def limit_ignored(visit: Visit) -> None:
    """The limit is ignored."""
    if str(visit.asked.get("limit", 0)).strip("0").isdecimal():
        visit.forget("limit")


@book.data(LIST)
def limit_off_by_one(data: Any) -> None:
    """A page has one wallet less than its limit."""
    if data["pagination"]["max_page"] > 1:
        data["items"] = data["items"][:-1]


@book.before(LIST)
def page_ignored(visit: Visit) -> None:
    """The page is ignored: every page is the first."""
    if str(visit.asked.get("page", 0)).strip("0").isdecimal():
        visit.forget("page")


@book.before(LIST)
def sorting_ignored(visit: Visit) -> None:
    """A sorting is checked by nobody and ignored."""
    visit.forget("sorting")


def _sortings(visit: Visit) -> list[str]:
    return [value for name, value in visit.call.request.query if name == "sorting"]


@book.before(LIST)
def descending_as_ascending(visit: Visit) -> None:
    """A descending order is taken for an ascending one."""
    given = _sortings(visit)
    if given:
        visit.set("sorting", [value.removeprefix("-") for value in given])


@book.before(LIST)
def sortings_turned_round(visit: Visit) -> None:
    """Of several sortings the last one counts first."""
    if len(_sortings(visit)) > 1:
        visit.set("sorting", _sortings(visit)[::-1])


@book.before(LIST)
def default_order_ascending(visit: Visit) -> None:
    """Lists are oldest first unless another order is asked for."""
    if not _sortings(visit):
        visit.set("sorting", "created_at")


@book.after(LIST)
async def balance_sorted_as_text(visit: Visit, response: Response) -> Response:
    """Balances are ordered as text."""
    first = (_sortings(visit) or [""])[0]
    if first.removeprefix("-") != "balance":
        return response
    page, limit = _page(visit)
    items = sorted(await whole_list(visit), key=lambda wallet: str(wallet["balance"]), reverse=first.startswith("-"))
    return with_data(response, data_of(response) | {"items": items[(page - 1) * limit : page * limit]})


@book.after(LIST)
async def ties_unstable(visit: Visit, response: Response) -> Response:
    """Wallets with the same sort key are in another order on every other page."""
    page, limit = _page(visit)
    if page % 2:
        return response
    field = (_sortings(visit) or ["created_at"])[0].removeprefix("-")
    ties = [list(group) for _, group in groupby(await whole_list(visit), lambda wallet: wallet[field])]
    turned = [wallet for group in ties for wallet in reversed(group)]
    return with_data(response, data_of(response) | {"items": turned[(page - 1) * limit : page * limit]})


@book.after(LIST)
def past_the_end_is_404(visit: Visit, response: Response) -> Response:
    """A page past the end is a 404."""
    return response if data_of(response)["items"] or _page(visit)[0] == 1 else visit.answer(not_found().answer)


@book.after(LIST)
async def past_the_end_is_last(visit: Visit, response: Response) -> Response:
    """A page past the end is the last one."""
    data, (_, limit) = data_of(response), _page(visit)
    start = (data["pagination"]["max_page"] - 1) * limit
    return response if data["items"] or start < 0 else with_data(response, data | {"items": (await whole_list(visit))[start:]})


@book.after(LIST)
async def foreign_wallet_listed(visit: Visit, response: Response) -> Response:
    """The list has a wallet of another customer."""
    data = data_of(response)
    foreign = await foreign_wallets(visit, visit.call.identity.id)
    if not data["items"] or not foreign:
        return response
    data["items"][-1] = wallet_body(foreign[0])
    return with_data(response, data)


@book.data(LIST)
def wallet_listed_twice(data: Any) -> None:
    """A page with several wallets has its first twice, in place of the last."""
    if len(data["items"]) > 1:
        data["items"][-1] = data["items"][0]


@each_wallet(book, LIST)
def listed_balance_differs(wallet: Object) -> None:
    """Listed wallets have a smaller balance than they have on their own."""
    wallet["balance"] -= 1


@each_wallet(book, LIST)
def listed_modified_at_null(wallet: Object) -> None:
    """Listed wallets do not tell when they were modified."""
    wallet["modified_at"] = None


@book.data(LIST)
def customer_differs(data: Any) -> None:
    """The second wallet of a list names another customer than the first."""
    if len(data["items"]) > 1:
        data["items"][1]["customer_id"] = data["items"][1]["id"]


@book.data(LIST)
def empty_wallets_missing(data: Any) -> None:
    """Wallets without money are not listed."""
    data["items"] = [wallet for wallet in data["items"] if wallet["balance"]]
