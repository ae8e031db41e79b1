"""Finding what is personal in texts: by its form, and by what was learnt elsewhere; and putting something else in its place."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv6Address
from itertools import pairwise
from urllib.parse import quote

from contract_tests.traffic.kinds import EMAIL, Kind
from contract_tests.traffic.spelling import Reading, words

Place = tuple[int, int, str]
"""From where to where in a text, and what to write there."""

_LONGEST_SOUGHT = 24  # words
_WIDEST_GAP = 6  # signs between two words of a name: `Jane%20Doe`, `Jane, Doe`

_NOT_IN_A_WORD = r"(?<![\w.])"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
JWT = re.compile(r"\beyj[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?")
USER_INFO = re.compile(r"(?<=://)[^/@\s\"'<>]+(?=@)")
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (Kind.EMAIL, re.compile(rf'"[^"@\n]{{1,64}}"@[\w.-]+|(?<![\w.!#$%*+~^-]){EMAIL.pattern}')),
    (Kind.NUMBER, re.compile(r"\b[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,4})?\b")),  # an IBAN
    (Kind.NUMBER, re.compile(rf"{_NOT_IN_A_WORD}\d(?:[ -]?\d){{12,18}}(?![\w.])")),  # of a card
    (Kind.IP, re.compile(rf"{_NOT_IN_A_WORD}(?<![a-z]/)(?:{_BYTE}\.){{3}}{_BYTE}(?![\w.]*\w)")),
    (Kind.IP, re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){2,7}(?::?[0-9a-f]{1,4}){1,7}(?![\w:])")),
    (Kind.PHONE, re.compile(rf"{_NOT_IN_A_WORD}(?:\+|00)\d[\d ()./-]{{6,18}}\d")),
    (Kind.PHONE, re.compile(r"\(?\b\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b|\b0\d{2,4}[ /-]\d{4,9}\b")),
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_LOOPBACK = ("127.", "0.0.0.0", "::1")  # noqa: S104 - nothing is bound
_SEPARATOR = re.compile(r"[^\w\s%]|_")
_DELIMITERS = "\"'`=“”«»"

_OF_ANY_PAGE = (
    "html head title body center hr h b i p pre div span br a ul li meta charset style script doctype lang href class id "
    "nginx apache cloudflare gateway server error page request not ok json http https utf text"
)
PROSE = frozenset(
    re.findall(r"[a-z]+", " ".join([_OF_ANY_PAGE, *(f"{status.phrase} {status.description}".lower() for status in HTTPStatus)]))
)
"""Words that pages of errors have anywhere."""


@dataclass(frozen=True, slots=True)
class _Sought:
    replacement: str
    weak: bool


class Sought:
    """Values to look for in texts, each with its replacement, as words: so it does not matter how they are spelled or joined.

    `count` is how many there are.
    """

    def __init__(self) -> None:
        self.count = 0
        # By the first word, by the number of words, by all words: thousands may begin alike, as request ids do.
        self._by_words: dict[str, dict[int, dict[tuple[str, ...], _Sought]]] = {}

    def add(self, value: str, replacement: str, *, weak: bool = False) -> None:
        """Look for a value from now on. A `weak` one is an ordinary word: only where it stands alone, or in quotes."""
        parts = words(value)
        if not parts or len(parts) > _LONGEST_SOUGHT:
            return
        known = self._by_words.setdefault(parts[0], {}).setdefault(len(parts), {})
        if parts not in known:
            known[parts] = _Sought(replacement, weak)
            self.count += 1

    def find(self, text: str, reading: Reading) -> Iterator[Place]:
        """Where they are."""
        found = reading.words()
        for at, word in enumerate(found):
            alike = self._by_words.get(word.folded, {})
            for length in sorted(alike, reverse=True):
                here = found[at : at + length]
                sought = alike[length].get(tuple(part.folded for part in here))
                if sought is None or any(second.start - first.end > _WIDEST_GAP for first, second in pairwise(here)):
                    continue
                start, end = here[0].start, here[-1].end
                if not sought.weak or _stands_alone(text, start, end):
                    yield start, end, fitting(sought.replacement, text[start:end])
                    break


def patterned(reading: Reading) -> Iterator[tuple[Kind, str, int, int]]:
    """What has the form of something personal: its kind, itself, folded, and its place."""
    taken: list[tuple[int, int]] = []
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(reading.folded):
            said = match[0].strip(" .-+*#" if kind is Kind.EMAIL else " .-")
            first = match.start() + match[0].index(said)
            last = first + len(said)
            if said and _is_plausible(kind, said) and all(last <= start or first >= end for start, end in taken):
                taken.append((first, last))
                yield kind, said, *reading.place(first, last)


def encoded(text: str) -> Iterator[tuple[str, int, int]]:
    """What stands there in base 64 and can be read, and its place."""
    for match in _BASE64.finditer(text):
        inner = _from_base64(match[0])
        if inner is not None:
            yield inner, *match.span()


def rewritten(text: str, places: Iterable[Place], between: Callable[[str], str] = str) -> str:
    """The text with what is to be written at these places (of two that overlap, the first), `between` applied to the rest."""
    written: list[str] = []
    at = 0
    for start, end, shown in _apart(places):
        written += (between(text[at:start]), shown)
        at = end
    return "".join([*written, between(text[at:])])


def fitting(shown: str, there: str) -> str:
    """A replacement in the spelling of what it replaces: encoded, or without spaces."""
    is_encoded = re.search(r"%[0-9A-Fa-f]{2}", there) is not None
    if " " in shown and not is_encoded and not re.search(r"\s|\+", there):
        separator = _SEPARATOR.search(there)
        shown = shown.replace(" ", separator[0] if separator else "-")
    return quote(shown, safe="*") if is_encoded else shown


def masked(text: str) -> str:
    """Prose without its own words: `x` for the letters of those that not any page has, zeros for long numbers."""

    def mask(match: re.Match[str]) -> str:
        word = match[0]
        if word.isdigit():
            return "0" * len(word) if len(word) > 4 else word
        return word if word.lower() in PROSE else "x" * len(word)

    return re.sub(r"[^\W\d_]+|\d+", mask, text)


def is_card(digits: str) -> bool:
    """Whether these may be the digits of a card: so many, and the last one is the check digit of the others."""
    if not 13 <= len(digits) <= 19 or not digits.isdigit():
        return False
    total = sum(int(digit) if place % 2 == 0 else sum(divmod(2 * int(digit), 10)) for place, digit in enumerate(reversed(digits)))
    return total % 10 == 0


def _apart(places: Iterable[Place]) -> list[Place]:
    """In order, without those that overlap one that came before them."""
    taken: list[Place] = []
    for start, end, shown in places:
        if all(end <= other_start or start >= other_end for other_start, other_end, _ in taken):
            taken.append((start, end, shown))
    return sorted(taken)


def _stands_alone(text: str, start: int, end: int) -> bool:
    before, after = text[:start][-1:], text[end : end + 1]
    return (not before or before in _DELIMITERS) and (not after or after in _DELIMITERS + "&")


def _is_plausible(kind: Kind, said: str) -> bool:
    if kind is Kind.IP:
        return not said.startswith(_LOOPBACK) and (":" not in said or _is_ipv6(said))
    if kind is Kind.NUMBER:
        return _is_iban(said) if said[0].isalpha() else is_card(re.sub(r"\D", "", said))
    return True


def _is_ipv6(said: str) -> bool:
    try:
        return IPv6Address(said) is not None
    except ValueError:
        return False  # a time of the day


def _is_iban(said: str) -> bool:
    compact = said.replace(" ", "")
    return compact.isascii() and int("".join(str(int(sign, 36)) for sign in compact[4:] + compact[:4])) % 97 == 1


def _from_base64(text: str) -> str | None:
    digits = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return decoded if decoded.isprintable() else None
