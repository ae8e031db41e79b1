"""The rows that lead to a balance: those that were seen, and made-up ones in the place of those that were not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from mock_server.flexprice.ledger import PURCHASED
from mock_server.flexprice.money import TINIEST, ZERO
from mock_server.from_traffic.seen import decimal, moment, section, text

FREE = "FREE_CREDIT_GRANT"
BOUGHT = "PURCHASED_CREDIT_DIRECT"
_MOST_MADE_UP = 1000  # rows before the first one that was seen
_BOOKED_LATER = ("PURCHASED_CREDIT_INVOICED", "PURCHASED_CREDIT_BONUS")
MADE_BY_MOCK = "consumed_credit_tx_ids"
"""The mock writes it into the metadata of debits by itself."""


@dataclass(frozen=True)
class Row:
    """A row of a wallet's ledger. `before` is the balance that it began with, if known; `why` says why it was made up."""

    is_credit: bool
    credits: Decimal
    at: datetime
    reason: str
    status: str = "completed"
    id: str = ""
    before: Decimal | None = None
    available: Decimal | None = None
    expires: datetime | None = None
    priority: int | None = None
    key: str = ""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    @property
    def effect(self) -> Decimal:
        """What it does to the balance."""
        if self.status != "completed":
            return ZERO
        return self.credits if self.is_credit else -self.credits


def row_of(body: Mapping[str, Any]) -> Row | None:
    """A row as the provider wrote it; None if it lacks what a row is made of."""
    credits, at = decimal(body, "credit_amount"), moment(body, "created_at")
    if not credits or credits < 0 or at is None or not text(body, "id"):
        return None
    priority = body.get("priority")
    return Row(
        is_credit=body.get("type") == "credit",
        credits=credits,
        at=at,
        reason=text(body, "transaction_reason"),
        status=text(body, "transaction_status"),
        id=text(body, "id"),
        before=decimal(body, "credit_balance_before"),
        available=decimal(body, "credits_available"),
        expires=moment(body, "expiry_date"),
        priority=priority if type(priority) is int else None,
        key=text(body, "idempotency_key"),
        description=text(body, "description"),
        metadata={name: str(value) for name, value in section(body, "metadata").items() if name != MADE_BY_MOCK},
    )


@dataclass(frozen=True)
class Credits:
    """What is left of a wallet's credits, where an answer said it: bought ones and free ones."""

    purchased: Decimal
    free: Decimal


def ledger(seen: Iterable[Row], balance: Decimal, total: int | None, left: Credits | None, created: datetime) -> list[Row]:
    """Rows that end in this balance, oldest first. `total` is how many there are, `left` what is left of credits, if known."""
    chain = list(_chained(sorted(seen, key=lambda row: row.at)))
    first = next((row.before for row in chain if row.status == "completed" and row.before is not None), None)
    rows = list(_without_gaps(chain, balance if first is None else first))
    end = (balance if first is None else first) + sum((row.effect for row in rows), ZERO)
    if end != balance:
        rows.append(_made_up(balance - end, rows[-1].at, "makes up for what was not seen since"))
    opening = balance if first is None else first
    begin = min([created, *(row.at for row in rows)])
    if total is not None:
        total -= len(rows)
    return [*_opening(opening, rows, total, left if end == balance else None, balance, begin), *rows]


def _chained(rows: Sequence[Row]) -> Iterator[Row]:
    """In the order in which they were booked: each begins with the balance that the one before it left.

    What was bought on invoice was created long before it was booked.
    """
    waiting = list(rows)
    running = _beginning(rows)
    at = None
    while waiting:
        place = next((n for n, row in enumerate(waiting) if row.status != "completed" or row.before == running), 0)
        if any(row.at < waiting[place].at and row.reason not in _BOOKED_LATER for row in waiting[:place]):
            place = 0
        row = waiting.pop(place)
        at = row.at if at is None else max(at, row.at)
        yield replace(row, at=at)
        if row.status == "completed" and row.before is not None:
            running = row.before + row.effect


def _beginning(rows: Sequence[Row]) -> Decimal | None:
    """The balance before the first row; of several at one moment that is the one which begins with what no other left."""
    booked = [row for row in rows if row.status == "completed" and row.before is not None]
    first = [row for row in booked if row.at == booked[0].at]
    left = {row.before + row.effect for row in first if row.before is not None}
    return next((row.before for row in first if row.before not in left), first[0].before if first else None)


def _without_gaps(rows: Iterable[Row], running: Decimal) -> Iterator[Row]:
    for row in rows:
        if row.status == "completed" and row.before is not None and row.before != running:
            yield _made_up(row.before - running, row.at, "makes up for rows that were not seen")
            running = row.before
        yield row
        running += row.effect


def _made_up(difference: Decimal, at: datetime, why: str) -> Row:
    if difference > 0:
        return Row(True, difference, at, BOUGHT, why=why)
    return Row(False, -difference, at, "MANUAL_BALANCE_DEBIT", why=why)


def _opening(
    opening: Decimal, rows: Sequence[Row], count: int | None, left: Credits | None, balance: Decimal, at: datetime
) -> list[Row]:
    """What stands for all that came before the first row that was seen: as many rows as there were, if that is known."""
    why = "stands for what came before, which was not seen"
    if opening < 0:
        return [replace(_made_up(opening, at, why), at=at)]
    used, bought, free = _shares(opening, rows, left, balance)
    # What was used since must be used first again.
    parts = [
        Row(True, used, at, BOUGHT, priority=0, why=why),
        Row(True, bought, at, BOUGHT, why=why),
        Row(True, free, at, FREE, why=why),
    ]
    made = [row for row in parts if row.credits > 0]
    missing = 0 if count is None else min(count, _MOST_MADE_UP) - len(made)
    if missing > 0 and made:
        largest = max(made, key=lambda row: row.credits)
        place = made.index(largest)
        made[place : place + 1] = _split(largest, missing + 1)
    elif missing > 1:
        one = Row(True, Decimal(1), at, BOUGHT, why=why)
        made = [one] * (missing - 1) + [Row(False, Decimal(missing - 1), at, "CREDIT_ADJUSTMENT", why=why)]
    return made


def _split(row: Row, pieces: int) -> list[Row]:
    each = (row.credits / pieces).quantize(TINIEST, rounding="ROUND_FLOOR")
    if each <= 0:
        return [row]
    return [replace(row, credits=row.credits - each * (pieces - 1)), *(replace(row, credits=each) for _ in range(pieces - 1))]


def _shares(opening: Decimal, rows: Sequence[Row], left: Credits | None, balance: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Of the opening credits: what was used since, and what is left of bought and of free ones."""
    credits = [row for row in rows if row.is_credit and row.status == "completed"]
    if any(row.available is None for row in credits):
        return ZERO, opening, ZERO
    bought = sum((row.available or ZERO for row in credits if row.reason in PURCHASED), ZERO)
    free = sum((row.available or ZERO for row in credits if row.reason not in PURCHASED), ZERO)
    if left is None:
        left = Credits(max(ZERO, balance - free), free)
    bought_left, free_left = max(ZERO, left.purchased - bought), max(ZERO, left.free - free)
    used = opening - bought_left - free_left
    return (used, bought_left, free_left) if used >= 0 else (ZERO, opening, ZERO)
