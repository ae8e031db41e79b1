"""Plain typed data as compact JSON and back, exactly: what mementos are written in.

Dataclasses and named tuples become arrays of their fields, decimals and pydantic models text, times RFC 3339. What is read is
built by the types that are asked for, and by nothing that the bytes say; nobody looks whether values are sensible, so only what
is known to have been written by `pack` may be read.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import orjson
from pydantic import BaseModel

Read = Callable[[Any], Any]

_AS_THEY_ARE = {str, int, float, bool, type(None), Any}


def pack(value: Any) -> bytes:
    """A value as JSON; TypeError if it is of a type that is not known here."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def unpack(type_: Any, data: bytes | str) -> Any:
    """The value of a type that `pack` wrote; ArithmeticError, TypeError or ValueError if it is none."""
    read, plain = reader(type_), orjson.loads(data)
    return plain if read is None else read(plain)


def shape(type_: Any) -> str:
    """How values of a type are written, as a text that changes whenever that does."""
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is not None and origin is not Literal:
        return f"{getattr(origin, '__name__', origin)}[{', '.join(map(shape, arguments))}]"
    if origin is Literal:
        return str(type_)
    name, fields = getattr(type_, "__name__", str(type_)), _fields(type_) or {}
    if isinstance(type_, type) and issubclass(type_, BaseModel):
        return f"{name}{orjson.dumps(type_.model_json_schema()).decode()}"
    return f"{name}({', '.join(f'{field}: {shape(kind)}' for field, kind in fields.items())})"


@cache
def reader(type_: Any) -> Read | None:
    """What makes a value of a type from plain data that is not None; None if the plain data is that value."""
    origin, arguments = get_origin(type_), get_args(type_)
    if type_ in _AS_THEY_ARE or origin is Literal:
        return None
    if origin in (Union, types.UnionType):
        return _read_union(type_, arguments)
    if origin in (dict, Mapping):
        value = reader(arguments[1])
        return None if value is None else lambda plain: {key: v if v is None else value(v) for key, v in plain.items()}
    if origin in (list, tuple, set):
        assert origin is not tuple or arguments[1:] == (...,), f"{type_} is not of any length"
        item, collect = reader(arguments[0]), origin
        if item is None:
            return None if collect is list else collect
        return lambda plain: collect(v if v is None else item(v) for v in plain)
    if type_ is Decimal:
        return Decimal
    if type_ is datetime:
        return datetime.fromisoformat
    if type_ is timedelta:
        return lambda plain: timedelta(*plain)
    if issubclass(type_, BaseModel):
        validate: Read = type_.model_validate_json
        return validate
    return _read_fields(type_)


def _read_union(type_: Any, arguments: Iterable[Any]) -> Read | None:
    readers = [read for argument in arguments if (read := reader(argument)) is not None]
    assert len(readers) < 2, f"nothing tells the members of {type_} apart"
    return readers[0] if readers else None


def _read_fields(type_: Any) -> Read:
    fields = _fields(type_)
    assert fields is not None, f"{type_} is no plain data"
    readers = [reader(field) for field in fields.values()]

    if any(field.kw_only for field in getattr(type_, "__dataclass_fields__", {}).values()):

        def read_by_name(plain: Any) -> Any:
            values = zip(fields, readers, plain, strict=True)
            return type_(**{name: v if v is None or read is None else read(v) for name, read, v in values})

        return read_by_name

    def read(plain: Any) -> Any:
        return type_(*[v if v is None or read is None else read(v) for read, v in zip(readers, plain, strict=True)])

    return read


@cache
def _fields(type_: Any) -> dict[str, Any] | None:
    """Fields and their types; None if a type has none. Without annotations: they say what may come from outside."""
    hints = get_type_hints(type_) if hasattr(type_, "__dataclass_fields__") or hasattr(type_, "_fields") else None
    if hints is None or hasattr(type_, "_fields"):
        return hints
    return {field.name: hints[field.name] for field in dataclasses.fields(type_)}


@cache
def _values(type_: Any) -> Callable[[Any], tuple[Any, ...]]:
    names = [field.name for field in dataclasses.fields(type_)]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    kind: Any = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        return _values(kind)(value)
    if isinstance(value, tuple):
        return tuple(value)
    if isinstance(value, timedelta):
        return value.days, value.seconds, value.microseconds
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet):
        return sorted(value)
    if isinstance(value, BaseModel):
        return value.model_dump_json(exclude_defaults=True)  # as text: it may hold whole numbers of any length
    raise TypeError(f"{type(value).__name__} is no plain data")
