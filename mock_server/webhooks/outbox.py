"""The messages of a world: a fold over the same log as everything else."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from mock_server.clock import later
from mock_server.event_log import Event
from mock_server.notice import Notice
from mock_server.webhooks.events import WebhookAttempted, WebhookResent, WebhooksDrained, WebhooksSet
from mock_server.webhooks.settings import WebhookSettings

MOST_PENDING = 1000
MOST_DONE = 100

RETRIES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)
"""How long after each failed attempt comes the next; after the last one a message has failed."""

HOLD = timedelta(seconds=5)
"""How long the first of two messages waits for the second, which is to overtake it."""

AS_STARTED = WebhookSettings()

MessageState = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class MessageMemento:
    """The fields of a message, with the body that its notice makes."""

    number: int
    type: str
    body: dict[str, Any]
    created: datetime
    due: datetime
    copies: int
    held: bool
    attempts: int
    failures: int
    state: MessageState
    status: int | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class OutboxMemento:
    """All that an outbox is made of; settings None are those of the server's start."""

    settings: WebhookSettings | None
    delivered: int
    failed: int
    dropped: int
    count: int
    free: datetime
    line: list[MessageMemento]
    done: list[MessageMemento]


class Message:
    """One message. `number` counts a world's messages; `due` is the next attempt; `copies` are still to be taken."""

    __slots__ = ("attempts", "copies", "created", "due", "failures", "held", "notice", "number", "problem", "state", "status")

    def __init__(self, number: int, notice: Notice, created: datetime, due: datetime, copies: int) -> None:
        self.number = number
        self.notice = notice
        self.created = created
        self.due = due
        self.copies = copies
        self.held = False
        self.attempts = 0
        self.failures = 0
        self.state: MessageState = "pending"
        self.status: int | None = None
        self.problem: str | None = None

    def memento(self) -> MessageMemento:
        """All of it."""
        return MessageMemento(
            number=self.number,
            type=self.notice.type,
            body=self.notice.body(),
            created=self.created,
            due=self.due,
            copies=self.copies,
            held=self.held,
            attempts=self.attempts,
            failures=self.failures,
            state=self.state,
            status=self.status,
            problem=self.problem,
        )

    @classmethod
    def recalled(cls, memento: MessageMemento) -> Message:
        """The message that this is the memento of."""
        message = cls(memento.number, Notice.of(memento.type, memento.body), memento.created, memento.due, memento.copies)
        message.held = memento.held
        message.attempts = memento.attempts
        message.failures = memento.failures
        message.state = memento.state
        message.status = memento.status
        message.problem = memento.problem
        return message


class Outbox:
    """Messages in the order in which they go out. Of those that are done the latest stay, for looking at and sending again.

    `delivered`, `failed` and `dropped` count; a message is dropped when too many later ones are pending. `as_started` are the
    settings that it begins with.
    """

    def __init__(self, settings: WebhookSettings = AS_STARTED) -> None:
        self.settings = settings
        self.as_started = settings
        self.delivered = 0
        self.failed = 0
        self.dropped = 0
        self._count = 0
        self._line: deque[Message] = deque()
        self._done: deque[Message] = deque(maxlen=MOST_DONE)
        self._free = datetime.min.replace(tzinfo=UTC)

    @property
    def pending(self) -> tuple[Message, ...]:
        """The messages that nobody took yet, the next one first."""
        return tuple(self._line)

    @property
    def first(self) -> Message | None:
        """The message that goes out next."""
        return self._line[0] if self._line else None

    @property
    def due(self) -> datetime | None:
        """When the next attempt is; None if there is nothing to send, or nowhere to send it."""
        if not self._line or self.settings.url is None or not self.settings.enabled:
            return None
        return max(self._line[0].due, self._free)

    def messages(self) -> Iterator[Message]:
        """All that are kept: those that are done, then the pending ones."""
        yield from self._done
        yield from self._line

    def apply(self, event: Event, notices: Iterable[Notice]) -> None:
        """Fold in an event and what it makes the providers say."""
        match event:
            case WebhookAttempted():
                self._attempted(event)
            case WebhooksSet():
                self.settings = event.settings or self.as_started
                self._free = event.at
            case WebhooksDrained():
                while self._line:
                    self._finish(self._line[0], "delivered")
            case WebhookResent():
                self._resent(event)
        for notice in notices:
            if self.settings.wants(notice.type):
                self._add(notice, event.at)

    def memento(self) -> OutboxMemento:
        """All of it."""
        return OutboxMemento(
            settings=None if self.settings is self.as_started else self.settings,
            delivered=self.delivered,
            failed=self.failed,
            dropped=self.dropped,
            count=self._count,
            free=self._free,
            line=[message.memento() for message in self._line],
            done=[message.memento() for message in self._done],
        )

    def recall(self, memento: OutboxMemento) -> None:
        """Be, to which nothing has happened, what this is the memento of."""
        self.settings = memento.settings or self.as_started
        self.delivered = memento.delivered
        self.failed = memento.failed
        self.dropped = memento.dropped
        self._count = memento.count
        self._free = memento.free
        self._line.extend(map(Message.recalled, memento.line))
        self._done.extend(map(Message.recalled, memento.done))

    def _add(self, notice: Notice, at: datetime) -> None:
        settings, line = self.settings, self._line
        self._count += 1
        message = Message(self._count, notice, at, later(at, settings.delay), 2 if settings.duplicate else 1)
        if settings.reorder and line and line[-1].held:
            overtaken = line[-1]
            overtaken.held = False
            overtaken.due = message.due
            line.insert(len(line) - 1, message)
        else:
            if settings.reorder:
                message.held = True
                message.due = later(message.due, HOLD)
            line.append(message)
        if len(line) > MOST_PENDING:
            line.popleft().state = "failed"
            self.dropped += 1

    def _attempted(self, event: WebhookAttempted) -> None:
        message = next((message for message in self._line if message.number == event.message), None)
        if message is None:
            return
        self._free = event.moment
        message.held = False
        message.attempts += 1
        message.status, message.problem = event.status, event.problem
        if event.ok:
            message.copies -= 1
            message.failures = 0
            message.due = event.moment
            if not message.copies:
                self._finish(message, "delivered")
        elif message.failures == len(RETRIES):
            self._finish(message, "failed")
        else:
            message.due = later(event.moment, RETRIES[message.failures])
            message.failures += 1

    def _resent(self, event: WebhookResent) -> None:
        message = next((message for message in self.messages() if message.number == event.message), None)
        if message is None:
            return
        if message.state != "pending":
            self._done.remove(message)
            self._line.append(message)
        message.state, message.due, message.failures, message.held = "pending", event.at, 0, False
        message.copies = max(message.copies, 1)

    def _finish(self, message: Message, state: MessageState) -> None:
        self._line.remove(message)
        self._done.append(message)
        message.state = state
        if state == "delivered":
            self.delivered += 1
        else:
            self.failed += 1
