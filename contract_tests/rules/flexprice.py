"""Rules over single Flexprice exchanges: what the numbers in one answer must have to do with each other.

Sources: `I1` to `I32` are the invariants of the service as read from its public repository, flexprice/flexprice at commit
e4b5303fde24; files named here are that repository's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from contract_tests.rules.observation import Observation, decimal
from contract_tests.rules.rule import Problem, Rule, exchange_rule

ONLY = ("flexprice",)

_SERVICE = "internal/ee/service/wallet.go"

TINY = Decimal("1e-9")

BALANCE_IS_CREDITS = Rule(
    "money.balance-is-credits-times-rate",
    "balance = credit_balance x conversion_rate, within 1e-9 x (1 + rate).",
    f"I1; {_SERVICE}:2153,2235",
    "every wallet in an answer",
    "wallets whose top-up rate differs from their conversion rate: a paid invoice may have left them apart (but not right"
    " after a direct top-up)",
    ONLY,
)

REAL_TIME_IS_BALANCE_LESS_USAGE = Rule(
    "money.real-time-is-balance-less-usage",
    "real_time_balance = balance - pending charges: exactly current_period_usage for a computed prepaid wallet, nothing for a"
    " postpaid one.",
    f"I2 and I4; {_SERVICE}:2978-3199",
    "balances of active wallets",
    "cached answers (is_cached_fallback true)",
    ONLY,
)

REAL_TIME_CREDITS = Rule(
    "money.real-time-credits",
    "real_time_credit_balance = real_time_balance / conversion_rate.",
    f"I3; {_SERVICE}:2978-3075",
    "every wallet with both",
    "how many digits the division keeps, beyond 9",
    ONLY,
)

INACTIVE_IS_ZERO = Rule(
    "money.inactive-is-zero",
    "A wallet that is not active has real-time values and usage 0, no unpaid amount, and no cached answer.",
    f"I5; {_SERVICE}:2978-3075",
    "balances of closed and frozen wallets",
    "",
    ONLY,
)

POSTPAID_HAS_NO_USAGE = Rule(
    "money.postpaid-has-no-usage",
    "An active postpaid wallet has usage 0, unpaid 0 and no cached answer.",
    f"I4; {_SERVICE}:2978-3075",
    "balances of active postpaid wallets",
    "",
    ONLY,
)

CACHED_IS_PREPAID = Rule(
    "money.cached-is-prepaid",
    "Only an active prepaid wallet can be answered from the cache, and then usage is 0 and no unpaid amount is there.",
    f"I6; {_SERVICE}:2978-3075",
    "balances with is_cached_fallback true",
    "",
    ONLY,
)

BALANCE_TIME = Rule(
    "state.balance-updated-at",
    "balance_updated_at is updated_at.",
    f"I7; {_SERVICE}:2978-3075",
    "balances with real-time values",
    "",
    ONLY,
)

TRANSACTION_ADDS_UP = Rule(
    "money.transaction-adds-up",
    "A completed credit raises the balance it found by credit_amount, a completed debit lowers it; a pending row leaves it.",
    "I11 and I12; internal/domain/wallet/transaction.go",
    "every transaction in an answer",
    "",
    ONLY,
)

TRANSACTION_PRICED = Rule(
    "money.transaction-priced",
    "A transaction's amount = credit_amount x its rate: a credit carries the top-up rate, a debit the conversion rate.",
    f"I14; {_SERVICE}:2153",
    "every transaction in an answer that carries a rate",
    "within 1e-9 x (1 + rate)",
    ONLY,
)

CREDITS_AVAILABLE = Rule(
    "money.credits-available",
    "A debit has no credits available; a credit has between 0 and what it brought.",
    "I15; internal/domain/wallet/transaction.go:64-81",
    "every transaction in an answer",
    "",
    ONLY,
)

TIMES_IN_ORDER = Rule(
    "state.times-in-order",
    "updated_at is not before created_at.",
    "I27",
    "every wallet and transaction in an answer",
    "",
    ONLY,
)

PUBLISHED = Rule(
    "state.published",
    "What is read has status `published`.",
    "I27; every read is scoped to it, internal/repository/ent/wallet.go",
    "every wallet in an answer",
    "",
    ONLY,
)


def wallets_in(seen: Observation) -> Sequence[tuple[str, dict[str, Any]]]:
    """The wallets of a 2xx answer with their JSON pointers."""
    return seen.found("wallets", _wallets_in)


def transactions_in(seen: Observation) -> Sequence[tuple[str, dict[str, Any]]]:
    """The transactions of a 2xx answer with their JSON pointers."""
    return seen.found("transactions", _transactions_in)


def _wallets_in(seen: Observation) -> Iterator[tuple[str, dict[str, Any]]]:
    body = seen.body
    if not 200 <= seen.status < 300:
        return
    if isinstance(body, list):
        yield from ((f"/{index}", entry) for index, entry in enumerate(body) if isinstance(entry, dict))
    elif isinstance(body, dict):
        if isinstance(body.get("wallet"), dict):
            yield "/wallet", body["wallet"]
        elif isinstance(body.get("items"), list):
            for index, entry in enumerate(body["items"]):
                if isinstance(entry, dict):
                    if "wallet_status" in entry:
                        yield f"/items/{index}", entry
                    elif isinstance(entry.get("wallet"), dict):
                        yield f"/items/{index}/wallet", entry["wallet"]
        elif "wallet_status" in body:
            yield "", body


def _transactions_in(seen: Observation) -> Iterator[tuple[str, dict[str, Any]]]:
    body = seen.body
    if not 200 <= seen.status < 300 or not isinstance(body, dict):
        return
    if isinstance(body.get("wallet_transaction"), dict):
        yield "/wallet_transaction", body["wallet_transaction"]
    elif isinstance(body.get("items"), list):
        for index, entry in enumerate(body["items"]):
            if isinstance(entry, dict) and "credit_amount" in entry:
                yield f"/items/{index}", entry


def tau(rate: Decimal) -> Decimal:
    """How far apart products of stored values may be."""
    return TINY * (1 + abs(rate))


@exchange_rule(BALANCE_IS_CREDITS)
def balance_is_credits(seen: Observation) -> Iterator[Problem | None]:
    """Multiplies."""
    for at, wallet in wallets_in(seen):
        balance, credits, rate, topup_rate = decimals(
            wallet, "balance", "credit_balance", "conversion_rate", "topup_conversion_rate"
        )
        if balance is None or credits is None or rate is None:
            continue
        if topup_rate != rate and seen.operation.id != "topUpWallet":
            continue
        if topup_rate != rate and _row(seen).get("transaction_reason") == "PURCHASED_CREDIT_INVOICED":
            continue
        if abs(balance - credits * rate) <= tau(rate):
            yield None
        else:
            yield Problem("balance is not credit_balance x conversion_rate", f"{at}/balance", str(credits * rate), str(balance))


@exchange_rule(REAL_TIME_IS_BALANCE_LESS_USAGE)
def real_time_is_balance_less_usage(seen: Observation) -> Iterator[Problem | None]:
    """Subtracts."""
    for at, wallet in wallets_in(seen):
        real_time, balance, usage = decimals(wallet, "real_time_balance", "balance", "current_period_usage")
        if real_time is None or balance is None or wallet.get("is_cached_fallback") is not False:
            continue
        if wallet.get("wallet_status") != "active":
            continue
        pending = Decimal(0) if wallet.get("wallet_type") == "POST_PAID" else usage
        if pending is None:
            continue
        if real_time == balance - pending:
            yield None
        else:
            yield Problem(
                "real_time_balance is not balance - current_period_usage",
                f"{at}/real_time_balance",
                str(balance - pending),
                str(real_time),
            )


@exchange_rule(REAL_TIME_CREDITS)
def real_time_credits(seen: Observation) -> Iterator[Problem | None]:
    """Divides."""
    for at, wallet in wallets_in(seen):
        credits, money, rate = decimals(wallet, "real_time_credit_balance", "real_time_balance", "conversion_rate")
        if credits is None or money is None or not rate:
            continue
        if abs(credits - money / rate) <= TINY:
            yield None
        else:
            yield Problem(
                "real_time_credit_balance is not real_time_balance / conversion_rate",
                f"{at}/real_time_credit_balance",
                str(money / rate),
                str(credits),
            )


@exchange_rule(INACTIVE_IS_ZERO)
def inactive_is_zero(seen: Observation) -> Iterator[Problem | None]:
    """Looks at wallets that are closed or frozen."""
    for at, wallet in wallets_in(seen):
        if wallet.get("wallet_status") in ("closed", "frozen") and "real_time_balance" in wallet:
            yield from _zeros(at, wallet, ("real_time_balance", "real_time_credit_balance", "current_period_usage"))
            if decimal(wallet.get("unpaid_invoices_amount")):
                yield Problem("a wallet that is not active has an unpaid amount", f"{at}/unpaid_invoices_amount")
            yield from _not_cached(at, wallet)


@exchange_rule(POSTPAID_HAS_NO_USAGE)
def postpaid_has_no_usage(seen: Observation) -> Iterator[Problem | None]:
    """Looks at active postpaid wallets."""
    for at, wallet in wallets_in(seen):
        if wallet.get("wallet_status") == "active" and wallet.get("wallet_type") == "POST_PAID" and "real_time_balance" in wallet:
            yield from _zeros(at, wallet, ("current_period_usage", "unpaid_invoices_amount"))
            yield from _not_cached(at, wallet)


@exchange_rule(CACHED_IS_PREPAID)
def cached_is_prepaid(seen: Observation) -> Iterator[Problem | None]:
    """Looks at answers from the cache."""
    for at, wallet in wallets_in(seen):
        if wallet.get("is_cached_fallback") is not True:
            continue
        if wallet.get("wallet_status") != "active" or wallet.get("wallet_type") != "PRE_PAID":
            yield Problem("only active prepaid wallets are answered from the cache", f"{at}/is_cached_fallback", False, True)
        yield from _zeros(at, wallet, ("current_period_usage",))
        if decimal(wallet.get("unpaid_invoices_amount")):
            yield Problem("an answer from the cache has no unpaid amount", f"{at}/unpaid_invoices_amount")


@exchange_rule(BALANCE_TIME)
def balance_time(seen: Observation) -> Iterator[Problem | None]:
    """Compares the two times."""
    for at, wallet in wallets_in(seen):
        if "balance_updated_at" in wallet:
            if wallet["balance_updated_at"] == wallet.get("updated_at"):
                yield None
            else:
                yield Problem(
                    "balance_updated_at is not updated_at",
                    f"{at}/balance_updated_at",
                    wallet.get("updated_at"),
                    wallet["balance_updated_at"],
                )


@exchange_rule(TRANSACTION_ADDS_UP)
def transaction_adds_up(seen: Observation) -> Iterator[Problem | None]:
    """Adds."""
    for at, row in transactions_in(seen):
        before, after, amount = decimals(row, "credit_balance_before", "credit_balance_after", "credit_amount")
        if before is None or after is None or amount is None:
            continue
        status, kind = row.get("transaction_status"), row.get("type")
        if status == "pending":
            change = Decimal(0)
        elif status == "completed" and kind in ("credit", "debit"):
            change = amount if kind == "credit" else -amount
        else:
            continue
        if abs(after - before - change) <= TINY:
            yield None
        else:
            yield Problem(
                f"a {status} {kind} of {amount} does not lead from credit_balance_before to credit_balance_after",
                f"{at}/credit_balance_after",
                str(before + change),
                str(after),
            )


@exchange_rule(TRANSACTION_PRICED)
def transaction_priced(seen: Observation) -> Iterator[Problem | None]:
    """Multiplies with the row's own rate."""
    for at, row in transactions_in(seen):
        name, other = (
            ("topup_conversion_rate", "conversion_rate")
            if row.get("type") == "credit"
            else ("conversion_rate", "topup_conversion_rate")
        )
        amount, credits, rate = decimals(row, "amount", "credit_amount", name)
        if rate is None and decimal(row.get(other)) is not None:
            yield Problem(f"a {row.get('type')} carries {name}, not {other}", f"{at}/{other}")
        if amount is None or credits is None or rate is None:
            continue
        if abs(amount - credits * rate) <= tau(rate):
            yield None
        else:
            yield Problem(f"amount is not credit_amount x {name}", f"{at}/amount", str(credits * rate), str(amount))


@exchange_rule(CREDITS_AVAILABLE)
def credits_available(seen: Observation) -> Iterator[Problem | None]:
    """Compares with what the row brought."""
    for at, row in transactions_in(seen):
        available, amount = decimals(row, "credits_available", "credit_amount")
        if available is None or amount is None:
            continue
        most = amount if row.get("type") == "credit" else Decimal(0)
        if 0 <= available <= most:
            yield None
        else:
            yield Problem(
                f"a {row.get('type')} of {amount} has {available} credits available",
                f"{at}/credits_available",
                f"0 to {most}",
                str(available),
            )


@exchange_rule(TIMES_IN_ORDER)
def times_in_order(seen: Observation) -> Iterator[Problem | None]:
    """Compares the two times."""
    for at, entity in (*wallets_in(seen), *transactions_in(seen)):
        created, updated = moment(entity.get("created_at")), moment(entity.get("updated_at"))
        if created is None or updated is None:
            continue
        if updated >= created:
            yield None
        else:
            yield Problem("updated_at is before created_at", f"{at}/updated_at", entity["created_at"], entity["updated_at"])


@exchange_rule(PUBLISHED)
def published(seen: Observation) -> Iterator[Problem | None]:
    """Looks at the row status."""
    for at, wallet in wallets_in(seen):
        if isinstance(wallet.get("status"), str):
            if wallet["status"] == "published":
                yield None
            else:
                yield Problem("a wallet that can be read is published", f"{at}/status", "published", wallet["status"])


def decimals(entity: dict[str, Any], *names: str) -> list[Decimal | None]:
    """Decimal members in order; None for what is missing or no decimal."""
    return [decimal(entity.get(name)) for name in names]


def moment(value: Any) -> datetime | None:
    """An RFC 3339 time with its zone; None if it is anything else. Digits beyond microseconds are cut."""
    return _moment(value) if isinstance(value, str) and len(value) <= 40 else None


@lru_cache(1_000)  # several rules look at the same members
def _moment(value: str) -> datetime | None:
    head, dot, tail = value.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        value = f"{head}.{tail[:digits][:6]}{tail[digits:]}"
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else None


def _row(seen: Observation) -> dict[str, Any]:
    return next((row for _, row in transactions_in(seen)), {})


def _zeros(at: str, wallet: dict[str, Any], names: tuple[str, ...]) -> Iterator[Problem | None]:
    for name in names:
        value = decimal(wallet.get(name))
        if value is not None:
            yield None if value == 0 else Problem(f"{name} is not 0", f"{at}/{name}", "0", str(value))


def _not_cached(at: str, wallet: dict[str, Any]) -> Iterator[Problem | None]:
    if wallet.get("is_cached_fallback") is True:
        yield Problem("this wallet is never answered from the cache", f"{at}/is_cached_fallback", False, True)
