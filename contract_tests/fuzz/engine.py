"""The fuzz engine as the gate uses it: starts the fuzzing process, takes in what it tells, and stops it in time.

Findings go into the gate's list the moment they are told, so that neither Ctrl-C nor the end of the time loses any.
"""

from __future__ import annotations

import shutil
import ssl
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contract_tests.contract import Operation
from contract_tests.fuzz.brief import Brief
from contract_tests.fuzz.child import PHASES
from contract_tests.fuzz.intake import Intake
from contract_tests.fuzz.plan import Known, Plan, write
from contract_tests.fuzz.process import Process
from contract_tests.guard import Forbidden, is_safe
from contract_tests.identity import hide
from contract_tests.probes.flexprice import lab
from contract_tests.probes.probe import NotTested, Stage, Subject
from contract_tests.target import Trouble

Engine = Callable[[Stage, float, Callable[[str], None]], str]
"""Takes a stage, the run's start (time.monotonic) and whom to tell what is being done; says why the evidence does not do."""

_OWN_WALLETS = 3
_LEAST = 3.0  # seconds worth starting for
_FEW = 10  # requests
_STARTING = 2.0  # seconds that the process needs to start
_UNKNOWN = {"flexprice": lab.UNKNOWN_WALLET, "polar": "00000000-0000-4000-8000-000000000000"}


@dataclass(frozen=True)
class Fuzzing:
    """An engine. With `max_examples` per operation and phase the same seed sends the same; else the time decides."""

    max_examples: int | None = None
    workers: int = 1
    rate: float | None = None
    insecure: bool = False
    phases: tuple[str, ...] = PHASES

    def __call__(self, stage: Stage, started: float, doing: Callable[[str], None]) -> str:
        subject = stage.subject
        if not stage.contract.operations:
            return "the document has no operation to fuzz"
        until = _until(subject)
        doing("fuzzing: preparing")
        known = known_ids(stage)
        left = until - time.monotonic()
        if left < _LEAST:
            return "no time was left for fuzzing (--max-time)"
        plan = Plan(
            base_url=subject.target.base + subject.contract.base_path,
            mode=subject.guard.mode,
            seed=subject.seed,
            run_id=subject.run_id,
            max_examples=self.max_examples,
            max_time=None if self.max_examples is not None else max(1, int(left - _STARTING)),
            workers=self.workers,
            phases=self.phases,
        )
        folder = Path(tempfile.mkdtemp(prefix="walletproof-"))
        try:
            arguments = write(folder, subject.contract, plan, known)
            brief = brief_of(subject, known, self.rate, insecure=self.insecure)
            intake = Intake(stage, started, doing)
            doing("fuzzing: starting")
            return self._run(Process(folder, arguments, brief), intake, subject, until)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _run(self, process: Process, intake: Intake, subject: Subject, until: float) -> str:
        cut = False
        try:
            while not process.ended and not cut:
                for line in process.lines(0.2):
                    intake.take(line)
                subject.watch()
                cut = not process.ended and time.monotonic() > until
        finally:
            for line in process.stop():
                intake.take(line)
        return hide(self._why(subject, intake, process, cut), subject.secrets)

    def _why(self, subject: Subject, intake: Intake, process: Process, cut: bool) -> str:
        """Why what the process did is not enough; empty if it is."""
        if intake.code not in (0, 1) and not (cut and intake.code is None):
            return f"the fuzzer failed (exit code {process.code if intake.code is None else intake.code}): {process.last_words()}"
        if intake.unreachable:
            return "the target stopped answering while it was fuzzed"
        if intake.busy:
            return "the target answered 429 Too Many Requests to much of what the fuzzer sent; try again with --rate"
        if intake.refused:
            return "the credentials were refused (401) for most of what the fuzzer sent"
        if intake.unjudged:
            return f"{intake.unjudged} answers could not be judged: {'; '.join(intake.notes[:1])}"
        if cut and self.max_examples is not None:
            return f"out of time (--max-time) before {self.max_examples} examples of everything were sent"
        missed = [o.id for o in subject.contract.operations.values() if self._is_missed(subject, intake, o)]
        if missed:
            notes = f" ({'; '.join(intake.notes[:3])})" if intake.notes else ""
            return f"the fuzzer sent next to nothing to {', '.join(missed)}{notes}"
        return ""

    def _is_missed(self, subject: Subject, intake: Intake, operation: Operation) -> bool:
        """Whether an operation that the mode may call was left out, or nearly, as Schemathesis met an error of its own."""
        if subject.guard.mode == "read" and not is_safe(operation):
            return False
        sent = intake.cases[operation.id] + intake.withheld[operation.id]
        label = f"{operation.method} {operation.key[0]}: "
        return not sent or (sent < _FEW and any(note.startswith(label) for note in intake.notes))


def fuzzing(
    max_examples: int | None = None,
    *,
    workers: int = 1,
    rate: float | None = None,
    insecure: bool = False,
    phases: tuple[str, ...] = PHASES,
) -> Engine:
    """An engine for `gate.Options.engine`."""
    return Fuzzing(max_examples, workers, rate, insecure, phases)


def _until(subject: Subject) -> float:
    """When to stop, so that there is time to confirm what was found."""
    now = time.monotonic()
    left = (subject.target.deadline or now + 300.0) - now
    return now + left - min(10.0, 0.15 * left)


def known_ids(stage: Stage) -> Known:
    """Ids to mix in: wallets that are known, customers of theirs, and own wallets, made for this."""
    subject = stage.subject
    known = Known(wallets=list(subject.wallets), customers=list(subject.customers))
    if subject.contract.name != "flexprice":
        return known
    try:
        for wallet_id in subject.wallets[:3]:
            customer = lab.field(stage.call("getWallet", wallet_id), "customer_id")
            if isinstance(customer, str) and customer not in known.customers:
                known.customers.append(customer)
        if subject.guard.mode != "read":
            made = [lab.create(stage) for _ in range(_OWN_WALLETS)]
            for wallet in made[:-1]:
                lab.top_up(stage, wallet.id, "5")
            known.own = [wallet.id for wallet in made[:-1]]
            known.closing = [made[-1].id]
            known.customers.append(made[0].customer)
    except (NotTested, Forbidden, Trouble):
        pass  # then there are fewer
    if subject.guard.mode == "all":
        known.own += subject.wallets
    known.wallets = list(dict.fromkeys([*known.wallets, *known.own, *known.closing]))
    return known


def brief_of(subject: Subject, known: Known, rate: float | None, *, insecure: bool = False) -> Brief:
    """What the process has to know. It trusts the certificates that the gate's own requests trust."""
    guard = subject.guard
    trusted = ssl.get_default_verify_paths()
    interval = subject.target._interval  # noqa: SLF001 - a rate that the user set must hold here too
    own = {name for name in subject.created if guard.owns(name)} | set(subject.customers)
    return Brief(
        name=subject.contract.name,
        document=subject.contract.document,
        merged=subject.contract.merged,
        base=subject.target.base,
        mode=guard.mode,
        timeout=subject.target.timeout,
        max_bytes=subject.target.max_bytes,
        writes=max(0, guard.max_writes - guard.writes),
        amount=str(max(0, guard.max_amount - guard.amount)),
        run_id=subject.run_id,
        rate=rate or (1 / interval if interval else None),
        verify=False if insecure else trusted.cafile or trusted.capath or True,
        unknown=_UNKNOWN.get(subject.contract.name, ""),
        headers=list(subject.identities["main"].headers),
        more_headers=list(subject.target.headers),
        secrets=list(subject.secrets),
        own=sorted(own),
        keep=known.own,
        foreign=sorted({*subject.wallets, *known.customers} - own),
    )
