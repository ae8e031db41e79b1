"""Opens a recording as UTF-8 in pieces, whatever it is packed or encoded as, and tells what a file is that is none."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from contract_tests.source import InputError

_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31  # of zlib: 15 bits, and gzip's header
_UTF8 = codecs.BOM_UTF8
# UTF-32 before UTF-16, whose mark its own begins with.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MITMPROXY = re.compile(rb"\d+:\d+:\w+[;,]")
_OTHERS = (
    (b"PK\x03\x04", "a ZIP archive: unpack it"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it"),
    (b"BZh", "packed with bzip2: unpack it"),
    (b"\xfd7zXZ\x00", "packed with xz: unpack it"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"\xd4\xc3\xb2\xa1", "a packet capture (pcap): record with a proxy or a browser instead"),
    (b"\xa1\xb2\xc3\xd4", "a packet capture (pcap): record with a proxy or a browser instead"),
    (b"\x0a\x0d\x0d\x0a", "a packet capture (pcapng): record with a proxy or a browser instead"),
    (b"SQLite format 3", "a SQLite database"),
    (b"command:", "a VCR cassette in YAML: have Schemathesis write `--report har`"),
    (b"interactions:", "a VCR cassette in YAML: record HAR instead"),
    (b"version:", "YAML: record HAR instead"),
    (b"---", "YAML: record HAR instead"),
    (b"<", "HTML or XML"),
)
EXPECTED = "expected a HAR file, or one exchange as JSON in each line"


@dataclass(frozen=True)
class Limits:
    """What is too much of a recording. Sizes are in bytes.

    `entry` is the largest entry or line, `unpacked` the largest recording after it was unpacked, `ratio` how many times
    its packed size that may be, `nesting` how deep the JSON of an entry may go.
    """

    entry: int = 64 << 20
    unpacked: int = 16 << 30
    ratio: int = 500
    nesting: int = 200


class CutError(Exception):
    """The rest of a recording cannot be read; the text says why."""


def opened(path: Path, limits: Limits) -> Iterator[bytes]:
    """The recording as UTF-8 in pieces, without a byte order mark.

    Raises `InputError` if it cannot be opened or is something else by its first bytes, `CutError` in the midst of it.
    """
    try:
        with path.open("rb") as file:
            yield from _utf8(_unpacked(file, path, limits), path)
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read: {error.strerror or error}") from None


def shown(path: Path) -> str:
    """A path as text that can be printed and stored, whatever bytes it is made of."""
    return str(path).encode("utf-8", "replace").decode()


def _unpacked(file: BinaryIO, path: Path, limits: Limits) -> Iterator[bytes]:
    first = file.read(_PIECE)
    if not first.startswith(_GZIP):
        while first:
            yield first
            first = file.read(_PIECE)
        return
    size = 0
    for piece in _gunzipped(first, file):
        if not size and piece.startswith(_GZIP):
            raise InputError(f"{shown(path)}: is packed with gzip twice: unpack it once")
        size += len(piece)
        if size > limits.unpacked:
            raise CutError(f"it unpacks to more than {limits.unpacked >> 20:,} MiB")
        if size > 16 * _PIECE and size > limits.ratio * file.tell():
            raise CutError(f"it unpacks to more than {limits.ratio} times its size, as no recording does")
        yield piece


def _gunzipped(data: bytes, file: BinaryIO) -> Iterator[bytes]:
    """What is packed in one or more members; of a damaged one all up to the damage, which `gzip` would keep for itself."""
    unpacking = zlib.decompressobj(_GZIP_WINDOW)
    try:
        while data:
            if piece := unpacking.decompress(data, _PIECE):
                yield piece
            data = unpacking.unconsumed_tail
            if unpacking.eof:
                data = unpacking.unused_data.lstrip(b"\0")  # tape drives fill up with zeros
                unpacking = zlib.decompressobj(_GZIP_WINDOW) if data else unpacking
            data = data or file.read(1 << 16)
    except zlib.error:
        raise CutError("its gzip data is damaged") from None
    if not unpacking.eof:
        raise CutError("its gzip data is cut off")


def _utf8(pieces: Iterator[bytes], path: Path) -> Iterator[bytes]:
    first = next(pieces, b"")
    if not first.strip(b" \t\r\n\xef\xbb\xbf"):
        raise InputError(f"{shown(path)}: is empty; {EXPECTED}")
    for mark, encoding in _MARKS:
        if first.startswith(mark):
            yield from _decoded(first[len(mark) :], pieces, encoding)
            return
    for name, start in (("utf-16-le", b"{\0"), ("utf-16-be", b"\0{")):
        if first.startswith(start):
            yield from _decoded(first, pieces, name)
            return
    first = first.removeprefix(_UTF8)
    for start, what in _OTHERS:
        if first.lstrip().startswith(start) or first.startswith(start):
            raise InputError(f"{shown(path)}: is {what}; {EXPECTED}")
    if _MITMPROXY.match(first):
        raise InputError(
            f"{shown(path)}: is a file of mitmproxy's flows; make a HAR of it: mitmdump -nr FILE --set hardump=FILE.har"
        )
    yield first
    yield from pieces


def _decoded(first: bytes, pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(first).encode("utf-8", "replace")
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "replace")
