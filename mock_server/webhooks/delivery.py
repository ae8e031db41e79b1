"""Bringing messages to their listeners: in order per session, and again on the world's clock where nobody took them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from mock_server.clock import LAST, milliseconds
from mock_server.event_log import Event, LogUnavailable
from mock_server.ids import Seed
from mock_server.webhooks.addresses import Addresses, BadAddress
from mock_server.webhooks.events import WebhookAttempted, WebhooksDrained
from mock_server.webhooks.outbox import Message
from mock_server.webhooks.settings import WebhookSettings
from mock_server.webhooks.signing import signature
from mock_server.world import Draft, SessionFull, World, Worlds

if TYPE_CHECKING:
    import httpx

log = logging.getLogger("walletproof")

TIMEOUT = 5.0
"""Seconds that a listener has."""

LONGEST_MOVE = 30.0
"""Seconds that a move of a clock waits for what fell due; what is left then goes on behind it."""

_LEASED = timedelta(seconds=4 * TIMEOUT)  # longer than an attempt takes
_LOOK_AGAIN = 0.1
_LISTENING = "listening"  # kept with a session whose messages are sent somewhere

_LONGEST_SLEEP = 24 * 3600.0
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it goes over the wire."""

    id: str
    type: str
    headers: dict[str, str]
    body: bytes


def message_id(seed: Seed, message: Message) -> str:
    """`msg_<ULID>`, the same for every attempt."""
    return seed.id("msg", milliseconds(message.created), "message", message.number)


class Courier:
    """Sends what is due.

    `addresses` is where it may go, `secret` what signs where a session has no secret of its own, `as_started` what sessions
    do until they are told otherwise.
    """

    def __init__(self, worlds: Worlds, addresses: Addresses, secret: str, as_started: WebhookSettings) -> None:
        self._worlds = worlds
        self._as_started = as_started
        self._addresses = addresses
        self._secret = secret
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._moved: dict[str, datetime] = {}
        worlds.at_change(self.wake)
        worlds.at_move(self.settle)
        worlds.sessions.at_end(self._forget)

    def letter(self, session: str, world: World, message: Message, at: datetime) -> Letter:
        """A message of a session as it is sent at a time."""
        own = self._worlds.desk(session).secret if world.outbox.settings.own_secret else None
        body = orjson.dumps(message.notice.body())
        name = message_id(self._worlds.seed, message)
        timestamp, signed = signature(own or self._secret, name, at, body)
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": timestamp,
            "webhook-signature": signed,
        }
        return Letter(name, message.notice.type, headers, body)

    def wake(self, session: str, world: World) -> None:
        """A world has changed: see to it that what is due is sent, now or in time.

        Where somebody listens, what happens by itself happens in time as well, whether or not anybody asks.
        """
        settings = world.outbox.settings
        if settings.url is None or not settings.enabled or session in self._tasks:  # a task looks again before it ends
            return
        self._call_off(session)
        now, due = self._worlds.now(world), world.outbox.due
        if due is not None and due <= now:
            self._start(session)
        elif world.clock.mode != "frozen":
            due = world.due if due is None else min(due, world.due)
            if due < LAST:
                wait = min(max(0.0, (due - now).total_seconds()), _LONGEST_SLEEP)
                loop = asyncio.get_running_loop()
                # In a context of its own: whatever the request at hand has switched on is not meant for messages.
                self._timers[session] = loop.call_later(wait, self._start, session, context=Context())

    async def settle(self, session: str) -> None:
        """Attempt all that has fallen due, each as if at its own time; a clock was moved."""
        world = await self._worlds.current(session)
        if world.outbox.due is None:
            return
        self._moved[session] = self._worlds.now(world)
        await asyncio.wait({self._start(session)}, timeout=LONGEST_MOVE)

    async def drain(self, session: str) -> list[Letter]:
        """All pending messages, taken as if by a listener."""

        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], list[Letter]]:
            pending = world.outbox.pending
            letters = [
                letter for message in pending for letter in [self.letter(session, world, message, draft.at)] * message.copies
            ]
            return [WebhooksDrained(at=draft.at)] if pending else [], letters

        _, letters = await self._worlds.commit(session, decide)
        return letters

    def _start(self, session: str) -> asyncio.Task[None]:
        self._timers.pop(session, None)
        task = self._tasks.get(session)
        if task is None:
            loop = asyncio.get_running_loop()
            task = self._tasks[session] = loop.create_task(self._run(session), context=Context())
        return task

    async def left_behind(self) -> Sequence[str]:
        """The sessions of a shared log in which messages may wait for a process that is there no more."""
        if self._as_started.url is not None:
            return [listing.session for listing in await self._worlds.log.sessions()]
        return await self._worlds.log.keeping(_LISTENING)

    async def listen(self, session: str, world: World) -> None:
        """Have other processes know, before anything is due, that somebody listens to a session, or nobody does any more."""
        if self._worlds.log.shared:
            await self._worlds.log.keep(session, _LISTENING, b"yes" if world.outbox.settings.url is not None else None)

    async def _run(self, session: str) -> None:
        """Send until nothing is due. Of the processes that share a log one sends."""
        import httpx

        lease = f"courier {session}"
        log_, holder = self._worlds.log, self._worlds.name
        client: httpx.AsyncClient | None = None
        try:
            while True:
                world = await self._worlds.current(session)
                due, message = world.outbox.due, world.outbox.first
                if due is None or message is None or due > self._worlds.now(world):
                    break
                if log_.shared and not await log_.lease(lease, holder, _LEASED):
                    await asyncio.sleep(_LOOK_AGAIN)
                    continue
                if client is None:
                    client = httpx.AsyncClient(
                        trust_env=False, verify=_tls(), timeout=TIMEOUT, headers={"user-agent": "walletproof"}
                    )
                await self._attempt(client, session, world, message)
        except SessionFull:
            return
        except LogUnavailable as problem:
            log.warning("the messages of session %r wait: %s", session, problem)
            return
        except Exception:
            log.exception("the messages of session %r are not delivered", session)
            return
        finally:
            if self._tasks.get(session) is asyncio.current_task():
                del self._tasks[session]
                self._moved.pop(session, None)
            if client is not None:
                await client.aclose()
                if log_.shared:
                    with suppress(LogUnavailable):
                        await log_.lease(lease, holder, timedelta())
        if session in self._worlds.sessions:
            self.wake(session, world)

    async def _attempt(self, client: httpx.AsyncClient, session: str, world: World, message: Message) -> None:
        now = self._worlds.now(world)
        moment = world.outbox.due or now
        if world.clock.mode != "frozen" and moment > self._moved.get(session, _LONG_AGO):
            moment = now  # not one that a moved clock went past: it is late by what sending takes
        status, problem = await self._send(client, session, world, message, moment)
        ok = status is not None and 200 <= status < 300

        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], None]:
            if message not in world.outbox.pending:  # drained, or the session was reset, while this was under way
                return [], None
            event = WebhookAttempted(at=draft.at, message=message.number, moment=moment, ok=ok, status=status, problem=problem)
            return [event], None

        await self._worlds.commit(session, decide)

    async def _send(
        self, client: httpx.AsyncClient, session: str, world: World, message: Message, moment: datetime
    ) -> tuple[int | None, str | None]:
        """The status that a listener answered with, or what went wrong."""
        import httpx

        url = world.outbox.settings.url
        assert url is not None
        letter = self.letter(session, world, message, moment)
        try:
            self._addresses.check(url)  # again: a session that was loaded may bring any
            async with (
                asyncio.timeout(TIMEOUT),
                client.stream("POST", url, content=letter.body, headers=letter.headers) as response,
            ):
                return response.status_code, None
        except BadAddress as refusal:
            return None, str(refusal)
        except (TimeoutError, httpx.TimeoutException):
            return None, f"no answer within {TIMEOUT:g} seconds"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return None, f"{type(error).__name__}: {error}"[:200]

    def _forget(self, session: str) -> None:
        self._moved.pop(session, None)
        self._call_off(session)
        task = self._tasks.pop(session, None)
        if task is not None:
            task.cancel()

    def _call_off(self, session: str) -> None:
        timer = self._timers.pop(session, None)
        if timer is not None:
            timer.cancel()


@cache
def _tls() -> Any:
    """Reading certificates takes tens of milliseconds: once."""
    import httpx

    return httpx.create_ssl_context()
