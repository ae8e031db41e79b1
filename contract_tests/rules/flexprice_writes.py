"""What the answer to a Flexprice write must show of what was sent: each judged by itself, whoever else is at work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from contract_tests.rules.flexprice import TINY, moment, tau, transactions_in
from contract_tests.rules.flexprice_reading import same
from contract_tests.rules.flexprice_sequences import (
    AMOUNT_CONVERTED,
    NEW_WALLET_DEFAULTS,
    PENDING_CHANGES_NOTHING,
    SENT_IS_KEPT,
    TERMINATE_CLOSES,
    TOPUP_BOOKED,
    UPDATE_MERGES,
)
from contract_tests.rules.history import Judged
from contract_tests.rules.observation import Observation, decimal
from contract_tests.rules.rule import Problem, Rule

DIRECT = (
    "FREE_CREDIT_GRANT",
    "SUBSCRIPTION_CREDIT_GRANT",
    "PURCHASED_CREDIT_DIRECT",
    "CREDIT_NOTE",
    "INVOICE_VOID_REFUND",
)  # a tuple: what is looked for may be a list
"""Reasons for which a top-up takes effect at once."""

RATE_STEP = Decimal("0.00001")
"""Rates are stored with five digits; an answer from memory may have more."""

_SECOND = timedelta(seconds=1)

_PAYS = {"PRE_PAID": ("Prepaid", ["USAGE"]), "POST_PAID": ("Postpaid", ["ALL"])}


def created(seen: Observation) -> Iterator[Judged]:
    """The answer to a creation."""
    sent, wallet = seen.sent, seen.body
    if seen.operation.id != "createWallet" or not isinstance(sent, dict) or not isinstance(wallet, dict):
        return
    yield from _shows(SENT_IS_KEPT, "a creation", _kept(sent), wallet)
    yield from _shows(NEW_WALLET_DEFAULTS, "a new wallet", _defaults(sent, wallet), wallet)


def _kept(sent: dict[str, Any]) -> dict[str, Any]:
    """The members that come back as they were sent."""
    wanted = {name: sent[name] for name in ("customer_id", "description", "wallet_type") if _is_text(sent.get(name))}
    if _is_texts(sent.get("metadata")):
        wanted["metadata"] = sent["metadata"]
    if not sent.get("price_unit"):  # it overrides both
        if _is_text(sent.get("currency")) and sent["currency"].isascii():
            wanted["currency"] = sent["currency"].lower()
        if decimal(sent.get("conversion_rate")):  # 0 means the default
            wanted["conversion_rate"] = sent["conversion_rate"]
    if decimal(sent.get("topup_conversion_rate")) is not None:
        wanted["topup_conversion_rate"] = sent["topup_conversion_rate"]
    return wanted


def _defaults(sent: dict[str, Any], wallet: dict[str, Any]) -> dict[str, Any]:
    """What a new wallet has where the request does not say otherwise; with credits, they and alerts are looked at already."""
    wanted: dict[str, Any] = {"wallet_status": "active"}
    if not sent.get("initial_credits_to_load"):
        wanted |= {"alert_state": "ok", "balance": "0", "credit_balance": "0"}
    kind, types = _PAYS.get(str(wallet.get("wallet_type")), ("", []))
    currency = wallet.get("currency")
    if kind and "name" not in sent and not sent.get("price_unit") and isinstance(currency, str) and currency.isascii():
        wanted["name"] = f"{kind} Wallet - {currency.upper()}"
    if kind and "config" not in sent:
        wanted["config"] = {"allowed_price_types": types}
    return wanted


def updated(seen: Observation) -> Iterator[Judged]:
    """The answer to an update."""
    if seen.operation.id == "updateWallet" and isinstance(seen.body, dict):
        yield from _shows(UPDATE_MERGES, "an update", named(seen), seen.body)


def named(seen: Observation) -> dict[str, Any]:
    """What an update names; without what is empty, which services may echo, store or leave alone."""
    sent = seen.sent if isinstance(seen.sent, dict) else {}
    wanted = {name: sent[name] for name in ("name", "description") if _is_text(sent.get(name))}
    if _is_texts(sent.get("metadata")):
        wanted["metadata"] = sent["metadata"]
    config = sent.get("config")
    if isinstance(config, dict) and config.get("allowed_price_types"):
        wanted["config"] = {"allowed_price_types": config["allowed_price_types"]}
    return wanted


def terminated(seen: Observation) -> Iterator[Judged]:
    """The answer to a termination, where it is a wallet."""
    if seen.operation.id == "terminateWallet" and isinstance(seen.body, dict) and "wallet_status" in seen.body:
        yield from _shows(TERMINATE_CLOSES, "a termination", {"wallet_status": "closed"}, seen.body)


def topped_up(seen: Observation) -> Iterator[Judged]:
    """The answer to a top-up whose row is a new one."""
    at, row = row_of(seen)
    sent = seen.sent
    if not isinstance(sent, dict) or not row:
        return
    yield from _shows(SENT_IS_KEPT, "a top-up", _kept_of_top_up(sent), row, at)
    metadata, got = sent.get("metadata"), row.get("metadata")
    if isinstance(metadata, dict) and _is_texts(metadata):
        shown = got if isinstance(got, dict) else {}
        yield from _shows(SENT_IS_KEPT, "a top-up's metadata", metadata, shown, f"{at}/metadata")
    yield from _expires(sent.get("expiry_date_utc"), row.get("expiry_date"), at)
    reason = sent.get("transaction_reason")
    yield from _shows(TOPUP_BOOKED, "the row of a top-up", _booked(seen, sent, reason), row, at)
    yield from _converted(sent, row, at)
    if reason == "PURCHASED_CREDIT_INVOICED" and row.get("transaction_status") == "pending" and not sent.get("checkout"):
        invoice = seen.body.get("invoice_id")
        problem = Problem("a purchase that waits for its invoice has no invoice_id", "/invoice_id", "an id", invoice)
        yield Judged(PENDING_CHANGES_NOTHING, None if invoice else problem)


def row_of(seen: Observation) -> tuple[str, dict[str, Any]]:
    """The row in the answer to a top-up with its JSON pointer; empty if there is none."""
    return next(iter(transactions_in(seen)), ("", {})) if seen.operation.id == "topUpWallet" else ("", {})


def _kept_of_top_up(sent: dict[str, Any]) -> dict[str, Any]:
    wanted = {name: sent[name] for name in ("description", "idempotency_key") if _is_text(sent.get(name))}
    if type(sent.get("priority")) is int:
        wanted["priority"] = sent["priority"]
    return wanted


def _expires(sent: Any, got: Any, at: str) -> Iterator[Judged]:
    wanted, kept = moment(sent), moment(got)
    if wanted is None:
        return
    if kept is not None and abs(kept - wanted) < _SECOND:
        yield Judged(SENT_IS_KEPT)
    else:
        yield Judged(SENT_IS_KEPT, Problem("a top-up does not expire when it was told to", f"{at}/expiry_date", sent, got))


def _booked(seen: Observation, sent: dict[str, Any], reason: Any) -> dict[str, Any]:
    wanted = {"type": "credit", "wallet_id": seen.request.path_params.get("id", "")}
    if _is_text(reason):
        wanted["transaction_reason"] = reason
    if reason in DIRECT:
        wanted["transaction_status"] = "completed"
    if decimal(sent.get("credits_to_add")):
        wanted["credit_amount"] = sent["credits_to_add"]
    return wanted


def _converted(sent: dict[str, Any], row: dict[str, Any], at: str) -> Iterator[Judged]:
    amount, got = decimal(sent.get("amount")), decimal(row.get("credit_amount"))
    rate = decimal(row.get("topup_conversion_rate"))
    if sent.get("credits_to_add") or amount is None or got is None or not rate:
        return
    if abs(got * rate - amount) <= tau(rate):
        yield Judged(AMOUNT_CONVERTED)
        return
    problem = "a top-up by amount does not bring amount / topup_conversion_rate credits"
    yield Judged(AMOUNT_CONVERTED, Problem(problem, f"{at}/credit_amount", f"{amount / rate:f}", str(got)))


def _shows(rule: Rule, what: str, wanted: dict[str, Any], got: dict[str, Any], at: str = "") -> Iterator[Judged]:
    """Judges that each of `wanted` is in `got`, with one problem for the first that is not."""
    if not wanted:
        return
    slack = {"conversion_rate": RATE_STEP, "topup_conversion_rate": RATE_STEP}
    for name, value in wanted.items():
        if not same(name, value, got.get(name), slack.get(name, TINY)):
            yield Judged(rule, Problem(f"{name} of {what} is not as it should be", f"{at}/{name}", value, got.get(name)))
            return
    yield Judged(rule)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_texts(value: Any) -> bool:
    """Whether metadata is there, and all of it text."""
    return isinstance(value, dict) and bool(value) and all(isinstance(entry, str) for entry in value.values())
