"""Planted defects: what the gate finds of them, and what stock Schemathesis finds on the same mock in the same run.

Stock gets all its checks, the document with our overlay, the ids of all fixture wallets, one credential, a fixed seed, and
more requests than the gate sends. What it complains of on the honest mock (rules that OpenAPI cannot state) is taken off: a
defect counts as found if a new kind of failure appears. Needs nothing but the checkout:

    python benchmarks/against_stock.py [--every 12] [--examples 25]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from contract_tests import source
from contract_tests.checking import Wanted, subjects
from contract_tests.contract import Contract
from contract_tests.mock_process import running_mock
from contract_tests.source import data_folder
from mock_server.defects.catalogue import CATALOGUE
from mock_server.defects.defect import Defect
from walletproof.prove import proofs_of

KEY = "any-key-will-do"  # the only one that the mock takes here, as stock's check of authentication expects of a service

HOOKS = """
import json, os, time
import schemathesis
from hypothesis import strategies as st
from schemathesis import cli
schemathesis.openapi.format("uuid4", st.uuids(version=4).map(str))
started, calls, kinds = time.monotonic(), 0, {}

@schemathesis.hook
def after_call(ctx, case, response):
    global calls
    calls += 1

@cli.handler()
class Note(cli.EventHandler):
    def __init__(self, *a, **k): pass
    def handle_event(self, ctx, event):
        recorder = getattr(event, "recorder", None)
        for checks in (recorder.checks.values() if recorder else ()):
            for check in checks:
                if check.failure_info is not None:
                    kind = f"{type(check.failure_info.failure).__name__} {recorder.label}"
                    kinds.setdefault(kind, (calls, time.monotonic() - started))
        with open(os.environ["NOTES"], "w") as file:
            json.dump({"calls": calls, "seconds": time.monotonic() - started, "kinds": kinds}, file)
"""

SETTINGS = """
hooks = {hooks}
headers = {headers}
continue-on-failure = true
[generation]
database = "none"
with-security-parameters = false
[cache]
enabled = false
[dictionaries.wallets]
values = {wallets}
[parameters]
"path.id" = {{ dictionary = "wallets", probability = 0.6 }}
"""


@dataclass(frozen=True)
class Stock:
    """What a run of stock noted: kinds of failure with requests and seconds until then."""

    calls: int
    seconds: float
    kinds: dict[str, tuple[int, float]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=12, help="every so many defects of the catalogue")
    parser.add_argument("--examples", type=int, default=25, help="generated requests per operation for stock")
    options = parser.parse_args()
    chosen = list(CATALOGUE.values())[:: options.every]
    found: dict[str, list[tuple[int, float]]] = {"stock": [], "gate": []}
    with running_mock("--api-key", KEY) as url, tempfile.TemporaryDirectory() as folder:
        honest = {name: stock(url, Path(folder), name, "honest", options.examples) for name in ("flexprice", "polar")}
        for name, run in honest.items():
            print(f"stock on the honest mock, {name}: {run.calls} requests, {run.seconds:.1f} s, {len(run.kinds)} complaints")
        for defect in chosen:
            (proof,) = proofs_of(url, [defect], whole=False)
            if proof.killed:
                found["gate"].append((proof.requests, proof.seconds))
            first = by_stock(url, Path(folder), defect, honest[defect.provider], options.examples)
            if first is not None:
                found["stock"].append(first)
            ours = f"{proof.requests:5} {proof.seconds:6.2f} s" if proof.killed else "missed"
            theirs = f"{first[0]:5} {first[1]:6.2f} s" if first else "missed"
            print(f"{defect.name:36} gate {ours:16} stock {theirs}", flush=True)
    for who, entries in found.items():
        requests = statistics.median(r for r, _ in entries) if entries else 0
        seconds = statistics.median(s for _, s in entries) if entries else 0
        print(f"{who}: {len(entries)} of {len(chosen)} found; first find after {requests:g} requests, {seconds:.2f} s (medians)")


def by_stock(url: str, folder: Path, defect: Defect, honest: Stock, examples: int) -> tuple[int, float] | None:
    """Requests and seconds until stock complained of something that it does not complain of on the honest mock."""
    session = f"stock-{defect.name}"
    httpx.put(f"{url}/_mock/sessions/{session}/defects", json={"defects": [defect.name]}).raise_for_status()
    run = stock(url, folder, defect.provider, session, examples)
    httpx.post(f"{url}/_mock/sessions/{session}/reset").raise_for_status()
    return min((when for kind, when in run.kinds.items() if kind not in honest.kinds), default=None)


def stock(url: str, folder: Path, provider: str, session: str, examples: int) -> Stock:
    """One run of `st run`."""
    (subject,) = subjects(Wanted(url, providers=(provider,)))
    shipped = data_folder(source.__file__, "openapi")
    contract = Contract.load(provider, shipped / f"{provider}.yaml", shipped / f"{provider}.overlay.yaml")
    document, hooks, notes = folder / "contract.json", folder / "hooks.py", folder / "notes.json"
    document.write_text(json.dumps(contract.merged))
    hooks.write_text(HOOKS)
    notes.unlink(missing_ok=True)
    headers = {**dict(subject.identities["main"].headers), "x-mock-session": session}
    settings = folder / "schemathesis.toml"
    toml = "{ " + ", ".join(f'"{name}" = "{value}"' for name, value in headers.items()) + " }"
    settings.write_text(SETTINGS.format(hooks=json.dumps(str(hooks)), headers=toml, wallets=json.dumps(subject.wallets)))
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(settings), "run", str(document)]
    command += ["-u", url + contract.base_path, "--seed", "1", "-n", str(examples)]
    environment = {"PATH": "/usr/bin:/bin", "NOTES": str(notes), "HOME": str(folder)}
    started = time.monotonic()
    subprocess.run(command, capture_output=True, cwd=folder, env=environment, check=False, timeout=180)
    data = json.loads(notes.read_text())
    return Stock(data["calls"], time.monotonic() - started, {kind: tuple(when) for kind, when in data["kinds"].items()})


if __name__ == "__main__":
    main()
