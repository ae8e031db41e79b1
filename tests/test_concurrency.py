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
from mock_server.event_log import Conflict, Event, MemoryLog
from mock_server.ids import Seed
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

    async def append(self, session: str, events: Sequence[Event], position: int) -> None:
        if position == 0:
            await super().append(session, [added(100)], 0)
        await super().append(session, events, position)


class YieldingLog(MemoryLog):
    """A log that lets others run before and after it acts, as one on a disk would."""

    async def read(self, session: str, after: int) -> Sequence[Event]:
        await asyncio.sleep(0)
        events = await super().read(session, after)
        await asyncio.sleep(0)
        return events

    async def append(self, session: str, events: Sequence[Event], position: int) -> None:
        await asyncio.sleep(0)
        await super().append(session, events, position)
        await asyncio.sleep(0)

    async def truncate(self, session: str, position: int) -> None:
        await asyncio.sleep(0)
        await super().truncate(session, position)
        await asyncio.sleep(0)


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


def test_memory_log_reads_appends_and_truncates() -> None:
    """Events come back in order after a position; a stale append changes nothing; sessions are apart."""

    async def run() -> None:
        log = MemoryLog()
        one, two, three = added(1), added(2), added(3)
        assert list(await log.read("a", 0)) == []
        await log.append("a", [one, two], 0)
        for stale in (0, 1, 3):
            with pytest.raises(Conflict, match="'a' is at 2"):
                await log.append("a", [three], stale)
        assert [list(await log.read("a", after)) for after in range(4)] == [[one, two], [two], [], []]
        await log.append("a", [three], 2)
        await log.truncate("a", 1)
        assert list(await log.read("a", 0)) == [one]
        assert list(await log.read("b", 0)) == []
        await log.truncate("a", 0)
        await log.truncate("b", 0)
        assert list(await log.read("a", 0)) == []
        await log.append("a", [three], 0)
        assert list(await log.read("a", 0)) == [three]

    asyncio.run(run())


def test_what_was_read_does_not_change() -> None:
    """A reader's events stay what they were when others append."""

    async def run() -> None:
        log = MemoryLog()
        await log.append("a", [added(1)], 0)
        read = await log.read("a", 0)
        await log.append("a", [added(2)], 1)
        assert numbers(read) == [1]

    asyncio.run(run())


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
        kept = list(await log.read("a", 0))
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
        assert events_of(await worlds.current("a")) == list(await log.read("a", 0))

    asyncio.run(run())
