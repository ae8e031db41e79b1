"""Controls of Polar's customers: their wallets, balances and tokens in a session."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mock_server.actions import Action
from mock_server.call import Answer, Call, Handler
from mock_server.clock import rfc3339
from mock_server.control.answers import json_answer
from mock_server.control.asking import action_of, fields_of, session_of
from mock_server.event_log import Event
from mock_server.polar.actions import AddCustomer, AddTransaction, AddWallet, ExpireToken, IssueToken, SetWalletBalance
from mock_server.polar.entities import Customer, Token, Wallet
from mock_server.polar.events import CustomerAdded, TokenIssued, WalletAdded
from mock_server.polar.state import PolarState, polar_of
from mock_server.world import Draft, World, Worlds


class PolarControls:
    """The operations under /_mock/sessions/{session}/polar."""

    def __init__(self, worlds: Worlds) -> None:
        self._worlds = worlds
        self.handlers: Mapping[str, Handler] = {
            "polarCustomers": self.customers,
            "addPolarCustomer": self.add_customer,
            "addPolarWallet": self.add_wallet,
            "issuePolarToken": self.issue_token,
            "expirePolarTokens": self.expire_tokens,
            "setPolarBalance": self.set_balance,
            "addPolarTransaction": self.add_transaction,
        }

    async def customers(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/polar/customers"""
        world = await self._worlds.current(session_of(call))
        state = polar_of(world)
        return json_answer(200, {"customers": [self._customer(world, state, customer) for customer in state.customers()]})

    async def add_customer(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/polar/customers"""
        world, events = await self._act(call, action_of(AddCustomer, fields_of(call)))
        name = next(event.name for event in events if isinstance(event, CustomerAdded))
        return json_answer(201, self._customer(world, polar_of(world), polar_of(world).customer(name)))

    async def add_wallet(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/polar/customers/{customer}/wallets"""
        world, events = await self._act(
            call, action_of(AddWallet, fields_of(call), customer=call.request.path_params["customer"])
        )
        wallet_id = next(event.wallet_id for event in events if isinstance(event, WalletAdded))
        return json_answer(201, _wallet(*polar_of(world).wallet(wallet_id)))

    async def issue_token(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/polar/customers/{customer}/tokens"""
        world, events = await self._act(
            call, action_of(IssueToken, fields_of(call), customer=call.request.path_params["customer"])
        )
        issued = next(event for event in events if isinstance(event, TokenIssued))
        token = Token(issued.token, issued.customer, issued.expires_at)
        return json_answer(201, _token(token, self._now(world)))

    async def expire_tokens(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/polar/customers/{customer}/tokens/expire"""
        reference = call.request.path_params["customer"]
        world, _ = await self._act(call, action_of(ExpireToken, {}, customer=reference))
        return json_answer(200, self._customer(world, polar_of(world), polar_of(world).customer(reference)))

    async def set_balance(self, call: Call) -> Answer:
        """PATCH /_mock/sessions/{session}/polar/wallets/{wallet}"""
        reference = call.request.path_params["wallet"]
        world, _ = await self._act(call, action_of(SetWalletBalance, fields_of(call), wallet=reference))
        return json_answer(200, _wallet(*polar_of(world).wallet(reference)))

    async def add_transaction(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/polar/wallets/{wallet}/transactions"""
        reference = call.request.path_params["wallet"]
        world, _ = await self._act(call, action_of(AddTransaction, fields_of(call), wallet=reference))
        return json_answer(201, _wallet(*polar_of(world).wallet(reference)))

    async def _act(self, call: Call, action: Action) -> tuple[World, list[Event]]:
        """The world after an action, and the events that it took."""

        def decide(world: World, draft: Draft) -> tuple[list[Event], list[Event]]:
            events = list(action.decide(world, draft))
            return events, events

        return await self._worlds.commit(session_of(call), decide)

    def _customer(self, world: World, state: PolarState, customer: Customer) -> dict[str, Any]:
        now = self._now(world)
        return {
            "name": customer.name,
            "id": customer.id,
            "session": customer.session,
            "role": customer.role,
            "tokens": [_token(token, now) for token in state.tokens_of(customer)],
            "wallets": [_wallet(customer, wallet) for wallet in customer.wallets],
        }

    def _now(self, world: World) -> datetime:
        return max(self._worlds.now(world), world.latest)


def _wallet(customer: Customer, wallet: Wallet) -> dict[str, Any]:
    return {
        "name": f"{customer.name}.{wallet.name}",
        "id": wallet.id,
        "type": wallet.type,
        "currency": wallet.currency,
        "balance": wallet.balance,
        "created_at": rfc3339(wallet.created_at),
        "modified_at": rfc3339(wallet.modified_at) if wallet.modified_at else None,
    }


def _token(token: Token, now: datetime) -> dict[str, Any]:
    return {
        "token": token.text,
        "expires_at": rfc3339(token.expires_at) if token.expires_at else None,
        "expired": token.expired(now),
    }
