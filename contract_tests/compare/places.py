"""Places in answers: the same for every item of a list, and for what is missing where it should be."""

from __future__ import annotations

import re

from contract_tests.finding import Finding

_REQUIRED = re.compile(r"'(.+)' is a required property")


def place(pointer: str) -> str:
    """A JSON pointer without numbers."""
    return re.sub(r"/\d+(?=/|$)", "/*", pointer)


def missing(finding: Finding) -> str:
    """The member that a finding misses; empty if it is about something else."""
    found = _REQUIRED.fullmatch(finding.problem)
    return found[1] if found else ""


def place_of(finding: Finding) -> str:
    """What a finding is about."""
    pointer, name = finding.pointer.rstrip("/"), missing(finding)
    return place(f"{pointer}/{name}" if name else pointer)
