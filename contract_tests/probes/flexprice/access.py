"""Who may see and do what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from contract_tests.contract import Operation
from contract_tests.guard import is_safe
from contract_tests.identity import Identity, api_key
from contract_tests.probes.flexprice import lab
from contract_tests.probes.probe import WRONG_KEY, NotTested, Stage, probe
from contract_tests.rules.observation import NO_JSON, Observation
from contract_tests.rules.shared import (
    EXPIRED_REFUSED,
    MISSING_KEY_REFUSED,
    OTHERS_WALLETS_HIDDEN,
    SAME_REFUSAL_FOR_ALL,
    WRONG_KEY_REFUSED,
)

NOBODY = Identity("none")
STRANGER = api_key("wrong", WRONG_KEY)

_BODIES: dict[str, Any] = {
    "createWallet": {"currency": "usd"},
    "updateWallet": {"description": "by nobody"},
    "topUpWallet": {"credits_to_add": "1", "transaction_reason": "FREE_CREDIT_GRANT"},
    "queryWallet": {"limit": 1},
    "queryWalletTransaction": {"limit": 1},
}


@probe("flexprice", MISSING_KEY_REFUSED, WRONG_KEY_REFUSED, SAME_REFUSAL_FOR_ALL, needs=["credential"])
def strangers(stage: Stage) -> None:
    """Every operation, without a key and with a wrong one, for ids that exist and ids that do not."""
    own = _own_wallet(stage)
    known = stage.subject.wallets[:1] + ([own] if own else [])
    for operation in stage.contract.operations.values():
        for identity, how, rule in (
            (NOBODY, "without a key", MISSING_KEY_REFUSED),
            (STRANGER, "with a wrong key", WRONG_KEY_REFUSED),
        ):
            answers = []
            for wallet_id in _ids(operation, own, known):
                answer = _attempt(stage, operation, wallet_id, identity)
                if answer is None:
                    continue
                answers.append((wallet_id, answer))
                stage.judge(
                    rule,
                    answer.status == 401,
                    f"{operation.method} {operation.path} {how} was not refused with 401",
                    answer,
                    expected=401,
                    got=answer.status,
                )
            if "{id}" in operation.path and len(answers) > 1:
                _tell_nothing(stage, answers)


def _own_wallet(stage: Stage) -> str | None:
    """Something to point writes at."""
    try:
        return lab.create(stage).id if stage.subject.guard.mode != "read" else None
    except NotTested:
        return None


def _ids(operation: Operation, own: str | None, known: list[str]) -> Iterator[str]:
    """What to ask for: something that exists, then something that does not. Writes only touch what is the run's own."""
    if "{id}" not in operation.path:
        yield ""
        return
    if is_safe(operation):
        yield from known
    elif own:
        yield own
    yield lab.UNKNOWN_WALLET
    yield "not-an-id"


def _attempt(stage: Stage, operation: Operation, wallet_id: str, identity: Identity) -> Observation | None:
    if not is_safe(operation) and stage.subject.guard.mode == "read":
        return None
    body = _BODIES.get(operation.id, NO_JSON)
    if operation.id == "createWallet":
        body = {**body, "customer_id": stage.unique("c")}
    query = (
        {"id": stage.subject.customers[0] if stage.subject.customers else "cust_unknown"}
        if operation.id == "getCustomerWallets"
        else {}
    )
    invented = wallet_id in ("", lab.UNKNOWN_WALLET, "not-an-id")
    answer = stage.call(operation.id, wallet_id or None, query=query, body=body, identity=identity, invented=invented)
    if operation.id == "createWallet" and answer.ok and isinstance(lab.field(answer, "id"), str):
        lab.made(stage, answer)
    return answer


def _tell_nothing(stage: Stage, answers: list[tuple[str, Observation]]) -> None:
    _, first = answers[0]
    for _, answer in answers[1:]:
        stage.judge(
            SAME_REFUSAL_FOR_ALL,
            answer.status == first.status
            and (answer.body == first.body if first.body is not NO_JSON else answer.response.body == first.response.body),
            "the refusal differs for a wallet that exists and one that does not",
            first,
            answer,
            expected=f"{first.status} {first.text[:200]}",
            got=f"{answer.status} {answer.text[:200]}",
        )


@probe("flexprice", EXPIRED_REFUSED, needs=["expired credential"])
def expired(stage: Stage) -> None:
    """Every read with the expired key."""
    identity = stage.subject.identities["expired"]
    for operation in stage.contract.operations.values():
        if is_safe(operation):
            wallet_id = (stage.subject.wallets or [lab.UNKNOWN_WALLET])[0]
            answer = _attempt(stage, operation, wallet_id if "{id}" in operation.path else "", identity)
            if answer is not None:
                stage.judge(
                    EXPIRED_REFUSED,
                    answer.status == 401,
                    "an expired key was not refused with 401",
                    answer,
                    expected=401,
                    got=answer.status,
                )


@probe("flexprice", OTHERS_WALLETS_HIDDEN, needs=["other identity", "wallet"])
def other_tenant(stage: Stage) -> None:
    """The other key asks for the first one's wallets."""
    other = stage.subject.identities["other"]
    mine = set(stage.subject.wallets)
    for wallet_id in stage.subject.wallets[:3]:
        for operation_id in ("getWallet", "getWalletBalance"):
            unknown = stage.call(operation_id, lab.UNKNOWN_WALLET, identity=other)
            answer = stage.call(operation_id, wallet_id, identity=other)
            stage.judge(
                OTHERS_WALLETS_HIDDEN,
                answer.status == unknown.status == 404,
                "another's wallet is not answered as one that does not exist",
                unknown,
                answer,
                expected=404,
                got=answer.status,
            )
    found = stage.call("queryWallet", body={"wallet_ids": sorted(mine), "limit": 100}, identity=other)
    if lab.items(found) is not None:
        seen = mine & {str(item.get("id")) for item in lab.items(found) or ()}
        stage.judge(OTHERS_WALLETS_HIDDEN, not seen, "search finds another's wallets", found, pointer="/items", got=sorted(seen))
    rows = stage.call("queryWalletTransaction", body={"limit": 100}, identity=other)
    if lab.items(rows) is not None:
        seen = mine & {str(item.get("wallet_id")) for item in lab.items(rows) or ()}
        stage.judge(
            OTHERS_WALLETS_HIDDEN, not seen, "search finds another's transactions", rows, pointer="/items", got=sorted(seen)
        )
