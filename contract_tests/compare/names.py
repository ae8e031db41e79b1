"""What each side calls the same thing: ids that services make, and names that a run makes up for each side."""

from __future__ import annotations

import re
from collections.abc import Callable

from contract_tests.compare.steps import Symbol

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{4,}")
_ULID = re.compile(r"(?:[a-z]+_)?[0-9A-HJKMNP-TV-Z]{26}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = re.compile(r"[0-9a-f]{16,}")
_NAMED = re.compile(r"(?:^|_|-)(?:id|key|by)$")


class Unnamed(Exception):
    """A side has no name for a symbol: what should have made it did not come about."""


class Names:
    """Symbols and what they are called on the first and on the second side.

    Each name has one symbol and each symbol one name on a side, so that what is said of a symbol is comparable.
    """

    def __init__(self) -> None:
        self._symbols: tuple[dict[str, Symbol], dict[str, Symbol]] = ({}, {})
        self._names: tuple[dict[Symbol, str], dict[Symbol, str]] = ({}, {})
        self._last: dict[str, int] = {}

    def bind(self, symbol: Symbol, first: str, second: str) -> None:
        """From now on this is what the sides call the symbol."""
        for side, name in enumerate((first, second)):
            self.give(symbol, side, name)

    def give(self, symbol: Symbol, side: int, name: str) -> None:
        """The name of a symbol on one side."""
        self._symbols[side][name] = symbol
        self._names[side][symbol] = name

    def name(self, symbol: Symbol, side: int) -> str:
        """What a side calls a symbol; Unnamed if it has nothing of that name."""
        try:
            return self._names[side][symbol]
        except KeyError:
            raise Unnamed(str(symbol)) from None

    def has(self, symbol: Symbol, side: int) -> bool:
        """Whether a side has a name for it."""
        return symbol in self._names[side]

    def symbol(self, name: str, side: int) -> Symbol | None:
        """The symbol of this name."""
        return self._symbols[side].get(name)

    def symbolic(self, text: str, side: int) -> str:
        """The text with symbols in place of all names that are known."""
        known = self._symbols[side]
        if text in known:
            return f"<{known[text]}>"
        return _TOKEN.sub(_replacing(known), text) if known else text

    def pair(self, first: str, second: str) -> bool:
        """Whether these two are the same thing; if nobody knows either, they are from now on."""
        one, two = self.symbol(first, 0), self.symbol(second, 1)
        if one is None and two is None:
            kind = first.partition("_")[0] if re.fullmatch(r"[a-z]+_.+", first) else "id"
            self._last[kind] = self._last.get(kind, 0) + 1
            self.bind(Symbol(f"{kind} id", self._last[kind]), first, second)
            return True
        return one == two

    def pair_within(self, first: str, second: str) -> bool:
        """Whether two texts differ in nothing but ids that stand for the same: a list of ids, one that nobody has seen yet."""
        tokens = _TOKEN.findall(first), _TOKEN.findall(second)
        if len(tokens[0]) != len(tokens[1]) or _TOKEN.sub("", first) != _TOKEN.sub("", second):
            return False
        return all(one == two or (self._may_pair(one, two) and self.pair(one, two)) for one, two in zip(*tokens, strict=True))

    def _may_pair(self, one: str, two: str) -> bool:
        known = self.symbol(one, 0) is not None and self.symbol(two, 1) is not None
        return known or (form(one) != "" and form(one) == form(two))


def is_id(member: str, first: str, second: str) -> bool:
    """Whether two texts are ids that services make, by the name of the member that holds them or by their form."""
    if not first or not second:
        return False
    return _NAMED.search(member) is not None or (form(first) != "" and form(second) != "")


def form(text: str) -> str:
    """How an id is written: `wallet_ULID`, `UUID`; empty if it has none of the usual forms."""
    if _ULID.fullmatch(text):
        return text[:-26] + "ULID"
    if _UUID.fullmatch(text):
        return "UUID"
    return "hexadecimal" if _HEX.fullmatch(text) else ""


def _replacing(known: dict[str, Symbol]) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        symbol = known.get(match[0]) or known.get(match[0].rstrip("."))
        return match[0] if symbol is None else f"<{symbol}>"

    return replace
