"""What passed, judged, recorded, counted and shown; and what the client is told of it."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contract_tests.codings import Undecodable, decoded
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.finding import Finding
from contract_tests.policy import Policy
from contract_tests.results import TrafficSeen as Counted
from contract_tests.source import InputError
from contract_tests.traffic.addressing import Placed, moves_a_mock
from contract_tests.traffic.kinds import route
from contract_tests.traffic.recorded import Recorded

if TYPE_CHECKING:
    from contract_tests.traffic.examiner import Traffic
    from contract_tests.traffic.har_file import HarFile

KEPT = 1 << 20
"""Bytes of a body that are kept to be judged; what is longer only passes."""

NOT_OURS = "unjudged: not in the contract"
"""What FINDINGS says of exchanges that no contract has."""

_MOST_DECODED = 8 << 20
_AT_ONCE = 64 << 10  # bytes of bodies that are judged within a few milliseconds; for more, others need not wait
_MOST_PROBLEMS = 10

_log = logging.getLogger(__name__)


class Kept:
    """A body as far as it is kept: all of it, or nothing once it is too long."""

    def __init__(self) -> None:
        self.whole = True
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        """The next piece."""
        self.size += len(piece)
        if self.size <= KEPT:
            self._pieces.append(bytes(piece))
        elif self.whole:
            self.whole = False
            self._pieces.clear()

    @property
    def body(self) -> bytes:
        """The whole body; empty if it was not kept."""
        return b"".join(self._pieces)


@dataclass(frozen=True)
class Seen:
    """An exchange as it is shown.

    `path` has `*` for ids that people chose. `status` is None if no whole answer came; `findings` is None if it was not judged.
    """

    started: float
    method: str
    path: str
    status: int | None
    seconds: float
    findings: Sequence[Finding] | None = None
    note: str = ""


@dataclass
class Sides:
    """The two messages of an exchange, the bodies as they were on the wire. `request` has the path at the service."""

    request: Request
    origin: str
    client: str
    started: float
    sent: Kept = field(default_factory=Kept)
    answered: Kept = field(default_factory=Kept)
    seconds: float = 0.0
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of both bodies."""
        return self.sent.size + self.answered.size

    def recorded(self, number: int) -> Recorded:
        """The exchange with bodies that can be read. One that cannot be is not known."""
        sent_body, sent_known = _readable(self.sent, self.request.headers)
        body, known = _readable(self.answered, self.headers)
        request = self.request
        return Recorded(
            Exchange(
                Request(request.method, request.path, request.query_string, request.headers, sent_body),
                Response(self.status, self.headers, body),
            ),
            self.origin,
            self.started,
            self.seconds,
            self.client,
            sent_known,
            known,
            entry=number,
        )


@dataclass(frozen=True)
class Judged:
    """An exchange, what FINDINGS says of it, and the findings; None if it was not judged."""

    recorded: Recorded
    said: str
    findings: Sequence[Finding] | None = None
    placed: Placed | None = None


class Examination:
    """Judges exchanges one after the other, records and counts them. `show` is told of each."""

    def __init__(
        self,
        traffic: Traffic,
        *,
        policy: Policy,
        record: HarFile | None = None,
        show: Callable[[Seen], None] = lambda _: None,
    ) -> None:
        self.counted = Counted()
        self.blocked = 0
        self.broken_recording = ""
        self._traffic = traffic
        self._policy = policy
        self._record = record
        self._show = show
        self._turn = asyncio.Lock()

    def is_known(self, sides: Sides) -> bool:
        """Whether a request is about an operation of a contract."""
        try:
            return self._traffic.place(sides.recorded(0)) is not None
        except Exception as error:  # noqa: BLE001 - as below
            _complain("a request", error)
            return False

    async def objections(self, sides: Sides) -> list[Finding]:
        """What is wrong with a request that has no answer yet."""
        async with self._turn:
            recorded = sides.recorded(0)
            try:
                placed = self._traffic.place(recorded)
                return [] if placed is None else self._counting(self._traffic.sent(placed))
            except Exception as error:  # noqa: BLE001 - as below
                _complain("a request", error)
                return []

    def judges_at_once(self, sides: Sides) -> bool:
        """Whether an exchange is short, and nobody is before it: then a limit to waiting would cost more than it saves."""
        return sides.size <= _AT_ONCE and not self._turn.locked()

    async def judge(self, sides: Sides, known: bool) -> Judged:
        """Judge an exchange that has ended. `known`: it is about an operation of a contract."""
        async with self._turn:
            self.counted.exchanges += 1
            recorded = sides.recorded(self.counted.exchanges)
            if sides.size <= _AT_ONCE:
                return self._judge(recorded, known)
            return await asyncio.to_thread(self._judge, recorded, known)

    async def passed(self, sides: Sides, judged: Judged) -> None:
        """Record and show an exchange: now the client has its answer."""
        if self._record is not None:
            async with self._turn:
                if sides.size <= _AT_ONCE:
                    self._write(self._record, judged)
                else:
                    await asyncio.to_thread(self._write, self._record, judged)
        params = judged.placed.exchange.request.path_params.values() if judged.placed else ()
        path = route(sides.request.path, params)
        self._show(Seen(sides.started, sides.request.method, path, sides.status, sides.seconds, judged.findings))

    def unanswered(self, sides: Sides, why: str) -> None:
        """No whole answer came."""
        counted = self.counted
        counted.exchanges += 1
        counted.unusable["unanswered"] = counted.unusable.get("unanswered", 0) + 1
        if len(counted.problems) < _MOST_PROBLEMS:
            counted.problems.append(f"exchange {counted.exchanges}: {why}")
        path = route(sides.request.path)
        self._show(Seen(sides.started, sides.request.method, path, None, sides.seconds, None, why))

    def refused(self, sides: Sides, status: int, why: str, findings: Sequence[Finding] | None = None) -> None:
        """The proxy answered itself."""
        self.blocked += findings is not None
        path = route(sides.request.path)
        self._show(Seen(sides.started, sides.request.method, path, status, sides.seconds, findings, why))

    def _judge(self, recorded: Recorded, known: bool) -> Judged:
        try:
            placed = self._traffic.place(recorded) if known else None
            if placed is None:
                if moves_a_mock(recorded):
                    self._traffic.start_over()
                self.counted.elsewhere[recorded.origin] = self.counted.elsewhere.get(recorded.origin, 0) + 1
                return Judged(recorded, NOT_OURS)
            found = self._counting(self._traffic.examine(placed))
            self.counted.judged += 1
            if not recorded.answered_known:
                return Judged(recorded, "unjudged: the answer's body cannot be read", found, placed)
            return Judged(recorded, summary(found), found, placed)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in judging, the traffic must not suffer
            _complain(f"exchange {recorded.entry}", error)
            return Judged(recorded, "unjudged: internal error")

    def _write(self, record: HarFile, judged: Judged) -> None:
        if self.broken_recording:
            return
        try:
            record.add(judged.recorded, comment=f"X-Walletproof-Findings: {judged.said}")
        except InputError as error:
            self.broken_recording = str(error)
            _log.error("the recording ends with exchange %d: %s", judged.recorded.entry - 1, error)

    def _counting(self, found: Sequence[Finding]) -> list[Finding]:
        return [finding for finding in found if self._policy.counts(finding.level)]


def _complain(what: str, error: Exception) -> None:
    """Where it went wrong; the error's own words may repeat what was sent."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    _log.error("%s cannot be judged: %s at %s:%s", what, type(error).__name__, where.name, where.lineno)


def summary(found: Sequence[Finding]) -> str:
    """`0`, or `2 response.body money.balance-is-credits-times-rate`: how many, and each rule once."""
    return " ".join([str(len(found)), *dict.fromkeys(finding.rule for finding in found)])


def _readable(kept: Kept, headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bool]:
    if not kept.whole:
        return b"", False
    coding = b",".join(value for name, value in headers if name == b"content-encoding").decode("latin-1")
    if not coding or not kept.size:
        return kept.body, True
    try:
        return decoded(kept.body, coding, _MOST_DECODED), True
    except Undecodable:
        return b"", False
