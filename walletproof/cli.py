"""The command line. Exit codes: 0 clean, 1 findings, 2 usage or configuration error, 3 inconclusive."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from walletproof import check, compare, export, fixtures, gate, prove, proxy, serve

USAGE_ERROR = 2
INCONCLUSIVE = 3
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    # Imported here: `--help` and mistakes should answer at once, and the libraries behind serving take most of a second.
    from contract_tests.source import InputError

    try:
        code = int(options.run(options))
        sys.stdout.flush()  # here, where it can be told if it fails
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter tries to write the rest at its end
        what = error.filename or "standard output or a temporary file"
        print(f"walletproof: {what} cannot be written: {error.strerror}", file=sys.stderr)
        return USAGE_ERROR
    except InputError as error:
        print(f"walletproof: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("walletproof: interrupted", file=sys.stderr)
        return INCONCLUSIVE
    else:
        return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="walletproof", description="Mock server and contract tests for wallet APIs.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (serve, export, fixtures, gate, check, proxy, compare, prove):
        command.add_commands(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up when it is asked for: reading the package's metadata takes time that other commands need not pay."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib import metadata

        print(f"walletproof {metadata.version('walletproof')}")
        parser.exit()
