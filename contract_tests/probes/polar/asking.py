"""How Polar's probes ask, and what they do where an answer is not what they can go on with."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from contract_tests.identity import Identity
from contract_tests.probes.probe import NotTested, Stage
from contract_tests.rules.observation import NO_JSON, Observation
from contract_tests.rules.polar_reading import GET, LARGEST_PAGE, LIST, Page, canonical, page_of
from contract_tests.rules.rule import Rule

WALLETS = "/v1/customer-portal/wallets/"

_MOST_DISCOVERED = 200
_BUSY = (429, 503)

Query = Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Read:
    """A page with the answer that it came in."""

    page: Page
    seen: Observation


def discover(stage: Stage) -> list[str]:
    """The ids of the wallets that the main identity sees, the first couple of hundred."""
    found: dict[str, None] = {}
    for number in range(1, _MOST_DISCOVERED // LARGEST_PAGE + 1):
        page = page_of(stage.call(LIST, query=[("page", number), ("limit", LARGEST_PAGE)]))
        if page is None or not page.items:
            break
        found |= dict.fromkeys(wallet_id for wallet_id in page.ids if canonical(wallet_id))
        if len(found) >= page.total_count:
            break
    return list(found)


def ask(stage: Stage, query: Query = (), identity: Identity | None = None) -> Observation:
    """List wallets, whatever comes of it."""
    return answered(stage, stage.call(LIST, query=query, identity=identity))


def read(stage: Stage, wallet_id: str, query: Query = (), identity: Identity | None = None) -> Observation:
    """Get a wallet, whatever comes of it."""
    return answered(stage, stage.call(GET, wallet_id, query=query, identity=identity))


def answered(stage: Stage, seen: Observation) -> Observation:
    """The answer, unless the target asks for patience: that says nothing about what was asked."""
    if seen.status in _BUSY:
        stage.give_up(f"the target asks for patience ({seen.status}): try --rate")
    return seen


def page(stage: Stage, query: Query = (), identity: Identity | None = None) -> Read:
    """A page of wallets; without one the probe cannot go on."""
    seen = ask(stage, query, identity)
    found = page_of(seen)
    if found is None:
        stage.give_up(f"no page of wallets came, but {seen.status} {seen.text[:100]}")
    return Read(found, seen)


def wallets(stage: Stage, most: int) -> list[str]:
    """Ids of wallets that can be read, in their usual form; the probe gives up if there is none."""
    found = [wallet_id for wallet_id in stage.subject.wallets if canonical(wallet_id) == wallet_id][:most]
    if not found:
        raise NotTested("needs a wallet that can be read (--wallet ID); none was found")
    return found


def nobodys(random: Random) -> str:
    """An id that no wallet has: a random UUID of version 4."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def same(one: Observation, two: Observation) -> bool:
    """Whether two answers are the same but for their headers."""
    return one.status == two.status and one.response.body == two.response.body


def judge_same(stage: Stage, rule: Rule, problem: str, one: Observation, two: Observation) -> bool:
    """Judge that the second answer is the first one, byte for byte."""
    return stage.judge(rule, same(one, two), problem, one, two, expected=shown(one), got=shown(two))


def judge_status(stage: Stage, rule: Rule, problem: str, seen: Observation, expected: int) -> bool:
    """Judge the status."""
    return stage.judge(rule, seen.status == expected, f"{problem}: not {expected}", seen, expected=expected, got=seen.status)


def shown(seen: Observation) -> str:
    """An answer in a few words."""
    return f"{seen.status} {seen.text[:300]}"


def spelled(value: Any) -> str:
    """JSON in one spelling: 1, 1.0 and true differ, the order of members does not."""
    try:
        return "nothing" if value is NO_JSON else json.dumps(value, sort_keys=True)
    except RecursionError:
        return "too deep to be a wallet"
