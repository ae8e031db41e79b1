"""POST /wallets/{id}/modify: a prepaid wallet becomes a postpaid one. The provider serves it without documenting it."""

from __future__ import annotations

from mock_server.call import Answer, Call
from mock_server.event_log import Event
from mock_server.flexprice import closing, inputs, ledger
from mock_server.flexprice.answers import json_answer, refused, wallet_not_found
from mock_server.flexprice.bodies import Body, wallet_body
from mock_server.flexprice.entities import Wallet
from mock_server.flexprice.events import TransactionCreated, WalletCreated
from mock_server.flexprice.opening import Opening
from mock_server.flexprice.state import FlexpriceState, state_of
from mock_server.world import Draft, World, Worlds


class Modifications:
    """The operation over the worlds of all sessions."""

    def __init__(self, worlds: Worlds, opening: Opening) -> None:
        self._worlds = worlds
        self._tenant = opening.tenant

    async def modify(self, call: Call) -> Answer:
        """POST /wallets/{id}/modify"""
        wallet_id = call.request.path_params["id"]
        world, new_id = await self._worlds.commit(call.session, lambda world, draft: _decide(world, draft, wallet_id))
        return json_answer(200, {"original_wallet": self._body(world, wallet_id), "new_wallet": self._body(world, new_id)})

    def _body(self, world: World, wallet_id: str) -> Body:
        account = state_of(world).account(wallet_id)
        assert account is not None
        return wallet_body(account.wallet, self._tenant)


def _decide(world: World, draft: Draft, wallet_id: str) -> tuple[list[Event], str]:
    """Debit all credits, close the wallet, open the other one, grant it the same credits. Its id is the result."""
    state = state_of(world)
    account = state.account(wallet_id)
    if account is None:
        raise wallet_not_found(wallet_id)
    old = account.wallet
    if old.wallet_type != "PRE_PAID" or old.wallet_status != "active":
        found = f"{old.wallet_status} and {old.wallet_type}"
        raise refused("invalid_operation", f"Wallet {wallet_id} is {found}: only active prepaid wallets can be modified")
    _check_no_other(state, old)
    key = f"{wallet_id}_conversion_debit"
    try:
        events = closing.close(state, account, draft, key=key)
    except closing.KeyUsed:
        raise refused("already_exists", f"Idempotency key {key} was used before") from None
    except ledger.InsufficientCredits:
        raise refused("invalid_operation", "Insufficient balance: part of the credits has expired") from None
    name, price_types = ledger.defaults("POST_PAID", old.currency)
    new = Wallet(
        id=draft.id("wallet"),
        customer_id=old.customer_id,
        currency=old.currency,
        wallet_type="POST_PAID",
        conversion_rate=old.conversion_rate,
        topup_conversion_rate=old.topup_conversion_rate,
        created_at=draft.at,
        updated_at=draft.at,
        name=name,
        metadata={"converted_from": wallet_id},
        auto_topup=old.auto_topup,
        allowed_price_types=price_types,
        alert_settings=old.alert_settings,
    )
    events.append(WalletCreated(at=draft.at, wallet=new))
    credits = old.credit_balance
    if credits > 0:
        inputs.check_room(new, credits, "credits")
        row_id = draft.id("wtxn")
        key = f"credit_grant-{draft.seed.bits(64, 'key', row_id):016x}"
        incoming = ledger.Credit(amount=credits, reason="FREE_CREDIT_GRANT", idempotency_key=key)
        events.append(TransactionCreated(at=draft.at, transaction=ledger.credit(new, row_id, incoming, draft.at), consumed={}))
    return events, new.id


def _check_no_other(state: FlexpriceState, old: Wallet) -> None:
    """A customer has one active postpaid wallet per currency."""
    for account in state.accounts_of(old.customer_id):
        wallet = account.wallet
        if wallet.wallet_status == "active" and wallet.wallet_type == "POST_PAID" and wallet.currency == old.currency:
            raise refused(
                "already_exists", f"Customer {old.customer_id} has an active {old.currency} POST_PAID wallet: {wallet.id}"
            )
