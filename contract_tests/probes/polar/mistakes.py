"""Requests with a mistake, or several: refused, and every mistake named (which a rule over single exchanges reads)."""

from __future__ import annotations

from contract_tests.probes.polar.asking import Query, ask, nobodys, page, read
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.observation import Observation
from contract_tests.rules.rule import Rule
from contract_tests.rules.shared import INVALID_REFUSED

_NO_INTEGERS = ("0", "-1", "abc", "1.5", "", "1e1", "0x1", "true", "null")

_NO_SORTINGS = ("foo", "", "created_at,balance", "CREATED_AT", "--balance", " balance", "null", "id", "-", "modified_at")

_SEVERAL: tuple[Query, ...] = (
    [("sorting", "balance"), ("sorting", "foo")],
    [("sorting", "foo"), ("sorting", "-balance"), ("sorting", "bar")],
    [("sorting", "foo"), ("limit", "abc"), ("page", "0")],
    [("limit", "0"), ("sorting", "x"), ("page", "abc"), ("sorting", "-balance"), ("sorting", "")],
    [("limit", "5"), ("page", "-1"), ("sorting", "balance")],
)

_NO_UUIDS = ("abc", "not-a-uuid", "1", "wallet_01h000", "null")

_OTHER_UUIDS = (
    "00000000-0000-0000-0000-000000000000",  # nil
    "6f7e1c6e-5d0b-11ee-8c99-0242ac120002",  # version 1
    "0190a6f2-7b3c-7c1e-9b1a-5f2d3c4b5a69",  # version 7
    "886313e1-3b8a-5372-9b90-0c9aee199e5d",  # version 5
    "6f7e1c6e-5d0b-41ee-cc99-0242ac120002",  # version 4, but of another variant
)

ALL_REPORTED = Rule(
    "errors.all-reported",
    "Several bad parameters are refused together: one answer has a complaint about each.",
    "server/polar/exception_handlers.py:16-32; seen on the wire",
    "lists with several bad parameters",
    "",
    ("polar",),
)


@probe("polar", INVALID_REFUSED)
def bad_numbers(stage: Stage) -> None:
    """Pages and limits that are none."""
    page(stage)
    for name in ("page", "limit"):
        for value in _NO_INTEGERS:
            _judge(stage, f"{name}={value!r}", ask(stage, [(name, value)]))


@probe("polar", INVALID_REFUSED)
def bad_sortings(stage: Stage) -> None:
    """What lists cannot be sorted by."""
    page(stage)
    for value in _NO_SORTINGS:
        _judge(stage, f"sorting={value!r}", ask(stage, [("sorting", value)]))


@probe("polar", INVALID_REFUSED, ALL_REPORTED)
def several_mistakes(stage: Stage) -> None:
    """In another order than the one in which they must be reported."""
    page(stage)
    for query in _SEVERAL:
        seen = ask(stage, query)
        _judge(stage, "several parameters", seen)
        wrong = sum((name, value) not in _RIGHT for name, value in query)
        detail = seen.body.get("detail") if isinstance(seen.body, dict) else None
        if seen.status == 422 and isinstance(detail, list):
            stage.judge(
                ALL_REPORTED,
                len(detail) == wrong,
                f"{wrong} mistakes, and not as many complaints",
                seen,
                pointer="/detail",
                expected=wrong,
                got=len(detail),
            )


_RIGHT = {("sorting", "balance"), ("sorting", "-balance"), ("limit", "5")}


@probe("polar", INVALID_REFUSED)
def bad_ids(stage: Stage) -> None:
    """What is no UUID, and UUIDs of other versions."""
    page(stage)
    nobody = nobodys(stage.random)
    for wallet_id in (*_NO_UUIDS, nobody[:-1], nobody + "0", "z" + nobody[1:], *_OTHER_UUIDS):
        _judge(stage, f"the id {wallet_id}", read(stage, wallet_id))


def _judge(stage: Stage, what: str, seen: Observation) -> None:
    """Refused with 422. A 2xx is a finding already, of the rule over single exchanges."""
    if not 200 <= seen.status < 300:
        problem = f"{what} was refused, but not with 422"
        stage.judge(INVALID_REFUSED, seen.status == 422, problem, seen, expected=422, got=seen.status)
