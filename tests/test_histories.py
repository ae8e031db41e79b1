"""Traffic of others: no honest service is accused, whatever overlaps or lags, and each lie over time is found with what shows it.

Lies are told in a few exchanges each, in the tables below: the last exchange is the one that contradicts the earlier ones. What
honest services do differently stands beside them, and must pass. Then the traffic of whole runs, of several clients at once,
and random ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from conftest import Mock
from gating import gate, quick
from hypothesis import given, settings
from hypothesis import strategies as st

from contract_tests.contract import Contract
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.gate import Options
from contract_tests.identity import Identity
from contract_tests.policy import Floor, Policy
from contract_tests.probes import catalogue
from contract_tests.rules import histories, remembering
from contract_tests.rules.histories import history
from contract_tests.rules.history import Judged, Moment
from contract_tests.rules.observation import Observation
from contract_tests.rules.rule import PROVIDERS
from contract_tests.target import Target
from mock_server.assembly import Mock as Assembled
from mock_server.assembly import Settings, assemble
from mock_server.clock import ClockSetting
from mock_server.flexprice.actions import ACTIONS
from mock_server.world import Draft, Refusal, World

OPENAPI = Path(__file__).parent.parent / "openapi"
START = datetime(2026, 11, 21, 9, tzinfo=UTC)
SETTLE = 2.0
KEY = "sk_01K3A8QW2M7Z5T9R4V6X8Y0B1D"
OTHER_KEY = "sk_01K3A8QW2M7Z5T9R4V6X8Y0B2E"
W, V = "wallet_01K3A8QW2M7Z5T9R4V6X8Y0B1C", "wallet_01K3A8QW2M7Z5T9R4V6X8Y0B1F"
PW = "7d9f2c34-1a2b-4c3d-8e4f-5a6b7c8d9e0f"
TOKEN, OTHER_TOKEN = "polar_cst_" + "aB3dE6gH9" * 5, "polar_cst_" + "zY8xW5vU2" * 5


@cache
def contract(provider: str) -> Contract:
    """A provider's contract."""
    return Contract.load(provider, OPENAPI / f"{provider}.yaml", OPENAPI / f"{provider}.overlay.yaml")


# ---------------------------------------------------------------- exchanges


def at(seconds: float) -> str:
    """A time of the service's clock, so many seconds after nine."""
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Step:
    """One exchange. `start`: seconds after nine; ten after the step before, if it is not given."""

    operation: str
    body: Any
    id: str = W
    status: int = 200
    start: float | None = None
    took: float = 0.5
    sent: Any = None
    query: str = ""
    client: str = "client 1"
    asked: tuple[tuple[str, str], ...] = ()
    answered: tuple[tuple[str, str], ...] = ()

    def moment(self, start: float) -> Moment:
        """As a history gets it."""
        provider = "polar" if ":" in self.operation else "flexprice"
        operation = contract(provider).operations[self.operation]
        asked = {"x-api-key": KEY} if provider == "flexprice" else {"authorization": f"Bearer {TOKEN}"}
        headers = [(name.encode(), value.encode()) for name, value in {**asked, **dict(self.asked)}.items() if value]
        sent = b"" if self.sent is None else json.dumps(self.sent).encode()
        path = operation.path.replace("{id}", self.id)
        request = Request(
            operation.method, path, self.query.encode(), headers, sent, {"id": self.id} if "{" in operation.path else {}
        )
        answered = [(b"content-type", b"application/json"), *((n.encode(), v.encode()) for n, v in self.answered)]
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        began = START.timestamp() + start
        observation = Observation(contract(provider), operation, Exchange(request, Response(self.status, answered, body)))
        return Moment(observation, self.client, began, began + self.took)


def moments(steps: Sequence[Step]) -> list[Moment]:
    """All of them, in the order in which they began."""
    result, clock = [], 0.0
    for step in steps:
        clock = clock + 10 if step.start is None else step.start
        result.append(step.moment(clock))
    return sorted(result, key=lambda moment: moment.started)


def judge(found: Sequence[Moment], provider: str = "flexprice", settle: float = SETTLE) -> list[Judged]:
    """Everything that a history says of these."""
    seen = history(provider, settle)
    assert seen is not None
    said = [judged for moment in found for judged in seen.take(moment)]
    assert {judged.rule.id for judged in said} <= {rule.id for rule in seen.rules}
    return said


def problems(steps: Sequence[Step]) -> list[Judged]:
    """What is wrong with them."""
    provider = "polar" if ":" in steps[0].operation else "flexprice"
    return [judged for judged in judge(moments(steps), provider) if judged.problem is not None]


# ---------------------------------------------------------------- honest bodies


def wallet(**changes: Any) -> dict[str, Any]:
    """A wallet of yesterday."""
    ordinary = {
        "id": W,
        "customer_id": "cust_1",
        "currency": "usd",
        "balance": "25",
        "credit_balance": "12.5",
        "wallet_status": "active",
        "name": "Prepaid Wallet - USD",
        "description": "",
        "metadata": {"a": "1"},
        "wallet_type": "PRE_PAID",
        "config": {"allowed_price_types": ["USAGE"]},
        "conversion_rate": "2",
        "topup_conversion_rate": "2",
        "environment_id": "env_1",
        "alert_state": "ok",
        "tenant_id": "tenant_1",
        "status": "published",
        "created_at": at(-90_000),
        "updated_at": at(-80_000),
        "created_by": "user_1",
        "updated_by": "user_1",
    }
    return {name: value for name, value in {**ordinary, **changes}.items() if value is not ...}


def row(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A completed credit of 5, made at the second that is its number."""
    ordinary = {
        "id": f"wtxn_{number}",
        "wallet_id": W,
        "customer_id": "cust_1",
        "type": "credit",
        "amount": "10",
        "credit_amount": "5",
        "credit_balance_before": "12.5",
        "credit_balance_after": "17.5",
        "credits_available": "5",
        "transaction_status": "completed",
        "transaction_reason": "FREE_CREDIT_GRANT",
        "reference_type": "EXTERNAL",
        "reference_id": f"k{number}",
        "description": "",
        "metadata": {},
        "priority": None,
        "expiry_date": None,
        "currency": "usd",
        "idempotency_key": f"k{number}",
        "environment_id": "env_1",
        "tenant_id": "tenant_1",
        "status": "published",
        "created_at": at(number),
        "updated_at": at(number),
        "topup_conversion_rate": "2",
    }
    return {name: value for name, value in {**ordinary, **changes}.items() if value is not ...}


def top_up(number: int = 1, *, sent: dict[str, Any] | None = None, shows: Any = None, **more: Any) -> Step:
    """A top-up of 5 credits at the second that is its number, and what it answers."""
    changes = {name: more.pop(name) for name in list(more) if name not in Step.__dataclass_fields__}
    asked = {"credits_to_add": "5", "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": f"k{number}"} | (sent or {})
    body = {
        "wallet": wallet(credit_balance="17.5", balance="35", updated_at=at(number)) if shows is None else shows,
        "wallet_transaction": row(number, **changes),
        "invoice_id": "inv_1",
    }
    return Step(
        "topUpWallet", body, sent={name: value for name, value in asked.items() if value is not ...}, **{"start": number, **more}
    )


def listed(*rows: dict[str, Any], total: int | None = None, limit: int | None = 50, **more: Any) -> Step:
    """The transactions of the wallet."""
    pagination = {"total": len(rows) if total is None else total, "limit": limit, "offset": 0}
    return Step("getWalletTransactions", {"items": list(rows), "pagination": pagination}, **more)


def created(sent: dict[str, Any] | None = None, **changes: Any) -> Step:
    """A creation of an empty wallet."""
    empty = {
        "balance": "0",
        "credit_balance": "0",
        "metadata": {},
        "created_at": at(10),
        "updated_at": at(10),
        "alert_state": "ok",
    }
    asked = {"customer_id": "cust_1", "currency": "USD", "conversion_rate": "2", "topup_conversion_rate": "2"}
    asked |= {"wallet_type": "PRE_PAID"} | (sent or {})
    return Step(
        "createWallet",
        wallet(**{**empty, **changes}),
        "",
        sent={name: value for name, value in asked.items() if value is not ...},
    )


def got(**changes: Any) -> Step:
    """The wallet, read by its id."""
    return Step("getWallet", wallet(**changes))


def search(*wallets: dict[str, Any], **more: Any) -> Step:
    """Wallets that a search found."""
    return Step(
        "queryWallet", {"items": list(wallets), "pagination": {"total": len(wallets), "limit": 50, "offset": 0}}, "", **more
    )


def update(sent: dict[str, Any], **changes: Any) -> Step:
    """An update; its answer has the old time (D20)."""
    return Step("updateWallet", wallet(**changes), sent=sent)


def close() -> Step:
    """An answered termination."""
    return Step("terminateWallet", {"message": "wallet terminated successfully"})


def portal(operation: str = "get", **changes: Any) -> Step:
    """Polar's wallet, by its id or as a page."""
    ordinary = {"id": PW, "created_at": at(0), "modified_at": None, "customer_id": "c1", "balance": 5, "currency": "usd"}
    entity = {**ordinary, **changes}
    body = entity if operation == "get" else {"items": [entity], "pagination": {"total_count": 1, "max_page": 1}}
    return Step(f"customer_portal:wallets:{operation}", body, PW)


NOT_FOUND = {"code": "not_found", "message": "Wallet not found", "http_status_code": 404}
GONE = Step("getWallet", NOT_FOUND, status=404)
TICK = search(wallet(id=V, updated_at=at(0)))
"""Shows that the service's clock is at nine: well past the times of a wallet of yesterday."""
CLOSED = got(wallet_status="closed", updated_at=at(0))
STALE = wallet(credit_balance="17.5", balance="35")
PUT = {"metadata": {"b": "2"}}

PAGE = {"total_count": 2, "max_page": 1}

# ---------------------------------------------------------------- lies

# name -> rule, pointer, how many earlier exchanges show it, the exchanges
LIES: dict[str, tuple[str, str, int, list[Step]]] = {
    "currency changes": ("state.fixed-forever", "/currency", 1, [got(), got(currency="eur")]),
    "customer changes in a list": (
        "state.fixed-forever",
        "/items/0/customer_id",
        1,
        [got(), search(wallet(customer_id="cust_2"))],
    ),
    "type changes": ("state.fixed-forever", "/wallet_type", 1, [got(), got(wallet_type="POST_PAID")]),
    "rate changes": ("state.fixed-forever", "/conversion_rate", 1, [got(), got(conversion_rate="2.1")]),
    "rate changes by a top-up": (
        "state.fixed-forever",
        "/wallet/topup_conversion_rate",
        1,
        [got(), top_up(20, shows=wallet(topup_conversion_rate="3", updated_at=at(20)), topup_conversion_rate=...)],
    ),
    "creation time changes": ("state.fixed-forever", "/created_at", 1, [got(), got(created_at=at(-90_001))]),
    "changes while it overlaps": (
        "state.fixed-forever",
        "/currency",
        1,
        [replace(got(), start=1, took=9), replace(got(currency="eur"), start=2)],
    ),
    "another wallet": ("state.fixed-forever", "/id", 0, [got(id=V)]),
    "another wallet's balance": ("state.fixed-forever", "/id", 0, [Step("getWalletBalance", wallet(id=V))]),
    "another wallet's top-up": (
        "state.fixed-forever",
        "/wallet/id",
        0,
        [top_up(shows=wallet(id=V, updated_at=at(1)))],
    ),
    "terminated, then active": ("state.terminate-closes", "/wallet_status", 1, [close(), got()]),
    "closed, then frozen": (
        "state.terminate-closes",
        "/wallet_status",
        1,
        [CLOSED, got(wallet_status="frozen", updated_at=at(15))],
    ),
    "closed, then active in an update": (
        "state.terminate-closes",
        "/wallet_status",
        1,
        [CLOSED, update(PUT, metadata={"b": "2"}, updated_at=at(0))],
    ),
    "terminated, then active, as one clock has it": (
        "state.terminate-closes",
        "/wallet_status",
        1,
        [
            replace(close(), answered=(("date", "Sat, 21 Nov 2026 09:00:10 GMT"),)),
            replace(got(), start=12.6, answered=(("date", "Sat, 21 Nov 2026 09:00:12 GMT"),)),
        ],
    ),
    "terminated, then active, whichever clock is right": (
        "state.terminate-closes",
        "/wallet_status",
        1,
        [
            replace(close(), answered=(("date", "Sat, 21 Nov 2026 09:05:10 GMT"),)),
            replace(got(), answered=(("date", "Sat, 21 Nov 2026 09:05:14 GMT"),)),
        ],
    ),
    "terminated twice": ("state.terminate-closes", "", 1, [close(), close()]),
    "terminated though closed": ("state.terminate-closes", "", 1, [CLOSED, close()]),
    "terminated and shown as active": ("state.terminate-closes", "/wallet_status", 0, [Step("terminateWallet", wallet())]),
    "created and not found": ("state.created-is-found", "", 1, [created(), GONE]),
    "read and not found": ("state.created-is-found", "", 1, [got(), replace(GONE, operation="terminateWallet")]),
    "goes back": ("state.never-goes-back", "/updated_at", 1, [got(updated_at=at(0)), got()]),
    "goes back in a list": (
        "state.never-goes-back",
        "/items/1/updated_at",
        1,
        [got(updated_at=at(0)), search(wallet(id=V), wallet())],
    ),
    "goes back behind a termination that shows it": (
        "state.never-goes-back",
        "/updated_at",
        1,
        [Step("terminateWallet", wallet(wallet_status="closed", updated_at=at(9))), got(wallet_status="closed")],
    ),
    "goes back behind a row that is old": (
        "state.never-goes-back",
        "/updated_at",
        1,
        [got(updated_at=at(0)), top_up(20, shows=wallet(updated_at=at(0)), created_at=at(-70_000)), got()],
    ),
    "twice in a list": ("state.fixed-forever", "/items/1/currency", 0, [search(wallet(), wallet(currency="eur"))]),
    "twice in a list, in two ways": (
        "state.reads-repeat",
        "/items/1/description",
        0,
        [TICK, search(wallet(), wallet(description="x"))],
    ),
    "two tenants in a list": (
        "auth.others-wallets-hidden",
        "/items/1/tenant_id",
        0,
        [search(wallet(), wallet(id=V, tenant_id="tenant_2"))],
    ),
    "a new version, told twice in two ways": (
        "state.reads-repeat",
        "/credit_balance",
        1,
        [TICK, got(), got(updated_at=at(-100)), got(updated_at=at(-100), credit_balance="1")],
    ),
    "a version that was seen before the clock": (
        "state.reads-repeat",
        "/credit_balance",
        1,
        [got(), TICK, got(), got(credit_balance="1")],
    ),
    "closed as what was there first tells": (
        "state.terminate-closes",
        "/wallet_status",
        1,
        [replace(close(), start=1, took=50), replace(CLOSED, start=2), replace(got(updated_at=at(0)), start=10)],
    ),
    "closed as what was there first tells, the other way round": (
        "state.terminate-closes",
        "/wallet_status",
        1,
        [replace(CLOSED, start=1), replace(close(), start=2, took=50), replace(got(updated_at=at(0)), start=10)],
    ),
    "metadata of a top-up not there": (
        "state.sent-is-kept",
        "/wallet_transaction/metadata/a",
        0,
        [top_up(sent={"metadata": {"a": "1"}}, metadata=None)],
    ),
    "fewer rows as it was told to list them": (
        "money.rows-stay",
        "/pagination/total",
        1,
        [
            listed(row(9), total=9, query="limit=1&offset=0&order=desc"),
            listed(row(9), total=8, query="limit=1&offset=0&order=desc"),
        ],
    ),
    "row twice in a list": ("money.rows-stay", "/items/1/amount", 0, [listed(row(), row(amount="1"))]),
    "Polar: twice on a page": (
        "state.fixed-forever",
        "/items/1/currency",
        0,
        [replace(portal("list"), body={"items": [portal().body, portal(currency="eur").body], "pagination": PAGE})],
    ),
    "row gone soon after it was seen again": (
        "money.rows-stay",
        "/items",
        1,
        [listed(row()), replace(listed(row()), start=20), replace(listed(row(2)), start=21)],
    ),
    "fewer rows for good": (
        "money.rows-stay",
        "/pagination/total",
        1,
        [
            replace(listed(row(9), total=9, query="limit=1"), start=1),
            replace(listed(row(9), total=8, query="limit=1"), start=3),
            listed(row(9), total=8, query="limit=1"),
        ],
    ),
    "key of a listed row used": (
        "money.key-takes-effect-once",
        "/wallet_transaction/id",
        1,
        [replace(listed(row(1)), start=1, took=9), top_up(2, sent={"idempotency_key": "k1"}, idempotency_key="k1")],
    ),
    "key of a top-up in another row": (
        "money.key-takes-effect-once",
        "/items/0/id",
        1,
        [replace(top_up(1), took=9), replace(listed(row(2, idempotency_key="k1")), start=2)],
    ),
    "top-up does not show": ("money.top-up-adds", "/updated_at", 1, [top_up(10), got()]),
    "top-up does not show, soon after a change": (
        "money.top-up-adds",
        "/updated_at",
        1,
        [got(updated_at=at(9.7)), replace(top_up(10), start=11), replace(got(updated_at=at(9.7)), start=20)],
    ),
    "same version, other credits": ("state.reads-repeat", "/credit_balance", 1, [TICK, got(), got(credit_balance="12.4")]),
    "same version, other list": (
        "state.reads-repeat",
        "/items/0/description",
        1,
        [TICK, search(wallet()), search(wallet(description="x"))],
    ),
    "list differs from get": ("lists.item-equals-get", "/items/0/metadata", 1, [TICK, got(), search(wallet(metadata={}))]),
    "get differs from list": ("lists.item-equals-get", "/name", 1, [TICK, search(wallet()), got(name="y")]),
    "new wallet with money": ("state.new-wallet-defaults", "/credit_balance", 0, [created(credit_balance="1")]),
    "new wallet closed": ("state.new-wallet-defaults", "/wallet_status", 0, [created(wallet_status="closed")]),
    "new wallet misnamed": ("state.new-wallet-defaults", "/name", 0, [created(name="Wallet")]),
    "new wallet pays for all": ("state.new-wallet-defaults", "/config", 0, [created(config={"allowed_price_types": ["ALL"]})]),
    "other customer": ("state.sent-is-kept", "/customer_id", 0, [created(customer_id="cust_2")]),
    "currency as it was sent": ("state.sent-is-kept", "/currency", 0, [created(currency="USD")]),
    "other rate than sent": ("state.sent-is-kept", "/conversion_rate", 0, [created(conversion_rate="1")]),
    "other top-up rate than sent": ("state.sent-is-kept", "/topup_conversion_rate", 0, [created(topup_conversion_rate="1")]),
    "metadata of a creation lost": ("state.sent-is-kept", "/metadata", 0, [created({"metadata": {"x": "y"}})]),
    "description of a top-up lost": (
        "state.sent-is-kept",
        "/wallet_transaction/description",
        0,
        [top_up(sent={"description": "gift"})],
    ),
    "priority of a top-up lost": ("state.sent-is-kept", "/wallet_transaction/priority", 0, [top_up(sent={"priority": 0})]),
    "key of a top-up lost": ("state.sent-is-kept", "/wallet_transaction/idempotency_key", 0, [top_up(idempotency_key="")]),
    "metadata of a top-up lost": (
        "state.sent-is-kept",
        "/wallet_transaction/metadata/b",
        0,
        [top_up(sent={"metadata": {"a": "1", "b": "2"}}, metadata={"a": "1"})],
    ),
    "expiry lost": ("state.sent-is-kept", "/wallet_transaction/expiry_date", 0, [top_up(sent={"expiry_date_utc": at(1e6)})]),
    "other expiry": (
        "state.sent-is-kept",
        "/wallet_transaction/expiry_date",
        0,
        [top_up(sent={"expiry_date_utc": at(1e6)}, expiry_date=at(1e6 + 5))],
    ),
    "booked as a debit": ("money.top-up-booked", "/wallet_transaction/type", 0, [top_up(type="debit")]),
    "booked on another wallet": ("money.top-up-booked", "/wallet_transaction/wallet_id", 0, [top_up(wallet_id=V)]),
    "booked for another reason": (
        "money.top-up-booked",
        "/wallet_transaction/transaction_reason",
        0,
        [top_up(transaction_reason="CREDIT_NOTE")],
    ),
    "direct and pending": (
        "money.top-up-booked",
        "/wallet_transaction/transaction_status",
        0,
        [top_up(transaction_status="pending")],
    ),
    "booked with another amount": ("money.top-up-booked", "/wallet_transaction/credit_amount", 0, [top_up(credit_amount="5.1")]),
    "row of a top-up not listed": ("money.top-up-booked", "/items", 1, [top_up(1), listed(row(0))]),
    "row of a top-up not among the newest": (
        "money.top-up-booked",
        "/items",
        1,
        [top_up(5), listed(row(2), row(1), total=9, query="limit=2")],
    ),
    "amount taken for credits": (
        "money.amount-becomes-credits",
        "/wallet_transaction/credit_amount",
        0,
        [top_up(sent={"credits_to_add": ..., "amount": "5"})],
    ),
    "pending without invoice": (
        "money.pending-changes-nothing",
        "/invoice_id",
        0,
        [
            replace(
                top_up(),
                sent={"credits_to_add": "5", "transaction_reason": "PURCHASED_CREDIT_INVOICED"},
                body={
                    "wallet": wallet(),
                    "wallet_transaction": row(transaction_reason="PURCHASED_CREDIT_INVOICED", transaction_status="pending"),
                },
            )
        ],
    ),
    "update not shown": ("state.update-merges", "/name", 0, [update({"name": "New"})]),
    "update merges metadata": ("state.update-merges", "/metadata", 0, [update(PUT, metadata={"a": "1", "b": "2"})]),
    "update of what it pays not shown": (
        "state.update-merges",
        "/config",
        0,
        [update({"config": {"allowed_price_types": ["ALL"]}})],
    ),
    "update lost": ("state.update-merges", "/metadata", 1, [TICK, update(PUT, metadata={"b": "2"}), got()]),
    "row changes its amount": ("money.rows-stay", "/items/0/credit_amount", 1, [listed(row()), listed(row(credit_amount="6"))]),
    "row changes its wallet": (
        "money.rows-stay",
        "/items/0/wallet_id",
        1,
        [listed(row()), Step("queryWalletTransaction", {"items": [row(wallet_id=V)], "pagination": {"total": 1}}, "")],
    ),
    "completed row changes its balance": (
        "money.rows-stay",
        "/items/0/credit_balance_after",
        1,
        [listed(row()), listed(row(credit_balance_after="18"))],
    ),
    "completed row is pending again": (
        "money.rows-stay",
        "/items/0/transaction_status",
        1,
        [listed(row()), listed(row(transaction_status="pending"))],
    ),
    "pending row completes, then changes": (
        "money.rows-stay",
        "/items/0/credit_balance_before",
        1,
        [listed(row(transaction_status="pending")), listed(row()), listed(row(credit_balance_before="1"))],
    ),
    "row gone": ("money.rows-stay", "/items", 1, [listed(row(2), row(1)), listed(row(2))]),
    "row gone from the newest": (
        "money.rows-stay",
        "/items",
        1,
        [listed(row(3), row(2), row(1)), listed(row(3), row(1), total=3, query="limit=2")],
    ),
    "all rows gone": ("money.rows-stay", "/items", 1, [got(), listed(row()), listed()]),
    "fewer rows in all": (
        "money.rows-stay",
        "/pagination/total",
        1,
        [listed(row(9), total=9, query="limit=1"), listed(row(9), total=8, query="limit=1")],
    ),
    "key used twice": (
        "money.key-takes-effect-once",
        "/wallet_transaction/id",
        1,
        [top_up(1), top_up(2, sent={"idempotency_key": "k1"}, idempotency_key="k1")],
    ),
    "key used on two wallets": (
        "money.key-takes-effect-once",
        "/wallet_transaction/id",
        1,
        [
            top_up(1),
            top_up(
                2, sent={"idempotency_key": "k1"}, idempotency_key="k1", id=V, wallet_id=V, shows=wallet(id=V, updated_at=at(2))
            ),
        ],
    ),
    "key in two rows of a list": (
        "money.key-takes-effect-once",
        "/items/1/id",
        0,
        [listed(row(2, idempotency_key="k1"), row(1))],
    ),
    "key used twice at once": (
        "concurrency.same-key-at-once",
        "/wallet_transaction/id",
        1,
        [replace(top_up(1), took=9), top_up(2, sent={"idempotency_key": "k1"}, idempotency_key="k1")],
    ),
    "a closed wallet in its customer's list": (
        "lists.customer-lists",
        "/0/wallet_status",
        0,
        [Step("getWalletsByCustomerId", [wallet(wallet_status="closed")], "cust_1")],
    ),
    "another's wallet in a customer's list": (
        "lists.customer-lists",
        "/0/customer_id",
        0,
        [Step("getCustomerWallets", [wallet()], "", query="id=cust_2")],
    ),
    "a row of another wallet": ("lists.filters-filter", "/items/1/wallet_id", 0, [listed(row(2), row(1, wallet_id=V))]),
    "wallets of two tenants": (
        "auth.others-wallets-hidden",
        "/items/0/tenant_id",
        1,
        [got(), search(wallet(id=V, tenant_id="tenant_2"))],
    ),
    "rows of two environments": (
        "auth.others-wallets-hidden",
        "/items/0/environment_id",
        1,
        [got(), listed(row(environment_id="env_2"))],
    ),
    "Polar: currency changes": ("state.fixed-forever", "/currency", 1, [portal(), portal(currency="eur")]),
    "Polar: customer changes": (
        "state.fixed-forever",
        "/customer_id",
        1,
        [portal(), replace(portal(customer_id="c2"), asked=(("authorization", f"Bearer {OTHER_TOKEN}"),), client="client 2")],
    ),
    "Polar: creation time changes": (
        "state.fixed-forever",
        "/items/0/created_at",
        1,
        [portal(), portal("list", created_at=at(1))],
    ),
    "Polar: two customers": ("auth.one-customer", "/items/0/customer_id", 1, [portal(), portal("list", id=V, customer_id="c2")]),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_found(name: str) -> None:
    """By its rule alone, in the last exchange, where it is, and with the earlier exchange that shows it."""
    rule, pointer, before, steps = LIES[name]

    found = problems(steps)

    assert [(judged.rule.id, judged.problem and judged.problem.pointer) for judged in found] == [(rule, pointer)]
    assert len(found[0].before) == before
    assert not steps[1:] or not problems(steps[:-1])


# ---------------------------------------------------------------- what honest services do

OTHERS = {"asked": (("x-api-key", OTHER_KEY),), "client": "client 2"}
SESSION = {"asked": (("x-mock-session", "other"),)}
INVOICED = {"transaction_reason": "PURCHASED_CREDIT_INVOICED"}

HONEST: dict[str, list[Step]] = {
    "a rate from memory has digits that are not stored": [
        created({"conversion_rate": "1.123456"}, conversion_rate="1.123456", created_at="2026-11-21T09:00:10.123456789Z"),
        got(conversion_rate="1.12346", created_at=at(10.123456), updated_at=at(10.123456), credit_balance="0", balance="0"),
    ],
    "a member that is missing now and then": [got(), got(customer_id=...), got(customer_id="")],
    "a top-up of a closed wallet (D11)": [CLOSED, top_up(20, shows=wallet(wallet_status="closed", updated_at=at(20)))],
    "a second termination that is refused": [CLOSED, replace(close(), status=400, body={"code": "invalid_operation"})],
    "a termination that was not answered with success": [replace(close(), status=500, body={"code": "system_error"}), got()],
    "a read that overlaps a termination": [replace(close(), start=1, took=5), replace(got(), start=2)],
    "a read that lags behind a termination": [replace(close(), start=1), replace(got(), start=3.4)],
    "a read that lags behind what was seen": [replace(CLOSED, start=1), replace(got(), start=3.4)],
    "terminations that lag": [replace(close(), start=1), replace(close(), start=3.4)],
    "a termination of which nobody knows how long it took": [replace(close(), took=0), replace(got(), start=60)],
    "another session of a mock": [CLOSED, replace(got(), **SESSION)],
    "another host": [CLOSED, replace(got(), asked=(("host", "staging.example.com"),))],
    "another host by HTTP/2": [CLOSED, replace(got(), asked=((":authority", "staging.example.com"),))],
    "an answer that a cache kept": [CLOSED, replace(got(), answered=(("age", "300"),))],
    "an answer as it was wished for": [CLOSED, replace(got(), answered=(("preference-applied", "example=active"),))],
    "an answer that a fault of the session made": [
        replace(created(), answered=(("x-mock-fault", "slow"),)),
        created(),
        replace(GONE, answered=(("x-mock-fault", "error-1"),)),
    ],
    "recorders whose clocks differ": [
        replace(close(), answered=(("date", "Sat, 21 Nov 2026 09:05:00 GMT"),)),
        replace(got(), start=180, client="client 2", answered=(("date", "Sat, 21 Nov 2026 09:03:00 GMT"),)),
    ],
    "recorders whose clocks differ, at about the same time": [
        replace(close(), answered=(("date", "Sat, 21 Nov 2026 09:05:00 GMT"),)),
        replace(got(), start=180, client="client 2", answered=(("date", "Sat, 21 Nov 2026 09:05:03 GMT"),)),
    ],
    "recorders whose clocks differ by less than an answer took": [
        replace(close(), answered=(("date", "Sat, 21 Nov 2026 09:00:10 GMT"),)),
        replace(got(), start=25, took=30, client="client 2", answered=(("date", "Sat, 21 Nov 2026 09:00:35 GMT"),)),
    ],
    "another key does not find it": [created(), replace(GONE, **OTHERS)],
    "the same key in another environment does not find it": [created(), replace(GONE, asked=(("x-environment-id", "env_2"),))],
    "keys that were taken out": [
        replace(created(), asked=(("x-api-key", "REDACTED-REDACTED"),)),
        replace(GONE, asked=(("x-api-key", "REDACTED-REDACTED"),)),
    ],
    "keys that were hidden": [replace(created(), asked=(("x-api-key", "***"),)), replace(GONE, asked=(("x-api-key", "***"),))],
    **{
        f"keys that may be anybody's: {key}": [replace(step, asked=(("x-api-key", key),)) for step in (created(), GONE)]
        for key in (
            *("test-key-1", "0000000000000000", "REPLACE-WITH-YOUR-KEY"),
            *("sk_v1_************", "sk_live_0XXXXXXXXXXXX", "{{shop_key_1234567}}", "sk_01K3A8QW2M7Z5..."),
        )
    },
    "no keys": [replace(created(), asked=(("x-api-key", ""),)), replace(GONE, asked=(("x-api-key", ""),))],
    "senders that nobody knows": [replace(created(), client=""), replace(GONE, client="")],
    "a new wallet that is not there yet": [replace(created(), start=1), replace(GONE, start=3.4)],
    "a wallet that a gateway does not find": [created(), replace(GONE, body=b"<h1>Not Found</h1>")],
    "a customer that is not found": [created(), replace(GONE, operation="getWalletBalance")],
    "a read that is behind by as much as may be": [replace(got(updated_at=at(0)), start=1), replace(got(), start=3.4)],
    "clocks of servers that differ": [got(updated_at=at(0)), got(updated_at=at(-0.9))],
    "an update that shows the old time (D20)": [got(updated_at=at(0)), update(PUT, metadata={"b": "2"})],
    "a purchase that waits": [
        got(),
        top_up(20, sent=INVOICED, shows=wallet(), transaction_status="pending", credit_balance_after="12.5", **INVOICED),
        got(),
    ],
    "a purchase with checkout has no invoice": [
        replace(
            top_up(1, sent={**INVOICED, "checkout": {"payment_provider": "razorpay"}}),
            body={"wallet": wallet(), "wallet_transaction": row(transaction_status="pending", **INVOICED)},
        )
    ],
    "a purchase that is completed at once": [top_up(sent=INVOICED, **INVOICED)],
    "a read that lags behind a top-up": [replace(top_up(1), start=1), replace(got(), start=3.4)],
    "a read after a top-up that another change follows": [top_up(10), got(updated_at=at(15))],
    "a top-up whose row is older than the wallet": [
        got(updated_at=at(0)),
        top_up(10, shows=wallet(updated_at=at(0)), created_at=at(-70_000)),
        got(updated_at=at(0)),
    ],
    "a version that was not seen before the top-up, of a server that is behind": [
        replace(got(updated_at=at(9.7)), start=9, took=9),
        replace(top_up(10), took=5),
        replace(got(updated_at=at(9.7)), start=30),
    ],
    "the same version of a service whose clock stands still": [got(updated_at=at(0)), got(updated_at=at(0), credit_balance="1")],
    "a change that was taken back while the clock stands still": [
        got(updated_at=at(10)),
        replace(top_up(10), start=20),
        replace(got(updated_at=at(10)), start=40),
    ],
    "a row without a time": [
        TICK,
        got(),
        top_up(20, created_at=...),
        got(updated_at=at(20), credit_balance="17.5", balance="35"),
    ],
    "a wallet without a time": [TICK, got(), got(updated_at=...), got(updated_at="now"), got()],
    "a wallet without a status": [
        CLOSED,
        Step("getWalletsByCustomerId", [wallet(wallet_status=..., updated_at=at(0))], "cust_1"),
    ],
    "requests that are not known": [
        replace(created(id=V), sent=None),
        replace(update({}), sent=None),
        replace(top_up(5), sent=None),
        replace(created(id=V), sent=[1]),
    ],
    "members of other kinds": [
        created({"currency": None, "conversion_rate": None, "topup_conversion_rate": 2, "metadata": ["a"]}, id=V),
        created({"currency": 5, "topup_conversion_rate": None}, currency=..., name="x", id=V),
        Step("terminateWallet", 5),
        top_up(1, sent={"metadata": ["a"]}, metadata=None),
        top_up(2, sent={"credits_to_add": ..., "amount": 5}),
        top_up(3, sent={"credits_to_add": ..., "amount": "5"}, credit_amount=...),
        top_up(4, sent={"credits_to_add": ..., "amount": "5"}, topup_conversion_rate=...),
    ],
    "a purchase that is completed without an invoice": [
        replace(top_up(sent=INVOICED), body={"wallet": wallet(updated_at=at(1)), "wallet_transaction": row(**INVOICED)})
    ],
    "a reason that is not known": [
        replace(
            top_up(sent={"transaction_reason": ...}),
            body={"wallet": wallet(), "wallet_transaction": row(transaction_status="pending")},
        )
    ],
    "a new version": [TICK, got(), got(updated_at=at(-100), credit_balance="1")],
    "a member that was null": [TICK, got(metadata=None), got()],
    "a wallet that is not there": [GONE],
    "conflicts that are of no used key": [
        Step("createWallet", {}, "", status=409, sent={"idempotency_key": "k1"}),
        replace(top_up(11), status=409, body={}),
        listed(row()),
        replace(top_up(30), status=409, body={}, sent=None),
        replace(top_up(40), status=409, body={}, sent=[1]),
    ],
    "members of a row that were null": [listed(row(1), row(2, currency=None)), listed(row(1, currency=None), row(2))],
    "a row without a time, on an earlier page": [
        listed(row(3, created_at=...), row(1)),
        listed(row(1), total=2, query="limit=1"),
    ],
    "keys and totals of other kinds": [
        listed(row(1, idempotency_key=5), row(2, idempotency_key=5)),
        Step("getWalletTransactions", {"items": [row(2, idempotency_key=5)], "pagination": {"total": "1"}}, query="limit=1"),
    ],
    "the same version where whole seconds are shown": [
        search(wallet(id=V, updated_at=at(1))),
        got(updated_at=at(0)),
        got(updated_at=at(0), credit_balance="1"),
    ],
    "a clock that was seen later": [got(), search(wallet(id=V, updated_at=at(0))), got(credit_balance="1")],
    "a clock that another recorder saw, whose own is behind": [
        replace(TICK, start=1),
        replace(got(updated_at=at(-300)), start=10, answered=(("date", "Sat, 21 Nov 2026 08:55:00 GMT"),)),
        replace(got(updated_at=at(-300), credit_balance="1"), start=20, answered=(("date", "Sat, 21 Nov 2026 08:55:10 GMT"),)),
    ],
    "what some readings have and others have not": [
        TICK,
        got(alert_settings={"alert_enabled": False}),
        got(metadata=None, alert_state="in_alarm"),
        Step("getWalletBalance", wallet(real_time_balance="3", is_cached_fallback=True)),
        got(metadata={"a": "1"}, balance="25.0"),
    ],
    "an update from memory": [TICK, got(), update({"name": ""}, name="")],
    "a topped-up wallet from memory": [TICK, got(), top_up(20, shows=wallet(description="x"))],
    "a new wallet with credits": [
        created({"initial_credits_to_load": "5"}, credit_balance="5", balance="10", alert_state="in_alarm"),
    ],
    "a new wallet with a name and a config": [
        created({"name": "Mine", "config": {}}, name="Mine", config={"allowed_price_types": ["ALL"]})
    ],
    "a price unit": [created({"price_unit": "btc"}, currency="btc", conversion_rate="7", name="Prepaid Wallet - USD")],
    "a rate of 0": [created({"conversion_rate": "0"}, conversion_rate="1")],
    "a currency beyond ASCII": [created({"currency": "İB"}, currency="ib", name="Prepaid Wallet - IB")],
    "a wallet's currency beyond ASCII": [created({"currency": ...}, currency="äb", name="Prepaid Wallet - ??")],
    "a creation with less": [created({"wallet_type": ..., "customer_id": None, "description": "", "metadata": {"n": 1}})],
    "a wallet of a type that is not known": [created({"wallet_type": ...}, wallet_type="OTHER", name="x", config={})],
    "a top-up with more": [
        top_up(
            sent={"metadata": {"a": "1"}, "priority": 3, "expiry_date_utc": "2027-01-01T00:00:00.1234567Z", "description": "d"},
            metadata={"a": "1", "source": "api"},
            priority=3,
            expiry_date="2027-01-01T00:00:00Z",
            description="d",
        )
    ],
    "a top-up with odd members": [
        top_up(
            sent={
                "metadata": {"a": 1},
                "priority": "3",
                "expiry_date_utc": "soon",
                "idempotency_key": "",
                "transaction_reason": ...,
            }
        )
    ],
    "a top-up by amount, divided": [
        top_up(
            sent={"credits_to_add": ..., "amount": "10"},
            topup_conversion_rate="3",
            credit_amount="3.333333333",
            amount="9.999999999",
        )
    ],
    "a top-up by both": [top_up(sent={"amount": "1"})],
    "a top-up that answers nothing": [replace(top_up(), body={})],
    "a key that is used again and answered with the row that is there": [
        top_up(1),
        replace(top_up(1, sent={"credits_to_add": "7"}), start=20),
    ],
    "a key that is used again and refused": [top_up(1), replace(top_up(2, sent={"idempotency_key": "k1"}), status=409, body={})],
    "a key of another tenant": [
        top_up(1),
        top_up(
            2,
            sent={"idempotency_key": "k1"},
            idempotency_key="k1",
            tenant_id="tenant_2",
            id=V,
            wallet_id=V,
            shows=wallet(id=V, tenant_id="tenant_2", updated_at=at(2)),
            **OTHERS,
        ),
    ],
    "a key of another wallet where rows name no tenant": [
        top_up(1, tenant_id=...),
        top_up(2, sent={"idempotency_key": "k1"}, idempotency_key="k1", tenant_id=..., id=V, wallet_id=V, shows=wallet(id=V)),
    ],
    "rows without keys": [listed(row(2, idempotency_key=""), row(1, idempotency_key=""))],
    "a row that was taken back": [
        listed(row(1, status="archived")),
        top_up(20, sent={"idempotency_key": "k1"}, idempotency_key="k1"),
    ],
    "an update that changes nothing": [TICK, update({"metadata": {"a": "1"}}), got()],
    "an update that another one follows": [TICK, update(PUT, metadata={"b": "2"}), got(updated_at=at(15), metadata={"c": "3"})],
    "an update of a service whose clock is not known": [update(PUT, metadata={"b": "2"}, updated_at=...), got()],
    "a read that lags behind an update": [
        TICK,
        replace(update(PUT, metadata={"b": "2"}), start=20),
        replace(got(), start=22.4),
    ],
    "an update of nothing that is compared": [
        TICK,
        update({"metadata": {}, "name": None, "config": {"allowed_price_types": []}}),
        got(),
    ],
    "a row in other words": [
        listed(row(credit_amount="5.0000000001", credits_available="5")),
        listed(row(credits_available="1", metadata={"x": "y"}, description="z", expiry_date=at(9), parent_transaction_id=None)),
    ],
    "a row that completes": [
        listed(row(transaction_status="pending", credit_balance_before="1", credit_balance_after="1", reference_id="")),
        listed(row()),
    ],
    "a row that lags behind its completion": [
        replace(listed(row()), start=1),
        replace(listed(row(transaction_status="pending", credit_balance_after="12.5")), start=3.4),
    ],
    "a list that lags": [replace(listed(row(2), row(1)), start=1), replace(listed(row(1)), start=3.4)],
    "a filtered list": [listed(row(2), row(1)), listed(row(1), query="type=credit")],
    "an empty list for whom the wallet is hidden (D12)": [listed(row()), replace(listed(), **OTHERS)],
    "a later page": [listed(row(2), row(1)), listed(row(1), total=2, query="offset=1&limit=1")],
    "the oldest rows": [listed(row(2), row(1)), listed(row(1), total=2, query="order=asc&limit=1")],
    "rows of one moment on two pages": [
        listed(row(2, created_at=at(1)), row(1)),
        listed(row(1), total=2, query="limit=1"),
    ],
    "a full page, and a row that came after it was counted": [
        listed(row(2), row(1)),
        listed(row(30), row(2), total=2, limit=2, query="limit=2"),
    ],
    "a page of which nobody knows how long it may be": [listed(row(2), row(1)), listed(row(30), row(2), limit=None)],
    "a list that was asked for in two orders": [
        listed(row(2), row(1)),
        listed(row(1), total=2, query="order=asc&order=desc&limit=1"),
    ],
    "more rows": [listed(row(1)), listed(row(2), row(1))],
    "a body that is no list": [listed(row(1)), Step("getWalletTransactions", []), Step("getWalletTransactions", {"items": []})],
    "a customer's own list": [
        Step("getWalletsByCustomerId", [wallet(), wallet(id=V, customer_id=...)], "cust_1"),
        Step("getCustomerWallets", [wallet()], "", query="lookup_key=ext_1"),
        Step("getCustomerWallets", [wallet()], "", query="id=cust_1&id=cust_2"),
    ],
    "wallets of two tenants for two keys": [got(), replace(search(wallet(id=V, tenant_id="tenant_2")), **OTHERS)],
    "wallets that name no tenant": [got(), got(tenant_id=...)],
    "bodies that cannot be read": [replace(got(), body=b"{"), replace(top_up(), body=b""), replace(created(), body=b"[1]")],
    "entities without ids": [
        got(id=...),
        search({"wallet_status": "active"}),
        listed(row(id=...), row(wallet_id=...), total=2),
    ],
    "numbers without end": [
        TICK,
        *(Step("getWallet", json.dumps(wallet(extra=10**400)).encode() + b" " * (1 << 20)) for _ in "12"),
    ],
    "Polar: a balance that moves": [portal(), portal(balance=-7, modified_at=at(9)), portal("list", balance=1 << 70)],
    "Polar: another customer with another token": [
        portal(),
        replace(portal("list", id=V, customer_id="c2"), asked=(("authorization", f"Bearer {OTHER_TOKEN}"),), client="client 2"),
    ],
    "Polar: tokens that were taken out": [
        replace(portal(), asked=(("authorization", "Bearer ***"),)),
        replace(portal("list", id=V, customer_id="c2"), asked=(("authorization", "Bearer ***"),)),
    ],
    "Polar: two customers on one page, which is judged by itself": [
        replace(portal("list"), body={"items": [portal().body, portal(id=V, customer_id="c2").body], "pagination": PAGE})
    ],
    "Polar: members that are none": [portal(currency=None), portal()],
    "Polar: ids that are none": [
        portal(id=None),
        replace(portal(id=None, customer_id="c2"), asked=(("authorization", f"Bearer {OTHER_TOKEN}"),), client="client 2"),
    ],
    "Polar: an answer as it was wished for": [
        portal(),
        replace(portal(currency="eur"), answered=(("preference-applied", "dynamic=true"),)),
    ],
    "Polar: another session of a mock": [portal(), replace(portal(currency="eur"), **SESSION)],
    "Polar: entities that are none": [portal(id=None), portal(customer_id=None), portal(id=None, customer_id=5)],
}


@pytest.mark.parametrize("name", HONEST)
def test_nobody_honest_is_accused(name: str) -> None:
    """Of anything."""
    found = problems(HONEST[name])

    assert [(judged.rule.id, judged.problem) for judged in found] == []


def test_every_rule_has_a_lie() -> None:
    """No rule that a history may judge is without one here that it finds."""
    rules = {rule.id for provider in PROVIDERS for rule in histories.rules(provider)}

    assert {rule for rule, *_ in LIES.values()} == rules
    assert not histories.rules("other")
    assert history("other", SETTLE) is None


def test_a_key_is_found_that_the_answer_does_not_show() -> None:
    """What was sent counts, whatever the row says."""
    found = problems([top_up(1), top_up(2, sent={"idempotency_key": "k1"}, idempotency_key="")])

    assert [judged.rule.id for judged in found] == ["state.sent-is-kept", "money.key-takes-effect-once"]


def test_a_proxy_sees_answers_in_the_order_in_which_they_end() -> None:
    """A reading that began before the service's clock was known to be past a change says nothing of it, though it comes last."""
    steps = [
        TICK,
        replace(got(updated_at=at(-3)), start=20),
        replace(got(updated_at=at(-3), credit_balance="1"), start=5, took=50),
    ]
    clock, early, late = (step.moment(step.start or 10.0) for step in steps)

    assert [judged.problem for judged in judge([clock, early, late]) if judged.problem is not None] == []


@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        ("state.created-is-found", [created(), got(created_at=at(10), updated_at=at(10))]),
        ("money.key-takes-effect-once", [top_up(1), replace(top_up(5, sent={"idempotency_key": "k1"}), status=409, body={})]),
        (
            "concurrency.same-key-at-once",
            [replace(top_up(1), took=9), replace(top_up(2, sent={"idempotency_key": "k1"}), status=409, body={})],
        ),
        ("money.rows-stay", [listed(row()), listed(row())]),
        ("lists.filters-filter", [listed(row())]),
        ("money.pending-changes-nothing", [top_up(sent=INVOICED, transaction_status="pending", **INVOICED)]),
    ],
)
def test_what_is_right_counts(rule: str, steps: list[Step]) -> None:
    """A rule that held was applied, which reports tell from one that was not; where it could not be applied, it was not."""
    counts = [Counter(judged.rule.id for judged in judge(moments(some)))[rule] for some in (steps, steps[:-1])]

    assert counts[0] > counts[1]


def test_what_stays_wrong_is_said_once() -> None:
    """A wallet or row that has changed is reported where that shows first, not in every answer from then on."""
    wallets = problems([got(), got(currency="eur"), got(currency="eur"), search(wallet(currency="eur"))])
    rows = problems([listed(row()), listed(row(amount="1")), listed(row(amount="1"))])
    keys = problems([listed(row(1), row(2, idempotency_key="k1")), listed(row(1), row(2, idempotency_key="k1"))])
    other = problems([portal(), portal(currency="eur"), portal("list", currency="eur")])

    assert [len(found) for found in (wallets, rows, keys, other)] == [1, 1, 1, 1]


def test_what_is_wrong_is_no_measure() -> None:
    """A single lie is found once: what comes after it is compared with what was seen before."""
    found = problems([got(), got(wallet_status="closed", currency="eur"), got(), got()])

    assert [judged.rule.id for judged in found] == ["state.fixed-forever"]


def test_a_large_exchange_is_not_kept() -> None:
    """A problem is found without the earlier exchange, if that was too large to be kept."""
    large = [wallet(id=f"wallet_{number}") for number in range(200)]

    found = problems([search(wallet(), *large), got(currency="eur")])

    assert [(judged.rule.id, judged.before) for judged in found] == [("state.fixed-forever", ())]


def test_exchanges_are_kept_for_a_while() -> None:
    """As many as there is room for, the latest; what was read of their bodies is not kept with them."""
    sightings = remembering.Sightings(20_000)
    read = [got().moment(float(second)) for second in range(12)]
    for moment in read:
        assert moment.observation.body

    seen = [sightings.of(moment) for moment in read]
    kept = [each.moment for each in seen]

    assert [moment is not None for moment in kept] == [False] * 4 + [True] * 8
    assert kept[-1] is not None
    assert "body" not in vars(kept[-1].observation)
    assert kept[-1].observation.exchange is read[-1].observation.exchange


def test_little_is_remembered() -> None:
    """What was used least recently is forgotten, and the service's clock with it."""
    recent: remembering.Recent[str, int] = remembering.Recent(2)
    for number, name in enumerate("abac"):
        if recent.get(name) is None:
            recent.put(name, number)
    assert [recent.get(name) for name in "abc"] == [0, None, 3]

    clock = remembering.ServiceClock(most=3)
    seen = [remembering.Sighting(got().moment(float(start))) for start in (5, 15, 25, 35)]
    times = {second: START + timedelta(seconds=second) for second in (10, 20, 30, 40, 50)}
    for second in (30, 10, 20, 20):
        clock.saw(times[second], START.timestamp() + second)
    clock.saw(times[10], START.timestamp() + 22)  # of a wallet that has not changed
    assert [clock.at(each) for each in seen] == [None, times[10], times[20], times[30]]
    for second in (40, 50):
        clock.saw(times[second], START.timestamp() + second)
    assert [clock.at(each) for each in seen] == [None, None, None, times[30]]


# ---------------------------------------------------------------- whole runs


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Exchange, str, float, float]]:
    """What targets are sent from now on: exchange, secret, beginning and end."""
    exchanges: list[tuple[Exchange, str, float, float]] = []
    send = Target.send

    def recording(target: Target, request: Request, identity: Identity) -> Exchange:
        started = time.time()
        exchange = send(target, request, identity)
        exchanges.append((exchange, "".join(identity.secrets), started, time.time()))
        return exchange

    monkeypatch.setattr(Target, "send", recording)
    return exchanges


def placed(provider: str, recorded: Sequence[tuple[Exchange, str, float, float]]) -> list[Moment]:
    """Their moments, where the provider has the operation."""
    found = []
    for exchange, client, started, ended in sorted(recorded, key=lambda entry: entry[2]):
        request = exchange.request
        operation = contract(provider).operation_at(request.method, request.path)
        if operation is not None:
            parts = zip(operation.path.split("/"), request.path.split("/"), strict=True)
            params = {name[1:-1]: unquote(value) for name, value in parts if name.startswith("{")}
            whole = Request(request.method, request.path, request.query_string, request.headers, request.body, params)
            observation = Observation(contract(provider), operation, Exchange(whole, exchange.response))
            found.append(Moment(observation, client, started, ended))
    return found


def test_two_gates_at_once(mock: Mock, session: str, recorded: list[tuple[Exchange, str, float, float]]) -> None:
    """What two clients do to wallets in one session at the same time, with no leave to lag: and every rule is judged."""
    modules = ("wallets", "topups", "races", "known")
    chosen = [probe for probe in catalogue.probes("flexprice") if probe.run.__module__.rpartition(".")[2] in modules]
    customer = mock.personas()["flexprice/healthy"]["ids"]["customer"]  # type: ignore[index]
    options = Options(Policy(floor=Floor(rules=0.0)), max_time=60.0, probes=chosen)

    def run(seed: int, key: str) -> None:
        gate(mock.url, "flexprice", session, options, api_keys={"main": key}, seed=seed, customers=(customer,))

    clients = [threading.Thread(target=run, args=entry) for entry in enumerate((KEY, OTHER_KEY), 1)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    said = judge(placed("flexprice", recorded), settle=0.0)

    assert [(judged.rule.id, judged.problem) for judged in said if judged.problem is not None] == []
    assert {judged.rule.id for judged in said} == {rule.id for rule in histories.rules("flexprice")}


def test_a_gate_of_polar(mock: Mock, session: str, recorded: list[tuple[Exchange, str, float, float]]) -> None:
    """What two customers are told, and those whom Polar refuses."""
    names = ("walks", "items-equal-gets", "wallets-repeat", "strangers", "two-customers", "wallets-at-once")
    gate(mock.url, "polar", session, quick(None, *names))

    said = judge(placed("polar", recorded), "polar", 0.0)

    assert [judged for judged in said if judged.problem is not None] == []
    assert {judged.rule.id for judged in said} == {rule.id for rule in histories.rules("polar")}


# ---------------------------------------------------------------- random traffic

WRITES = frozenset({"createWallet", "updateWallet", "topUpWallet", "terminateWallet"})


@dataclass(frozen=True)
class Timing:
    """How recorders see the time: `running`: the service's clock goes, and its Date is recorded; else it stands still.

    `settle`: how far reads lag at most; `skew`: how far the second client's clock is ahead, if the Date tells.
    """

    running: bool
    settle: float
    skew: float


timings = st.builds(Timing, st.just(True), st.sampled_from([0.0, 2.0]), st.sampled_from([0.0, -500.0, 300.0])) | st.builds(
    Timing, st.just(False), st.sampled_from([0.0, 2.0]), st.just(0.0)
)
kinds = st.sampled_from(
    [
        *("getWallet", "getWallet", "getWalletBalance", "getWalletTransactions", "getWalletTransactions", "queryWallet"),
        *(
            "queryWalletTransaction",
            "getWalletsByCustomerId",
            "getCustomerWallets",
            "createWallet",
            "updateWallet",
            "terminateWallet",
        ),
        *("topUpWallet", "topUpWallet", "topUpWallet", "pay-invoice", "set-balance", "debit", "refund", "expire-credits"),
    ]
)


@dataclass(frozen=True)
class Deed:
    """Something that happens `gap` seconds after the last; to whom it is asked `before`, and answered `after` that."""

    kind: str
    wallet: int
    client: int
    number: int
    gap: float
    before: float
    after: float
    lag: float


spans = st.sampled_from([0.001, 0.1, 0.9, 4.0])
deeds = st.builds(
    Deed,
    kinds,
    st.integers(0, 2),
    st.integers(0, 1),
    st.integers(0, 6),
    st.sampled_from([0.01, 0.4, 1.5, 6.0]),
    spans,
    spans,
    st.floats(0, 1),
)


@cache
def assembled() -> Assembled:
    """A mock in this process, whose clock stands until it is moved."""
    return assemble(Settings(providers=("flexprice",), population=0, clock=ClockSetting.stopped(START), control_token="t"))


class Play:
    """One session, what is done in it, and what recorders make of that."""

    sessions = count()

    def __init__(self, client: httpx.AsyncClient, timing: Timing) -> None:
        self.moments: list[Moment] = []
        self._client, self._timing = client, timing
        self._session = f"histories-{next(self.sessions)}"
        self._wallets: list[str] = []
        self._now = 0.0

    async def run(self, play: Sequence[Deed]) -> list[Moment]:
        """The moments, in the order in which they began as recorders have it."""
        for number in range(3):
            await self._do(Deed("createWallet", number, 0, number, 0.4, 0.1, 0.1, 0))
        for deed in play:
            await self._do(deed)
        await assembled().worlds.reset(self._session)
        return sorted(self.moments, key=lambda moment: moment.started)

    async def _do(self, deed: Deed) -> None:
        self._now += deed.gap
        if self._timing.running:
            await assembled().worlds.advance(self._session, timedelta(seconds=deed.gap))
        if deed.kind in ACTIONS:
            await self._act(deed)
        else:
            await self._ask(deed)

    async def _act(self, deed: Deed) -> None:
        """Somebody does what no recorder sees."""
        fields: dict[str, Any] = {"wallet": self._wallets[deed.wallet]}
        fields |= {
            "pay-invoice": {"invoice": "latest"},
            "set-balance": {"credits": deed.number},
            "debit": {"credits": "0.5"},
        }.get(deed.kind, {})
        if deed.kind == "refund":
            fields["transaction"] = "latest"
        action = ACTIONS[deed.kind].model_validate(fields)

        def decide(world: World, draft: Draft) -> tuple[Any, None]:
            return action.decide(world, draft), None

        with contextlib.suppress(Refusal):
            await assembled().worlds.commit(self._session, decide)

    async def _ask(self, deed: Deed) -> None:
        wallet_id = self._wallets[deed.wallet] if len(self._wallets) == 3 else ""
        key = f"key-{deed.number}"  # now and then one that was used before
        body, query = {
            "createWallet": ({"customer_id": "cust_1", "currency": ["usd", "eur", "gbp"][deed.wallet]}, {}),
            "updateWallet": ({"metadata": {"number": str(deed.number)}}, {}),
            "topUpWallet": (
                {"credits_to_add": "2.5", "idempotency_key": key}
                | {"transaction_reason": "PURCHASED_CREDIT_INVOICED" if deed.number % 3 == 0 else "FREE_CREDIT_GRANT"},
                {},
            ),
            "getWalletTransactions": (None, {"limit": deed.number} if deed.number else {}),
            "queryWallet": ({"limit": 50}, {}),
            "queryWalletTransaction": ({"limit": 50, "expand": "wallet"}, {}),
            "getCustomerWallets": (None, {"id": "cust_1", "include_real_time_balance": "true"}),
        }.get(deed.kind, (None, {}))
        operation = contract("flexprice").operations[deed.kind]
        asked = "cust_1" if deed.kind == "getWalletsByCustomerId" else wallet_id
        headers = {"x-api-key": (KEY, OTHER_KEY)[deed.client], "x-mock-session": self._session}
        path = operation.path.replace("{id}", asked)
        answer = await self._client.request(operation.method, path, json=body, params=query, headers=headers)
        if deed.kind == "createWallet" and answer.status_code == 200 and len(self._wallets) < 3:
            self._wallets.append(answer.json()["id"])
        sent = answer.request
        request = Request(
            sent.method, path, sent.url.query, sent.headers.raw, sent.content, {"id": asked} if "{" in operation.path else {}
        )
        self._record(deed, Observation(contract("flexprice"), operation, Exchange(request, self._response(deed, answer))))

    def _times(self, deed: Deed) -> tuple[float, float]:
        """When it began and ended: a read may show what was, as long before as it may lag."""
        started = self._now - deed.before
        if deed.kind not in WRITES:
            started += deed.lag * (deed.before + self._timing.settle)
        return started, max(started, self._now) + deed.after

    def _response(self, deed: Deed, answer: httpx.Response) -> Response:
        headers = [(name, value) for name, value in answer.headers.raw if name != b"date"]
        if self._timing.running:
            answered = START + timedelta(seconds=self._times(deed)[1])
            headers.append((b"date", format_datetime(answered.replace(microsecond=0), usegmt=True).encode()))
        return Response(answer.status_code, headers, answer.content)

    def _record(self, deed: Deed, observation: Observation) -> None:
        started, ended = (START.timestamp() + seconds + deed.client * self._timing.skew for seconds in self._times(deed))
        unknown = deed.number == 5  # nobody knows how long it took
        self.moments.append(Moment(observation, f"client {deed.client}", started, started if unknown else ended))


def test_random_traffic_of_two_clients() -> None:
    """Whatever they do, however it overlaps, lags or is recorded, and whatever others do meanwhile, nobody is accused."""
    judged: Counter[str] = Counter()

    @settings(max_examples=15, deadline=None)
    @given(timings, st.lists(deeds, min_size=10, max_size=40))
    def nobody_is_accused(timing: Timing, play: list[Deed]) -> None:
        said = judge(runner.run(Play(client, timing).run(play)), settle=timing.settle)
        assert [(entry.rule.id, entry.problem) for entry in said if entry.problem is not None] == []
        judged.update(entry.rule.id for entry in said)

    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(assembled().app), base_url="http://mock")
        nobody_is_accused()
        runner.run(client.aclose())

    assert {"state.terminate-closes", "money.top-up-adds", "money.rows-stay", "state.never-goes-back"} <= judged.keys()
