"""Lists that are filtered, ordered or cut wrongly."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from contract_tests.exchange import Response
from mock_server.defects.book import Book, forgetting
from mock_server.defects.changes import data_of, with_data
from mock_server.defects.visit import Visit

book = Book("flexprice", "lists")

Object = dict[str, Any]
_ROWS = ("getWalletTransactions", "queryWalletTransaction")
_LISTS = (*_ROWS, "queryWallet")
_OF_CUSTOMER = ("getWalletsByCustomerId", "getCustomerWallets")


def _number(visit: Visit, name: str, default: int) -> int:
    """A whole number as asked for; the default also for what is none."""
    try:
        return int(visit.asked.get(name, default))
    except (TypeError, ValueError, OverflowError):
        return default


# ---------------------------------------------------------------- filters

for _name, _about, _parameters in (
    ("type", "credits or debits", ("type",)),
    ("status", "a transaction status", ("transaction_status",)),
    ("reason", "a transaction reason", ("transaction_reason",)),
    ("start-time", "a start time", ("start_time",)),
    ("end-time", "an end time", ("end_time",)),
    ("expiry", "an expiry date", ("expiry_date_before", "expiry_date_after")),
    ("credits-available", "a least number of available credits", ("credits_available_gt",)),
    ("priority", "a priority", ("priority",)),
    ("reference", "a reference", ("reference_type", "reference_id")),
):
    book.add(
        f"{_name}-filter-ignored",
        f"A list of transactions that is asked for {_about} has all of them.",
        before=forgetting(*_parameters, operations=_ROWS),
    )
for _name, _about, _parameters in (
    ("wallet-ids", "certain wallets", ("wallet_ids",)),
    ("wallet-status", "a wallet status", ("status",)),
):
    book.add(
        f"search-ignores-{_name}",
        f"A search for {_about} finds all wallets.",
        before=forgetting(*_parameters, operations=("queryWallet",)),
    )


@book.before(*_ROWS)
def credits_available_includes_equal(visit: Visit) -> None:
    """Credits with exactly the asked number are listed as if they had more."""
    try:
        visit.set("credits_available_gt", float(visit.asked["credits_available_gt"]) - 1e-6)
    except (KeyError, TypeError, ValueError):
        return  # none is asked for, or none that is a number


# ---------------------------------------------------------------- pages


def _asked_page(visit: Visit, response: Response) -> Response:
    """The pagination says what was asked for, whatever was done."""
    data = data_of(response)
    if visit.operation not in _LISTS or response.status != 200:
        return response
    data["pagination"] |= {"offset": _number(visit, "offset", 0), "limit": _number(visit, "limit", 50)}
    return with_data(response, data)


@book.before(*_LISTS, after=_asked_page)
def pages_overlap(visit: Visit) -> None:
    """Every page begins with the last item of the one before."""
    if _number(visit, "offset", 0) > 0:
        visit.set("offset", _number(visit, "offset", 0) - 1)


@book.before(*_LISTS, after=_asked_page)
def page_loses_item(visit: Visit) -> None:
    """Between two pages an item is lost."""
    if _number(visit, "offset", 0) > 0:
        visit.set("offset", _number(visit, "offset", 0) + 1)


@book.before(*_LISTS, after=_asked_page)
def offset_ignored(visit: Visit) -> None:
    """The offset is ignored: every page is the first."""
    if _number(visit, "offset", 0) > 0:
        visit.forget("offset")


@book.before(*_LISTS)
def negative_offset_accepted(visit: Visit) -> None:
    """A negative offset is taken for 0."""
    if _number(visit, "offset", 0) < 0:
        visit.forget("offset")


@book.before(*_ROWS, after=_asked_page)
def limit_ignored(visit: Visit) -> None:
    """The limit is ignored: pages have up to 50 items."""
    if 0 < _number(visit, "limit", 50) < 50:
        visit.forget("limit")


@book.before(*_LISTS)
def limit_over_1000_accepted(visit: Visit) -> None:
    """A limit over 1000 is accepted."""
    if _number(visit, "limit", 50) > 1000:
        visit.set("limit", 1000)


@book.data(*_ROWS)
def total_counts_page(data: Any) -> None:
    """The total of a list of transactions is the number of items on the page."""
    data["pagination"]["total"] = len(data["items"])


@book.data(*_ROWS)
def total_one_too_high(data: Any) -> None:
    """The total of a list of transactions is one too high."""
    data["pagination"]["total"] += 1


# ---------------------------------------------------------------- order


@book.before(*_LISTS)
def order_ignored(visit: Visit) -> None:
    """The order asked for is ignored: lists are always newest first."""
    if visit.asked.get("order") in ("asc", "desc"):
        visit.forget("order")


@book.before(*_ROWS)
def default_order_ascending(visit: Visit) -> None:
    """Lists of transactions are oldest first unless another order is asked for."""
    if "order" not in visit.asked:
        visit.set("order", "asc")


@book.after("getWalletTransactions")
async def ties_unstable(visit: Visit, response: Response) -> Response:
    """Rows of one second are in another order on every other page."""
    offset, limit = _number(visit, "offset", 0), _number(visit, "limit", 50)
    if not offset % 2:
        return response
    whole = {**visit.asked, "limit": 1000, "offset": 0}
    rows = data_of(await visit.ask("GET", visit.path, query=whole))["items"]
    turned = [row for _, ties in groupby(rows, lambda row: row["created_at"][:19]) for row in reversed(list(ties))]
    return with_data(response, data_of(response) | {"items": turned[offset : offset + limit]})


# ---------------------------------------------------------------- items


@book.after("getWalletTransactions")
async def foreign_transaction_listed(visit: Visit, response: Response) -> Response:
    """A wallet's list of transactions has one of another wallet."""
    data = data_of(response)
    rows = data_of(await visit.ask("POST", "/wallets/transactions/search", {"limit": 1000}))["items"]
    foreign = [row for row in rows if row["wallet_id"] != visit.path_id]
    if data["items"] and foreign:
        data["items"][-1] = foreign[0]
    return with_data(response, data)


@book.after(*_OF_CUSTOMER)
async def foreign_wallet_listed(visit: Visit, response: Response) -> Response:
    """A customer's wallets include one of another customer."""
    data = data_of(response)
    own = visit.path_id if visit.operation == "getWalletsByCustomerId" else visit.asked.get("id")
    owners = {own, *(wallet["customer_id"] for wallet in data)}
    found = data_of(await visit.ask("POST", "/wallets/search", {"limit": 1000, "status": "active"}))["items"]
    foreign = [wallet for wallet in found if wallet["customer_id"] not in owners]
    if not foreign:
        return response
    balance = data_of(await visit.ask("GET", f"/wallets/{foreign[0]['id']}/balance/real-time"))
    return with_data(response, [*data, balance])


@book.data(*_OF_CUSTOMER)
def customer_wallet_missing(data: Any) -> Any:
    """The oldest of a customer's active wallets is not listed."""
    return data[1:]


@book.each("wallet_", "queryWallet")
def found_wallet_differs(wallet: Object) -> None:
    """Wallets found by a search have balances of 0."""
    wallet["balance"] = wallet["credit_balance"] = "0"


@book.each("wallet_", *_OF_CUSTOMER)
def listed_wallet_differs(wallet: Object) -> None:
    """Wallets listed for their customer have another description than they have."""
    wallet["description"] = f"{wallet['description']} (listed)"


@book.each("wtxn_", "queryWalletTransaction")
def found_transaction_differs(row: Object) -> None:
    """Transactions found by a search over all wallets have no metadata and key."""
    row["metadata"], row["idempotency_key"] = {}, ""


@book.data(*_ROWS)
def transaction_listed_twice(data: Any) -> None:
    """A page with several transactions has its first twice, in place of the last."""
    if len(data["items"]) > 1:
        data["items"][-1] = data["items"][0]
