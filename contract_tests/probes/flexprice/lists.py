"""Lists of transactions and of wallets: paged, ordered, filtered."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from contract_tests.probes.flexprice import lab
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.flexprice import moment
from contract_tests.rules.observation import Observation, decimal
from contract_tests.rules.shared import FILTERS_FILTER, ITEM_EQUALS_GET, LIMIT_KEPT, ORDER_HOLDS, PAGES_COMPLETE, TOTAL_AGREES

Rows = list[dict[str, Any]]
Page = Callable[[Mapping[str, Any]], Observation]

_PAGE_SIZES = (1, 2, 3, 5, 100)


def _ledger(stage: Stage) -> str:
    """A wallet with thirteen transactions of many kinds."""
    wallet = lab.create(stage)
    for number in range(4):
        lab.must_top_up(stage, wallet.id, f"{number + 1}.5")
    lab.must_top_up(stage, wallet.id, "20", reason="PURCHASED_CREDIT_DIRECT", priority=1)
    lab.must_top_up(stage, wallet.id, "30", reason="PURCHASED_CREDIT_DIRECT", priority=2, expiry_date_utc="2098-01-01T00:00:00Z")
    lab.must_top_up(stage, wallet.id, "40", reason="SUBSCRIPTION_CREDIT_GRANT", expiry_date_utc="2099-06-01T00:00:00Z")
    lab.must_top_up(stage, wallet.id, "50", reason="CREDIT_NOTE", priority=1)
    for _ in range(5):
        lab.must_top_up(stage, wallet.id, "1")
    return wallet.id


@probe("flexprice", PAGES_COMPLETE, TOTAL_AGREES, ORDER_HOLDS, LIMIT_KEPT, FILTERS_FILTER, needs=["write"])
def transactions_of_a_wallet(stage: Stage) -> None:
    """Pages, order and filters of getWalletTransactions, before and after the wallet is closed."""
    wallet_id = _ledger(stage)
    bystander = lab.create(stage)
    lab.must_top_up(stage, bystander.id, "99")

    def page(query: Mapping[str, Any]) -> Observation:
        return stage.call("getWalletTransactions", wallet_id, query=query)

    rows, whole = _all(stage, page)
    _owned(stage, wallet_id, rows, whole)
    _walk(stage, page, rows, {})
    _walk(stage, page, rows, {"type": "credit"})
    _ordered(stage, page, rows)
    _limits(stage, page)
    _filtered(stage, page, rows)
    if lab.terminate(stage, wallet_id).status < 300:
        rows, whole = _all(stage, page)
        _filtered(stage, page, rows)


@probe("flexprice", PAGES_COMPLETE, TOTAL_AGREES, ORDER_HOLDS, LIMIT_KEPT, FILTERS_FILTER, ITEM_EQUALS_GET, needs=["write"])
def transaction_search(stage: Stage) -> None:
    """The same of queryWalletTransaction, with its own filters and sorting."""
    wallet_id = _ledger(stage)

    def page(body: Mapping[str, Any]) -> Observation:
        return stage.call("queryWalletTransaction", body={"id": wallet_id, **body})

    rows, whole = _all(stage, page)
    _owned(stage, wallet_id, rows, whole)
    _walk(stage, page, rows, {})
    _walk(stage, page, rows, {"sort": [{"field": "credit_amount", "direction": "asc"}]})
    _ordered(stage, page, rows)
    _limits(stage, page)
    _filtered(stage, page, rows)
    _sorted(stage, page, rows)
    _listed_alike(stage, wallet_id, rows, whole)
    conditions: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
        (
            _condition("transaction_reason", "eq", string="CREDIT_NOTE"),
            lambda row: row.get("transaction_reason") == "CREDIT_NOTE",
        ),
        (
            _condition("transaction_reason", "in", "array", array=["CREDIT_NOTE", "PURCHASED_CREDIT_DIRECT"]),
            lambda row: row.get("transaction_reason") in ("CREDIT_NOTE", "PURCHASED_CREDIT_DIRECT"),
        ),
        (
            _condition("transaction_reason", "not_in", "array", array=["FREE_CREDIT_GRANT"]),
            lambda row: row.get("transaction_reason") != "FREE_CREDIT_GRANT",
        ),
        (_condition("credit_amount", "gt", "number", number=20), lambda row: _number(row, "credit_amount") > 20),
        (_condition("credit_amount", "lt", "number", number=20), lambda row: _number(row, "credit_amount") < 20),
        (
            _condition("transaction_reason", "contains", string="credit_note"),
            lambda row: row.get("transaction_reason") == "CREDIT_NOTE",
        ),
    ]
    for condition, fits in conditions:
        _filter(stage, page, rows, {"filters": [condition]}, fits)


@probe("flexprice", PAGES_COMPLETE, TOTAL_AGREES, LIMIT_KEPT, needs=["write"])
def wallet_search(stage: Stage) -> None:
    """Pages of queryWallet over the run's own wallets. A service that answers all of them at once is right as well."""
    first = lab.create(stage, currency="usd")
    ids = [first.id]
    for currency in ("eur", "gbp", "jpy", "inr"):
        answer = stage.call("createWallet", body={"customer_id": first.customer, "currency": currency})
        if answer.ok:
            ids.append(lab.made(stage, answer).id)

    def page(body: Mapping[str, Any]) -> Observation:
        return stage.call("queryWallet", body={"wallet_ids": ids, **body})

    one = page({"limit": 1})
    found = lab.items(one)
    if found is None:
        stage.give_up(f"search answered {one.status}")
    if len(found) == 1:
        rows, _ = _all(stage, page)
        _walk(stage, page, rows, {})
    stage.judge(
        TOTAL_AGREES,
        lab.field(one, "pagination", "total") == len(ids),
        "the total is not the number of wallets that match",
        one,
        pointer="/pagination/total",
        expected=len(ids),
        got=lab.field(one, "pagination", "total"),
    )
    stage.judge(
        LIMIT_KEPT,
        len(found) in (1, len(ids)),
        "a page of one holds neither one item nor all",
        one,
        pointer="/items",
        expected=f"1 or {len(ids)}",
        got=len(found),
    )


def _listed_alike(stage: Stage, wallet_id: str, found: Rows, whole: Observation) -> None:
    """A row is the same in the wallet's list and in search."""
    rows, listed = lab.all_rows(stage, wallet_id)
    by_id = {row.get("id"): row for row in rows}
    for row in found:
        same = by_id.get(row.get("id"))
        if same is not None:
            different = lab.differences(same, row)
            stage.judge(
                ITEM_EQUALS_GET,
                not different,
                f"{', '.join(different)} of a transaction depends on the list",
                listed,
                whole,
                pointer=f"/items/0/{different[0]}" if different else "",
                expected={name: same.get(name) for name in different},
                got={name: row.get(name) for name in different},
            )


def _all(stage: Stage, page: Page) -> tuple[Rows, Observation]:
    whole = page({"limit": 1000})
    rows = lab.items(whole)
    if rows is None:
        stage.give_up(f"the list answered {whole.status}")
    stage.judge(
        TOTAL_AGREES,
        lab.field(whole, "pagination", "total") == len(rows),
        "the total is not the number of items, with all of them on one page",
        whole,
        pointer="/pagination/total",
        expected=len(rows),
        got=lab.field(whole, "pagination", "total"),
    )
    return rows, whole


def _owned(stage: Stage, wallet_id: str, rows: Rows, whole: Observation) -> None:
    strange = [row.get("id") for row in rows if row.get("wallet_id") != wallet_id]
    stage.judge(
        FILTERS_FILTER,
        not strange,
        "the list holds transactions of other wallets",
        whole,
        pointer="/items",
        expected=wallet_id,
        got=strange,
    )
    stage.judge(
        FILTERS_FILTER,
        len(rows) >= 13,
        "the list lacks transactions of the wallet",
        whole,
        pointer="/items",
        expected=13,
        got=len(rows),
    )


def _walk(stage: Stage, page: Page, rows: Rows, criteria: Mapping[str, Any]) -> None:
    """All pages at several sizes. Ids must be those of the whole list, each once."""
    wanted = [row.get("id") for row in rows if all(row.get(name) == value for name, value in criteria.items() if name != "sort")]
    for size in _PAGE_SIZES:
        got: list[Any] = []
        last = None
        for offset in range(0, len(wanted) + size, size):
            last = page({**criteria, "limit": size, "offset": offset})
            found = lab.items(last)
            if found is None:
                break
            got += [row.get("id") for row in found]
            stage.judge(
                LIMIT_KEPT,
                len(found) <= size,
                "a page holds more items than asked for",
                last,
                pointer="/items",
                expected=size,
                got=len(found),
            )
            said = lab.field(last, "pagination")
            if isinstance(said, dict):
                stage.judge(
                    TOTAL_AGREES,
                    said.get("total") == len(wanted),
                    "the total depends on the page",
                    last,
                    pointer="/pagination/total",
                    expected=len(wanted),
                    got=said.get("total"),
                )
                stage.judge(
                    LIMIT_KEPT,
                    said.get("limit") == size,
                    "pagination.limit is not the limit asked for",
                    last,
                    pointer="/pagination/limit",
                    expected=size,
                    got=said.get("limit"),
                )
                stage.judge(
                    LIMIT_KEPT,
                    said.get("offset") in (offset, offset + size),
                    "pagination.offset is neither the offset asked for nor the next one",
                    last,
                    pointer="/pagination/offset",
                    expected=offset,
                    got=said.get("offset"),
                )
        else:
            assert last is not None
            stage.judge(
                PAGES_COMPLETE,
                sorted(map(str, got)) == sorted(map(str, wanted)),
                _what_is_wrong(got, wanted, size),
                last,
                pointer="/items",
                expected=f"{len(wanted)} items, each once",
                got=f"{len(got)} items, {len(set(got))} different",
            )


def _what_is_wrong(got: list[Any], wanted: list[Any], size: int) -> str:
    lost, twice = len(set(wanted) - set(got)), len(got) - len(set(got))
    return f"walking pages of {size} loses {lost} and repeats {twice} of {len(wanted)} items"


def _ordered(stage: Stage, page: Page, rows: Rows) -> None:
    for order, criteria in (("desc", {}), ("desc", {"order": "desc"}), ("asc", {"order": "asc"})):
        seen = page({"limit": 1000, **criteria})
        times = [moment(row.get("created_at")) for row in lab.items(seen) or ()]
        known = [time for time in times if time is not None]
        if len(known) < 2:
            continue
        holds = all((one >= two) if order == "desc" else (one <= two) for one, two in itertools.pairwise(known))
        stage.judge(
            ORDER_HOLDS,
            holds,
            f"items are not {'newest' if order == 'desc' else 'oldest'} first",
            seen,
            pointer="/items",
            expected=f"created_at {order}",
            got=[str(time) for time in known[:6]],
        )


def _sorted(stage: Stage, page: Page, rows: Rows) -> None:
    for direction in ("asc", "desc"):
        seen = page({"limit": 1000, "sort": [{"field": "credit_amount", "direction": direction}]})
        numbers = [_number(row, "credit_amount") for row in lab.items(seen) or ()]
        if len(numbers) > 1:
            wanted = sorted(numbers, reverse=direction == "desc")
            stage.judge(
                ORDER_HOLDS,
                numbers == wanted,
                f"items are not sorted by credit_amount {direction}",
                seen,
                pointer="/items",
                expected=list(map(str, wanted[:6])),
                got=list(map(str, numbers[:6])),
            )


def _limits(stage: Stage, page: Page) -> None:
    for limit in (1001, 10**6):
        seen = page({"limit": limit})
        if seen.status < 500:
            stage.judge(
                LIMIT_KEPT, seen.status == 400, "a limit beyond the maximum was not refused", seen, expected=400, got=seen.status
            )
    default = page({})
    if lab.items(default) is not None:
        limit = lab.field(default, "pagination", "limit")
        stage.judge(
            LIMIT_KEPT,
            limit == 50,
            "without a limit a page is not of 50",
            default,
            pointer="/pagination/limit",
            expected=50,
            got=limit,
        )


def _filtered(stage: Stage, page: Page, rows: Rows) -> None:
    """Each filter alone, against the same done by hand over all rows."""
    times = sorted(time for row in rows if (time := moment(row.get("created_at"))) is not None)
    middle = times[len(times) // 2] if times else None
    filters: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
        ({"type": "credit"}, lambda row: row.get("type") == "credit"),
        ({"type": "debit"}, lambda row: row.get("type") == "debit"),
        ({"transaction_status": "completed"}, lambda row: row.get("transaction_status") == "completed"),
        ({"transaction_status": "pending"}, lambda row: row.get("transaction_status") == "pending"),
        ({"transaction_reason": "CREDIT_NOTE"}, lambda row: row.get("transaction_reason") == "CREDIT_NOTE"),
        ({"priority": 1}, lambda row: row.get("priority") == 1),
        ({"credits_available_gt": 20}, lambda row: _number(row, "credits_available") > 20),
        ({"credits_available_gt": 2.5}, lambda row: _number(row, "credits_available") > Decimal("2.5")),
        ({"expiry_date_before": "2098-06-01T00:00:00Z"}, lambda row: (row.get("expiry_date") or "9") < "2098-06"),
        ({"expiry_date_after": "2098-06-01T00:00:00Z"}, lambda row: (row.get("expiry_date") or "0") > "2098-06"),
    ]
    if rows and rows[-1].get("reference_type") and rows[-1].get("reference_id"):
        pair = {"reference_type": rows[-1]["reference_type"], "reference_id": rows[-1]["reference_id"]}
        filters.append((pair, lambda row: all(row.get(name) == value for name, value in pair.items())))
    if middle is not None:
        # Times are cut differently on the way: ask for whole milliseconds around it, and leave out rows just there.
        edge = middle - timedelta(microseconds=middle.microsecond % 1000)
        text = edge.strftime("%Y-%m-%dT%H:%M:%S.") + f"{edge.microsecond // 1000:03d}Z"
        near = [row for row in rows if abs((moment(row.get("created_at")) or edge) - edge) < timedelta(milliseconds=1)]
        filters += [
            ({"start_time": text}, lambda row: row in near or (moment(row.get("created_at")) or edge) > edge),
            ({"end_time": text}, lambda row: row not in near and (moment(row.get("created_at")) or edge) < edge),
        ]
        for criteria, fits in filters[-2:]:
            _filter(stage, page, rows, criteria, fits, unsure=near)
        filters = filters[:-2]
        first, last = times[0], times[-1]
        if (last - first) > timedelta(milliseconds=3):
            exact = _text(first)
            if exact is not None:
                _filter(stage, page, rows, {"start_time": exact}, lambda row: True)
    for criteria, fits in filters:
        _filter(stage, page, rows, criteria, fits)


def _text(time: Any) -> str | None:
    """A time with all its microseconds, which the provider keeps; the bounds are inclusive."""
    return str(time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")) if time.microsecond % 1000 else None


def _filter(
    stage: Stage,
    page: Page,
    rows: Rows,
    criteria: dict[str, Any],
    fits: Callable[[dict[str, Any]], bool],
    unsure: Rows | None = None,
) -> None:
    seen = page({"limit": 1000, **criteria})
    found = lab.items(seen)
    if found is None:
        if seen.status < 500:
            stage.judge(FILTERS_FILTER, False, f"the filter {criteria} was refused", seen, expected=200, got=seen.status)
        return
    doubtful = {row.get("id") for row in unsure or ()}
    wanted = {row.get("id") for row in rows if fits(row)} - doubtful
    got = {row.get("id") for row in found} - doubtful
    name = next(iter(criteria))
    stage.judge(
        FILTERS_FILTER,
        got == wanted,
        f"filtering by {name} gives {len(got - wanted)} too many and {len(wanted - got)} too few",
        seen,
        pointer=f"query {name}",
        expected=len(wanted),
        got=len(got),
    )


def _condition(field: str, operator: str, data_type: str = "string", **value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "data_type": data_type, "value": value}


def _number(row: dict[str, Any], name: str) -> Decimal:
    return decimal(row.get(name)) or Decimal(0)
