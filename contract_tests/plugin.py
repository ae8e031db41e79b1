"""The pytest plugin: a running mock with a session for every test, and the target that the shipped suite tests.

    def test_balance(walletproof_server):
        wallet = walletproof_server.personas["flexprice/healthy"]["ids"]["wallet"]
        httpx.get(f"{walletproof_server.url}/v1/wallets/{wallet}", headers={"x-api-key": "any", **walletproof_server.headers})

Imports what it needs when it is needed: pytest loads plugins whether they are used or not.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from contract_tests.checking import Wanted
    from contract_tests.probes.probe import Subject

_sessions = itertools.count(1)


@dataclass(frozen=True)
class Server:
    """A running mock. Requests with `headers` are in a session that no other test sees."""

    url: str
    session: str

    @property
    def headers(self) -> dict[str, str]:
        """What chooses the session."""
        return {"X-Mock-Session": self.session}

    @cached_property
    def personas(self) -> dict[str, dict[str, Any]]:
        """The fixture wallets by `provider/name`, with ids and tokens."""
        import httpx

        with httpx.Client(trust_env=False) as client:
            found = client.get(f"{self.url}/_mock/personas").raise_for_status().json()["personas"]
        return {f"{persona['provider']}/{persona['name']}": persona for persona in found}

    def defects(self, *names: str) -> None:
        """Give this test's session these defects, and no others."""
        import httpx

        with httpx.Client(trust_env=False) as client:
            client.put(f"{self.url}/_mock/sessions/{self.session}/defects", json={"defects": names}).raise_for_status()


@dataclass(frozen=True)
class Aim:
    """What the shipped suite tests."""

    wanted: Wanted

    @property
    def url(self) -> str:
        """The base URL."""
        return self.wanted.url

    def subject(self, provider: str) -> Subject | None:
        """A fresh subject; None if this provider is not among what is tested."""
        from contract_tests.checking import subjects

        return next((subject for subject in subjects(self.wanted) if subject.contract.name == provider), None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the suite; credentials may also come from the environment (WALLETPROOF_API_KEY ...)."""
    group = parser.getgroup("walletproof", "testing wallet APIs")
    group.addoption(
        "--walletproof-target", metavar="URL", help="base URL that the shipped suite tests (default: a mock of its own)"
    )
    group.addoption("--walletproof-provider", metavar="NAME", action="append", default=[], help="flexprice or polar; repeatable")
    group.addoption(
        "--walletproof-mode", choices=("read", "own", "all"), default="own", help="what may be changed (default: own)"
    )
    group.addoption("--walletproof-allow-host", metavar="HOST", action="append", default=[], help="a host beyond this machine")
    group.addoption(
        "--walletproof-wallet", metavar="ID", action="append", default=[], help="a wallet that may be read; repeatable"
    )
    group.addoption("--walletproof-seed", metavar="N", type=int, default=1, help="same seed, same requests (default: 1)")


@pytest.fixture(scope="session")
def walletproof_url() -> Iterator[str]:
    """The URL of a mock that all tests of this process share."""
    from contract_tests.mock_process import running_mock

    with running_mock() as url:
        yield url


@pytest.fixture
def walletproof_server(walletproof_url: str) -> Server:
    """A running mock, in a session of this test's own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return Server(walletproof_url, f"pytest-{worker}-{next(_sessions)}")


@pytest.fixture
def walletproof_target(request: pytest.FixtureRequest) -> Aim:
    """What --walletproof-target names; without it, a mock in a session of this test's own."""
    from contract_tests.checking import Wanted

    option: Callable[[str], Any] = request.config.getoption
    wanted = Wanted(
        url=option("--walletproof-target") or "",
        providers=tuple(option("--walletproof-provider")),
        wallets=tuple(option("--walletproof-wallet")),
        seed=option("--walletproof-seed"),
        mode=option("--walletproof-mode"),
        allow_hosts=tuple(option("--walletproof-allow-host")),
    )
    if wanted.url:
        return Aim(wanted)
    server: Server = request.getfixturevalue("walletproof_server")
    return Aim(replace(wanted, url=server.url, headers=tuple((name.lower(), value) for name, value in server.headers.items())))
