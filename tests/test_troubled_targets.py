"""Targets in trouble: a clear word about what is wrong, in bounded time, and never a pass."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from queue import Queue

import pytest
import troubled
from conftest import Mock
from gating import gate, quick
from troubled import Answer, Asked, always, dripping, http, proxy

from contract_tests.checking import Wanted, subjects
from contract_tests.gate import Gate, Options
from contract_tests.reports import formats
from contract_tests.results import Results
from walletproof.cli import main

WALLETPROOF = [sys.executable, "-m", "walletproof"]
CREDENTIALS = {"flexprice": ["--api-key", "k3y-of-somebody"], "polar": ["--bearer", "t0ken-of-somebody"]}
MAX_TIME = 20


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    said: str
    seconds: float


def command(*arguments: str, max_time: int = MAX_TIME) -> Done:
    """A command that ends in time and without a traceback."""
    begin = time.monotonic()
    done = subprocess.run(
        [*WALLETPROOF, *arguments, "--timeout", "1s", "--max-time", f"{max_time}s", "--quiet"],
        capture_output=True,
        text=True,
        timeout=max_time + 30,
        check=False,
        env={**os.environ, "COLUMNS": "300"},
    )
    seconds = time.monotonic() - begin
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert seconds < max_time + 5
    return Done(done.returncode, said, seconds)


def within(capfd: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """The same without a process of its own; in a thread, so that a hang would fail just this."""
    ended: Queue[int] = Queue()
    limits = ("--timeout", "500ms", "--max-time", f"{MAX_TIME}s", "--quiet")
    begin = time.monotonic()
    threading.Thread(target=lambda: ended.put(main([*arguments, *limits])), daemon=True).start()
    code = ended.get(timeout=MAX_TIME + 5)
    seconds = time.monotonic() - begin
    out, error = capfd.readouterr()
    return Done(code, out + error, seconds)


def nobody() -> str:
    """The URL of a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return f"http://127.0.0.1:{gone.getsockname()[1]}"


JSON = "Content-Type: application/json"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LOGIN = http("200 OK", b"<!doctype html><title>Log in</title><form>", "Content-Type: text/html; charset=utf-8")
BUSY = http("429 Too Many Requests", b"{}", JSON, "Retry-After: 0")
FOR_LONG = http("429 Too Many Requests", b"{}", JSON, "Retry-After: 9999")

TROUBLES: dict[str, tuple[Answer, str]] = {
    "login-page": (always(LOGIN), "the target answers with a web page (200 text/html; charset=utf-8): a login page or a proxy?"),
    "redirects": (always(http("302 Found", b"", "Location: /login")), "the target redirects to /login: is this the base URL?"),
    "not-there": (always(http("404 Not Found", b"nothing")), "is not there (404): is the base path right?"),
    "not-there-json": (always(http("404 Not Found", b'{"detail":"x"}', JSON)), "is not there (404): is the base path right?"),
    "forbidden": (always(http("403 Forbidden", b'{"error":"no"}', JSON)), "the credentials were refused: 403"),
    "no-answer": (troubled.silent, "no whole answer within"),
    "slow-body": (dripping(HEAD + b"Content-Length: 100000\r\n\r\n", b" "), "no whole answer within"),
    "slow-headers": (dripping(HEAD, b"X: 1\r\n"), "no whole answer within"),
    "slow-status": (dripping(b"", b"H"), "no whole answer within"),
    "continues-for-ever": (dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "no whole answer within"),
    "limited": (always(BUSY), "the target is limiting requests (429): try again with --rate"),
    "limited-for-long": (always(FOR_LONG), "the target is limiting requests (429): try again with --rate"),
    "reset-mid-body": (troubled.half_then_reset, "the connection ended before the answer was whole"),
    "reset-at-once": (lambda _, connection: troubled.reset(connection), "the connection ended before the answer was whole"),
    "closed-at-once": (lambda *_: None, "the connection ended before the answer was whole"),
    "fifty-megabytes": (troubled.endless, "the answer is larger than 10 MiB"),
    "no-http": (always(b"220 mail.example ESMTP\r\n\r\n"), "not understood as HTTP: illegal status line"),
    "switching": (always(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "not understood as HTTP"),
}


AS_PROCESSES = ("reset-mid-body", "limited")


@pytest.mark.parametrize("trouble", TROUBLES)
def test_nothing_could_be_tested(trouble: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, with the reason and no other: there is no use in listing what was not reached."""
    answer, words = TROUBLES[trouble]
    provider = ("flexprice", "polar")[list(TROUBLES).index(trouble) % 2]
    with troubled.troubled(answer) as server:
        arguments = ("gate", server.url, "--provider", provider, *CREDENTIALS[provider])
        done = command(*arguments) if trouble in AS_PROCESSES else within(capfd, *arguments)
    assert (done.code, words in done.said) == (3, True), done.said
    assert "INCONCLUSIVE: too little was tested" in done.said
    assert "never answered with a 2xx" not in done.said


@pytest.mark.parametrize("trouble", ["login-page", "reset-mid-body"])
def test_fuzz(trouble: str) -> None:
    """The fuzzer does not even start on a target that the probes cannot work with."""
    answer, words = TROUBLES[trouble]
    with troubled.troubled(answer) as server:
        done = command("fuzz", server.url, *CREDENTIALS["polar"])
    assert (done.code, words in done.said) == (3, True), done.said
    assert done.seconds < 10


def test_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    """With credentials it is the target that is missing (3); without, the mock whose credentials were to be used (2)."""
    url = nobody()
    known = within(capfd, "gate", url, *CREDENTIALS["polar"])
    unknown = within(capfd, "gate", url)
    assert (known.code, f"cannot connect to {url}" in known.said, "refused" in known.said) == (3, True, True)
    assert unknown.code == 2
    assert unknown.said.startswith(f"walletproof: cannot connect to {url}: ")


@pytest.mark.parametrize("spoken", ["http", "tls-without-certificate"])
def test_tls_fails(spoken: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What listens speaks no TLS, or none that a client can agree to."""
    tls = troubled.without_certificate() if spoken != "http" else None
    answer = always(http("400 Bad Request", b"plain HTTP"))
    with troubled.troubled(answer, tls) as server:
        url = server.url.replace("http://", "https://")
        done = within(capfd, "gate", url, *CREDENTIALS["polar"])
        unknown = within(capfd, "gate", url)
    assert (done.code, "TLS failed: " in done.said) == (3, True), done.said
    assert (unknown.code, unknown.said.startswith("walletproof: TLS failed: ")) == (2, True), unknown.said


def test_wrong_base_path(mock: Mock, capfd: pytest.CaptureFixture[str]) -> None:
    """The mock is found, but not at this path."""
    done = within(capfd, "gate", f"{mock.url}/api", "--provider", "flexprice")
    assert (done.code, "/v1/wallets/search is not there (404): is the base path right?" in done.said) == (3, True), done.said


@pytest.mark.parametrize(
    "answer", [troubled.silent, dripping(HEAD, b"X: 1\r\n"), troubled.endless], ids=["silent", "slow", "huge"]
)
def test_asking_whether_it_is_the_mock(answer: Answer, capfd: pytest.CaptureFixture[str]) -> None:
    """Without credentials the target is asked whether it is our mock; that ends in time, too."""
    with troubled.troubled(answer) as server:
        done = within(capfd, "gate", server.url, "--provider", "polar")
    assert done.code == 2
    assert done.seconds < 5
    assert "no whole answer within" in done.said or "polar asks for credentials" in done.said


def test_patience(mock: Mock, session: str) -> None:
    """A target that asks for a second of patience (429, Retry-After) gets it, and passes; a POST is sent again whole."""
    asked_for_it: list[bytes] = []

    def meddle(asked: Asked, connection: socket.socket) -> bool:
        if asked_for_it or asked.method != "POST":
            return False
        asked_for_it.append(asked.body)
        connection.sendall(http("429 Too Many Requests", b'{"error":"slow down"}', JSON, "Retry-After: 1"))
        return True

    begin = time.monotonic()
    with proxy(mock.url, meddle) as server:
        run = gate(server.url, "flexprice", session, quick(None, "known-wallets", provider="flexprice"), mode="read")
    assert run.causes == []
    again = [asked.body for asked in server.asked if asked.method == "POST"][1]
    assert asked_for_it == [again] != [b""]
    assert time.monotonic() - begin > 1


# ---------------------------------------------------------------- otherwise honest


def now_and_then(every: int, answer: Answer) -> troubled.Meddle:
    """Answers every so many requests itself."""

    def meddle(asked: Asked, connection: socket.socket) -> bool:
        if asked.number % every or asked.path.startswith("/_mock"):
            return False
        answer(asked, connection)
        return True

    return meddle


def test_resets_now_and_then(mock: Mock, session: str) -> None:
    """Every seventh request ends in a reset: findings that name the promise, confirmed or flaky, and no other."""
    with proxy(mock.url, now_and_then(7, lambda _, connection: troubled.reset(connection))) as server:
        run = gate(server.url, "polar", session, quick())
    assert run.verdict == "findings"
    assert {cause.rule for cause in run.causes} == {"robustness.whole-answers"}
    assert {cause.confirmation for cause in run.causes} <= {"confirmed", "flaky"}


def test_busy_now_and_then(mock: Mock, session: str) -> None:
    """503 with Retry-After: 0 for every tenth request is waited out: nothing to find."""
    busy = always(http("503 Service Unavailable", b'{"error":"busy"}', JSON, "Retry-After: 0"))
    with proxy(mock.url, now_and_then(10, busy)) as server:
        run = gate(server.url, "polar", session, quick())
    assert (run.verdict, run.causes) == ("pass", [])


def test_busy_for_good(mock: Mock, session: str) -> None:
    """Enough was tested for the floor, but something was not for want of an answer: that is no pass."""

    def meddle(asked: Asked, connection: socket.socket) -> bool:
        if asked.number < 450:
            return False
        status = ("429 Too Many Requests", "503 Service Unavailable")[asked.number % 2]
        connection.sendall(http(status, b'{"error":"busy"}', JSON))
        return True

    with proxy(mock.url, meddle) as server:
        run = gate(server.url, "polar", session, mode="read")
    assert (run.verdict, run.causes) == ("inconclusive", [])
    assert all("could not be finished" in why and re.search("429|503", why) for why in run.why)


def test_cookies_are_not_kept(mock: Mock, session: str) -> None:
    """A cookie of one answer does not give away who sends the next request, which may come from nobody."""
    with proxy(mock.url, more=["Set-Cookie: sid=of-main; Path=/"]) as server:
        run = gate(server.url, "polar", session, quick(None, "strangers", "items-equal-gets"))
        assert [asked.headers for asked in server.asked if "cookie" in asked.headers] == []
    assert (run.verdict, run.causes) == ("pass", [])


def test_one_operation_drips(mock: Mock, session: str) -> None:
    """The one is found to be too slow; the rest is tested, within the time."""
    drip = dripping(HEAD + b"Content-Length: 100000\r\n\r\n", b" ")

    def meddle(asked: Asked, connection: socket.socket) -> bool:
        if "/wallets/" not in asked.path or asked.path.endswith("/wallets/") or "limit=" in asked.target:
            return False
        drip(asked, connection)
        return True

    with proxy(mock.url, meddle) as server:
        run = gate(server.url, "polar", session, quick(), timeout=0.3)
    assert run.verdict == "findings"
    assert {cause.rule: cause.confirmation for cause in run.causes} == {"robustness.answers-in-time": "confirmed"}
    assert run.coverage.operations == {"customer_portal:wallets:list": True, "customer_portal:wallets:get": False}


def test_dies_halfway(mock: Mock) -> None:
    """What was found before is reported as it is, not as flaky: that nothing answers any more says nothing about it."""
    alive = threading.Event()

    def meddle(asked: Asked, connection: socket.socket) -> bool:
        if asked.path.startswith("/_mock"):
            return False
        if asked.number > 60:
            alive.clear()
            troubled.reset(connection)
            return True
        if asked.number == 20:
            connection.sendall(http("500 Internal Server Error", b"{}", JSON))
            return True
        return False

    with proxy(mock.url, meddle) as server:
        done = command("gate", server.url, "--provider", "polar")
    assert done.code == 1, done.said
    assert "the target stopped answering" in done.said
    assert "robustness.no-server-error" in done.said
    assert "flaky" not in done.said.replace("0 flaky", "")
    assert done.seconds < 6


ODD: dict[str, bytes] = {
    "null": b"null",
    "number": b"1e999",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "no-utf-8": b'{"items": ["\xff\xfe"]}',
    "surrogate": b'{"items": [{"id": "\\ud800"}], "pagination": {"total_count": "\\udfff"}}',
    "wrong-types": b'{"items": {"id": []}, "pagination": 7}',
    "items-of-nothing": b'{"items": [null, 1, "x", [], {}], "pagination": {"total": -1, "total_count": 1e400, "max_page": null}}',
    "huge-number": b'{"items": [{"id": ' + b"9" * 5000 + b"}]}",
}


@pytest.mark.parametrize("provider", ["flexprice", "polar"])
def test_odd_answers(provider: str) -> None:
    """Whatever JSON, or what looks like it, is answered to everything: findings, reports of them, and no mistake of ours."""
    bodies = list(ODD.values())
    with troubled.troubled(lambda asked, to: to.sendall(http("200 OK", bodies[asked.number % len(bodies)], JSON))) as server:
        keys = {"api_keys": {"main": "k3y-of-somebody"}, "bearers": {"main": "t0ken-of-somebody"}}
        (subject,) = subjects(Wanted(server.url, providers=(provider,), timeout=1.0, **keys))
        run = Gate(subject, Options(max_time=MAX_TIME)).run()
        subject.target.close()
    assert (run.verdict, [why for why in run.why if "mistake of walletproof" in why]) == ("findings", [])
    results = Results("gate", "0", "2026-01-01T00:00:00+00:00", [run])
    assert all(report(results) for report in formats.FORMATS.values())
