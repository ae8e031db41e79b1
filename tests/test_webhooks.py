"""Webhooks: what is told when, how it is signed, in which order it comes, and where it never goes."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Mock, running, start, stop
from flexprice import models
from flexprice_checks import Body, Wallet, assert_ok
from standardwebhooks import Webhook

from contract_tests.source import InputError
from mock_server.assembly import Settings, assemble
from mock_server.event_log import Event
from mock_server.notice import Notice
from mock_server.webhooks import delivery
from mock_server.webhooks.events import WebhookAttempted, WebhooksDrained
from mock_server.webhooks.outbox import MOST_DONE, MOST_PENDING, Outbox
from mock_server.webhooks.settings import WebhookSettings
from mock_server.webhooks.signing import KNOWN_SECRET

SECRET = "whsec_" + base64.b64encode(b"nobody else knows this one").decode()
PATIENCE = 10


@dataclass(frozen=True)
class Received:
    """A request as the listener got it."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        """The message's id."""
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        """The message's type."""
        return str(json.loads(self.body)["event_type"])

    @property
    def at(self) -> datetime:
        """When it was sent, in the world."""
        return datetime.fromtimestamp(int(self.headers["webhook-timestamp"]), UTC)


class Listener:
    """A server on a free port that keeps what it gets; `script` is what it does with the next requests, then it answers 204."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.script: list[int | str] = []
        self.released = threading.Event()
        self._news = threading.Condition()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                with listener._news:
                    listener.received.append(Received(self.path, headers, body))
                    action = listener.script.pop(0) if listener.script else 204
                    listener._news.notify_all()
                if action == "hang":
                    listener.released.wait(PATIENCE)
                elif action == "drip":
                    self.wfile.write(b"HTTP/1.1 204 No Content\r\nx-slow: ")
                    with suppress(OSError):
                        for _ in range(40):
                            listener.released.wait(0.05)
                            self.wfile.write(b"x")
                    self.close_connection = True
                elif action == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                else:
                    self.send_response(int(action))
                    if action == 302:
                        self.send_header("location", "/elsewhere")
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Let go of everything."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for(self, count: int) -> list[Received]:
        """Everything, once it is so many."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.received) >= count, PATIENCE), self.received
            return list(self.received)

    @property
    def types(self) -> list[str]:
        """The types in the order in which they came."""
        return [received.type for received in self.received]


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A listener of a test's own."""
    opened = Listener()
    yield opened
    opened.close()


def answered(response: httpx.Response) -> Any:
    """What a control answers, once it is a 200."""
    assert response.status_code == 200, f"{response.request.method} {response.request.url}: {response.text}"
    return response.json()


class Hooks:
    """The controls of one session's webhooks."""

    def __init__(self, client: httpx.Client, url: str, session: str) -> None:
        self.client = client
        self.session_url = f"{url}/_mock/sessions/{session}"
        self.url = f"{self.session_url}/webhooks"

    def put(self, **settings: Any) -> Body:
        """Other settings."""
        body: Body = answered(self.client.put(self.url, json=settings))
        return body

    def get(self) -> Body:
        """Settings and counts."""
        body: Body = answered(self.client.get(self.url))
        return body

    def drain(self) -> list[Body]:
        """All pending messages."""
        messages: list[Body] = answered(self.client.post(f"{self.url}/drain"))["messages"]
        return messages

    def told(self) -> list[Body]:
        """The payloads of all pending messages."""
        return [json.loads(message["body"]) for message in self.drain()]

    def types(self) -> list[str]:
        """The types of all pending messages."""
        return [message["type"] for message in self.drain()]

    def messages(self) -> list[Body]:
        """All messages that are kept."""
        messages: list[Body] = answered(self.client.get(f"{self.url}/messages"))["messages"]
        return messages

    def freeze(self) -> datetime:
        """Stop the session's clock; returns where it stands."""
        clock = answered(self.client.put(f"{self.session_url}/clock", json={"clock": "frozen"}))
        return datetime.fromisoformat(clock["now"])

    def advance(self, by: str = "0s") -> None:
        """Move the session's clock; what fell due is attempted when this returns."""
        answered(self.client.post(f"{self.session_url}/clock/advance", json={"by": by}))


@pytest.fixture
def hooks(mock: Mock, flexprice: httpx.Client, session: str) -> Hooks:
    """The webhooks of the session of `flexprice`."""
    return Hooks(flexprice, mock.url, session)


def debit(wallet: Wallet, credits: str, key: str) -> None:
    """Take credits out by hand."""
    body = {"credits": credits, "transaction_reason": "MANUAL_BALANCE_DEBIT", "idempotency_key": key}
    assert_ok(wallet.client.post(f"/wallets/{wallet.id}/debit", json=body))


def below(threshold: str) -> Body:
    """Enabled alerts with one threshold."""
    return {"alert_enabled": True, "critical": {"condition": "below", "threshold": threshold}}


# What is told


def test_a_wallets_life(hooks: Hooks, flexprice: httpx.Client) -> None:
    """Each change is told as the provider tells it: initial credits before their wallet, the debit before the end."""
    wallet = Wallet.create(flexprice, initial_credits_to_load="10")
    wallet.update(metadata={"a": "b"})
    wallet.top_up(credits_to_add="5")
    wallet.terminate()

    told = hooks.told()
    assert [body["event_type"] for body in told if ".ongoing_" not in body["event_type"]] == [
        "wallet.transaction.created",
        "wallet.created",
        "wallet.updated",
        "wallet.transaction.created",
        "wallet.transaction.created",
        "wallet.credit_balance.dropped",
        "wallet.terminated",
    ]
    rows = wallet.rows()
    transactions = [body["transaction"] for body in told if body["event_type"] == "wallet.transaction.created"]
    assert [transaction["id"] for transaction in transactions] == [row["id"] for row in rows]
    for transaction, row in zip(transactions, rows, strict=True):
        assert transaction == {name: row[name] for name in transaction}
        assert not {"credits_available", "priority", "idempotency_key"} & set(transaction)
    ended = told[-1]["wallet"]
    assert (ended["wallet_status"], ended["balance"], ended["credit_balance"]) == ("closed", "0", "0")
    assert ended == {name: wallet.stored()[name] for name in ended}
    assert set(ended) == {
        "id",
        "customer_id",
        "currency",
        "balance",
        "credit_balance",
        "wallet_status",
        "name",
        "wallet_type",
        "conversion_rate",
    }


def test_what_is_not_told(hooks: Hooks, flexprice: httpx.Client) -> None:
    """No bonus, no purchase that is not paid and no refusal is told; a wallet without credits is told alone."""
    wallet = Wallet.create(flexprice)
    assert hooks.types() == ["wallet.created"]
    assert_ok(wallet.top_up(credits_to_add="5", transaction_reason="PURCHASED_CREDIT_INVOICED", bonus_credits_to_add="1"))
    assert hooks.types() == []
    assert_ok(wallet.top_up(credits_to_add="5", bonus_credits_to_add="1"))
    assert hooks.types().count("wallet.transaction.created") == 1
    assert wallet.top_up(credits_to_add="-5").status_code == 400
    assert hooks.types() == []


def test_a_purchase_that_is_paid(hooks: Hooks, flexprice: httpx.Client) -> None:
    """Paying the invoice tells of the completed row, and not of its bonus."""
    wallet = Wallet.create(flexprice)
    bought = assert_ok(
        wallet.top_up(credits_to_add="5", transaction_reason="PURCHASED_CREDIT_INVOICED", bonus_credits_to_add="1")
    )
    hooks.drain()
    answered(flexprice.post(f"{hooks.session_url}/wallets/{wallet.id}/invoices/{bought['invoice_id']}/pay", json={}))

    told = hooks.told()
    updated = [body for body in told if body["event_type"] == "wallet.transaction.updated"]
    assert [body["updated_transaction"]["id"] for body in updated] == [bought["wallet_transaction"]["id"]]
    assert updated[0]["updated_transaction"]["transaction_status"] == "completed"
    assert not [body for body in told if body["event_type"] == "wallet.transaction.created"]


def test_stored_credits_drop_and_recover(hooks: Hooks, flexprice: httpx.Client) -> None:
    """A stored balance of nothing is told once, and its end once, though nobody enabled alerts and the state stays ok."""
    wallet = Wallet.create(flexprice, initial_credits_to_load="10")
    hooks.drain()
    debit(wallet, "9", "hooks-1")
    debit(wallet, "1", "hooks-2")
    debit(wallet, "1", "hooks-3")
    wallet.top_up(credits_to_add="5")

    told = [body for body in hooks.told() if "credit_balance" in body["event_type"]]
    assert [body["event_type"] for body in told] == ["wallet.credit_balance.dropped", "wallet.credit_balance.recovered"]
    assert [body["wallet"]["credit_balance"] for body in told] == ["0", "4"]
    assert not any("alert" in body for body in told)
    assert wallet.stored()["alert_state"] == "ok"


def test_a_new_wallet_has_not_recovered(hooks: Hooks, flexprice: httpx.Client) -> None:
    """The first credits of an empty wallet end no alarm."""
    Wallet.create(flexprice).top_up(credits_to_add="5")

    assert not [type for type in hooks.types() if type.endswith("recovered")]


def test_real_time_alerts(hooks: Hooks, flexprice: httpx.Client) -> None:
    """The alarm and its end are told with the wallet's settings, states in between are not, and each look tells the balance."""
    settings = below("5") | {"warning": {"condition": "below", "threshold": "8"}}
    wallet = Wallet.create(flexprice, initial_credits_to_load="20", conversion_rate="2", alert_settings=settings)
    hooks.drain()
    for number, credits in enumerate(("13", "3", "1")):  # warning, in_alarm, in_alarm
        debit(wallet, credits, f"alerts-{number}")
    wallet.top_up(credits_to_add="50")

    told = [body for body in hooks.told() if "ongoing_balance" in body["event_type"]]
    assert [body["event_type"].removeprefix("wallet.ongoing_balance.") for body in told] == [
        "updated",
        "dropped",
        "updated",
        "updated",
        "recovered",
        "updated",
    ]
    assert told[1]["alert"] == {
        "state": "in_alarm",
        "current_balance": "8",
        "credit_balance": "4",
        "alert_type": "low_ongoing_balance",
        "alert_settings": {
            "critical": {"threshold": "5", "condition": "below"},
            "warning": {"threshold": "8", "condition": "below"},
            "info": None,
            "alert_enabled": True,
        },
    }
    assert [body["alert"]["state"] for body in told] == ["warning", "in_alarm", "in_alarm", "in_alarm", "ok", "ok"]


@pytest.mark.parametrize(("rate", "told"), [("1", 1), ("2", 2)])
def test_a_balance_that_stays(hooks: Hooks, flexprice: httpx.Client, rate: str, told: int) -> None:
    """A look that finds the same balance is not told, unless credits and money differ, which the provider compares."""
    wallet = Wallet.create(flexprice, initial_credits_to_load="20", conversion_rate=rate, alert_settings=below("5"))
    hooks.drain()
    for _ in range(2):
        answered(flexprice.patch(f"{hooks.session_url}/wallets/{wallet.id}", json={"usage": "3"}))

    assert hooks.types() == ["wallet.ongoing_balance.updated"] * told


def test_an_alarm_that_a_fixture_begins_with(hooks: Hooks, flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """A persona in alarm is in it already: more of it is no news, its end is."""
    wallet = Wallet(flexprice, wallet_ids["in-alarm"])
    wallet.top_up(credits_to_add="0.01")
    assert [type for type in hooks.types() if type.endswith("dropped")] == []
    wallet.top_up(credits_to_add="100000")
    assert "wallet.ongoing_balance.recovered" in hooks.types()


def test_alerts_that_are_not_enabled(hooks: Hooks, flexprice: httpx.Client) -> None:
    """A wallet that switched its alerts off is not looked at in real time."""
    wallet = Wallet.create(flexprice, alert_settings=below("5") | {"alert_enabled": False})
    wallet.top_up(credits_to_add="3")

    assert not [type for type in hooks.types() if "ongoing" in type]


def test_alerts_that_are_switched_off_in_alarm(hooks: Hooks, flexprice: httpx.Client) -> None:
    """An alarm does not end because nobody wants to hear of it, even if automatic top-up still has the balance looked at."""
    topup = {"enabled": True, "threshold": 1, "amount": 1, "invoicing": False}
    wallet = Wallet.create(flexprice, alert_settings=below("5"), auto_topup=topup)
    wallet.top_up(credits_to_add="3")
    wallet.update(alert_settings=below("5") | {"alert_enabled": False})
    wallet.top_up(credits_to_add="50")

    told = [type.removeprefix("wallet.ongoing_balance.") for type in hooks.types() if "ongoing" in type]
    assert told == ["dropped", "updated", "updated"]


# How it goes out


def test_messages_come_signed_and_in_order(listener: Listener, hooks: Hooks, flexprice: httpx.Client) -> None:
    """Everything that happened comes once, oldest first, as the Standard Webhooks library wants it."""
    hooks.put(url=listener.url, secret=SECRET)
    wallet = Wallet.create(flexprice)
    for number in range(5):
        wallet.top_up(credits_to_add=str(number + 1))
    wallet.terminate()
    counts = hooks.get()["counts"]
    got = listener.wait_for(counts["pending"] + counts["delivered"])

    amounts = [json.loads(r.body)["transaction"]["credit_amount"] for r in got if r.type == "wallet.transaction.created"]
    assert amounts == ["1", "2", "3", "4", "5", "15"]
    assert (got[0].type, got[-1].type) == ("wallet.created", "wallet.terminated")
    assert len({received.id for received in got}) == len(got)
    for received in got:
        assert received.path == "/hook"
        assert received.headers["content-type"] == "application/json"
        assert Webhook(SECRET).verify(received.body, received.headers) == json.loads(received.body)
        with pytest.raises(Exception, match="No matching signature"):
            Webhook(KNOWN_SECRET).verify(received.body, received.headers)
        with pytest.raises(Exception, match="No matching signature"):
            Webhook(SECRET).verify(received.body + " ", received.headers)


def test_a_message_is_retried_on_the_worlds_clock(listener: Listener, hooks: Hooks, flexprice: httpx.Client) -> None:
    """At once, then 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h later; then it has failed, and only then comes the next one."""
    began = hooks.freeze()
    hooks.put(url=listener.url, types=["wallet.created", "wallet.updated"])  # personas whose usage accrues tell more
    listener.script = [500, 302, 404, "reset", 503, 500, 500, 500]
    wallet = Wallet.create(flexprice)
    wallet.update(metadata={"a": "b"})
    hooks.advance()
    assert len(listener.received) == 1
    hooks.advance("4s")
    assert len(listener.received) == 1
    hooks.advance("1s")
    assert len(listener.received) == 2
    first = hooks.messages()[0]
    assert (first["state"], first["attempts"], first["status"]) == ("pending", 2, 302)
    hooks.advance("2d")

    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    gaps = [timedelta(seconds=5), 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 10 * hour]
    tried = listener.received[:8]
    assert {received.id for received in tried} == {tried[0].id}
    assert len({received.headers["webhook-signature"] for received in tried}) == 8
    assert tried[0].at == began.replace(microsecond=0)
    assert [later.at - earlier.at for earlier, later in pairwise(tried)] == gaps
    assert listener.types[8:] == ["wallet.updated"]
    assert listener.received[8].at == tried[-1].at
    assert [(message["state"], message["attempts"]) for message in hooks.messages()] == [("failed", 8), ("delivered", 1)]
    assert hooks.get()["counts"] == {"pending": 0, "delivered": 1, "failed": 1, "dropped": 0}


def test_an_advance_waits_for_what_fell_due(listener: Listener, hooks: Hooks, flexprice: httpx.Client) -> None:
    """On a running clock as well: what was moved over has been attempted at its own time when the answer comes."""
    hooks.put(url=listener.url, delay="1h", types=["wallet.created", "wallet.updated"])
    Wallet.create(flexprice).update(metadata={"a": "b"})
    assert listener.received == []
    listener.script = [500]
    hooks.advance("2h")

    assert listener.types == ["wallet.created", "wallet.created", "wallet.updated"]
    assert listener.received[1].at - listener.received[0].at == timedelta(seconds=5)


def test_a_delay_on_a_running_clock(listener: Listener, hooks: Hooks, flexprice: httpx.Client) -> None:
    """A message goes out when its time has come, with no request to wake it."""
    hooks.put(url=listener.url, delay="150ms")
    Wallet.create(flexprice)

    assert [received.type for received in listener.wait_for(1)] == ["wallet.created"]


def test_what_happens_by_itself(listener: Listener, hooks: Hooks, flexprice: httpx.Client) -> None:
    """Where somebody listens, usage that brings a wallet to its threshold is told in time, with no request to wake it."""
    hooks.put(url=listener.url, types=["wallet.ongoing_balance.dropped"])
    wallet = Wallet.create(flexprice, initial_credits_to_load="10", alert_settings=below("9.8"))
    rate = {"usage_rate": {"amount": "3600", "per": "hour"}}
    answered(flexprice.patch(f"{hooks.session_url}/wallets/{wallet.id}", json=rate))

    [received] = listener.wait_for(1)
    assert json.loads(received.body)["wallet"]["id"] == wallet.id
    assert Decimal(json.loads(received.body)["alert"]["credit_balance"]) <= Decimal("9.8")


def test_duplicates(listener: Listener, hooks: Hooks, flexprice: httpx.Client) -> None:
    """Each message comes twice, with the same id, and both are drained as well."""
    hooks.freeze()
    hooks.put(url=listener.url, duplicate=True)
    wallet = Wallet.create(flexprice)
    wallet.update(metadata={"a": "b"})
    hooks.advance()
    assert listener.types == ["wallet.created", "wallet.created", "wallet.updated", "wallet.updated"]
    assert len({received.id for received in listener.received}) == 2
    assert hooks.get()["counts"]["delivered"] == 2

    hooks.put(url=None, duplicate=True)
    wallet.update(metadata={"a": "c"})
    assert [message["id"] for message in hooks.drain()] == [hooks.messages()[-1]["id"]] * 2


def test_reordering(listener: Listener, hooks: Hooks, flexprice: httpx.Client) -> None:
    """Of two messages the second comes first; one that stays alone comes five seconds later."""
    hooks.freeze()
    hooks.put(url=listener.url, reorder=True)
    wallet = Wallet.create(flexprice)
    for number in range(4):
        wallet.update(metadata={"n": str(number)})
    hooks.advance()
    assert listener.types == ["wallet.updated", "wallet.created", "wallet.updated", "wallet.updated"]
    hooks.advance("4s")
    assert len(listener.received) == 4
    hooks.advance("1s")
    assert listener.types == ["wallet.updated", "wallet.created", "wallet.updated", "wallet.updated", "wallet.updated"]

    hooks.put(url=None, reorder=True, types=["wallet.transaction.created"])
    for credits in ("1", "2", "3", "4"):
        wallet.top_up(credits_to_add=credits)
    told = [body["transaction"]["credit_amount"] for body in hooks.told()]
    assert told == ["2", "1", "4", "3"]


def test_types_and_off(hooks: Hooks, flexprice: httpx.Client) -> None:
    """Only messages of the wanted types are made; switched off, none."""
    hooks.put(types=["wallet.updated"])
    wallet = Wallet.create(flexprice)
    wallet.update(metadata={"a": "b"})
    assert hooks.types() == ["wallet.updated"]
    hooks.put(enabled=False)
    wallet.update(metadata={"a": "c"})
    assert hooks.types() == []
    assert flexprice.delete(hooks.url).status_code == 204
    wallet.update(metadata={"a": "d"})
    assert hooks.types() == ["wallet.updated"]


def test_draining(hooks: Hooks, flexprice: httpx.Client) -> None:
    """Without a listener all pending messages can be taken, once, just as they would be sent; delays do not hold them."""
    hooks.put(delay="1h", secret=SECRET)
    wallet = Wallet.create(flexprice)
    wallet.update(metadata={"a": "b"})
    drained = hooks.drain()

    assert [message["type"] for message in drained] == ["wallet.created", "wallet.updated"]
    for message in drained:
        assert set(message["headers"]) == {"content-type", "webhook-id", "webhook-timestamp", "webhook-signature"}
        assert message["headers"]["webhook-id"] == message["id"]
        assert Webhook(SECRET).verify(message["body"], message["headers"])["event_type"] == message["type"]
    assert hooks.drain() == []
    assert [message["state"] for message in hooks.messages()] == ["delivered"] * 2
    flexprice.delete(hooks.url)
    wallet.update(metadata={"a": "c"})
    [message] = hooks.drain()
    Webhook(KNOWN_SECRET).verify(message["body"], message["headers"])


def test_the_known_secret_is_documented() -> None:
    """Whoever sets nothing up finds what messages are signed with."""
    assert f"`{KNOWN_SECRET}`" in (Path(__file__).parent.parent / "docs" / "webhooks.md").read_text("utf-8")


def test_sending_again(listener: Listener, hooks: Hooks, flexprice: httpx.Client) -> None:
    """A message that is done can be sent again under its old id; one that nobody knows is a 404."""
    hooks.freeze()
    Wallet.create(flexprice)
    [message] = hooks.drain()
    hooks.put(url=listener.url)
    again = answered(flexprice.post(f"{hooks.url}/messages/{message['id']}/resend"))
    assert (again["id"], again["state"]) == (message["id"], "pending")
    hooks.advance()
    assert [(received.id, received.body) for received in listener.received] == [(message["id"], message["body"])]
    assert [kept["state"] for kept in hooks.messages()] == ["delivered"]
    unknown = flexprice.post(f"{hooks.url}/messages/msg_{'0' * 26}/resend")
    assert (unknown.status_code, unknown.json()["error"]) == (404, "not_found")


def test_the_same_requests_make_the_same_messages(listener: Listener, hooks: Hooks, flexprice: httpx.Client) -> None:
    """Ids, times and signatures repeat after a reset, and do not depend on whether somebody listens."""

    def run(url: str | None) -> list[tuple[str, str, str]]:
        flexprice.post(f"{hooks.session_url}/reset")
        answered(flexprice.put(f"{hooks.session_url}/clock", json={"clock": "frozen:2027-01-01T00:00:00Z"}))
        hooks.put(url=url)
        wallet = Wallet(flexprice, assert_ok(flexprice.post("/wallets", json={"currency": "usd", "customer_id": "c"}))["id"])
        hooks.advance()  # with a listener, attempts are events by now
        wallet.top_up(credits_to_add="5", idempotency_key="repeat")
        hooks.advance()
        if url is None:
            return [(m["id"], m["headers"]["webhook-signature"], m["body"]) for m in hooks.drain()]
        return [(r.id, r.headers["webhook-signature"], r.body) for r in listener.received]

    assert run(None) == run(None) == run(listener.url)


# Where it never goes


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://169.254.169.254/latest/meta-data", 409),
        ("http://hooks.example/x", 409),
        ("http://localhost.hooks.example/", 409),
        ("http://127.0.0.1.hooks.example/", 409),
        ("http://0.0.0.0:80/", 409),
        ("http://[::]/", 409),
        ("http://[::ffff:169.254.169.254]/", 409),
        ("http://0x7f.1/", 409),
        ("http://2130706433/", 409),
        ("http://user:pass@localhost/", 409),
        ("http://127.0.0.1\\@hooks.example/", 409),
        ("http://127.0.0.1:99999/", 409),
        ("http://127.0.0.1:0/", 409),
        ("http://local\thost/", 409),
        ("http://\u2603/", 409),
        ("file:///etc/passwd", 400),
        ("ftp://localhost/", 400),
        ("//localhost/", 400),
        ("", 400),
        ("http://localhost/" + "x" * 2000, 400),
    ],
)
def test_hosts_that_were_not_configured(hooks: Hooks, url: str, status: int) -> None:
    """Only this machine, and what the server was started with; anything else is refused with a reason and changes nothing."""
    before = hooks.get()
    response = hooks.client.put(hooks.url, json={"url": url})

    assert response.status_code == status, response.text
    assert response.json()["message"]
    assert hooks.get() == before


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "[::1]", "LOCALHOST"])
def test_this_machine_is_always_good(hooks: Hooks, host: str) -> None:
    """Every plain way to name loopback."""
    assert hooks.put(url=f"http://{host}:9/x", enabled=False)["url"] == f"http://{host}:9/x"


@pytest.mark.parametrize(
    "settings",
    [
        {"secret": "whsec_"},
        {"secret": "plain"},
        {"secret": "whsec_dGVzdA"},
        {"delay": "-5s"},
        {"delay": "soon"},
        {"delay": 5},
        {"types": ["wallet.nothing"]},
        {"duplicate": 1},
        {"colour": "red"},
        {"url": 7},
        [],
    ],
)
def test_settings_that_are_none(hooks: Hooks, settings: Any) -> None:
    """A 400, and nothing has changed."""
    before = hooks.get()

    assert hooks.client.put(hooks.url, json=settings).status_code == 400
    assert hooks.get() == before


def test_secrets_are_nowhere(hooks: Hooks, flexprice: httpx.Client) -> None:
    """Neither settings nor messages, events, export, journal or session tell a secret."""
    hooks.put(secret=SECRET)
    Wallet.create(flexprice)
    hooks.drain()
    texts = [
        flexprice.get(f"{hooks.session_url}{path}")
        for path in ("/webhooks", "/webhooks/messages", "/export", "/journal", "/snapshots", "")
    ]

    assert [text.status_code for text in texts] == [200] * 6
    for text in texts:
        assert SECRET not in text.text
        assert SECRET.removeprefix("whsec_") not in text.text
    assert hooks.get()["signed_with"] == "session"


def test_a_secret_ends_with_its_session(hooks: Hooks, flexprice: httpx.Client) -> None:
    """Loaded again after its end, a session is signed with the server's secret; taking back an event keeps its own."""
    hooks.put(secret=SECRET)
    Wallet.create(flexprice).update(metadata={"a": "b"})
    answered(flexprice.post(f"{hooks.session_url}/undo", json={"events": 1}))
    exported = flexprice.get(f"{hooks.session_url}/export").content
    [message] = hooks.drain()
    Webhook(SECRET).verify(message["body"], message["headers"])
    flexprice.delete(hooks.session_url)
    answered(flexprice.put(f"{hooks.session_url}/import", content=exported, headers={"content-type": "application/json"}))

    [message] = hooks.drain()
    Webhook(KNOWN_SECRET).verify(message["body"], message["headers"])


def test_sessions_have_their_own_listeners(mock: Mock, listener: Listener, hooks: Hooks, flexprice: httpx.Client) -> None:
    """What one session has set is nothing to another; a session that ended sends nothing any more."""
    other = Hooks(flexprice, mock.url, "webhooks-other")
    hooks.put(url=listener.url, delay="100ms")
    headers = {"x-mock-session": "webhooks-other"}
    assert_ok(flexprice.post("/wallets", json={"currency": "usd", "customer_id": "cust_other"}, headers=headers))
    assert other.get()["counts"]["pending"] == 1
    Wallet.create(flexprice)
    assert flexprice.delete(hooks.session_url).status_code == 204
    other.put(url=listener.url, delay="300ms", secret=SECRET)
    assert_ok(flexprice.post("/wallets", json={"currency": "eur", "customer_id": "cust_other"}, headers=headers))

    got = listener.wait_for(2)
    for received in got:
        assert json.loads(received.body)["wallet"]["customer_id"] == "cust_other"
        Webhook(SECRET).verify(received.body, received.headers)
    assert hooks.get()["counts"]["pending"] == 0
    assert "url" not in hooks.get()


def test_a_server_with_a_listener(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started with a URL every session sends there, past any proxy, signed with its secret; other named hosts are good too."""
    monkeypatch.setenv("WALLETPROOF_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with (
        running("--webhook", listener.url, "--webhook-host", "Hooks.example", "--webhook-host", "10.1.2.3") as mock,
        httpx.Client(base_url=f"{mock.url}/v1", headers={"x-api-key": "test"}, trust_env=False) as client,
    ):
        assert SECRET not in mock.banner
        hooks = Hooks(client, mock.url, "default")
        assert (hooks.get()["url"], hooks.get()["signed_with"]) == (listener.url, "server")
        Wallet.create(client)
        [received] = listener.wait_for(1)
        Webhook(SECRET).verify(received.body, received.headers)
        assert hooks.put(delay="1h")["url"] == listener.url
        assert "url" not in hooks.put(url=None)
        for host in ("hooks.example", "HOOKS.EXAMPLE:8443", "10.1.2.3"):
            hooks.put(url=f"https://{host}/x", enabled=False)
        assert client.put(hooks.url, json={"url": "http://10.1.2.4/"}).status_code == 409


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(webhook="file:///etc/passwd"), "--webhook: expected a URL that begins with http"),
        (Settings(webhook="http://a:secret-word@localhost/"), "--webhook: a URL with user or password"),
        (Settings(webhook_hosts=("http://x/",)), "--webhook-host http://x/: expected the name"),
        (Settings(webhook_hosts=("x:80",)), "--webhook-host x:80: expected the name"),
        (Settings(webhook_secret="secret-word"), "--webhook-secret: a webhook secret is whsec_"),
    ],
)
def test_options_that_are_none(settings: Settings, said: str) -> None:
    """The server does not start, says why, and tells no secret."""
    with pytest.raises(InputError) as refused:
        assemble(settings)
    assert str(refused.value).startswith(said)
    assert "secret-word" not in str(refused.value)


def test_a_server_stops_while_it_delivers(listener: Listener) -> None:
    """Neither a listener that hangs nor a message that waits for its time keeps the server from stopping, or is complained of."""
    mock = start()
    try:
        with httpx.Client(base_url=f"{mock.url}/v1", headers={"x-api-key": "test"}) as client:
            listener.script = ["hang"]
            Hooks(client, mock.url, "default").put(url=listener.url)
            Wallet.create(client)
            listener.wait_for(1)
            Hooks(client, mock.url, "later").put(url=listener.url, delay="1h")
            client.headers["x-mock-session"] = "later"
            Wallet.create(client)
    finally:
        began = time.monotonic()
        logged = stop(mock)
    assert logged == ""
    assert time.monotonic() - began < 3


def test_a_listener_that_hangs(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its time and no more, even if it goes on answering all the while."""
    monkeypatch.setattr(delivery, "TIMEOUT", 0.2)
    listener.script = ["hang", "drip"]

    async def run() -> list[Body]:
        transport = httpx.ASGITransport(assemble(Settings()).app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers={"x-api-key": "t"}) as client:
            sessions = "/_mock/sessions/default"
            await client.put(f"{sessions}/clock", json={"clock": "frozen"})
            (await client.put(f"{sessions}/webhooks", json={"url": listener.url})).raise_for_status()
            (await client.post("/v1/wallets", json={"currency": "usd", "customer_id": "c"})).raise_for_status()
            (await client.post(f"{sessions}/clock/advance", json={"by": "5s"})).raise_for_status()
            messages: list[Body] = (await client.get(f"{sessions}/webhooks/messages")).json()["messages"]
            return messages

    [message] = asyncio.run(run())
    assert (message["state"], message["attempts"]) == ("pending", 2)
    assert message["problem"] == "no answer within 0.2 seconds"


def test_a_loaded_session_reaches_no_other_host(hooks: Hooks, flexprice: httpx.Client) -> None:
    """A URL that came with somebody else's log is looked at again before anything is sent."""
    hooks.freeze()
    hooks.put(url="http://127.0.0.1:9/x")
    Wallet.create(flexprice)
    exported = flexprice.get(f"{hooks.session_url}/export").text
    imported = exported.replace("http://127.0.0.1:9/x", "http://169.254.169.254/x")
    assert imported != exported
    flexprice.put(
        f"{hooks.session_url}/import", content=imported, headers={"content-type": "application/json"}
    ).raise_for_status()
    hooks.advance("5s")

    first = hooks.messages()[0]
    assert "169.254.169.254 is not configured" in first["problem"]
    assert "status" not in first


# The fold


def test_the_outbox_is_bounded() -> None:
    """So many pending messages and so many that are done, whatever happens; the oldest are given up and counted."""
    outbox = Outbox()
    notice = Notice("wallet.updated", dict)
    at = datetime(2027, 1, 1, tzinfo=UTC)
    for _ in range(MOST_PENDING + 50):
        outbox.apply(Event(at=at), [notice])
    assert (len(outbox.pending), outbox.dropped) == (MOST_PENDING, 50)
    assert outbox.pending[0].number == 51
    outbox.apply(WebhooksDrained(at=at), [])
    assert (len(outbox.pending), len(list(outbox.messages())), outbox.delivered) == (0, MOST_DONE, MOST_PENDING)


def test_attempts_of_messages_that_are_gone() -> None:
    """A log that was made under other settings can be folded: what it says of unknown messages is nothing."""
    outbox = Outbox(WebhookSettings(url="http://127.0.0.1:9/"))
    at = datetime(2027, 1, 1, tzinfo=UTC)
    outbox.apply(WebhookAttempted(at=at, message=7, moment=at, ok=True, status=200), [])

    assert (outbox.delivered, outbox.due) == (0, None)


def test_the_providers_sdk_reads_them(hooks: Hooks, flexprice: httpx.Client) -> None:
    """What is told has the shape that the provider's own SDK has for it, and nothing that the SDK does not know."""
    shapes = {
        "transaction": models.WebhookDtoTransactionWebhookPayload,
        "updated_transaction": models.WebhookDtoTransactionUpdatedWebhookPayload,
        "wallet": models.WebhookDtoWalletWebhookPayload,
    }
    wallet = Wallet.create(flexprice, initial_credits_to_load="10", alert_settings=below("5"))
    bought = assert_ok(wallet.top_up(credits_to_add="5", transaction_reason="PURCHASED_CREDIT_INVOICED"))
    answered(flexprice.post(f"{hooks.session_url}/wallets/{wallet.id}/invoices/{bought['invoice_id']}/pay", json={}))
    wallet.terminate()

    told = hooks.told()
    for body in told:
        shape = shapes[next(name for name in shapes if name in body)]
        read = shape.model_validate(body).model_dump(mode="json", by_alias=True)
        for name, part in body.items():
            assert name in read
            assert isinstance(part, str) or set(part) <= set(read[name]), (name, part)
    assert {name for body in told for name in body} == {"event_type", "alert", *shapes}


def test_decimals_are_text(hooks: Hooks, flexprice: httpx.Client) -> None:
    """No number of money is a JSON number, and none has an exponent."""
    wallet = Wallet.create(flexprice, initial_credits_to_load="0.000000001", conversion_rate="0.5", alert_settings=below("5"))
    wallet.terminate()

    def numbers(node: Any) -> Iterator[Any]:
        if isinstance(node, dict):
            for value in node.values():
                yield from numbers(value)
        elif isinstance(node, int | float | Decimal) and not isinstance(node, bool):
            yield node

    told = hooks.told()
    assert len(told) > 4
    assert list(numbers(told)) == []
    assert '"0.000000001"' in json.dumps(told)
