"""Events as JSON and back: what a log is written with when it leaves the process."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mock_server.event_log import Event
from mock_server.problems import first_problem

_KIND = re.compile(r'\{"kind":"(\w+)"')


def to_json(event: Event) -> dict[str, Any]:
    """The event as an object with its `kind`. Decimals and times are text, so nothing is rounded."""
    return {"kind": type(event).__name__, **_adapter(type(event)).dump_python(event, mode="json", exclude_defaults=True)}


def from_json(data: Mapping[str, Any]) -> Event:
    """The event that an object describes; ValueError says what is wrong with it."""
    adapter = _adapter_of(str(data.get("kind")))
    try:
        event: Event = adapter.validate_python({name: value for name, value in data.items() if name != "kind"})
    except ValidationError as error:
        raise ValueError(f"{data['kind']}: {': '.join(first_problem(error))}") from None
    return event


def encode(event: Event) -> str:
    """The event as the text of `to_json`'s object, in one line, its kind first."""
    kind = type(event)
    fields = _adapter(kind).dump_json(event, exclude_defaults=True).decode()
    return f'{{"kind":"{kind.__name__}",{fields[1:]}'  # every event has a time, so there is something after the comma


def decode(text: str) -> Event:
    """The event that `encode` wrote; ValueError says what is wrong with a text."""
    match = _KIND.match(text)
    if match is None:
        raise ValueError(f'expected an object that begins with its "kind", got {text[:60]!r}')
    try:
        event: Event = _adapter_of(match[1]).validate_json(text)  # which passes over `kind`, as no event has such a field
    except ValidationError as error:
        raise ValueError(f"{match[1]}: {': '.join(first_problem(error))}") from None
    return event


def pack(texts: Iterable[str]) -> bytes:
    """Texts of events in little room: a line each, compressed."""
    return zlib.compress("\n".join(texts).encode())


def lines(data: bytes) -> Sequence[str]:
    """The texts that `pack` packed; ValueError if they are damaged."""
    try:
        text = zlib.decompress(data).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"packed events are damaged: {error}") from None
    return text.split("\n") if text else ()


_adapters: dict[type[Event], TypeAdapter[Any]] = {}


def _adapter(kind: type[Event]) -> TypeAdapter[Any]:
    adapter = _adapters.get(kind)
    if adapter is None:
        adapter = _adapters[kind] = TypeAdapter(kind)
    return adapter


def _adapter_of(name: str) -> TypeAdapter[Any]:
    kind = Event.kinds.get(name)
    if kind is None:
        raise ValueError(f"no such kind of event: {name[:60]!r}; there are {', '.join(sorted(Event.kinds))}")
    return _adapter(kind)
