"""What the fuzzing process is told. It comes by its standard input, so credentials are on no command line and in no file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import IO, Any

from contract_tests.guard import Mode


@dataclass
class Brief:
    """All of it, as plain JSON.

    `base` is the target's scheme, host and prefix. `headers` are the main identity's, which the process adds itself when a
    request leaves: Schemathesis never learns them. `own` are ids that this run may write to, `keep` those of them that must stay
    open, `foreign` ids of others'. `unknown` is an id that nothing
    has; empty where no such id can be told from others. `writes` and `amount` are what the run has left of its caps. `verify` is
    where the certificates to trust are.
    """

    name: str
    document: dict[str, Any]
    merged: dict[str, Any]
    base: str
    mode: Mode
    timeout: float
    max_bytes: int
    writes: int
    amount: str
    run_id: str
    rate: float | None = None
    verify: bool | str = True
    unknown: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list, repr=False)
    more_headers: list[tuple[str, str]] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list, repr=False)
    own: list[str] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        """As it is sent."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, stream: IO[bytes]) -> Brief:
        """As it was sent."""
        return cls(**json.load(stream))
