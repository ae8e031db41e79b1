"""The life of a wallet: created, read, updated, terminated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contract_tests.probes.flexprice import lab
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.flexprice import ONLY
from contract_tests.rules.flexprice_reading import FIXED, REAL_TIME
from contract_tests.rules.flexprice_sequences import (
    CREATED_IS_FOUND,
    NEW_WALLET_DEFAULTS,
    SENT_IS_KEPT,
    TERMINATE_CLOSES,
    UPDATE_MERGES,
)
from contract_tests.rules.observation import Observation, decimal
from contract_tests.rules.rule import WRITES, Rule
from contract_tests.rules.shared import FIXED_FOREVER, READS_REPEAT

_SERVICE = "internal/ee/service/wallet.go"

ONE_PER_KIND = Rule(
    "state.one-wallet-per-kind",
    "A customer has one active wallet per currency (in any case) and type; others are fine, and a closed one does not count.",
    f"I23; {_SERVICE}:159-275",
    "second creations, one after the other",
    "409 or 400 of the same meaning; creations at the same moment",
    ONLY,
    WRITES,
)
UPDATED_AT_MOVES = Rule(
    "state.updated-at-moves",
    "The answer to an update shows the wallet as it is now: its updated_at is what a read says right after.",
    "WalletResponse of the document; D20 is the deviation",
    "updates of wallets that the run created",
    providers=ONLY,
    needs=WRITES,
)
TERMINATE_EMPTIES = Rule(
    "money.terminate-empties",
    "Terminating takes out all credits by one debit of just that, and every transaction stays listed.",
    f"I22, I10; {_SERVICE}:1605-1652",
    "wallets that the run created, without automatic top-up",
    providers=ONLY,
    needs=WRITES,
)


@probe("flexprice", NEW_WALLET_DEFAULTS, SENT_IS_KEPT, CREATED_IS_FOUND, needs=["write"])
def creation(stage: Stage) -> None:
    """A prepaid wallet with everything that can be sent, and a postpaid one with nothing more than needed."""
    prepaid = lab.create(
        stage, currency="USD", description="Probe wallet", metadata={"source": "walletproof", "run": stage.subject.run_id}
    )
    postpaid = lab.create(stage, currency="eur", wallet_type="POST_PAID", conversion_rate="2", topup_conversion_rate="0.5")
    for wallet, kind, types in ((prepaid, "Prepaid", ["USAGE"]), (postpaid, "Postpaid", ["ALL"])):
        body = wallet.body
        _expect_members(
            stage,
            NEW_WALLET_DEFAULTS,
            wallet.answer,
            {
                "wallet_status": "active",
                "alert_state": "ok",
                "balance": "0",
                "credit_balance": "0",
                "name": f"{kind} Wallet - {str(body.get('currency', '')).upper()}",
                "config": {"allowed_price_types": types},
            },
        )
    sent = {"description": "Probe wallet", "metadata": {"source": "walletproof", "run": stage.subject.run_id}}
    _expect_members(
        stage,
        SENT_IS_KEPT,
        prepaid.answer,
        {**sent, "wallet_type": "PRE_PAID", "conversion_rate": "1", "topup_conversion_rate": "1"},
    )
    stage.judge(
        SENT_IS_KEPT,
        prepaid.body.get("currency") == str(prepaid.answer.sent["currency"]).lower(),
        "the currency is not the one sent, in lower case",
        prepaid.answer,
        pointer="/currency",
        expected=str(prepaid.answer.sent["currency"]).lower(),
        got=prepaid.body.get("currency"),
    )
    _expect_members(
        stage, SENT_IS_KEPT, postpaid.answer, {"wallet_type": "POST_PAID", "conversion_rate": "2", "topup_conversion_rate": "0.5"}
    )
    for wallet in (prepaid, postpaid):
        _found_everywhere(stage, wallet)
    _initial_credits(stage)


def _initial_credits(stage: Stage) -> None:
    """Credits that a wallet is created with are there, and booked."""
    wallet = lab.create(stage, initial_credits_to_load="20.5")
    read = stage.eventually(lambda: stage.call("getWallet", wallet.id), lambda seen: lab.credits_of(seen) == decimal("20.5"))
    stage.judge(
        SENT_IS_KEPT,
        lab.credits_of(read) == decimal("20.5"),
        "the wallet does not have the credits that it was created with",
        wallet.answer,
        read,
        pointer="/credit_balance",
        expected="20.5",
        got=lab.field(read, "credit_balance"),
    )


def _found_everywhere(stage: Stage, wallet: lab.Made) -> None:
    found = stage.eventually(lambda: stage.call("getWallet", wallet.id), lambda seen: seen.ok)
    _says_the_same(stage, wallet, found, found.body if found.ok and isinstance(found.body, dict) else None, "get by id")
    found = stage.call("queryWallet", body={"wallet_ids": [wallet.id], "limit": 10})
    _says_the_same(stage, wallet, found, _item(found, wallet.id), "search")
    found = stage.call("getWalletsByCustomerId", wallet.customer)
    _says_the_same(stage, wallet, found, _item(found, wallet.id), "the customer's wallets")
    found = stage.call("getWalletBalance", wallet.id)
    _says_the_same(stage, wallet, found, found.body if found.ok and isinstance(found.body, dict) else None, "real-time balance")


def _says_the_same(stage: Stage, wallet: lab.Made, seen: Observation, body: dict[str, Any] | None, where: str) -> None:
    if not seen.ok and seen.status >= 500:
        return  # that is another rule's business
    if stage.judge(CREATED_IS_FOUND, body is not None, f"the wallet just created is not there: {where}", wallet.answer, seen):
        assert body is not None
        different = lab.differences(wallet.body, body)
        stage.judge(
            CREATED_IS_FOUND,
            not different,
            f"{where} does not say what creation said about {', '.join(different)}",
            wallet.answer,
            seen,
            pointer=f"/{different[0]}" if different else "",
            expected={name: wallet.body.get(name) for name in different},
            got={name: body.get(name) for name in different},
        )


@probe("flexprice", ONE_PER_KIND, needs=["write"])
def second_wallet(stage: Stage) -> None:
    """Same kind twice, other kinds, and the same kind again once the first is closed."""
    first = lab.create(stage, currency="usd")
    currency = str(first.body.get("currency"))
    for again in (currency, currency.upper()):
        answer = stage.call("createWallet", body={"customer_id": first.customer, "currency": again})
        refused = answer.status in (400, 409)
        if answer.ok and isinstance(answer.body, dict) and answer.body.get("id") != first.id:
            lab.made(stage, answer)
        if answer.status < 500:
            stage.judge(
                ONE_PER_KIND,
                refused,
                f"a second active {again} wallet was not refused",
                first.answer,
                answer,
                expected=409,
                got=answer.status,
            )
    other = stage.call("createWallet", body={"customer_id": first.customer, "currency": currency, "wallet_type": "POST_PAID"})
    if other.status < 500:
        stage.judge(
            ONE_PER_KIND, other.ok, "a wallet of another type was refused", first.answer, other, expected=200, got=other.status
        )
    if other.ok:
        lab.made(stage, other)
    closing = lab.terminate(stage, first.id)
    if 200 <= closing.status < 300:
        renewed = stage.call("createWallet", body={"customer_id": first.customer, "currency": currency})
        if renewed.status < 500:
            stage.judge(
                ONE_PER_KIND,
                renewed.ok,
                "a closed wallet stands in the way of a new one",
                closing,
                renewed,
                expected=200,
                got=renewed.status,
            )
        if renewed.ok:
            lab.made(stage, renewed)


@probe("flexprice", UPDATE_MERGES, FIXED_FOREVER, UPDATED_AT_MOVES, needs=["write"])
def update(stage: Stage) -> None:
    """Updates one thing after the other."""
    wallet = lab.create(
        stage, description="Before", metadata={"keep": "no", "a": "1"}, conversion_rate="2", topup_conversion_rate="2"
    )
    lab.must_top_up(stage, wallet.id, "5")
    before = stage.call("getWallet", wallet.id)
    changes: list[dict[str, Any]] = [
        {"metadata": {"b": "2"}},
        {"name": "Renamed by a probe"},
        {"description": "After"},
        {},
        {"config": {"allowed_price_types": ["ALL"]}},
        {
            "conversion_rate": "9",
            "topup_conversion_rate": "9",
            "currency": "xxx",
            "customer_id": "somebody",
            "wallet_status": "closed",
        },
    ]
    for change in changes:
        known = {name: value for name, value in change.items() if name in ("metadata", "name", "description", "config")}
        answer = stage.call("updateWallet", wallet.id, body=change)
        if not answer.ok:
            if known == change and answer.status < 500:
                stage.judge(UPDATE_MERGES, False, "a lawful update was refused", answer, expected=200, got=answer.status)
            continue
        wanted = {**(before.body if isinstance(before.body, dict) else {}), **known}
        after = stage.eventually(
            lambda: stage.call("getWallet", wallet.id),
            lambda seen, wanted=wanted: not _changed(wanted, seen),  # type: ignore[misc]
        )
        for seen in (answer, after):
            different = [name for name in _changed(wanted, seen) if name not in FIXED]
            stage.judge(
                UPDATE_MERGES,
                not different,
                f"after an update of {', '.join(change) or 'nothing'}, {', '.join(different)} is not as it should be",
                before,
                answer,
                *(() if seen is answer else (seen,)),
                pointer=f"/{different[0]}" if different else "",
                expected={name: wanted.get(name) for name in different},
                got={name: lab.field(seen, name) for name in different},
            )
            fixed(stage, wallet.body, seen, wallet.answer, answer)
        stage.judge(
            UPDATED_AT_MOVES,
            lab.field(answer, "updated_at") == lab.field(after, "updated_at"),
            "the answer to an update shows another updated_at than a read right after it",
            answer,
            after,
            pointer="/updated_at",
            expected=lab.field(after, "updated_at"),
            got=lab.field(answer, "updated_at"),
        )
        before = after


def fixed(stage: Stage, original: dict[str, Any], seen: Observation, *evidence: Observation) -> None:
    """Judge that nothing changed of what never changes."""
    body = seen.body.get("wallet", seen.body) if isinstance(seen.body, dict) else None
    if not seen.ok or not isinstance(body, dict):
        return
    one = {name: original.get(name) for name in FIXED}
    two = {name: body.get(name) for name in FIXED}
    different = lab.differences(one, two)
    stage.judge(
        FIXED_FOREVER,
        not different,
        f"{', '.join(different)} changed",
        *evidence,
        *(() if seen in evidence else (seen,)),
        pointer=f"/{different[0]}" if different else "",
        expected={name: one[name] for name in different},
        got={name: two[name] for name in different},
    )


def _changed(wanted: dict[str, Any], seen: Observation) -> list[str]:
    body = seen.body if isinstance(seen.body, dict) else {}
    return lab.differences(wanted, body, REAL_TIME | {"updated_at", "updated_by"})


@probe("flexprice", TERMINATE_CLOSES, TERMINATE_EMPTIES, FIXED_FOREVER, needs=["write"])
def termination(stage: Stage) -> None:
    """A wallet with credits of several kinds is closed, and looked at from everywhere."""
    wallet = lab.create(stage, conversion_rate="2", topup_conversion_rate="2")
    lab.must_top_up(stage, wallet.id, "12.5")
    lab.must_top_up(stage, wallet.id, "0.75", reason="PURCHASED_CREDIT_DIRECT", priority=1)
    rows_before, _ = lab.all_rows(stage, wallet.id)
    closing = lab.terminate(stage, wallet.id)
    if closing.status >= 500:
        stage.give_up(f"terminate answered {closing.status}")
    if not stage.judge(
        TERMINATE_CLOSES, closing.ok, "an active wallet could not be closed", closing, expected=200, got=closing.status
    ):
        return
    closed = stage.eventually(
        lambda: stage.call("getWallet", wallet.id), lambda seen: lab.field(seen, "wallet_status") == "closed"
    )
    for seen in (closing, closed):
        status = lab.field(seen, "wallet_status")
        if status is not None or seen is closed:
            stage.judge(
                TERMINATE_CLOSES,
                status == "closed",
                "a terminated wallet is not closed",
                closing,
                *_not(closing, seen),
                pointer="/wallet_status",
                expected="closed",
                got=status,
            )
    fixed(stage, wallet.body, closed, wallet.answer, closing)
    balance = stage.call("getWalletBalance", wallet.id)
    stage.judge(TERMINATE_CLOSES, balance.ok, "the balance of a closed wallet cannot be read", closing, balance)
    found = stage.call("queryWallet", body={"wallet_ids": [wallet.id], "limit": 10})
    if found.ok:
        stage.judge(TERMINATE_CLOSES, _item(found, wallet.id) is not None, "search does not find a closed wallet", closing, found)
    listed = stage.call("getWalletsByCustomerId", wallet.customer)
    if listed.status != 404 and lab.items(listed) is not None:
        stage.judge(
            TERMINATE_CLOSES, _item(listed, wallet.id) is None, "a closed wallet is among its customer's wallets", closing, listed
        )
    _emptied(stage, wallet, closing, closed, rows_before)
    again = lab.terminate(stage, wallet.id)
    if again.status < 500:
        stage.judge(
            TERMINATE_CLOSES,
            again.status == 400 and lab.field(again, "code") in (None, "invalid_operation", "validation_error"),
            "terminating a closed wallet is not refused as an invalid operation",
            closing,
            again,
            expected="400 invalid_operation",
            got=f"{again.status} {lab.field(again, 'code')}",
        )
    reopened = stage.call("updateWallet", wallet.id, body={"description": "still closed"})
    read = stage.call("getWallet", wallet.id)
    if read.ok:
        stage.judge(
            TERMINATE_CLOSES,
            lab.field(read, "wallet_status") == "closed",
            "an update reopened a closed wallet",
            closing,
            reopened,
            read,
            pointer="/wallet_status",
            expected="closed",
            got=lab.field(read, "wallet_status"),
        )


def _emptied(
    stage: Stage, wallet: lab.Made, closing: Observation, closed: Observation, rows_before: list[dict[str, Any]]
) -> None:
    stage.judge(
        TERMINATE_EMPTIES,
        lab.credits_of(closed) == 0,
        "a closed wallet has credits left",
        closing,
        closed,
        pointer="/credit_balance",
        expected="0",
        got=lab.field(closed, "credit_balance"),
    )
    rows, answer = lab.all_rows(stage, wallet.id)
    debits = [row for row in rows if row.get("type") == "debit"]
    taken = [decimal(row.get("credit_amount")) for row in debits]
    stage.judge(
        TERMINATE_EMPTIES,
        taken == [decimal("13.25")] and debits[0].get("transaction_reason") == "WALLET_TERMINATION",
        "the credits were not taken out by one WALLET_TERMINATION debit",
        closing,
        answer,
        pointer="/items",
        expected=["13.25"],
        got=[(row.get("transaction_reason"), row.get("credit_amount")) for row in debits],
    )
    lost = {row.get("id") for row in rows_before} - {row.get("id") for row in rows}
    stage.judge(TERMINATE_EMPTIES, not lost, "transactions of a closed wallet are gone", closing, answer, pointer="/items")


@probe("flexprice", READS_REPEAT, needs=["write"])
def reads_repeat(stage: Stage) -> None:
    """Every read operation, forty times, on a wallet that nobody else knows."""
    wallet = lab.create(stage, conversion_rate="2", topup_conversion_rate="2")
    for credits in ("1.5", "2.25", "10"):
        lab.must_top_up(stage, wallet.id, credits)
    reads: tuple[Callable[[], Observation], ...] = (
        lambda: stage.call("getWallet", wallet.id),
        lambda: stage.call("getWalletBalance", wallet.id),
        lambda: stage.call("getWalletTransactions", wallet.id, query={"limit": 10}),
        lambda: stage.call("queryWallet", body={"wallet_ids": [wallet.id], "limit": 10}),
        lambda: stage.call("queryWalletTransaction", body={"id": wallet.id, "limit": 10}),
        lambda: stage.call("getWalletsByCustomerId", wallet.customer),
    )
    for read in reads:
        first = stage.eventually(read, lambda seen: seen.ok)
        for _ in range(40):
            again = read()
            if again.status >= 500 or not first.ok:
                continue
            stage.judge(
                READS_REPEAT,
                again.status == first.status and again.body == first.body,
                "reading again, with nothing changed in between, gave another answer",
                first,
                again,
                expected=first.body,
                got=again.body if again.ok else again.status,
            )


def _expect_members(stage: Stage, rule: Rule, seen: Observation, wanted: dict[str, Any]) -> None:
    body = seen.body if isinstance(seen.body, dict) else {}
    wrong = lab.differences(wanted, {name: body.get(name) for name in wanted})
    wrong = [name for name in wrong if not (decimal(wanted[name]) == 0 and decimal(body.get(name)) == 0)]
    stage.judge(
        rule,
        not wrong,
        f"{', '.join(wrong)} is not as expected",
        seen,
        pointer=f"/{wrong[0]}" if wrong else "",
        expected={name: wanted[name] for name in wrong},
        got={name: body.get(name) for name in wrong},
    )


def _item(seen: Observation, wallet_id: str) -> dict[str, Any] | None:
    return next((item for item in lab.items(seen) or () if item.get("id") == wallet_id), None)


def _not(first: Observation, second: Observation) -> tuple[Observation, ...]:
    return () if first is second else (second,)
