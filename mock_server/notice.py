"""What a change makes a provider tell its tenant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to be told by webhook. `body` makes the payload from values that no longer change."""

    type: str
    body: Callable[[], dict[str, Any]]

    @classmethod
    def of(cls, type: str, body: dict[str, Any]) -> Notice:
        """A notice whose payload is made already."""
        return cls(type, lambda: body)
