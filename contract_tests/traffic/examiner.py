"""Traffic of others, judged: the same contract, rules and reports as for a run's own requests."""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from contract_tests.causes import cause, fingerprint
from contract_tests.contract import Contract
from contract_tests.coverage import Seen
from contract_tests.exchange import Exchange, Request
from contract_tests.finding import Finding
from contract_tests.identity import HIDDEN, Identity
from contract_tests.judge import OF_EACH_ANSWER, Judge
from contract_tests.policy import Policy
from contract_tests.probes import catalogue as probes
from contract_tests.probes.probe import Found, Sent
from contract_tests.results import Cause, Run
from contract_tests.rules.catalogue import traffic_rules
from contract_tests.rules.conformance import (
    OF_REQUESTS,
    REQUEST_BODY,
    REQUEST_PARAMETER,
    REQUEST_SECURITY,
    RESPONSE_BODY,
    RESPONSE_CONTENT_TYPE,
    RESPONSE_HEADER,
)
from contract_tests.rules.histories import history
from contract_tests.rules.history import Judged, Moment
from contract_tests.rules.observation import Observation
from contract_tests.rules.rule import Rule
from contract_tests.traffic.addressing import Addresses, Placed
from contract_tests.traffic.personal import Pseudonyms
from contract_tests.traffic.recorded import Recorded
from contract_tests.verdict import decide, missing_evidence, rule_results, weigh

_NEEDS_OWN_REQUESTS = "needs requests of its own: `walletproof gate` sends them"
_OF_HEADERS = {RESPONSE_BODY.id, RESPONSE_HEADER.id, RESPONSE_CONTENT_TYPE.id}
# What recorders and those who clean recordings up write in the place of credentials.
_LEFT_OUT = re.compile(rb"(?i)redact|remov|hidden|masked|filtered|sanitiz|^\W*(?:\w+\s+)?[*x]{3,}\W*$|^\W*$")
_NUMBERED = re.compile(rb"\*\*\*[0-9]+$")  # the numbers of secrets that a recording of ours has, from 1 in each file
_MOST_FAULTLESS = 10_000
_REFUSED = "the service did not accept the request"


class Traffic:
    """Judges the traffic of one or several providers, exchange by exchange, in the order of their times.

    `servers` are base URLs; without any, every host whose paths are a contract's is judged. `settle` is how many seconds a
    read may lag behind a write. `live`: requests are seen as they are sent, so credentials that are not there were not sent;
    recorders may have left them out.
    """

    def __init__(
        self, contracts: Sequence[Contract], servers: Sequence[str] = (), *, settle: float = 2.0, live: bool = False
    ) -> None:
        self._addresses = Addresses(contracts, servers)
        self._pseudonyms = Pseudonyms()
        self._examiners = {contract.name: _Examiner(contract, settle, self._pseudonyms, live=live) for contract in contracts}

    def place(self, recorded: Recorded) -> Placed | None:
        """What an exchange is about; None if no contract has it."""
        placed = self._addresses.place(recorded)
        if placed is not None:
            self._examiners[placed.contract.name].look_at_credentials(placed)
        return placed

    def sent(self, placed: Placed) -> list[Finding]:
        """What is wrong with the request, whatever the answer is."""
        return self._examiners[placed.contract.name].sent(placed)

    def examine(self, placed: Placed) -> list[Finding]:
        """Everything wrong with an exchange: the request, the answer, and what they say against earlier ones."""
        return self._examiners[placed.contract.name].examine(placed)

    def start_over(self) -> None:
        """Forget what was seen: a world was put somewhere else, and what was true before need not be."""
        for examiner in self._examiners.values():
            examiner.start_over()

    def runs(self, policy: Policy, known: Mapping[str, frozenset[str]], why: Sequence[str] = ()) -> list[Run]:
        """What was found out, a run for each provider that was seen.

        `known` are fingerprints of a baseline by provider; `why` says what else stands against a pass.
        """
        return [
            examiner.run(policy, known.get(name, frozenset()), why)
            for name, examiner in self._examiners.items()
            if examiner.judged
        ]


class _Examiner:
    """One provider's."""

    def __init__(self, contract: Contract, settle: float, pseudonyms: Pseudonyms, *, live: bool) -> None:
        self.judged: Counter[str] = Counter()
        self._contract = contract
        self._judge = Judge(contract)
        self._settle = settle
        self.start_over()
        self._coverage = Seen(contract)
        self._faultless: dict[bytes, Counter[str]] = {}  # exchanges by digest, and what was judged in them
        self._pseudonyms = pseudonyms
        self._live = live
        self._with_credentials: set[str] = set()  # files whose recorder kept them
        self._credentials = dict(_credentials(contract))
        self._clients: dict[str, str] = {}  # credentials, as a digest: number
        self._bases: Counter[str] = Counter()
        self._causes: dict[str, Cause] = {}
        self._accepted: set[str] = set()  # requests that broke the contract and were accepted
        self._refused: dict[str, int] = {}  # how often, before one was not
        self._exchanges = 0
        self._began = time.monotonic()
        self._first = 0.0

    def start_over(self) -> None:
        self._history = history(self._contract.name, self._settle)

    def look_at_credentials(self, placed: Placed) -> None:
        """Recorders that keep credentials keep all: then one that is missing in the same file was not sent."""
        header = placed.exchange.request.header
        if any(name in header and not _LEFT_OUT.search(header[name]) for name in self._credentials):
            self._with_credentials.add(placed.recorded.file)

    def _credentials_kept(self, placed: Placed) -> bool:
        return self._live or placed.recorded.file in self._with_credentials

    def sent(self, placed: Placed) -> list[Finding]:
        unknown = set() if placed.recorded.sent_known else {REQUEST_BODY.id}
        if not self._credentials_kept(placed):
            unknown.add(REQUEST_SECURITY.id)
        found = self._contract.check_request(placed.operation, placed.exchange.request)
        unclear = self._unclear(placed)
        return [
            finding
            for finding in found
            if finding.rule not in unknown and not (finding.rule == REQUEST_PARAMETER.id and finding.pointer in unclear)
        ]

    def _unclear(self, placed: Placed) -> set[str]:
        """Query parameters with several values of which services take one, and nothing says which."""
        several = [name for name, count in Counter(name for name, _ in placed.exchange.request.query).items() if count > 1]
        if not several:
            return set()
        path, method = placed.operation.key
        parameters = self._contract.merged["paths"][path][method].get("parameters", [])
        lists = {entry.get("name") for entry in parameters if entry.get("schema", {}).get("type") == "array"}
        return {f"query {name}" for name in several if name not in lists}

    def examine(self, placed: Placed) -> list[Finding]:
        if not self._exchanges:
            self._first = placed.recorded.started
        self._exchanges += 1
        self._bases[placed.base] += 1
        placed = self._dressed(placed)
        observation = Observation(self._contract, placed.operation, placed.exchange)
        alone = self._alone(placed, observation)
        moment = self._moment(placed, observation)
        for finding in alone:
            self._found(finding, (moment,), placed)
        return [*alone, *self._against_history(moment, placed)]

    def _alone(self, placed: Placed, observation: Observation) -> list[Finding]:
        """What an exchange shows by itself. One that was faultless is known when it comes again: clients ask the same often."""
        digest = _digest(placed, kept=self._credentials_kept(placed))
        counts = self._faultless.get(digest)
        if counts is not None:
            self._coverage.saw_again(observation)
            self.judged.update(counts)
            return []
        self._coverage.saw(observation)
        counts = Counter(rule.id for rule in OF_REQUESTS)
        found = [*self._of_request(placed, observation), *self._of_answer(placed, observation, counts)]
        self.judged.update(counts)
        if not found:
            if len(self._faultless) >= _MOST_FAULTLESS:
                self._faultless.clear()
            self._faultless[digest] = counts
        return found

    def _of_request(self, placed: Placed, observation: Observation) -> list[Finding]:
        found = self.sent(placed)
        if observation.status < 400:
            for key in {fingerprint(finding) for finding in found} - self._accepted:
                self._accepted.add(key)
                if key in self._causes:  # a request that was refused would show nothing that fails
                    self._refused[key] = self._causes.pop(key).count
        return found

    def _of_answer(self, placed: Placed, observation: Observation, counts: Counter[str]) -> list[Finding]:
        def tested(rule_id: str) -> None:
            counts[rule_id] += 1

        if self._answered_known(placed):
            return self._judge.findings(observation, tested)
        # Rules of meaning look at bodies, which the recorder did not keep.
        unknown = {RESPONSE_BODY.id} if placed.exchange.response.headers else _OF_HEADERS
        found = self._contract.check_response(placed.operation, placed.exchange)
        return [finding for finding in found if finding.rule not in unknown]

    def _against_history(self, moment: Moment, placed: Placed) -> Iterator[Finding]:
        if self._history is None or not self._answered_known(placed):
            return
        for judged in self._history.take(moment):
            self.judged[judged.rule.id] += 1
            if judged.problem is not None:
                finding = _finding(judged, moment)
                self._found(finding, (*judged.before, moment), placed)
                yield finding

    @staticmethod
    def _answered_known(placed: Placed) -> bool:
        """Whether the whole answer is there. No answer has no header at all: one without any was not taken down."""
        return placed.recorded.answered_known and bool(placed.exchange.response.headers)

    def _found(self, finding: Finding, shown_by: tuple[Moment, ...], placed: Placed) -> None:
        """Count it. The first of each cause is kept, with what shows it, without secrets and personal data."""
        key = fingerprint(finding)
        if key in self._causes:
            self._causes[key].count += 1
            return
        sent = tuple(self._shown(moment) for moment in shown_by)
        found = Found(
            self._clean(finding, sent),
            sent,
            placed.recorded.place,
            alone=len(sent) == 1,
            request_number=placed.recorded.entry,
            seconds=max(0.0, placed.recorded.started - self._first),
        )
        self._causes[key] = cause(found, placed.base, ())
        self._causes[key].count += self._refused.pop(key, 0)

    def _clean(self, finding: Finding, sent: tuple[Sent, ...]) -> Finding:
        """The finding without secrets and personal data, which were learnt when `sent` was cleaned."""
        if len(sent) == 1:
            # What is found in the exchange without them cannot hold any, not even a piece of one.
            seen = sent[0].observation
            again = [*self._contract.check_request(seen.operation, seen.request), *self._judge.findings(seen)]
            same = next((other for other in again if fingerprint(other) == fingerprint(finding)), None)
            if same is not None:
                return same
        text = self._pseudonyms.text
        return replace(
            finding,
            pointer=text(finding.pointer),
            problem=text(finding.problem),
            expected=None if finding.expected is None else text(str(finding.expected)),
            got=None if finding.got is None else text(str(finding.got)),
        )

    def _shown(self, moment: Moment) -> Sent:
        seen = moment.observation
        exchange = self._pseudonyms.exchange(seen.exchange)
        hidden = tuple(
            (name.decode(), exchange.request.header[name].decode("latin-1"))
            for name in self._credentials
            if name in exchange.request.header
        )
        variable = "WALLETPROOF_API_KEY" if b"x-api-key" in exchange.request.header else "WALLETPROOF_BEARER"
        identity = Identity(moment.client or "somebody", hidden, variable if hidden else "")
        return Sent(Observation(seen.contract, seen.operation, exchange), identity)

    def _moment(self, placed: Placed, observation: Observation) -> Moment:
        recorded = placed.recorded
        ended = recorded.started + max(0.0, recorded.seconds)
        return Moment(observation, self._client(placed), recorded.started, ended, placed.base)

    def _client(self, placed: Placed) -> str:
        """Who sent it, by the credentials; empty if nobody can tell."""
        header = placed.exchange.request.header
        values = [header[name] for name in self._credentials if name in header]
        if not values or any(value.endswith(HIDDEN.encode()) for value in values):
            return placed.recorded.client
        if any(_NUMBERED.search(value) for value in values):
            values.append(placed.recorded.file.encode())
        digest = hashlib.sha256(b"\0".join(values)).hexdigest()
        return self._clients.setdefault(digest, f"client {len(self._clients) + 1}")

    def _dressed(self, placed: Placed) -> Placed:
        """The exchange with stand-ins for credentials that the recorder left out: they were there, or it were a 401."""
        request, status = placed.exchange.request, placed.exchange.response.status
        removed = [name for name in self._credentials if name in request.header and _LEFT_OUT.search(request.header[name])]
        if not removed and (self._credentials_kept(placed) or not placed.operation.secured or status == 401):
            return placed
        names = removed or list(self._credentials)[:1]
        headers = [pair for pair in request.headers if pair[0] not in removed]
        headers += [(name, self._credentials[name]) for name in names]
        dressed = Request(request.method, request.path, request.query_string, headers, request.body, request.path_params)
        return replace(placed, exchange=Exchange(dressed, placed.exchange.response))

    # ------------------------------------------------------------------ the end

    def run(self, policy: Policy, known: frozenset[str], why: Sequence[str]) -> Run:
        target = ", ".join(base for base, _ in self._bases.most_common())
        run = Run(self._contract.name, target, "traffic", policy.level, None)
        run.requests = self._exchanges
        run.seconds = round(time.monotonic() - self._began, 2)
        run.causes = [replace(entry) for entry in self._causes.values()]
        run.coverage = self._coverage.coverage()
        run.statuses = dict(sorted(self._coverage.statuses.items()))
        run.rules = rule_results(self._rules(), run.causes, self.judged, self._reasons())
        weigh(run, policy, known, datetime.now(UTC).date())
        for entry in run.causes:
            if entry.area == "request" and entry.fingerprint not in self._accepted and entry.fails:
                entry.fails, entry.reason = False, _REFUSED
        run.why += [*why]
        run.why += missing_evidence(run, policy, list(self._contract.operations))
        decide(run)
        return run

    def _rules(self) -> list[Rule]:
        found = {rule.id: rule for rule in probes.rules(self._contract.name)} | traffic_rules(self._contract.name)
        return [found[rule_id] for rule_id in sorted(found)]

    def _reasons(self) -> dict[str, str]:
        able = traffic_rules(self._contract.name)
        return {rule.id: _NEEDS_OWN_REQUESTS for rule in self._rules() if rule.id not in able}


def _digest(placed: Placed, *, kept: bool) -> bytes:
    """The same for exchanges that no rule over single ones tells apart."""
    request, response = placed.exchange.request, placed.exchange.response
    flags = (kept, placed.recorded.sent_known, placed.recorded.answered_known)
    headers = [pair if pair[0] not in OF_EACH_ANSWER else pair[0] for pair in response.headers]
    head = repr((placed.operation.key, request.method, request.path, request.query_string, request.headers, headers, flags))
    digest = hashlib.blake2b(f"{response.status} {len(head)} {len(request.body)} {head}".encode(), digest_size=16)
    digest.update(request.body)
    digest.update(response.body)
    return digest.digest()


def _finding(judged: Judged, moment: Moment) -> Finding:
    problem = judged.problem
    assert problem is not None
    operation = moment.observation.operation.id
    return Finding(judged.rule.id, "semantic", operation, problem.pointer, problem.problem, problem.expected, problem.got)


def _credentials(contract: Contract) -> Iterator[tuple[bytes, bytes]]:
    """The headers that carry credentials, each with what may stand for one."""
    for scheme in contract.merged.get("components", {}).get("securitySchemes", {}).values():
        if scheme.get("type") == "apiKey" and scheme.get("in") == "header":
            yield scheme["name"].lower().encode(), HIDDEN.encode()
        elif scheme.get("type") in ("http", "oauth2", "openIdConnect"):
            yield b"authorization", f"{str(scheme.get('scheme', 'bearer')).capitalize()} {HIDDEN}".encode()
