"""Controls of webhooks: where messages go and how, which there are, and taking them without a listener."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from contract_tests.durations import duration, written
from mock_server.call import Answer, Call, Handler
from mock_server.clock import rfc3339
from mock_server.control.answers import json_answer, refused
from mock_server.control.asking import session_of
from mock_server.event_log import Event
from mock_server.webhooks.addresses import Addresses, BadAddress
from mock_server.webhooks.delivery import Courier, Letter, message_id
from mock_server.webhooks.events import WebhookResent, WebhooksSet
from mock_server.webhooks.outbox import Message, Outbox
from mock_server.webhooks.settings import WebhookSettings
from mock_server.world import Draft, Refusal, World, Worlds


class WebhookControls:
    """The operations under /_mock/sessions/{session}/webhooks."""

    def __init__(self, worlds: Worlds, courier: Courier, addresses: Addresses, as_started: WebhookSettings) -> None:
        self._worlds = worlds
        self._courier = courier
        self._addresses = addresses
        self._as_started = as_started
        self.handlers: Mapping[str, Handler] = {
            "webhooks": self.get,
            "putWebhooks": self.put,
            "deleteWebhooks": self.delete,
            "webhookMessages": self.messages,
            "drainWebhooks": self.drain,
            "resendWebhook": self.resend,
        }

    async def get(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/webhooks"""
        return _answer((await self._worlds.current(session_of(call))).outbox)

    async def put(self, call: Call) -> Answer:
        """PUT /_mock/sessions/{session}/webhooks"""
        session = session_of(call)
        wanted = orjson.loads(call.request.body)
        secret = wanted.get("secret")
        types = wanted.get("types")
        settings = WebhookSettings(
            url=wanted.get("url", self._as_started.url),
            own_secret=secret is not None,
            enabled=wanted.get("enabled", True),
            delay=duration(wanted.get("delay", "0s")),
            duplicate=wanted.get("duplicate", False),
            reorder=wanted.get("reorder", False),
            types=None if types is None else tuple(dict.fromkeys(types)),
        )
        if settings.url is not None:
            try:
                self._addresses.check(settings.url)
            except BadAddress as problem:
                raise Refusal(f"url: {problem}") from None
        return _answer((await self._set(session, settings, secret)).outbox)

    async def delete(self, call: Call) -> Answer:
        """DELETE /_mock/sessions/{session}/webhooks"""
        await self._set(session_of(call), None, None)
        return Answer(204)

    async def messages(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/webhooks/messages"""
        world = await self._worlds.current(session_of(call))
        return json_answer(200, {"messages": [self._entry(message) for message in world.outbox.messages()]})

    async def drain(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/webhooks/drain"""
        letters = await self._courier.drain(session_of(call))
        return json_answer(200, {"messages": [_letter(letter) for letter in letters]})

    async def resend(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/webhooks/messages/{message}/resend"""
        wanted = call.request.path_params["message"]

        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], Message]:
            for message in world.outbox.messages():
                if message_id(self._worlds.seed, message) == wanted:
                    return [WebhookResent(at=draft.at, message=message.number)], message
            raise refused(404, "not_found", f"No message {wanted} is kept; GET .../webhooks/messages lists them")

        _, message = await self._worlds.commit(session_of(call), decide)
        return json_answer(200, self._entry(message))

    async def _set(self, session: str, settings: WebhookSettings | None, secret: str | None) -> World:
        def decide(world: World, draft: Draft) -> tuple[Sequence[Event], None]:
            return [WebhooksSet(at=draft.at, settings=settings)], None

        before = self._worlds.desk(session).secret
        # First: what is pending may go out at once.
        await self._worlds.rearrange(session, lambda desk: replace(desk, secret=secret))
        try:
            world, _ = await self._worlds.commit(session, decide)
        except BaseException:
            await self._worlds.rearrange(session, lambda desk: replace(desk, secret=before))
            raise
        await self._courier.listen(session, world)
        return world

    def _entry(self, message: Message) -> dict[str, Any]:
        entry = {
            "id": message_id(self._worlds.seed, message),
            "type": message.notice.type,
            "created_at": rfc3339(message.created),
            "state": message.state,
            "attempts": message.attempts,
            "next_attempt_at": rfc3339(message.due) if message.state == "pending" else None,
            "status": message.status,
            "problem": message.problem,
        }
        return {name: value for name, value in entry.items() if value is not None}


def _answer(outbox: Outbox) -> Answer:
    settings = outbox.settings
    body: dict[str, Any] = {
        "url": settings.url,
        "signed_with": "session" if settings.own_secret else "server",
        "enabled": settings.enabled,
        "delay": written(settings.delay),
        "duplicate": settings.duplicate,
        "reorder": settings.reorder,
        "types": settings.types,
        "counts": {
            "pending": len(outbox.pending),
            "delivered": outbox.delivered,
            "failed": outbox.failed,
            "dropped": outbox.dropped,
        },
        "next_attempt_at": outbox.due and rfc3339(outbox.due),
    }
    return json_answer(200, {name: value for name, value in body.items() if value is not None})


def _letter(letter: Letter) -> dict[str, Any]:
    return {"id": letter.id, "type": letter.type, "headers": letter.headers, "body": letter.body.decode()}
