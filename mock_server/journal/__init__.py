"""What was asked of the mock and what it answered, for a while.

`memory` keeps it for one process, `shared` in a log that several processes write. Noting is on the way of every request: it
does as little as it can, and whoever reads an entry pays for making sense of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from contract_tests.exchange import Response
from mock_server.call import Call

MOST_ENTRIES = 1_000
"""How many entries a session has, unless the server was started with another number."""


class Entry:
    """One exchange: `number` counts those of its session, `seconds` is how long the answer took."""

    __slots__ = ("call", "number", "response", "seconds")

    def __init__(self, number: int, seconds: float, call: Call, response: Response) -> None:
        self.number = number
        self.seconds = seconds
        self.call = call
        self.response = response

    @property
    def body_bytes(self) -> tuple[int, int]:
        """How long the bodies of request and answer were on the wire."""
        return len(self.call.request.body), len(self.response.body)

    @property
    def findings(self) -> list[dict[str, Any]] | None:
        """What was wrong, as it is shown; None if that can still be found out."""
        return None


class Kept(NamedTuple):
    """What is kept of a session: its entries, oldest first.

    `last` is the number of the latest entry, 0 if there never was one. `dropped` is how many are missing since the journal was
    last cleared: those that had to make room, and those that could not be written.
    """

    entries: Sequence[Entry]
    last: int
    dropped: int


class Journal(Protocol):
    """The latest exchanges of every session; those of the controls are not kept.

    `most` entries per session, 0 keeps none. The latest entry of a session is kept whatever its size.
    """

    most: int

    async def note(self, call: Call, response: Response, seconds: float) -> None:
        """Keep an exchange before its answer is sent; `seconds` is how long the answer took. Never fails."""
        ...

    async def kept(self, session: str) -> Kept:
        """All that is kept of a session."""
        ...

    async def clear(self, session: str) -> None:
        """Forget a session's entries; numbers go on."""
        ...

    async def forget(self, session: str) -> None:
        """Forget all about a session."""
        ...


def is_noted(call: Call) -> bool:
    """Whether a call belongs in a journal: one of a control does not."""
    return call.provider.name != "control"
