"""Worlds: any sequence of operations keeps the invariants, sessions are private, a seed is a world."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import count
from typing import Any

import httpx
import pytest
from conftest import Mock, running
from flexprice_checks import (
    BREAKDOWN,
    EXACT,
    Body,
    Wallet,
    alert_state,
    assert_balance,
    assert_ledger,
    assert_ok,
    assert_refused,
    assert_row,
    assert_wallet,
    divided,
    number,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from mock_server.clock import RealClock
from mock_server.event_log import Event
from mock_server.ids import Seed
from mock_server.logs.memory import MemoryLog
from mock_server.world import Worlds

_NINE = Decimal("1e-9")
_numbers = count()

credits = st.one_of(
    st.sampled_from(["1", "10", "100.00", "0.000000001", "33.333333333", "5e2"]).map(Decimal),
    st.decimals(min_value=Decimal("1e-9"), max_value=Decimal(1_000_000), places=9),
)
direct_reasons = st.sampled_from(
    ["FREE_CREDIT_GRANT", "SUBSCRIPTION_CREDIT_GRANT", "PURCHASED_CREDIT_DIRECT", "CREDIT_NOTE", "INVOICE_VOID_REFUND"]
)


def stored(value: Decimal) -> Decimal:
    """To nine decimals, half away from zero."""
    return value.quantize(_NINE, rounding=ROUND_HALF_UP, context=EXACT)


@dataclass
class Expected:
    """What the model knows of a wallet. `own` is False for personas, whose usage and invoices it does not know."""

    customer: str
    currency: str
    wallet_type: str
    rate: Decimal
    topup_rate: Decimal
    credits: Decimal = Decimal(0)
    rows: int = 0
    status: str = "active"
    own: bool = True
    settings: dict[str, Any] = field(default_factory=dict)


class FlexpriceWorld(RuleBasedStateMachine):
    """Wallets of one session, and beside them a model as simple as can be: credits, rows and settings per wallet."""

    wallets: Bundle[str] = Bundle("wallets")
    keys: Bundle[str] = Bundle("keys")
    personas: Bundle[str] = Bundle("personas")

    def __init__(self, mock: Mock, persona_ids: dict[str, str]) -> None:
        super().__init__()
        session = f"world-{next(_numbers)}"
        self.client = httpx.Client(base_url=f"{mock.url}/v1", headers={"x-api-key": "test", "x-mock-session": session})
        self.reset_url = f"{mock.url}/_mock/sessions/{session}/reset"
        self.persona_ids = persona_ids
        self.expected: dict[str, Expected] = {}
        self.owed: dict[tuple[str, str], Decimal] = {}
        self.used_keys: set[str] = set()
        self.seen: dict[str, Body] = {}

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.client.post(self.reset_url)
        self.client.close()

    @initialize(target=personas)
    def begin(self) -> Any:
        """Personas with a past: another top-up rate, a negative balance, expiring credits, other states and types."""
        return multiple("rate-half", "overdrawn", "expiring", "frozen", "postpaid", "closed")

    @rule(target=wallets, name=consumes(personas))
    def adopt(self, name: str) -> str:
        """Go on with a persona."""
        wallet = Wallet(self.client, self.persona_ids[name])
        body, rows = wallet.check()
        self.expected[wallet.id] = Expected(
            customer=body["customer_id"],
            currency=body["currency"],
            wallet_type=body["wallet_type"],
            rate=number(body, "conversion_rate"),
            topup_rate=number(body, "topup_conversion_rate"),
            credits=number(body, "credit_balance"),
            rows=len(rows),
            status=body["wallet_status"],
            own=False,
            settings={"name": body["name"], "metadata": body["metadata"], "config": body["config"]},
        )
        return wallet.id

    @rule(
        target=wallets,
        customer=st.sampled_from(["cust_world_1", "cust_world_2"]),
        currency=st.sampled_from(["usd", "USD", "eur", "jpy"]),
        wallet_type=st.sampled_from([None, "PRE_PAID", "POST_PAID"]),
        rate=st.sampled_from([None, "1", "2", "0.5", "1.12345"]),
        topup_rate=st.sampled_from([None, None, "0.4", "3"]),
        initial=st.one_of(st.none(), st.just(Decimal(0)), credits),
    )
    def create(
        self,
        customer: str,
        currency: str,
        wallet_type: str | None,
        rate: str | None,
        topup_rate: str | None,
        initial: Decimal | None,
    ) -> Any:
        """A new wallet with its defaults (I29), unless its customer has such a one (I23)."""
        sent = {
            "customer_id": customer,
            "currency": currency,
            "wallet_type": wallet_type,
            "conversion_rate": rate,
            "topup_conversion_rate": topup_rate,
            "initial_credits_to_load": None if initial is None else str(initial),
        }
        response = self.client.post("/wallets", json={name: value for name, value in sent.items() if value is not None})
        kind, code = wallet_type or "PRE_PAID", currency.lower()
        taken = [
            wallet_id
            for wallet_id, e in self.expected.items()
            if (e.customer, e.currency, e.wallet_type, e.status) == (customer, code, kind, "active")
        ]
        if taken:
            assert_refused(response, 409, "already_exists", taken[0])
            return multiple()
        body = assert_ok(response)
        assert_wallet(body)
        initial = initial or Decimal(0)
        config = {"allowed_price_types": ["USAGE" if kind == "PRE_PAID" else "ALL"]}
        name = f"{'Prepaid' if kind == 'PRE_PAID' else 'Postpaid'} Wallet - {code.upper()}"
        assert (body["name"], body["config"], body["metadata"], body["description"]) == (name, config, {}, "")
        assert (body["wallet_status"], body["alert_state"], body["wallet_type"]) == ("active", "ok", kind)
        assert "alert_settings" not in body
        assert "auto_topup" not in body
        self.expected[body["id"]] = Expected(
            customer=customer,
            currency=code,
            wallet_type=kind,
            rate=Decimal(rate or 1),
            topup_rate=Decimal(topup_rate or rate or 1),
            credits=initial,
            rows=1 if initial else 0,
            settings={"name": name, "metadata": {}, "config": config},
        )
        return body["id"]

    @rule(
        target=keys,
        wallet_id=wallets,
        amount=credits,
        by_amount=st.booleans(),
        reason=st.one_of(direct_reasons, st.just("PURCHASED_CREDIT_INVOICED")),
        bonus=st.one_of(st.none(), st.none(), credits),
        priority=st.sampled_from([None, 0, 1, 2, 7]),
        expiry=st.sampled_from([None, None, "2096-01-01T00:00:00Z", "2097-06-01T12:00:00.5+02:00"]),
    )
    def top_up(
        self,
        wallet_id: str,
        amount: Decimal,
        by_amount: bool,
        reason: str,
        bonus: Decimal | None,
        priority: int | None,
        expiry: str | None,
    ) -> Any:
        """Direct credits arrive to the last digit with their bonus (I18); invoiced ones wait and change nothing (I30)."""
        expected = self.expected[wallet_id]
        wanted = stored(divided(amount, expected.topup_rate)) if by_amount else amount
        key = f"world-key-{next(_numbers)}"
        fields = {
            "amount" if by_amount else "credits_to_add": str(amount),
            "transaction_reason": reason,
            "idempotency_key": key,
            "bonus_credits_to_add": None if bonus is None else str(bonus),
            "priority": priority,
            "expiry_date_utc": expiry,
        }
        before = Wallet(self.client, wallet_id).stored()
        response = Wallet(self.client, wallet_id).top_up(**{name: value for name, value in fields.items() if value is not None})
        if wanted <= 0:
            assert_refused(response, 400, "validation_error")
            return multiple()
        body = assert_ok(response)
        row, after = body["wallet_transaction"], body["wallet"]
        assert_row(row)
        assert_wallet(after)
        assert number(row, "credit_amount") == wanted
        assert (row["idempotency_key"], row["transaction_reason"], row.get("priority")) == (key, reason, priority)
        assert ("expiry_date" in row) == (expiry is not None)
        if reason == "PURCHASED_CREDIT_INVOICED":
            assert row["transaction_status"] == "pending"
            assert body["invoice_id"].startswith("inv_")
            assert after == before
            place = (expected.customer, expected.currency)
            self.owed[place] = self.owed.get(place, Decimal(0)) + number(row, "amount")
        else:
            assert row["transaction_status"] == "completed"
            assert "invoice_id" not in body
            expected.credits += wanted + (bonus or 0)
            assert number(after, "credit_balance") == expected.credits
        expected.rows += 1 if bonus is None else 2
        self.used_keys.add(key)
        rows = Wallet(self.client, wallet_id).rows()[-2 if bonus is not None else -1 :]
        assert [number(row, "credit_amount") for row in rows] == [wanted] + ([bonus] if bonus is not None else [])
        assert rows[0] == row
        if bonus is not None:
            assert (rows[1]["parent_transaction_id"], rows[1]["transaction_reason"]) == (row["id"], "PURCHASED_CREDIT_BONUS")
            assert rows[1]["transaction_status"] == row["transaction_status"]
        return key

    @rule(wallet_id=wallets, key=keys, reason=st.one_of(direct_reasons, st.just("PURCHASED_CREDIT_INVOICED")))
    def use_a_key_again(self, wallet_id: str, key: str, reason: str) -> None:
        """A key counts once over all wallets; a repeat is refused and changes nothing (I20)."""
        repeated = Wallet(self.client, wallet_id).top_up(credits_to_add=1, transaction_reason=reason, idempotency_key=key)
        assert_refused(repeated, 409, "already_exists")

    @rule(
        wallet_id=wallets,
        change=st.sampled_from(
            [
                {"metadata": {"team": "a", "cost": "1"}},
                {"metadata": {}},
                {"name": "Renamed", "description": "d"},
                {"config": {"allowed_price_types": ["ALL"]}},
                {"config": {"allowed_price_types": ["FIXED", "USAGE"]}},
                {"config": {"allowed_price_types": []}},
                {"alert_settings": {"alert_enabled": True, "critical": {"condition": "below", "threshold": 50}}},
                {"alert_settings": {"alert_enabled": True, "info": {"condition": "above", "threshold": "1000"}}},
                {},
            ]
        ),
    )
    def update(self, wallet_id: str, change: dict[str, Any]) -> None:
        """Settings become what was sent, metadata as a whole (I28); everything else stays."""
        wallet = Wallet(self.client, wallet_id)
        before = wallet.stored()
        after = assert_ok(wallet.update(**change))
        self.expected[wallet_id].settings.update(change)
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        assert changed <= {*change, "updated_at"}
        for name, value in change.items():
            if name != "alert_settings":
                assert after[name] == value

    @rule(wallet_id=wallets)
    def terminate(self, wallet_id: str) -> None:
        """What is left is taken out, and the wallet is closed for good (I22)."""
        expected = self.expected[wallet_id]
        response = Wallet(self.client, wallet_id).terminate()
        if expected.status == "closed":
            assert_refused(response, 400, "invalid_operation")
            return
        if expected.credits > 0 and wallet_id in self.used_keys:
            assert_refused(response, 409, "already_exists")
            return
        assert_wallet(assert_ok(response))
        if expected.credits > 0:
            expected.rows += 1
            expected.credits = Decimal(0)
            self.used_keys.add(wallet_id)
        expected.status = "closed"
        again = Wallet(self.client, wallet_id).terminate()
        assert_refused(again, 400, "invalid_operation")

    @rule(target=keys, wallet_id=wallets, other=wallets)
    def use_a_wallet_id_as_key(self, wallet_id: str, other: str) -> Any:
        """Terminating uses the wallet's id as its key, so such a key counts like any other."""
        response = Wallet(self.client, other).top_up(credits_to_add=2, idempotency_key=wallet_id)
        if wallet_id in self.used_keys:
            assert_refused(response, 409, "already_exists")
            return multiple()
        assert_ok(response)
        self.used_keys.add(wallet_id)
        self.expected[other].credits += 2
        self.expected[other].rows += 1
        return wallet_id

    @invariant()
    def every_wallet_is_as_expected(self) -> None:
        """I1 to I8, I10 to I17, I27, I28, I31 of every wallet, and the model's credits, rows and settings; then all lists."""
        if self.expected:
            self.check_lists(
                {wallet_id: self.check(Wallet(self.client, wallet_id), it) for wallet_id, it in self.expected.items()}
            )

    def check(self, wallet: Wallet, expected: Expected) -> dict[str, Any]:
        """One wallet from all sides; gives its body."""
        body = wallet.balance(expand=BREAKDOWN)
        plain = wallet.stored()
        if self.seen.get(wallet.id) != body:  # rows change only with the balance or its time; pending ones are counted below
            rows = wallet.rows(limit=1000)
            assert_ledger(body, rows, body[BREAKDOWN])
            assert len(rows) == expected.rows
            self.seen[wallet.id] = body
        assert_balance(body)
        assert plain == {name: body[name] for name in plain}  # I31
        assert number(body, "credit_balance") == expected.credits
        assert number(body, "balance") == stored(EXACT.multiply(expected.credits, expected.rate))
        for name, value in expected.settings.items():
            if name != "alert_settings":
                assert body[name] == value
        assert (body["customer_id"], body["currency"], body["wallet_type"], body["wallet_status"]) == (
            expected.customer,
            expected.currency,
            expected.wallet_type,
            expected.status,
        )
        assert (number(body, "conversion_rate"), number(body, "topup_conversion_rate")) == (expected.rate, expected.topup_rate)
        if expected.own and expected.status == "active":  # I8; what was bought on invoice and not paid counts for ALL and FIXED
            pays_all = {"ALL", "FIXED"} & set(expected.settings["config"]["allowed_price_types"])
            owed = self.owed.get((expected.customer, expected.currency), Decimal(0))
            usage = owed if pays_all and expected.wallet_type == "PRE_PAID" else Decimal(0)
            assert number(body, "current_period_usage") == usage
            assert number(body, "unpaid_invoices_amount") == 0
        return plain

    def check_lists(self, bodies: dict[str, dict[str, Any]]) -> None:
        """Search finds every wallet by id and filters by status (I25); a customer's list has the active ones (I22)."""
        ids = list(bodies)
        found = assert_ok(self.client.post("/wallets/search", json={"wallet_ids": ids, "limit": 1000}))
        assert {item["id"] for item in found["items"]} == set(ids)
        assert found["pagination"]["total"] == len(ids)
        for item in found["items"]:
            assert item == bodies[item["id"]]
        active = [wallet_id for wallet_id, expected in self.expected.items() if expected.status == "active"]
        found = assert_ok(self.client.post("/wallets/search", json={"wallet_ids": ids, "limit": 1000, "status": "active"}))
        assert {item["id"] for item in found["items"]} == set(active)
        for customer in ("cust_world_1", "cust_world_2"):
            listed = assert_ok(self.client.get(f"/customers/{customer}/wallets"))
            assert {item["id"] for item in listed} == {i for i in active if self.expected[i].customer == customer}


def test_any_sequence_of_operations_keeps_the_invariants(mock: Mock, wallet_ids: dict[str, str]) -> None:
    """Wallets created, filled, changed and closed in any order obey every invariant after every step."""
    run_state_machine_as_test(
        lambda: FlexpriceWorld(mock, wallet_ids),  # type: ignore[arg-type] # a factory will do
        settings=settings(max_examples=20, stateful_step_count=20, deadline=None),
    )


def test_alert_state_follows_direct_credits(flexprice: httpx.Client) -> None:
    """With its own thresholds a wallet's alert state is that of its real-time credits after every direct credit (I26)."""
    alerts = {
        "alert_enabled": True,
        "critical": {"condition": "below", "threshold": 10},
        "warning": {"condition": "below", "threshold": 20},
        "info": {"condition": "below", "threshold": 30},
    }
    wallet = Wallet.create(flexprice, alert_settings=alerts, conversion_rate="2")
    states = []
    for amount in ("10", "0.000000001", "10", "10", "1"):
        assert_ok(wallet.top_up(credits_to_add=amount))
        body = wallet.balance()
        assert body["alert_state"] == alert_state(body)
        states.append(body["alert_state"])

    assert states == ["in_alarm", "warning", "info", "ok", "ok"]


def opening(client: httpx.Client, mock: Mock) -> dict[str, bytes]:
    """Everything that can be read of a session's personas, and of its lists, byte by byte; but what changes with time."""
    texts = {}
    for persona in mock.personas().values():
        if persona["provider"] == "flexprice" and persona["name"] != "draining":
            ids: Any = persona["ids"]
            paths = [f"/wallets/{ids['wallet']}/balance/real-time?expand={BREAKDOWN}", f"/wallets/{ids['wallet']}/transactions"]
            if persona["name"] in ("healthy", "low", "busy", "rate-2"):
                paths += [f"/wallets/{ids['wallet']}", f"/customers/{ids['customer']}/wallets"]
                paths += [f"/customers/wallets?lookup_key={ids['external_customer']}&include_real_time_balance=true"]
            for path in paths:
                response = client.get(path)
                assert response.status_code == 200, path
                texts[path] = response.content
    for path in ("/wallets/search", "/wallets/transactions/search"):
        response = client.post(
            path, json={"limit": 1000, "expand": BREAKDOWN if path == "/wallets/search" else "wallet,customer"}
        )
        assert response.status_code == 200
        texts[path] = response.content
    return texts


def disturb(client: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """One change of each kind."""
    assert_ok(Wallet(client, wallet_ids["healthy"]).top_up(credits_to_add=7, bonus_credits_to_add=1))
    assert_ok(Wallet(client, wallet_ids["low"]).top_up(credits_to_add=7, transaction_reason="PURCHASED_CREDIT_INVOICED"))
    assert_ok(Wallet(client, wallet_ids["busy"]).update(metadata={"x": "y"}, name="n"))
    assert_ok(Wallet(client, wallet_ids["rate-2"]).terminate())
    Wallet.create(client, initial_credits_to_load=5)


@pytest.fixture
def other(mock: Mock, session: str) -> Iterator[httpx.Client]:
    """A client of Flexprice in a second session."""
    headers = {"x-api-key": "test", "x-mock-session": f"{session}.other"}
    with httpx.Client(base_url=f"{mock.url}/v1", headers=headers) as client:
        yield client


def test_sessions_never_see_each_others_changes(
    mock: Mock, flexprice: httpx.Client, other: httpx.Client, wallet_ids: dict[str, str]
) -> None:
    """Changes made in turns show only in their own session; the default session has none of them."""
    untouched = Wallet(other, wallet_ids["healthy"]).balance()
    first, second = Wallet(flexprice, wallet_ids["healthy"]), Wallet(other, wallet_ids["healthy"])
    for amount in range(1, 6):
        assert_ok(first.top_up(credits_to_add=amount, idempotency_key=f"key-of-both-{amount}"))
        assert number(first.balance(), "credit_balance") == number(untouched, "credit_balance") + sum(range(1, amount + 1))
        assert number(second.balance(), "credit_balance") == number(untouched, "credit_balance") + sum(range(10, 10 * amount, 10))
        assert_ok(second.top_up(credits_to_add=10 * amount, idempotency_key=f"key-of-both-{amount}"))
    created = Wallet.create(flexprice)
    with httpx.Client(base_url=f"{mock.url}/v1", headers={"x-api-key": "test"}) as default:
        assert Wallet(default, wallet_ids["healthy"]).balance() == untouched
        for client in (other, default):
            assert_refused(client.get(f"/wallets/{created.id}"), 404, "not_found")
            assert_refused(client.put(f"/wallets/{created.id}", json={}), 404, "not_found")
            assert assert_ok(client.post("/wallets/search", json={"wallet_ids": [created.id], "limit": 5}))["items"] == []


def test_host_chooses_the_session(mock: Mock, flexprice: httpx.Client, session: str, wallet_ids: dict[str, str]) -> None:
    """`NAME.localhost` is the session that the header would name; another name is another world; the header wins."""
    port = httpx.URL(mock.url).port
    wallet_id = wallet_ids["low"]
    assert_ok(Wallet(flexprice, wallet_id).top_up(credits_to_add=3))
    mine = Wallet(flexprice, wallet_id).balance()

    def read(host: str, **headers: str) -> Body:
        response = httpx.get(
            f"{mock.url}/v1/wallets/{wallet_id}/balance/real-time", headers={"host": host, "x-api-key": "test"} | headers
        )
        body: Body = assert_ok(response)
        return body

    pristine = read(f"localhost:{port}", **{"x-mock-session": f"{session}-nobody"})
    assert pristine != mine
    assert read(f"{session}.localhost:{port}") == mine
    assert read(f"{session}.localhost") == mine
    assert read(f"{session.upper()}.LOCALHOST:{port}") == mine
    assert read(f"{session}-nobody.localhost:{port}") == pristine
    assert read(f"{session}-nobody.localhost:{port}", **{"x-mock-session": session}) == mine
    assert read(f"{session}.localhost.example.com") != mine


def test_reset_restores_the_opening_bytes(
    mock: Mock, flexprice: httpx.Client, other: httpx.Client, session: str, wallet_ids: dict[str, str]
) -> None:
    """After a reset every answer is the opening one, byte by byte; the other session keeps its changes."""
    before = opening(flexprice, mock)
    assert opening(other, mock) == before
    disturb(flexprice, wallet_ids)
    disturb(other, wallet_ids)
    changed = opening(other, mock)
    assert changed != before
    assert httpx.post(f"{mock.url}/_mock/sessions/{session}/reset").status_code == 204

    assert opening(flexprice, mock) == before
    assert opening(other, mock) == changed

    disturb(flexprice, wallet_ids)  # with the same idempotency keys of termination as before: they are free again
    assert httpx.post(f"{mock.url}/_mock/sessions/{session}/reset").status_code == 204
    assert httpx.post(f"{mock.url}/_mock/sessions/{session}/reset").status_code == 204
    assert opening(flexprice, mock) == before


def test_same_seed_same_world_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes whose hashes differ have the same ids, tokens and bytes for the same seed, 1 unless told, others for another.

    The personas are the same people whatever the seed.
    """
    worlds, names = [], []
    for hash_seed, seed in (("1", []), ("2", ["--seed", "1"]), ("3", ["--seed", "8"])):
        monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
        with (
            running(*seed, "--population", "20") as started,
            httpx.Client(base_url=f"{started.url}/v1", headers={"x-api-key": "test"}) as client,
        ):
            texts: dict[str, Any] = dict(opening(client, started))
            texts["personas"] = client.get(f"{started.url}/_mock/personas").content
            for provider in ("flexprice", "polar"):
                texts[provider] = client.get(f"{started.url}/_mock/population/{provider}/13").content
            personas = started.personas()
            headers = {"authorization": f"Bearer {personas['polar/ada.main']['token']}"}
            texts["polar wallets"] = client.get("/customer-portal/wallets/", headers=headers).raise_for_status().content
            worlds.append(texts)
            names.append(list(personas))

    assert worlds[0] == worlds[1]
    assert names[0] == names[2]
    shared = worlds[0].keys() & worlds[2].keys()
    assert len(shared) >= 6
    assert all(worlds[0][name] != worlds[2][name] for name in shared)


def test_concurrent_terminations_close_once(mock: Mock, session: str, flexprice: httpx.Client) -> None:
    """Of 20 terminations at once one succeeds, and the credits are taken out once."""
    wallet = Wallet.create(flexprice, initial_credits_to_load=9)

    async def all_at_once() -> list[httpx.Response]:
        headers = {"x-api-key": "test", "x-mock-session": session}
        async with httpx.AsyncClient(base_url=f"{mock.url}/v1", headers=headers, timeout=30) as client:
            return await asyncio.gather(*(client.post(f"/wallets/{wallet.id}/terminate") for _ in range(20)))

    statuses = sorted(response.status_code for response in asyncio.run(all_at_once()))
    _, rows = wallet.check()

    assert statuses == [200] + [400] * 19
    assert [(row["type"], row["credit_amount"]) for row in rows] == [("credit", "9"), ("debit", "9")]


def test_same_names_created_at_once_conflict(mock: Mock, session: str) -> None:
    """Of 20 equal wallets created at once for one customer one comes to be."""

    async def all_at_once() -> list[httpx.Response]:
        headers = {"x-api-key": "test", "x-mock-session": session}
        async with httpx.AsyncClient(base_url=f"{mock.url}/v1", headers=headers, timeout=30) as client:
            body = {"currency": "usd", "customer_id": "cust_at_once"}
            return await asyncio.gather(*(client.post("/wallets", json=body) for _ in range(20)))

    assert sorted(response.status_code for response in asyncio.run(all_at_once())) == [200] + [409] * 19


class Notes:
    """A state that keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def apply(self, event: Event) -> tuple[()]:
        """Keep it."""
        self.events.append(event)
        return ()


def test_worlds_share_a_log() -> None:
    """Two servers over one log see each other's events, whoever wrote them, and other sessions see none."""
    event = Event(at=datetime(2026, 8, 22, tzinfo=UTC))

    async def run() -> None:
        log = MemoryLog()
        log.shared = True
        one, two = (Worlds(log, RealClock(), Seed(1), {"notes": Notes}) for _ in range(2))
        for writer, reader in ((one, two), (two, one), (one, two)):
            before = (await writer.current("a")).position
            await writer.commit("a", lambda world, draft: ([event, event], None))
            world = await reader.current("a")
            assert world.position == before + 2
            assert len(world.states["notes"].events) == world.position  # type: ignore[attr-defined]
        assert (await two.current("b")).position == 0

    asyncio.run(run())
