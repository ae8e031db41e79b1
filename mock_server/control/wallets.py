"""Controls of Flexprice's wallets in a session: their full state, and whatever can be done to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mock_server.actions import Action, Unknown
from mock_server.call import Answer, Call, Handler
from mock_server.clock import rfc3339
from mock_server.control.answers import json_answer
from mock_server.control.asking import action_of, fields_of, session_of
from mock_server.event_log import Event
from mock_server.flexprice.actions import (
    CreateInvoice,
    ExpireCredits,
    PayInvoice,
    Refund,
    SetAlerts,
    SetAutoTopup,
    SetBalance,
    SetStatus,
    SetUsage,
    SetUsageRate,
    Use,
    VoidInvoice,
    find_invoice,
    find_wallet,
    is_left,
)
from mock_server.flexprice.bodies import Body, wallet_body
from mock_server.flexprice.entities import Invoice, Transaction
from mock_server.flexprice.events import InvoiceCreated
from mock_server.flexprice.money import wire
from mock_server.flexprice.state import FlexpriceState, state_of
from mock_server.world import Draft, Refusal, World, Worlds


class WalletControls:
    """The operations under /_mock/sessions/{session}/wallets."""

    def __init__(self, worlds: Worlds) -> None:
        self._worlds = worlds
        self.handlers: Mapping[str, Handler] = {
            "walletState": self.state,
            "changeWallet": self.change,
            "addUsage": self.use,
            "walletInvoices": self.invoices,
            "createInvoice": self.create_invoice,
            "payInvoice": self.pay_invoice,
            "voidInvoice": self.void_invoice,
            "expireCredits": self.expire_credits,
            "refundTransaction": self.refund,
        }

    async def state(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/wallets/{wallet}"""
        return self._state(await self._worlds.current(session_of(call)), _wallet(call))

    async def change(self, call: Call) -> Answer:
        """PATCH /_mock/sessions/{session}/wallets/{wallet}"""
        return await self._act(call, _changes(_wallet(call), fields_of(call)))

    async def use(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/wallets/{wallet}/usage"""
        return await self._act(call, [action_of(Use, fields_of(call), wallet=_wallet(call))])

    async def invoices(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/wallets/{wallet}/invoices"""
        state = _flexprice(await self._worlds.current(session_of(call)))
        wallet = find_wallet(state, _wallet(call)).wallet
        invoices = [_invoice(i) for i in state.all_invoices(wallet.customer_id) if i.currency == wallet.currency]
        return json_answer(200, {"invoices": invoices})

    async def create_invoice(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/wallets/{wallet}/invoices"""
        action = action_of(CreateInvoice, fields_of(call), wallet=_wallet(call))

        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], Invoice]:
            _flexprice(world)
            events = action.decide(world, draft)
            return events, next(event.invoice for event in events if isinstance(event, InvoiceCreated))

        _, invoice = await self._worlds.commit(session_of(call), decide)
        return json_answer(201, _invoice(invoice))

    async def pay_invoice(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/wallets/{wallet}/invoices/{invoice}/pay"""
        return await self._settle(call, PayInvoice, fields_of(call))

    async def void_invoice(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/wallets/{wallet}/invoices/{invoice}/void"""
        return await self._settle(call, VoidInvoice, {})

    async def expire_credits(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/wallets/{wallet}/credits/{transaction}/expire"""
        transaction = call.request.path_params["transaction"]
        return await self._act(call, [action_of(ExpireCredits, {}, wallet=_wallet(call), transaction=transaction)])

    async def refund(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/wallets/{wallet}/transactions/{transaction}/refund"""
        transaction = call.request.path_params["transaction"]
        return await self._act(call, [action_of(Refund, fields_of(call), wallet=_wallet(call), transaction=transaction)])

    async def _settle(self, call: Call, kind: type[PayInvoice | VoidInvoice], fields: Mapping[str, Any]) -> Answer:
        wallet = _wallet(call)
        action = action_of(kind, fields, wallet=wallet, invoice=call.request.path_params["invoice"])

        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], str]:
            invoice = find_invoice(_flexprice(world), action.invoice, wallet)
            return action.decide(world, draft), invoice.id

        world, invoice_id = await self._worlds.commit(session_of(call), decide)
        invoice = _flexprice(world).invoice(invoice_id)
        assert invoice is not None
        return json_answer(200, _invoice(invoice))

    async def _act(self, call: Call, actions: Sequence[Action]) -> Answer:
        """The wallet's state after some actions, all of which are done or none."""

        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], None]:
            _flexprice(world)
            return [event for action in actions for event in action.decide(world, draft)], None

        world, _ = await self._worlds.commit(session_of(call), decide)
        return self._state(world, _wallet(call))

    def _state(self, world: World, name: str) -> Answer:
        state = _flexprice(world)
        account = find_wallet(state, name)
        wallet, at = account.wallet, max(self._worlds.now(world), world.latest)
        now, usage = state.real_time(account, at), state.usage(wallet.customer_id, wallet.currency)
        body: Body = {
            "wallet": wallet_body(wallet, state.opening.tenant),
            "real_time_balance": wire(now.balance),
            "real_time_credit_balance": wire(now.credit_balance),
            "usage": wire(usage.at(at)),
            "usage_rate": {"amount": wire(usage.rate), "per": usage.per},
            "unpaid_invoices": [_invoice(i) for i in state.invoices(wallet.customer_id) if i.currency == wallet.currency],
            "transactions": len(account.transactions),
            "credits": [_credit(row) for row in account.transactions if is_left(row)],
        }
        return json_answer(200, body)


def _changes(wallet: str, asked: Mapping[str, Any]) -> list[Action]:
    """The actions that a change takes, in an order in which they do not get into each other's way.

    Only an active wallet has a real-time balance, so it becomes active first, or ceases to be so last.
    """
    status = asked.get("status")
    for name in ("credit_balance", "usage", "auto_topup"):
        if status == "closed" and name in asked:
            raise Refusal(f"closing takes all credits out of the wallet as it is: give either a status of closed or {name}")
    statuses = [action_of(SetStatus, {"status": status}, wallet=wallet)] if status else []
    actions: list[Action] = []
    if status == "active":
        actions += statuses
    if "alert_settings" in asked:
        actions.append(action_of(SetAlerts, {"settings": asked["alert_settings"]}, wallet=wallet))
    if "auto_topup" in asked:
        actions.append(action_of(SetAutoTopup, {"settings": asked["auto_topup"]}, wallet=wallet))
    if "usage_rate" in asked:
        actions.append(action_of(SetUsageRate, asked["usage_rate"], wallet=wallet))
    if "usage" in asked:
        actions.append(action_of(SetUsage, {"amount": asked["usage"]}, wallet=wallet))
    if "credit_balance" in asked:
        actions.append(action_of(SetBalance, {"credits": asked["credit_balance"]}, wallet=wallet))
    if status != "active":
        actions += statuses
    return actions


def _wallet(call: Call) -> str:
    return call.request.path_params["wallet"]


def _flexprice(world: World) -> FlexpriceState:
    if "flexprice" not in world.states:
        raise Unknown("this server does not serve flexprice")
    return state_of(world)


def _credit(row: Transaction) -> Body:
    body: Body = {
        "id": row.id,
        "reason": row.transaction_reason,
        "credits": wire(row.credit_amount),
        "available": wire(row.credits_available),
        "created_at": rfc3339(row.created_at),
    }
    if row.expiry_date is not None:
        body["expires_at"] = rfc3339(row.expiry_date)
    if row.priority is not None:
        body["priority"] = row.priority
    return body


def _invoice(invoice: Invoice) -> Body:
    body: Body = {
        "id": invoice.id,
        "status": invoice.status,
        "billing_reason": invoice.billing_reason,
        "currency": invoice.currency,
        "remaining": wire(invoice.remaining),
        "paid": wire(invoice.paid),
        "usage": wire(invoice.usage_due),
    }
    if invoice.created_at is not None:
        body["created_at"] = rfc3339(invoice.created_at)
    if invoice.transaction_id:
        body |= {"wallet_id": invoice.wallet_id, "transaction_id": invoice.transaction_id}
    return body
