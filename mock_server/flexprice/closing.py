"""How a wallet is closed."""

from __future__ import annotations

from mock_server.event_log import Event
from mock_server.flexprice import auto_topup, ledger
from mock_server.flexprice.events import TransactionCreated, WalletTerminated
from mock_server.flexprice.ledger import Account
from mock_server.flexprice.state import FlexpriceState
from mock_server.world import Draft


class KeyUsed(Exception):
    """Somebody has used the idempotency key that the last debit needs."""


def close(state: FlexpriceState, account: Account, draft: Draft, *, key: str | None = None) -> list[Event]:
    """All credits are taken out, then the wallet is closed. KeyUsed, or InsufficientCredits if some of them have expired.

    `key` is the debit's idempotency key; the wallet's id if none is given.

    The debit is evaluated like any other while the wallet is still active: one that tops itself up ends with those credits.
    """
    wallet = account.wallet
    events: list[Event] = []
    if wallet.credit_balance > 0:
        key = wallet.id if key is None else key
        if state.key_owner(key) is not None:
            raise KeyUsed
        row, consumed = ledger.debit(
            account, draft.id("wtxn"), wallet.credit_balance, "WALLET_TERMINATION", draft.at, idempotency_key=key
        )
        events.append(TransactionCreated(at=draft.at, transaction=row, consumed=consumed))
        emptied = account.copy()
        emptied.record(row, consumed)
        usage = state.usage(wallet.customer_id, wallet.currency).at(draft.at)
        events += auto_topup.replenish(emptied, usage, state.invoices(wallet.customer_id), state.tenant, draft)
    events.append(WalletTerminated(at=draft.at, wallet_id=wallet.id))
    return events
