"""What a request asks of a control: in which session, by which body, for which action."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import ValidationError

from mock_server.actions import Action
from mock_server.call import Call
from mock_server.problems import first_problem
from mock_server.world import Refusal

A = TypeVar("A", bound=Action)


def session_of(call: Call) -> str:
    """The session that the path names, whichever the request itself is in."""
    return call.request.path_params["session"]


def fields_of(call: Call) -> Mapping[str, Any]:
    """The body's fields, with decimals as they are written; none if there is no body."""
    if not call.request.body:
        return {}
    try:
        fields: Mapping[str, Any] = json.loads(call.request.body, parse_float=Decimal)
    except ValueError:  # whole numbers of thousands of digits; everything else was refused before
        raise Refusal("the body holds a number with too many digits") from None
    return fields


def action_of(kind: type[A], fields: Mapping[str, Any], **named: str) -> A:
    """The action that body and path describe; Refusal for what the document cannot say of it."""
    try:
        return kind.model_validate({**fields, **named})
    except ValidationError as error:
        raise Refusal(": ".join(first_problem(error))) from None
