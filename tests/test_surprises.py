"""Surprises: answers that are rare and lawful, which the mock's own judge finds nothing wrong with."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from conftest import Mock

from contract_tests import contract as contract_module
from contract_tests.contract import Contract
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.judge import Judge
from contract_tests.rules.observation import Observation
from contract_tests.source import data_folder
from mock_server.faults.fault import SURPRISES

OPENAPI = data_folder(contract_module.__file__, "openapi")
PERSONAS = ("healthy", "frozen", "postpaid", "rate-half", "unpaid-invoices-all", "huge", "unicode")
READS = ("getWallet", "getWalletBalance", "getWalletTransactions", "getCustomerWallets", "getWalletsByCustomerId")
SEARCHES = ("queryWallet", "queryWalletTransaction")
UNDOCUMENTED = ("listWallets", "getWalletBalanceCached")


class Referee:
    """The mock's own judge, asked by a client."""

    def __init__(self, provider: str, *overlays: str) -> None:
        files = [OPENAPI / f"{name}.overlay.yaml" for name in (provider, *overlays)]
        self.contract = Contract.load(provider, OPENAPI / f"{provider}.yaml", *files)
        self._judge = Judge(self.contract)

    def assert_faultless(self, operation: str, response: httpx.Response) -> None:
        """Nothing is wrong with an answer, by contract or by rules of meaning."""
        sent, url = response.request, response.request.url
        pattern = self.contract.operations[operation].path.split("/")
        params = {name[1:-1]: value for name, value in zip(pattern, url.path.split("/"), strict=True) if name.startswith("{")}
        headers = [(name.lower(), value) for name, value in sent.headers.raw]
        request = Request(sent.method, url.path, url.query, headers, sent.content, params)
        answer = Response(response.status_code, [(n.lower(), v) for n, v in response.headers.raw], response.content)
        seen = Observation(self.contract, self.contract.operations[operation], Exchange(request, answer))
        assert self._judge.findings(seen) == []


@pytest.fixture(scope="module")
def flexprice_referee() -> Referee:
    """Flexprice's."""
    return Referee("flexprice", "flexprice.undocumented")


@pytest.fixture(scope="module")
def polar_referee() -> Referee:
    """Polar's."""
    return Referee("polar")


def reads_of(persona: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any] | None]]:
    """Operation, method, path and body of requests about a Flexprice wallet that change nothing."""
    wallet, customer, external = (persona["ids"][kind] for kind in ("wallet", "customer", "external_customer"))
    expand = "expand=credits_available_breakdown"
    yield "getWallet", "GET", f"/wallets/{wallet}", None
    yield "getWalletBalance", "GET", f"/wallets/{wallet}/balance/real-time?{expand}", None
    yield "getWalletBalance", "GET", f"/wallets/{wallet}/balance/real-time?from_cache=true", None
    yield "getWalletBalanceCached", "GET", f"/wallets/{wallet}/balance/real-time-cached", None
    yield "getWalletTransactions", "GET", f"/wallets/{wallet}/transactions?limit=3&offset=1", None
    yield "getCustomerWallets", "GET", f"/customers/wallets?lookup_key={external}&include_real_time_balance=true", None
    yield "getWalletsByCustomerId", "GET", f"/customers/{customer}/wallets?{expand}", None
    yield "listWallets", "GET", "/wallets?limit=5", None
    yield "queryWallet", "POST", "/wallets/search", {"wallet_ids": [wallet], "expand": "credits_available_breakdown"}
    search = {"filters": [], "limit": 2, "expand": "customer,wallet,created_by_user"}
    yield "queryWalletTransaction", "POST", "/wallets/transactions/search", search


@pytest.fixture(scope="module")
def usual(mock: Mock) -> list[tuple[str, str, str, dict[str, Any] | None, Any]]:
    """The reads of all personas with their usual answers."""
    personas = mock.personas()
    with httpx.Client(base_url=f"{mock.url}/v1", headers={"x-api-key": "test"}, verify=False) as client:
        return [
            (*read, client.request(*read[1:3], json=read[3]).raise_for_status().json())
            for name in PERSONAS
            for read in reads_of(personas[f"flexprice/{name}"])
        ]


@pytest.mark.parametrize("surprise", SURPRISES)
def test_every_read_of_flexprice(
    flexprice: httpx.Client,
    flexprice_referee: Referee,
    surprise: str,
    usual: list[tuple[str, str, str, dict[str, Any] | None, Any]],
) -> None:
    """A surprised answer is faultless, and differs from the usual one exactly where it says that it was applied."""
    differing = set()
    for operation, method, path, body, expected in usual:
        rare = flexprice.request(method, path, json=body, headers={"prefer": f"surprise={surprise}"})
        assert rare.status_code == 200, (operation, path, rare.text)
        flexprice_referee.assert_faultless(operation, rare)
        applied = rare.headers.get("preference-applied")
        assert applied in (None, f"surprise={surprise}")
        assert (expected != rare.json()) == (applied is not None), (operation, path)
        if applied:
            differing.add(operation)

    pages = {"getWalletTransactions", "getCustomerWallets", "getWalletsByCustomerId", "listWallets", *SEARCHES}
    assert differing == (pages if surprise == "empty-page" else {*READS, *SEARCHES, *UNDOCUMENTED})


@pytest.mark.parametrize("surprise", SURPRISES)
def test_writes_of_flexprice(flexprice: httpx.Client, flexprice_referee: Referee, surprise: str) -> None:
    """What a write answers repeats what was asked: only optional fields go."""
    asked = {"customer_id": "cust_1", "currency": "usd", "name": "Mine", "metadata": {"a": "b"}, "initial_credits_to_load": "7"}
    prefer = {"prefer": f"surprise={surprise}"}

    def write(operation: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = flexprice.request(method, path, json=body, headers=prefer)
        flexprice_referee.assert_faultless(operation, answer)
        expected = "surprise=no-optionals" if surprise == "no-optionals" else None
        assert answer.headers.get("preference-applied") == expected
        return answer.raise_for_status().json()

    wallet = write("createWallet", "POST", "/wallets", asked)
    assert wallet["metadata"] == ({} if surprise == "no-optionals" else {"a": "b"})
    assert ("name" in wallet) == (surprise != "no-optionals")
    path = f"/wallets/{wallet['id']}"
    write("updateWallet", "PUT", path, {"name": "Other", "metadata": {"a": "c"}})
    top_up = {"credits_to_add": "5", "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": "k"}
    assert write("topUpWallet", "POST", f"{path}/top-up", top_up)["wallet"]["credit_balance"] == "12"
    assert write("terminateWallet", "POST", f"{path}/terminate")["wallet_status"] == "closed"


@pytest.mark.parametrize("surprise", SURPRISES)
def test_every_read_of_polar(mock: Mock, polar: httpx.Client, polar_referee: Referee, surprise: str) -> None:
    """Polar's wallets have amounts, currencies and pages; nothing else of them is free."""
    personas = mock.personas()
    prefer = {"prefer": f"surprise={surprise}"}
    differing = set()
    for name in ("ada.main", "ada.huge", "ada.debt", "bob.yen", "paged.eur", "newcomer"):
        persona = personas[f"polar/{name}"]
        token = {"authorization": f"Bearer {persona['token']}"}
        queries = ("", "?page=2&limit=7", "?sorting=-balance&sorting=created_at", "?sorting=balance&limit=100")
        paths = [("list", f"/{query}") for query in queries]
        if "wallet" in persona["ids"]:  # type: ignore[operator]
            paths.append(("get", f"/{persona['ids']['wallet']}"))  # type: ignore[index]
        for operation, path in paths:
            usual = polar.get(path, headers=token)
            rare = polar.get(path, headers=token | prefer)
            assert (usual.status_code, rare.status_code) == (200, 200), (operation, name, rare.text)
            polar_referee.assert_faultless(f"customer_portal:wallets:{operation}", rare)
            applied = rare.headers.get("preference-applied")
            assert (usual.json() != rare.json()) == (applied is not None), (operation, name)
            if applied:
                differing.add(operation)

    wallets_too = {"zero-amounts", "huge-amounts", "new-strings"}
    assert differing == ({"list", "get"} if surprise in wallets_too else {"list"} if surprise == "empty-page" else set())


def test_amounts(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Zero is zero everywhere; huge is as much as can be stored, in step with what it is made of."""
    path = f"/wallets/{wallet_ids['unpaid-invoices-all']}/balance/real-time"
    usual, zero, huge = (
        flexprice.get(path, headers={"prefer": f"surprise={wish}"} if wish else {}).json()
        for wish in (None, "zero-amounts", "huge-amounts")
    )
    names = ("balance", "credit_balance", "real_time_balance", "current_period_usage", "unpaid_invoices_amount")

    assert {zero[name] for name in names} == {"0"}
    factors = {Decimal(huge[name]) / Decimal(usual[name]) for name in names if usual[name] != "0"}
    assert len(factors) == 1
    assert 10**10 <= max(Decimal(huge[name]) for name in names) < 10**11
    assert huge["conversion_rate"] == zero["conversion_rate"] == usual["conversion_rate"]


def test_texts(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Long is long, new is a currency that nobody has, and unicode names go beyond one plane."""
    path = f"/wallets/{wallet_ids['unicode']}"
    long, new, unicode = (
        flexprice.get(path, headers={"prefer": f"surprise={wish}"}).json()
        for wish in ("longest-strings", "new-strings", "unicode-names")
    )

    assert len(long["name"]) == 255
    assert len(long["description"]) > 5_000
    assert new["currency"] == "fhw"
    assert "<" in new["description"]
    assert max(unicode["name"]) > "\uffff"


@pytest.mark.parametrize(
    ("surprise", "body"),
    [
        ("zero-amounts", {"credits_available_gt": "1"}),
        (
            "unicode-names",
            {"filters": [{"field": "type", "operator": "eq", "data_type": "string", "value": {"string": "credit"}}]},
        ),
    ],
)
def test_filters_are_kept(flexprice: httpx.Client, surprise: str, body: dict[str, Any]) -> None:
    """What was filtered for is not surprised away: that would be no lawful answer to this request."""
    answer = flexprice.post("/wallets/transactions/search", json=body, headers={"prefer": f"surprise={surprise}"})

    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers


def test_as_a_fault_of_a_session(mock: Mock, flexprice: httpx.Client, session: str, wallet_ids: dict[str, str]) -> None:
    """A surprise for one operation of a session; an answer that it cannot change does not claim it."""
    fault = {"fault": "surprise", "surprise": "empty-page", "name": "nothing-there", "provider": "flexprice"}
    httpx.post(f"{mock.url}/_mock/sessions/{session}/faults", json=fault).raise_for_status()
    page = flexprice.get(f"/wallets/{wallet_ids['healthy']}/transactions")
    wallet = flexprice.get(f"/wallets/{wallet_ids['healthy']}")

    assert (page.json()["items"], page.json()["pagination"]["total"]) == ([], 0)
    assert page.headers["x-mock-fault"] == "nothing-there"
    assert "x-mock-fault" not in wallet.headers
