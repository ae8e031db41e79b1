"""The pytest plugin as a user meets it: a project of its own, pytest as a process, with and without xdist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
from conftest import Mock

PROJECT = {
    # Names in the user's folder must not get in the way of ours.
    "walletproof.py": "raise RuntimeError('this is not the package')\n",
    "test_wallets.py": '''
import httpx
import pytest

from contract_tests.mock_client import ControlError, NotExpected


def top_up(server):
    """The credits before and after."""
    wallet = server.personas["flexprice/healthy"]["ids"]["wallet"]
    with httpx.Client(base_url=f"{server.url}/v1/wallets", headers={"x-api-key": "any", **server.headers}) as client:
        before = client.get(f"/{wallet}").json()["credit_balance"]
        body = {"credits_to_add": "1", "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": "the-same"}
        after = client.post(f"/{wallet}/top-up", json=body).raise_for_status().json()["wallet"]["credit_balance"]
        return before, after


@pytest.mark.parametrize("time", range(4))
def test_the_same_wallet(walletproof_server, time):
    assert top_up(walletproof_server) == ("538.5", "539.5")


def test_defects_are_this_tests_own(walletproof_server):
    walletproof_server.defects("top-up-one-credit-short")
    assert top_up(walletproof_server)[0] == top_up_again(walletproof_server)
    walletproof_server.defects()


def top_up_again(server):
    wallet = server.personas["flexprice/healthy"]["ids"]["wallet"]
    with httpx.Client(base_url=f"{server.url}/v1/wallets", headers={"x-api-key": "any", **server.headers}) as client:
        return client.get(f"/{wallet}").json()["credit_balance"]


def test_an_unknown_defect_is_named(walletproof_server):
    with pytest.raises(ControlError, match="no-such-defect"):
        walletproof_server.defects("no-such-defect")


def test_what_was_called_is_known(walletproof_server):
    wallet = walletproof_server.personas["flexprice/healthy"]["ids"]["wallet"]
    walletproof_server.controls.set_clock("frozen:2026-11-21T12:00:00Z")
    url = f"{walletproof_server.url}/v1/wallets/{wallet}"
    httpx.put(url, json={"name": "Blue"}, headers={"x-api-key": "any", **walletproof_server.headers})
    assert walletproof_server.expect("updateWallet", times=1, where={"body": {"name": "Blue"}}) == [1]
    with pytest.raises(NotExpected, match="Blue"):
        walletproof_server.expect("updateWallet", where={"body": {"name": "Green"}})


def test_polar(walletproof_server):
    token = walletproof_server.personas["polar/ada.main"]["token"]
    url = f"{walletproof_server.url}/v1/customer-portal/wallets/"
    answer = httpx.get(url, headers={"authorization": f"Bearer {token}", **walletproof_server.headers})
    assert answer.json()["pagination"]["total_count"] == 6
''',
}
SUITE = ("--pyargs", "contract_tests")
SOME = "polar-walks or polar-expired or wallet-search or flexprice-strangers or target_answers"


def pytest_run(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """Exit code and output of pytest in a folder, in which warnings are errors, as in strict projects.

    Only our plugin and xdist are loaded, by the names under which they are installed: others take seconds.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "WALLETPROOF_"))}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plugins = ("-p", "no:cacheprovider", "-p", "walletproof", "-p", "xdist")
    command = [sys.executable, "-P", "-m", "pytest", *plugins, "-W", "error", "-rs", *arguments]
    result = subprocess.run(
        command, cwd=folder, env={**env, **variables}, capture_output=True, text=True, timeout=120, check=False
    )
    return result.returncode, result.stdout + result.stderr


def counts(output: str) -> dict[str, int]:
    """What the last line says: how many passed, failed, were skipped."""
    return {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", output.splitlines()[-1])}


def project(folder: Path) -> Path:
    """A project that uses the fixtures."""
    for name, text in PROJECT.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_every_test_has_a_world_of_its_own(tmp_path: Path) -> None:
    """Tests that change the same wallet, use the same key and switch on defects do not see each other."""
    code, output = pytest_run(project(tmp_path))

    assert (code, counts(output)["passed"]) == (0, 8), output


def test_xdist_workers_do_not_meet_either(tmp_path: Path) -> None:
    """The same in two processes."""
    code, output = pytest_run(project(tmp_path), "-n", "2")

    assert (code, counts(output)["passed"]) == (0, 8), output


def test_the_suite_passes_on_an_honest_target(mock: Mock, session: str, tmp_path: Path) -> None:
    """The mock is recognised and tells its own credentials; what needs more of them is skipped, with the flag it needs."""
    arguments = ("--walletproof-target", mock.url, "--walletproof-header", f"X-Mock-Session: {session}", "-n", "2")
    code, output = pytest_run(tmp_path, *SUITE, *arguments, "-k", f"{SOME} or other-tenant")

    assert (code, counts(output)["passed"], counts(output)["skipped"]) == (0, 6, 1), output
    assert "not tested: needs a second identity" in output


def test_the_suite_tells_the_rule_and_how_to_repeat_it(mock: Mock, session: str, tmp_path: Path) -> None:
    """A failure shows the rule's id, what was expected, and curl lines that work when pasted; no traceback of ours."""
    httpx.put(f"{mock.url}/_mock/sessions/{session}/defects", json={"defects": ["balance-off-by-one-cent"]}).raise_for_status()
    arguments = ("--walletproof-target", mock.url, "--walletproof-header", f"X-Mock-Session: {session}")
    code, output = pytest_run(tmp_path, *SUITE, *arguments, "-k", "wallet-search or polar-defaults")

    assert (code, counts(output)["failed"], counts(output)["passed"]) == (1, 1, 1), output
    assert "money.balance-is-credits-times-rate queryWallet /items/0/balance" in output
    assert re.search(rf"curl .*x-mock-session: {session}.*{mock.url}/v1/wallets", output)
    assert "contract_tests/gate.py" not in output


def test_only_what_has_credentials_is_tested(mock: Mock, tmp_path: Path) -> None:
    """Credentials come from the environment, and stay out of what is printed."""
    arguments = ("--walletproof-target", mock.url, "--walletproof-mode", "read", "-k", f"{SOME} or polar-two-customers")
    people = mock.personas()
    tokens = {
        "WALLETPROOF_BEARER": str(people["polar/ada.main"]["token"]),
        "WALLETPROOF_OTHER_BEARER": str(people["polar/bob.main"]["token"]),
        "WALLETPROOF_EXPIRED_BEARER": str(people["polar/lapsed.main"]["token"]),
    }
    code, output = pytest_run(tmp_path, *SUITE, *arguments, **tokens)

    assert (code, counts(output)["passed"], counts(output)["skipped"]) == (0, 4, 3), output
    assert "flexprice is not tested: no credentials for it were given" in output
    assert not any(token in output for token in tokens.values())


def test_a_target_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    """One failure that names the address, everything else skipped, no traceback."""
    code, output = pytest_run(tmp_path, *SUITE, "--walletproof-target", "http://127.0.0.1:9", WALLETPROOF_API_KEY="some-key")

    assert (code, counts(output)["failed"]) == (1, 1), output
    assert "passed" not in counts(output)
    assert "cannot connect to http://127.0.0.1:9" in output
    assert "Traceback" not in output
    assert len(output.splitlines()) < 60


def test_mistakes_are_told_in_words(tmp_path: Path) -> None:
    """A host that was not allowed, and a header that is none."""
    code, output = pytest_run(tmp_path, *SUITE, "--walletproof-target", "https://wallets.example", WALLETPROOF_API_KEY="some-key")
    assert (code, "passed" in counts(output)) == (1, False), output
    assert "wallets.example is not this machine: say --allow-host wallets.example" in output
    assert "Traceback" not in output

    code, output = pytest_run(tmp_path, *SUITE, "--walletproof-header", "no colon")
    assert code == 4
    assert "expected 'Name: value'" in output
