"""What was asked of the mock and what it answered, for a while."""

from __future__ import annotations

from contract_tests.exchange import Response
from mock_server.call import Call


class Journal:
    """The latest exchanges of every session."""

    def note(self, call: Call, response: Response, seconds: float) -> None:
        """Keep an exchange; `seconds` is how long the answer took."""
