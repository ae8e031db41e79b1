"""Nothing is lost: whatever is killed beneath the clients, each acknowledged top-up is there once, and all balances add up."""

from __future__ import annotations

import asyncio
import json
import random
import re
import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import postgres
import pytest
from crew import Crew, crew, quick_folder
from flexprice_checks import Wallet, assert_ok, assert_refused
from topups import Break, Load, Outcome, account, moments

from contract_tests.mock_client import MockClient

HEADERS = {"x-api-key": "test"}
COUNT = 200


def assert_documented(outcome: Outcome) -> None:
    """Who was refused was told so with the provider's 503."""
    assert set(outcome.refused) <= {503}
    for body in outcome.bodies:
        assert json.loads(body)["code"] == "service_unavailable"


@dataclass(frozen=True)
class Bench:
    """A server under load. `database` is the PostgreSQL server that its log is in, if it is."""

    crew: Crew
    database: postgres.Cluster | None
    client: httpx.Client
    draw: random.Random

    async def kill_a_worker(self) -> None:
        """End one of the workers at once."""
        self.crew.kill_worker(self.draw.random())

    async def kill_the_server(self) -> None:
        """End parent and workers at once, and start the server again."""
        await asyncio.to_thread(self.crew.kill)
        await asyncio.to_thread(self.crew.again)

    async def kill_the_parent(self) -> None:
        """End the parent at once, which the workers notice, and start the server again."""
        await asyncio.to_thread(self.crew.orphan)
        await asyncio.to_thread(self.crew.again)

    async def kill_the_database(self) -> None:
        """End all processes of the database at once, and start it again."""
        assert self.database is not None
        await asyncio.to_thread(self.database.kill)
        await asyncio.to_thread(self.database.start)

    @property
    def killing_the_database(self) -> list[Break]:
        """That, where there is one."""
        return [] if self.database is None else [self.kill_the_database]

    def suffer(self, breaks: list[Break], *, retrying: bool) -> tuple[list[str], Outcome]:
        """Top up new wallets while these things happen at random moments."""
        wallets = [Wallet.create(self.client).id for _ in range(8)]
        load = Load(self.crew.address, wallets, COUNT, retrying=retrying, name=f"{wallets[0]}-")
        at = moments(self.draw, COUNT, len(breaks))
        return wallets, asyncio.run(load.run(*zip(at, breaks, strict=True)))


@contextmanager
def on_log(place: str, database: postgres.Cluster | None) -> Iterator[Bench]:
    """Two workers on a log."""
    with (
        crew("--log", place, "--workers", "2") as made,
        httpx.Client(base_url=f"{made.url}/v1", headers=HEADERS, trust_env=False, timeout=30) as client,
    ):
        yield Bench(made, database, client, random.Random(1))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where the file is."""
    with quick_folder() as made:
        yield made


@pytest.fixture(scope="module")
def on_sqlite(folder: Path) -> Iterator[Bench]:
    """Two workers on a file."""
    with on_log(f"sqlite:{folder}/log", None) as made:
        yield made


@pytest.fixture(scope="module")
def on_postgresql() -> Iterator[Bench]:
    """Two workers on a PostgreSQL server that may be killed."""
    with postgres.cluster() as database, on_log(database.new_database(), database) as made:
        yield made


@pytest.fixture(params=["on_sqlite", "on_postgresql"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Each of them."""
    made: Bench = request.getfixturevalue(request.param)
    return made


def test_who_asks_again_until_told_gets_each_credit_once(bench: Bench) -> None:
    """Workers, the database and then the whole server are killed; clients use their idempotency keys."""
    wallets, outcome = bench.suffer([bench.kill_a_worker, *bench.killing_the_database, bench.kill_the_server], retrying=True)
    assert outcome.lost
    assert account(bench.client, wallets, outcome).there == COUNT
    assert_documented(outcome)


def test_who_asks_once_finds_what_was_acknowledged(bench: Bench) -> None:
    """The database, the parent of the workers, a worker are killed; of what nobody acknowledged, nothing is there twice.

    What was exported is whole: read in again it makes the same wallets.
    """
    wallets, outcome = bench.suffer([*bench.killing_the_database, bench.kill_the_parent, bench.kill_a_worker], retrying=False)
    account(bench.client, wallets, outcome)
    assert_documented(outcome)
    with MockClient(bench.crew.url) as controls:
        controls.session("copy").load(controls.session().export())
    with httpx.Client(base_url=bench.client.base_url, headers=HEADERS | {"x-mock-session": "copy"}, trust_env=False) as copy:
        for wallet in wallets:
            assert Wallet(copy, wallet).check() == Wallet(bench.client, wallet).check()


# ---------------------------------------------------------------- logs that are not available

MOST = 8.0  # seconds in which whoever asks is told: a server has 5 for the log, the rest is for slow machines


class Trouble:
    """What is asked while a log is not available: before, meanwhile, and once it is back."""

    def __init__(self, bench: Bench) -> None:
        self.wallet = Wallet.create(bench.client)
        assert_ok(self.wallet.top_up(credits_to_add=100))
        self.key = f"{self.wallet.id}-trouble"
        self.asked = {"credits_to_add": 1, "transaction_reason": "PURCHASED_CREDIT_DIRECT", "idempotency_key": self.key}
        self._url = bench.crew.url
        self._token = bench.crew.mock.personas()["polar/ada.main"]["token"]

    async def assert_told(self) -> None:
        """A top-up, a request to Polar in a new session and a control are answered with a documented 503 in time."""
        asked: dict[str, Any] = {
            "flexprice": ("POST", f"/v1/wallets/{self.wallet.id}/top-up", HEADERS, self.asked),
            "polar": ("GET", "/v1/customer-portal/wallets/", {"authorization": f"Bearer {self._token}"}, None),
            "control": ("POST", "/_mock/sessions/default/clock/advance", {}, {"by": "1s"}),
        }
        asked["polar"][2]["x-mock-session"] = self.key[-64:]
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=60) as client:
            began = time.monotonic()
            got = await asyncio.gather(
                *(client.request(method, path, headers=headers, json=body) for method, path, headers, body in asked.values())
            )
            took = time.monotonic() - began
        answers = dict(zip(asked, got, strict=True))
        assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(asked, 503)
        message = assert_refused(answers["flexprice"], 503, "service_unavailable", "the log ")
        assert answers["polar"].text.startswith("the log "), answers["polar"].text
        assert answers["control"].json()["message"].startswith("the log "), answers["control"].text
        assert not re.search(re.escape(postgres.PASSWORD) + "|" + re.escape(postgres.QUOTED_PASSWORD), message)
        assert took < MOST, f"told after {took:.1f} s"

    def assert_over(self) -> None:
        """Nothing is half done: asked for again under its key, the top-up is there once, and the wallet adds up."""
        status = self.wallet.top_up(**self.asked).status_code
        assert status in (200, 409)
        balance, rows = self.wallet.check()
        assert [row["idempotency_key"] for row in rows].count(self.key) == 1
        assert balance["credit_balance"] == "101"


def test_whoever_asks_a_slow_log_is_told(on_sqlite: Bench, on_postgresql: Bench, folder: Path) -> None:
    """Another process holds the file, and the database stands still: a documented error in time, and nothing is half done."""
    database = on_postgresql.database
    assert database is not None
    troubles = [Trouble(on_sqlite), Trouble(on_postgresql)]

    async def both() -> None:
        await asyncio.gather(*(trouble.assert_told() for trouble in troubles))

    with closing(sqlite3.connect(folder / "log", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        database.pause()
        try:
            asyncio.run(both())
        finally:
            database.resume()
            other.execute("ROLLBACK")
    for trouble in troubles:
        trouble.assert_over()


def test_a_full_disk(on_sqlite: Bench) -> None:
    """No file may grow any more; once they may it goes on, without a restart."""
    trouble = Trouble(on_sqlite)
    workers = on_sqlite.crew.workers()
    for worker in workers:
        worker.rlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        asyncio.run(trouble.assert_told())
    finally:
        for worker in workers:
            worker.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    trouble.assert_over()


@pytest.mark.parametrize("instead", ["nothing", "a folder", "another file"])
def test_a_file_that_cannot_be_written(on_sqlite: Bench, folder: Path, instead: str) -> None:
    """It is gone, and maybe something else is in its place; once it is back it goes on, without a restart."""
    trouble = Trouble(on_sqlite)
    away = [(folder / name, folder / f"{name}-away") for name in ("log", "log-wal", "log-shm")]
    for path, elsewhere in away:
        path.rename(elsewhere)
    try:
        if instead == "a folder":
            away[0][0].mkdir()
        elif instead == "another file":
            away[0][0].write_text("shopping list")
        asyncio.run(trouble.assert_told())
    finally:
        if instead == "a folder":
            away[0][0].rmdir()
        for path, elsewhere in away:
            elsewhere.replace(path)
    trouble.assert_over()


def test_a_database_that_is_gone_and_comes_back(on_postgresql: Bench) -> None:
    """Whoever asks meanwhile is told at once; once it is back it goes on, without a restart."""
    trouble = Trouble(on_postgresql)
    database = on_postgresql.database
    assert database is not None
    database.kill()
    try:
        asyncio.run(trouble.assert_told())
    finally:
        database.start()
    trouble.assert_over()
