"""Several requests at the same moment."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

from contract_tests.probes.flexprice import lab
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.flexprice import ONLY
from contract_tests.rules.flexprice_sequences import SAME_KEY_AT_ONCE
from contract_tests.rules.observation import decimal
from contract_tests.rules.rule import WRITES, Rule

PARALLEL_TOPUPS = Rule(
    "concurrency.parallel-top-ups",
    "Top-ups at the same moment lose nothing and double nothing: the balance grows by what was answered, in as many rows.",
    "I18, I13; operations on one wallet are serialised by an advisory lock",
    "eight top-ups at once on a wallet that the run created",
    "top-ups that were refused, which must not count",
    ONLY,
    WRITES,
)
TERMINATED_ONCE = Rule(
    "concurrency.terminated-once",
    "Terminating at the same moment closes a wallet, and takes its credits out, once.",
    "I22, I20 (the wallet id is the debit's idempotency key); internal/ee/service/wallet.go:1605-1652",
    "four terminations at once of a wallet that the run created",
    "",
    ONLY,
    WRITES,
)


@probe("flexprice", PARALLEL_TOPUPS, needs=["write"])
def parallel_top_ups(stage: Stage) -> None:
    """Eight at once, three times over."""
    for _ in range(3):
        wallet = lab.create(stage)
        lab.must_top_up(stage, wallet.id, "100")
        amounts = [Decimal(2) ** number for number in range(8)]
        keys = [stage.unique("k") for _ in amounts]
        answers = stage.parallel(
            [partial(lab.top_up, stage, wallet.id, str(amount), key=key) for amount, key in zip(amounts, keys, strict=True)]
        )
        if None in answers:
            stage.give_up("a top-up was not answered, so nobody knows whether it counts")
        given = [answer for answer in answers if answer is not None]
        wanted = sum((amount for amount, answer in zip(amounts, given, strict=True) if answer.ok), Decimal(100))
        rows_wanted = 1 + sum(answer.ok for answer in given)
        read = stage.eventually(partial(stage.call, "getWallet", wallet.id), partial(lab.has_credits, wanted))
        rows, listed = lab.all_rows(stage, wallet.id)
        stage.judge(
            PARALLEL_TOPUPS,
            lab.has_credits(wanted, read) and len(rows) == rows_wanted,
            "after eight top-ups at the same moment the balance is not what was answered",
            *given,
            read,
            listed,
            pointer="/credit_balance",
            expected=f"{wanted} credits in {rows_wanted} rows",
            got=f"{lab.credits_of(read)} credits in {len(rows)} rows",
        )


@probe("flexprice", SAME_KEY_AT_ONCE, needs=["write"])
def same_key_at_once(stage: Stage) -> None:
    """Six at once, three times over."""
    for _ in range(3):
        wallet = lab.create(stage)
        key = stage.unique("k")
        answers = stage.parallel([partial(lab.top_up, stage, wallet.id, "7", key=key) for _ in range(6)])
        if None in answers:
            stage.give_up("a top-up was not answered, so nobody knows whether it counts")
        given = [answer for answer in answers if answer is not None]
        succeeded = sum(answer.ok for answer in given)
        read = stage.eventually(partial(stage.call, "getWallet", wallet.id), partial(lab.has_credits, Decimal(7)))
        rows, listed = lab.all_rows(stage, wallet.id)
        stage.judge(
            SAME_KEY_AT_ONCE,
            succeeded == 1 and lab.credits_of(read) == 7 and len(rows) == 1,
            "one idempotency key, sent six times at the same moment, did not take effect just once",
            *given,
            read,
            listed,
            pointer="/credit_balance",
            expected="1 success, 7 credits in 1 row",
            got=f"{succeeded} successes, {lab.credits_of(read)} credits in {len(rows)} rows",
        )


@probe("flexprice", TERMINATED_ONCE, needs=["write"])
def parallel_terminations(stage: Stage) -> None:
    """Four at once, three times over."""
    for _ in range(3):
        wallet = lab.create(stage)
        lab.must_top_up(stage, wallet.id, "40")
        answers = stage.parallel([partial(lab.terminate, stage, wallet.id) for _ in range(4)])
        given = [answer for answer in answers if answer is not None]
        read = stage.eventually(partial(stage.call, "getWallet", wallet.id), partial(lab.has_credits, Decimal(0)))
        rows, listed = lab.all_rows(stage, wallet.id)
        debits = [decimal(row.get("credit_amount")) for row in rows if row.get("type") == "debit"]
        succeeded = sum(answer.ok for answer in given)
        stage.judge(
            TERMINATED_ONCE,
            lab.has_credits(Decimal(0), read) and debits == [40] and (succeeded == 1 or len(given) < len(answers)),
            "a wallet terminated four times at the same moment was not closed, and paid out, just once",
            *given,
            read,
            listed,
            pointer="/credit_balance",
            expected="1 success, 0 credits, one debit of 40",
            got=f"{succeeded} successes, {lab.credits_of(read)} credits, debits {', '.join(map(str, debits))}",
        )
