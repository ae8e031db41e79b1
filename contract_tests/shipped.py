"""The shipped documents with their overlays, known by their digests: a start need not check again what the tests have checked.

Whatever differs by a byte is not known, so it is checked like any other file. `tests/test_shipped.py` checks all of these and
says what has to stand here when a file has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from contract_tests.source import Source

CHECKED: dict[tuple[str, ...], str] = {
    ("control.yaml",): "c86a6e3a9f2b58b1bf147845b91bc9f2d6c8415e70edc7a18610b5b01c7a2e9e",
    ("flexprice.yaml", "flexprice.overlay.yaml"): "6bf09d65151fb93e86a79701a3bbc19f686e05525cfdb04d8f159c89e065f215",
    (
        "flexprice.yaml",
        "flexprice.overlay.yaml",
        "flexprice.undocumented.overlay.yaml",
    ): "b2129c9d8a8087ed55e11e23b775258fac2a0d3ad33a7fed2604fdb25dff961b",
    ("polar.yaml", "polar.overlay.yaml"): "6b986471a3a87dcc398751b9e9a2a93a0b36bc20b4391ca0dd392e7959401d62",
}
"""By the names of the files, in the order in which they are applied."""

_KNOWN = frozenset(CHECKED.values())


def digest(sources: Iterable[Source]) -> str:
    """One digest of a document and its overlays: SHA-256 in hexadecimal."""
    return hashlib.sha256(" ".join(source.digest for source in sources).encode()).hexdigest()


def is_extended(name: str, overlay: Path) -> bool:
    """Whether an overlay comes after the shipped one of a provider, not in its place: it `extends: NAME.overlay.yaml`."""
    data = Source(overlay).data
    return isinstance(data, dict) and data.get("extends") == f"{name}.overlay.yaml"


def is_known(sources: Iterable[Source]) -> bool:
    """Whether a document with these overlays was checked already."""
    return digest(sources) in _KNOWN
