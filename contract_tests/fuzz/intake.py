"""Takes in what the fuzzing process tells, into the subject and the stage that the gate works with."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from contract_tests.causes import fingerprint
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.finding import Finding
from contract_tests.probes.probe import Found, Sent, Stage
from contract_tests.rules.observation import Observation

_MOST_SILENT = 4


class Intake:
    """Adds up. `code` is Schemathesis's own exit code, None as long as it has not come to its end."""

    def __init__(self, stage: Stage, started: float, doing: Callable[[str], None]) -> None:
        self._stage = stage
        self._subject = stage.subject
        self._started = started
        self._doing = doing
        self._first: dict[str, Found] = {}
        self._used = (self._subject.guard.writes, self._subject.guard.amount)
        self._refused = 0
        self.code: int | None = None
        self.cases: Counter[str] = Counter()
        self.withheld: Counter[str] = Counter()
        self.trouble: Counter[str] = Counter()
        self.more: Counter[str] = Counter()
        self.phases: list[str] = []
        self.notes: list[str] = []

    @property
    def unreachable(self) -> bool:
        """Whether nothing listens there any more."""
        return self.trouble["unreachable"] + self.trouble["tls"] >= _MOST_SILENT

    @property
    def busy(self) -> bool:
        """Whether the target asked for patience so often, in the end as well, that what was sent has not been tested."""
        return self.more["busy"] * 10 > self.cases.total()

    @property
    def refused(self) -> bool:
        """Whether the credentials were mostly refused."""
        return self._refused * 2 > self.cases.total()

    @property
    def unjudged(self) -> int:
        """Answers that our own rules stumbled over."""
        return self.more["unjudged"]

    def take(self, line: dict[str, Any]) -> None:
        """One line."""
        if "finding" in line:
            self._finding(line)
        elif "wallet" in line:
            name, state = line["wallet"]
            if state == "active" or name in self._subject.created:
                self._subject.created[name] = state
                self._subject.guard.own(name)
        elif "phase" in line:
            self.phases.append(line["phase"])
            self._doing(f"fuzzing: {line['phase'].lower()}")
        elif "note" in line:
            self.notes.append(line["note"])
        elif "end" in line:
            self.code = line["end"]
        else:
            self._counts(line)

    def _counts(self, line: dict[str, Any]) -> None:
        target, stage = self._subject.target, self._stage
        sent = sum(line.get("cases", {}).values())
        target.requests += sent
        target.answered += sent - sum(line.get("trouble", {}).values())
        self.cases.update(line.get("cases", {}))
        self.withheld.update(line.get("withheld", {}))
        self.trouble.update(line.get("trouble", {}))
        self.more.update(line.get("more", {}))
        if "used" in line:
            writes, amount = line["used"]
            guard = self._subject.guard
            guard.writes, guard.amount = self._used[0] + writes, self._used[1] + Decimal(amount)
        self._subject.coverage.take(line.get("keys", ()), line.get("statuses", {}))
        self._refused += line.get("statuses", {}).get("401", 0)
        for rule, count in line.get("judged", {}).items():
            stage.judged[rule] = stage.judged.get(rule, 0) + count
        for key, count in line.get("again", {}).items():
            if key in self._first:
                stage.found += [self._first[key]] * count

    def _finding(self, line: dict[str, Any]) -> None:
        finding = Finding(**line["finding"])
        sent = line["request"]
        status, answered, content = line["response"]
        contract = self._subject.contract
        operation = contract.operations.get(line["operation"], contract.unrouted)
        request = Request(
            sent["method"],
            sent["path"],
            _bytes(sent["query"]),
            _pairs(sent["headers"]),
            _bytes(sent["body"]),
            sent["path_params"],
        )
        exchange = Exchange(request, Response(status, _pairs(answered), _bytes(content)))
        sender = self._subject.identities["main"]
        for name, value in (*sender.headers, *self._subject.target.headers):
            request.add_header(name.lower().encode(), value.encode("latin-1", "replace"))
        observation = Observation(contract, operation, exchange, self._subject.secrets)
        found = Found(
            finding,
            (Sent(observation, sender, line["trouble"]),),
            self._stage.name,
            alone=True,
            request_number=self._subject.target.requests,
            seconds=time.monotonic() - self._started,
        )
        self._first.setdefault(fingerprint(finding), found)
        self._stage.found.append(found)


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


def _pairs(headers: list[list[str]]) -> list[tuple[bytes, bytes]]:
    return [(_bytes(name), _bytes(value)) for name, value in headers]
