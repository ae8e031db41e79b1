"""Reading fixture files: YAML that people write, checked field by field before the mock starts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from contract_tests.source import Pointer, Source, exact_number
from mock_server import faking
from mock_server.clock import later

M = TypeVar("M", bound=BaseModel)


class FixtureModel(BaseModel):
    """Base of everything in a fixture file: unknown fields are errors, values never change."""

    # Built when first used: most of what extends it, such as the controls' actions, is not used by a start.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def _finite(value: Decimal) -> Decimal:
    if value.as_tuple().exponent < -9:  # type: ignore[operator]
        raise ValueError("at most 9 decimals are kept")
    if value.adjusted() > 10:
        raise ValueError("at most 11 digits before the point are kept")
    return value


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a decimal")
    return value


Money = Annotated[Decimal, BeforeValidator(_no_bool), AfterValidator(_finite)]
"""A decimal of at most 11 digits before and 9 after the point."""


Currency = Annotated[str, Field(pattern=r"^[a-z]{3}$")]
"""A currency code as both providers write it."""

Moment = datetime | date
"""A time, or a day, which begins at midnight UTC."""


def moment(value: Moment) -> datetime:
    """A time in UTC; one without a zone is taken to be in it."""
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


_RELATIVE = re.compile(r"in (\d{1,9}) (minute|hour|day)s?")


def _relative(value: Any) -> Any:
    if isinstance(value, str) and (match := _RELATIVE.fullmatch(value)):
        return timedelta(**{match[2] + "s": int(match[1])})
    return value


Expiry = Annotated[timedelta | datetime | date, BeforeValidator(_relative)]
"""`in 3 days` counts from the start of the world's first day; anything else is a date or time."""


def expiry(value: timedelta | Moment, first_day: datetime) -> datetime:
    """When something expires, in UTC."""
    return later(first_day, value) if isinstance(value, timedelta) else moment(value)


def read_source(path: Path) -> Source:
    """A fixture file as data; numbers keep the digits they were written with."""
    return Source(path, number=exact_number)


def parse(source: Source, model: type[M], within: Pointer = ()) -> M:
    """The file, or what stands in it at `within`, as `model`; SourceError names file, line, field, and what was expected."""
    data = source.data
    for step in within:
        data = data[step]
    if not isinstance(data, dict):
        expected = "fields" if within else "a fixture file: a mapping that begins with `provider:`"
        raise source.error(within, f"expected {expected}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = _telling(data, error.errors(include_url=False))
        pointer = (*within, *_in_data(data, first["loc"], first["type"] == "missing"))
        got = "" if first["type"] in ("missing", "extra_forbidden") else f", got {_short(first['input'])}"
        if first["type"] == "extra_forbidden":
            known = ", ".join(_fields_at(model, first["loc"][:-1]))
            raise source.error(pointer, f"unknown field {pointer[-1]!r}; known here: {known}") from None
        problem = first["msg"].removeprefix("Value error, ")
        raise source.error(pointer, f"{problem[:1].lower()}{problem[1:]}{got}") from None


def check_expressions(source: Source, locale: str) -> None:
    """SourceError for the first Faker expression that cannot be evaluated."""
    try:
        faking.check_locale(locale)
    except faking.UnknownProvider as error:
        raise source.error(("locale",), str(error)) from None
    _check_node(source, source.data, (), locale)


def _check_node(source: Source, node: Any, pointer: tuple[str | int, ...], locale: str) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            _check_node(source, value, (*pointer, key), locale)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _check_node(source, value, (*pointer, index), locale)
    elif isinstance(node, str) and faking.has_expression(node):
        try:
            faking.check(node, locale)
        except faking.UnknownProvider as error:
            raise source.error(pointer, str(error)) from None


def _telling(data: Any, errors: Sequence[ErrorDetails]) -> ErrorDetails:
    """The one of several complaints that says most.

    A field may be missing because another one is spelled wrong; of what a value could have been, it is what it comes nearest to.
    """
    depths = {id(error): len(_in_data(data, error["loc"], False)) for error in errors}
    first = errors[0]
    shared = first["loc"][: depths[id(first)]]
    branches = [error for error in errors if error["loc"][: len(shared)] == shared and len(error["loc"]) > len(shared)]
    if len({error["loc"][len(shared)] for error in branches}) > 1:
        return max(branches, key=lambda error: depths[id(error)])
    return first


def _in_data(data: Any, location: tuple[str | int, ...], missing: bool) -> tuple[str | int, ...]:
    """Pydantic's location without the steps that name models and not places in the file."""
    pointer = []
    for number, step in enumerate(location):
        if isinstance(data, dict) and (step in data or (missing and number == len(location) - 1)) and step != "[key]":
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            continue
        pointer.append(step)
    return tuple(pointer)


def _fields_at(model: Any, location: tuple[str | int, ...]) -> list[str]:
    """The field names of the model that pydantic's location leads to."""
    for step in location:
        model = _within(model, step)
    found = _models_in(model)
    return sorted(found[0].model_fields) if len(found) == 1 else []


def _within(annotation: Any, step: str | int) -> Any:
    """The annotation of what a step leads to from an annotated value."""
    if _is_model(annotation):
        return annotation.model_fields[str(step)].annotation
    if get_origin(annotation) in (dict, list):
        return get_args(annotation)[-1]
    models = _models_in(annotation)
    tagged = [model for model in models if step in (_tag(model), model.__name__) or f"{step}".endswith(f", {model.__name__}]")]
    return tagged[0] if tagged else _within(models[0], step)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and not hasattr(annotation, "__args__") and issubclass(annotation, BaseModel)


def _models_in(annotation: Any) -> list[Any]:
    """The models in an annotation such as `dict[str, Model]` or `A | B`."""
    if _is_model(annotation):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _tag(model: Any) -> str:
    """How a model of a union is called in locations; see `fixtures.TransactionFixture`."""
    return str(next(iter(model.model_fields), "")) + " row"


def _short(value: Any) -> str:
    text = repr(str(value) if isinstance(value, Decimal) else value)
    return text if len(text) <= 60 else text[:57] + "..."
