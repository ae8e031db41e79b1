"""Events as JSON objects and back: what a log is written with when it leaves the process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mock_server.event_log import Event
from mock_server.problems import first_problem


def to_json(event: Event) -> dict[str, Any]:
    """The event as an object with its `kind`. Decimals and times are text, so nothing is rounded."""
    return {"kind": type(event).__name__, **_adapter(type(event)).dump_python(event, mode="json", exclude_defaults=True)}


def from_json(data: Mapping[str, Any]) -> Event:
    """The event that an object describes; ValueError says what is wrong with it."""
    kind = Event.kinds.get(str(data.get("kind")))
    if kind is None:
        raise ValueError(f"no such kind of event: {str(data.get('kind'))[:60]!r}; there are {', '.join(sorted(Event.kinds))}")
    try:
        event: Event = _adapter(kind).validate_python({name: value for name, value in data.items() if name != "kind"})
    except ValidationError as error:
        raise ValueError(f"{kind.__name__}: {': '.join(first_problem(error))}") from None
    return event


_adapters: dict[type[Event], TypeAdapter[Any]] = {}


def _adapter(kind: type[Event]) -> TypeAdapter[Any]:
    adapter = _adapters.get(kind)
    if adapter is None:
        adapter = _adapters[kind] = TypeAdapter(kind)
    return adapter
