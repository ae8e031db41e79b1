"""Finds the entries of a HAR file one by one, without reading it into memory and without believing that it is whole.

Only brackets, strings and commas are looked at; what stands in an entry is for others to read. So a broken entry ends
where the next one begins, and costs no other entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from contract_tests.traffic.opening import CutError, Limits

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SCALAR = rb"[0-9+\-.eE]++|true|false|null"
_SPACE = rb"[ \t\r\n]*+"


def _nested(depth: int) -> bytes:
    """Anything in brackets, up to a depth; which bracket closes which is not looked at."""
    pattern = rb"(?!)"
    for _ in range(depth):
        pattern = rb"[{\[](?:[\s,:0-9+\-.eEtrufalsn]++|" + _STRING + rb"|" + pattern + rb")*+[}\]]"
    return pattern


# The usual entry in one go: members only, none of them deeper than entries usually are.
_ENTRY = re.compile(
    rb"\{"
    + _SPACE
    + rb"(?:"
    + _STRING
    + _SPACE
    + rb":"
    + _SPACE
    + rb"(?:"
    + rb"|".join((_STRING, _SCALAR, _nested(12)))
    + rb")"
    + _SPACE
    + rb",?+"
    + _SPACE
    + rb")*+\}",
    re.DOTALL,
)
_BETWEEN = re.compile(rb"(?:[\s,:0-9+\-.eEtrufalsn]++|" + _STRING + rb")*+", re.DOTALL)
_BLANK = re.compile(_SPACE)
_WORD = re.compile(rb"[^\s,\[\]{}\"]*+")
_MEMBER = re.compile(_SPACE + rb"(" + _STRING + rb")" + _SPACE + rb":" + _SPACE, re.DOTALL)
# Where the next entry may begin, after one without an end: its first member, as recorders write it.
_NEXT = re.compile(
    rb'[,\[]\s*+(\{\s*+"(?:startedDateTime|pageref|_\w++|request|response|time|connection|serverIPAddress|cache)"\s*+:)'
)
_LIST = re.compile(rb'"entries"\s*+:\s*+(\[)')
_MOST_TRIED = 128 << 20
"""So many bytes may be looked at in vain for the ends of entries, before the rest of a recording is given up."""
_LEVEL = 64  # an open bracket takes as long as so many bytes of text


@dataclass(frozen=True)
class Slice:
    """The bytes of one entry, and where they begin; or, with `why`, what is wrong with where it should be."""

    data: bytes
    at: int
    why: str = ""


class NoEntriesError(Exception):
    """The file is no HAR; the text says what is missing."""


class _Broken(Exception):
    """Here is something that JSON has no place for."""


class Window:
    """A piece of the file that moves on: bytes before `position` are forgotten when more are read."""

    def __init__(self, pieces: Iterator[bytes], most: int) -> None:
        self._pieces = pieces
        self._most = most
        self.data = b""
        self.position = 0
        self.start = 0
        self.cut = ""  # why nothing comes any more, if that is no good end

    @property
    def at(self) -> int:
        """Where in the file `position` is."""
        return self.start + self.position

    def more(self) -> bool:
        """Read on, as much again as there is, so that what is looked at again is in proportion."""
        kept = self.data[self.position :]
        self.start += self.position
        self.position = 0
        found, size = [kept], 0
        try:
            while size <= len(kept) and (piece := next(self._pieces, b"")):
                found.append(piece)
                size += len(piece)
        except CutError as error:
            self.cut = str(error)
            self._pieces = iter(())
        self.data = b"".join(found)
        return size > 0

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """What is at `position`, whole."""
        while True:
            match = pattern.match(self.data, self.position)
            if (match and match.end() < len(self.data)) or not self.may_grow() or not self.more():
                return match

    def may_grow(self) -> bool:
        """Whether what is looked at is no larger than an entry may be."""
        return len(self.data) - self.position <= self._most

    def search(self, pattern: re.Pattern[bytes]) -> bool:
        """Go to what a pattern has in its first group; to the end if there is none."""
        while True:
            if match := pattern.search(self.data, self.position):
                self.position = match.start(1)
                return True
            # What is looked for may be cut in two by the edge of what was read.
            self.position = max(self.position, len(self.data) - 100)
            if not self.more():
                self.position = len(self.data)
                return False

    def next(self) -> bytes:
        """The next byte that is no space; empty at the end."""
        while True:
            match = _BLANK.match(self.data, self.position)
            assert match
            self.position = match.end()
            if self.position < len(self.data):
                return self.data[self.position : self.position + 1]
            if not self.more():
                return b""


class Entries:
    """The entries of `log.entries`, in order. Looking at the first raises `NoEntriesError` if there is no such list."""

    def __init__(self, pieces: Iterator[bytes], limits: Limits) -> None:
        self._window = Window(pieces, limits.entry)
        self._limits = limits
        self._finder = _Finder(self._window, limits)
        self._last = 0

    def __iter__(self) -> Iterator[Slice]:
        window, finder = self._window, self._finder
        _enter(window, self._limits)
        while True:
            sign = window.next()
            if sign == b",":
                window.position += 1
            elif sign == b"]":
                if finder.at_end():
                    return
            elif sign == b"{":
                self._last = window.at
                yield finder.entry()
            elif not sign:
                yield Slice(b"", window.at, f"the file ends before this entry, at byte {window.at:,}" + _because(window))
                return
            else:
                yield finder.stranger()
            if finder.ended:
                return
            if finder.tried > _MOST_TRIED:
                yield Slice(b"", window.at, f"too much is broken: given up at byte {window.at:,}")
                return

    def broken(self) -> None:
        """Say that the last one, which had its brackets, is no JSON: what follows it may have been taken for a part of it."""
        self._finder.reconsider(self._last)


def has_log(data: bytes, limits: Limits) -> bool:
    """Whether a file that begins like this is a HAR, well or badly made: its first value has a member `log`."""
    window = Window(iter([data]), limits.entry)
    if window.next() != b"{":
        return False
    try:
        return _member(window, b'"log"', limits)
    except _Broken:
        return False


def _enter(window: Window, limits: Limits) -> None:
    try:
        if window.next() != b"{" or not _member(window, b'"log"', limits):
            raise NoEntriesError("it has no `log`")
        if window.next() != b"{":
            raise NoEntriesError("its `log` is no object")
        if not _member(window, b'"entries"', limits):
            raise NoEntriesError("its `log` has no `entries`")
    except _Broken:
        at = window.at
        if not window.search(_LIST):
            raise NoEntriesError(f"its JSON is broken or cut off at byte {at:,}, before its `log.entries`") from None
    if window.next() != b"[":
        raise NoEntriesError("its `log.entries` is no list")
    window.position += 1


def _member(window: Window, name: bytes, limits: Limits) -> bool:
    """Go to the value of a member of the object that begins here; false if it has none of that name."""
    window.position += 1
    while True:
        sign = window.next()
        if sign == b"}":
            return False
        if sign == b",":
            window.position += 1
            continue
        match = window.match(_MEMBER)
        if not match:
            raise _Broken
        window.position += match.end() - match.start()
        if match[1] == name:
            return True
        _skip(window, limits)


def _skip(window: Window, limits: Limits) -> None:
    """Go past a value."""
    sign = window.next()
    if sign in (b"{", b"["):
        end = _End(limits.nesting)
        while not end.found(window.data, window.position):
            window.position = end.position
            end.position = 0
            if not window.may_grow() or not window.more():
                raise _Broken
        window.position = end.position
        return
    match = window.match(re.compile(_STRING, re.DOTALL) if sign == b'"' else _WORD)
    if not match or match.end() == match.start():
        raise _Broken
    window.position += match.end() - match.start()


class _End:
    """Looks for the end of a value step by step, any depth, and goes on when there is more of it."""

    def __init__(self, nesting: int) -> None:
        self._nesting = nesting
        self._open = bytearray()
        self.position = 0
        self.too_deep = False

    @property
    def depth(self) -> int:
        """How many brackets are open."""
        return len(self._open)

    def found(self, data: bytes, start: int) -> bool:
        """Whether the value ends in `data`, at `position`; if not, to be asked again with more of it behind."""
        position = max(self.position, start)
        while True:
            match = _BETWEEN.match(data, position)
            assert match
            end = match.end()
            if end == len(data) or data[end] == ord('"'):
                self.position = position
                return False
            sign = data[end]
            if sign in b"{[":
                # Where a member's name should be, there begins the next entry: the end of this one is missing.
                if self._open and self._open[-1] == ord("{") and not match[0].rstrip().endswith(b":"):
                    self.position = end
                    raise _Broken
                self._open.append(sign)
                if len(self._open) > self._nesting:
                    self.position, self.too_deep = end, True
                    raise _Broken
            elif sign in b"}]" and self._open and self._open[-1] == sign - 2:
                self._open.pop()
            else:
                self.position = end
                raise _Broken
            position = end + 1
            if not self._open:
                self.position = position
                return True


class _Finder:
    """Takes one entry after the other from a window."""

    def __init__(self, window: Window, limits: Limits) -> None:
        self._window = window
        self._limits = limits
        self.tried = 0
        self.ended = False
        self._astray = False  # whether something was broken, so that brackets may not be what they seem

    def entry(self) -> Slice:
        """The entry that begins here."""
        window = self._window
        match = _ENTRY.match(window.data, window.position)
        if match:
            at, window.position = window.at, match.end()
            if len(match[0]) > self._limits.entry:
                return self._too_large(at)
            return Slice(match[0], at)
        return self._long_way()

    def reconsider(self, at: int) -> None:
        """Go back to where another entry seems to begin in the one that began there."""
        window = self._window
        start = at - window.start
        if 0 <= start < window.position and (match := _NEXT.search(window.data, start + 1, window.position)):
            self.tried += window.position - start
            window.position = match.start(1)
            self._astray = True

    def at_end(self) -> bool:
        """Whether the list ends here. After something broken any bracket may seem to be its end: then only the file has one."""
        window = self._window
        window.position += 1
        if not self._astray:
            if window.next() == b",":
                window.position += 1
            if window.next() in (b'"', b"}", b""):
                return True
        return not window.search(_NEXT)

    def stranger(self) -> Slice:
        """Something that is no entry: a number, a text, a list, or nothing that JSON knows."""
        window, at = self._window, self._window.at
        what = {b"[": "a list", b'"': "text"}.get(window.next(), "a number, true, false or null")
        try:
            _skip(window, self._limits)
        except _Broken:
            return self._to_next(at, f"is broken JSON at byte {window.at:,}")
        if window.next() not in (b",", b"]"):
            return self._to_next(at, f"is broken JSON at byte {window.at:,}")
        return Slice(b"", at, f"is {what}, expected an object")

    def _long_way(self) -> Slice:
        """For what is deep, large, broken, or at the edge of what was read."""
        window, at = self._window, self._window.at
        end = _End(self._limits.nesting)
        try:
            while not end.found(window.data, window.position):
                if not window.may_grow():
                    return self._past(end, at)
                end.position -= window.position  # `more` moves what is left to the front
                if not window.more():
                    return self._unended(at)
        except _Broken:
            self.tried += end.position - window.position + _LEVEL * end.depth
            if end.too_deep:
                return self._to_next(at, f"is nested deeper than {self._limits.nesting}")
            return self._to_next(at, f"is broken JSON at byte {window.start + end.position:,}")
        data = window.data[window.position : end.position]
        window.position = end.position
        return self._too_large(at) if len(data) > self._limits.entry else Slice(data, at)

    def _past(self, end: _End, at: int) -> Slice:
        """Go to the end of an entry that is too large to be kept."""
        window = self._window
        try:
            while not end.found(window.data, window.position):
                window.position = end.position
                end.position = 0
                if not window.may_grow():  # one text, longer than an entry may be
                    return self._to_next(at, self._too_large(at).why)
                if not window.more():
                    return self._unended(at)
        except _Broken:
            return self._to_next(at, f"is broken JSON at byte {window.start + end.position:,}")
        window.position = end.position
        return self._too_large(at)

    def _too_large(self, at: int) -> Slice:
        return Slice(b"", at, f"is larger than {self._limits.entry / (1 << 20):,.0f} MiB")

    def _unended(self, at: int) -> Slice:
        """The file ends in this entry, or its end is missing and all that follows was taken for a part of it."""
        window = self._window
        end = window.start + len(window.data)
        self.tried += end - at
        return self._to_next(at, f"is cut off: the file ends in it, at byte {end:,}" + _because(window))

    def _to_next(self, at: int, why: str) -> Slice:
        """Go on where another entry seems to begin; to the end of the file if none does."""
        window = self._window
        window.position = min(window.position + 1, len(window.data))
        self.ended = not window.search(_NEXT)
        self._astray = True
        return Slice(b"", at, why)


def _because(window: Window) -> str:
    return f": {window.cut}" if window.cut else ""
