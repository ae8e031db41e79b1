"""Who sends a request: credentials by name, and how they are kept out of everything that is written down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

HIDDEN = "***"


@dataclass(frozen=True)
class Identity:
    """Credentials under a name (`main`, `other`, `expired`, `none`, `wrong`).

    `headers` are sent as they are. `variable` is the environment variable that stands for the secret where a command is
    shown; empty if there is nothing to hide.
    """

    name: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    variable: str = ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be written down: the header values, and tokens without their scheme."""
        if not self.variable:
            return ()
        found = []
        for _, value in self.headers:
            found += [value, value.partition(" ")[2]] if value.lower().startswith("bearer ") else [value]
        return tuple(secret for secret in found if secret)


def api_key(name: str, key: str, variable: str = "") -> Identity:
    """Flexprice's: a key in `x-api-key`."""
    return Identity(name, (("x-api-key", key),), variable)


def bearer(name: str, token: str, variable: str = "") -> Identity:
    """Polar's: a bearer token."""
    return Identity(name, (("authorization", f"Bearer {token}"),), variable)


def hide(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of `secrets`, the longest first, so that no part of one is left."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
