"""The wheel: what it holds, and that it serves from there, far from the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import start, stop

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed; what it depends on is that of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*command, "--target", str(folder), str(wheel)], check=True, capture_output=True, timeout=60)
    return folder


def environment(installed: Path) -> dict[str, str]:
    """Where the installed wheel comes before the checkout."""
    return {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def served(installed: Path, tmp_path: Path) -> Iterator[str]:
    """The URL of the installed command, run from an empty directory."""
    command = [str(installed / "bin" / "walletproof"), "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(installed), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            match = re.search(r"http://\S+", process.stdout.readline())
            assert match is not None
            yield match[0]
        finally:
            process.terminate()


def test_top_level_names(wheel: Path) -> None:
    """Installing adds our three packages and the metadata, and no module that another package could own."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert {name.split("/")[0] for name in names} == {
        "contract_tests",
        "mock_server",
        "walletproof",
        wheel.name.rpartition("-py3")[0] + ".dist-info",
    }
    assert len(names) == len(set(names))


def test_contents(wheel: Path) -> None:
    """Modules, documents and fixtures are all in it, each within the package that reads it, and nothing else is."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        entry_points = archive.read(wheel.name.rpartition("-py3")[0] + ".dist-info/entry_points.txt").decode()
    expected = {
        str(path.relative_to(ROOT))
        for package in ("contract_tests", "mock_server", "walletproof")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {f"contract_tests/{path.relative_to(ROOT)}" for path in (ROOT / "openapi").iterdir()}
    expected |= {f"mock_server/{path.relative_to(ROOT)}" for path in (ROOT / "fixtures").rglob("*.yaml")}

    assert names == expected
    assert "walletproof = walletproof.cli:main" in entry_points


def test_the_installed_package_is_its_own(installed: Path, tmp_path: Path) -> None:
    """Modules and data files come from the installation, not from the checkout that this environment has as well."""
    program = """
import contract_tests.contract, mock_server.assembly, walletproof.cli
from contract_tests.source import data_folder
for path in (contract_tests.__file__, mock_server.__file__, walletproof.__file__,
             data_folder(contract_tests.contract.__file__, "openapi"), data_folder(mock_server.assembly.__file__, "fixtures")):
    print(path)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(installed), capture_output=True, text=True, check=False
    )
    paths = [Path(line) for line in result.stdout.splitlines()]

    assert result.returncode == 0, result.stderr
    assert len(paths) == 5
    assert all(path.is_relative_to(installed) and path.exists() for path in paths)


def test_the_installed_command_serves(served: str, tmp_path: Path) -> None:
    """From an empty directory the command reads a balance of each provider, and leaves no file behind."""
    with httpx.Client(base_url=served) as client:
        personas = client.get("/_mock/personas").raise_for_status().json()["personas"]
        healthy = next(p for p in personas if p["name"] == "healthy")
        ada = next(p for p in personas if p["name"] == "ada.main")
        balance = client.get(f"/v1/wallets/{healthy['ids']['wallet']}/balance/real-time", headers={"x-api-key": "test"})
        wallet = client.get(
            f"/v1/customer-portal/wallets/{ada['ids']['wallet']}", headers={"authorization": f"Bearer {ada['token']}"}
        )

    assert balance.raise_for_status().json()["credit_balance"] == "538.5"
    assert wallet.raise_for_status().json()["balance"] == 5000
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the wheel, and besides it only the libraries of this environment: no checkout, no editable install.

    The libraries come by a plain path in a .pth file; .pth files within that path are not read.
    """
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    executable = folder / "bin" / "python"
    ask = [str(executable), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(ask, capture_output=True, text=True, check=True, timeout=30).stdout.strip())
    assert packages.is_relative_to(folder)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    paths = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (packages / "libraries.pth").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    return executable


def test_serves_without_a_checkout(clean_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the checkout cannot be imported at all, the wheel serves with the documents and fixtures that it carries."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "executable", str(clean_python))
    program = """
import json, sys, contract_tests, mock_server, walletproof
from importlib import metadata
files = [contract_tests.__file__, mock_server.__file__, walletproof.__file__]
print(json.dumps({"files": [*files, str(metadata.distribution("walletproof").locate_file(""))], "path": sys.path}))
"""
    result = subprocess.run([clean_python, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    found = json.loads(result.stdout)
    assert all(Path(file).is_relative_to(clean_python.parent.parent) for file in found["files"])
    assert ROOT not in [Path(entry).resolve() for entry in found["path"]]
    running = start()
    try:
        health = httpx.get(f"{running.url}/_mock/health").raise_for_status().json()
        wallet = running.personas()["flexprice/busy"]["ids"]["wallet"]  # type: ignore[index]
        url = f"{running.url}/v1/wallets/{wallet}/balance/real-time"
        balance = httpx.get(url, headers={"x-api-key": "test"}).raise_for_status().json()
    finally:
        logged = stop(running)
    assert (health["status"], health["providers"]) == ("ready", ["flexprice", "polar"])
    assert float(balance["real_time_credit_balance"]) == 938.5
    assert logged == ""
    assert list(tmp_path.iterdir()) == []
