"""Credits that are granted or bought: the rows, bonuses and invoices of a top-up, and what becomes of an invoice's credits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from mock_server.event_log import Event
from mock_server.flexprice import ledger, money
from mock_server.flexprice.entities import BillingReason, CreditReason, Invoice, TenantSettings, Transaction
from mock_server.flexprice.events import InvoiceCreated, TransactionCompleted, TransactionCreated, TransactionFailed
from mock_server.flexprice.ledger import Account, Credit
from mock_server.flexprice.money import ZERO
from mock_server.world import Draft


def slab_bonus(tenant: TenantSettings, credits: Decimal, reason: CreditReason) -> Decimal:
    """The bonus that the tenant gives on a purchase by itself; 0 for anything that is not bought."""
    if reason in ledger.PURCHASED:
        for slab in sorted(tenant.bonus_slabs, key=lambda slab: slab.at_least, reverse=True):
            if credits >= slab.at_least:
                return slab.flat or money.store(money.multiply(credits, slab.percent) / 100)
    return ZERO


def top_up(
    tenant: TenantSettings,
    account: Account,
    incoming: Credit,
    draft: Draft,
    *,
    bonus: Decimal = ZERO,
    bonus_expiry: datetime | None = None,
    billing_reason: BillingReason = "WALLET_TOPUP",
) -> list[Event]:
    """The events of a top-up: its row, the row of its bonus, its invoice. There must be room for the credits and the bonus."""
    invoiced = incoming.reason == "PURCHASED_CREDIT_INVOICED"
    pending = invoiced and not tenant.auto_complete_invoices
    automatic = billing_reason == "WALLET_AUTO_TOPUP"
    description = incoming.description or (_description(pending, incoming.amount) if invoiced else "")
    incoming = replace(incoming, pending=pending, description=description)
    row = ledger.credit(account.wallet, draft.id("wtxn"), incoming, draft.at)
    events: list[Event] = [TransactionCreated(at=draft.at, transaction=row, consumed={}, automatic=automatic)]
    if bonus:
        topped_up = account.copy()
        topped_up.record(row, {})
        extra = Credit(
            amount=bonus,
            reason="PURCHASED_CREDIT_BONUS",
            pending=pending,
            expiry_date=bonus_expiry,
            external=False,
            parent_transaction_id=row.id,
        )
        bonus_row = ledger.credit(topped_up.wallet, draft.id("wtxn"), extra, draft.at)
        events.append(TransactionCreated(at=draft.at, transaction=bonus_row, consumed={}, automatic=automatic))
    if invoiced:
        invoice = Invoice(
            draft.id("inv"),
            row.customer_id,
            row.currency,
            remaining=row.amount if pending else ZERO,
            paid=ZERO if pending else row.amount,
            status="unpaid" if pending else "paid",
            billing_reason=billing_reason,
            created_at=draft.at,
            wallet_id=row.wallet_id,
            transaction_id=row.id,
        )
        events.append(InvoiceCreated(at=draft.at, invoice=invoice))
    return events


def complete(account: Account, transaction_id: str, at: datetime) -> list[Event]:
    """What follows once a purchase is paid: its row and its bonus count. TooLarge if the wallet cannot hold them."""
    paid = account.copy()
    events: list[Event] = []
    for waiting in _waiting(account, transaction_id):
        row = ledger.completed(paid.wallet, waiting, at)
        paid.revise(row)
        events.append(TransactionCompleted(at=at, transaction=row))
    return events


def fail(account: Account, transaction_id: str, at: datetime) -> list[Event]:
    """What follows once a purchase will never be paid."""
    return [
        TransactionFailed(at=at, transaction=replace(row, transaction_status="failed", updated_at=at))
        for row in _waiting(account, transaction_id)
    ]


def _waiting(account: Account, transaction_id: str) -> Iterator[Transaction]:
    """The pending rows of a purchase: its own, then its bonus."""
    for row in account.transactions:
        if row.transaction_status == "pending" and transaction_id in (row.id, row.parent_transaction_id):
            yield row


def _description(pending: bool, credits: Decimal) -> str:
    return f"Purchase of {money.wire(credits)} credits, {'waiting for payment' if pending else 'paid'}"
