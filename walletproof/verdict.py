"""What all commands with a verdict share: policy, baseline, level and reports, and how the end is told."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from contract_tests.source import InputError

if TYPE_CHECKING:
    from contract_tests.contract import Contract
    from contract_tests.policy import Floor, Policy
    from contract_tests.reports.terminal import Terminal
    from contract_tests.results import Results

EXIT_CODES = "exit codes: 0 pass, 1 findings, 2 usage or configuration error, 3 inconclusive"

_LOG_WIDTH = 120  # a log file has no width of its own; rich would take 80


def add_contract_options(group: argparse._ArgumentGroup) -> None:
    """Which contracts are looked at."""
    group.add_argument("--provider", action="append", default=[], metavar="NAME", help="flexprice or polar; repeatable")
    group.add_argument("--spec", type=Path, metavar="FILE", help="use this OpenAPI document instead of the provider's")
    group.add_argument(
        "--overlay", type=Path, metavar="FILE", help="use this overlay instead of the provider's, or after it if it extends it"
    )


def add_verdict_options(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The options themselves; gives their group, for what a command has besides."""
    verdict = command.add_argument_group("verdict and reports")
    verdict.add_argument("--policy", type=Path, metavar="FILE", help="TOML: level, evidence floor, accepted findings")
    verdict.add_argument("--baseline", type=Path, metavar="FILE", help="a JSON report: what it found is known")
    verdict.add_argument(
        "--report",
        action="append",
        default=[],
        metavar="FORMAT=PATH",
        help="json, junit, sarif, html, github, text; repeatable",
    )
    verdict.add_argument("--quiet", action="store_true", help="no progress")
    return verdict


def add_level_option(group: argparse._ArgumentGroup) -> None:
    """What counts."""
    group.add_argument(
        "--level",
        choices=("published", "overlay", "semantic"),
        help="what counts: published, overlay (and published), semantic (all; default)",
    )


def policy(options: argparse.Namespace, floor: Floor | None = None) -> Policy:
    """The policy file's, with what the command line says above it. `floor` is the evidence asked for if the file says none."""
    from contract_tests.policy import Floor, Policy, read_policy

    floor = floor or Floor()
    found = read_policy(options.policy, floor) if options.policy else Policy(floor=floor)
    return replace(found, level=options.level) if options.level else found


def baseline(path: Path | None) -> dict[str, frozenset[str]]:
    """What an earlier JSON report found, by provider."""
    from contract_tests.results import from_json

    if path is None:
        return {}
    try:
        results = from_json(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InputError(f"--baseline {path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"--baseline {path}: not a JSON report of walletproof (--report json=PATH): {error}") from None
    found: dict[str, set[str]] = {}
    for run in results.runs:
        found.setdefault(run.provider, set()).update(cause.fingerprint for cause in run.causes)
    return {provider: frozenset(fingerprints) for provider, fingerprints in found.items()}


def results(command: str) -> Results:
    """Results of a command that begins now."""
    from importlib import metadata

    from contract_tests.results import Results

    return Results(command, metadata.version("walletproof"), datetime.now(UTC).isoformat(timespec="seconds"))


def console() -> Terminal:
    """Where results are shown."""
    from contract_tests.reports.terminal import Terminal

    terminal = Terminal(highlight=False)
    if not terminal.is_terminal and "COLUMNS" not in os.environ:
        terminal.width = _LOG_WIDTH
    return terminal


def tell(found: Results, reports: Sequence[tuple[str, Path]], terminal: Terminal) -> int:
    """Write the reports, show the results, and return the exit code."""
    from contract_tests.reports import formats, github
    from contract_tests.reports.terminal import print_results

    try:
        formats.write(found, reports)  # first, as whoever reads the terminal may stop reading
    finally:
        print_results(terminal, found)  # all the more if there is no room for a report
    if os.environ.get("GITHUB_ACTIONS") == "true":
        terminal.print(github.workflow_commands(found), markup=False, soft_wrap=True)
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            formats.append(Path(summary), github.summary_markdown(found))
    return found.exit_code


def contracts(options: argparse.Namespace) -> list[Contract]:
    """The contracts that options name; all that are shipped if they name none."""
    from contract_tests.checking import contract, provider_names
    from contract_tests.rules.rule import PROVIDERS

    names = provider_names(tuple(options.provider), options.spec, options.overlay) or PROVIDERS
    return [contract(name, options.spec, options.overlay) for name in names]
