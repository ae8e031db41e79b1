"""`walletproof prove`: it finds defects and says by what, and a proof counts only if the right rule found it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from reports_sample import cause

from contract_tests.probes import catalogue
from contract_tests.results import Cause, Run
from mock_server.defects.catalogue import CATALOGUE
from walletproof import prove
from walletproof.kills import MUST_NOTICE

DEFECT = CATALOGUE["balance-off-by-one-cent"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`walletproof prove` as a process."""
    command = [sys.executable, "-m", "walletproof", "prove", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def result(*causes: Cause, verdict: str = "findings") -> Run:
    """A run that found `causes`, at the requests that they say."""
    made = Run("flexprice", "http://127.0.0.1", "own", "semantic", 1)
    made.causes, made.verdict, made.requests, made.seconds = list(causes), verdict, 900, 1.5  # type: ignore[assignment]
    return made


def test_defects_are_found_and_told(tmp_path: Path) -> None:
    """The mock without defects passes, each defect has a row with what found it, and the matrix is written."""
    page = tmp_path / "matrix.md"
    done = run("--defect", "top-up-one-credit-short", "--defect", "polar-max-page-one-short", "--markdown", str(page))

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "honest: 2 of 2 runs pass"
    assert re.fullmatch(r"found  top-up-one-credit-short +\d+ requests +[\d.]+ s  money\.top-up-adds.*", lines[1])
    assert re.fullmatch(r"found  polar-max-page-one-short +\d+ requests +[\d.]+ s  lists\.max-page.*", lines[2])
    assert re.fullmatch(r"2 of 2 defects found, in \d+ s", lines[3])
    text = page.read_text("utf-8")
    assert text.index("## Flexprice") < text.index("`top-up-one-credit-short`") < text.index("## Polar")
    assert "2 of 2 defects found" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--defect", "balance-of-by-one-cent"], "no defect 'balance-of-by-one-cent'; did you mean balance-off-by-one-cent"),
        (["--seeds", "0"], "--seeds: expected at least 1"),
        (["--markdown", "no/such/folder/page.md"], "--markdown no/such/folder/page.md: there is no such folder"),
    ],
)
def test_mistakes_are_told_before_anything_runs(arguments: list[str], said: str) -> None:
    """Exit code 2 and one line that says what is wrong."""
    done = run(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"walletproof: {said}")
    assert done.stderr.count("\n") == 1


def test_every_defect_has_rules_that_must_notice_it() -> None:
    """None is left out, none is left over, and the rules are ones that the provider's runs judge."""
    assert set(MUST_NOTICE) == set(CATALOGUE)
    known = {provider: {rule.id for rule in catalogue.rules(provider)} for provider in ("flexprice", "polar")}
    unknown = {
        (name, rule) for name, rules in MUST_NOTICE.items() for rule in rules if rule not in known[CATALOGUE[name].provider]
    }
    assert not unknown
    assert all(MUST_NOTICE.values())


def test_the_right_rule_counts() -> None:
    """It is told first, with its own request, although another rule was earlier."""
    right = cause(MUST_NOTICE[DEFECT.name][0], "getWallet", first_request=7, first_seconds=0.25)
    proof = prove.judge(DEFECT, result(cause("errors.shape", "getWallet", first_request=3), right))

    assert proof.killed
    assert proof.killed_by == (right.rule, "errors.shape")
    assert (proof.requests, proof.seconds) == (7, 0.25)
    assert prove.line(proof).startswith("found  balance-off-by-one-cent")


def test_finding_something_else_is_no_proof() -> None:
    """A run that is red for another reason has not found the defect."""
    proof = prove.judge(DEFECT, result(cause("errors.shape", "getWallet", first_request=3)))

    assert (proof.killed, proof.killed_by, proof.requests) == (False, ("errors.shape",), 3)
    assert prove.line(proof).startswith("MISSED")


def test_what_does_not_fail_the_build_is_no_proof() -> None:
    """Neither a cause that is accepted, nor none at all, nor a run that is not red."""
    rule = MUST_NOTICE[DEFECT.name][0]

    assert not prove.judge(DEFECT, result(cause(rule, "getWallet", fails=False), verdict="pass")).killed
    assert not prove.judge(DEFECT, result(cause(rule, "getWallet"), verdict="inconclusive")).killed
    missed = prove.judge(DEFECT, result(verdict="pass"))
    assert (missed.killed, missed.killed_by, missed.requests) == (False, (), 900)
    assert prove.line(missed).endswith("pass")
