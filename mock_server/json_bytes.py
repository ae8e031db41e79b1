"""JSON as it is sent, in memory that is as large as it looks."""

from __future__ import annotations

import json
from typing import Any

import orjson


def json_bytes(body: Any) -> bytes:
    """Compact JSON, with whole numbers of any size."""
    try:
        written = orjson.dumps(body)
    except orjson.JSONEncodeError:  # it stops at 64 bits; balances, and what clients send, do not
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    # orjson leaves the room that it grew by; bodies are kept for a while, and by the thousand.
    return memoryview(written).tobytes()
