"""Writes that only go wrong when others write at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from mock_server.defects.book import Book, on
from mock_server.defects.flexprice.money import has_room
from mock_server.defects.visit import Visit
from mock_server.event_log import Event
from mock_server.flexprice.events import TransactionCreated
from mock_server.flexprice.state import state_of
from mock_server.world import Draft, World

book = Book("flexprice", "concurrency")

book.add(
    "parallel-top-ups-lost",
    "Of top-ups of one wallet at the same moment only the last counts, though all are listed.",
    hasty=on("topUpWallet"),
)
book.add(
    "parallel-terminations-accepted",
    "Terminating a wallet twice at the same moment pays its credits out twice.",
    hasty=on("terminateWallet"),
)


@book.events("topUpWallet", hasty=lambda visit: visit.operation == "topUpWallet" and bool(visit.asked.get("idempotency_key")))
def parallel_key_counts_twice(visit: Visit, world: World, draft: Draft, events: Sequence[Event]) -> Sequence[Event]:
    """One idempotency key used twice at the same moment counts twice; later uses are refused."""
    result: list[Event] = []
    after: Decimal | None = None
    for decided in events:
        event = decided
        if isinstance(event, TransactionCreated) and event.transaction.transaction_status == "completed":
            row = event.transaction
            if after is None:
                account = state_of(world).account(row.wallet_id)
                after = account.wallet.credit_balance if account else row.credit_balance_before
            before, after = after, after + row.credit_amount
            if has_room(world, row, after):
                event = replace(event, transaction=replace(row, credit_balance_before=before, credit_balance_after=after))
        result.append(event)
    return result
