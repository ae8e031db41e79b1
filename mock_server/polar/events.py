"""What can happen in Polar's part of a world. Customers are named as in their fixture file, or as they were added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, PlainSerializer

from mock_server.clock import Moment
from mock_server.event_log import Event
from mock_server.polar.entities import Role, SessionKind, WalletType

Whole = Annotated[int, Field(gt=-(10**40), lt=10**40), PlainSerializer(str, return_type=str, when_used="json")]
"""A whole number, written as text: many readers of JSON stop at 64 bits, or 53."""


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]


@dataclass(frozen=True, kw_only=True)
class CustomerAdded(Event):
    """A customer without wallets or tokens."""

    name: Name
    customer_id: Id
    session: SessionKind
    role: Role


@dataclass(frozen=True, kw_only=True)
class WalletAdded(Event):
    """A customer's wallet with nothing in it."""

    customer: str
    name: Name
    wallet_id: Id
    type: WalletType
    currency: Annotated[str, Field(pattern=r"^[a-z]{3}$")]


@dataclass(frozen=True, kw_only=True)
class WalletChanged(Event):
    """A transaction: the balance, which is the sum of all, has grown by `amount`. The wallet's row stays as it is."""

    customer: str
    wallet_id: str
    amount: Whole


@dataclass(frozen=True, kw_only=True)
class TokenIssued(Event):
    """A customer's new token, good until `expires_at`."""

    customer: str
    token: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,200}$")]
    expires_at: Moment


@dataclass(frozen=True, kw_only=True)
class TokenExpired(Event):
    """A token that is good no longer, before its time."""

    token: str
