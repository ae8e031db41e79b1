"""What a provider lends to faults: its own way to say no, and the rare answers that are lawful for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from contract_tests.contract import Operation
from mock_server.call import Answer, Call
from mock_server.faults.fault import SurpriseName


class Repertoire(Protocol):
    """One provider's. `codes` are its words for errors with the status of each."""

    codes: Mapping[str, int]

    def error(self, call: Call, status: int, word: str | None) -> Answer:
        """An error under a status that the operation documents, or that a gateway may send."""
        ...

    def surprise(self, name: SurpriseName, operation: Operation, call: Call, body: Any) -> Any:
        """The body of a 2xx as a rare one; equal to the one given where the surprise has nothing to change."""
        ...
