"""Faults: lawful trouble on demand, seen by a plain client over a real socket."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Mock, running

from contract_tests import contract as contract_module
from contract_tests.contract import Contract
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.source import data_folder
from mock_server.event_codec import from_json, to_json
from mock_server.event_log import Event
from mock_server.faults.fault import KINDS, SURPRISES, Fault
from mock_server.faults.state import FaultsCleared, FaultSet, FaultsMet
from mock_server.prefer import KNOWN

OPENAPI = data_folder(contract_module.__file__, "openapi")
TOP_UP = {"credits_to_add": "5", "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": "once"}
BROKEN: dict[str, tuple[type[Exception], str]] = {
    "cut": (httpx.RemoteProtocolError, "incomplete message body|without sending complete"),
    "reset": (httpx.ReadError, "reset|104|54|10054"),
    "refused": (httpx.RemoteProtocolError, "without sending a response"),
    "garbage": (httpx.RemoteProtocolError, "illegal status line"),
}


class Faults:
    """The faults of one session, through the controls."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self.client = client
        self.session = f"/_mock/sessions/{session}"
        self.url = f"{self.session}/faults"

    def set(self, fault: str, **fields: Any) -> dict[str, Any]:
        """One more fault."""
        body: dict[str, Any] = self.client.post(self.url, json={"fault": fault, **fields}).raise_for_status().json()
        return body

    def all(self) -> dict[str, dict[str, Any]]:
        """All of them by name."""
        return {fault["name"]: fault for fault in self.client.get(self.url).raise_for_status().json()["faults"]}

    def events(self) -> int:
        """How many events the session has."""
        count: int = self.client.get(self.session).raise_for_status().json()["events"]
        return count


@pytest.fixture(scope="module")
def controls(mock: Mock) -> Iterator[httpx.Client]:
    """A client of the controls."""
    with httpx.Client(base_url=mock.url, verify=False) as client:
        yield client


@pytest.fixture
def faults(controls: httpx.Client, session: str) -> Faults:
    """The faults of the session that `flexprice` and `polar` are in."""
    return Faults(controls, session)


@pytest.fixture
def healthy(wallet_ids: dict[str, str]) -> str:
    """The path of a wallet."""
    return f"/wallets/{wallet_ids['healthy']}"


def statuses(client: httpx.Client, path: str, count: int) -> list[int]:
    """What so many reads of a path answer, one after the other; 0 where the connection broke."""
    found = []
    for _ in range(count):
        try:
            found.append(client.get(path).status_code)
        except httpx.TransportError:
            found.append(0)
    return found


def credits_of(client: httpx.Client, path: str) -> str:
    """A wallet's credit balance."""
    balance: str = client.get(path).raise_for_status().json()["credit_balance"]
    return balance


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_connections(flexprice: httpx.Client, faults: Faults, healthy: str, kind: str) -> None:
    """Each kind breaks a client's call in its own way, by wish and by session, and the next call is well."""
    error, message = BROKEN[kind]
    with pytest.raises(error, match=message):
        flexprice.get(healthy, headers={"prefer": f"fault={kind}"})
    assert statuses(flexprice, healthy, 1) == [200]

    faults.set(kind, times=1)
    with pytest.raises(error, match=message):
        flexprice.get(healthy)
    assert statuses(flexprice, healthy, 1) == [200]


def test_a_cut_answer_is_the_beginning_of_the_right_one(mock: Mock, flexprice: httpx.Client, healthy: str) -> None:
    """Head and length are those of the whole answer; so also of an error that was asked for."""
    usual = flexprice.get(healthy)
    pieces: list[bytes] = []
    with (
        flexprice.stream("GET", healthy, headers={"prefer": "fault=cut"}) as answer,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        pieces.extend(answer.iter_raw())
    received = b"".join(pieces)
    assert (answer.status_code, int(answer.headers["content-length"])) == (200, len(usual.content))
    assert 0 < len(received) < len(usual.content)
    assert usual.content.startswith(received)

    with (
        pytest.raises(httpx.RemoteProtocolError),
        flexprice.stream("GET", healthy, headers={"prefer": "code=404, fault=cut"}) as answer,
    ):
        answer.read()
    assert answer.status_code == 404


def test_what_takes_effect(flexprice: httpx.Client, faults: Faults, healthy: str) -> None:
    """A request that is not handled changes nothing; one that is takes effect once, although its answer is lost."""
    before = credits_of(flexprice, healthy)
    for prefer in ("fault=reset", "fault=refused", "fault=garbage", "code=503", "code=500, handled=false"):
        try:
            flexprice.post(f"{healthy}/top-up", json=TOP_UP, headers={"prefer": prefer})
        except httpx.TransportError:
            continue
    assert credits_of(flexprice, healthy) == before

    faults.set("reset", handled=True, times=1, operation="topUpWallet")
    with pytest.raises(httpx.ReadError):
        flexprice.post(f"{healthy}/top-up", json=TOP_UP)
    after = credits_of(flexprice, healthy)
    assert float(after) == float(before) + 5
    again = flexprice.post(f"{healthy}/top-up", json=TOP_UP)
    assert (again.status_code, credits_of(flexprice, healthy)) == (409, after)

    lost = flexprice.post(
        f"{healthy}/top-up", json=TOP_UP | {"idempotency_key": "2"}, headers={"prefer": "code=500, handled=true"}
    )
    assert (lost.status_code, lost.headers["preference-applied"]) == (500, "code=500, handled=true")
    assert float(credits_of(flexprice, healthy)) == float(after) + 5


def test_who_hangs_up_while_waiting_was_never_there(flexprice: httpx.Client, healthy: str) -> None:
    """A write whose client gives up during a delay before it does not happen."""
    before = credits_of(flexprice, healthy)
    with pytest.raises(httpx.ReadTimeout):
        flexprice.post(f"{healthy}/top-up", json=TOP_UP, headers={"prefer": "delay=300ms"}, timeout=0.1)
    flexprice.get(healthy, headers={"prefer": "delay=500ms"})

    assert credits_of(flexprice, healthy) == before


@pytest.mark.parametrize("provider", ["flexprice", "polar"])
def test_every_documented_error(
    mock: Mock, controls: httpx.Client, flexprice: httpx.Client, polar: httpx.Client, provider: str
) -> None:
    """Every operation answers every error that it documents, and every word of the provider, in the provider's own shape."""
    overlays = [OPENAPI / f"{provider}.overlay.yaml"]
    if provider == "flexprice":
        overlays.append(OPENAPI / "flexprice.undocumented.overlay.yaml")
    contract = Contract.load(provider, OPENAPI / f"{provider}.yaml", *overlays)
    catalogue = controls.get("/_mock/faults").json()
    words: dict[int, list[str]] = {}
    for entry in catalogue["codes"]:
        if entry["provider"] == provider:
            words.setdefault(entry["status"], []).append(entry["code"])
    client = flexprice if provider == "flexprice" else polar
    seen = 0
    for operation in contract.operations.values():
        entry = next(entry for entry in catalogue["operations"] if entry["operation"] == operation.id)
        for status in entry["statuses"]:
            for code in (status, *words.get(status, ())):
                url = mock.url + operation.path.replace("{id}", "x")
                answer = client.request(operation.method, url, headers={"prefer": f"code={code}"})
                assert (answer.status_code, answer.headers["preference-applied"]) == (status, f"code={code}")
                assert ("retry-after" in answer.headers) == (status == 429)
                headers = [(name.lower(), value) for name, value in answer.headers.raw]
                exchange = Exchange(
                    Request(operation.method, operation.path), Response(answer.status_code, headers, answer.content)
                )
                findings = contract.check_response(operation, exchange)
                assert [f for f in findings if not (status in (429, 503) and f.rule == "response.status")] == [], (
                    operation.id,
                    code,
                )
                if provider == "flexprice" and status not in (401, 403):
                    body = answer.json()
                    assert body["http_status_code"] == status
                    assert code in (status, body["code"])
                seen += 1
    assert seen > (60 if provider == "flexprice" else 15)


def test_an_error_that_an_operation_does_not_know(flexprice: httpx.Client, polar: httpx.Client, healthy: str) -> None:
    """A 400 (Polar: 422) that lists what the operation documents; nothing is done."""
    answer = flexprice.post("/wallets/search", json={}, headers={"prefer": "code=404"})
    assert answer.status_code == 400
    assert "queryWallet answers 400, 401, 413, 429, 500, 503" in answer.json()["message"]
    answer = polar.get("/", headers={"prefer": "code=404"})
    assert answer.status_code == 422
    assert "422, 429" in answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize(
    ("prefer", "mentions"),
    [
        ("sleep=3", ["'sleep'", "code=", "defect=", "delay=", "fault=", "surprise="]),
        ("fault=explode", ["explode", "reset", "garbage", "slow-body"]),
        ("surprise=party", ["party", "no-optionals", "unicode-names"]),
        ("defect=nothing", ["nothing"]),
        ("delay=soon", ["soon", "800ms"]),
        ("delay=6m", ["5 minutes"]),
        ("delay=-1s", ["-1s"]),
        ("delay=1e400s", ["1e400s"]),
        ("code=999", ["999", "404"]),
        ("code=200", ["200", "404"]),
        ("code=" + "9" * 5000, ["9999"]),
        ("code=nonsense", ["nonsense", "not_found"]),
        ("fault=error", ["code"]),
        ("fault=slow-body", ["delay"]),
        ("fault=surprise", ["surprise=NAME"]),
        ("handled=true", ["code=", "reset"]),
        ("fault=cut, handled=true", ["handled"]),
        ("fault=reset, handled=perhaps", ["perhaps"]),
        ("retry-after=3s", ["429"]),
        ("code=404, retry-after=3s", ["429", "404"]),
        ("defect=nothing, fault=reset", ["nothing"]),
        ('"unclosed', ["unclosed"]),
        ("=3", ["=3"]),
    ],
)
def test_wishes_that_cannot_be(flexprice: httpx.Client, healthy: str, prefer: str, mentions: list[str]) -> None:
    """An unknown name or value is a 400 in the provider's form that says what there is."""
    answer = flexprice.get(healthy, headers={"prefer": prefer})

    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert len(answer.json()["message"]) < 2_000
    for mention in mentions:
        assert mention in answer.json()["message"]


@pytest.mark.parametrize(
    ("prefer", "status", "applied"),
    [
        (["CODE=404"], 404, "code=404"),
        (['code="404"; x=y'], 404, "code=404"),
        (["return=minimal, code = 404", "wait=5"], 404, "code=404"),
        (["code=404, code=500"], 404, "code=404"),
        (["code=not_found"], 404, "code=not_found"),
        (
            ["delay=1ms", "surprise=zero-amounts, defect=metadata-null"],
            200,
            "defect=metadata-null, delay=1ms, surprise=zero-amounts",
        ),
        (["surprise=empty-page"], 200, None),
        (["code=503, surprise=zero-amounts"], 503, "code=503"),
        (["fault=slow-body, delay=1ms"], 200, "fault=slow-body, delay=1ms"),
        (["respond-async, return=representation, handling=lenient, wait=10, safe"], 200, None),
        (["odata.maxpagesize=3, , wait=1"], 200, None),
    ],
)
def test_what_was_applied(flexprice: httpx.Client, healthy: str, prefer: list[str], status: int, applied: str | None) -> None:
    """The answer names exactly what was done; names that are registered for other purposes pass by."""
    answer = flexprice.get(healthy, headers=[("prefer", value) for value in prefer])

    assert (answer.status_code, answer.headers.get("preference-applied")) == (status, applied)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [503] * 6),
        ({"times": 2}, [503, 503, 200, 200, 200, 200]),
        ({"skip": 2}, [200, 200, 503, 503, 503, 503]),
        ({"every": 3}, [200, 200, 503, 200, 200, 503]),
        ({"every": 2, "skip": 1, "times": 2}, [200, 200, 503, 200, 503, 200]),
        ({"probability": 1}, [503] * 6),
    ],
)
def test_which_calls_are_struck(
    flexprice: httpx.Client, faults: Faults, healthy: str, fields: dict[str, Any], expected: list[int]
) -> None:
    """Every n-th, all but the first, for so many times; only faults that count leave events, one per call."""
    faults.set("error", code=503, name="outage", **fields)
    begun = faults.events()

    assert statuses(flexprice, healthy, 6) == expected
    outage = faults.all()["outage"]
    if not fields:
        assert (faults.events(), "met" in outage) == (begun, False)
        return
    assert outage["struck"] == expected.count(503)
    assert outage["over"] == (outage.get("left") == 0)
    met = 6 if "times" not in fields else len(expected) - expected[::-1].index(503)
    assert (outage["met"], faults.events()) == (met, begun + met)


def test_faults_in_turn(flexprice: httpx.Client, faults: Faults, healthy: str) -> None:
    """Faults that are over after some times follow one another; what only delays strikes together with them."""
    faults.set("delay", delay="1ms", name="slow")
    faults.set("error", code=500, times=2, name="down")
    faults.set("reset", times=1)
    faults.set("error", code="service_unavailable", times=1, retry_after="2500ms", name="up-soon")

    assert [flexprice.get(healthy).headers["x-mock-fault"] for _ in range(2)] == ["slow, down"] * 2
    assert statuses(flexprice, healthy, 1) == [0]
    answer = flexprice.get(healthy)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    answer = flexprice.get(healthy)
    assert (answer.status_code, answer.headers["x-mock-fault"]) == (200, "slow")


@pytest.mark.parametrize(
    ("fields", "struck"),
    [
        ({"wallet": "healthy"}, {"healthy", "balance"}),
        ({"operation": "getWalletBalance"}, {"balance"}),
        ({"operation": "getWalletBalance", "wallet": "low"}, set()),
        ({"method": "POST"}, {"search"}),
        ({"provider": "polar"}, {"polar"}),
        ({"provider": "polar", "wallet": "ada.main"}, {"polar"}),
        ({"provider": "flexprice"}, {"healthy", "low", "balance", "search", "nowhere"}),
        ({}, {"healthy", "low", "balance", "search", "nowhere", "polar"}),
    ],
)
def test_where_faults_strike(
    mock: Mock,
    flexprice: httpx.Client,
    polar: httpx.Client,
    faults: Faults,
    wallet_ids: dict[str, str],
    fields: dict[str, Any],
    struck: set[str],
) -> None:
    """By wallet, operation, method and provider; of all that a session asks for if nothing is said."""
    faults.set("error", code=500, **fields)
    healthy, low = (f"/wallets/{wallet_ids[name]}" for name in ("healthy", "low"))
    ada = mock.personas()["polar/ada.main"]["ids"]
    answers = {
        "healthy": flexprice.get(healthy),
        "low": flexprice.get(low),
        "balance": flexprice.get(f"{healthy}/balance/real-time"),
        "search": flexprice.post("/wallets/search", json={}),
        "nowhere": flexprice.get("/nowhere"),
        "polar": polar.get(f"/{ada['wallet']}"),  # type: ignore[index]
    }

    assert {name for name, answer in answers.items() if answer.status_code == 500} == struck
    assert {answer.status_code for name, answer in answers.items() if name not in struck} <= {200, 404}


def test_an_error_strikes_where_it_is_documented(flexprice: httpx.Client, faults: Faults, healthy: str) -> None:
    """A fault for all operations passes by those that cannot answer so."""
    faults.set("error", code=404)

    assert flexprice.get(healthy).status_code == 404
    assert flexprice.post("/wallets/search", json={}).status_code == 200


def test_sessions_apart(mock: Mock, flexprice: httpx.Client, faults: Faults, healthy: str) -> None:
    """Faults of one session are no other's; a reset ends them."""
    faults.set("error", code=500)

    assert flexprice.get(healthy).status_code == 500
    assert flexprice.get(healthy, headers={"x-mock-session": "another"}).status_code == 200
    faults.client.post(f"{faults.session}/reset").raise_for_status()
    assert faults.all() == {}
    assert flexprice.get(healthy).status_code == 200


def test_never_the_controls(faults: Faults, session: str) -> None:
    """Neither faults nor wishes touch a control; a browser's question before a call passes as well."""
    faults.set("reset")
    headers = {"x-mock-session": session, "prefer": "fault=reset, nonsense"}
    assert faults.client.get("/_mock/health", headers=headers).status_code == 200
    assert faults.client.get(faults.url, headers=headers).status_code == 200

    preflight = {"origin": "http://localhost:3000", "access-control-request-method": "GET"}
    assert faults.client.options("/v1/wallets/x", headers={"x-mock-session": session} | preflight).status_code == 200


def test_delays(flexprice: httpx.Client, faults: Faults, healthy: str) -> None:
    """Fixed, drawn between two times, and around a median; two of them add up."""

    def took() -> float:
        began = time.monotonic()
        flexprice.get(healthy).raise_for_status()
        return time.monotonic() - began

    faults.set("delay", delay="150ms", name="a")
    assert 0.15 <= took() < 2
    faults.set("delay", delay={"uniform": ["100ms", "120ms"]}, name="b")
    assert 0.25 <= took() < 2
    faults.set("delay", delay={"lognormal": {"median": "80ms", "sigma": 0}}, name="a")
    assert 0.18 <= took() < 2


def test_drawn_delays_are_drawn() -> None:
    """Times from a distribution differ, and have its middle and its bounds."""
    places = [(a / 40, b / 40) for a in range(40) for b in range(40)]
    uniform = Fault.model_validate({"fault": "delay", "delay": {"uniform": ["1s", "3s"]}}).delay
    lognormal = Fault.model_validate({"fault": "delay", "delay": {"lognormal": {"median": "2s", "sigma": 1}}}).delay
    assert not isinstance(uniform, str | None)
    assert not isinstance(lognormal, str | None)
    flat, long = ([drawn.seconds(place) for place in places] for drawn in (uniform, lognormal))

    assert (min(flat), max(flat)) == (1, pytest.approx(3, abs=0.06))
    assert sum(flat) / len(flat) == pytest.approx(2, abs=0.05)
    below = sum(seconds < 2 for seconds in long) / len(long)
    assert below == pytest.approx(0.5, abs=0.05)
    assert max(long) > 10


def test_slow_bodies(flexprice: httpx.Client, healthy: str) -> None:
    """The head comes at once, then piece after piece, until the body is whole."""
    usual = flexprice.get(healthy)
    began = time.monotonic()
    with flexprice.stream("GET", healthy, headers={"prefer": "fault=slow-body, delay=600ms"}) as answer:
        head = time.monotonic() - began
        pieces = list(answer.iter_raw())
        whole = time.monotonic() - began

    assert b"".join(pieces) == usual.content
    assert len(pieces) > 5
    assert head < 0.5
    assert 0.6 <= whole < 3


def test_a_server_that_stops_does_not_wait() -> None:
    """What is still slow when the server is told to stop comes at once, whole, and nothing is complained of."""
    with httpx.Client(headers={"x-api-key": "k", "prefer": "fault=slow-body, delay=60s"}, verify=False) as client:
        with running("--population", "0") as mock:
            request = client.build_request("GET", f"{mock.url}/v1/wallets/x")
            answer = client.send(request, stream=True)
            began = time.monotonic()
        assert answer.read().endswith(b"}")
        assert time.monotonic() - began < 10


def test_calls_at_the_same_time(flexprice: httpx.Client, faults: Faults, healthy: str) -> None:
    """Of calls that come together exactly so many are struck as should be."""
    faults.set("error", code=500, times=7)
    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda _: flexprice.get(healthy).status_code, range(30)))

    assert found.count(500) == 7


def test_chance_repeats(mock: Mock, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed gives the same misfortunes: in another process, with other hashes, in another session, after a reset."""

    def misfortunes(mock: Mock, session: str) -> list[bool]:
        headers = {"x-api-key": "k", "x-mock-session": session}
        with httpx.Client(base_url=mock.url, headers=headers, verify=False) as client:
            client.post(f"/_mock/sessions/{session}/reset").raise_for_status()
            Faults(client, session).set("error", code=500, probability=0.5, name="coin")
            return [status == 500 for status in statuses(client, "/v1/wallets/wallet_01KSF5FR5GR5VX5PHQ9E1Y7PCJ", 40)]

    monkeypatch.setenv("PYTHONHASHSEED", "2")
    found = misfortunes(mock, session)  # its seed is 1
    with running("--seed", "1", "--provider", "flexprice") as same:
        assert [misfortunes(same, name) for name in ("default", "other", "default")] == [found] * 3
    with running("--seed", "2", "--provider", "flexprice") as other:
        assert misfortunes(other, session) != found

    assert 8 <= sum(found) <= 32


def test_clearing_and_replacing(flexprice: httpx.Client, faults: Faults, healthy: str) -> None:
    """One, all, or others in their place; one of the same name begins anew."""
    assert faults.set("reset", times=1)["name"] == "reset-1"
    assert faults.set("error", code=500, name="x")["fault"] == {"fault": "error", "code": 500, "name": "x"}
    assert faults.set("error", code=503, name="x")["fault"]["code"] == 503
    assert list(faults.all()) == ["reset-1", "x"]

    assert faults.client.delete(f"{faults.url}/reset-1").status_code == 204
    missing = faults.client.delete(f"{faults.url}/reset-1")
    assert (missing.status_code, missing.json()["message"]) == (404, "No fault 'reset-1'; there are x")
    replaced = faults.client.put(faults.url, json={"faults": [{"fault": "cut", "times": 1}, {"fault": "delay", "delay": "1ms"}]})
    assert [fault["fault"]["fault"] for fault in replaced.raise_for_status().json()["faults"]] == ["cut", "delay"]
    assert faults.client.delete(faults.url).status_code == 204
    assert (faults.all(), flexprice.get(healthy).status_code) == ({}, 200)


def test_undone_with_the_rest(flexprice: httpx.Client, faults: Faults, healthy: str) -> None:
    """Faults are in the session's log: undoing a call gives a strike back."""
    faults.set("error", code=500, times=1, name="once")
    assert statuses(flexprice, healthy, 2) == [500, 200]
    faults.client.post(f"{faults.session}/undo", json={"events": 1}).raise_for_status()

    assert faults.all()["once"]["left"] == 1
    assert statuses(flexprice, healthy, 2) == [500, 200]


@pytest.mark.parametrize(
    ("fault", "status", "mentions"),
    [
        ({}, 400, ["fault"]),
        ({"fault": "explode"}, 400, ["explode", "reset"]),
        ({"fault": "reset", "when": 1}, 400, ["when"]),
        ({"fault": "reset", "times": 0}, 400, ["times"]),
        ({"fault": "reset", "times": True}, 400, ["times"]),
        ({"fault": "reset", "every": 1.5}, 400, ["every"]),
        ({"fault": "reset", "probability": 0}, 400, ["probability"]),
        ({"fault": "reset", "probability": 1.01}, 400, ["probability"]),
        ({"fault": "reset", "name": "a b"}, 400, ["name"]),
        ({"fault": "reset", "name": "../x"}, 400, ["name"]),
        ({"fault": "delay", "delay": 3}, 400, ["delay"]),
        ({"fault": "delay", "delay": {"uniform": ["1s"]}}, 400, ["delay"]),
        ({"fault": "delay", "delay": {"lognormal": {"median": "1s", "sigma": -1}}}, 400, ["delay"]),
        ({"fault": "delay"}, 409, ["delay", "800ms"]),
        ({"fault": "delay", "delay": "soon"}, 409, ["delay", "soon", "800ms"]),
        ({"fault": "delay", "delay": "301s"}, 409, ["5 minutes"]),
        ({"fault": "delay", "delay": {"uniform": ["2s", "1s"]}}, 409, ["shorter"]),
        ({"fault": "error"}, 409, ["code"]),
        ({"fault": "error", "code": 418}, 409, ["418", "404"]),
        ({"fault": "error", "code": "not_here"}, 409, ["not_here", "not_found"]),
        ({"fault": "error", "code": 404, "operation": "queryWallet"}, 409, ["404", "queryWallet answers"]),
        ({"fault": "error", "code": 404, "retry_after": "3s"}, 409, ["429", "503"]),
        ({"fault": "surprise"}, 409, ["no-optionals"]),
        ({"fault": "reset", "code": 404}, 409, ["code", "error"]),
        ({"fault": "cut", "handled": True}, 409, ["handled"]),
        ({"fault": "reset", "operation": "getWalet"}, 409, ["getWalet", "getWallet"]),
        ({"fault": "reset", "provider": "stripe"}, 409, ["stripe", "polar"]),
        ({"fault": "reset", "wallet": "healthi"}, 409, ["healthi", "healthy"]),
    ],
)
def test_faults_that_are_none(faults: Faults, fault: dict[str, Any], status: int, mentions: list[str]) -> None:
    """What is wrong, and what there is; nothing is set, neither alone nor in a list after a good one."""
    for method, body in (("POST", fault), ("PUT", {"faults": [{"fault": "reset"}, fault]})):
        answer = faults.client.request(method, faults.url, json=body)
        assert answer.status_code == status, answer.text
        for mention in mentions:
            assert mention in answer.json()["message"]
    assert faults.all() == {}


def test_too_many(faults: Faults) -> None:
    """A session has at most a hundred, with names of their own."""
    fault = {"fault": "delay", "delay": "1ms"}
    assert faults.client.put(faults.url, json={"faults": [fault] * 101}).status_code == 400
    assert len(faults.client.put(faults.url, json={"faults": [fault] * 100}).raise_for_status().json()["faults"]) == 100
    assert faults.client.post(faults.url, json=fault).status_code == 409
    twins = faults.client.put(faults.url, json={"faults": [fault | {"name": "x"}] * 2})
    assert (twins.status_code, "'x'" in twins.json()["message"]) == (409, True)
    assert len(faults.all()) == 100


def test_journal_of_what_was_never_answered(mock: Mock, flexprice: httpx.Client, faults: Faults, healthy: str) -> None:
    """A call whose connection was broken is in the journal: with its operation, the fault, and no status."""
    faults.set("reset", name="cable")
    statuses(flexprice, healthy, 1)
    entry = faults.client.get(f"{faults.session}/journal").raise_for_status().json()["entries"][-1]

    assert entry["operation"] == "getWallet"
    assert (entry["response"]["status"], entry["response"]["headers"]["x-mock-fault"]) == (0, "cable")


def test_in_a_scenario(flexprice: httpx.Client, faults: Faults, healthy: str) -> None:
    """A scenario sets and clears faults with the same fields."""
    steps = [
        {"do": {"set-fault": {"fault": "error", "code": 503, "name": "outage"}}},
        {"after": "2 calls", "do": {"clear-faults": {"name": "outage"}}},
    ]
    scenario = {"text": json.dumps({"scenario": "mine", "about": "An outage", "steps": steps})}
    faults.client.post(f"{faults.session}/scenarios", json=scenario).raise_for_status()

    assert statuses(flexprice, healthy, 3) == [503, 503, 200]


def recorded() -> Iterator[Event]:
    """Events of faults."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    delay = {"lognormal": {"median": "1s", "sigma": 0.5}}
    yield FaultSet(at=at, name="a", fault=Fault.model_validate({"fault": "slow-body", "delay": delay, "probability": 0.25}))
    yield FaultSet(at=at, name="b", fault=Fault.model_validate({"fault": "error", "code": "not_found", "handled": True}))
    yield FaultsMet(at=at, met=("a", "b"), struck=("b",))
    yield FaultsCleared(at=at, name="a")
    yield FaultsCleared(at=at)


@pytest.mark.parametrize("event", list(recorded()), ids=lambda event: type(event).__name__)
def test_events_can_be_written_down(event: Event) -> None:
    """What a log is exported with reads back as the same events."""
    assert from_json(json.loads(json.dumps(to_json(event)))) == event


def test_the_page_names_everything() -> None:
    """docs/faults.md has every kind, field, surprise and wish; its session example is a fault that can be set."""
    page = (Path(__file__).parent.parent / "docs/faults.md").read_text("utf-8")
    rows = set(re.findall(r"`([a-z_-]+)[=:`]", "\n".join(line for line in page.splitlines() if line.startswith("|"))))

    assert {*KINDS, *SURPRISES, *KNOWN, *Fault.model_fields} <= rows
    example = re.search(r"-d '(\{.*\})'", page)
    assert example is not None
    assert Fault.model_validate_json(example[1]).counted
