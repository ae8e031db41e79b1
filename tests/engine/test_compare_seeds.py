"""`walletproof compare` at length: several seeds (`--seeds N`), and each `live` defect by itself."""

from __future__ import annotations

import pytest
from conftest import Mock
from test_compare import LIVE, compared, named

# What follows from a defect in operations that the short run of the suite does not come to.
EVERYWHERE = {
    "metadata-null": {
        ("terminateWallet", "shape", "/metadata"),
        ("getWalletsByCustomerId", "shape", "/*/metadata"),
        ("getCustomerWallets", "shape", "/*/metadata"),
    },
}


def test_equal_mocks_do_not_differ_by_any_seed(mock: Mock, session: str, seed: int) -> None:
    """The usual situations with other values and in another order, then a hundred steps at random: nothing differs."""
    for provider, most in (("flexprice", 3000), ("polar", 500)):
        run = compared(mock, f"{session}-{provider}", provider=provider, seed=seed, at_random=100)

        assert [(entry.fingerprint, entry.a, entry.b) for entry in run.differences] == []
        assert run.verdict == "pass"
        assert run.fidelity.agreed == run.fidelity.compared > most
        assert run.not_comparable == []


@pytest.mark.parametrize("defect", LIVE)
def test_each_live_defect_is_named_and_nothing_else(mock: Mock, session: str, defect: str) -> None:
    """By itself, over the whole sequence: its differences by operation, kind and place, all confirmed, and no other."""
    run = compared(mock, session, (), (defect,), at_random=100)

    assert named(run) == LIVE[defect] | EVERYWHERE.get(defect, set())
    assert {entry.confirmation for entry in run.differences} == {"confirmed"}
