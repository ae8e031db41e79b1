"""The ownership rule, applied to every request that is about to leave the fuzzing process.

Generated requests go anywhere. So what a write aims at is looked at last, on the wire, where nothing can go past: an id that
this run has not created is replaced by one that does not exist, or the request is not sent. The caps count what may have
changed something; a write that the target refuses with a 4xx is given back.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from contract_tests.contract import Contract, Operation
from contract_tests.exchange import Request
from contract_tests.guard import Forbidden, Guard, is_safe
from contract_tests.rules.observation import NO_JSON, Observation

# Ids as services issue them: ULIDs, UUIDs, long numbers, with or without a prefix.
_ISSUED = re.compile(r"[0-9A-Za-z]{16,}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-|^\d+$")
_IDS_IN_BODY = re.compile(rb'"(?:\w*_)?[iI]d"\s*:\s*"([^"\\]{3,200})"')
_TEXTS = re.compile(rb'"([\w.@:+-]{3,200})"')
_WORDS = re.compile(r"[\w-]{6,}")
_AMOUNT = re.compile(r"amount|credit", re.IGNORECASE)


@dataclass
class Pass:
    """Leave to send a request. `amount` and `counted` are what it may have used of the caps."""

    request: Request
    counted: bool = False
    amount: Decimal = Decimal(0)


class Fence:
    """Lets requests out. What the guard owns may be changed; `keep` are those ids among them that must not be closed."""

    def __init__(
        self, contract: Contract, guard: Guard, *, unknown: str, run_id: str, keep: list[str], foreign: list[str]
    ) -> None:
        self._contract = contract
        self._guard = guard
        self._unknown = unknown
        self._name = f"wp-{run_id}-f"
        self._keep = frozenset(keep)
        self._foreign = set(foreign)
        self._literals = {
            segment for operation in contract.operations.values() for segment in operation.path.split("/") if "{" not in segment
        }
        self._lock = threading.Lock()

    def check(self, operation: Operation, request: Request) -> Pass | None:
        """The request as it may be sent, with other ids if need be; None if it must not be sent."""
        if request.method in ("GET", "HEAD", "OPTIONS") or (operation.id and is_safe(operation)):
            return Pass(request)
        if self._guard.mode == "read":
            return None
        amount = sum(_amounts(_read(request.body)), Decimal(0))
        if self._guard.mode == "all":
            return self._counted(request, None, amount)
        target = self._aimed(operation, request)
        if target is None:
            return None
        path, aim = target
        request = self._without_foreign(request, path)
        if any(self._is_foreign(word.encode("latin-1")) for word in _WORDS.findall(request.body.decode("latin-1"))):
            return None
        if aim == "invented":
            return Pass(request)
        return self._counted(request, aim or None, amount) or (self._nowhere(request) if aim else None)

    def settle(self, leave: Pass, seen: Observation) -> str | None:
        """Learn from an answer: give back what it did not use, and note whose ids it shows. The id of what it created."""
        if leave.counted:
            if 400 <= seen.status < 500:
                with self._lock:
                    self._guard.writes -= 1
                    self._guard.amount -= leave.amount
            elif self._creates(seen):
                created = str(seen.body["id"])
                self._guard.own(created)
                if isinstance(seen.body.get("customer_id"), str):
                    self._guard.own(seen.body["customer_id"])
                return created
        elif self._guard.mode == "own" and seen.status == 200:
            self._foreign.update(match.decode("latin-1") for match in _IDS_IN_BODY.findall(seen.response.body))
        return None

    def _creates(self, seen: Observation) -> bool:
        """Whether an answer says that something new is there, by its id."""
        if not 200 <= seen.status < 300 or not isinstance(seen.body, dict) or not isinstance(seen.body.get("id"), str | int):
            return False
        if str(seen.body["id"]) in self._foreign:
            return False
        known = seen.operation.id == "createWallet" and self._contract.name == "flexprice"
        return known or (seen.operation.method == "POST" and seen.status == 201 and not seen.operation.path.endswith("}"))

    def _counted(self, request: Request, target: str | None, amount: Decimal) -> Pass | None:
        with self._lock:
            try:
                self._guard.allow_write(target, amount)
            except Forbidden:
                return None
        return Pass(request, True, abs(amount))

    def _aimed(self, operation: Operation, request: Request) -> tuple[str, str] | None:
        """The path to send to, and the own id that it aims at: empty if it aims at none, `invented` if at nothing."""
        segments = request.path.split("/")
        aim = ""
        for number, segment in enumerate(segments):
            value = unquote(segment)
            if segment in self._literals:
                continue
            if self._guard.owns(value) and not (operation.id == "terminateWallet" and value in self._keep):
                aim = aim or value
                continue
            if not self._made_up(value):
                if not self._unknown:
                    return None
                segments[number] = quote(self._unknown, safe="")
            aim = "invented"
        if not operation.id and not aim:
            return None  # an unknown method on everything there is: nobody knows what that would do
        return "/".join(segments), aim

    def _made_up(self, value: str) -> bool:
        """Whether an id can only come from our own generator, so that nothing stands behind it."""
        if value == self._unknown:
            return True
        if not self._unknown or _ISSUED.search(value):
            return False
        return value not in self._foreign and not any(word in self._foreign for word in _WORDS.findall(value))

    def _nowhere(self, request: Request) -> Pass | None:
        if not self._unknown:
            return None
        segments = [
            quote(self._unknown, safe="") if self._guard.owns(unquote(segment)) and segment not in self._literals else segment
            for segment in request.path.split("/")
        ]
        return Pass(_changed(request, "/".join(segments), request.query_string, request.body))

    def _without_foreign(self, request: Request, path: str) -> Request:
        """The same with another path, and without ids of others' entities in query and body."""
        body = _TEXTS.sub(lambda match: f'"{self._name}"'.encode() if self._is_foreign(match[1]) else match[0], request.body)
        query = request.query_string
        if any(self._is_foreign(value.encode()) for _, value in parse_qsl(query.decode("latin-1"))):
            query = b""
        return _changed(request, path, query, body)

    def _is_foreign(self, value: bytes) -> bool:
        text = value.decode("latin-1")
        return text in self._foreign and not self._guard.owns(text)


def _changed(request: Request, path: str, query: bytes, body: bytes) -> Request:
    if (path, query, body) == (request.path, request.query_string, request.body):
        return request
    return Request(request.method, path, query, request.headers, body)


def _read(body: bytes) -> Any:
    try:
        return json.loads(body) if body else NO_JSON
    except (ValueError, RecursionError):
        return NO_JSON


def _amounts(node: Any, depth: int = 0) -> Iterator[Decimal]:
    """Everything in a body that may put money or credits in, as positive numbers."""
    if depth > 20:
        return
    if isinstance(node, dict):
        for name, value in node.items():
            if isinstance(value, str | int | float) and not isinstance(value, bool) and _AMOUNT.search(name):
                try:
                    number = Decimal(str(value))
                except InvalidOperation:
                    continue
                yield abs(number) if number.is_finite() else Decimal("1e30")
            else:
                yield from _amounts(value, depth + 1)
    elif isinstance(node, list):
        for value in node:
            yield from _amounts(value, depth + 1)
