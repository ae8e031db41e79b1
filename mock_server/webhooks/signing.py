"""Signatures of the Standard Webhooks scheme: HMAC-SHA256 over id, time and body, with a secret that both sides know."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from datetime import datetime

PREFIX = "whsec_"

KNOWN_SECRET = PREFIX + base64.b64encode(b"walletproof: known to everybody.").decode()
"""What messages are signed with unless somebody says otherwise. It proves nothing, and needs no setting up."""

_FORM = re.compile(r"whsec_[A-Za-z0-9+/]{2,340}={0,2}")


def key_of(secret: str) -> bytes:
    """The key that a secret stands for; ValueError if it has not the form."""
    if _FORM.fullmatch(secret):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            pass
    raise ValueError("a webhook secret is whsec_ and then base64")


def signature(secret: str, message_id: str, at: datetime, body: bytes) -> tuple[str, str]:
    """The headers `webhook-timestamp` and `webhook-signature` of a message."""
    timestamp = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return timestamp, "v1," + base64.b64encode(digest).decode()
