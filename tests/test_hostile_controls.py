"""Hostile and unlucky use of the controls: a clear error at once, nothing changed, nothing logged, and the server goes on."""

from __future__ import annotations

import asyncio
import copy
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from conftest import Mock, running
from flexprice_checks import Wallet, assert_ok

from contract_tests.mock_client import ControlError, MockClient, Session
from mock_server.assembly import Settings, assemble

ROOT = Path(__file__).parent.parent
NOON = "frozen:2026-11-21T12:00:00Z"
JSON = {"content-type": "application/json"}

Place = tuple[str | int, ...]


def _live(mock: Mock, session: Session) -> None:
    """Have something of every kind happen in a session."""
    session.set_clock(NOON)
    with httpx.Client(base_url=f"{mock.url}/v1", headers={"x-api-key": "k", **session.headers}) as flexprice:
        Wallet.create(flexprice, initial_credits_to_load=5)
        wallet = Wallet(flexprice, session.wallet("healthy").get()["wallet"]["id"])
        assert_ok(wallet.top_up(credits_to_add=3))
        assert_ok(wallet.top_up(credits_to_add=4, transaction_reason="PURCHASED_CREDIT_INVOICED"))
    session.wallet("healthy").pay_invoice()
    session.wallet("healthy").set(usage_rate={"amount": "0.5", "per": "hour"}, credit_balance=3)
    session.set_fault(fault="delay", delay="1ms", every=2, name="mine")
    session.start_scenario("drained")
    session.set_webhooks(url="http://127.0.0.1:9/x", enabled=False)
    session.polar.set_balance("ada.main", 7)
    session.advance("3h")


@pytest.fixture(scope="module")
def mine(mock: Mock) -> Iterator[Session]:
    """A session that nothing hostile changes."""
    with MockClient(mock.url) as client:
        made = client.session("hostile")
        _live(mock, made)
        yield made


def refused(mine: Session, method: str, path: str, content: bytes, headers: Mapping[Any, Any] = JSON) -> httpx.Response:
    """The answer to a control that must be refused: with a clear message, at once, and without any change."""
    before = mine.export()
    began = time.monotonic()
    with httpx.Client(base_url=f"{mine.mock.url}/_mock/sessions/{mine.name}", timeout=30) as client:
        answer = client.request(method, path, content=content, headers=headers)
    took = time.monotonic() - began

    assert answer.status_code in (400, 404, 405, 409, 413), answer.text[:300]
    problem = answer.json()
    assert set(problem) == {"error", "message"}
    assert 0 < len(problem["message"]) <= 2_000 or answer.status_code == 404
    assert took < 1
    assert mine.export() == before
    return answer


BODIES = {
    "deep list": b"[" * 100_000,
    "deep object": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "truncated": b'{"clock": "fro',
    "no utf-8": b'{"clock": "\xff\xfe"}',
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "NaN": b'{"by": NaN, "amount": NaN, "events": NaN, "credit_balance": NaN}',
    "Infinity": b'{"amount": 1e999, "credit_balance": -1e999, "events": 1e999}',
    "5,000 digits": b'{"amount": %s, "events": %s, "credit_balance": %s}' % ((b"9" * 5_000,) * 3),
    "lone surrogate": b'{"clock": "\\ud800", "by": "\\udfff", "text": "\\ud800", "url": "http://\\ud800/"}',
    "NUL": b'{"clock": "\\u0000", "text": "\\u0000"}',
    "negative": b'{"by": "-1s", "events": -1, "amount": -1, "credit_balance": -1}',
    "10 MB": b'{"text": "' + b"#" * 10_000_000 + b'"}',
    "17 MB": b'{"text": "' + b"#" * (17 << 20) + b'"}',
}
PLACES = [
    ("PUT", "/clock"),
    ("POST", "/clock/advance"),
    ("POST", "/undo"),
    ("PUT", "/import"),
    ("PATCH", "/wallets/healthy"),
    ("POST", "/wallets/healthy/usage"),
    ("PUT", "/faults"),
    ("POST", "/faults"),
    ("POST", "/scenarios"),
    ("PUT", "/defects"),
    ("POST", "/verify"),
    ("PUT", "/webhooks"),
    ("PATCH", "/polar/wallets/ada.main"),
]


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_none(mine: Session, name: str) -> None:
    """Whatever comes instead of a body that makes sense is refused by every control that takes one."""
    places = PLACES if len(BODIES[name]) < 1_000_000 else [("POST", "/scenarios"), ("PUT", "/import")]
    for method, path in places:
        refused(mine, method, path, BODIES[name])


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json", ""])
def test_content_types_that_are_none(mine: Session, content_type: str) -> None:
    """What does not say that it is JSON, as a form of a foreign page cannot, is not read as such."""
    refused(mine, "PUT", "/clock", b'{"clock": "real"}', {"content-type": content_type} if content_type else {})


@pytest.mark.parametrize("content", [b"[" * 1000, b"null", b"[]", b"{", b'{"amount": 1}', b"\xff"])
def test_a_body_where_none_is_asked_for(mock: Mock, session: str, content: bytes) -> None:
    """It is passed over, whatever it is."""
    with httpx.Client(base_url=f"{mock.url}/_mock/sessions/{session}", headers=JSON) as client:
        assert client.post("/polar/customers/ada/tokens/expire", content=content).status_code == 200
        assert client.post("/wallets/healthy/invoices", json={"amount": 1}).status_code == 201
        assert client.post("/wallets/healthy/invoices/latest/void", content=content).status_code == 200
        assert client.post("/webhooks/drain", content=content).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/../../etc/passwd"),
        ("PUT", "/snapshots/%2e%2e%2f%2e%2e%2fetc%2fpasswd"),
        ("PUT", "/snapshots/a%00b"),
        ("PUT", "/snapshots/a%0a"),
        ("PUT", "/snapshots/a%0d%0aX-Evil:%201"),
        ("PUT", "/snapshots/%ff"),
        ("PUT", f"/snapshots/{'a' * 65}"),
        ("DELETE", "/faults/..%2f..%2fx"),
        ("GET", "/wallets/..%2f..%2fetc"),
        ("GET", "/wallets/%00"),
        ("GET", f"/wallets/{'x' * 50_000}"),
        ("GET", f"/journal/{'9' * 5_000}"),
        ("GET", f"/events?after={'9' * 5_000}"),
        ("GET", "/events?after=-1"),
        ("GET", "/events?limit=NaN"),
        ("GET", "/journal?since=99999-01-01"),
    ],
)
def test_names_and_numbers_that_are_none(mine: Session, method: str, path: str) -> None:
    """What looks like a path, is no name, too long or no number leads nowhere."""
    refused(mine, method, path, b"")


@pytest.mark.parametrize("number", [b"9" * 5_000, b"-1", b"NaN", b"\xb2"])
def test_event_ids_that_are_none(mine: Session, number: bytes) -> None:
    """Last-Event-ID is a number, or the request is refused."""
    refused(mine, "GET", "/events", b"", {b"last-event-id": number})


@pytest.mark.parametrize(
    "clock",
    [
        "frozen:9999-12-31T23:59:59Z",
        "frozen:9999-01-01T00:00:00Z",
        "frozen:10000-01-01T00:00:00Z",
        "frozen:-0001-01-01T00:00:00Z",
        "frozen:1969-12-31T23:59:59Z",
        "frozen:0001-01-01T00:00:00+14:00",
        "frozen:9999-12-31T23:59:59-14:00",
        "offset:9999999d",
        "offset:-999999d",
        "offset:" + "9" * 50,
    ],
)
def test_clocks_beyond_the_calendar(mine: Session, clock: str) -> None:
    """No world leaves the years 1970 to 9998."""
    refused(mine, "PUT", "/clock", json.dumps({"clock": clock}).encode())


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
SCENARIOS = {
    "cyclic alias": "scenario: x\nsteps: &a [*a]\n",
    "alias to itself": "&a {scenario: x, steps: [{do: *a}]}",
    "alias bomb": BOMB,
    "many values": "[" + "a," * 500_000 + "]",
    "many directives": "".join(f"%TAG !a{number}! tag:x\n" for number in range(40_000)) + "---\nx: 1\n",
    "deep": "[" * 300_000,
    "deep keys": "{a: " * 250_000,
    "deep questions": "? " * 250_000,
    "duplicate keys": "scenario: x\nscenario: y\n",
    "long duplicate keys": f"? {'k' * 300_000}\n: 1\n? {'k' * 300_000}\n: 2\n",
    "long action": f"scenario: x\nsteps: [{{do: {{{'y' * 900_000}: {{}}}}}}]",
    "NUL": "scenario: \x00",
    "object": "!!python/object/apply:os.system [ls]",
    "NaN": "scenario: x\nsteps: [{do: {set-balance: {wallet: low, credits: .nan}}}]",
    "negative": "scenario: x\nsteps: [{after: -5s, do: {clear-faults: }}]",
    "1 MiB and more": "#" * ((1 << 20) + 1),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios_that_are_none(mine: Session, name: str) -> None:
    """A YAML text that would never end, or take the server with it, is refused in a moment."""
    refused(mine, "POST", "/scenarios", json.dumps({"text": SCENARIOS[name]}).encode())


HOSTILE = [
    *(None, True, -1, 2**63, 1e308, "", "-5", "NaN", "Infinity", "1e999999", "1e-999999", "1" * 5_000, [], {}),
    *("2026-11-21T12:00:00", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00", "P999999D", "-P5D"),
    *("a\r\nX-Evil: 1", "\x00", "../../etc/passwd", "wallet_01KSF5FR5GR5VX5PHQ9E1Y7PC0"),
]


def leaves(value: Any, path: Place = ()) -> Iterator[Place]:
    """The places of all values in JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inside in items:
        yield (*path, step)
        yield from leaves(inside, (*path, step))


def changed(data: Any, path: Place, value: Any) -> Any:
    """JSON with another value in one place."""
    data = copy.deepcopy(data)
    inside = data
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    return data


async def _ask(client: httpx.AsyncClient, method: str, path: str, body: Any = None) -> httpx.Response:
    return await client.request(method, path, json=body)


def test_an_import_with_any_value_changed(mine: Session, wallet_ids: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """An exported file in which any value is another one is refused, or makes a session that works: no answer is ever a 500."""
    data = json.loads(mine.export())
    cases = [
        (path, HOSTILE[(number * 7 + extra) % len(HOSTILE)])
        for number, path in enumerate(leaves(data))
        if path[0] not in ("format", "events") or (len(path) > 2 and path[2] != "kind")
        for extra in (number % 5,)
    ]
    wallet = f"/v1/wallets/{wallet_ids['healthy']}"
    looks: Sequence[tuple[str, str, Any]] = [
        ("GET", f"{wallet}/balance/real-time", None),
        ("GET", f"{wallet}/transactions?limit=1000", None),
        ("POST", "/v1/wallets/search", {}),
        ("POST", f"{wallet}/top-up", {"credits_to_add": 1, "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": "h"}),
        ("GET", "/_mock/sessions/h/webhooks/messages", None),
        ("GET", "/_mock/sessions/h/polar/customers", None),
        ("GET", "/_mock/sessions/h/wallets/healthy", None),
        ("POST", "/_mock/sessions/h/clock/advance", {"by": "30d"}),
        ("GET", "/_mock/sessions/h/export", None),
    ]
    app = assemble(Settings()).app
    statuses = []

    async def story() -> None:
        headers = {"x-api-key": "k", "x-mock-session": "h"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            for path, value in cases:
                content = json.dumps(changed(data, path, value)).encode()
                began = time.monotonic()
                answer = await client.put("/_mock/sessions/h/import", content=content, headers=JSON)
                statuses.append(answer.status_code)
                assert answer.status_code in (200, 400, 409), (path, value, answer.text)
                assert len(answer.text) < 2_000
                if answer.status_code == 200:
                    for method, where, body in looks:
                        seen = await _ask(client, method, where, body)
                        assert seen.status_code < 500, (path, value, where, seen.text)
                    await client.delete("/_mock/sessions/h")
                assert time.monotonic() - began < 1, (path, value)

    asyncio.run(story())
    assert statuses.count(409) > statuses.count(200) > 20
    assert caplog.text == ""


def _events(data: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for event in data["events"] if event["kind"] == kind]


def _row(data: dict[str, Any], number: int = 0) -> dict[str, Any]:
    row: dict[str, Any] = _events(data, "TransactionCreated")[number]["transaction"]
    return row


NOBODY = "wallet_01KSF5FR5GR5VX5PHQ9E1Y7PC0"
LIES: dict[str, Any] = {
    "a debit of an unknown wallet": lambda data: _row(data).update(wallet_id=NOBODY),
    "a negative amount": lambda data: _row(data).update(credit_amount="-5"),
    "credits out of nowhere": lambda data: _row(data).update(credit_balance_after="500000"),
    "more available than there is": lambda data: _row(data).update(credits_available="500000"),
    "another price": lambda data: _row(data).update(amount="17"),
    "another currency": lambda data: _row(data).update(currency="eur"),
    "a parent that is itself": lambda data: _row(data).update(parent_transaction_id=_row(data)["id"]),
    "a parent that is later": lambda data: _row(data, 1).update(parent_transaction_id=_row(data, 2)["id"]),
    "ids that are none": lambda data: _row(data).update(id="../../etc/passwd"),
    "the same row twice": lambda data: data["events"].append(copy.deepcopy(_events(data, "TransactionCreated")[-1])),
    "the same wallet twice": lambda data: data["events"].append(_events(data, "WalletCreated")[0] | {"at": data["at"]}),
    "an invoice paid twice": lambda data: data["events"].append(_events(data, "InvoicePaid")[0] | {"at": data["at"]}),
    "time that goes back": lambda data: data["events"][-1].update(at="2026-11-20T12:00:00Z"),
    "time without a zone": lambda data: data["events"][-1].update(at="2026-11-21T15:00:00"),
    "time beyond the calendar": lambda data: data["events"][-1].update(at="9999-12-31T23:59:59Z"),
    "a clock without a moment": lambda data: _events(data, "ClockMoved")[-1].update(clock={"mode": "frozen"}),
    "a clock beyond the calendar": lambda data: _events(data, "ClockMoved")[-1].update(
        clock={"mode": "offset", "offset": "P9999999D"}
    ),
    "a fault named like a header": lambda data: _events(data, "FaultSet")[0].update(name="a\r\nX-Evil: 1"),
    "a fault that was never set": lambda data: data["events"].append({"kind": "FaultsMet", "at": data["at"], "met": ["no"]}),
    "a threshold of a million digits": lambda data: data["events"].append(
        {
            "kind": "WalletUpdated",
            "at": data["at"],
            "wallet_id": _row(data)["wallet_id"],
            "alert_settings": {"critical": {"condition": "below", "threshold": "1e999999"}},
        }
    ),
    "a huge balance": lambda data: _events(data, "WalletChanged")[0].update(amount="9" * 4_000),
    "too many events": lambda data: data.update(events=[{"kind": "WebhooksDrained", "at": data["at"]}] * 100_001),
}


@pytest.mark.parametrize("lie", LIES)
def test_imports_that_contradict_themselves(mine: Session, lie: str) -> None:
    """Events that cannot follow on one another are refused with the number of the first that cannot."""
    data = json.loads(mine.export())
    LIES[lie](data)
    answer = refused(mine, "PUT", "/import", json.dumps(data).encode()) if lie != "too many events" else None
    if answer is None:
        with pytest.raises(ControlError, match="100000 events"):
            mine.load(json.dumps(data).encode())
    else:
        assert "event" in answer.json()["message"], answer.text


def test_what_defects_left_behind_can_be_exported_and_loaded(mock: Mock, session: str, flexprice: httpx.Client) -> None:
    """Sums that a defect has spoiled are spoiled in the file as well, and need not add up where it is loaded."""
    with MockClient(mock.url) as client:
        mine = client.session(session)
        mine.set_clock("frozen")
        wallet = Wallet.create(flexprice, initial_credits_to_load=5)
        for defect in client.call("GET", "/defects").json()["defects"]:
            if defect["provider"] == "flexprice":
                wallet.client.post(
                    f"/wallets/{wallet.id}/top-up",
                    json={"credits_to_add": 2, "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": defect["name"]},
                    headers={"prefer": f"defect={defect['name']}"},
                )
        exported = mine.export()
        mine.load(exported)

        assert json.loads(exported)["spoiled"] is True
        assert mine.export() == exported


# Who may use the controls

DOCUMENT = yaml.safe_load((ROOT / "openapi" / "control.yaml").read_text("utf-8"))
FILLS = {"session": "hostile", "provider": "flexprice", "index": "0", "number": "1", "wallet": "healthy", "customer": "ada"}
CONTROLS = [
    (method.upper(), "/".join(FILLS.get(part[1:-1], "x") if part.startswith("{") else part for part in path.split("/")))
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if method != "parameters"
]


def test_a_page_of_another_origin_uses_no_control(mock: Mock, mine: Session) -> None:
    """Not one, the event stream included; nor does a name that another's DNS has for this machine."""
    before = mine.export()
    with httpx.Client(base_url=mock.url) as client:
        for method, path in CONTROLS:
            for headers in (
                {"origin": "https://evil.example"},
                {"origin": "null"},
                {"origin": "http://localhost.evil.example", "accept": "text/event-stream"},
                {"host": "evil.example"},
                {"host": "localhost.evil.example"},
                {"host": "127.0.0.1.evil.example:80"},
            ):
                answer = client.request(method, path, headers=headers)
                assert (answer.status_code, answer.json()["error"][:7]) == (403, "foreign"), (method, path, headers)
                assert "access-control-allow-origin" not in answer.headers
    assert mine.export() == before


def test_the_token_is_needed_for_every_control(mine: Session) -> None:
    """For all but health and documentation; a wrong one is as good as none, and no answer tells it."""
    with running("--control-token", "t0p-secret-token") as guarded, httpx.Client(base_url=guarded.url) as client:
        for method, path in CONTROLS:
            if path in ("/_mock/health", "/_mock/docs"):
                assert client.request(method, path).status_code == 200
                continue
            for headers in ({}, {"x-control-token": ""}, {"x-control-token": "t0p"}, {"accept": "text/event-stream"}):
                answer = client.request(method, path, headers=headers)
                assert answer.status_code == 401, (method, path, headers)
                assert "t0p-secret-token" not in answer.text
        assert client.get("/_mock/sessions", headers={"x-control-token": "t0p-secret-token"}).status_code == 200
        assert "t0p-secret-token" not in guarded.banner


# Followers, races and memory


def test_followers_that_never_read_or_vanish() -> None:
    """They hold nobody up, neither writers nor the end of the server, which has nothing to complain of."""
    with running("--clock", NOON) as mock, MockClient(mock.url) as client:
        host, _, port = mock.url.removeprefix("http://").partition(":")
        followers = []
        for number in range(20):
            follower = socket.create_connection((host, int(port)))
            follower.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            follower.sendall(b"GET /_mock/sessions/x/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
            followers.append(follower)
            if number % 2:
                follower.close()
        faults = {"faults": [{"fault": "delay", "delay": "1ms", "name": f"n{number}"} for number in range(100)]}
        for _ in range(30):
            client.session("x").call("PUT", "/faults", faults)
        assert client.session("x").about()["events"] == 30 * 101
        client.session("x").delete()
        for follower in followers[::2]:
            follower.close()


def test_writes_that_race_with_imports_and_undos() -> None:
    """Whatever is acknowledged after the last rewind is there, once, and nothing fails."""

    async def story(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, headers={"x-mock-session": "race", "x-api-key": "k"}, timeout=30) as client:
            control = "/_mock/sessions/race"
            empty = (await client.get(f"{control}/export")).content

            async def rewind(number: int) -> None:
                if number % 3 == 0:
                    answer = await client.put(f"{control}/import", content=empty, headers=JSON)
                elif number % 3 == 1:
                    answer = await client.post(f"{control}/undo", json={"events": 2})
                else:
                    answer = await client.post(f"{control}/reset")
                assert answer.status_code in (200, 204, 409), answer.text

            async def write(number: int) -> None:
                body = {"currency": "usd", "customer_id": f"cust_{number}"}
                answer = await client.post("/v1/wallets", json=body)
                assert answer.status_code == 200, answer.text

            await asyncio.gather(*(step(number) for number in range(60) for step in (write, rewind)))
            await asyncio.gather(*(write(number) for number in range(100, 140)))
            events = (await client.get(f"{control}/events")).json()["events"]
            written = [event["wallet"]["customer_id"] for event in events if event["kind"] == "WalletCreated"]
            assert {f"cust_{number}" for number in range(100, 140)} <= set(written)
            assert len(written) == len(set(written))

    with running("--clock", NOON) as mock:
        asyncio.run(story(mock.url))


def test_nothing_is_left_of_sessions_that_come_and_go() -> None:
    """Where there is no more room nothing is written, and what was put into a session ends with it."""
    mock = assemble(Settings(max_sessions=3, population=10))
    worlds, board = mock.worlds, mock.board

    async def story() -> None:
        transport = httpx.ASGITransport(mock.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers={"x-api-key": "k"}) as client:
            empty = (await client.get("/_mock/sessions/default/export")).content
            [defect, *_] = (await client.get("/_mock/defects")).json()["defects"]
            for name in ("a", "b"):
                await client.put(f"/_mock/sessions/{name}/defects", json={"defects": [defect["name"]]})
            for number in range(20):
                name = f"more-{number}"
                answers = [
                    await client.put(f"/_mock/sessions/{name}/defects", json={"defects": [defect["name"]]}),
                    await client.put(f"/_mock/sessions/{name}/import", content=empty, headers=JSON),
                    await client.post("/v1/wallets/search", json={}, headers={"x-mock-session": name}),
                    await client.post(
                        "/v1/wallets/search",
                        json={},
                        headers={"x-mock-session": name, "prefer": f"defect={defect['name']}"},
                    ),
                ]
                assert [answer.status_code for answer in answers] == [503] * 4
                assert not await worlds.changed(name, 0, 0)
            for name in ("a", "b"):
                assert (await client.get(f"/_mock/sessions/{name}/defects")).json() == {"defects": [defect["name"]]}
                await client.delete(f"/_mock/sessions/{name}")

    asyncio.run(story())
    assert {session.name for session in worlds.sessions} == {"default"}
    assert not any(board.spoiled(name) for name in ("a", "b", "more-0"))
    assert (worlds._waking, worlds._replicas, worlds.log._sessions) == ({}, {}, {})  # type: ignore[attr-defined]
