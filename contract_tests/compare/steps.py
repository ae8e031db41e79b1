"""Steps of a sequence that two services take side by side.

A step names what a service makes by a `Symbol`, since no two services make the same ids: `wallet 1` is another wallet on
each side, and the same one in the story that the sequence tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from contract_tests.rules.observation import NO_JSON

WALLETS = ("wallet", "known wallet")
"""Kinds of symbols: wallets of the run's own, and those that were there before."""


@dataclass(frozen=True)
class Symbol:
    """Something that each side calls by its own name: `wallet 1`, `key 3`."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"


@dataclass(frozen=True)
class Spelled:
    """A text with a symbol's own name in it: `Spelled("no-such-{}", Symbol("name", 1))`."""

    pattern: str
    symbol: Symbol


Query = Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Step:
    """One request, and what it is about in a few words.

    `subject` is the path parameter, `about` the wallets that the answer is about where the path does not say so. `makes`
    becomes the name of the wallet that the answer holds. `identity` is `main`, `none`, `wrong` or `expired`. `same_data` is
    false where the two services hold different things, so that only the form of the answers can be compared. `amount` is
    what a write puts in; `invented`: nothing stands behind the path parameter. `path`, instead of an operation, is one that
    no operation has. `tidy`: it closes what a situation made, if that is there. `among_others`: the list may hold
    wallets that others made, which are not compared.
    """

    operation: str
    situation: str
    subject: Symbol | str | None = None
    query: Query = ()
    body: Any = field(default=NO_JSON, hash=False)
    raw: bytes | None = None
    headers: tuple[tuple[str, Any], ...] = ()
    identity: str = "main"
    about: tuple[Symbol, ...] = ()
    makes: Symbol | None = None
    same_data: bool = True
    amount: Decimal = Decimal(0)
    invented: bool = False
    path: str = ""
    tidy: bool = False
    among_others: bool = False

    @property
    def wallets(self) -> tuple[Symbol, ...]:
        """The wallets whose state the answer tells of."""
        found = [*self.about, *((self.subject,) if isinstance(self.subject, Symbol) else ()), *symbols(self.body)]
        return tuple(dict.fromkeys(symbol for symbol in found if symbol.kind in WALLETS))


@dataclass(frozen=True)
class Situations:
    """What a sequence is made of. The same, the same steps.

    `known` are wallets that were there, each with whether both sides hold the same in it; `customers` are known to both
    sides and without wallets; `at_random` is how many steps come after the usual ones.
    """

    seed: int
    known: Sequence[tuple[Symbol, bool]]
    customers: Sequence[Symbol]
    writes: bool
    at_random: int


class Numbers:
    """Numbers the symbols of a sequence."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def new(self, kind: str) -> Symbol:
        """A symbol that was not there before."""
        self._last[kind] = self._last.get(kind, 0) + 1
        return Symbol(kind, self._last[kind])


def symbols(value: Any) -> Iterator[Symbol]:
    """All symbols within a value."""
    if isinstance(value, Symbol):
        yield value
    elif isinstance(value, Spelled):
        yield value.symbol
    elif isinstance(value, dict):
        for item in value.values():
            yield from symbols(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from symbols(item)


def spell(value: Any, name: Callable[[Symbol], str]) -> Any:
    """The value with each symbol replaced by its name on one side."""
    if isinstance(value, Symbol):
        return name(value)
    if isinstance(value, Spelled):
        return value.pattern.format(name(value.symbol))
    if isinstance(value, dict):
        return {key: spell(item, name) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [spell(item, name) for item in value]
    return value
