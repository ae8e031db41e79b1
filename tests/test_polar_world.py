"""Polar's customers, wallets and tokens in a session: changed by controls, read through the provider's own operations."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polar.v2026_04
import pytest
from conftest import Mock
from gating import gate
from polar import PolarClientError
from pydantic import ValidationError

from contract_tests.source import SourceError
from mock_server.assembly import Settings, assemble
from mock_server.clock import parse_clock
from mock_server.event_codec import from_json, to_json
from mock_server.polar.actions import ACTIONS

Body = dict[str, Any]

LIST = "/v1/customer-portal/wallets/"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HUGE = 18446744073709551614
INVALID_TOKEN = b'{"error": "invalid_token", "error_description": "The access token provided is expired, revoked, malformed, '


class World:
    """Polar's controls in a session, and the provider as one of its customers sees it."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self.client = client
        self.controls = f"/_mock/sessions/{session}/polar"
        self.session = session

    def customers(self) -> dict[str, Body]:
        """All customers by name."""
        found = self.client.get(f"{self.controls}/customers").raise_for_status().json()["customers"]
        return {customer["name"]: customer for customer in found}

    def do(self, path: str, body: Any = None, method: str = "POST") -> Body:
        """A control that works."""
        response = self.client.request(method, self.controls + path, json=body)
        assert response.status_code in (200, 201), response.text
        answer: Body = response.json()
        return answer

    def refused(self, path: str, body: Any, status: int, method: str = "POST") -> str:
        """What a control that does not work says, having changed nothing."""
        before = self.client.get(f"{self.controls}/customers").content
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        response = self.client.request(method, self.controls + path, content=content, headers=headers)
        assert response.status_code == status, response.text
        assert self.client.get(f"{self.controls}/customers").content == before
        return str(response.json()["message"])

    def get(self, token: str, path: str = LIST, session: str = "") -> httpx.Response:
        """A call of the provider with a token."""
        headers = {"authorization": f"Bearer {token}", "x-mock-session": session or self.session}
        return self.client.get(path, headers=headers)

    def listed(self, token: str, **query: Any) -> list[Body]:
        """All wallets that a token shows, page by page, with totals that are right on every page."""
        headers = {"authorization": f"Bearer {token}", "x-mock-session": self.session}
        items: list[Body] = []
        for page in range(1, 100):
            response = self.client.get(LIST, params={"page": page, **query}, headers=headers).raise_for_status().json()
            items += response["items"]
            if page >= response["pagination"]["max_page"]:
                break
        assert response["pagination"] == {"total_count": len(items), "max_page": -(-len(items) // query.get("limit", 10))}
        return items


@pytest.fixture(scope="module")
def client(mock: Mock) -> Iterator[httpx.Client]:
    """A client of the whole server."""
    with httpx.Client(base_url=mock.url, verify=False) as made:
        yield made


@pytest.fixture
def world(client: httpx.Client, session: str) -> World:
    """A session of the test's own."""
    return World(client, session)


# ---------------------------------------------------------------- customers, wallets, transactions


def test_the_unchanged_session_shows_the_fixture(mock: Mock, world: World) -> None:
    """Names, ids and tokens are those of the personas; a token of the fixture never ends by itself, unless it has ended."""
    customers = world.customers()

    for name, persona in mock.personas().items():
        provider, _, reference = name.partition("/")
        if provider == "polar":
            customer = customers[reference.partition(".")[0]]
            assert customer["id"] == persona["ids"]["customer"]  # type: ignore[index]
            assert [token["token"] for token in customer["tokens"]] == [persona["token"]]
            wallet_ids = {wallet["name"]: wallet["id"] for wallet in customer["wallets"]}
            assert wallet_ids.get(reference) == persona["ids"].get("wallet")  # type: ignore[attr-defined]
    ended = [name for name, customer in customers.items() if any(token["expired"] for token in customer["tokens"])]
    assert ended == ["lapsed"]
    assert customers["ada"]["tokens"][0]["expires_at"] is None


def test_a_customer_from_nothing(world: World) -> None:
    """A new customer signs in and has no wallet, gets two, and reads their balances to the last digit."""
    carol = world.do("/customers", {"name": "carol"})
    token = carol["tokens"][0]["token"]
    assert (carol["session"], carol["role"], carol["wallets"]) == ("customer", "owner", [])
    assert token.startswith("polar_cst_")
    assert world.listed(token) == []

    main = world.do("/customers/carol/wallets", {"balance": 1250})
    big = world.do(f"/customers/{carol['id']}/wallets", {"currency": "jpy", "type": "usage", "balance": HUGE})

    assert (main["name"], main["type"], main["currency"], main["balance"]) == ("carol.usd", "billing", "usd", 1250)
    assert (big["name"], big["balance"]) == ("carol.jpy-usage", HUGE)
    seen = {wallet["id"]: wallet for wallet in world.listed(token)}
    assert {wallet["balance"] for wallet in seen.values()} == {1250, HUGE}
    assert {wallet["customer_id"] for wallet in seen.values()} == {carol["id"]}
    assert seen[main["id"]]["modified_at"] is None
    assert world.get(token, LIST + main["id"]).json() == seen[main["id"]]


def test_transactions_move_the_balance_and_nothing_else(mock: Mock, world: World) -> None:
    """The balance grows by exactly the amount, below zero and beyond 64 bits too; the row stays as it is (13)."""
    token = str(mock.personas()["polar/ada.main"]["token"])
    wallet_id = world.customers()["ada"]["wallets"][0]["id"]
    before = world.get(token, LIST + wallet_id).json()

    balance = before["balance"]
    for amount in (250, -10_000, 0, 2**63 - 1, 2**63 - 1, -(2**63), 1):
        balance += amount
        assert world.do("/wallets/ada.main/transactions", {"amount": amount})["balance"] == balance
        assert world.get(token, LIST + wallet_id).json() == {**before, "balance": balance}
    assert world.do(f"/wallets/{wallet_id}", {"balance": -7}, "PATCH")["balance"] == -7
    assert world.get(token, LIST + wallet_id).json() == {**before, "balance": -7}


def test_a_balance_that_is_right_already_is_no_event(world: World) -> None:
    """Setting what is there changes nothing; a transaction of nothing is one all the same."""
    about = f"/_mock/sessions/{world.session}"
    world.do("/wallets/ada.main", {"balance": 5000}, "PATCH")
    assert world.client.get(f"{about}/events").json()["events"] == []
    world.do("/wallets/ada.main/transactions", {"amount": 0})
    assert [event["kind"] for event in world.client.get(f"{about}/events").json()["events"]] == ["WalletChanged"]


@pytest.mark.parametrize("limit", [1, 7, 25, 100])
@pytest.mark.parametrize("sorting", [["-created_at"], ["balance", "-created_at"], ["-balance"]])
def test_pages_stay_exact_with_added_wallets(world: World, limit: int, sorting: list[str]) -> None:
    """Walking the pages meets every wallet once, in order, old ones and new ones of the same moment and balance."""
    world.client.put(f"/_mock/sessions/{world.session}/clock", json={"clock": "frozen"}).raise_for_status()
    token = world.customers()["paged"]["tokens"][0]["token"]
    for currency in ("bgn", "try", "isk", "thb"):
        world.do("/customers/paged/wallets", {"currency": currency, "balance": 1000})
    whole = world.listed(token, limit=100, sorting=sorting)
    walked = world.listed(token, limit=limit, sorting=sorting)

    assert walked == whole
    assert len({wallet["id"] for wallet in whole}) == 27
    field = sorting[0].lstrip("-")
    values = [datetime.fromisoformat(wallet[field]) if field == "created_at" else wallet[field] for wallet in whole]
    assert values == sorted(values, reverse=sorting[0].startswith("-"))


def test_members_of_the_population_change_too(world: World) -> None:
    """A member is named by number, and reads what was changed with the token that is its own."""
    member = world.client.get("/_mock/population/polar/1").raise_for_status().json()
    added = world.do("/customers/member 1/wallets", {"currency": "jpy", "balance": 5})
    world.do("/wallets/member 1.0/transactions", {"amount": -3})

    assert {wallet["balance"] for wallet in world.listed(member["token"])} == {5, -3, -40}
    assert world.do(f"/wallets/{member['ids']['wallet_0']}", {"balance": 1}, "PATCH")["name"] == "member 1.0"
    assert "member 1" in world.customers()
    assert added["name"] == "member 1.jpy"
    assert "no customer 'member 1000'" in world.refused("/customers/member 1000/tokens", {}, 404)


def test_the_sdk_reads_what_the_controls_did(mock: Mock, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polar's own SDK lists and gets a new wallet, and takes the end of the token for what it is."""
    find = socket.getaddrinfo  # not every system knows the names below localhost
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: find("127.0.0.1", *rest, **more))
    host = f"http://{world.session}.localhost:{mock.url.rpartition(':')[2]}"
    token = world.do("/customers", {"name": "sdk-user", "session": "member", "role": "billing_manager"})["tokens"][0]["token"]
    assert token.startswith("polar_mst_")
    wallet = world.do("/customers/sdk-user/wallets", {"balance": HUGE, "currency": "eur"})

    with polar.v2026_04.Polar(token, base_url=host) as sdk:
        assert [item.balance for item in sdk.customer_portal.wallets.iter_list()] == [HUGE]
        world.do("/wallets/sdk-user.eur/transactions", {"amount": -1})
        got = sdk.customer_portal.wallets.get(wallet["id"])
        assert (got.balance, got.currency, got.modified_at) == (HUGE - 1, "eur", None)
        world.do("/customers/sdk-user/tokens/expire")
        with pytest.raises(PolarClientError) as refused:
            sdk.customer_portal.wallets.list()
        assert refused.value.status_code == 401


# ---------------------------------------------------------------- tokens


def test_expired_tokens_are_refused_like_any(mock: Mock, world: World) -> None:
    """All tokens of the customer end at once, those of others do not; a new one works; the answer is that of an unknown one."""
    personas = mock.personas()
    first, other, lapsed = (str(personas[f"polar/{name}.main"]["token"]) for name in ("ada", "bob", "lapsed"))
    second = world.do("/customers/ada/tokens", {"expires_in": "2 days"})
    assert not second["expired"]
    assert world.get(second["token"]).content == world.get(first).content

    ended = world.do("/customers/ada/tokens/expire")["tokens"]

    assert [token["expired"] for token in ended] == [True, True]
    for token in (first, second["token"]):
        assert world.get(token).status_code == 401
        assert world.get(token).content == world.get(lapsed).content == world.get("polar_cst_nobody").content
        assert world.get(token).content.startswith(INVALID_TOKEN)
    assert world.get(other).status_code == 200
    assert world.get(world.do("/customers/ada/tokens", {})["token"]).status_code == 200
    assert world.do("/customers/lapsed/tokens/expire")["tokens"] == world.customers()["lapsed"]["tokens"]


def test_roles_of_added_customers(world: World) -> None:
    """A mere member may not see wallets, whichever token it has; a billing manager may."""
    for role, status in (("member", 403), ("billing_manager", 200), ("owner", 200)):
        added = world.do("/customers", {"name": f"the-{role}", "session": "member", "role": role})
        tokens = [added["tokens"][0], world.do(f"/customers/the-{role}/tokens", {})]
        assert [world.get(token["token"]).status_code for token in tokens] == [status, status]


def in_process(settings: Settings, story: Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]]) -> None:
    """Run a story against a mock in this process, whose clock stands at noon."""
    mock = assemble(settings)

    async def run() -> None:
        transport = httpx.ASGITransport(mock.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await story(client)

    asyncio.run(run())


AT_NOON = parse_clock("frozen:2026-11-21T12:00:00Z", NOON)


async def signed_in(client: httpx.AsyncClient, token: str) -> int:
    """What the provider answers to a token."""
    return (await client.get(LIST, headers={"authorization": f"Bearer {token}"})).status_code


async def advance(client: httpx.AsyncClient, span: str) -> None:
    """Move the clock on."""
    (await client.post("/_mock/sessions/default/clock/advance", json={"by": span})).raise_for_status()


def test_tokens_end_on_the_worlds_clock() -> None:
    """An issued token is good for an hour or as long as it says, to the microsecond; one of the fixture for ever."""
    base = "/_mock/sessions/default/polar/customers"

    async def story(client: httpx.AsyncClient) -> None:
        ada = (await client.get(base)).json()["customers"][0]["tokens"][0]["token"]
        new = (await client.post(base, json={"name": "carol"})).json()["tokens"][0]
        long = (await client.post(f"{base}/carol/tokens", json={"expires_in": "1 day"})).json()
        none = (await client.post(f"{base}/carol/tokens", json={"expires_in": "0s"})).json()
        assert (new["expires_at"], long["expires_at"]) == ("2026-11-21T13:00:00.000000Z", "2026-11-22T12:00:00.000000Z")
        assert (none["expired"], await signed_in(client, none["token"])) == (True, 401)

        await client.post("/_mock/sessions/default/clock/advance", json={"to": "2026-11-21T12:59:59.999999Z"})
        assert await signed_in(client, new["token"]) == 200
        await client.post("/_mock/sessions/default/clock/advance", json={"to": "2026-11-21T13:00:00Z"})
        assert await signed_in(client, new["token"]) == 401
        assert await signed_in(client, long["token"]) == 200
        tokens = (await client.get(base)).json()["customers"][-1]["tokens"]
        assert [token["expired"] for token in tokens] == [True, False, True]
        await advance(client, "1d")
        assert await signed_in(client, long["token"]) == 401
        await advance(client, "5000w")
        assert await signed_in(client, ada) == 200

    in_process(Settings(clock=AT_NOON), story)


FIXTURE = """
provider: polar
customers:
  ann: {{about: Leaves on the second day, token: {token}, wallets: {{eur: {{about: Named by another currency, balance: 1}}}}}}
"""


@pytest.mark.parametrize(
    ("token", "last"),
    [("{expires: in 2 days}", "2026-11-23T00:00:00Z"), ("{expires: 2026-11-22T06:30:00Z}", "2026-11-22T06:30:00Z")],
)
def test_fixture_tokens_end_when_the_file_says(tmp_path: Path, token: str, last: str) -> None:
    """Relative times count from the start of the world's first day."""
    (tmp_path / "polar.yaml").write_text(FIXTURE.format(token=token))

    async def story(client: httpx.AsyncClient) -> None:
        base = "/_mock/sessions/default"
        ann = (await client.get(f"{base}/polar/customers")).json()["customers"][0]["tokens"][0]
        assert ann["expires_at"] == last.replace("Z", ".000000Z")
        before = datetime.fromisoformat(last) - timedelta(microseconds=1)
        await client.post(f"{base}/clock/advance", json={"to": before.isoformat()})
        assert await signed_in(client, ann["token"]) == 200
        await client.post(f"{base}/clock/advance", json={"to": last})
        assert await signed_in(client, ann["token"]) == 401

    in_process(Settings(providers=("polar",), fixtures=(tmp_path / "polar.yaml",), clock=AT_NOON), story)


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("soon", "expected valid, expired, or a mapping such as {expires: in 3 days}, got 'soon'"),
        ("{expires: in 5 weeks}", "got 'in 5 weeks'"),
        ("{expires: in 99999999999999999999 days}", "got 'in 99999999999999999999 days'"),
        ("{ends: in 5 days}", "unknown field 'ends'; known here: expires"),
    ],
)
def test_fixture_token_mistakes(tmp_path: Path, token: str, problem: str) -> None:
    """A token that the file describes wrongly stops the start, with its line."""
    (tmp_path / "polar.yaml").write_text(FIXTURE.format(token=token))

    with pytest.raises(SourceError) as error:
        assemble(Settings(providers=("polar",), fixtures=(tmp_path / "polar.yaml",)))

    assert f"{tmp_path / 'polar.yaml'}:4: /customers/ann/token" in str(error.value)
    assert problem in str(error.value)


def test_a_wallet_never_takes_anothers_name(tmp_path: Path) -> None:
    """Where the fixture calls a wallet in dollars `eur`, one in euro is named by its id."""
    (tmp_path / "polar.yaml").write_text(FIXTURE.format(token="valid"))

    async def story(client: httpx.AsyncClient) -> None:
        base = "/_mock/sessions/default/polar"
        added = (await client.post(f"{base}/customers/ann/wallets", json={"currency": "eur"})).json()
        assert added["name"] == f"ann.{added['id']}"
        changed = await client.post(f"{base}/wallets/{added['name']}/transactions", json={"amount": 2})
        assert (changed.json()["id"], changed.json()["balance"]) == (added["id"], 2)

    in_process(Settings(providers=("polar",), fixtures=(tmp_path / "polar.yaml",)), story)


# ---------------------------------------------------------------- sessions, reset, repetition


def test_sessions_are_apart_and_reset_forgets(mock: Mock, world: World) -> None:
    """What was changed in a session shows in no other, its tokens are unknown there, and a reset undoes all of it."""
    elsewhere = World(world.client, f"{world.session}-other")
    ada = str(mock.personas()["polar/ada.main"]["token"])
    before = world.get(ada).content
    carol = world.do("/customers", {"name": "carol"})["tokens"][0]["token"]
    world.do("/customers/ada/wallets", {"currency": "sek"})
    world.do("/wallets/ada.main", {"balance": 1}, "PATCH")

    assert world.get(ada).content != before
    assert elsewhere.get(ada).content == before
    assert elsewhere.get(carol).status_code == 401
    assert "carol" not in elsewhere.customers()
    world.do("/customers/ada/tokens/expire")
    assert (world.get(ada).status_code, elsewhere.get(ada).status_code) == (401, 200)

    world.client.post(f"/_mock/sessions/{world.session}/reset").raise_for_status()

    assert world.get(ada).content == before
    assert world.get(carol).status_code == 401
    assert (
        world.client.get(f"{world.controls}/customers").content == elsewhere.client.get(f"{elsewhere.controls}/customers").content
    )


def test_the_same_story_gives_the_same_bytes() -> None:
    """Ids, tokens and times depend on the seed and on what was done, also when the events are written down and read again."""
    told: list[bytes] = []

    async def story(client: httpx.AsyncClient) -> None:
        base = "/_mock/sessions/default/polar"
        await client.post(f"{base}/customers", json={"name": "carol"})
        await client.post(f"{base}/customers/carol/wallets", json={"balance": HUGE})
        await client.post(f"{base}/customers/carol/tokens", json={})
        await client.post(f"{base}/customers/bob/tokens/expire")
        await client.patch(f"{base}/wallets/ada.huge", json={"balance": -HUGE})
        told.append((await client.get(f"{base}/customers")).content)
        file = await client.get("/_mock/sessions/default/export")
        (
            await client.put("/_mock/sessions/copy/import", content=file.content, headers={"content-type": "application/json"})
        ).raise_for_status()
        told.append((await client.get("/_mock/sessions/copy/polar/customers")).content)

    in_process(Settings(clock=AT_NOON), story)
    in_process(Settings(clock=AT_NOON), story)

    assert len(set(told)) == 1
    assert str(HUGE).encode() in told[0]


def test_events_keep_every_digit_when_written() -> None:
    """Amounts beyond 64 bits are text in the log's JSON, which many readers would round otherwise."""

    async def story(client: httpx.AsyncClient) -> None:
        await client.patch("/_mock/sessions/default/polar/wallets/ada.main", json={"balance": 10**22})
        assert f'"{10**22 - 5000}"' in (await client.get("/_mock/sessions/default/events")).text

    in_process(Settings(), story)
    event = from_json({"kind": "WalletChanged", "at": NOON.isoformat(), "customer": "a", "wallet_id": "b", "amount": str(10**22)})
    assert from_json(to_json(event)) == event
    assert event.amount == 10**22  # type: ignore[attr-defined]


# ---------------------------------------------------------------- mistakes


BAD_CALLS: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/customers/nobody/wallets", {}, 404, "no customer 'nobody'; there are ada, bob"),
    ("POST", "/customers/nobody/tokens", {}, 404, "no customer 'nobody'"),
    ("POST", "/customers/nobody/tokens/expire", {}, 404, "no customer 'nobody'"),
    ("POST", "/customers/" + "x" * 201 + "/tokens", {}, 400, "customer"),
    ("PATCH", "/wallets/ada.none", {"balance": 1}, 404, "no wallet 'ada.none'; there are ada.main, ada.empty"),
    ("PATCH", "/wallets/ada", {"balance": 1}, 404, "no wallet 'ada'"),
    ("POST", "/wallets/9f0c7a44-6a3c-4d5e-8b1a-0123456789ab/transactions", {"amount": 1}, 404, "no wallet"),
    ("POST", "/customers", {"name": "ada"}, 409, "there is a customer 'ada' already"),
    ("POST", "/customers", {"name": "a.b"}, 400, "name"),
    ("POST", "/customers", {"name": ""}, 400, "name"),
    ("POST", "/customers", {"name": "x\n"}, 409, "name"),
    ("POST", "/customers", {"name": "x", "role": "king"}, 400, "role"),
    ("POST", "/customers", {"name": "x", "wallets": []}, 400, "wallets"),
    ("POST", "/customers", {}, 400, "name"),
    ("POST", "/customers", [], 400, ""),
    ("POST", "/customers", b"{", 400, ""),
    ("POST", "/customers/ada/wallets", {}, 409, "ada has a billing wallet in usd already"),
    ("POST", "/customers/ada/wallets", {"currency": "xyz1"}, 400, "currency"),
    ("POST", "/customers/ada/wallets", {"currency": "SEK"}, 400, "currency"),
    ("POST", "/customers/ada/wallets", {"currency": "sek\n"}, 409, "currency"),
    ("POST", "/customers/ada/wallets", {"currency": "sek", "type": "gift"}, 400, "type"),
    ("POST", "/customers/ada/wallets", {"currency": "sek", "balance": 10**22 + 1}, 400, "balance"),
    ("POST", "/customers/ada/tokens", {"expires_in": "-1h"}, 400, "expires_in"),
    ("POST", "/customers/ada/tokens", {"expires_in": "soon"}, 400, "expires_in"),
    ("POST", "/customers/ada/tokens", {"expires_in": 60}, 400, "expires_in"),
    ("PATCH", "/wallets/ada.main", {"balance": 1.5}, 400, "balance"),
    ("PATCH", "/wallets/ada.main", {"balance": "1"}, 400, "balance"),
    ("PATCH", "/wallets/ada.main", {"balance": True}, 400, "balance"),
    ("PATCH", "/wallets/ada.main", {"balance": None}, 400, "balance"),
    ("PATCH", "/wallets/ada.main", b'{"balance": NaN}', 400, ""),
    ("PATCH", "/wallets/ada.main", b'{"balance": 1e400}', 400, ""),
    ("PATCH", "/wallets/ada.main", b'{"balance": ' + b"9" * 5000 + b"}", 400, ""),
    ("PATCH", "/wallets/ada.main", b'{"balance": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, ""),
    ("POST", "/wallets/ada.main/transactions", {"amount": 2**63}, 400, "amount"),
    ("POST", "/wallets/ada.main/transactions", {"amount": -(2**63) - 1}, 400, "amount"),
    ("POST", "/wallets/ada.main/transactions", {}, 400, "amount"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "problem"), BAD_CALLS, ids=[str(n) for n in range(len(BAD_CALLS))])
def test_mistakes_change_nothing(world: World, method: str, path: str, body: Any, status: int, problem: str) -> None:
    """A clear error says what is wrong and what there is; the session stays as it was."""
    assert problem in world.refused(path, body, status, method)


def test_names_stay_unambiguous(world: World) -> None:
    """Nobody is named like somebody else, or like somebody else's id."""
    bob = world.customers()["bob"]
    for name in ("bob", bob["id"], bob["wallets"][0]["id"]):
        assert "already" in world.refused("/customers", {"name": name}, 409)
    world.do("/customers", {"name": "carol"})
    assert "already" in world.refused("/customers", {"name": "carol"}, 409)


def test_a_server_without_polar_says_so() -> None:
    """The controls are there, and say what is missing."""

    async def story(client: httpx.AsyncClient) -> None:
        base = "/_mock/sessions/default/polar"
        for answer in (await client.get(f"{base}/customers"), await client.post(f"{base}/customers", json={"name": "x"})):
            assert (answer.status_code, answer.json()["message"]) == (404, "this server does not serve polar")

    in_process(Settings(providers=("flexprice",)), story)


def test_a_log_of_another_fixture_is_refused() -> None:
    """Events about customers, wallets or tokens that are not there do not half happen: the session stays as it was."""
    mock = assemble(Settings(clock=AT_NOON))
    at = NOON.isoformat()
    carol = "11111111-1111-4111-8111-111111111111"
    first = {"kind": "CustomerAdded", "at": at, "name": "carol", "customer_id": carol, "session": "customer", "role": "owner"}
    wrong: list[Body] = [
        {"kind": "WalletChanged", "at": at, "customer": "nobody", "wallet_id": "w", "amount": "1"},
        {"kind": "WalletChanged", "at": at, "customer": "carol", "wallet_id": "w", "amount": "1"},
        {"kind": "TokenExpired", "at": at, "token": "polar_cst_nobody"},
        first,
    ]

    async def run() -> None:
        for event in wrong:
            with pytest.raises(Exception, match=r"event 2 \(\w+\) cannot happen here: "):
                await mock.worlds.restore("default", [from_json(first), from_json(event)])
            assert (await mock.worlds.current("default")).position == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("add-customer", {"name": "new", "session": "member", "role": "member"}),
        ("add-wallet", {"customer": "ada", "currency": "sek", "type": "usage", "balance": 5}),
        ("set-wallet-balance", {"wallet": "ada.main", "balance": "12"}),
        ("add-transaction", {"wallet": "ada.main", "amount": -1}),
        ("issue-token", {"customer": "ada", "expires_in": "90 minutes"}),
        ("expire-token", {"customer": "ada"}),
    ],
)
def test_actions_as_files_write_them(action: str, fields: Body) -> None:
    """Each action is known by its name, takes its fields, and no others."""
    ACTIONS[action].model_validate(fields)
    with pytest.raises(ValidationError, match="Extra inputs"):
        ACTIONS[action].model_validate({**fields, "colour": "red"})


# ---------------------------------------------------------------- the mock's own gate


def test_the_gate_is_clean_in_a_changed_session(mock: Mock, world: World) -> None:
    """Rules and probes find nothing wrong with customers who came later, and with balances that moved."""
    for name in ("first", "second"):
        world.do("/customers", {"name": name})
        for currency in ("usd", "eur", "jpy"):
            world.do(f"/customers/{name}/wallets", {"currency": currency, "balance": 7})
        world.do(f"/wallets/{name}.usd/transactions", {"amount": -HUGE // 4})
    tokens = {name: customer["tokens"][0]["token"] for name, customer in world.customers().items()}
    world.do("/customers/bob/tokens/expire")
    bearers = {"main": tokens["first"], "other": tokens["second"], "expired": tokens["bob"]}

    run = gate(mock.url, "polar", world.session, bearers=bearers)

    assert run.verdict == "pass", run.causes
