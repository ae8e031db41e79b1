"""The journal of a session, what it says of requests, and the controls that ask it whether an operation was called.

All this is the same whether one process keeps it, or two workers share it: what one answers is asked of either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from conftest import Mock, ids_of_wallets, running
from flexprice_checks import assert_ok

KEY = "flex-live-9f8e7d6c5b"


class Journal:
    """The controls of one session's journal."""

    def __init__(self, url: str, session: str) -> None:
        self.url = f"{url}/_mock/sessions/{session}"

    def read(self, **query: Any) -> dict[str, Any]:
        """The answer to a query."""
        response = httpx.get(f"{self.url}/journal", params=query)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def entries(self, **query: Any) -> list[dict[str, Any]]:
        """The entries that are as asked for."""
        found: list[dict[str, Any]] = self.read(**query)["entries"]
        return found

    def numbers(self, **query: Any) -> list[int]:
        """Their numbers."""
        return [entry["number"] for entry in self.entries(**query)]

    def entry(self, number: int) -> dict[str, Any]:
        """One entry."""
        response = httpx.get(f"{self.url}/journal/{number}")
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def verify(self, operation: str, **expected: Any) -> dict[str, Any]:
        """Whether it was called as expected."""
        response = httpx.post(f"{self.url}/verify", json={"operation": operation} | expected)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body


@pytest.fixture(scope="module", params=["memory", "shared"])
def mock(request: pytest.FixtureRequest, mock: Mock) -> Iterator[Mock]:
    """A mock of one process, and one of two."""
    if request.param == "memory":
        yield mock
    else:
        with running("--workers", "2") as shared:
            yield shared


@pytest.fixture(scope="module")
def wallet_ids(mock: Mock) -> dict[str, str]:
    """Wallet ids of the Flexprice personas by name."""
    return ids_of_wallets(mock)


@pytest.fixture
def journal(mock: Mock, session: str) -> Journal:
    """The journal of the test's session."""
    return Journal(mock.url, session)


@pytest.fixture(scope="module")
def small() -> Iterator[Mock]:
    """A mock that keeps three exchanges of a session."""
    with running("--journal", "3") as started:
        yield started


def refusal(response: httpx.Response, status: int) -> str:
    """The message of a control's error."""
    assert response.status_code == status, response.text
    message = response.json()["message"]
    assert isinstance(message, str)
    return message


def test_an_entry_tells_the_whole_exchange(
    flexprice: httpx.Client, journal: Journal, session: str, wallet_ids: dict[str, str]
) -> None:
    """Request and answer, the operation that was reached, the wallet that it was about; nothing is wrong with them."""
    wallet = wallet_ids["healthy"]
    answer = flexprice.put(f"/wallets/{wallet}", params={"a": ["1", "2"], "b": ""}, json={"name": "Größe"})

    (entry,) = journal.entries()
    request, response = entry["request"], entry["response"]
    assert entry == journal.entry(1)
    assert {name: entry[name] for name in ("number", "session", "provider", "operation", "wallets", "findings", "hint")} == {
        "number": 1,
        "session": session,
        "provider": "flexprice",
        "operation": "updateWallet",
        "wallets": [wallet],
        "findings": [],
        "hint": [],
    }
    assert 0 < entry["took_ms"] < 60_000
    assert (request["method"], request["path"], request["query"]) == (
        "PUT",
        f"/v1/wallets/{wallet}",
        {"a": ["1", "2"], "b": [""]},
    )
    assert (request["body"], request["body_bytes"], request["body_cut"]) == ({"name": "Größe"}, 18, False)
    assert request["headers"]["content-type"] == "application/json"
    assert (response["status"], response["body"]) == (200, answer.json())
    assert response["headers"]["x-request-id"] == answer.headers["x-request-id"]


def test_sessions_apart(mock: Mock, flexprice: httpx.Client, journal: Journal, session: str) -> None:
    """A journal has its own session's exchanges only, none of the controls', and asking for it makes no session."""
    flexprice.get("/customers/wallets", params={"id": "nobody"})
    httpx.get(f"{mock.url}/_mock/personas", headers={"x-mock-session": session})

    assert [entry["operation"] for entry in journal.entries()] == ["getCustomerWallets"]
    other = f"{session}-other"
    assert Journal(mock.url, other).read() == {"entries": [], "count": 0, "last": 0, "dropped": 0}
    assert other not in httpx.get(f"{mock.url}/_mock/sessions").text


def test_polar_and_whole_numbers_of_any_size(mock: Mock, polar: httpx.Client, journal: Journal) -> None:
    """Polar's exchanges are there too, with every digit of a balance beyond 64 bits."""
    wallet = str(mock.personas()["polar/ada.huge"]["ids"]["wallet"])  # type: ignore[index]
    answer = polar.get(f"/{wallet}")
    polar.get("/")

    one, every = journal.entries()
    assert (one["provider"], one["operation"], one["wallets"]) == ("polar", "customer_portal:wallets:get", [wallet])
    assert one["response"]["body"]["balance"] == answer.json()["balance"] > 2**53
    assert wallet in every["wallets"]
    assert len(every["wallets"]) == len(every["response"]["body"]["items"])
    assert journal.numbers(wallet=wallet) == [1, 2]


def test_secrets_are_never_shown(mock: Mock, session: str, journal: Journal, wallet_ids: dict[str, str]) -> None:
    """Not in headers, parameters, or bodies that are JSON or not; not in lists, entries, findings or verdicts."""
    secrets = {
        "x-api-key": KEY,
        "authorization": "Bearer bearer-0123456789",
        "cookie": "sid=cookie-0123456789; theme=dark",
        "x-session-token": "session-0123456789",
        "x-control-token": "control-0123456789",
    }
    body = {
        "name": 7,
        "description": f"key {KEY}",
        "metadata": {"access_token": "body-0123456789", "note": "sid is cookie-0123456789"},
    }
    with httpx.Client(base_url=f"{mock.url}/v1", headers={"x-mock-session": session, **secrets}) as client:
        client.put(f"/wallets/{wallet_ids['healthy']}", params={"token": "query-0123456789"}, json=body)
        client.put(f"/wallets/{wallet_ids['healthy']}", content=b'{"client_secret": "half-0123456789", "name": "x')
        client.post("/oauth", content=b"grant=a&password=form-0123456789&b=c")
        client.get("/walets", params={"note": f"{KEY}!"})
        client.put(f"/wallets/{wallet_ids['healthy']}", json={"name": 7, "token": ["list-0123456789"] * 4_000})
    wanted = {"path": {"id": "w"}, "headers": {"x-api-key": "w"}, "body": {"name": "w", "metadata": {"access_token": "w"}}}
    text = httpx.get(f"{journal.url}/journal").text + str([journal.entry(number) for number in range(1, 6)])
    text += str(journal.verify("updateWallet", where=wanted))

    assert [entry["operation"] for entry in journal.entries()] == ["updateWallet", "updateWallet", None, None, "updateWallet"]
    assert "key ***" in text
    assert "sid is ***" in text
    assert re.search("body.metadata.access_token (was another than expected|is a secret, and was not kept)", text)
    assert KEY not in text
    assert "0123456789" not in text


def test_a_long_body_is_cut_and_says_so(flexprice: httpx.Client, journal: Journal, wallet_ids: dict[str, str]) -> None:
    """Its first 16 KiB are there as text, with how long it really is."""
    assert_ok(flexprice.put(f"/wallets/{wallet_ids['healthy']}", json={"metadata": {"long": "ü" * 20_000}}))

    (entry,) = journal.entries()
    for side, at_least in (("request", 40_000), ("response", 40_000)):
        shown = entry[side]
        assert shown["body_cut"] is True
        assert len(shown["body"]) == 16 << 10
        assert shown["body_bytes"] > at_least


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe\x00",
        b'{"a":"\\ud800"}',
        b'{"a":1e999}',
        b'{"a":NaN}',
        b"[" * 150 + b"]" * 150,
        b"[" * 100_000,
        b"9" * 5_000,
        b'{"a":123456789012345678901234567890}',
    ],
)
def test_bodies_that_are_hard_to_show(mock: Mock, flexprice: httpx.Client, journal: Journal, body: bytes) -> None:
    """Whatever is sent, the journal can be read."""
    flexprice.post("/wallets", content=body, headers={"content-type": "application/json"})

    (entry,) = journal.entries()
    assert entry["request"]["body_bytes"] == len(body)
    assert entry["request"]["body"]
    assert journal.verify("createWallet", where={"body": {"b": 1}})["verified"] is False


def test_findings(flexprice: httpx.Client, journal: Journal, wallet_ids: dict[str, str]) -> None:
    """What is wrong with a request, and with an answer, is said with its place."""
    wallet = wallet_ids["healthy"]
    flexprice.put(f"/wallets/{wallet}", json={"name": 7})
    flexprice.get(f"/wallets/{wallet}/balance/real-time", headers={"prefer": "defect=balance-as-number"})
    flexprice.get(f"/wallets/{wallet}")

    wrong, defective, honest = journal.entries()
    assert [(f["rule"], f["pointer"], f["got"]) for f in wrong["findings"]] == [("request.body", "/name", "7")]
    assert any((f["rule"], f["pointer"]) == ("response.body", "/balance") for f in defective["findings"])
    assert honest["findings"] == []


def test_queries(mock: Mock, flexprice: httpx.Client, journal: Journal, wallet_ids: dict[str, str]) -> None:
    """By operation, status or kind of status, wallet, number; several at once; the last ones, or the first after a number."""
    healthy, low = wallet_ids["healthy"], wallet_ids["low"]
    flexprice.get(f"/wallets/{healthy}")  # 1
    flexprice.get(f"/wallets/{low}")  # 2
    flexprice.get("/wallets/wallet_none")  # 3
    flexprice.get("/nothing")  # 4
    flexprice.put(f"/wallets/{healthy}", json={"name": 7})  # 5
    flexprice.post("/wallets/search", json={"wallet_ids": [low]})  # 6
    flexprice.get(f"/wallets/{healthy}")  # 7

    assert journal.numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert journal.numbers(operation="getWallet") == [1, 2, 3, 7]
    assert journal.numbers(status="404") == [3, 4]
    assert journal.numbers(status="4xx") == [3, 4, 5]
    assert journal.numbers(wallet=healthy) == [1, 5, 7]
    assert journal.numbers(wallet=low) == [2, 6]
    assert journal.numbers(wallet="wallet_none") == [3]
    assert journal.numbers(wallet=healthy, status="400", operation="updateWallet") == [5]
    assert journal.numbers(limit=2) == [6, 7]
    assert journal.numbers(after=2, limit=2) == [3, 4]
    assert journal.numbers(after=7) == []
    found = journal.read(operation="getWallet", limit=1)
    assert (found["count"], found["last"], found["dropped"]) == (4, 7, 0)


def test_queries_by_the_time_in_the_world(flexprice: httpx.Client, journal: Journal, wallet_ids: dict[str, str]) -> None:
    """Times are the world's, both ends belong to a span."""
    clock = journal.url + "/clock"
    httpx.put(clock, json={"clock": "frozen:2026-12-01T10:00:00Z"}).raise_for_status()
    flexprice.get(f"/wallets/{wallet_ids['healthy']}")
    httpx.post(f"{clock}/advance", json={"by": "1d"}).raise_for_status()
    flexprice.get(f"/wallets/{wallet_ids['healthy']}")

    assert [entry["at"] for entry in journal.entries()] == ["2026-12-01T10:00:00.000000Z", "2026-12-02T10:00:00.000000Z"]
    assert journal.numbers(since="2026-12-01T10:00:00.000001Z") == [2]
    assert journal.numbers(until="2026-12-02T09:59:59Z") == [1]
    assert journal.numbers(since="2026-12-01T10:00:00Z", until="2026-12-02T10:00:00Z") == [1, 2]


@pytest.mark.parametrize(
    ("query", "status", "mention"),
    [
        ({"since": "yesterday"}, 400, "since: 'yesterday' is not a 'date-time'"),
        ({"until": "2026-13-01"}, 400, "until"),
        ({"status": "44"}, 400, "status"),
        ({"limit": "1001"}, 400, "limit"),
        ({"limit": ""}, 400, "limit"),
        ({"after": "-1"}, 400, "after"),
        ({"operation": "getWalet"}, 404, "near are getWallet"),
    ],
)
def test_queries_that_make_no_sense(journal: Journal, query: dict[str, str], status: int, mention: str) -> None:
    """The parameter is named, and near operations are."""
    assert mention in refusal(httpx.get(f"{journal.url}/journal", params=query), status)


def test_forgetting(mock: Mock, flexprice: httpx.Client, journal: Journal) -> None:
    """DELETE empties the journal and numbers go on; a reset and the end of a session forget numbers too."""
    flexprice.get("/nothing")
    assert httpx.delete(f"{journal.url}/journal").status_code == 204
    assert journal.read() == {"entries": [], "count": 0, "last": 1, "dropped": 0}
    flexprice.get("/nothing")
    assert journal.numbers() == [2]
    assert "kept are 2 to 2" in refusal(httpx.get(f"{journal.url}/journal/1"), 404)

    httpx.post(f"{journal.url}/reset").raise_for_status()
    assert journal.read()["last"] == 0
    flexprice.get("/nothing")
    assert journal.numbers() == [1]

    httpx.delete(journal.url).raise_for_status()
    assert journal.read()["last"] == 0
    assert "kept are none" in refusal(httpx.get(f"{journal.url}/journal/1"), 404)


def test_undo_forgets_nothing_that_was_asked(flexprice: httpx.Client, journal: Journal, wallet_ids: dict[str, str]) -> None:
    """What a client has sent it has sent, also if its effect is taken back."""
    assert_ok(flexprice.put(f"/wallets/{wallet_ids['healthy']}", json={"name": "x"}))
    httpx.post(f"{journal.url}/undo", json={"events": 1}).raise_for_status()

    assert journal.numbers() == [1]


def test_bounded_by_count(small: Mock, session: str) -> None:
    """The oldest make room; how many did is said, with verdicts as well."""
    journal = Journal(small.url, session)
    for number in range(5):
        httpx.get(f"{small.url}/v1/wallets/{number}", headers={"x-mock-session": session, "x-api-key": "k"})

    found = journal.read()
    assert [entry["request"]["path"] for entry in found["entries"]] == [f"/v1/wallets/{number}" for number in (2, 3, 4)]
    assert ([entry["number"] for entry in found["entries"]], found["last"], found["dropped"]) == ([3, 4, 5], 5, 2)
    verdict = journal.verify("getWallet", times=5)
    assert (verdict["verified"], verdict["count"], verdict["dropped"]) == (False, 3, 2)


def test_bounded_by_bytes_of_a_session(mock: Mock, flexprice: httpx.Client, journal: Journal) -> None:
    """No more than 4 MiB are kept of a session, whatever the number of exchanges."""
    for _ in range(6):
        flexprice.post("/nothing", content=b"x" * 1_000_000)

    found = journal.read()
    assert (len(found["entries"]), found["last"], found["dropped"]) == (4, 6, 2)


def test_bounded_by_bytes_in_all(small: Mock, session: str) -> None:
    """Beyond 32 MiB the oldest of the least recently used session make room; its numbers go on all the same."""
    with httpx.Client(base_url=f"{small.url}/v1", headers={"x-api-key": "k"}) as client:

        def send(name: str) -> Journal:
            client.post("/nothing", content=b"x" * 1_000_000, headers={"x-mock-session": f"{session}-{name}"})
            return Journal(small.url, f"{session}-{name}")

        first, *_ = [send("first") for _ in range(3)]
        second, *_ = [send("second") for _ in range(3)]
        send("first")  # used again, so that the second is the first to lose
        others = [send(f"other-{number // 3}") for number in range(28)]
        assert len(first.numbers()) == 3
        assert second.read()["dropped"] in (1, 2)
        for number in range(6):
            send(f"more-{number // 3}")
        counts = second.read()
        assert (counts["entries"], counts["last"], counts["dropped"]) == ([], 3, 3)
        assert len(first.numbers()) < 3
        assert len(others[-1].numbers()) == 1
        assert send("second").numbers() == [4]


def test_none_is_kept_with_0() -> None:
    """`--journal 0` keeps nothing, and says so to whoever asks."""
    with running("--journal", "0") as off:
        httpx.get(f"{off.url}/v1/nothing")
        journal = Journal(off.url, "default")
        for response in (
            httpx.get(f"{journal.url}/journal"),
            httpx.get(f"{journal.url}/journal/1"),
            httpx.post(f"{journal.url}/verify", json={"operation": "getWallet", "times": 0}),
        ):
            assert "--journal 1000" in refusal(response, 409)


def test_verify_counts(flexprice: httpx.Client, journal: Journal, wallet_ids: dict[str, str]) -> None:
    """`times`, `at_least`, `at_most` and both of these, or at least once; which entries matched is said."""
    for name in ("healthy", "low", "healthy"):
        flexprice.get(f"/wallets/{wallet_ids[name]}")

    for expected, verified, words in (
        ({"times": 3}, True, "exactly 3"),
        ({"times": 2}, False, "exactly 2"),
        ({"times": 4}, False, "exactly 4"),
        ({"at_least": 3}, True, "at least 3"),
        ({"at_least": 4}, False, "at least 4"),
        ({"at_most": 3}, True, "at most 3"),
        ({"at_most": 2}, False, "at most 2"),
        ({"at_least": 1, "at_most": 5}, True, "1 to 5"),
        ({}, True, "at least 1"),
    ):
        verdict = journal.verify("getWallet", **expected)
        assert (verdict["verified"], verdict["expected"], verdict["matching"]) == (verified, words, [1, 2, 3]), expected
    assert journal.verify("terminateWallet", times=0)["verified"] is True
    assert journal.verify("getWallet", times=2, where={"path": {"id": wallet_ids["healthy"]}})["matching"] == [1, 3]


def test_verify_where(flexprice: httpx.Client, journal: Journal, wallet_ids: dict[str, str]) -> None:
    """Every part of a call can be asked for; of a body only what is named, at any depth."""
    wallet, low = wallet_ids["healthy"], {"threshold": 1, "condition": "below"}
    body = {"name": "n", "metadata": {"a": "1", "b": "2"}, "alert_settings": {"alert_enabled": True, "critical": low}}
    assert_ok(flexprice.put(f"/wallets/{wallet}", json=body, params={"tag": ["x", "y"]}, headers={"x-request-id": "mine"}))

    for where in (
        {"status": 200},
        {"status": "2xx"},
        {"path": {"id": wallet}},
        {"query": {"tag": "y"}},
        {"headers": {"X-Request-ID": "mine", "x-api-key": "test"}},
        {"body": {"metadata": {"b": "2"}}},
        {"body": {"metadata": {}, "alert_settings": {"alert_enabled": True}}},
    ):
        assert journal.verify("updateWallet", times=1, where=where)["verified"] is True, where
    for where, difference in (
        ({"status": "4xx"}, "status was 200, expected 4xx"),
        ({"path": {"id": "w"}}, f'path.id was "{wallet}", expected "w"'),
        ({"query": {"tag": "z"}}, 'query.tag was "x, y", expected "z"'),
        ({"query": {"page": "1"}}, 'query.page was not there, expected "1"'),
        ({"headers": {"X-Request-ID": "yours"}}, 'headers.x-request-id was "mine", expected "yours"'),
        ({"body": {"metadata": {"b": 2}}}, 'body.metadata.b was "2", expected 2'),
        ({"body": {"alert_settings": {"alert_enabled": 1}}}, "body.alert_settings.alert_enabled was true, expected 1"),
        ({"body": {"metadata": ["a"]}}, 'body.metadata was {"a": "1", "b": "2"}, expected ["a"]'),
        ({"body": {"config": {}}}, "body.config was not there, expected {}"),
    ):
        verdict = journal.verify("updateWallet", where=where)
        assert verdict["verified"] is False, where
        assert verdict["nearest"][0]["differences"] == [difference]


def test_verify_shows_the_nearest_calls(flexprice: httpx.Client, journal: Journal, wallet_ids: dict[str, str]) -> None:
    """At most three: of the operation those with the fewest differences, then what went astray, then others, the latest first."""
    wallet = wallet_ids["healthy"]
    flexprice.get(f"/wallets/{wallet}")  # 1
    flexprice.put(f"/wallets/{wallet}", json={"name": "a", "description": "b"})  # 2
    flexprice.put(f"/wallet/{wallet}", json={"name": "right", "description": "right"})  # 3: no such route
    flexprice.put(f"/wallets/{wallet}", json={"name": "right", "description": "b"})  # 4
    where = {"body": {"name": "right", "description": "right"}}

    verdict = journal.verify("updateWallet", times=1, where=where)
    assert (verdict["verified"], verdict["count"]) == (False, 0)
    assert [(near["number"], near["status"], near["differences"]) for near in verdict["nearest"]] == [
        (4, 200, ['body.description was "b", expected "right"']),
        (2, 200, ['body.name was "a", expected "right"', 'body.description was "b", expected "right"']),
        (3, 404, ["operation was none, expected updateWallet"]),
    ]
    flexprice.put(f"/wallets/{wallet}", json={"name": "right", "description": "right"})
    again = journal.verify("updateWallet", times=1, where=where)
    assert (again["verified"], again["matching"], again["nearest"]) == (True, [5], [])


@pytest.mark.parametrize(
    ("body", "status", "mention"),
    [
        ({"operation": "topUpWalet"}, 404, "near are topUpWallet"),
        ({"operation": "zzzz"}, 404, "createWallet, "),
        ({"operation": "health"}, 404, "health"),
        ({}, 400, "operation"),
        ({"operation": "getWallet", "times": -1}, 400, "times"),
        ({"operation": "getWallet", "times": 1, "at_least": 1}, 409, "not both"),
        ({"operation": "getWallet", "at_least": 2, "at_most": 1}, 409, "at_least 2 is more than at_most 1"),
        ({"operation": "getWallet", "where": {"state": "x"}}, 400, "state"),
        ({"operation": "getWallet", "where": {"status": "9xx"}}, 400, "status"),
    ],
)
def test_expectations_that_make_no_sense(journal: Journal, body: dict[str, Any], status: int, mention: str) -> None:
    """What is wrong is said; an operation that does not exist is never verified as not called."""
    assert mention in refusal(httpx.post(f"{journal.url}/verify", json=body), status)


def test_an_expectation_that_is_too_deep(journal: Journal) -> None:
    """It is refused, whoever finds that it is."""
    for depth in (150, 100_000):
        content = b'{"operation":"getWallet","where":{"body":' + b"[" * depth + b"]" * depth + b"}}"
        response = httpx.post(f"{journal.url}/verify", content=content, headers={"content-type": "application/json"})
        assert response.status_code in (400, 409)
        assert response.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "first"),
    [
        ("GET", "/v1/walets/w", "GET /v1/wallets/{id}"),
        ("GET", "/v1/Wallets/w", "GET /v1/wallets/{id}"),
        ("GET", "/wallets/w", "GET /v1/wallets/{id}"),
        ("GET", "/v1/v1/wallets/w", "GET /v1/wallets/{id}"),
        ("GET", "//v1//wallets/w", "GET /v1/wallets/{id}"),
        ("GET", "/api/v1/wallet/w/transactions", "GET /v1/wallets/{id}/transactions"),
        ("DELETE", "/v1/wallets/w", "GET /v1/wallets/{id}"),
        ("HEAD", "/v1/wallets/w", "GET /v1/wallets/{id}"),
        ("POST", "/v1/wallets/w/topup", "POST /v1/wallets/{id}/top-up"),
        ("GET", "/v1/wallets/w/balance/realtime", "GET /v1/wallets/{id}/balance/real-time"),
        ("GET", "/v1/customer-portl/wallets", "GET /v1/customer-portal/wallets/"),  # Flexprice answers, Polar's route is near
        ("GET", "/v1/customer-portal/walets/w", "GET /v1/customer-portal/wallets/{id}"),
        ("POST", "/v1/customer-portal/wallets/w", "GET /v1/customer-portal/wallets/{id}"),
        ("POST", "/_mock/helth", "GET /_mock/health"),
        ("GET", "/v1/wallets/w/" + "ü" * 2_000, "GET /v1/wallets/{id}"),
    ],
)
def test_hints(mock: Mock, session: str, journal: Journal, method: str, path: str, first: str) -> None:
    """A request that no route matches is told which are near, at most three; so is whoever reads the journal."""
    response = httpx.request(method, mock.url + path, headers={"x-api-key": "k", "x-mock-session": session})

    assert response.status_code in (404, 405)
    hint = response.headers["x-mock-hint"]
    assert hint.startswith(f"nearest: {first}")
    assert hint.isascii()
    assert len(hint) < 500
    routes = hint.removeprefix("nearest: ").split(", ")
    assert len(routes) <= 3
    if not path.startswith("/_mock"):
        assert journal.entries()[0]["hint"] == routes
    if method != "HEAD" and "customer-portal" not in path and not path.startswith("/_mock"):
        assert response.json()["message"].endswith(f"; {hint}")


def test_no_hint_where_a_route_was_reached(mock: Mock, flexprice: httpx.Client, polar: httpx.Client) -> None:
    """A wallet that does not exist, or a version that is none, is no matter of routes."""
    assert "x-mock-hint" not in flexprice.get("/wallets/none").headers
    assert "x-mock-hint" not in polar.get("/", headers={"polar-version": "1999-01"}).headers
