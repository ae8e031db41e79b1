"""Two servers on one log are one: what clients of both see of a wallet could have come from a single one.

The checker is checked first: it has to accept what is right and to reject what is seeded wrong.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import httpx
import postgres
import pytest
from crew import Crew, crew, quick_folder
from flexprice_checks import Wallet
from histories import Histories, Operation, observe, unexplained

# ---------------------------------------------------------------- the checker


def lawful(draw: random.Random, count: int, clients: int = 6, losing: float = 0.02) -> list[Operation]:
    """A history of one number that clients of one server might see; some answers are lost."""
    history: list[Operation] = []
    free = [0.0] * clients
    number = 0
    # Each operation happens at one moment, which its client's question comes before, and its answer after.
    for moment in range(1, count + 1):
        client = draw.randrange(clients)
        if free[client] >= moment:
            continue
        begin = draw.uniform(free[client], moment)
        end = moment + draw.random() * clients
        change = draw.choice([0, 0, 1, 1, 2, -1])
        happens = draw.random() > losing / 2
        number += change * happens
        if not happens or draw.random() < losing / 2:
            history.append(Operation(begin, None, change, None))
        else:
            history.append(Operation(begin, end, change, number))
        free[client] = end
    return history


def explained(history: Sequence[Operation]) -> bool:
    """The same by trying every order and every choice of lost operations that have happened."""
    answered = [operation for operation in history if operation.end is not None]
    lost = [operation for operation in history if operation.end is None]
    for count in range(len(lost) + 1):
        for happened in itertools.combinations(lost, count):
            for order in itertools.permutations([*answered, *happened]):
                number = 0
                for index, operation in enumerate(order):
                    number += operation.change
                    if operation.seen not in (None, number):
                        break
                    if any(later.end is not None and later.end < operation.begin for later in order[index + 1 :]):
                        break
                else:
                    return True
    return False


def test_what_one_server_does_is_accepted() -> None:
    """Hundreds of operations of many clients at once, with lost answers among them."""
    for seed in range(20):
        assert unexplained(lawful(random.Random(seed), 400)) is None


def test_the_checker_agrees_with_trying_everything() -> None:
    """On short histories, right and wrong, it says what the definition says."""
    verdicts = []
    for seed in range(300):
        draw = random.Random(seed)
        history = lawful(draw, 7, clients=3, losing=0.2)[:6]
        if history and draw.random() < 0.6:
            place = draw.randrange(len(history))
            history[place] = replace(history[place], seen=draw.randrange(-1, 5), end=history[place].end or 20.0)
        verdicts.append(explained(history))
        assert (unexplained(history) is None) == verdicts[-1], history
    assert 60 < sum(verdicts) < 240


SEEDED = {
    "a stale read": [Operation(0, 1, 5, 5), Operation(2, 3, 0, 0)],
    "a read that goes back": [Operation(0, 9, 5, 5), Operation(1, 2, 0, 5), Operation(3, 4, 0, 0)],
    "a lost update": [Operation(0, 2, 1, 1), Operation(1, 3, 1, 1)],
    "an acknowledged write that is gone": [Operation(0, 1, 1, 1), Operation(2, 3, 2, 2)],
    "a phantom": [Operation(0, 1, 1, 1), Operation(2, 3, 0, 3)],
    "a write that was never answered, twice": [Operation(0, None, 1, None), Operation(2, 3, 0, 2)],
    "a write that was never answered, before it was asked for": [Operation(2, None, 1, None), Operation(0, 1, 0, 1)],
    "a write that was never answered, taken back": [Operation(0, None, 1, None), Operation(2, 3, 0, 1), Operation(4, 5, 0, 0)],
}


@pytest.mark.parametrize("history", SEEDED.values(), ids=SEEDED)
def test_what_no_one_server_does_is_rejected(history: list[Operation]) -> None:
    """Alone, and in the middle of a long history that is right."""
    assert unexplained(history) is not None
    before = [Operation(at - 500, at - 499.5, 1, at + 1) for at in range(400)]
    shifted = [replace(operation, seen=None if operation.seen is None else operation.seen + 400) for operation in history]
    after = [Operation(100 + at, 100.5 + at, 0, None) for at in range(50)]
    assert unexplained(before) is None
    assert unexplained([*before, *shifted, *after]) is not None


# ---------------------------------------------------------------- two servers


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Crew, Crew]]:
    """Two servers on one log."""
    with quick_folder() as folder:
        log = f"sqlite:{folder}/log" if request.param == "sqlite" else postgres.place()
        with crew("--log", log) as one, crew("--log", log) as other:
            yield one, other


def test_two_servers_are_one(pair: tuple[Crew, Crew]) -> None:
    """Clients top up, debit and read two wallets, each at either server: every answer has its place in one order."""
    with httpx.Client(base_url=f"{pair[0].url}/v1", headers={"x-api-key": "test"}) as client:
        wallets = [Wallet.create(client).id for _ in range(2)]
    histories: Histories = {wallet: [] for wallet in wallets}
    asyncio.run(observe(histories, [crew.address for crew in pair], clients=4, count=100))
    for wallet in wallets:
        history = histories[wallet]
        assert len(history) > 120
        assert unexplained(history) is None
        # That it could have failed: without one of its writes the same history is refused.
        write = next(operation for operation in history if operation.change)
        assert unexplained([operation for operation in history if operation is not write]) is not None
