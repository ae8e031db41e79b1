"""`walletproof proxy`: live traffic, held to the contract and the rules on its way."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from walletproof import verdict
from walletproof.units import seconds

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine

    from contract_tests.policy import Policy
    from contract_tests.proxy.headers import Place


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    proxy = commands.add_parser(
        "proxy",
        help="judge live traffic on its way to a service",
        description="Forward requests to URL, and hold them and the answers to the contract and the rules. "
        "Each answer says what was found in it: X-Walletproof-Findings.",
        epilog="exit codes: 0 ended; with --fail-on 0 pass, 1 findings, 3 inconclusive; 2 usage or configuration error",
    )
    proxy.set_defaults(run=_run)
    proxy.add_argument("url", metavar="URL", help="base URL of the service; the proxy's address takes its place")
    here = proxy.add_argument_group("the proxy")
    here.add_argument("--host", default="127.0.0.1", metavar="HOST", help="address to listen on (default: 127.0.0.1)")
    here.add_argument("--port", type=int, default=8081, metavar="N", help="port to listen on, 0 for any (default: 8081)")
    here.add_argument("--timeout", default="60s", metavar="TIME", help="for the service's next bytes (default: 60s)")
    here.add_argument("--insecure", action="store_true", help="do not verify the service's TLS certificate")
    here.add_argument("--block", action="store_true", help="answer requests that break the contract with 400, unsent")
    here.add_argument("--record", type=Path, metavar="FILE", help="write what passes to a HAR file, secrets hidden")
    what = proxy.add_argument_group("what is judged")
    verdict.add_contract_options(what)
    what.add_argument("--settle", default="2s", metavar="TIME", help="how long a read may lag behind a write (default: 2s)")
    verdict.add_level_option(what)
    verdict.add_verdict_options(proxy).add_argument(
        "--fail-on",
        choices=("published", "overlay", "semantic"),
        metavar="LEVEL",
        help="exit as the verdict says, not with 0; what counts, as --level would say it",
    )


def _run(options: argparse.Namespace) -> int:
    from contextlib import ExitStack

    from contract_tests.guard import check_url
    from contract_tests.listening import listen
    from contract_tests.proxy.examination import Examination
    from contract_tests.proxy.headers import Place
    from contract_tests.proxy.passing import Passing
    from contract_tests.proxy.server import Serving
    from contract_tests.proxy.upstream import Upstream
    from contract_tests.proxy.view import View
    from contract_tests.reports import formats
    from contract_tests.source import InputError
    from contract_tests.traffic.examiner import Traffic
    from contract_tests.traffic.har_file import HarFile

    check_url(options.url, "give credentials with the requests")
    reports = [formats.parse_report(text) for text in options.report]
    policy, failing = _policies(options)
    known = verdict.baseline(options.baseline)
    place = Place.parse(options.url)
    upstream = Upstream(place, timeout=seconds("--timeout", options.timeout), insecure=options.insecure)
    contracts = verdict.contracts(options)
    traffic = Traffic(contracts, [place.origin + place.prefix], settle=seconds("--settle", options.settle), live=True)
    results = verdict.results("proxy")
    console = verdict.console()
    with listen(options.host, options.port) as bound, ExitStack() as stack:
        record = stack.enter_context(HarFile(options.record)) if options.record else None
        view = View(console, quiet=options.quiet)
        examination = Examination(traffic, policy=policy, record=record, show=view.show)
        passing = Passing(upstream, examination, _names(bound), block=options.block)

        def ready() -> None:
            console.print(_banner(bound, place, options), soft_wrap=True, markup=False, highlight=False)
            stack.enter_context(view)

        async def serve() -> None:
            serving, loop = Serving(passing, bound), asyncio.get_running_loop()
            before = {
                number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(serving.end))
                for number in (signal.SIGINT, signal.SIGTERM)
            }
            try:
                await serving.run(ready)
            finally:
                upstream.close()
                for number, handler in before.items():
                    signal.signal(number, handler)

        _with_fast_loop(serve())
    results.traffic = examination.counted
    results.binding = bool(options.fail_on)
    results.runs = traffic.runs(failing, known)
    if options.block:
        console.print(f"blocked: {examination.blocked:,}", highlight=False)
    code = verdict.tell(results, reports, console)
    if examination.broken_recording:
        raise InputError(f"--record: {examination.broken_recording}; the recording is not whole")
    return code


def _policies(options: argparse.Namespace) -> tuple[Policy, Policy]:
    """What is shown, and what fails at the end."""
    from contract_tests.policy import Floor
    from contract_tests.source import InputError

    if options.level and options.fail_on and options.level != options.fail_on:
        raise InputError(f"--level {options.level} and --fail-on {options.fail_on}: one level counts; give --fail-on alone")
    policy = verdict.policy(options, Floor(operations=0.0, rules=0.0))  # traffic is what it is
    return policy, replace(policy, level=options.fail_on) if options.fail_on else policy


def _with_fast_loop(serving: Coroutine[None, None, None]) -> None:
    """Run until it ends, with uvloop where there is one."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:  # Windows
        pass
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serving)


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what is shown, not bound
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _names(bound: socket.socket) -> frozenset[str]:
    """What requests may call the proxy, where they name a host at all."""
    port = bound.getsockname()[1]
    return frozenset((_address(bound), *(f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]"))))


def _banner(bound: socket.socket, place: Place, options: argparse.Namespace) -> str:
    from walletproof.banner import is_loopback

    base = place.origin + place.prefix
    lines = [f"Walletproof proxy on http://{_address(bound)} in the place of {base}"]
    if options.block:
        lines.append("Blocking:  requests that break the contract are answered here and not sent")
    if options.record:
        lines.append(f"Recording: {options.record}")
    if not is_loopback(bound.getsockname()[0]):
        lines.append("Note:      other machines can reach the service through this proxy")
    return "\n".join([*lines, "Stop: Ctrl-C"])
