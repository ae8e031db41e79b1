"""Reading a wallet: as the list has it, every time the same, by any spelling of its id, in any version."""

from __future__ import annotations

import uuid

from contract_tests.probes.polar.asking import (
    answered,
    ask,
    judge_same,
    judge_status,
    nobodys,
    page,
    read,
    shown,
    spelled,
    wallets,
)
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.polar_reading import GET, LARGEST_PAGE, LIST, body_of, canonical, wallet_of
from contract_tests.rules.rule import Rule
from contract_tests.rules.shared import ITEM_EQUALS_GET, READS_REPEAT, UNKNOWN_WALLET

_MOST_ITEMS = 25
_REPEATS = 40

ANY_SPELLING = Rule(
    "state.any-spelling-of-id",
    "Upper case, no hyphens, braces, urn:uuid: - every spelling of an id gives the very same answer.",
    "P11; seen on the wire",
    "wallets that can be read",
    "",
    ("polar",),
    frozenset({"wallet"}),
)

VERSIONS_AGREE = Rule(
    "state.versions-agree",
    "Wallets read the same in every version that can be asked for, and an empty Polar-Version is none.",
    "server/polar/version.py:3-8, server/polar/kit/versioning.py:155-176",
    "both operations",
    "",
    ("polar",),
)


@probe("polar", ITEM_EQUALS_GET)
def items_equal_gets(stage: Stage) -> None:
    """Key for key."""
    listed = page(stage, [("limit", LARGEST_PAGE)])
    known = [item for item in listed.page.items if canonical(str(item.get("id")))]
    for item in stage.random.sample(known, min(_MOST_ITEMS, len(known))):
        seen = read(stage, str(item["id"]))
        wallet = wallet_of(seen)
        differing = sorted(name for name in {*item, *(wallet or {})} if wallet is None or _at(item, name) != _at(wallet, name))
        stage.judge(
            ITEM_EQUALS_GET,
            not differing,
            "the wallet is not what its list says",
            listed.seen,
            seen,
            pointer=f"/{differing[0]}" if wallet is not None and differing else "",
            expected=spelled(item)[:400],
            got=shown(seen) if wallet is None else spelled(wallet)[:400],
        )


def _at(wallet: dict[str, object], name: str) -> str:
    return spelled(wallet[name]) if name in wallet else "missing"


@probe("polar", READS_REPEAT)
def lists_repeat(stage: Stage) -> None:
    """Often enough for what shows in one of twenty answers."""
    first = page(stage, [("limit", LARGEST_PAGE)])
    for _ in range(_REPEATS):
        seen = ask(stage, [("limit", LARGEST_PAGE)])
        if not judge_same(stage, READS_REPEAT, "a list reads another way the second time", first.seen, seen):
            return


@probe("polar", READS_REPEAT)
def wallets_repeat(stage: Stage) -> None:
    """One after the other in turn, so that answers mixed up between them show."""
    known = wallets(stage, 8)
    first = {wallet_id: read(stage, wallet_id) for wallet_id in known}
    for number in range(_REPEATS):
        wallet_id = known[number % len(known)]
        seen = read(stage, wallet_id)
        if not judge_same(stage, READS_REPEAT, "a wallet reads another way the second time", first[wallet_id], seen):
            return


@probe("polar", ANY_SPELLING)
def spellings(stage: Stage) -> None:
    """Of wallets, and of an id that nobody has."""
    for wallet_id in [*wallets(stage, 2), nobodys(stage.random)]:
        usual = read(stage, wallet_id)
        bare = wallet_id.replace("-", "")
        for spelling in (wallet_id.upper(), bare, bare.upper(), f"{{{wallet_id}}}", f"urn:uuid:{wallet_id}"):
            seen = read(stage, spelling)
            judge_same(stage, ANY_SPELLING, "another spelling of the id gives another answer", usual, seen)


@probe("polar", UNKNOWN_WALLET)
def unknown_wallets(stage: Stage) -> None:
    """Random ids, and one that differs from a known one in its last digit."""
    page(stage)
    known = {canonical(wallet_id) for wallet_id in stage.subject.wallets}
    near = [str(uuid.UUID(int=uuid.UUID(wallet_id).int ^ 1)) for wallet_id in sorted(filter(None, known))[:1]]
    for wallet_id in [*(nobodys(stage.random) for _ in range(3)), *near]:
        if wallet_id in known:
            continue
        judge_status(stage, UNKNOWN_WALLET, "an id that nobody has", read(stage, wallet_id), 404)


@probe("polar", VERSIONS_AGREE)
def versions(stage: Stage) -> None:
    """Both operations in both versions."""
    wallet_ids = stage.subject.wallets[:1]
    for operation, wallet_id in [(LIST, ""), *((GET, wallet_id) for wallet_id in wallet_ids)]:
        usual = ask(stage) if operation == LIST else read(stage, wallet_id)
        if not usual.ok:
            stage.give_up(f"no wallets came, but {shown(usual)}")
        for version in ("2026-04", "2026-10", ""):
            seen = answered(stage, stage.call(operation, wallet_id, headers=[("Polar-Version", version)]))
            stage.judge(
                VERSIONS_AGREE,
                seen.status == usual.status and spelled(body_of(seen)) == spelled(body_of(usual)),
                "another version gives another answer",
                usual,
                seen,
                expected=shown(usual),
                got=shown(seen),
            )
