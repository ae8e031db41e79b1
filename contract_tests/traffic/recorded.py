"""What a recording holds: exchanges with their time and place, and entries that cannot be judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from contract_tests.exchange import Exchange

Reason = Literal["unreadable", "unanswered", "cached"]
"""`unreadable`: broken, so nobody knows what it says; `unanswered`: no answer came (refused, blocked, cancelled, a
websocket); `cached`: the client answered itself, from its cache."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One exchange that others sent.

    The request's path is as it was on the wire: percent-encoded, with whatever stands before the contract's paths.
    `origin` is scheme, host and, unless it is the scheme's own, port, all in lower case: `https://api.example.com`.
    `started` is in seconds since 1970, `seconds` how long it took until the answer was whole (0 if nobody knows).
    `client` tells who sent it, where the recording knows; empty if not. A body that was not kept, or only in part, is
    empty, and `sent_known` or `answered_known` is false.
    """

    exchange: Exchange
    origin: str
    started: float
    seconds: float
    client: str = ""
    sent_known: bool = True
    answered_known: bool = True
    file: str = ""
    entry: int = 0  # counted from 1

    @property
    def place(self) -> str:
        """`shop.har: entry 17`."""
        return f"{self.file}: entry {self.entry}" if self.file else f"exchange {self.entry}"


@dataclass(frozen=True, slots=True)
class Unusable:
    """An entry that cannot be judged, and why. `entry` is 0 where it is about the whole file, or what is left of it."""

    file: str
    entry: int
    reason: Reason
    why: str

    def __str__(self) -> str:
        return f"{self.file}: entry {self.entry}: {self.why}" if self.entry else f"{self.file}: {self.why}"
