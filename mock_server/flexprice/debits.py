"""POST /wallets/{id}/debit: credits taken out by hand. The provider serves it without documenting it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from mock_server.call import Answer, Call
from mock_server.event_log import Event
from mock_server.flexprice import inputs, ledger, money
from mock_server.flexprice.answers import invalid, json_answer, refused, wallet_not_found
from mock_server.flexprice.bodies import wallet_body
from mock_server.flexprice.events import TransactionCreated
from mock_server.flexprice.money import ZERO
from mock_server.flexprice.opening import Opening
from mock_server.flexprice.state import state_of
from mock_server.world import Draft, World, Worlds


class Debits:
    """The manual debit over the worlds of all sessions."""

    def __init__(self, worlds: Worlds, opening: Opening) -> None:
        self._worlds = worlds
        self._tenant = opening.tenant

    async def debit(self, call: Call) -> Answer:
        """POST /wallets/{id}/debit"""
        wallet_id = call.request.path_params["id"]
        fields = inputs.body(call)
        credits = inputs.stored(inputs.decimal(fields, "credits") or ZERO, "credits")
        if credits <= 0:
            raise invalid("credits must be greater than 0")
        world, _ = await self._worlds.commit(
            call.session, lambda world, draft: (_decide(world, draft, wallet_id, credits, fields), None)
        )
        account = state_of(world).account(wallet_id)
        assert account is not None
        return json_answer(200, wallet_body(account.wallet, self._tenant))


def _decide(world: World, draft: Draft, wallet_id: str, credits: Decimal, fields: inputs.Fields) -> Sequence[Event]:
    state = state_of(world)
    account = state.account(wallet_id)
    if account is None:
        raise wallet_not_found(wallet_id)
    wallet = account.wallet
    if wallet.wallet_status != "active":
        raise refused("invalid_operation", f"Wallet {wallet_id} is {wallet.wallet_status}: only active wallets can be debited")
    key = fields["idempotency_key"]
    if state.key_owner(key) is not None:
        raise refused("already_exists", f"Idempotency key {key} was used before")
    try:
        row, consumed = ledger.debit(
            account,
            draft.id("wtxn"),
            credits,
            "MANUAL_BALANCE_DEBIT",
            draft.at,
            idempotency_key=key,
            description=fields.get("description", ""),
            metadata=fields.get("metadata"),
        )
    except money.TooLarge:
        raise invalid("credits would leave a debt of more digits than can be stored") from None
    return [TransactionCreated(at=draft.at, transaction=row, consumed=consumed)]
