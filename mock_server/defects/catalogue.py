"""All defects by name."""

from __future__ import annotations

from difflib import get_close_matches

from contract_tests.source import InputError
from mock_server.defects import flexprice, polar
from mock_server.defects.defect import Defect

CATALOGUE: dict[str, Defect] = {defect.name: defect for defect in (*flexprice.DEFECTS, *polar.DEFECTS)}


def find(name: str) -> Defect:
    """A defect by name; InputError with the names that are near."""
    defect = CATALOGUE.get(name)
    if defect is not None:
        return defect
    near = get_close_matches(name, CATALOGUE, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "GET /_mock/defects lists all"
    raise InputError(f"no defect {name[:80]!r}; {hint}")
