"""`walletproof compare`: the same sequence on two services, and what differs."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from walletproof import verdict
from walletproof.imitations import imitations
from walletproof.target_options import add_patience_options, add_safety_options, wanted
from walletproof.units import seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract_tests.compare.comparing import Comparing, Options
    from contract_tests.compare.outcome import Comparisons
    from contract_tests.probes.probe import Subject

_PREFIX, _PREFIX_B = "WALLETPROOF_", "WALLETPROOF_B_"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    compare = commands.add_parser(
        "compare",
        help="take the same steps on two services and report what differs",
        description="Take the same steps on two services side by side and report what differs. A is the reference, such as the "
        "real service; B is the one that should be like it, such as a mock. Ids and times that each makes are aligned.",
        epilog="exit codes: 0 no difference, 1 differences, 2 usage or configuration error, 3 inconclusive",
    )
    compare.set_defaults(run=_run)
    compare.add_argument("a", metavar="URL_A", help="base URL of the reference")
    compare.add_argument("b", metavar="URL_B", help="base URL of the service that should be like it")
    what = compare.add_argument_group("what is compared")
    verdict.add_contract_options(what)
    what.add_argument(
        "--wallet",
        action="append",
        default=[],
        metavar="ID[=ID_B]",
        help="a wallet that may be read and holds the same on both sides; repeatable",
    )
    for flag, side in (("", "A"), ("b-", "B")):
        about = f"a customer of {side} without wallets, who may get some; repeatable"
        what.add_argument(f"--{flag}customer", action="append", default=[], metavar="ID", help=about)
    what.add_argument(
        "--volatile",
        action="append",
        default=[],
        metavar="[OPERATION ]PLACE",
        help="do not compare values there: a JSON pointer (* for any item) or 'header NAME'; repeatable",
    )
    what.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="'OPERATION KIND PLACE'",
        help="a difference that is known, as the report names it (* for anything); repeatable",
    )
    _credentials(compare, "", "A", "WALLETPROOF_API_KEY, WALLETPROOF_BEARER, ...")
    _credentials(compare, "b-", "B", "WALLETPROOF_B_API_KEY, WALLETPROOF_B_BEARER, ...; a mock on this machine needs none")
    add_safety_options(compare, title="safety, on each side", modes=("read", "own"), max_writes=1500)
    run = compare.add_argument_group("the run")
    run.add_argument("--seed", type=int, default=1, metavar="N", help="same seed, same steps (default: 1)")
    run.add_argument("--steps", type=int, default=100, metavar="N", help="steps at random after the usual ones (default: 100)")
    run.add_argument("--max-time", default="300s", metavar="TIME", help="such as 90s or 5m (default: 300s)")
    add_patience_options(run)
    out = compare.add_argument_group("reports and proposals")
    out.add_argument("--report", action="append", default=[], metavar="FORMAT=PATH", help="json, html, text; repeatable")
    out.add_argument("--to-overlay", type=Path, metavar="FILE", help="propose an overlay with which the contract fits A")
    out.add_argument("--to-fixtures", type=Path, metavar="FILE", help="propose fixtures of A's wallets, without personal data")
    out.add_argument("--quiet", action="store_true", help="no progress")


def _credentials(command: argparse.ArgumentParser, flag: str, side: str, variables: str) -> None:
    who = command.add_argument_group(f"credentials for {side} (or {variables})")
    for role, about in (("", ""), ("expired-", " that has expired")):
        who.add_argument(f"--{flag}{role}api-key", metavar="KEY", help=f"API key{about}")
        who.add_argument(f"--{flag}{role}bearer", metavar="TOKEN", help=f"bearer token{about}")
    who.add_argument(f"--{flag}header", action="append", default=[], metavar="'N: V'", help="send this header; repeatable")
    who.add_argument(f"--{flag}auth", type=Path, metavar="FILE", help="a Web Fuzzing Commons authentication file")


def _run(options: argparse.Namespace) -> int:
    from importlib import metadata

    from contract_tests.compare.comparing import Comparing
    from contract_tests.compare.outcome import Comparisons
    from contract_tests.compare.reports import print_comparisons
    from contract_tests.progress import Progress

    reports = _reports(options.report)
    how = _options(options)
    sides = _subjects(options)
    console = verdict.console()
    found = Comparisons(metadata.version("walletproof"), datetime.now(UTC).isoformat(timespec="seconds"))
    comparing: list[Comparing] = []
    for a, b in sides:
        with Progress(console, quiet=options.quiet) as progress:
            comparing.append(Comparing(a, b, how, progress.update))
            run = comparing[-1].run()
        if comparing[-1].of_mock:
            run.imitations = imitations(run.differences)
        found.runs.append(run)
        for subject in (a, b):
            subject.target.close()
        if found.runs[-1].interrupted == "interrupted":
            break
    said: list[str] = []
    try:
        _write(found, reports)
        if options.to_overlay:
            said += _propose_overlay(options, comparing)
        if options.to_fixtures:
            said += _propose_fixtures(options.to_fixtures, comparing, options.seed)
    finally:
        print_comparisons(console, found)
        for line in said:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    return found.exit_code


def _reports(texts: list[str]) -> list[tuple[str, Path]]:
    from contract_tests.compare.reports import FORMATS
    from contract_tests.reports import formats
    from contract_tests.source import InputError

    reports = [formats.parse_report(text) for text in texts]
    for text, (name, _) in zip(texts, reports, strict=True):
        if name not in FORMATS:
            raise InputError(f"--report {text}: compare has no format {name!r}; there are {', '.join(FORMATS)}")
    return reports


def _write(found: Comparisons, reports: list[tuple[str, Path]]) -> None:
    from contract_tests.compare.reports import FORMATS
    from contract_tests.reports import formats
    from contract_tests.source import InputError

    failed = []
    for name, path in reports:
        try:
            formats.write_file(path, FORMATS[name](found).encode("utf-8", "backslashreplace"))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            failed.append(f"{path}: the {name} report cannot be written: {why or error}")
    if failed:
        raise InputError("\n".join(failed))


def _propose_overlay(options: argparse.Namespace, comparing: list[Comparing]) -> list[str]:
    """Write what would make the contract fit A; what became of it, in words."""
    from contract_tests import checking, shipped
    from contract_tests.compare.proposal import propose

    said = []
    for one in comparing:
        contract, name, extended = one.sides[0].subject.contract, one.result.provider, f"{one.result.provider}.overlay.yaml"
        if options.overlay and shipped.is_extended(name, options.overlay):
            contract = checking.contract(name, options.spec)  # what was proposed before is proposed again, so one file is enough
        elif options.overlay:
            extended = options.overlay.name
        proposal = propose(contract, one.answers_of_a(), extended)
        if not proposal.text:
            said.append(f"{name}: A keeps the contract as it is, so there is no overlay to propose")
            continue
        file = _write_proposal("--to-overlay", options.to_overlay, name if len(comparing) > 1 else "", proposal.text)
        rest = f", {len(proposal.uncovered)} not covered" if proposal.uncovered else ""
        said.append(f"{name}: {file}: {proposal.actions} actions{rest}")
    return said


def _propose_fixtures(path: Path, comparing: list[Comparing], seed: int) -> list[str]:
    """Write A's wallets that were there before as fixtures for the mock; what became of it, in words."""
    from mock_server.from_traffic.maker import FixtureMaker

    maker = FixtureMaker(seed)
    for one in comparing:
        for operation, exchange, started in one.wallets_of_a():
            maker.take(one.result.provider, operation, exchange, started, one.result.provider)
    said = []
    files = [file for file in maker.files() if file.wallets]
    for file in files:
        written = _write_proposal("--to-fixtures", path, file.provider if len(files) > 1 else "", file.text)
        said.append(f"{file.provider}: {written}: {file.wallets} wallets; {len(maker.replaced)} personal values replaced")
        said += [f"  not carried over: {note}" for note in file.notes]
    return said or ["no wallets of A were seen, so there are no fixtures to propose (--wallet ID names one)"]


def _write_proposal(flag: str, path: Path, name: str, text: str) -> Path:
    """Write a file, with the provider's name in its own where there are several; gives its path."""
    from contract_tests.reports import formats
    from contract_tests.source import InputError

    file = path.with_name(f"{path.stem}-{name}{path.suffix}") if name else path
    try:
        formats.write_file(file, text.encode("utf-8", "backslashreplace"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{flag} {file}: cannot be written: {why or error}") from None
    return file


def _options(options: argparse.Namespace) -> Options:
    from contract_tests.compare.comparing import Options
    from contract_tests.compare.lawful import lawful
    from contract_tests.source import InputError

    if options.steps < 0:
        raise InputError(f"--steps {options.steps}: expected a number that is not negative")
    try:
        allowed = lawful(options.volatile, options.ignore)
    except ValueError as error:
        raise InputError(f"--volatile and --ignore: {error}") from None
    return Options(allowed, options.steps, seconds("--max-time", options.max_time), _pairs(options.wallet))


def _pairs(texts: list[str]) -> tuple[tuple[str, str], ...]:
    from contract_tests.source import InputError

    pairs = []
    for text in texts:
        one, equals, two = text.partition("=")
        if not one or (equals and not two):
            raise InputError(f"--wallet {text}: expected an id, or the id on A and the id on B: ID=ID_B")
        pairs.append((one, two or one))
    return tuple(pairs)


def _subjects(options: argparse.Namespace) -> list[tuple[Subject, Subject]]:
    """Both sides of each provider. A credential of one side is never sent to the other."""
    from contract_tests import checking
    from contract_tests.source import InputError

    pairs = _pairs(options.wallet)
    own = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX_B)}
    others = {name.replace(_PREFIX_B, _PREFIX, 1): value for name, value in os.environ.items() if name.startswith(_PREFIX_B)}
    first = _said_of("A", lambda: checking.subjects(wanted(options, options.a, wallets=(pair[0] for pair in pairs)), own))
    providers = tuple(subject.contract.name for subject in first)
    of_b = wanted(options, options.b, side="b_", wallets=(pair[1] for pair in pairs))
    if not options.spec and not options.overlay:
        of_b = replace(of_b, providers=providers)
    second = _said_of("B", lambda: checking.subjects(of_b, others))
    for subject in second:
        for name, identity in subject.identities.items():
            if identity.variable.startswith(_PREFIX):
                subject.identities[name] = replace(identity, variable=identity.variable.replace(_PREFIX, _PREFIX_B, 1))
    if [subject.contract.name for subject in second] != list(providers):
        raise InputError(f"A and B have to be of the same providers; A is of {', '.join(providers)}")
    return list(zip(first, second, strict=True))


def _said_of(side: str, make: Callable[[], list[Subject]]) -> list[Subject]:
    """What `make` gives; what it complains of is said of this side, by the names of its options."""
    from contract_tests.source import InputError

    try:
        return make()
    except InputError as error:
        text = str(error)
        if side == "B":
            for flag in ("api-key", "bearer", "header", "auth"):
                text = text.replace(f"--{flag}", f"--b-{flag}")
            text = text.replace(_PREFIX, _PREFIX_B)
        raise InputError(f"{side}: {text}") from None
