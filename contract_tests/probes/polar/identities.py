"""Two customers: neither sees that the other has wallets."""

from __future__ import annotations

from contract_tests.identity import Identity
from contract_tests.probes.polar.asking import Read, judge_same, nobodys, page, read
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.polar_reading import LARGEST_PAGE
from contract_tests.rules.shared import OTHERS_WALLETS_HIDDEN

_MOST = 5


@probe("polar", OTHERS_WALLETS_HIDDEN, needs=["other identity"])
def two_customers(stage: Stage) -> None:
    """Their lists have no wallet and no owner in common, and asking for the other's is asking for nothing."""
    identities = [stage.subject.identities[name] for name in ("main", "other")]
    main, other = (page(stage, [("limit", LARGEST_PAGE)], identity) for identity in identities)
    owners = [{str(item.get("customer_id")) for item in listed.page.items} for listed in (main, other)]
    if not any(owners):
        stage.give_up("needs a wallet that can be read (--wallet ID); neither identity has one")
    if owners[0] == owners[1] and len(owners[0]) == 1:
        stage.give_up("both identities are the same customer")
    if all(owners):
        _judge_lists(stage, main, other)
    nobody = nobodys(stage.random)
    for identity, own, others in ((identities[0], main, other), (identities[1], other, main)):
        _judge_gets(stage, identity, own, others, nobody)


def _judge_lists(stage: Stage, main: Read, other: Read) -> None:
    for name in ("id", "customer_id"):
        seen = [{str(item.get(name)) for item in listed.page.items} for listed in (main, other)]
        stage.judge(
            OTHERS_WALLETS_HIDDEN,
            not seen[0] & seen[1],
            f"two customers see the same {name}",
            main.seen,
            other.seen,
            pointer="/items",
            expected="nothing in common",
            got=sorted(seen[0] & seen[1])[:3],
        )


def _judge_gets(stage: Stage, identity: Identity, own: Read, others: Read, nobody: str) -> None:
    ids = [wallet_id for wallet_id in others.page.ids if wallet_id not in own.page.ids]
    expected = read(stage, nobody, identity=identity)
    for wallet_id in ids[:_MOST]:
        seen = read(stage, wallet_id, identity=identity)
        judge_same(
            stage, OTHERS_WALLETS_HIDDEN, "another's wallet answers otherwise than one that does not exist", expected, seen
        )
        stage.judge(OTHERS_WALLETS_HIDDEN, seen.status == 404, "another's wallet is not 404", seen, expected=404, got=seen.status)
