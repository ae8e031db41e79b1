"""Many writers at once, over HTTP and in process: nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
from conftest import Mock
from flexprice_checks import Wallet, assert_ok, number

from mock_server.clock import RealClock
from mock_server.event_log import Event, Head, Tail
from mock_server.ids import Seed
from mock_server.logs.memory import MemoryLog
from mock_server.world import Draft, World, Worlds

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def all_at_once(mock: Mock, session: str, path: str, bodies: list[dict[str, str]]) -> list[httpx.Response]:
    """Post everything at the same time."""

    async def post() -> list[httpx.Response]:
        headers = {"x-api-key": "test", "x-mock-session": session}
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(base_url=f"{mock.url}/v1", headers=headers, limits=limits, timeout=30) as client:
            return await asyncio.gather(*(client.post(path, json=body) for body in bodies))

    return asyncio.run(post())


def test_concurrent_topups_all_count_once(mock: Mock, flexprice: httpx.Client, session: str) -> None:
    """200 top-ups at the same time are 200 rows in one chain."""
    wallet = Wallet.create(flexprice)
    amounts = [Decimal(n) / 100 for n in range(1, 201)]
    asked = [
        {"credits_to_add": str(amount), "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": f"c-{amount}"}
        for amount in amounts
    ]
    for response in all_at_once(mock, session, f"/wallets/{wallet.id}/top-up", asked):
        assert_ok(response)
    body, rows = wallet.check()
    assert sorted(number(row, "credit_amount") for row in rows) == amounts
    assert len({row["id"] for row in rows}) == 200
    assert number(body, "credit_balance") == sum(amounts)


def test_a_key_used_twenty_times_at_once_works_once(mock: Mock, flexprice: httpx.Client, session: str) -> None:
    """One of twenty gets through."""
    wallet = Wallet.create(flexprice)
    asked = [{"credits_to_add": "5", "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": "the-same"}] * 20
    answers = all_at_once(mock, session, f"/wallets/{wallet.id}/top-up", asked)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}
    body, rows = wallet.check()
    assert (body["credit_balance"], len(rows)) == ("5", 1)


@dataclass(frozen=True, kw_only=True)
class Added(Event):
    """An event that remembers how many came before it."""

    number: int
    id: str = ""


class Counted:
    """A state that keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def apply(self, event: Event) -> tuple[()]:
        self.events.append(event)
        return ()


class OtherWriterFirst(MemoryLog):
    """A log in which another writer gets in just before the first append."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = True

    async def append(self, session: str, events: Sequence[Event], at: Head) -> Head:
        if at.position == 0:
            await super().append(session, [added(100)], at)
        return await super().append(session, events, at)


class YieldingLog(MemoryLog):
    """A log that lets others run before and after it acts, as one on a disk would."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = True

    async def catch_up(self, session: str, known: Head) -> Tail | None:
        await asyncio.sleep(0)
        tail = await super().catch_up(session, known)
        await asyncio.sleep(0)
        return tail

    async def append(self, session: str, events: Sequence[Event], at: Head) -> Head:
        await asyncio.sleep(0)
        head = await super().append(session, events, at)
        await asyncio.sleep(0)
        return head

    async def rewrite(self, session: str, events: Sequence[Event], at: Head | None = None) -> Head:
        await asyncio.sleep(0)
        head = await super().rewrite(session, events, at)
        await asyncio.sleep(0)
        return head


def added(number: int, id: str = "") -> Added:
    """An event."""
    return Added(at=NOW, number=number, id=id)


def worlds_of(log: MemoryLog) -> Worlds:
    """Worlds that only keep their events."""
    return Worlds(log, RealClock(), Seed(1), {"counted": Counted})


def events_of(world: World) -> list[Event]:
    """What a world has seen."""
    state = world.states["counted"]
    assert isinstance(state, Counted)
    assert world.position == len(state.events)
    return state.events


def count_up(world: World, draft: Draft) -> tuple[list[Event], int]:
    """A decision that depends on the world: the number of events so far."""
    number = len(events_of(world))
    return [added(number, draft.id("x"))], number


def numbers(events: Sequence[Event]) -> list[int]:
    """Their numbers."""
    return [event.number for event in events if isinstance(event, Added)]


def test_commit_decides_again_when_another_writer_was_first() -> None:
    """The second decision sees the other writer's event, and only its own outcome is kept."""

    async def run() -> None:
        worlds = worlds_of(OtherWriterFirst())
        seen: list[int] = []

        def decide(world: World, draft: Draft) -> tuple[list[Event], int]:
            seen.append(len(events_of(world)))
            return count_up(world, draft)

        world, result = await worlds.commit("a", decide)
        assert (seen, result) == ([0, 1], 1)
        assert numbers(events_of(world)) == [100, 1]
        assert events_of(await worlds.current("b")) == []

    asyncio.run(run())


def test_commit_of_nothing_appends_nothing() -> None:
    """A decision without events leaves the pristine world."""

    async def run() -> None:
        worlds = worlds_of(MemoryLog())
        world, result = await worlds.commit("a", lambda world, draft: ([], "none"))
        assert (events_of(world), result) == ([], "none")
        assert await worlds.current("b") is world

    asyncio.run(run())


def test_refused_decisions_leave_no_trace() -> None:
    """An error in the decision is the caller's, and the world is as before."""

    async def run() -> None:
        worlds = worlds_of(MemoryLog())

        def refuse(world: World, draft: Draft) -> tuple[list[Event], int]:
            raise LookupError

        with pytest.raises(LookupError):
            await worlds.commit("a", refuse)
        assert (await worlds.commit("a", count_up))[1] == 0

    asyncio.run(run())


@pytest.mark.parametrize("make", [MemoryLog, YieldingLog])
def test_fifty_commits_at_once(make: Callable[[], MemoryLog]) -> None:
    """Each is decided on what all before it left: every number once, every id once, in the log and in the world."""

    async def run() -> None:
        log = make()
        worlds = worlds_of(log)
        results = await asyncio.gather(*(worlds.commit("a", count_up) for _ in range(50)))
        assert sorted(result for _, result in results) == list(range(50))
        kept = list(await log.read("a"))
        assert numbers(kept) == list(range(50))
        assert len({event.id for event in kept if isinstance(event, Added)}) == 50
        assert events_of(await worlds.current("a")) == kept

    asyncio.run(run())


def test_resets_among_commits_leave_world_and_log_in_step() -> None:
    """Whenever a reset comes, the world is what its log says, and the next commit works."""

    async def run() -> None:
        log = YieldingLog()
        worlds = worlds_of(log)
        jobs = [worlds.reset("a") if number % 7 == 6 else worlds.commit("a", count_up) for number in range(42)]
        await asyncio.gather(*jobs)
        await worlds.commit("a", count_up)
        assert events_of(await worlds.current("a")) == list(await log.read("a"))

    asyncio.run(run())
