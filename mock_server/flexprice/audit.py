"""Whether an event that comes from a file can follow on what was before: wallets and credits exist, and sums add up."""

from __future__ import annotations

from mock_server.event_log import Event
from mock_server.flexprice import money
from mock_server.flexprice.entities import Invoice, Transaction
from mock_server.flexprice.events import (
    InvoiceCreated,
    InvoicePaid,
    InvoiceVoided,
    TransactionCompleted,
    TransactionCreated,
    TransactionFailed,
    WalletCreated,
)
from mock_server.flexprice.ledger import Account
from mock_server.flexprice.money import ZERO
from mock_server.flexprice.state import FlexpriceState
from mock_server.world import World


def audit(world: World, event: Event) -> None:
    """ValueError if the event contradicts the world; what an event holds by itself its type says."""
    state = world.states.get("flexprice")
    if not isinstance(state, FlexpriceState):
        return
    match event:
        case WalletCreated(wallet=wallet):
            _require(state.account(wallet.id) is None, f"there is a wallet {wallet.id} already")
            _require(wallet.wallet_status == "active", "a new wallet is active")
            _require(wallet.balance == wallet.credit_balance == ZERO, "a new wallet is empty")
            _require(wallet.created_at == wallet.updated_at == event.at, "a new wallet is made when it is made")
        case TransactionCreated(transaction=row):
            account = _account(state, row)
            _require(account.row(row.id) is None, f"there is a transaction {row.id} already")
            _require(row.created_at == event.at, "a new transaction is made when it is made")
            _check_row(account, row)
            _require(
                row.transaction_status == "pending" or row.credit_balance_before == account.wallet.credit_balance,
                "the balance before it is another",
            )
            for credit_id, left in event.consumed.items():
                credit = account.row(credit_id)
                _require(credit is not None and credit.type == "credit", f"there is no credit {credit_id[:60]!r}")
                assert credit is not None
                _require(left <= credit.credits_available, f"credit {credit_id} has less than {left} left")
        case TransactionCompleted(transaction=row) | TransactionFailed(transaction=row):
            account = _account(state, row)
            earlier = account.row(row.id)
            _require(earlier is not None and earlier.transaction_status == "pending", f"no transaction {row.id} is pending")
            assert earlier is not None
            _require((earlier.created_at, earlier.credit_amount) == (row.created_at, row.credit_amount), "it was another one")
            _check_row(account, row)
        case InvoiceCreated(invoice=invoice):
            _require(state.invoice(invoice.id) is None, f"there is an invoice {invoice.id} already")
        case InvoicePaid(invoice_id=invoice_id, amount=amount):
            _require(amount <= _unpaid(state, invoice_id).remaining, f"no more than what remains of {invoice_id} can be paid")
        case InvoiceVoided(invoice_id=invoice_id):
            _unpaid(state, invoice_id)


def _check_row(account: Account, row: Transaction) -> None:
    """What every row of a ledger adds up to."""
    wallet = account.wallet
    _require(
        (row.customer_id, row.currency) == (wallet.customer_id, wallet.currency), "its wallet is another customer's or currency's"
    )
    _require(row.updated_at >= row.created_at, "it was updated before it was made")
    _require(
        row.credits_available <= (row.credit_amount if row.type == "credit" else ZERO), "more credits are available than came in"
    )
    moved = row.credit_amount if row.type == "credit" else -row.credit_amount
    if row.transaction_status == "completed":
        _require(row.credit_balance_after == row.credit_balance_before + moved, "the balance after it does not add up")
    rates = [rate for rate in (row.conversion_rate, row.topup_conversion_rate) if rate is not None]
    _require(len(rates) == 1, "it is priced with one of the two rates")
    _require(row.amount == money.store(money.multiply(row.credit_amount, rates[0])), "its amount is not credits x rate")
    parent = row.parent_transaction_id
    _require(
        not parent or (parent != row.id and account.row(parent) is not None), f"there is no transaction {parent[:60]!r} before it"
    )


def _account(state: FlexpriceState, row: Transaction) -> Account:
    account = state.account(row.wallet_id)
    if account is None:
        raise ValueError(f"there is no wallet {row.wallet_id[:60]!r}")
    return account


def _unpaid(state: FlexpriceState, invoice_id: str) -> Invoice:
    invoice = state.invoice(invoice_id)
    if invoice is None or invoice.status != "unpaid":
        raise ValueError(f"there is no unpaid invoice {invoice_id[:60]!r}")
    return invoice


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)
