"""A finding: one broken promise seen in an exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["published", "overlay", "semantic"]
"""`published` breaks the provider's own document, `overlay` what we added to it, `semantic` a rule of meaning."""


@dataclass(frozen=True)
class Finding:
    """One broken promise.

    `rule` is the check's id, `operation` an operationId (empty where no operation was reached), `pointer` a
    JSON pointer into the body, or `header NAME`, `query NAME`, `path NAME` for what is not in the body.
    """

    rule: str
    level: Level
    operation: str
    pointer: str
    problem: str
    expected: Any = None
    got: Any = None

    def __str__(self) -> str:
        place = f" at {self.pointer}" if self.pointer else ""
        return f"[{self.level}] {self.rule} {self.operation or 'no operation'}{place}: {self.problem}"
