"""A population of any size: nothing of it exists until it is asked for, and every list over it is right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Mock, running, start, stop
from flexprice_checks import Wallet, assert_ok, assert_refused
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contract_tests.source import data_folder
from mock_server import assembly, fixture_files
from mock_server.clock import FIRST
from mock_server.flexprice.fixtures import FlexpriceFixtures
from mock_server.flexprice.members import MemberRows, Page
from mock_server.flexprice.population import MAX_POPULATION, Population
from mock_server.ids import Seed
from mock_server.polar.fixtures import PolarFixtures
from mock_server.polar.opening import Opening as PolarOpening

SIZE = 10_000_000
FIXTURES = fixture_files.parse(
    fixture_files.read_source(data_folder(assembly.__file__, "fixtures") / "flexprice.yaml"), FlexpriceFixtures
)
POLAR = fixture_files.parse(fixture_files.read_source(data_folder(assembly.__file__, "fixtures") / "polar.yaml"), PolarFixtures)


@pytest.fixture(scope="module")
def population() -> Population:
    """Ten million wallets, as the server has them."""
    return Population(Seed(1), FIXTURES, SIZE)


@pytest.fixture(scope="module")
def large() -> Iterator[Mock]:
    """A mock with ten million wallets."""
    with running("--population", str(SIZE)) as started:
        yield started


@pytest.fixture
def client(large: Mock, session: str) -> Iterator[httpx.Client]:
    """A client of the large mock."""
    headers = {"x-api-key": "test", "x-mock-session": session}
    with httpx.Client(base_url=f"{large.url}/v1", headers=headers, timeout=30) as opened:
        yield opened


@given(index=st.one_of(st.integers(0, SIZE - 1), st.sampled_from([0, 1, SIZE - 1])))
@settings(deadline=None)
def test_every_member_is_found_by_its_ids(population: Population, index: int) -> None:
    """Wallet id, customer id and external id lead back to the member, and its account is of its kind."""
    wallet_id, customer_id = population.wallet_id(index), population.customer_id(index)
    account = population.account(wallet_id)

    assert population.wallet_index(wallet_id) == population.customer_index(customer_id) == index
    assert account is not None
    assert (account.wallet.id, account.wallet.customer_id) == (wallet_id, customer_id)
    assert len(account.transactions) == len(FIXTURES.population[index % len(FIXTURES.population)].transactions)
    customer = population.customer(customer_id)
    assert customer is not None
    assert customer == population.customer_by_external_id(f"member-{index}")
    assert customer.id == customer_id


@given(index=st.integers(0, MAX_POPULATION), seed=st.sampled_from([0, 2, -1, 2**63 - 1]))
@settings(deadline=None)
def test_ids_of_others_are_not_found(population: Population, index: int, seed: int) -> None:
    """Ids beyond the size, of another seed, or with one character changed belong to nobody."""
    beyond = Population(Seed(1), FIXTURES, MAX_POPULATION)
    elsewhere = Population(Seed(seed), FIXTURES, MAX_POPULATION)
    outside = beyond.wallet_id(max(index, SIZE))
    strange = [outside, elsewhere.wallet_id(index), beyond.wallet_id(index % SIZE)[:-1] + "~", "wallet_", ""]
    own = population.wallet_id(index % SIZE)
    strange += [own.replace("wallet_", "cust_"), own.lower(), own[:-1] + ("0" if own[-1] != "0" else "1"), own + "0"]

    assert [population.account(wallet_id) for wallet_id in strange] == [None] * len(strange)
    assert population.customer(elsewhere.customer_id(index)) is None
    assert population.customer_by_external_id(f"member-{max(index, SIZE)}") is None
    assert population.customer_by_external_id(f"member-0{index % SIZE}") is None


@given(index=st.integers(0, SIZE - 1))
@settings(deadline=None)
def test_every_polar_member_signs_in(index: int) -> None:
    """A member's token leads back to the member; one of another seed, or beyond the size, to nobody."""
    own, small = PolarOpening(Seed(1), POLAR, SIZE, FIRST), PolarOpening(Seed(1), POLAR, index, FIRST)
    token, customer = own.member(index)
    foreign, _ = PolarOpening(Seed(2), POLAR, SIZE, FIRST).member(index)
    found = own.token(token)

    assert found is not None
    assert own.customer(found.customer) == customer
    assert small.token(token) is None
    assert own.token(foreign) is None
    assert own.token(token[:-1] + ("0" if token[-1] != "0" else "1")) is None


@pytest.mark.parametrize("index", [0, 4_999_999, SIZE - 1])
def test_members_answer_over_http(large: Mock, client: httpx.Client, index: int) -> None:
    """A member's ids come from the control, and all its reads and writes work."""
    persona = httpx.get(f"{large.url}/_mock/population/flexprice/{index}").raise_for_status().json()
    wallet = Wallet(client, persona["ids"]["wallet"])
    before, rows = wallet.check()
    by_customer = assert_ok(client.get(f"/customers/{persona['ids']['customer']}/wallets"))
    by_external = assert_ok(client.get("/customers/wallets", params={"lookup_key": persona["ids"]["external_customer"]}))

    assert [item["id"] for item in by_customer] == [item["id"] for item in by_external] == [wallet.id]
    assert before["customer_id"] == persona["ids"]["customer"]
    assert_ok(wallet.top_up(credits_to_add=3))
    after, more = wallet.check()
    assert len(more) == len(rows) + 1
    assert after["id"] == before["id"]


def test_ids_beyond_the_population_are_404(large: Mock, client: httpx.Client) -> None:
    """The first id beyond the size, and one of another seed, are not found, in Flexprice and in Polar."""
    for wallet_id in (Population(Seed(1), FIXTURES, SIZE + 1).wallet_id(SIZE), Population(Seed(2), FIXTURES, SIZE).wallet_id(5)):
        assert_refused(client.get(f"/wallets/{wallet_id}/balance/real-time"), 404, "not_found")
        assert_refused(client.get(f"/wallets/{wallet_id}"), 404, "not_found")
    assert httpx.get(f"{large.url}/_mock/population/flexprice/{SIZE}").status_code == 404
    assert httpx.get(f"{large.url}/_mock/population/polar/{SIZE}").status_code == 404
    member = httpx.get(f"{large.url}/_mock/population/polar/{SIZE - 1}").raise_for_status().json()
    portal = f"{large.url}/v1/customer-portal/wallets/"
    listed = httpx.get(portal, headers={"authorization": f"Bearer {member['token']}"}).raise_for_status().json()
    assert {item["id"] for item in listed["items"]} == {v for name, v in member["ids"].items() if name.startswith("wallet")}
    stranger, _ = PolarOpening(Seed(2), POLAR, SIZE, FIRST).member(7)
    assert httpx.get(portal, headers={"authorization": f"Bearer {stranger}"}).status_code == 401


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_last_page_of_ten_million(large: Mock, client: httpx.Client, population: Population, order: str) -> None:
    """A page that begins at 9,999,990 has the members and personas that belong there, and the right total."""
    personas = [p["ids"]["wallet"] for p in large.personas().values() if p["provider"] == "flexprice"]  # type: ignore[index]
    offset = SIZE - 10
    page = assert_ok(client.post("/wallets/search", json={"limit": 1000, "offset": offset, "order": order}))
    got = [item["id"] for item in page["items"]]

    assert page["pagination"] == {"total": SIZE + len(personas), "limit": 1000, "offset": offset}
    assert len(got) == 10 + len(personas)
    if order == "asc":
        assert got[:10] == [population.wallet_id(index) for index in range(SIZE - 10, SIZE)]
        assert sorted(got[10:]) == sorted(personas)
    else:
        rest = 10 + len(personas)
        assert got == [population.wallet_id(index) for index in range(rest - 1, -1, -1)]
    times = [item["created_at"] for item in page["items"]]
    assert times == sorted(times, reverse=order == "desc")


def test_pages_of_transactions_of_ten_million(client: httpx.Client, population: Population) -> None:
    """Transactions in a second's window are those of that second's member; sorted lists page without a gap."""
    index = 7_654_321
    rows = population.account_at(index).transactions
    second = population.created(index)
    window = {"start_time": f"{second:%Y-%m-%dT%H:%M:%SZ}", "end_time": f"{second:%Y-%m-%dT%H:%M:%S}.950Z", "order": "asc"}
    found = assert_ok(client.post("/wallets/transactions/search", json=window))
    sort = [{"field": "credit_amount", "direction": "desc"}]
    first = assert_ok(client.post("/wallets/transactions/search", json={"sort": sort, "limit": 30, "offset": 2_000_000}))
    second_half = assert_ok(client.post("/wallets/transactions/search", json={"sort": sort, "limit": 15, "offset": 2_000_015}))

    assert [row["id"] for row in found["items"]] == [row.id for row in rows]
    assert found["pagination"]["total"] == len(rows)
    assert first["items"][15:] == second_half["items"]
    assert len({row["id"] for row in first["items"]}) == 30


def test_a_changed_member_stays_in_its_place(client: httpx.Client, population: Population) -> None:
    """A member that was changed is listed once, where it was, with its new values."""
    for index in (SIZE - 3, SIZE - 7):
        assert_ok(Wallet(client, population.wallet_id(index)).update(name="Changed"))
    page = assert_ok(client.post("/wallets/search", json={"limit": 12, "offset": SIZE - 12, "order": "asc"}))

    assert [item["id"] for item in page["items"]] == [population.wallet_id(index) for index in range(SIZE - 12, SIZE)]
    assert [number for number, item in enumerate(page["items"]) if item["name"] == "Changed"] == [5, 9]


def resident(mock: Mock) -> int:
    """Memory of a mock in kB, once it has answered."""
    headers = {"x-api-key": "test"}
    personas = mock.personas().values()
    wallet = next(p["ids"]["wallet"] for p in personas if p["provider"] == "flexprice")  # type: ignore[index]
    with httpx.Client(headers=headers) as client:
        for _ in range(20):
            client.get(f"{mock.url}/v1/wallets/{wallet}/balance/real-time").raise_for_status()
    status = Path(f"/proc/{mock.process.pid}/status").read_text("ascii")
    match = re.search(r"VmRSS:\s*(\d+) kB", status)
    assert match is not None
    return int(match[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_depend_on_the_size() -> None:
    """A mock with ten million wallets takes as much memory as one with ten."""
    sizes = []
    for size in ("10", str(SIZE)):
        with running("--population", size) as started:
            sizes.append(resident(started))

    assert sizes[1] < sizes[0] * 1.1


# ---------------------------------------------------------------- the arithmetic of pages, beside lists that really exist

START = datetime(2023, 1, 1, tzinfo=UTC)
SLOT = timedelta(milliseconds=100)


@dataclass(frozen=True)
class Row:
    """A row that exists: not a member's. `number` tells rows apart."""

    key: int
    time: datetime
    number: int


@dataclass(frozen=True)
class Case:
    """A population, rows beside it, and what is asked for."""

    size: int
    keys: list[list[int | None]]
    """By template and slot: the sort key of the row, None if it is not asked for."""
    excluded: set[int]
    rows: list[Row]
    start: datetime | None
    end: datetime | None
    newest_first: bool

    def created(self, member: int) -> datetime:
        """When a member was created."""
        return START + timedelta(seconds=member)

    def time(self, member: int, slot: int) -> datetime:
        """When a member's row was booked."""
        return self.created(member) + (slot + 1) * SLOT

    def within(self, moment: datetime) -> bool:
        """Whether a moment is asked for."""
        return (self.start is None or moment >= self.start) and (self.end is None or moment <= self.end)

    def groups(self) -> list[tuple[int, MemberRows]]:
        """Members' rows by key, as the lists make them."""
        groups = []
        for key in sorted({key for slots in self.keys for key in slots if key is not None}):
            chosen = [[slot for slot, own in enumerate(slots) if own == key] for slots in self.keys]

            def times(member: int, chosen: list[list[int]] = chosen) -> list[datetime]:
                return [self.time(member, slot) for slot in chosen[member % len(chosen)]]

            def member_at(moment: datetime) -> int:
                return max(-1, min(self.size - 1, (moment - START) // timedelta(seconds=1)))

            rows = MemberRows(self.size, chosen, self.excluded, times, member_at)
            rows.between(self.start, self.end)
            groups.append((key, rows))
        return groups

    def all(self) -> list[Any]:
        """Every row in its place: by key, then time, members before rows of the same moment; all turned round if asked."""
        found: list[tuple[int, list[tuple[datetime, int, int, Any]]]] = []
        members = [
            (key, self.time(member, slot), 0, 0, (member, slot))
            for member in range(self.size)
            if member not in self.excluded
            for slot, key in enumerate(self.keys[member % len(self.keys)])
            if key is not None and self.within(self.time(member, slot))
        ]
        existing = [(row.key, row.time, 1, number, row) for number, row in enumerate(self.rows)]
        for key in sorted({entry[0] for entry in [*members, *existing]}):
            same = sorted(((t, kind, n, row) for k, t, kind, n, row in [*members, *existing] if k == key), key=lambda e: e[:3])
            found.append((key, same[::-1] if self.newest_first else same))
        return [row for _, same in found for *_, row in same]

    def page(self) -> Page[Any]:
        """The page under test."""
        return Page(
            list(self.rows),
            list(self.groups()),
            lambda member, slot: (member, slot),
            key=lambda row: row.key,
            time=lambda row: row.time,
            newest_first=self.newest_first,
        )


moments = st.integers(-2_000, 14_000).map(lambda milliseconds: START + timedelta(milliseconds=milliseconds))
round_moments = st.integers(-20, 140).map(lambda tenths: START + tenths * SLOT)  # as members' rows are


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Small populations whose every corner occurs."""
    size = draw(st.integers(0, 12))
    keys = draw(st.lists(st.lists(st.sampled_from([None, 0, 1, 2]), max_size=4), min_size=1, max_size=4))
    excluded = draw(st.sets(st.integers(0, size - 1))) if size else set()
    start = draw(st.one_of(st.none(), round_moments, moments))
    end = draw(st.one_of(st.none(), round_moments, moments))
    case = Case(size, keys, excluded, [], start, end, draw(st.booleans()))
    times = draw(st.lists(st.one_of(round_moments, moments), max_size=6))
    rows = [Row(draw(st.integers(0, 3)), moment, number) for number, moment in enumerate(times) if case.within(moment)]
    return Case(size, keys, excluded, rows, start, end, case.newest_first)


@given(case=cases(), offset=st.integers(0, 60), limit=st.integers(1, 60))
@settings(max_examples=600, deadline=None)
def test_pages_are_those_of_a_real_list(case: Case, offset: int, limit: int) -> None:
    """Total and items of any page are those of the list that would exist if every member did."""
    everything = case.all()
    page = case.page()

    assert page.total == len(everything)
    assert page.items(offset, limit) == everything[offset : offset + limit]
    assert page.items(0, len(everything) + 1) == everything


@given(case=cases(), moment=st.one_of(round_moments, moments))
@settings(max_examples=300, deadline=None)
def test_rows_of_members_are_counted_and_picked_by_arithmetic(case: Case, moment: datetime) -> None:
    """Length, rank and pick of members' rows agree with counting them one by one."""
    assume(case.size)
    for key, rows in case.groups():
        real = [
            (member, slot)
            for member in range(case.size)
            if member not in case.excluded
            for slot, own in enumerate(case.keys[member % len(case.keys)])
            if own == key and case.within(case.time(member, slot))
        ]
        assert [rows.pick(rank) for rank in range(len(rows))] == real
        assert rows.rank_before(moment) == sum(case.time(*row) <= moment for row in real)


LONG = """
provider: flexprice
customers: {}
personas: {}
population:
  - about: Many rows
    transactions: [%s]
  - about: One row
    transactions: [{credit: 5}]
"""


def test_members_with_many_transactions_keep_their_order(tmp_path: Path) -> None:
    """A member with more rows than its second has slots is refused at start, or listed in the order of time all the same."""
    path = tmp_path / "long.yaml"
    path.write_text(LONG % ", ".join(f"{{credit: {number + 1}}}" for number in range(15)))
    try:
        started = start("--fixtures", str(path), "--population", "3000", "--provider", "flexprice")
    except AssertionError as refusal:
        assert "long.yaml" in str(refusal)  # noqa: PT017 - both outcomes are right
        return
    try:
        with httpx.Client(base_url=f"{started.url}/v1", headers={"x-api-key": "test"}) as client:
            listed = assert_ok(client.post("/wallets/transactions/search", json={"limit": 200, "offset": 40, "order": "asc"}))
            times = [row["created_at"] for row in listed["items"]]
            window = {"start_time": times[50], "end_time": times[99], "order": "asc", "limit": 1000}
            within = assert_ok(client.post("/wallets/transactions/search", json=window))
    finally:
        stop(started)

    assert times == sorted(times)
    assert [row["created_at"] for row in within["items"]] == [t for t in times if times[50] <= t <= times[99]]
