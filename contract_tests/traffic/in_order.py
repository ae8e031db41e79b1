"""Sorts exchanges by time on disk: recordings are larger than memory, and hold one file after the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import orjson

from contract_tests.exchange import Exchange, RawHeaders, Request, Response
from contract_tests.source import InputError
from contract_tests.traffic.recorded import Recorded

_COLUMNS = (
    "started, seconds, origin, client, sent_known, answered_known, file, entry, "
    "method, path, query, sent_headers, sent, status, answered_headers, answered"
)
_AT_ONCE = 500


class InOrder:
    """Exchanges by when they started; those of the same time as they were added.

    They wait in a private temporary database of SQLite's (no name, mode 0600, gone with the connection or the process), since
    recordings hold secrets. What a router found out about a request (`path_params`) is not kept. InputError if there is no
    room for them.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # without a name it is temporary
        for statement in ("PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "BEGIN", f"CREATE TABLE exchanges ({_COLUMNS})"):
            self._database.execute(statement)
        self._waiting: list[tuple[Any, ...]] = []
        self._sorted = False

    def add(self, recorded: Recorded) -> None:
        """Keep an exchange; not after the first look at the order."""
        assert not self._sorted
        request, response = recorded.exchange.request, recorded.exchange.response
        self._waiting.append(
            (
                recorded.started,
                recorded.seconds,
                recorded.origin,
                recorded.client,
                recorded.sent_known,
                recorded.answered_known,
                recorded.file,
                recorded.entry,
                request.method,
                request.path,
                request.query_string,
                _packed(request.headers),
                request.body,
                response.status,
                _packed(response.headers),
                response.body,
            )
        )
        if len(self._waiting) == _AT_ONCE or len(request.body) + len(response.body) > 1 << 20:
            self._store()

    def __iter__(self) -> Iterator[Recorded]:
        self._store()
        if not self._sorted:
            with _room():
                # An index, and not a sort of the rows: that would copy the bodies as well.
                self._database.execute("CREATE INDEX in_order ON exchanges (started)")
            self._sorted = True
        for row in self._database.execute(f"SELECT {_COLUMNS} FROM exchanges INDEXED BY in_order ORDER BY started, rowid"):  # noqa: S608
            yield _recorded(*row)

    def close(self) -> None:
        """Delete everything."""
        self._waiting.clear()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _store(self) -> None:
        if self._waiting:
            with _room():
                self._database.executemany(f"INSERT INTO exchanges VALUES ({','.join('?' * 16)})", self._waiting)  # noqa: S608
            self._waiting.clear()


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise InputError(
            f"no room to sort the recordings in a temporary file: {error}; SQLITE_TMPDIR can name a folder that has some"
        ) from None


def _packed(headers: RawHeaders) -> bytes:
    return orjson.dumps([text.decode("latin-1") for header in headers for text in header])


def _unpacked(packed: bytes) -> list[tuple[bytes, bytes]]:
    texts = iter(orjson.loads(packed))
    return [(name.encode("latin-1"), next(texts).encode("latin-1")) for name in texts]


def _recorded(
    started: float,
    seconds: float,
    origin: str,
    client: str,
    sent_known: int,
    answered_known: int,
    file: str,
    entry: int,
    method: str,
    path: str,
    query: bytes,
    sent_headers: bytes,
    sent: bytes,
    status: int,
    answered_headers: bytes,
    answered: bytes,
) -> Recorded:
    request = Request(method, path, query, _unpacked(sent_headers), sent)
    exchange = Exchange(request, Response(status, _unpacked(answered_headers), answered))
    return Recorded(exchange, origin, started, seconds, client, bool(sent_known), bool(answered_known), file, entry)
