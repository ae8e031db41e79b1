"""What our fence and judge cost: cases per second of `walletproof fuzz`'s engine against plain `st run`.

Both get the same document, settings, seed, phases and number of examples, and the same mock, one after the other in turn.
Plain `st run` runs all of its own checks, ours none of them but our rules. Needs nothing but the checkout:

    python benchmarks/fuzz_speed.py [--rounds 3] [--examples 10] [--provider flexprice]
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from contract_tests import contract
from contract_tests.contract import Contract
from contract_tests.fuzz.brief import Brief
from contract_tests.fuzz.engine import brief_of, known_ids
from contract_tests.fuzz.plan import Plan, write
from contract_tests.fuzz.process import Process
from contract_tests.guard import Guard
from contract_tests.identity import api_key, bearer
from contract_tests.judge import Judge
from contract_tests.mock_process import running_mock
from contract_tests.probes import catalogue
from contract_tests.probes.probe import Stage, Subject
from contract_tests.source import data_folder
from contract_tests.target import Target

HOOKS = """
import schemathesis
from hypothesis import strategies as st
schemathesis.openapi.format("uuid4", st.uuids(version=4).map(str))
"""


@dataclass(frozen=True)
class Measured:
    """One run: what Schemathesis says of itself, and the time of the whole process."""

    cases: int
    seconds: float
    wall: float

    @property
    def rate(self) -> float:
        """Cases per second, starting not counted."""
        return self.cases / self.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--examples", type=int, default=10)
    parser.add_argument("--provider", choices=("flexprice", "polar"), default="flexprice")
    options = parser.parse_args()
    ratios = []
    for number in range(options.rounds):
        turns = [ours, stock] if number % 2 else [stock, ours]
        found = {}
        for turn in turns:
            with running_mock() as url, tempfile.TemporaryDirectory() as folder:
                found[turn] = turn(subject(url, options.provider), Path(folder), options.examples)
        ratios.append(found[ours].rate / found[stock].rate)
        for turn in (stock, ours):
            one = found[turn]
            print(
                f"{turn.__name__:6} {one.cases:5} cases in {one.seconds:6.2f} s = {one.rate:6.1f}/s, with start {one.wall:6.2f} s"
            )
        print(f"ratio  {ratios[-1]:.2f}")
    print(f"median ratio ours/stock: {statistics.median(ratios):.2f}")


def subject(url: str, provider: str) -> Subject:
    """What is fuzzed: the mock, as one of its personas."""
    openapi = data_folder(contract.__file__, "openapi")
    loaded = Contract.load(provider, openapi / f"{provider}.yaml", openapi / f"{provider}.overlay.yaml")
    personas = httpx.get(f"{url}/_mock/personas").json()["personas"]
    token = next(entry["token"] for entry in personas if entry["provider"] == "polar" and entry["name"].endswith(".main"))
    main_identity = api_key("main", "test") if provider == "flexprice" else bearer("main", token)
    result = Subject(
        loaded, Target(url, loaded.base_path), Guard(), Judge(loaded), {"main": main_identity}, 1, f"{time.time_ns() % 10**8:08d}"
    )
    find = catalogue.discover(provider)
    result.wallets = find(Stage(result, "arrival", time.monotonic())) if find else []
    return result


def planned(about: Subject, folder: Path, examples: int) -> tuple[list[str], Brief]:
    """The arguments that both get, and what only ours is told."""
    known = known_ids(Stage(about, "fuzzing", time.monotonic()))
    plan = Plan(about.target.base + about.contract.base_path, "own", about.seed, about.run_id, max_examples=examples)
    arguments = write(folder, about.contract, plan, known)
    return arguments, brief_of(about, known, None)


def ours(about: Subject, folder: Path, examples: int) -> Measured:
    """The engine's process."""
    arguments, brief = planned(about, folder, examples)
    started = time.monotonic()
    process = Process(folder, arguments, brief)
    while not process.ended:
        for _ in process.lines(1.0):
            pass
    return measured(process.last_words(), time.monotonic() - started)


def stock(about: Subject, folder: Path, examples: int) -> Measured:
    """`st run`, with credentials on its command line: these are the mock's."""
    arguments, _ = planned(about, folder, examples)
    chosen = arguments.index("--checks")
    del arguments[chosen : chosen + 2]
    (folder / "hooks.py").write_text(HOOKS)
    settings = folder / "settings.toml"
    settings.write_text(f'hooks = "{folder / "hooks.py"}"\n' + settings.read_text())
    for name, value in about.identities["main"].headers:
        arguments += ["--header", f"{name}: {value}"]
    command = [sys.executable, "-m", "schemathesis.cli", *arguments]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={**os.environ, "NO_COLOR": "1"}, check=False)
    return measured(done.stdout, time.monotonic() - started)


def measured(text: str, wall: float) -> Measured:
    """What Schemathesis printed at its end."""
    cases = re.search(r"(\d+) generated", text)
    seconds = re.search(r"in ([\d.]+)s =", text)
    assert cases is not None, text[-2000:]
    assert seconds is not None, text[-2000:]
    return Measured(int(cases[1]), float(seconds[1]), wall)


if __name__ == "__main__":
    main()
