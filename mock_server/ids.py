"""Identifiers that look random and are not: each is a pure function of the seed and what it names.

A ULID is 48 bits of time and 80 of randomness in 26 characters of Crockford's base 32; here the randomness is a keyed
hash, so the same seed gives the same ids on every machine.
"""

from __future__ import annotations

import hashlib
import re
import uuid

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_RANDOM_BITS = 80

ULID = re.compile(f"[0-7][{_ALPHABET}]{{25}}")


class Seed:
    """The seed of a server: everything that looks random is drawn from it by name."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._key = number.to_bytes(16, "big", signed=True)

    def bits(self, count: int, *name: str | int) -> int:
        """`count` bits (a multiple of 8, at most 512) that depend on the seed and the name only."""
        text = "\x1f".join(map(str, name)).encode()
        return int.from_bytes(hashlib.blake2b(text, key=self._key, digest_size=count // 8).digest(), "big")

    def ulid(self, milliseconds: int, *name: str | int) -> str:
        """A bare ULID of the given time (milliseconds since 1970)."""
        return encode_ulid(milliseconds << _RANDOM_BITS | self.bits(_RANDOM_BITS, *name))

    def id(self, prefix: str, milliseconds: int, *name: str | int) -> str:
        """`<prefix>_<ULID>`. The prefix takes part in the draw: two kinds never share a ULID."""
        return f"{prefix}_{self.ulid(milliseconds, prefix, *name)}"

    def uuid4(self, *name: str | int) -> str:
        """A version 4 UUID in canonical form."""
        return str(uuid.UUID(int=self.bits(128, "uuid4", *name), version=4))


class Ulids:
    """ULIDs in great number: a random beginning by name, then a count that the caller keeps."""

    def __init__(self, seed: Seed, *name: str | int) -> None:
        self._head = encode_ulid(seed.bits(40, *name) << 40)[10:18]
        self._milliseconds = -1
        self._time = ""

    def at(self, milliseconds: int, count: int) -> str:
        """The one of a time and a count."""
        if milliseconds != self._milliseconds:
            self._milliseconds = milliseconds
            self._time = encode_ulid(milliseconds << _RANDOM_BITS)[:10]
        return (
            f"{self._time}{self._head}"
            f"{_PAIRS[count >> 30 & 1023]}{_PAIRS[count >> 20 & 1023]}{_PAIRS[count >> 10 & 1023]}{_PAIRS[count & 1023]}"
        )


def encode_ulid(value: int) -> str:
    """The 26 characters of a 128-bit number (two bits of padding on top)."""
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])


def ulid_milliseconds(ulid: str) -> int | None:
    """The time in a ULID, or None if the text is not one."""
    if not ULID.fullmatch(ulid):
        return None
    value = 0
    for character in ulid[:10]:
        value = value << 5 | _VALUES[character]
    return value
