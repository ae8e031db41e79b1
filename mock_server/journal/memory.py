"""A journal that lives as long as the process."""

from __future__ import annotations

from collections import OrderedDict, deque

from contract_tests.exchange import Response
from mock_server.call import Call
from mock_server.journal import MOST_ENTRIES, Entry, Kept, is_noted
from mock_server.sessions import Sessions, TooManySessions

MOST_OF_A_SESSION = 4 << 20
MOST_IN_ALL = 32 << 20
"""How many bytes of memory the entries of a session, and of all sessions, may take."""

_OF_EACH = 2_700  # what an entry takes in memory besides its texts, measured


class Shelf:
    """The entries of a session, oldest first.

    `last` is the number of the latest one, `dropped` how many had to make room, `weight` what all take in bytes.
    """

    __slots__ = ("dropped", "entries", "last", "weight", "weights")

    def __init__(self, last: int = 0, dropped: int = 0) -> None:
        self.entries: deque[Entry] = deque()
        self.weights: deque[int] = deque()  # of each entry
        self.last = last
        self.dropped = dropped
        self.weight = 0

    def drop(self) -> int:
        """Let the oldest entry go; its weight."""
        self.entries.popleft()
        weight = self.weights.popleft()
        self.weight -= weight
        self.dropped += 1
        return weight


class MemoryJournal:
    """Keeps exchanges as they are: nothing is written, and a session that ends takes its entries with it."""

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
        sessions.at_end(self._forget)

    async def note(self, call: Call, response: Response, seconds: float) -> None:
        """Keep an exchange; `seconds` is how long the answer took."""
        if not self.most or not is_noted(call):
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
        shelf.entries.append(Entry(shelf.last, seconds, call, response))
        shelf.weights.append(weight)
        shelf.weight += weight
        self._weight += weight
        while len(shelf.entries) > self.most or (shelf.weight > self._most_of_a_session and len(shelf.entries) > 1):
            self._weight -= shelf.drop()
        if self._weight > self._most_in_all:
            self._make_room()

    async def kept(self, session: str) -> Kept:
        """All that is kept of a session."""
        shelf = self._shelves.get(session)
        return Kept(tuple(shelf.entries), shelf.last, shelf.dropped) if shelf else Kept((), *self._emptied.get(session, (0, 0)))

    async def clear(self, session: str) -> None:
        """Forget a session's entries; numbers go on."""
        self._clear(session)

    async def forget(self, session: str) -> None:
        """Forget all about a session."""
        self._forget(session)

    def _clear(self, session: str) -> None:
        shelf = self._shelves.pop(session, None)
        if shelf is not None:
            self._weight -= shelf.weight
            self._emptied[session] = (shelf.last, 0)

    def _forget(self, session: str) -> None:
        self._clear(session)
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
