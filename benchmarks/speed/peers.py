"""The other mock servers, each at its own best settings that were found; fetched with npm into a cache outside the checkout.

All three load `openapi/flexprice.yaml` as it is and make up an answer from its schema. Prism and Mockoon are faster with an
answer that somebody wrote, so they are measured with one as well: the one a wallet of ours has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from benchmarks.speed.processes import BenchError
from benchmarks.speed.servers import ROOT, SERVER_CORE, Server

PACKAGES = {"@stoplight/prism-cli": "5.14.2", "@mockoon/cli": "9.9.0", "specmatic": "2.55.1"}
DOCUMENT = ROOT / "openapi/flexprice.yaml"
BALANCE = "/wallets/{id}/balance/real-time"
# What Node's own guide and express ask for where speed matters.
PRODUCTION = {"NODE_ENV": "production"}


def fetched() -> Path:
    """The folder with the packages, which are fetched if they are not there."""
    for tool in ("node", "npm", "java"):
        if shutil.which(tool) is None:
            raise BenchError(f"bench-peers needs {tool} (Debian: apt-get install nodejs npm default-jre-headless)")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "walletproof-peers"
    wanted = {"private": True, "dependencies": PACKAGES}
    modules, done = cache / "node_modules", cache / "package.json"
    if not (modules.is_dir() and done.is_file() and json.loads(done.read_text("utf-8")) == wanted):
        print(f"fetching {', '.join(PACKAGES)} into {cache} ...", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        done.write_text(json.dumps(wanted), "utf-8")
        # None of them needs the scripts that packages may run when they are installed.
        npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
        result = subprocess.run(npm, cwd=cache, capture_output=True, text=True, check=False)
        if result.returncode:
            done.unlink()
            raise BenchError(f"npm could not fetch the peers:\n{result.stderr.strip()}")
    return modules


def peers(modules: Path, answer: dict[str, Any], folder: Path) -> list[Server]:
    """The servers; those that are given `answer` get it in a file in `folder`."""
    with_example, mockoon_file = folder / "with-example.yaml", folder / "mockoon.json"
    with_example.write_text(yaml.safe_dump(_with_example(answer), sort_keys=False), "utf-8")
    mockoon_file.write_text(json.dumps(_mockoon_environment(answer)), "utf-8")
    return [
        _prism(modules, "Prism", DOCUMENT),
        _prism(modules, "Prism, given an example", with_example),
        _mockoon(modules, "Mockoon", DOCUMENT),
        _mockoon(modules, "Mockoon, given a body", mockoon_file),
        _specmatic(modules),
    ]


def _prism(modules: Path, name: str, document: Path) -> Server:
    def command(port: int) -> list[str]:
        # One process: the second one that production has by default only writes logs, and would share the core.
        line = [str(modules / ".bin/prism"), "mock", "--host", "127.0.0.1", "--port", str(port)]
        return [*line, "--multiprocess=false", "--verboseLevel", "silent", str(document)]

    return Server(name, command, prefix="/", environment=PRODUCTION, warm_up=5)


def _mockoon(modules: Path, name: str, file: Path) -> Server:
    def command(port: int) -> list[str]:
        line = [str(modules / ".bin/mockoon-cli"), "start", "--data", str(file), "--hostname", "127.0.0.1", "--port", str(port)]
        # It has no option for a quieter log; what it writes to stdout goes to /dev/null here, and to no file.
        return [*line, "--disable-log-to-file", "--disable-admin-api", "--disable-external-refs"]

    return Server(name, command, environment=PRODUCTION, warm_up=5)


def _specmatic(modules: Path) -> Server:
    def command(port: int) -> list[str]:
        # The jar itself: the command of the npm package is a node process that starts it and waits.
        line = ["java", "-jar", str(modules / "specmatic/specmatic.jar"), "mock", "--host", "127.0.0.1", "--port", str(port)]
        return [*line, "--noConsoleLog", "--hot-reload=disabled", str(DOCUMENT)]

    return Server("Specmatic", command, prefix="/", cores=SERVER_CORE, warm_up=10)


def _with_example(answer: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text("utf-8"))
    document["paths"][BALANCE]["get"]["responses"]["200"]["content"]["application/json"]["example"] = answer
    return document


def _mockoon_environment(answer: dict[str, Any]) -> dict[str, Any]:
    """One route in Mockoon's own format, its templates off; Mockoon fills in whatever is left out."""
    body = json.dumps(answer, separators=(",", ":"))
    response = {"uuid": "response", "body": body, "statusCode": 200, "default": True, "disableTemplating": True}
    endpoint = "wallets/:id/balance/real-time"
    route = {"uuid": "route", "type": "http", "method": "get", "endpoint": endpoint, "responses": [response]}
    return {
        "uuid": "environment",
        "lastMigration": 33,
        "name": "balance",
        "endpointPrefix": "v1",
        "routes": [route],
        "rootChildren": [{"type": "route", "uuid": "route"}],
        "headers": [{"key": "Content-Type", "value": "application/json; charset=utf-8"}],
    }
