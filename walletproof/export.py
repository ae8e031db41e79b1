"""`walletproof export`: a session of a running mock, written to a file."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    export = commands.add_parser(
        "export",
        help="write a session of a running mock to a file",
        description="Write a session of a running mock to a file, which `walletproof replay` plays elsewhere: the bug report.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    export.set_defaults(run=_run)
    export.add_argument("url", nargs="?", metavar="URL", default="http://127.0.0.1:8080", help="where the mock is")
    export.add_argument("--session", metavar="NAME", default="default", help="the session")
    export.add_argument("--out", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="where to (default: print it)")
    export.add_argument(
        "--control-token",
        metavar="TOKEN",
        default=argparse.SUPPRESS,
        help="the server's control token, if it has one (or set WALLETPROOF_CONTROL_TOKEN)",
    )


def _run(options: argparse.Namespace) -> int:
    from contract_tests.mock_client import ControlError, MockClient
    from contract_tests.source import InputError

    token = getattr(options, "control_token", None) or os.environ.get("WALLETPROOF_CONTROL_TOKEN")
    try:
        with MockClient(options.url, token=token) as mock:
            text = mock.session(options.session).export()
    except ControlError as error:
        raise InputError(str(error)) from None
    if not hasattr(options, "out"):
        sys.stdout.write(text.decode())
        return 0
    try:
        options.out.write_bytes(text)
    except OSError as error:
        raise InputError(f"--out {options.out}: {error.strerror}") from None
    print(f"{options.out}: session {options.session}; play it with `walletproof replay {options.out}`")
    return 0
