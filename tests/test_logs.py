"""One set of promises for all logs: in memory, in an SQLite file, in PostgreSQL. Then what is special about a place.

Where a test has `log` and `other`, these are two processes on one place (in memory there is but one).
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.strategies as st
import postgres
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings

from contract_tests.source import InputError
from mock_server.event_log import NOWHERE, Conflict, Event, EventLog, Head, LogUnavailable, Patience, Record, Records
from mock_server.flexprice.events import UsageSet
from mock_server.logs.memory import MemoryLog
from mock_server.logs.opening import open_log, settle
from mock_server.logs.postgresql import PostgresLog
from mock_server.logs.rows import JOURNAL_BYTES
from mock_server.logs.sqlite import SqliteLog

T = TypeVar("T")
NINE = datetime(2026, 11, 21, 9, tzinfo=UTC)
Story = Callable[[EventLog, EventLog], Awaitable[None]]


def event(number: int, who: str = "cust") -> Event:
    """An event that can be told from others."""
    return UsageSet(at=NINE, customer_id=f"{who}_{number}", currency="usd", amount=Decimal(number) / 100)


def events(first: int, last: int) -> list[Event]:
    """Events by number."""
    return [event(number) for number in range(first, last + 1)]


@asynccontextmanager
async def opened(place: str) -> AsyncIterator[tuple[EventLog, EventLog]]:
    """Two logs on a place, closed afterwards."""
    log = open_log(place)
    other = open_log(place) if log.shared else log
    try:
        yield log, other
    finally:
        await log.close()
        await other.close()


def play(place: str, story: Story) -> None:
    """Run a story with two logs on a place that is made ready for it."""

    async def run() -> None:
        async with opened(place) as logs:
            await story(*logs)

    settle(place, {})
    uvloop.run(run())  # as the server does


def everywhere(story: Story) -> Callable[[str], None]:
    """A test of a promise that every log keeps."""

    def test(place: str) -> None:
        play(place, story)

    test.__name__, test.__doc__ = getattr(story, "__name__", ""), story.__doc__
    return test


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a log, of each kind, where nothing is yet."""
    return {"memory": lambda: "memory", "sqlite": lambda: f"sqlite:{tmp_path / 'log'}", "postgresql": postgres.place}[
        request.param
    ]()


@pytest.fixture(params=["sqlite", "postgresql"])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a log that processes share, of each kind."""
    return f"sqlite:{tmp_path / 'log'}" if request.param == "sqlite" else postgres.place()


# What every log promises


@everywhere
async def test_events_come_back_as_they_were_written(log: EventLog, other: EventLog) -> None:
    """Another process has all events, in order, equal in every field; and then there is nothing new."""
    written = events(1, 10)
    head = await log.append("a", written, NOWHERE)
    tail = await other.catch_up("a", NOWHERE)

    assert tail is not None
    assert (tail.head, list(tail.events), tail.desk) == (head, written, b"")
    assert head.position == 10
    assert await other.catch_up("a", head) is None
    assert list(await other.read("a")) == written
    assert list(await other.read("a", after=7)) == written[7:]


@everywhere
async def test_a_session_that_is_not_there_is_nowhere(log: EventLog, other: EventLog) -> None:
    """Nothing is new in it, nothing can be read, and whoever knew it learns that it is gone."""
    assert await log.catch_up("a", NOWHERE) is None
    tail = await log.catch_up("a", Head(12, 3, 1))

    assert tail is not None
    assert (tail.head, list(tail.events)) == (NOWHERE, [])
    assert list(await log.read("a")) == []
    assert await log.kept("a", "name") is None
    assert await log.records("a") == Records(0, 0, ())
    assert await other.sessions() == []


@everywhere
async def test_catching_up_gives_what_is_not_known(log: EventLog, other: EventLog) -> None:
    """Only later events, without the desk; only the desk, if only that has changed; both, if both have."""
    first = await log.append("a", events(1, 3), NOWHERE)
    second = await log.append("a", events(4, 5), first)
    tail = await other.catch_up("a", first)
    assert tail is not None
    assert (tail.head, list(tail.events), tail.desk) == (second, events(4, 5), None)

    third = await log.put_desk("a", b"desk", second)
    tail = await other.catch_up("a", second)
    assert tail is not None
    assert (tail.head, list(tail.events), tail.desk) == (third, [], b"desk")

    tail = await other.catch_up("a", first)
    assert tail is not None
    assert (tail.head, list(tail.events), tail.desk) == (third, events(4, 5), b"desk")


@everywhere
async def test_an_append_to_what_has_moved_on_is_a_conflict(log: EventLog, other: EventLog) -> None:
    """At an earlier position, in an earlier life, or where something has begun: Conflict, and nothing is written."""
    first = await log.append("a", events(1, 1), NOWHERE)
    second = await other.append("a", events(2, 2), first)
    for stale in (first, NOWHERE, second._replace(generation=second.generation + 1), second._replace(position=7)):
        with pytest.raises(Conflict):
            await log.append("a", events(8, 9), stale)
    with pytest.raises(Conflict):
        await log.append("b", events(8, 9), second)

    assert list(await log.read("a")) == events(1, 2)
    assert [listing.session for listing in await log.sessions()] == ["a"]


@everywhere
async def test_an_append_does_not_mind_the_desk(log: EventLog, other: EventLog) -> None:
    """A desk that has changed is no reason for a conflict, nor are events for a desk."""
    first = await log.append("a", events(1, 1), NOWHERE)
    await other.put_desk("a", b"desk", first)
    second = await log.append("a", events(2, 2), first)
    third = await other.put_desk("a", b"again", first._replace(revision=1))

    assert (second.position, third.position, third.revision) == (2, 2, 2)


@everywhere
async def test_an_append_of_nothing_begins_a_session(log: EventLog, other: EventLog) -> None:
    """It is there from then on, with nothing in it."""
    head = await log.append("a", [], NOWHERE)

    assert head.generation > 0
    assert [(listing.session, listing.head) for listing in await other.sessions()] == [("a", head)]
    assert await log.append("a", [], head) == head


@everywhere
async def test_desks_conflict_by_their_revision(log: EventLog, other: EventLog) -> None:
    """A first desk begins a session; one that was decided on an earlier desk, or in an earlier life, is refused."""
    first = await log.put_desk("a", b"1", NOWHERE)
    second = await other.put_desk("a", b"2", first)
    for stale in (first, NOWHERE, second._replace(generation=second.generation + 1)):
        with pytest.raises(Conflict):
            await log.put_desk("a", b"3", stale)
    with pytest.raises(Conflict):
        await log.put_desk("b", b"3", second)
    tail = await log.catch_up("a", NOWHERE)

    assert tail is not None
    assert (tail.head, tail.desk, second.revision) == (second, b"2", 2)


@everywhere
async def test_a_rewrite_is_a_new_generation(log: EventLog, other: EventLog) -> None:
    """Who knew the old events gets all new ones, who decided on them gets a conflict, and the rest of the session stays."""
    old = await log.append("a", events(1, 5), NOWHERE)
    old = await log.put_desk("a", b"desk", old)
    await log.keep("a", "name", b"kept")
    await log.record([("a", b"entry")], 10)
    head = await log.rewrite("a", events(7, 8))
    tail = await other.catch_up("a", old)

    assert head.generation not in (0, old.generation)
    assert tail is not None
    assert (tail.head, list(tail.events), tail.desk) == (head, events(7, 8), b"desk")
    with pytest.raises(Conflict):
        await other.append("a", events(6, 6), old)
    assert await other.kept("a", "name") == b"kept"
    assert await other.records("a") == Records(1, 0, (Record(1, b"entry"),))
    assert (await other.append("a", events(9, 9), head)).position == 3
    assert list(await log.read("a")) == events(7, 9)


@everywhere
async def test_a_rewrite_can_depend_on_a_head(log: EventLog, other: EventLog) -> None:
    """It conflicts as an append does, also where the session should not be there; and begins what is not."""
    first = await log.rewrite("a", events(1, 2), NOWHERE)
    second = await other.append("a", events(3, 3), first)
    for stale in (first, NOWHERE, second._replace(generation=second.generation + 1)):
        with pytest.raises(Conflict):
            await log.rewrite("a", [], stale)
    with pytest.raises(Conflict):
        await log.rewrite("b", [], second)
    assert list(await log.read("a")) == events(1, 3)

    assert (await log.rewrite("a", [], second)).position == 0
    assert list(await other.read("a")) == []
    assert (await log.rewrite("c", events(1, 1))).position == 1


@everywhere
async def test_of_a_rewrite_and_an_append_one_comes_first(log: EventLog, other: EventLog) -> None:
    """Both decided on the same head, at the same time: the other one is a conflict."""
    head = await log.append("a", events(1, 1), NOWHERE)
    for _ in range(30):
        both = (log.rewrite("a", events(1, 2), head), other.append("a", events(3, 3), head))
        done = [result for result in await asyncio.gather(*both, return_exceptions=True) if isinstance(result, Head)]
        assert len(done) == 1
        tail = await other.catch_up("a", NOWHERE)
        assert tail is not None
        assert tail.head == done[0]
        assert len(tail.events) == tail.head.position
        head = tail.head


@everywhere
async def test_what_is_forgotten_begins_anew(log: EventLog, other: EventLog) -> None:
    """Events, desk, kept things and journal end; a session of the same name has nothing of it, and a generation of its own."""
    old = await log.append("a", events(1, 5), NOWHERE)
    old = await log.put_desk("a", b"desk", old)
    await log.keep("a", "name", b"kept")
    await log.record([("a", b"entry")], 10)
    await log.forget("a")
    await log.forget("never there")
    tail = await other.catch_up("a", old)
    assert tail is not None
    assert (tail.head, list(tail.events)) == (NOWHERE, [])
    assert await other.sessions() == []
    assert await other.keeping("name") == []

    head = await other.append("a", events(7, 7), NOWHERE)
    tail = await log.catch_up("a", old)
    assert tail is not None
    assert (tail.head, list(tail.events), tail.desk) == (head, events(7, 7), b"")
    assert head.generation != old.generation
    assert await log.kept("a", "name") is None
    assert await log.records("a") == Records(0, 0, ())
    with pytest.raises(Conflict):
        await log.append("a", events(6, 6), old)


@everywhere
async def test_no_generation_comes_twice(log: EventLog, other: EventLog) -> None:
    """Whatever begins or is rewritten, in whichever process, after whatever has ended."""
    heads = []
    for which in (log, other) * 5:
        heads += [await which.append("a", [], NOWHERE), await which.rewrite("a", []), await which.put_desk("b", b"", NOWHERE)]
        await which.forget("a")
        await which.forget("b")
    generations = [head.generation for head in heads]

    assert len(set(generations)) == len(generations)
    assert 0 not in generations


@everywhere
async def test_sessions_are_listed_by_their_use(log: EventLog, other: EventLog) -> None:
    """The least recently used first, whoever has used them; to be touched begins a session."""
    for name in ("a", "b", "c"):
        await log.touch([name])
        await asyncio.sleep(0.002)  # the clocks of some places have steps of a millisecond
    await other.touch(["a"])
    listed = await log.sessions()

    assert [listing.session for listing in listed] == ["b", "c", "a"]
    assert all(listing.head.generation > 0 and listing.head.position == 0 for listing in listed)
    assert 5 > listed[0].idle > listed[1].idle > listed[2].idle >= 0
    await log.touch([])


@everywhere
async def test_ten_thousand_sessions(log: EventLog, other: EventLog) -> None:
    """They can be touched at once, again and in another order, and listed."""
    names = [f"s{number}" for number in range(10_000)]
    await log.touch(names)
    await asyncio.gather(log.touch(names), other.touch(reversed(names)))

    assert sorted(listing.session for listing in await other.sessions()) == sorted(names)
    assert len({listing.head.generation for listing in await log.sessions()}) == len(names)


@everywhere
async def test_things_are_kept_by_name(log: EventLog, other: EventLog) -> None:
    """One's own per session, replaced and dropped, found from their names."""
    await log.touch(["a", "b"])
    await log.keep("a", "one", b"\x00\xff")
    await other.keep("b", "one", b"")
    await log.keep("b", "two", b"x" * 100_000)

    assert await other.kept("a", "one") == b"\x00\xff"
    assert await log.kept("b", "one") == b""
    assert await other.kept("b", "two") == b"x" * 100_000
    assert await other.kept("a", "two") is None
    assert sorted(await other.keeping("one")) == ["a", "b"]

    await other.keep("a", "one", b"new")
    await other.keep("b", "one", None)
    await other.keep("b", "one", None)
    assert await log.kept("a", "one") == b"new"
    assert await log.kept("b", "one") is None
    assert await log.keeping("one") == ["a"]
    await log.keep("new", "one", b"1")
    assert await other.kept("new", "one") == b"1"


@everywhere
async def test_a_lease_has_one_holder(log: EventLog, other: EventLog) -> None:
    """Until it is ended or runs out; the holder may prolong it; other names are not concerned."""
    minute, short = timedelta(minutes=1), timedelta(milliseconds=30)
    assert await log.lease("round", "me", minute)
    assert not await other.lease("round", "you", minute)
    assert await other.lease("another", "you", minute)
    assert await log.lease("round", "me", minute)
    assert await log.lease("round", "me", timedelta())
    assert await other.lease("round", "you", short)

    async def my_turn() -> None:
        while not await log.lease("round", "me", minute):  # noqa: ASYNC110 - nobody tells when a lease has run out
            await asyncio.sleep(0.005)

    await asyncio.wait_for(my_turn(), 5)
    assert not await other.lease("round", "you", short)


@everywhere
async def test_of_many_who_want_a_lease_one_gets_it(log: EventLog, other: EventLog) -> None:
    """All at once, from both processes."""
    asked = [which.lease("round", f"holder {number}", timedelta(minutes=1)) for number, which in enumerate((log, other) * 10)]

    assert sum(await asyncio.gather(*asked)) == 1


@everywhere
async def test_a_journal_keeps_the_latest(log: EventLog, other: EventLog) -> None:
    """So many as are asked for; numbers go on, also when it is cleared, and what made room is counted."""
    for number in range(1, 8):
        await (log if number % 2 else other).record([("a", b"%d" % number)], 5)
    assert await other.records("a") == Records(7, 2, tuple(Record(number, b"%d" % number) for number in range(3, 8)))

    await other.clear_records("a")
    assert await log.records("a") == Records(7, 0, ())
    await log.record([("a", b"8")], 5)
    assert await other.records("a") == Records(8, 0, (Record(8, b"8"),))
    for _ in range(5):
        await log.record([("a", b"9")], 5)
    assert (await log.records("a"))[:2] == (13, 1)

    await log.clear_records("a", forget=True)
    assert await other.records("a") == Records(0, 0, ())
    await other.record([("a", b"1")], 5)
    assert await log.records("a") == Records(1, 0, (Record(1, b"1"),))
    await log.clear_records("never there")


@everywhere
async def test_a_journal_is_no_longer_than_its_bytes(log: EventLog, other: EventLog) -> None:
    """Large entries make room by their length, before and after it is cleared; the latest one stays, however long it is."""
    quarter = JOURNAL_BYTES // 4
    for _ in range(2):
        for _ in range(6):
            await log.record([("a", b"x" * quarter)], 100)
        last, dropped, records = await other.records("a")
        assert (last - records[0].number + 1, len(records), dropped) == (4, 4, 2)
        await log.record([("a", b"x" * (JOURNAL_BYTES + 1))], 100)
        _, dropped, records = await other.records("a")
        assert (len(records), dropped) == (1, 6)
        await log.record([("a", b"small")], 100)
        assert [record.entry for record in (await other.records("a")).records] == [b"small"]
        await log.clear_records("a")


@everywhere
async def test_entries_that_come_at_once_have_numbers_of_their_own(log: EventLog, other: EventLog) -> None:
    """None is lost, none comes twice, and no number is left out."""
    wanted = {b"%d" % number for number in range(60)}
    await asyncio.gather(*((log if number % 2 else other).record([("a", b"%d" % number)], 100) for number in range(60)))
    last, dropped, records = await other.records("a")

    assert (last, dropped) == (60, 0)
    assert [record.number for record in records] == list(range(1, 61))
    assert {record.entry for record in records} == wanted


@everywhere
async def test_entries_of_several_sessions_are_written_together(log: EventLog, other: EventLog) -> None:
    """Each in its own journal, in order, after what was there, as many as are kept; sessions that are not there begin."""
    await log.record([("a", b"first")], 5)
    await other.record([("b", b"1"), ("a", b"2"), ("c", b"3"), ("a", b"4"), ("c", b"5")], 5)
    assert await log.records("a") == Records(3, 0, (Record(1, b"first"), Record(2, b"2"), Record(3, b"4")))
    assert await log.records("b") == Records(1, 0, (Record(1, b"1"),))
    assert await log.records("c") == Records(2, 0, (Record(1, b"3"), Record(2, b"5")))

    many = [(session, b"%d" % number) for number in range(8) for session in "ad"]
    await log.record(many, 5)
    latest = [b"%d" % number for number in range(3, 8)]
    assert await other.records("a") == Records(11, 6, tuple(map(Record, range(7, 12), latest)))
    assert await other.records("d") == Records(8, 3, tuple(map(Record, range(4, 9), latest)))
    await log.record([("a", b"next"), ("d", b"next")], 5)
    assert [record.number for record in (await other.records("a")).records] == list(range(8, 13))
    assert [record.number for record in (await other.records("d")).records] == list(range(5, 10))


@everywhere
async def test_entries_written_together_are_no_longer_than_a_journals_bytes(log: EventLog, other: EventLog) -> None:
    """Whether they make room for one another or for those that were there; the latest one stays, however long it is."""
    third = JOURNAL_BYTES // 3
    small, large = ("a", b"x"), ("a", b"y" * third)
    kept = {
        (small, large): [1, third],
        (large, large, large): [third] * 3,
        (small, small, large): [third, 1, 1, third],
        (large, large, large, large, small): [third, third, third, 1],
        (small, ("a", b"z" * (JOURNAL_BYTES + 1))): [JOURNAL_BYTES + 1],
        (small, small): [1, 1],
        (("a", b"z" * (JOURNAL_BYTES + 1)), small): [1],
    }
    written = 0
    for entries, expected in kept.items():
        await log.record(entries, 100)
        written += len(entries)
        last, dropped, records = await other.records("a")
        assert [len(record.entry) for record in records] == expected
        assert (last, dropped) == (written, written - len(records))
        assert [record.number for record in records] == list(range(last - len(records) + 1, last + 1))


@everywhere
async def test_entries_written_together_from_everywhere(log: EventLog, other: EventLog) -> None:
    """To the same sessions in whatever order, at the same time: nobody waits for one another for ever, and all are there."""
    names = [f"s{number}" for number in range(6)]
    await log.touch(names)
    orders = (names, names[::-1])
    batches = [[(name, b"%d" % number) for name in orders[number % 2]] for number in range(30)]
    await asyncio.gather(*((log if number % 2 else other).record(batch, 100) for number, batch in enumerate(batches)))

    for name in names:
        last, dropped, records = await other.records(name)
        assert (last, dropped, len(records)) == (30, 0, 30)
        assert {record.entry for record in records} == {b"%d" % number for number in range(30)}


async def _insist(log: EventLog, session: str, number: int, who: str) -> int:
    """Append an event wherever the session is, however often others come first; how often they did."""
    known = NOWHERE
    for conflicts in range(10_000):
        tail = await log.catch_up(session, known)
        known = tail.head if tail else known
        try:
            await log.append(session, [event(number, who)], known)
        except Conflict:
            await asyncio.sleep(0)
        else:
            return conflicts
    raise AssertionError("always a conflict")


@everywhere
async def test_contended_appends_are_all_there_once(log: EventLog, other: EventLog) -> None:
    """Twice a hundred from each of two processes: none lost, none doubled, each writer's in its order."""

    async def write(which: EventLog, who: str) -> None:
        for number in range(1, 101):
            await _insist(which, "a", number, who)

    writers = [f"{side}{number}" for side in ("log", "other") for number in range(2)]
    await asyncio.gather(*(write(log if who.startswith("log") else other, who) for who in writers))
    found = list(await other.read("a"))

    assert len(found) == 400
    for who in writers:
        theirs = [entry for entry in found if isinstance(entry, UsageSet) and entry.customer_id.startswith(f"{who}_")]
        assert theirs == [event(number, who) for number in range(1, 101)]


@everywhere
async def test_a_tail_belongs_to_its_head(log: EventLog, other: EventLog) -> None:
    """Whoever catches up amid appends and rewrites gets as many events as the head says, of that generation only."""
    done = False

    async def change() -> None:
        nonlocal done
        head = NOWHERE
        for number in range(40):
            head = await log.append("a", [event(number, "first"), event(number, "second")], head)
            if number % 5 == 4:
                head = await log.rewrite("a", events(1, number))
            await asyncio.sleep(0)
        done = True

    async def follow() -> None:
        known, mine = NOWHERE, list[Event]()
        last = False
        while not last:
            last = done
            tail = await other.catch_up("a", known)
            if tail is not None:
                mine = [*(mine if tail.head.generation == known.generation else ()), *tail.events]
                known = tail.head
                assert len(mine) == known.position
            await asyncio.sleep(0)
        assert mine == list(await other.read("a"))

    await asyncio.gather(change(), follow(), follow())


@everywhere
async def test_ten_thousand_events(log: EventLog, other: EventLog) -> None:
    """They are written at once, and read, at once or from anywhere."""
    written = events(1, 10_000)
    head = await log.append("a", written, NOWHERE)

    assert list(await other.read("a")) == written
    tail = await other.catch_up("a", head._replace(position=9_990))
    assert tail is not None
    assert list(tail.events) == written[9_990:]


@everywhere
async def test_what_is_compacted_reads_as_before(log: EventLog, other: EventLog) -> None:
    """From every position, in part, again, further, and with later events after it."""
    written = events(1, 2_600)
    head = await log.append("a", written[:2_500], NOWHERE)
    for position in (1, 1_700, 1_700, 1_800, 1_000, 2_345, 99_999):
        await log.compact("a", position)
        for after in (0, 1, 999, 1_000, 1_001, 1_650, 1_700, 2_344, 2_499, 2_500):
            assert list(await other.read("a", after)) == written[after:2_500]
        tail = await other.catch_up("a", head._replace(position=1_234))
        assert tail is not None
        assert list(tail.events) == written[1_234:2_500]
        assert await other.catch_up("a", head) is None
    assert await other.append("a", written[2_500:], head) == head._replace(position=2_600)
    await other.compact("a", 2_550)
    assert list(await log.read("a")) == written
    await log.compact("never there", 10)


@everywhere
async def test_compacting_is_in_nobodys_way(log: EventLog, other: EventLog) -> None:
    """Appends, a second compacting and a rewrite at the same time: what is there is what was written last."""
    written = events(1, 1_500)
    head = await log.append("a", written, NOWHERE)
    more = other.append("a", events(1_501, 1_600), head)
    await asyncio.gather(log.compact("a", 1_500), other.compact("a", 1_400), more)
    assert list(await other.read("a")) == events(1, 1_600)

    head = await log.append("b", written, NOWHERE)
    await asyncio.gather(log.compact("b", 1_500), other.rewrite("b", events(7, 9)))
    assert list(await log.read("b")) == events(7, 9)


@everywhere
async def test_a_log_that_was_closed_opens_again(log: EventLog, other: EventLog) -> None:
    """By itself, when it is next asked."""
    head = await log.append("a", events(1, 1), NOWHERE)
    await log.close()
    await other.close()

    assert await log.catch_up("a", head) is None
    assert list(await other.read("a")) == events(1, 1)


def test_what_was_written_stays(shared_place: str) -> None:
    """A log outlives those who wrote it; and an origin those who brought another one."""
    assert settle(shared_place, {"seed": 1, "first_day": "2026-11-21"}) == {"seed": 1, "first_day": "2026-11-21"}

    async def write(log: EventLog, other: EventLog) -> None:
        head = await log.append("a", events(1, 3), NOWHERE)
        await other.put_desk("a", b"desk", head)
        assert log.shared

    async def look(log: EventLog, _other: EventLog) -> None:
        tail = await log.catch_up("a", NOWHERE)
        assert tail is not None
        assert (list(tail.events), tail.desk) == (events(1, 3), b"desk")

    play(shared_place, write)
    assert settle(shared_place, {"seed": 2}) == {"seed": 1, "first_day": "2026-11-21"}
    play(shared_place, look)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from("ab"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("rewrite"), st.sampled_from("ab"), st.integers(0, 3), st.sampled_from([None, True, False])),
        st.tuples(st.just("put_desk"), st.sampled_from("ab"), st.binary(max_size=2), st.booleans()),
        st.tuples(st.just("keep"), st.sampled_from("ab"), st.none() | st.binary(max_size=2)),
        st.tuples(st.just("record"), st.sampled_from("ab"), st.integers(1, 4), st.integers(1, 3)),
        st.tuples(st.just("clear"), st.sampled_from("ab"), st.booleans()),
        st.tuples(st.just("forget"), st.sampled_from("ab")),
        st.tuples(st.just("compact"), st.sampled_from("ab"), st.integers(0, 9)),
    ),
    max_size=25,
)


async def _outcomes(log: EventLog, operations: list[tuple[Any, ...]]) -> list[Any]:
    """What can be seen after each operation; generations are numbered as they appear, since each place has its own."""
    known = dict.fromkeys("ab", NOWHERE)
    generations = {0: 0}
    seen: list[Any] = []
    for number, (name, session, *rest) in enumerate(operations):
        at = known[session]
        if rest and rest[-1] is False and name != "clear":
            at = at._replace(position=at.position + 1, revision=at.revision + 1)
        with suppress(Conflict):
            match name:
                case "append":
                    await log.append(session, events(number, number + rest[0] - 1), at)
                case "rewrite":
                    await log.rewrite(session, events(number, number + rest[0] - 1), None if rest[1] is None else at)
                case "put_desk":
                    await log.put_desk(session, rest[0], at)
                case "keep":
                    await log.keep(session, "name", rest[0])
                case "record":
                    entries = [(session, b"%d" % number), ("b", b"b%d" % number), (session, b"again")]
                    await log.record(entries[: rest[1]], rest[0])
                case "clear":
                    await log.clear_records(session, forget=rest[0])
                case "forget":
                    await log.forget(session)
                case "compact":
                    await log.compact(session, rest[0])
        for which in "ab":
            tail = await log.catch_up(which, known[which])
            known[which] = tail.head if tail else known[which]
            generation = generations.setdefault(known[which].generation, len(generations))
            last, dropped, records = await log.records(which)
            told = tail and (list(tail.events), tail.desk)
            seen.append((generation, known[which][1:], told, list(await log.read(which)), last, dropped, list(records)))
            seen.append((await log.kept(which, "name"), sorted(await log.keeping("name"))))
        seen.append({listing.session for listing in await log.sessions()})
    return seen


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(operations=OPERATIONS)
def test_a_file_does_what_memory_does(operations: list[tuple[Any, ...]], tmp_path: Path) -> None:
    """After whatever operations, everything that can be seen is the same."""
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        place = f"sqlite:{folder}/log"
        settle(place, {})

        async def compare() -> None:
            async with opened(place) as (log, _):
                assert await _outcomes(log, operations) == await _outcomes(MemoryLog(), operations)

        asyncio.run(compare())


# What processes share


def _child(work: Callable[[int], None]) -> tuple[int, int]:
    """Fork a child that does something with a pipe to write to; its process id and the pipe to read from."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(reading)
            work(writing)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    return process, reading


def test_a_forked_process_writes_beside_its_parent(shared_place: str) -> None:
    """Both on the log that the parent had used: none of 200 events of theirs is lost or doubled."""
    settle(shared_place, {})
    log = open_log(shared_place)

    async def write(who: str) -> None:
        if isinstance(log, SqliteLog):
            assert log._connection is None  # SQLite forbids to carry one over a fork: both would believe to have its locks
        for number in range(1, 101):
            await _insist(log, "a", number, who)
        await log.close()

    async def before() -> None:
        await log.append("a", [event(0)], NOWHERE)
        if isinstance(log, PostgresLog):
            await log.close()  # its connections belong to an event loop, which does not fork either

    asyncio.run(before())
    process, _ = _child(lambda _: asyncio.run(write("child")))
    asyncio.run(write("parent"))
    _, status = os.waitpid(process, 0)
    found: list[Event] = []

    async def look(other: EventLog, _: EventLog) -> None:
        found.extend(await other.read("a"))

    play(shared_place, look)
    assert status == 0
    assert len(found) == 201
    for who in ("child", "parent"):
        assert [entry for entry in found if who in entry.customer_id] == [event(number, who) for number in range(1, 101)]  # type: ignore[attr-defined]


def test_what_was_acknowledged_survives_a_kill(shared_place: str) -> None:
    """A process that is killed while it writes leaves all events that it was told are written."""
    settle(shared_place, {})

    async def write(pipe: int) -> None:
        log, head = open_log(shared_place), NOWHERE
        for number in range(100_000):
            head = await log.append("a", [event(number)], head)
            os.write(pipe, b".")

    process, pipe = _child(lambda pipe: asyncio.run(write(pipe)))
    acknowledged = 0
    with os.fdopen(pipe, "rb", buffering=0) as said:
        while acknowledged < 50:
            acknowledged += len(said.read(1))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        acknowledged += len(said.readall())

    async def look(log: EventLog, _: EventLog) -> None:
        found = list(await log.read("a"))
        assert len(found) in (acknowledged, acknowledged + 1)
        assert found == [event(number) for number in range(len(found))]

    play(shared_place, look)


def test_many_settle_a_new_place_at_once(shared_place: str) -> None:
    """None fails, and all hear of the same origin."""
    found: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: found.append(settle(shared_place, {"seed": n}))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 4
    assert len({origin["seed"] for origin in found}) == 1


# Places


@pytest.mark.parametrize(
    "place",
    [
        "",
        "memory:",
        "Memory",
        "sqlite",
        "sqlite:",
        "sqlite::memory:",
        "mysql://root:hidden@host/db",
        "postgresql",
        "redis:hidden",
    ],
)
def test_a_place_of_no_kind_is_refused(place: str) -> None:
    """The error says what can be given, and repeats no password."""
    for refuse in (open_log, lambda text: settle(text, {})):
        with pytest.raises(InputError, match=r"--log: expected memory, sqlite:PATH or postgresql://") as error:
            refuse(place)
        assert "hidden" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hid/den@host/db",
        "postgresql://me:hid@den@host/db",
        "postgresql://me:hid?den@host/db",
        "postgresql://me:hid#den@host/db",
        "postgres://me:hidden@host:port/db",
        "postgres:me:hidden@host",
    ],
)
def test_an_address_that_can_be_misread_is_refused(url: str) -> None:
    """A password with a character that ends it would be taken for host or path, and shown."""
    with pytest.raises(InputError, match="%40 for @") as error:
        open_log(url)
    assert "hid" not in str(error.value)
    assert "den" not in str(error.value)


def test_a_log_says_what_it_is_without_its_password(tmp_path: Path) -> None:
    """Kind and place, as a banner shows them."""
    described = {
        "memory": "memory",
        f"sqlite:{tmp_path}/log": f"sqlite:{tmp_path}/log",
        "postgresql://me:hidden@host:5433/db": "postgresql://me@host:5433/db",
        "postgres://host/db?password=hidden&host=/run/sockets": "postgres://host/db?host=/run/sockets",
        "postgresql://me@[::1]/db": "postgresql://me@[::1]/db",
    }

    assert {place: open_log(place).describe() for place in described} == described


def test_a_new_file_is_for_nobody_else(tmp_path: Path) -> None:
    """Whatever the mask of the process is."""
    old = os.umask(0)
    try:
        settle(f"sqlite:{tmp_path}/log", {})
    finally:
        os.umask(old)

    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


@contextmanager
def powerless(folder: Path) -> Iterator[None]:
    """Be somebody who may read a folder but not write to it: rights mean nothing to root."""
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_files_that_are_no_logs_are_refused() -> None:
    """With a sentence that names file and reason; a stranger's file is as it was."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        (folder / "text").write_text("this is not a database, but it is long enough to be taken for one " * 20, "utf-8")
        with closing(sqlite3.connect(folder / "foreign")) as foreign:
            foreign.execute("CREATE TABLE notes (text)")
        settle(f"sqlite:{folder}/newer", {})
        with closing(sqlite3.connect(folder / "newer")) as newer:
            newer.execute("PRAGMA user_version = 2")
        settle(f"sqlite:{folder}/readonly", {})
        (folder / "readonly").chmod(0o444)
        before = (folder / "foreign").read_bytes()
        reasons = {
            "text": "this is not an SQLite file",
            "foreign": "an SQLite database, but not a log of walletproof",
            "newer": "version 2, made by another walletproof; this one reads version 1",
            "missing/log": "there is no folder",
            "": "directory",
        }
        for file, expected in reasons.items():
            with pytest.raises(InputError, match=expected) as error:
                settle(f"sqlite:{folder}/{file}", {})
            assert str(error.value).startswith(f"{folder}/{file}: ")
        with powerless(folder):
            for file in ("readonly", "new"):
                with pytest.raises(InputError, match="cannot be opened for writing: Permission denied"):
                    settle(f"sqlite:{folder}/{file}", {})

        assert (folder / "foreign").read_bytes() == before
        assert not list(folder.glob("foreign-*"))


def test_databases_that_are_no_logs_are_refused() -> None:
    """With a sentence that names the database and the reason, never the password."""
    server = postgres.shared()
    newer, foreign, similar = (postgres.place() for _ in range(3))
    settle(newer, {})
    server.execute(newer.rpartition("/")[2], "UPDATE walletproof.place SET version = 2")
    server.execute(foreign.rpartition("/")[2], "CREATE SCHEMA walletproof CREATE TABLE sessions (x int)")
    database = similar.rpartition("/")[2]
    server.execute(database, "CREATE SCHEMA walletproof CREATE TABLE place (application text, version int, origin text)")
    server.execute(database, "INSERT INTO walletproof.place VALUES ('another', 1, '{}')")
    server.execute("postgres", "CREATE ROLE guest LOGIN PASSWORD 'guest'")
    guest = postgres.place().replace("postgres:" + postgres.QUOTED_PASSWORD, "guest:guest")
    reasons = {
        newer: "version 2, made by another walletproof; this one reads version 1",
        foreign: "a schema walletproof, but it is not a log of ours",
        similar: "a schema walletproof, but it is not a log of ours",
        guest: "permission denied for database .*; the user must own the schema walletproof, or may create it",
        server.url(password="wrong"): 'password authentication failed for user "postgres"',
        server.url("nowhere"): 'database "nowhere" does not exist',
        "postgresql://me:hidden@127.0.0.1:1/db": "cannot be reached",
        "postgresql://me:hidden@nowhere.invalid/db": "cannot be reached",
        "postgresql://me:hidden@127.0.0.1/db?sslmode=odd": "expected postgresql://USER:PASSWORD@HOST",
    }
    for url, expected in reasons.items():
        with pytest.raises(InputError, match=expected) as error:
            settle(url, {})
        for secret in ("hidden", "wrong", postgres.PASSWORD, postgres.QUOTED_PASSWORD, "guest:"):
            assert secret not in str(error.value)


# Trouble with a file


def play_file(path: Path, story: Callable[[SqliteLog, SqliteLog], Awaitable[None]]) -> None:
    """Run a story with two logs in a file."""
    play(f"sqlite:{path}", story)  # type: ignore[arg-type]


def test_a_full_disk_is_trouble_while_it_is_full(tmp_path: Path) -> None:
    """Nothing of what did not fit is there; what is there can be read; with room again, it is written."""

    async def story(log: SqliteLog, other: SqliteLog) -> None:
        head = await log.append("a", events(1, 10), NOWHERE)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "log-wal").stat().st_size + 5_000, limits[1]))
        try:
            with pytest.raises(LogUnavailable, match=r"log: the disk"):
                await log.append("a", events(11, 1_000), head)
            assert list(await log.read("a")) == events(1, 10)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert await other.catch_up("a", head) is None
        assert (await log.append("a", events(11, 1_000), head)).position == 1_000
        assert list(await other.read("a")) == events(1, 1_000)

    play_file(tmp_path / "log", story)


def test_a_lock_holds_up_only_who_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program writes, an append waits, and everything else goes on; if it takes too long, that is said."""

    async def story(log: SqliteLog, other: SqliteLog) -> None:
        head = await log.append("a", events(1, 1), NOWHERE)
        with closing(sqlite3.connect(tmp_path / "log", isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            append = asyncio.create_task(log.append("a", events(2, 2), head))
            for _ in range(20):
                await asyncio.sleep(0.001)
                assert await other.catch_up("a", head) is None
                assert list(await log.read("a")) == events(1, 1)
            assert not append.done()
            writer.execute("COMMIT")
            assert (await append).position == 2

            writer.execute("BEGIN IMMEDIATE")
            monkeypatch.setattr(Patience, "longest", 0.05)
            with pytest.raises(LogUnavailable, match="another process has had it locked for too long"):
                await log.append("a", events(3, 3), head._replace(position=2))
            writer.execute("COMMIT")
        assert (await log.append("a", events(3, 3), head._replace(position=2))).position == 3

    play_file(tmp_path / "log", story)


def test_a_file_that_is_gone_or_damaged_is_trouble_until_it_is_back(tmp_path: Path) -> None:
    """Nothing is written to a file that nobody can read any more, and no other file is taken for it."""
    path, aside = tmp_path / "log", tmp_path / "aside"

    async def story(log: SqliteLog, _: SqliteLog) -> None:
        head = await log.append("a", events(1, 1), NOWHERE)
        await log.close()
        for make in (
            lambda: None,
            lambda: path.write_bytes(b""),
            lambda: path.write_bytes(b"no database " * 1_000),
            lambda: path.write_bytes(aside.read_bytes()[:5_000]),
        ):
            path.rename(aside)
            make()
            for trial in (log.append("a", events(2, 2), head), log.catch_up("a", head), log.read("a")):
                with pytest.raises(LogUnavailable, match=str(path)):
                    await trial
            path.unlink(missing_ok=True)
            aside.rename(path)
            assert await log.catch_up("a", head) is None

        path.unlink()  # while it is open
        for _ in range(2):
            with pytest.raises(LogUnavailable, match="No such file"):
                await log.append("a", events(2, 2), head)
        settle(f"sqlite:{path}", {})
        assert (await log.append("a", events(2, 2), NOWHERE)).position == 1

    play_file(path, story)


def test_a_file_that_may_only_be_read_is_trouble_for_writers() -> None:
    """What is in it can be read; once it may be written to, it is."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name) / "log"

        async def story(log: SqliteLog, _: SqliteLog) -> None:
            head = await log.append("a", events(1, 1), NOWHERE)
            await log.close()
            path.chmod(0o444)
            with powerless(Path(name)):
                with pytest.raises(LogUnavailable, match=r"may only be read|cannot be opened"):
                    await log.append("a", events(2, 2), head)
            path.chmod(0o644)
            assert (await log.append("a", events(2, 2), head)).position == 2

        play_file(path, story)


def test_an_event_that_cannot_be_read_is_trouble(shared_place: str) -> None:
    """As of a later version: the session is named, and the others are not concerned."""

    async def story(log: EventLog, other: EventLog) -> None:
        await log.append("a", events(1, 1), NOWHERE)
        await log.append("b", events(1, 1), NOWHERE)
        sql = 'UPDATE {}events SET event = \'{{"kind":"NeverSeen"}}\' WHERE generation = (SELECT min(generation) FROM {}events)'
        if isinstance(log, SqliteLog):
            with closing(sqlite3.connect(shared_place.removeprefix("sqlite:"))) as file:
                file.execute(sql.format("", ""))
                file.commit()
        else:
            await asyncio.to_thread(
                postgres.shared().execute, shared_place.rpartition("/")[2], sql.format("walletproof.", "walletproof.")
            )
        for trial in (other.read("a"), other.catch_up("a", NOWHERE)):
            with pytest.raises(LogUnavailable, match="session 'a', at 1, cannot be read: no such kind of event: 'NeverSeen'"):
                await trial
        assert list(await other.read("b")) == events(1, 1)
        assert await other.catch_up("b", NOWHERE) is not None

    play(shared_place, story)


# Trouble with a database


def test_who_asks_after_a_query_was_sent_is_answered_by_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another machine wrote in between is seen; and those who ask at the same time share a query."""
    place = postgres.place()

    async def story(log: EventLog, other: EventLog) -> None:
        assert isinstance(log, PostgresLog)
        head = await log.append("a", events(1, 1), NOWHERE)
        answered, go_on, queries = asyncio.Event(), asyncio.Event(), 0
        fetch = log._fetch

        async def held_up(sql: str, *arguments: Any) -> Any:
            nonlocal queries
            queries += 1
            rows = await fetch(sql, *arguments)
            answered.set()
            await go_on.wait()
            return rows

        monkeypatch.setattr(log, "_fetch", held_up)
        early = asyncio.create_task(log.catch_up("a", head))
        await answered.wait()
        await other.append("a", events(2, 2), head)
        await other.append("b", events(3, 3), NOWHERE)
        late = [asyncio.create_task(log.catch_up(session, known)) for session, known in [("a", head), ("b", NOWHERE)] * 20]
        late[0].cancel()
        await asyncio.sleep(0)
        go_on.set()
        assert await early is None
        tails = await asyncio.gather(*late[1:])

        assert queries == 2
        assert [list(tail.events) for tail in tails if tail] == [events(3, 3)] + [events(2, 2), events(3, 3)] * 19

    play(place, story)


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Cluster]:
    """A database server that may be killed; whoever kills it starts it again."""
    with postgres.cluster() as running:
        yield running


def test_a_database_that_is_killed_is_trouble_until_it_is_back(server: postgres.Cluster) -> None:
    """Amid appends from many: all that was acknowledged is there, nothing comes twice, and the same log goes on by itself."""
    place = server.new_database()

    async def story(log: EventLog, other: EventLog) -> None:
        acknowledged: list[str] = []
        enough = asyncio.Event()

        async def write(who: str) -> None:
            known = NOWHERE
            for number in range(10_000):
                tail = await log.catch_up(who, known)
                known = tail.head if tail else known
                known = await log.append(who, [event(number, who)], known)
                acknowledged.append(f"{who}_{number}")
                if len(acknowledged) == 200:
                    enough.set()
            raise AssertionError("it was not killed")

        writers = [asyncio.create_task(write(f"w{number}")) for number in range(10)]
        await enough.wait()
        await asyncio.to_thread(server.kill)
        for trouble in await asyncio.gather(*writers, return_exceptions=True):
            assert isinstance(trouble, LogUnavailable), trouble
            assert postgres.QUOTED_PASSWORD not in str(trouble)
        begun = asyncio.get_running_loop().time()
        for trial in (log.catch_up("w1", NOWHERE), log.append("x", events(1, 1), NOWHERE), other.sessions()):
            with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1"):
                await trial
        assert asyncio.get_running_loop().time() - begun < 2
        await asyncio.to_thread(server.start)
        for number in range(10):
            found = [entry.customer_id for entry in await log.read(f"w{number}")]  # type: ignore[attr-defined]
            mine = [name for name in acknowledged if name.startswith(f"w{number}_")]
            assert found[: len(mine)] == mine
            assert len(found) - len(mine) in (0, 1)
        assert (await other.append("x", events(1, 1), NOWHERE)).position == 1

    play(place, story)


def test_a_database_that_does_not_answer_is_trouble_until_it_does(
    server: postgres.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After as long as a database may take; connections that were waited on are not used again."""
    monkeypatch.setattr(Patience, "longest", 0.2)
    place = server.new_database()

    async def story(log: EventLog, _: EventLog) -> None:
        head = await log.append("a", events(1, 1), NOWHERE)
        server.pause()
        begun = asyncio.get_running_loop().time()
        try:
            trials = [log.catch_up("a", head), log.read("a"), log.rewrite("b", []), *(log.kept("a", "x") for _ in range(20))]
            for trouble in await asyncio.gather(*trials, return_exceptions=True):
                assert isinstance(trouble, LogUnavailable), trouble
            assert asyncio.get_running_loop().time() - begun < 4
        finally:
            server.resume()
        assert await log.catch_up("a", head) is None
        assert (await log.append("a", events(2, 2), head)).position == 2

    play(place, story)
