"""A log in an SQLite file: it outlives the process, and several processes of one machine share it.

Every write is on the disk before anybody is told of it (but for the journal's, which only a failing machine can lose). Calls run
where they are made, since they take less time than handing them to a thread; only for the one lock that writers share they wait.
`flush` waits for the disk, in a thread, and once for all who wait.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import weakref
from collections.abc import Callable, Container, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from contract_tests.source import InputError
from mock_server.event_codec import encode
from mock_server.event_log import NOWHERE, Conflict, Event, Head, Listing, LogUnavailable, Record, Records, Tail, patience
from mock_server.logs.rows import JOURNAL_BYTES, PACKED, Row, by_session, events_of, packs_of
from mock_server.logs.sqlite_file import check, connect, primary_code, reason
from mock_server.logs.syncing import GroupSync

_NOW = "(julianday('now') - 2440587.5) * 86400.0"  # seconds since 1970

_TURNS = 5  # of the event loop, before whoever waits for a lock sleeps

_SAME = "SELECT generation = ? AND position = ? AND revision = ? FROM sessions WHERE name = ?"
_HEAD = "SELECT generation, position, revision, desk, id FROM sessions WHERE name = ?"
_TAIL = "SELECT position, event, pack FROM events WHERE generation = ? AND position > ? ORDER BY position"
_JOURNAL = "SELECT s.id, j.last, j.first, j.size FROM sessions s JOIN journals j ON j.session = s.id WHERE s.name = ?"
_BEGIN = f"INSERT INTO sessions (name, generation, used) VALUES (?, ?, {_NOW})"
_ADD = "INSERT INTO events (generation, position, event) VALUES (?, ?, ?)"

_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
"""What does not let a file be written for a while: on a full disk it can be read, as long as it is not opened again."""

_T = TypeVar("_T")


class SqliteLog:
    """The log in a file that `settle` made. It is opened when first needed, and anew after whatever was wrong with it."""

    shared = True

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._sync = GroupSync(path)
        _logs.add(self)

    def describe(self) -> str:
        """What a banner says of it."""
        return f"sqlite:{self._path}"

    async def catch_up(self, session: str, known: Head) -> Tail | None:
        """What has happened since a head; None if nothing has."""
        try:  # every request asks this, so it does nothing else while there is nothing new
            same = (self._connection or self._open()).execute(_SAME, (*known, session)).fetchone()
        except sqlite3.Error:
            same = ()  # what is wrong is dealt with below
        if same is None:
            return None if known.generation == 0 else Tail(NOWHERE, (), b"")
        if same and same[0]:
            return None

        def look(connection: sqlite3.Connection) -> tuple[Head, bytes, int, Sequence[Row]]:
            found = connection.execute(_HEAD, (session,)).fetchone()
            if found is None:
                return NOWHERE, b"", 0, ()
            head = Head(*found[:3])
            after = known.position if head.generation == known.generation else 0
            return head, found[3], after, connection.execute(_TAIL, (head.generation, after)).fetchall()

        head, desk, after, rows = await self._read(look)
        if head == known:
            return None
        told = head.generation == known.generation and head.revision == known.revision
        return Tail(head, events_of(session, rows, after), None if told else desk)

    async def read(self, session: str, after: int = 0) -> Sequence[Event]:
        """The session's events after a position, in order."""
        sql = _TAIL.replace("= ?", "= (SELECT generation FROM sessions WHERE name = ?)")
        rows = await self._read(lambda connection: connection.execute(sql, (session, after)).fetchall())
        return events_of(session, rows, after)

    async def append(self, session: str, events: Sequence[Event], at: Head) -> Head:
        """Append all events or none; Conflict unless generation and position are still those of `at`."""
        texts = [encode(event) for event in events]

        def add(connection: sqlite3.Connection) -> Head:
            return _added(connection, session, _expected_at(connection, session, at), texts)

        return await self._write(add)

    async def rewrite(self, session: str, events: Sequence[Event], at: Head | None = None) -> Head:
        """Put these events in the place of all there are; Conflict unless generation and position are those of `at`, if given."""
        texts = [encode(event) for event in events]

        def replace(connection: sqlite3.Connection) -> Head:
            head = _begun(connection, session)[0] if at is None else _expected_at(connection, session, at)
            connection.execute("DELETE FROM events WHERE generation = ?", (head.generation,))
            generation = _next_generation(connection)
            connection.execute("UPDATE sessions SET generation = ?, position = 0 WHERE name = ?", (generation, session))
            return _added(connection, session, Head(generation, 0, head.revision), texts)

        return await self._write(replace)

    async def put_desk(self, session: str, desk: bytes, at: Head) -> Head:
        """Replace the desk; Conflict unless generation and revision are still those of `at`."""

        def put(connection: sqlite3.Connection) -> Head:
            head = _expected(connection, session, at)
            if head.revision != at.revision:
                raise Conflict(f"the desk of session {session!r} is at {head.revision}, not {at.revision}")
            connection.execute("UPDATE sessions SET desk = ?, revision = revision + 1 WHERE name = ?", (desk, session))
            return head._replace(revision=head.revision + 1)

        return await self._write(put)

    async def touch(self, sessions: Iterable[str]) -> None:
        """These sessions are in use now; those that are not there begin."""
        names = tuple(sessions)

        def use(connection: sqlite3.Connection) -> None:
            for name in names:
                if not connection.execute(f"UPDATE sessions SET used = {_NOW} WHERE name = ?", (name,)).rowcount:
                    _begun(connection, name)

        if names:
            await self._write(use)

    async def sessions(self) -> Sequence[Listing]:
        """All sessions, the least recently used first."""
        sql = f"SELECT name, generation, position, revision, max(0.0, {_NOW} - used) FROM sessions ORDER BY used, id"
        rows = await self._read(lambda connection: connection.execute(sql).fetchall())
        return [Listing(name, Head(*head), idle) for name, *head, idle in rows]

    async def forget(self, session: str) -> None:
        """The session ends, with all that belongs to it."""

        def end(connection: sqlite3.Connection) -> None:
            found = connection.execute("DELETE FROM sessions WHERE name = ? RETURNING id, generation", (session,)).fetchone()
            if found is not None:
                connection.execute("DELETE FROM events WHERE generation = ?", found[1:])
                for table in ("kept", "journals", "records"):
                    connection.execute(f"DELETE FROM {table} WHERE session = ?", found[:1])

        await self._write(end)

    def release(self, session: str) -> None:
        """Other processes may need it."""

    async def keep(self, session: str, name: str, value: bytes | None) -> None:
        """Keep something under a name; None: keep nothing there."""

        def put(connection: sqlite3.Connection) -> None:
            if value is None:
                sql = "DELETE FROM kept WHERE session = (SELECT id FROM sessions WHERE name = ?) AND name = ?"
                connection.execute(sql, (session, name))
            else:
                _, number = _begun(connection, session)
                connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (number, name, value))

        await self._write(put)

    async def kept(self, session: str, name: str) -> bytes | None:
        """What is kept under a name."""
        sql = "SELECT value FROM kept WHERE session = (SELECT id FROM sessions WHERE name = ?) AND name = ?"
        found = await self._read(lambda connection: connection.execute(sql, (session, name)).fetchone())
        return found[0] if found else None

    async def keeping(self, name: str) -> Sequence[str]:
        """The sessions that keep something under a name."""
        sql = "SELECT sessions.name FROM kept JOIN sessions ON id = session WHERE kept.name = ? ORDER BY id"
        return [row[0] for row in await self._read(lambda connection: connection.execute(sql, (name,)).fetchall())]

    async def lease(self, name: str, holder: str, span: timedelta) -> bool:
        """Have a name to oneself for a while."""
        sql = (
            f"INSERT INTO leases VALUES (?, ?, {_NOW} + ?)"
            " ON CONFLICT DO UPDATE SET holder = excluded.holder, until = excluded.until"
            f" WHERE holder = excluded.holder OR until <= {_NOW}"
        )
        row = (name, holder, span.total_seconds())
        return await self._write(lambda connection: connection.execute(sql, row).rowcount == 1)

    async def record(self, entries: Sequence[tuple[str, bytes]], most: int) -> None:
        """Add entries to the journals of their sessions."""
        sorted_out = by_session(entries)

        def add(connection: sqlite3.Connection) -> None:
            for session, latest in sorted_out.items():
                _record(connection, session, latest, most)

        await self._write(add, durable=False)

    async def records(self, session: str) -> Records:
        """A session's journal."""

        def look(connection: sqlite3.Connection) -> Records:
            sql = "SELECT session, last, first, cleared FROM journals WHERE session = (SELECT id FROM sessions WHERE name = ?)"
            found = connection.execute(sql, (session,)).fetchone()
            if found is None:
                return Records(0, 0, ())
            number, last, first, cleared = found
            rows = connection.execute("SELECT number, entry FROM records WHERE session = ? ORDER BY number", (number,))
            return Records(last, first - 1 - cleared, tuple(Record(*row) for row in rows))

        return await self._read(look)

    async def clear_records(self, session: str, *, forget: bool = False) -> None:
        """Drop a session's journal."""

        def clear(connection: sqlite3.Connection) -> None:
            change = "DELETE FROM journals" if forget else "UPDATE journals SET first = last + 1, cleared = last, size = 0"
            for begin in ("DELETE FROM records", change):
                connection.execute(f"{begin} WHERE session = (SELECT id FROM sessions WHERE name = ?)", (session,))

        await self._write(clear)

    async def compact(self, session: str, position: int) -> None:
        """Store the events up to a position in less room."""

        def look(connection: sqlite3.Connection) -> tuple[int, Sequence[Row]]:
            found = connection.execute(_HEAD, (session,)).fetchone()
            generation = found[0] if found else 0
            full = (
                "SELECT position FROM events WHERE generation = ? AND position <= ? AND pack IS NOT NULL AND position % ? = 0"
                " ORDER BY position DESC LIMIT 1"
            )
            (start,) = connection.execute(full, (generation, position, PACKED)).fetchone() or (0,)
            sql = _TAIL.replace("position > ?", "position > ? AND position <= ?")
            return generation, connection.execute(sql, (generation, start, position)).fetchall()

        generation, rows = await self._read(look)
        if len(rows) < 2:
            return
        packs = await asyncio.to_thread(packs_of, rows)

        def put(connection: sqlite3.Connection) -> None:
            sql = "DELETE FROM events WHERE generation = ? AND position BETWEEN ? AND ?"
            gone = connection.execute(sql, (generation, rows[0][0], rows[-1][0])).rowcount
            if gone != len(rows):
                raise Conflict("the session was rewritten, or compacted, meanwhile")
            connection.executemany(
                "INSERT INTO events (generation, position, pack) VALUES (?, ?, ?)", [(generation, *row) for row in packs]
            )

        try:
            await self._write(put)
        except Conflict:
            return  # nothing is left to do

    async def flush(self) -> None:
        """Return once all that this process has written, but for the journal, is on the disk."""
        try:
            await self._sync.flush()
        except OSError as error:
            raise LogUnavailable(f"the log {self._path}: {error.strerror}") from None

    async def close(self) -> None:
        """Close the file."""
        self.disconnect()

    def disconnect(self) -> None:
        """Close the file, also where nothing can be awaited."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do something that sees everything as it is at one moment."""
        return await self._when_free(lambda: self._transact("BEGIN", work), (sqlite3.SQLITE_BUSY,))

    async def _write(self, work: Callable[[sqlite3.Connection], _T], *, durable: bool = True) -> _T:
        """Do all of something or nothing; not `durable`: a machine that fails may lose it, a process that does may not."""

        def transact() -> _T:
            self._current()
            return self._transact("BEGIN IMMEDIATE", work)

        result = await self._when_free(transact, _PASSING)
        if durable:
            self._sync.wrote()
        return result

    async def _when_free(self, work: Callable[[], _T], passing: Container[int]) -> _T:
        """Try until no other process is in the way, which holds up nothing but this call.

        After trouble the file is opened anew, unless it is `passing`.
        """
        left = patience()
        turns = _TURNS
        pause = 0.0
        while True:
            try:
                return work()
            except sqlite3.Error as error:
                code = primary_code(error)
                if code != sqlite3.SQLITE_BUSY or not left.seconds:
                    if code not in passing:
                        self.disconnect()
                    raise LogUnavailable(f"the log {self._path}: {reason(error)}") from None
            with left.waiting():
                await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311 - those who wait do not come back together
            # Others of this process have their turn first, which is as long as most locks last.
            turns -= 1
            pause = 0.0 if turns > 0 else min(2 * pause or 0.0005, 0.005)

    def _transact(self, begin: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
        connection = self._connection or self._open()
        connection.execute(begin)
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def _open(self) -> sqlite3.Connection:
        file = self._identity()
        connection = connect(self._path)
        try:
            ours = check(connection, self._path)
        except sqlite3.Error:
            connection.close()
            raise
        except InputError as problem:
            connection.close()
            raise LogUnavailable(str(problem)) from None
        if not ours:
            connection.close()
            raise LogUnavailable(f"the log {self._path}: the file is empty")
        self._connection, self._file = connection, file
        return connection

    def _current(self) -> sqlite3.Connection:
        """The connection, to the file that is there now: one that was deleted could still be written to, but not read again."""
        connection = self._connection or self._open()
        if self._identity() == self._file:
            return connection
        self.disconnect()
        return self._open()

    def _identity(self) -> tuple[int, int]:
        try:
            status = Path(self._path).stat()
        except OSError as error:
            self.disconnect()
            raise LogUnavailable(f"the log {self._path}: {error.strerror}") from None
        return status.st_dev, status.st_ino


def _begun(connection: sqlite3.Connection, session: str) -> tuple[Head, int]:
    """The head and the number of a session that begins if it is not there."""
    found = connection.execute(_HEAD, (session,)).fetchone()
    if found is not None:
        return Head(*found[:3]), found[4]
    generation = _next_generation(connection)
    number = connection.execute(_BEGIN, (session, generation)).lastrowid
    assert number is not None
    return Head(generation), number


def _expected(connection: sqlite3.Connection, session: str, at: Head) -> Head:
    """The head of a session if it is still of a generation, begun if it should not be there and is not."""
    found = connection.execute(_HEAD, (session,)).fetchone()
    if found is None and at == NOWHERE:
        return _begun(connection, session)[0]
    if found is None or found[0] != at.generation:
        raise Conflict(f"session {session!r} has begun anew")
    return Head(*found[:3])


def _expected_at(connection: sqlite3.Connection, session: str, at: Head) -> Head:
    """The head of a session if generation and position are still those of `at`."""
    head = _expected(connection, session, at)
    if head.position != at.position:
        raise Conflict(f"session {session!r} is at {head.position}, not {at.position}")
    return head


def _added(connection: sqlite3.Connection, session: str, head: Head, texts: Sequence[str]) -> Head:
    """Add events at a head; the head after them."""
    if texts:
        numbered = enumerate(texts, head.position + 1)
        connection.executemany(_ADD, [(head.generation, position, text) for position, text in numbered])
        connection.execute("UPDATE sessions SET position = position + ? WHERE name = ?", (len(texts), session))
    return head._replace(position=head.position + len(texts))


def _record(connection: sqlite3.Connection, session: str, entries: Sequence[bytes], most: int) -> None:
    """Add entries to a session's journal, and drop those that have to make room."""
    found = connection.execute(_JOURNAL, (session,)).fetchone()
    if found is None:
        number, last, first, size = _begun(connection, session)[1], 0, 1, 0
        connection.execute("INSERT INTO journals VALUES (?, 0, 1, 0, 0)", (number,))
    else:
        number, last, first, size = found
    oldest = first
    rows = []
    for entry in entries:
        last += 1
        rows.append((number, last, size, entry))
        size += len(entry)
    connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
    first = max(first, last - most + 1)
    if size > JOURNAL_BYTES:
        fitting = "SELECT number FROM records WHERE session = ? AND number >= ? AND before >= ? ORDER BY number LIMIT 1"
        (first,) = connection.execute(fitting, (number, first, size - JOURNAL_BYTES)).fetchone() or (last,)
    if first > oldest:
        connection.execute("DELETE FROM records WHERE session = ? AND number < ?", (number, first))
    connection.execute("UPDATE journals SET last = ?, first = ?, size = ? WHERE session = ?", (last, first, size, number))


def _next_generation(connection: sqlite3.Connection) -> int:
    (generation,) = connection.execute("UPDATE counter SET generation = generation + 1 RETURNING generation").fetchone()
    return int(generation)


_logs: weakref.WeakSet[SqliteLog] = weakref.WeakSet()


def _disconnect_all() -> None:
    """A child must not have a connection of its parent's, not even one that it does not use: they would share locks."""
    for log in tuple(_logs):
        log.disconnect()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(before=_disconnect_all)
