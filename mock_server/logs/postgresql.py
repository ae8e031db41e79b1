"""A log in a PostgreSQL database: several machines share it.

What is asked for most takes one exchange with the server: an append, whether anything is new, an entry of the journal. Times
are the server's, so that machines need not agree on them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from datetime import timedelta
from itertools import accumulate, repeat
from typing import Any

import asyncpg

from mock_server.event_codec import encode
from mock_server.event_log import (
    NOWHERE,
    Conflict,
    Event,
    Head,
    Listing,
    LogUnavailable,
    Patience,
    Record,
    Records,
    Tail,
    patience,
)
from mock_server.logs.postgresql_database import CONNECT, TROUBLE, reason, shown
from mock_server.logs.rows import JOURNAL_BYTES, PACKED, Row, by_session, events_of, packs_of

_ANSWER = 5.0  # seconds in which the server has to answer
_TO_SAY_SO = 0.3  # more, in which it can tell what keeps it
_CONNECTIONS = 8  # of a process, at most
_SETTINGS = {
    "application_name": "walletproof",
    "search_path": "walletproof",
    "statement_timeout": str(int(_ANSWER * 1000)),
    # A process that stands still in the middle of something does not hold up the others for long.
    "idle_in_transaction_session_timeout": str(int(_ANSWER * 1000)),
    # A plan is made once, while tables are small, and used while they grow: it has to go by the keys from the beginning.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}

_ADDED = """added AS (
  INSERT INTO events (generation, position, event)
  SELECT generation, position - cardinality($2::text[]) + number, text
  FROM head, unnest($2::text[]) WITH ORDINALITY AS e (text, number)
) SELECT generation, position, revision FROM head"""
_APPEND = f"""WITH head AS (
  UPDATE sessions SET position = position + cardinality($2::text[]) WHERE name = $1 AND generation = $3 AND position = $4
  RETURNING generation, position, revision
), {_ADDED}"""
_APPEND_FIRST = f"""WITH head AS (
  INSERT INTO sessions (name, position) VALUES ($1, cardinality($2::text[])) ON CONFLICT (name) DO NOTHING
  RETURNING generation, position, revision
), {_ADDED}"""
_REWRITE = f"""WITH head AS (
  UPDATE sessions SET generation = nextval('generations'), position = cardinality($2::text[]) WHERE name = $1
  RETURNING generation, position, revision
), {_ADDED}"""

_PUT_DESK = """UPDATE sessions SET desk = $2, revision = revision + 1 WHERE name = $1 AND generation = $3 AND revision = $4
RETURNING generation, position, revision"""
_PUT_DESK_FIRST = """INSERT INTO sessions (name, desk, revision) VALUES ($1, $2, 1) ON CONFLICT (name) DO NOTHING
RETURNING generation, position, revision"""

_BEGIN = "INSERT INTO sessions (name) VALUES ($1) ON CONFLICT (name) DO NOTHING"
_BEGIN_ALL = "INSERT INTO sessions (name) SELECT name FROM unnest($1::text[]) AS u (name) ORDER BY name ON CONFLICT DO NOTHING"
_TOUCH = """INSERT INTO sessions (name) SELECT name FROM unnest($1::text[]) AS u (name) ORDER BY name
ON CONFLICT (name) DO UPDATE SET used = clock_timestamp()"""

_NEWS = """SELECT asked.number, s.generation, s.position, s.revision,
  CASE WHEN s.generation <> asked.generation OR s.revision <> asked.revision THEN s.desk END AS desk,
  tail.positions, tail.events, tail.packs
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY
  AS asked (name, generation, position, revision, number)
LEFT JOIN sessions s ON s.name = asked.name
LEFT JOIN LATERAL (
  SELECT array_agg(e.position ORDER BY e.position) AS positions, array_agg(e.event ORDER BY e.position) AS events,
    array_agg(e.pack ORDER BY e.position) AS packs
  FROM events e
  WHERE e.generation = s.generation AND e.position > CASE WHEN s.generation = asked.generation THEN asked.position ELSE 0 END
) tail ON true
WHERE (coalesce(s.generation, 0), coalesce(s.position, 0), coalesce(s.revision, 0))
  IS DISTINCT FROM (asked.generation, asked.position, asked.revision)"""

# `first` is the oldest entry that stays: of those that are new, and of all. Journals change in the order of their numbers, or
# two processes could wait for each other.
_RECORD = """WITH asked AS (
  SELECT s.id, u.place, u.entries, u.bytes, u.first
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS u (name, entries, bytes, first, place)
  JOIN sessions s ON s.name = u.name
), journal AS (
  INSERT INTO journals AS j (session, last, first, cleared, size) SELECT id, entries, first, 0, bytes FROM asked ORDER BY id
  ON CONFLICT (session) DO UPDATE SET last = j.last + excluded.last, size = j.size + excluded.size, first = greatest(
    j.first,
    j.last + excluded.last + 1 - $9::bigint,
    CASE WHEN j.size + excluded.size <= $10::bigint THEN 0 ELSE coalesce((
      SELECT r.number FROM records r
      WHERE r.session = j.session AND r.number >= j.first AND r.before >= j.size + excluded.size - $10::bigint
      ORDER BY r.number LIMIT 1), j.last + excluded.first) END)
  RETURNING session, last, first, size
), gone AS (
  DELETE FROM records r USING journal WHERE r.session = journal.session AND r.number < journal.first
), added AS (
  INSERT INTO records (session, number, before, entry)
  SELECT session, last - entries + e.number, size - bytes + e.before, e.entry
  FROM unnest($5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[]) AS e (place, number, before, entry)
  JOIN asked USING (place) JOIN journal ON session = id
  WHERE last - entries + e.number >= journal.first
) SELECT place, set_config('synchronous_commit', 'off', true) FROM journal JOIN asked ON id = session"""
_RECORDS = """SELECT last, first, cleared, r.numbers, r.entries
FROM sessions JOIN journals ON session = id,
LATERAL (
  SELECT array_agg(number ORDER BY number) AS numbers, array_agg(entry ORDER BY number) AS entries
  FROM records WHERE records.session = id AND number >= first
) r WHERE name = $1"""

_PLAIN = """SELECT e.position, e.event, e.pack, e.generation FROM sessions s JOIN events e USING (generation)
WHERE s.name = $1 AND e.position <= $2 AND e.position > coalesce((
  SELECT max(f.position) FROM events f
  WHERE f.generation = s.generation AND f.position <= $2 AND f.position % $3 = 0 AND f.pack IS NOT NULL), 0)
ORDER BY e.position"""

_LEASE = """INSERT INTO leases AS l (name, holder, until) VALUES ($1, $2, clock_timestamp() + $3)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE l.holder = excluded.holder OR l.until <= clock_timestamp() RETURNING 1"""


_Asked = tuple[str, Head]
"""A session, and what somebody knows of it who wants to know what is new."""


class PostgresLog:
    """The log in a database that `settle` made ready. Connections are made when needed, by each process for itself."""

    shared = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._name = shown(url)
        self._pool: Any = None
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._asked: dict[_Asked, list[asyncio.Future[Tail | None]]] = {}
        self._answering: asyncio.Task[None] | None = None
        self._idle: list[Any] = []  # connections that the pool gave and that wait for the next who needs one
        self._wanting = 0  # how many wait for the pool to give one

    def describe(self) -> str:
        """What a banner says of it."""
        return self._name

    async def catch_up(self, session: str, known: Head) -> Tail | None:
        """What has happened since a head; None if nothing has.

        One query at a time asks for all who came while the one before it was on its way.
        """
        self._settle_in()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Tail | None] = loop.create_future()
        self._asked.setdefault((session, known), []).append(answer)
        if self._answering is None:
            # In a context of its own: whoever asks first has no other patience than those whose questions go along.
            self._answering = asyncio.create_task(self._answer(), context=Context())
        left = patience()
        late = loop.call_later(left.seconds, _give, answer, LogUnavailable(f"the log {self._name}: no answer in time"))
        try:
            with left.waiting():
                return await answer
        finally:
            late.cancel()

    async def read(self, session: str, after: int = 0) -> Sequence[Event]:
        """The session's events after a position, in order."""
        rows = await self._fetch(
            "SELECT e.position, event, pack FROM events e JOIN sessions s USING (generation) WHERE name = $1 AND e.position > $2"
            " ORDER BY e.position",
            session,
            after,
        )
        return events_of(session, rows, after)

    async def append(self, session: str, events: Sequence[Event], at: Head) -> Head:
        """Append all events or none; Conflict unless generation and position are still those of `at`."""
        texts = [encode(event) for event in events]
        if at == NOWHERE:
            rows = await self._fetch(_APPEND_FIRST, session, texts)
        else:
            rows = await self._fetch(_APPEND, session, texts, at.generation, at.position)
        return _moved(rows, session)

    async def rewrite(self, session: str, events: Sequence[Event], at: Head | None = None) -> Head:
        """Put these events in the place of all there are; Conflict unless generation and position are those of `at`, if given."""
        texts = [encode(event) for event in events]
        async with self._transaction() as connection:
            begun = await connection.fetch(f"{_BEGIN} RETURNING 1", session) if at in (None, NOWHERE) else ()
            old = await connection.fetchrow("SELECT generation, position FROM sessions WHERE name = $1 FOR UPDATE", session)
            if old is None or (at is not None and not begun and (at.generation, at.position) != tuple(old)):
                raise Conflict(f"session {session!r} has moved on, or begun anew")
            # Only now, as all that was appended to the old generation can be seen only once nothing more can be.
            await connection.execute("DELETE FROM events WHERE generation = $1", old["generation"])
            return _moved(await connection.fetch(_REWRITE, session, texts), session)

    async def put_desk(self, session: str, desk: bytes, at: Head) -> Head:
        """Replace the desk; Conflict unless generation and revision are still those of `at`."""
        if at == NOWHERE:
            rows = await self._fetch(_PUT_DESK_FIRST, session, desk)
        else:
            rows = await self._fetch(_PUT_DESK, session, desk, at.generation, at.revision)
        return _moved(rows, session)

    async def touch(self, sessions: Iterable[str]) -> None:
        """These sessions are in use now; those that are not there begin."""
        names = list(dict.fromkeys(sessions))
        if names:
            await self._fetch(_TOUCH, names)

    async def sessions(self) -> Sequence[Listing]:
        """All sessions, the least recently used first."""
        rows = await self._fetch(
            "SELECT name, generation, position, revision, greatest(0, extract(epoch FROM clock_timestamp() - used))::float8"
            " FROM sessions ORDER BY used, id"
        )
        return [Listing(name, Head(*head), idle) for name, *head, idle in rows]

    async def forget(self, session: str) -> None:
        """The session ends, with all that belongs to it."""
        async with self._transaction() as connection:
            ended = await connection.fetchrow("DELETE FROM sessions WHERE name = $1 RETURNING id, generation", session)
            if ended is not None:
                await connection.execute("DELETE FROM events WHERE generation = $1", ended["generation"])
                for table in ("kept", "journals", "records"):
                    await connection.execute(f"DELETE FROM {table} WHERE session = $1", ended["id"])

    def release(self, session: str) -> None:
        """Other processes may need it."""

    async def keep(self, session: str, name: str, value: bytes | None) -> None:
        """Keep something under a name; None: keep nothing there."""
        if value is None:
            await self._fetch(
                "DELETE FROM kept WHERE session = (SELECT id FROM sessions WHERE name = $1) AND name = $2", session, name
            )
            return
        kept = (
            "INSERT INTO kept (session, name, value) SELECT id, $2, $3 FROM sessions WHERE name = $1"
            " ON CONFLICT (session, name) DO UPDATE SET value = excluded.value RETURNING 1"
        )
        if not await self._fetch(kept, session, name, value):
            await self._fetch(_BEGIN, session)
            await self._fetch(kept, session, name, value)

    async def kept(self, session: str, name: str) -> bytes | None:
        """What is kept under a name."""
        sql = "SELECT value FROM kept WHERE session = (SELECT id FROM sessions WHERE name = $1) AND name = $2"
        rows = await self._fetch(sql, session, name)
        return rows[0]["value"] if rows else None

    async def keeping(self, name: str) -> Sequence[str]:
        """The sessions that keep something under a name."""
        sql = "SELECT sessions.name FROM kept JOIN sessions ON id = session WHERE kept.name = $1 ORDER BY id"
        return [row["name"] for row in await self._fetch(sql, name)]

    async def lease(self, name: str, holder: str, span: timedelta) -> bool:
        """Have a name to oneself for a while."""
        return bool(await self._fetch(_LEASE, name, holder, span))

    async def record(self, entries: Sequence[tuple[str, bytes]], most: int) -> None:
        """Add entries to the journals of their sessions."""
        sorted_out = by_session(entries)
        there = {row["place"] for row in await self._fetch(_RECORD, *_record_columns(sorted_out, most))}
        if len(there) < len(sorted_out):
            others = {session: of for place, (session, of) in enumerate(sorted_out.items(), 1) if place not in there}
            await self._fetch(_BEGIN_ALL, list(others))
            await self._fetch(_RECORD, *_record_columns(others, most))

    async def records(self, session: str) -> Records:
        """A session's journal."""
        rows = await self._fetch(_RECORDS, session)
        if not rows:
            return Records(0, 0, ())
        last, first, cleared, numbers, entries = rows[0]
        found = zip(numbers or (), entries or (), strict=True)
        return Records(last, first - 1 - cleared, tuple(Record(*pair) for pair in found))

    async def clear_records(self, session: str, *, forget: bool = False) -> None:
        """Drop a session's journal."""
        async with self._transaction() as connection:
            number = await connection.fetchval("SELECT id FROM sessions WHERE name = $1", session)
            change = "DELETE FROM journals" if forget else "UPDATE journals SET first = last + 1, cleared = last, size = 0"
            await connection.execute(f"{change} WHERE session = $1", number)
            await connection.execute("DELETE FROM records WHERE session = $1", number)

    async def compact(self, session: str, position: int) -> None:
        """Store the events up to a position in less room."""
        rows = await self._fetch(_PLAIN, session, position, PACKED)
        if len(rows) < 2:
            return
        old: list[Row] = [(row["position"], row["event"], row["pack"]) for row in rows]
        packs = await asyncio.to_thread(packs_of, old)
        generation = rows[0]["generation"]
        with suppress(Conflict):
            async with self._transaction() as connection:
                sql = "DELETE FROM events WHERE generation = $1 AND position = ANY($2::bigint[]) RETURNING 1"
                if len(await connection.fetch(sql, generation, [row[0] for row in old])) != len(old):
                    raise Conflict("the session was rewritten, or compacted, meanwhile")
                await connection.execute(
                    "INSERT INTO events (generation, position, pack)"
                    " SELECT $1, position, pack FROM unnest($2::bigint[], $3::bytea[]) AS p (position, pack)",
                    generation,
                    *map(list, zip(*packs, strict=True)),
                )

    async def flush(self) -> None:
        """The server has said that it is so, of each write."""

    async def close(self) -> None:
        """Close all connections."""
        pool, self._pool, self._owner = self._pool, None, None
        idle, self._idle = self._idle, []
        if pool is not None:
            try:
                async with asyncio.timeout(CONNECT):
                    for connection in idle:
                        await pool.release(connection)
                    await pool.close()
            except TROUBLE:
                pool.terminate()

    async def _answer(self) -> None:
        """Look what is new for all who ask, until nobody does."""
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                try:
                    news = await self._news(list(asked))
                except LogUnavailable as trouble:
                    news = dict.fromkeys(asked, trouble)
                for question, answers in asked.items():
                    for answer in answers:
                        _give(answer, news.get(question))
        finally:
            self._answering = None

    async def _news(self, asked: Sequence[_Asked]) -> dict[_Asked, Tail | LogUnavailable]:
        """What is new, for those of the askers for whom something is."""
        columns = zip(*((session, *known) for session, known in asked), strict=True)
        news: dict[_Asked, Tail | LogUnavailable] = {}
        for row in await self._fetch(_NEWS, *map(list, columns)):
            question = asked[row["number"] - 1]
            try:
                news[question] = _tail(row, question)
            except LogUnavailable as trouble:
                news[question] = trouble
        return news

    async def _fetch(self, sql: str, *arguments: Any) -> Sequence[Any]:
        """The rows of one statement, which is all or nothing."""
        async with self._connected() as connection:
            rows: Sequence[Any] = await connection.fetch(sql, *arguments)
            return rows

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        """A connection for several statements that are all or nothing; each sees what was done before it began."""
        async with self._connected() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        """A connection. One that is lost is not used again, and the server undoes what was not committed on it."""
        left = patience()
        try:
            pool = self._settle_in()
            connection = self._at_hand() or await self._acquired(pool, left)
            # The server itself says when something takes it too long. Who hears nothing hangs up, and does not ask it to stop.
            watchdog = asyncio.get_running_loop().call_later(left.seconds + _TO_SAY_SO, connection.terminate)
            whole = False
            try:
                with left.waiting():
                    yield connection
                whole = self._pool is pool and not self._wanting
            finally:
                watchdog.cancel()
                if whole:
                    self._idle.append(connection)
                else:
                    await pool.release(connection, timeout=CONNECT)
        except TROUBLE as error:
            raise LogUnavailable(f"the log {self._name}: {reason(error)}") from None

    def _at_hand(self) -> Any:
        """A connection that nobody uses, None if there is none. What the pool does between two users costs more than a query."""
        while self._idle:
            connection = self._idle.pop()
            with suppress(asyncpg.InterfaceError):  # which the pool has let go of, since it was lost
                if not connection.is_closed():
                    return connection
        return None

    async def _acquired(self, pool: Any, left: Patience) -> Any:
        """A connection of the pool. As long as somebody waits for one, those that are not used any more go back there."""
        self._wanting += 1
        try:
            await pool  # which is not connected by that, nor waited for
            with left.waiting():
                async with asyncio.timeout(left.seconds):
                    return await pool.acquire()
        finally:
            self._wanting -= 1

    def _settle_in(self) -> Any:
        """The pool of this process and this event loop; connections, and who waits, cannot move to another."""
        owner = os.getpid(), asyncio.get_running_loop()
        if self._pool is None or self._owner != owner:
            self._owner, self._asked, self._answering, self._idle = owner, {}, None, []
            self._pool = asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=_CONNECTIONS,
                timeout=CONNECT,
                server_settings=_SETTINGS,
                reset=_nothing,
            )
        return self._pool


async def _nothing(_connection: Any) -> None:
    """What a connection needs before somebody else has it: no statement leaves anything behind."""


def _give(answer: asyncio.Future[Tail | None], news: Tail | LogUnavailable | None) -> None:
    if answer.done():  # whoever asked has gone
        return
    if isinstance(news, LogUnavailable):
        answer.set_exception(LogUnavailable(*news.args))
    else:
        answer.set_result(news)


def _tail(row: Any, question: _Asked) -> Tail:
    session, known = question
    if row["generation"] is None:
        return Tail(NOWHERE, (), b"")
    head = Head(row["generation"], row["position"], row["revision"])
    rows = zip(row["positions"] or (), row["events"] or (), row["packs"] or (), strict=True)
    after = known.position if head.generation == known.generation else 0
    return Tail(head, events_of(session, rows, after), row["desk"])


def _record_columns(entries: Mapping[str, Sequence[bytes]], most: int) -> Sequence[Any]:
    """What `_RECORD` is told of sessions and of their entries."""
    sessions: list[tuple[str, int, int, int]] = []
    rows: list[tuple[int, int, int, bytes]] = []
    for place, (session, latest) in enumerate(entries.items(), 1):
        *before, size = accumulate(map(len, latest), initial=0)
        count = len(latest)
        fitting = next((number for number, length in enumerate(before, 1) if length >= size - JOURNAL_BYTES), count)
        sessions.append((session, count, size, max(fitting, count + 1 - most)))
        rows += zip(repeat(place), range(1, count + 1), before, latest, strict=False)
    return *map(list, zip(*sessions, strict=True)), *map(list, zip(*rows, strict=True)), most, JOURNAL_BYTES


def _moved(rows: Sequence[Any], session: str) -> Head:
    """The head that a change gave; Conflict if it found another one than it expected."""
    if not rows:
        raise Conflict(f"session {session!r} has moved on, or begun anew")
    return Head(*rows[0])
