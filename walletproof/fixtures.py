"""`walletproof fixtures from`: wallets seen in recorded traffic, as fixture files for the mock."""

from __future__ import annotations

import argparse
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contract_tests.contract import Contract
    from contract_tests.traffic.personal import Replacement
    from mock_server.from_traffic.maker import FixtureFile, FixtureMaker

_MOST_LISTED = 20  # of the replacements of one kind


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    fixtures = commands.add_parser(
        "fixtures",
        help="make fixture files from recorded traffic",
        description="Make fixture files for the mock. Exit codes: 0 done, 2 usage or configuration error.",
    )
    sources = fixtures.add_subparsers(title="sources", metavar="SOURCE", required=True)
    made = sources.add_parser(
        "from",
        help="wallets seen in recordings (HAR, or exchanges as lines of JSON; either gzip'd)",
        description="Make fixture files of the wallets that recordings show, as they were before the first change in them. "
        "Personal data is replaced, the same by the same; amounts, states, currencies and the provider's own ids stay.",
        epilog="exit codes: 0 done, 2 usage or configuration error",
    )
    made.set_defaults(run=_run)
    made.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a recording")
    made.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="where to; shop.yaml is shop-<provider>.yaml if there are several",
    )
    made.add_argument("--provider", action="append", default=[], metavar="NAME", help="flexprice or polar; repeatable")
    made.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="URL",
        help="base URL of the service; repeatable (default: every host whose paths are a contract's)",
    )
    made.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, other replacements (default: 1)")
    made.set_defaults(spec=None, overlay=None)


def _run(options: argparse.Namespace) -> int:
    from contract_tests.source import InputError
    from mock_server.from_traffic.maker import FixtureMaker
    from walletproof import verdict

    maker = FixtureMaker(options.seed)
    problems, places = _take(options.files, verdict.contracts(options), options.server, maker)
    files = maker.files()
    if not files:
        raise InputError(
            f"{', '.join(map(str, options.files))}: none of these exchanges is one that the contracts have"
            f"{_more(problems)}; `--server URL` says where the service is, if it is behind another path"
        )
    said: list[str] = []
    for file in files:
        path = _path(options.out, file.provider, len(files))
        _write(path, file.text, options.files)
        said += _about(path, file)
    for provider, found in places.items():
        if len(found) > 1:
            said.append(f"Taken for one {provider}, `--server URL` chooses: {', '.join(sorted(found))}\n")
    said += _replaced(maker.replaced)
    if problems:
        said += ["\nNot used:", *(f"  {reason}: {count:,}" for reason, count in problems.most_common())]
    console = verdict.console()
    for line in said:
        console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
    return 0


def _take(
    files: Sequence[Path], contracts: Sequence[Contract], servers: Sequence[str], maker: FixtureMaker
) -> tuple[Counter[str], dict[str, set[str]]]:
    """Give the maker all that recordings hold of these contracts, in the order of time.

    Counts what could not be used, and tells where each provider was seen.
    """
    from contract_tests.traffic.addressing import Addresses
    from contract_tests.traffic.in_order import InOrder
    from contract_tests.traffic.reading import read
    from contract_tests.traffic.recorded import Unusable

    addresses = Addresses(contracts, servers)
    problems: Counter[str] = Counter()
    places: dict[str, set[str]] = {}
    with InOrder() as in_order:
        for entry in read(files):
            if isinstance(entry, Unusable):
                problems[f"{entry.reason} entries"] += 1
            elif addresses.place(entry) is None:
                problems["exchanges of other hosts or paths"] += 1
            else:
                in_order.add(entry)
        for recorded in in_order:
            placed = addresses.place(recorded)
            assert placed is not None  # as it was when it was read
            places.setdefault(placed.contract.name, set()).add(placed.base)
            maker.take(placed.contract.name, placed.operation, placed.exchange, recorded.started, recorded.client)
    return problems, places


def _path(out: Path, provider: str, files: int) -> Path:
    return out if files == 1 else out.with_name(f"{out.stem}-{provider}{out.suffix}")


def _write(path: Path, text: str, recordings: Sequence[Path]) -> None:
    from contract_tests.reports.formats import write_file
    from contract_tests.source import InputError

    try:
        if any(path.exists() and path.samefile(recording) for recording in recordings):
            raise InputError(f"--out {path}: is one of the recordings")
        if not path.parent.is_dir():
            raise InputError(f"--out {path}: there is no such folder")
        write_file(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise InputError(f"--out {path}: {error.strerror or error}") from None


def _about(path: Path, file: FixtureFile) -> Iterator[str]:
    from contract_tests.reports.wording import plural

    yield f"{path}: {plural(file.wallets, f'{file.provider} wallet')}"
    yield f"  serve it: walletproof serve --provider {file.provider} --fixtures {shlex.quote(str(path))} --population 0"
    yield f"  with the time standing still where the recording began: --clock frozen:{file.began:%Y-%m-%dT%H:%M:%SZ}"
    if file.tokens:
        yield "  tokens of the customers, under the seed 1:"
        yield from (f"    {name}: {token}" for name, token in file.tokens.items())
    if file.notes:
        yield "  not carried over:"
        yield from (f"    {note}" for note in file.notes)
    yield ""


def _replaced(replaced: Sequence[Replacement]) -> Iterator[str]:
    """What was replaced, by kind."""
    from contract_tests.reports.wording import plural

    if not replaced:
        yield "Replaced: nothing"
        return
    yield "Replaced (each is written as the same wherever it stood):"
    kinds: dict[str, list[Replacement]] = {}
    for replacement in replaced:
        kinds.setdefault(replacement.kind, []).append(replacement)
    for kind, of_kind in kinds.items():
        yield f"  {kind}: {plural(len(of_kind), 'value')} in {plural(sum(entry.count for entry in of_kind), 'place')}"
        for replacement in of_kind[:_MOST_LISTED]:
            yield f"    {replacement.count:,} x {replacement.replacement}: {', '.join(replacement.where)}"
        if len(of_kind) > _MOST_LISTED:
            yield f"    ... and {len(of_kind) - _MOST_LISTED:,} more"


def _more(problems: Counter[str]) -> str:
    return f" ({', '.join(f'{reason}: {count:,}' for reason, count in problems.most_common())})" if problems else ""
