"""What is asked of two Polar services: both operations in their usual situations and refusals, all of them reading."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from random import Random
from typing import Any

from contract_tests.compare.steps import Situations, Step
from contract_tests.rules.polar_reading import GET, LIST

_SORTINGS = ("created_at", "-created_at", "balance", "-balance")
_BAD_NUMBERS = ("0", "-1", "abc", "1.5", "")
_BAD_SORTINGS = ("foo", "", "created_at,balance", "id", "-")
_BAD_IDS = ("abc", "00000000-0000-0000-0000-000000000000", "6f7e1c6e-5d0b-11ee-8c99-0242ac120002")
_STRANGERS = {"none": "without a token", "wrong": "with a wrong token", "expired": "with an expired token"}
_VERSIONS = ("2026-04", "2026-10", "")


def sequence(wanted: Situations) -> Iterator[Step]:
    """All steps. The lists hold the same on both sides only if all wallets do; there is nothing that could be written."""
    random, known = Random(f"{wanted.seed}/compare"), wanted.known  # noqa: S311 - reproducible on purpose
    same_data = bool(known) and all(same for _, same in known)

    def listed(situation: str, *query: tuple[str, Any], **more: Any) -> Step:
        return Step(LIST, situation, query=query, same_data=same_data, **more)

    yield listed("all wallets")
    for sorting in _SORTINGS:
        yield listed(f"sorted by {sorting}", ("sorting", sorting))
    yield listed("sorted by both", ("sorting", "balance"), ("sorting", "-created_at"))
    for page, limit in ((1, 1), (2, 1), (1, 2), (2, 2), (1, 100), (1, 101), (1000, 10)):
        yield listed(f"page {page} of {limit} each", ("page", page), ("limit", limit))
    yield listed("a repeated limit", ("limit", 1), ("limit", 100))
    yield listed("an unknown parameter", ("currency", "none"))
    for name in ("page", "limit"):
        for value in _BAD_NUMBERS:
            yield listed(f"{name}={value or '(empty)'}", (name, value))
    for value in _BAD_SORTINGS:
        yield listed(f"sorting={value or '(empty)'}", ("sorting", value))
    yield listed("several mistakes", ("sorting", "foo"), ("limit", "abc"), ("page", "0"))
    for version in _VERSIONS:
        yield listed(f"version {version or '(empty)'}", headers=(("polar-version", version),))
    for symbol, same in known:
        yield Step(GET, "a wallet that was there", symbol, same_data=same)
        yield Step(GET, "an unknown parameter", symbol, query=[("sorting", "foo")], same_data=same)
    for _ in range(2):
        yield Step(GET, "a wallet that nobody has", str(uuid.UUID(int=random.getrandbits(128), version=4)))
    for value in _BAD_IDS:
        yield Step(GET, f"the id {value}", value)
    for identity, situation in _STRANGERS.items():
        yield listed(situation, identity=identity)
        yield Step(GET, situation, known[0][0] if known else _BAD_IDS[1], identity=identity)
    yield Step("", "a path that is not there", path="/v1/customer-portal/no-such-path")
    for _ in range(wanted.at_random):
        query = [("page", random.randint(1, 4)), ("limit", random.randint(1, 8)), ("sorting", random.choice(_SORTINGS))]
        yield listed("at random", *random.sample(query, random.randint(0, 3)))
