"""What Polar's part of a world is made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

WalletType = Literal["billing", "usage"]
SessionKind = Literal["customer", "member"]
Role = Literal["owner", "billing_manager", "member"]

LIFETIME = timedelta(hours=1)
"""How long a token that is issued is good for, as the service has it."""


@dataclass(frozen=True, slots=True)
class Wallet:
    """A wallet; `balance` is in the smallest unit of the currency. Customers see neither name nor type."""

    id: str
    name: str
    customer_id: str
    type: WalletType
    currency: str
    balance: int
    created_at: datetime
    modified_at: datetime | None


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer with all wallets, in the order in which they were described or added."""

    id: str
    name: str
    session: SessionKind
    role: Role
    wallets: tuple[Wallet, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """What a token stands for: a customer, until it expires; None = never by itself."""

    text: str
    customer: str
    expires_at: datetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether its time has come."""
        return self.expires_at is not None and self.expires_at <= now
