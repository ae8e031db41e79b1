"""Rows of the population in order, counted and picked by arithmetic, merged with rows that really exist.

A list over ten million wallets must give the right total and any page of it without making the wallets. Members repeat a
few templates, and their rows are in the order of (member, slot), so a row's rank is a division away.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, Generic, TypeVar

Row = TypeVar("Row")


class MemberRows:
    """Some rows of every member, oldest first: those whose template has their slot in `slots`.

    `size` is the number of members, `excluded` are members that are listed elsewhere. `times` gives the times of a
    member's chosen slots, in order.
    """

    def __init__(
        self,
        size: int,
        slots: Sequence[Sequence[int]],
        excluded: Iterable[int],
        times: Callable[[int], list[datetime]],
        member_at: Callable[[datetime], int],
    ) -> None:
        self._slots = slots
        self._starts = list(accumulate((len(chosen) for chosen in slots), initial=0))
        self._per_period = self._starts[-1]
        self._excluded = sorted(excluded)
        self._times = times
        self._member_at = member_at
        self._size = size
        self.first = 0
        self.last = self._before(size) if slots else 0

    def __len__(self) -> int:
        return max(0, self.last - self.first)

    def between(self, start: datetime | None, end: datetime | None) -> None:
        """Leave out rows before `start` and rows after `end`."""
        if start is not None:
            self.first = max(self.first, self._rank(start, inclusive=False))
        if end is not None:
            self.last = min(self.last, self._rank(end, inclusive=True))

    def rank_before(self, moment: datetime) -> int:
        """How many of these rows are not later than a moment."""
        return max(0, min(self._rank(moment, inclusive=True), self.last) - self.first)

    def pick(self, rank: int) -> tuple[int, int]:
        """Member and slot of the row at a rank (0 = oldest)."""
        rank += self.first
        for member in self._excluded:
            if self._plain_before(member) > rank:
                break
            rank += len(self._slots[member % len(self._slots)])
        period, rest = divmod(rank, self._per_period)
        template = bisect_right(self._starts, rest) - 1
        return period * len(self._slots) + template, self._slots[template][rest - self._starts[template]]

    def _plain_before(self, member: int) -> int:
        """Rows of all members before one, excluded or not."""
        period, template = divmod(member, len(self._slots))
        return period * self._per_period + self._starts[template]

    def _before(self, member: int) -> int:
        """Rows of members before one, excluded ones left out."""
        hidden = sum(len(self._slots[e % len(self._slots)]) for e in self._excluded[: bisect_left(self._excluded, member)])
        return self._plain_before(member) - hidden

    def _rank(self, moment: datetime, *, inclusive: bool) -> int:
        if not self._slots:
            return 0
        member = self._member_at(moment)  # the last one created at or before the moment; -1 if none
        if member < 0:
            return 0
        member = min(member, self._size - 1)
        rank = self._before(member)
        if member not in self._excluded:
            times = self._times(member)
            rank += bisect_right(times, moment) if inclusive else bisect_left(times, moment)
        return rank


class Page(Generic[Row]):
    """One page of rows that exist (`rows`, sorted by `key`) merged with members' rows in groups (`groups`).

    A group is a sort key and the members' rows that share it; keys of groups and rows compare, and within equal keys the
    time decides (`time` of a row), oldest first. `newest_first` turns that last order round.
    """

    def __init__(
        self,
        rows: list[Row],
        groups: list[tuple[Any, MemberRows]],
        make: Callable[[int, int], Row],
        key: Callable[[Row], Any],
        time: Callable[[Row], datetime],
        *,
        newest_first: bool,
    ) -> None:
        self._groups = sorted((group for group in groups if len(group[1])), key=lambda group: group[0])
        self._make = make
        self._newest_first = newest_first
        # Sorting is stable: rows of one moment keep the order they were booked in, and turn round with it.
        rows = sorted(rows, key=time)
        if newest_first:
            rows.reverse()
        self._rows = sorted(rows, key=key)
        self._places = [number + self._members_before(key(row), time(row)) for number, row in enumerate(self._rows)]
        self.total = len(rows) + sum(len(members) for _, members in self._groups)

    def items(self, offset: int, limit: int) -> list[Row]:
        """The rows of a page."""
        result = []
        for place in range(min(offset, self.total), min(offset + limit, self.total)):
            number = bisect_left(self._places, place)
            if number < len(self._places) and self._places[number] == place:
                result.append(self._rows[number])
            else:
                result.append(self._member_row(place - number))
        return result

    def _members_before(self, key: Any, moment: datetime) -> int:
        """How many members' rows come before a row with this key and time."""
        count = 0
        for group_key, members in self._groups:
            if group_key < key:
                count += len(members)
            elif group_key == key:
                earlier = members.rank_before(moment)
                count += len(members) - earlier if self._newest_first else earlier
        return count

    def _member_row(self, rank: int) -> Row:
        for _, members in self._groups:
            if rank < len(members):
                return self._make(*members.pick(len(members) - 1 - rank if self._newest_first else rank))
            rank -= len(members)
        raise IndexError(rank)
