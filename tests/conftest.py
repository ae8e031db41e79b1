"""Fixtures shared by the tests: running mocks, as processes, reached over real sockets."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

import httpx
import pytest

os.environ.pop("COLUMNS", None)  # workers of xdist have one, and what a terminal shows depends on it

# Each client of httpx reads the certificates of all authorities, which takes 20 ms. No test talks to strangers: here are none.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)

# Tests start some hundred processes: let them keep what they compile, and the fuzzers what they work out about characters.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).parent.parent / ".hypothesis"))

gc.disable()  # what is imported stays; to look for garbage in it is a third of the time that collecting the tests takes

_numbers = count()


def pytest_configure(config: pytest.Config) -> None:
    """Connexion imports what jsonschema is about to drop; nothing that code here could do about it."""
    config.addinivalue_line("filterwarnings", r"ignore:jsonschema\.:DeprecationWarning")


def pytest_collection_finish() -> None:
    """From here on objects come and go; those that are there already are left out of it."""
    gc.freeze()
    gc.enable()


_APART = [Path(__file__).parent / name for name in ("browser", "engine")]  # they take minutes, or a browser


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave some folders out, unless the command line names them (`pytest tests/engine`)."""
    named = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    for folder in _APART:
        if folder in (collection_path, *collection_path.parents):
            return None if any(folder in (path, *path.parents) for path in named) else True
    return None


@dataclass(frozen=True)
class Mock:
    """A running `walletproof serve`. `banner` is what it printed when it was ready."""

    url: str
    banner: str
    process: subprocess.Popen[str]
    log: IO[str]

    def personas(self) -> dict[str, dict[str, object]]:
        """Personas by `provider/name`, as the control says."""
        found = httpx.get(f"{self.url}/_mock/personas", verify=False).raise_for_status().json()["personas"]
        return {f"{persona['provider']}/{persona['name']}": persona for persona in found}


def start(*options: str, command: str = "serve") -> Mock:
    """Start a mock on a free port and wait until it says that it is ready."""
    line = [sys.executable, "-m", "walletproof", command, "--port", "0", *options]
    log = tempfile.TemporaryFile("w+")  # not a pipe: nobody reads it while the mock runs, and a full pipe would stop it
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    lines: list[str] = []
    for said in process.stdout:
        lines.append(said)
        if said.startswith("Personas:"):
            break
    banner = "".join(lines)
    match = re.search(r"https?://\S+", banner)
    if match is None:
        process.wait(timeout=10)
        log.seek(0)
        raise AssertionError(f"the mock did not start: {log.read()}")
    return Mock(match[0], banner, process, log)


def stop(mock: Mock) -> str:
    """Stop a mock and return what it logged."""
    mock.process.terminate()
    mock.process.communicate(timeout=10)
    with mock.log as log:
        log.seek(0)
        return log.read()


def curl_stand_in(folder: Path) -> dict[str, str]:
    """An environment in which `curl` is ours, for machines that have none; `folder` is where it is put."""
    script = folder / "curl"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).parent / "curl_stand_in.py"}" "$@"\n', "utf-8")
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def paste(line: str) -> str:
    """What a curl line prints when it is pasted into a shell; fails unless the answer is a 2xx."""
    command = f"{line} --fail --silent --show-error"
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ) if shutil.which("curl") else curl_stand_in(Path(folder))
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30, env=environment)
    return done.stdout


@contextmanager
def running(*options: str, command: str = "serve") -> Iterator[Mock]:
    """A mock of a test's own, stopped afterwards; it must not log anything."""
    started = start(*options, command=command)
    try:
        yield started
    finally:
        logged = stop(started)
    assert logged == "", f"the mock complained:\n{logged}"


@pytest.fixture(scope="session")
def mock() -> Iterator[Mock]:
    """One mock for all tests; tests keep out of each other's way by sessions. It must not log a single finding."""
    running = start()
    yield running
    logged = stop(running)
    assert logged == "", f"the mock complained about itself:\n{logged}"


@pytest.fixture
def session() -> str:
    """The name of a session that no other test uses."""
    return f"test-{next(_numbers)}"


@pytest.fixture
def flexprice(mock: Mock, session: str) -> Iterator[httpx.Client]:
    """A client of Flexprice in a session of its own."""
    headers = {"x-api-key": "test", "x-mock-session": session}
    with httpx.Client(base_url=f"{mock.url}/v1", headers=headers, verify=False) as client:  # no TLS here: skip reading CAs
        yield client


@pytest.fixture
def polar(mock: Mock, session: str) -> Iterator[httpx.Client]:
    """A client of Polar as the customer `ada`, in a session of its own."""
    token = mock.personas()["polar/ada.main"]["token"]
    headers = {"authorization": f"Bearer {token}", "x-mock-session": session}
    with httpx.Client(base_url=f"{mock.url}/v1/customer-portal/wallets", headers=headers, verify=False) as client:
        yield client


@pytest.fixture(scope="session")
def wallet_ids(mock: Mock) -> dict[str, str]:
    """Wallet ids of the Flexprice personas by name."""
    return ids_of_wallets(mock)


def ids_of_wallets(mock: Mock) -> dict[str, str]:
    """Wallet ids of the Flexprice personas of a mock by name."""
    return {
        key.removeprefix("flexprice/"): persona["ids"]["wallet"]  # type: ignore[index]
        for key, persona in mock.personas().items()
        if key.startswith("flexprice/")
    }
