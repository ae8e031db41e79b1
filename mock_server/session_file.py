"""A session as one readable file: the bug report that plays on a colleague's machine.

The file is JSON with an event per line, so that it can be read, searched and compared. It says what the server was started
with: on one with the same seed, fixtures and first day the same events make the same world, to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, ValidationError

from contract_tests.source import InputError
from mock_server.clock import Moment
from mock_server.event_codec import from_json, to_json
from mock_server.event_log import Event
from mock_server.fixture_files import FixtureModel
from mock_server.problems import first_problem

FORMAT = "walletproof session 1"


class Origin(FixtureModel):
    """What decides on a world besides its events. `fixtures` are digests of the files by provider."""

    seed: int
    population: int
    first_day: Moment
    clock: str
    fixtures: Mapping[str, str]

    def differences(self, other: Origin) -> list[str]:
        """In which of it another one differs, in words: `seed 7, not 1`."""
        found = []
        for name in type(self).model_fields:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                found.append(f"{name} {_shown(mine)}, not {_shown(theirs)}")
        return found


class _Header(FixtureModel):
    format: Literal["walletproof session 1"]
    session: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    origin: Origin
    at: Moment
    requests: Annotated[int, Field(ge=0, lt=2**40)]
    defects: list[str]
    spoiled: bool = False


@dataclass(frozen=True)
class SessionFile:
    """A session's events with their origin.

    `at` is its time when it was written, `requests` how many had been answered. `spoiled`: defects have played in it, so that its
    events need not add up.
    """

    session: str
    origin: Origin
    at: datetime
    requests: int
    defects: tuple[str, ...]
    spoiled: bool
    events: Sequence[Event]

    def text(self) -> bytes:
        """The file."""
        header = {
            "format": FORMAT,
            "session": self.session,
            "origin": self.origin.model_dump(mode="json"),
            "at": self.at,
            "requests": self.requests,
            "defects": self.defects,
            "spoiled": self.spoiled,
        }
        lines = [f" {json.dumps(name)}: ".encode() + orjson.dumps(value) for name, value in header.items()]
        events = b",\n".join(b"  " + orjson.dumps(to_json(event)) for event in self.events)
        return b"{\n" + b",\n".join([*lines, b' "events": [\n' + events + b"\n ]"]) + b"\n}\n"


def read(path: Path) -> SessionFile:
    """A file from disk; InputError with the place if it is none."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return parse(text, str(path))


def parse(text: bytes, name: str) -> SessionFile:
    """The session that a text describes; InputError, beginning with `name`, says where it is wrong."""
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{name}:{error.lineno}: this is not JSON: {error.msg}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{name}: expected a session file, which says {FORMAT!r} as its format; `walletproof export` writes one")
    entries = data.pop("events", None)
    try:
        header = _Header.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{name}: /{': '.join(first_problem(error))}") from None
    if not isinstance(entries, list):
        raise InputError(f"{name}: /events: expected a list")
    events = []
    for number, entry in enumerate(entries):
        try:
            events.append(from_json(entry if isinstance(entry, dict) else {}))
        except ValueError as problem:
            raise InputError(f"{name}: /events/{number}: {problem}") from None
    return SessionFile(header.session, header.origin, header.at, header.requests, tuple(header.defects), header.spoiled, events)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {digest[:12]}" for name, digest in value.items()) or "none"
    return value.date().isoformat() if isinstance(value, datetime) else str(value)
