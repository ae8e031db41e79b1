"""POST /wallets/{id}/top-up: credits granted, bought directly, or bought on invoice."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import get_args

from mock_server.call import Answer, Call
from mock_server.event_log import Event
from mock_server.flexprice import inputs, ledger, money, purchases
from mock_server.flexprice.answers import invalid, json_answer, refused, wallet_not_found
from mock_server.flexprice.bodies import Body, transaction_body, wallet_body
from mock_server.flexprice.entities import TopUpReason, Wallet
from mock_server.flexprice.events import InvoiceCreated, TransactionCreated
from mock_server.flexprice.money import ZERO
from mock_server.flexprice.opening import Opening
from mock_server.flexprice.state import state_of
from mock_server.world import Draft, World, Worlds

# The document lists twelve reasons; the provider takes these.
_REASONS = get_args(TopUpReason)


class Topups:
    """The top-up operation over the worlds of all sessions."""

    def __init__(self, worlds: Worlds, opening: Opening) -> None:
        self._worlds = worlds
        self._tenant = opening.tenant

    async def top_up(self, call: Call) -> Answer:
        """POST /wallets/{id}/top-up"""
        wallet_id = call.request.path_params["id"]
        fields = inputs.body(call)
        world, events = await self._worlds.commit(
            call.session, lambda world, draft: self._decide(world, draft, wallet_id, fields)
        )
        account = state_of(world).account(wallet_id)
        assert account is not None
        purchase = events[0]
        assert isinstance(purchase, TransactionCreated)
        body: Body = {
            "wallet_transaction": transaction_body(purchase.transaction, self._tenant),
            "wallet": wallet_body(account.wallet, self._tenant),
        }
        for event in events:
            if isinstance(event, InvoiceCreated):
                body["invoice_id"] = event.invoice.id
        return json_answer(200, body)

    def _decide(self, world: World, draft: Draft, wallet_id: str, fields: inputs.Fields) -> tuple[list[Event], list[Event]]:
        state = state_of(world)
        account = state.account(wallet_id)
        if account is None:
            raise wallet_not_found(wallet_id)
        wallet = account.wallet
        credits = _credits(wallet, fields)
        reason = fields["transaction_reason"]
        if reason not in _REASONS:
            raise invalid(f"transaction_reason {reason} cannot top up a wallet; allowed: {', '.join(_REASONS)}")
        expiry = _future(fields, "expiry_date_utc", draft.at)
        bonus = inputs.decimal(fields, "bonus_credits_to_add")
        if bonus is not None:
            bonus = inputs.stored(bonus, "bonus_credits_to_add")
            if bonus <= 0:
                raise invalid("bonus_credits_to_add must be greater than 0")
        bonus_expiry = _future(fields, "bonus_credits_expiry_date_utc", draft.at)
        invoiced = reason == "PURCHASED_CREDIT_INVOICED"
        if "checkout" in fields:
            raise invalid(
                "checkout is only available with PURCHASED_CREDIT_INVOICED"
                if not invoiced
                else "checkout: no payment provider is configured"
            )
        key = fields.get("idempotency_key") or self._derived_key(wallet_id, credits, reason, draft.at)
        if state.key_owner(key) is not None:
            raise refused("already_exists", f"Idempotency key {key} was used before")
        if bonus is None:
            bonus = purchases.slab_bonus(state.tenant, credits, reason)
        inputs.check_room(wallet, credits + bonus, "credits_to_add", invoiced=invoiced)
        incoming = ledger.Credit(
            amount=credits,
            reason=reason,
            expiry_date=expiry,
            priority=fields.get("priority"),
            idempotency_key=key,
            description=fields.get("description", ""),
            metadata=fields.get("metadata"),
        )
        events = purchases.top_up(state.tenant, account, incoming, draft, bonus=bonus, bonus_expiry=bonus_expiry)
        return events, events

    def _derived_key(self, wallet_id: str, credits: Decimal, reason: str, at: datetime) -> str:
        """Without a key the provider makes one from what is asked and the second: an accidental repeat collides."""
        bits = self._worlds.seed.bits(64, "key", wallet_id, money.wire(credits), reason, f"{at:%Y%m%d%H%M%S}")
        return f"wallet_top_up-{bits:016x}"


def _credits(wallet: Wallet, fields: inputs.Fields) -> Decimal:
    """Credits asked for; an amount of money counts only where no credits are given."""
    credits = inputs.decimal(fields, "credits_to_add") or ZERO
    name = "credits_to_add"
    if not credits:
        name = "amount"
        credits = money.divide(inputs.decimal(fields, "amount") or ZERO, wallet.topup_conversion_rate)
    credits = inputs.stored(credits, name)
    if credits <= 0:
        raise invalid("credits_to_add or amount must be greater than 0")
    return credits


def _future(fields: inputs.Fields, name: str, now: datetime) -> datetime | None:
    moment = inputs.moment(fields.get(name), name)
    if moment is not None and moment <= now:
        raise invalid(f"{name} must be in the future")
    return moment
