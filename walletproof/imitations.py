"""Which defects of the mock do what a real service was seen to do: `compare` names those that fit its differences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from contract_tests.compare.outcome import Difference


class Imitation(NamedTuple):
    """What `compare` shows of a service that has the defect: `said` by the service, wherever it is at `places`."""

    said: str
    places: frozenset[str]


_ROWS = ("getWalletTransactions", "queryWalletTransaction")

IMITATIONS = {
    "metadata-null": Imitation(
        "null", frozenset({"createWallet shape /metadata", "getWallet shape /metadata", "updateWallet shape /metadata"})
    ),
    "unset-fields-null": Imitation(
        "null", frozenset(f"{rows} shape /items/*/{member}" for rows in _ROWS for member in ("expiry_date", "priority"))
    ),
    "reference-type-empty": Imitation('""', frozenset(f"{rows} shape /items/*/reference_type" for rows in _ROWS)),
    "terminate-answers-message": Imitation("an object with message", frozenset({"terminateWallet shape -"})),
    "search-without-paging-fails": Imitation("500", frozenset({"queryWallet status -"})),
    "update-of-unknown-fails": Imitation("500", frozenset({"updateWallet status -"})),
    "update-shows-old-time": Imitation("(as before)", frozenset({"updateWallet value /updated_at"})),
}


def imitations(differences: Iterable[Difference]) -> list[str]:
    """The defects with which the mock would not differ there, by name."""
    said = {entry.fingerprint: entry.a for entry in differences if entry.fails}
    return [
        name for name, entry in IMITATIONS.items() if all(place in said and entry.said in said[place] for place in entry.places)
    ]
