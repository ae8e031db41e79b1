"""`walletproof prove`: the gate against every defect of the mock, and against the mock without any.

A check that cannot fail is worth nothing. Each defect must be found, by a rule that names the right thing; the mock without
defects must pass, whatever the seed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from walletproof.kills import MUST_NOTICE

if TYPE_CHECKING:
    from contract_tests.probes.probe import Found
    from contract_tests.results import Run
    from mock_server.defects.defect import Defect


@dataclass(frozen=True)
class Proof:
    """What became of one defect. `killed_by`: the rules that found it, those that should have first.

    `killed`: one of the rules that must notice it did. `requests` and `seconds` count up to the first such finding.
    """

    defect: Defect
    killed: bool
    killed_by: tuple[str, ...]
    requests: int
    seconds: float
    verdict: str


@dataclass(frozen=True)
class Control:
    """The mock without defects: `alarms` are the fingerprints of what was found all the same."""

    provider: str
    seed: int
    verdict: str
    alarms: tuple[str, ...]


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    prove = commands.add_parser(
        "prove",
        help="prove that the gate finds every defect of the mock",
        description="Run the gate against every defect that the mock can show, and against the mock without any.",
        epilog="exit codes: 0 all found and no false alarm, 1 otherwise, 2 usage or configuration error",
    )
    prove.add_argument("--defect", action="append", default=[], metavar="NAME", help="only this one; repeatable (default: all)")
    prove.add_argument("--seeds", type=int, default=1, metavar="N", help="honest runs, with seeds 1 to N (default: 1)")
    prove.add_argument("--only-honest", action="store_true", help="only the runs without defects")
    prove.add_argument("--whole", action="store_true", help="let every run go on after the defect is found")
    prove.add_argument("--markdown", type=Path, metavar="FILE", help="write the matrix to a file")
    prove.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from contract_tests.mock_process import running_mock
    from contract_tests.source import InputError
    from mock_server.defects.catalogue import CATALOGUE, find

    if options.seeds < 1:
        raise InputError("--seeds: expected at least 1")
    if options.markdown and not options.markdown.parent.is_dir():  # said now, not after two minutes
        raise InputError(f"--markdown {options.markdown}: there is no such folder")
    defects = [] if options.only_honest else [find(name) for name in options.defect] or list(CATALOGUE.values())
    providers = tuple(dict.fromkeys(defect.provider for defect in defects)) or ("flexprice", "polar")
    started = time.monotonic()
    controls: list[Control] = []
    for seed in range(1, options.seeds + 1):
        with running_mock("--seed", str(seed)) as url:
            for control in honest_runs(url, providers, seed):
                controls.append(control)
                if control.alarms or control.verdict != "pass":
                    print(
                        f"FALSE ALARM {control.provider} seed {seed}: {control.verdict} {', '.join(control.alarms)}", flush=True
                    )
    print(f"honest: {sum(c.verdict == 'pass' for c in controls)} of {len(controls)} runs pass", flush=True)
    proofs: list[Proof] = []
    if defects:
        with running_mock() as url:
            for proof in proofs_of(url, defects, whole=options.whole):
                proofs.append(proof)
                print(line(proof), flush=True)
    killed = sum(proof.killed for proof in proofs)
    if defects:
        print(f"{killed} of {len(proofs)} defects found, in {time.monotonic() - started:.0f} s")
    if options.markdown:
        try:
            options.markdown.write_text(markdown(proofs), "utf-8")
        except OSError as error:
            raise InputError(f"--markdown {options.markdown}: cannot be written: {error.strerror}") from None
    return 0 if killed == len(proofs) and all(c.verdict == "pass" for c in controls) else 1


def honest_runs(url: str, providers: Iterable[str], seed: int) -> Iterator[Control]:
    """The gate on a mock without defects."""
    for provider in providers:
        run = _gate(url, provider, f"honest-{provider}", seed)
        yield Control(provider, seed, run.verdict, tuple(cause.fingerprint for cause in run.causes))


def proofs_of(url: str, defects: Sequence[Defect], *, whole: bool) -> Iterator[Proof]:
    """The gate on each defect, each in a session of its own; not `whole`: only until it is found."""
    import httpx

    for defect in defects:
        session = f"prove-{defect.name}"
        controls = f"{url}/_mock/sessions/{session}"
        httpx.put(f"{controls}/defects", json={"defects": [defect.name]}).raise_for_status()
        rules = MUST_NOTICE[defect.name]
        until = None if whole else lambda entry, rules=rules: entry.finding.rule in rules
        run = _gate(url, defect.provider, session, 1, until)
        httpx.post(f"{controls}/reset").raise_for_status()
        yield judge(defect, run)


def judge(defect: Defect, run: Run) -> Proof:
    """Whether the run found the defect, and what found it."""
    found = [cause for cause in run.causes if cause.fails]
    right = [cause for cause in found if cause.rule in MUST_NOTICE[defect.name]]
    first = min(right or found, key=lambda cause: cause.first_request, default=None)
    rules = dict.fromkeys([cause.rule for cause in right] + [cause.rule for cause in found])
    killed = bool(right) and run.verdict == "findings"
    if first is None:
        return Proof(defect, killed, (), run.requests, run.seconds, run.verdict)
    return Proof(defect, killed, tuple(rules), first.first_request, first.first_seconds, run.verdict)


def line(proof: Proof) -> str:
    """One row for the terminal."""
    mark = "found " if proof.killed else "MISSED"
    by = ", ".join(proof.killed_by[:3]) + (" ..." if len(proof.killed_by) > 3 else "")
    return f"{mark} {proof.defect.name:34} {proof.requests:5} requests {proof.seconds:6.2f} s  {by or proof.verdict}"


def markdown(proofs: Sequence[Proof]) -> str:
    """The kill matrix as a page."""
    rows = [
        f"| `{proof.defect.name}`{' (live)' if proof.defect.live else ''} | {proof.defect.about} "
        f"| {', '.join(f'`{rule}`' for rule in proof.killed_by[:3])} | {proof.requests} | {proof.seconds:.2f} |"
        for proof in proofs
    ]
    parts = []
    for provider in dict.fromkeys(proof.defect.provider for proof in proofs):
        mine = [row for row, proof in zip(rows, proofs, strict=True) if proof.defect.provider == provider]
        parts.append(f"## {provider.capitalize()}\n\n{_HEAD}\n" + "\n".join(mine) + "\n")
    return _INTRO.format(killed=sum(proof.killed for proof in proofs), all=len(proofs)) + "\n".join(parts)


_HEAD = "| defect | what the server does | found by | requests | seconds |\n|---|---|---|---|---|"

_INTRO = """# The kill matrix

`walletproof prove` runs the gate against every defect that the mock can show.
`make prove ARGS="--markdown docs/kill-matrix.md"` writes this page. Requests and seconds are those until the first finding
by a rule that names the right thing; the page was written with {killed} of {all} defects found. `(live)` marks what the
live services are known to do.

Switch a defect on with `walletproof serve --defect NAME`, with `PUT /_mock/sessions/{{session}}/defects`, or for one request with
`Prefer: defect=NAME`.

"""


def _gate(url: str, provider: str, session: str, seed: int, until: Callable[[Found], bool] | None = None) -> Run:
    from contract_tests.checking import Wanted, subjects
    from contract_tests.gate import Gate, Options

    wanted = Wanted(url, providers=(provider,), headers=(("x-mock-session", session),), seed=seed)
    (subject,) = subjects(wanted)
    run = Gate(subject, Options(max_time=120.0, until=until)).run()
    subject.target.close()
    return run
