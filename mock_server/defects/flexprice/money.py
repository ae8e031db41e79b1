"""Sums that are wrong, in the answers or in the books."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from contract_tests.exchange import Response
from mock_server.call import Refused
from mock_server.clock import rfc3339
from mock_server.defects.book import Book, on
from mock_server.defects.changes import data_of, objects, with_data
from mock_server.defects.visit import Visit
from mock_server.event_log import Event
from mock_server.flexprice import inputs, money
from mock_server.flexprice.entities import Transaction
from mock_server.flexprice.events import TransactionCreated
from mock_server.flexprice.state import state_of
from mock_server.world import Draft, World

book = Book("flexprice", "money")

Object = dict[str, Any]
_CENT = Decimal("0.01")
_REAL_TIME = ("getWalletBalance", "getCustomerWallets")


@book.each("wallet_")
def balance_ignores_rate(wallet: Object) -> None:
    """A wallet's balance is its credits, whatever the conversion rate."""
    wallet["balance"] = wallet["credit_balance"]


@book.each("wallet_")
def balance_off_by_one_cent(wallet: Object) -> None:
    """A wallet's balance is one cent too high unless it is 0."""
    if wallet["balance"] != "0":
        wallet["balance"] = _sum(wallet["balance"], _CENT)


@book.each("wallet_")
def balance_rounded_to_cents(wallet: Object) -> None:
    """A wallet's balance is rounded to cents."""
    wallet["balance"] = _rounded(wallet["balance"], _CENT)


@book.each("wallet_")
def balance_rounded_to_units(wallet: Object) -> None:
    """A wallet's balance is rounded to whole units of the currency."""
    wallet["balance"] = _rounded(wallet["balance"], Decimal(1))


@book.each("wallet_")
def float_noise(wallet: Object) -> None:
    """Balances show the noise of binary fractions, as in `0.30000000000000004`."""
    wallet["balance"] = money.wire(money.multiply(Decimal(wallet["balance"]), Decimal("1.0000000000000004")))


@book.each("wallet_", *_REAL_TIME)
def real_time_adds_usage(wallet: Object) -> None:
    """Pending usage is added to the real-time balance instead of taken from it."""
    if "current_period_usage" in wallet and wallet["wallet_status"] == "active":
        _set_real_time(wallet, Decimal(wallet["balance"]) + Decimal(wallet["current_period_usage"]))


@book.each("wallet_", *_REAL_TIME)
def real_time_off_by_one_cent(wallet: Object) -> None:
    """The real-time balance is one cent less than it should be."""
    if "real_time_balance" in wallet and wallet["wallet_status"] == "active":
        _set_real_time(wallet, Decimal(wallet["real_time_balance"]) - _CENT)


@book.each("wallet_", *_REAL_TIME)
def real_time_credits_ignore_rate(wallet: Object) -> None:
    """The real-time credit balance is the amount in the currency."""
    if "real_time_balance" in wallet:
        wallet["real_time_credit_balance"] = wallet["real_time_balance"]


@book.each("wallet_", *_REAL_TIME)
def real_time_credits_cut(wallet: Object) -> None:
    """The real-time credit balance is cut to whole credits."""
    if "real_time_balance" in wallet:
        wallet["real_time_credit_balance"] = wallet["real_time_credit_balance"].partition(".")[0]


@book.each("wallet_", *_REAL_TIME)
def postpaid_with_usage(wallet: Object) -> None:
    """Postpaid wallets report usage and take it from the real-time balance."""
    if wallet["wallet_type"] == "POST_PAID" and wallet["wallet_status"] == "active" and "real_time_balance" in wallet:
        wallet["current_period_usage"] = "1"
        _set_real_time(wallet, Decimal(wallet["balance"]) - 1)


@book.each("wallet_", *_REAL_TIME)
def balance_updated_at_differs(wallet: Object) -> None:
    """The balance says that it was updated a day before the wallet was."""
    if "balance_updated_at" in wallet:
        wallet["balance_updated_at"] = rfc3339(datetime.fromisoformat(wallet["updated_at"]) - timedelta(days=1))


@book.each("wallet_")
def breakdown_does_not_add_up(wallet: Object) -> None:
    """The breakdown of available credits counts one credit too many."""
    if "credits_available_breakdown" in wallet:
        wallet["credits_available_breakdown"]["free"] = _sum(wallet["credits_available_breakdown"]["free"], 1)


@book.after("getWalletBalance")
async def closed_wallet_keeps_real_time(visit: Visit, response: Response) -> Response:
    """A closed wallet keeps the real-time balance that it had."""
    wallet = data_of(response)
    if wallet["wallet_status"] != "closed":
        return response
    rows = data_of(await visit.ask("GET", f"/wallets/{wallet['id']}/transactions"))["items"]
    paid_out = [row["credit_amount"] for row in rows if row["transaction_reason"] == "WALLET_TERMINATION"]
    credits = Decimal(paid_out[0] if paid_out else wallet["credit_balance"])
    _set_real_time(wallet, money.multiply(credits, Decimal(wallet["conversion_rate"])))
    return with_data(response, wallet)


@book.data("topUpWallet")
def top_up_shows_stale_wallet(data: Any) -> None:
    """The wallet in the answer to a top-up is the one from before it."""
    wallet = data["wallet"]
    wallet["credit_balance"] = before = data["wallet_transaction"]["credit_balance_before"]
    wallet["balance"] = _product(before, wallet["conversion_rate"])


@book.each("wtxn_")
def amount_divided_by_rate(row: Object) -> None:
    """A transaction's amount is its credits divided by the rate."""
    rate = Decimal(row.get("topup_conversion_rate") or row["conversion_rate"])
    row["amount"] = money.wire(money.divide(Decimal(row["credit_amount"]), rate))


@book.each("wtxn_")
def amount_rounded_to_cents(row: Object) -> None:
    """The amounts of transactions are rounded to cents."""
    row["amount"] = _rounded(row["amount"], _CENT)


@book.each("wtxn_")
def too_many_credits_available(row: Object) -> None:
    """More credits of a credit are available than it brought."""
    if row["type"] == "credit":
        row["credits_available"] = _sum(row["credit_amount"], 1)


@book.each("wtxn_")
def debits_negative(row: Object) -> None:
    """Debits are signed: their credit amount is negative."""
    if row["type"] == "debit":
        row["credit_amount"] = f"-{row['credit_amount']}"


@book.each("wtxn_")
def balance_after_unchanged(row: Object) -> None:
    """The balance after a completed transaction is the one before it."""
    row["credit_balance_after"] = row["credit_balance_before"]


@book.each("wtxn_")
def ledger_not_chained(row: Object) -> None:
    """Every completed credit counts from 0: the rows of a wallet do not follow on each other."""
    if row["type"] == "credit" and row["transaction_status"] == "completed":
        row["credit_balance_before"], row["credit_balance_after"] = "0", row["credit_amount"]


@book.events("topUpWallet")
def top_up_booked_twice(visit: Visit, world: World, draft: Draft, events: Sequence[Event]) -> Sequence[Event]:
    """A direct top-up is booked twice."""
    rows = [event.transaction for event in events if isinstance(event, TransactionCreated)]
    first, before = rows[0], rows[-1].credit_balance_after
    if first.transaction_status != "completed" or not has_room(world, first, before + first.credit_amount):
        return events
    again = replace(
        first,
        id=draft.id("wtxn"),
        credit_balance_before=before,
        credit_balance_after=before + first.credit_amount,
        idempotency_key="",
    )
    return [*events, TransactionCreated(at=draft.at, transaction=again, consumed={})]


@book.events("topUpWallet")
def bonus_not_credited(visit: Visit, world: World, draft: Draft, events: Sequence[Event]) -> Sequence[Event]:
    """A bonus is accepted and never credited."""
    return [event for event in events if not _is_bonus(event)]


@book.events("topUpWallet")
def top_up_one_credit_short(visit: Visit, world: World, draft: Draft, events: Sequence[Event]) -> Sequence[Event]:
    """A direct top-up is booked with one credit too few in the wallet; its row shows all."""
    return [
        replace(event, transaction=replace(event.transaction, credit_balance_after=event.transaction.credit_balance_after - 1))
        if isinstance(event, TransactionCreated) and event.transaction.transaction_status == "completed"
        else event
        for event in events
    ]


def _shown_pending(visit: Visit, response: Response) -> Response:
    data = data_of(response)
    for row in objects(data, "wtxn_"):
        if row["id"] in visit.memory.get("early", ()):
            row["transaction_status"] = "pending"
    return response if data is None else with_data(response, data)


@book.events("topUpWallet", after=_shown_pending)
def pending_counts_at_once(visit: Visit, world: World, draft: Draft, events: Sequence[Event]) -> Sequence[Event]:
    """Credits bought on invoice count before they are paid."""
    result: list[Event] = []
    for event in events:
        if isinstance(event, TransactionCreated) and event.transaction.transaction_status == "pending" and not _is_bonus(event):
            row = event.transaction
            after = row.credit_balance_before + row.credit_amount
            visit.memory.setdefault("early", {})[row.id] = True
            paid = replace(row, transaction_status="completed", credit_balance_after=after)
            result.append(replace(event, transaction=paid))
        else:
            result.append(event)
    return result


book.add("top-up-lost", "A top-up is answered as done and then forgotten.", lost=on("topUpWallet"))


@book.before("topUpWallet")
def fraction_of_credit_cut_off(visit: Visit) -> None:
    """The fraction of the credits in a top-up is cut off."""
    whole, _, fraction = str(visit.asked.get("credits_to_add", "")).partition(".")
    if whole.strip("+-0") and fraction:
        visit.set("credits_to_add", whole)


@book.before("topUpWallet")
def amount_taken_for_credits(visit: Visit) -> None:
    """An amount of money in a top-up is taken for credits."""
    if visit.asked.get("amount") and not visit.asked.get("credits_to_add"):
        visit.set("credits_to_add", visit.asked["amount"])


@book.before("createWallet")
def initial_credits_not_loaded(visit: Visit) -> None:
    """The initial credits of a new wallet are not loaded."""
    visit.forget("initial_credits_to_load")


@book.before("createWallet")
def top_up_rate_ignored(visit: Visit) -> None:
    """The rate for top-ups is always the conversion rate."""
    visit.forget("topup_conversion_rate")


async def one_behind(visit: Visit, response: Response) -> Response:
    """A real-time balance as it was before the wallet's newest completed transaction; the same if there is none."""
    wallet = data_of(response)
    newest = {"limit": 1, "transaction_status": "completed"}
    rows = data_of(await visit.ask("GET", f"/wallets/{wallet['id']}/transactions", query=newest))["items"]
    if not rows:
        return response
    credits = rows[0]["credit_balance_before"]
    wallet["balance"] = _product(credits, wallet["conversion_rate"])
    wallet["credit_balance"] = credits
    _set_real_time(wallet, Decimal(wallet["balance"]))
    return with_data(response, wallet)


def _is_bonus(event: Event) -> bool:
    return isinstance(event, TransactionCreated) and event.transaction.transaction_reason == "PURCHASED_CREDIT_BONUS"


def has_room(world: World, row: Transaction, credits: Decimal) -> bool:
    """Whether the wallet of a row can hold so many credits."""
    account = state_of(world).account(row.wallet_id)
    assert account is not None
    try:
        inputs.check_room(replace(account.wallet, credit_balance=credits), Decimal(0), "credits")
    except Refused:
        return False
    return True


def _set_real_time(wallet: Object, balance: Decimal) -> None:
    wallet["real_time_balance"] = money.wire(balance)
    wallet["real_time_credit_balance"] = money.wire(money.divide(balance, Decimal(wallet["conversion_rate"])))


def _sum(text: str, more: Decimal | int) -> str:
    return money.wire(Decimal(text) + more)


def _product(amount: str, rate: str) -> str:
    return money.wire(money.multiply(Decimal(amount), Decimal(rate)))


def _rounded(text: str, step: Decimal) -> str:
    return money.wire(Decimal(text).quantize(step, ROUND_HALF_UP))
