"""Money going in: what a top-up adds, what it books, and what it must not do."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from contract_tests.probes.flexprice import lab
from contract_tests.probes.flexprice.wallets import fixed
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.flexprice import ONLY, TINY, tau
from contract_tests.rules.flexprice_sequences import (
    AMOUNT_CONVERTED,
    KEY_TAKES_EFFECT_ONCE,
    PENDING_CHANGES_NOTHING,
    SENT_IS_KEPT,
    TOPUP_ADDS,
    TOPUP_BOOKED,
)
from contract_tests.rules.observation import Observation, decimal
from contract_tests.rules.rule import WRITES, Rule
from contract_tests.rules.shared import FIXED_FOREVER

_SERVICE = "internal/ee/service/wallet.go"

BALANCE_AFTER_TOPUP = Rule(
    "money.balance-recomputed",
    "After a direct top-up balance = credit_balance x conversion_rate, whatever the top-up rate.",
    f"I1; {_SERVICE}:2153",
    "wallets of the run whose rates differ",
    providers=ONLY,
    needs=WRITES,
)
ROWS_SUM_UP = Rule(
    "money.rows-sum-to-balance",
    "Completed credits less completed debits are the credit balance.",
    "I10; internal/domain/wallet",
    "all transactions of a wallet that the run created, and of wallets with few enough to read them all",
    "1e-9 for each row",
    ONLY,
)
ROWS_CHAIN = Rule(
    "money.rows-chain",
    "Completed rows in their order: each finds the balance that the one before it left.",
    "I13; internal/domain/wallet/transaction.go",
    "wallets that the run created",
    "purchases that were completed later",
    ONLY,
    WRITES,
)
AVAILABLE_SUMS_UP = Rule(
    "money.available-sums-up",
    "The credits available over all completed credits are the credit balance, or 0 if that is negative.",
    "I16; internal/repository/ent/wallet.go:1216-1262",
    "wallets that the run created",
    "wallets that were overdrawn",
    ONLY,
    WRITES,
)
BREAKDOWN_ADDS_UP = Rule(
    "money.breakdown-adds-up",
    "Where there is a breakdown, free + purchased are the credits available; credits granted and credits bought are told apart.",
    "I17; internal/repository/ent/wallet.go:1216-1262",
    "credits_available_breakdown of wallets that the run created",
    "a breakdown that is not there; the class of bonus, credit note and refund",
    ONLY,
    WRITES,
)
NO_USAGE_NO_DEDUCTION = Rule(
    "money.no-usage-no-deduction",
    "For a customer without subscriptions and invoices the real-time balance is the balance.",
    f"I8; {_SERVICE}:2978-3075",
    "wallets that the run created for customers of their own",
    "cached answers",
    ONLY,
    WRITES,
)
ALERT_STATE = Rule(
    "state.alert-state-follows",
    "alert_state is what the wallet's own thresholds say of its real-time credits, right after a direct top-up.",
    "I26; internal/types/alert.go:497-543",
    "wallets of the run with alerts",
    providers=ONLY,
    needs=WRITES,
)

_DEPOSITS: tuple[tuple[str, str, str | None], ...] = (
    ("12.5", "FREE_CREDIT_GRANT", None),
    ("0.1", "PURCHASED_CREDIT_DIRECT", None),
    ("0.2", "SUBSCRIPTION_CREDIT_GRANT", None),
    ("0.000000001", "FREE_CREDIT_GRANT", None),
    ("333.333333333", "PURCHASED_CREDIT_DIRECT", "1.25"),
    ("7", "FREE_CREDIT_GRANT", "0.5"),
)


@probe(
    "flexprice",
    TOPUP_ADDS,
    TOPUP_BOOKED,
    AMOUNT_CONVERTED,
    BALANCE_AFTER_TOPUP,
    ROWS_SUM_UP,
    ROWS_CHAIN,
    AVAILABLE_SUMS_UP,
    BREAKDOWN_ADDS_UP,
    NO_USAGE_NO_DEDUCTION,
    FIXED_FOREVER,
    needs=["write"],
)
def deposits(stage: Stage) -> None:
    """Several top-ups of wallets with different rates, the last one by amount."""
    for rate, topup_rate in (("1", "1"), ("2", "2"), ("2", "0.5")):
        wallet = lab.create(stage, conversion_rate=rate, topup_conversion_rate=topup_rate)
        credits = Decimal(0)
        booked: list[Decimal] = []
        for amount, reason, bonus in _DEPOSITS:
            answer = lab.must_top_up(
                stage, wallet.id, amount, reason=reason, **({} if bonus is None else {"bonus_credits_to_add": bonus})
            )
            parts = [Decimal(amount)] + ([Decimal(bonus)] if bonus else [])
            credits += sum(parts)
            booked += parts
            credits = _grown(stage, TOPUP_ADDS, wallet, answer, credits)
            _row_of(stage, answer, Decimal(amount), reason)
            _recomputed(stage, answer, Decimal(rate))
        answer = lab.must_top_up(stage, wallet.id, None, amount="30")
        by_amount = Decimal(30) / Decimal(topup_rate)
        booked.append(by_amount)
        credits = _grown(stage, AMOUNT_CONVERTED, wallet, answer, credits + by_amount)
        fixed(stage, wallet.body, answer, wallet.answer)
        _books(stage, wallet, answer, booked)
        _breakdown(stage, wallet)


def _grown(stage: Stage, rule: Rule, wallet: lab.Made, answer: Observation, wanted: Decimal) -> Decimal:
    """Judge answer and read-back; the balance to go on from is what two of them say, so that one mistake is reported once."""
    read = stage.eventually(lambda: stage.call("getWallet", wallet.id), lambda seen: _close(lab.credits_of(seen), wanted))
    balance = stage.eventually(
        lambda: stage.call("getWalletBalance", wallet.id), lambda seen: _close(lab.credits_of(seen), wanted)
    )
    for seen in (answer, read, balance):
        if seen.status < 500:
            got = lab.credits_of(seen)
            stage.judge(
                rule,
                _close(got, wanted),
                "credit_balance did not grow by what was put in"
                if seen is answer
                else "a read after the top-up does not show what was put in",
                *((answer,) if seen is answer else (answer, seen)),
                pointer="/wallet/credit_balance" if seen is answer else "/credit_balance",
                expected=str(wanted),
                got=None if got is None else str(got),
            )
    real_time, stored = decimal(lab.field(balance, "real_time_balance")), decimal(lab.field(balance, "balance"))
    if real_time is not None and stored is not None and lab.field(balance, "is_cached_fallback") is not True:
        stage.judge(
            NO_USAGE_NO_DEDUCTION,
            real_time == stored and not decimal(lab.field(balance, "current_period_usage")),
            "something was deducted from a wallet whose customer has neither subscription nor invoice",
            answer,
            balance,
            pointer="/real_time_balance",
            expected=str(stored),
            got=str(real_time),
        )
    said = sorted(got for seen in (answer, read, balance) if (got := lab.credits_of(seen)) is not None)
    return said[len(said) // 2] if said else wanted


def _close(got: Decimal | None, wanted: Decimal) -> bool:
    return got is not None and abs(got - wanted) <= TINY


def _row_of(stage: Stage, answer: Observation, credits: Decimal, reason: str) -> None:
    row = lab.field(answer, "wallet_transaction")
    if isinstance(row, dict):
        wrong = {
            name: got
            for name, got, wanted in (
                ("type", row.get("type"), "credit"),
                ("transaction_status", row.get("transaction_status"), "completed"),
                ("transaction_reason", row.get("transaction_reason"), reason),
            )
            if got != wanted
        }
        if not _close(decimal(row.get("credit_amount")), credits):
            wrong["credit_amount"] = row.get("credit_amount")
        stage.judge(
            TOPUP_BOOKED,
            not wrong,
            f"the row of a top-up of {credits} ({reason}) is not of that top-up",
            answer,
            pointer=f"/wallet_transaction/{next(iter(wrong))}" if wrong else "",
            expected={
                "credit_amount": str(credits),
                "transaction_reason": reason,
                "type": "credit",
                "transaction_status": "completed",
            },
            got=wrong,
        )


def _recomputed(stage: Stage, answer: Observation, rate: Decimal) -> None:
    balance, credits = decimal(lab.field(answer, "wallet", "balance")), lab.credits_of(answer)
    if balance is not None and credits is not None:
        stage.judge(
            BALANCE_AFTER_TOPUP,
            abs(balance - credits * rate) <= tau(rate),
            "after a direct top-up balance is not credit_balance x conversion_rate",
            answer,
            pointer="/wallet/balance",
            expected=str(credits * rate),
            got=str(balance),
        )


def _books(stage: Stage, wallet: lab.Made, last: Observation, booked: list[Decimal]) -> None:
    """Judge the whole ledger of a wallet that had only credits."""
    rows, listed = lab.all_rows(stage, wallet.id)
    read = stage.call("getWallet", wallet.id)
    credits = lab.credits_of(read)
    amounts = sorted(amount for row in rows if (amount := decimal(row.get("credit_amount"))) is not None)
    stage.judge(
        TOPUP_BOOKED,
        len(amounts) == len(booked) and all(_close(one, two) for one, two in zip(amounts, sorted(booked), strict=True)),
        "the rows listed are not those that were booked",
        listed,
        pointer="/items",
        expected=[f"{amount:f}" for amount in sorted(booked)],
        got=[f"{amount:f}" for amount in amounts],
    )
    answered = lab.field(last, "wallet_transaction")
    if isinstance(answered, dict):
        same = next((row for row in rows if row.get("id") == answered.get("id")), None)
        different = [] if same is None else lab.differences(answered, same, frozenset({"updated_at"}))
        stage.judge(
            TOPUP_BOOKED,
            same is not None and not different,
            "the row that a top-up answered with is not listed"
            if same is None
            else f"the listed row differs in {', '.join(different)}",
            last,
            listed,
            pointer="/items",
            expected={name: answered.get(name) for name in different},
            got={name: (same or {}).get(name) for name in different},
        )
    if credits is not None:
        sums_up(stage, rows, credits, listed, read)
    _chained(stage, rows, listed)
    available = sum(
        (decimal(row.get("credits_available")) or Decimal(0) for row in rows if row.get("type") == "credit"), Decimal(0)
    )
    if credits is not None:
        stage.judge(
            AVAILABLE_SUMS_UP,
            abs(available - max(credits, Decimal(0))) <= TINY * (1 + len(rows)),
            "the credits available do not add up to the credit balance",
            listed,
            read,
            pointer="/credit_balance",
            expected=str(available),
            got=str(credits),
        )


def sums_up(stage: Stage, rows: list[dict[str, Any]], credits: Decimal, *evidence: Observation) -> None:
    """Judge that completed rows add up to a credit balance."""
    total = Decimal(0)
    for row in rows:
        amount = decimal(row.get("credit_amount"))
        if amount is not None and row.get("transaction_status") == "completed":
            total += amount if row.get("type") == "credit" else -amount
    stage.judge(
        ROWS_SUM_UP,
        abs(total - credits) <= TINY * (1 + len(rows)),
        "the completed rows do not add up to credit_balance",
        *evidence,
        pointer="/credit_balance",
        expected=str(total),
        got=str(credits),
    )


def _chained(stage: Stage, rows: list[dict[str, Any]], listed: Observation) -> None:
    """Rows may share a moment, so the chain is looked for: each row's `before` must be some other row's `after`, or 0."""
    befores, afters = [], [Decimal(0)]
    for row in rows:
        if row.get("transaction_status") == "completed":
            before, after = decimal(row.get("credit_balance_before")), decimal(row.get("credit_balance_after"))
            if before is None or after is None:
                return
            befores.append(before)
            afters.append(after)
    last = max(afters)
    unmatched = list(afters)
    broken = []
    for before in befores:
        near = next((after for after in unmatched if abs(after - before) <= TINY), None)
        if near is None:
            broken.append(before)
        else:
            unmatched.remove(near)
    stage.judge(
        ROWS_CHAIN,
        not broken and len(unmatched) == 1 and unmatched[0] == last,
        "a row found another balance than the row before it left",
        listed,
        pointer="/items",
        expected=[str(after) for after in afters],
        got=[str(before) for before in befores],
    )


def _breakdown(stage: Stage, wallet: lab.Made) -> None:
    plain = lab.create(stage)
    lab.must_top_up(stage, plain.id, "3", reason="FREE_CREDIT_GRANT")
    lab.must_top_up(stage, plain.id, "4.5", reason="PURCHASED_CREDIT_DIRECT")
    for wallet_id, free, purchased in ((wallet.id, None, None), (plain.id, Decimal(3), Decimal("4.5"))):
        seen = stage.call("getWalletBalance", wallet_id, query={"expand": "credits_available_breakdown"})
        parts = lab.field(seen, "credits_available_breakdown")
        credits = lab.credits_of(seen)
        if not isinstance(parts, dict) or credits is None:
            continue
        one, two = decimal(parts.get("free")), decimal(parts.get("purchased"))
        if one is None or two is None:
            continue
        stage.judge(
            BREAKDOWN_ADDS_UP,
            abs(one + two - credits) <= TINY * 20 and (free is None or (one == free and two == purchased)),
            "free and purchased are not the credits available",
            seen,
            pointer="/credits_available_breakdown",
            expected={"free": str(free), "purchased": str(purchased)} if free is not None else f"together {credits}",
            got=parts,
        )


@probe("flexprice", SENT_IS_KEPT, needs=["write"])
def details_of_a_top_up(stage: Stage) -> None:
    """Everything that can be sent with a top-up is in its row."""
    wallet = lab.create(stage)
    sent = {
        "description": "Top-up by a probe",
        "metadata": {"purpose": "probe"},
        "priority": 3,
        "expiry_date_utc": "2099-03-01T00:00:00Z",
        "idempotency_key": stage.unique("k"),
    }
    answer = lab.must_top_up(
        stage, wallet.id, "4", key=sent["idempotency_key"], **{n: v for n, v in sent.items() if n != "idempotency_key"}
    )
    rows, listed = lab.all_rows(stage, wallet.id)
    wanted = {("expiry_date" if name == "expiry_date_utc" else name): value for name, value in sent.items()}
    for row, seen in ((lab.field(answer, "wallet_transaction"), answer), (rows[0] if rows else None, listed)):
        if isinstance(row, dict):
            got = {name: row.get(name) for name in wanted}
            different = [
                name
                for name in lab.differences(wanted, got)
                if not (name == "expiry_date" and str(got[name]).startswith("2099-03-01T00:00:00"))
            ]
            stage.judge(
                SENT_IS_KEPT,
                not different,
                f"{', '.join(different)} of a top-up is not what was sent",
                answer,
                *(() if seen is answer else (seen,)),
                pointer=f"/{different[0]}" if different else "",
                expected={name: wanted[name] for name in different},
                got={name: got[name] for name in different},
            )


@probe("flexprice", KEY_TAKES_EFFECT_ONCE, needs=["write"])
def used_key(stage: Stage) -> None:
    """The same key again: the same request, another amount, another wallet."""
    wallet, other = lab.create(stage), lab.create(stage)
    key = stage.unique("k")
    first = lab.must_top_up(stage, wallet.id, "10", key=key)
    for wallet_id, credits in ((wallet.id, "10"), (wallet.id, "3"), (other.id, "10")):
        again = lab.top_up(stage, wallet_id, credits, key=key)
        if again.status < 500:
            stage.judge(
                KEY_TAKES_EFFECT_ONCE,
                again.status in (400, 409),
                "an idempotency key was taken twice"
                if wallet_id == wallet.id
                else "an idempotency key was taken on a second wallet",
                first,
                again,
                expected="409",
                got=again.status,
            )
    for wallet_id, wanted, rows in ((wallet.id, Decimal(10), 1), (other.id, Decimal(0), 0)):
        read = stage.call("getWallet", wallet_id)
        listed, answer = lab.all_rows(stage, wallet_id)
        stage.judge(
            KEY_TAKES_EFFECT_ONCE,
            lab.credits_of(read) == wanted and len(listed) == rows,
            "a refused top-up changed the wallet",
            first,
            read,
            answer,
            pointer="/credit_balance",
            expected=f"{wanted} credits in {rows} rows",
            got=f"{lab.credits_of(read)} credits in {len(listed)} rows",
        )


@probe("flexprice", PENDING_CHANGES_NOTHING, needs=["write"])
def purchase_on_invoice(stage: Stage) -> None:
    """Bought, not paid."""
    wallet = lab.create_for_customer(stage)
    lab.must_top_up(stage, wallet.id, "8")
    before = stage.call("getWallet", wallet.id)
    answer = lab.top_up(stage, wallet.id, "25", reason="PURCHASED_CREDIT_INVOICED")
    if not answer.ok:
        stage.give_up(f"a purchase on invoice was answered with {answer.status}")
    invoice = lab.field(answer, "invoice_id")
    if isinstance(invoice, str):
        stage.subject.invoices.append(invoice)
    row = lab.field(answer, "wallet_transaction")
    row = row if isinstance(row, dict) else {}
    if row.get("transaction_status") == "completed" and lab.credits_of(answer) == (lab.credits_of(before) or 0) + 25:
        rows, _ = lab.all_rows(stage, wallet.id)
        if any(entry.get("id") == row.get("id") and entry.get("transaction_status") == "completed" for entry in rows):
            stage.give_up("this tenant completes purchases on invoice at once")
    after = stage.call("getWallet", wallet.id)
    balance = stage.call("getWalletBalance", wallet.id)
    stage.judge(
        PENDING_CHANGES_NOTHING,
        row.get("transaction_status") == "pending" and isinstance(invoice, str) and invoice != "",
        "a purchase on invoice is not a pending row with an invoice",
        answer,
        pointer="/wallet_transaction/transaction_status",
        expected="pending, invoice_id",
        got=f"{row.get('transaction_status')}, {invoice}",
    )
    for seen in (answer, after, balance):
        stage.judge(
            PENDING_CHANGES_NOTHING,
            lab.credits_of(seen) == lab.credits_of(before),
            "a purchase that is not paid changed the stored balance",
            before,
            answer,
            *(() if seen is answer else (seen,)),
            pointer="/credit_balance",
            expected=str(lab.credits_of(before)),
            got=str(lab.credits_of(seen)),
        )


def _in_state(state: str, seen: Observation) -> bool:
    return bool(lab.field(seen, "alert_state") == state)


@probe("flexprice", ALERT_STATE, needs=["write"])
def alerts(stage: Stage) -> None:
    """A wallet that climbs through all its thresholds."""
    thresholds = {
        name: {"condition": "below", "threshold": value} for name, value in (("critical", 10), ("warning", 20), ("info", 30))
    }
    wallet = lab.create(stage, alert_settings={"alert_enabled": True, **thresholds})
    for credits, total, state in (
        ("5", 5, "in_alarm"),
        ("5", 10, "in_alarm"),
        ("10", 20, "warning"),
        ("9", 29, "info"),
        ("10", 39, "ok"),
    ):
        answer = lab.must_top_up(stage, wallet.id, credits)
        read = stage.eventually(partial(stage.call, "getWallet", wallet.id), partial(_in_state, state))
        for seen, got in ((answer, lab.field(answer, "wallet", "alert_state")), (read, lab.field(read, "alert_state"))):
            if lab.credits_of(seen) == total:
                stage.judge(
                    ALERT_STATE,
                    got == state,
                    f"with {total} credits and thresholds 10, 20, 30 the state is not {state}",
                    answer,
                    *(() if seen is answer else (seen,)),
                    pointer="/alert_state",
                    expected=state,
                    got=got,
                )
