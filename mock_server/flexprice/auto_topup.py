"""Automatic top-ups: when one is due, and what it does."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from mock_server.clock import FIRST, later
from mock_server.event_log import Event
from mock_server.flexprice import ledger, purchases
from mock_server.flexprice.entities import Invoice, TenantSettings, Transaction
from mock_server.flexprice.events import TransactionCreated
from mock_server.flexprice.ledger import Account, Credit
from mock_server.flexprice.money import ZERO
from mock_server.world import Draft

MOST_ROWS = 100
"""How many rows one evaluation may make: a wallet that tops itself up by next to nothing stops there."""

_DESCRIPTION = "Automatic top-up"


def is_due(account: Account, credits: Decimal, invoices: Iterable[Invoice], at: datetime) -> bool:
    """Whether an evaluation that finds a real-time balance of so many credits tops the wallet up."""
    start = due_from(account, credits, invoices)
    return start is not None and start <= at


def due_from(account: Account, credits: Decimal, invoices: Iterable[Invoice]) -> datetime | None:
    """From when on such an evaluation tops the wallet up: once it has cooled down, or at any time; None if it does not.

    `invoices` are the customer's unpaid ones. A wallet that is not active has no real-time balance, and one that is full no room.
    """
    wallet, topup = account.wallet, account.wallet.auto_topup
    if topup is None or not topup.enabled or topup.threshold is None or topup.amount is None:
        return None
    if wallet.wallet_status != "active" or credits > topup.threshold:
        return None
    if not ledger.has_room(wallet, topup.amount, invoiced=bool(topup.invoicing)):
        return None
    if topup.invoicing and any(invoice.billing_reason == "WALLET_AUTO_TOPUP" for invoice in invoices):
        return None
    newest = _newest(account)
    if newest is not None and newest.transaction_status == "pending":
        return None
    return FIRST if newest is None or topup.cooldown is None else later(newest.created_at, topup.cooldown.span)


def replenish(account: Account, usage: Decimal, invoices: Iterable[Invoice], tenant: TenantSettings, draft: Draft) -> list[Event]:
    """The events of an automatic top-up; none if none is due. Direct ones repeat until the balance is above the threshold."""
    account = account.copy()
    events: list[Event] = []
    rows = 0
    while rows < MOST_ROWS:
        credits = ledger.real_time(account.wallet, usage, invoices).credit_balance
        if not is_due(account, credits, invoices, draft.at):
            break
        step = _step(account, tenant, draft)
        events += step
        topup = account.wallet.auto_topup
        if topup is None or topup.invoicing:
            break
        for event in step:
            if isinstance(event, TransactionCreated):
                account.record(event.transaction, event.consumed)
                rows += 1
    return events


def _step(account: Account, tenant: TenantSettings, draft: Draft) -> list[Event]:
    topup = account.wallet.auto_topup
    assert topup is not None
    assert topup.amount is not None
    incoming = Credit(
        amount=topup.amount,
        reason="PURCHASED_CREDIT_INVOICED" if topup.invoicing else "PURCHASED_CREDIT_DIRECT",
        idempotency_key=draft.id("wtxn"),
        description=_DESCRIPTION,
        metadata={"auto_topup": "true"},
    )
    bonus = purchases.slab_bonus(tenant, incoming.amount, incoming.reason)
    if not ledger.has_room(account.wallet, incoming.amount + bonus, invoiced=bool(topup.invoicing)):
        bonus = ZERO
    return purchases.top_up(tenant, account, incoming, draft, bonus=bonus, billing_reason="WALLET_AUTO_TOPUP")


def _newest(account: Account) -> Transaction | None:
    """The newest row of an automatic top-up, which its metadata tell; a bonus has none."""
    return next((row for row in reversed(account.transactions) if row.metadata.get("auto_topup") == "true"), None)
