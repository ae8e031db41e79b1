"""Which defects are on: at start for all sessions, per session, per request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mock_server.defects.catalogue import find
from mock_server.defects.defect import Defect


class Board:
    """The switches. `on` is False as long as no session has any defect; a session's own set replaces the one from the start.

    `spoiled` are the sessions in which any defect ever played: what it left behind may go on breaking rules of meaning.
    """

    def __init__(self, at_start: Iterable[str] = ()) -> None:
        self.at_start = tuple(find(name) for name in dict.fromkeys(at_start))
        self.on = bool(self.at_start)
        self.spoiled: set[str] = set()
        self._sets: dict[str, tuple[Defect, ...]] = {}
        self._memory: dict[str, dict[str, dict[str, Any]]] = {}

    def of(self, session: str) -> tuple[Defect, ...]:
        """The defects of a session, in the order in which they were asked for."""
        return self._sets.get(session, self.at_start)

    def put(self, session: str, names: Iterable[str]) -> tuple[Defect, ...]:
        """Give a session another set; InputError if a name is none."""
        chosen = self._sets[session] = tuple(find(name) for name in dict.fromkeys(names))
        self._memory.pop(session, None)
        self._note()
        return chosen

    def reset(self, session: str) -> None:
        """Forget what a session was given."""
        self.spoiled.discard(session)
        self._sets.pop(session, None)
        self._memory.pop(session, None)
        self._note()

    def memory(self, session: str, defect: Defect) -> dict[str, Any]:
        """What a defect keeps between requests of a session."""
        return self._memory.setdefault(session, {}).setdefault(defect.name, {})

    def _note(self) -> None:
        self.on = bool(self.at_start or any(self._sets.values()))
