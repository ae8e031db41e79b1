"""Every probe as a test of its own, so that pytest can choose among them, and xdist spread them."""

from __future__ import annotations

import pytest

from contract_tests.gate import Gate, Options
from contract_tests.plugin import Aim
from contract_tests.policy import Floor, Policy
from contract_tests.probes.catalogue import probes
from contract_tests.probes.probe import Probe
from contract_tests.reports.ranking import ranked
from contract_tests.results import Cause, Run
from contract_tests.rules.rule import PROVIDERS

PROBES = [pytest.param(provider, probe, id=f"{provider}-{probe.name}") for provider in PROVIDERS for probe in probes(provider)]

# Whether there is evidence enough is a question to the whole run, which these tests share.
_NO_FLOOR = Policy(floor=Floor(operations=0, rules=0))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_target_answers(provider: str, walletproof_target: Aim) -> None:
    """With the given credentials, at the given base path."""
    run = _run(walletproof_target, provider, [])

    assert not run.why, run.why


@pytest.mark.parametrize(("provider", "probe"), PROBES)
def test_probe(provider: str, probe: Probe, walletproof_target: Aim) -> None:
    """What the probe judges holds; what it could not judge is skipped with the reason."""
    run = _run(walletproof_target, provider, [probe])

    assert not run.why, run.why
    if any(cause.fails for cause in run.causes):
        pytest.fail("\n\n".join(_told(cause) for cause in ranked(run.causes)), pytrace=False)
    mine = {rule.id for rule in probe.rules}
    results = [result for result in run.rules if result.rule in mine]
    if results and all(result.outcome == "not tested" for result in results):
        pytest.skip(f"not tested: {results[0].reason}")


def _run(aim: Aim, provider: str, chosen: list[Probe]) -> Run:
    subject = aim.subject(provider)
    if subject is None:
        pytest.skip(f"{provider} is not tested: no credentials for it were given")
    try:
        return Gate(subject, Options(_NO_FLOOR, probes=chosen)).run()
    finally:
        subject.target.close()


def _told(cause: Cause) -> str:
    lines = [
        f"{cause.rule} {cause.operation} {cause.pointer} ({cause.confirmation}, x{cause.count})",
        f"  {cause.problem}",
        f"  expected {cause.expected}",
        f"  got      {cause.got}",
        *(f"  {step.curl}" for step in cause.steps),
    ]
    return "\n".join(lines)
