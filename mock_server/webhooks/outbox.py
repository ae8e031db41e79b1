"""The messages of a world that its tenant was not told yet: a fold over the same log as everything else."""

from __future__ import annotations

from collections.abc import Iterable

from mock_server.event_log import Event
from mock_server.notice import Notice


class Outbox:
    """Messages in the order in which they arose."""

    def apply(self, event: Event, position: int, notices: Iterable[Notice]) -> None:
        """Fold in an event and what it makes the providers say; `position` is how many events came before."""
