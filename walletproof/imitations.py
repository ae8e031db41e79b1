"""Which defects of the mock do what a real service was seen to do: `compare` names those that fit its differences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from contract_tests.compare.outcome import Difference


class Imitation(NamedTuple):
    """What `compare` shows of a service that has the defect: `said` by the service at all of `places`, in a `situation`."""

    said: str
    places: frozenset[str]
    situation: str = ""


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
    "search-without-paging-fails": Imitation("500", frozenset({"queryWallet status -"}), "no page"),
    "update-of-unknown-fails": Imitation("500", frozenset({"updateWallet status -"}), "a wallet that nobody has"),
    "update-shows-old-time": Imitation("(as before)", frozenset({"updateWallet value /updated_at"})),
}


def imitations(differences: Iterable[Difference]) -> list[str]:
    """The defects with which the mock would not differ there, by name."""
    seen = {entry.fingerprint: entry for entry in differences if entry.fails}

    def fits(place: str, known: Imitation) -> bool:
        return place in seen and known.said in seen[place].a and known.situation in seen[place].situation

    return [name for name, known in IMITATIONS.items() if all(fits(place, known) for place in known.places)]
