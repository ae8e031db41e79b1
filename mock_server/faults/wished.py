"""The faults that one request wishes for itself with `Prefer`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from contract_tests.source import InputError
from mock_server.faults.fault import Fault, complaint, fields_of
from mock_server.prefer import Wish

_FIELD = {
    "fault": "fault",
    "code": "code",
    "delay": "delay",
    "handled": "handled",
    "retry-after": "retry_after",
    "surprise": "surprise",
}


def wished_faults(wishes: Sequence[Wish]) -> Sequence[tuple[Fault, Sequence[Wish]]]:
    """The faults with the wishes that each comes from: what breaks the connection first. InputError for what makes none."""
    # Of a name that is there twice only the first counts, says RFC 7240; surprises may be many.
    single = {name: value for name, value in reversed(wishes) if name in _FIELD and name != "surprise"}
    surprises = [wish for wish in dict.fromkeys(wishes) if wish[0] == "surprise"]
    found = [_fault(wishes_of_one) for wishes_of_one in _grouped(single, surprises)]
    if single:
        name, value = next(iter(single.items()))
        raise InputError(f"Prefer: {name}={value} goes with {_PARTNERS[name]}")
    return found


_PARTNERS = {"handled": "code= or with fault=reset, refused or garbage", "retry-after": "code=429 or code=503"}


def _grouped(single: dict[str, str], surprises: Sequence[Wish]) -> Iterator[list[Wish]]:
    """The wishes of one fault each, taken out of `single`."""

    def take(kind: str) -> list[Wish]:
        names = [name for name in _FIELD if name in single and _FIELD[name] in fields_of(kind)]
        return [(name, single.pop(name)) for name in names]

    kind = single.pop("fault", None)
    if kind == "surprise":
        raise InputError("Prefer: say surprise=NAME")
    if kind is not None:
        yield [("fault", kind), *take(kind)]
    if "delay" in single:
        yield [("delay", single.pop("delay"))]
    if "code" in single:
        yield take("error")
    yield from ([wish] for wish in surprises)


def _fault(wishes: Sequence[Wish]) -> tuple[Fault, Sequence[Wish]]:
    fields: dict[str, Any] = {}
    for name, value in wishes:
        fields[_FIELD[name]] = _VALUES.get(value, value) if name == "handled" else value
    if re.fullmatch(r"[0-9]{1,9}", fields.get("code", "")):
        fields["code"] = int(fields["code"])
    first = wishes[0][0]
    fields.setdefault("fault", "error" if first == "code" else first)
    try:
        return Fault.model_validate(fields), wishes
    except ValidationError as error:
        said = ", ".join(f"{name}={value}" for name, value in wishes)
        raise InputError(f"Prefer: {said[:200]}: {complaint(error)}") from None


_VALUES: Mapping[str, bool] = {"true": True, "false": False}
