"""A journal in a log that several processes write: what any of them has answered, all of them tell."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextvars import Context
from typing import NamedTuple

from contract_tests.exchange import Response
from mock_server.call import Call, Provider
from mock_server.event_log import PATIENCE, EventLog, LogUnavailable, Patience
from mock_server.journal import MOST_ENTRIES, Entry, Kept, is_noted
from mock_server.journal.findings import Judges
from mock_server.journal.records import entry_of, line_of, record_of
from mock_server.logs.rows import JOURNAL_BYTES
from mock_server.sessions import MOST_SESSIONS

log = logging.getLogger("walletproof")

_AT_A_TIME = 50  # as many entries are read before others have their turn
_MOST_AT_ONCE = 200  # entries that are written together
_PATIENCE = 0.5  # seconds: what was asked has been done, and nobody should wait for its entry


class _Waiting(NamedTuple):
    """An entry that is to be written. `lost` counts it, and those before it that it tells of, should it be lost as well."""

    session: str
    entry: bytes
    lost: int
    written: asyncio.Future[None]


class LogJournal:
    """Writes every exchange to the log before it is answered, without the secrets in it. The log bounds what it takes.

    Entries that come while others are being written go together afterwards, in their order: that costs the log far less.

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
        self._waiting: deque[_Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def note(self, call: Call, response: Response, seconds: float) -> None:
        """Write an exchange; `seconds` is how long the answer took."""
        if not self.most or not is_noted(call):
            return
        session = call.session
        untold = self._untold.pop(session, 0) if self._untold else 0
        try:
            entry = record_of(call, response, seconds, untold, self._judges)
        except Exception:
            self._miss(session, untold + 1)
            log.exception("an entry of %s could not be written", call.operation.id if call.operation else "no operation")
            return
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(session, entry, untold + 1, written))
        if self._writing is None:
            # In a context of its own: entries of many requests go along, whatever patience each of them has.
            self._writing = asyncio.create_task(self._write(), context=Context())
        await written

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

    async def _write(self) -> None:
        """Write what waits, as much as there is at once, until nothing does."""
        try:
            while self._waiting:
                batch = self._batch()
                PATIENCE.set(Patience(_PATIENCE))
                await self._record(batch)
                for waiting in batch:
                    if not waiting.written.done():  # else whoever asked has gone
                        waiting.written.set_result(None)
        finally:
            self._writing = None

    def _batch(self) -> Sequence[_Waiting]:
        """Those that have waited longest."""
        batch, size = list[_Waiting](), 0
        while self._waiting and len(batch) < _MOST_AT_ONCE and size < JOURNAL_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].entry)
        return batch

    async def _record(self, batch: Sequence[_Waiting]) -> None:
        try:
            await self._log.record([(waiting.session, waiting.entry) for waiting in batch], self.most)
        except LogUnavailable as problem:
            self._miss_all(batch)
            if not self._lost:
                log.warning("entries of the journal are lost, until it can be written again: %s", problem)
            self._lost += len(batch)
        except Exception:
            self._miss_all(batch)
            log.exception("entries of the journal could not be written")
        else:
            if self._lost:
                log.warning("the journal is written again; %d entries were lost", self._lost)
                self._lost = 0

    def _miss_all(self, batch: Sequence[_Waiting]) -> None:
        for waiting in batch:
            self._miss(waiting.session, waiting.lost)

    def _miss(self, session: str, entries: int) -> None:
        if session in self._untold or len(self._untold) < MOST_SESSIONS:
            self._untold[session] = self._untold.get(session, 0) + entries
