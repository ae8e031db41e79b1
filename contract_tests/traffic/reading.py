"""Reads recordings: what was exchanged according to HAR files and files with an exchange in each line, as a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from contract_tests.source import InputError
from contract_tests.traffic import entries, har, lines
from contract_tests.traffic.opening import EXPECTED, CutError, Limits, opened, shown
from contract_tests.traffic.recorded import Recorded, Unusable
from contract_tests.traffic.wire import NotUsable, kind

__all__ = ["Limits", "read"]

_MOST_STRANGE = 20
"""So many lines at the beginning may hold nothing that is known, before the file is taken for something else."""

_NO_LIMITS = Limits()


def read(paths: Iterable[Path], *, limits: Limits = _NO_LIMITS) -> Iterator[Recorded | Unusable]:
    """What recordings hold, file by file, in the order in which it is written there.

    An entry that is broken, or does not say what a server answered, is an `Unusable`, and so is the rest of a file that
    cannot be read on. Raises `InputError` for a file that cannot be opened or is no recording.
    """
    for path in paths:
        yield from _File(path, limits).read()


class _File:
    """One recording. Without a time of its own an exchange has that of the one before."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._name = shown(path)
        self._limits = limits
        self._number = 0
        self._before = 0.0
        self._known = False  # whether any line was in a known form

    def read(self) -> Iterator[Recorded | Unusable]:
        pieces = opened(self._path, self._limits)
        try:
            first = next(pieces)
        except CutError as error:
            raise InputError(f"{self._name}: {error}") from None
        whole = chain([first], pieces)
        yield from self._har(whole) if entries.has_log(first, self._limits) else self._lines(whole, first)

    def _har(self, pieces: Iterator[bytes]) -> Iterator[Recorded | Unusable]:
        found_entries = entries.Entries(pieces, self._limits)
        try:
            for found in found_entries:
                self._number += 1
                if found.why:
                    yield self._unusable(NotUsable(found.why))
                    continue
                try:
                    value = _parsed(found.data, f"byte {found.at:,}", self._limits.entry)
                except NotUsable as error:
                    found_entries.broken()
                    yield self._unusable(error)
                else:
                    yield self._exchange(value, har.recorded)
        except entries.NoEntriesError as error:
            raise InputError(f"{self._name}: looks like a HAR file, but {error}") from None

    def _lines(self, pieces: Iterator[bytes], first: bytes) -> Iterator[Recorded | Unusable]:
        strange: list[Recorded | Unusable] = []
        for found in self._each_line(pieces):
            if self._known:
                yield from strange
                strange = []
                yield found
            else:
                strange.append(found)
                if len(strange) == _MOST_STRANGE:
                    break
        if not self._known:
            raise InputError(f"{self._name}: {_what(first)}; {EXPECTED}")
        yield from strange

    def _each_line(self, pieces: Iterator[bytes]) -> Iterator[Recorded | Unusable]:
        try:
            for number, line in enumerate(_split(pieces, self._limits.entry), 1):
                if line.strip():
                    yield from self._line(line, f"line {number:,}")
        except CutError as error:
            yield Unusable(self._name, 0, "unreadable", f"the rest of it cannot be read: {error}")

    def _line(self, line: bytes, where: str) -> Iterator[Recorded | Unusable]:
        try:
            values = list(lines.exchanges(_parsed(line, where, self._limits.entry)))
            self._known = self._known or not values
        except NotUsable as error:
            self._number += 1
            yield self._unusable(error)
            return
        for value in values:
            self._number += 1
            found = self._exchange(value, lines.recorded)
            self._known = self._known or isinstance(found, Recorded) or not found.why.startswith(lines.NO_EXCHANGE)
            yield found

    def _exchange(
        self, value: dict[str, Any], recorded: Callable[[dict[str, Any], str, int, float, int], Recorded]
    ) -> Recorded | Unusable:
        try:
            found = recorded(value, self._name, self._number, self._before, self._limits.entry)
        except NotUsable as error:
            return self._unusable(error)
        self._before = found.started
        return found

    def _unusable(self, error: NotUsable) -> Unusable:
        return Unusable(self._name, self._number, error.reason, error.why)


def _parsed(data: bytes, where: str, most: int) -> dict[str, Any]:
    """The JSON object of an entry. `where` says where in the file it is."""
    if len(data) > most:
        raise NotUsable(f"is larger than {most / (1 << 20):,.0f} MiB ({where})")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        value = _parsed_leniently(data, where, error)
    if not isinstance(value, dict):
        raise NotUsable(f"is {kind(value)}, expected an object")
    return value


def _parsed_leniently(data: bytes, where: str, error: orjson.JSONDecodeError) -> Any:
    """Halves of surrogate pairs and huge numbers are no reason to give an entry up: recorders write them."""
    try:
        return json.loads(data, parse_constant=_no_constant)
    except UnicodeDecodeError as problem:
        raise NotUsable(f"is not UTF-8 ({where}, after {problem.start:,} bytes of it)") from None
    except RecursionError:
        raise NotUsable(f"is nested too deep ({where})") from None
    except ValueError:
        raise NotUsable(f"is not valid JSON ({where}, after {error.pos:,} characters of it: {error.msg})") from None


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _split(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    """The lines; of one that is longer than `most` only so much that this shows."""
    rest: list[bytes] = []
    size = 0
    for piece in pieces:
        *ended, last = piece.split(b"\n")
        for line in ended:
            yield b"".join([*rest, line]) if rest else line
            rest, size = [], 0
        if last and size <= most:
            rest.append(last)
            size += len(last)
    if rest:
        yield b"".join(rest)


def _what(first: bytes) -> str:
    """What a file seems to be that is no recording, by how it begins."""
    sign = first.lstrip()[:1]
    if sign == b"[":
        return "begins with a JSON list"
    if sign != b"{":
        return "is not JSON"
    try:
        value = orjson.loads(first)
    except orjson.JSONDecodeError:
        return "begins like JSON, but neither is it whole nor is its first line"
    return f"is a JSON object with {lines.names(value)}"
