"""The provider's cache of real-time balances: one amount per wallet, good for half an hour.

Two things fill it. Every balance that is computed for a request goes in; those are kept with the session, as they stand for the
provider's Redis and not for anything that has happened. Beside a shared log they are kept for all processes, but for members of
the population to whom nothing has happened yet. And whatever makes the provider evaluate a wallet with alerts or automatic
top-ups makes it compute a balance as well; that follows from the events, so the world's state notes it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal

import orjson

from mock_server.call import Call
from mock_server.event_log import Event
from mock_server.flexprice import money
from mock_server.flexprice.entities import Wallet
from mock_server.flexprice.events import TransactionCreated
from mock_server.flexprice.ledger import Account, RealTime
from mock_server.flexprice.money import ZERO
from mock_server.flexprice.opening import Opening
from mock_server.flexprice.state import FlexpriceMemento, FlexpriceState, state_of
from mock_server.notice import Notice
from mock_server.world import World, Worlds

SECONDS = 30 * 60
MOST_WALLETS = 1_000
"""Balances that a session keeps; of more, those go that were used least recently."""

_MEMORY = "flexprice balances"
_TOLD = "flexprice balances told"
_KEPT = "balance/"
_TOLD_AGAIN = 60.0  # seconds
_NUMBER = re.compile(rb"\+?([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Entry:
    """A real-time balance as it was after `position` events; None if the provider dropped what it had."""

    position: int
    at: datetime
    balance: Decimal | None


@dataclass(frozen=True, slots=True)
class CachingMemento(FlexpriceMemento):
    """The same, with the cached balances by wallet."""

    cached: dict[str, Entry]
    position: int


class CachingState(FlexpriceState):
    """Flexprice's part of a world, with what events put into the cache."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self.cached: dict[str, Entry] = {}
        self._position = 0

    def apply(self, event: Event) -> Iterable[Notice]:
        """Fold one event in."""
        self._position += 1
        notices = super().apply(event)
        if isinstance(event, TransactionCreated):
            row = event.transaction
            if row.transaction_status == "completed" and row.transaction_reason == "PURCHASED_CREDIT_INVOICED":
                self.cached[row.wallet_id] = Entry(self._position, event.at, None)  # there at once, without being paid
        return notices

    def memento(self) -> CachingMemento:
        """All that has changed."""
        mine = super().memento()
        others = {field.name: getattr(mine, field.name) for field in fields(mine)}
        return CachingMemento(**others, cached=self.cached, position=self._position)

    def recall(self, memento: FlexpriceMemento) -> None:
        """All that was."""
        assert isinstance(memento, CachingMemento)
        super().recall(memento)
        self.cached, self._position = memento.cached, memento.position

    def _evaluate(self, account: Account, at: datetime) -> None:
        super()._evaluate(account, at)
        if _watched(account.wallet) and _cacheable(account.wallet):
            self.cached[account.wallet.id] = Entry(self._position, at, self.real_time(account, at).balance)


class BalanceCache:
    """Real-time balances of all sessions, computed or remembered. `heeds_max_live`: the header x-max-live counts."""

    def __init__(self, worlds: Worlds, *, heeds_max_live: bool) -> None:
        self._worlds = worlds
        self._heeds_max_live = heeds_max_live

    def real_time(self, call: Call, world: World, account: Account, *, from_cache: bool) -> tuple[RealTime, bool]:
        """The real-time balance of an account, and whether it is one from the cache."""
        state = state_of(world)
        assert isinstance(state, CachingState)
        at = self._worlds.draft(world).at  # also where the clock was put back by an undo
        wallet = account.wallet
        if not _cacheable(wallet):
            return state.real_time(account, at), False
        entries = self._entries(call.session)
        if from_cache:
            entry = _newest(entries.get(wallet.id), state.cached.get(wallet.id))
            if entry is not None and entry.balance is not None and self._good(call, entry, at):
                if wallet.id in entries:
                    entries.move_to_end(wallet.id)
                return RealTime(entry.balance, money.divide(entry.balance, wallet.conversion_rate), ZERO, None), True
        now = state.real_time(account, at)
        entries[wallet.id] = Entry(world.position, at, now.balance)
        entries.move_to_end(wallet.id)
        if len(entries) > MOST_WALLETS:
            entries.popitem(last=False)
        return now, False

    async def fetch(self, session: str, wallet_ids: Iterable[str]) -> None:
        """Know the balances that other processes have computed for requests, where the log is shared."""
        if not self._worlds.log.shared:
            return
        for wallet_id in wallet_ids:
            data = await self._worlds.log.kept(session, _KEPT + wallet_id)
            if data is None:
                continue
            generation, position, at, balance = orjson.loads(data)
            if generation != self._worlds.generation(session):
                continue  # from before the session was reset
            found = Entry(position, datetime.fromisoformat(at), None if balance is None else Decimal(balance))
            self._told(session)[wallet_id] = found
            entries = self._entries(session)
            own = entries.get(wallet_id)
            if own is None or (own.position, own.at) < (found.position, found.at):
                entries[wallet_id] = found

    async def publish(self, session: str, wallet_ids: Iterable[str]) -> None:
        """Let other processes know the balances that were computed here, where the log is shared.

        One that they know already is told again after a while only: until then they take it to be a little older than it is.
        """
        if not self._worlds.log.shared:
            return
        entries, told = self._entries(session), self._told(session)
        state = state_of(self._worlds.known(session))
        assert isinstance(state, CachingState)
        generation = self._worlds.generation(session)
        for wallet_id in wallet_ids:
            entry, known, other = entries.get(wallet_id), told.get(wallet_id), state.cached.get(wallet_id)
            ours = wallet_id in state.changed or wallet_id in state.opening.persona_ids.values()
            if (
                not ours
                or entry is None
                or (
                    known is not None
                    and known.balance == entry.balance
                    and (entry.at - known.at).total_seconds() < _TOLD_AGAIN
                    and (other is None or other.position <= known.position)
                )
            ):
                continue
            told[wallet_id] = entry
            balance = None if entry.balance is None else str(entry.balance)
            data = orjson.dumps([generation, entry.position, entry.at.isoformat(), balance])
            await self._worlds.log.keep(session, _KEPT + wallet_id, data)

    def _entries(self, session: str) -> OrderedDict[str, Entry]:
        memory = self._worlds.sessions.at_hand(session).memory
        entries: OrderedDict[str, Entry] | None = memory.get(_MEMORY)
        if entries is None:
            entries = memory[_MEMORY] = OrderedDict()
        return entries

    def _told(self, session: str) -> dict[str, Entry]:
        """What other processes know."""
        told: dict[str, Entry] = self._worlds.sessions.at_hand(session).memory.setdefault(_TOLD, {})
        if len(told) > MOST_WALLETS:
            told.clear()
        return told

    def _good(self, call: Call, entry: Entry, at: datetime) -> bool:
        age = (at - entry.at).total_seconds()
        if age >= SECONDS:
            return False
        match = _NUMBER.fullmatch(call.request.header.get(b"x-max-live", b"")) if self._heeds_max_live else None
        return match is None or not int(match[1]) or age <= int(match[1])


def _newest(asked: Entry | None, evaluated: Entry | None) -> Entry | None:
    """Of two entries with the same events behind them, the one that a request made came last."""
    if asked is None or (evaluated is not None and evaluated.position > asked.position):
        return evaluated
    return asked


def _watched(wallet: Wallet) -> bool:
    """Whether a wallet has alerts or automatic top-ups of its own. The tenant's alerts for all wallets do not count."""
    alerts, topup = wallet.alert_settings, wallet.auto_topup
    return bool((alerts is not None and alerts.alert_enabled) or (topup is not None and topup.enabled))


def _cacheable(wallet: Wallet) -> bool:
    """Whether a wallet has anything to compute: others are never answered from the cache."""
    return wallet.wallet_type == "PRE_PAID" and wallet.wallet_status == "active"
