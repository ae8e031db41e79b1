"""Rules over single Polar exchanges: what a wallet promises beyond its schema, and the answer that carries it.

Sources: `P1` to `P15` are the invariants of the service as read from its public repository, polarsource/polar at commit
c6c3645, and seen on the wire of its server; files named here are that repository's.
"""

from __future__ import annotations

from collections.abc import Iterator

from contract_tests.rules.observation import Observation
from contract_tests.rules.polar_reading import GET, LIST, canonical, moment, wallet_of, wallets_in
from contract_tests.rules.rule import Problem, Rule, exchange_rule

ONLY = ("polar",)

MODIFIED_AFTER_CREATED = Rule(
    "state.modified-after-created",
    "modified_at is null or not before created_at.",
    "P10; server/polar/kit/schemas.py:59-72, server/polar/kit/db/models/base.py:47-49",
    "every wallet in an answer",
    "",
    ONLY,
)

BALANCE_IS_WHOLE = Rule(
    "money.balance-is-whole",
    "A balance is written as a whole number, without fraction or exponent.",
    "P10; server/polar/wallet/schemas.py:17-25; the provider's SDK refuses 3766.0",
    "every wallet in an answer",
    "",
    ONLY,
)

RIGHT_WALLET = Rule(
    "state.right-wallet",
    "The wallet that comes is the one that was asked for, with its id in the usual form.",
    "P11; server/polar/customer_portal/endpoints/wallet.py:50-67",
    "every wallet read by its id",
    "",
    ONLY,
)

VERSION_IN_FORCE = Rule(
    "contract.version-in-force",
    "Polar-Version in an answer is the version that was asked for: 2026-04 if none was.",
    "server/polar/version.py:3-8, server/polar/kit/versioning.py:155-176",
    "answers with that header",
    "",
    ONLY,
)

NOT_STORED = Rule(
    "auth.not-stored",
    "No cache may keep what a customer is told: Cache-Control says no-store.",
    "server/polar/middlewares.py:171",
    "answers of both operations with that header",
    "",
    ONLY,
)


@exchange_rule(MODIFIED_AFTER_CREATED)
def modified_after_created(seen: Observation) -> Iterator[Problem | None]:
    """Compares the two times."""
    for at, wallet in wallets_in(seen):
        created, modified = moment(wallet.get("created_at")), moment(wallet.get("modified_at"))
        if created is None or (modified is None and wallet.get("modified_at") is not None):
            continue
        if modified is None or modified >= created:
            yield None
        else:
            yield Problem("modified_at is before created_at", f"{at}/modified_at", wallet["created_at"], wallet["modified_at"])


@exchange_rule(BALANCE_IS_WHOLE)
def balance_is_whole(seen: Observation) -> Iterator[Problem | None]:
    """Looks at how the number was written; what is no number at all is the contract's business."""
    for at, wallet in wallets_in(seen):
        balance = wallet.get("balance")
        if isinstance(balance, float):
            yield Problem("the balance has a fraction or an exponent", f"{at}/balance", "a whole number", balance)
        elif type(balance) is int:
            yield None


@exchange_rule(RIGHT_WALLET)
def right_wallet(seen: Observation) -> Iterator[Problem | None]:
    """Compares with the path."""
    wallet = wallet_of(seen)
    expected = canonical(seen.request.path_params.get("id", ""))
    if wallet is None or expected is None:
        return
    if wallet.get("id") == expected:
        yield None
    else:
        yield Problem("another wallet than the one asked for", "/id", expected, wallet.get("id"))


@exchange_rule(VERSION_IN_FORCE)
def version_in_force(seen: Observation) -> Iterator[Problem | None]:
    """Compares the two headers."""
    answered = seen.header(b"polar-version")
    if not seen.operation.id.startswith("customer_portal:wallets:") or answered is None:
        return
    expected = seen.request.header.get(b"polar-version", b"").decode("latin-1") or "2026-04"
    if answered == expected:
        yield None
    else:
        yield Problem("another version than the one asked for", "header Polar-Version", expected, answered)


@exchange_rule(NOT_STORED)
def not_stored(seen: Observation) -> Iterator[Problem | None]:
    """Looks for the word."""
    answered = seen.header(b"cache-control")
    if seen.operation.id not in (GET, LIST) or answered is None:
        return
    if "no-store" in answered.lower():
        yield None
    else:
        yield Problem("caches may keep the answer", "header Cache-Control", "no-store", answered)
