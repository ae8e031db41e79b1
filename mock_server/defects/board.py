"""Which defects are on: at start for all sessions, per session, per request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from contract_tests.exchange import RawHeaders
from mock_server.defects.catalogue import find
from mock_server.defects.defect import Defect

_PREFERENCE = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^,"])+')  # commas separate, unless they are quoted
_DEFECT = re.compile(r'\s*defect\s*=\s*"?([^"\s;]*)"?\s*(?:;.*)?', re.IGNORECASE)


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


def wished(headers: RawHeaders) -> Sequence[Defect]:
    """The defects that a request asks for with `Prefer: defect=NAME` (RFC 7240); InputError if a name is none."""
    given = b",".join(value for name, value in headers if name == b"prefer").decode("latin-1")
    matches = (_DEFECT.fullmatch(preference) for preference in _PREFERENCE.findall(given))
    return [find(name) for name in dict.fromkeys(match[1] for match in matches if match)]
