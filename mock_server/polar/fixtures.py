"""The shape of a Polar fixture file (`fixtures/polar.yaml`): customers with their tokens and wallets, population."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from mock_server.fixture_files import Currency, FixtureModel, Moment


def _whole(value: object) -> object:
    if isinstance(value, bool) or (not isinstance(value, int | str)):
        raise ValueError("expected a whole number (the smallest unit of the currency)")
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
Cents = Annotated[int, BeforeValidator(_whole)]


class WalletFixture(FixtureModel):
    """One wallet; `balance` is in the smallest unit of the currency."""

    about: str
    id: Uuid4 | None = None
    type: Literal["billing", "usage"] = "billing"
    currency: Currency = "usd"
    balance: Cents
    created: Moment | None = None
    modified: Moment | None = None


class CustomerFixture(FixtureModel):
    """A customer with a token. `role: member` may not see wallets; an expired token is refused."""

    about: str
    id: Uuid4 | None = None
    session: Literal["customer", "member"] = "customer"
    role: Literal["owner", "billing_manager", "member"] = "owner"
    token: Literal["valid", "expired"] = "valid"
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
