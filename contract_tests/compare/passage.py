"""One way through a sequence: each step is sent to both sides, and what they answer is compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from contract_tests.causes import step as shown
from contract_tests.compare import flexprice
from contract_tests.compare.answers import AMOUNTS, MEMBERS, Aligned, Kind, Unlike
from contract_tests.compare.outcome import Difference, NotComparable, Words
from contract_tests.compare.places import place, place_of
from contract_tests.compare.side import Answer, NotSent, Side
from contract_tests.compare.steps import Step
from contract_tests.exchange import Exchange, Request
from contract_tests.finding import Finding
from contract_tests.guard import is_safe
from contract_tests.identity import hide
from contract_tests.probes.probe import Sent
from contract_tests.rules.observation import Observation
from contract_tests.traffic.personal import Pseudonyms

_EVERYTHING, _VALUES = "*", "values"
_STATE = (AMOUNTS, MEMBERS, "transaction_status")
_OF_RULES: dict[str, Kind] = {"response.body": "shape", "response.content-type": "header", "response.header": "header"}
_MOST_BEFORE = 8
_MOST_SILENT = 10


class Stopped(Exception):
    """The comparison cannot go on; says why."""


@dataclass
class Tally:
    """What one way through the sequence showed. `looks` are pairs of a step and a kind: differences there, or why none counts."""

    differences: dict[str, Difference] = field(default_factory=dict)
    looks: list[tuple[str, list[str], bool]] = field(default_factory=list)  # operation, fingerprints, followed only
    skipped: dict[tuple[str, str], NotComparable] = field(default_factory=dict)
    words: dict[tuple[str, str], Words] = field(default_factory=dict)
    steps: int = 0


class Passage:
    """One way through a sequence: sends, compares, and keeps in mind which wallets went apart."""

    def __init__(self, sides: tuple[Side, Side], aligned: Aligned, result: Tally, people: Pseudonyms) -> None:
        self.sides = sides
        self._people = people
        self.aligned = aligned
        self.result = result
        self._apart: dict[str, set[str]] = {}
        self._before: dict[str, list[str]] = {}
        self._silent = [0, 0]

    def take(self, step: Step) -> None:
        """Take a step on both sides and note what came of it."""
        if step.tidy and not all(self.aligned.names.has(step.subject, side.number) for side in self.sides):  # type: ignore[arg-type]
            return
        reason = next((why for side in self.sides if (why := side.can(step))), "")
        if reason:
            self._skip(step, reason)
            return
        try:
            sends = [side.prepare(step, self.aligned) for side in self.sides]
        except NotSent as reason:
            self._skip(step, str(reason))
            return
        self.aligned.gave(step.body)
        answers = self._answers(step, sends)
        if answers is None:
            return
        self.result.steps += 1
        self._name(step, answers)
        compared = self.aligned.compare(step, answers[0].seen, answers[1].seen)
        give_up_at = time.monotonic() + max(side.subject.settle for side in self.sides)
        safe = not step.operation or is_safe(self.sides[0].subject.contract.operations[step.operation])
        while safe and self._may_lag(step, compared.unlike) and time.monotonic() < give_up_at:
            time.sleep(0.2)
            again = self._answers(step, sends)
            if again is None:
                return
            answers = again
            compared = self.aligned.compare(step, answers[0].seen, answers[1].seen)
        self._rules(step, answers, compared.unlike)
        self._note(step, answers, compared.unlike, compared.looked, safe=safe)
        for pointer, one, two in compared.words:
            key = step.operation, place(pointer)
            first = Words(*key, self._hidden(self._people.text(one)), self._hidden(self._people.text(two)), 0)
            entry = self.result.words.setdefault(key, first)
            entry.count += 1
        for wallet in {*step.wallets, *((step.makes,) if step.makes else ())}:
            self._before.setdefault(str(wallet), []).append(f"{step.operation}: {step.situation}")
        self._after_new_customer(step, answers)

    def _answers(self, step: Step, sends: Sequence[Callable[[], Answer]]) -> tuple[Answer, Answer] | None:
        """What both sides answered; None if that cannot be compared, which is noted."""
        found: list[Answer] = []
        for send in sends:
            try:
                found.append(send())
            except NotSent as reason:
                self._skip(step, str(reason))
                if found or "out of time" in str(reason):
                    self._goes_apart(step, _EVERYTHING)
                if "out of time" in str(reason):
                    raise Stopped(str(reason)) from None
                return None
        for side, answer in zip(self.sides, found, strict=True):
            self._silent[side.number] = self._silent[side.number] + 1 if answer.lost else 0
            if self._silent[side.number] >= _MOST_SILENT:
                raise Stopped(f"{side.name} stopped answering: {answer.lost}")
        if not any(answer.lost for answer in found):
            return found[0], found[1]
        if all(answer.lost for answer in found) or not any(
            answer.findings or answer.seen.status for answer in found if answer.lost
        ):
            self._skip(step, next(f"{s.name}: {a.lost}" for s, a in zip(self.sides, found, strict=True) if a.lost))
        else:
            words = [answer.lost or str(answer.seen.status) for answer in found]
            unlike = Unlike("status", "", "only one side answers", words[0], words[1])
            self._note(step, (found[0], found[1]), [unlike], {"status"}, safe=False)
        self._goes_apart(step, _EVERYTHING)
        return None

    def _name(self, step: Step, answers: tuple[Answer, Answer]) -> None:
        """The wallet that both made is from now on the same one."""
        if step.makes is None or not all(answer.seen.ok for answer in answers):
            return
        one, two = (str(body.get("id") or "") if isinstance(body := answer.seen.body, dict) else "" for answer in answers)
        if one and two:
            self.aligned.names.bind(step.makes, one, two)

    def _after_new_customer(self, step: Step, answers: tuple[Answer, Answer]) -> None:
        if step.situation != flexprice.NEW_CUSTOMER or step.operation != "createWallet":
            return
        for side, answer in zip(self.sides, answers, strict=True):
            side.known_customers_only = answer.seen.status in (400, 404)

    def _may_lag(self, step: Step, unlike: Sequence[Unlike]) -> bool:
        """Whether something new differs that a read which lags behind a write could explain."""
        return any(
            entry.kind in ("status", "value", "order")
            and _fingerprint(step, entry) not in self.result.differences
            and not self._follows(step, entry)
            for entry in unlike
        )

    # ------------------------------------------------------------------ what is unlike

    def _broken(self, step: Step, answer: Answer) -> dict[tuple[str, str], Finding]:
        """What a side breaks, by rule and place; not where values may be any."""
        found = {(finding.rule, place_of(finding)): finding for finding in answer.findings}
        return {key: finding for key, finding in found.items() if not self.aligned.lawful.any_value(step.operation, key[1])}

    def _rules(self, step: Step, answers: tuple[Answer, Answer], unlike: list[Unlike]) -> None:
        """Rules that one side breaks: said with the difference that they are about, else a difference of their own."""
        broken = [self._broken(step, answer) for answer in answers]
        for number, (mine, other) in enumerate((broken, broken[::-1])):
            for key, finding in mine.items():
                if key in other:
                    continue
                near = [entry for entry in unlike if _touches(place(entry.pointer), key[1])]
                about = next(iter(sorted(near, key=lambda entry: -len(entry.pointer))), None) or next(iter(unlike), None)
                if about is None:
                    sides = ("breaks it", "keeps it") if number == 0 else ("keeps it", "breaks it")
                    kind = _OF_RULES.get(finding.rule, "relation")
                    problem = f"{finding.rule}: {finding.problem}"
                    unlike.append(Unlike(kind, key[1], problem, *sides, rules=[finding.rule]))
                    continue
                if finding.rule not in about.rules:
                    about.rules.append(finding.rule)
                if about.kind == "value" and finding.rule == "response.body" and place(about.pointer) == key[1]:
                    about.kind, about.family = "shape", ""

    def _note(
        self, step: Step, answers: tuple[Answer, Answer], unlike: Sequence[Unlike], looked: set[Kind], *, safe: bool
    ) -> None:
        """Count each kind that was looked at, and add what is new."""
        keys: dict[Kind, list[str]] = {}
        followed: set[Kind] = set()
        begun: dict[str, Difference] = {}  # what went apart in this step, and by which difference
        for entry in unlike:
            if self._follows(step, entry):
                followed.add(entry.kind)
                cause = begun.get(entry.family) or begun.get(_VALUES) or begun.get(_EVERYTHING)
                if cause is not None and place(entry.pointer) not in (cause.pointer, *cause.also):
                    cause.also.append(place(entry.pointer))
                self._skip(step, "it follows from an earlier difference")
                continue
            found = self._add(step, answers, entry)
            keys.setdefault(entry.kind, []).append(found.fingerprint)
            lost = self._lost_state(entry, safe=safe)
            begun.setdefault(lost, found)
            self._goes_apart(step, lost, entry.wallet)
        for kind in {*looked, *keys}:
            here = list(dict.fromkeys(keys.get(kind, ())))
            self.result.looks.append((step.operation, here, not here and kind in followed))

    def _add(self, step: Step, answers: tuple[Answer, Answer], entry: Unlike) -> Difference:
        key = _fingerprint(step, entry)
        known = self.result.differences.get(key)
        if known is not None:
            known.count += 1
            return known
        others = any(wallet.kind == "known wallet" for wallet in step.wallets) or not step.same_data
        a, b = (
            shown(self._impersonal(answer.sent) if others else answer.sent, side.subject.target.base, self._secrets)
            for side, answer in zip(self.sides, answers, strict=True)
        )
        said = [self._people.text(text) if others else text for text in (entry.first, entry.second, entry.problem)]
        before = [line for wallet in step.wallets for line in self._before.get(str(wallet), ())]
        found = self.result.differences[key] = Difference(
            fingerprint=key,
            operation=step.operation,
            kind=entry.kind,
            pointer=place(entry.pointer),
            problem=self._hidden(said[2]),
            situation=step.situation,
            a=self._hidden(said[0]),
            b=self._hidden(said[1]),
            step_a=a,
            step_b=b,
            before=before[-_MOST_BEFORE:],
            rules=entry.rules,
        )
        return found

    def _impersonal(self, sent: Sent) -> Sent:
        """An exchange about a wallet that was there before, without what it tells of people."""
        seen = sent.observation
        clean = self._people.exchange(seen.exchange)
        request = Request(
            clean.request.method,
            clean.request.path,
            clean.request.query_string,
            seen.request.headers,  # the run's own: a report knows its credentials
            clean.request.body,
            clean.request.path_params,
        )
        return replace(
            sent, observation=Observation(seen.contract, seen.operation, Exchange(request, clean.response), seen.secrets)
        )

    def _follows(self, step: Step, entry: Unlike) -> bool:
        """Whether it only shows what went apart before."""
        wallets = (entry.wallet,) if entry.wallet else tuple(map(str, step.wallets))
        lost = set[str]().union(*(self._apart.get(wallet, set()) for wallet in wallets))
        if entry.kind == "header" or not lost:
            return False
        if _EVERYTHING in lost or (_VALUES in lost and entry.kind in ("value", "order", "relation")):
            return True
        return entry.family != "" and entry.family in lost

    @staticmethod
    def _lost_state(entry: Unlike, *, safe: bool) -> str:
        """What can no longer be compared of a wallet that showed this; empty if all can."""
        if entry.kind == "status":
            return "" if safe else _EVERYTHING
        if entry.family == "wallet_status":
            return _EVERYTHING
        return _VALUES if entry.family in _STATE else entry.family

    def _goes_apart(self, step: Step, family: str, wallet: str = "") -> None:
        if family:
            for name in (wallet,) if wallet else tuple(map(str, step.wallets)):
                self._apart.setdefault(name, set()).add(family)

    def _skip(self, step: Step, reason: str) -> None:
        key = step.operation, self._hidden(reason)
        entry = self.result.skipped.setdefault(key, NotComparable(*key, count=0))
        entry.count += 1

    @property
    def _secrets(self) -> tuple[str, ...]:
        return (*self.sides[0].subject.secrets, *self.sides[1].subject.secrets)

    def _hidden(self, text: str) -> str:
        return hide(text, self._secrets)[:500]


def _fingerprint(step: Step, entry: Unlike) -> str:
    return f"{step.operation or '-'} {entry.kind} {place(entry.pointer) or '-'}"


def _touches(one: str, two: str) -> bool:
    """Whether two places are the same, or one is within the other."""
    return one == two or one.startswith(f"{two}/") or two.startswith(f"{one}/") or not one or not two
