"""The gate: a deterministic, bounded verdict on one target.

All probes of a provider run in order; what they find is sent again to be confirmed; policy and evidence decide. The same
seed on the same target gives the same findings.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol

from contract_tests.causes import causes, fingerprint
from contract_tests.guard import Forbidden, is_safe
from contract_tests.identity import hide
from contract_tests.policy import Policy
from contract_tests.probes import catalogue
from contract_tests.probes.flexprice import lab
from contract_tests.probes.probe import Found, NotTested, Probe, Stage, Subject
from contract_tests.results import Cause, Run
from contract_tests.rules.observation import NO_JSON, Observation
from contract_tests.rules.robustness import TROUBLE_RULES
from contract_tests.target import Trouble
from contract_tests.verdict import decide, missing_evidence, rule_results, weigh

_RESENDS = 40  # a defect that shows in one of twenty answers shows again in forty with 87 %, and in most cases much sooner
_RERUNS = 4
_MOST_CONFIRMED = 60
_MOST_SILENT = 4  # requests in a row without any answer


class Tell(Protocol):
    """Is told how far a run is: what it does, operations reached of all, requests, findings, seconds left."""

    def __call__(self, what: str, *, operations: tuple[int, int], cases: int, findings: int, left: float | None) -> None: ...


def tell_nobody(what: str, *, operations: tuple[int, int], cases: int, findings: int, left: float | None) -> None:
    """For runs that nobody watches."""


@dataclass
class Options:
    """How a gate runs. `max_time` in seconds; `known` are fingerprints of a baseline; `until` a finding ends the probes.

    `engine` runs after the probes: it gets a stage, when the run started, and whom to tell what it does; what it finds goes
    into the stage, and what it returns says why that is not evidence enough (nothing if it is).
    """

    policy: Policy = field(default_factory=Policy)
    max_time: float = 300.0
    known: frozenset[str] = frozenset()
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    probes: list[Probe] | None = None
    until: Callable[[Found], bool] | None = None
    engine: Callable[[Stage, float, Callable[[str], None]], str] | None = None


class Gate:
    """One run. `tell` is told how far it is, with every request."""

    def __init__(self, subject: Subject, options: Options, tell: Tell = tell_nobody) -> None:
        self.subject = subject
        self.options = options
        self._tell = tell
        self._doing = ""
        self._arrived = False
        self._held = False
        subject.watch = self.tick
        self._started = time.monotonic()
        self.found: list[Found] = []
        self.judged: dict[str, int] = {}
        self.reasons: dict[str, str] = {}
        self._run = Run(subject.contract.name, subject.target.base, subject.guard.mode, options.policy.level, subject.seed)

    def run(self) -> Run:
        """Everything from the first request to the verdict.

        Ctrl-C ends it early, with what was seen; the wallets that it made are closed. A second Ctrl-C leaves them.
        """
        self.subject.target.deadline = self._started + self.options.max_time
        probes = self.options.probes if self.options.probes is not None else catalogue.probes(self.subject.contract.name)
        if not probes and self.options.probes is None and self.options.engine is None:
            self._why(f"there are no probes for {self.subject.contract.name}: `walletproof fuzz` tests other documents")
        confirmed: dict[str, Cause] = {}
        with interruptible(self._hold):
            try:
                confirmed = self._search(probes)
            except KeyboardInterrupt:
                self._run.interrupted = "interrupted"
                self.subject.target.hurry.clear()
                confirmed = causes(self.found, self.subject.target.base, self.subject.secrets)
            self._clean_up()
        return self._conclude(confirmed)

    def _search(self, probes: list[Probe]) -> dict[str, Cause]:
        """What was found, confirmed."""
        self._arrived = self._arrive()
        if not self._arrived:
            return {}
        for probe in probes:
            if self._run.interrupted or self._enough():
                break
            self._perform(probe)
        self._run_engine()
        return self._confirm({probe.name: probe for probe in probes})

    def _hold(self) -> None:
        """Ctrl-C: end before the next request. The one under way may be creating a wallet that has to be closed again."""
        self._held = True
        self.subject.target.hurry.set()

    def tick(self) -> None:
        """Say how far the run is; here it ends if somebody pressed Ctrl-C."""
        if self._held:
            self._held = False
            raise KeyboardInterrupt
        operations = self.subject.contract.operations.values()
        reached = sum(self.subject.coverage.reached(operation) for operation in operations)
        deadline = self.subject.target.deadline
        self._tell(
            self._doing,
            operations=(reached, len(operations)),
            cases=self.subject.target.requests,
            findings=len(self.found),
            left=None if deadline is None else max(0.0, deadline - time.monotonic()),
        )

    # ------------------------------------------------------------------ the way through

    def _arrive(self) -> bool:
        """Look whether there is anything to test, and for wallets that can be read."""
        stage = self._stage("arrival")
        find = catalogue.discover(self.subject.contract.name)
        self._doing = "arrival"
        try:
            wallets = find(stage) if find is not None else []
        except (NotTested, Trouble) as trouble:
            wallets = []
            if not self.subject.target.answered:
                self._why(str(trouble))
                return False
        problem = no_service([sent.observation for sent in stage.log])
        if problem:
            self._why(problem)
            return False
        given = self.subject.wallets
        self.subject.wallets = list(dict.fromkeys([*given, *wallets]))
        self._take(stage)
        return True

    def _enough(self) -> bool:
        until = self.options.until
        return until is not None and any(until(entry) for entry in self.found)

    def _perform(self, probe: Probe) -> Stage | None:
        missing = self.subject.missing(probe.needs)
        if missing:
            self._not_tested(probe, missing)
            return None
        stage = self._stage(probe.name)
        self._doing = f"probes: {probe.name}"
        try:
            reason = self._run_probe(probe, stage)
        finally:
            self._take(stage)  # also what an interrupted probe has found
        if reason:
            self._not_tested(probe, reason, stage)
            if _unanswered(stage):
                self._why(f"the probe {probe.name} could not be finished: {reason}")
        if self._silent():
            self._run.interrupted = "the target stopped answering"
        elif time.monotonic() > (self.subject.target.deadline or 0):
            self._run.interrupted = f"out of time (--max-time {self.options.max_time:g}s)"
        return stage

    def _run_probe(self, probe: Probe, stage: Stage) -> str:
        """Why it ended before its end; empty if it did not. A mistake of ours costs the pass, but no verdict and no clean-up."""
        try:
            probe.run(stage)
        except Forbidden as reason:
            stage.forbidden = True
            return str(reason)
        except NotTested as reason:
            return str(reason)
        except Exception as error:  # noqa: BLE001 - see above
            place = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__}: {str(error)[:200]} ({Path(place.filename).name}:{place.lineno})"
            reason_of_ours = f"the probe {probe.name} failed, which is a mistake of walletproof: {what}"
            self._why(reason_of_ours)
            return hide(reason_of_ours, self.subject.secrets)
        return ""

    def _why(self, reason: str) -> None:
        """Say why there is not enough evidence, once, and without secrets."""
        reason = hide(reason, self.subject.secrets)
        if reason not in self._run.why:
            self._run.why.append(reason)

    def _run_engine(self) -> None:
        if self.options.engine is None or self._run.interrupted or self._enough():
            return
        stage = self._stage("fuzzing")
        stage.found, stage.judged = self.found, self.judged  # so that nothing is lost if it is interrupted

        def doing(what: str) -> None:
            self._doing = what
            self.tick()

        why = self.options.engine(stage, self._started, doing)
        if why:
            self._why(why)

    def _not_tested(self, probe: Probe, reason: str, stage: Stage | None = None) -> None:
        for rule in probe.rules:
            if stage is None or rule.id not in stage.judged:
                self.reasons.setdefault(rule.id, reason)

    def _stage(self, name: str) -> Stage:
        return Stage(self.subject, name, self._started)

    def _take(self, stage: Stage) -> None:
        self.found += stage.found
        for rule, count in stage.judged.items():
            self.judged[rule] = self.judged.get(rule, 0) + count

    # ------------------------------------------------------------------ confirming

    def _confirm(self, probes: dict[str, Probe]) -> dict[str, Cause]:
        """Send again what was found: an exchange that shows it by itself, else the probe from its start."""
        result = causes(self.found, self.subject.target.base, self.subject.secrets)
        first: dict[str, Found] = {}
        for entry in self.found:
            first.setdefault(fingerprint(entry.finding), entry)
        open_causes = [key for key in result if self.options.policy.counts(result[key].level)][:_MOST_CONFIRMED]
        self._doing = "confirming"
        by_probe: dict[str, list[str]] = {}
        for key in open_causes:
            entry = first[key]
            if entry.alone and is_safe(entry.sent[-1].observation.operation) and entry.sent[-1].observation.operation.id:
                self._resend(result[key], entry)
            if result[key].confirmation != "confirmed":
                by_probe.setdefault(entry.probe, []).append(key)
        for name, keys in by_probe.items():
            self._rerun(probes.get(name), [result[key] for key in keys])
        return result

    def _resend(self, cause: Cause, entry: Found) -> None:
        sent = entry.sent[-1]
        for _ in range(_RESENDS):
            if self._late() or self._silent():
                return
            stage = self._stage(entry.probe)
            request = sent.observation.request
            answered = True
            try:
                stage.again(sent.observation.operation, request, sent.identity)
            except NotTested:
                answered = False
            seen = any(fingerprint(again.finding) == cause.fingerprint for again in stage.found)
            self._tally(cause, seen=seen, judged=answered)
            if seen:
                return

    @staticmethod
    def _tally(cause: Cause, *, seen: bool, judged: bool) -> None:
        """Count another look; one that saw nothing because no answer came is none."""
        if seen:
            cause.sent, cause.seen, cause.confirmation = cause.sent + 1, cause.seen + 1, "confirmed"
        elif judged:
            cause.sent, cause.confirmation = cause.sent + 1, "flaky"

    def _rerun(self, probe: Probe | None, open_causes: list[Cause]) -> None:
        if probe is None:
            return
        for _ in range(_RERUNS):
            if self._late() or self._silent() or all(cause.confirmation == "confirmed" for cause in open_causes):
                return
            stage = self._stage(probe.name)
            self._run_probe(probe, stage)
            again = {fingerprint(entry.finding) for entry in stage.found}
            for cause in open_causes:
                if cause.confirmation != "confirmed":
                    self._tally(cause, seen=cause.fingerprint in again, judged=cause.rule in stage.judged)
            if stage.forbidden:
                return  # no leave to write any more

    def _late(self) -> bool:
        deadline = self.subject.target.deadline
        return deadline is not None and time.monotonic() > deadline

    def _silent(self) -> bool:
        return self.subject.target.silent >= _MOST_SILENT

    # ------------------------------------------------------------------ the end

    def _clean_up(self) -> None:
        """Close the wallets that are open, and list what is left."""
        created = self.subject.created
        self._run.created = len(created)
        self._doing = "cleaning up"
        self.subject.target.deadline = time.monotonic() + 30
        self.subject.guard.mode = "all"  # what is closed here is the run's own
        stage = self._stage("clean-up")
        try:
            close_wallets(stage)
        except KeyboardInterrupt:  # somebody will not wait for that either
            self._run.interrupted = "interrupted"
        self._run.cleaned = sum(state in ("closed", "gone") for state in created.values())
        self._run.leftovers = left_behind(self.subject)

    def _conclude(self, found: dict[str, Cause]) -> Run:
        run, policy = self._run, self.options.policy
        run.requests = self.subject.target.requests
        run.seconds = round(time.monotonic() - self._started, 2)
        run.causes = list(found.values())
        run.coverage = self.subject.coverage.coverage()
        run.statuses = dict(sorted(self.subject.coverage.statuses.items()))
        run.rules = rule_results(catalogue.rules(self.subject.contract.name), run.causes, self.judged, self.reasons)
        weigh(run, policy, self.options.known, self.options.today)
        if self._run.interrupted:
            run.why.append(self._run.interrupted)
        if self._arrived:  # else it is plain why nothing was seen
            run.why += missing_evidence(run, policy, self._callable_operations())
        decide(run)
        return run

    def _callable_operations(self) -> list[str]:
        return [o.id for o in self.subject.contract.operations.values() if self._run.mode != "read" or is_safe(o)]


def close_wallets(stage: Stage) -> None:
    """Close the wallets of a run that are open, as long as the target answers."""
    created = stage.subject.created
    for wallet_id, state in list(created.items()):
        if state != "active" or stage.subject.target.silent >= _MOST_SILENT:
            continue
        try:
            answer = lab.terminate(stage, wallet_id)
        except NotTested:
            continue
        if answer.status == 404:
            created[wallet_id] = "gone"
        elif answer.status == 400 and _is_closed(stage, wallet_id):
            created[wallet_id] = "closed"


def _is_closed(stage: Stage, wallet_id: str) -> bool:
    """Whether a wallet that would not be closed is closed already: others, such as one with expired credits, are left."""
    try:
        return bool(lab.field(stage.call("getWallet", wallet_id), "wallet_status") == "closed")
    except NotTested:
        return False


def left_behind(subject: Subject) -> list[str]:
    """What a run could not take back, in words."""
    created = subject.created
    left = [f"{state}: {name}" for name, state in created.items() if state not in ("closed", "gone")]
    left += [f"unpaid invoice: {invoice}" for invoice in subject.invoices]
    closed = sum(state == "closed" for state in created.values())
    return [*left, f"{closed} closed wallets, which the API cannot delete"] if closed else left


def _unanswered(stage: Stage) -> bool:
    """Whether something was not answered, or only with a request for patience, and that is no finding by itself."""
    reported = {rule.id for rule in TROUBLE_RULES.values()} & {entry.finding.rule for entry in stage.found}
    return not reported and any(sent.observation.status in (0, 429, 503) for sent in stage.log)


@contextlib.contextmanager
def interruptible(hold: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C calls `hold`, the next one is as ever. Only where Ctrl-C would end the program, and in its main thread."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        hold()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def no_service(arrival: Sequence[Observation]) -> str:
    """Why what answered the first requests cannot be the service; empty if it can."""
    if not arrival:
        return ""
    if arrival[-1].status == 429:
        return "the target is limiting requests (429): try again with --rate"
    first = arrival[0]
    if first.status in (401, 403):
        return f"the credentials were refused: {first.status} {first.text[:120]}"
    if 300 <= first.status < 400:
        return f"the target redirects to {first.header(b'location') or 'nowhere'}: is this the base URL?"
    if first.status == 404:  # a list of everything, which is there if anything is
        return f"{first.request.path} is not there (404): is the base path right?"
    kind = first.header(b"content-type") or ""
    if "html" in kind and first.body is NO_JSON:
        return f"the target answers with a web page ({first.status} {kind}): a login page or a proxy?"
    return ""
