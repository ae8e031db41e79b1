"""An exchange as rules see it: with its operation, and its bodies read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import orjson

from contract_tests.contract import Contract, Operation
from contract_tests.exchange import Exchange, Request, Response, content_type

T = TypeVar("T")

NO_JSON = object()
"""Stands where a body is not JSON, which null is."""


class Observation:
    """One exchange with what is needed to judge it.

    `sent_valid`: the request keeps the contract. `secrets` are the credentials that the run holds, which no answer may
    repeat.
    """

    def __init__(self, contract: Contract, operation: Operation, exchange: Exchange, secrets: tuple[str, ...] = ()) -> None:
        self.contract = contract
        self.operation = operation
        self.exchange = exchange
        self.secrets = secrets
        self._found: dict[str, Sequence[Any]] = {}

    def found(self, name: str, find: Callable[[Observation], Iterable[T]]) -> Sequence[T]:
        """What several rules look for, by name; it is looked for once."""
        known = self._found.get(name)
        if known is None:
            known = self._found[name] = tuple(find(self))
        return known

    @property
    def request(self) -> Request:
        """The request as it was sent."""
        return self.exchange.request

    @property
    def response(self) -> Response:
        """The response as it came."""
        return self.exchange.response

    @property
    def status(self) -> int:
        """The status of the response."""
        return self.exchange.response.status

    @property
    def ok(self) -> bool:
        """A 2xx whose body could be read."""
        return 200 <= self.status < 300 and self.body is not NO_JSON

    @cached_property
    def body(self) -> Any:
        """The response's body as JSON; NO_JSON if it is none."""
        return _read(self.response.body)

    @cached_property
    def sent(self) -> Any:
        """The request's body as JSON; NO_JSON if it is none."""
        return _read(self.request.body)

    @cached_property
    def sent_valid(self) -> bool:
        """Whether the request keeps the contract, so that the provider has no formal reason to refuse it."""
        return self.operation.id != "" and not self.contract.check_request(self.operation, self.request)

    def header(self, name: bytes) -> str | None:
        """A header of the response by lower-case name; None if it is missing."""
        for key, value in self.response.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    @property
    def is_json(self) -> bool:
        """Whether the response says that it is JSON."""
        return content_type(self.response.headers).partition(";")[0] in ("application/json", "application/problem+json")

    @property
    def text(self) -> str:
        """The response's body as text, whatever it is."""
        return self.response.body.decode("utf-8", "replace")


def _read(body: bytes) -> Any:
    try:
        return json.loads(body) if len(body) > 1 << 20 else orjson.loads(body)
    except (ValueError, RecursionError):
        return NO_JSON


def decimal(value: Any) -> Decimal | None:
    """A decimal as the provider writes them, in text; None if it is anything else (the contract complains of that)."""
    return _decimal(value) if isinstance(value, str) and len(value) <= 100 else None


_LARGEST_EXPONENT = 100  # of any amount of money; sums and products of larger ones may overflow


@lru_cache(1_000)  # several rules look at the same members
def _decimal(value: str) -> Decimal | None:
    try:
        result = Decimal(value)
    except InvalidOperation:
        return None
    return result if result.is_finite() and abs(result.adjusted()) <= _LARGEST_EXPONENT else None
