"""What happens in a Flexprice world by itself: automatic top-ups, thresholds reached by usage, expired credits written off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mock_server.event_log import Event
from mock_server.flexprice import auto_topup, ledger
from mock_server.flexprice.entities import Transaction
from mock_server.flexprice.events import TransactionCreated, WalletEvaluated
from mock_server.flexprice.ledger import Account
from mock_server.flexprice.state import FlexpriceState, state_of
from mock_server.world import Draft, World


class FlexpriceAgenda:
    """The schedule that a world's state keeps, carried out."""

    def due(self, world: World) -> datetime | None:
        """When the next thing is due."""
        first = state_of(world).schedule.first()
        return first and first[0]

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """The events of what is due first."""
        state = state_of(world)
        first = state.schedule.first()
        assert first is not None, "nothing is due"
        _, item = first
        account = state.account(item.wallet_id)
        assert account is not None
        if item.kind == "2 sweep":
            expired = account.row(item.row_id)
            assert expired is not None
            return [sweep(state, account, expired, draft)]
        if item.kind == "0 topup":
            wallet = account.wallet
            usage = state.usage(wallet.customer_id, wallet.currency).at(draft.at)
            events = auto_topup.replenish(account, usage, state.invoices(wallet.customer_id), state.tenant, draft)
            if events:
                return events
        # Usage; or a top-up that was due until something else changed at the same moment.
        return [WalletEvaluated(at=draft.at, wallet_id=item.wallet_id)]


def sweep(state: FlexpriceState, account: Account, expired: Transaction, draft: Draft) -> TransactionCreated:
    """Write off an expired credit. Its id is the debit's key, unless somebody has used that already."""
    key = "" if state.key_owner(expired.id) else expired.id
    row, consumed = ledger.swept(account, draft.id("wtxn"), expired, draft.at, idempotency_key=key)
    return TransactionCreated(at=draft.at, transaction=row, consumed=consumed)
