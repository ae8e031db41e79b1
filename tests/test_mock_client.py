"""The Python client of the controls: each method reaches its control and gives what it answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import yaml
from conftest import Mock, running

from contract_tests.mock_client import ControlError, MockClient, NotExpected, Session

ROOT = Path(__file__).parent.parent


@pytest.fixture
def mine(mock: Mock, session: str) -> Iterator[Session]:
    """The controls of this test's session."""
    with MockClient(mock.url) as client:
        yield client.session(session)


def test_a_wallet_through_its_days(mine: Session) -> None:
    """Usage, invoices, credits and refunds, each seen in the wallet's state."""
    mine.set_clock("frozen:2026-11-21T12:00:00Z")
    wallet = mine.wallet("new")
    assert wallet.set(credit_balance=Decimal("100.5"))["wallet"]["credit_balance"] == "100.5"
    assert wallet.use("0.5")["real_time_balance"] == "100"
    invoice = wallet.create_invoice(40, usage=40)
    assert [known["id"] for known in wallet.invoices()] == [invoice["id"]]
    assert wallet.pay_invoice(amount="15.5")["remaining"] == "24.5"
    wallet.pay_invoice(invoice["id"])
    other = wallet.create_invoice(1)
    wallet.void_invoice(other["id"])
    assert wallet.get()["unpaid_invoices"] == []
    wallet.set(credit_balance=60)
    debit = mine.events()[-1]["transaction"]
    assert debit["type"] == "debit"
    assert wallet.refund(debit["id"], 10)["wallet"]["credit_balance"] == "70"
    credit = wallet.get()["credits"][0]
    after = wallet.expire(credit["id"])
    assert Decimal(after["wallet"]["credit_balance"]) == 70 - Decimal(credit["available"])


def test_polar_customers(mine: Session) -> None:
    """A customer with a wallet and a token that reads it, until it is expired."""
    customer = mine.polar.add_customer("carol")
    wallet = mine.polar.add_wallet("carol", currency="eur", balance=5)
    mine.polar.add_transaction(wallet["id"], 20)
    token = mine.polar.issue_token("carol", expires_in="5m")["token"]

    def read() -> httpx.Response:
        url = f"{mine.mock.url}/v1/customer-portal/wallets/{wallet['id']}"
        return httpx.get(url, headers={"authorization": f"Bearer {token}", **mine.headers})

    assert read().json()["balance"] == 25
    mine.polar.set_balance(wallet["id"], 7)
    assert read().json()["balance"] == 7
    mine.polar.expire_tokens("carol")
    assert read().status_code == 401
    assert customer["id"] in [known["id"] for known in mine.polar.customers()]


def test_faults_scenarios_and_webhooks(mine: Session) -> None:
    """They are started, listed and stopped."""
    wallet = mine.mock.personas()["flexprice/healthy"]["ids"]["wallet"]
    url = f"{mine.mock.url}/v1/wallets/{wallet}"
    headers = {"x-api-key": "k", **mine.headers}
    mine.set_fault(fault="error", code=503, operation="getWallet")
    assert httpx.get(url, headers=headers).status_code == 503
    mine.clear_faults()
    assert httpx.get(url, headers=headers).status_code == 200
    mine.start_scenario("drained")
    assert [running["name"] for running in mine.scenarios()] == ["drained"]
    mine.stop_scenarios()
    mine.wallet("healthy").set(credit_balance=5)
    assert "wallet.transaction.created" in [json.loads(message["body"])["event_type"] for message in mine.drain()]
    assert mine.drain() == []
    assert mine.set_webhooks(enabled=False)


def test_expectations_show_what_was_called_instead(mine: Session) -> None:
    """An expectation that fails names the nearest calls, and how they differ."""
    wallet = mine.mock.personas()["flexprice/healthy"]["ids"]["wallet"]
    for name in ("Blue", "Red"):
        httpx.put(f"{mine.mock.url}/v1/wallets/{wallet}", json={"name": name}, headers={"x-api-key": "k", **mine.headers})
    assert mine.expect("updateWallet", times=2) == [1, 2]
    with pytest.raises(NotExpected, match=r"(?s)expected .*1 of updateWallet, found 0.*#\d PUT .*Red"):
        mine.expect("updateWallet", where={"body": {"name": "Green"}})
    assert [entry["number"] for entry in mine.journal(operation="updateWallet")] == [1, 2]


def test_errors_say_what_was_asked_and_why_it_was_refused(mine: Session) -> None:
    """A refusal has the control, the status and the mock's words; without a mock, the address."""
    with pytest.raises(ControlError, match=r"POST /_mock/sessions/.*/undo: 409: only 0 events"):
        mine.undo()
    with (
        MockClient("http://127.0.0.1:1") as nobody,
        pytest.raises(ControlError, match=r"no mock answers at http://127\.0\.0\.1:1"),
    ):
        nobody.personas()
    with MockClient("not a url") as nowhere, pytest.raises(ControlError, match="no mock answers"):
        nowhere.personas()


def test_the_token_is_sent_and_never_shown() -> None:
    """With the server's token the controls answer; without, the refusal does not have it."""
    with running("--control-token", "s3cret") as mock:
        with MockClient(mock.url, token="s3cret") as client:
            client.session("x").advance("1h")
        with MockClient(mock.url, token="wrong-token") as client, pytest.raises(ControlError) as refusal:
            client.session("x").advance("1h")
    assert "401" in str(refusal.value)
    assert "wrong-token" not in str(refusal.value)


def test_every_control_is_in_the_docs_page(mock: Mock) -> None:
    """One page has every operation of the providers and the controls, and runs no script."""
    page = httpx.get(f"{mock.url}/_mock/docs")
    controls = yaml.safe_load((ROOT / "openapi" / "control.yaml").read_text("utf-8"))
    ids = [
        operation["operationId"]
        for item in controls["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert [name for name in [*ids, "getWalletBalance", "topUpWallet"] if f"<code>{name}</code>" not in page.text] == []
    assert "customer_portal:wallets:list" in page.text
    assert "<script" not in page.text


def test_the_javascript_recipe_names_controls_that_exist() -> None:
    """Every path in the recipe is one of the controls, with that method."""
    recipe = (ROOT / "docs" / "recipes" / "mock-controls.mjs").read_text("utf-8")
    controls = yaml.safe_load((ROOT / "openapi" / "control.yaml").read_text("utf-8"))["paths"]
    used = re.findall(r"call\('([A-Z]+)', ('[^']*'|`[^`]*`|base|wallet\(id\))[,)]", recipe)
    assert len(used) >= 15
    meanings = {"wallet(id)": "base/wallets/{wallet}", "base": "/sessions/{session}", "/snapshot/": "/{snapshot}/"}
    for method, path in used:
        whole = path.strip("`'").replace("${", "").replace("}", "")
        for name, meaning in meanings.items():
            whole = whole.replace(name, meaning)
        whole = re.sub("/snapshot$", "/{snapshot}", whole)
        assert method.lower() in controls[f"/_mock{whole}"], (method, path)
