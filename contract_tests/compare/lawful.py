"""What two honest services may answer differently: declared here, and added to by whoever compares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MEANINGFUL_HEADERS = (
    "content-type",
    "location",
    "allow",
    "www-authenticate",
    "retry-after",
    "cache-control",
    "content-disposition",
    "content-language",
    "deprecation",
    "sunset",
    "link",
    "preference-applied",
)
"""Compared with those that the contract names. All others are the infrastructure's, and only listed."""

ANY_VALUE_HEADERS = ("x-request-id", "retry-after")
"""It matters that they are there, not what they say."""

WORDS = frozenset({"message", "msg", "detail", "details", "title", "hint", "error_description", "internal_error", "ctx", "input"})
"""Members of error bodies that are for people: their words are listed, not counted."""

MAPS = frozenset({"metadata"})
"""Objects whose members are data: one that is missing is another value, no other shape."""


@dataclass(frozen=True)
class Volatile:
    """A place whose value is not compared: a JSON pointer (`*` for any item or member, `**` for any way there) or `header NAME`.

    `operation` is empty where it counts for all.
    """

    operation: str
    place: re.Pattern[str]

    def covers(self, operation: str, place: str) -> bool:
        """Whether it is about this place of an answer."""
        return self.operation in ("", operation) and self.place.fullmatch(place) is not None


def volatile(text: str) -> Volatile:
    """`[OPERATION ]POINTER` or `[OPERATION ]header NAME`; ValueError if it is neither."""
    found = re.fullmatch(r"(?:(?P<operation>(?!header )\S+) +)?(?P<place>/\S*|header \S+)", text.strip())
    if found is None:
        raise ValueError("expected a JSON pointer such as /wallet/updated_at or /items/*/name, or `header NAME`")
    place = found["place"].lower() if found["place"].startswith("header ") else found["place"]
    pattern = re.escape(place).replace(r"/\*\*/", "/(?:.+/)?").replace(r"\*\*", ".+").replace(r"\*", "[^/]+")
    return Volatile(found["operation"] or "", re.compile(pattern))


@dataclass(frozen=True)
class Lawful:
    """The tables above with what a run adds: places with any value, and differences (`OPERATION KIND PLACE`) that are known."""

    volatile: tuple[Volatile, ...] = ()
    ignored: tuple[str, ...] = ()

    def any_value(self, operation: str, place: str) -> bool:
        """Whether the value at this place is not compared."""
        return any(entry.covers(operation, place) for entry in self.volatile)

    def ignores(self, fingerprint: str) -> bool:
        """Whether a difference is known; `*` stands for anything."""
        return any(re.fullmatch(re.escape(entry).replace(r"\*", ".*"), fingerprint) for entry in self.ignored)


def lawful(volatile_places: Iterable[str] = (), ignored: Sequence[str] = ()) -> Lawful:
    """From what a user writes; ValueError with what is wrong."""
    for entry in ignored:
        if len(entry.split()) < 3 and "*" not in entry:
            raise ValueError(f"{entry!r}: expected OPERATION KIND PLACE as the report has it, `*` for anything")
    return Lawful(tuple(map(volatile, volatile_places)), tuple(" ".join(entry.split()) for entry in ignored))
