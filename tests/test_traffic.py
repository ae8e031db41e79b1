"""Traffic of others: what is a contract's, what is wrong with it, and what cannot be said."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from conftest import Mock
from recorder import ORIGIN, Recorder, altered

from contract_tests.checking import contract
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.policy import Floor, Policy
from contract_tests.results import Run
from contract_tests.rules.catalogue import exchange_rules
from contract_tests.rules.conformance import CONFORMANCE, OF_REQUESTS
from contract_tests.source import InputError
from contract_tests.traffic.addressing import Addresses, Placed, Server
from contract_tests.traffic.examiner import Traffic
from contract_tests.traffic.har_file import HarFile
from contract_tests.traffic.recorded import Recorded
from contract_tests.traffic.recordings import examine

CONTRACTS = [contract("flexprice"), contract("polar")]
WALLET = "wallet_01KSF5FR5GR5VX5PHQ9E1Y7PCJ"
ANY = Policy(floor=Floor(operations=0, rules=0))


def asked(path: str, method: str = "GET", origin: str = ORIGIN) -> Recorded:
    """A request without much of an answer."""
    return Recorded(Exchange(Request(method, path), Response(200, (), b"")), origin, 0.0, 0.0)


def place(path: str, *servers: str, origin: str = ORIGIN, method: str = "GET") -> Placed | None:
    """Where a request belongs."""
    return Addresses(CONTRACTS, servers).place(asked(path, method, origin))


def judged(traffic: Traffic, recorded: Iterable[Recorded], why: tuple[str, ...] = ()) -> dict[str, Run]:
    """The runs by provider, after recordings were judged as `check` does it: looked through first, then examined."""
    taken = [entry for entry in recorded if traffic.place(entry) is not None]
    for entry in taken:
        placed = traffic.place(entry)
        assert placed is not None
        traffic.examine(placed)
    return {run.provider: run for run in traffic.runs(ANY, {}, why)}


def causes(run: Run) -> set[tuple[str, str, str, bool]]:
    """Rule, operation, place, and whether it fails the run."""
    return {(cause.rule, cause.operation, cause.pointer, cause.fails) for cause in run.causes}


@pytest.fixture
def shop(mock: Mock, session: str) -> Recorder:
    """A client of Flexprice in a session of its own."""
    return Recorder(mock.url, {"x-mock-session": session, "x-api-key": "key-of-the-shop-0001"})


@pytest.mark.parametrize(
    ("path", "operation", "base", "params"),
    [
        (f"/v1/wallets/{WALLET}/balance/real-time", "getWalletBalance", ORIGIN, {"id": WALLET}),
        (f"/billing/api/v1/wallets/{WALLET}", "getWallet", f"{ORIGIN}/billing/api", {"id": WALLET}),
        ("/v1/wallets/a%2Fb%20c", "getWallet", ORIGIN, {"id": "a/b c"}),
        ("/v1/v1/wallets/x", "getWallet", f"{ORIGIN}/v1", {"id": "x"}),
        ("/v1/customer-portal/wallets/", "customer_portal:wallets:list", ORIGIN, {}),
        ("/shop/v1/customer-portal/wallets/7", "customer_portal:wallets:get", f"{ORIGIN}/shop", {"id": "7"}),
    ],
)
def test_base_paths_are_recognised(path: str, operation: str, base: str, params: dict[str, str]) -> None:
    """Gateways put something before the contract's paths; what is after it, decoded, are the parameters."""
    placed = place(path)

    assert placed is not None
    assert (placed.operation.id, placed.base, dict(placed.exchange.request.path_params)) == (operation, base, params)
    assert placed.exchange.request.path == path.removeprefix(base.removeprefix(ORIGIN))


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/", "GET"),
        ("/v1/customers", "GET"),
        ("/v2/wallets/x", "GET"),
        ("/xv1/wallets/x", "GET"),
        ("/v1/wallets/x/", "GET"),
        ("/v1/wallets/x", "DELETE"),
        ("/v1/wallets/x", "OPTIONS"),
        ("", "GET"),
    ],
)
def test_the_rest_is_left_alone(path: str, method: str) -> None:
    """Other paths, versions and methods, preflights included, are nobody's."""
    assert place(path, method=method) is None


@pytest.mark.parametrize(
    ("server", "path", "base"),
    [
        ("https://api.example.com", "/v1/wallets/x", ORIGIN),
        ("https://API.example.com:443/v1/", "/v1/wallets/x", ORIGIN),
        ("https://api.example.com/pay", "/pay/v1/wallets/x", f"{ORIGIN}/pay"),
        ("https://api.example.com/pay/v1", "/pay/v1/wallets/x", f"{ORIGIN}/pay"),
        ("https://api.example.com/pay", "/pay/wallets/x", f"{ORIGIN}/pay"),
        ("https://api.example.com/pay", "/v1/wallets/x", None),
        ("https://api.example.com/pay", "/payments/v1/wallets/x", None),
        ("https://other.example.com", "/v1/wallets/x", None),
        ("http://api.example.com", "/v1/wallets/x", None),
    ],
)
def test_servers_are_mapped(server: str, path: str, base: str | None) -> None:
    """With --server only that one is judged; it may have swallowed the contract's base path."""
    placed = place(path, server)

    assert (placed and (placed.operation.id, placed.base)) == (base and ("getWallet", base))


@pytest.mark.parametrize(
    ("server", "path", "base"),
    [
        ("https://api.example.com", "/v1/customer-portal/wallets/", ORIGIN),
        ("https://api.example.com/v1", "/v1/customer-portal/wallets/", ORIGIN),
        ("https://api.example.com/pay/v1/customer-portal", "/pay/v1/customer-portal/wallets/", f"{ORIGIN}/pay"),
        ("https://api.example.com/v1", "/v1/v1/customer-portal/wallets/", f"{ORIGIN}/v1"),
        ("https://api.example.com/v1/shop", "/v1/customer-portal/wallets/", None),
    ],
)
def test_servers_of_a_contract_without_a_base_path(server: str, path: str, base: str | None) -> None:
    """The URL may hold the beginning of the contract's paths."""
    placed = place(path, server)

    assert (placed and (placed.operation.id, placed.base)) == (base and ("customer_portal:wallets:list", base))


@pytest.mark.parametrize("url", ["api.example.com", "ftp://x", "https://", "https://a:b@x", "https://x/?a=1", "http://x:y"])
def test_bad_servers(url: str) -> None:
    """What is no base URL is refused, and a password in it is not repeated."""
    with pytest.raises(InputError, match="--server") as refused:
        Server.parse(url)
    assert "a:b" not in str(refused.value)


def test_honest_traffic(shop: Recorder, mock: Mock) -> None:
    """Reads, writes and refusals of a client that keeps the contract: nothing is found, and it is said what was judged."""
    made = shop.http.post("/v1/wallets", json={"customer_id": "cust_1", "currency": "usd"}).json()
    shop.http.post(
        f"/v1/wallets/{made['id']}/top-up",
        json={"credits_to_add": "12.5", "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": "k-1"},
    )
    shop.http.get(f"/v1/wallets/{made['id']}/balance/real-time")
    shop.http.get("/v1/wallets/wallet_unknown")
    shop.http.get("/v1/customers/somebody")

    run = judged(Traffic(CONTRACTS), shop.taken)["flexprice"]
    assert (run.verdict, run.requests, run.causes, run.target, run.seed) == ("pass", 4, [], ORIGIN, None)
    outcomes = {rule.rule: rule for rule in run.rules}
    assert outcomes["money.balance-is-credits-times-rate"].outcome == "passed"
    assert outcomes["request.body"].judged == 4
    assert outcomes["auth.missing-key-refused"].reason.startswith("needs requests of its own")


def test_what_is_wrong_with_an_answer(shop: Recorder) -> None:
    """An answer that lies is found with rule, level and place, once for each cause, and can be sent again."""
    shop.http.get(f"/v1/wallets/{WALLET}")
    (good,) = shop.taken
    body = json.loads(good.exchange.response.body)
    lie = altered(good, answer=json.dumps({**body, "balance": "1"}).encode(), entry=7)
    gone = altered(good, answer=json.dumps({k: v for k, v in body.items() if k != "currency"}).encode())

    run = judged(Traffic(CONTRACTS), [good, lie, lie, gone])["flexprice"]
    found = {cause.rule: cause for cause in run.causes}
    assert run.verdict == "findings"
    assert set(found) == {"money.balance-is-credits-times-rate", "response.body"}
    cause = found["money.balance-is-credits-times-rate"]
    assert (cause.count, cause.probe, cause.first_request) == (2, "test.har: entry 7", 7)
    (step,) = cause.steps
    assert step.curl.startswith("curl -sS -i")
    assert '-H "x-api-key: $WALLETPROOF_API_KEY"' in step.curl
    assert f"{ORIGIN}/v1/wallets/{WALLET}" in step.curl
    assert "key-of-the-shop" not in json.dumps(step.__dict__)


def test_what_is_wrong_with_a_request(shop: Recorder) -> None:
    """A client that breaks the contract is found; where the service refused the request, that fails nothing."""
    wrong = {"customer_id": 7, "currency": "usd"}
    shop.http.post("/v1/wallets", json=wrong)
    (refused,) = shop.taken
    assert refused.exchange.response.status == 400
    shop.http.post("/v1/wallets", json={"customer_id": "cust_9", "currency": "usd"})
    accepted = altered(shop.taken[-1], body=json.dumps(wrong).encode())

    run = judged(Traffic(CONTRACTS), [refused])["flexprice"]
    assert (run.verdict, causes(run)) == ("pass", {("request.body", "createWallet", "/customer_id", False)})
    assert run.causes[0].reason == "the service did not accept the request"
    run = judged(Traffic(CONTRACTS), [altered(refused, status=503)])["flexprice"]
    assert ("request.body", "createWallet", "/customer_id", False) in causes(run)
    run = judged(Traffic(CONTRACTS), [refused, accepted])["flexprice"]
    assert run.verdict == "findings"
    assert ("request.body", "createWallet", "/customer_id", True) in causes(run)
    (cause,) = [cause for cause in run.causes if cause.rule == "request.body"]
    assert (cause.first_request, cause.count) == (accepted.entry, 2)  # the one that was accepted is shown


def test_parameters_that_were_sent_twice(mock: Mock, session: str) -> None:
    """Services take the first value or the last; of a list, each."""
    token = str(mock.personas()["polar/ada.main"]["token"])
    portal = Recorder(mock.url, {"x-mock-session": session, "authorization": f"Bearer {token}"})
    portal.http.get("/v1/customer-portal/wallets/?page=0&page=1")
    portal.http.get("/v1/customer-portal/wallets/?sorting=balance&sorting=wrong")

    assert [entry.exchange.response.status for entry in portal.taken] == [200, 422]
    run = judged(Traffic(CONTRACTS), portal.taken)["polar"]
    assert [cause.rule for cause in run.causes] == ["request.parameter"]
    assert run.causes[0].probe == "test.har: entry 2"


def test_a_version_that_polar_does_not_know(mock: Mock, session: str) -> None:
    """Has none of the contract's operations; that a wallet is not there is one's answer."""
    token = str(mock.personas()["polar/ada.main"]["token"])
    portal = Recorder(mock.url, {"x-mock-session": session, "authorization": f"Bearer {token}"})
    portal.http.get("/v1/customer-portal/wallets/", headers={"polar-version": "2027-01"})
    portal.http.get(f"/v1/customer-portal/wallets/{UUID(int=1, version=4)}", headers={"polar-version": "2026-10"})

    assert [entry.exchange.response.status for entry in portal.taken] == [404, 404]
    run = judged(Traffic(CONTRACTS), portal.taken)["polar"]
    assert (run.requests, run.causes) == (1, [])


def test_recordings_without_credentials(shop: Recorder) -> None:
    """Browsers leave credentials out of what they export: then a request without any is none that the service let in."""
    shop.http.get(f"/v1/wallets/{WALLET}")
    (kept,) = shop.taken
    bare = altered(kept, headers=[pair for pair in kept.exchange.request.headers if pair[0] != b"x-api-key"])

    assert judged(Traffic(CONTRACTS), [bare])["flexprice"].causes == []
    assert causes(judged(Traffic(CONTRACTS), [bare, kept])["flexprice"]) == {("request.security", "getWallet", "", True)}
    assert causes(judged(Traffic(CONTRACTS, live=True), [bare])["flexprice"]) == {("request.security", "getWallet", "", True)}


def test_a_browser_s_and_a_proxy_s_recording_of_one_session(shop: Recorder) -> None:
    """Each recorder keeps credentials, or does not; what both saw is twice the same, and not done twice."""
    made = shop.http.post("/v1/wallets", json={"customer_id": "cust_1", "currency": "usd"}).json()
    granted = {"credits_to_add": "5", "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": "k-twice"}
    shop.http.post(f"/v1/wallets/{made['id']}/top-up", json=granted)
    shop.http.post(f"/v1/wallets/{made['id']}/terminate")
    shop.http.get(f"/v1/wallets/{made['id']}")
    bare = [
        altered(kept, headers=[pair for pair in kept.exchange.request.headers if pair[0] != b"x-api-key"], file="browser.har")
        for kept in shop.taken
    ]
    both = [each for pair in zip(shop.taken, bare, strict=True) for each in pair]

    assert judged(Traffic(CONTRACTS), both)["flexprice"].causes == []


@pytest.mark.parametrize("other", [{"origin": "https://staging.example.com"}, {"path": f"/staging/v1/wallets/{WALLET}"}])
def test_what_is_known_of_one_service_says_nothing_of_another(shop: Recorder, other: dict[str, str]) -> None:
    """Recorders of HTTP/2 keep no Host, and a gateway has several services behind one."""
    shop.http.get(f"/v1/wallets/{WALLET}")
    headers = [pair for pair in shop.taken[0].exchange.request.headers if pair[0] not in (b"host", b"x-mock-session")]
    here = altered(shop.taken[0], headers=headers)
    answer = json.dumps(json.loads(here.exchange.response.body) | {"customer_id": "cust_other"}).encode()

    assert len(judged(Traffic(CONTRACTS), [here, altered(here, answer=answer)])["flexprice"].causes) == 1
    assert judged(Traffic(CONTRACTS), [here, altered(here, answer=answer, **other)])["flexprice"].causes == []


def test_secrets_that_are_numbered(mock: Mock, session: str) -> None:
    """In recordings of ours the same secret has the same number in a file, so who is who can be told, in that file."""
    token = str(mock.personas()["polar/ada.main"]["token"])
    portal = Recorder(mock.url, {"x-mock-session": session, "authorization": f"Bearer {token}"})
    portal.http.get("/v1/customer-portal/wallets/")
    others = [pair for pair in portal.taken[0].exchange.request.headers if pair[0] != b"authorization"]
    first = altered(portal.taken[0], headers=[*others, (b"authorization", b"Bearer ***1")])
    page = json.loads(first.exchange.response.body)
    items = [
        item | {"id": str(UUID(int=number, version=4)), "customer_id": str(UUID(int=9, version=4))}
        for number, item in enumerate(page["items"])
    ]
    second = altered(first, answer=json.dumps(page | {"items": items}).encode())

    assert {rule for rule, *_ in causes(judged(Traffic(CONTRACTS), [first, second])["polar"])} == {"auth.one-customer"}
    elsewhere = altered(second, file="other.har")
    renamed = altered(second, headers=[*others, (b"authorization", b"Bearer ***2")])
    assert judged(Traffic(CONTRACTS), [first, elsewhere, renamed])["polar"].causes == []


@pytest.mark.parametrize("left_out", [b"[REDACTED]", b"***", b"Bearer xxxxxx", b"<removed>", b""])
def test_credentials_that_were_taken_out(mock: Mock, session: str, left_out: bytes) -> None:
    """Who cleans a recording up writes something in the place of credentials: that was not sent."""
    token = str(mock.personas()["polar/ada.main"]["token"])
    portal = Recorder(mock.url, {"x-mock-session": session, "authorization": f"Bearer {token}"})
    portal.http.get("/v1/customer-portal/wallets/")
    portal.http.get("/v1/customer-portal/wallets/", headers={"authorization": "Bearer polar_cst_unknown"})
    others = [pair for pair in portal.taken[0].exchange.request.headers if pair[0] != b"authorization"]
    cleaned = [altered(entry, headers=[*others, (b"authorization", left_out)]) for entry in portal.taken]

    assert [entry.exchange.response.status for entry in cleaned] == [200, 401]
    assert judged(Traffic(CONTRACTS), cleaned)["polar"].causes == []


def test_headers_that_were_not_kept(shop: Recorder) -> None:
    """An answer without any header was not taken down whole; its status was."""
    shop.http.get(f"/v1/wallets/{WALLET}")
    bare = altered(shop.taken[0], answered_headers=())

    assert judged(Traffic(CONTRACTS), [bare])["flexprice"].causes == []
    assert causes(judged(Traffic(CONTRACTS), [altered(bare, status=418)])["flexprice"]) == {
        ("response.status", "getWallet", "", True)
    }


def test_bodies_that_were_not_kept(shop: Recorder) -> None:
    """What a recorder left out is not held against the service; statuses and headers still are."""
    shop.http.get(f"/v1/wallets/{WALLET}")
    shop.http.post("/v1/wallets", json={"customer_id": "cust_3", "currency": "usd"})
    read, made = shop.taken
    empty = altered(read, answer=b"", answered_known=False)
    teapot = altered(empty, status=418)
    blind = altered(made, body=b"", sent_known=False)

    assert judged(Traffic(CONTRACTS), [empty, blind])["flexprice"].causes == []
    assert causes(judged(Traffic(CONTRACTS), [teapot])["flexprice"]) == {("response.status", "getWallet", "", True)}


def test_providers_apart(mock: Mock, session: str, shop: Recorder) -> None:
    """Each provider's traffic is its own run; one that was not seen has none; broken entries stand against a pass."""
    token = str(mock.personas()["polar/ada.main"]["token"])
    portal = Recorder(mock.url, {"x-mock-session": session, "authorization": f"Bearer {token}"})
    portal.http.get("/v1/customer-portal/wallets/")
    shop.http.get(f"/v1/wallets/{WALLET}")

    runs = judged(Traffic(CONTRACTS), [*portal.taken, *shop.taken], ("1 entry could not be read",))
    assert {name: (run.requests, run.verdict, run.causes) for name, run in runs.items()} == {
        "flexprice": (1, "inconclusive", []),
        "polar": (1, "inconclusive", []),
    }
    assert set(judged(Traffic(CONTRACTS), shop.taken)) == {"flexprice"}


def test_clients_are_told_apart(mock: Mock, session: str) -> None:
    """Who sent a request is known by the credentials, under a number; what is hidden already says nothing."""
    recorders = [Recorder(mock.url, {"x-mock-session": session, "x-api-key": key}) for key in ("one-key-0001", "other-0002")]
    taken = []
    for recorder in (*recorders, *recorders):
        recorder.http.get("/v1/wallets/wallet_unknown")
        taken.append(altered(recorder.taken[-1], status=418))
    hidden = altered(taken[0], headers=[(b"x-api-key", b"***")], path="/v1/wallets/x/balance/real-time")

    def identities(entries: list[Recorded]) -> list[str]:
        run = judged(Traffic(CONTRACTS), entries)["flexprice"]
        return [cause.steps[0].identity for cause in run.causes if cause.rule == "response.status"]

    assert identities(taken[:1]) == ["client 1"]
    assert identities([*recorders[0].taken, taken[1]]) == ["client 2"]
    assert identities([hidden]) == ["somebody"]


def test_entries_count_where_they_come(shop: Recorder) -> None:
    """A member that only shows later is compared with what was seen before, whatever file it comes from."""
    shop.http.get(f"/v1/wallets/{WALLET}")
    (good,) = shop.taken
    body: dict[str, Any] = json.loads(good.exchange.response.body)
    other = altered(good, answer=json.dumps({**body, "customer_id": "cust_other"}).encode(), started=99.0, entry=2)

    run = judged(Traffic(CONTRACTS), [good, other])["flexprice"]
    assert ("state.fixed-forever", "getWallet", "/customer_id", True) in causes(run)
    (cause,) = [cause for cause in run.causes if cause.rule == "state.fixed-forever"]
    assert [step.status for step in cause.steps] == [200, 200]


@pytest.mark.parametrize("told", [True, False])
def test_a_session_that_was_put_back(mock: Mock, session: str, shop: Recorder, tmp_path: Path, told: bool) -> None:
    """Where the recording has the reset of a mock's session, nothing that came before it says anything about what follows."""

    def use() -> None:
        body = {"credits_to_add": "5", "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": "k-1"}
        assert shop.http.post(f"/v1/wallets/{WALLET}/top-up", json=body).status_code == 200

    use()
    shop.http.post(f"/_mock/sessions/{session}/reset").raise_for_status()
    use()
    file = tmp_path / "shop.har"
    with HarFile(file) as har:
        for entry in shop.taken:
            if told or "_mock" not in entry.exchange.request.path:
                har.add(entry)

    traffic = Traffic(CONTRACTS)
    seen = examine([file], traffic, lambda *_: None)

    assert (seen.exchanges, seen.judged, sum(seen.elsewhere.values())) == (2 + told, 2, told)
    (run,) = traffic.runs(ANY, {})
    rules = {cause.rule for cause in run.causes}
    if told:
        assert not rules
    else:  # answers of one second have no order that a service would have to own up to
        assert rules in ({"concurrency.same-key-at-once"}, {"money.key-takes-effect-once"})


def test_the_same_again(shop: Recorder) -> None:
    """What is asked often is judged every time, and what differs in one byte, of whatever part, by itself."""
    shop.http.get(f"/v1/wallets/{WALLET}")
    (good,) = shop.taken
    came = good.exchange.response
    once = judged(Traffic(CONTRACTS), [good])["flexprice"]
    wrong = [
        altered(good, answer=came.body.replace(b'"usd"', b'"USD"')),
        altered(good, answered_headers=[pair for pair in came.headers if pair[0] != b"content-type"]),
        altered(good, status=418),
        altered(good, headers=[pair for pair in good.exchange.request.headers if pair[0] != b"x-api-key"]),
    ]

    thrice = judged(Traffic(CONTRACTS), [good, good, good])["flexprice"]
    single = {entry.rule.id for entry in exchange_rules("flexprice")} | {rule.id for rule in (*CONFORMANCE, *OF_REQUESTS)}
    counts = {rule.rule: rule.judged for rule in once.rules if rule.rule in single}
    assert {rule.rule: rule.judged for rule in thrice.rules if rule.rule in single} == {
        name: 3 * count for name, count in counts.items()
    }
    assert counts["response.body"] == counts["request.body"] == 1
    assert (thrice.statuses, thrice.coverage) == ({"200": 3}, once.coverage)
    for entry in wrong:
        alone = causes(judged(Traffic(CONTRACTS, live=True), [entry])["flexprice"])
        after = causes(judged(Traffic(CONTRACTS, live=True), [good, good, entry])["flexprice"])
        assert alone
        assert alone <= after
