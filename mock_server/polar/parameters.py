"""Query and path parameters, read by the library that the live service reads them with, complaints included."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import UUID4, BaseModel, Field, TypeAdapter, ValidationError

from contract_tests.exchange import Request
from mock_server.call import Refused
from mock_server.polar.answers import invalid

MAX_LIMIT = 100


class Sorting(StrEnum):
    """What a list of wallets can be sorted by; a dash turns it round."""

    CREATED_AT = "created_at"
    CREATED_AT_DESC = "-created_at"
    BALANCE = "balance"
    BALANCE_DESC = "-balance"


class ListQuery(BaseModel):
    """The list operation's query, in the order in which errors are reported."""

    page: Annotated[int, Field(gt=0)] = 1
    limit: Annotated[int, Field(gt=0)] = 10
    sorting: list[Sorting] = [Sorting.CREATED_AT_DESC]


_ID: TypeAdapter[Any] = TypeAdapter(UUID4)


def list_query(request: Request) -> ListQuery:
    """The query of a list; Refused with a 422 that names every bad parameter."""
    given: dict[str, Any] = {}
    for name, value in request.query:
        if name == "sorting":
            given.setdefault(name, []).append(value)
        elif name in ("page", "limit"):
            given[name] = value
    try:
        return ListQuery.model_validate(given)
    except ValidationError as error:
        raise Refused(invalid(_entries(error, "query"))) from None


def wallet_id(request: Request) -> str:
    """The canonical id; Refused with a 422 if it is no version 4 UUID."""
    try:
        return str(_ID.validate_python(request.path_params["id"]))
    except ValidationError as error:
        raise Refused(invalid(_entries(error, "path", "id"))) from None


def _entries(error: ValidationError, *place: str) -> list[dict[str, Any]]:
    entries = []
    for found in error.errors(include_url=False):
        entry = {"type": found["type"], "loc": [*place, *found["loc"]], "msg": found["msg"], "input": found["input"]}
        if found.get("ctx"):
            entry["ctx"] = {name: str(value) if isinstance(value, Exception) else value for name, value in found["ctx"].items()}
        entries.append(entry)
    return entries
