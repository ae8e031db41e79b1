"""`walletproof gate` and `walletproof fuzz`: what they can be told, and what they do with it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from walletproof import verdict
from walletproof.target_options import add_patience_options, add_safety_options, wanted
from walletproof.units import seconds
from walletproof.verdict import add_contract_options, add_level_option, add_verdict_options

if TYPE_CHECKING:
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
    add_safety_options(command, max_writes=max_writes)
    run = command.add_argument_group("the run")
    run.add_argument("--seed", type=int, default=1, metavar="N", help="same seed, same requests (default: 1)")
    run.add_argument("--max-time", default=max_time, metavar="TIME", help=f"such as 90s or 5m (default: {max_time})")
    add_patience_options(run)
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
    wallets = (*options.wallet, *(checking.read_wallets(options.wallets_from) if options.wallets_from else ()))
    subjects = checking.subjects(wanted(options, options.url, wallets=wallets))
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
