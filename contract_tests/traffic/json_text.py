"""Changing texts and numbers in JSON without touching anything else of it, half JSON and several documents in a row included.

Spaces, digits and repeated members stay as they were sent: contract and rules judge them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\],:]|[^\s"{}\[\],:]+|\s+', re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
_LITERALS = ("true", "false", "null")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_DEEPEST = 1000


class TooDeep(ValueError):
    """Nested deeper than anybody means."""


@dataclass(slots=True)
class _Level:
    """An object or a list that is open. `name` is the member that is being read, as it was sent; `shown` as it is written."""

    is_object: bool
    name: str = ""
    shown: str = ""
    at_name: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """Where a text or number stands: the name of its member (a list's items have the list's) and the names above it."""

    name: str
    above: tuple[str, ...]
    pointer: str
    """With `*` for the places in lists, and names as they are written."""


class Rewriting:
    """Gives each text (`text`), number (`number`) and name of a member (`name`) to a function that says what to write for it.

    `other` is asked for what stands where JSON has nothing.
    """

    def __init__(
        self,
        text: Callable[[str, Member], str],
        number: Callable[[str, Member], str],
        name: Callable[[str, Member], str],
        other: Callable[[str], str],
    ) -> None:
        self._text = text
        self._number = number
        self._name = name
        self._other = other

    def __call__(self, source: str) -> str:
        """The same JSON with what was written instead. TooDeep beyond 1000 levels."""
        written: list[str] = []
        levels: list[_Level] = []
        for token in _TOKEN.findall(source):
            if token.isspace():
                written.append(token)
            elif token[0] in "{}[],:" and len(token) == 1:
                _structure(token, levels)
                written.append(token)
            elif token[0] == '"':
                written.append(self._quoted(token, levels))
            else:
                written.append(self._bare(token, levels))
        return "".join(written)

    def _quoted(self, token: str, levels: list[_Level]) -> str:
        value = _unquoted(token)
        if levels and levels[-1].at_name:
            shown = self._name(value, _member(levels[:-1]))
            levels[-1].name, levels[-1].shown = value, shown
        else:
            shown = self._text(value, _member(levels))
        if shown == value:
            return token
        return json.dumps(shown) if _is_closed(token) else json.dumps(shown)[:-1]

    def _bare(self, token: str, levels: list[_Level]) -> str:
        if token in _LITERALS:
            return token
        return self._number(token, _member(levels)) if _NUMBER.fullmatch(token) else self._other(token)


def _structure(token: str, levels: list[_Level]) -> None:
    if token in "{[":
        if len(levels) == _DEEPEST:
            raise TooDeep
        levels.append(_Level(token == "{", at_name=token == "{"))
    elif token in "}]":
        if levels:
            levels.pop()
    elif levels:
        levels[-1].at_name = token == "," and levels[-1].is_object


def _member(levels: list[_Level]) -> Member:
    above = tuple(level.name for level in levels if level.is_object)
    pointer = "".join(f"/{level.shown}" if level.is_object else "/*" for level in levels)
    return Member(above[-1] if above else "", above[:-1], pointer)


def _is_closed(token: str) -> bool:
    return len(token) > 1 and token[-1] == '"' and (len(token) - len(token[:-1].rstrip("\\"))) % 2 == 1


def _unquoted(token: str) -> str:
    if "\\" not in token and len(token) > 1 and token[-1] == '"':
        return token[1:-1]
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        inner = token[1:-1] if _is_closed(token) else token[1:]
        return _ESCAPE.sub(lambda match: chr(int(match[1][1:], 16)) if len(match[1]) == 5 else match[1], inner)
