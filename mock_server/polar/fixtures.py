"""The shape of a Polar fixture file (`fixtures/polar.yaml`): customers with their tokens and wallets, population."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mock_server.clock import FIRST
from mock_server.fixture_files import Currency, Expiry, FixtureModel, Moment
from mock_server.polar.entities import Role, SessionKind, WalletType

MOST = 10**22
"""How far from zero a balance may be: much further than any real one, and not so far that arithmetic takes time."""


def _whole(value: object) -> object:
    if isinstance(value, bool) or (not isinstance(value, int | str)):
        raise ValueError("expected a whole number (the smallest unit of the currency)")
    return value


def _token_word(value: object) -> object:
    if isinstance(value, str):
        try:
            return _TOKEN_WORDS[value]
        except KeyError:
            raise ValueError("expected valid, expired, or a mapping such as {expires: in 3 days}") from None
    return value


def _canonical_uuid4(value: str) -> str:
    try:
        parsed = uuid.UUID(value)
    except ValueError:
        parsed = None
    if parsed is None or parsed.version != 4 or str(parsed) != value:
        raise ValueError("expected a version 4 UUID in lower case with hyphens")
    return value


Uuid4 = Annotated[str, AfterValidator(_canonical_uuid4)]
Cents = Annotated[int, BeforeValidator(_whole), Field(ge=-MOST, le=MOST)]


class WalletFixture(FixtureModel):
    """One wallet; `balance` is in the smallest unit of the currency."""

    about: str
    id: Uuid4 | None = None
    type: WalletType = "billing"
    currency: Currency = "usd"
    balance: Cents
    created: Moment | None = None
    modified: Moment | None = None


class TokenFixture(FixtureModel):
    """How long a token is good for; always, unless it says otherwise."""

    expires: Expiry | None = None


_TOKEN_WORDS = {"valid": TokenFixture(), "expired": TokenFixture(expires=FIRST)}


class CustomerFixture(FixtureModel):
    """A customer with a token. `role: member` may not see wallets; an expired token is refused."""

    about: str
    id: Uuid4 | None = None
    session: SessionKind = "customer"
    role: Role = "owner"
    token: Annotated[TokenFixture, BeforeValidator(_token_word)] = TokenFixture()
    wallets: dict[str, WalletFixture] = {}


class TemplateFixture(FixtureModel):
    """One kind of customer in the population; the population repeats the list of kinds in order."""

    about: str
    wallets: list[WalletFixture]


class PolarFixtures(FixtureModel):
    """A whole file."""

    provider: Literal["polar"]
    locale: str = "en_US"
    customers: dict[str, CustomerFixture]
    population: list[TemplateFixture] = []
