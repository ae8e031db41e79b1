"""A probe drives a target through a sequence of requests and judges rules about it.

Each probe is a function of a `Stage`. It says which rules it judges and what it needs; what it could not judge is reported
as not tested. A probe makes its own wallets, so that it can be run again by itself to confirm what it found.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

from contract_tests.contract import Contract, Operation
from contract_tests.coverage import Seen
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.finding import Finding
from contract_tests.guard import Guard, is_safe
from contract_tests.identity import Identity
from contract_tests.judge import Judge
from contract_tests.rules.observation import NO_JSON, Observation
from contract_tests.rules.robustness import TROUBLE_RULES
from contract_tests.rules.rule import Need, Problem, Rule
from contract_tests.target import Target, Trouble

Query = Mapping[str, Any] | Sequence[tuple[str, Any]]

WRONG_KEY = "invalid-key-of-walletproof"


class NotTested(Exception):
    """The probe cannot go on; what it has not judged yet is not tested, for this reason."""


class Lost(NotTested):
    """No whole answer came; the trouble itself has been judged."""


@dataclass
class Subject:
    """What a run is about: the contract, the target, and what is known about it.

    `identities` are by name: `main` always, `other` and `expired` where given. `wallets` are ids that may be read.
    `customers` are ids of existing customers for whom wallets may be created. `run_id` makes ids and keys unique to this run.
    `settle` is how many seconds a read may lag behind a write, as it may where reads come from a replica.
    """

    contract: Contract
    target: Target
    guard: Guard
    judge: Judge
    identities: dict[str, Identity]
    seed: int
    run_id: str
    wallets: list[str] = field(default_factory=list)
    customers: list[str] = field(default_factory=list)
    settle: float = 0.0
    coverage: Seen = field(init=False)
    created: dict[str, str] = field(default_factory=dict)  # wallet id -> what became of it
    invoices: list[str] = field(default_factory=list)  # that top-ups left behind
    watch: Callable[[], None] = lambda: None
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.coverage = Seen(self.contract)

    @property
    def secrets(self) -> tuple[str, ...]:
        """All credentials of the run."""
        return tuple(secret for identity in self.identities.values() for secret in identity.secrets)

    def missing(self, needs: Iterable[Need]) -> str:
        """Why these needs are not met; empty if they are."""
        for need in needs:
            if need == "other identity" and "other" not in self.identities:
                return "needs a second identity (--other-api-key or --other-bearer)"
            if need == "expired credential" and "expired" not in self.identities:
                return "needs an expired credential (--expired-api-key or --expired-bearer)"
            if need == "write" and self.guard.mode == "read":
                return "needs leave to write (--mode own)"
            if need == "wallet" and not self.wallets:
                return "needs a wallet that can be read (--wallet ID); none was found"
        return ""


@dataclass(frozen=True)
class Probe:
    """A named sequence. `rules` are all that it may judge."""

    name: str
    provider: str
    rules: tuple[Rule, ...]
    needs: frozenset[Need]
    run: Callable[[Stage], None] = field(repr=False)


def probe(provider: str, *rules: Rule, needs: Iterable[Need] = ()) -> Callable[[Callable[[Stage], None]], Probe]:
    """Make a function of a stage a probe named like the function."""

    def make(function: Callable[[Stage], None]) -> Probe:
        all_needs = frozenset(needs).union(*(rule.needs for rule in rules)) if not needs else frozenset(needs)
        return Probe(function.__name__.replace("_", "-"), provider, rules, all_needs, function)

    return make


@dataclass(frozen=True)
class Sent:
    """One request of a probe with who sent it, and the answer; without one, the trouble there was."""

    observation: Observation
    identity: Identity
    trouble: str = ""


@dataclass(frozen=True)
class Found:
    """A finding with the requests that show it. `alone`: the last of them shows it by itself."""

    finding: Finding
    sent: tuple[Sent, ...]
    probe: str
    alone: bool
    request_number: int
    seconds: float


class Stage:
    """What a probe works with. Every answer is judged by the contract and the rules over single exchanges."""

    def __init__(self, subject: Subject, name: str, started: float) -> None:
        self.subject = subject
        self.name = name
        self.contract = subject.contract
        self.random = random.Random(f"{subject.seed}/{name}")  # noqa: S311 - reproducible on purpose
        self.found: list[Found] = []
        self.judged: dict[str, int] = {}
        self.log: list[Sent] = []
        self.forbidden = False  # a write was not sent because the run had no leave for it
        self._started = started

    # ------------------------------------------------------------------ sending

    def call(
        self,
        operation_id: str,
        id: str | None = None,
        *,
        query: Query = (),
        body: Any = NO_JSON,
        raw: bytes | None = None,
        headers: Sequence[tuple[str, str]] = (),
        identity: Identity | None = None,
        amount: Decimal = Decimal(0),
        invented: bool = False,
    ) -> Observation:
        """Call an operation: `id` is its path parameter, `body` becomes JSON, `raw` is sent as it is.

        `amount` is what a write puts in; `invented`: the id was made up, so nothing can change.
        """
        operation = self.operation(operation_id)
        path, params = operation.path, {}
        if "{" in path:
            name = path[path.index("{") + 1 : path.index("}")]
            params = {name: id or ""}
            path = path.replace("{" + name + "}", quote(id or "", safe="", errors="surrogatepass"))
        if not is_safe(operation):
            self.subject.guard.allow_write(id, amount, invented=invented)
        content = raw if raw is not None else b"" if body is NO_JSON else _dumps(body)
        request = _request(operation.method, path, query, headers, content, params)
        return self._send(operation, request, identity)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        raw: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
        identity: Identity | None = None,
    ) -> Observation:
        """Send anything anywhere, such as to a path that no operation has. The path is taken as encoded already."""
        if method not in ("GET", "HEAD", "OPTIONS"):
            self.subject.guard.allow_write("", invented=True)
        return self._send(self.contract.unrouted, _request(method, path, query, headers, raw, {}), identity)

    def again(self, operation: Operation, request: Request, identity: Identity) -> Observation:
        """Send a request as it was sent before."""
        return self._send(operation, request, identity)

    def operation(self, operation_id: str) -> Operation:
        """An operation of the contract; NotTested if this document does not have it."""
        try:
            return self.contract.operations[operation_id]
        except KeyError:
            raise NotTested(f"the document has no operation {operation_id}") from None

    def _send(self, operation: Operation, request: Request, identity: Identity | None) -> Observation:
        subject = self.subject
        sender = identity or subject.identities["main"]
        subject.watch()  # here the run may end: what was sent before is settled
        deadline = subject.target.deadline
        if deadline is not None and time.monotonic() > deadline:
            raise NotTested("out of time (--max-time)")
        try:
            exchange = subject.target.send(request, sender)
        except Trouble as trouble:
            observation = Observation(self.contract, operation, Exchange(request, Response(0, (), b"")), subject.secrets)
            sent = Sent(observation, sender, str(trouble))
            self.log.append(sent)
            rule = TROUBLE_RULES.get(trouble.kind)
            if rule is not None:
                self._report(rule.id, "semantic", operation.id, Problem(str(trouble)), (sent,), alone=True)
            raise Lost(str(trouble)) from trouble
        observation = Observation(self.contract, operation, exchange, subject.secrets)
        sent = Sent(observation, sender)
        self.log.append(sent)
        if exchange.response.status == 429:
            raise Lost("the target answers 429 Too Many Requests; try again with --rate")
        for rule in TROUBLE_RULES.values():
            self._tested(rule.id)
        subject.coverage.saw(observation)
        for finding in subject.judge.findings(observation, self._tested):
            self.found.append(self._as_found(finding, (sent,), alone=True))
        return observation

    def parallel(self, calls: Sequence[Callable[[], Observation]]) -> list[Observation | None]:
        """Send several requests at the same moment; None where no answer came."""

        def attempt(call: Callable[[], Observation]) -> Observation | None:
            try:
                return call()
            except NotTested:
                return None

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(attempt, calls))

    def eventually(self, read: Callable[[], Observation], holds: Callable[[Observation], bool]) -> Observation:
        """Read until `holds`, for as long as reads may lag behind writes; the last observation, whether it holds or not."""
        give_up_at = time.monotonic() + self.subject.settle
        while True:
            observation = read()
            if holds(observation) or time.monotonic() >= give_up_at:
                return observation
            time.sleep(0.1)

    # ------------------------------------------------------------------ judging

    def judge(
        self,
        rule: Rule,
        holds: bool,
        problem: str,
        *evidence: Observation,
        pointer: str = "",
        expected: Any = None,
        got: Any = None,
    ) -> bool:
        """Count the rule as judged; if it does not hold, that is a finding shown by `evidence`, in order."""
        self._tested(rule.id)
        if not holds:
            operation = evidence[-1].operation.id if evidence else ""
            by_exchange = {id(sent.observation): sent for sent in self.log}
            sent = tuple(by_exchange[id(observation)] for observation in evidence)
            self._report(rule.id, "semantic", operation, Problem(problem, pointer, expected, got), sent, alone=False)
        return holds

    def give_up(self, reason: str) -> NoReturn:
        """End the probe: what it has not judged is not tested."""
        raise NotTested(reason)

    def _tested(self, rule_id: str) -> None:
        self.judged[rule_id] = self.judged.get(rule_id, 0) + 1

    def _report(self, rule: str, level: Any, operation: str, problem: Problem, sent: tuple[Sent, ...], *, alone: bool) -> None:
        self._tested(rule)
        finding = Finding(rule, level, operation, problem.pointer, problem.problem, problem.expected, problem.got)
        self.found.append(self._as_found(finding, sent, alone=alone))

    def _as_found(self, finding: Finding, sent: tuple[Sent, ...], *, alone: bool) -> Found:
        elapsed = time.monotonic() - self._started
        return Found(finding, sent, self.name, alone, self.subject.target.requests, elapsed)

    # ------------------------------------------------------------------ names

    def unique(self, kind: str) -> str:
        """A name that no other run has used, such as a customer's or an idempotency key."""
        return f"wp-{self.subject.run_id}-{kind}-{next(self.subject.numbers)}"


def _dumps(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, default=_plain).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a request body")


def _request(
    method: str, path: str, query: Query, headers: Sequence[tuple[str, str]], content: bytes, params: Mapping[str, str]
) -> Request:
    pairs = list(query.items()) if isinstance(query, Mapping) else list(query)
    query_string = urlencode([(name, str(value)) for name, value in pairs], errors="surrogatepass").encode()
    raw_headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    if content and not any(name == b"content-type" for name, _ in raw_headers):
        raw_headers.append((b"content-type", b"application/json"))
    return Request(method, path, query_string, raw_headers, content, params)
