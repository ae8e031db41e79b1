"""Sessions as a whole: made, listed, bounded, ended; their clocks, snapshots, and the way back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from conftest import Mock, running
from flexprice_checks import Wallet, assert_ok

from contract_tests.mock_client import ControlError, MockClient, Session
from mock_server.clock import ClockSetting, Stopwatch
from mock_server.ids import Seed
from mock_server.logs.memory import MemoryLog
from mock_server.sessions import DEFAULT_SESSION, Sessions, TooManySessions
from mock_server.world import Worlds

NOON = "2026-11-21T12:00:00.000000Z"


@pytest.fixture
def client(mock: Mock) -> Iterator[MockClient]:
    """The controls of the shared mock."""
    with MockClient(mock.url) as opened:
        yield opened


@pytest.fixture
def mine(client: MockClient, session: str) -> Session:
    """The controls of this test's session."""
    return client.session(session)


def test_sessions_are_made_listed_and_ended(client: MockClient, session: str) -> None:
    """A session is there from when it is made or used until it is deleted; nobody can make it twice."""
    made = client.create(session, clock=f"frozen:{NOON}")
    assert session in [known["name"] for known in client.sessions()]
    assert made.about()["now"] == NOON
    with pytest.raises(ControlError, match="already"):
        client.create(session)
    unnamed = client.create()
    assert unnamed.name not in ("", session)
    for each in (made, unnamed):
        each.delete()
        with pytest.raises(ControlError, match="404"):
            each.about()
        with pytest.raises(ControlError, match="404"):
            each.delete()
    assert made.clock()["mode"] == "real", "a session of that name begins anew"


def test_the_default_session_is_always_there() -> None:
    """Deleting it only forgets what happened in it."""
    with running() as mock, MockClient(mock.url) as client:
        client.session().set_clock("frozen")
        client.session().delete()

        assert client.session().about()["mode"] == "real"


def test_a_deleted_session_forgets_its_wallets(mine: Session, flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """What was changed in it is gone with it."""
    wallet = Wallet(flexprice, wallet_ids["healthy"])
    before = wallet.balance()
    assert_ok(wallet.top_up(credits_to_add=5))
    mine.delete()

    assert wallet.balance() == before


def test_a_frozen_clock_stands_until_it_is_moved(mine: Session, flexprice: httpx.Client) -> None:
    """Times of new things are the clock's, to the microsecond, and so is the Date of answers."""
    mine.set_clock(f"frozen:{NOON}")
    first = Wallet.create(flexprice)
    answer = flexprice.get(f"/wallets/{first.id}")
    assert answer.json()["created_at"] == NOON
    assert answer.headers["date"] == "Sat, 21 Nov 2026 12:00:00 GMT"
    mine.advance("1h30m")
    assert Wallet.create(flexprice).balance()["created_at"] == "2026-11-21T13:30:00.000000Z"
    mine.advance(to="2027-01-01T00:00:00Z")
    assert mine.clock() == {
        "clock": "frozen:2027-01-01T00:00:00.000000Z",
        "mode": "frozen",
        "now": "2027-01-01T00:00:00.000000Z",
    }


def test_an_offset_clock_runs(mine: Session, flexprice: httpx.Client) -> None:
    """Wall time and a week: new things are made a week from now, and time goes on."""
    mine.set_clock("offset:7d")
    created = [datetime.fromisoformat(Wallet.create(flexprice).balance()["created_at"]) for _ in range(2)]
    ahead = created[0] - datetime.now(UTC)

    assert timedelta(days=6, hours=23) < ahead < timedelta(days=7, hours=1)
    assert created[0] < created[1]


def test_a_real_clock_that_is_moved_goes_on_from_there(mine: Session) -> None:
    """Advancing wall time makes it wall time and something."""
    mine.advance("3 days")

    assert mine.clock()["mode"] == "offset"
    assert mine.clock()["clock"].startswith("offset:3d")


def test_serve_with_a_clock() -> None:
    """`--clock` is the time of all sessions."""
    with running("--clock", f"frozen:{NOON}") as mock, MockClient(mock.url) as client:
        assert client.session("any").clock()["now"] == NOON
        assert client.session("other").clock()["now"] == NOON


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"by": "-1s"}, 409),
        ({"by": "NaN"}, 409),
        ({"by": "1e9d"}, 409),
        ({"by": "999999999999d"}, 409),
        ({"by": "9000000d"}, 409),
        ({"by": ""}, 409),
        ({"by": 5}, 400),
        ({"to": "9999-06-01T00:00:00Z"}, 409),
        ({"to": "0001-01-01T00:00:00Z"}, 409),
        ({"to": "2026-11-21T11:59:59Z"}, 409),
        ({"to": "yesterday"}, 409),
        ({}, 400),
        ({"by": "1s", "to": "2027-01-01T00:00:00Z"}, 400),
        ({"by": "1s", "for": "ever"}, 400),
        ([[]], 400),
    ],
    ids=json.dumps,
)
def test_times_that_are_none(mine: Session, wanted: Any, status: int) -> None:
    """A span or time that makes no sense is refused in words, and the clock stands where it stood."""
    mine.set_clock(f"frozen:{NOON}")
    before = mine.export()
    with pytest.raises(ControlError) as refusal:
        mine.call("POST", "/clock/advance", wanted)

    assert refusal.value.status == status
    assert mine.export() == before


@pytest.mark.parametrize(
    "clock", ["", "stopped", "frozen:", "frozen:noon", "frozen:99999-01-01", "offset:", "offset:9999999d", "real:1"]
)
def test_clocks_that_are_none(mine: Session, clock: str) -> None:
    """A clock that is none is refused with what would be one."""
    with pytest.raises(ControlError, match=r"40[09]"):
        mine.set_clock(clock)

    assert mine.clock()["mode"] == "real"


def test_snapshots_survive_what_comes_after(mine: Session, flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Restoring goes back and forth between snapshots, also after a reset, to the byte; ids are drawn the same again."""
    mine.set_clock(f"frozen:{NOON}")
    wallet = Wallet(flexprice, wallet_ids["healthy"])
    states = []
    for number in range(3):
        assert_ok(wallet.top_up(credits_to_add=number + 1, idempotency_key=f"k{number}"))
        mine.snapshot(f"s{number}")
        states.append((wallet.balance(), wallet.rows()))
    mine.reset()
    for number in (1, 0, 2):
        mine.restore(f"s{number}")
        assert (wallet.balance(), wallet.rows()) == states[number]
    mine.restore("s0")
    assert_ok(wallet.top_up(credits_to_add=2, idempotency_key="k1"))
    assert (wallet.balance(), wallet.rows()) == states[1]
    with pytest.raises(ControlError, match="s0, s1, s2"):
        mine.restore("s3")


def test_snapshots_are_bounded(mine: Session) -> None:
    """A session keeps so many snapshots and no more; replacing one is no new one."""
    for number in range(20):
        mine.snapshot(f"s{number}")
    mine.snapshot("s3")
    with pytest.raises(ControlError, match="20 snapshots"):
        mine.snapshot("one-too-many")
    mine.call("DELETE", "/snapshots/s3")
    mine.snapshot("again")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", ".hidden", "a" * 65, "nul\x00", "ä"])
def test_names_like_paths(mine: Session, name: str) -> None:
    """A snapshot's name is a name; what looks like a path, is empty or too long is refused."""
    with pytest.raises((ControlError, httpx.InvalidURL)):
        mine.snapshot(name)

    assert mine.call("GET", "/snapshots").json() == {"snapshots": []}


def test_undo_takes_back_one_event_after_the_other(mine: Session, flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Undoing returns what it took back, and the world is what it was; more than happened is refused."""
    wallet = Wallet(flexprice, wallet_ids["healthy"])
    states = [wallet.balance()]
    for number in range(3):
        assert_ok(wallet.top_up(credits_to_add=number + 1))
        states.append(wallet.balance())
    assert [event["kind"] for event in mine.undo()] == ["TransactionCreated"]
    assert wallet.balance() == states[2]
    assert len(mine.undo(2)) == 2
    assert wallet.balance() == states[0]
    with pytest.raises(ControlError, match="only 0 events"):
        mine.undo()


def test_events_can_be_followed(mock: Mock, mine: Session, flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """A stream has what happened from where it is asked for, then what happens, and says when some was taken back."""
    wallet = Wallet(flexprice, wallet_ids["healthy"])
    assert_ok(wallet.top_up(credits_to_add=1))
    assert_ok(wallet.top_up(credits_to_add=2))
    seen: list[tuple[str, str]] = []
    done = threading.Event()

    def follow() -> None:
        headers = {"accept": "text/event-stream", "last-event-id": "1"}
        with httpx.stream("GET", f"{mock.url}/_mock/sessions/{mine.name}/events", headers=headers, timeout=20) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            kind = ""
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "id":
                    seen.append((kind, value))
                    steps[len(seen)].set()
                    if len(seen) == 4:
                        done.set()
                        return

    steps = [threading.Event() for _ in range(6)]
    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    assert steps[1].wait(20)
    assert_ok(wallet.update(name="later"))
    assert steps[2].wait(20)
    mine.undo(3)
    assert steps[3].wait(20)
    mine.set_clock("frozen")
    assert done.wait(20)
    follower.join(20)

    assert seen == [("TransactionCreated", "2"), ("WalletUpdated", "3"), ("rewound", "0"), ("ClockMoved", "1")]


def test_a_stream_that_nobody_reads_ends() -> None:
    """A follower who went away does not keep the server from stopping, nor make it complain."""
    with running() as mock:
        url = f"{mock.url}/_mock/sessions/default/events"
        for _ in range(5):
            with httpx.stream("GET", url, headers={"accept": "text/event-stream"}) as answer:
                next(answer.iter_lines())


def test_events_in_pages(mine: Session) -> None:
    """`after` and `limit` page through what happened; `next` is where to go on."""
    for _ in range(5):
        mine.advance("1s")
    pages = [mine.call("GET", "/events", query={"after": after, "limit": 2}).json() for after in (0, 2, 4, 6)]

    assert [len(page["events"]) for page in pages] == [2, 2, 1, 0]
    assert [page["next"] for page in pages] == [2, 4, 5, 6]


def test_too_many_events_are_refused_and_nothing_is_lost() -> None:
    """A session that is full refuses writes with a 503 that says what to do; it can be read, reset, and others go on."""
    with running("--max-events", "3") as mock, MockClient(mock.url) as client:
        wallet_id = client.personas()["flexprice/healthy"]["ids"]["wallet"]

        def top_up(session: str) -> httpx.Response:
            body = {"credits_to_add": 1, "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": str(next(keys))}
            headers = {"x-api-key": "k", "x-mock-session": session}
            return httpx.post(f"{mock.url}/v1/wallets/{wallet_id}/top-up", json=body, headers=headers)

        keys = iter(range(100))
        assert [top_up("full").status_code for _ in range(4)] == [200, 200, 200, 503]
        answer = top_up("full")
        assert answer.json()["code"] == "service_unavailable"
        assert "--max-events" in answer.json()["message"]
        assert client.session("full").about()["events"] == 3
        assert top_up("other").status_code == 200
        client.session("full").reset()
        assert top_up("full").status_code == 200


def test_too_many_sessions_are_refused_and_none_is_lost() -> None:
    """Sessions in which nothing happened make room for others; changed ones are kept, and the next one is refused."""
    with running("--max-sessions", "5") as mock, MockClient(mock.url) as client:
        headers = {"x-api-key": "k"}
        for number in range(20):
            assert httpx.post(
                f"{mock.url}/v1/wallets/search", json={}, headers={**headers, "x-mock-session": f"r{number}"}
            ).is_success
        for number in range(4):
            client.session(f"w{number}").set_clock("frozen")
        refused = httpx.post(f"{mock.url}/v1/wallets/search", json={}, headers={**headers, "x-mock-session": "more"})
        assert refused.status_code == 503
        assert "--max-sessions" in refused.json()["message"]
        assert all(client.session(f"w{number}").about()["events"] == 1 for number in range(4))
        client.session("w0").delete()
        assert httpx.post(f"{mock.url}/v1/wallets/search", json={}, headers={**headers, "x-mock-session": "more"}).is_success


def test_idle_sessions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that nobody used for long enough ends when another one comes, with its log; one in use stays."""
    now = [100.0]
    monkeypatch.setattr(Stopwatch, "seconds", staticmethod(lambda: now[0]))
    sessions = Sessions(most=10, idle=timedelta(seconds=60))
    log = MemoryLog()
    worlds = Worlds(log, _Wall(), Seed(1), {}, sessions=sessions)

    async def story() -> None:
        await worlds.move_clock("old", lambda world, wall: ClockSetting.stopped(wall))
        await worlds.move_clock("used", lambda world, wall: ClockSetting.stopped(wall))
        now[0] += 40
        sessions.get("used")
        now[0] += 40
        sessions.get("new")
        assert {session.name for session in sessions} == {DEFAULT_SESSION, "used", "new"}
        assert await log.read("old") == ()
        assert len(await log.read("used")) == 1
        assert (await worlds.current("old")).position == 0

    asyncio.run(story())


def test_room_is_made_by_sessions_without_changes() -> None:
    """At the bound the least recently used unchanged session goes; if all are changed, nobody does."""
    sessions = Sessions(most=3)
    ended: list[str] = []
    sessions.at_end(ended.append)
    sessions.get("a").changed = True
    sessions.get("b")
    sessions.get("c").changed = True
    assert ended == ["b"]
    with pytest.raises(TooManySessions):
        sessions.get("d")
    assert {session.name for session in sessions} == {DEFAULT_SESSION, "a", "c"}


class _Wall:
    """A wall clock that stands."""

    def now(self) -> datetime:
        """Noon."""
        return datetime(2026, 11, 21, 12, tzinfo=UTC)
