"""What a browser records of a page that uses the mock, checked: nothing wrong, and every violation that is put in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import violations
from conftest import Mock, running
from violations import VIOLATIONS, Har

from browser.recording import recorded, written


@pytest.fixture(scope="module")
def own_mock() -> Iterator[Mock]:
    """A mock that nobody else uses: the page's wallets are new in it."""
    with running() as mock:
        yield mock


@pytest.fixture(scope="module")
def fresh(own_mock: Mock, tmp_path_factory: pytest.TempPathFactory) -> Har:
    """A recording of now."""
    return recorded(own_mock, tmp_path_factory.mktemp("browser"))


def check(har: Har, folder: Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON report and output of `walletproof check`."""
    file, report = folder / "chromium.har", folder / "report.json"
    file.write_text(written(har), "utf-8")
    command = [sys.executable, "-m", "walletproof", "check", str(file), "--report", f"json={report}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, json.loads(report.read_text("utf-8")), done.stdout + done.stderr


def causes(report: dict[str, Any]) -> set[tuple[str, ...]]:
    """What was found, as `violations` has it."""
    return {
        violations.Cause(*(cause[name] for name in violations.Cause._fields)) for run in report["runs"] for cause in run["causes"]
    }


def shape(har: Har) -> list[tuple[str, ...]]:
    """What was recorded, without what differs from run to run."""
    return sorted(
        (
            entry["_resourceType"],
            entry["request"]["method"],
            re.sub(r":\d{4,5}/|(?<=wallet_)\w+", "*", entry["request"]["url"]),
            str(entry["response"]["status"]),
            entry.get("_fromCache", ""),
            entry["response"]["_error"] or "",
            " ".join(sorted(entry["response"]["content"])),
            " ".join(sorted(header["name"].lower() for header in entry["request"]["headers"])),
        )
        for entry in har["log"]["entries"]
    )


def test_a_recording_of_the_mock_is_clean(fresh: Har, own_mock: Mock, tmp_path: Path) -> None:
    """No finding; what is of other hosts and what has no answer is counted, not judged."""
    code, report, output = check(fresh, tmp_path)

    assert (code, causes(report)) == (0, set()), output
    by_type = [entry["_resourceType"] for entry in fresh["log"]["entries"]]
    traffic, elsewhere = report["traffic"], report["traffic"]["elsewhere"]
    assert traffic["exchanges"] == len(by_type)
    assert traffic["unusable"] == {"unanswered": 2, "cached": 1}
    assert traffic["judged"] == len(by_type) - 3 - sum(elsewhere.values())
    # Of the mock's: the preflights, the redirect to the slash, and a path that no contract has.
    assert elsewhere.pop(own_mock.url) == 2 + sum(
        own_mock.url in entry["request"]["url"] for entry in fresh["log"]["entries"] if entry["_resourceType"] == "preflight"
    )
    assert sorted(elsewhere.values()) == [2, 6]


def test_the_violations_are_found_in_a_fresh_recording(fresh: Har, tmp_path: Path) -> None:
    """All twenty, and nothing else."""
    code, report, output = check(violations.violated(fresh, *VIOLATIONS), tmp_path)

    assert causes(report) == {violation.cause for violation in VIOLATIONS}, output
    assert code == 1


@pytest.mark.parametrize("left_out", [("authorization", "cookie", "set-cookie"), ("authorization", "x-api-key")])
def test_a_recording_without_credentials_is_clean(fresh: Har, tmp_path: Path, left_out: tuple[str, ...]) -> None:
    """Chromium leaves some headers out of what it exports, unless it is asked not to; other recorders leave out others."""
    har = json.loads(json.dumps(fresh))
    for entry in har["log"]["entries"]:
        for name in left_out:
            violations.header(entry["request"], name, None)
            violations.header(entry["response"], name, None)

    code, report, output = check(har, tmp_path)

    assert (code, causes(report)) == (0, set()), output


def test_the_stored_recording_is_what_the_page_does_today(fresh: Har) -> None:
    """The fast tests read a stored one; `python -m browser.recording` makes it anew."""
    assert shape(violations.recording()) == shape(fresh)
