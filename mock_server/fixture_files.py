"""Reading fixture files: YAML that people write, checked field by field before the mock starts."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from contract_tests.source import Source, exact_number
from mock_server import faking

M = TypeVar("M", bound=BaseModel)


class FixtureModel(BaseModel):
    """Base of everything in a fixture file: unknown fields are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


def read_source(path: Path) -> Source:
    """A fixture file as data; numbers keep the digits they were written with."""
    return Source(path, number=exact_number)


def parse(source: Source, model: type[M]) -> M:
    """The file as `model`; SourceError names file, line, field, and what was expected."""
    if not isinstance(source.data, dict):
        raise source.error((), "expected a fixture file: a mapping that begins with `provider:`")
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        pointer = _in_data(source.data, first["loc"])
        got = "" if first["type"] in ("missing", "extra_forbidden") else f", got {_short(first['input'])}"
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(_fields_at(model, pointer[:-1])))
            raise source.error(pointer, f"unknown field {pointer[-1]!r}; known here: {known}") from None
        raise source.error(pointer, f"{first['msg'][:1].lower()}{first['msg'][1:]}{got}") from None


def check_expressions(source: Source, locale: str) -> None:
    """SourceError for the first Faker expression that cannot be evaluated."""
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


def _in_data(data: Any, location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Pydantic's location without the steps that name models and not places in the file."""
    pointer = []
    for number, step in enumerate(location):
        if isinstance(data, dict) and (step in data or number == len(location) - 1) and step != "[key]":
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int):
            data = data[step]
        else:
            continue
        pointer.append(step)
    return tuple(pointer)


def _fields_at(model: Any, pointer: tuple[str | int, ...]) -> list[str]:
    """The field names of the model that a pointer leads to."""
    for step in pointer:
        if isinstance(model, type) and issubclass(model, BaseModel) and step in model.model_fields:
            model = model.model_fields[str(step)].annotation
        model = _model_in(model)
    return sorted(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _model_in(annotation: Any) -> Any:
    """The first model in an annotation such as `dict[str, Model]` or `Model | None`."""
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation
    for argument in reversed(getattr(annotation, "__args__", ())):
        found = _model_in(argument)
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return annotation


def _short(value: Any) -> str:
    text = repr(str(value) if isinstance(value, Decimal) else value)
    return text if len(text) <= 60 else text[:57] + "..."
