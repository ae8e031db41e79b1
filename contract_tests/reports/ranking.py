"""What to read first."""

from __future__ import annotations

from collections.abc import Iterable

from contract_tests.results import Cause

_AREAS = ("money", "auth", "concurrency", "state", "robustness", "lists", "errors", "response", "contract")
_CONFIRMATIONS = ("confirmed", "unconfirmed", "flaky")
_STANDINGS = ("new", "known")


def ranked(causes: Iterable[Cause]) -> list[Cause]:
    """The causes, the one that matters most first.

    What fails the run before what does not, sure before flaky, new before known, then by what is at stake (money first),
    then by how often it was seen. The rest of the order only keeps reports of equal runs equal.
    """
    return sorted(causes, key=_rank)


def together(causes: Iterable[Cause]) -> list[list[Cause]]:
    """The causes, ranked, with those together that one mistake is likely to have made: one rule, broken in several places.

    Of the contract's own rules, which are few and say everything, only those that speak of the same member.
    """
    groups: dict[tuple[object, ...], list[Cause]] = {}
    for cause in ranked(causes):
        member = cause.pointer.rpartition("/")[2] if cause.rule.startswith("response.") else ""
        flaky = cause.confirmation == "flaky"
        groups.setdefault((cause.rule, member, cause.fails, cause.standing, flaky), []).append(cause)
    return list(groups.values())


def _rank(cause: Cause) -> tuple[object, ...]:
    return (
        not cause.fails,
        _CONFIRMATIONS.index(cause.confirmation),
        _STANDINGS.index(cause.standing),
        _AREAS.index(cause.area) if cause.area in _AREAS else len(_AREAS),
        -cause.count,
        cause.fingerprint,
    )
