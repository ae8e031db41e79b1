"""The gate on the mock: what passes, what fails and why, what it may change, what it says and what it keeps to itself."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Mock, running
from gating import KEY, gate, play, quick, wallets
from troubled import Asked, Meddle, Troubled, http, proxy

from contract_tests.causes import step
from contract_tests.checking import Wanted, subjects
from contract_tests.gate import Gate, Options
from contract_tests.guard import is_safe
from contract_tests.policy import Policy, read_policy
from contract_tests.probes.probe import Stage
from contract_tests.reports.formats import FORMATS
from contract_tests.results import Results, Run
from contract_tests.source import InputError
from contract_tests.verdict import weigh
from walletproof.cli import _parser, main
from walletproof.gate import _run_options

WALLETPROOF = [sys.executable, "-m", "walletproof"]


def asked_for(server: Troubled) -> list[Asked]:
    """What a recording proxy passed on to the provider."""
    return [asked for asked in server.asked if not asked.path.startswith("/_mock")]


def writes(asked: list[Asked]) -> list[Asked]:
    """Those that change something."""
    return [one for one in asked if one.method not in ("GET", "HEAD", "OPTIONS") and not one.path.endswith("/search")]


def facts(run: Run) -> dict[str, Any]:
    """What must not depend on the day."""
    causes = [(cause.fingerprint, cause.level, cause.problem, cause.confirmation, cause.count) for cause in run.causes]
    return {"verdict": run.verdict, "causes": causes, "rules": [(rule.rule, rule.outcome) for rule in run.rules]}


# ---------------------------------------------------------------- the verdict


def test_passes_on_the_mock(mock: Mock, tmp_path: Path) -> None:
    """Both providers, everything reached, nothing found, and soon."""
    begin = time.monotonic()
    report = tmp_path / "out" / "report.json"
    done = subprocess.run(
        [*WALLETPROOF, "gate", mock.url, "--report", f"json={report}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - begin < 30
    data = json.loads(report.read_text("utf-8"))
    assert [run["provider"] for run in data["runs"]] == ["flexprice", "polar"]
    for run in data["runs"]:
        assert (run["verdict"], run["why"], run["causes"], all(run["coverage"]["operations"].values())) == ("pass", [], [], True)
    assert "PASS: nothing found" in done.stdout


MANY = {
    "flexprice": ("balance-ignores-rate", "key-reuse-counts", "offset-ignored", "metadata-null", "unknown-wallet-is-400"),
    "polar": ("polar-page-zero-accepted", "polar-id-echoed", "polar-ties-unstable", "polar-challenge-missing"),
}


@pytest.mark.parametrize("provider", ["flexprice", "polar"])
def test_same_seed_same_findings(provider: str, mock: Mock, session: str) -> None:
    """With several defects, the same seed finds the same causes in the same order, and judges the same rules."""
    few = ("known-wallets", "own-customer", "creation", "used-key", "transactions-of-a-wallet", "unknown-ids", "parallel-top-ups")
    if provider == "polar":
        few = ("walks", "items-equal-gets", "unknown-wallets", "bad-numbers", "strangers", "spellings", "lists-at-once")
    options = quick(None, *few, provider=provider)
    one, two = (gate(mock.url, provider, play(mock, f"{session}-{number}", *MANY[provider]), options) for number in (1, 2))
    assert one.verdict == "findings"
    assert facts(one) == facts(two)
    assert len(one.causes) >= len(MANY[provider])


def test_another_seed_passes(mock: Mock, session: str) -> None:
    """The honest mock has nothing to fear from other requests."""
    names = (
        "walks",
        "items-equal-gets",
        "spellings",
        "unknown-wallets",
        "bad-numbers",
        "bad-ids",
        "strangers",
        "odd-texts",
        "odd-ids",
    )
    run = gate(mock.url, "polar", session, quick(None, *names), seed=987654321)
    assert (run.verdict, run.causes) == ("pass", [])


@pytest.mark.parametrize(
    ("defect", "verdicts"),
    [
        ("polar-listed-balance-differs", {"published": "pass", "overlay": "pass", "semantic": "findings"}),
        ("polar-currency-missing", {"published": "findings"}),
        ("polar-version-missing", {"published": "pass", "overlay": "findings"}),
    ],
)
def test_levels(defect: str, verdicts: dict[str, str], mock: Mock, session: str) -> None:
    """What breaks no published promise fails no build that asks for no more; it is shown all the same."""
    play(mock, session, defect)
    for level, verdict in verdicts.items():
        run = gate(mock.url, "polar", session, quick(Policy(level=level)))
        assert (run.verdict, bool(run.causes)) == (verdict, True), level
        assert [cause.fingerprint for cause in run.causes if cause.fails and cause.confirmation != "confirmed"] == []


def test_level_on_the_command_line(tmp_path: Path) -> None:
    """`--level` is stronger than the policy's; the rest of the policy holds."""
    path = tmp_path / "policy.toml"
    path.write_text('level = "overlay"\nflaky = "report"\n', "utf-8")
    for options, level in (([], "overlay"), (["--level", "published"], "published")):
        parsed = _parser().parse_args(["gate", "http://127.0.0.1", "--policy", str(path), *options])
        found = _run_options(parsed).policy
        assert (found.level, found.flaky) == (level, "report")


# ---------------------------------------------------------------- policy


MONEY = '[[accept]]\nrule = "lists.item-equals-get"\nreason = "WALLET-123, fixed in the next release"\n'


def policy(tmp_path: Path, text: str) -> Policy:
    """A policy as a file has it."""
    path = tmp_path / "policy.toml"
    path.write_text(text, "utf-8")
    return read_policy(path)


TODAY = date(2026, 7, 1)


@pytest.mark.parametrize(
    ("text", "verdict", "standing", "note"),
    [
        (MONEY, "pass", "known", ""),
        (MONEY + 'operation = "customer_portal:wallets:get"\n', "pass", "known", ""),
        (
            MONEY + 'operation = "customer_portal:wallets:list"\n',
            "findings",
            "new",
            "accepted, but not seen any more: lists.item",
        ),
        (MONEY + "until = 2026-07-01\n", "pass", "known", ""),
        (MONEY + "until = 2026-06-30\n", "findings", "new", "fails: accepted until 2026-06-30, which has passed: lists.item"),
        (
            'expired = "report"\n' + MONEY + "until = 2026-06-30\n",
            "findings",
            "new",
            "accepted until 2026-06-30, which has passed",
        ),
        (MONEY + MONEY.replace("lists.item-equals-get", "concurrency.parallel-reads"), "pass", "known", ""),
        (
            MONEY + MONEY.replace("lists.item-equals-get", "errors.shape"),
            "pass",
            "known",
            "accepted, but not seen any more: errors",
        ),
        (
            'stale = "fail"\n' + MONEY + MONEY.replace("lists.item-equals-get", "errors.shape"),
            "findings",
            "known",
            "fails: accepted, but not seen any more: errors.shape",
        ),
        ('stale = "fail"\n' + MONEY + MONEY.replace("lists.item-equals-get", "money.top-up-adds"), "pass", "known", ""),
    ],
    ids=[
        "accepted",
        "operation",
        "other-operation",
        "last-day",
        "expired",
        "expired-report",
        "untested",
        "stale",
        "stale-fail",
        "other-provider",
    ],
)
def test_accepted(text: str, verdict: str, standing: str, note: str, mock: Mock, session: str, tmp_path: Path) -> None:
    """An accepted finding is known and fails nothing, until its day has passed or nobody needs it any more."""
    play(mock, session, "polar-listed-balance-differs")
    run = gate(mock.url, "polar", session, quick(policy(tmp_path, text), today=TODAY))
    (cause,) = [cause for cause in run.causes if cause.rule == "lists.item-equals-get"]
    assert (run.verdict, cause.standing, cause.fails) == (verdict, standing, standing == "new")
    assert cause.reason == ("WALLET-123, fixed in the next release" if standing == "known" else "")
    assert any(entry.startswith(note) for entry in run.policy_notes) if note else run.policy_notes == []
    assert run.tally()[standing] == 1


def test_expired_without_need(mock: Mock, session: str, tmp_path: Path) -> None:
    """An entry whose day has passed fails an honest target too, unless that is only to be reported."""
    text = MONEY + "until = 2026-06-30\n"
    run = gate(mock.url, "polar", session, quick(policy(tmp_path, text), today=TODAY))
    assert (run.verdict, run.causes) == ("findings", [])
    run = gate(mock.url, "polar", session, quick(policy(tmp_path, 'expired = "report"\n' + text), today=TODAY))
    assert (run.verdict, len(run.policy_notes)) == ("pass", 1)


def test_flaky(mock: Mock, session: str, tmp_path: Path) -> None:
    """What was seen once and never again is labelled so; whether that fails is the policy's to say."""
    once = iter([True])

    def meddle(asked: Asked, connection: socket.socket) -> bool:
        if "limit=" in asked.target and asked.number > 10 and next(once, False):
            connection.sendall(
                http("500 Oops", b'{"error": "InternalServerError", "detail": "x"}', "Content-Type: application/json")
            )
            return True
        return False

    with proxy(mock.url, meddle) as server:
        run = gate(server.url, "polar", session, quick(policy(tmp_path, 'flaky = "report"')))
    (cause,) = [cause for cause in run.causes if cause.rule == "robustness.no-server-error"]
    assert (run.verdict, cause.confirmation, cause.seen, cause.fails) == ("pass", "flaky", 1, False)
    weigh(run, Policy(), frozenset(), TODAY)
    assert cause.fails
    assert cause.sent > 40
    assert run.tally()["flaky"] == len(run.causes)


@pytest.mark.parametrize(
    ("floor", "words"),
    [
        ("rules = 1.0", "rules could be judged"),
        ('statuses = ["200", 418]', "statuses never seen: 418"),
        ('statuses = ["200", 401]\nrules = 0', "statuses never seen: 401"),
    ],
)
def test_floor(floor: str, words: str, mock: Mock, session: str, tmp_path: Path) -> None:
    """Less evidence than the policy asks for is inconclusive, even where nothing was found."""
    run = gate(mock.url, "polar", session, quick(policy(tmp_path, f"[floor]\n{floor}")))
    assert (run.verdict, run.causes, len(run.why)) == ("inconclusive", [], 1)
    assert words in run.why[0]


def test_floor_of_operations(mock: Mock, session: str, tmp_path: Path) -> None:
    """An operation that never answered with a 2xx is named; a policy may do with fewer."""
    options = quick(None, "defaults", "bad-numbers")
    run = gate(mock.url, "polar", session, options)
    assert run.verdict == "inconclusive"
    assert run.why == ["operations that never answered with a 2xx: customer_portal:wallets:get"]
    fewer = replace(options, policy=policy(tmp_path, "[floor]\noperations = 0.5\nrules = 0"))
    assert gate(mock.url, "polar", session, fewer).verdict == "pass"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\nlevel = [\n", "not TOML: .*(line 3|end of document)"),
        ("levl = 'semantic'", "levl: unknown; there are accept, expired, flaky, floor, level, stale"),
        ("level = 'all'", "level: expected one of published, overlay, semantic, got 'all'"),
        ("flaky = ['fail']", r"flaky: expected one of fail, report, got \['fail'\]"),
        ("expired = true", "expired: expected one of fail, report, got True"),
        ("floor = 1", r"floor: expected a \[floor\] table, got 1"),
        ("[floor]\noperations = 2", "floor.operations: expected a share from 0 to 1, got 2"),
        ("[floor]\nrules = nan", "floor.rules: expected a share from 0 to 1, got nan"),
        ("[floor]\nrules = true", "floor.rules: expected a share from 0 to 1, got True"),
        ("[floor]\nrule = 1", "floor.rule: unknown; there are operations, rules, statuses"),
        ("[floor]\nstatuses = '200'", r"floor.statuses: expected a list such as \[\"200\", \"401\"\], got '200'"),
        ("[floor]\nstatuses = [{}]", r"floor.statuses: expected a list such as .*, got \[\{\}\]"),
        ("accept = ['x']", r"accept: expected \[\[accept\]\] tables"),
        ("[[accept]]\nrule = 'a.b'", r"accept\[0\].reason: expected a text that is not empty, got None"),
        ("[[accept]]\nrule = 'a.b'\nreason = ' '", r"accept\[0\].reason: expected a text that is not empty, got ' '"),
        ("[[accept]]\nreason = 'x'", r"accept\[0\].rule: expected a text that is not empty, got None"),
        (MONEY + MONEY + "until = 'soon'", r"accept\[1\].until: expected a day such as 2026-12-31, got 'soon'"),
        (MONEY + "until = 07:00:00", r"accept\[0\].until: expected a day such as 2026-12-31"),
        (MONEY + "operation = 7", r"accept\[0\].operation: expected a text, got 7"),
        (MONEY + "because = 'x'", r"accept\[0\].because: unknown; there are operation, pointer, reason, rule, until"),
        ("\x00", "not TOML"),
    ],
)
def test_broken_policy(text: str, words: str, mock: Mock, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line with file, place, and what was expected."""
    path = tmp_path / "policy.toml"
    path.write_text(text, "utf-8")
    assert main(["gate", mock.url, "--policy", str(path)]) == 2
    out, error = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(rf"walletproof: {re.escape(str(path))}: {words}.*\n", error), error


def test_policy_that_is_none(mock: Mock, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file that is not there, and one that is a directory."""
    assert main(["gate", mock.url, "--policy", f"{tmp_path}/no.toml"]) == 2
    assert main(["gate", mock.url, "--policy", str(tmp_path)]) == 2
    assert re.fullmatch(r"(walletproof: \S+: cannot be read: [^\n]+\n){2}", capfd.readouterr().err)


# ---------------------------------------------------------------- baseline


def test_baseline(mock: Mock, session: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What an earlier report has is known and fails nothing; that another provider had it fixes nothing."""
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    arguments = ["gate", mock.url, "--header", f"X-Mock-Session: {session}", "--quiet", "--mode", "read"]
    play(mock, session, "polar-challenge-missing")
    found = gate(
        mock.url,
        "polar",
        session,
        quick(None, "strangers", "unknown-wallets", "expired", "invalid-token-first", "items-equal-gets"),
    )
    old = {cause.fingerprint for cause in found.causes}
    before.write_text(FORMATS["json"](Results("gate", "0", "2026-01-01T00:00:00+00:00", [found])), "utf-8")
    assert old

    assert main([*arguments, "--provider", "polar", "--baseline", str(before), "--report", f"json={after}"]) == 0
    (run,) = json.loads(after.read_text("utf-8"))["runs"]
    assert (run["verdict"], {cause["fingerprint"] for cause in run["causes"]}) == ("pass", old)
    assert {(cause["standing"], cause["reason"]) for cause in run["causes"]} == {("known", "in the baseline")}

    play(mock, session)
    assert main([*arguments, "--provider", "flexprice", "--baseline", str(before), "--report", f"json={after}"]) == 0
    assert [run["fixed"] for run in json.loads(after.read_text("utf-8"))["runs"]] == [[]]
    capfd.readouterr()


def test_new_on_top_of_the_baseline(mock: Mock, session: str) -> None:
    """A finding that the baseline has not got fails the build, and it alone."""
    play(mock, session, "polar-listed-balance-differs")
    known = frozenset(cause.fingerprint for cause in gate(mock.url, "polar", session, quick()).causes)
    play(mock, session, "polar-listed-balance-differs", "polar-page-zero-accepted")
    run = gate(mock.url, "polar", session, quick(known=known))
    assert run.verdict == "findings"
    assert {cause.fingerprint for cause in run.causes if cause.standing == "known"} == known
    assert {(cause.rule, cause.fails) for cause in run.causes if cause.standing == "new"} == {("errors.invalid-refused", True)}


def test_fixed_is_what_was_looked_for(mock: Mock, session: str) -> None:
    """That nothing was seen where nobody looked does not make it fixed."""
    known = frozenset({"lists.item-equals-get customer_portal:wallets:get /balance", "concurrency.parallel-reads - -"})
    run = gate(mock.url, "polar", session, quick(known=known))
    assert run.fixed == ["lists.item-equals-get customer_portal:wallets:get /balance"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"runs": [1]}', '{"command": "gate", "version": "1", "started": "x", "runs": [{}]}', "\x00"]
)
def test_broken_baseline(text: str, mock: Mock, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Anything but a JSON report of ours is refused before anything is sent."""
    path = tmp_path / "baseline.json"
    path.write_text(text, "utf-8")
    assert main(["gate", mock.url, "--baseline", str(path)]) == 2
    out, error = capfd.readouterr()
    assert (out, error.startswith(f"walletproof: --baseline {path}: not a JSON report of walletproof")) == ("", True), error


def test_missing_baseline(mock: Mock, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is a mistake, not an empty baseline."""
    assert main(["gate", mock.url, "--baseline", f"{tmp_path}/no.json"]) == 2
    assert "no.json: cannot be read: No such file" in capfd.readouterr().err


# ---------------------------------------------------------------- inconclusive


SECRETS = {
    "key": "s3cret-key-of-the-tests-0001",
    "other-key": "s3cret-key-of-the-tests-0002",
    "expired-key": "s3cret-key-of-the-tests-0003",
    "token": "polar_cst_s3cretTokenOfTheTests0004",
    "gateway": "s3cret+of/the gateway==\"0005'",
    "cookie": "sid=s3cret-cookie-0006",
}


@pytest.fixture(scope="module")
def locked() -> Iterator[Mock]:
    """A mock that takes two keys only."""
    with running("--api-key", SECRETS["key"], "--api-key", SECRETS["other-key"]) as started:
        yield started


def test_wrong_key(locked: Mock, session: str, capfd: pytest.CaptureFixture[str]) -> None:
    """All 401: inconclusive, says so, and does not send a thousand requests to learn it."""
    play(locked, session, "unauthorized-echoes-key")
    arguments = ["--api-key", "s3cret-but-wrong", "--header", f"X-Mock-Session: {session}", "--quiet"]
    assert main(["gate", locked.url, *arguments]) == 3
    out, error = capfd.readouterr()
    assert "INCONCLUSIVE" in out
    assert "the credentials were refused: 401" in out
    assert "***" in out
    assert "2 requests" in out
    assert "s3cret" not in out + error


def test_customer_without_wallets(mock: Mock, capfd: pytest.CaptureFixture[str]) -> None:
    """There is nothing to read: one operation is never reached, and that is no pass."""
    token = str(mock.personas()["polar/newcomer"]["token"])
    assert main(["gate", mock.url, "--bearer", token, "--quiet"]) == 3
    out, _ = capfd.readouterr()
    assert "operations that never answered with a 2xx: customer_portal:wallets:get" in out
    assert "needs a wallet that can be read (--wallet ID); none was found" in out


# ---------------------------------------------------------------- safety


def test_mode_read_sends_no_write(mock: Mock, session: str) -> None:
    """Only reads and the two searches arrive, and what needs writes is reported as not tested."""
    with proxy(mock.url) as server:
        few = quick(None, "walks", "no-top-up", "writing-methods", "odd-requests", "strangers")
        runs = [gate(server.url, *one, mode="read") for one in (("flexprice", session), ("polar", session, few))]
    assert [(one.method, one.path) for one in writes(asked_for(server))] == []
    assert len(asked_for(server)) == sum(run.requests for run in runs) > 300
    for run in runs:
        assert (run.created, run.leftovers, run.causes) == (0, [], [])
    assert runs[0].verdict == "pass"
    reasons = {rule.reason for rule in runs[0].rules if rule.outcome == "not tested"}
    assert "needs leave to write (--mode own)" in reasons


def test_mode_own(mock: Mock, session: str) -> None:
    """Every write goes to a wallet that this run created, or to none at all; the credits are bounded; everything is closed."""
    created: set[str] = set()
    credits: list[Decimal] = []

    def remember(asked: Asked, body: bytes) -> bytes:
        if asked.method == "POST" and asked.path == "/v1/wallets" and b'"id":"' in body:
            created.add(json.loads(body)["id"])
        return body

    with proxy(mock.url, change=remember) as server:
        run = gate(server.url, "flexprice", session, max_amount=Decimal(9000))
    assert (run.verdict, run.created, run.cleaned) == ("pass", len(created), len(created))
    known = [wallet["id"] for wallet in wallets(mock, session) if wallet["id"] not in created]
    touched = {part for one in writes(asked_for(server)) for part in one.path.split("/")}
    assert len(known) > 900
    assert touched.isdisjoint(known)
    mine = [wallet for wallet in wallets(mock, session) if wallet["id"] in created]
    assert {wallet["wallet_status"] for wallet in mine} == {"closed"}
    assert f"{len(created)} closed wallets, which the API cannot delete" in run.leftovers
    for one in writes(asked_for(server)):
        found = re.findall(rb'"(?:credits_to_add|bonus_credits_to_add|initial_credits_to_load)": ?"([0-9.]{1,20})"', one.body)
        credits += [Decimal(text.decode()) for text in found if one.path.split("/")[-2] in created or one.path == "/v1/wallets"]
    assert sum(credits) <= 9000


def test_most_writes(mock: Mock, session: str) -> None:
    """After `--max-writes` nothing is written but what closes own wallets; what was not tested for that says so."""
    with proxy(mock.url) as server:
        names = ("known-wallets", "own-customer", "creation", "deposits", "strangers", "invalid-writes", "parallel-top-ups")
        run = gate(server.url, "flexprice", session, quick(None, *names, provider="flexprice"), max_writes=3)
    made = [one.path for one in writes(asked_for(server)) if not one.path.endswith("/terminate")]
    assert len(made) <= 3
    assert (run.verdict, run.causes, run.created, run.cleaned) == ("inconclusive", [], len(made), len(made))
    assert sum(rule.reason == "--max-writes 3 is reached" for rule in run.rules) > 5


def test_most_credits(mock: Mock, session: str) -> None:
    """Not a credit more than `--max-amount`; the wallets that stand empty tell."""
    names = ("creation", "own-customer", "deposits", "details-of-a-top-up", "parallel-top-ups", "odd-writes")
    run = gate(mock.url, "flexprice", session, quick(None, *names, provider="flexprice"), max_amount=Decimal(1))
    assert run.causes == []
    assert any(rule.reason == "--max-amount 1 would be exceeded" for rule in run.rules)
    before = {wallet["id"] for wallet in wallets(mock, f"{session}-untouched")}
    made = [wallet for wallet in wallets(mock, session) if wallet["id"] not in before]
    given = Decimal(0)
    for wallet in made:
        answer = httpx.get(
            f"{mock.url}/v1/wallets/{wallet['id']}/transactions?limit=1000", headers=KEY | {"x-mock-session": session}
        )
        given += sum(Decimal(row["credit_amount"]) for row in answer.json()["items"] if row["type"] == "credit")
    assert len(made) == run.created > 0
    assert given <= 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com", "example.com is not this machine: say --allow-host example.com"),
        ("https://EXAMPLE.com:8443/v1", "example.com is not this machine"),
        ("http://192.0.2.1", "192.0.2.1 is not this machine"),
        ("http://127.0.0.1.example.com", "127.0.0.1.example.com is not this machine"),
        ("http://0.0.0.0", "0.0.0.0 is not this machine"),
        ("http://s3cret:s3cret@127.0.0.1", "the URL holds a user name or password"),
        ("ftp://s3cret:s3cret@127.0.0.1", "the URL holds a user name or password"),
        ("http://127.0.0.1?token=s3cret", "http://127.0.0.1: a base URL has no query and no fragment"),
        ("http://127.0.0.1/#s3cret", "http://127.0.0.1/: a base URL has no query and no fragment"),
        ("ftp://127.0.0.1", "ftp://127.0.0.1: expected a URL such as http"),
        ("127.0.0.1:8080", "127.0.0.1:8080: expected a URL such as http"),
        ("http://127.0.0.1:99999", "not a URL"),
        ("http://[::1", "not a URL"),
        ("http://", "expected a URL such as http"),
        ("", "expected a URL such as http"),
        ("http://127.0.0.1\\.example.com", "expected a URL such as http"),
        ("http://127.0.0.1 .example.com", "expected a URL such as http"),
    ],
)
def test_hosts(url: str, words: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 before any connection, and without repeating what may be a secret."""
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("a connection was made"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    assert main(["gate", url, "--api-key", "x"]) == 2
    out, error = capfd.readouterr()
    assert (out, words in error, "s3cret" in error) == ("", True, False), error


def test_allowed_host(mock: Mock, session: str) -> None:
    """A host that was named is called, proxies of the environment aside."""
    with proxy(mock.url) as server:
        wanted = Wanted(server.url.replace("127.0.0.1", "mock.localhost"), providers=("polar",), bearers={"main": "x"})
        subjects(wanted)
    with pytest.raises(InputError, match=r"say --allow-host nowhere\.invalid"):
        subjects(replace(wanted, url="http://nowhere.invalid"))
    (subject,) = subjects(replace(wanted, url="http://nowhere.invalid", allow_hosts=("NOWHERE.invalid",)))
    run = Gate(subject, Options(max_time=10.0)).run()
    subject.target.close()
    assert run.verdict == "inconclusive"
    assert run.why[0].startswith("cannot connect to http://nowhere.invalid: ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--header s3cret", "--header: expected 'Name: value'"),
        ("--header :s3cret", "--header: expected 'Name: value'"),
        ("--api-key s3cret\n--header", "x-api-key .main. holds characters"),
        ("--max-writes -1", "--max-writes -1: expected a number that is not negative"),
        ("--max-amount lots", "--max-amount lots: expected an amount"),
        ("--max-time 0s", "--max-time 0s: expected a time"),
        ("--timeout 99999999999h", "--timeout 99999999999h: expected a time"),
        ("--rate 0/s", "--rate 0/s: expected a rate"),
        ("--provider nobody", "unknown provider 'nobody'"),
        ("--report yaml=x", "no format 'yaml'"),
        ("--wallets-from no-such-file", "no-such-file: cannot be read"),
    ],
)
def test_mistakes(options: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 with one line; what may be a secret is not repeated."""
    arguments = options.split(" ") if "\n" not in options else ["--api-key", "s3c\nret"]
    assert main(["gate", "http://127.0.0.1:1", "--provider", "flexprice", "--api-key", "k", *arguments]) == 2
    out, error = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(rf"walletproof: [^\n]*{words}[^\n]*\n", error), error
    assert "s3c" not in error


# ---------------------------------------------------------------- secrets


def repeating(*ends: str) -> Meddle:
    """Answers on paths that end so, with everything that the request brought."""

    def meddle(asked: Asked, connection: socket.socket) -> bool:
        if not asked.path.endswith(ends):
            return False
        body = json.dumps({"error": asked.headers, "detail": " ".join(asked.headers.values())}, ensure_ascii=False).encode()
        echo = [f"X-Echo-{number}: {value}" for number, value in enumerate(asked.headers.values())]
        connection.sendall(http("500 Oops", body, "Content-Type: application/json", *echo))
        return True

    return meddle


def leaks(texts: dict[str, str], secrets: Iterable[str]) -> dict[str, list[str]]:
    """Which secrets stand in which texts, as they are or escaped."""
    found = {
        where: [secret for secret in secrets if any(form in text for form in (secret, json.dumps(secret)[1:-1], escape(secret)))]
        for where, text in texts.items()
    }
    return {where: names for where, names in found.items() if names}


def test_secrets(locked: Mock, session: str, tmp_path: Path) -> None:
    """A target that repeats every credential it was sent: they stand in no report, and in nothing that is said."""
    play(locked, session, "error-echoes-key", "unauthorized-echoes-key")
    given = [value for name, value in SECRETS.items() if name != "token"]
    with proxy(locked.url, repeating("/wallet_00000000000000000000000000")) as server:
        options = [
            *("--api-key", SECRETS["key"], "--expired-api-key", SECRETS["expired-key"], "--mode", "read"),
            *("--header", f"X-Gateway-Token: {SECRETS['gateway']}", "--header", f"Cookie: {SECRETS['cookie']}"),
            *("--header", f"X-Mock-Session: {session}"),
            *(option for name in FORMATS for option in ("--report", f"{name}={tmp_path}/report.{name}")),
        ]
        done = subprocess.run(
            [*WALLETPROOF, "gate", server.url, *options],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "WALLETPROOF_OTHER_API_KEY": SECRETS["other-key"], "GITHUB_ACTIONS": "true"},
        )
        sent = {value for one in asked_for(server) for value in one.headers.values()}
    assert done.returncode == 1, done.stderr
    assert set(given) <= sent
    written = {name: (tmp_path / f"report.{name}").read_text("utf-8") for name in FORMATS}
    assert leaks({**written, "stdout": done.stdout, "stderr": done.stderr}, [*given, "s3cret-cookie-0006"]) == {}
    assert "errors.no-secrets" in written["json"]
    assert "$WALLETPROOF_API_KEY" in written["json"]


def test_secret_tokens(locked: Mock, session: str) -> None:
    """The same for bearer tokens, which stand behind a scheme."""
    play(locked, session, "polar-unauthorized-echoes-token")
    token = str(locked.personas()["polar/ada.main"]["token"])
    bearers = {"main": token, "expired": SECRETS["token"]}
    probes = ("walks", "unknown-wallets", "strangers", "expired", "other-schemes", "invalid-token-first")
    with proxy(locked.url, repeating("/walletz/", *"0123456789")) as server:
        run = gate(server.url, "polar", session, quick(None, *probes), bearers=bearers)
        sent = {value for one in asked_for(server) for value in one.headers.values()}
    assert {f"Bearer {value}" for value in bearers.values()} <= sent
    assert "errors.no-secrets" in {cause.rule for cause in run.causes}
    results = Results("gate", "0", "2026-01-01T00:00:00+00:00", [run])
    assert leaks({name: report(results) for name, report in FORMATS.items()}, bearers.values()) == {}


# ---------------------------------------------------------------- Ctrl-C


def test_ctrl_c(mock: Mock, session: str, tmp_path: Path) -> None:
    """It ends soon, reports what it saw, and closes the wallets that it made."""
    created: set[str] = set()
    under_way = threading.Event()

    def remember(asked: Asked, body: bytes) -> bytes:
        if asked.method == "POST" and asked.path == "/v1/wallets" and b'"id":"' in body:
            created.add(json.loads(body)["id"])
            if len(created) == 3:
                under_way.set()
        return body

    report = tmp_path / "report.json"
    play(mock, session, "metadata-null")
    with proxy(mock.url, change=remember) as server:
        process = subprocess.Popen(
            [
                *(*WALLETPROOF, "gate", server.url, "--provider", "flexprice", "--rate", "100/s"),
                *("--header", f"X-Mock-Session: {session}", "--report", f"json={report}"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - background jobs ignore it
        )
        try:
            assert under_way.wait(30)
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=20)
        finally:
            process.kill()
    assert time.monotonic() - begin < 5
    assert (process.returncode, error) == (1, "")
    assert "interrupted" in out
    (run,) = json.loads(report.read_text("utf-8"))["runs"]
    assert (run["interrupted"], run["created"], run["cleaned"]) == ("interrupted", len(created), len(created))
    assert run["causes"]
    mine = [wallet for wallet in wallets(mock, session) if wallet["id"] in created]
    assert [wallet["wallet_status"] for wallet in mine] == ["closed"] * len(created)


# ---------------------------------------------------------------- curl lines


class Recording(Gate):
    """Keeps the stages of all its probes, and with them every request."""

    def __init__(self, *arguments: Any) -> None:
        self.stages: list[Stage] = []
        super().__init__(*arguments)

    def _stage(self, name: str) -> Stage:
        self.stages.append(super()._stage(name))
        return self.stages[-1]


@pytest.mark.parametrize("provider", ["flexprice", "polar"])
def test_curl_lines(provider: str, mock: Mock, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pasted into a shell, the line of any read that a report may show is answered with the same status as in the run."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    key, token = "a key, of somebody's", str(mock.personas()["polar/ada.main"]["token"])
    monkeypatch.setenv("WALLETPROOF_API_KEY", key)
    monkeypatch.setenv("WALLETPROOF_BEARER", token)
    names = {
        "flexprice": ("odd-reads", "unknown-routes", "strangers"),
        "polar": ("odd-requests", "odd-ids", "odd-texts", "other-schemes", "reading-methods", "slashes", "unknown-versions"),
    }[provider]
    (subject,) = subjects(Wanted(mock.url, providers=(provider,), headers=(("x-mock-session", session),)))
    recording = Recording(subject, quick(None, *names, provider=provider))
    recording.run()
    subject.target.close()
    lines: dict[str, int | None] = {}
    for sent in (sent for stage in recording.stages for sent in stage.log):
        if not sent.observation.operation.id or is_safe(sent.observation.operation):
            shown = step(sent, subject.target.base, subject.secrets)
            assert lines.setdefault(shown.curl, shown.status) == shown.status, shown.curl
    assert not any(key in line or token in line for line in lines)
    special = [line for line in lines if re.search(r" -I | -X GET | --path-as-is | -g |: (Basic|Token) |base64", line)]
    assert len(special) > 2
    some = sorted({*special[:20], *random.Random(session).sample(sorted(lines), 30)})
    with ThreadPoolExecutor(2) as pool:
        got = dict(zip(some, pool.map(pasted, some), strict=True))
    assert {line: status for line, status in got.items() if status != lines[line]} == {}


def pasted(line: str) -> int:
    """The status that a curl line gets."""
    done = subprocess.run(["sh", "-c", f"{line} --max-time 5"], capture_output=True, timeout=30, check=False)
    match = re.match(rb"HTTP/1.1 (\d+)", done.stdout)
    return int(match[1]) if match and done.returncode == 0 else -done.returncode


# ---------------------------------------------------------------- what must not be lost


def test_what_could_not_be_closed_is_left(mock: Mock, session: str) -> None:
    """A service that refuses to close an active wallet leaves it open, and the run says so."""

    def meddle(asked: Asked, connection: socket.socket) -> bool:
        if not asked.target.endswith("/terminate"):
            return False
        body = b'{"code": "invalid_operation", "message": "expired credits", "http_status_code": 400}'
        connection.sendall(http("400 X", body, "Content-Type: application/json", "X-Request-ID: x"))
        return True

    with proxy(mock.url, meddle) as server:
        run = gate(server.url, "flexprice", session, quick(None, "details-of-a-top-up", provider="flexprice"))

    assert (run.created, run.cleaned) == (1, 0)
    assert [entry.partition(":")[0] for entry in run.leftovers] == ["active"]


def test_results_are_shown_though_a_report_cannot_be_written(
    mock: Mock, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A full disk or a folder in the way costs the report, not what was found."""
    (tmp_path / "taken").write_text("")

    code = main(["gate", mock.url, "--provider", "polar", "--quiet", "--report", f"json={tmp_path}/taken/x.json"])

    out, error = capfd.readouterr()
    assert (code, out.count("PASS")) == (2, 1)
    assert "report cannot be written" in error


def test_nobody_reads_on(mock: Mock) -> None:
    """`gate | head -1`: who stops reading gets no other verdict."""
    command = [sys.executable, "-m", "walletproof", "gate", mock.url, "--provider", "polar", "--quiet"]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
