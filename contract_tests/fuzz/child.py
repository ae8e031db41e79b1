"""The fuzzing process: `python -m contract_tests.fuzz.child ARGUMENTS`, with a brief on its standard input.

It runs Schemathesis's own command line with ARGUMENTS, our fence and our judge below it. JSON lines for the parent go to
what was its standard output; whatever the libraries print goes to standard error.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from decimal import Decimal
from typing import Any

PHASES = ("examples", "coverage", "fuzzing", "stateful")
CHECK = "walletproof"
"""The one check that Schemathesis is asked to run: it needs one, though the judging is done by then."""


def main(arguments: list[str]) -> int:
    """Run until Schemathesis is through, or the parent says stop."""
    channel = os.dup(1)
    os.dup2(2, 1)
    # Imported here: from now on nothing that is printed can get among the lines for the parent.
    from contract_tests.contract import Contract
    from contract_tests.fuzz.brief import Brief
    from contract_tests.fuzz.fence import Fence
    from contract_tests.fuzz.wire import Wire
    from contract_tests.fuzz.witness import Witness
    from contract_tests.guard import Guard

    brief = Brief.read(sys.stdin.buffer)
    contract = Contract(brief.name, brief.document, brief.merged)
    guard = Guard(brief.mode, max_writes=brief.writes, max_amount=Decimal(brief.amount))
    for name in brief.own:
        guard.own(name)
    fence = Fence(contract, guard, unknown=brief.unknown, run_id=brief.run_id, keep=brief.keep, foreign=brief.foreign)
    hidden = frozenset(name for name, _ in (*brief.headers, *brief.more_headers))
    witness = Witness(contract, channel, guard, secrets=tuple(brief.secrets), hidden=hidden)
    signal.signal(signal.SIGTERM, lambda *_: witness.stop())
    warnings.simplefilter("ignore")
    _register(witness)
    Wire(brief, contract, fence, witness).install()
    code = _schemathesis(arguments)
    witness.end(code)
    return code


def _register(witness: Any) -> None:
    """What Schemathesis calls: a check, a handler of its events, and a format that it does not know."""
    import schemathesis
    from hypothesis import strategies as st
    from schemathesis import cli
    from schemathesis.engine import events

    @schemathesis.check
    def walletproof(ctx: Any, response: Any, case: Any) -> None:
        """Everything has been judged on the wire."""

    # Left alone, Schemathesis sends any text for a format that is not registered.
    schemathesis.openapi.format("uuid4", st.uuids(version=4).map(str))

    @cli.handler()
    class Phases(cli.EventHandler):  # type: ignore[type-arg]
        """Tells the phases, and what went wrong that is not an answer."""

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def handle_event(self, ctx: Any, event: Any) -> None:
            if isinstance(event, events.PhaseStarted) and event.phase.name.value in PHASES and event.phase.is_enabled:
                witness.phase(event.phase.name.value)
            elif isinstance(event, events.NonFatalError):
                witness.note(f"{event.label}: {event.info.title}: {event.info.message}")
            elif isinstance(event, events.FatalError):
                witness.note(f"{type(event.exception).__name__}: {event.exception}")


def _schemathesis(arguments: list[str]) -> int:
    from schemathesis.cli import schemathesis

    try:
        schemathesis(args=arguments, prog_name="schemathesis", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
