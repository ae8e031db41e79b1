"""Flexprice's transactions in traffic of others: a row stays, is listed, and has its idempotency key for itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from contract_tests.rules.flexprice import TINY, transactions_in
from contract_tests.rules.flexprice_reading import same, time_of
from contract_tests.rules.flexprice_sequences import KEY_TAKES_EFFECT_ONCE, ROWS_STAY, SAME_KEY_AT_ONCE, TOPUP_BOOKED
from contract_tests.rules.history import Judged
from contract_tests.rules.observation import Observation
from contract_tests.rules.remembering import Recent, Sighting, packed, shown, unpacked
from contract_tests.rules.rule import Problem
from contract_tests.rules.shared import FILTERS_FILTER

Place = tuple[bytes, bytes]

MOST_WALLETS = 20_000
MOST_ROWS = 20_000
MOST_ROWS_OF_A_WALLET = 200
"""Rows that are looked for when a wallet's transactions are listed: those that were seen last."""

_FIXED = (
    *("wallet_id", "customer_id", "type", "credit_amount", "amount", "currency", "transaction_reason", "created_at"),
    *("parent_transaction_id", "idempotency_key"),
)
_OF_COMPLETED = ("transaction_status", "credit_balance_before", "credit_balance_after", "reference_type", "reference_id")
_PAGING = frozenset({"limit", "offset", "order"})
_TIE = timedelta(milliseconds=1)


@dataclass(slots=True)
class _Row:
    """What is known of a row: the members that stay, as JSON. `reported`: that they changed, which is not said twice."""

    said: bytes
    completed: bool
    seen: Sighting
    reported: bool = False


@dataclass(slots=True)
class _Listed:
    """A row that lists of its wallet must have."""

    created: datetime | None
    seen: Sighting
    answered: bool  # to a top-up


@dataclass(slots=True)
class _Book:
    """What is known of the transactions of a wallet.

    `scope`: within what its idempotency keys are for one use; `total` is the largest that a list without filter had.
    """

    scope: tuple[str, str] = ("", "")
    rows: OrderedDict[str, _Listed] = field(default_factory=OrderedDict)
    total: int = 0
    counted: Sighting | None = None


@dataclass(slots=True)
class _Used:
    """An idempotency key, and the row that it made. `reported`: that another row has it, which is not said twice."""

    row: str
    seen: Sighting
    answered: bool
    reported: bool = False


class Rows:
    """What was seen of transactions. `settle`: seconds that a read may lag behind a write."""

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._rows: Recent[tuple[Place, str], _Row] = Recent(MOST_ROWS)
        self._books: Recent[tuple[Place, str], _Book] = Recent(MOST_WALLETS)
        self._keys: Recent[tuple[Place, str, str, str], _Used] = Recent(MOST_ROWS)

    def knows(self, place: Place, row_id: object) -> bool:
        """Whether a row was seen before."""
        return isinstance(row_id, str) and self._rows.get((place, row_id)) is not None

    def take(self, seen: Observation, place: Place, now: Sighting, *, reader: bool) -> Iterator[Judged]:
        """Judge the rows of an answer. `reader`: the sender was shown the wallet before, so may see its rows."""
        yield from self._complete(seen, place, now, reader=reader)
        answered = seen.operation.id == "topUpWallet"
        for at, row in transactions_in(seen):
            row_id, wallet_id = row.get("id"), row.get("wallet_id")
            if not isinstance(row_id, str) or not isinstance(wallet_id, str):
                continue
            changed = self._again(at, row, (place, row_id), now)
            if changed is not None:
                yield changed
            taken = self._key(seen, at, row, place, now)
            if taken is not None:
                yield taken
            listed = _Listed(time_of(row.get("created_at")), now, answered)
            self._book(place, wallet_id, _scope(row), row_id, listed)

    def refused(self, seen: Observation, place: Place, now: Sighting) -> Iterator[Judged]:
        """Take note of a key that was refused as it must be."""
        book = self._books.get((place, seen.request.path_params.get("id", "")))
        if seen.operation.id != "topUpWallet" or not isinstance(seen.sent, dict) or book is None:
            return
        known = self._keys.get((place, *book.scope, str(seen.sent.get("idempotency_key"))))
        if known is not None:
            yield Judged(KEY_TAKES_EFFECT_ONCE if known.seen.is_before(now) else SAME_KEY_AT_ONCE)

    # ------------------------------------------------------------------ one row

    def _again(self, at: str, row: dict[str, Any], key: tuple[Place, str], now: Sighting) -> Judged | None:
        """Compare a row with what was seen of it before, and remember it."""
        completed = row.get("transaction_status") == "completed"
        said = packed({name: row.get(name) for name in (*_FIXED, *_OF_COMPLETED)})
        known = self._rows.get(key)
        if known is None:
            self._rows.put(key, _Row(said, completed, now))
            return None
        problem = None if known.said == said else self._changed(at, row, known, now, completed=completed)
        if completed and not known.completed:
            self._rows.put(key, _Row(said, completed, now))
        if problem is None:
            return Judged(ROWS_STAY)
        if known.reported:
            return None
        known.reported = True
        return Judged(ROWS_STAY, problem, shown(known.seen) if known.seen is not now else ())

    def _changed(self, at: str, row: dict[str, Any], known: _Row, now: Sighting, *, completed: bool) -> Problem | None:
        before = unpacked(known.said)
        if known.completed and not completed:
            if not known.seen.is_before(now, self._settle):
                return None
            status = row.get("transaction_status")
            return Problem("a completed row is not completed any more", f"{at}/transaction_status", "completed", status)
        names = (*_FIXED, *_OF_COMPLETED) if known.completed and completed else _FIXED
        for name in names:
            one, two = before.get(name), row.get(name)
            if one is not None and two is not None and not same(name, one, two, TINY):
                return Problem(f"{name} of a row changed", f"{at}/{name}", one, two)
        return None

    def _key(self, seen: Observation, at: str, row: dict[str, Any], place: Place, now: Sighting) -> Judged | None:
        """Look for another row that has the same idempotency key."""
        answered = seen.operation.id == "topUpWallet"
        sent = seen.sent.get("idempotency_key") if answered and isinstance(seen.sent, dict) else None
        key = sent or row.get("idempotency_key")
        if not isinstance(key, str) or not key or row.get("status", "published") != "published":
            return None
        index = (place, *_scope(row), key)
        known = self._keys.get(index)
        if known is None:
            self._keys.put(index, _Used(row["id"], now, answered))
            return None
        at_once = answered and known.answered and not known.seen.is_before(now)
        rule = SAME_KEY_AT_ONCE if at_once else KEY_TAKES_EFFECT_ONCE
        if known.row == row["id"]:
            return Judged(rule)
        if known.reported:
            return None
        known.reported = True
        problem = Problem("an idempotency key took effect twice: two rows have it", f"{at}/id", known.row, row["id"])
        return Judged(rule, problem, shown(known.seen) if known.seen is not now else ())

    def _book(self, place: Place, wallet_id: str, scope: tuple[str, str], row_id: str, listed: _Listed) -> None:
        book = self._books.get((place, wallet_id)) or self._books.put((place, wallet_id), _Book())
        book.scope = scope
        if row_id not in book.rows:
            book.rows[row_id] = listed
            if len(book.rows) > MOST_ROWS_OF_A_WALLET:
                book.rows.popitem(last=False)

    # ------------------------------------------------------------------ lists

    def _complete(self, seen: Observation, place: Place, now: Sighting, *, reader: bool) -> Iterator[Judged]:
        """Look for what a list of one wallet's transactions must have, and for what it must not."""
        if seen.operation.id != "getWalletTransactions" or not isinstance(seen.body, dict):
            return
        rows = transactions_in(seen)
        wallet_id = seen.request.path_params.get("id", "")
        strange = next((pair for pair in rows if pair[1].get("wallet_id", wallet_id) != wallet_id), None)
        if strange is not None:
            problem = Problem("a row of another wallet", f"{strange[0]}/wallet_id", wallet_id, strange[1]["wallet_id"])
            yield Judged(FILTERS_FILTER, problem)
        elif rows:
            yield Judged(FILTERS_FILTER)
        query = dict(seen.request.query)
        pagination = seen.body.get("pagination")
        total, limit = (pagination.get("total"), pagination.get("limit")) if isinstance(pagination, dict) else (None, None)
        if type(total) is not int or not query.keys() <= _PAGING or len(query) < len(seen.request.query):
            return
        if not (rows or reader):
            return  # who may not read a wallet gets an empty list
        book = self._books.get((place, wallet_id)) or self._books.put((place, wallet_id), _Book())
        # Counted and listed one after the other, with a row that came in between a full page may lack the oldest.
        is_all = len(rows) == total and type(limit) is int and total < limit
        yield from self._lacking(rows, query, total, book, now, is_all=is_all)
        if total >= book.total:
            book.total, book.counted = total, now

    def _lacking(
        self, rows: Any, query: dict[str, str], total: int, book: _Book, now: Sighting, *, is_all: bool
    ) -> Iterator[Judged]:
        listed = {row["id"] for _, row in rows if isinstance(row.get("id"), str)}
        from_newest = query.get("offset", "0") == "0" and query.get("order", "desc") == "desc"
        last = time_of(rows[-1][1].get("created_at")) if rows and from_newest else None
        for row_id, known in book.rows.items():
            due = is_all or (last is not None and known.created is not None and known.created > last + _TIE)
            if due and known.seen.is_before(now, self._settle):
                rule = TOPUP_BOOKED if known.answered else ROWS_STAY
                if row_id in listed:
                    yield Judged(rule)
                    continue
                what = "the row that a top-up answered with is not listed" if known.answered else "a row is not listed any more"
                yield Judged(rule, Problem(what, "/items", row_id), shown(known.seen))
                return
        if book.counted is not None and book.counted.is_before(now, self._settle):
            problem = Problem("there are fewer rows than there were", "/pagination/total", f"{book.total} or more", total)
            if total < book.total:
                yield Judged(ROWS_STAY, problem, shown(book.counted))
            else:
                yield Judged(ROWS_STAY)


def _scope(row: dict[str, Any]) -> tuple[str, str]:
    """Within what an idempotency key is for one use: the tenant's environment, or the wallet if the row names none."""
    tenant, environment = row.get("tenant_id"), row.get("environment_id")
    return (str(tenant), str(environment)) if tenant and environment else ("", str(row["wallet_id"]))
