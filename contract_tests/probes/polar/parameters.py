"""What parameters mean that are absent, given twice, or not known at all."""

from __future__ import annotations

from contract_tests.probes.polar.asking import Query, ask, judge_same, nobodys, page, read, wallets
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.rule import Rule

_PAGINATION = "server/polar/kit/pagination.py:108-119"

DEFAULTS = Rule(
    "lists.defaults",
    "Absent page, limit and sorting mean 1, 10 and -created_at.",
    f"P7; {_PAGINATION}, server/polar/customer_portal/endpoints/wallet.py:28-47",
    "lists without some of the parameters",
    "",
    ("polar",),
)

LAST_COUNTS = Rule(
    "lists.last-value-counts",
    "Of a repeated page or limit the last one counts, also for what is refused.",
    f"{_PAGINATION}; seen on the wire",
    "repeated page and limit",
    "",
    ("polar",),
)

UNKNOWN_IGNORED = Rule(
    "robustness.unknown-parameters-ignored",
    "Query parameters that an operation does not have change nothing.",
    "seen on the wire; the documents name all parameters",
    "both operations",
    "",
    ("polar",),
)


@probe("polar", DEFAULTS)
def defaults(stage: Stage) -> None:
    """Each parameter left out, against the same request with its default written."""
    pairs: list[tuple[Query, Query]] = [
        ((), [("page", 1), ("limit", 10), ("sorting", "-created_at")]),
        ([("limit", 3)], [("page", 1), ("limit", 3)]),
        ([("page", 2)], [("page", 2), ("limit", 10)]),
        ([("limit", 100)], [("limit", 100), ("sorting", "-created_at")]),
        ([("sorting", "balance")], [("sorting", "balance"), ("page", 1), ("limit", 10)]),
    ]
    for absent, written in pairs:
        expected = page(stage, written)
        judge_same(stage, DEFAULTS, "leaving out a parameter is not its default", expected.seen, ask(stage, absent))


@probe("polar", LAST_COUNTS)
def repeated(stage: Stage) -> None:
    """Two values, of which the first one would give something else."""
    pairs: list[tuple[Query, Query]] = [
        ([("limit", 1), ("limit", 100)], [("limit", 100)]),
        ([("limit", 100), ("limit", 1)], [("limit", 1)]),
        ([("limit", 1), ("page", 3), ("page", 1)], [("limit", 1), ("page", 1)]),
        ([("page", 0), ("limit", "abc"), ("page", 1), ("limit", 10)], [("page", 1), ("limit", 10)]),
    ]
    for twice, once in pairs:
        expected = page(stage, once)
        judge_same(stage, LAST_COUNTS, "the last of two values does not count", expected.seen, ask(stage, twice))
    for name in ("page", "limit"):
        seen = ask(stage, [(name, 1), (name, 0)])
        stage.judge(
            LAST_COUNTS, seen.status == 422, f"the last {name} is 0 and was accepted", seen, expected=422, got=seen.status
        )


@probe("polar", UNKNOWN_IGNORED)
def unknown_on_lists(stage: Stage) -> None:
    """Names that other lists have, or that look like ours."""
    expected = page(stage)
    others = {"customer_id": nobodys(stage.random), "PAGE": 2, "sorting[]": "balance", "currency": "none", "offset": 1, "id": ""}
    for name, value in others.items():
        seen = ask(stage, [(name, value)])
        judge_same(stage, UNKNOWN_IGNORED, "a parameter that is not there changes the list", expected.seen, seen)


@probe("polar", UNKNOWN_IGNORED, needs=["wallet"])
def unknown_on_gets(stage: Stage) -> None:
    """The list's own parameters mean nothing here, so even wrong ones do not."""
    wallet_id = wallets(stage, 1)[0]
    expected = read(stage, wallet_id)
    for query in ([("page", 0)], [("limit", "abc")], [("sorting", "foo")], [("id", nobodys(stage.random))]):
        seen = read(stage, wallet_id, query)
        judge_same(stage, UNKNOWN_IGNORED, "a parameter that is not there changes the wallet", expected, seen)
