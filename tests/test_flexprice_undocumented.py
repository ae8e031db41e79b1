"""The routes that Flexprice serves without documenting them, and the switch that leaves them out."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Mock, running
from flexprice_checks import (
    BREAKDOWN,
    Wallet,
    assert_balance,
    assert_invalid,
    assert_ok,
    assert_refused,
    assert_row,
    assert_wallet,
)

from contract_tests.contract import Contract
from mock_server.assembly import Settings, assemble
from mock_server.clock import ClockSetting

NOBODY = "wallet_01K3A8QW2M7Z5T9R4V6X8Y0B1C"
OPENAPI = Path(__file__).parent.parent / "openapi"
ROUTES = [
    ("GET", "/wallets"),
    ("GET", "/wallets/{id}/balance/real-time-cached"),
    ("POST", "/wallets/{id}/debit"),
    ("POST", "/wallets/{id}/modify"),
]
TO_POSTPAID = {"modification_type": "prepaid_to_postpaid"}


def debit(client: httpx.Client, wallet_id: str, credits: Any = 1, key: str = "debit-1", **fields: Any) -> httpx.Response:
    """Ask for a manual debit."""
    body = {"credits": credits, "transaction_reason": "MANUAL_BALANCE_DEBIT", "idempotency_key": key} | fields
    return client.post(f"/wallets/{wallet_id}/debit", json=body)


def modify(client: httpx.Client, wallet_id: str) -> httpx.Response:
    """Ask for a postpaid wallet."""
    return client.post(f"/wallets/{wallet_id}/modify", json=TO_POSTPAID)


def walk(client: httpx.Client, limit: int, **query: Any) -> list[dict[str, Any]]:
    """All pages of GET /wallets."""
    items: list[dict[str, Any]] = []
    while True:
        page = assert_ok(client.get("/wallets", params={"limit": limit, "offset": len(items)} | query))
        assert page["pagination"] | {"total": 0} == {"limit": limit, "offset": len(items), "total": 0}
        assert len(page["items"]) <= limit
        items += page["items"]
        if not page["items"]:
            assert page["pagination"]["total"] == len(items)
            return items


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_keys(flexprice: httpx.Client, wallet_ids: dict[str, str], method: str, path: str) -> None:
    """A key is asked for; one that may only read may not write."""
    path = path.format(id=wallet_ids["healthy"])
    body = TO_POSTPAID if path.endswith("/modify") else {"transaction_reason": "MANUAL_BALANCE_DEBIT", "idempotency_key": "k"}

    def ask(key: str) -> httpx.Response:
        return flexprice.request(method, path, headers={"x-api-key": key}, json=body if method == "POST" else None)

    for key in ("", "invalid-key"):
        refused = ask(key)
        assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})
    assert ask("readonly-key").status_code == (403 if method == "POST" else 200)


@pytest.mark.parametrize(("method", "path"), ROUTES[1:])
def test_unknown_wallet(flexprice: httpx.Client, method: str, path: str) -> None:
    """404 not_found."""
    answers = {
        "GET": lambda: flexprice.get(path.format(id=NOBODY)),
        "POST": lambda: modify(flexprice, NOBODY) if path.endswith("/modify") else debit(flexprice, NOBODY),
    }
    assert_refused(answers[method](), 404, "not_found", NOBODY)


@pytest.mark.parametrize("path", ["/wallets/{id}/debit", "/wallets/{id}/modify"])
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"{}"])
def test_unreadable_bodies(flexprice: httpx.Client, wallet_ids: dict[str, str], path: str, body: bytes) -> None:
    """400, and too large ones 413."""
    path = path.format(id=wallet_ids["healthy"])
    headers = {"content-type": "application/json"}
    assert_invalid(flexprice.post(path, content=body, headers=headers))
    assert flexprice.post(path, content=b" " * (1 << 20) + b"{}", headers=headers).status_code == 413


@pytest.fixture(scope="module")
def documented() -> Iterator[Mock]:
    """A mock without the undocumented routes."""
    with running("--documented-only") as mock:
        yield mock


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_switched_off(documented: Mock, wallet_ids: dict[str, str], method: str, path: str) -> None:
    """With --documented-only these are paths and methods as unknown as any other."""
    answer = httpx.request(
        method, documented.url + "/v1" + path.format(id=wallet_ids["healthy"]), headers={"x-api-key": "k"}, verify=False
    )

    assert_refused(answer, 404, "not_found", "No route for")
    assert answer.headers.get("allow") == ("POST" if path == "/wallets" else None)


def test_the_documented_ones_stay(documented: Mock, wallet_ids: dict[str, str]) -> None:
    """The switch takes nothing else away, from_cache included."""
    url = f"{documented.url}/v1/wallets/{wallet_ids['busy']}/balance/real-time"
    with httpx.Client(headers={"x-api-key": "k"}, verify=False) as client:
        flags = [assert_ok(client.get(url, params={"from_cache": "true"}))["is_cached_fallback"] for _ in range(2)]
    assert flags == [False, True]


def test_marked_in_the_contract_of_the_mock_alone() -> None:
    """Each says that it is undocumented; the contract that targets are held to has none of them."""
    files = [OPENAPI / f"flexprice{name}.yaml" for name in ("", ".overlay", ".undocumented.overlay")]
    served, asked = Contract.load("flexprice", *files), Contract.load("flexprice", *files[:2])
    more = [operation for name, operation in served.operations.items() if name not in asked.operations]

    assert sorted((o.method, o.path.removeprefix("/v1")) for o in more) == sorted(ROUTES)
    for path, method in (operation.key for operation in more):
        assert served.merged["paths"][path][method]["x-undocumented"] is True
        assert "(undocumented)" in served.merged["paths"][path][method]["summary"]
    for path, item in asked.merged["paths"].items():
        assert not any("x-undocumented" in operation for operation in item.values()), path


# ---------------------------------------------------------------- list


def test_list_is_the_search(flexprice: httpx.Client) -> None:
    """Whatever is asked, the list says what the search says."""
    for asked in (
        {},
        {"limit": 7, "offset": 3},
        {"limit": 5, "order": "asc"},
        {"status": "frozen"},
        {"limit": 4, "expand": BREAKDOWN},
        {"limit": 2, "sort": "balance", "alert_enabled": True},
    ):
        query = {name: str(value).lower() if isinstance(value, bool) else value for name, value in asked.items()}
        listed, found = flexprice.get("/wallets", params=query), flexprice.post("/wallets/search", json=asked)
        assert assert_ok(listed) == assert_ok(found), asked
        assert listed.json()["items"]


def test_list_is_paged(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Walking the pages meets every wallet once, at any page size; every wallet keeps the rules."""
    by_fifties, by_thousands = walk(flexprice, 50), walk(flexprice, 1000)

    assert by_fifties == by_thousands
    ids = [wallet["id"] for wallet in by_fifties]
    assert len(set(ids)) == len(ids)
    assert set(wallet_ids.values()) <= set(ids)
    for wallet in by_fifties:
        assert_wallet(wallet)


def test_list_of_some(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """`wallet_ids` repeats; unknown ids and repeated ones add nothing; `status` counts as well."""
    wanted = [wallet_ids[name] for name in ("healthy", "frozen", "closed")]
    asked = [*wanted, wanted[0], NOBODY]

    assert {wallet["id"] for wallet in walk(flexprice, 10, wallet_ids=asked)} == set(wanted)
    assert [wallet["id"] for wallet in walk(flexprice, 10, wallet_ids=asked, status="closed")] == [wallet_ids["closed"]]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "offset=-1",
        "order=up",
        "status=open",
        "expand=wallet",
        "expand=,",
        "alert_enabled=perhaps",
        f"offset={2**63}",
    ],
)
def test_list_refuses(flexprice: httpx.Client, query: str) -> None:
    """400 for what the search refuses."""
    assert_invalid(flexprice.get(f"/wallets?{query}"))


# ---------------------------------------------------------------- debit


def test_debit(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Credits go, priority first; the row says why, for whom, and what it took from."""
    wallet = Wallet(flexprice, wallet_ids["healthy"])
    before, rows = wallet.check()
    answer = assert_ok(debit(flexprice, wallet.id, "120.5", description="By hand", metadata={"ticket": "7"}))
    after, now = wallet.check()

    assert_wallet(answer)
    assert (answer["balance"], answer["credit_balance"]) == ("418", "418")
    assert answer == {name: after[name] for name in answer}
    row = now[-1]
    assert len(now) == len(rows) + 1
    assert (row["type"], row["transaction_reason"], row["reference_type"]) == ("debit", "MANUAL_BALANCE_DEBIT", "REQUEST")
    assert (row["idempotency_key"], row["reference_id"], row["description"]) == ("debit-1", "debit-1", "By hand")
    # The free credits have priority; what the first month left of them is nothing.
    free, bought = (row for row in rows if row["type"] == "credit")
    taken = [r["id"] for r in (free, bought) if r["credits_available"] != "0"]
    assert row["metadata"] == {"ticket": "7", "consumed_credit_tx_ids": ",".join(taken)}
    assert before["credit_balance"] == "538.5"


def test_debit_may_overdraw(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """What is not there is owed, priced with the conversion rate; the next credit repays it first."""
    wallet = Wallet(flexprice, wallet_ids["rate-2"])
    answer = assert_ok(debit(flexprice, wallet.id, 200))
    _, rows = wallet.check()
    assert (answer["credit_balance"], answer["balance"]) == ("-35", "-70")
    assert rows[-1]["amount"] == "400"

    assert_ok(wallet.top_up(credits_to_add=40))
    assert wallet.check()[1][-1]["credits_available"] == "5"


def test_debit_moves_the_alert_state(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """The answer has the state that the new balance asks for."""
    states = []
    for number, credits in enumerate((300, 50, 138.5, 60)):
        states.append(assert_ok(debit(flexprice, wallet_ids["healthy"], credits, key=f"alert-{number}"))["alert_state"])
    assert states == ["ok", "info", "warning", "in_alarm"]


@pytest.mark.parametrize(
    "fields",
    [
        {"credits": 0},
        {"credits": "-1"},
        {"credits": None},
        {"credits": "1e-12"},
        {"credits": "ten"},
        {"credits": ""},
        {"credits": "1e11"},
        {"credits": 1e40},
        {"transaction_reason": "FREE_CREDIT_GRANT"},
        {"transaction_reason": "INVOICE_PAYMENT"},
        {"transaction_reason": None},
        {"idempotency_key": ""},
        {"idempotency_key": None},
        {"metadata": {"a": 1}},
        {"description": 1},
    ],
)
def test_debit_refuses(flexprice: httpx.Client, wallet_ids: dict[str, str], fields: dict[str, Any]) -> None:
    """400 before the wallet is looked up, and nothing changes."""
    wallet = Wallet(flexprice, wallet_ids["healthy"])
    before = wallet.check()
    for wallet_id in (wallet.id, NOBODY):
        assert_invalid(debit(flexprice, wallet_id, **fields))
    assert wallet.check() == before


def test_debit_leaves_no_debt_beyond_storing(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """A debt, or a price, of more digits than can be stored is refused."""
    wallet_id = wallet_ids["rate-2"]
    assert_invalid(debit(flexprice, wallet_id, "50000000000"), "more digits than can be stored")
    assert_ok(debit(flexprice, wallet_id, "49999999999"))
    assert_invalid(debit(flexprice, wallet_id, "49999999999", key="debit-2"), "more digits than can be stored")


def test_debit_needs_credits_and_takes_nulls(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Credits left out are none; optional fields may be null."""
    path = f"/wallets/{wallet_ids['healthy']}/debit"
    body = {"transaction_reason": "MANUAL_BALANCE_DEBIT", "idempotency_key": "k", "description": None, "metadata": None}
    assert_invalid(flexprice.post(path, json=body), "credits must be greater than 0")
    assert_ok(flexprice.post(path, json=body | {"credits": "0.5"}))


@pytest.mark.parametrize("name", ["closed", "frozen"])
def test_debit_of_a_wallet_that_is_not_active(flexprice: httpx.Client, wallet_ids: dict[str, str], name: str) -> None:
    """400 invalid_operation, and nothing changes."""
    wallet = Wallet(flexprice, wallet_ids[name])
    before = wallet.check()
    assert_refused(debit(flexprice, wallet.id), 400, "invalid_operation", name)
    assert wallet.check() == before


def test_debit_under_a_used_key(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Keys are unique over all wallets, credits and debits: 409, and nothing changes (I20)."""
    wallet, other = Wallet(flexprice, wallet_ids["healthy"]), Wallet(flexprice, wallet_ids["busy"])
    assert_ok(debit(flexprice, wallet.id, key="once"))
    before = wallet.check(), other.check()

    for wallet_id in (wallet.id, other.id):
        for key in ("once", "order-1001"):
            assert_refused(debit(flexprice, wallet_id, key=key), 409, "already_exists", key)
    assert_refused(other.top_up(credits_to_add=1, idempotency_key="once"), 409, "already_exists")
    assert (wallet.check(), other.check()) == before


# ---------------------------------------------------------------- modify


def test_modify(flexprice: httpx.Client) -> None:
    """The wallet is emptied and closed; another has its credits, its rates and its settings, and pays everything."""
    alerts = {"alert_enabled": True, "critical": {"condition": "below", "threshold": 5}}
    old = Wallet.create(
        flexprice,
        currency="EUR",
        conversion_rate="2",
        topup_conversion_rate="3",
        alert_settings=alerts,
        metadata={"a": "b"},
        description="Mine",
    )
    assert_ok(old.top_up(credits_to_add="12.5", priority=1, expiry_date_utc="2090-01-01T00:00:00Z"))
    assert_ok(old.top_up(credits_to_add="7.5", transaction_reason="PURCHASED_CREDIT_DIRECT"))
    before = old.stored()

    answer = assert_ok(modify(flexprice, old.id))
    closed, opened = answer["original_wallet"], answer["new_wallet"]
    new = Wallet(flexprice, opened["id"])

    assert (closed["id"], closed["wallet_status"], closed["balance"], closed["credit_balance"]) == (old.id, "closed", "0", "0")
    assert old.stored() == closed
    assert new.stored() == opened
    assert (opened["wallet_type"], opened["wallet_status"], opened["alert_state"]) == ("POST_PAID", "active", "ok")
    assert (opened["credit_balance"], opened["balance"]) == ("20", "40")
    for same in ("customer_id", "currency", "conversion_rate", "topup_conversion_rate", "alert_settings"):
        assert opened[same] == before[same]
    assert (opened["name"], opened["description"]) == ("Postpaid Wallet - EUR", "")
    assert (opened["metadata"], opened["config"]) == ({"converted_from": old.id}, {"allowed_price_types": ["ALL"]})

    row = old.check()[1][-1]
    assert (row["transaction_reason"], row["idempotency_key"]) == ("WALLET_TERMINATION", f"{old.id}_conversion_debit")
    (grant,) = new.check()[1]
    assert_row(grant)
    assert (grant["transaction_reason"], grant["credit_amount"], grant["amount"]) == ("FREE_CREDIT_GRANT", "20", "60")
    assert "expiry_date" not in grant
    assert "priority" not in grant
    listed = assert_ok(flexprice.get(f"/customers/{before['customer_id']}/wallets"))
    assert [wallet["id"] for wallet in listed] == [new.id]


def test_modify_a_wallet_without_credits(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Nothing is booked where there is nothing, nor where there is less."""
    for name, credits in (("new", "0"), ("overdrawn", "-2.5")):
        wallet = Wallet(flexprice, wallet_ids[name])
        rows = wallet.rows()
        answer = assert_ok(modify(flexprice, wallet.id))
        assert answer["original_wallet"]["credit_balance"] == credits
        assert wallet.rows() == rows
        assert Wallet(flexprice, answer["new_wallet"]["id"]).check()[1] == []


@pytest.mark.parametrize("name", ["closed", "frozen", "postpaid"])
def test_modify_needs_an_active_prepaid_wallet(flexprice: httpx.Client, wallet_ids: dict[str, str], name: str) -> None:
    """400 invalid_operation."""
    assert_refused(modify(flexprice, wallet_ids[name]), 400, "invalid_operation", wallet_ids[name])


def test_modify_refuses_other_modifications(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """400 for a word that is none, before the wallet is looked up."""
    for wallet_id in (wallet_ids["healthy"], NOBODY):
        for word in ("postpaid_to_prepaid", "", None, 1):
            assert_invalid(flexprice.post(f"/wallets/{wallet_id}/modify", json={"modification_type": word}))


def test_modify_next_to_a_postpaid_wallet(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """409 where the customer has an active postpaid wallet of the currency; one of another currency does not matter."""
    wallet = Wallet(flexprice, wallet_ids["healthy"])  # its customer has the postpaid one
    before = wallet.check()
    assert_refused(modify(flexprice, wallet.id), 409, "already_exists", wallet_ids["postpaid"])
    assert wallet.check() == before

    assert_ok(Wallet(flexprice, wallet_ids["postpaid"]).terminate())
    euro = Wallet.create(flexprice, customer_id=wallet.stored()["customer_id"], currency="eur", wallet_type="POST_PAID")
    assert_ok(modify(flexprice, wallet.id))
    assert euro.stored()["wallet_status"] == "active"


def test_modify_under_a_used_key(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Whoever used the key of the debit before stops it: 409, and nothing changes."""
    wallet = Wallet(flexprice, wallet_ids["busy"])
    assert_ok(wallet.top_up(credits_to_add=1, idempotency_key=f"{wallet.id}_conversion_debit"))
    before = wallet.check()
    assert_refused(modify(flexprice, wallet.id), 409, "already_exists")
    assert wallet.check() == before


def test_modify_what_tops_itself_up(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """As when it is terminated: the debit makes the wallet top itself up before it is closed. The new one tops itself up too."""
    old = Wallet(flexprice, wallet_ids["auto-topup"])
    answer = assert_ok(modify(flexprice, old.id))
    new = Wallet(flexprice, answer["new_wallet"]["id"])

    assert (answer["original_wallet"]["wallet_status"], answer["original_wallet"]["credit_balance"]) == ("closed", "60")
    assert answer["original_wallet"] == old.stored()
    assert answer["new_wallet"]["credit_balance"] == "60"
    assert answer["new_wallet"]["auto_topup"] == answer["original_wallet"]["auto_topup"]
    assert_ok(debit(flexprice, new.id, 35))
    body, rows = new.check()
    assert body["credit_balance"] == "55"
    assert [row["credit_amount"] for row in rows] == ["60", "35", "10", "10", "10"]


def test_modify_with_expired_credits() -> None:
    """Credits that have expired and still count towards the balance cannot be taken along: 400, and nothing changes."""
    day = datetime(2026, 11, 21, tzinfo=UTC)
    mock = assemble(
        Settings(first_day=day, clock=ClockSetting("frozen", day + timedelta(hours=37)))
    )  # the first credits lasted 36 hours
    wallet_id = next(p.ids["wallet"] for p in mock.casts["flexprice"].personas() if p.name == "expiring")

    async def story() -> tuple[httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(mock.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost/v1", headers={"x-api-key": "k"}) as client:
            refused = await client.post(f"/wallets/{wallet_id}/modify", json=TO_POSTPAID)
            return refused, await client.get(f"/wallets/{wallet_id}")

    refused, kept = asyncio.run(story())
    assert_refused(refused, 400, "invalid_operation", "expired")
    assert (assert_ok(kept)["wallet_status"], kept.json()["credit_balance"]) == ("active", "350")


def test_modified_balances(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Usage no longer counts: the real-time balance of the new wallet is its balance, that of the old one is zero."""
    answer = assert_ok(modify(flexprice, wallet_ids["busy"]))
    for name, expected in (("original_wallet", "0"), ("new_wallet", "1000")):
        for path in ("real-time", "real-time-cached"):
            body = assert_ok(flexprice.get(f"/wallets/{answer[name]['id']}/balance/{path}"))
            assert_balance(body)
            assert body["real_time_balance"] == expected
