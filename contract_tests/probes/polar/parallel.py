"""Reading at the same moment is reading one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from contract_tests.probes.polar.asking import answered, ask, judge_same, page, read, wallets
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.observation import Observation
from contract_tests.rules.polar_reading import GET, LARGEST_PAGE, LIST
from contract_tests.rules.rule import Rule

_AT_ONCE = 8
_ROUNDS = 3

PARALLEL_READS = Rule(
    "concurrency.parallel-reads",
    "Requests sent at the same moment are answered as if they came alone, each with its own answer.",
    "P9; RFC 9110 section 9.2.1",
    "both operations, eight requests at once",
    "",
    ("polar",),
)


@probe("polar", PARALLEL_READS)
def lists_at_once(stage: Stage) -> None:
    """The same list eight times, then eight different ones."""
    alone = page(stage, [("limit", LARGEST_PAGE)]).seen
    for _ in range(_ROUNDS):
        again = partial(stage.call, LIST, query=[("limit", LARGEST_PAGE)])
        _judge(stage, [again] * _AT_ONCE, [alone] * _AT_ONCE)
    queries = [[("page", number % 2 + 1), ("limit", number // 2 + 1)] for number in range(_AT_ONCE)]
    _judge(stage, [partial(stage.call, LIST, query=query) for query in queries], [ask(stage, query) for query in queries])


@probe("polar", PARALLEL_READS, needs=["wallet"])
def wallets_at_once(stage: Stage) -> None:
    """Different wallets, so that mixed-up answers show."""
    known = wallets(stage, _AT_ONCE)
    alone = {wallet_id: read(stage, wallet_id) for wallet_id in known}
    ids = [known[number % len(known)] for number in range(_AT_ONCE)]
    for _ in range(_ROUNDS):
        _judge(stage, [partial(stage.call, GET, wallet_id) for wallet_id in ids], [alone[wallet_id] for wallet_id in ids])


def _judge(stage: Stage, calls: Sequence[Callable[[], Observation]], alone: Sequence[Observation]) -> None:
    for seen, expected in zip(stage.parallel(calls), alone, strict=True):
        if seen is None:
            stage.give_up("not all of several requests at once were answered")
        problem = "an answer differs from the one to the same request alone"
        judge_same(stage, PARALLEL_READS, problem, expected, answered(stage, seen))
