"""What can happen to the messages of a world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from mock_server.clock import Moment
from mock_server.event_log import Event
from mock_server.webhooks.settings import WebhookSettings


@dataclass(frozen=True, kw_only=True)
class WebhooksSet(Event):
    """Messages go out otherwise from here on; None is as the server was started."""

    settings: WebhookSettings | None


@dataclass(frozen=True, kw_only=True)
class WebhookAttempted(Event):
    """A message was sent, and a listener took it or did not. `moment` is its time: one move of a clock can pass several."""

    message: int
    moment: Moment
    ok: bool
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    problem: Annotated[str, Field(max_length=1000)] | None = None


@dataclass(frozen=True, kw_only=True)
class WebhooksDrained(Event):
    """Somebody took all pending messages."""


@dataclass(frozen=True, kw_only=True)
class WebhookResent(Event):
    """A message is to go out again, and at once."""

    message: int
