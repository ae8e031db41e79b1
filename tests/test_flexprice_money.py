"""Flexprice's money as time passes: sweeps, automatic top-ups, accruing usage, invoices, and the controls of all that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Mock, running
from flexprice_checks import BREAKDOWN, Body, Wallet, assert_ok, assert_refused, number

START = datetime(2026, 11, 21, 9, tzinfo=UTC)
_sessions = count()


class Story:
    """One session of a server whose time stands still until it is moved: the provider, and the controls of its wallets."""

    def __init__(self, mock: Mock) -> None:
        session = f"story-{next(_sessions)}"
        self.client = httpx.Client(base_url=f"{mock.url}/v1", headers={"x-api-key": "test", "x-mock-session": session})
        self.controls = httpx.Client(base_url=f"{mock.url}/_mock/sessions/{session}")
        self.ids = {
            name.removeprefix("flexprice/"): persona["ids"]["wallet"]  # type: ignore[index]
            for name, persona in mock.personas().items()
            if name.startswith("flexprice/")
        }

    def persona(self, name: str) -> Wallet:
        """A fixture wallet."""
        return Wallet(self.client, self.ids[name])

    def create(self, **fields: Any) -> Wallet:
        """A new wallet."""
        return Wallet.create(self.client, **fields)

    def advance(self, by: str) -> list[str]:
        """Move time on; the kinds of events that happened meanwhile, the clock's own aside."""
        happened = self.controls.post("/clock/advance", json={"by": by}).raise_for_status().json()["happened"]
        return [event["kind"] for event in happened if event["kind"] != "ClockMoved"]

    def kinds(self) -> list[str]:
        """The kinds of all events so far."""
        events = self.controls.get("/events").raise_for_status().json()["events"]
        return [event["kind"] for event in events]

    def state(self, wallet: Wallet) -> Body:
        """Everything about a wallet."""
        body: Body = self.controls.get(f"/wallets/{wallet.id}").raise_for_status().json()
        return body

    def change(self, wallet: Wallet, **fields: Any) -> Body:
        """Change a wallet by the control; it must take it."""
        response = self.controls.patch(f"/wallets/{wallet.id}", json=fields)
        assert response.status_code == 200, response.text
        body: Body = response.json()
        return body

    def post(self, wallet: Wallet, path: str, **fields: Any) -> httpx.Response:
        """Call another control of a wallet."""
        return self.controls.post(f"/wallets/{wallet.id}/{path}", json=fields or None)


def refused(response: httpx.Response, status: int, error: str, mention: str) -> None:
    """A control's error."""
    assert (response.status_code, response.json()["error"]) == (status, error), response.text
    assert mention in response.json()["message"], response.text


def credits(wallet: Wallet) -> tuple[str, str]:
    """Credit balance and real-time credit balance."""
    body = wallet.balance()
    return body["credit_balance"], body["real_time_credit_balance"]


@pytest.fixture(scope="module")
def still() -> Iterator[Mock]:
    """A server whose clock stands."""
    with running("--clock", f"frozen:{START.isoformat()}") as mock:
        yield mock


@pytest.fixture
def story(still: Mock) -> Iterator[Story]:
    """A session of it."""
    story = Story(still)
    with story.client, story.controls:
        yield story


FIXTURES = """
provider: flexprice
tenant:
  auto_complete_invoices: true
  bonus_slabs: [{from: 100, flat: 5}, {from: 1000, percent: 12.5}]
customers:
  one: {usage_rate: {usd: {amount: 6, per: minute}}, unpaid_invoices: [{currency: usd, remaining: 7}]}
personas:
  mine:
    about: Tops itself up, but usage does not make it
    customer: one
    alerts: {critical: {threshold: 50}}
    auto_topup: {threshold: 50, amount: 100, invoicing: true, cooldown: 2 hours}
    transactions:
      - {credit: 200}
  waiting:
    about: Bought with a bonus rate of its own
    customer: one
    currency: eur
    topup_conversion_rate: 0.5
    transactions:
      - {credit: 40, reason: PURCHASED_CREDIT_INVOICED, status: pending}
"""


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    """A server of another tenant: alerts off, invoices paid at once, bonuses on big purchases."""
    path: Path = tmp_path_factory.mktemp("fixtures") / "tenant.yaml"
    path.write_text(FIXTURES)
    with running("--clock", f"frozen:{START.isoformat()}", "--fixtures", str(path), "--population", "0") as mock:
        yield mock


@pytest.fixture
def other(tenant: Mock) -> Iterator[Story]:
    """A session of the other tenant."""
    story = Story(tenant)
    with story.client, story.controls:
        yield story


# ---------------------------------------------------------------- expiry


def test_expired_credits_are_swept_six_hours_later(story: Story) -> None:
    """Until the first quarter of an hour six hours after expiry they count but cannot be used; then one debit takes them."""
    wallet = story.create(initial_credits_to_load=50)
    expiry = (START + timedelta(minutes=61)).isoformat()
    granted = assert_ok(wallet.top_up(credits_to_add=30, expiry_date_utc=expiry))["wallet_transaction"]["id"]

    assert story.advance("7h14m59s") == []
    body = wallet.balance(expand=BREAKDOWN)
    assert (body["credit_balance"], body[BREAKDOWN]["free"]) == ("80", "80")
    assert_refused(wallet.terminate(), 400, "invalid_operation", "expired")

    assert story.advance("1s") == ["TransactionCreated"]  # 16:15, as 16:01 is no quarter of an hour
    body, rows = wallet.check()
    row = rows[-1]
    assert body["credit_balance"] == "50"
    assert (row["transaction_reason"], row["credit_amount"], row["idempotency_key"]) == ("CREDIT_EXPIRED", "30", granted)
    assert (row["reference_type"], row["created_at"][:16]) == ("REQUEST", "2026-11-21T16:15")
    assert row["metadata"] == {
        "expired_transaction_id": granted,
        "expiry_date": "2026-11-21T10:01:00.000000Z",
        "consumed_credit_tx_ids": granted,
    }
    story.advance("30d")
    assert wallet.rows() == rows
    assert_ok(wallet.terminate())


def test_sweep_takes_only_what_is_left_of_each_credit(story: Story) -> None:
    """Of two expired credits each is written off by a row of its own, whatever was used before."""
    wallet = story.create()
    for amount, minutes in ((10, 30), (20, 45)):
        expiry = (START + timedelta(minutes=minutes)).isoformat()
        assert_ok(wallet.top_up(credits_to_add=amount, expiry_date_utc=expiry))
    assert_ok(story.client.post(f"/wallets/{wallet.id}/debit", json=_debit(14)))
    assert story.advance("1d").count("TransactionCreated") == 1  # the first is used up
    _, rows = wallet.check()
    assert [row["credit_amount"] for row in rows if row["transaction_reason"] == "CREDIT_EXPIRED"] == ["16"]


def test_persona_expiring_loses_credits_as_its_story_says(story: Story) -> None:
    """Relative expiries of the fixture file fall due without anybody having touched the wallet."""
    wallet = story.persona("expiring")
    seen = []
    for _ in range(3):
        seen.append(credits(wallet)[0])
        story.advance("5d")
    assert seen == ["350", "320", "250"]
    wallet.check()


# ---------------------------------------------------------------- automatic top-up


def test_direct_auto_top_up_repeats_until_above_the_threshold(story: Story) -> None:
    """Threshold 50, amount 10, at 5: rows of 10 until 55, each marked and described, there when the answer comes."""
    wallet = story.persona("auto-topup")
    body = assert_ok(story.client.post(f"/wallets/{wallet.id}/debit", json=_debit(55)))
    assert body["credit_balance"] == "55"
    _, rows = wallet.check()
    new = rows[2:]
    assert [row["credit_balance_after"] for row in new] == ["15", "25", "35", "45", "55"]
    assert {row["transaction_reason"] for row in new} == {"PURCHASED_CREDIT_DIRECT"}
    assert {row["metadata"]["auto_topup"] for row in new} == {"true"}
    assert len({row["idempotency_key"] for row in new}) == 5
    assert len({row["description"] for row in new}) == 1
    assert new[0]["description"]


def test_auto_top_up_waits_for_an_evaluation(story: Story) -> None:
    """Neither a wallet's creation without credits nor an update tops up; the next direct credit does."""
    topup = {"enabled": True, "threshold": 50, "amount": 100, "invoicing": False}
    wallet = story.create(auto_topup=topup)
    assert_ok(wallet.update(name="x"))
    assert credits(wallet)[0] == "0"
    assert_ok(wallet.top_up(credits_to_add=1))
    assert credits(wallet)[0] == "101"
    assert_ok(wallet.update(auto_topup={"enabled": False}))
    assert_ok(story.client.post(f"/wallets/{wallet.id}/debit", json=_debit(100)))
    assert credits(wallet)[0] == "1"


def test_cooldown_is_on_the_clock_and_nothing_fires_when_it_ends(story: Story) -> None:
    """One top-up per cooldown; once it is over the next evaluation, and only that, brings another."""
    topup = {"enabled": True, "threshold": 50, "amount": 10, "invoicing": False, "cooldown": {"value": 1, "unit": "hour"}}
    wallet = story.create(auto_topup=topup, initial_credits_to_load=5)
    assert credits(wallet)[0] == "15"
    assert_ok(wallet.top_up(credits_to_add=1))
    assert credits(wallet)[0] == "16"
    assert story.advance("59m59s") == []
    assert_ok(wallet.top_up(credits_to_add=1))
    assert credits(wallet)[0] == "17"
    assert story.advance("1s") == []
    assert credits(wallet)[0] == "17"
    assert_ok(wallet.top_up(credits_to_add=1))
    assert credits(wallet)[0] == "28"
    wallet.check()


def test_invoiced_auto_top_up_waits_for_its_payment(story: Story) -> None:
    """It buys once, and not again while its invoice is unpaid; the payment brings the credits, and the next purchase."""
    topup = {"enabled": True, "threshold": 50, "amount": 30, "invoicing": True}
    wallet = story.create(auto_topup=topup, initial_credits_to_load=5)
    assert_ok(wallet.top_up(credits_to_add=1))
    rows = wallet.rows()
    assert [row["transaction_status"] for row in rows] == ["completed", "pending", "completed"]
    assert "WalletEvaluated" not in story.kinds()  # nobody looks at a purchase that is not paid
    (invoice,) = story.state(wallet)["unpaid_invoices"]
    assert (invoice["billing_reason"], invoice["remaining"]) == ("WALLET_AUTO_TOPUP", "30")
    assert invoice["transaction_id"] == rows[1]["id"]

    story.post(wallet, f"invoices/{invoice['id']}/pay").raise_for_status()
    rows = wallet.rows()
    assert [row["transaction_status"] for row in rows] == ["completed", "completed", "completed", "pending"]
    assert credits(wallet)[0] == "36"
    story.post(wallet, "invoices/latest/pay").raise_for_status()
    assert credits(wallet)[0] == "66"
    assert len(wallet.rows()) == 4


def test_endless_auto_top_up_stops_after_a_hundred_rows(story: Story) -> None:
    """A wallet that tops itself up by next to nothing makes a hundred rows, and another hundred when it is looked at again."""
    topup = {"enabled": True, "threshold": 50, "amount": 0.000000001, "invoicing": False}
    wallet = story.create(auto_topup=topup, initial_credits_to_load=5)
    assert credits(wallet)[0] == "5.0000001"
    assert_ok(wallet.top_up(credits_to_add=1))
    assert credits(wallet)[0] == "6.0000002"
    assert story.advance("1d").count("TransactionCreated") == 0


def test_full_wallet_is_not_topped_up(story: Story) -> None:
    """An automatic top-up that could not be stored does not happen, and breaks nothing."""
    topup = {"enabled": True, "threshold": 99999999999, "amount": 99999999999, "invoicing": False}
    wallet = story.create(auto_topup=topup, initial_credits_to_load=10)
    assert credits(wallet)[0] == "10"


def test_termination_tops_up_before_it_closes(story: Story) -> None:
    """The debit of a termination is evaluated like any other, so the closed wallet keeps what came in then."""
    wallet = story.persona("auto-topup")
    assert assert_ok(wallet.terminate())["wallet_status"] == "closed"
    body, rows = wallet.check()
    assert (body["credit_balance"], body["real_time_balance"]) == ("60", "0")
    assert [row["transaction_reason"] for row in rows[1:3]] == ["WALLET_TERMINATION", "PURCHASED_CREDIT_DIRECT"]
    assert_ok(wallet.top_up(credits_to_add=1))
    assert credits(wallet) == ("61", "0")  # closed: no real-time balance, so no more top-ups


# ---------------------------------------------------------------- usage


def test_usage_accrues_continuously(story: Story) -> None:
    """1.50 an hour from the start of the server's first day, to nine decimals, rounded down."""
    wallet = story.persona("draining")
    assert wallet.balance()["current_period_usage"] == "13.5"
    story.advance("1s")
    assert wallet.balance()["current_period_usage"] == "13.500416666"
    assert story.state(wallet)["usage_rate"] == {"amount": "1.5", "per": "hour"}


def test_alert_state_moves_at_the_moment_usage_reaches_a_threshold(story: Story) -> None:
    """40 credits at 1.50 an hour are gone after 26 hours and 40 minutes: not a microsecond before."""
    wallet = story.persona("draining")
    assert story.advance("17h39m59.999999s") == []
    assert wallet.stored()["alert_state"] == "ok"
    assert story.advance("0.000001s") == ["WalletEvaluated"]
    body = wallet.balance()
    assert (body["alert_state"], body["real_time_credit_balance"]) == ("warning", "60")
    story.advance("3d")
    assert wallet.stored()["alert_state"] == "in_alarm"


@pytest.mark.parametrize(
    ("condition", "states"), [("below", ["ok", "info", "warning", "in_alarm"]), ("above", ["in_alarm", "warning", "info", "ok"])]
)
def test_crossings_of_all_levels_both_ways(story: Story, condition: str, states: list[str]) -> None:
    """A falling balance passes every level, at rates that do not come out even."""
    levels = dict(zip(("critical", "warning", "info"), ((10, 20, 30) if condition == "below" else (30, 20, 10)), strict=True))
    alerts = {"alert_enabled": True} | {n: {"condition": condition, "threshold": value} for n, value in levels.items()}
    wallet = story.create(alert_settings=alerts, conversion_rate="0.33333", initial_credits_to_load=35)
    story.change(wallet, usage_rate={"amount": "0.7", "per": "hour"})
    seen = [wallet.stored()["alert_state"]]
    for _ in range(70):
        story.advance("15m")
        body = wallet.balance()
        value = number(body, "real_time_credit_balance")
        hit = [value <= level if condition == "below" else value >= level for level in levels.values()]
        expected = next((s for s, h in zip(("in_alarm", "warning", "info"), hit, strict=True) if h), "ok")
        assert body["alert_state"] == expected, value
        seen.append(expected)
    assert list(dict.fromkeys(seen)) == states


def test_usage_tops_up_and_goes_on(story: Story) -> None:
    """Each time accruing usage takes the balance to the threshold the wallet tops itself up: as often as a calculation says."""
    topup = {"enabled": True, "threshold": 20, "amount": 50, "invoicing": False}
    wallet = story.create(auto_topup=topup, initial_credits_to_load=100)
    story.change(wallet, usage_rate={"amount": 10, "per": "hour"})
    story.advance("48h")
    _, rows = wallet.check()
    # 80 credits last 8 hours, each 50 five more: at 8, 13, ... 48 hours.
    assert [row["created_at"][11:16] for row in rows[1:4]] == ["17:00", "22:00", "03:00"]
    assert len(rows) == 1 + 9
    assert credits(wallet) == ("550", "70")


def test_fast_usage_is_looked_at_once_a_minute(story: Story) -> None:
    """However fast usage eats what was topped up, ten minutes bring no more than ten evaluations."""
    topup = {"enabled": True, "threshold": 20, "amount": 1, "invoicing": False}
    wallet = story.create(auto_topup=topup, initial_credits_to_load=21)
    story.change(wallet, usage_rate={"amount": 1, "per": "second"})
    happened = story.advance("10m")
    assert 9 <= happened.count("WalletEvaluated") <= 10
    wallet.check()


def test_usage_that_goes_on_tops_up_again_after_the_cooldown(story: Story) -> None:
    """A wallet that runs low while it cools down is topped up when it has, as usage makes the provider look at it."""
    topup = {"enabled": True, "threshold": 50, "amount": 10, "invoicing": False, "cooldown": {"value": 1, "unit": "day"}}
    wallet = story.create(auto_topup=topup, initial_credits_to_load=60)
    story.change(wallet, usage_rate={"amount": 2, "per": "hour"})
    story.advance("4d")
    assert [row["created_at"][5:16] for row in wallet.rows()[1:]] == [f"11-{day}T14:00" for day in (21, 22, 23, 24)]


def test_change_between_two_looks_loses_no_threshold(story: Story) -> None:
    """A threshold that usage reached within the minute after the last look is found on the next, whatever changes meanwhile."""
    alerts = {"alert_enabled": True, "critical": {"threshold": 10, "condition": "below"}}
    wallet = story.create(
        alert_settings=alerts | {"warning": {"threshold": 59, "condition": "below"}}, initial_credits_to_load=60
    )
    story.change(wallet, usage_rate={"amount": 2, "per": "second"})
    assert story.advance("30s") == ["WalletEvaluated"]
    assert_ok(wallet.update(name="x"))
    assert wallet.stored()["alert_state"] == "warning"
    assert story.advance("30.5s") == ["WalletEvaluated"]
    assert wallet.stored()["alert_state"] == "in_alarm"


def test_accruing_usage_finds_what_nobody_looked_at(story: Story) -> None:
    """A new wallet without credits, a void purchase, new settings: found on the next full minute, if usage accrues."""
    story.change(
        story.create(currency="eur", customer_id="cust_accruing"), usage_rate={"amount": 1, "per": "day"}, status="closed"
    )
    topup = {"enabled": True, "threshold": 50, "amount": 10, "invoicing": True}
    wallet = story.create(currency="eur", customer_id="cust_accruing", auto_topup=topup)
    assert story.advance("59.999999s") == []
    assert story.advance("0.000001s") == ["WalletEvaluated", "TransactionCreated", "InvoiceCreated"]
    story.post(wallet, "invoices/latest/void").raise_for_status()
    assert story.advance("1m") == ["WalletEvaluated", "TransactionCreated", "InvoiceCreated"]
    assert_ok(wallet.update(alert_settings={"alert_enabled": True, "critical": {"threshold": 5, "condition": "below"}}))
    assert wallet.stored()["alert_state"] == "ok"
    assert story.advance("1m") == ["WalletEvaluated"]
    assert wallet.stored()["alert_state"] == "in_alarm"
    story.change(wallet, usage_rate={"amount": 0, "per": "day"})
    assert_ok(wallet.update(alert_settings={"alert_enabled": True, "critical": {"threshold": -5, "condition": "below"}}))
    assert story.advance("1h") == []


def test_balance_after_the_clock_alone_was_undone(story: Story) -> None:
    """Usage does not shrink behind what has happened: the balance fits the alert state that its fall has led to."""
    wallet = story.persona("draining")
    story.advance("20h")
    story.controls.post("/undo", json={"events": 1}).raise_for_status()
    body = wallet.balance()
    assert (body["alert_state"], body["real_time_credit_balance"]) == ("warning", "60")
    assert story.state(wallet)["real_time_credit_balance"] == "60"


def test_recorded_usage_evaluates_at_once(story: Story) -> None:
    """Usage moves the alert state of a wallet with settings of its own, and leaves one without them ok."""
    wallet = story.persona("healthy")
    body = story.post(wallet, "usage", amount="500.5").raise_for_status().json()
    assert (body["wallet"]["alert_state"], body["real_time_credit_balance"], body["usage"]) == ("warning", "38", "500.5")
    assert story.change(wallet, usage=0)["wallet"]["alert_state"] == "ok"
    bare = story.persona("low")
    assert story.post(bare, "usage", amount=1000).raise_for_status().json()["wallet"]["alert_state"] == "ok"


def test_usage_never_outgrows_what_is_stored(story: Story) -> None:
    """The largest rate for a thousand years stops at the largest number; more by hand is refused."""
    wallet = story.create()
    story.change(wallet, usage_rate={"amount": "99999999999.999999999", "per": "second"})
    story.advance("1000000h")
    assert wallet.balance()["current_period_usage"] == "99999999999.999999999"
    refused(story.post(wallet, "usage", amount="0.000000001"), 409, "refused", "more than can be stored")


# ---------------------------------------------------------------- invoices


def test_payment_completes_a_purchase(story: Story) -> None:
    """Fresh before and after, the bonus with it, the balance grown by the amounts, and a time of its own."""
    wallet = story.create(conversion_rate=2, topup_conversion_rate="0.5", initial_credits_to_load=10)
    bought = {"credits_to_add": 40, "bonus_credits_to_add": 4, "transaction_reason": "PURCHASED_CREDIT_INVOICED"}
    answer = assert_ok(wallet.top_up(**bought))
    assert_ok(wallet.top_up(credits_to_add=5))
    before = wallet.stored()
    story.advance("1h")
    paid = story.post(wallet, f"invoices/{answer['invoice_id']}/pay").raise_for_status().json()
    assert (paid["status"], paid["remaining"], paid["paid"]) == ("paid", "0", "20")
    rows = {row["id"]: row for row in wallet.rows()}
    row = rows[answer["wallet_transaction"]["id"]]
    (bonus,) = (r for r in rows.values() if r.get("parent_transaction_id") == row["id"])
    assert (row["transaction_status"], row["credit_balance_before"], row["credit_balance_after"]) == ("completed", "15", "55")
    assert (bonus["transaction_status"], bonus["credit_balance_before"], bonus["credit_balance_after"]) == (
        "completed",
        "55",
        "59",
    )
    assert row["updated_at"] > row["created_at"]
    body = wallet.client.get(f"/wallets/{wallet.id}").json()
    assert body["updated_at"] == row["updated_at"] > before["updated_at"]
    assert Decimal(body["balance"]) == Decimal(before["balance"]) + Decimal(row["amount"]) + Decimal(bonus["amount"])
    assert_ok(wallet.top_up(credits_to_add=1))
    assert wallet.balance()["balance"] == "120"  # a direct credit puts the balance right
    refused(story.post(wallet, f"invoices/{answer['invoice_id']}/pay"), 409, "refused", "paid already")


def test_partial_payments_lower_what_remains(story: Story) -> None:
    """Paid amounts count for usage-only wallets, what remains for those that pay everything; the last part completes."""
    wallet = story.create(initial_credits_to_load=100)
    assert_ok(wallet.update(config={"allowed_price_types": ["ALL"]}))
    invoice = story.post(wallet, "invoices", amount=80, usage="50.5", paid=10).json()
    assert credits(wallet) == ("100", "30")
    story.post(wallet, f"invoices/{invoice['id']}/pay", amount="20.5").raise_for_status()
    assert credits(wallet) == ("100", "50.5")
    assert_ok(wallet.update(config={"allowed_price_types": ["USAGE"]}))
    assert credits(wallet) == ("100", "80")  # 100 - (50.5 of usage - 30.5 paid)
    refused(story.post(wallet, f"invoices/{invoice['id']}/pay", amount=50), 409, "refused", "only 49.5")
    story.post(wallet, "invoices/latest/pay").raise_for_status()
    assert credits(wallet) == ("100", "100")
    assert [i["status"] for i in story.controls.get(f"/wallets/{wallet.id}/invoices").json()["invoices"]] == ["paid"]


def test_payment_first_repays_an_overdraft(story: Story) -> None:
    """A purchase made with credits in hand and paid when overdrawn has only the rest available."""
    wallet = story.create(initial_credits_to_load=10)
    answer = assert_ok(wallet.top_up(credits_to_add=8, transaction_reason="PURCHASED_CREDIT_INVOICED"))
    assert_ok(story.client.post(f"/wallets/{wallet.id}/debit", json=_debit(15)))
    story.post(wallet, "invoices/latest/pay").raise_for_status()
    row = next(row for row in wallet.rows() if row["id"] == answer["wallet_transaction"]["id"])
    assert (row["credits_available"], row["credit_balance_after"], credits(wallet)[0]) == ("3", "3", "3")


def test_credits_paid_for_after_their_expiry_wait_for_the_sweep(story: Story) -> None:
    """They arrive, and the sweep after that takes them: on a quarter of an hour like any."""
    wallet = story.create()
    expiry = (START + timedelta(hours=1)).isoformat()
    bought = {"credits_to_add": 8, "transaction_reason": "PURCHASED_CREDIT_INVOICED", "expiry_date_utc": expiry}
    assert_ok(wallet.top_up(**bought))
    story.advance("9h7m")
    story.post(wallet, "invoices/latest/pay").raise_for_status()
    assert credits(wallet)[0] == "8"
    assert story.advance("7m59s") == []
    assert story.advance("1s") == ["TransactionCreated"]
    assert credits(wallet)[0] == "0"


def test_voided_purchase_never_arrives(story: Story) -> None:
    """Its rows fail, its invoice is gone from the sums, and it cannot be paid any more."""
    wallet = story.create()
    answer = assert_ok(wallet.top_up(credits_to_add=8, transaction_reason="PURCHASED_CREDIT_INVOICED"))
    voided = story.post(wallet, f"invoices/{answer['invoice_id']}/void").raise_for_status().json()
    assert (voided["status"], voided["remaining"]) == ("void", "0")
    assert [row["transaction_status"] for row in wallet.rows()] == ["failed"]
    refused(story.post(wallet, f"invoices/{answer['invoice_id']}/pay"), 409, "refused", "void already")
    assert credits(wallet) == ("0", "0")


def test_persona_pending_can_be_paid(story: Story) -> None:
    """A pending purchase of the fixture file has an invoice like any other."""
    wallet = story.persona("pending")
    story.post(wallet, "invoices/latest/pay").raise_for_status()
    body, _ = wallet.check()
    assert body["credit_balance"] == "100"


# ---------------------------------------------------------------- the tenant's settings


def test_auto_completed_invoices_and_bonus_slabs(other: Story) -> None:
    """Credits bought on invoice are there at once, with the slab's bonus, and the balance grows by the amounts."""
    story = other
    wallet = story.create(topup_conversion_rate="0.5")
    answer = assert_ok(wallet.top_up(credits_to_add=1000, transaction_reason="PURCHASED_CREDIT_INVOICED"))
    assert answer["wallet_transaction"]["transaction_status"] == "completed"
    assert answer["invoice_id"].startswith("inv_")
    assert (answer["wallet"]["credit_balance"], answer["wallet"]["balance"]) == ("1125", "562.5")
    assert story.state(wallet)["unpaid_invoices"] == []
    assert_ok(wallet.top_up(credits_to_add=1))  # puts the balance right
    for amount, bonus in ((99, 0), (100, 5), (999, 5)):
        before = Decimal(credits(wallet)[0])
        assert_ok(wallet.top_up(credits_to_add=amount, transaction_reason="PURCHASED_CREDIT_DIRECT"))
        assert Decimal(credits(wallet)[0]) == before + amount + bonus
    before = Decimal(credits(wallet)[0])
    assert_ok(wallet.top_up(credits_to_add=100, transaction_reason="PURCHASED_CREDIT_DIRECT", bonus_credits_to_add=1))
    assert_ok(wallet.top_up(credits_to_add=100))
    assert Decimal(credits(wallet)[0]) == before + 201  # what is asked for wins over the slab, and grants have none


def test_auto_completed_automatic_top_up_is_one_row(other: Story) -> None:
    """What is bought on invoice is not evaluated, so it does not repeat as a direct one does, however low the wallet is."""
    story = other
    wallet = story.create(
        auto_topup={"enabled": True, "threshold": 50, "amount": 10, "invoicing": True}, initial_credits_to_load=5
    )
    assert credits(wallet)[0] == "15"
    assert_ok(wallet.top_up(credits_to_add=1))
    assert credits(wallet)[0] == "26"
    assert "WalletEvaluated" not in story.kinds()


def test_usage_does_nothing_while_the_tenants_alerts_are_off(other: Story) -> None:
    """Accruing and recorded usage leave alert state and automatic top-up alone; a direct credit looks at both."""
    story = other
    wallet = story.persona("mine")
    assert story.advance("2h") == []
    assert wallet.balance()["alert_state"] == "ok"
    assert story.post(wallet, "usage", amount=10).json()["wallet"]["alert_state"] == "ok"
    answer = assert_ok(wallet.top_up(credits_to_add=1))
    assert answer["wallet"]["alert_state"] == "in_alarm"
    rows = wallet.rows()
    assert [row["credit_amount"] for row in rows] == ["200", "1", "100", "5"]
    assert rows[2]["transaction_reason"] == "PURCHASED_CREDIT_INVOICED"
    assert wallet.stored()["auto_topup"]["cooldown"] == {"value": 2, "unit": "hour"}


# ---------------------------------------------------------------- controls


def test_wallet_state_shows_everything(story: Story) -> None:
    """The wallet as the provider shows it, and what the provider keeps to itself."""
    wallet = story.persona("healthy")
    state = story.controls.get("/wallets/healthy").json()
    assert state == story.state(wallet)
    assert state["wallet"] == wallet.client.get(f"/wallets/{wallet.id}").json()
    assert state["transactions"] == 3
    assert [(row["reason"], row["available"]) for row in state["credits"]] == [
        ("FREE_CREDIT_GRANT", "38.5"),
        ("PURCHASED_CREDIT_DIRECT", "500"),
    ]
    assert (state["usage"], state["unpaid_invoices"]) == ("0", [])


def test_change_sets_everything_at_once(story: Story) -> None:
    """Balance, usage, rate, alerts and automatic top-up by one call, as events."""
    wallet = story.persona("new")
    state = story.change(
        wallet,
        credit_balance="12.5",
        usage=2,
        usage_rate={"amount": 1, "per": "day"},
        alert_settings={"critical": {"threshold": 5}, "warning": {"threshold": 11}},
        auto_topup={"threshold": 1, "amount": 2, "cooldown": "1 day"},
    )
    shown = state["wallet"]
    assert (shown["credit_balance"], shown["alert_state"], state["usage"]) == ("12.5", "warning", "2")
    assert shown["auto_topup"]["cooldown"] == {"value": 1, "unit": "day"}
    assert story.change(wallet, credit_balance=4)["wallet"]["alert_state"] == "in_alarm"
    assert story.change(wallet, auto_topup=None)["wallet"].get("auto_topup") is None
    wallet.check()


@pytest.mark.parametrize(
    ("fields", "status", "mention"),
    [
        ({}, 400, ""),
        ({"credit_balance": "NaN"}, 400, "credit_balance"),
        ({"credit_balance": 1e300}, 409, "digits"),
        ({"credit_balance": "1.0000000001"}, 400, ""),
        ({"usage": -1}, 400, ""),
        ({"usage_rate": {"amount": 1, "per": "year"}}, 400, "per"),
        ({"status": "gone"}, 400, "status"),
        ({"nothing": 1}, 400, "nothing"),
        ({"credit_balance": 1, "status": "closed"}, 409, "either"),
        ({"auto_topup": None, "status": "closed"}, 409, "or auto_topup"),
        ({"usage": 1, "status": "closed"}, 409, "or usage"),
        ({"usage": 7, "alert_settings": {"warning": {"threshold": 1}}}, 409, "needs a critical"),
        ({"usage": 7, "auto_topup": {"threshold": 1, "amount": 0}}, 409, "amount"),
        ({"usage": 7, "credit_balance": "-99999999999.999999999"}, 409, "more than can be stored"),
    ],
    ids=str,
)
def test_bad_changes_are_refused_whole(story: Story, fields: Body, status: int, mention: str) -> None:
    """The error says what is wrong, and nothing of the call is done."""
    wallet = story.persona("rate-2")
    before = story.state(wallet)
    response = story.controls.patch(f"/wallets/{wallet.id}", json=fields)
    refused(response, status, {400: "bad_request", 409: "refused"}[status], mention)
    assert story.state(wallet) == before


def test_status_by_control(story: Story) -> None:
    """Freezing zeroes the real-time balance, unfreezing gives it back, closing is for good."""
    wallet = story.persona("low")
    assert story.change(wallet, status="frozen")["real_time_balance"] == "0"
    assert wallet.balance()["wallet_status"] == "frozen"
    assert_refused(story.client.post(f"/wallets/{wallet.id}/debit", json=_debit(1)), 400, "invalid_operation")
    assert story.change(wallet, status="active")["real_time_balance"] == "2"
    assert story.change(wallet, status="closed")["wallet"]["credit_balance"] == "0"
    refused(story.controls.patch("/wallets/low", json={"status": "active"}), 409, "refused", "closed")


def test_unfreezing_leaves_one_active_wallet(story: Story) -> None:
    """A wallet cannot become active again while the customer has another active one of its kind."""
    frozen = story.create(customer_id="cust_frozen")
    story.change(frozen, status="frozen")
    story.create(customer_id="cust_frozen")
    refused(story.controls.patch(f"/wallets/{frozen.id}", json={"status": "active"}), 409, "refused", "active usd PRE_PAID")


def test_expire_and_refund_by_control(story: Story) -> None:
    """A credit expires now and is swept now; a debit is given back, once."""
    wallet = story.persona("healthy")
    rows = wallet.rows()
    story.post(wallet, f"credits/{rows[1]['id']}/expire").raise_for_status()
    body, after = wallet.check()
    assert (body["credit_balance"], after[-1]["transaction_reason"]) == ("38.5", "CREDIT_EXPIRED")
    refused(story.post(wallet, f"credits/{rows[1]['id']}/expire"), 409, "refused", "no credits left")
    debit = rows[2]["id"]
    story.post(wallet, f"transactions/{debit}/refund", credits=60).raise_for_status()
    refused(story.post(wallet, f"transactions/{debit}/refund", credits=60), 409, "refused", "only 1.5 credits")
    story.post(wallet, f"transactions/{debit}/refund").raise_for_status()
    body, after = wallet.check()
    assert body["credit_balance"] == "100"
    assert {row["transaction_reason"] for row in after[-2:]} == {"INVOICE_VOID_REFUND"}
    assert {row["metadata"]["refunded_transaction_id"] for row in after[-2:]} == {debit}
    refused(story.post(wallet, f"transactions/{rows[0]['id']}/refund"), 409, "refused", "only debits")


def test_unknown_things_are_named(story: Story) -> None:
    """404 with the names that are near."""
    refused(story.controls.get("/wallets/helthy"), 404, "not_found", "healthy")
    wallet = story.persona("low")
    refused(story.post(wallet, "invoices/inv_none/pay"), 404, "not_found", "inv_none")
    refused(story.post(wallet, "credits/wtxn_none/expire"), 404, "not_found", "wtxn_none")
    refused(story.post(wallet, "invoices/latest/void"), 409, "refused", "no unpaid invoice")


def test_member_of_the_population_can_be_changed(story: Story) -> None:
    """Wallets that nobody described are meant as well, by id."""
    found = assert_ok(story.client.post("/wallets/search", json={"limit": 1, "order": "asc"}))["items"][0]
    assert story.change(Wallet(story.client, found["id"]), credit_balance=1)["wallet"]["credit_balance"] == "1"


def _debit(amount: float) -> Body:
    return {"credits": amount, "transaction_reason": "MANUAL_BALANCE_DEBIT", "idempotency_key": f"debit-{next(_sessions)}"}
