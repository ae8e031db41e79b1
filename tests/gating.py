"""Running the gate within a test: in its own session of the mock, whole or with a few probes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
from conftest import Mock

from contract_tests.checking import Wanted, subjects
from contract_tests.gate import Gate, Options
from contract_tests.policy import Floor, Policy
from contract_tests.probes import catalogue
from contract_tests.results import Run

KEY = {"x-api-key": "test"}
_FEW = ("walks", "items-equal-gets", "unknown-wallets", "bad-numbers")


def play(mock: Mock, session: str, *defects: str) -> str:
    """Switch defects on in a session, and all others off; gives its name."""
    answer = httpx.put(f"{mock.url}/_mock/sessions/{session}/defects", json={"defects": defects}, verify=False)
    assert answer.status_code == 200, answer.text
    return session


def gate(url: str, provider: str, session: str, options: Options | None = None, **wanted: Any) -> Run:
    """One run within this process."""
    (subject,) = subjects(Wanted(url, providers=(provider,), headers=(("x-mock-session", session),), **wanted))
    try:
        return Gate(subject, options or Options(max_time=60.0)).run()
    finally:
        subject.target.close()


def quick(policy: Policy | None = None, *probes: str, provider: str = "polar", **more: Any) -> Options:
    """A few probes, for where it is the verdict and not the search that is looked at; nobody asks how many rules they judge."""
    names = probes or _FEW
    chosen = [probe for probe in catalogue.probes(provider) if probe.name in names]
    assert len(chosen) == len(names)
    policy = policy or Policy()
    if policy.floor == Floor():
        policy = replace(policy, floor=Floor(rules=0.0))
    return Options(policy, max_time=60.0, probes=chosen, **more)


def wallets(mock: Mock, session: str) -> list[dict[str, Any]]:
    """All Flexprice wallets of a session."""
    found: list[dict[str, Any]] = []
    while True:
        body = {"limit": 1000, "offset": len(found)}
        page = httpx.post(
            f"{mock.url}/v1/wallets/search", json=body, headers=KEY | {"x-mock-session": session}, verify=False
        ).json()
        found += page["items"]
        if not page["items"] or len(found) >= page["pagination"]["total"]:
            return found
