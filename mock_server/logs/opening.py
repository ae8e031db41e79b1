"""From `--log` to a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from contract_tests.source import InputError
from mock_server.event_log import EventLog
from mock_server.logs.memory import MemoryLog


def open_log(place: str) -> EventLog:
    """The log at `memory`, `sqlite:PATH` or `postgresql://...`; InputError says what is wrong with a place.

    Nothing is opened before it is needed, so that processes may fork. `settle` has been there before.
    """
    kind, where = _parsed(place)
    # What a log needs is imported for those that have one: a start in memory does not wait for it.
    if kind == "sqlite":
        from mock_server.logs.sqlite import SqliteLog

        return SqliteLog(where)
    if kind == "postgresql":
        from mock_server.logs.postgresql import PostgresLog

        return PostgresLog(where)
    return MemoryLog()


def settle(place: str, origin: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make ready what a log needs at a place that has none, and note the origin of its worlds there; the origin that is noted.

    InputError if there is something else, or nothing can be. Memory notes nothing. Not for a running event loop.
    """
    kind, where = _parsed(place)
    if kind == "sqlite":
        from mock_server.logs import sqlite_file

        return sqlite_file.settle(where, origin)
    if kind == "postgresql":
        from mock_server.logs import postgresql_database

        return postgresql_database.settle(where, origin)
    return origin


def _parsed(place: str) -> tuple[Literal["memory", "sqlite", "postgresql"], str]:
    """The kind of a log, and its path or address."""
    kind, colon, where = place.partition(":")
    if place == "memory":
        return "memory", ""
    if kind == "sqlite" and where not in ("", ":memory:"):
        return "sqlite", where
    if kind in ("postgresql", "postgres") and colon:
        from mock_server.logs.postgresql_database import check_url

        check_url(place)
        return "postgresql", place
    # Of what is not understood only the beginning is repeated: there may be a password in the rest.
    raise InputError(f"--log: expected memory, sqlite:PATH or postgresql://USER@HOST/DATABASE, got {kind[:20] + colon!r}...")
