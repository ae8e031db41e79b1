"""Two generations of the provider's document, and the clients that go by them.

The contract's document types an alert threshold as a number; a later one, which the provider's current SDKs are generated
from, as a decimal string, and so does the live server. Neither client reads the other's form: an SDK refuses a whole list
for one number. The overlay allows both, so each client gets the form that it was made for.
"""

from __future__ import annotations

from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

import orjson

from mock_server.call import Answer, Call, Handler
from mock_server.flexprice.answers import json_answer
from mock_server.flexprice.money import wire

_SDK_AGENT = b"speakeasy-sdk/"


def generation_aware(handler: Handler) -> Handler:
    """A handler that answers the provider's own SDKs in the later document's form."""

    async def later_form(call: Call) -> Answer:
        answer = await handler(call)
        body = orjson.loads(answer.body)
        _write_thresholds(body)
        return json_answer(answer.status, body)

    def handle(call: Call) -> Awaitable[Answer]:
        of_sdk = call.request.header.get(b"user-agent", b"").startswith(_SDK_AGENT)
        return later_form(call) if of_sdk else handler(call)

    return handle


def _write_thresholds(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _write_thresholds(item)
    elif isinstance(node, dict):
        for threshold in (node.get("alert_settings") or {}).values():
            if isinstance(threshold, dict) and "threshold" in threshold:
                threshold["threshold"] = wire(Decimal(str(threshold["threshold"])))
        for name in ("items", "wallet", "wallet_transaction"):
            _write_thresholds(node.get(name))
