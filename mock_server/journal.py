"""What was asked of the mock and what it answered, for a while.

Noting is on the way of every request: it keeps what is there already, and whoever reads an entry pays for making sense of it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from contract_tests.exchange import Response
from mock_server.call import Call
from mock_server.sessions import Sessions, TooManySessions

MOST_ENTRIES = 1_000
"""How many entries a session has, unless the server was started with another number."""

MOST_OF_A_SESSION = 4 << 20
MOST_IN_ALL = 32 << 20
"""How many bytes of memory the entries of a session, and of all sessions, may take."""

_OF_EACH = 2_700  # what an entry takes in memory besides its texts, measured
_UNNOTED = "control"


class Entry:
    """One exchange: `number` counts those of its session, `seconds` is how long the answer took."""

    __slots__ = ("call", "number", "response", "seconds", "weight")

    def __init__(self, number: int, seconds: float, call: Call, response: Response, weight: int) -> None:
        self.number = number
        self.seconds = seconds
        self.call = call
        self.response = response
        self.weight = weight


class Shelf:
    """The entries of a session, oldest first.

    `last` is the number of the latest one, `dropped` how many had to make room, `weight` what all take in bytes.
    """

    __slots__ = ("dropped", "entries", "last", "weight")

    def __init__(self, last: int = 0, dropped: int = 0) -> None:
        self.entries: deque[Entry] = deque()
        self.last = last
        self.dropped = dropped
        self.weight = 0

    def drop(self) -> int:
        """Let the oldest entry go; its weight."""
        weight = self.entries.popleft().weight
        self.weight -= weight
        self.dropped += 1
        return weight


class Journal:
    """The latest exchanges of every session; those of the controls are not kept.

    `most` entries per session, 0 keeps none. The latest entry of a session is kept whatever its size.
    """

    def __init__(
        self,
        sessions: Sessions,
        most: int = MOST_ENTRIES,
        *,
        most_of_a_session: int = MOST_OF_A_SESSION,
        most_in_all: int = MOST_IN_ALL,
    ) -> None:
        self.most = most
        self._most_of_a_session = most_of_a_session
        self._most_in_all = most_in_all
        self._sessions = sessions
        self._weight = 0
        self._shelves: OrderedDict[str, Shelf] = OrderedDict()  # the least recently used first; none is empty for long
        self._emptied: dict[str, tuple[int, int]] = {}  # `last` and `dropped` of sessions whose entries all made room
        sessions.at_end(self.forget)

    def note(self, call: Call, response: Response, seconds: float) -> None:
        """Keep an exchange; `seconds` is how long the answer took."""
        if not self.most or call.provider.name == _UNNOTED:
            return
        session = call.session
        shelf = self._shelves.get(session)
        if shelf is None:
            shelf = self._new_shelf(session)
            if shelf is None:
                return
        else:
            self._shelves.move_to_end(session)
        request = call.request
        header = request.header
        weight = (
            _OF_EACH
            + len(request.path)
            + len(request.query_string)
            + len(request.body)
            + len(b"".join(header))
            + len(b"".join(header.values()))
            + len(response.body)
        )
        shelf.last += 1
        shelf.entries.append(Entry(shelf.last, seconds, call, response, weight))
        shelf.weight += weight
        self._weight += weight
        while len(shelf.entries) > self.most or (shelf.weight > self._most_of_a_session and len(shelf.entries) > 1):
            self._weight -= shelf.drop()
        if self._weight > self._most_in_all:
            self._make_room()

    def entries(self, session: str) -> Sequence[Entry]:
        """What is kept of a session, oldest first."""
        shelf = self._shelves.get(session)
        return tuple(shelf.entries) if shelf else ()

    def counts(self, session: str) -> tuple[int, int]:
        """The number of a session's latest entry (0 if there never was one), and how many entries had to make room."""
        shelf = self._shelves.get(session)
        return (shelf.last, shelf.dropped) if shelf else self._emptied.get(session, (0, 0))

    def clear(self, session: str) -> None:
        """Forget a session's entries; numbers go on."""
        shelf = self._shelves.pop(session, None)
        if shelf is not None:
            self._weight -= shelf.weight
            self._emptied[session] = (shelf.last, 0)

    def forget(self, session: str) -> None:
        """Forget all about a session."""
        self.clear(session)
        self._emptied.pop(session, None)

    def _new_shelf(self, session: str) -> Shelf | None:
        """A shelf for a session that is in use, so that its end ends the shelf; None where there is no room for one more."""
        try:
            self._sessions.get(session)
        except TooManySessions:
            return None
        shelf = self._shelves[session] = Shelf(*self._emptied.pop(session, (0, 0)))
        return shelf

    def _make_room(self) -> None:
        while self._weight > self._most_in_all:
            session, shelf = next(iter(self._shelves.items()))
            if len(shelf.entries) == 1:
                if len(self._shelves) == 1:
                    return
                self._emptied[session] = (shelf.last, shelf.dropped + 1)
                del self._shelves[session]
            self._weight -= shelf.drop()
