"""Whether what several clients saw of one number can be explained by one server that did one thing after the other.

An operation adds to the number (0: it only reads it) and may say what the number was right after. A history is linearizable if
there is an order of its operations in which every answer is right, and in which none comes before another one that had been
answered before it was asked. The search is that of Wing and Gong, made just in time as by Lowe ("Testing for linearizability",
2017): an operation is put in its place no sooner than its answer has come.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from topups import Connection


@dataclass(frozen=True)
class Operation:
    """Asked at `begin`, answered at `end`; None if it never was, and has happened at any time after `begin`, or not at all.

    `change` is what it adds, `seen` what the number was then, None if the answer does not say.
    """

    begin: float
    end: float | None
    change: int
    seen: int | None


class _State(NamedTuple):
    """The number, which of the operations that wait for their answers have happened, and how many lost ones of each change."""

    number: int
    happened: frozenset[int]
    lost: tuple[tuple[int, int], ...]


def unexplained(history: Sequence[Operation], number: int = 0) -> Operation | None:
    """The first operation whose answer no order explains, the number having begun as `number`; None if there is an order."""
    states = {_State(number, frozenset(), ())}
    waiting: set[int] = set()
    lost: dict[int, int] = {}
    for is_end, index in _moments(history):
        operation = history[index]
        if is_end:
            states = _answered(states, history, waiting, lost, index)
            if not states:
                return operation
            waiting.discard(index)
        elif operation.end is None:
            # Lost ones that add the same are the same, so that only their count matters.
            if operation.change:
                lost[operation.change] = lost.get(operation.change, 0) + 1
        else:
            waiting.add(index)
    return None


def _moments(history: Sequence[Operation]) -> Iterable[tuple[bool, int]]:
    """Beginnings and ends in order: which operation, and whether it is its end."""
    found = [(operation.begin, False, index) for index, operation in enumerate(history)]
    found += [(operation.end, True, index) for index, operation in enumerate(history) if operation.end is not None]
    return [(is_end, index) for _, is_end, index in sorted(found)]


def _answered(
    states: set[_State], history: Sequence[Operation], waiting: set[int], lost: dict[int, int], answered: int
) -> set[_State]:
    """The states in which an operation has happened, others that may have happened before it included."""
    found: set[_State] = set()
    known = set(states)
    ahead = list(states)
    while ahead:
        state = ahead.pop()
        number = state.number
        # What only reads changes nothing, so it can as well happen as soon as it may: one state instead of one for each choice.
        reads = {
            index for index in waiting - state.happened if not history[index].change and history[index].seen in (None, number)
        }
        happened = state.happened | reads
        if answered in happened:
            found.add(_State(number, happened - {answered}, state.lost))
            continue
        following = [
            _State(number + history[index].change, happened | {index}, state.lost)
            for index in waiting - happened
            if history[index].change and history[index].seen in (None, number + history[index].change)
        ]
        used = dict(state.lost)
        following += [
            _State(number + change, happened, tuple(sorted((used | {change: used.get(change, 0) + 1}).items())))
            for change, count in lost.items()
            if used.get(change, 0) < count
        ]
        for each in following:
            if each not in known:
                known.add(each)
                ahead.append(each)
    return found


Histories = dict[str, list[Operation]]
"""By wallet."""


async def observe(histories: Histories, addresses: Sequence[tuple[str, int]], clients: int, count: int) -> None:
    """Add what clients see of these wallets, who send `count` requests each, now to one server and now to another.

    Few clients see more than many: what overlaps may have happened in any order.
    """
    wallets = list(histories)

    async def work(number: int) -> None:
        draw = random.Random(number)
        connections = [Connection(address) for address in addresses]
        for turn in range(count):
            wallet, connection = draw.choice(wallets), draw.choice(connections)
            change = draw.choice([0, 0, 1, 2, -1])
            begin = time.monotonic()
            key = f"{wallet}-{number}-{turn}"
            if change > 0:
                status, body = await connection.top_up(wallet, key, change)
            elif change < 0:
                asked = {"credits": -change, "transaction_reason": "MANUAL_BALANCE_DEBIT", "idempotency_key": key}
                status, body = await connection.send("POST", f"/v1/wallets/{wallet}/debit", asked)
            else:
                path = draw.choice([f"/v1/wallets/{wallet}", f"/v1/wallets/{wallet}/balance/real-time"])
                status, body = await connection.send("GET", path)
            end = time.monotonic()
            if status == 400 and change < 0:
                continue  # there was nothing to take
            if status != 200:
                assert status in (0, 503), body
                histories[wallet].append(Operation(begin, None, change, None))
                continue
            answer = json.loads(body)
            histories[wallet].append(Operation(begin, end, change, int(answer.get("wallet", answer)["credit_balance"])))
        for connection in connections:
            connection.close()

    await asyncio.gather(*(work(number) for number in range(clients)))
