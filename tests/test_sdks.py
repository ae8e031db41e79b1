"""The providers' own Python SDKs, unmodified, against the running mock."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import polar.v2026_04
import polar.v2026_04.errors
import polar.v2026_10
import polar.v2027_01
import pytest
from conftest import Mock
from flexprice import Flexprice, models
from flexprice.models.errors import ErrorResponse, FlexpriceDefaultError
from flexprice_checks import Wallet
from polar import PolarClientError, PolarDeserializationError

from contract_tests.mock_client import MockClient, Session
from mock_server.faults.fault import SURPRISES

NOBODY = "wallet_00000000000000000000000000"
UNKNOWN = "9f0c7a44-6a3c-4d5e-8b1a-0123456789ab"


# ---------------------------------------------------------------- flexprice


@pytest.fixture
def sdk(mock: Mock, session: str) -> Iterator[Flexprice]:
    """Flexprice's SDK in a session of its own, by the header of a client that it is given."""
    with (
        httpx.Client(headers={"x-mock-session": session}) as client,
        Flexprice(api_key_auth="test", server_url=f"{mock.url}/v1", client=client) as made,
    ):
        yield made


def with_key(mock: Mock, key: str) -> Flexprice:
    """The SDK with another key."""
    return Flexprice(api_key_auth=key, server_url=f"{mock.url}/v1")


def test_flexprice_life_of_a_wallet(sdk: Flexprice) -> None:
    """Create, top up twice, read the balance, list the transactions, terminate: each answer becomes the SDK's own model."""
    wallet = sdk.wallets.create_wallet(
        currency="USD", customer_id="cust_sdk", initial_credits_to_load="10", metadata={"source": "sdk"}
    )
    assert (wallet.currency, wallet.credit_balance, wallet.metadata) == ("usd", "10", {"source": "sdk"})
    assert wallet.id

    direct = sdk.wallets.top_up_wallet(
        id=wallet.id,
        transaction_reason="PURCHASED_CREDIT_DIRECT",
        amount="500.00",
        bonus_credits_to_add="25",
        idempotency_key="sdk-1",
    )
    assert direct.wallet
    assert direct.wallet_transaction
    assert (direct.wallet.balance, direct.wallet_transaction.credit_amount) == ("535", "500")
    invoiced = sdk.wallets.top_up_wallet(id=wallet.id, transaction_reason="PURCHASED_CREDIT_INVOICED", credits_to_add="40")
    assert invoiced.wallet_transaction
    assert (invoiced.wallet_transaction.transaction_status, (invoiced.invoice_id or "")[:4]) == ("pending", "inv_")

    balance = sdk.wallets.get_wallet_balance(id=wallet.id, expand="credits_available_breakdown")
    assert (balance.real_time_balance, balance.is_cached_fallback) == ("535", False)
    assert balance.credits_available_breakdown
    assert (balance.credits_available_breakdown.purchased, balance.credits_available_breakdown.free) == ("500", "35")

    listed = sdk.wallets.get_wallet_transactions(id_path_parameter=wallet.id, order="asc")
    assert [row.transaction_reason for row in listed.items or []] == [
        "FREE_CREDIT_GRANT",
        "PURCHASED_CREDIT_DIRECT",
        "PURCHASED_CREDIT_BONUS",
        "PURCHASED_CREDIT_INVOICED",
    ]
    completed = sdk.wallets.get_wallet_transactions(id_path_parameter=wallet.id, transaction_status="completed", limit=1)
    assert completed.pagination
    assert (completed.pagination.total, completed.pagination.limit) == (3, 1)

    closed = sdk.wallets.terminate_wallet(id=wallet.id)
    assert (closed.wallet_status, closed.balance) == ("closed", "0")
    assert sdk.wallets.get_wallet(id=wallet.id) == closed


def test_flexprice_life_of_a_wallet_async(mock: Mock, session: str) -> None:
    """The same with the SDK's asynchronous half."""

    async def live() -> None:
        async with (
            httpx.AsyncClient(headers={"x-mock-session": session}) as client,
            Flexprice(api_key_auth="test", server_url=f"{mock.url}/v1", async_client=client) as sdk,
        ):
            wallet = await sdk.wallets.create_wallet_async(currency="eur", external_customer_id="ext_cust_acme")
            assert wallet.id
            topped = await asyncio.gather(
                *(
                    sdk.wallets.top_up_wallet_async(id=wallet.id, transaction_reason="FREE_CREDIT_GRANT", credits_to_add=str(n))
                    for n in range(1, 11)
                )
            )
            assert len({answer.wallet_transaction.id for answer in topped if answer.wallet_transaction}) == 10
            balance = await sdk.wallets.get_wallet_balance_async(id=wallet.id)
            assert balance.real_time_balance == "55"
            listed = await sdk.wallets.get_wallet_transactions_async(id_path_parameter=wallet.id)
            assert listed.pagination
            assert listed.pagination.total == 10
            assert (await sdk.wallets.terminate_wallet_async(id=wallet.id)).wallet_status == "closed"
            with pytest.raises(ErrorResponse) as refused:
                await sdk.wallets.terminate_wallet_async(id=wallet.id)
            assert refused.value.data.code == "invalid_operation"

    asyncio.run(live())


def test_flexprice_reads_every_persona(mock: Mock, sdk: Flexprice, wallet_ids: dict[str, str]) -> None:
    """No persona's wallet, balance or ledger is more than the SDK's models can hold, and none loses a figure in them."""
    with httpx.Client(base_url=f"{mock.url}/v1", headers={"x-api-key": "test"}) as plain:
        for name, wallet_id in wallet_ids.items():
            if name == "draining":
                continue  # read twice, it is not the same
            body, rows = Wallet(plain, wallet_id).check()
            balance = sdk.wallets.get_wallet_balance(id=wallet_id)
            for field in ("balance", "credit_balance", "real_time_balance", "current_period_usage", "unpaid_invoices_amount"):
                assert getattr(balance, field) == body.get(field), name
            assert sdk.wallets.get_wallet(id=wallet_id).name == body["name"]
            listed = sdk.wallets.get_wallet_transactions(id_path_parameter=wallet_id, order="asc").items or []
            assert [row.amount for row in listed] == [row["amount"] for row in rows]


def test_flexprice_alert_thresholds_in_either_form(mock: Mock, sdk: Flexprice, wallet_ids: dict[str, str]) -> None:
    """The SDK, made from a later document, gets thresholds as decimal text; other clients numbers, as in the contract's."""
    levels = sdk.wallets.get_wallet_balance(id=wallet_ids["healthy"]).alert_settings
    assert levels
    assert levels.critical
    assert levels.info
    assert (levels.critical.threshold, levels.info.threshold) == ("0", "200")

    with httpx.Client(base_url=f"{mock.url}/v1", headers={"x-api-key": "test"}) as plain:
        settings = Wallet(plain, wallet_ids["healthy"]).stored()["alert_settings"]
    assert (settings["critical"]["threshold"], settings["info"]["threshold"]) == (0, 200)


def test_flexprice_settings_make_the_round(sdk: Flexprice) -> None:
    """What the SDK sends as alert settings and auto top-up is what it reads back."""
    alerts = models.AlertSettings(
        alert_enabled=True,
        critical=models.AlertThreshold(condition="below", threshold="-2.5"),
        warning=models.AlertThreshold(condition="below", threshold="1e1"),
    )
    topup = models.AutoTopup(enabled=False, threshold=50, amount=10.25, invoicing=True)
    created = sdk.wallets.create_wallet(currency="usd", customer_id="cust_settings", alert_settings=alerts, auto_topup=topup)
    assert created.id
    updated = sdk.wallets.update_wallet(id=created.id, name="Renamed", config={"allowed_price_types": ["ALL"]})

    assert updated.name == "Renamed"
    assert updated.config
    assert updated.config.allowed_price_types == ["ALL"]
    assert updated.alert_settings
    assert updated.alert_settings.critical
    assert updated.alert_settings.warning
    assert Decimal(updated.alert_settings.critical.threshold or "") == Decimal("-2.5")
    assert Decimal(updated.alert_settings.warning.threshold or "") == 10
    assert updated.auto_topup
    assert (updated.auto_topup.threshold, updated.auto_topup.amount, updated.auto_topup.invoicing) == (50, 10.25, True)


def test_flexprice_lists_and_searches(sdk: Flexprice, wallet_ids: dict[str, str]) -> None:
    """Both searches page through everything, and a customer's wallets are found by either id."""
    seen: list[str | None] = []
    while page := sdk.wallets.query_wallet(limit=400, offset=len(seen)).items:
        seen += [wallet.id for wallet in page]
    assert len(set(seen)) == len(seen) > 1000
    assert set(wallet_ids.values()) <= set(seen)

    rows = sdk.wallets.query_wallet_transaction(limit=1000, type_="debit", expand="customer,wallet")
    assert rows.items
    assert all(row.customer and row.wallet and row.wallet.id == row.wallet_id for row in rows.items)

    by_key = sdk.wallets.get_customer_wallets(lookup_key="ext_cust_acme", include_real_time_balance=True)
    assert {wallet.id for wallet in by_key} == {wallet_ids["healthy"], wallet_ids["postpaid"]}
    customer = by_key[0].customer_id
    assert customer
    assert {w.id for w in sdk.wallets.get_wallets_by_customer_id(id=customer)} == {wallet.id for wallet in by_key}


@pytest.mark.parametrize(
    ("ask", "status", "code"),
    [
        (lambda sdk: sdk.wallets.get_wallet(id=NOBODY), 404, "not_found"),
        (lambda sdk: sdk.wallets.get_wallet_balance(id=NOBODY), 404, "not_found"),
        (lambda sdk: sdk.wallets.get_wallet_transactions(id_path_parameter=NOBODY), 404, "not_found"),
        (lambda sdk: sdk.wallets.terminate_wallet(id=NOBODY), 404, "not_found"),
        (lambda sdk: sdk.wallets.get_customer_wallets(id="cust_nobody"), 404, "not_found"),
        (lambda sdk: sdk.wallets.get_wallet_balance(id=NOBODY, expand="nonsense"), 400, "validation_error"),
        (lambda sdk: sdk.wallets.create_wallet(currency="us", customer_id="c"), 400, "validation_error"),
        (lambda sdk: sdk.wallets.query_wallet(limit=0), 400, "validation_error"),
    ],
)
def test_flexprice_documented_errors(sdk: Flexprice, ask: Any, status: int, code: str) -> None:
    """An error that the SDK knows becomes its `ErrorResponse`, with code, status and message."""
    with pytest.raises(ErrorResponse) as refused:
        ask(sdk)

    assert refused.value.status_code == refused.value.data.http_status_code == status
    assert refused.value.data.code == code
    assert str(refused.value) == refused.value.data.message


def test_flexprice_undocumented_errors(mock: Mock, sdk: Flexprice, wallet_ids: dict[str, str]) -> None:
    """401, 403 and 409 are not in the SDK's document: it raises its default error with status and body as they came."""
    sdk.wallets.create_wallet(currency="usd", customer_id="cust_conflict")
    with pytest.raises(FlexpriceDefaultError) as conflict:
        sdk.wallets.create_wallet(currency="USD", customer_id="cust_conflict")
    assert conflict.value.status_code == 409
    assert '"code":"already_exists"' in conflict.value.body

    for key, status, body in (("invalid-key", 401, '{"error":"Unauthorized"}'), ("readonly", 403, '"message"')):
        with with_key(mock, key) as other, pytest.raises(FlexpriceDefaultError) as refused:
            other.wallets.terminate_wallet(id=wallet_ids["healthy"])
        assert refused.value.status_code == status
        assert body in refused.value.body


# ---------------------------------------------------------------- polar


VERSIONS = {"2026-04": polar.v2026_04, "2026-10": polar.v2026_10}


@pytest.fixture
def tokens(mock: Mock) -> dict[str, str]:
    """Tokens of the fixture customers by name."""
    personas = mock.personas()
    return {name.split("/")[1].split(".")[0]: str(p["token"]) for name, p in personas.items() if name.startswith("polar/")}


@pytest.mark.parametrize("version", VERSIONS)
def test_polar_lists_and_gets(mock: Mock, tokens: dict[str, str], version: str) -> None:
    """Each wallet of the list is got by its id, equal in every field, balances exact, dates left as text."""
    with VERSIONS[version].Polar(tokens["ada"], base_url=mock.url) as client:
        page = client.customer_portal.wallets.list()
        assert (page.pagination.total_count, page.pagination.max_page) == (6, 1)
        for wallet in page.items:
            assert client.customer_portal.wallets.get(wallet.id) == wallet

    assert {18446744073709551614, 0, -1250} <= {wallet.balance for wallet in page.items}
    assert {wallet.modified_at for wallet in page.items} == {None, "2026-06-01T08:30:00.250000Z"}


@pytest.mark.parametrize("limit", [1, 7, 10, 23, 100])
@pytest.mark.parametrize("sorting", [["-created_at"], ["balance"], ["-balance", "created_at"], None])
def test_polar_iterates_over_pages(mock: Mock, tokens: dict[str, str], limit: int, sorting: Any) -> None:
    """The SDK's own paging meets every wallet once, in the order asked for."""
    with polar.v2026_04.Polar(tokens["paged"], base_url=mock.url) as client:
        whole = client.customer_portal.wallets.list(limit=100, sorting=sorting).items
        found = list(client.customer_portal.wallets.iter_list(limit=limit, sorting=sorting))

    assert found == whole
    assert len({wallet.id for wallet in found}) == 23


def test_polar_async(mock: Mock, tokens: dict[str, str]) -> None:
    """The asynchronous twin does the same."""

    async def look() -> None:
        async with polar.v2026_04.PolarAsync(tokens["paged"], base_url=mock.url) as client:
            wallets = client.customer_portal.wallets
            whole = (await wallets.list(limit=100)).items
            assert [wallet async for wallet in wallets.iter_list(limit=4)] == whole
            assert await asyncio.gather(*(wallets.get(wallet.id) for wallet in whole)) == whole
            with pytest.raises(polar.v2026_04.errors.ResourceNotFound):
                await wallets.get(UNKNOWN)
        async with polar.v2026_04.PolarAsync("polar_cst_nobody", base_url=mock.url) as client:
            with pytest.raises(PolarClientError) as refused:
                await client.customer_portal.wallets.list()
            assert refused.value.status_code == 401

    asyncio.run(look())


def test_polar_customer_without_wallets(mock: Mock, tokens: dict[str, str]) -> None:
    """An empty list is an end to paging at once."""
    with polar.v2026_04.Polar(tokens["newcomer"], base_url=f"{mock.url}/") as client:
        assert list(client.customer_portal.wallets.iter_list()) == []


def test_polar_documented_errors(mock: Mock, tokens: dict[str, str]) -> None:
    """404 and 422 become the SDK's own errors with their bodies parsed."""
    with polar.v2026_04.Polar(tokens["ada"], base_url=mock.url) as client:
        with pytest.raises(polar.v2026_04.errors.ResourceNotFound) as missing:
            client.customer_portal.wallets.get(UNKNOWN)
        assert (missing.value.status_code, missing.value.error.error) == (404, "ResourceNotFound")
        with pytest.raises(polar.v2026_04.errors.HTTPValidationError) as invalid:
            client.customer_portal.wallets.list(page=0, limit=-1)
        assert invalid.value.status_code == 422
        assert [entry.loc for entry in invalid.value.error.detail or []] == [["query", "page"], ["query", "limit"]]
        with pytest.raises(polar.v2026_04.errors.HTTPValidationError):
            client.customer_portal.wallets.get("abc")


@pytest.mark.parametrize(
    ("customer", "status", "body"),
    [("nobody", 401, "invalid_token"), ("lapsed", 401, "invalid_token"), ("employee", 403, "NotPermitted")],
)
def test_polar_undocumented_errors(mock: Mock, tokens: dict[str, str], customer: str, status: int, body: str) -> None:
    """A bad or expired token and a member without a role are client errors with the raw text."""
    with polar.v2026_04.Polar(tokens.get(customer, "polar_cst_nobody"), base_url=mock.url) as client:
        for ask in (client.customer_portal.wallets.list, lambda: client.customer_portal.wallets.get(UNKNOWN)):
            with pytest.raises(PolarClientError, match=body) as refused:
                ask()
            assert refused.value.status_code == status


def test_polar_token_for_one_request(mock: Mock, tokens: dict[str, str]) -> None:
    """One client can ask for several customers, and each sees their own wallets only."""
    with polar.v2026_04.Polar(tokens["ada"], base_url=mock.url) as client:
        wallets = client.customer_portal.wallets
        (own, *_), (foreign, *_) = wallets.list().items, wallets.list(request_access_token=tokens["bob"]).items

        assert own.customer_id != foreign.customer_id
        with pytest.raises(polar.v2026_04.errors.ResourceNotFound):
            wallets.get(foreign.id)
        assert wallets.get(foreign.id, request_access_token=tokens["bob"]) == foreign


def test_polar_version_that_the_service_does_not_know(mock: Mock, tokens: dict[str, str]) -> None:
    """The SDK's newest version is 404 without `error`, which the SDK cannot read: as with the real service."""
    with polar.v2027_01.Polar(tokens["ada"], base_url=mock.url) as client:
        with pytest.raises(PolarDeserializationError):
            client.customer_portal.wallets.get(UNKNOWN)
        with pytest.raises(PolarClientError, match=re.escape('{"detail":"Not Found"}')) as refused:
            client.customer_portal.wallets.list()
    assert refused.value.status_code == 404


# ---------------------------------------------------------------- what the controls make of a world


@pytest.fixture
def controls(mock: Mock, session: str) -> Iterator[Session]:
    """The controls of this test's session."""
    with MockClient(mock.url) as client:
        yield client.session(session)


def test_flexprice_through_a_week(controls: Session, sdk: Flexprice, wallet_ids: dict[str, str]) -> None:
    """The SDK reads a wallet that is drained, one that tops itself up, and one whose credits expire."""
    controls.set_clock("frozen")
    drained, refilled, expiring = (wallet_ids[name] for name in ("healthy", "auto-topup", "expiring"))
    states = []
    for credits in (150, 40, 0):
        controls.wallet("healthy").set(credit_balance=credits)
        states.append(sdk.wallets.get_wallet_balance(id=drained).alert_state)
    assert states == ["info", "warning", "in_alarm"]
    controls.wallet("auto-topup").set(usage_rate={"amount": 1, "per": "hour"})
    before = Decimal(str(sdk.wallets.get_wallet_balance(id=expiring).credit_balance))
    controls.advance("7 days")
    assert Decimal(str(sdk.wallets.get_wallet_balance(id=expiring).credit_balance)) < before
    rows = sdk.wallets.get_wallet_transactions(id_path_parameter=refilled).items or []
    automatic = [row for row in rows if (row.metadata or {}).get("auto_topup") == "true"]
    assert len(automatic) >= 10
    assert {row.transaction_reason for row in automatic} == {"PURCHASED_CREDIT_DIRECT"}
    reasons = {row.transaction_reason for row in sdk.wallets.get_wallet_transactions(id_path_parameter=expiring).items or []}
    assert "CREDIT_EXPIRED" in reasons


@pytest.mark.parametrize(("code", "error"), [(404, ErrorResponse), (500, ErrorResponse), (503, FlexpriceDefaultError)])
def test_flexprice_raises_what_faults_send(
    controls: Session, sdk: Flexprice, wallet_ids: dict[str, str], code: int, error: type[Exception]
) -> None:
    """A fault's answer becomes the exception that the SDK has for it; the next call is fine."""
    controls.set_fault(fault="error", code=code, operation="getWallet", times=1)
    with pytest.raises(error):
        sdk.wallets.get_wallet(id=wallet_ids["healthy"])
    assert sdk.wallets.get_wallet(id=wallet_ids["healthy"]).id == wallet_ids["healthy"]


@pytest.mark.parametrize("surprise", SURPRISES)
def test_flexprice_reads_surprises(controls: Session, sdk: Flexprice, wallet_ids: dict[str, str], surprise: str) -> None:
    """Rare answers are lawful: the SDK's models take them all."""
    controls.set_fault(fault="surprise", surprise=surprise)
    for name in ("healthy", "rate-2", "postpaid"):
        assert sdk.wallets.get_wallet_balance(id=wallet_ids[name])
        assert sdk.wallets.get_wallet(id=wallet_ids[name])
        assert sdk.wallets.get_wallet_transactions(id_path_parameter=wallet_ids[name])
    assert sdk.wallets.query_wallet(limit=5)


def test_polar_reads_surprises_and_new_wallets(
    mock: Mock, controls: Session, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK reads what the controls added, and every rare answer; an expired token is its client error."""
    find = socket.getaddrinfo  # not every system knows the names below localhost
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: find("127.0.0.1", *rest, **more))
    token = controls.polar.add_customer("carol")["tokens"][0]["token"]
    controls.polar.add_wallet("carol", currency="eur", balance=5)
    with polar.v2026_04.Polar(token, base_url=mock.url.replace("127.0.0.1", f"{session}.localhost")) as client:
        assert [(wallet.currency, wallet.balance) for wallet in client.customer_portal.wallets.iter_list()] == [("eur", 5)]
        for surprise in SURPRISES:
            controls.set_fault(fault="surprise", surprise=surprise, name="s")
            list(client.customer_portal.wallets.iter_list())
            controls.clear_faults()
        controls.polar.expire_tokens("carol")
        with pytest.raises(PolarClientError):
            list(client.customer_portal.wallets.iter_list())
