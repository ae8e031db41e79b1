"""Requests and answers, as both APIs see them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl, unquote

JSON_TYPE = "application/json; charset=utf-8"


@dataclass
class Request:
    """One request. The path is split before it is decoded, so an id may hold an encoded slash."""

    method: str
    path: str
    query_text: str
    headers: Message
    body: bytes
    too_large: bool = False

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(unquote(part) for part in self.path.split("/")[1:])

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query_text, keep_blank_values=True)

    def first(self, name: str) -> str | None:
        """First value of a query parameter."""
        return next((value for key, value in self.query if key == name), None)


@dataclass
class Answer:
    """One answer."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(status: int, payload: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(payload).encode(), {"Content-Type": JSON_TYPE, **(headers or {})})


def text_answer(status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a text body."""
    return Answer(status, text.encode(), {"Content-Type": "text/plain; charset=utf-8", **(headers or {})})
