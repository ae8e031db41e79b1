"""What the Flexprice probes have in common: making wallets, changing them, reading them, comparing what was read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from contract_tests.probes.probe import Stage
from contract_tests.rules.flexprice import TINY
from contract_tests.rules.flexprice_reading import REAL_TIME, same
from contract_tests.rules.observation import Observation, decimal

UNKNOWN_WALLET = "wallet_00000000000000000000000000"
"""An id of the right form that no service can have issued: a ULID of the year 1970."""

_CURRENCIES = (
    *("usd", "eur", "gbp", "jpy", "inr", "aud", "cad", "chf", "sek", "nok", "dkk"),
    *("pln", "czk", "huf", "ron", "brl", "mxn", "sgd", "hkd", "nzd", "zar", "krw"),
)


@dataclass
class Made:
    """A wallet that the probe has made, as it was answered."""

    id: str
    customer: str
    body: dict[str, Any]
    answer: Observation


def create(stage: Stage, **fields: Any) -> Made:
    """Make a wallet for a customer of its own; give up if the service does not let us.

    Flexprice takes any customer id. A service that asks for customers to exist gets one of those that the run may use.
    """
    fields = {"currency": "usd", **fields}
    if "customer_id" in fields:
        return made(stage, _create(stage, fields))
    answer = _create(stage, {"customer_id": stage.unique("c"), **fields})
    if answer.status in (400, 404) and stage.subject.customers:
        for customer, currency in _places(stage):
            answer = _create(stage, {**fields, "customer_id": customer, "currency": currency})
            if answer.ok:
                break
    return made(stage, answer)


def _create(stage: Stage, body: dict[str, Any]) -> Observation:
    return stage.call("createWallet", body=body, amount=decimal(body.get("initial_credits_to_load")) or Decimal(0))


def create_for_customer(stage: Stage, **fields: Any) -> Made:
    """Make a wallet for a customer that exists; give up if the run knows none."""
    if not stage.subject.customers:
        stage.give_up("needs a customer that exists and may get wallets (--customer ID)")
    answer = None
    for customer, currency in _places(stage):
        answer = _create(stage, {**fields, "customer_id": customer, "currency": currency})
        if answer.ok:
            return made(stage, answer)
    assert answer is not None
    return made(stage, answer)


def _places(stage: Stage) -> Iterator[tuple[str, str]]:
    """Customers and currencies to try, a few of them, other ones each time."""
    start = next(stage.subject.numbers)
    places = list(itertools.product(_CURRENCIES, stage.subject.customers))
    for offset in range(min(len(places), 12)):
        currency, customer = places[(start + offset) % len(places)]
        yield customer, currency


def made(stage: Stage, answer: Observation) -> Made:
    """The wallet of an answer to createWallet, now the run's own; give up if there is none."""
    wallet = answer.body if isinstance(answer.body, dict) else {}
    wallet_id = wallet.get("id")
    if not answer.ok or not isinstance(wallet_id, str) or not wallet_id:
        stage.give_up(f"could not create a wallet: createWallet answered {answer.status}")
    stage.subject.guard.own(wallet_id)
    stage.subject.created[wallet_id] = "active"
    return Made(wallet_id, str(wallet.get("customer_id", "")), wallet, answer)


def top_up(
    stage: Stage, wallet_id: str, credits: str | None, *, reason: str = "FREE_CREDIT_GRANT", key: str | None = None, **fields: Any
) -> Observation:
    """Top up with a fresh idempotency key, unless one is given."""
    body = {"transaction_reason": reason, "idempotency_key": key or stage.unique("k"), **fields}
    if credits is not None:
        body["credits_to_add"] = credits
    amount = sum(
        (abs(decimal(body.get(name)) or Decimal(0)) for name in ("credits_to_add", "amount", "bonus_credits_to_add")), Decimal(0)
    )
    return stage.call("topUpWallet", wallet_id, body=body, amount=amount)


def must_top_up(stage: Stage, wallet_id: str, credits: str | None, **fields: Any) -> Observation:
    """A top-up that every service accepts; give up if this one does not."""
    answer = top_up(stage, wallet_id, credits, **fields)
    if not answer.ok:
        stage.give_up(f"a plain top-up was answered with {answer.status}")
    return answer


def terminate(stage: Stage, wallet_id: str) -> Observation:
    """Close a wallet."""
    answer = stage.call("terminateWallet", wallet_id)
    if 200 <= answer.status < 300:
        stage.subject.created[wallet_id] = "closed"
    return answer


def credits_of(observation: Observation) -> Decimal | None:
    """credit_balance of a wallet, or of the wallet in a top-up's answer."""
    body = observation.body
    if isinstance(body, dict) and isinstance(body.get("wallet"), dict):
        body = body["wallet"]
    return decimal(body.get("credit_balance")) if isinstance(body, dict) else None


def has_credits(wanted: Decimal, observation: Observation) -> bool:
    """Whether a wallet has just these credits, but for what storing cuts off."""
    got = credits_of(observation)
    return got is not None and abs(got - wanted) <= TINY


def field(observation: Observation, *path: str) -> Any:
    """A member of a JSON answer, by the names that lead to it; None if it is not there."""
    value = observation.body
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def items(observation: Observation) -> list[dict[str, Any]] | None:
    """The items of a list; None if the answer is no list of objects."""
    body = observation.body
    found = body.get("items") if isinstance(body, dict) else body
    if not observation.ok or not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        return None
    return found


def all_rows(stage: Stage, wallet_id: str) -> tuple[list[dict[str, Any]], Observation]:
    """All transactions of a wallet that has fewer than a thousand, newest first, and the answer that had them."""
    answer = stage.call("getWalletTransactions", wallet_id, query={"limit": 1000})
    rows = items(answer)
    if rows is None:
        stage.give_up(f"the transactions of a wallet could not be read: {answer.status}")
    return rows, answer


def differences(one: dict[str, Any], two: dict[str, Any], ignore: frozenset[str] = REAL_TIME) -> list[str]:
    """Names of the members in which two descriptions of one entity differ.

    Empty, null and absent are the same; decimals are numbers; times may differ by what databases cut off.
    """
    return sorted(
        name for name in (one.keys() | two.keys()) - ignore if not same(name, one.get(name) or None, two.get(name) or None)
    )
