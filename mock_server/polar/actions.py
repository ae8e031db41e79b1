"""What can be done to Polar's customers from outside its own operations: by a control, or by a step of a scenario.

A customer is named as in the fixture file (or as it was added), or by id; a wallet as `customer.wallet`, or by id. Amounts are
in the smallest unit of the currency.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from contract_tests.durations import duration
from mock_server.actions import Action
from mock_server.clock import later
from mock_server.event_log import Event
from mock_server.fixture_files import Currency
from mock_server.polar.entities import LIFETIME, Customer, Role, SessionKind, WalletType
from mock_server.polar.events import CustomerAdded, TokenExpired, TokenIssued, WalletAdded, WalletChanged
from mock_server.polar.fixtures import Cents
from mock_server.polar.opening import make_token
from mock_server.polar.state import polar_of
from mock_server.world import Draft, Refusal, World


def _span(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("expected a time such as 90s, 1h30m or `7 days`")
    return duration(value)


Span = Annotated[timedelta, BeforeValidator(_span)]
Reference = Annotated[str, Field(min_length=1, max_length=200)]
"""A name or an id."""

NewName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Amount = Annotated[Cents, Field(ge=-(2**63), lt=2**63)]


class AddCustomer(Action):
    """Add a customer with a token, and without wallets."""

    name: NewName
    session: SessionKind = "customer"
    role: Role = "owner"

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """The customer, and the token."""
        if polar_of(world).taken(self.name):
            raise Refusal(f"there is a customer {self.name!r} already")
        customer_id = draft.seed.uuid4("customer", draft.id("customer"))
        added = CustomerAdded(at=draft.at, name=self.name, customer_id=customer_id, session=self.session, role=self.role)
        return [added, _issued(draft, self.name, self.session, LIFETIME)]


class AddWallet(Action):
    """Add a wallet; a customer has one of each type per currency. It is named by its currency: `usd`, or `usd-usage`."""

    customer: Reference
    currency: Currency = "usd"
    type: WalletType = "billing"
    balance: Cents = 0

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """The wallet, and its first transaction if anything is in it."""
        customer = polar_of(world).customer(self.customer)
        if any((wallet.type, wallet.currency) == (self.type, self.currency) for wallet in customer.wallets):
            raise Refusal(f"{customer.name} has a {self.type} wallet in {self.currency} already")
        wallet_id = draft.seed.uuid4("wallet", draft.id("wallet"))
        name = self.currency if self.type == "billing" else f"{self.currency}-{self.type}"
        if any(wallet.name == name for wallet in customer.wallets):
            name = wallet_id  # a fixture may call a wallet by a currency that it is not in
        added = WalletAdded(
            at=draft.at, customer=customer.name, name=name, wallet_id=wallet_id, type=self.type, currency=self.currency
        )
        return [added, *_changed(draft, customer, wallet_id, self.balance)]


class SetWalletBalance(Action):
    """Make a balance what it says, by one transaction."""

    wallet: Reference
    balance: Cents

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """The transaction, unless the balance is right already."""
        customer, wallet = polar_of(world).wallet(self.wallet)
        return _changed(draft, customer, wallet.id, self.balance - wallet.balance)


class AddTransaction(Action):
    """Have a balance grow by an amount, or shrink if it is negative."""

    wallet: Reference
    amount: Amount

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """The transaction; one of nothing is one all the same."""
        customer, wallet = polar_of(world).wallet(self.wallet)
        return [WalletChanged(at=draft.at, customer=customer.name, wallet_id=wallet.id, amount=self.amount)]


class IssueToken(Action):
    """Give a customer one more token, good for an hour unless it says otherwise."""

    customer: Reference
    expires_in: Span = LIFETIME

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """The token, of the kind that the customer has."""
        customer = polar_of(world).customer(self.customer)
        return [_issued(draft, customer.name, customer.session, self.expires_in)]


class ExpireToken(Action):
    """Have all tokens of a customer expire now."""

    customer: Reference

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """The end of those that are still good."""
        state = polar_of(world)
        tokens = state.tokens_of(state.customer(self.customer))
        return [TokenExpired(at=draft.at, token=token.text) for token in tokens if not token.expired(draft.at)]


def _changed(draft: Draft, customer: Customer, wallet_id: str, amount: int) -> list[Event]:
    return [WalletChanged(at=draft.at, customer=customer.name, wallet_id=wallet_id, amount=amount)] if amount else []


def _issued(draft: Draft, customer: str, session: SessionKind, lifetime: timedelta) -> TokenIssued:
    token = make_token(draft.seed, session, draft.id("token"))
    return TokenIssued(at=draft.at, customer=customer, token=token, expires_at=later(draft.at, lifetime))


ACTIONS: dict[str, type[Action]] = {
    "add-customer": AddCustomer,
    "add-wallet": AddWallet,
    "set-wallet-balance": SetWalletBalance,
    "add-transaction": AddTransaction,
    "issue-token": IssueToken,
    "expire-token": ExpireToken,
}
