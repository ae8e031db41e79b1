"""What is known of a session beside its world: settings of the mock that are no part of any provider, and must agree everywhere.

Nothing of it is an event: it draws no ids, is not exported, and stays where a session is undone or restored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Desk:
    """The desk of a session.

    `defects` are those that are on, None for those of the server's start. `spoiled`: a defect has played, and what it left
    behind may go on breaking rules of meaning. `secret` signs webhooks, None for the server's. `snapshots` are their events by
    name. `memory` is what defects keep between requests, by defect: JSON.
    """

    defects: tuple[str, ...] | None = None
    spoiled: bool = False
    secret: str | None = None
    snapshots: Mapping[str, int] = field(default_factory=dict)
    memory: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The desk as JSON."""
        return orjson.dumps(self)

    @staticmethod
    def decode(data: bytes) -> Desk:
        """What `encode` wrote; the empty desk of nothing."""
        if not data:
            return EMPTY
        fields = orjson.loads(data)
        defects = fields.pop("defects")
        return Desk(defects=None if defects is None else tuple(defects), **fields)


EMPTY = Desk()
