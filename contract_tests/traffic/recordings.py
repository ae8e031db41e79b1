"""Recordings, judged from the first file to the last: read, sorted by time, examined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from contract_tests.results import TrafficSeen
from contract_tests.traffic.addressing import moves_a_mock
from contract_tests.traffic.examiner import Traffic
from contract_tests.traffic.in_order import InOrder
from contract_tests.traffic.reading import read
from contract_tests.traffic.recorded import Unusable

_MOST_PROBLEMS = 50

Tell = Callable[[str, int, int], None]
"""Is told what is done, how many exchanges of it are done, and of how many (0 if nobody knows yet)."""


def examine(files: Sequence[Path], traffic: Traffic, tell: Tell) -> TrafficSeen:
    """Have `traffic` judge what is its own in recordings, in the order of time over all files, and count the rest."""
    with InOrder() as in_order:
        seen = _read(files, traffic, in_order, tell)
        number = 0
        for recorded in in_order:
            placed = traffic.place(recorded)
            if placed is None:
                traffic.start_over()
                continue
            traffic.examine(placed)
            number += 1
            tell("judging", number, seen.judged)
    return seen


def _read(files: Sequence[Path], traffic: Traffic, in_order: InOrder, tell: Tell) -> TrafficSeen:
    elsewhere: Counter[str] = Counter()
    unusable: Counter[str] = Counter()
    seen = TrafficSeen(files=[str(file) for file in files])
    for entry in read(files):
        seen.exchanges += 1
        if isinstance(entry, Unusable):
            unusable[entry.reason] += 1
            if entry.reason == "unreadable" and len(seen.problems) < _MOST_PROBLEMS:
                seen.problems.append(str(entry))
        elif traffic.place(entry) is None:
            elsewhere[entry.origin] += 1
            if moves_a_mock(entry):
                in_order.add(entry)
        else:
            seen.judged += 1
            in_order.add(entry)
        tell("reading", seen.exchanges, 0)
    seen.elsewhere, seen.unusable = dict(elsewhere.most_common()), dict(unusable)
    return seen
