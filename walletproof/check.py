"""`walletproof check`: recorded traffic, held to the contract and the rules. Nothing is sent."""

from __future__ import annotations

import argparse
from pathlib import Path

from walletproof import verdict
from walletproof.units import seconds


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    check = commands.add_parser(
        "check",
        help="hold recorded traffic to the contract and the rules",
        description="Hold recorded traffic (HAR, or exchanges as lines of JSON; either gzip'd) to the contract and the rules. "
        "Nothing is sent.",
        epilog=verdict.EXIT_CODES,
    )
    check.set_defaults(run=_run)
    check.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a recording")
    what = check.add_argument_group("what is judged")
    verdict.add_contract_options(what)
    what.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="URL",
        help="base URL of the service; repeatable (default: every host whose paths are a contract's)",
    )
    what.add_argument("--settle", default="2s", metavar="TIME", help="how long a read may lag behind a write (default: 2s)")
    verdict.add_level_option(what)
    verdict.add_verdict_options(check)


def _run(options: argparse.Namespace) -> int:
    from contract_tests.policy import Floor
    from contract_tests.progress import Progress
    from contract_tests.reports import formats
    from contract_tests.traffic.examiner import Traffic
    from contract_tests.traffic.recordings import examine

    reports = [formats.parse_report(text) for text in options.report]
    policy = verdict.policy(options, Floor(operations=0.0, rules=0.0))  # a recording is what it is
    known = verdict.baseline(options.baseline)
    traffic = Traffic(verdict.contracts(options), options.server, settle=seconds("--settle", options.settle))
    results = verdict.results("check")
    console = verdict.console()
    with Progress(console, quiet=options.quiet) as progress:
        seen = results.traffic = examine(options.files, traffic, progress.count)
    broken = seen.unusable.get("unreadable", 0)
    results.runs = traffic.runs(policy, known, [f"entries that could not be read: {broken:,}"] if broken else [])
    return verdict.tell(results, reports, console)
