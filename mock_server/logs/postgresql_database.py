"""The database of a PostgreSQL log: how it is named, how its tables are made, and what they must be to be used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import asyncpg

from contract_tests.source import InputError

VERSION = 1
CONNECT = 2.0
"""Seconds in which the server has to take a connection."""

TROUBLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""All that asyncpg raises when a server is gone, or refuses."""

_APPLICATION = "walletproof event log"
_LOCK = 0x57505246  # of the advisory lock under which tables are made

_EXPECTED = "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for @, %2F for / and so on in the password"

_SCHEMA = f"""
CREATE SCHEMA IF NOT EXISTS walletproof;
CREATE TABLE walletproof.place (application text NOT NULL, version integer NOT NULL, origin text NOT NULL);
CREATE SEQUENCE walletproof.generations;
CREATE TABLE walletproof.sessions (
  id bigint PRIMARY KEY DEFAULT nextval('walletproof.generations'),
  name text NOT NULL UNIQUE,
  generation bigint NOT NULL DEFAULT nextval('walletproof.generations'),
  position bigint NOT NULL DEFAULT 0,
  revision bigint NOT NULL DEFAULT 0,
  used timestamptz NOT NULL DEFAULT clock_timestamp(),
  desk bytea NOT NULL DEFAULT ''
) WITH (fillfactor = 50);
CREATE TABLE walletproof.events (
  generation bigint NOT NULL,
  position bigint NOT NULL,
  event text,
  pack bytea,
  PRIMARY KEY (generation, position)
);
ALTER TABLE walletproof.events ALTER pack SET STORAGE EXTERNAL;
CREATE TABLE walletproof.kept (
  session bigint NOT NULL,
  name text NOT NULL,
  value bytea NOT NULL,
  PRIMARY KEY (session, name)
);
CREATE INDEX kept_names ON walletproof.kept (name);
CREATE TABLE walletproof.journals (
  session bigint PRIMARY KEY,
  last bigint NOT NULL,
  first bigint NOT NULL,
  cleared bigint NOT NULL,
  size bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE walletproof.records (
  session bigint NOT NULL,
  number bigint NOT NULL,
  before bigint NOT NULL,
  entry bytea NOT NULL,
  PRIMARY KEY (session, number)
);
CREATE TABLE walletproof.leases (name text PRIMARY KEY, holder text NOT NULL, until timestamptz NOT NULL);
INSERT INTO walletproof.place VALUES ('{_APPLICATION}', {VERSION}, '');
"""
# `events` go by the number of a generation, and what else belongs to a session by the session's own number, which nothing else
# ever has: what another process adds to a session that is just ending is never seen again.
# `first` is the oldest entry of a journal that is kept, `before` the length of all entries before one, since the first.
# Packs are compressed already. Half of a page is left free where rows change all the time, so that they can change in place.


def check_url(url: str) -> None:
    """InputError if a text cannot be the address of a database. It does not repeat the text: there is a password in it."""
    parts = urlsplit(url)
    try:
        numeric = parts.port is None or parts.port > 0
    except ValueError:
        numeric = False
    # A password with a character that ends it would go on as host, path or query, and be shown.
    escaped = "@" not in parts.path + parts.query and parts.netloc.count("@") < 2 and not parts.fragment
    if not numeric or not escaped or parts.scheme not in ("postgresql", "postgres"):
        raise InputError(f"--log: this is not the address of a PostgreSQL database: {_EXPECTED}")


def shown(url: str) -> str:
    """The address without what is secret in it."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    options = [(name, value) for name, value in parse_qsl(parts.query) if "pass" not in name]
    return SplitResult(parts.scheme, f"{user.partition(':')[0]}{at}{host}", parts.path, urlencode(options, safe="/"), "").geturl()


def reason(error: BaseException) -> str:
    """What is wrong, in words."""
    match error:
        case TimeoutError():
            return "it does not answer"
        case asyncpg.QueryCanceledError():
            return "it takes too long to answer"
        case OSError():
            return f"it cannot be reached: {error.strerror or 'no connection'}"
        case asyncpg.PostgresError():
            return f"the database says: {error.args[0] if error.args else type(error).__name__}"
    return "it does not answer, or the connection was lost"


def settle(url: str, origin: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make the tables if there are none, for worlds of this origin; the origin that they are for.

    InputError says what is wrong.
    """
    try:
        return asyncio.run(_settle(url, origin))
    except asyncpg.ClientConfigurationError:
        raise InputError(f"{shown(url)}: {_EXPECTED}") from None
    except asyncpg.InsufficientPrivilegeError as error:
        raise InputError(f"{shown(url)}: {reason(error)}; the user must own the schema walletproof, or may create it") from None
    except TROUBLE as error:
        raise InputError(f"{shown(url)}: {reason(error)}") from None


async def _settle(url: str, origin: Mapping[str, Any]) -> Mapping[str, Any]:
    connection = await asyncpg.connect(url, timeout=CONNECT, command_timeout=10)
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")  # one makes the tables, others wait for them
            if await _is_new(connection, shown(url)):
                await connection.execute(_SCHEMA)
                await connection.execute("UPDATE walletproof.place SET origin = $1", json.dumps(origin))
            found: Mapping[str, Any] = json.loads(await connection.fetchval("SELECT origin FROM walletproof.place"))
            return found
    finally:
        await connection.close(timeout=CONNECT)


async def _is_new(connection: Any, name: str) -> bool:
    """Whether there is no log yet; InputError if there is something else in its place, or a log of a later version."""
    tables = await connection.fetch(
        "SELECT relname FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid WHERE nspname = 'walletproof'"
    )
    if not tables:
        return True
    columns = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('walletproof.place') AND attnum > 0"
    )
    if {"application", "version", "origin"} <= {column["attname"] for column in columns}:
        place = await connection.fetchrow("SELECT application, version FROM walletproof.place")
        if place is not None and place["application"] == _APPLICATION:
            if place["version"] != VERSION:
                raise InputError(
                    f"{name}: the log there is of version {place['version']}, made by another walletproof; this one reads version"
                    f" {VERSION}: use that walletproof, or another database"
                )
            return False
    raise InputError(f"{name}: there is a schema walletproof, but it is not a log of ours: choose another database")
