"""What is wrong with data, in the few words of pydantic's that tell a person."""

from __future__ import annotations

from pydantic import ValidationError


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Where the first thing is that is wrong, as `field/0/field`, and what is wrong with it."""
    first = error.errors(include_url=False)[0]
    return "/".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
