"""What Polar must keep to over time, judged in traffic of others: what never changes, and who sees whose wallets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from contract_tests.rules.history import Judged, Moment
from contract_tests.rules.polar_pages import ONE_CUSTOMER
from contract_tests.rules.polar_reading import wallets_in
from contract_tests.rules.remembering import Recent, Sighting, Sightings, is_own_answer, place_of, sender, shown
from contract_tests.rules.rule import Problem, Rule
from contract_tests.rules.shared import FIXED_FOREVER

Place = tuple[bytes, bytes]

MOST_WALLETS = 20_000
_MOST_SENDERS = 5_000

_FIXED = ("customer_id", "currency", "created_at")


@dataclass(slots=True)
class _Wallet:
    """What was said of a wallet first, and what was reported of it, which is not said twice."""

    fixed: dict[str, Any]
    seen: Sighting
    said: set[str] = field(default_factory=set)


class PolarHistory:
    """A `History` of Polar. Others may write at any time, so balances and lists say nothing of each other."""

    rules: tuple[Rule, ...] = (FIXED_FOREVER, ONE_CUSTOMER)

    def __init__(self) -> None:
        self._sightings = Sightings()
        self._wallets: Recent[tuple[Place, str], _Wallet] = Recent(MOST_WALLETS)
        self._customers: Recent[tuple[Place, str], tuple[str, Sighting]] = Recent(_MOST_SENDERS)

    def take(self, moment: Moment) -> Iterator[Judged]:
        """Judge a moment by those before it, and remember it."""
        seen = moment.observation
        if not is_own_answer(seen):
            return
        place, who = place_of(moment), sender(moment, b"authorization")
        now: Sighting | None = None
        for at, wallet in wallets_in(seen):
            now = now or self._sightings.of(moment)
            yield from self._fixed(at, wallet, place, now)
            if who:
                yield from self._customer(at, wallet, (place, who), now)

    def _fixed(self, at: str, wallet: dict[str, Any], place: Place, now: Sighting) -> Iterator[Judged]:
        said = {name: wallet[name] for name in _FIXED if isinstance(wallet.get(name), str)}
        if not isinstance(wallet.get("id"), str):
            return
        known = self._wallets.get((place, wallet["id"]))
        if known is None:
            self._wallets.put((place, wallet["id"]), _Wallet(said, now))
            return
        name = next((name for name in said if known.fixed.get(name, said[name]) != said[name]), None)
        if name is None:
            yield Judged(FIXED_FOREVER)
        elif name not in known.said:
            known.said.add(name)
            problem = Problem(f"{name} of a wallet changed", f"{at}/{name}", known.fixed[name], said[name])
            yield Judged(FIXED_FOREVER, problem, shown(known.seen) if known.seen is not now else ())

    def _customer(self, at: str, wallet: dict[str, Any], who: tuple[Place, str], now: Sighting) -> Iterator[Judged]:
        """A token is one customer's; that a page has one customer is judged by a rule over single pages."""
        customer = wallet.get("customer_id")
        if not isinstance(customer, str):
            return
        known = self._customers.get(who)
        if known is None:
            self._customers.put(who, (customer, now))
        elif known[1] is not now:
            if known[0] == customer:
                yield Judged(ONE_CUSTOMER)
            else:
                problem = Problem("the same token is shown wallets of two customers", f"{at}/customer_id", known[0], customer)
                yield Judged(ONE_CUSTOMER, problem, shown(known[1]))
