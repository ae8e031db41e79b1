"""Defects: each one shows over HTTP, none makes the mock complain, and the switches switch what they say and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from conftest import Mock, running

from contract_tests.source import InputError
from mock_server.assembly import Settings, assemble
from mock_server.defects.catalogue import CATALOGUE, find
from mock_server.defects.defect import Defect

KEY = {"x-api-key": "test"}
WALLET = "/v1/wallets/wallet_01KSR14E8RTG7KRAE0VN3ZSCM8"

Send = Callable[..., httpx.Response]
Personas = dict[str, Any]
Script = Callable[[Send, Personas], Iterator[Any]]


@pytest.fixture(scope="module")
def stage() -> Iterator[Mock]:
    """A mock of this module's own; it must not log anything, whatever defects it plays."""
    with running() as started:
        yield started


# ---------------------------------------------------------------- each defect shows


class Watcher:
    """Writes answers down so that two runs of one script compare: ids and times become numbers in order of appearance."""

    _FRESH = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?|[0-9a-f]{16}")
    _IGNORED = ("date", "content-length", "connection")

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}

    def note(self, seen: Any) -> Any:
        """An answer, or whatever else was seen, without what differs from run to run."""
        if not isinstance(seen, httpx.Response):
            return seen
        headers = {name: self._plain(value) for name, value in seen.headers.items() if name not in self._IGNORED}
        return seen.status_code, headers, self._plain(seen.content.decode("utf-8", "backslashreplace"))

    def _plain(self, text: str) -> str:
        return self._FRESH.sub(lambda match: self._numbers.setdefault(match[0], f"#{len(self._numbers)}"), text)


def sending(mock: Mock, session: str, client: httpx.Client) -> Send:
    """Sends in a session; an answer that does not arrive whole becomes a 599."""

    def send(method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"x-mock-session": session, **options.pop("headers", {})}
        try:
            return client.request(method, mock.url + path, headers=headers, **options)
        except httpx.TransportError:
            return httpx.Response(599)

    return send


def flexprice_script(send: Send, personas: Personas) -> Iterator[Any]:
    """What a tester would do: make wallets, move money, read everything in every way, and ask for what must be refused."""

    def ask(method: str, path: str, body: Any = None, headers: dict[str, str] = KEY, **options: Any) -> httpx.Response:
        return send(method, f"/v1{path}", **({} if body is None else {"json": body}), headers=headers, **options)

    def create(customer: str, **more: Any) -> tuple[httpx.Response, str]:
        response = ask("POST", "/wallets", {"customer_id": customer, "currency": "USD", **more})
        found = re.search(r'"id":"(wal\w+)"', response.text)
        return response, f"/wallets/{found[1] if found else 'wallet_none'}"

    def top_up(wallet: str, key: str, reason: str = "PURCHASED_CREDIT_DIRECT", **more: Any) -> httpx.Response:
        return ask("POST", f"{wallet}/top-up", {"transaction_reason": reason, "idempotency_key": key, **more})

    def rows(wallet: str, **query: Any) -> httpx.Response:
        return ask("GET", f"{wallet}/transactions", params=query)

    created, wallet = create(
        "cust_one", conversion_rate="2", topup_conversion_rate="0.5", metadata={"a": "1"}, initial_credits_to_load="3"
    )
    yield created
    yield ask("GET", wallet)
    yield ask("GET", wallet)
    yield top_up(wallet, "k1", credits_to_add="12.5", priority=2)
    yield ask("GET", f"{wallet}/balance/real-time")
    yield ask("GET", f"{wallet}/balance/real-time")
    yield top_up(wallet, "k1", credits_to_add="12.5")
    yield top_up(wallet, "k2", credits_to_add="0.1234", expiry_date_utc="2100-01-01T00:00:00Z")
    yield top_up(wallet, "k3", "FREE_CREDIT_GRANT", credits_to_add="7", bonus_credits_to_add="1.5")
    yield top_up(wallet, "k4", amount="5.01")
    yield top_up(wallet, "k5", "PURCHASED_CREDIT_INVOICED", credits_to_add="4")
    yield ask("GET", f"{wallet}/balance/real-time?expand=credits_available_breakdown")
    whole = rows(wallet)
    yield whole
    for query in (
        {"order": "asc"},
        {"limit": 2},
        {"limit": 2, "offset": 2},
        {"limit": 1, "offset": 3},
        {"limit": 3, "offset": 3},
        {"type": "debit"},
        {"transaction_status": "pending"},
        {"transaction_reason": "FREE_CREDIT_GRANT"},
        {"start_time": "2100-01-01T00:00:00Z"},
        {"end_time": "2020-01-01T00:00:00Z"},
        {"expiry_date_after": "2099-01-01T00:00:00Z"},
        {"credits_available_gt": 7},
        {"priority": 2},
        {"reference_type": "EXTERNAL", "reference_id": "k2"},
        {"limit": 5000},
        {"offset": -1},
    ):
        yield rows(wallet, **query)
    yield ask("POST", "/wallets/transactions/search", {"id": "x"} | {"id": wallet.rpartition("/")[2]})

    empty, other = create("cust_one", currency="eur", wallet_type="POST_PAID")
    yield empty
    yield top_up(other, "k6", credits_to_add="3")
    yield ask("GET", f"{other}/balance/real-time")
    yield create("cust_one")[0]
    yield create("cust_one", currency="usd")[0]
    yield ask("POST", "/wallets/search", {"wallet_ids": [wallet.rpartition("/")[2], other.rpartition("/")[2]], "limit": 10})
    yield ask("POST", "/wallets/search", {"status": "closed", "limit": 10})
    yield ask("POST", "/wallets/search", {"status": "closed"})
    yield ask("GET", "/customers/cust_one/wallets")
    yield ask("GET", "/customers/wallets?lookup_key=busy&include_real_time_balance=true")
    yield ask("GET", f"/wallets/{personas['flexprice/busy']['ids']['wallet']}/balance/real-time")

    yield ask("PUT", wallet, {"name": "Renamed", "metadata": {"b": "2"}})
    yield ask("GET", wallet)
    yield ask("PUT", wallet, {"name": "Again"})
    yield ask("GET", wallet)

    for method, path, body in (
        ("GET", "/wallets/wallet_unknown", None),
        ("GET", "/wallets/wallet_unknown/balance/real-time", None),
        ("PUT", "/wallets/wallet_unknown", {"name": "x"}),
        ("PUT", "/wallets/wallet_unknown", {"name": "x"}),
        ("GET", f"{wallet}/balance/real-time?expand=everything", None),
        ("POST", f"{wallet}/top-up", {"transaction_reason": "FREE_CREDIT_GRANT", "credits_to_add": "-5", "idempotency_key": "n"}),
        ("POST", f"{wallet}/top-up", {"transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": "m"}),
        ("POST", f"{wallet}/top-up", {"credits_to_add": "1", "idempotency_key": "o"}),
        ("POST", "/wallets", {"customer_id": "cust_two"}),
    ):
        yield ask(method, path, body)
    yield send("POST", "/v1/wallets", content=b"{", headers=KEY)
    for headers in ({}, {"x-api-key": "invalid-key"}, {"x-api-key": "expired-key"}):
        yield ask("GET", wallet, headers=headers)
        yield ask("GET", "/wallets/wallet_unknown", headers=headers)

    yield ask("POST", f"{wallet}/terminate")
    yield ask("GET", f"{wallet}/balance/real-time")
    yield ask("GET", wallet)
    yield rows(wallet)
    yield ask("POST", f"{wallet}/terminate")
    yield ask("PUT", wallet, {"description": "closed"})
    yield ask("GET", wallet)
    yield ask("GET", "/customers/cust_one/wallets")

    _, shared = create("cust_three")
    yield from in_parallel([lambda n=n: top_up(shared, f"p{n}", credits_to_add="1") for n in range(4)])  # type: ignore[misc]
    yield re.findall('"credit_balance":"[^"]*"', ask("GET", f"{shared}/balance/real-time").text)
    yield from in_parallel([lambda: top_up(shared, "same", credits_to_add="1")] * 2)
    yield from in_parallel([lambda: create("cust_four")[0]] * 2)
    yield from in_parallel([lambda: ask("POST", f"{shared}/terminate")] * 2)

    _, watched = create("cust_five")
    for number in range(25):
        yield top_up(watched, f"r{number}", credits_to_add="1.5")
        yield ask("GET", f"{watched}/balance/real-time")
        yield ask("GET", watched)
        yield rows(watched)


def in_parallel(calls: list[Callable[[], httpx.Response]]) -> Iterator[list[int]]:
    """Statuses of requests sent at one moment."""
    with ThreadPoolExecutor(len(calls)) as pool:
        yield sorted(response.status_code for response in pool.map(lambda call: call(), calls))


def polar_script(send: Send, personas: Personas) -> Iterator[Any]:
    """Every page in every order, single wallets under all spellings, and what must be refused."""
    portal = "/v1/customer-portal/wallets/"

    def headers(name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {personas[f'polar/{name}']['token']}"}

    ada, paged = headers("ada.main"), headers("paged.aud")
    main, debt, foreign = (personas[f"polar/{name}"]["ids"]["wallet"] for name in ("ada.main", "ada.debt", "bob.main"))
    for token in (ada, paged):
        for query in (
            "",
            "limit=2&page=2",
            "limit=4&page=2",
            "limit=4&page=3&sorting=balance",
            "limit=4&page=2&sorting=balance",
            "sorting=-balance&limit=100",
            "sorting=balance&sorting=-created_at&limit=100",
            "limit=1000",
            "limit=3&page=50",
            "page=0",
            "limit=0",
            "page=99999999999",
            "sorting=foo",
        ):
            yield send("GET", f"{portal}?{query}", headers=token)
    unknown = "00000000-0000-4000-8000-000000000000"
    for wallet in (main, main, debt, main.upper(), main.replace("-", ""), foreign, unknown, "none"):
        yield send("GET", portal + wallet, headers=ada)
    for token in ({}, {"authorization": "Bearer polar_cst_unknown"}, headers("lapsed.main")):
        yield send("GET", portal, headers=token)
        yield send("GET", portal + main, headers=token)
    for _ in range(21):
        yield send("GET", portal + main, headers=ada)
        yield send("GET", portal, headers=ada)


SCRIPTS: dict[str, Script] = {"flexprice": flexprice_script, "polar": polar_script}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """One pool of connections for all the scripts."""
    with httpx.Client(verify=False, timeout=10) as opened:
        yield opened


@pytest.fixture(scope="module")
def personas(stage: Mock) -> Personas:
    """Personas by `provider/name`."""
    return dict(stage.personas())


@pytest.fixture(scope="module")
def honest(stage: Mock, client: httpx.Client, personas: Personas) -> dict[str, list[Any]]:
    """What an honest session shows; two of them show the same."""

    def run(session: str, provider: str) -> list[Any]:
        watcher = Watcher()
        return [watcher.note(seen) for seen in SCRIPTS[provider](sending(stage, session, client), personas)]

    first = {provider: run("honest", provider) for provider in SCRIPTS}
    for provider, shown in first.items():
        for step, (one, other) in enumerate(zip(shown, run("honest-too", provider), strict=True)):
            assert one == other, f"{provider}: step {step} is not the same twice"
    return first


@pytest.mark.parametrize("defect", CATALOGUE.values(), ids=CATALOGUE)
def test_every_defect_shows(
    stage: Mock, client: httpx.Client, personas: Personas, honest: dict[str, list[Any]], defect: Defect
) -> None:
    """Somewhere in the provider's script an answer differs from the honest one."""
    client.put(f"{stage.url}/_mock/sessions/{defect.name}/defects", json={"defects": [defect.name]}).raise_for_status()
    watcher = Watcher()
    script = SCRIPTS[defect.provider](sending(stage, defect.name, client), personas)
    pairs = zip(script, honest[defect.provider], strict=False)
    different = next((step for step, (seen, expected) in enumerate(pairs) if watcher.note(seen) != expected), None)

    assert different is not None, f"{defect.name} changes nothing"
    if defect.area == "rare":
        assert different >= 20, "a rare defect shows only after some honest answers"


def switch(mock: Mock, session: str, *names: str) -> httpx.Response:
    """Give a session its defects."""
    return httpx.put(f"{mock.url}/_mock/sessions/{session}/defects", json={"defects": list(names)}, verify=False)


# ---------------------------------------------------------------- the catalogue

AREAS = {"schema", "protocol", "auth", "errors", "money", "state", "lists", "concurrency", "rare"}


def test_the_catalogue() -> None:
    """Plenty of defects over both providers, each with a name of its own, a sentence of its own, and something that it does."""
    defects = list(CATALOGUE.values())
    providers = [defect.provider for defect in defects]

    assert providers.count("flexprice") >= 52
    assert providers.count("polar") >= 26
    assert {defect.area for defect in defects} == AREAS
    assert len({(defect.provider, defect.about) for defect in defects}) == len(defects)
    for defect in defects:
        assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)+", defect.name)
        assert defect.name.startswith("polar-") == (defect.provider == "polar")
        assert re.fullmatch(r"[A-Z].{15,}\.", defect.about), defect.name
        assert defect.before or defect.after or defect.tampers


def test_the_catalogue_as_a_control(mock: Mock) -> None:
    """The control lists all of them, with what a person wants to know."""
    listed = httpx.get(f"{mock.url}/_mock/defects").raise_for_status().json()["defects"]

    assert [entry["name"] for entry in listed] == list(CATALOGUE)
    assert all(set(entry) == {"name", "provider", "area", "about", "live"} for entry in listed)
    assert {entry["name"] for entry in listed if entry["live"]} >= {"metadata-null", "terminate-answers-message"}


@pytest.mark.parametrize(("name", "near"), [("balance-as-numbr", "balance-as-number"), ("polar-rarely500", "polar-rarely-500")])
def test_unknown_names(name: str, near: str) -> None:
    """A name that is none is answered with those that are near."""
    with pytest.raises(InputError, match=near):
        find(name)


# ---------------------------------------------------------------- switches


def balance(mock: Mock, session: str, **headers: str) -> Any:
    """A wallet's balance: text, or a number where `balance-as-number` is on."""
    response = httpx.get(mock.url + WALLET, headers=KEY | {"x-mock-session": session} | headers)
    return response.raise_for_status().json()["balance"]


def test_a_session_has_its_own_defects(mock: Mock, session: str) -> None:
    """Defects are put, replaced and taken from one session; no other one has them."""
    assert switch(mock, session, "balance-as-number", "trailing-zeros", "balance-as-number").json() == {
        "defects": ["balance-as-number", "trailing-zeros"]
    }
    assert isinstance(balance(mock, session), float)
    assert isinstance(balance(mock, f"{session}-other"), str)

    assert switch(mock, session, "trailing-zeros").status_code == 200
    assert isinstance(balance(mock, session), str)
    path = f"{mock.url}/_mock/sessions/{session}/defects"
    assert httpx.get(path).json() == {"defects": ["trailing-zeros"]}
    assert httpx.get(path.replace(session, f"{session}-other")).json() == {"defects": []}
    assert switch(mock, session).json() == {"defects": []}


def test_a_reset_clears_the_defects(mock: Mock, session: str) -> None:
    """After a reset the session is honest."""
    switch(mock, session, "balance-as-number")
    httpx.post(f"{mock.url}/_mock/sessions/{session}/reset").raise_for_status()

    assert isinstance(balance(mock, session), str)
    assert httpx.get(f"{mock.url}/_mock/sessions/{session}/defects").json() == {"defects": []}


def test_a_session_with_an_unknown_name(mock: Mock, session: str) -> None:
    """Nothing is changed if one of the names is none, and the answer names the near ones."""
    switch(mock, session, "balance-as-number")
    response = switch(mock, session, "trailing-zeros", "trailing-zero")

    assert (response.status_code, response.json()["error"]) == (404, "not_found")
    assert "trailing-zeros" in response.json()["message"]
    assert isinstance(balance(mock, session), float)


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"defects": "x"}', '{"defects": [1]}', '{"defects": [], "more": 1}'])
def test_bodies_that_are_none(mock: Mock, session: str, body: str) -> None:
    """What is no list of names is a 400."""
    headers = {"content-type": "application/json"}
    response = httpx.put(f"{mock.url}/_mock/sessions/{session}/defects", content=body, headers=headers)

    assert (response.status_code, response.json()["error"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "prefer",
    [
        ["defect=balance-as-number"],
        ['respond-async, DEFECT="balance-as-number"; x=1'],
        ["wait=10", "defect = balance-as-number"],
        ['return="a, defect=none", defect=balance-as-number'],
    ],
)
def test_a_wish_of_one_request(mock: Mock, session: str, prefer: list[str]) -> None:
    """`Prefer` breaks one answer, which says so; the next one is honest."""
    headers = [("x-api-key", "test"), ("x-mock-session", session), *(("prefer", value) for value in prefer)]
    response = httpx.get(mock.url + WALLET, headers=headers)

    assert isinstance(response.json()["balance"], float)
    assert response.headers["preference-applied"] == "defect=balance-as-number"
    assert isinstance(balance(mock, session), str)


def test_several_wishes(mock: Mock, session: str) -> None:
    """Several may be named, in one header or in more; those of the other provider do nothing and are not confirmed."""
    wishes = ["defect=balance-as-number, defect=trailing-zeros", "defect=metadata-null", "defect=polar-cacheable"]
    headers = [("x-api-key", "test"), ("x-mock-session", session), *(("prefer", value) for value in wishes)]
    response = httpx.get(mock.url + WALLET, headers=headers)

    wallet = response.json()
    assert (type(wallet["balance"]), wallet["credit_balance"][-3:], wallet["metadata"]) == (float, ".00", None)
    assert response.headers["preference-applied"] == "defect=balance-as-number, defect=trailing-zeros, defect=metadata-null"


@pytest.mark.parametrize("prefer", ["", "respond-async", "return=minimal, wait=1", 'handling="lenient, defect=x"'])
def test_other_preferences(mock: Mock, session: str, prefer: str) -> None:
    """Preferences that are no defects pass by."""
    response = httpx.get(mock.url + WALLET, headers=KEY | {"prefer": prefer, "x-mock-session": session})

    assert response.status_code == 200
    assert "preference-applied" not in response.headers


def test_unknown_wishes(mock: Mock, polar: httpx.Client) -> None:
    """A wish for no defect is refused in the provider's own form, with the near names, and nothing is done."""
    headers = KEY | {"prefer": "defect=balance-as-numbr"}
    response = httpx.post(f"{mock.url}/v1/wallets", json={"customer_id": "c", "currency": "usd"}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "validation_error")
    assert "balance-as-number" in response.json()["message"]

    response = polar.get("/", headers={"prefer": "defect=polar-cachable"})
    entry = response.json()["detail"][0]
    assert (response.status_code, entry["loc"]) == (422, ["header", "prefer"])
    assert "polar-cacheable" in entry["msg"]


def test_defects_from_the_start() -> None:
    """`--defect` is on in every session and in the banner; a session may have others, and a reset brings it back."""
    with running("--defect", "balance-as-number", "--defect", "polar-cacheable") as started:
        assert "Defects:   balance-as-number, polar-cacheable\n" in started.banner
        assert isinstance(balance(started, "a"), float)
        switch(started, "a")
        assert isinstance(balance(started, "a"), str)
        assert isinstance(balance(started, "b"), float)
        httpx.post(f"{started.url}/_mock/sessions/a/reset").raise_for_status()
        assert isinstance(balance(started, "a"), float)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(defects=("balance-as-numbr",)), "balance-as-number"),
        (Settings(providers=("polar",), defects=("balance-as-number",)), "not served"),
    ],
)
def test_defects_that_cannot_be_had_at_start(settings: Settings, said: str) -> None:
    """A wrong name stops the start, with the near ones; so does a defect of a provider that is not served."""
    with pytest.raises(InputError, match=said):
        assemble(settings)


def test_all_defects_at_once(stage: Mock, client: httpx.Client, personas: Personas) -> None:
    """What one defect leaves may not suit the next; the mock answers all the same, and logs nothing."""
    for area in sorted(AREAS):
        names = [defect.name for defect in CATALOGUE.values() if defect.area == area]
        switch(stage, f"all-{area}", *names)
        for script in SCRIPTS.values():
            for number, seen in enumerate(script(sending(stage, f"all-{area}", client), personas)):
                assert not isinstance(seen, httpx.Response) or seen.status_code >= 200
                if number > 80:
                    break  # the rest repeats
