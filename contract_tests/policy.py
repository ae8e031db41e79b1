"""A policy: what makes a build fail. A TOML file, every part of it optional.

level = "semantic"            # published | overlay | semantic: what counts
flaky = "fail"                # or "report": findings that were not seen again
stale = "report"              # or "fail": accepted findings that were not seen
expired = "fail"              # or "report": accepted findings whose day has passed

[floor]                       # less evidence than this is inconclusive
operations = 1.0              # share of the operations that the mode may call and that answered with a 2xx
rules = 0.5                   # share of the rules whose needs are met that were judged
statuses = ["200", "401"]     # each must have been seen

[[accept]]
rule = "money.top-up-adds"    # required
operation = "topUpWallet"     # optional, as is pointer
reason = "WALLET-123, fixed in the next release"
until = 2026-12-31            # the last day on which it is accepted
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from contract_tests.finding import Level
from contract_tests.results import Cause
from contract_tests.source import InputError

Action = Literal["fail", "report"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True)
class Accepted:
    """A finding that is known and accepted for a while. `used`: it was seen in this run."""

    rule: str
    reason: str
    until: date | None = None
    operation: str = ""
    pointer: str = ""

    def covers(self, cause: Cause) -> bool:
        """Whether a cause is the one accepted here."""
        return (
            cause.rule == self.rule
            and self.operation in ("", cause.operation)
            and self.pointer in ("", cause.pointer, cause.fingerprint.rpartition(" ")[2])
        )

    def __str__(self) -> str:
        return " ".join(part for part in (self.rule, self.operation, self.pointer) if part)


@dataclass(frozen=True)
class Floor:
    """The least evidence: shares from 0 to 1, and statuses that must have been seen."""

    operations: float = 1.0
    rules: float = 0.5
    statuses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """What fails a build."""

    level: Level = "semantic"
    flaky: Action = "fail"
    stale: Action = "report"
    expired: Action = "fail"
    floor: Floor = field(default_factory=Floor)
    accept: tuple[Accepted, ...] = ()

    def counts(self, level: Level) -> bool:
        """Whether findings of a level count: those of `published` always, `semantic` ones only at the widest."""
        return LEVELS.index(level) <= LEVELS.index(self.level)


def read_policy(path: Path, floor: Floor = Floor()) -> Policy:
    """A policy from its file; InputError with the place of whatever is wrong. `floor` is what holds where it says nothing."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None
    return _Reader(path, floor).policy(data)


class _Reader:
    """Reads the parts and says where it found what it did not expect."""

    def __init__(self, path: Path, floor: Floor) -> None:
        self._path = path
        self._default = floor

    def policy(self, data: dict[str, Any]) -> Policy:
        self._known("", data, {"level", "flaky", "stale", "expired", "floor", "accept"})
        accepted = data.get("accept", [])
        if not isinstance(accepted, list) or not all(isinstance(entry, dict) for entry in accepted):
            raise self._error("accept", "expected [[accept]] tables", accepted)
        return Policy(
            level=self._choice("level", data, LEVELS, "semantic"),
            flaky=self._choice("flaky", data, get_args(Action), "fail"),
            stale=self._choice("stale", data, get_args(Action), "report"),
            expired=self._choice("expired", data, get_args(Action), "fail"),
            floor=self._floor(data.get("floor", {})),
            accept=tuple(self._accepted(f"accept[{number}]", entry) for number, entry in enumerate(accepted)),
        )

    def _floor(self, data: Any) -> Floor:
        if not isinstance(data, dict):
            raise self._error("floor", "expected a [floor] table", data)
        self._known("floor.", data, {"operations", "rules", "statuses"})
        shares = {}
        for name in ("operations", "rules"):
            share = data.get(name, getattr(self._default, name))
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise self._error(f"floor.{name}", "expected a share from 0 to 1", share)
            shares[name] = float(share)
        statuses = data.get("statuses", [])
        if not isinstance(statuses, list) or not all(re.fullmatch("[1-5][0-9][0-9]", str(status)) for status in statuses):
            raise self._error("floor.statuses", 'expected a list such as ["200", "401"]', statuses)
        return Floor(shares["operations"], shares["rules"], tuple(str(status) for status in statuses))

    def _accepted(self, place: str, data: dict[str, Any]) -> Accepted:
        self._known(f"{place}.", data, {"rule", "operation", "pointer", "reason", "until"})
        for name in ("rule", "reason"):
            if not isinstance(data.get(name), str) or not data[name].strip():
                raise self._error(f"{place}.{name}", "expected a text that is not empty", data.get(name))
        for name in ("operation", "pointer"):
            if not isinstance(data.get(name, ""), str):
                raise self._error(f"{place}.{name}", "expected a text", data[name])
        until = data.get("until")
        if isinstance(until, datetime):
            until = until.date()
        if isinstance(until, str):
            try:
                until = date.fromisoformat(until)
            except ValueError:
                raise self._error(f"{place}.until", "expected a day such as 2026-12-31", until) from None
        if until is not None and not isinstance(until, date):
            raise self._error(f"{place}.until", "expected a day such as 2026-12-31", until)
        return Accepted(data["rule"], data["reason"], until, data.get("operation", ""), data.get("pointer", ""))

    def _choice(self, name: str, data: dict[str, Any], choices: tuple[Any, ...], default: str) -> Any:
        value = data.get(name, default)
        if value not in choices:
            raise self._error(name, f"expected one of {', '.join(choices)}", value)
        return value

    def _known(self, prefix: str, data: dict[str, Any], names: set[str]) -> None:
        for name in data:
            if name not in names:
                raise InputError(f"{self._path}: {prefix}{name}: unknown; there are {', '.join(sorted(names))}")

    def _error(self, place: str, expected: str, got: Any) -> InputError:
        return InputError(f"{self._path}: {place}: {expected}, got {got!r}")
