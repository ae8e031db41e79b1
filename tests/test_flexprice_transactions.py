"""Flexprice transaction lists over HTTP: of one wallet by query (operation 7), of all wallets by search body (operation 9).

What a list should hold is found by filtering everything here, in plain Python, and comparing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import httpx
import pytest
from conftest import Mock
from flexprice_checks import Body, Wallet, assert_invalid, assert_ok, assert_refused, assert_row, number, total_of

NOBODY = "wallet_00000000000000000000000000"
FUTURE, LATER = "2036-03-01T00:00:00.000000Z", "2037-03-01T00:00:00.000000Z"

Fits = Callable[[Body], bool]


def assert_page(page: Body, expected: list[Body], limit: int, offset: int) -> None:
    """A page with its share of what is expected, and the total of all of it (I24)."""
    assert page["pagination"] == {"total": len(expected), "limit": limit, "offset": offset}
    assert page["items"] == expected[offset : offset + limit]


def newest_first(rows: list[Body]) -> None:
    """The default order."""
    assert all(newer["created_at"] >= older["created_at"] for newer, older in pairwise(rows))


# ---------------------------------------------------------------- operation 7: one wallet


@pytest.fixture
def rich(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> Wallet:
    """A wallet with rows of every kind: the persona's own three, then a purchase with all fields, a bonus, a pending one."""
    wallet = Wallet(flexprice, wallet_ids["healthy"])
    assert_ok(
        wallet.top_up(
            credits_to_add="12.5",
            transaction_reason="PURCHASED_CREDIT_DIRECT",
            idempotency_key="order-2",
            priority=2,
            expiry_date_utc=FUTURE,
            description="Second purchase",
        )
    )
    assert_ok(
        wallet.top_up(credits_to_add="30", bonus_credits_to_add="3", expiry_date_utc=LATER, idempotency_key="order-3", priority=2)
    )
    assert_ok(wallet.top_up(credits_to_add="100", transaction_reason="PURCHASED_CREDIT_INVOICED", idempotency_key="order-4"))
    wallet.check()
    return wallet


def listed(wallet: Wallet, query: Any) -> Body:
    """The answer of operation 7."""
    page: Body = assert_ok(wallet.client.get(f"/wallets/{wallet.id}/transactions", params=query))
    return page


def is_credit(row: Body) -> bool:
    """Whether credits came in."""
    return bool(row["type"] == "credit")


def named(value: object) -> str:
    """What is asked for names a case; what it must give does not, as functions have no lasting name."""
    return "" if callable(value) else str(value)


@pytest.mark.parametrize(
    ("query", "fits", "count"),
    [
        ({}, lambda row: True, 7),
        ({"type": "credit"}, is_credit, 6),
        ({"type": "debit"}, lambda row: not is_credit(row), 1),
        ({"transaction_status": "completed"}, lambda row: row["transaction_status"] == "completed", 6),
        ({"transaction_status": "pending"}, lambda row: row["transaction_status"] == "pending", 1),
        ({"transaction_status": "failed"}, lambda row: False, 0),
        ({"transaction_reason": "FREE_CREDIT_GRANT"}, lambda row: row["transaction_reason"] == "FREE_CREDIT_GRANT", 2),
        ({"transaction_reason": "PURCHASED_CREDIT_BONUS"}, lambda row: "parent_transaction_id" in row, 1),
        ({"transaction_reason": "CREDIT_EXPIRED"}, lambda row: False, 0),
        ({"priority": "2"}, lambda row: row.get("priority") == 2, 2),
        ({"priority": "1"}, lambda row: row.get("priority") == 1, 1),
        ({"priority": "0"}, lambda row: False, 0),
        ({"credits_available_gt": "0"}, lambda row: number(row, "credits_available") > 0, 6),
        ({"credits_available_gt": "12.5"}, lambda row: number(row, "credits_available") > Decimal("12.5"), 4),
        ({"credits_available_gt": "12.499999999"}, lambda row: number(row, "credits_available") >= Decimal("12.5"), 5),
        ({"credits_available_gt": "-1"}, lambda row: True, 7),
        ({"credits_available_gt": "1e3"}, lambda row: False, 0),
        ({"reference_type": "EXTERNAL", "reference_id": "order-2"}, lambda row: row["reference_id"] == "order-2", 1),
        ({"reference_type": "EXTERNAL", "reference_id": "order-9"}, lambda row: False, 0),
        ({"reference_type": "PAYMENT", "reference_id": "order-2"}, lambda row: False, 0),
        ({"reference_id": "order-2"}, lambda row: True, 7),
        ({"status": "published"}, lambda row: True, 7),
        ({"status": "deleted"}, lambda row: False, 0),
        ({"status": "archived"}, lambda row: False, 0),
        ({"expiry_date_before": FUTURE}, lambda row: row.get("expiry_date") == FUTURE, 1),
        ({"expiry_date_before": "2036-02-29T23:59:59Z"}, lambda row: False, 0),
        ({"expiry_date_before": LATER}, lambda row: "expiry_date" in row, 2),
        ({"expiry_date_after": FUTURE}, lambda row: "expiry_date" in row, 2),
        ({"expiry_date_after": "2036-03-01T00:00:00.000001Z"}, lambda row: row.get("expiry_date") == LATER, 1),
        ({"expiry_date_after": FUTURE, "expiry_date_before": FUTURE}, lambda row: row.get("expiry_date") == FUTURE, 1),
        ({"expiry_date_after": "2036-03-01T02:00:00+02:00"}, lambda row: "expiry_date" in row, 2),
        ({"created_by": "nobody"}, lambda row: True, 7),
        ({"expand": "customer"}, lambda row: True, 7),
        ({"expand": "nonsense,"}, lambda row: True, 7),
        ({"id": NOBODY}, lambda row: True, 7),
        ({"unheard_of": "x"}, lambda row: True, 7),
        ({"type": "credit", "priority": "2", "transaction_reason": "FREE_CREDIT_GRANT"}, lambda r: r["credit_amount"] == "30", 1),
    ],
    ids=named,
)
def test_filters_of_a_wallet_s_list(rich: Wallet, query: dict[str, str], fits: Fits, count: int) -> None:
    """Each parameter leaves exactly the rows that fit, newest first; those that the provider ignores leave all."""
    everything = listed(rich, {})["items"]
    newest_first(everything)
    assert len(everything) == 7

    expected = [row for row in everything if fits(row)]
    assert len(expected) == count
    assert_page(listed(rich, query), expected, 50, 0)


def test_time_window_of_a_wallet_s_list(rich: Wallet) -> None:
    """Both ends count, to the microsecond and in any offset; a row's own time is a window that holds it."""
    everything = listed(rich, {})["items"]
    step = timedelta(microseconds=1)

    for row in everything:
        at = datetime.fromisoformat(row["created_at"])
        india = at.astimezone().isoformat() if at.tzinfo else ""
        same = [other for other in everything if other["created_at"] == row["created_at"]]
        later = [other for other in everything if other["created_at"] > row["created_at"]]
        earlier = [other for other in everything if other["created_at"] < row["created_at"]]
        for query, expected in (
            ({"start_time": row["created_at"], "end_time": row["created_at"]}, same),
            ({"start_time": india}, later + same),
            ({"end_time": at.isoformat()}, same + earlier),
            ({"start_time": (at + step).isoformat()}, later),
            ({"end_time": (at - step).isoformat()}, earlier),
        ):
            assert_page(listed(rich, query), expected, 50, 0)


def test_expand_is_ignored_by_a_wallet_s_list(rich: Wallet) -> None:
    """Neither validated nor applied on this route."""
    for row in listed(rich, {"expand": "customer,wallet,created_by_user"})["items"]:
        assert not {"customer", "wallet", "created_by_user"} & set(row)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=abc",
        "limit=1.5",
        "limit=1e1",
        "limit=" + "9" * 30,
        "limit=" + "9" * 5000,
        "offset=-1",
        "offset=x",
        "offset=1.5",
        "offset=" + "9" * 5000,
        "order=up",
        "order=DESC",
        "type=bonus",
        "type=Credit",
        "transaction_status=done",
        "transaction_reason=BONUS",
        "status=active",
        "priority=high",
        "priority=1.5",
        "priority=" + "9" * 5000,
        "credits_available_gt=lots",
        "credits_available_gt=nan",
        "credits_available_gt=inf",
        "credits_available_gt=1e400",
        "credits_available_gt=" + "9" * 5000,
        "reference_type=EXTERNAL",
        "start_time=yesterday",
        "start_time=2026-01-01",
        "start_time=2026-13-01T00:00:00Z",
        "start_time=0001-01-01T00:00:00%2B14:00",
        "end_time=9999-12-31T23:59:59-14:00",
        "end_time=" + "9" * 5000,
        "start_time=2026-06-02T00:00:00Z&end_time=2026-06-01T00:00:00Z",
        "expiry_date_before=soon",
        "expiry_date_after=2036-02-30T00:00:00Z",
        "expiry_date_before=2036-01-01T00:00:00Z&expiry_date_after=2036-01-02T00:00:00Z",
    ],
    ids=lambda query: query[:60],
)
def test_a_wallet_s_list_refuses(flexprice: httpx.Client, wallet_ids: dict[str, str], query: str) -> None:
    """What is no number, no time, no known word, out of range or the wrong way round is 400, also for an unknown wallet."""
    for wallet_id in (wallet_ids["healthy"], NOBODY):
        assert_invalid(flexprice.get(f"/wallets/{wallet_id}/transactions?{query}"))


def test_a_wallet_s_list_without_a_wallet(flexprice: httpx.Client) -> None:
    """404, as the document declares."""
    for wallet_id in (NOBODY, "x", "search"):
        assert_refused(flexprice.get(f"/wallets/{wallet_id}/transactions"), 404, "not_found")


def test_a_wallet_s_list_in_either_order(rich: Wallet) -> None:
    """Oldest first is newest first turned round."""
    newest = listed(rich, {})["items"]

    assert listed(rich, {"order": "desc"})["items"] == newest
    assert listed(rich, {"order": "asc"})["items"] == newest[::-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 7, 50, 1000])
def test_pages_of_a_wallet_s_list(flexprice: httpx.Client, limit: int, order: str) -> None:
    """At any page size the pages hold every row once, in order, with the same total; past the end they are empty (I24)."""
    wallet = Wallet.create(flexprice)
    for number_ in range(8):
        assert_ok(wallet.top_up(credits_to_add=str(number_ + 1), bonus_credits_to_add="0.5"))
    everything = wallet.rows(order=order)
    assert len({row["id"] for row in everything}) == 16

    for offset in [*range(0, 16, limit), 16, 17, 10**9]:
        page = listed(wallet, {"order": order, "limit": limit, "offset": offset})
        assert_page(page, everything, limit, offset)


def test_rows_stay_as_they_were_written(rich: Wallet) -> None:
    """A later purchase adds its row and touches no other."""
    before = listed(rich, {})["items"]
    row = assert_ok(rich.top_up(credits_to_add="1"))["wallet_transaction"]

    assert listed(rich, {})["items"] == [row, *before]


def test_rows_of_a_terminated_wallet_stay_listed(rich: Wallet) -> None:
    """Only what is left of each credit changes."""
    before = listed(rich, {})["items"]
    assert_ok(rich.terminate())

    debit, *after = listed(rich, {})["items"]
    assert debit["transaction_reason"] == "WALLET_TERMINATION"
    changing = {"credits_available", "updated_at"}
    assert [{k: v for k, v in row.items() if k not in changing} for row in after] == [
        {k: v for k, v in row.items() if k not in changing} for row in before
    ]


# ---------------------------------------------------------------- operation 9: all wallets


class Ledger:
    """All transactions of an untouched world, and a way to ask for some of them."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.rows = self.walk({})

    def ask(self, body: Any, **query: str) -> httpx.Response:
        """One search."""
        return self.client.post("/wallets/transactions/search", json=body, params=query)

    def walk(self, body: Body, size: int = 1000) -> list[Body]:
        """All pages of a search, checked for totals."""
        rows: list[Body] = []
        total = None
        while total is None or len(rows) < total:
            page = assert_ok(self.ask(body | {"limit": size, "offset": len(rows)}))
            assert page["pagination"] == {"total": page["pagination"]["total"], "limit": size, "offset": len(rows)}
            assert total in (None, page["pagination"]["total"])
            total = page["pagination"]["total"]
            assert len(page["items"]) == min(size, total - len(rows))
            rows += page["items"]
        return rows

    def expect(self, body: Body, fits: Fits) -> None:
        """A search that finds exactly the rows that fit, in the default order."""
        found = self.walk(body)
        assert [row["id"] for row in found] == [row["id"] for row in self.rows if fits(row)]
        by_id = {row["id"]: row for row in self.rows}
        assert all(row == by_id[row["id"]] for row in found)


@pytest.fixture(scope="module")
def ledger(mock: Mock) -> Iterator[Ledger]:
    """Transactions of a session that these tests only read."""
    headers = {"x-api-key": "test", "x-mock-session": "transactions-read-only"}
    with httpx.Client(base_url=f"{mock.url}/v1", headers=headers, verify=False) as client:
        yield Ledger(client)


def test_search_finds_every_row_of_every_wallet(ledger: Ledger) -> None:
    """Newest first, each once; all credits less all debits are the sum of all balances (I10), whatever the page size."""
    newest_first(ledger.rows)
    assert len({row["id"] for row in ledger.rows}) == len(ledger.rows) > 1800
    for row in ledger.rows:
        assert_row(row)

    wallets: list[Body] = []
    for offset in (0, 1000):
        body = {"limit": 1000, "offset": offset}
        wallets += assert_ok(ledger.client.post("/wallets/search", json=body))["items"]
    completed = [row for row in ledger.rows if row["transaction_status"] == "completed"]
    assert total_of(completed) == sum((number(wallet, "credit_balance") for wallet in wallets), Decimal(0))
    for wallet in wallets[::50]:
        of_wallet = Wallet(ledger.client, wallet["id"]).rows(order="desc")
        assert of_wallet == [row for row in ledger.rows if row["wallet_id"] == wallet["id"]]


@pytest.mark.parametrize("size", [999, 333, 97])
def test_pages_of_a_search(ledger: Ledger, size: int) -> None:
    """At any page size the pages together are everything."""
    assert ledger.walk({}, size) == ledger.rows


def test_search_in_either_order(ledger: Ledger) -> None:
    """Oldest first is newest first turned round."""
    assert ledger.walk({"order": "desc"}) == ledger.rows
    assert ledger.walk({"order": "asc"}) == ledger.rows[::-1]


def test_search_without_limits(ledger: Ledger) -> None:
    """An empty body gives the fifty newest."""
    assert_page(assert_ok(ledger.ask({})), ledger.rows, 50, 0)
    assert_page(assert_ok(ledger.ask({"offset": 3})), ledger.rows, 50, 3)
    assert_page(assert_ok(ledger.ask({"offset": len(ledger.rows)})), ledger.rows, 50, len(ledger.rows))


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        ({"type": "debit"}, lambda row: row["type"] == "debit"),
        ({"transaction_status": "pending"}, lambda row: row["transaction_status"] == "pending"),
        ({"transaction_reason": "FREE_CREDIT_GRANT"}, lambda row: row["transaction_reason"] == "FREE_CREDIT_GRANT"),
        ({"priority": 1}, lambda row: row.get("priority") == 1),
        ({"credits_available_gt": 100}, lambda row: number(row, "credits_available") > 100),
        ({"credits_available_gt": "99.999999999"}, lambda row: number(row, "credits_available") >= 100),
        ({"reference_type": "EXTERNAL", "reference_id": "order-1001"}, lambda row: row["reference_id"] == "order-1001"),
        ({"reference_id": "order-1001"}, lambda row: True),
        ({"status": "published"}, lambda row: True),
        ({"status": "archived"}, lambda row: False),
        ({"expiry_date_after": "2030-01-01T00:00:00Z"}, lambda row: row.get("expiry_date", "") >= "2030"),
        ({"expiry_date_before": "2030-01-01T00:00:00Z"}, lambda row: "expiry_date" in row and row["expiry_date"] < "2030"),
        ({"created_by": "nobody"}, lambda row: True),
        ({"id": NOBODY}, lambda row: False),
        ({"unheard_of": 1}, lambda row: True),
        ({"type": "credit", "priority": 1}, lambda row: row["type"] == "credit" and row.get("priority") == 1),
        (
            dict.fromkeys(("type", "priority", "id", "start_time", "filters", "sort", "limit", "order", "status")),
            lambda row: True,
        ),
    ],
    ids=named,
)
def test_fields_of_a_search(ledger: Ledger, body: Body, fits: Fits) -> None:
    """Each leaves exactly the rows that fit, over personas and population, and null is absent."""
    body = {name: value for name, value in body.items() if name != "limit"}

    ledger.expect(body, fits)


def test_search_by_wallet(ledger: Ledger, wallet_ids: dict[str, str]) -> None:
    """`id` in the body is a wallet's."""
    for name in ("healthy", "expiring", "new", "pending"):
        ledger.expect({"id": wallet_ids[name]}, lambda row, name=name: row["wallet_id"] == wallet_ids[name])
    member = ledger.rows[-1]["wallet_id"]
    ledger.expect({"id": member}, lambda row: row["wallet_id"] == member)


def test_time_windows_of_a_search(ledger: Ledger) -> None:
    """Both ends count, wherever in personas or population they fall."""
    step = timedelta(microseconds=1)
    for row in (ledger.rows[0], ledger.rows[20], ledger.rows[500], ledger.rows[-7], ledger.rows[-1]):
        at = datetime.fromisoformat(row["created_at"])
        text = row["created_at"]
        ledger.expect({"start_time": text, "end_time": text}, lambda r, text=text: r["created_at"] == text)
        ledger.expect({"start_time": text}, lambda r, text=text: r["created_at"] >= text)
        ledger.expect({"end_time": at.isoformat()}, lambda r, text=text: r["created_at"] <= text)
        ledger.expect({"start_time": (at + step).isoformat()}, lambda r, text=text: r["created_at"] > text)
        ledger.expect({"end_time": (at - step).isoformat()}, lambda r, text=text: r["created_at"] < text)
    first, last = ledger.rows[700]["created_at"], ledger.rows[300]["created_at"]
    ledger.expect({"start_time": first, "end_time": last}, lambda r: first <= r["created_at"] <= last)
    ledger.expect({"start_time": "2099-01-01T00:00:00Z"}, lambda r: False)
    ledger.expect({"end_time": "1999-01-01T00:00:00Z"}, lambda r: False)


def has(name: str, fits: Callable[[Any], bool]) -> Fits:
    """Whether a row has a field that fits; one that it does not have fits nothing."""
    return lambda row: name in row and fits(row[name])


MIDDLE = "2023-01-01T00:08:20Z"
GRANTS = ["FREE_CREDIT_GRANT", "CREDIT_NOTE"]


@pytest.mark.parametrize(
    ("field", "operator", "value", "fits"),
    [
        ("type", "eq", {"string": "debit"}, has("type", lambda v: v == "debit")),
        ("type", "eq", {"string": "DEBIT"}, lambda row: False),
        ("transaction_status", "eq", {"string": "pending"}, has("transaction_status", lambda v: v == "pending")),
        ("currency", "eq", {"string": "eur"}, has("currency", lambda v: v == "eur")),
        ("status", "eq", {"string": "published"}, lambda row: True),
        ("status", "eq", {"string": "deleted"}, lambda row: False),
        ("idempotency_key", "eq", {"string": "order-1001"}, has("idempotency_key", lambda v: v == "order-1001")),
        ("reference_type", "eq", {"string": "REQUEST"}, has("reference_type", lambda v: v == "REQUEST")),
        ("priority", "eq", {"number": 1}, has("priority", lambda v: v == 1)),
        ("priority", "eq", {"number": 1.0}, has("priority", lambda v: v == 1)),
        ("priority", "eq", {"number": 1.5}, lambda row: False),
        ("priority", "lt", {"number": 1.5}, has("priority", lambda v: v < 1.5)),
        ("priority", "gt", {"number": 0}, has("priority", lambda v: v > 0)),
        ("credit_amount", "eq", {"number": 100}, has("credit_amount", lambda v: Decimal(v) == 100)),
        ("credit_amount", "eq", {"string": "100.0"}, has("credit_amount", lambda v: Decimal(v) == 100)),
        ("credit_amount", "gt", {"number": 100}, has("credit_amount", lambda v: Decimal(v) > 100)),
        ("credit_amount", "gte", {"number": 100}, has("credit_amount", lambda v: Decimal(v) >= 100)),
        ("credit_amount", "lt", {"number": 75.25}, has("credit_amount", lambda v: Decimal(v) < Decimal("75.25"))),
        ("credits_available", "gt", {"string": "1e2"}, has("credits_available", lambda v: Decimal(v) > 100)),
        ("amount", "lt", {"number": 1e-9}, has("amount", lambda v: Decimal(v) < Decimal("1e-9"))),
        ("credit_amount", "in", {"array": ["100", "45.50"]}, has("credit_amount", lambda v: v in ("100", "45.5"))),
        ("transaction_reason", "in", {"array": GRANTS}, has("transaction_reason", lambda v: v in GRANTS)),
        ("transaction_reason", "not_in", {"array": GRANTS}, has("transaction_reason", lambda v: v not in GRANTS)),
        ("currency", "in", {"array": []}, lambda row: False),
        ("currency", "not_in", {"array": []}, lambda row: True),
        ("description", "contains", {"string": "PURCHASE OF"}, has("description", lambda v: "purchase of" in v.lower())),
        ("description", "not_contains", {"string": "Month"}, has("description", lambda v: "month" not in v.lower())),
        ("currency", "contains", {"string": "Y"}, has("currency", lambda v: "y" in v)),
        ("created_at", "before", {"date": MIDDLE}, has("created_at", lambda v: v < "2023-01-01T00:08:20")),
        ("created_at", "after", {"date": "2023-01-01T00:08:20.1Z"}, has("created_at", lambda v: v > "2023-01-01T00:08:20.1Z")),
        ("created_at", "after", {"date": "2026-01-01T02:00:00+02:00"}, has("created_at", lambda v: v > "2026")),
        ("expiry_date", "before", {"date": "2030-01-01T00:00:00Z"}, has("expiry_date", lambda v: v < "2030")),
        ("expiry_date", "after", {"date": "2036-02-29T00:00:00Z"}, has("expiry_date", lambda v: v > "2036-02-29")),
    ],
    ids=named,
)
def test_filters_of_a_search(ledger: Ledger, field: str, operator: str, value: Body, fits: Fits) -> None:
    """Every operator, on text, numbers and times, leaves exactly the rows whose column satisfies it."""
    ledger.expect({"filters": [{"field": field, "operator": operator, "value": value}]}, fits)


def test_filters_by_id(ledger: Ledger, mock: Mock, wallet_ids: dict[str, str]) -> None:
    """Wallets, customers and transactions, of personas and population alike, are found by their ids."""
    member = httpx.get(f"{mock.url}/_mock/population/flexprice/6").json()["ids"]
    wallets, customers = [wallet_ids["healthy"], member["wallet"]], [member["customer"], ledger.rows[0]["customer_id"]]
    rows = [ledger.rows[0]["id"], ledger.rows[-1]["id"], ledger.rows[777]["id"]]

    for field, ids in (("wallet_id", wallets), ("customer_id", customers), ("id", rows)):
        array = {"field": field, "operator": "in", "value": {"array": [*ids, "unheard of"]}}
        ledger.expect({"filters": [array]}, lambda row, field=field, ids=ids: row[field] in ids)
        for one in ids:
            equal = {"field": field, "operator": "eq", "value": {"string": one}}
            ledger.expect({"filters": [equal]}, lambda row, field=field, one=one: row[field] == one)
        for nothing in ("unheard of", "", f"{ids[0]}0"):
            equal = {"field": field, "operator": "eq", "value": {"string": nothing}}
            ledger.expect({"filters": [equal]}, lambda row: False)
    for row_id in rows:
        other = {"field": "wallet_id", "operator": "not_in", "value": {"array": [row["wallet_id"] for row in ledger.rows[:9]]}}
        equal = {"field": "id", "operator": "eq", "value": {"string": row_id}}
        ledger.expect({"filters": [equal, other]}, lambda row, row_id=row_id: row["id"] == row_id != rows[0])


@pytest.mark.parametrize("field", ["created_by", "updated_by", "tenant_id", "environment_id"])
def test_filters_by_what_all_rows_share(ledger: Ledger, field: str) -> None:
    """These are columns like any other: the tenant's own value finds everything, another one nothing."""
    shared = ledger.rows[0][field]
    for value, fits in ((shared, lambda row: True), ("someone else", lambda row: False)):
        ledger.expect({"filters": [{"field": field, "operator": "eq", "value": {"string": value}}]}, fits)


def test_filters_must_all_hold(ledger: Ledger) -> None:
    """Several filters, and filters with fields of the body, are joined by and."""
    filters = [
        {"field": "currency", "operator": "eq", "value": {"string": "usd"}, "data_type": "string"},
        {"field": "credit_amount", "operator": "gt", "value": {"number": 20}, "data_type": "number"},
        {"field": "credit_amount", "operator": "lt", "value": {"number": 200}},
    ]
    ledger.expect(
        {"filters": filters, "type": "credit"},
        lambda row: is_credit(row) and row["currency"] == "usd" and 20 < number(row, "credit_amount") < 200,
    )
    ledger.expect({"filters": []}, lambda row: True)


def sort_key(row: Body, field: str) -> Any:
    """A column's value as the database compares it; without a value it comes after all others."""
    value = row.get(field)
    if field in ("credit_amount", "credits_available", "amount") and value is not None:
        value = Decimal(value)
    return value is None, 0 if value is None else value


@pytest.mark.parametrize(
    "sort",
    [
        [("credit_amount", "asc")],
        [("credit_amount", "desc")],
        [("type", "desc")],
        [("priority", "asc")],
        [("priority", "desc")],
        [("expiry_date", "asc")],
        [("created_at", "asc")],
        [("created_at", "desc")],
        [("wallet_id", "asc")],
        [("currency", "asc"), ("credits_available", "desc")],
        [("transaction_reason", "desc"), ("currency", "asc"), ("amount", "asc")],
        [("type", None)],
        [],
    ],
    ids=named,
)
def test_sorting_of_a_search(ledger: Ledger, sort: list[tuple[str, str | None]]) -> None:
    """The first condition decides, later ones and then the default order among equals; no direction means ascending."""
    expected = list(ledger.rows)
    for field, direction in reversed(sort):
        expected.sort(key=lambda row, field=field: sort_key(row, field), reverse=direction == "desc")  # equals stay in order
    body = {"sort": [{"field": field} | ({"direction": direction} if direction else {}) for field, direction in sort]}

    assert [row["id"] for row in ledger.walk(body, 700)] == [row["id"] for row in expected]


def test_expanded_rows(ledger: Ledger, mock: Mock) -> None:
    """Customer, wallet and user come in every row when asked for, are those that the row names, and not otherwise."""
    plain = assert_ok(ledger.ask({"limit": 40}))["items"]
    assert not any({"customer", "wallet", "created_by_user"} & set(row) for row in plain)

    for row in assert_ok(ledger.ask({"limit": 40, "expand": "customer, wallet,created_by_user"}))["items"]:
        assert row["customer"]["id"] == row["customer_id"]
        assert row["wallet"] == Wallet(ledger.client, row["wallet_id"]).stored()
        assert row["created_by_user"]["id"] == row["created_by"]
        assert row["customer"]["external_id"].startswith(("ext_cust_", "member-"))
    for name in ("customer", "wallet", "created_by_user"):
        for row in assert_ok(ledger.ask({"limit": 3, "expand": name}))["items"]:
            assert {"customer", "wallet", "created_by_user"} & set(row) == {name}
    member = httpx.get(f"{mock.url}/_mock/population/flexprice/7").json()["ids"]
    for row in assert_ok(ledger.ask({"id": member["wallet"], "expand": "customer"}))["items"]:
        assert (row["customer"]["id"], row["customer"]["external_id"]) == (member["customer"], "member-7")


def test_expand_in_the_query_wins(ledger: Ledger) -> None:
    """Expand in the query overrides expand in the body."""
    (row,) = assert_ok(ledger.ask({"limit": 1, "expand": "customer"}, expand="wallet"))["items"]

    assert "wallet" in row
    assert "customer" not in row


def test_expansion_of_an_unknown_customer_is_left_out(flexprice: httpx.Client) -> None:
    """A wallet may belong to a customer that does not exist; then there is nothing to expand."""
    wallet = Wallet.create(flexprice, initial_credits_to_load="1")
    (row,) = assert_ok(flexprice.post("/wallets/transactions/search", json={"id": wallet.id, "expand": "customer,wallet"}))[
        "items"
    ]

    assert "customer" not in row
    assert row["wallet"] == wallet.stored()


@pytest.mark.parametrize("expand", ["nonsense", "customer,", ",", "customer.wallet", "Customer", "credits_available_breakdown"])
def test_bad_expand_of_a_search(ledger: Ledger, expand: str) -> None:
    """Anything that cannot be expanded is 400, in body and query."""
    assert_invalid(ledger.ask({"expand": expand}))
    assert_invalid(ledger.ask({}, expand=expand))


def test_search_sees_what_happens(rich: Wallet) -> None:
    """New rows are found at once, first, with fields that population rows do not have."""
    found = assert_ok(rich.client.post("/wallets/transactions/search", json={"limit": 4}))
    assert found["items"] == listed(rich, {"limit": 4})["items"]

    pending = {"field": "idempotency_key", "operator": "in", "value": {"array": ["order-4", "order-2"]}}
    found = assert_ok(rich.client.post("/wallets/transactions/search", json={"filters": [pending]}))
    assert [row["idempotency_key"] for row in found["items"]] == ["order-4", "order-2"]
    bonus = {"field": "transaction_reason", "operator": "contains", "value": {"string": "bonus"}}
    (row,) = assert_ok(rich.client.post("/wallets/transactions/search", json={"filters": [bonus]}))["items"]
    parent = {"field": "id", "operator": "eq", "value": {"string": row["parent_transaction_id"]}}
    (found,) = assert_ok(rich.client.post("/wallets/transactions/search", json={"filters": [parent]}))["items"]
    assert found["idempotency_key"] == "order-3"


def test_search_after_a_member_changed(flexprice: httpx.Client, ledger: Ledger) -> None:
    """A member of the population that got credits keeps its other rows where they were."""
    wallet = Wallet(flexprice, ledger.rows[1000]["wallet_id"])
    row = assert_ok(wallet.top_up(credits_to_add="1"))["wallet_transaction"]
    changed = Ledger(flexprice)

    assert [r["id"] for r in changed.rows] == [row["id"], *(r["id"] for r in ledger.rows)]
    changed.expect({"type": "credit"}, is_credit)
    changed.expect({"id": wallet.id}, lambda r: r["wallet_id"] == wallet.id)
    start = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    changed.expect({"start_time": start}, lambda r: r["id"] == row["id"])


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 0},
        {"limit": 1001},
        {"limit": "50"},
        {"offset": -1},
        {"order": "newest"},
        {"type": "bonus"},
        {"transaction_status": "done"},
        {"transaction_reason": "BONUS"},
        {"status": "active"},
        {"priority": "1"},
        {"priority": 1.5},
        {"credits_available_gt": "lots"},
        {"credits_available_gt": True},
        {"reference_type": "EXTERNAL"},
        {"start_time": "yesterday"},
        {"start_time": 1},
        {"start_time": "2026-06-02T00:00:00Z", "end_time": "2026-06-01T00:00:00Z"},
        {"expiry_date_before": "2036-01-01T00:00:00Z", "expiry_date_after": "2036-01-02T00:00:00Z"},
        {"expiry_date_before": "soon"},
        {"filters": {}},
        {"filters": ["type"]},
        {"filters": [{"field": "unheard_of", "operator": "eq", "value": {"string": "x"}}]},
        {"filters": [{"field": "wallet_id; drop table", "operator": "eq", "value": {"string": "x"}}]},
        {"filters": [{"operator": "eq", "value": {"string": "x"}}]},
        {"filters": [{"field": "type", "value": {"string": "x"}}]},
        {"filters": [{"field": "type", "operator": "like", "value": {"string": "x"}}]},
        {"filters": [{"field": "type", "operator": "eq"}]},
        {"filters": [{"field": "type", "operator": "eq", "value": {}}]},
        {"filters": [{"field": "type", "operator": "in", "value": {"string": "credit"}}]},
        {"filters": [{"field": "type", "operator": "eq", "value": {"array": ["credit"]}}]},
        {"filters": [{"field": "credit_amount", "operator": "gt", "value": {"string": "lots"}}]},
        {"filters": [{"field": "credit_amount", "operator": "in", "value": {"array": ["1", "lots"]}}]},
        {"filters": [{"field": "priority", "operator": "eq", "value": {"string": "high"}}]},
        {"filters": [{"field": "created_at", "operator": "before", "value": {"date": "soon"}}]},
        {"sort": [{"field": "unheard_of"}]},
        {"sort": [{"direction": "asc"}]},
        {"sort": [{"field": "type", "direction": "up"}]},
        {"sort": "type"},
        [],
        None,
    ],
    ids=named,
)
def test_search_refuses_what_it_cannot_use(ledger: Ledger, body: Any) -> None:
    """Unknown columns, operators and words, values that do not fit, and ranges the wrong way round are 400."""
    assert_invalid(ledger.ask(body))


@pytest.mark.parametrize("name", ["filters", "sort"])
def test_search_names_the_unknown_column(ledger: Ledger, name: str) -> None:
    """The message says which column there is none of."""
    entry = {"field": "colour", "operator": "eq", "value": {"string": "red"}}

    assert_invalid(ledger.ask({name: [entry if name == "filters" else {"field": "colour"}]}), "colour")


@pytest.mark.parametrize("column", ["type", "priority", "credit_amount", "created_at", "expiry_date", "description", "wallet_id"])
def test_odd_filter_values(ledger: Ledger, column: str) -> None:
    """Whatever value meets whatever column and operator, the answer is a 200 or a 400, soon, and never a 5xx."""
    values: list[str] = [
        '{"string": ""}',
        '{"string": "NaN"}',
        '{"string": "sNaN"}',
        '{"string": "Infinity"}',
        '{"string": "1e999999999"}',
        '{"string": "2026-01-01"}',
        '{"string": "0001-01-01T00:00:00+14:00"}',
        '{"number": 1e300}',
        '{"number": 1e400}',
        '{"number": -1e999999999}',
        '{"number": ' + "9" * 5000 + "}",
        '{"number": 0.1}',
        '{"boolean": true}',
        '{"date": "x"}',
        '{"date": "2026-01-01T00:00:00Z"}',
        '{"array": []}',
        '{"array": ["NaN", "1e999999999"]}',
        '{"array": ["2026-01-01"]}',
        '{"string": null, "number": null}',
        "{}",
        "null",
    ]
    wrong = {}
    for operator in ("eq", "contains", "not_contains", "gt", "lt", "gte", "in", "not_in", "before", "after"):
        for value in values:
            body = f'{{"limit": 1, "filters": [{{"field": "{column}", "operator": "{operator}", "value": {value}}}]}}'
            headers = {"content-type": "application/json"}
            response = ledger.client.post("/wallets/transactions/search", content=body, headers=headers)
            if response.status_code not in (200, 400):
                wrong[f"{operator} {value[:40]}"] = response.status_code
    assert wrong == {}
