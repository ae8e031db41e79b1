"""The formats by name, and how reports get into files."""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from contract_tests.reports.github import workflow_commands
from contract_tests.reports.junit import junit
from contract_tests.reports.sarif import sarif
from contract_tests.results import Results, to_json
from contract_tests.source import InputError

STANDARD_OUTPUT = Path("-")
_ALIASES = ("/dev/stdout", "/dev/fd/1")


def as_json(results: Results) -> str:
    """The results themselves (docs/results.md), to read and to make other reports of."""
    return _json(to_json(results))


def as_sarif(results: Results) -> str:
    """SARIF 2.1.0, for code scanning."""
    return _json(sarif(results))


def as_html(results: Results) -> str:
    """One page that needs nothing else."""
    from contract_tests.reports.html import page

    return page(results)


def as_text(results: Results) -> str:
    """What the terminal shows, without colours."""
    from contract_tests.reports.terminal import as_text

    return as_text(results)


FORMATS: dict[str, Callable[[Results], str]] = {
    "json": as_json,
    "junit": junit,
    "sarif": as_sarif,
    "html": as_html,
    "github": workflow_commands,
    "text": as_text,
}


def parse_report(text: str) -> tuple[str, Path]:
    """`FORMAT=PATH` as the two; the path `-` is standard output."""
    name, equals, path = text.partition("=")
    if name not in FORMATS:
        raise InputError(f"--report {text}: no format {name!r}; there are {', '.join(FORMATS)}")
    if not equals or not path.strip():
        raise InputError(f"--report {text}: say where it goes: {name}=PATH")
    if path.endswith(("/", os.sep)) or os.path.isdir(path):  # noqa: PTH112 - unlike Path's, this one takes any text
        raise InputError(f"--report {text}: {path} is a directory; name a file in it")
    return name, STANDARD_OUTPUT if path in _ALIASES else Path(path)


def write(results: Results, reports: Iterable[tuple[str, Path]]) -> None:
    """Write each report, whole or not at all; InputError names those that could not be written, after all were tried."""
    failed = []
    for name, path in reports:
        # A target may send what is no Unicode (a lone surrogate); no report is lost for that.
        content = FORMATS[name](results).encode("utf-8", "backslashreplace")
        try:
            write_file(path, content)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            failed.append(f"{path}: the {name} report cannot be written: {why or error}")
    if failed:
        raise InputError("\n".join(failed))


def append(path: Path, text: str) -> None:
    """Add to a file that others add to as well; InputError if that cannot be done."""
    try:
        with path.open("ab") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; OSError or ValueError if it cannot be written."""
    if path == STANDARD_OUTPUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    if path.exists() and not path.is_file():
        path.write_bytes(content)  # a device or a pipe cannot be replaced; a directory says what is wrong
        return
    path = path.resolve()  # a link stays one: what it names is written
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _json(data: object) -> str:
    text = json.dumps(data, indent=2, ensure_ascii=False)
    # Lone surrogates only stand within strings, where JSON has an escape for them.
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"
