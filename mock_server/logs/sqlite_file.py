"""The file of a SQLite log: how it is made, and what it must be to be opened."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from contract_tests.source import InputError

APPLICATION = 0x57505246  # "WPRF": what SQLite has a place for, so that nobody takes a stranger's file for a log
VERSION = 1

_WAIT = 5.0  # seconds, for another process that makes the same file

_PAGE = 8192  # bytes: entries of the journal fit in, which they do not with SQLite's 4,096; that takes them twice the time

_SCHEMA = """
CREATE TABLE place (origin TEXT NOT NULL);
CREATE TABLE counter (generation INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  generation INTEGER NOT NULL,
  position INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL DEFAULT 0,
  used REAL NOT NULL,
  desk BLOB NOT NULL DEFAULT x''
);
CREATE TABLE events (
  generation INTEGER NOT NULL,
  position INTEGER NOT NULL,
  event TEXT,
  pack BLOB,
  PRIMARY KEY (generation, position)
) WITHOUT ROWID;
CREATE TABLE kept (
  session INTEGER NOT NULL,
  name TEXT NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (session, name)
) WITHOUT ROWID;
CREATE INDEX kept_names ON kept (name);
CREATE TABLE journals (
  session INTEGER PRIMARY KEY,
  last INTEGER NOT NULL,
  first INTEGER NOT NULL,
  cleared INTEGER NOT NULL,
  size INTEGER NOT NULL
);
CREATE TABLE records (
  session INTEGER NOT NULL,
  number INTEGER NOT NULL,
  before INTEGER NOT NULL,
  entry BLOB NOT NULL,
  PRIMARY KEY (session, number)
) WITHOUT ROWID;
CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL);
"""
# `events` go by the number of a generation, which nothing else ever has: what is left of one that ended is never seen again.
# `first` is the oldest entry of a journal that is kept, `before` the length of all entries before one, since the first.


def connect(path: str) -> sqlite3.Connection:
    """A connection to a file that is there; no transaction begins by itself, and nothing waits for a lock."""
    uri = f"{Path(path).absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")  # what must be on the disk is synced by `syncing`
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def check(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the file is a log; False if it is empty, InputError if it is anything else, or a log of a later version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION:
        if version != VERSION:
            raise InputError(
                f"{path}: this log is of version {version}, made by another walletproof; this one reads version {VERSION}: use"
                " that walletproof, or another file"
            )
        return True
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application or version or tables:
        raise InputError(f"{path}: this is an SQLite database, but not a log of walletproof: choose another file")
    return False


def settle(path: str, origin: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make the file if there is none, for worlds of this origin; the origin that it is for. InputError says what is wrong."""
    _make(path)
    until = time.monotonic() + _WAIT
    while True:
        try:
            with closing(connect(path)) as connection:
                return _settle(connection, path, origin)
        except sqlite3.Error as error:
            busy = primary_code(error) == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > until:
                raise InputError(f"{path}: {reason(error)}") from None
        time.sleep(0.01)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's code of an error, without what is extended; 0 if the error is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def reason(error: sqlite3.Error) -> str:
    """What is wrong, in words."""
    return _REASONS.get(primary_code(error)) or f"SQLite says: {error}"


_REASONS = {
    sqlite3.SQLITE_BUSY: "another process has had it locked for too long",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk does not read or write (is it full?)",
    sqlite3.SQLITE_READONLY: "it may only be read, but a log is written to: change its rights, or choose another file",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: file and folder must be there and may be read and written",
    sqlite3.SQLITE_PERM: "it may not be opened",
    sqlite3.SQLITE_AUTH: "it may not be opened",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "this is not an SQLite file",
}


def _make(path: str) -> None:
    """An empty file, for nobody else to read, if there is none."""
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise InputError(f"{path}: there is no folder {str(folder)!r}: make it first")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise InputError(f"{path}: cannot be opened for writing: {error.strerror}") from None


def _settle(connection: sqlite3.Connection, path: str, origin: Mapping[str, Any]) -> Mapping[str, Any]:
    if not check(connection, path):
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise InputError(f"{path}: SQLite cannot keep a write-ahead log here: choose a file on a local disk")
    connection.execute("BEGIN IMMEDIATE")
    if not check(connection, path):  # nobody else made it meanwhile
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute("INSERT INTO place VALUES (?)", (json.dumps(origin),))
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    (stored,) = connection.execute("SELECT origin FROM place").fetchone()
    connection.execute("COMMIT")
    found: Mapping[str, Any] = json.loads(stored)
    return found
