"""Stock Schemathesis, all checks, as an independent judge of the mock: what it finds must be the document's own fault."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Mock, start, stop

from contract_tests import contract
from contract_tests.contract import Contract
from contract_tests.source import data_folder

KEY, TOKEN = "key-of-the-run", "token-of-the-run"
OPENAPI = data_folder(contract.__file__, "openapi")

# `uuid4` is no registered format: left alone, Schemathesis sends any text as a valid id.
HOOKS = """
import schemathesis
from hypothesis import strategies as st
schemathesis.openapi.format("uuid4", st.uuids(version=4).map(str))
"""

# Known ids, mixed with unknown ones; without them nearly every answer would be a 404. The example database is off, so that
# a run depends on nothing but its seed.
SETTINGS = """
hooks = {hooks}
headers = {headers}
continue-on-failure = true
[generation]
database = "none"
with-security-parameters = false
[cache]
enabled = false
[dictionaries.wallets]
values = {wallets}
[parameters]
"path.id" = {{ dictionary = "wallets", probability = 0.6 }}
"""

# Rules of the provider that neither document nor overlay can say in OpenAPI 3.0, so that requests which keep the schema
# break them: "exactly one of", "needs the other", "not before", "greater than 0" of a decimal in text, states of a wallet.
UNSAYABLE = [
    "Exactly one of id and lookup_key is required",
    "customer_id or external_customer_id is required",
    "(external_)?customer_id must not (contain|begin|end).*",
    "(topup_)?conversion_rate must (be greater than 0|not be negative)",
    "a conversion rate is too small to be stored with 5 decimals",
    "credits_to_add or amount must be greater than 0",
    "bonus_credits_to_add must be greater than 0",
    "checkout.*",
    "transaction_reason .* cannot top up a wallet; allowed: .*",
    r"[\w.]+ has more digits than can be stored",
    r"[\w.]+ must be in the future",
    "initial_credits_to_load_expiry_date must be a day as YYYYMMDD",
    "auto_topup.(threshold|amount|invoicing) is required",
    r"auto_topup.cooldown.\w+ must be .*",
    "alert_settings.*",
    "Wallet .* is closed already",
    "end_time must not be before start_time",
    "expiry_date_before must not be earlier than expiry_date_after",
    "reference_type needs a reference_id",
    "(filters|sort): .*",
    "include_real_time_balance must be true or false",
    r"\w+ must be a time such as .*",
]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Mock]:
    """A mock that takes one key and one control token, as the checks of authentication expect of a service."""
    mock = start("--api-key", KEY, "--control-token", TOKEN)
    yield mock
    stop(mock)


def run(
    mock: Mock, folder: Path, name: str, headers: dict[str, str], wallets: list[str], base: str = "", examples: int = 25
) -> tuple[Any, str]:
    """The JSON report and the text of `st run` over the whole contract, with so many generated requests for each operation."""
    overlay = OPENAPI / f"{name}.overlay.yaml"
    document = folder / "contract.json"
    overlays = [overlay] if overlay.exists() else []
    document.write_text(json.dumps(Contract.load(name, OPENAPI / f"{name}.yaml", *overlays).merged))
    hooks = folder / "hooks.py"
    hooks.write_text(HOOKS)
    toml_headers = "{ " + ", ".join(f'"{key}" = "{value}"' for key, value in headers.items()) + " }"
    settings = folder / "schemathesis.toml"
    settings.write_text(SETTINGS.format(hooks=json.dumps(str(hooks)), headers=toml_headers, wallets=json.dumps(wallets)))
    report = folder / "report.json"
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(settings), "run", str(document)]
    command += ["-u", mock.url + base, "--seed", "1", "-n", str(examples), "--phases", "coverage,fuzzing"]
    command += ["--report", "json", "--report-json-path", str(report)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=120)
    assert report.exists(), result.stdout + result.stderr
    found = json.loads(report.read_text())
    assert not found["errors"], result.stdout
    assert found["complete"], result.stdout
    assert found["test_cases"]["generated"] > 100
    return found, result.stdout


def test_polar_has_no_failure(guarded: Mock, mock: Mock, tmp_path: Path) -> None:
    """Not one of all checks fails, known and unknown ids mixed."""
    ada = [persona for key, persona in mock.personas().items() if key.startswith("polar/ada.")]
    headers = {"Authorization": f"Bearer {ada[0]['token']}"}
    report, text = run(guarded, tmp_path, "polar", headers, [persona["ids"]["wallet"] for persona in ada])  # type: ignore[index]
    assert report["failures"] == [], text


def test_controls_have_no_failure(guarded: Mock, tmp_path: Path) -> None:
    """The mock's own controls keep their own document."""
    report, text = run(guarded, tmp_path, "control", {"x-control-token": TOKEN}, ["default"], examples=2)
    assert report["failures"] == [], text


def test_flexprice_fails_only_where_the_document_is_silent(guarded: Mock, wallet_ids: dict[str, str], tmp_path: Path) -> None:
    """Two kinds of failure are the document's own fault; any other kind, or another message, fails this test.

    ST202: a request that keeps the schema is refused with 400, by a rule that the schema cannot state. ST204: a wrong
    method gets the provider's 404 instead of 405.
    """
    report, text = run(guarded, tmp_path, "flexprice", {"x-api-key": KEY}, list(wallet_ids.values()), "/v1", examples=10)
    assert {failure["code"] for failure in report["failures"]} <= {"ST202", "ST204"}, text
    for block in re.split(r"\n_{3,} .* _{3,}\n", text):
        messages = re.findall(r'"message":"((?:[^"\\]|\\.)*)"', block)
        if "ST204" in block:
            assert all(message.startswith("No route for TRACE ") for message in messages), block
        elif "ST202" in block:
            assert messages, block
            for message in messages:
                assert any(re.fullmatch(rule, message) for rule in UNSAYABLE), f"refused for another reason: {message}\n{block}"
