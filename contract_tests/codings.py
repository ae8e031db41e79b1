"""Codings of bodies: which can be read here, and how what a message says it used is read."""

from __future__ import annotations

import zlib

_KNOWN = ("gzip", "x-gzip", "deflate", "identity")
_GZIP, _ZLIB, _BARE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_PIECE = 4096  # what is behind a member is copied: small pieces keep a body of many members from taking minutes


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


def begins_encoded(body: bytes) -> bool:
    """Whether a body begins as gzip's or zlib's data do; deflate may also be bare, which nothing gives away."""
    return body.startswith(b"\x1f\x8b") or _is_zlib(body)


def _is_zlib(body: bytes) -> bool:
    return body[:1] == b"\x78" and int.from_bytes(body[:2], "big") % 31 == 0


def _inflated(body: bytes, name: str, most: int) -> bytes:
    # What is called deflate should be in zlib's format, but some send it bare.
    bits = _GZIP if "gzip" in name else _ZLIB if _is_zlib(body) else _BARE
    pieces: list[bytes] = []
    room, position, view = most, 0, memoryview(body)
    try:
        while position < len(body):
            stream = zlib.decompressobj(bits)
            while not stream.eof:
                piece = view[position : position + _PIECE]
                if not piece:
                    raise Undecodable(f"the {name} data ends too early")
                position += len(piece)
                pieces.append(stream.decompress(piece, room + 1))
                room -= len(pieces[-1])
                if room < 0:
                    raise Undecodable(f"more than {most} bytes once it is decompressed")
            if bits != _GZIP:
                break
            position -= len(stream.unused_data)  # gzip data may consist of several members
    except zlib.error:
        raise Undecodable(f"not {name} data, which content-encoding says it is") from None
    return b"".join(pieces)
