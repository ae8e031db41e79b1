"""A comparison: both services take the same steps side by side, and what differs is confirmed by taking them all again."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from contract_tests.compare import flexprice, polar
from contract_tests.compare.answers import Aligned
from contract_tests.compare.lawful import Lawful
from contract_tests.compare.outcome import Comparison, Fidelity, NotComparable
from contract_tests.compare.passage import Passage, Stopped, Tally
from contract_tests.compare.side import Side
from contract_tests.compare.steps import Situations, Step, Symbol
from contract_tests.contract import Operation
from contract_tests.exchange import Exchange, Request
from contract_tests.gate import Tell, close_wallets, interruptible, left_behind, no_service, tell_nobody
from contract_tests.guard import is_loopback
from contract_tests.identity import Identity, hide
from contract_tests.probes import catalogue
from contract_tests.probes.probe import NotTested, Stage, Subject
from contract_tests.rules.observation import Observation
from contract_tests.source import InputError
from contract_tests.target import Trouble
from contract_tests.traffic.personal import Pseudonyms

SEQUENCES: dict[str, Callable[[Situations], Iterator[Step]]] = {"flexprice": flexprice.sequence, "polar": polar.sequence}

_MOST_KNOWN = 4


@dataclass(frozen=True)
class Options:
    """How to compare. `pairs` are wallets that hold the same on both sides, ids of A and of B; `max_time` is in seconds.

    `sequence` makes the steps, instead of the provider's own.
    """

    lawful: Lawful = field(default_factory=Lawful)
    at_random: int = 100
    max_time: float = 300.0
    pairs: tuple[tuple[str, str], ...] = ()
    sequence: Callable[[Situations], Iterator[Step]] | None = None


class Comparing:
    """One comparison of one provider. `tell` is told how far it is, with every request."""

    def __init__(self, a: Subject, b: Subject, options: Options, tell: Tell = tell_nobody) -> None:
        if a.contract.name not in SEQUENCES:
            raise InputError(f"compare has no sequence for {a.contract.name}; it has for {', '.join(SEQUENCES)}")
        self.options = options
        self._tell = tell
        self._doing = "arrival"
        self._held = False
        self._started = time.monotonic()
        self.sides = (Side("A", 0, a, self._started), Side("B", 1, b, self._started))
        for subject in (a, b):
            subject.watch = self._tick
            subject.target.deadline = self._started + options.max_time
        self.result = Comparison(a.contract.name, a.target.base, b.target.base, a.guard.mode, a.seed)
        self.of_mock = False  # whether B is a mock of ours
        self._shared: list[str] = []  # ids of wallets that both sides have
        self._pairs: list[tuple[Symbol, str, str, bool]] = []
        self._first = Tally()
        self._people = Pseudonyms(a.seed)

    def run(self) -> Comparison:
        """Everything from the first request to the verdict.

        Ctrl-C ends it early, with what was seen; what was made is closed. A second Ctrl-C leaves it.
        """
        passes: list[Tally] = []
        with interruptible(self._hold):
            try:
                self._arrive()
                for number in (1, 2):
                    self._doing = "comparing" if number == 1 else "confirming"
                    passes.append(Tally())
                    self._through(passes[-1])
                    self._clean_up()
                    if not passes[0].differences:
                        break
            except Stopped as reason:
                self.result.interrupted = str(reason)
            except Exception as error:  # noqa: BLE001 - a mistake of ours costs the pass, but neither verdict nor clean-up
                place_of_it = traceback.extract_tb(error.__traceback__)[-1]
                what = f"{type(error).__name__}: {str(error)[:200]} ({Path(place_of_it.filename).name}:{place_of_it.lineno})"
                self.result.interrupted = f"the comparison failed, which is a mistake of walletproof: {what}"
            except KeyboardInterrupt:
                self.result.interrupted = "interrupted"
            self._held = False
            for side in self.sides:
                side.subject.target.hurry.clear()
            try:
                self._clean_up()
            except KeyboardInterrupt:  # somebody will not wait for that either
                self.result.interrupted = "interrupted"
        return self._conclude(passes)

    def wallets_of_a(self) -> Iterator[tuple[Operation, Exchange, float]]:
        """What A said of wallets that were there before, and when, in seconds since 1970."""
        yield from self.sides[0].reads

    def answers_of_a(self) -> list[Observation]:
        """All whole answers of A."""
        return [sent.observation for sent in self.sides[0].stage.log if not sent.trouble]

    # ------------------------------------------------------------------ the way there

    def _hold(self) -> None:
        self._held = True
        for side in self.sides:
            side.subject.target.hurry.set()

    def _tick(self) -> None:
        if self._held:
            self._held = False
            raise KeyboardInterrupt
        subject = self.sides[0].subject
        operations = subject.contract.operations.values()
        self._tell(
            self._doing,
            operations=(sum(subject.coverage.reached(operation) for operation in operations), len(operations)),
            cases=self._requests(),
            findings=len(self._first.differences),
            left=max(0.0, self._started + self.options.max_time - time.monotonic()),
        )

    def _requests(self) -> int:
        return sum(side.subject.target.requests for side in self.sides)

    def _arrive(self) -> None:
        """Look whether both are there, and pair the wallets that can be read."""
        for side in self.sides:
            stage = Stage(side.subject, "arrival", self._started)
            find = catalogue.discover(side.subject.contract.name)
            try:
                found = find(stage) if find is not None else []
            except (NotTested, Trouble) as trouble:
                found = []
                if not side.subject.target.answered:
                    raise Stopped(f"{side.name}: {trouble}") from None
            problem = no_service([sent.observation for sent in stage.log])
            if problem:
                raise Stopped(f"{side.name}: {problem}")
            side.subject.wallets = list(dict.fromkeys([*side.subject.wallets, *found]))
        self.of_mock = self._is_mock(self.sides[1])
        if self.of_mock and not self._is_mock(self.sides[0]):
            self.result.names = ["real", "mock"]
        self._pair()

    @staticmethod
    def _is_mock(side: Side) -> bool:
        """Whether it is a mock of ours; only this machine is asked."""
        target = side.subject.target
        if not is_loopback(urlsplit(target.origin).hostname or ""):
            return False
        try:
            answer = target.send(Request("GET", "/_mock/personas"), Identity("none")).response
            return answer.status == 200 and "personas" in json.loads(answer.body)
        except (Trouble, ValueError, TypeError):
            return False

    def _pair(self) -> None:
        """Wallets that were there: named pairs and equal ids hold the same, others are compared by their form alone."""
        left, right = (list(side.subject.wallets) for side in self.sides)
        pairs = [(one, two, True) for one, two in self.options.pairs]
        self._shared = [one for one in left if one in right and one not in {pair[0] for pair in pairs}]
        pairs += [(one, one, True) for one in self._shared]
        rest = [[i for i in ids if i not in {pair[n] for pair in pairs}] for n, ids in enumerate((left, right))]
        alike = len(pairs)
        pairs += [(one, two, False) for one, two in zip(*rest, strict=False)]
        chosen = pairs[: max(_MOST_KNOWN, len(self.options.pairs))]
        self._shared = [one for one in self._shared if one not in {pair[0] for pair in chosen}]
        self._pairs = [(Symbol("known wallet", n), one, two, same) for n, (one, two, same) in enumerate(chosen, 1)]
        self.result.paired = [
            f"{one} = {two}{'' if same else ' (by order: only their form)'}" for _, one, two, same in self._pairs
        ]
        unpaired = [len(rest[0]) - (len(pairs) - alike), len(rest[1]) - (len(pairs) - alike)]
        for name, count in zip("AB", unpaired, strict=True):
            if count:
                self._first_skip(f"wallets of {name}", "the other side has no counterpart (--wallet A=B names one)", count)

    def _first_skip(self, what: str, reason: str, count: int) -> None:
        self.result.not_comparable.append(NotComparable(what, reason, count))

    @property
    def _writes(self) -> bool:
        return self.sides[0].subject.guard.mode != "read" and self.result.provider != "polar"

    # ------------------------------------------------------------------ one way through

    def _through(self, result: Tally) -> None:
        if self._doing == "comparing":
            self._first = result
        aligned = Aligned(self.options.lawful)
        for symbol, one, two, _ in self._pairs:
            aligned.names.bind(symbol, one, two)
        for number, shared in enumerate(self._shared, 1):
            aligned.names.bind(Symbol("other wallet", number), shared, shared)
        known = [(symbol, same) for symbol, _, _, same in self._pairs]
        customers = []
        a, b = (side.subject for side in self.sides)
        one_world = (a.target.base, a.target.headers) == (b.target.base, b.target.headers)  # which cannot do it twice
        for number, names in enumerate(zip(a.customers, () if one_world else b.customers, strict=False), 1):
            customers.append(Symbol("known customer", number))
            aligned.names.bind(customers[-1], *names)
        steps = (self.options.sequence or SEQUENCES[self.result.provider])(
            Situations(self.sides[0].subject.seed, known, customers, self._writes, self.options.at_random)
        )
        passage = Passage(self.sides, aligned, result, self._people)
        for step in steps:
            passage.take(step)
            if self._first.differences.keys() <= result.differences.keys() and result is not self._first:
                return  # all is confirmed
        for name, sides in sorted(aligned.unshared.items()):
            reason = f"only {' and '.join(sorted(sides))} sends it, and no contract names it"
            result.skipped[f"header {name}", reason] = NotComparable(f"header {name}", reason)

    # ------------------------------------------------------------------ the end

    def _clean_up(self) -> None:
        self._doing = "cleaning up"
        for side in self.sides:
            subject = side.subject
            if "active" in subject.created.values():
                deadline, mode = subject.target.deadline, subject.guard.mode
                subject.target.deadline, subject.guard.mode = time.monotonic() + 30, "all"
                try:
                    close_wallets(Stage(subject, "clean-up", self._started))
                finally:
                    subject.target.deadline, subject.guard.mode = deadline, mode

    def _conclude(self, passes: Sequence[Tally]) -> Comparison:
        run = self.result
        first = passes[0] if passes else Tally()
        confirmed = passes[1].differences if len(passes) > 1 else {}
        capped = len(passes) > 1 and any("--max-" in reason for _, reason in passes[1].skipped)
        whole = len(passes) > 1 and not run.interrupted and not capped
        for key, difference in first.differences.items():
            difference.confirmation = "confirmed" if key in confirmed else "flaky" if whole else "unconfirmed"
            difference.ignored = self.options.lawful.ignores(key)
        run.differences = list(first.differences.values())
        run.words = list(first.words.values())
        run.not_comparable += first.skipped.values()
        run.steps = first.steps
        self._weigh(first)
        for side in self.sides:
            subject = side.subject
            run.created += len(subject.created)
            run.cleaned += sum(state in ("closed", "gone") for state in subject.created.values())
            run.leftovers += [f"{side.name}: {entry}" for entry in left_behind(subject)]
        run.requests = self._requests()
        run.seconds = round(time.monotonic() - self._started, 2)
        if run.interrupted:
            run.why.append(hide(run.interrupted, [secret for side in self.sides for secret in side.subject.secrets]))
        if run.fidelity.compared == 0:
            run.why.append("nothing was comparable")
        if any(difference.fails for difference in run.differences):
            run.verdict = "findings"
        else:
            run.verdict = "inconclusive" if run.why else "pass"
        return run

    def _weigh(self, first: Tally) -> None:
        """How much of what was comparable agrees. What is flaky or known is neither like nor unlike."""
        for operation, keys, followed in first.looks:
            counting = [key for key in keys if first.differences[key].fails]
            if followed or (keys and not counting):
                continue
            for entry in (self.result.fidelity, self.result.by_operation.setdefault(operation or "(no operation)", Fidelity())):
                entry.compared += 1
                entry.agreed += not counting
