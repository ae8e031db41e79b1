"""What the fuzzing process tells of what it saw: JSON lines, findings at once, counts a few times per second."""

from __future__ import annotations

import base64
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from contract_tests.causes import fingerprint
from contract_tests.contract import Contract, Operation
from contract_tests.coverage import Seen
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.finding import Finding
from contract_tests.guard import Guard
from contract_tests.judge import Judge
from contract_tests.rules.observation import Observation
from contract_tests.rules.robustness import TROUBLE_RULES

_EVERY = 0.2  # seconds
_MOST_IN_FULL = 3  # of findings with one cause; of the others only the number is told
_MOST_NOTES = 20
_DROPPED = (b"host", b"content-length", b"connection", b"accept", b"accept-encoding", b"user-agent")
_PATIENCE = 1.5  # seconds that an answer which is under way gets when the process is told to stop


class Witness:
    """Judges, and writes to `channel`. Safe to use from several threads.

    `hidden` are names of headers that are not told, as the parent knows them; `guard` has what was used of the caps.
    """

    def __init__(
        self, contract: Contract, channel: int, guard: Guard, *, secrets: tuple[str, ...], hidden: frozenset[str]
    ) -> None:
        self._contract = contract
        self._channel = channel
        self._guard = guard
        self._secrets = secrets
        self._hidden = frozenset(name.lower().encode() for name in hidden) | frozenset(_DROPPED)
        self._judge = Judge(contract)
        self._seen = Seen(contract)
        self._told: set[str] = set()
        self._in_full: Counter[str] = Counter()
        self._counts: dict[str, Counter[str]] = {}
        self._last = time.monotonic()
        self._notes = 0
        self._under_way = 0
        self._stopping = False
        self._lock = threading.RLock()

    # ------------------------------------------------------------------ what happens

    def saw(self, operation: Operation, exchange: Exchange) -> Observation:
        """Judge an answer."""
        seen = Observation(self._contract, operation, exchange, self._secrets)
        with self._lock:
            self._count("cases", operation.id)
            if seen.status == 429:
                self._count("more", "busy")
                return seen
            try:
                self._seen.saw(seen)
                for finding in self._judge.findings(seen, lambda rule: self._count("judged", rule)):
                    self._finding(finding, operation, exchange)
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not pass as a clean run
                self.note(f"judging an answer of {operation.id or 'no operation'} failed: {type(error).__name__}: {error}")
                self._count("more", "unjudged")
            for rule in TROUBLE_RULES.values():
                self._count("judged", rule.id)
            self._tell_now_and_then()
        return seen

    def trouble(self, kind: str | None, text: str, operation: Operation, request: Request) -> None:
        """No whole answer came."""
        with self._lock:
            self._count("cases", operation.id)
            self._count("trouble", kind or "our own")
            rule = TROUBLE_RULES.get(kind or "")
            if rule is not None:
                self._count("judged", rule.id)
                finding = Finding(rule.id, "semantic", operation.id, "", text)
                self._finding(finding, operation, Exchange(request, Response(0, (), b"")), text)
            self._tell_now_and_then()

    def withheld(self, operation: Operation) -> None:
        """A request was not sent."""
        with self._lock:
            self._count("withheld", operation.id)

    def wallet(self, name: str, state: str) -> None:
        """Something of the run's own was created or closed: told at once, as somebody has to clean up."""
        self._tell({"wallet": [name, state]})

    def phase(self, name: str) -> None:
        """Schemathesis begins another phase."""
        self._tell({"phase": name})

    def note(self, text: str) -> None:
        """Something that kept Schemathesis, or us, from testing."""
        with self._lock:
            self._notes += 1
            if self._notes <= _MOST_NOTES:
                self._tell({"note": text[:500]})

    def end(self, code: int) -> None:
        """All is over."""
        self.flush()
        self._tell({"end": code})

    # ------------------------------------------------------------------ stopping

    @contextmanager
    def in_flight(self, operation: Operation) -> Iterator[None]:
        """While a request is under way, stopping waits a little for its answer: it may have created something."""
        with self._lock:
            if self._stopping:
                raise KeyboardInterrupt
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def stop(self) -> None:
        """End the process, with everything told."""
        self._stopping = True
        give_up_at = time.monotonic() + _PATIENCE
        while self._under_way and time.monotonic() < give_up_at:
            time.sleep(0.01)
        if self._lock.acquire(timeout=0.2):
            self.flush()
        os._exit(0)

    # ------------------------------------------------------------------ telling

    def _finding(self, finding: Finding, operation: Operation, exchange: Exchange, trouble: str = "") -> None:
        key = fingerprint(finding)
        self._in_full[key] += 1
        if self._in_full[key] > _MOST_IN_FULL:
            self._count("again", key)
            return
        request, response = exchange.request, exchange.response
        self.flush()
        self._tell(
            {
                "finding": {**finding.__dict__, "expected": _plain(finding.expected), "got": _plain(finding.got)},
                "request": {
                    "method": request.method,
                    "path": request.path,
                    "query": _text(request.query_string),
                    "headers": self._headers(request),
                    "body": _text(request.body),
                    "path_params": dict(request.path_params),
                },
                "response": [response.status, [[_text(n), _text(v)] for n, v in response.headers], _text(response.body)],
                "operation": operation.id,
                "trouble": trouble,
            }
        )

    def _headers(self, request: Request) -> list[list[str]]:
        """Headers without those that every client adds and those that the parent knows as secrets."""
        return [[_text(name), _text(value)] for name, value in request.headers if name not in self._hidden]

    def _count(self, what: str, key: str) -> None:
        self._counts.setdefault(what, Counter())[key] += 1

    def _tell_now_and_then(self) -> None:
        if time.monotonic() - self._last >= _EVERY:
            self.flush()

    def flush(self) -> None:
        """Tell all counts."""
        with self._lock:
            self._last = time.monotonic()
            fresh = self._seen.keys - self._told
            self._told |= fresh
            line: dict[str, Any] = dict(self._counts)
            if fresh:
                line["keys"] = sorted(fresh)
            if self._seen.statuses:
                line["statuses"] = self._seen.statuses
            self._counts, self._seen.statuses = {}, {}
            if line:
                self._tell({**line, "used": [self._guard.writes, str(self._guard.amount)]})

    def _tell(self, line: dict[str, Any]) -> None:
        data = orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS) + b"\n"
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._channel, data) :]
            except OSError:
                os._exit(3)  # whoever started us is gone: no more requests


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
