"""Every rule says what it is; those over single Flexprice exchanges, and the general ones, catch what they are there for only.

What honest servers do differently from each other must pass in every form. Polar's own rules are in test_rules_polar.py,
rules over sequences are proved by defects (test_prove.py) and by faults of another server (test_independent.py).
"""

from __future__ import annotations

import json
import re
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contract_tests.contract import Contract
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.guard import Guard
from contract_tests.identity import api_key
from contract_tests.judge import Judge
from contract_tests.probes import catalogue
from contract_tests.probes.probe import Lost, Stage, Subject
from contract_tests.rules import errors, flexprice, robustness
from contract_tests.rules.catalogue import exchange_rules, traffic_rules
from contract_tests.rules.observation import Observation
from contract_tests.rules.robustness import TROUBLE_RULES
from contract_tests.rules.rule import PROVIDERS, ExchangeRule, Rule
from contract_tests.target import Target

ROOT = Path(__file__).parent.parent
OPENAPI = ROOT / "openapi"
ULID = "01K3A8QW2M7Z5T9R4V6X8Y0B1C"
ID = f"wallet_{ULID}"
EARLY, LATE = "2026-08-22T10:15:30.123456Z", "2026-08-22T10:15:31Z"
KEY = "sk_01K3A8QW2M7Z5T9R4V6X8Y0B1D"

ALL = {rule.id: rule for provider in PROVIDERS for rule in (*catalogue.rules(provider), *traffic_rules(provider).values())}
JUDGED_ALONE = [
    entry for module in (errors, robustness, flexprice) for entry in vars(module).values() if isinstance(entry, ExchangeRule)
]


@cache
def contract() -> Contract:
    """Flexprice's contract."""
    return Contract.load("flexprice", OPENAPI / "flexprice.yaml", OPENAPI / "flexprice.overlay.yaml")


@cache
def judge() -> Judge:
    """Its judge."""
    return Judge(contract())


@dataclass
class Case:
    """An exchange with an honest answer; tests change what they need. `at`: where the problem is, if there is one."""

    body: Any
    operation: str = "getWallet"
    status: int = 200
    at: str = ""
    method: str = "GET"
    path: str = f"/v1/wallets/{ID}"
    query: str = ""
    sent: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def seen(self) -> Observation:
        """As rules see it."""
        operation = contract().operations.get(self.operation, contract().unrouted)
        request = Request(self.method, self.path, self.query.encode(), [(b"x-api-key", KEY.encode())], self.sent, {"id": ID})
        headers = {"content-type": "application/json; charset=utf-8", "x-request-id": ULID} | self.headers
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        raw = [(name.encode(), value.encode()) for name, value in headers.items() if value]
        return Observation(contract(), operation, Exchange(request, Response(self.status, raw, body)), (KEY,))


# ---------------------------------------------------------------- honest answers


def wallet(**changes: Any) -> dict[str, Any]:
    """An ordinary wallet, as getWallet has it."""
    people = {"tenant_id": "tenant_1", "created_by": "user_1", "updated_by": "user_1", "customer_id": "cust_1"}
    ordinary = {
        "id": ID,
        "currency": "usd",
        "balance": "25",
        "credit_balance": "12.5",
        "wallet_status": "active",
        "description": "",
        "metadata": {},
        "wallet_type": "PRE_PAID",
        "config": {"allowed_price_types": ["USAGE"]},
        "conversion_rate": "2",
        "topup_conversion_rate": "2",
        "environment_id": f"env_{ULID}",
        "alert_state": "ok",
        "status": "published",
        "created_at": EARLY,
        "updated_at": LATE,
    }
    return {**ordinary, **people, **changes}


def balance(**changes: Any) -> dict[str, Any]:
    """The same with real-time values: 5 used."""
    more = {
        "real_time_balance": "20",
        "real_time_credit_balance": "10",
        "current_period_usage": "5",
        "unpaid_invoices_amount": "0",
        "balance_updated_at": changes.get("updated_at", LATE),
        "is_cached_fallback": False,
    }
    return wallet(**more) | changes


def closed(**changes: Any) -> dict[str, Any]:
    """The balance of a closed wallet that was topped up afterwards."""
    zeros = dict.fromkeys(("real_time_balance", "real_time_credit_balance", "current_period_usage"), "0")
    result = balance(wallet_status="closed", **zeros)
    del result["unpaid_invoices_amount"]
    return result | changes


def postpaid(**changes: Any) -> dict[str, Any]:
    """The balance of a postpaid wallet."""
    own = {"real_time_balance": "25", "real_time_credit_balance": "12.5", "current_period_usage": "0"}
    return balance(wallet_type="POST_PAID", **own) | changes


def cached(**changes: Any) -> dict[str, Any]:
    """A balance from the cache, older than the last top-up."""
    result = balance(is_cached_fallback=True, current_period_usage="0")
    del result["unpaid_invoices_amount"]
    return result | changes


def row(**changes: Any) -> dict[str, Any]:
    """An ordinary credit."""
    ordinary = {
        "id": f"wtxn_{ULID}",
        "wallet_id": ID,
        "customer_id": "cust_1",
        "type": "credit",
        "amount": "20",
        "credit_amount": "10",
        "credit_balance_before": "2.5",
        "credit_balance_after": "12.5",
        "transaction_status": "completed",
        "reference_type": "EXTERNAL",
        "reference_id": "r",
        "description": "",
        "metadata": {},
        "credits_available": "10",
        "transaction_reason": "FREE_CREDIT_GRANT",
        "topup_conversion_rate": "2",
        "currency": "usd",
        "idempotency_key": "k",
        "environment_id": f"env_{ULID}",
        "tenant_id": "tenant_1",
        "status": "published",
        "created_at": EARLY,
        "updated_at": LATE,
        "created_by": "user_1",
        "updated_by": "user_1",
    }
    return {name: value for name, value in {**ordinary, **changes}.items() if value is not None}


def debit(**changes: Any) -> dict[str, Any]:
    """An ordinary debit."""
    moved = {"credit_balance_before": "12.5", "credit_balance_after": "2.5", "credits_available": "0"}
    kind = {"type": "debit", "transaction_reason": "INVOICE_PAYMENT", "topup_conversion_rate": None, "conversion_rate": "2"}
    return row(**{**kind, **moved, **changes})


def pending(**changes: Any) -> dict[str, Any]:
    """A purchase that waits for its invoice."""
    state = {"transaction_status": "pending", "transaction_reason": "PURCHASED_CREDIT_INVOICED"}
    return row(**{**state, "credit_balance_before": "2.5", "credit_balance_after": "2.5", **changes})


def one(item: dict[str, Any], at: str = "", **case: Any) -> Case:
    """A wallet by its id, or its balance if it has real-time values."""
    operation = "getWalletBalance" if "real_time_balance" in item else "getWallet"
    return Case(item, operation, at=at and f"/{at}", **case)


def listed(*rows: dict[str, Any], at: str = "", total: int | None = None, offset: int = 0, **case: Any) -> Case:
    """Transactions of a wallet."""
    page = {"limit": 50, "offset": offset, "total": len(rows) if total is None else total}
    return Case({"items": list(rows), "pagination": page}, "getWalletTransactions", at=at and f"/items/{at}", **case)


def found(*wallets: dict[str, Any], at: str = "", total: int | None = None, offset: int = 0) -> Case:
    """Wallets by search."""
    case = listed(*wallets, at=at, total=total, offset=offset, method="POST", sent=b'{"limit": 50}')
    case.operation = "queryWallet"
    return case


def customers(*wallets: dict[str, Any], at: str = "", operation: str = "getWalletsByCustomerId") -> Case:
    """Wallets of a customer."""
    return Case(list(wallets), operation, at=at and f"/{at}")


def topped_up(item: dict[str, Any], booked: dict[str, Any], at: str = "", **more: Any) -> Case:
    """The answer to a top-up."""
    sent = b'{"transaction_reason": "FREE_CREDIT_GRANT", "credits_to_add": "10"}'
    body = {"wallet": item, "wallet_transaction": booked, **more}
    return Case(body, "topUpWallet", at=at and f"/{at}", method="POST", sent=sent)


def refused(status: int = 404, code: str = "not_found", at: str = "", **changes: Any) -> Case:
    """An error of the handler; `case` arguments by their names, everything else goes into the body."""
    known = {name: changes.pop(name) for name in ("operation", "method", "path", "query", "sent", "headers") if name in changes}
    body = {"code": code, "message": "No.", "http_status_code": status, **changes}
    return Case({name: value for name, value in body.items() if value is not None}, status=status, at=at, **known)


UNAUTHORIZED = Case({"error": "Unauthorized"}, status=401)
NOT_THERE = {"operation": "", "path": "/v1/no-such-path"}
PLAIN = {"content-type": "text/plain"}
APART = {"topup_conversion_rate": "0.5"}  # a wallet whose rates differ may have a balance of its own, after a paid invoice

# rule id -> honest exchanges that it is judged on, and exchanges that break it and no other rule, with the place
CASES: dict[str, tuple[list[Case], list[Case]]] = {
    "money.balance-is-credits-times-rate": (
        [
            one(wallet()),
            one(wallet(balance="-25", credit_balance="-12.5")),
            one(wallet(balance="0.000000002", credit_balance="0.000000001")),
            topped_up(wallet(**APART), row(topup_conversion_rate="0.5", amount="5")),
            found(wallet(), wallet(balance="0", credit_balance="0")),
        ],
        [
            one(wallet(balance="25.01"), "balance"),
            one(wallet(balance="12.5"), "balance"),
            one(
                balance(balance="25.00000001", real_time_balance="20.00000001", real_time_credit_balance="10.000000005"),
                "balance",
            ),
            topped_up(wallet(balance="5", **APART), row(topup_conversion_rate="0.5", amount="5"), "wallet/balance"),
            found(wallet(), wallet(balance="26"), at="1/balance"),
            customers(wallet(balance="26"), at="0/balance"),
        ],
    ),
    "money.real-time-is-balance-less-usage": (
        [
            one(balance()),
            one(balance(real_time_balance="-5", real_time_credit_balance="-2.5", current_period_usage="30")),
            one(balance(real_time_balance="27", real_time_credit_balance="13.5", current_period_usage="-2")),
            one(postpaid()),
            customers(balance(), operation="getCustomerWallets"),
        ],
        [
            one(balance(current_period_usage="5.01"), "real_time_balance"),
            one(balance(current_period_usage="0"), "real_time_balance"),
            one(postpaid(real_time_balance="20", real_time_credit_balance="10"), "real_time_balance"),
        ],
    ),
    "money.real-time-credits": (
        [
            one(balance()),
            one(cached()),
            one(
                balance(
                    conversion_rate="3", balance="37.5", real_time_balance="32.5", real_time_credit_balance="10.8333333333333333"
                )
            ),
            one(balance(conversion_rate="3", balance="37.5", real_time_balance="32.5", real_time_credit_balance="10.833333333")),
        ],
        [
            one(balance(real_time_credit_balance="20"), "real_time_credit_balance"),
            one(cached(real_time_credit_balance="10.01"), "real_time_credit_balance"),
        ],
    ),
    "money.inactive-is-zero": (
        [one(closed()), one(closed(wallet_status="frozen")), one(closed(balance="0", credit_balance="0"))],
        [
            one(closed(current_period_usage="5"), "current_period_usage"),
            one(closed(unpaid_invoices_amount="3"), "unpaid_invoices_amount"),
            one(closed(real_time_balance="25", real_time_credit_balance=None), "real_time_balance"),
        ],
    ),
    "money.postpaid-has-no-usage": (
        [one(postpaid())],
        [
            one(postpaid(current_period_usage="5"), "current_period_usage"),
            one(postpaid(unpaid_invoices_amount="5"), "unpaid_invoices_amount"),
        ],
    ),
    "money.cached-is-prepaid": (
        [one(cached()), one(cached(real_time_balance="7", real_time_credit_balance="3.5"))],
        [
            one(cached(current_period_usage="5"), "current_period_usage"),
            one(cached(unpaid_invoices_amount="5"), "unpaid_invoices_amount"),
        ],
    ),
    "state.balance-updated-at": (
        [one(balance()), one(closed())],
        [one(balance(balance_updated_at=EARLY), "balance_updated_at")],
    ),
    "money.transaction-adds-up": (
        [
            listed(row(), debit(), pending()),
            listed(debit(credit_balance_before="5", credit_balance_after="-5")),
            topped_up(wallet(), row()),
        ],
        [
            listed(row(), row(credit_balance_after="2.5"), at="1/credit_balance_after"),
            listed(debit(credit_balance_after="22.5"), at="0/credit_balance_after"),
            listed(pending(credit_balance_after="12.5"), at="0/credit_balance_after"),
            topped_up(wallet(), row(credit_balance_after="12.49"), "wallet_transaction/credit_balance_after"),
        ],
    ),
    "money.transaction-priced": (
        [
            listed(row(), debit()),
            listed(row(topup_conversion_rate="0.5", amount="5")),
            listed(row(topup_conversion_rate="0.4", amount="4")),
        ],
        [
            listed(row(amount="10"), at="0/amount"),
            listed(debit(amount="5"), at="0/amount"),
            listed(row(topup_conversion_rate=None, conversion_rate="2"), at="0/conversion_rate"),
            listed(debit(conversion_rate=None, topup_conversion_rate="2"), at="0/topup_conversion_rate"),
        ],
    ),
    "money.credits-available": (
        [listed(row(), row(credits_available="0"), debit(), pending())],
        [
            listed(row(credits_available="10.01"), at="0/credits_available"),
            listed(row(credits_available="-1"), at="0/credits_available"),
            listed(debit(credits_available="10"), at="0/credits_available"),
        ],
    ),
    "state.times-in-order": (
        [
            one(wallet()),
            one(wallet(updated_at=EARLY)),
            one(wallet(created_at="2026-08-22T10:15:30.123456789Z", updated_at=EARLY)),
        ],
        [
            one(wallet(created_at=LATE, updated_at=EARLY), "updated_at"),
            listed(row(), row(created_at=LATE, updated_at=EARLY), at="1/updated_at"),
        ],
    ),
    "state.published": (
        [one(wallet()), found(wallet())],
        [one(wallet(status="archived"), "status"), found(wallet(status="deleted"), at="0/status")],
    ),
    "errors.strict-json": (
        [one(wallet()), one(wallet(description="日本語 🧾 \ud83e\uddfe")), refused()],
        [
            Case(json.dumps(wallet(priority=float("nan"))).encode()),
            Case(json.dumps(wallet()).encode() * 2),
            Case(json.dumps(wallet()).encode()[:-1]),
            Case(json.dumps(wallet()).encode()[:-1] + b',"id":"twice"}'),
            Case(b"\xef\xbb\xbf" + json.dumps(wallet()).encode()),
            Case(json.dumps(wallet()).encode("utf-16")),
            Case(b"[" * 100_000),
        ],
    ),
    "errors.status-agrees": (
        [refused(), refused(400, "validation_error")],
        [refused(404, http_status_code=400, at="/http_status_code"), refused(http_status_code=404.5, at="/http_status_code")],
    ),
    "errors.code-fits-status": (
        [refused(), refused(400, "invalid_operation"), refused(409, "already_exists", operation="topUpWallet", method="POST")],
        [refused(404, "validation_error", at="/code"), refused(400, "not_found", at="/code")],
    ),
    "errors.shape": (
        [
            refused(),
            refused(details={"wallet_id": ID, "list": [1]}),
            UNAUTHORIZED,
            Case({"message": "No."}, "updateWallet", 403, method="PUT"),
            Case(b"404 page not found", **NOT_THERE, status=404, headers=PLAIN),
            refused(**NOT_THERE),
        ],
        [
            refused(message=None),
            refused(code=None),  # type: ignore[arg-type]
            refused(http_status_code=None),
            Case({"error": {"code": "not_found"}}, status=404),
            Case({"error": "Unauthorized", "code": "unauthorized"}, status=401),
            Case({"error": "Forbidden"}, "updateWallet", 403, method="PUT"),
            Case(["no"], status=404),
            Case(["no"], **NOT_THERE, status=404),
        ],
    ),
    "errors.no-internals": (
        [
            refused(),
            refused(message="No wallet /srv/of/nobody/ here", path="/v1/wallets/%2Fsrv%2Fof%2Fnobody%2F"),
            refused(400, "validation_error", message="not a SELECT x FROM y", sent=b'{"expand": "SELECT x FROM y"}'),
            refused(message="See /v1/wallets/search, or https://docs.example/var/www/page"),
        ],
        [
            refused(message="goroutine 17 [running]"),
            refused(message="svc/wallet.go:2153: no rows"),
            refused(message='Traceback (most recent call last):\n  File "app.py", line 3'),
            refused(message='pq: relation "wallets" does not exist'),
            refused(message="SELECT id FROM wallets WHERE id = $1"),
            refused(message="open /srv/flexprice/config: permission denied"),
            refused(message="No /srv/nobody/ but app/wallet.go:7", sent=b"/srv/nobody/"),
        ],
    ),
    "errors.no-secrets": (
        [one(wallet()), refused(), UNAUTHORIZED],
        [
            refused(message=f"key {KEY} may not"),
            Case({"error": f"Unauthorized: {KEY}"}, status=401),
            one(wallet(), headers={"x-key": KEY}),
        ],
    ),
    "robustness.no-server-error": (
        [one(wallet()), refused()],
        [refused(500, "internal_error"), refused(501, "not_implemented"), Case(b"", status=502, headers={"content-type": ""})],
    ),
}


def broken(case: Case) -> tuple[list[tuple[str, str]], set[str]]:
    """The rules of meaning that the exchange breaks, with the places, and the rules that were judged."""
    tested: set[str] = set()
    wrong = judge().findings(case.seen(), tested.add)
    return [(finding.rule, finding.pointer) for finding in wrong if finding.level == "semantic"], tested


def accused(case: Case) -> list[str]:
    """All findings, those of the contract too."""
    return [str(finding) for finding in judge().findings(case.seen())]


# ---------------------------------------------------------------- every rule


@pytest.mark.parametrize("rule", ALL.values(), ids=list(ALL))
def test_a_rule_says_what_it_is(rule: Rule) -> None:
    """An id with its area, one sentence, where the promise was made, and when it is judged."""
    areas = "response|request|contract|errors|auth|money|state|lists|robustness|concurrency"
    assert re.fullmatch(rf"({areas})\.[a-z]+(-[a-z]+)*", rule.id)
    assert re.fullmatch(r"(?s)[A-Za-z`].*\.", rule.meaning)
    assert not re.search(r"\. [A-Z]", rule.meaning), "one sentence is enough"
    assert rule.source
    assert rule.applies
    assert set(rule.providers) <= set(PROVIDERS)


def test_an_id_means_one_rule() -> None:
    """Nobody has used a name twice."""
    for provider in PROVIDERS:
        probed = [rule for probe in catalogue.probes(provider) for rule in probe.rules]
        single = [entry.rule for entry in judge_rules(provider)]
        for rule in (*probed, *single, *traffic_rules(provider).values()):
            assert ALL[rule.id] == rule, rule.id
        assert len({rule.id for rule in single}) == len(single)
        assert all(provider in rule.providers for rule in (*probed, *single))


def judge_rules(provider: str) -> list[ExchangeRule]:
    """The rules over single exchanges."""
    return exchange_rules(provider)


# ---------------------------------------------------------------- rules over single exchanges


def test_every_rule_has_cases() -> None:
    """No rule over single exchanges goes without."""
    assert set(CASES) == {entry.rule.id for entry in JUDGED_ALONE}


@pytest.mark.parametrize("rule", CASES)
def test_rules_over_single_exchanges(rule: str) -> None:
    """Honest exchanges are judged and pass; each broken one is caught by this rule alone, in the right place."""
    right, wrong = CASES[rule]
    for case in right:
        assert accused(case) == [], case
        assert rule in broken(case)[1], case
    for case in wrong:
        problems, tested = broken(case)
        assert problems == [(rule, case.at)], case
        assert rule in tested


# what honest servers do in more than one way: nothing is wrong with any of them
BREAKDOWN = {"free": "2.5", "purchased": "10"}
LEVEL = {"condition": "below", "threshold": 5}
HONEST: dict[str, list[Case]] = {
    "offset of a page": [
        listed(row(), total=60, offset=10, query="limit=1&offset=10"),
        listed(row(), total=60, offset=11, query="limit=1&offset=10"),
    ],
    "paging of search": [found(wallet(), total=3), found(wallet(), wallet(), wallet())],
    "what exists already": [
        refused(status, code, operation=operation, method="POST")
        for operation in ("createWallet", "topUpWallet")
        for status, code in ((409, "already_exists"), (400, "validation_error"), (400, "invalid_operation"))
    ],
    "unknown external customer": [
        refused(404, operation="createWallet", method="POST"),
        refused(400, "validation_error", operation="createWallet", method="POST"),
    ],
    "unknown row status": [
        refused(400, "validation_error", operation="getWalletTransactions", query="status=lost"),
        listed(query="status=lost"),
    ],
    "form of a threshold": [
        one(wallet(alert_settings={"alert_enabled": True, "critical": LEVEL})),
        one(wallet(alert_settings={"alert_enabled": True, "critical": {**LEVEL, "threshold": "5"}})),
    ],
    "top-up of a closed wallet": [
        topped_up(wallet(wallet_status="closed"), row()),
        refused(400, "invalid_operation", operation="topUpWallet", method="POST"),
    ],
    "lists of what is unknown": [
        refused(404, operation="getWalletTransactions"),
        listed(),
        refused(404, operation="getWalletsByCustomerId"),
        customers(),
    ],
    "limit=0": [
        refused(400, "validation_error", operation="getWalletTransactions", query="limit=0"),
        listed(row(), query="limit=0"),
    ],
    "digits of a division": [
        topped_up(
            wallet(credit_balance=credits, balance=money, conversion_rate="3", topup_conversion_rate="3"),
            row(
                credit_amount=credits,
                amount=money,
                credit_balance_before="0",
                credit_balance_after=credits,
                credits_available=credits,
                topup_conversion_rate="3",
            ),
        )
        for credits, money in (
            ("3.3333333333333333", "9.9999999999999999"),
            ("3.3333333333333333", "10"),
            ("3.333333333", "9.999999999"),
            ("3.333333333", "10"),
        )
    ],
    "breakdown": [
        one(balance(credits_available_breakdown=BREAKDOWN)),
        one(balance(credits_available_breakdown={"free": "0", "purchased": "2"})),
        one(balance()),
    ],
    "credits that expired": [
        listed(row(expiry_date="2020-01-01T00:00:00Z")),
        listed(row(expiry_date="2020-01-01T00:00:00Z", credits_available="0"), debit(transaction_reason="CREDIT_EXPIRED")),
    ],
    "null in a request": [
        Case(wallet(), "updateWallet", method="PUT", sent=b'{"name": null}'),
        refused(400, "validation_error", operation="updateWallet", method="PUT", sent=b'{"name": null}'),
    ],
    "a number for a decimal": [
        Case(topped_up(wallet(), row()).body, "topUpWallet", method="POST", sent=b'{"credits_to_add": 10}'),
        refused(400, "validation_error", operation="topUpWallet", method="POST", sent=b'{"credits_to_add": 10}'),
    ],
    "a purchase that is not paid": [
        topped_up(wallet(), pending(), invoice_id=f"inv_{ULID}"),
        one(
            balance(real_time_balance="5", real_time_credit_balance="2.5", current_period_usage="20", unpaid_invoices_amount="15")
        ),
    ],
    "a purchase that was paid": [  # the amount was added, so the balance no longer is credits x rate
        topped_up(
            wallet(balance="5", **APART),
            row(transaction_reason="PURCHASED_CREDIT_INVOICED", amount="5", topup_conversion_rate="0.5"),
            invoice_id=f"inv_{ULID}",
        ),
        one(wallet(balance="5", **APART)),
    ],
    "range of a priority": [
        listed(row(priority=2**31)),
        refused(400, "validation_error", operation="topUpWallet", method="POST"),
    ],
    "unknown method": [
        refused(operation="", method="PATCH", headers={"allow": "GET, PUT"}),
        Case(b"404 page not found", "", 404, method="PATCH", headers=PLAIN),
        Case(b"405 method not allowed", "", 405, method="PATCH", headers=PLAIN),
    ],
    "unknown path": [refused(**NOT_THERE), Case(b"404 page not found", **NOT_THERE, status=404, headers=PLAIN)],
    "too large": [
        refused(413, "validation_error", operation="topUpWallet", method="POST"),
        Case(b"413 Request Entity Too Large", "topUpWallet", 413, method="POST", headers=PLAIN),
    ],
    "a gateway that is busy": [
        refused(503, "service_unavailable"),
        Case(b"down", status=503, headers=PLAIN),
        Case(b"slow down", status=429, headers=PLAIN),
    ],
    "a failed row": [listed(row(transaction_status="failed", credit_balance_after="2.5", credits_available="0"))],
}


@pytest.mark.parametrize("point", HONEST)
def test_what_honest_servers_may_do(point: str) -> None:
    """Where sources disagree, no rule speaks, and the contract does not either."""
    for case in HONEST[point]:
        assert accused(case) == [], case


# ---------------------------------------------------------------- arithmetic

CREDITS = st.decimals(-(10**10), 10**10, places=9, allow_nan=False)
POSITIVE = st.decimals("0.000000001", 10**6, places=9, allow_nan=False)
RATES = st.decimals("0.0001", 10_000, places=5, allow_nan=False)


def cut(number: Decimal, places: int) -> Decimal:
    """Rounded to so many places, however many digits there are before the point."""
    with localcontext(prec=60):
        return round(number, places)


def plain(number: Decimal) -> str:
    """As the provider writes decimals."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


@settings(max_examples=60, deadline=None)
@given(credits=CREDITS, rate=RATES, error=st.decimals(-1, 1, places=3), places=st.sampled_from([9, 16]))
def test_a_balance_is_credits_times_rate(credits: Decimal, rate: Decimal, error: Decimal, places: int) -> None:
    """What storing 9 digits cuts off is forgiven, more than that is not."""
    exact = credits * rate
    tau = Decimal("1e-9") * (1 + rate)
    stored = wallet(credit_balance=plain(credits), conversion_rate=plain(rate), topup_conversion_rate=plain(rate))

    rounded = cut(exact, places)
    assert accused(one({**stored, "balance": plain(rounded)})) == []
    assert accused(one({**stored, "balance": plain(exact + error * tau)})) == []
    beyond = exact + tau * (Decimal("1.001") if error >= 0 else Decimal("-1.001"))
    assert broken(one({**stored, "balance": plain(beyond)}))[0] == [("money.balance-is-credits-times-rate", "/balance")]


@settings(max_examples=60, deadline=None)
@given(before=CREDITS, amount=POSITIVE, rate=RATES, is_credit=st.booleans(), waits=st.booleans())
def test_rows_add_up(before: Decimal, amount: Decimal, rate: Decimal, is_credit: bool, waits: bool) -> None:
    """Any credit, debit or pending purchase passes; the other direction, and half of it, do not."""
    made = pending if waits else row if is_credit else debit
    sign = 0 if waits else 1 if is_credit else -1
    values = {
        "credit_amount": plain(amount),
        "amount": plain(amount * rate),
        "credit_balance_before": plain(before),
        "topup_conversion_rate" if waits or is_credit else "conversion_rate": plain(rate),
        "credits_available": plain(amount) if waits or is_credit else "0",
    }
    assert accused(listed(made(**values, credit_balance_after=plain(before + sign * amount)))) == []
    assume(amount > Decimal("1e-8"))
    for wrong in {-1, 0, 1, Decimal("0.5")} - {sign}:
        after = plain(before + wrong * amount)
        assert broken(listed(made(**values, credit_balance_after=after)))[0] == [
            ("money.transaction-adds-up", "/items/0/credit_balance_after")
        ]


@settings(max_examples=60, deadline=None)
@given(credits=CREDITS, rate=RATES, used=st.decimals(-(10**6), 10**6, places=9), places=st.sampled_from([9, 16]))
def test_real_time_values_follow(credits: Decimal, rate: Decimal, used: Decimal, places: int) -> None:
    """Whatever was used, the real-time balance is the rest, and in credits it is that divided by the rate."""
    money = cut(credits * rate, 9)
    rest = money - used
    body = balance(
        credit_balance=plain(credits),
        balance=plain(money),
        conversion_rate=plain(rate),
        topup_conversion_rate=plain(rate),
        current_period_usage=plain(used),
        real_time_balance=plain(rest),
        real_time_credit_balance=plain(cut(rest / rate, places)),
    )
    assert accused(one(body)) == []
    wrong = body | {"current_period_usage": plain(used + Decimal("0.01"))}
    assert broken(one(wrong))[0] == [("money.real-time-is-balance-less-usage", "/real_time_balance")]


# ---------------------------------------------------------------- answers that are none


@contextmanager
def answering(answer: bytes, *, hangs: bool = False) -> Iterator[str]:
    """The URL of a server that sends these bytes to whoever asks, and then ends the connection, or does not."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)
            if hangs:
                over.wait(10)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            over.set()
            server.shutdown()


@pytest.mark.parametrize(
    ("rule", "answer", "hangs"),
    [
        ("robustness.answers-in-time", b"", True),
        ("robustness.answers-in-time", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", True),
        ("robustness.whole-answers", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", False),
        ("robustness.whole-answers", b"", False),
        ("robustness.whole-answers", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", False),
        ("robustness.bounded-answers", b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000, False),
        ("robustness.plain-http", b"+OK this is a mail server\r\n\r\n", False),
    ],
)
def test_answers_that_are_none(rule: str, answer: bytes, hangs: bool) -> None:
    """What keeps a whole answer from coming is told by its own rule, and an answer that comes is judged by all of them."""
    with answering(answer, hangs=hangs) as url, staged(url, patience=0.3 if hangs else 10.0) as stage, pytest.raises(Lost):
        stage.call("getWallet", ID)

    assert [entry.finding.rule for entry in stage.found] == [rule]
    assert stage.found[0].sent[0].trouble


def test_a_whole_answer_is_judged_by_these_rules_too() -> None:
    """Otherwise a run could not say that they hold."""
    body = json.dumps(wallet()).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: {ULID}\r\ncontent-length: {len(body)}\r\n\r\n"
    with answering(head.encode() + body) as url, staged(url) as stage:
        stage.call("getWallet", ID)

    assert stage.found == []
    assert {rule.id for rule in TROUBLE_RULES.values()} <= set(stage.judged)


@contextmanager
def staged(url: str, patience: float = 10.0) -> Iterator[Stage]:
    """A stage that takes no more than two thousand bytes; its connections are closed afterwards, whatever happens."""
    target = Target(url, contract().base_path, timeout=patience, max_bytes=2000)
    subject = Subject(contract(), target, Guard(), judge(), {"main": api_key("main", KEY)}, 1, "test")
    with closing(target):
        yield Stage(subject, "test", 0.0)


# ---------------------------------------------------------------- the page


def test_the_page_of_rules_is_up_to_date() -> None:
    """A rule added, renamed or put differently must be so in docs/rules.md as well, and can be linked to."""
    result = subprocess.run([sys.executable, ROOT / "tools/rules_page.py", "--check"], check=False)
    assert result.returncode == 0, "docs/rules.md is out of date: run `make docs`"

    text = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r'<a id="([^"]+)"></a>', text)) == sorted(ALL)
