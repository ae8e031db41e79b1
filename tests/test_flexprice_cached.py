"""Balances from the provider's cache: when they are used, how old they may be, and what makes them new."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from flexprice_checks import BREAKDOWN, Body, assert_balance, assert_ok

from contract_tests.contract import Contract
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.judge import Judge
from contract_tests.rules.observation import Observation
from mock_server.assembly import Settings, assemble
from mock_server.clock import Clock
from mock_server.flexprice import caching

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's, on every use of allowEmptyValue

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


class TestClock(Clock):
    """Wall time that stands until a test moves it."""

    __test__ = False

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        """The time."""
        return self.time


class Stage:
    """A mock in this process, a client of it, and the clock."""

    def __init__(self, client: httpx.AsyncClient, clock: TestClock, wallets: dict[str, str], contract: Contract) -> None:
        self.client = client
        self.clock = clock
        self.wallets = wallets
        self.contract = contract
        self.asked: list[tuple[str, httpx.Response]] = []
        self._keys = 0

    def wait(self, **span: float) -> None:
        """Let time pass."""
        self.clock.time += timedelta(**span)

    async def balance(self, name: str, path: str = "real-time", *, live: str | None = None, **query: Any) -> Body:
        """A balance, checked."""
        headers = {} if live is None else {"x-max-live": live}
        answer = await self.client.get(f"/wallets/{self.wallets[name]}/balance/{path}", params=query, headers=headers)
        self.asked.append(("getWalletBalance" if path == "real-time" else "getWalletBalanceCached", answer))
        body: Body = assert_ok(answer)
        assert_balance(body)
        return body

    async def cached(self, name: str, **more: Any) -> tuple[bool, str]:
        """Whether the cached route has the value from the cache, and which value."""
        body = await self.balance(name, "real-time-cached", **more)
        return body["is_cached_fallback"], body["real_time_balance"]

    async def top_up(self, name: str, credits: int, **fields: Any) -> str | None:
        """Put credits in; the id of the invoice, if there is one."""
        self._keys += 1
        body = {
            "credits_to_add": credits,
            "transaction_reason": "FREE_CREDIT_GRANT",
            "idempotency_key": f"t{self._keys}",
        } | fields
        answer = assert_ok(await self.client.post(f"/wallets/{self.wallets[name]}/top-up", json=body))
        invoice: str | None = answer.get("invoice_id")
        return invoice

    async def debit(self, name: str, credits: int) -> None:
        """Take credits out."""
        self._keys += 1
        body = {"credits": credits, "transaction_reason": "MANUAL_BALANCE_DEBIT", "idempotency_key": f"d{self._keys}"}
        assert_ok(await self.client.post(f"/wallets/{self.wallets[name]}/debit", json=body))

    async def control(self, path: str, body: Any) -> Any:
        """Use one of the mock's own controls of this session."""
        session = self.client.headers["x-mock-session"]
        answer = await self.client.post(f"http://localhost/_mock/sessions/{session}/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def update(self, name: str, **fields: Any) -> None:
        """Change settings."""
        assert_ok(await self.client.put(f"/wallets/{self.wallets[name]}", json=fields))


Story = Callable[[Stage], Awaitable[None]]


@pytest.fixture(scope="module")
def play() -> Callable[[Story], None]:
    """Plays a story in a session of its own."""
    return theatre(Settings(first_day=START))


@pytest.fixture(scope="module")
def play_documented() -> Callable[[Story], None]:
    """The same where nothing is served that is not documented."""
    return theatre(Settings(first_day=START, documented_only=True))


def theatre(settings: Settings) -> Callable[[Story], None]:
    """What plays stories against one mock."""
    clock = TestClock()
    mock = assemble(settings, clock)
    wallets = {persona.name: persona.ids["wallet"] for persona in mock.casts["flexprice"].personas()}
    count = 0

    def play(story: Story) -> None:
        async def run() -> None:
            nonlocal count
            count += 1
            headers = {"x-api-key": "k", "x-mock-session": f"story-{count}"}
            transport = httpx.ASGITransport(mock.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost/v1", headers=headers) as client:
                await story(Stage(client, clock, wallets, mock.contracts["flexprice"]))

        asyncio.run(run())

    return play


ALERTS = {"alert_enabled": True, "critical": {"condition": "below", "threshold": 1}}
OFF = {"alert_enabled": False, "critical": {"condition": "below", "threshold": 1}}
TOPUP = {"enabled": True, "threshold": 0, "amount": 10, "invoicing": False}


def test_a_miss_computes_and_a_hit_does_not(play: Callable[[Story], None]) -> None:
    """The first cached answer is computed; the next one is from the cache, without usage and unpaid amount."""

    async def story(stage: Stage) -> None:
        for name, real_time in (("busy", "938.5"), ("unpaid-invoices", "915")):
            first = await stage.balance(name, "real-time-cached")
            second = await stage.balance(name, "real-time-cached")
            assert (first["is_cached_fallback"], second["is_cached_fallback"]) == (False, True)
            assert first["real_time_balance"] == second["real_time_balance"] == real_time
            assert second["current_period_usage"] == "0"
            assert "unpaid_invoices_amount" not in second
            more = {"is_cached_fallback", "current_period_usage", "unpaid_invoices_amount"}
            assert {k: v for k, v in first.items() if k not in more} == {k: v for k, v in second.items() if k not in more}

    play(story)


@pytest.mark.parametrize("text", ["false", "True", "TRUE", "1", "t", "true ", ""])
def test_from_cache_is_one_word(play: Callable[[Story], None], text: str) -> None:
    """The documented route reads the cache for exactly `true`, and fills it whatever is asked."""

    async def story(stage: Stage) -> None:
        assert not (await stage.balance("busy", from_cache=text))["is_cached_fallback"]
        assert not (await stage.balance("busy", from_cache=text))["is_cached_fallback"]
        assert (await stage.balance("busy", from_cache="true"))["is_cached_fallback"]
        assert not (await stage.balance("busy"))["is_cached_fallback"]

    play(story)


def test_a_top_up_leaves_the_cache_as_it_is(play: Callable[[Story], None]) -> None:
    """Without alerts a cached balance is old next to the new stored one, until somebody computes it."""

    async def story(stage: Stage) -> None:
        await stage.balance("busy")
        await stage.top_up("busy", 100)
        body = await stage.balance("busy", from_cache="true", expand=BREAKDOWN)
        assert (body["is_cached_fallback"], body["real_time_balance"], body["balance"]) == (True, "938.5", "1100")
        assert body[BREAKDOWN] == {"purchased": "1000", "free": "100"}
        await stage.debit("busy", 300)
        assert await stage.cached("busy") == (True, "938.5")
        assert (await stage.balance("busy"))["real_time_balance"] == "738.5"
        assert await stage.cached("busy") == (True, "738.5")

    play(story)


@pytest.mark.parametrize("settings", [{"alert_settings": ALERTS}, {"auto_topup": TOPUP}])
def test_what_is_watched_is_refreshed(play: Callable[[Story], None], settings: dict[str, Any]) -> None:
    """With alerts or automatic top-ups every direct credit and debit renews the cache, or fills it."""

    async def story(stage: Stage) -> None:
        await stage.update("busy", **settings)
        await stage.top_up("busy", 100)
        assert await stage.cached("busy") == (True, "1038.5")
        await stage.debit("busy", 50)
        assert await stage.cached("busy") == (True, "988.5")
        await stage.balance("busy")
        await stage.top_up("busy", 1)
        assert await stage.cached("busy") == (True, "989.5")

    play(story)


def test_settings_alone_refresh_nothing(play: Callable[[Story], None]) -> None:
    """What counts is whether the wallet was watched when its money moved."""

    async def story(stage: Stage) -> None:
        await stage.balance("busy")
        await stage.top_up("busy", 100)
        await stage.update("busy", alert_settings=ALERTS)
        assert await stage.cached("busy") == (True, "938.5")
        await stage.top_up("busy", 100)
        assert await stage.cached("busy") == (True, "1138.5")
        await stage.update("busy", alert_settings=OFF, auto_topup=TOPUP | {"enabled": False})
        await stage.top_up("busy", 100)
        assert await stage.cached("busy") == (True, "1138.5")

    play(story)


def test_a_pending_purchase_refreshes_nothing(play: Callable[[Story], None]) -> None:
    """Nothing moves before it is paid."""

    async def story(stage: Stage) -> None:
        await stage.update("busy", alert_settings=ALERTS)
        await stage.balance("busy")
        stage.wait(minutes=10)
        await stage.top_up("busy", 100, transaction_reason="PURCHASED_CREDIT_INVOICED")
        stage.wait(minutes=10)
        assert await stage.cached("busy") == (True, "938.5")
        assert await stage.cached("busy", live="900") == (False, "938.5")

    play(story)


@pytest.mark.parametrize(("settings", "seen"), [({}, "938.5"), ({"alert_settings": ALERTS}, "838.5")])
def test_usage(play: Callable[[Story], None], settings: dict[str, Any], seen: str) -> None:
    """Usage makes the provider evaluate wallets with alerts; of others it leaves an old balance in the cache."""

    async def story(stage: Stage) -> None:
        await stage.update("busy", **settings)
        await stage.balance("busy")
        await stage.control("wallets/busy/usage", {"amount": "100"})
        assert await stage.cached("busy") == (True, seen)
        assert (await stage.balance("busy"))["real_time_balance"] == "838.5"

    play(story)


def test_a_paid_purchase_refreshes_what_is_watched(play: Callable[[Story], None]) -> None:
    """The evaluation that follows the payment computes the balance."""

    async def story(stage: Stage) -> None:
        await stage.update("busy", alert_settings=ALERTS)
        await stage.balance("busy")
        invoice = await stage.top_up("busy", 100, transaction_reason="PURCHASED_CREDIT_INVOICED")
        assert await stage.cached("busy") == (True, "938.5")
        await stage.control(f"wallets/busy/invoices/{invoice}/pay", {})
        assert await stage.cached("busy") == (True, "1038.5")

    play(story)


def test_a_purchase_that_is_completed_at_once_empties_it(tmp_path: Path) -> None:
    """Where purchases on invoice do not wait for the payment, they drop the wallet's cached balance, watched or not."""
    text = (ROOT / "fixtures" / "flexprice.yaml").read_text("utf-8")
    fixtures = tmp_path / "flexprice.yaml"
    fixtures.write_text(text.replace("auto_complete_invoices: false", "auto_complete_invoices: true"), "utf-8")
    play = theatre(Settings(first_day=START, providers=("flexprice",), fixtures=(fixtures,)))

    async def story(stage: Stage) -> None:
        for alerts in (OFF, ALERTS):
            await stage.update("rate-2", alert_settings=alerts)
            before = (await stage.balance("rate-2"))["real_time_balance"]
            bought = {"transaction_reason": "PURCHASED_CREDIT_INVOICED", "bonus_credits_to_add": 1}
            await stage.top_up("rate-2", 9, **bought)
            assert await stage.cached("rate-2") == (False, str(int(before) + 20))

    play(story)


def test_the_clock_of_the_world_counts(play: Callable[[Story], None]) -> None:
    """A session whose clock is moved on by half an hour has nothing in its cache."""

    async def story(stage: Stage) -> None:
        await stage.balance("busy")
        await stage.control("clock/advance", {"by": "29 minutes"})
        assert (await stage.cached("busy"))[0]
        await stage.control("clock/advance", {"by": "1 minute"})
        assert not (await stage.cached("busy"))[0]

    play(story)


def test_half_an_hour(play: Callable[[Story], None]) -> None:
    """A cached balance lasts half an hour from when it was computed; a hit does not make it last longer."""

    async def story(stage: Stage) -> None:
        await stage.balance("busy")
        await stage.top_up("busy", 100)
        stage.wait(minutes=29, seconds=59)
        assert await stage.cached("busy") == (True, "938.5")
        stage.wait(seconds=1)
        assert await stage.cached("busy") == (False, "1038.5")
        assert await stage.cached("busy") == (True, "1038.5")

    play(story)


def test_half_an_hour_from_a_refresh(play: Callable[[Story], None]) -> None:
    """What a top-up put into the cache is as old as the top-up."""

    async def story(stage: Stage) -> None:
        await stage.update("busy", alert_settings=ALERTS)
        await stage.balance("busy")
        stage.wait(minutes=20)
        await stage.top_up("busy", 100)
        stage.wait(minutes=20)
        assert await stage.cached("busy") == (True, "1038.5")
        stage.wait(minutes=10)
        assert await stage.cached("busy") == (False, "1038.5")
        stage.wait(minutes=29)
        assert await stage.cached("busy") == (True, "1038.5")

    play(story)


@pytest.mark.parametrize("documented", [True, False])
@pytest.mark.parametrize(
    ("live", "age", "hit"),
    [
        ("60", 60, True),
        ("60", 60.5, False),
        ("1", 2, False),
        ("+5", 6, False),
        ("05", 6, False),
        ("3600", 1799, True),
        ("3600", 1800, False),
        ("0", 100, True),
        ("-5", 100, True),
        ("1.5", 100, True),
        ("1 s", 100, True),
        ("9" * 30, 100, True),
        ("9" * 5000, 100, True),
        ("٥", 100, True),
        ("", 100, True),
    ],
)
def test_max_live(play: Callable[[Story], None], documented: bool, live: str, age: float, hit: bool) -> None:
    """A balance older than x-max-live seconds is computed anew; what is no positive whole number is ignored."""

    async def story(stage: Stage) -> None:
        await stage.balance("busy")
        stage.wait(seconds=age)
        headers = {"x-max-live": live.encode()}
        path = f"/wallets/{stage.wallets['busy']}/balance/"
        answer = await stage.client.get(
            path + ("real-time?from_cache=true" if documented else "real-time-cached"),
            headers=headers,  # type: ignore[arg-type]
        )
        assert assert_ok(answer)["is_cached_fallback"] is hit

    play(story)


def test_max_live_is_undocumented(play_documented: Callable[[Story], None]) -> None:
    """A mock without what is undocumented does not know the header."""

    async def story(stage: Stage) -> None:
        await stage.balance("busy")
        stage.wait(seconds=10)
        assert (await stage.balance("busy", from_cache="true", live="5"))["is_cached_fallback"]

    play_documented(story)


@pytest.mark.parametrize("name", ["postpaid", "frozen", "closed"])
def test_never_from_the_cache(play: Callable[[Story], None], name: str) -> None:
    """Postpaid wallets and such as are not active are always answered as they are (I4, I5)."""

    async def story(stage: Stage) -> None:
        plain = await stage.balance(name)
        assert await stage.balance(name, from_cache="true") == plain
        assert await stage.balance(name, "real-time-cached") == plain
        await stage.top_up(name, 10)
        expected = "60" if name == "postpaid" else "0"
        assert await stage.cached(name) == (False, expected)

    play(story)


def test_closing_ends_it(play: Callable[[Story], None]) -> None:
    """The balance of a wallet that is closed is not the one from before."""

    async def story(stage: Stage) -> None:
        await stage.balance("busy")
        assert_ok(await stage.client.post(f"/wallets/{stage.wallets['busy']}/terminate"))
        assert await stage.cached("busy") == (False, "0")

    play(story)


def test_wallets_of_a_customer(play: Callable[[Story], None]) -> None:
    """The customer's list fills and reads the same cache, if real-time balances are asked for."""

    async def story(stage: Stage) -> None:
        async def ask(live: str = "", **query: str) -> Body:
            asked = {"lookup_key": "ext_cust_busy", "include_real_time_balance": "true"} | query
            answer = await stage.client.get("/customers/wallets", params=asked, headers={"x-max-live": live})
            found: list[Body] = assert_ok(answer)
            assert len(found) == 2
            return next(body for body in found if body["id"] == stage.wallets["busy"])

        assert not (await ask(from_cache="true"))["is_cached_fallback"]
        await stage.top_up("busy", 100)
        stage.wait(seconds=10)
        assert await stage.cached("busy") == (True, "938.5")
        for true in ("true", "1", "T"):
            body = await ask(from_cache=true)
            assert_balance(body)
            assert (body["is_cached_fallback"], body["real_time_balance"], body["balance"]) == (True, "938.5", "1100")
        plain = await ask(from_cache="true", include_real_time_balance="false")
        assert (plain["is_cached_fallback"], "real_time_balance" in plain) == (False, False)
        assert (await ask("9", from_cache="true"))["real_time_balance"] == "1038.5"
        await stage.top_up("busy", 100)
        assert (await ask())["real_time_balance"] == "1138.5"
        assert await stage.cached("busy") == (True, "1138.5")

    play(story)


def test_each_session_has_its_own(play: Callable[[Story], None]) -> None:
    """A balance read in one session is in no other one's cache, and a reset empties it."""

    async def first(stage: Stage) -> None:
        await stage.balance("busy")

    async def second(stage: Stage) -> None:
        assert await stage.cached("busy") == (False, "938.5")
        assert await stage.cached("busy") == (True, "938.5")
        await stage.control("reset", None)
        assert await stage.cached("busy") == (False, "938.5")

    play(first)
    play(second)


def test_the_cache_is_bounded(play: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more wallets than a session keeps, those go that were used least recently; a hit is a use."""
    monkeypatch.setattr(caching, "MOST_WALLETS", 3)

    async def story(stage: Stage) -> None:
        for name in ("busy", "low", "rate-2"):
            await stage.balance(name)
        assert (await stage.cached("busy"))[0]
        await stage.balance("yen")
        assert [(await stage.cached(name))[0] for name in ("busy", "rate-2", "yen", "low")] == [True, True, True, False]

    play(story)


def test_answers_from_the_cache_break_no_rule(play: Callable[[Story], None]) -> None:
    """Whoever checks answers finds nothing wrong with stale ones: only the flag lets real time and balance differ."""

    async def story(stage: Stage) -> None:
        await stage.balance("busy")
        await stage.top_up("busy", 100)
        stale = await stage.balance("busy", from_cache="true")
        judge = Judge(stage.contract)
        operation, answer = stage.asked[-1]
        headers = [(name.lower(), value) for name, value in answer.headers.raw]

        def found(body: bytes) -> set[str]:
            request = Request("GET", answer.request.url.path, b"from_cache=true", [(b"x-api-key", b"k")])
            exchange = Exchange(request, Response(200, headers, body))
            return {f.rule for f in judge.findings(Observation(stage.contract, stage.contract.operations[operation], exchange))}

        assert stale["is_cached_fallback"]
        assert found(answer.content) == set()
        honest = answer.content.replace(b'"is_cached_fallback":true', b'"is_cached_fallback":false')
        assert found(honest) == {"money.real-time-is-balance-less-usage"}

    play(story)
