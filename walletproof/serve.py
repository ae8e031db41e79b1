"""`walletproof serve`: the mock."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from datetime import timedelta
from pathlib import Path


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    serve = commands.add_parser(
        "serve",
        help="serve the mock",
        description="Serve mock wallets from the providers' contracts.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    serve.set_defaults(run=_run)
    none = argparse.SUPPRESS
    serve.add_argument(
        "--provider", action="append", metavar="NAME", default=none, help="serve only this provider; repeatable (default: all)"
    )
    serve.add_argument(
        "--spec", type=Path, metavar="FILE", default=none, help="use this OpenAPI document instead of the provider's"
    )
    serve.add_argument("--overlay", type=Path, metavar="FILE", default=none, help="use this overlay instead of the provider's")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on; other than loopback is seen by others")
    serve.add_argument("--port", type=int, default=8080, help="0 = any free port")
    serve.add_argument("--seed", type=int, default=1, help="same seed, same wallets")
    serve.add_argument(
        "--fixtures",
        action="append",
        type=Path,
        metavar="FILE",
        default=none,
        help="use your own personas; one file per provider",
    )
    serve.add_argument("--population", type=int, default=1000, metavar="N", help="this many more wallets besides the personas")
    serve.add_argument(
        "--api-key", action="append", metavar="KEY", default=none, help="take only this Flexprice key; repeatable (default: any)"
    )
    serve.add_argument(
        "--defect",
        action="append",
        metavar="NAME",
        default=none,
        help="break the contract in this way, in all sessions; repeatable (GET /_mock/defects lists them)",
    )
    serve.add_argument(
        "--clock", default="real", metavar="CLOCK", help="time of all sessions: real, frozen:2026-11-21T09:00:00Z, or offset:7d"
    )
    serve.add_argument("--max-sessions", type=int, metavar="N", default=10_000, help="changed sessions that are kept at most")
    serve.add_argument("--max-events", type=int, metavar="N", default=100_000, help="changes that a session may have")
    serve.add_argument("--session-idle", metavar="TIME", default="1h", help="how long an unused session is kept")
    serve.add_argument(
        "--control-token",
        metavar="TOKEN",
        default=none,
        help="what /_mock asks for; needed there once --host is not loopback (or set WALLETPROOF_CONTROL_TOKEN)",
    )


def _run(options: argparse.Namespace) -> int:
    # Starting makes a lot of objects that live as long as the process; collecting among them costs a tenth of the time.
    gc.disable()
    from contract_tests.source import InputError
    from mock_server.assembly import PROVIDERS, Settings, assemble
    from mock_server.clock import parse_clock
    from mock_server.serving import bind, serve
    from walletproof.banner import banner, is_loopback
    from walletproof.units import at_least_one, seconds

    try:
        clock = parse_clock(options.clock)
    except ValueError as error:
        raise InputError(f"--clock: {error}") from None
    bound = bind(options.host, options.port)
    with bound:
        host, port = bound.getsockname()[:2]
        settings = Settings(
            providers=tuple(dict.fromkeys(getattr(options, "provider", PROVIDERS))),
            spec=getattr(options, "spec", None),
            overlay=getattr(options, "overlay", None),
            fixtures=tuple(getattr(options, "fixtures", ())),
            seed=options.seed,
            population=options.population,
            api_keys=tuple(getattr(options, "api_key", ())),
            control_token=getattr(options, "control_token", None) or os.environ.get("WALLETPROOF_CONTROL_TOKEN"),
            exposed=not is_loopback(host),
            defects=tuple(dict.fromkeys(getattr(options, "defect", ()))),
            clock=clock,
            max_sessions=at_least_one("--max-sessions", options.max_sessions),
            max_events=at_least_one("--max-events", options.max_events),
            session_idle=timedelta(seconds=seconds("--session-idle", options.session_idle)),
        )
        mock = assemble(settings)

        def ready() -> None:
            gc.collect()
            gc.freeze()
            gc.set_threshold(20_000, 20, 20)  # requests leave no cycles behind worth looking for more often
            gc.enable()
            _say(banner(mock, settings, host, port))

        serve(mock.app, bound, ready)
    _say("stopped")
    return 0


def _say(text: str) -> None:
    """Print, unless nobody can listen (`serve | head`, a full disk): that is no reason to stop serving."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
