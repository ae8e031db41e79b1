"""What Flexprice must keep to over time, judged in traffic of others: only what no honest service breaks whoever is at work.

What comes in the answers is compared with what was seen earlier. "Later" means that it began after the earlier answer was
there, and as much later as a read may lag behind a write.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from contract_tests.rules import flexprice_writes
from contract_tests.rules.flexprice import transactions_in, wallets_in
from contract_tests.rules.flexprice_reading import FIXED, REAL_TIME, same, time_of
from contract_tests.rules.flexprice_rows import MOST_WALLETS, Place, Rows
from contract_tests.rules.flexprice_sequences import (
    AMOUNT_CONVERTED,
    CREATED_IS_FOUND,
    CUSTOMER_LISTS,
    KEY_TAKES_EFFECT_ONCE,
    NEVER_GOES_BACK,
    NEW_WALLET_DEFAULTS,
    PENDING_CHANGES_NOTHING,
    ROWS_STAY,
    SAME_KEY_AT_ONCE,
    SENT_IS_KEPT,
    TERMINATE_CLOSES,
    TOPUP_ADDS,
    TOPUP_BOOKED,
    UPDATE_MERGES,
)
from contract_tests.rules.history import Judged, Moment
from contract_tests.rules.observation import Observation
from contract_tests.rules.remembering import (
    Recent,
    ServiceClock,
    Sighting,
    Sightings,
    is_own_answer,
    packed,
    place_of,
    sender,
    shown,
    unpacked,
)
from contract_tests.rules.rule import Problem, Rule
from contract_tests.rules.shared import FILTERS_FILTER, FIXED_FOREVER, ITEM_EQUALS_GET, OTHERS_WALLETS_HIDDEN, READS_REPEAT

_MOST_SENDERS = 1_000
_MOST_SENDERS_OF_A_WALLET = 8
_MOST_PLACES = 100

_SKEW = timedelta(seconds=1)  # by which the clocks of a service's servers may differ

_BY_ID = frozenset({"getWallet", "getWalletBalance", "updateWallet", "topUpWallet"})
_FINDS = frozenset({"getWallet", "updateWallet", "terminateWallet"})
"""Operations whose 404 can only be about the wallet; others look up customers and invoices as well."""
_LISTS = frozenset({"queryWallet", "getWalletsByCustomerId", "getCustomerWallets"})
_READS = _LISTS | {"getWallet", "getWalletBalance"}

# Real-time values move by themselves, and whether looking at alerts sets updated_at is nowhere said.
_NOT_COMPARED = REAL_TIME | {*FIXED, "alert_state", "updated_at"}


@dataclass(slots=True)
class _Version:
    """The stored members of a wallet, as JSON, as they were at `updated_at`."""

    updated_at: str
    stored: bytes
    seen: Sighting
    listed: bool


@dataclass(slots=True)
class _Newest:
    """The latest time at which a wallet is known to have changed, and the rule that later reads break if they are older.

    `was`: the version that was seen before.
    """

    at: datetime
    seen: Sighting
    rule: Rule
    was: _Version | None = None


@dataclass(slots=True)
class _Update:
    """An update that was answered: what it named, and a time of the service's clock that it came after."""

    after: datetime
    named: bytes
    seen: Sighting


@dataclass(slots=True)
class _Wallet:
    """What is known of a wallet.

    `fixed`: the members that never change, as JSON, from when it was `first` seen; `said`: what was reported of it, which is
    not said twice.
    """

    fixed: bytes = packed({})
    first: Sighting | None = None
    senders: dict[str, Sighting] = field(default_factory=dict)
    closed: Sighting | None = None
    newest: _Newest | None = None
    version: _Version | None = None
    update: _Update | None = None
    said: frozenset[str] = frozenset()


class FlexpriceHistory:
    """A `History` of Flexprice. `settle`: seconds that a read may lag behind a write."""

    rules: tuple[Rule, ...] = (
        *(FIXED_FOREVER, TERMINATE_CLOSES, NEVER_GOES_BACK, READS_REPEAT, ITEM_EQUALS_GET, CREATED_IS_FOUND),
        *(NEW_WALLET_DEFAULTS, SENT_IS_KEPT, UPDATE_MERGES, CUSTOMER_LISTS, FILTERS_FILTER, OTHERS_WALLETS_HIDDEN),
        *(TOPUP_ADDS, TOPUP_BOOKED, AMOUNT_CONVERTED, PENDING_CHANGES_NOTHING, ROWS_STAY),
        *(KEY_TAKES_EFFECT_ONCE, SAME_KEY_AT_ONCE),
    )

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._sightings = Sightings()
        self._rows = Rows(settle)
        self._wallets: Recent[tuple[Place, str], _Wallet] = Recent(MOST_WALLETS)
        self._homes: Recent[tuple[Place, str], tuple[tuple[Any, Any], Sighting]] = Recent(_MOST_SENDERS)
        self._clocks: Recent[Place, ServiceClock] = Recent(_MOST_PLACES)

    def take(self, moment: Moment) -> Iterator[Judged]:
        """Judge a moment by those before it, and remember it."""
        seen = moment.observation
        if not is_own_answer(seen):
            return
        place, who = place_of(moment), _who(moment)
        if seen.status == 404:
            yield from self._missing(moment, place, who)
        elif seen.status == 409:
            yield from self._rows.refused(seen, place, Sighting(moment))
        elif 200 <= seen.status < 300:
            yield from self._answer(seen, place, who, self._sightings.of(moment))

    def _answer(self, seen: Observation, place: Place, who: str, now: Sighting) -> Iterator[Judged]:
        for judge in (flexprice_writes.created, flexprice_writes.updated, flexprice_writes.terminated, _customer_list):
            yield from judge(seen)
        if not self._rows.knows(place, flexprice_writes.row_of(seen)[1].get("id")):  # else it answers with what was done before
            yield from flexprice_writes.topped_up(seen)
        clock = self._clocks.get(place) or self._clocks.put(place, ServiceClock())
        asked = seen.request.path_params.get("id", "")
        yield from self._home(seen, place, who, now)
        if seen.operation.id == "terminateWallet":
            yield from self._terminated(self._wallet(place, asked), seen, now)
        for at, wallet in wallets_in(seen):
            if isinstance(wallet.get("id"), str):
                yield from self._one(seen, at, wallet, place, who, now, clock)
        about = self._wallets.get((place, asked))
        reader = about is not None and who in about.senders
        yield from self._rows.take(seen, place, now, reader=reader)
        if about is not None and seen.operation.id == "updateWallet":
            self._remember_update(about, seen, now, clock)
        for _, entity in (*wallets_in(seen), *transactions_in(seen)):
            for name in ("created_at", "updated_at"):
                time = time_of(entity.get(name))
                if time is not None:
                    clock.saw(time, now.ended)

    def _wallet(self, place: Place, wallet_id: str) -> _Wallet:
        return self._wallets.get((place, wallet_id)) or self._wallets.put((place, wallet_id), _Wallet())

    # ------------------------------------------------------------------ one wallet of an answer

    def _one(
        self, seen: Observation, at: str, wallet: dict[str, Any], place: Place, who: str, now: Sighting, clock: ServiceClock
    ) -> Iterator[Judged]:
        """Judge a wallet; unless something is wrong with it, it is what later ones are compared with."""
        asked = seen.request.path_params.get("id", "")
        if seen.operation.id in _BY_ID and wallet["id"] != asked:
            yield Judged(FIXED_FOREVER, Problem("another wallet than the one asked for", f"{at}/id", asked, wallet["id"]))
            return
        known = self._wallet(place, wallet["id"])
        right = True
        for judged in self._judged(known, seen, at, wallet, now, clock):
            if judged.problem is None:
                yield judged
                continue
            right = False
            name = f"{judged.rule.id} {judged.problem.pointer.rpartition('/')[2]}"
            if name not in known.said:
                known.said |= {name}
                yield judged
        if seen.operation.id in _FINDS and who in known.senders:
            yield Judged(CREATED_IS_FOUND)
        if right:
            self._remember(known, seen, wallet, who, now, clock)

    def _judged(
        self, known: _Wallet, seen: Observation, at: str, wallet: dict[str, Any], now: Sighting, clock: ServiceClock
    ) -> Iterator[Judged]:
        yield from _fixed(known, at, wallet, now)
        yield from self._closed(known, at, wallet, now)
        if seen.operation.id not in _READS:
            return  # answers to writes may be from memory, and older than what was stored (D20)
        yield from self._older(known, at, wallet, now)
        repeated = _repeated(known, seen, at, wallet, now, clock)
        if repeated is not None:
            yield repeated

    def _closed(self, known: _Wallet, at: str, wallet: dict[str, Any], now: Sighting) -> Iterator[Judged]:
        status = wallet.get("wallet_status")
        if known.closed is None or not known.closed.is_before(now, self._settle) or not isinstance(status, str):
            return
        if status == "closed":
            yield Judged(TERMINATE_CLOSES)
        else:
            problem = Problem("a closed wallet is not closed any more", f"{at}/wallet_status", "closed", status)
            yield Judged(TERMINATE_CLOSES, problem, shown(known.closed))

    def _older(self, known: _Wallet, at: str, wallet: dict[str, Any], now: Sighting) -> Iterator[Judged]:
        """Whether a wallet is shown as it was before it changed."""
        updated, newest, update = time_of(wallet.get("updated_at")), known.newest, known.update
        if updated is None:
            return
        if newest is not None and newest.seen.is_before(now, self._settle):
            was = newest.was
            unchanged = was is not None and (was.updated_at, was.stored) == (wallet["updated_at"], _stored(wallet))
            if updated < newest.at - _SKEW or unchanged:
                what = "a wallet is shown as it was before"
                if newest.rule is TOPUP_ADDS:
                    what = "a read after a top-up shows the wallet as it was before it"
                problem = Problem(what, f"{at}/updated_at", f"{newest.at.isoformat()} or later", wallet["updated_at"])
                yield Judged(newest.rule, problem, shown(newest.seen))
                return
            yield Judged(newest.rule)
        if update is not None and update.seen.is_before(now, self._settle):
            wanted = unpacked(update.named)
            lost = next((name for name, value in wanted.items() if not same(name, value, wallet.get(name))), None)
            if lost is None or updated >= update.after - _SKEW:
                yield Judged(UPDATE_MERGES)
                return
            problem = Problem("a read after an update does not show it", f"{at}/{lost}", wanted[lost], wallet.get(lost))
            yield Judged(UPDATE_MERGES, problem, shown(update.seen))

    def _remember(
        self, known: _Wallet, seen: Observation, wallet: dict[str, Any], who: str, now: Sighting, clock: ServiceClock
    ) -> None:
        fixed = _fixed_of(wallet)
        if fixed != known.fixed:
            known.fixed = packed(unpacked(fixed) | unpacked(known.fixed))
        known.first = known.first or now
        if who and len(known.senders) < _MOST_SENDERS_OF_A_WALLET:
            known.senders.setdefault(who, now)
        if wallet.get("wallet_status") == "closed":
            _is_closed(known, now)
        row = flexprice_writes.row_of(seen)[1]
        if row.get("transaction_reason") in flexprice_writes.DIRECT and row.get("transaction_status") == "completed":
            _topped_up(known, time_of(row.get("created_at")), now)
        updated = time_of(wallet.get("updated_at"))
        if updated is not None and (known.newest is None or updated > known.newest.at + _SKEW):
            known.newest = _Newest(updated, now, NEVER_GOES_BACK)
        if seen.operation.id in _READS and updated is not None:
            known.version = _Version(wallet["updated_at"], _stored(wallet), now, seen.operation.id in _LISTS)

    def _remember_update(self, known: _Wallet, seen: Observation, now: Sighting, clock: ServiceClock) -> None:
        named, after = flexprice_writes.named(seen), clock.at(now)
        known.update = _Update(after, packed(named), now) if named and after is not None else None

    # ------------------------------------------------------------------ what an answer says as a whole

    def _terminated(self, known: _Wallet, seen: Observation, now: Sighting) -> Iterator[Judged]:
        """Judge an answered termination, and remember it, also where it does not show the wallet (D1)."""
        if known.closed is not None and known.closed.is_before(now, self._settle):
            problem = Problem("a closed wallet was terminated once more", "", 400, seen.status)
            yield Judged(TERMINATE_CLOSES, problem, shown(known.closed))
        else:
            _is_closed(known, now)

    def _missing(self, moment: Moment, place: Place, who: str) -> Iterator[Judged]:
        """Judge a 404 to somebody who was shown the wallet before."""
        seen = moment.observation
        body = seen.body if isinstance(seen.body, dict) else {}
        known = self._wallets.get((place, seen.request.path_params.get("id", "")))
        if known is None or seen.operation.id not in _FINDS or body.get("code") != "not_found":
            return
        before = known.senders.get(who)
        if before is not None and before.is_before(Sighting(moment), self._settle):
            yield Judged(CREATED_IS_FOUND, Problem("a wallet that was there is not found", "", 200, 404), shown(before))

    def _home(self, seen: Observation, place: Place, who: str, now: Sighting) -> Iterator[Judged]:
        """One key belongs to one tenant, and to one environment if it was not told which."""
        for at, entity in (*wallets_in(seen), *transactions_in(seen)):
            home = entity.get("tenant_id"), entity.get("environment_id")
            if not who or not all(home):
                continue
            known = self._homes.get((place, who))
            if known is None:
                self._homes.put((place, who), (home, now))
            elif known[0] == home:
                yield Judged(OTHERS_WALLETS_HIDDEN)
            else:
                name = "tenant_id" if known[0][0] != home[0] else "environment_id"
                problem = Problem(
                    f"the same key is shown things of another {name.removesuffix('_id')}", f"{at}/{name}", known[0], home
                )
                yield Judged(OTHERS_WALLETS_HIDDEN, problem, shown(known[1]) if known[1] is not now else ())
                return


def _who(moment: Moment) -> str:
    """Who may see the same: one API key in one environment, which some keys leave to a header; empty if that is not certain."""
    client = sender(moment, b"x-api-key")
    environment = moment.observation.request.header.get(b"x-environment-id", b"").decode("latin-1")
    return sys.intern(f"{client} {environment}") if client else ""


def _customer_list(seen: Observation) -> Iterator[Judged]:
    """A list of a customer's wallets, by itself."""
    if seen.operation.id not in ("getWalletsByCustomerId", "getCustomerWallets"):
        return
    asked = [value for name, value in seen.request.query if name == "id"]
    customer = seen.request.path_params.get("id") or (asked[0] if len(asked) == 1 else None)
    for at, wallet in wallets_in(seen):
        owner, status = wallet.get("customer_id"), wallet.get("wallet_status")
        if customer and owner and owner != customer:
            yield Judged(CUSTOMER_LISTS, Problem("another customer's wallet is listed", f"{at}/customer_id", customer, owner))
        elif isinstance(status, str) and status != "active":
            problem = Problem("a wallet is listed that is not active", f"{at}/wallet_status", "active", status)
            yield Judged(CUSTOMER_LISTS, problem)
        else:
            yield Judged(CUSTOMER_LISTS)


def _fixed(known: _Wallet, at: str, wallet: dict[str, Any], now: Sighting) -> Iterator[Judged]:
    if known.first is None:
        return
    if _fixed_of(wallet) != known.fixed:
        for name, value in unpacked(known.fixed).items():
            if wallet.get(name) and not same(name, value, wallet[name], flexprice_writes.RATE_STEP):
                problem = Problem(f"{name} of a wallet changed", f"{at}/{name}", value, wallet[name])
                yield Judged(FIXED_FOREVER, problem, shown(known.first) if known.first is not now else ())
                return
    yield Judged(FIXED_FOREVER)


def _fixed_of(wallet: dict[str, Any]) -> bytes:
    return packed({name: wallet[name] for name in FIXED if wallet.get(name)})


def _repeated(
    known: _Wallet, seen: Observation, at: str, wallet: dict[str, Any], now: Sighting, clock: ServiceClock
) -> Judged | None:
    """Compare two readings of one version. Only if no later write can have made another one with the same time."""
    version, updated = known.version, time_of(wallet.get("updated_at"))
    if version is None or updated is None or version.updated_at != wallet["updated_at"]:
        return None
    first = version.seen if version.seen.started <= now.started else now
    if not _is_past(updated, clock, first):
        return None
    listed = seen.operation.id in _LISTS
    rule = READS_REPEAT if listed == version.listed else ITEM_EQUALS_GET
    stored = _stored(wallet)
    if stored == version.stored:
        return Judged(rule)
    before, after = unpacked(version.stored), unpacked(stored)
    for name in sorted(before.keys() & after.keys()):
        one, two = before[name], after[name]
        if one is not None and two is not None and not same(name, one or None, two or None):
            problem = Problem(f"{name} of a wallet differs though nothing changed since", f"{at}/{name}", one, two)
            return Judged(rule, problem, shown(version.seen) if version.seen is not now else ())
    return Judged(rule)


def _is_past(updated: datetime, clock: ServiceClock, seen: Sighting) -> bool:
    """Whether the service's clock was well past a time when a reading began.

    It may stand still, as a mock's, or show whole seconds: then two versions can have the same time.
    """
    shown_then = clock.at(seen)
    return shown_then is not None and shown_then > updated + 2 * _SKEW


def _is_closed(known: _Wallet, now: Sighting) -> None:
    """Remember that a wallet is closed, by what was there first to tell."""
    if known.closed is None or now.ended < known.closed.ended:
        known.closed = now


def _topped_up(known: _Wallet, at: datetime | None, now: Sighting) -> None:
    """Remember a top-up, unless it is known that the wallet changed later."""
    if at is None or (known.newest is not None and at < known.newest.at):
        return
    version = known.version
    earlier = version is not None and version.seen.is_before(now) and (time_of(version.updated_at) or at) < at
    known.newest = _Newest(at, now, TOPUP_ADDS, version if earlier else None)


def _stored(wallet: dict[str, Any]) -> bytes:
    return packed({name: value for name, value in wallet.items() if name not in _NOT_COMPARED})
