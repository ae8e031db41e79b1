"""Dockerfile, compose.yaml and deploy/haproxy.cfg without a container engine: the commands that they hold are run as they stand.

What stays a belief here is what an engine does with them; docs/deployment.md says so.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import postgres
import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
GUIDE = (ROOT / "docs" / "deployment.md").read_text("utf-8")
HAPROXY = (ROOT / "deploy" / "haproxy.cfg").read_text("utf-8")
TOKEN = "t0ken-of-the-controls"
WALLET = "/v1/wallets/wallet_01KSF5FR5GR5VX5PHQ9E1Y7PCJ"
PYTHON = "/opt/walletproof/bin/python"


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of the Dockerfile by stage: name and argument, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, text.splitlines()):
        name, _, argument = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append((name, argument))
    return found


BUILD, IMAGE = stages()


def only(name: str) -> str:
    """The argument of an instruction that the image has once."""
    (argument,) = [argument for instruction, argument in IMAGE if instruction == name]
    return argument


PORT = only("EXPOSE")
HEALTH: list[str] = json.loads(only("HEALTHCHECK").partition(" CMD ")[2])
COMMAND: list[str] = [*json.loads(only("ENTRYPOINT")), *json.loads(only("CMD"))]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Dockerfile's last step installs, from what it copies; what that depends on is this environment's."""
    context, target = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("installed")
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    for name, argument in BUILD:
        if name == "COPY":
            *sources, place = argument.split()
            for source in sources:
                assert source in sent, f".dockerignore keeps {source} from the Dockerfile"
                to = context / place / Path(source).name if place.endswith("/") else context / place
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    to.parent.mkdir(exist_ok=True)
                    shutil.copy(ROOT / source, to)
    *_, (name, step) = BUILD
    assert name == "RUN"
    step = step.replace(PYTHON, shlex.quote(sys.executable), 1)
    subprocess.run(["sh", "-c", f"{step} --target {target}"], cwd=context, check=True, capture_output=True, timeout=60)
    return target


@contextmanager
def container(installed: Path, **variables: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The image's command in an environment of its own, on a free port: where it answers, and that environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {
        "PATH": f"{installed / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(installed),
        "PYTHONDONTWRITEBYTECODE": "1",
        **variables,
    }
    command = [port if word == PORT else word for word in COMMAND]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        try:
            banner = next(iter(process.stdout), "")
            log.seek(0)
            assert "Walletproof mock on " in banner, log.read()
            for line in process.stdout:
                if line.startswith("Note:"):
                    break
            shown = Path(f"/proc/{process.pid}/cmdline")
            assert not shown.exists() or not any(secret in shown.read_text() for secret in (TOKEN, postgres.PASSWORD))
            yield f"http://127.0.0.1:{port}", environment
        finally:
            process.terminate()
            process.stdout.read()
            process.stdout.close()
            code = process.wait(timeout=10)
        assert code in (0, -signal.SIGTERM)
        log.seek(0)
        assert log.read() == ""
        assert list(Path(folder).iterdir()) == []


def healthy(url: str, environment: dict[str, str]) -> bool:
    """What the image's health check says."""
    command = [word.replace(PORT, str(urlsplit(url).port)) for word in HEALTH]
    return subprocess.run(command, env=environment, capture_output=True, timeout=10, check=False).returncode == 0


def test_the_image_is_installed_as_a_checkout_is() -> None:
    """Exact versions with hashes, and then the package with what is there: the Makefile's commands, but for the place."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    steps = [argument.replace(" --no-cache-dir", "") for name, argument in BUILD if name == "RUN" and " pip " in argument]
    used = [step.replace(PYTHON, "@$(BIN)/python") for step in steps]
    known = [line.strip().replace(" -e .", " .") for line in makefile.splitlines() if "$(BIN)/python -m pip install" in line]
    assert used == known[:2]
    assert "--require-hashes -r requirements/run.txt" in used[0]


def test_the_image_is_small_and_not_root() -> None:
    """Of the build it takes only what was installed; who runs in it is a number other than 0; no secret is built in."""
    assert [argument for name, argument in IMAGE if name == "COPY"] == ["--from=build /opt/walletproof /opt/walletproof"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", only("USER"))
    assert PORT in COMMAND
    assert PORT in HEALTH[-1]
    assert not re.search("TOKEN|PASSWORD|SECRET|^ARG", DOCKERFILE, re.MULTILINE)


def test_the_image_serves(installed: Path) -> None:
    """Its command answers, controls to those who have the token; its health check passes while it does, and not after."""
    with container(installed, WALLETPROOF_CONTROL_TOKEN=TOKEN) as (url, environment):
        codes = [httpx.get(f"{url}/_mock/personas", headers={"x-control-token": token}).status_code for token in (TOKEN, "no")]
        assert codes == [200, 401]
        assert healthy(url, environment)
        assert healthy(url, {**environment, "http_proxy": "http://127.0.0.1:9"})
    assert not healthy(url, environment)


def test_no_secret_has_a_default() -> None:
    """Every secret of compose.yaml must be given, and is given to containers by name only."""
    text = (ROOT / "compose.yaml").read_text("utf-8")
    taken = re.findall(r"\$\{(\w+)(:\?|:-|\})", text)
    assert {name for name, how in taken if how == ":?"} == {"WALLETPROOF_CONTROL_TOKEN", "WALLETPROOF_DB_PASSWORD"}
    assert [name for name, how in taken if how != ":?"] == ["WALLETPROOF_PUBLISH"]
    assert not any("command" in service or "entrypoint" in service for service in COMPOSE["services"].values())


def test_compose_waits_for_what_can_be_healthy() -> None:
    """Whoever is waited for has a health check: its own, or that of our image."""
    services: dict[str, Any] = COMPOSE["services"]
    for service in services.values():
        for name, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in services[name] or services[name].get("build") == "."


def test_the_proxy_finds_the_replicas() -> None:
    """Names, ports and paths in its file are those of compose.yaml and of the image, and there is a place for each replica."""
    mock, proxy = COMPOSE["services"]["mock"], COMPOSE["services"]["proxy"]
    mounted = [volume.split(":")[0] for volume in proxy["volumes"]]
    template = re.search(r"server-template mock 1-(\d+) (\w+):(\d+) ", HAPROXY)
    assert mounted == ["./deploy/haproxy.cfg"]
    assert template
    assert int(template[1]) >= mock["deploy"]["replicas"] >= 2
    assert (template[2], template[3]) == ("mock", PORT)
    assert [port.rpartition(":")[2] for port in proxy["ports"]] == re.findall(r"bind :(\d+)", HAPROXY)
    path = re.search(r"option httpchk GET (\S+)", HAPROXY)
    assert path
    assert f"'{path[1]}'" in HEALTH[-1]
    assert "http-check expect rstatus ^(200|503)$" in HAPROXY, "a mock without its database still answers"
    assert proxy["ports"][0].startswith("${WALLETPROOF_PUBLISH:-127.0.0.1:"), "published to this machine only, unless told"


def test_replicas_share_one_truth(installed: Path) -> None:
    """The mock's service twice, in its own environment, on a real PostgreSQL: what one was told, the other knows at once."""
    database = urlsplit(postgres.place())
    given = {"WALLETPROOF_CONTROL_TOKEN": TOKEN, "WALLETPROOF_DB_PASSWORD": postgres.PASSWORD}
    variables = {
        name: re.sub(r"\$\{(\w+)[^}]*\}", lambda match: given[match[1]], value)
        for name, value in COMPOSE["services"]["mock"]["environment"].items()
    }
    log = urlsplit(variables["WALLETPROOF_LOG"])
    assert log.password is None, "the password goes by PGPASSWORD, which no process list and no banner shows"
    here = log._replace(netloc=f"{database.username}@{database.hostname}:{database.port}", path=database.path)
    variables["WALLETPROOF_LOG"] = here.geturl()
    check = COMPOSE["services"]["database"]["healthcheck"]["test"]
    assert (check[:2], log.username, log.hostname) == (["CMD", "pg_isready"], check[check.index("-U") + 1], "database")
    ready = [str(postgres._binaries() / check[1]), *check[2:]]
    asked = subprocess.run(ready, env={"PGPORT": str(database.port)}, check=False, timeout=10)
    assert asked.returncode == 0

    with container(installed, **variables) as (one, _), container(installed, **variables) as (two, environment):
        for number in range(10):
            writer, reader = (one, two) if number % 2 else (two, one)
            httpx.put(writer + WALLET, json={"name": f"Name {number}"}, headers={"x-api-key": "t"}).raise_for_status()
            assert httpx.get(reader + WALLET, headers={"x-api-key": "t"}).json()["name"] == f"Name {number}"
        assert healthy(two, environment)


def test_backup_of_a_running_mock(installed: Path, tmp_path: Path) -> None:
    """The guide's line copies all of a SQLite log that is in use: a mock on the copy has what was said before, not after."""
    log, copy = tmp_path / "log", tmp_path / "copy"
    line = next(line for line in GUIDE.splitlines() if line.startswith("python -c "))
    python, *arguments = shlex.split(
        line.replace("/var/lib/walletproof/log", str(log)).replace("/var/backups/walletproof", str(copy))
    )
    with container(installed, WALLETPROOF_LOG=f"sqlite:{log}") as (url, _):
        httpx.put(url + WALLET, json={"name": "Before"}, headers={"x-api-key": "t"}).raise_for_status()
        subprocess.run([sys.executable, *arguments], check=True, timeout=10)
        httpx.put(url + WALLET, json={"name": "After"}, headers={"x-api-key": "t"}).raise_for_status()
    assert python == "python"
    with container(installed, WALLETPROOF_LOG=f"sqlite:{copy}") as (url, _):
        assert httpx.get(url + WALLET, headers={"x-api-key": "t"}).json()["name"] == "Before"


def test_the_guide_speaks_of_what_there_is(installed: Path) -> None:
    """Options and variables of the guide are the command's own, or compose.yaml's."""
    sources = [ROOT / "compose.yaml", *(installed / "walletproof").glob("*.py")]
    known = "".join(source.read_text("utf-8") for source in sources)
    assert {name for name in re.findall(r"WALLETPROOF_[A-Z_]+", GUIDE) if name not in known} == set()
    served = [line for line in GUIDE.splitlines() if re.match(r"walletproof serve|  serve ", line)]
    assert len(served) == 3
    options = {option for line in served for option in re.findall(r"--[a-z-]+", line)}
    assert {option for option in options if f'"{option}"' not in known} == set()
