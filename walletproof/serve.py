"""`walletproof serve`: the mock. `walletproof replay`: the mock as it was where a session was exported."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mock_server.assembly import Mock
    from mock_server.session_file import SessionFile


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands and their options."""
    serve = commands.add_parser(
        "serve",
        help="serve the mock",
        description="Serve mock wallets from the providers' contracts.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    serve.set_defaults(run=_run)
    _add_world(serve)
    _add_server(serve)
    replay = commands.add_parser(
        "replay",
        help="serve the mock with an exported session in it",
        description="Serve the mock as it was where FILE was exported, with that session in it and its clock stopped then.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    replay.set_defaults(run=_replay)
    replay.add_argument("file", type=Path, metavar="FILE", help="what `walletproof export` wrote")
    replay.add_argument("--session", metavar="NAME", default="default", help="the session to load it into")
    _add_server(replay)


def _add_world(parser: argparse.ArgumentParser) -> None:
    """Options that decide what the worlds are; a file to replay says them itself."""
    none = argparse.SUPPRESS
    parser.add_argument(
        "--provider", action="append", metavar="NAME", default=none, help="serve only this provider; repeatable (default: all)"
    )
    parser.add_argument(
        "--spec", type=Path, metavar="FILE", default=none, help="use this OpenAPI document instead of the provider's"
    )
    parser.add_argument(
        "--overlay",
        type=Path,
        metavar="FILE",
        default=none,
        help="use this overlay instead of the provider's, or after it if it extends it",
    )
    parser.add_argument("--seed", type=int, default=1, help="same seed, same wallets")
    parser.add_argument("--population", type=int, default=1000, metavar="N", help="this many more wallets besides the personas")
    parser.add_argument(
        "--defect",
        action="append",
        metavar="NAME",
        default=none,
        help="break the contract in this way, in all sessions; repeatable (GET /_mock/defects lists them)",
    )
    parser.add_argument(
        "--clock", default="real", metavar="CLOCK", help="time of all sessions: real, frozen:2026-11-21T09:00:00Z, or offset:7d"
    )
    parser.add_argument(
        "--scenario",
        action="append",
        metavar="NAME|FILE",
        default=none,
        help="begin every session with this scenario; repeatable (GET /_mock/scenarios lists them)",
    )


def _add_server(parser: argparse.ArgumentParser) -> None:
    """Options of every command that serves."""
    none = argparse.SUPPRESS
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; other than loopback is seen by others")
    parser.add_argument("--port", type=int, default=8080, help="0 = any free port")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", default=none, help="serve https with this certificate (PEM)")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", default=none, help="the certificate's private key (PEM)")
    parser.add_argument(
        "--fixtures",
        action="append",
        type=Path,
        metavar="FILE",
        default=none,
        help="use your own personas; one file per provider",
    )
    parser.add_argument(
        "--api-key", action="append", metavar="KEY", default=none, help="take only this Flexprice key; repeatable (default: any)"
    )
    parser.add_argument(
        "--documented-only", action="store_true", default=none, help="without the routes that Flexprice has and does not document"
    )
    parser.add_argument(
        "--log",
        metavar="PLACE",
        default=none,
        help="where what happens is kept: memory (ends with the server), sqlite:PATH, or postgresql://USER:PASSWORD@HOST/NAME "
        "(or set WALLETPROOF_LOG; default: memory)",
    )
    parser.add_argument("--workers", type=int, metavar="N", default=1, help="processes that answer; they share the log")
    parser.add_argument("--max-sessions", type=int, metavar="N", default=10_000, help="most sessions that are kept")
    parser.add_argument("--max-events", type=int, metavar="N", default=100_000, help="most changes that a session may have")
    parser.add_argument(
        "--journal", type=int, metavar="N", default=1000, help="most exchanges that a session remembers; 0 = none"
    )
    parser.add_argument(
        "--webhook", metavar="URL", default=none, help="where sessions send their webhooks (default: kept until drained)"
    )
    parser.add_argument(
        "--webhook-host", action="append", metavar="HOST", default=none, help="sessions may also send webhooks there; repeatable"
    )
    parser.add_argument(
        "--webhook-secret",
        metavar="whsec_...",
        default=none,
        help="what webhooks are signed with (or set WALLETPROOF_WEBHOOK_SECRET; default: one that everybody knows)",
    )
    parser.add_argument(
        "--session-idle", metavar="TIME", default=none, help="how long an unused session is kept (default: 1h; with --log 30d)"
    )
    parser.add_argument(
        "--control-token",
        metavar="TOKEN",
        default=none,
        help="what /_mock asks for; needed there once --host is not loopback (or set WALLETPROOF_CONTROL_TOKEN)",
    )


def _run(options: argparse.Namespace) -> int:
    # Starting makes a lot of objects that live as long as the process; collecting among them costs a tenth of the time.
    gc.disable()
    from contract_tests.source import InputError
    from mock_server.assembly import PROVIDERS
    from mock_server.clock import RealClock, parse_clock

    try:
        clock = parse_clock(options.clock, RealClock().now())
    except ValueError as error:
        raise InputError(f"--clock: {error}") from None
    return _serve(
        options,
        providers=tuple(dict.fromkeys(getattr(options, "provider", PROVIDERS))),
        spec=getattr(options, "spec", None),
        overlay=getattr(options, "overlay", None),
        seed=options.seed,
        population=options.population,
        defects=tuple(dict.fromkeys(getattr(options, "defect", ()))),
        clock=clock,
        frozen_at_start=options.clock == "frozen",
        scenarios=tuple(dict.fromkeys(getattr(options, "scenario", ()))),
    )


def _replay(options: argparse.Namespace) -> int:
    gc.disable()
    from contract_tests.source import InputError
    from mock_server import assembly, session_file
    from mock_server.clock import parse_clock

    assert assembly  # whatever it puts together has told which kinds of event there are
    file = session_file.read(options.file)
    origin = file.origin
    try:
        clock = parse_clock(origin.clock, file.at)
    except ValueError as error:
        raise InputError(f"{options.file}: /origin/clock: {error}") from None
    return _serve(
        options,
        file,
        providers=tuple(origin.fixtures),
        seed=origin.seed,
        population=origin.population,
        clock=clock,
        first_day=origin.first_day,
    )


def _serve(options: argparse.Namespace, file: SessionFile | None = None, **world: Any) -> int:
    """Serve until told to stop; `world` are the settings that decide what the worlds are."""
    from contract_tests.listening import listen
    from mock_server.assembly import Settings, assemble
    from mock_server.serving import serve
    from mock_server.tls import server_context
    from mock_server.webhooks.signing import KNOWN_SECRET
    from mock_server.workers import run
    from walletproof.banner import banner, is_loopback
    from walletproof.units import at_least_one, seconds

    workers = at_least_one("--workers", options.workers)
    certificate = getattr(options, "tls_cert", None)
    tls = server_context(certificate, getattr(options, "tls_key", None))
    with listen(options.host, options.port) as bound:
        bound.set_inheritable(True)
        host, port = bound.getsockname()[:2]
        settings = Settings(
            **world,
            fixtures=tuple(getattr(options, "fixtures", ())),
            api_keys=tuple(getattr(options, "api_key", ())),
            control_token=getattr(options, "control_token", None) or os.environ.get("WALLETPROOF_CONTROL_TOKEN"),
            webhook=getattr(options, "webhook", None),
            webhook_hosts=tuple(getattr(options, "webhook_host", ())),
            webhook_secret=getattr(options, "webhook_secret", None)
            or os.environ.get("WALLETPROOF_WEBHOOK_SECRET")
            or KNOWN_SECRET,
            exposed=not is_loopback(host),
            documented_only="documented_only" in options,
            max_sessions=at_least_one("--max-sessions", options.max_sessions),
            max_events=at_least_one("--max-events", options.max_events),
            journal=options.journal,
        )
        with _log(options, workers) as place:
            idle = getattr(options, "session_idle", None) or ("1h" if place == "memory" else "30d")
            settings = replace(
                settings, log=place, session_idle=timedelta(seconds=seconds("--session-idle", idle, most_days=365))
            )
            mock = assemble(settings)
            if file is not None:
                _load(mock, options, file)

            def ready() -> None:
                tune_collector()
                if workers == 1:
                    announce()

            def announce() -> None:
                _say(banner(mock, settings, host, port, certificate))
                if workers > 1 or place != "memory":
                    _say(f"Log:       {mock.worlds.log.describe()}    Workers: {workers}")
                if file is not None:
                    _say(f"Session:   {options.session}, {len(file.events)} events, stopped at {file.at:%Y-%m-%dT%H:%M:%SZ}")

            if workers == 1:
                serve(mock, bound, ready, tls)
                code = 0
            else:

                def work(life: int, tell: Callable[[], None]) -> None:
                    def told() -> None:
                        ready()
                        tell()

                    serve(mock, bound, told, tls, life)

                tune_collector()
                code = run(workers, work, announce)
    _say("stopped")
    return code


def tune_collector() -> None:
    """Have the garbage collector leave alone what was there before the first request, and look at the rest less often."""
    gc.collect()
    gc.freeze()  # also so that workers share the memory of what was there before them
    gc.set_threshold(20_000, 20, 20)  # requests leave no cycles behind worth looking for more often
    gc.enable()


@contextmanager
def _log(options: argparse.Namespace, workers: int) -> Iterator[str]:
    """Where the log is. Several workers that nobody gave one share a file that ends with them."""
    place = getattr(options, "log", None) or os.environ.get("WALLETPROOF_LOG") or "memory"
    if workers == 1 or place != "memory":
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="walletproof-", ignore_cleanup_errors=True) as folder:
        yield f"sqlite:{folder}/log"


def _load(mock: Mock, options: argparse.Namespace, file: SessionFile) -> None:
    """Bring a session where the file says, or say why this server cannot."""
    from contract_tests.source import InputError
    from mock_server.event_log import LogUnavailable
    from mock_server.world import Refusal

    differences = mock.origin.differences(file.origin)
    if differences:
        raise InputError(f"{options.file}: this server has {'; '.join(differences)} as in the file")
    try:
        asyncio.run(_loaded(mock, options.session, file))
    except (LogUnavailable, Refusal) as refusal:
        raise InputError(f"{options.file}: {refusal}") from None


async def _loaded(mock: Mock, session: str, file: SessionFile) -> None:
    from mock_server.control.history import load

    await load(mock.worlds, mock.board, session, file)
    await mock.worlds.log.close()  # its connections belong to this loop


def _say(text: str) -> None:
    """Print, unless nobody can listen (`serve | head`, a full disk): that is no reason to stop serving."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
