"""Codings of bodies: what the service may use, and how what it used is read."""

from __future__ import annotations

import zlib

_KNOWN = ("gzip", "x-gzip", "deflate", "identity")
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Undecodable(Exception):
    """A body that cannot be read; says why."""


def acceptable(accepted: bytes) -> bytes:
    """An Accept-Encoding without what we could not read: the service should choose something that can be judged."""
    wishes = [wish.strip() for wish in accepted.split(b",")]
    kept = [wish for wish in wishes if wish.partition(b";")[0].strip().lower().decode("latin-1") in _KNOWN]
    return b", ".join(kept) or b"identity"


def decoded(body: bytes, coding: str, most: int) -> bytes:
    """A body without its Content-Encoding; Undecodable if it is unknown, broken, or larger than `most` bytes."""
    for name in reversed([part.strip().lower() for part in coding.split(",") if part.strip()]):
        if name not in _KNOWN:
            raise Undecodable(f"content-encoding {name[:40]} is not known here")
        if name != "identity":
            body = _inflated(body, name, most)
    return body


def _inflated(body: bytes, name: str, most: int) -> bytes:
    # What is called deflate should be in zlib's format, but some send it bare: those begin otherwise.
    bits = _GZIP if "gzip" in name else _ZLIB if body[:1] and body[0] & 0x0F == 8 else _RAW
    pieces: list[bytes] = []
    room = most
    try:
        while body:
            stream = zlib.decompressobj(bits)
            pieces.append(stream.decompress(body, room + 1))
            room -= len(pieces[-1])
            if room < 0:
                raise Undecodable(f"more than {most} bytes once it is decompressed")
            if not stream.eof:
                raise Undecodable(f"the {name} data ends too early")
            body = stream.unused_data if bits == _GZIP else b""  # gzip data may consist of several members
    except zlib.error:
        raise Undecodable(f"not {name} data, which content-encoding says it is") from None
    return b"".join(pieces)
