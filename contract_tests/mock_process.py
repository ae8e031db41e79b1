"""A mock of its own, as a process: for tests that need one, and for proving that checks bite.

Only the command is used, so this half of the house still knows the mock over HTTP alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from contract_tests.source import InputError


@contextmanager
def running_mock(*options: str) -> Iterator[str]:
    """The URL of a mock on a free port, stopped afterwards; InputError with what it said if it does not start."""
    with tempfile.TemporaryFile("w+") as log:  # not a pipe: nobody reads it meanwhile, and a full pipe would stop the mock
        process = subprocess.Popen(  # noqa: S603 - our own command
            # -P: not whatever is called walletproof in the folder where somebody runs tests
            [sys.executable, "-P", "-m", "walletproof", "serve", "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield _address(process, log)
        finally:
            process.terminate()
            process.communicate()


def _address(process: subprocess.Popen[str], log: object) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        match = re.search(r"http://[\w.:\[\]-]+", line)
        if match:
            return match[0]
    process.wait()
    log.seek(0)  # type: ignore[attr-defined]
    raise InputError(f"the mock did not start: {log.read().strip()}")  # type: ignore[attr-defined]
