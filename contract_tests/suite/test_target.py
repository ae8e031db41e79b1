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
from contract_tests.source import InputError

PROBES = [pytest.param(provider, probe, id=f"{provider}-{probe.name}") for provider in PROVIDERS for probe in probes(provider)]

# Whether there is evidence enough is a question to the whole run, which these tests share.
_NO_FLOOR = Policy(floor=Floor(operations=0, rules=0))

_HINT = "with pytest: --walletproof-provider NAME, and credentials in WALLETPROOF_API_KEY, WALLETPROOF_BEARER ..."


@pytest.fixture(scope="session")
def mute() -> dict[str, str]:
    """Providers that could not be tested at all, with the reason: told once, not by every test."""
    return {}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_target_answers(provider: str, walletproof_target: Aim, mute: dict[str, str]) -> None:
    """With the given credentials, at the given base path."""
    why = _asked(walletproof_target, provider, mute)
    if why:
        pytest.fail(why, pytrace=False)


@pytest.mark.parametrize(("provider", "probe"), PROBES)
def test_probe(provider: str, probe: Probe, walletproof_target: Aim, mute: dict[str, str]) -> None:
    """What the probe judges holds; what it could not judge is skipped with the reason."""
    why = _asked(walletproof_target, provider, mute)
    if why:
        pytest.skip(f"the target cannot be tested: {why}")
    run = _run(walletproof_target, provider, [probe])
    if any(cause.fails for cause in run.causes):
        pytest.fail("\n\n".join(_told(cause) for cause in ranked(run.causes)), pytrace=False)
    if run.why:
        pytest.fail("; ".join(run.why), pytrace=False)
    mine = {rule.id for rule in probe.rules}
    results = [result for result in run.rules if result.rule in mine]
    if results and all(result.outcome == "not tested" for result in results):
        pytest.skip(f"not tested: {results[0].reason}")


def _asked(aim: Aim, provider: str, mute: dict[str, str]) -> str:
    """Why nothing can be tested, empty if it can be; asked once in each process."""
    if provider not in mute:
        mute[provider] = ""  # also if the answer is a skip
        try:
            mute[provider] = "; ".join(_run(aim, provider, []).why)
        except InputError as error:
            mute[provider] = f"{error} ({_HINT})"
    return mute[provider]


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
