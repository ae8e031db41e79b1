"""The pytest plugin: a running mock with a session for every test, and the target that the shipped suite tests.

    def test_balance(walletproof_server):
        wallet = walletproof_server.personas["flexprice/healthy"]["ids"]["wallet"]
        httpx.get(f"{walletproof_server.url}/v1/wallets/{wallet}", headers={"x-api-key": "any", **walletproof_server.headers})
        walletproof_server.controls.advance("7 days")
        walletproof_server.expect("getWallet", times=1)

Imports what it needs when it is needed: pytest loads plugins whether they are used or not.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from contract_tests.checking import Wanted
    from contract_tests.mock_client import Session
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
    def controls(self) -> Session:
        """The controls of this test's session: clock, wallets, faults, scenarios, journal, webhooks, snapshots."""
        from contract_tests.mock_client import MockClient

        return MockClient(self.url).session(self.session)

    @cached_property
    def personas(self) -> dict[str, dict[str, Any]]:
        """The fixture wallets by `provider/name`, with ids and tokens."""
        return self.controls.mock.personas()

    def defects(self, *names: str) -> None:
        """Give this test's session these defects, and no others."""
        self.controls.defects(*names)

    def expect(self, operation: str, **wanted: Any) -> list[int]:
        """Fail, with the nearest calls, unless an operation was called so often: `times`, `at_least`, `at_most`, `where`."""
        return self.controls.expect(operation, **wanted)


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
    """The options of the suite. Credentials come from the environment: WALLETPROOF_API_KEY, WALLETPROOF_BEARER and so on."""
    group = parser.getgroup("walletproof", "testing wallet APIs (credentials: WALLETPROOF_API_KEY, WALLETPROOF_BEARER, ...)")

    def add(name: str, about: str, **settings: Any) -> None:
        group.addoption(f"--walletproof-{name}", help=about, **settings)

    add("target", "base URL that the shipped suite tests (default: a mock of its own)", metavar="URL")
    add("provider", "flexprice or polar; repeatable", metavar="NAME", action="append", default=[])
    add("mode", "what may be changed (default: own)", choices=("read", "own", "all"), default="own")
    add("allow-host", "a host beyond this machine; repeatable", metavar="HOST", action="append", default=[])
    add("wallet", "a wallet that may be read; repeatable", metavar="ID", action="append", default=[])
    add("customer", "a customer who may get wallets; repeatable", metavar="ID", action="append", default=[])
    add("header", "send this header; repeatable", metavar="'N: V'", action="append", default=[], type=_header)
    add("auth", "a Web Fuzzing Commons authentication file", metavar="FILE")
    add("seed", "same seed, same requests (default: 1)", metavar="N", type=int, default=1)
    add("settle", "seconds that a read may lag behind a write (default: 2, on this machine 0)", metavar="SECONDS", type=float)
    add("rate", "most requests per second", metavar="N", type=float)
    add("insecure", "do not verify TLS certificates", action="store_true")


def _header(text: str) -> tuple[str, str]:
    from contract_tests.checking import header
    from contract_tests.source import InputError

    try:
        return header(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@pytest.fixture(scope="session")
def walletproof_url() -> Iterator[str]:
    """The URL of a mock that all tests of this process share."""
    from contract_tests.mock_process import running_mock

    with running_mock() as url:
        yield url


@pytest.fixture
def walletproof_server(walletproof_url: str) -> Iterator[Server]:
    """A running mock, in a session of this test's own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    server = Server(walletproof_url, f"pytest-{worker}-{next(_sessions)}")
    yield server
    server.controls.mock.close()


@pytest.fixture
def walletproof_target(request: pytest.FixtureRequest) -> Aim:
    """What --walletproof-target names; without it, a mock in a session of this test's own."""
    from contract_tests.checking import Wanted

    def option(name: str) -> Any:
        return request.config.getoption(f"--walletproof-{name}")

    wanted = Wanted(
        url=option("target") or "",
        providers=tuple(option("provider")),
        wallets=tuple(option("wallet")),
        customers=tuple(option("customer")),
        headers=tuple(map(tuple, option("header"))),
        auth_file=Path(option("auth")) if option("auth") else None,
        seed=option("seed"),
        mode=option("mode"),
        settle=option("settle"),
        rate=option("rate"),
        insecure=option("insecure"),
        allow_hosts=tuple(option("allow-host")),
    )
    if wanted.url:
        return Aim(wanted)
    server: Server = request.getfixturevalue("walletproof_server")
    session = tuple((name.lower(), value) for name, value in server.headers.items())
    return Aim(replace(wanted, url=server.url, headers=(*session, *wanted.headers)))
