"""What falls due in a Flexprice world, and when: found without looking at every wallet."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple


class Item(NamedTuple):
    """Something that falls due. Of two at the same time the one that sorts first comes first.

    `topup`: an automatic top-up; `look`: accruing usage makes the provider look at a wallet; `sweep`: the expired credit `row_id`
    is written off.
    """

    kind: Literal["0 topup", "1 look", "2 sweep"]
    wallet_id: str
    row_id: str = ""


class Schedule:
    """A time for each item. Times change far more often than they come, so those given up stay in the heap until they surface."""

    def __init__(self, times: Mapping[Item, datetime]) -> None:
        self._times = dict(times)
        self._heap = [(when, item) for item, when in times.items()]
        heapq.heapify(self._heap)

    def __contains__(self, item: Item) -> bool:
        return item in self._times

    def put(self, item: Item, when: datetime | None) -> None:
        """Give an item another time, or none."""
        if when == self._times.get(item):
            return
        if when is None:
            del self._times[item]
            return
        self._times[item] = when
        heapq.heappush(self._heap, (when, item))
        if len(self._heap) > 64 + 2 * len(self._times):
            self._heap = [(time, kept) for kept, time in self._times.items()]
            heapq.heapify(self._heap)

    def times(self) -> dict[Item, datetime]:
        """When each item is due, in no order."""
        return dict(self._times)

    def first(self) -> tuple[datetime, Item] | None:
        """What is due first."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None
