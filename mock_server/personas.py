"""Personas: what a person needs to know of the fixture wallets, whoever the provider."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Persona:
    """A fixture wallet by name. `token` reads it, where the provider has one per customer."""

    provider: str
    name: str
    about: str
    ids: dict[str, str] = field(default_factory=dict)
    token: str | None = None


class Cast(Protocol):
    """A provider's personas."""

    def personas(self) -> Iterator[Persona]:
        """All of them, in the order of the fixture file."""
        ...

    def member(self, index: int) -> Persona | None:
        """A member of the population; None beyond its size."""
        ...


def wallet_ids(cast: Cast) -> dict[str, str]:
    """The ids of a provider's wallets by persona; some personas have none."""
    return {persona.name: persona.ids["wallet"] for persona in cast.personas() if "wallet" in persona.ids}
