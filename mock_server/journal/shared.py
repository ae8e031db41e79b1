"""A journal in a log that several processes write: what any of them has answered, all of them tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from contract_tests.exchange import Response
from mock_server.call import Call, Provider
from mock_server.event_log import EventLog, LogUnavailable
from mock_server.journal import MOST_ENTRIES, Entry, Kept, is_noted
from mock_server.journal.findings import Judges
from mock_server.journal.records import entry_of, line_of, record_of
from mock_server.sessions import MOST_SESSIONS

log = logging.getLogger("walletproof")

_AT_A_TIME = 50  # as many entries are read before others have their turn


class LogJournal:
    """Writes every exchange to the log before it is answered, without the secrets in it. The log bounds what it takes.

    An exchange whose entry cannot be written is answered all the same, for what was asked has been done: the entry is lost,
    and counts as dropped.
    """

    def __init__(self, event_log: EventLog, providers: Mapping[str, Provider], most: int = MOST_ENTRIES) -> None:
        self.most = most
        self._log = event_log
        self._providers = providers
        self._judges = Judges({name: provider.contract for name, provider in providers.items()})
        self._untold: dict[str, int] = {}  # lost entries by session, until a later one tells of them
        self._lost = 0  # of all sessions since the log became unavailable

    async def note(self, call: Call, response: Response, seconds: float) -> None:
        """Write an exchange; `seconds` is how long the answer took."""
        if not self.most or not is_noted(call):
            return
        session = call.session
        untold = self._untold.pop(session, 0) if self._untold else 0
        try:
            await self._log.record(session, record_of(call, response, seconds, untold, self._judges), self.most)
        except LogUnavailable as problem:
            self._miss(session, untold + 1)
            if not self._lost:
                log.warning("entries of the journal are lost, until it can be written again: %s", problem)
            self._lost += 1
        except Exception:
            self._miss(session, untold + 1)
            log.exception("an entry of %s could not be written", call.operation.id if call.operation else "no operation")
        else:
            if self._lost:
                log.warning("the journal is written again; %d entries were lost", self._lost)
                self._lost = 0

    async def kept(self, session: str) -> Kept:
        """All that is kept of a session; LogUnavailable if it cannot be read."""
        last, dropped, records = await self._log.records(session)
        dropped += self._untold.get(session, 0)
        entries: list[Entry] = []
        for index, record in enumerate(records, 1):
            line = line_of(record)
            dropped += line.lost
            entry = entry_of(record.number, session, line, self._providers)
            if entry is None:
                dropped += 1
            else:
                entries.append(entry)
            if index % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        return Kept(entries, last, dropped)

    async def clear(self, session: str) -> None:
        """Forget a session's entries; numbers go on. LogUnavailable if that cannot be done."""
        await self._log.clear_records(session)
        self._untold.pop(session, None)

    async def forget(self, session: str) -> None:
        """Forget all about a session; LogUnavailable if that cannot be done."""
        await self._log.clear_records(session, forget=True)
        self._untold.pop(session, None)

    def _miss(self, session: str, entries: int) -> None:
        if session in self._untold or len(self._untold) < MOST_SESSIONS:
            self._untold[session] = self._untold.get(session, 0) + entries
