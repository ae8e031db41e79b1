"""`walletproof gate` and `walletproof fuzz`: what they can be told, and what they do with it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from walletproof import verdict
from walletproof.units import amount, rate, seconds
from walletproof.verdict import add_contract_options, add_level_option, add_verdict_options

if TYPE_CHECKING:
    from contract_tests.checking import Wanted
    from contract_tests.gate import Options


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The two commands, which take the same options."""
    gate = commands.add_parser(
        "gate",
        help="test a target and give a verdict, for a pipeline",
        description="Test a target by the rules, deterministically and within bounds, and give a verdict.",
        epilog=verdict.EXIT_CODES,
    )
    fuzz = commands.add_parser(
        "fuzz",
        help="test a target with generated requests as well",
        description="Test a target by the rules and with generated requests, until the time is up.",
        epilog=verdict.EXIT_CODES,
    )
    _options(gate, max_time="300s", max_writes=500)
    _options(fuzz, max_time="60s", max_writes=2000)
    fuzz.add_argument("--max-examples", type=int, metavar="N", help="generated requests per operation and phase")
    gate.set_defaults(run=_run, command="gate", max_examples=None)
    fuzz.set_defaults(run=_run, command="fuzz")


def _options(command: argparse.ArgumentParser, *, max_time: str, max_writes: int) -> None:
    command.add_argument("url", metavar="URL", help="base URL of the target, such as http://127.0.0.1:8080")
    what = command.add_argument_group("what is tested")
    add_contract_options(what)
    what.add_argument("--wallet", action="append", default=[], metavar="ID", help="a wallet that may be read; repeatable")
    what.add_argument("--wallets-from", type=Path, metavar="FILE", help="such wallets, one id per line or a JSON array")
    what.add_argument(
        "--customer", action="append", default=[], metavar="ID", help="a customer who may get wallets (and unpaid invoices)"
    )
    add_level_option(what)
    who = command.add_argument_group("credentials (or WALLETPROOF_API_KEY, WALLETPROOF_BEARER, WALLETPROOF_OTHER_API_KEY, ...)")
    for role, about in (
        ("", "the credential"),
        ("other-", "of somebody else, who must see other wallets"),
        ("expired-", "that has expired"),
    ):
        who.add_argument(f"--{role}api-key", metavar="KEY", help=f"API key {about}" if role else "API key (x-api-key)")
        who.add_argument(f"--{role}bearer", metavar="TOKEN", help=f"bearer token {about}" if role else "bearer token")
    who.add_argument("--header", action="append", default=[], metavar="'N: V'", help="send this header; repeatable")
    who.add_argument("--auth", type=Path, metavar="FILE", help="a Web Fuzzing Commons authentication file")
    safe = command.add_argument_group("safety")
    safe.add_argument(
        "--mode",
        choices=("read", "own", "all"),
        default="own",
        help="read: change nothing; own: change only what this run created (default); all: change anything",
    )
    safe.add_argument("--allow-host", action="append", default=[], metavar="HOST", help="a host beyond this machine; repeatable")
    writes = f"most writes (default: {max_writes})"
    safe.add_argument("--max-writes", type=int, default=max_writes, metavar="N", help=writes)
    safe.add_argument("--max-amount", default="10000", metavar="N", help="most credits put in, in all (default: 10000)")
    safe.add_argument("--rate", metavar="N/s", help="most requests per second")
    safe.add_argument("--insecure", action="store_true", help="do not verify TLS certificates")
    run = command.add_argument_group("the run")
    run.add_argument("--seed", type=int, default=1, metavar="N", help="same seed, same requests (default: 1)")
    run.add_argument("--max-time", default=max_time, metavar="TIME", help=f"such as 90s or 5m (default: {max_time})")
    run.add_argument("--timeout", default="10s", metavar="TIME", help="for one whole answer (default: 10s)")
    run.add_argument("--settle", metavar="TIME", help="how long a read may lag behind a write (default: 2s, on this machine 0s)")
    add_verdict_options(command)


def _run(options: argparse.Namespace) -> int:
    # Imported here: mistakes on the command line should be answered at once.
    from contract_tests import checking
    from contract_tests.gate import Gate
    from contract_tests.progress import Progress
    from contract_tests.reports import formats

    reports = [formats.parse_report(text) for text in options.report]
    run_options = _run_options(options)
    known = verdict.baseline(options.baseline)
    subjects = checking.subjects(_wanted(options))
    results = verdict.results(options.command)
    console = verdict.console()
    for subject in subjects:
        with Progress(console, quiet=options.quiet) as progress:
            mine = replace(run_options, known=known.get(subject.contract.name, frozenset()))
            run = Gate(subject, mine, progress.update).run()
        subject.target.close()
        results.runs.append(run)
        if run.interrupted == "interrupted":
            break
    return verdict.tell(results, reports, console)


def _run_options(options: argparse.Namespace) -> Options:
    from contract_tests.gate import Options

    result = Options(verdict.policy(options), max_time=seconds("--max-time", options.max_time))
    if options.command == "fuzz":
        from contract_tests.fuzz.engine import fuzzing

        result.engine = fuzzing(options.max_examples, insecure=options.insecure)
    return result


def _wanted(options: argparse.Namespace) -> Wanted:
    from contract_tests.checking import Wanted, header, read_wallets

    def by_role(kind: str) -> dict[str, str]:
        found = {
            "main": getattr(options, kind),
            "other": getattr(options, f"other_{kind}"),
            "expired": getattr(options, f"expired_{kind}"),
        }
        return {role: value for role, value in found.items() if value}

    return Wanted(
        url=options.url,
        providers=tuple(options.provider),
        spec=options.spec,
        overlay=options.overlay,
        api_keys=by_role("api_key"),
        bearers=by_role("bearer"),
        headers=tuple(header(text) for text in options.header),
        auth_file=options.auth,
        wallets=(*options.wallet, *(read_wallets(options.wallets_from) if options.wallets_from else ())),
        customers=tuple(options.customer),
        seed=options.seed,
        mode=options.mode,
        max_writes=options.max_writes,
        max_amount=amount("--max-amount", options.max_amount),
        rate=rate(options.rate) if options.rate else None,
        timeout=seconds("--timeout", options.timeout),
        settle=seconds("--settle", options.settle) if options.settle else None,
        insecure=options.insecure,
        allow_hosts=tuple(options.allow_host),
    )
