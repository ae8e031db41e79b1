"""A server that shares no code with the mock: honest, it passes; with a fault chosen without a look at the rules, it fails.

The mock and the rules have one author, so a misunderstanding could be in both and never show. `tests/independent` was
written from the providers' facts alone, and its faults are mistakes that such servers really make.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from independent.faults import FAULTS

from contract_tests.checking import Wanted, subjects
from contract_tests.gate import Gate, Options
from contract_tests.probes import catalogue
from contract_tests.results import Run

SERVER = Path(__file__).parent / "independent" / "server.py"

NOT_JUDGED = {
    "flexprice": {
        "auth.others-wallets-hidden": "the server has one tenant, so there is no second key",
        "money.cached-is-prepaid": "the server has no cache, so no answer says that it comes from one",
    },
    "polar": {},
}

# fault -> rules that may notice it: one of them must, and nothing else may be said
EXPECTED: dict[str, tuple[str, ...]] = {
    "cents-rounding": ("money.balance-is-credits-times-rate", "money.balance-recomputed"),
    "spending-rate": ("money.amount-becomes-credits", "money.top-up-booked"),
    "pending-credited": ("money.pending-changes-nothing",),
    "lost-update": ("concurrency.parallel-top-ups",),
    "key-per-wallet": ("money.key-takes-effect-once",),
    "page-overlap": ("lists.pages-complete",),
    "stale-read": ("money.top-up-adds", "money.amount-becomes-credits", "money.rows-sum-to-balance", "money.available-sums-up"),
    "open-customer-lists": ("auth.missing-key-refused", "auth.wrong-key-refused", "auth.expired-refused"),
    "bare-errors": ("errors.shape", "response.body"),
    "padded-decimals": ("response.body",),
    "foreign-wallet": ("auth.others-wallets-hidden",),
    "expired-session": ("auth.expired-refused",),
    "tied-pages": ("lists.pages-complete",),
    "max-page": ("lists.max-page",),
    "no-challenge": ("response.header", "errors.shape"),
}
OF_POLAR = ("foreign-wallet", "expired-session", "tied-pages", "max-page", "no-challenge")


@contextmanager
def serving(*options: str) -> Iterator[dict[str, Any]]:
    """The server as a process: its URL under `url`, and what it tells of each provider."""
    with subprocess.Popen([sys.executable, SERVER, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            yield {"url": url, **json.loads(process.stdout.readline())}
        finally:
            process.kill()


def gate(server: dict[str, Any], provider: str, options: Options) -> Run:
    """A run with every credential that the server has."""
    known = server[provider]
    if provider == "flexprice":
        keys = {"main": known["api_key"], "expired": "expired-key-of-the-tests"}
        wanted = Wanted(server["url"], (provider,), api_keys=keys, customers=tuple(known["customers"]))
    else:
        tokens = {"main": known["token"], "other": known["other_token"], "expired": known["expired_token"]}
        wanted = Wanted(server["url"], (provider,), bearers=tokens)
    (subject,) = subjects(wanted)
    try:
        return Gate(subject, options).run()
    finally:
        subject.target.close()


def test_an_honest_server_passes() -> None:
    """No rule accuses it, and all are judged but those that name what this server has not got."""
    with serving() as server:
        for provider, excused in NOT_JUDGED.items():
            run = gate(server, provider, Options())

            assert [(cause.fingerprint, cause.problem, cause.got) for cause in run.causes] == []
            assert (run.verdict, run.why, run.interrupted) == ("pass", [], "")
            assert {rule.rule for rule in run.rules if rule.outcome == "not tested"} == set(excused)
            assert {rule.rule for rule in run.rules} == {rule.id for rule in catalogue.rules(provider)}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_a_rule_that_names_it(fault: str) -> None:
    """The verdict is findings, confirmed; up to the end of the probe that found it, nothing else is accused."""
    expected = EXPECTED[fault]
    provider = "polar" if fault in OF_POLAR else "flexprice"
    with serving("--fault", fault) as server:
        run = gate(server, provider, Options(until=lambda entry: entry.finding.rule in expected))

    assert run.verdict == "findings"
    assert any(cause.rule in expected and cause.confirmation == "confirmed" and cause.fails for cause in run.causes)
    assert {cause.rule for cause in run.causes} <= set(expected)
    assert all(step.curl.startswith("curl") for cause in run.causes for step in cause.steps)


def test_every_fault_has_its_rules() -> None:
    """A fault added to the server is proved as well, by rules that exist."""
    assert set(EXPECTED) == set(FAULTS)
    for fault, expected in EXPECTED.items():
        known = {rule.id for rule in catalogue.rules("polar" if fault in OF_POLAR else "flexprice")}
        assert set(expected) <= known
