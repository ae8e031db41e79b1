"""Polar's rules and probes: each rule catches what it is there for and nothing else, and no probe accuses an honest server."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from conftest import Mock
from hypothesis import given, settings
from hypothesis import strategies as st

from contract_tests.contract import Contract
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.guard import Guard
from contract_tests.identity import Identity, bearer
from contract_tests.judge import Judge
from contract_tests.probes import polar
from contract_tests.probes.probe import NotTested, Probe, Stage, Subject
from contract_tests.rules import polar as wallet_rules
from contract_tests.rules import polar_errors, polar_pages
from contract_tests.rules.observation import Observation
from contract_tests.rules.polar_reading import GET, LIST, SORTINGS, canonical, complaints
from contract_tests.rules.rule import ExchangeRule
from contract_tests.target import Target
from mock_server.call import Refused
from mock_server.polar.parameters import list_query, wallet_id

OPENAPI = Path(__file__).parent.parent / "openapi"
CUSTOMER = "3c1b5f0e-8d52-4b6f-9a43-0f1d2e3c4b5a"
ONE = "7d9f2c34-1a2b-4c3d-8e4f-5a6b7c8d9e0f"
TWO = "0a1b2c3d-4e5f-4a6b-9c7d-8e9f0a1b2c3d"
TOKEN = "polar_cst_" + "x" * 43
HEADERS = {"content-type": "application/json", "polar-version": "2026-04", "cache-control": "private, no-store"}
INVALID_TOKEN = {
    "error": "invalid_token",
    "error_description": "The access token provided is expired, revoked, malformed, or invalid for other reasons.",
}
UNAUTHORIZED = {"error": "Unauthorized", "detail": "Unauthorized"}
CHALLENGE = 'Bearer realm="polar"'

PROBES = [entry for module in polar.MODULES for entry in vars(module).values() if isinstance(entry, Probe)]
RULES = [
    entry
    for module in (wallet_rules, polar_pages, polar_errors)
    for entry in vars(module).values()
    if isinstance(entry, ExchangeRule)
]


@cache
def contract() -> Contract:
    """Polar's contract."""
    return Contract.load("polar", OPENAPI / "polar.yaml", OPENAPI / "polar.overlay.yaml")


@cache
def judge() -> Judge:
    """Its judge."""
    return Judge(contract())


@dataclass
class Case:
    """An exchange with an honest answer; tests change what they need."""

    body: Any
    operation: str = LIST
    id: str = ""
    query: str = ""
    status: int = 200
    sent: dict[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {TOKEN}"})
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "GET"

    def seen(self) -> Observation:
        """As rules see it."""
        operation = contract().operations.get(self.operation, contract().unrouted)
        path = "/v1/customer-portal/wallets/" + self.id
        sent = [(name.encode(), value.encode()) for name, value in self.sent.items()]
        request = Request(self.method, path, self.query.encode(), sent, b"", {"id": self.id} if self.operation == GET else {})
        headers = [(name.encode(), value.encode()) for name, value in (HEADERS | self.headers).items()]
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return Observation(contract(), operation, Exchange(request, Response(self.status, headers, body)))


def wallet(id: str = ONE, **changes: Any) -> dict[str, Any]:
    """An ordinary wallet."""
    ordinary = {
        "created_at": "2026-03-01T10:00:00Z",
        "modified_at": None,
        "customer_id": CUSTOMER,
        "balance": 5,
        "currency": "usd",
    }
    return {"id": id, **ordinary, **changes}


def page(*items: dict[str, Any], total: int | None = None, last: int | None = None, **case: Any) -> Case:
    """A page, the only one unless told otherwise."""
    total = len(items) if total is None else total
    last = -(-total // 10) if last is None else last
    return Case({"items": list(items), "pagination": {"total_count": total, "max_page": last}}, **case)


def one(item: dict[str, Any], id: str = ONE, **case: Any) -> Case:
    """A wallet read by its id."""
    return Case(item, GET, id, **case)


def refused(*entries: Any, **case: Any) -> Case:
    """A 422 with entries of (type, loc, input) or whole ones."""
    whole = [e if isinstance(e, dict) else {"type": e[0], "loc": e[1], "msg": "No.", "input": e[2]} for e in entries]
    return Case({"error": "RequestValidationError", "detail": whole}, status=422, **case)


def unauthorized(body: Any, authorization: str, challenge: str) -> Case:
    """A 401."""
    return Case(body, status=401, sent={"authorization": authorization}, headers={"www-authenticate": challenge})


def not_found(detail: str) -> Case:
    """A 404 of a wallet."""
    return Case({"error": "ResourceNotFound", "detail": detail}, GET, TWO, status=404)


def no_method(allow: str) -> Case:
    """A 405."""
    return Case({"detail": "Method Not Allowed"}, "", status=405, method="PUT", headers={"allow": allow})


PAGE_0 = ("greater_than", ["query", "page"], "0")
EARLY, LATE = (wallet(ONE, created_at="2026-03-01T10:00:00Z"), wallet(TWO, created_at="2026-03-01T10:00:00.5Z", balance=4))
OWING = wallet(TWO, balance=-7, currency="eur")
THREE = [wallet(f"{number}a1b2c3d-4e5f-4a6b-9c7d-8e9f0a1b2c3d") for number in range(3)]

# rule id -> honest exchanges that it is judged on, and exchanges that break it and nothing else
CASES: dict[str, tuple[list[Case], list[Case]]] = {
    "state.modified-after-created": (
        [one(wallet()), one(wallet(modified_at="2026-03-01T10:00:00Z")), one(wallet(modified_at="2026-03-01T10:00:00.000001Z"))],
        [one(wallet(modified_at="2026-03-01T09:59:59.999999Z")), page(wallet(modified_at="2025-03-01T10:00:00Z"))],
    ),
    "money.balance-is-whole": (
        [one(wallet(balance=2**64)), one(wallet(balance=-1)), page(wallet(balance=0))],
        [one(wallet(balance=5.0)), Case(json.dumps(wallet(balance=7)).replace(": 7", ": 7e2").encode(), GET, ONE)],
    ),
    "auth.one-customer": ([page(LATE, EARLY)], [page(LATE, wallet(customer_id=TWO))]),
    "lists.ids-unique": ([page(LATE, EARLY)], [page(EARLY, EARLY)]),
    "state.two-per-currency": ([page(*THREE[:2])], [page(*THREE)]),
    "lists.max-page": (
        [page(), page(LATE, EARLY), page(EARLY, total=2, last=2, query="limit=1&page=2"), page(LATE, EARLY, query="limit=1000")],
        [page(last=1), page(LATE, EARLY, last=2), page(EARLY, total=2, last=1, query="limit=1&page=2")],
    ),
    "lists.limit-kept": ([page(EARLY, total=2, last=2, query="limit=1")], [page(LATE, EARLY, last=2, query="limit=1")]),
    "lists.page-full": (
        [page(query="page=7"), page(total=2, query="page=2"), page(EARLY, total=2, last=2, query="page=2&limit=1")],
        [page(EARLY, total=2), page(EARLY, total=11, last=2, query="limit=10"), page(EARLY, query="page=2")],
    ),
    "lists.order-holds": (
        [page(LATE, EARLY), page(EARLY, LATE, query="sorting=created_at"), page(OWING, EARLY, query="sorting=balance")],
        [page(EARLY, LATE), page(LATE, EARLY, query="sorting=created_at"), page(EARLY, OWING, query="sorting=balance")],
    ),
    "lists.later-criteria": (
        [
            page(OWING, EARLY, query="sorting=created_at&sorting=balance"),
            page(EARLY, OWING, query="sorting=created_at&sorting=-balance"),
        ],
        [
            page(EARLY, OWING, query="sorting=created_at&sorting=balance"),
            page(OWING, EARLY, query="sorting=created_at&sorting=-balance"),
        ],
    ),
    "state.right-wallet": (
        [one(wallet()), one(wallet(), ONE.upper()), one(wallet(), f"urn:uuid:{ONE}"), one(wallet(), ONE.replace("-", ""))],
        [one(wallet(TWO)), one(wallet(TWO), ONE.upper())],
    ),
    "contract.version-in-force": (
        [page(), page(sent={"polar-version": "2026-10"}, headers={"polar-version": "2026-10"}), page(sent={"polar-version": ""})],
        [page(headers={"polar-version": "2026-10"}), page(sent={"polar-version": "2026-10"})],
    ),
    "auth.not-stored": ([page(), page(headers={"cache-control": "No-Store"})], [page(headers={"cache-control": "private"})]),
    "auth.refusal-fits": (
        [
            unauthorized(UNAUTHORIZED, "Basic x", CHALLENGE),
            unauthorized(INVALID_TOKEN, "bearer invalid-key", f"{CHALLENGE}, error=invalid_token"),
        ],
        [
            unauthorized(INVALID_TOKEN, "Basic x", CHALLENGE),
            unauthorized(UNAUTHORIZED, f"Bearer {TOKEN}", f"{CHALLENGE}, invalid_token"),
        ],
    ),
    "auth.bearer-challenge": (
        [unauthorized(UNAUTHORIZED, "Basic x", "bearer"), unauthorized(UNAUTHORIZED, "Bearer polar_oat_1", CHALLENGE)],
        [unauthorized(UNAUTHORIZED, "Basic x", "Basic"), unauthorized(INVALID_TOKEN, f"Bearer {TOKEN}", CHALLENGE)],
    ),
    "errors.not-found-body": ([not_found("Not found")], [not_found("No wallet 7"), not_found("Not yours")]),
    "errors.allow-names-get": ([no_method("GET")], [no_method("GET, POST"), no_method("PUT")]),
    "errors.entry-shape": (
        [refused(PAGE_0, query="page=0"), refused({"type": "x", "loc": ["header", "a"], "msg": "", "input": "", "ctx": {}})],
        [
            refused(query="sorting=1_0&page=1_0"),
            refused(
                {"type": "greater_than", "loc": ["query", "page"], "msg": "", "input": "0", "url": "https://x"}, query="page=0"
            ),
            refused(("any", ["page"], "1_0"), query="page=1_0"),
            Case({"error": "RequestValidationError", "detail": [], "status": 422}, status=422, query="page=1_0"),
        ],
    ),
    "errors.every-mistake-named": (
        [
            refused(PAGE_0, query="page=1&page=0"),
            refused(
                ("int_parsing", ["query", "limit"], ""),
                ("enum", ["query", "sorting", 1], "x"),
                query="sorting=balance&sorting=x&limit=",
            ),
            refused(("uuid_parsing", ["path", "id"], "abc"), operation=GET, id="abc"),
            refused(("uuid_version", ["path", "id"], ONE.replace("-4", "-1")), operation=GET, id=ONE.replace("-4", "-1")),
        ],
        [
            refused(PAGE_0, query="page=0&limit=0"),
            refused(("enum", ["query", "sorting", 0], "x"), PAGE_0, query="page=0&sorting=x"),
            refused(("int_parsing", ["query", "page"], "0"), query="page=0"),
            refused(("greater_than", ["query", "page"], 0), query="page=0"),
            refused(("uuid_version", ["path", "id"], "abc"), operation=GET, id="abc"),
        ],
    ),
    "errors.invalid-refused": (
        [refused(PAGE_0, query="page=0")],
        [
            page(query="page=0"),
            page(query="sorting=-"),
            page(query="limit=1.5"),
            page(query="page=1&page="),
            one(wallet(), "abc"),
        ],
    ),
    "errors.valid-accepted": (
        [page(query="page=1&limit=1000&sorting=balance"), not_found("Not found")],
        [
            refused(("int_parsing", ["query", "limit"], "1000"), query="limit=1000"),
            refused(("x", ["path", "id"], ONE), operation=GET, id=ONE),
        ],
    ),
}


def broken(case: Case) -> tuple[set[str], set[str]]:
    """The rules that the exchange breaks, and those that were judged."""
    tested: set[str] = set()
    return {finding.rule for finding in judge().findings(case.seen(), tested.add)}, tested


def test_every_rule_has_cases() -> None:
    """No rule over single exchanges goes without."""
    assert set(CASES) == {entry.rule.id for entry in RULES}
    assert len(RULES) == len(CASES)


@pytest.mark.parametrize("rule", CASES)
def test_rules_over_single_exchanges(rule: str) -> None:
    """Honest exchanges are judged and pass; each broken one is caught by this rule alone."""
    right, wrong = CASES[rule]
    for case in right:
        found, tested = broken(case)
        assert not found, case
        assert rule in tested, case
    for case in wrong:
        assert broken(case)[0] == {rule}, case


@pytest.mark.parametrize(
    "case",
    [
        page(LATE, EARLY, query="page=1_0"),  # 1 or 10: who knows
        page(LATE, EARLY, query="limit=%2B1"),
        page(LATE, EARLY, query="limit=+2"),
        page(LATE, EARLY, query="limit=" + "9" * 5000),
        one(wallet(), f"{{{ONE}}}"),
        page(EARLY, total=1, query="page=01&limit=007&unknown=0&sorting=-created_at"),
        Case({"error": "NotPermitted", "detail": "No."}, status=403, query="page=0"),
        Case(b"", status=429, headers={"retry-after": "60"}, query="page=0"),
        refused({"type": "value_error", "loc": ["header", "x-mock-session"], "msg": "No.", "input": "?"}),
        refused(("int_parsing", ["query", "page"], "\0"), query="page=%00"),
        unauthorized(UNAUTHORIZED, "Bearer polar_oat_abc", CHALLENGE),
    ],
)
def test_what_honest_servers_may_do(case: Case) -> None:
    """Where the promise ends, no rule speaks."""
    assert broken(case)[0] == set()


# ---------------------------------------------------------------- arithmetic and reading


def population(total: int) -> list[dict[str, Any]]:
    """Wallets in the default order, at most two in a currency, every third with the time of the one before."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    made = []
    for number in range(total):
        created = start - timedelta(hours=number - number % 3 // 2)
        currency = chr(97 + number // 52) + chr(97 + number // 2 % 26) + "x"
        made.append(
            wallet(f"{number:08x}-0000-4000-8000-000000000000", created_at=f"{created:%Y-%m-%dT%H:%M:%SZ}", currency=currency)
        )
    return made


@settings(max_examples=40, deadline=None)
@given(total=st.integers(0, 250), number=st.integers(1, 30), limit=st.integers(1, 300), short=st.integers(1, 3))
def test_pages_add_up(total: int, number: int, limit: int, short: int) -> None:
    """An honest page of any list passes; one with fewer wallets or other totals does not."""
    effective = min(limit, 100)
    items = population(total)[(number - 1) * effective : number * effective]
    last = -(-total // effective)
    query = f"page={number}&limit={limit}"

    assert broken(page(*items, total=total, last=last, query=query))[0] == set()
    assert broken(page(*items, total=total, last=last + short, query=query))[0] == {"lists.max-page"}
    if items:
        assert broken(page(*items[:-short], total=total, last=last, query=query))[0] == {"lists.page-full"}


@settings(max_examples=60, deadline=None)
@given(
    balances=st.lists(st.sampled_from([-(2**70), -1, 0, 5, 2**63, 2**70]), min_size=2, max_size=9),
    criteria=st.lists(st.sampled_from(SORTINGS), min_size=1, max_size=3),
    swapped=st.integers(0, 7),
)
def test_orders_hold(balances: list[int], criteria: list[str], swapped: int) -> None:
    """A sorted page passes; with two neighbours swapped it passes just if they tie in every criterion."""
    items = [item | {"balance": balance} for item, balance in zip(population(len(balances)), balances, strict=True)]
    for criterion in reversed(criteria):
        items.sort(key=lambda item: item[criterion.lstrip("-")], reverse=criterion.startswith("-"))
    query = "&".join(f"sorting={criterion}" for criterion in criteria)
    assert broken(page(*items, query=query))[0] == set()

    at = swapped % (len(items) - 1)
    differ = [name for name in (criterion.lstrip("-") for criterion in criteria) if items[at][name] != items[at + 1][name]]
    items[at : at + 2] = items[at + 1], items[at]
    found = broken(page(*items, query=query))[0]
    if not differ:
        assert found == set()
    else:
        rule = "lists.order-holds" if differ[0] == criteria[0].lstrip("-") else "lists.later-criteria"
        assert rule in found


VALUES = st.one_of(
    st.integers(-3, 10**30).map(str),
    st.sampled_from(
        [*SORTINGS, "", " 2", "1.0", "1.5", "01", "1_0", "+3", "-0", "0x1", "1e1", "٣", "null", "--balance", "foo", "%", "\0"]
    ),
    st.text(max_size=6),
)


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(st.sampled_from(["page", "limit", "sorting", "other"]), VALUES), max_size=5))
def test_mistakes_are_what_the_providers_library_complains_of(pairs: list[tuple[str, str]]) -> None:
    """What rules expect a 422 to name is what it names, wherever they expect anything."""
    case = Case({}, query=urlencode(pairs, errors="surrogatepass"))
    agree(case, list_query)


@settings(max_examples=100, deadline=None)
@given(
    id=st.one_of(
        st.uuids().map(str),
        st.uuids(version=4).map(str),
        st.uuids(version=4).map(lambda value: value.hex.upper()),
        st.uuids().map(lambda value: f"{{{value}}}"),
        st.uuids().map(lambda value: f"urn:uuid:{value}"),
        st.text(max_size=40),
    )
)
def test_bad_ids_are_what_the_providers_library_complains_of(id: str) -> None:
    """The same for ids; where one is accepted, its usual form is the provider's."""
    case = Case({}, GET, id)
    accepted = agree(case, wallet_id)
    if accepted is not None:
        assert canonical(id) == accepted


def agree(case: Case, read: Callable[[Request], Any]) -> Any:
    """Compare with the provider's library; returns what it accepted, if it did."""
    seen = case.seen()
    expected = complaints(seen)
    try:
        accepted = read(seen.request)
    except Refused as refusal:
        if expected is not None:
            entries = json.loads(refusal.answer.body)["detail"]
            assert [(e.type, list(e.loc), e.input) for e in expected] == [(e["type"], e["loc"], e["input"]) for e in entries]
        return None
    assert not expected
    return accepted


# ---------------------------------------------------------------- probes


def subject(target: Target, **tokens: str) -> Subject:
    """What a run is about; wallets as found."""
    identities = {name: bearer(name, token, f"POLAR_{name.upper()}") for name, token in tokens.items()}
    return Subject(contract(), target, Guard("own"), judge(), identities, 1, "run")


@pytest.fixture
def people(mock: Mock) -> dict[str, str]:
    """Tokens of the fixture customers by name."""
    return {
        key.removeprefix("polar/").partition(".")[0]: str(persona["token"])
        for key, persona in mock.personas().items()
        if key.startswith("polar/")
    }


@pytest.fixture
def target(mock: Mock) -> Iterator[Target]:
    """The mock."""
    made = Target(mock.url, contract().base_path)
    yield made
    made.close()


def run(about: Subject, probes: list[Probe] = PROBES) -> list[Stage]:
    """Discover, then every probe whose needs are met."""
    stages = [Stage(about, "arrival", time.monotonic())]
    about.wallets = polar.discover(stages[0])
    for probe in probes:
        if not about.missing(probe.needs):
            stages.append(Stage(about, probe.name, time.monotonic()))
            probe.run(stages[-1])
    return stages


def test_probes_find_nothing_wrong_with_the_mock(target: Target, people: dict[str, str]) -> None:
    """With few wallets, with many that tie, with none; and between them every rule is judged."""
    judged: set[str] = set()
    for main in ("ada", "paged", "newcomer"):
        stages = run(subject(target, main=people[main], other=people["bob"], expired=people["lapsed"]))
        assert [str(found.finding) for stage in stages for found in stage.found] == []
        judged.update(rule for stage in stages for rule, count in stage.judged.items() if count)
    rules = {rule.id for probe in PROBES for rule in probe.rules} | {entry.rule.id for entry in RULES}

    assert rules - judged == set()
    assert target.requests < 3 * 900


def test_probes_send_the_same_every_time(target: Target, people: dict[str, str]) -> None:
    """The seed and the target decide what is sent."""
    some = [
        probe
        for probe in PROBES
        if probe.name in ("items-equal-gets", "unknown-wallets", "strangers", "odd-ids", "two-customers")
    ]
    sent = []
    for _ in range(2):
        stages = run(subject(target, main=people["paged"], other=people["bob"]), some)
        requests = [s.observation.request for stage in stages for s in stage.log]
        sent.append([(r.method, r.path, r.query_string, list(r.headers)) for r in requests])

    assert len(some) == 5
    assert sent[0] == sent[1]


class Junk(Target):
    """A target that answers anything to anything."""

    def __init__(self, seed: int) -> None:
        super().__init__("http://127.0.0.1:1")
        self._random = random.Random(seed)
        good = {"items": [EARLY, LATE], "pagination": {"total_count": 2, "max_page": 1}}
        self._bodies = cycle(
            [good, EARLY, good, {"items": [{}, 1]}, {"items": [wallet(id=None), wallet(id={})], "pagination": good}, []]
        )

    def send(self, request: Request, identity: Identity) -> Exchange:
        self.requests += 1
        status = self._random.choice([200, 200, 200, 200, 307, 401, 404, 405, 418, 422, 500])
        body = json.dumps(self._mutated(next(self._bodies))).encode()
        if self._random.random() < 0.1:
            body = self._random.choice(
                [b"", b"\xff", b"null", b"[" * 3000, body[:-9], b'{"detail": [1, {"loc": 5}], "error": 7}']
            )
        headers = [
            (b"content-type", b"application/json"),
            (b"location", b"http://[no"),
            (b"allow", b"\xff"),
            (b"polar-version", b"?"),
        ]
        return Exchange(request, Response(status, headers, body))

    def _mutated(self, value: Any) -> Any:
        if self._random.random() < 0.02:
            return self._random.choice([None, True, -1, 1.5, 10**40, "", "x", [], {}, [None], {"a": 1}])
        if isinstance(value, dict):
            return {name: self._mutated(entry) for name, entry in value.items()}
        return [self._mutated(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_probes_survive_any_answer(probe: Probe) -> None:
    """A probe ends by itself or gives up: nothing that a server says makes it fail."""
    for seed in range(2):
        about = subject(Junk(seed), main=TOKEN, other="polar_mst_other", expired="polar_cst_old")
        about.wallets = [ONE, "wallet_7", TWO]
        stage = Stage(about, probe.name, time.monotonic())
        try:
            probe.run(stage)
            polar.discover(stage)
        except NotTested:
            continue
        assert stage.judged
