"""The fuzz engine, through the gate, against running mocks and against servers that are broken in one way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Mock, running

from contract_tests import contract
from contract_tests.checking import Wanted, subjects
from contract_tests.contract import Contract
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.fuzz.engine import PHASES, fuzzing
from contract_tests.fuzz.fence import Fence
from contract_tests.gate import Gate, Options
from contract_tests.guard import Guard, Mode
from contract_tests.policy import Floor, Policy
from contract_tests.probes.flexprice.lab import UNKNOWN_WALLET
from contract_tests.probes.probe import Subject
from contract_tests.results import Cause, Run
from contract_tests.rules.observation import Observation
from contract_tests.source import data_folder

KEY = "fz-key-0123456789abcdef"
QUICK = ("examples", "fuzzing")


@dataclass
class Fuzzed:
    """A run, with what was told meanwhile and what lay in its folder."""

    run: Run
    subject: Subject
    told: list[str] = field(default_factory=list)
    files: str = ""
    commands: str = ""

    @property
    def causes(self) -> dict[str, Cause]:
        """By fingerprint."""
        return {cause.fingerprint: cause for cause in self.run.causes}


def fuzz(subject: Subject, max_examples: int = 3, *, phases: tuple[str, ...] = PHASES, max_time: float = 60.0) -> Fuzzed:
    """Nothing but the engine, in a folder of its own, as other tests fuzz at the same time."""
    result = Fuzzed(Run("", "", "", "semantic", 0), subject)

    def tell(what: str, **_: Any) -> None:
        if what in result.told:
            return
        result.told.append(what)
        if what == "fuzzing: fuzzing":
            (folder,) = Path(own).glob("walletproof-*")
            assert folder.stat().st_mode & 0o777 == 0o700
            result.files = "".join(path.read_text("utf-8", "replace") for path in folder.rglob("*") if path.is_file())
            result.commands = "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in children() if Path("/proc").exists())

    policy = Policy(floor=Floor(rules=0))
    engine = fuzzing(max_examples, phases=phases)
    with tempfile.TemporaryDirectory() as own, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", own)
        result.run = Gate(subject, Options(policy, max_time=max_time, probes=[], engine=engine), tell).run()
        assert not list(Path(own).glob("walletproof-*"))
    subject.target.close()
    return result


def children() -> list[str]:
    """Processes that this one has started."""
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()


def subject_of(url: str, provider: str = "flexprice", mode: Mode = "own", **more: Any) -> Subject:
    """What is fuzzed; always the same names."""
    credentials = {} if "bearers" in more else {"api_keys": {"main": KEY}}
    (result,) = subjects(Wanted(url, (provider,), mode=mode, **credentials, **more))
    result.run_id = "0a1b2c3d"
    return result


def state(mock: Mock, session: str) -> list[Any]:
    """All persona wallets with their transactions, and how many wallets their customers have."""
    with httpx.Client(base_url=f"{mock.url}/v1", headers={"x-api-key": KEY, "x-mock-session": session}) as http:
        ids = [p["ids"]["wallet"] for key, p in mock.personas().items() if key.startswith("flexprice/")]  # type: ignore[index]
        found: list[Any] = [http.get(f"/wallets/{wallet_id}{rest}").json() for wallet_id in ids for rest in ("", "/transactions")]
        customers = sorted({str(wallet["customer_id"]) for wallet in found if "customer_id" in wallet})
        found += [len(http.get(f"/customers/{customer}/wallets").json()) for customer in customers]
    return found


# ------------------------------------------------------------------ clean mocks


@pytest.fixture(scope="module")
def own(mock: Mock) -> tuple[Fuzzed, list[Any], list[Any]]:
    """A run in mode own, with the state of the personas before and after."""
    before = state(mock, "fuzz-own")
    result = fuzz(subject_of(mock.url, headers=(("x-mock-session", "fuzz-own"),)))
    return result, before, state(mock, "fuzz-own")


def test_clean_mock_passes(own: tuple[Fuzzed, list[Any], list[Any]]) -> None:
    """No false alarm, every operation reached, all phases run, everything counted."""
    result, _, _ = own
    run = result.run
    assert (run.verdict, run.why, [str(cause) for cause in run.causes]) == ("pass", [], [])
    assert all(run.coverage.operations.values())
    assert [what for what in result.told if what.partition(": ")[2] in PHASES] == [f"fuzzing: {phase}" for phase in PHASES]
    assert run.requests > 500
    assert set(run.statuses) >= {"200", "400", "404"}
    judged = {rule.rule: rule.judged for rule in run.rules}
    assert judged["response.body"] > 500
    assert judged["money.balance-is-credits-times-rate"] > 100
    parameters = run.coverage.counts()["parameters"]
    assert parameters[0] == parameters[1]


def test_only_own_wallets_change(own: tuple[Fuzzed, list[Any], list[Any]]) -> None:
    """The personas are as before; the run's own wallets were written to, and are closed afterwards."""
    result, before, after = own
    assert before == after
    assert result.subject.guard.writes > 10
    assert result.run.created > 3
    assert result.run.cleaned == result.run.created
    assert set(result.subject.created.values()) == {"closed"}


def test_caps_are_kept(own: tuple[Fuzzed, list[Any], list[Any]]) -> None:
    """What the fuzzing process has used counts for the run."""
    guard = own[0].subject.guard
    assert guard.writes <= guard.max_writes
    assert 0 < guard.amount <= guard.max_amount


def test_secrets_are_nowhere(own: tuple[Fuzzed, list[Any], list[Any]]) -> None:
    """Neither in the files of the run, nor on a command line, nor in what comes out."""
    result, _, _ = own
    assert "openapi" in result.files
    assert "contract_tests.fuzz.child" in result.commands
    assert KEY not in result.files + result.commands + str(result.told)


def test_polar_passes(mock: Mock) -> None:
    """No false alarm for Polar, known and unknown ids mixed."""
    token = str(mock.personas()["polar/ada.main"]["token"])
    result = fuzz(subject_of(mock.url, "polar", bearers={"main": token}, headers=(("x-mock-session", "fuzz-polar"),)))
    assert (result.run.verdict, result.run.why, [str(c) for c in result.run.causes]) == ("pass", [], [])
    assert all(result.run.coverage.operations.values())
    assert {f"fuzzing: {phase}" for phase in PHASES} <= set(result.told)
    assert result.run.statuses["422"] > 3
    assert token not in result.files + result.commands


# ------------------------------------------------------------------ broken services


def test_findings_and_seeds() -> None:
    """What is broken is found by its rule and place, and confirmed where that changes nothing; secrets are hidden.

    Bounded by examples, a run on a fresh mock depends on nothing but its seed: it finds the same again.
    """
    with running("--defect", "error-status-differs", "--defect", "error-echoes-key", "--defect", "balance-as-number") as mock:
        result, again = (
            fuzz(subject_of(mock.url, headers=(("x-mock-session", session),)), phases=QUICK) for session in ("one", "two")
        )
    assert result.causes.keys() == again.causes.keys()
    assert result.run.verdict == "findings"
    for key in ("errors.status-agrees queryWallet /http_status_code", "response.body getWallet /balance"):
        cause = result.causes[key]
        assert cause.probe == "fuzzing"
        assert cause.confirmation == "confirmed"
        assert cause.steps[-1].curl.startswith("curl -sS -i")
    assert result.causes["response.body getWallet /balance"].count > 3
    assert result.causes["response.body topUpWallet /wallet/balance"].confirmation == "unconfirmed"
    assert any(cause.rule == "errors.no-secrets" for cause in result.run.causes)
    assert KEY not in repr(result.run)


class Odd(BaseHTTPRequestHandler):
    """A service with a path for each way to be broken."""

    protocol_version = "HTTP/1.1"
    requests: list[str] = []

    def do_GET(self) -> None:
        self.requests.append(f"{self.command} {self.path}")
        match self.path.partition("?")[0]:
            case "/hang":
                time.sleep(0.5)
            case "/cut":
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{}")
                self.close_connection = True
                return
            case "/noise":
                self.wfile.write(b"this is no HTTP\r\n\r\n")
                self.close_connection = True
                return
            case "/large":
                self.reply(200, b'"' + b"x" * 70_000 + b'"')
                return
            case "/things":
                self.reply(200, b'[{"id": "known-1", "size": 1}]')
                return
            case path if path.startswith("/things/known"):
                self.reply(200, b'{"id": "known-1", "size": "one"}')
                return
        self.reply(404, b'{"error": "none"}')

    def do_POST(self) -> None:
        self.requests.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.reply(201, b'{"id": "new-1", "size": 2}')

    def other(self) -> None:
        self.requests.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.reply(404, b'{"error": "none"}')

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.other
        raise AttributeError(name)

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True


@contextmanager
def odd_service() -> Iterator[str]:
    """Its URL."""
    Odd.requests.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def odd_document(folder: Path, *odd: str) -> Path:
    """The contract of that service, with these of its odd paths."""
    thing = {"type": "object", "required": ["id", "size"], "properties": {"id": {"type": "string"}, "size": {"type": "integer"}}}

    def answers(status: str, schema: Any) -> dict[str, Any]:
        found = {"description": "", "content": {"application/json": {"schema": schema}}}
        missing = {"description": "", "content": {"application/json": {"schema": {"type": "object"}}}}
        return {"responses": {status: found, "404": missing}}

    plain = {f"/{name}": {"get": answers("200", {})} for name in odd}
    parameter = {"name": "thingId", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    paths = {
        **plain,
        "/things": {
            "get": answers("200", {"type": "array", "items": thing}),
            "post": {"requestBody": body, **answers("201", thing)},
        },
        "/things/{thingId}": {"parameters": [parameter], "get": answers("200", thing), "delete": answers("204", {})},
    }
    path = folder / "things.json"
    path.write_text(json.dumps({"openapi": "3.0.3", "info": {"title": "things", "version": "1"}, "paths": paths}))
    return path


def test_any_document_and_troubled_answers(tmp_path: Path) -> None:
    """Another document works with the general rules; what is wrong on the wire has its rule; others' things stay."""
    with odd_service() as url:
        wanted = Wanted(url, spec=odd_document(tmp_path, "hang", "cut", "noise", "large"), wallets=("known-1",), timeout=0.3)
        (subject,) = subjects(wanted)
        subject.target.max_bytes = 60_000
        result = fuzz(subject, 3, phases=QUICK)
    for key in (
        "robustness.answers-in-time GET /hang -",
        "robustness.whole-answers GET /cut -",
        "robustness.plain-http GET /noise -",
        "robustness.bounded-answers GET /large -",
        "response.body GET /things/{thingId} /size",
    ):
        assert result.causes[key].confirmation == "confirmed", (key, sorted(result.causes))
    assert len(result.causes) == 5
    assert result.subject.created == {"new-1": "active"}
    assert any(request.startswith("GET /things/known-1") for request in Odd.requests)
    assert not any(request.startswith("DELETE") and "new-1" not in request for request in Odd.requests)


def test_mode_read_sends_no_write(tmp_path: Path) -> None:
    """Not one request that may change something arrives: neither an operation nor a wrong method."""
    with odd_service() as url:
        (subject,) = subjects(Wanted(url, spec=odd_document(tmp_path), wallets=("known-1",), mode="read"))
        result = fuzz(subject, 2, phases=("coverage", "fuzzing"))
    methods = {request.partition(" ")[0] for request in Odd.requests}
    assert "GET" in methods
    assert methods <= {"GET", "HEAD", "OPTIONS"}
    assert len(Odd.requests) > 10
    assert (subject.guard.writes, subject.created) == (0, {})
    assert result.run.why == []


def test_service_that_goes_away(tmp_path: Path) -> None:
    """A target that stops answering is no pass."""
    with odd_service() as url:
        (subject,) = subjects(Wanted(url, spec=odd_document(tmp_path), timeout=0.3))
    result = fuzz(subject, 1, phases=("fuzzing",))
    assert result.run.verdict == "inconclusive"
    assert "the target stopped answering while it was fuzzed" in result.run.why


# ------------------------------------------------------------------ ends


def test_failed_process_is_no_pass(mock: Mock) -> None:
    """A process that cannot do its work makes the run inconclusive, and says what it said."""
    subject = subject_of(mock.url, headers=(("x-mock-session", "fuzz-failed"),))
    run = Gate(subject, Options(probes=[], engine=fuzzing(1, phases=("nonsense",)))).run()
    assert run.verdict == "inconclusive"
    assert "the fuzzer failed (exit code 2): " in run.why[0]
    assert "nonsense" in run.why[0]
    subject.target.close()


RUN = """
import json, sys
from contract_tests.checking import Wanted, subjects
from contract_tests.fuzz.engine import fuzzing
from contract_tests.gate import Gate, Options
(subject,) = subjects(Wanted(sys.argv[1], ("flexprice",), api_keys={"main": "k"}))
tell = lambda what, **more: print(what, flush=True)
run = Gate(subject, Options(probes=[], engine=fuzzing()), tell).run()
print(json.dumps([run.verdict, run.interrupted, run.created, run.cleaned, run.requests, len(run.causes)]))
"""


def test_interrupt() -> None:
    """Ctrl-C ends the fuzzing process soon, and what was seen is reported; what was created is closed."""
    with running("--defect", "error-status-differs") as mock:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, mock.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("fuzzing: coverage"):
                break
        time.sleep(1.0)
        running_child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        output, errors = process.communicate(timeout=20)
        assert time.monotonic() - started < 5, errors
    verdict, interrupted, created, cleaned, requests, causes = json.loads(output.splitlines()[-1])
    assert (verdict, interrupted) == ("findings", "interrupted")
    assert created == cleaned >= 3
    assert requests > 50
    assert causes > 3
    assert running_child
    assert not any(Path(f"/proc/{pid}").exists() for pid in running_child)


# ------------------------------------------------------------------ the fence

OWN, FOREIGN = "wallet_01HOWNOWNOWNOWNOWNOWNOWNOW", "wallet_01HFOREIGNFOREIGNFOREIGNFO"


@pytest.fixture(scope="module")
def flexprice() -> Contract:
    """The contract."""
    folder = data_folder(contract.__file__, "openapi")
    return Contract.load("flexprice", folder / "flexprice.yaml", folder / "flexprice.overlay.yaml")


def fence_of(flexprice: Contract, guard: Guard, keep: tuple[str, ...] = ()) -> Fence:
    """A fence in which one wallet is the run's own, and another is not."""
    guard.own(OWN)
    return Fence(flexprice, guard, unknown=UNKNOWN_WALLET, run_id="r", keep=list(keep), foreign=[FOREIGN, "cust_somebody"])


def passed(fence: Fence, flexprice: Contract, operation: str, path: str, body: bytes = b"", method: str = "POST") -> str | None:
    """Path and body as they may be sent; None if they may not."""
    leave = fence.check(flexprice.operations.get(operation, flexprice.unrouted), Request(method, f"/v1{path}", b"", (), body))
    return None if leave is None else (leave.request.path + " " + leave.request.body.decode()).removeprefix("/v1").strip()


@pytest.mark.parametrize(
    ("operation", "path", "expected"),
    [
        ("topUpWallet", f"/wallets/{OWN}/top-up", f"/wallets/{OWN}/top-up"),
        ("topUpWallet", f"/wallets/{FOREIGN}/top-up", f"/wallets/{UNKNOWN_WALLET}/top-up"),
        ("topUpWallet", f"/wallets/{FOREIGN.lower()}/top-up", f"/wallets/{UNKNOWN_WALLET}/top-up"),
        ("topUpWallet", f"/wallets/%20{FOREIGN}%00/top-up", f"/wallets/{UNKNOWN_WALLET}/top-up"),
        ("topUpWallet", f"/wallets/x%2F..%2F{FOREIGN}/top-up", f"/wallets/{UNKNOWN_WALLET}/top-up"),
        ("topUpWallet", "/wallets/cust_somebody/top-up", f"/wallets/{UNKNOWN_WALLET}/top-up"),
        ("topUpWallet", "/wallets/12/top-up", f"/wallets/{UNKNOWN_WALLET}/top-up"),
        ("topUpWallet", "/wallets/%F0%9F%98%80/top-up", "/wallets/%F0%9F%98%80/top-up"),
        ("getWallet", f"/wallets/{FOREIGN}", f"/wallets/{FOREIGN}"),
        ("", "/wallets", None),
    ],
)
def test_fence_paths(flexprice: Contract, operation: str, path: str, expected: str | None) -> None:
    """Writes reach the run's own wallets, or nothing."""
    method = flexprice.operations[operation].method if operation else "DELETE"
    assert passed(fence_of(flexprice, Guard()), flexprice, operation, path, method=method) == expected


def test_fence_of_wrong_methods(flexprice: Contract) -> None:
    """A method that the contract does not have is as much of a write as any."""
    fence = fence_of(flexprice, Guard())
    assert passed(fence, flexprice, "", f"/wallets/{FOREIGN}", method="DELETE") == f"/wallets/{UNKNOWN_WALLET}"
    assert passed(fence_of(flexprice, Guard("read")), flexprice, "", f"/wallets/{OWN}", method="DELETE") is None
    assert passed(fence_of(flexprice, Guard("all")), flexprice, "", f"/wallets/{FOREIGN}", method="DELETE") is not None


def test_fence_bodies(flexprice: Contract) -> None:
    """No wallet is made for somebody else's customer, however the body says it."""
    fence = fence_of(flexprice, Guard())
    body = b'{"customer_id": "cust_somebody", "currency": "usd"}'
    assert passed(fence, flexprice, "createWallet", "/wallets", body) == '/wallets {"customer_id": "wp-r-f", "currency": "usd"}'
    assert passed(fence, flexprice, "createWallet", "/wallets", b"customer_id=cust_somebody") is None
    assert passed(fence, flexprice, "terminateWallet", f"/wallets/{OWN}/terminate") == f"/wallets/{OWN}/terminate"
    keeping = fence_of(flexprice, Guard(), keep=(OWN,))
    assert passed(keeping, flexprice, "terminateWallet", f"/wallets/{OWN}/terminate") == f"/wallets/{UNKNOWN_WALLET}/terminate"


def test_fence_caps_and_creations(flexprice: Contract) -> None:
    """A refusal is given back; what was created is owned; beyond the caps writes reach nothing, and none is created."""
    guard = Guard(max_writes=2, max_amount=Decimal(10))
    fence = fence_of(flexprice, guard)
    create, top_up = flexprice.operations["createWallet"], flexprice.operations["topUpWallet"]

    def send(operation: Any, path: str, body: bytes, status: int, answer: bytes) -> tuple[str, str | None] | None:
        leave = fence.check(operation, Request("POST", f"/v1{path}", b"", (), body))
        if leave is None:
            return None
        headers = ((b"content-type", b"application/json"),)
        exchange = Exchange(leave.request, Response(status, headers, answer))
        return leave.request.path.removeprefix("/v1"), fence.settle(leave, Observation(flexprice, operation, exchange))

    assert send(create, "/wallets", b"{}", 400, b"{}") == ("/wallets", None)
    assert guard.writes == 0
    assert send(create, "/wallets", b"{}", 200, b'{"id": "wallet_new", "customer_id": "c"}') == ("/wallets", "wallet_new")
    assert (guard.owns("wallet_new"), guard.owns("c"), guard.writes) == (True, True, 1)
    large = b'{"credits_to_add": "10.1"}'
    assert send(top_up, f"/wallets/{OWN}/top-up", large, 404, b"{}") == (f"/wallets/{UNKNOWN_WALLET}/top-up", None)
    assert send(top_up, f"/wallets/{OWN}/top-up", b'{"amount": 9.5}', 200, b"{}") == (f"/wallets/{OWN}/top-up", None)
    assert (guard.writes, guard.amount) == (2, Decimal("9.5"))
    assert send(top_up, f"/wallets/{OWN}/top-up", b"{}", 404, b"{}") == (f"/wallets/{UNKNOWN_WALLET}/top-up", None)
    assert send(create, "/wallets", b"{}", 200, b"{}") is None
