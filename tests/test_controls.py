"""The controls under `/_mock`: what they answer, and that a web page which a developer visits cannot use them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from conftest import Mock, running
from flexprice_checks import Wallet, assert_ok

TOKEN = "control-t0ken"
RESET = "/_mock/sessions/{session}/reset"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Mock]:
    """A mock on loopback that asks for a control token."""
    with running("--control-token", TOKEN) as started:
        yield started


def assert_refused(response: httpx.Response, status: int, error: str) -> str:
    """An error of a control; returns the message."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error", "message"}
    assert body["error"] == error
    message = body["message"]
    assert isinstance(message, str)
    assert message
    return message


def test_health(mock: Mock) -> None:
    """Health tells what is served and how, and is never kept by a cache."""
    response = httpx.get(f"{mock.url}/_mock/health").raise_for_status()

    assert response.json() == {
        "status": "ready",
        "version": "0.1.0",
        "seed": 1,
        "population": 1000,
        "providers": ["flexprice", "polar"],
    }
    assert response.headers["cache-control"] == "no-store"


def test_personas_are_enough_to_read_them(mock: Mock) -> None:
    """Every persona's ids, and token where the provider has one, read it: at least 14 of Flexprice and 6 wallets of Polar."""
    personas = mock.personas()
    flexprice = [p for p in personas.values() if p["provider"] == "flexprice"]
    polar = [p for p in personas.values() if p["provider"] == "polar" and "wallet" in p["ids"]]  # type: ignore[operator]
    with httpx.Client(base_url=mock.url) as client:
        for persona in flexprice:
            ids: dict[str, str] = persona["ids"]  # type: ignore[assignment]
            body = client.get(f"/v1/wallets/{ids['wallet']}", headers={"x-api-key": "k"}).raise_for_status().json()
            assert (body["id"], body["customer_id"]) == (ids["wallet"], ids["customer"])
        statuses = set()
        for persona in polar:
            ids = persona["ids"]  # type: ignore[assignment]
            path = f"/v1/customer-portal/wallets/{ids['wallet']}"
            statuses.add(client.get(path, headers={"authorization": f"Bearer {persona['token']}"}).status_code)

    assert len(flexprice) >= 14
    assert len(polar) >= 6
    assert len({p["ids"]["wallet"] for p in [*flexprice, *polar]}) == len(flexprice) + len(polar)  # type: ignore[index]
    assert all(p["about"] for p in personas.values())
    assert statuses == {200, 401, 403}  # the lapsed customer's and the mere member's are there to be refused


@pytest.mark.parametrize("provider", ["flexprice", "polar"])
def test_members_by_number(mock: Mock, provider: str) -> None:
    """Members are numbered from 0 to the size; beyond it there is none."""
    with httpx.Client(base_url=f"{mock.url}/_mock/population") as client:
        first, last = (client.get(f"/{provider}/{index}").raise_for_status().json() for index in (0, 999))
        assert first["ids"]["customer"] != last["ids"]["customer"]
        assert ("token" in first) == (provider == "polar")
        assert "1000" in assert_refused(client.get(f"/{provider}/1000"), 404, "not_found")


@pytest.mark.parametrize("index", ["x", "-1", "1.5", "100000000", "999999999999999999999999", "", "%20", "%C2%B2", "0x1"])
def test_numbers_that_are_none(mock: Mock, guarded: Mock, index: str) -> None:
    """What is no number from 0 is a 400 (or no route at all), with and without a control token, and never a crash."""
    for url, headers in ((mock.url, {}), (guarded.url, {"x-control-token": TOKEN}), (mock.url, {"x-control-token": "any"})):
        response = httpx.get(f"{url}/_mock/population/flexprice/{index}", headers=headers)
        assert response.status_code in ((400,) if index else (307, 404)), (headers, response.text)


def test_an_unknown_provider(mock: Mock) -> None:
    """A provider that is not served is named, and the served ones too."""
    message = assert_refused(httpx.get(f"{mock.url}/_mock/population/stripe/0"), 404, "not_found")

    assert "stripe" in message
    assert "flexprice" in message


@pytest.mark.parametrize("name", ["-", ".x", "a b", "é", "a" * 65, "a%2Fb"])
def test_sessions_with_bad_names(mock: Mock, name: str) -> None:
    """A session whose name could be no session's is a 400, with the parameter named."""
    response = httpx.post(f"{mock.url}/_mock/sessions/{name}/reset")
    if name == "a%2Fb":
        assert response.status_code in (400, 404)
    else:
        assert "session" in assert_refused(response, 400, "bad_request")


def test_unknown_controls(mock: Mock) -> None:
    """An unknown control is a 404 that lists the known ones; a wrong method a 405 that names the right one."""
    with httpx.Client(base_url=mock.url) as client:
        for path in ("/_mock/nothing", "/_mock/", "/_mock/health/x", "/_mock/sessions/a/b"):
            assert "GET /_mock/personas" in assert_refused(client.get(path), 404, "not_found")
        for method, path, allowed in (
            ("POST", "/_mock/health", "GET"),
            ("GET", "/_mock/sessions/a/reset", "POST"),
            ("DELETE", "/_mock/personas", "GET"),
            ("OPTIONS", "/_mock/personas", "GET"),
        ):
            response = client.request(method, path)
            assert_refused(response, 405, "method_not_allowed")
            assert response.headers["allow"] == allowed
        head = client.head("/_mock/health")
        assert (head.status_code, head.content) == (405, b"")


FOREIGN = [
    ({"host": "rebound.example"}, "foreign_host"),
    ({"host": "rebound.example:8080"}, "foreign_host"),
    ({"host": "127.0.0.1.rebound.example"}, "foreign_host"),
    ({"host": "localhost.rebound.example"}, "foreign_host"),
    ({"host": "rebound.example#.localhost"}, "foreign_host"),
    ({"host": "10.0.0.7"}, "foreign_host"),
    ({"origin": "https://page.example"}, "foreign_origin"),
    ({"origin": "null"}, "foreign_origin"),
    ({"origin": "http://localhost:3000"}, "foreign_origin"),
    ({"origin": "http://127.0.0.1"}, "foreign_origin"),
    ({"origin": ""}, "foreign_origin"),
]


@pytest.mark.parametrize(("headers", "error"), FOREIGN, ids=[str(headers) for headers, _ in FOREIGN])
def test_foreign_pages_cannot_use_any_control(
    mock: Mock, flexprice: httpx.Client, session: str, headers: dict[str, str], error: str
) -> None:
    """A rebound name as host, or a page of another origin, is refused by every control, and a reset does not happen."""
    wallet = Wallet.create(flexprice)
    for method, path in (
        ("GET", "/_mock/personas"),
        ("GET", "/_mock/population/polar/0"),
        ("GET", "/_mock/health"),
        ("GET", "/_mock/nothing"),
        ("GET", "/_mock/defects"),
        ("GET", f"/_mock/sessions/{session}/defects"),
        ("PUT", f"/_mock/sessions/{session}/defects"),
        ("POST", RESET.format(session=session)),
        ("OPTIONS", "/_mock/personas"),
    ):
        response = httpx.request(method, mock.url + path, headers=headers)
        assert_refused(response, 403, error)
        assert "access-control-allow-origin" not in response.headers

    assert_ok(flexprice.get(f"/wallets/{wallet.id}"))


@pytest.mark.parametrize("host", ["localhost", "localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}", "mine.localhost:{port}"])
def test_names_of_this_machine_may_use_the_controls(mock: Mock, host: str) -> None:
    """Every name of this machine is good, also with an origin that is the very same."""
    host = host.format(port=httpx.URL(mock.url).port)
    for headers in ({"host": host}, {"host": host, "origin": f"http://{host}"}):
        assert httpx.get(f"{mock.url}/_mock/personas", headers=headers).status_code == 200


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], TOKEN.upper()])
def test_a_control_token_is_asked_for(guarded: Mock, token: str | None) -> None:
    """With a token set every control but health wants exactly it, before anything else is looked at."""
    headers = {} if token is None else {"x-control-token": token}
    with httpx.Client(base_url=guarded.url, headers=headers) as client:
        for method, path in (
            ("GET", "/_mock/personas"),
            ("GET", "/_mock/population/polar/0"),
            ("GET", "/_mock/population/polar/x"),
            ("GET", "/_mock/defects"),
            ("PUT", "/_mock/sessions/a/defects"),
            ("POST", RESET.format(session="a")),
            ("POST", RESET.format(session="-")),
        ):
            message = assert_refused(client.request(method, path), 401, "unauthorized")
            assert "X-Control-Token" in message
            assert TOKEN not in message
        assert client.get("/_mock/health").status_code == 200


def test_the_token_opens_the_controls(guarded: Mock) -> None:
    """With the token they answer, under any host name, but not to pages of another origin."""
    with httpx.Client(base_url=guarded.url, headers={"x-control-token": TOKEN}) as client:
        assert client.get("/_mock/personas").status_code == 200
        assert client.get("/_mock/personas", headers={"host": "mock.example"}).status_code == 200
        assert client.post(RESET.format(session="a")).status_code == 204
        assert_refused(client.get("/_mock/personas", headers={"origin": "https://page.example"}), 403, "foreign_origin")


def test_controls_take_no_wishes(mock: Mock) -> None:
    """Defects are of the providers: what `Prefer` says to a control, even a name that is none, changes nothing."""
    for wish in ("defect=html-content-type", "defect=none"):
        response = httpx.get(f"{mock.url}/_mock/health", headers={"prefer": wish}).raise_for_status()
        assert response.json()["status"] == "ready"
        assert "preference-applied" not in response.headers


def test_a_reset_answers_nothing(mock: Mock, session: str) -> None:
    """A reset is a 204 without body or content type, also of a session that never was; a body sent along is ignored."""
    for content in (b"", b"{}", b"not json"):
        response = httpx.post(mock.url + RESET.format(session=session), content=content)
        assert (response.status_code, response.content) == (204, b"")
        assert "content-type" not in response.headers
