"""Reading a text however it is spelled: percent-encoded, escaped as in JSON or HTML, in capitals, with or without accents."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from html import unescape

_ENCODED = re.compile(
    r"(?:%[0-9A-Fa-f]{2})+|(?<!\\)(?:\\+u[0-9A-Fa-f]{4})+|(?<!\\)\\+[nrtbf\"/]|&(?:#\d{1,7}|#x[0-9A-Fa-f]{1,6}|amp|lt|gt|quot|apos|nbsp);"
)
_LAYERS = 3  # a URL in a query in a query
# Scripts that put no spaces between words: there each sign is one.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W\d_{_UNSPACED}]+|\d+")


@dataclass(frozen=True, slots=True)
class Word:
    """Letters or digits in a row, folded, and where they stand in the text as it was given."""

    folded: str
    start: int
    end: int


class Reading:
    """A text, folded. `folded` is for searching; `place` tells where something found there stands in the text as given."""

    __slots__ = ("_ends", "_starts", "folded")

    def __init__(self, text: str) -> None:
        self.folded = text
        self._starts = list(range(len(text)))
        self._ends = list(range(1, len(text) + 1))
        for _ in range(_LAYERS):
            if not _ENCODED.search(self.folded):
                break
            self._take(_decoded(self.folded))
        self._take(_folded(self.folded))

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where `folded[start:end]`, which is not empty, stands in the text as given."""
        return self._starts[start], self._ends[end - 1]

    def words(self) -> list[Word]:
        """All words in their order."""
        return [Word(match[0], *self.place(*match.span())) for match in _WORD.finditer(self.folded)]

    def _take(self, signs: Iterator[tuple[str, int, int]]) -> None:
        """Read once more: each of `signs` with its place in the reading before."""
        texts, starts, ends = [], [], []
        for sign, start, end in signs:
            texts.append(sign)
            starts += [self._starts[start]] * len(sign)
            ends += [self._ends[end - 1]] * len(sign)
        self.folded, self._starts, self._ends = "".join(texts), starts, ends


def fold(text: str) -> str:
    """The same for all spellings of a value: case, accents, width and the number of spaces do not count."""
    return " ".join("".join(map(_sign, text)).split())


def words(text: str) -> tuple[str, ...]:
    """The folded words of a text that is not encoded."""
    return tuple(match[0] for match in _WORD.finditer("".join(map(_sign, text))))


def _folded(text: str) -> Iterator[tuple[str, int, int]]:
    return ((_sign(sign), place, place + 1) for place, sign in enumerate(text))


@lru_cache(maxsize=4096)
def _sign(sign: str) -> str:
    """A sign without case, accent, width; nothing of one that cannot be seen."""
    if sign.isascii():
        return sign.lower()
    if unicodedata.category(sign) == "Cf":
        return ""
    bare = "".join(part for part in unicodedata.normalize("NFKD", sign) if unicodedata.category(part) != "Mn")
    return unicodedata.normalize("NFC", bare.casefold())


def _decoded(text: str) -> Iterator[tuple[str, int, int]]:
    place = 0
    for match in _ENCODED.finditer(text):
        yield from ((text[at], at, at + 1) for at in range(place, match.start()))
        yield from _signs_of(match[0], match.start())
        place = match.end()
    yield from ((text[at], at, at + 1) for at in range(place, len(text)))


def _signs_of(code: str, start: int) -> Iterator[tuple[str, int, int]]:
    """The signs that a code stands for, each with its own part of it where that can be told."""
    if code[0] == "%":
        try:
            signs = bytes.fromhex(code.replace("%", "")).decode()
        except ValueError:
            signs = bytes.fromhex(code.replace("%", "")).decode("latin-1")
            yield from ((sign, start + 3 * at, start + 3 * at + 3) for at, sign in enumerate(signs))
            return
        for sign in signs:
            length = 3 * len(sign.encode())
            yield sign, start, start + length
            start += length
        return
    end = start + len(code)
    if code[0] == "&":
        yield unescape(code), start, end
    elif "u" in code:
        units = b"".join(bytes.fromhex(unit) for unit in re.findall(r"u(....)", code))
        signs = units.decode("utf-16-be", "replace")
        each = len(code) // len(signs) if len(code) % len(signs) == 0 else 0
        for at, sign in enumerate(signs):
            yield (sign, start + at * each, start + (at + 1) * each) if each else (sign, start, end)
    else:
        yield {"n": "\n", "r": "\r", "t": "\t"}.get(code[-1], code[-1]), start, end
