"""What must not be possible: unknown wallets, requests that break a stated rule, odd input of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from contract_tests.contract import Operation
from contract_tests.guard import is_safe
from contract_tests.probes.flexprice import lab
from contract_tests.probes.flexprice.access import _BODIES as BODIES
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.flexprice import ONLY
from contract_tests.rules.observation import NO_JSON, Observation
from contract_tests.rules.rule import WRITES, Rule
from contract_tests.rules.shared import INVALID_REFUSED, ODD_INPUT_SURVIVED, UNKNOWN_WALLET

UNKNOWN_ROUTE = Rule(
    "errors.unknown-route",
    "A path or method that does not exist is 404 (or 405 for the method), never something else's answer.",
    "internal/api/router.go:284-403",
    "paths and methods that the document does not have",
    "the body, which may be plain text",
    ONLY,
)

REFUSED_CHANGES_NOTHING = Rule(
    "money.refused-changes-nothing",
    "A refused request changes nothing: no balance, no row.",
    "400 of the document; every check comes before the database transaction",
    "refused top-ups, updates and searches on a wallet that the run created",
    providers=ONLY,
    needs=WRITES,
)


@probe("flexprice", UNKNOWN_WALLET, needs=["credential"])
def unknown_ids(stage: Stage) -> None:
    """Every operation on one wallet, for wallets that nobody has."""
    for operation in stage.contract.operations.values():
        if "{id}" not in operation.path or not (is_safe(operation) or stage.subject.guard.mode != "read"):
            continue
        for wallet_id in (lab.UNKNOWN_WALLET, "not-an-id", "wallet_" + "Z" * 26):
            for _ in range(2):
                answer = stage.call(operation.id, wallet_id, body=BODIES.get(operation.id, NO_JSON), invented=True)
                if answer.status >= 500:
                    continue
                lists = operation.id in ("getWalletTransactions", "getWalletsByCustomerId")
                empty = lists and answer.ok and not lab.items(answer)
                stage.judge(
                    UNKNOWN_WALLET,
                    empty or (answer.status == 404 and lab.field(answer, "code") in (None, "not_found")),
                    f"{operation.id} of something that does not exist is not `not found`",
                    answer,
                    expected="404 not_found",
                    got=f"{answer.status} {lab.field(answer, 'code') or ''}",
                )
    if stage.contract.operations.get("getCustomerWallets"):
        answer = stage.call("getCustomerWallets", query={"lookup_key": "walletproof-nobody"})
        if answer.status < 500:
            stage.judge(
                UNKNOWN_WALLET,
                answer.status == 404,
                "an unknown customer is not `not found`",
                answer,
                expected=404,
                got=answer.status,
            )


@probe("flexprice", UNKNOWN_ROUTE)
def unknown_routes(stage: Stage) -> None:
    """Paths and methods that are not there."""
    base = stage.contract.base_path
    for method, path in (
        ("GET", "/walletproof-no-such-path"),
        ("GET", f"/wallets/{lab.UNKNOWN_WALLET}/no-such-part"),
        ("PATCH", f"/wallets/{lab.UNKNOWN_WALLET}"),
        ("DELETE", f"/wallets/{lab.UNKNOWN_WALLET}"),
    ):
        if method != "GET" and stage.subject.guard.mode == "read":
            continue
        answer = stage.send(method, base + path)
        if answer.status < 500:
            stage.judge(
                UNKNOWN_ROUTE,
                answer.status in ((404,) if method == "GET" else (404, 405)),
                f"{method} on something that does not exist",
                answer,
                expected=404,
                got=answer.status,
            )


_READ_MISTAKES: list[tuple[str, dict[str, Any], Any]] = [
    ("getWalletBalance", {"expand": "everything"}, NO_JSON),
    ("getWalletBalance", {"expand": "credits_available_breakdown,"}, NO_JSON),
    *(
        ("getWalletTransactions", query, NO_JSON)
        for query in (
            {"limit": "abc"},
            {"limit": -1},
            {"offset": -1},
            {"order": "sideways"},
            {"type": "gift"},
            {"transaction_status": "lost"},
            {"start_time": "2026-02-02T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"},
            {"expiry_date_after": "2026-02-02T00:00:00Z", "expiry_date_before": "2026-01-01T00:00:00Z"},
            {"reference_type": "EXTERNAL"},
            {"credits_available_gt": "much"},
        )
    ),
    ("queryWallet", {}, {"limit": 1001}),
    ("queryWallet", {}, {"limit": 10, "offset": -1}),
    ("queryWallet", {}, {"limit": 10, "expand": "everything"}),
    ("queryWalletTransaction", {}, {"limit": 10, "offset": -1}),
    ("queryWalletTransaction", {}, {"limit": 10, "type": "gift"}),
    ("queryWalletTransaction", {}, {"limit": 10, "expand": "everything"}),
    ("queryWalletTransaction", {}, {"limit": 10, "sort": [{"field": "no_such_field", "direction": "asc"}]}),
    (
        "queryWalletTransaction",
        {},
        {"limit": 10, "filters": [{"field": "no_such_field", "operator": "eq", "data_type": "string", "value": {"string": "x"}}]},
    ),
    ("getCustomerWallets", {}, NO_JSON),
    ("getCustomerWallets", {"id": "a", "lookup_key": "b"}, NO_JSON),
    ("getCustomerWallets", {"id": "a", "include_real_time_balance": "maybe"}, NO_JSON),
]

_TOPUP = {"credits_to_add": "5", "transaction_reason": "FREE_CREDIT_GRANT"}
_TOPUP_MISTAKES: list[dict[str, Any]] = [
    {"credits_to_add": "5"},
    {"transaction_reason": "FREE_CREDIT_GRANT"},
    {**_TOPUP, "credits_to_add": "-5"},
    {**_TOPUP, "credits_to_add": "five"},
    {**_TOPUP, "credits_to_add": "0", "amount": "0"},
    {"amount": "-10", "transaction_reason": "FREE_CREDIT_GRANT"},
    {**_TOPUP, "transaction_reason": "INVOICE_PAYMENT"},
    {**_TOPUP, "transaction_reason": "GIFT"},
    {**_TOPUP, "priority": -1},
    {**_TOPUP, "expiry_date_utc": "2020-01-01T00:00:00Z"},
    {**_TOPUP, "bonus_credits_to_add": "-1"},
    {**_TOPUP, "credits_to_add": {"amount": "5"}},
    {**_TOPUP, "metadata": ["not", "a", "map"]},
]

_CUSTOMER = {"customer_id": "wp-mistake"}
_CREATE_MISTAKES: list[dict[str, Any]] = [
    {"customer_id": "wp-mistake"},
    {"currency": "usd"},
    {**_CUSTOMER, "currency": "us"},
    {**_CUSTOMER, "currency": "usdollar"},
    {**_CUSTOMER, "currency": 840},
    {**_CUSTOMER, "currency": "usd", "wallet_type": "GIFT_CARD"},
    {**_CUSTOMER, "currency": "usd", "conversion_rate": "-1"},
    {**_CUSTOMER, "currency": "usd", "topup_conversion_rate": "0"},
    {"customer_id": "with space", "currency": "usd"},
    {**_CUSTOMER, "currency": "usd", "alert_settings": {"alert_enabled": True}},
    {**_CUSTOMER, "currency": "usd", "auto_topup": {"enabled": True}},
    {**_CUSTOMER, "currency": "usd", "metadata": {"nested": {"not": "text"}}},
]

_UPDATE_MISTAKES: list[dict[str, Any]] = [
    {"config": {"allowed_price_types": ["GIFTS"]}},
    {"metadata": {"nested": {"not": "text"}}},
    {"description": 5},
]

_NO_BODIES = (b"", b"{", b"[]", b'"text"', b'{"currency": "usd"')


@probe("flexprice", INVALID_REFUSED)
def invalid_reads(stage: Stage) -> None:
    """Reads with one mistake each."""
    wallet_id = (stage.subject.wallets or [lab.UNKNOWN_WALLET])[0]
    for operation_id, query, body in _READ_MISTAKES:
        if operation_id in stage.contract.operations:
            id = wallet_id if "{id}" in stage.operation(operation_id).path else None
            _refused(stage, stage.call(operation_id, id, query=query, body=body), query or body)
    for operation_id in ("queryWallet", "queryWalletTransaction"):
        for raw in _NO_BODIES:
            _refused(stage, stage.call(operation_id, raw=raw, headers=[("content-type", "application/json")]), raw)


@probe("flexprice", INVALID_REFUSED, REFUSED_CHANGES_NOTHING, needs=["write"])
def invalid_writes(stage: Stage) -> None:
    """Writes with one mistake each, and the wallet looked at afterwards."""
    wallet = lab.create(stage)
    start = lab.must_top_up(stage, wallet.id, "10")
    for body in _CREATE_MISTAKES:
        answer = stage.call("createWallet", body=body)
        _refused(stage, answer, body)
        if answer.ok and isinstance(lab.field(answer, "id"), str):
            lab.made(stage, answer)
    for body in _TOPUP_MISTAKES:
        keyed = {**body, "idempotency_key": stage.unique("k")}
        _refused(stage, stage.call("topUpWallet", wallet.id, body=keyed), body)
    for body in _UPDATE_MISTAKES:
        _refused(stage, stage.call("updateWallet", wallet.id, body=body), body)
    for operation_id in ("createWallet", "topUpWallet", "updateWallet"):
        for raw in _NO_BODIES:
            id = None if operation_id == "createWallet" else wallet.id
            _refused(stage, stage.call(operation_id, id, raw=raw, headers=[("content-type", "application/json")]), raw)
    read = stage.call("getWallet", wallet.id)
    rows, listed = lab.all_rows(stage, wallet.id)
    stage.judge(
        REFUSED_CHANGES_NOTHING,
        lab.credits_of(read) == lab.credits_of(start) and len(rows) == 1,
        "refused requests changed the wallet",
        start,
        read,
        listed,
        pointer="/credit_balance",
        expected=f"{lab.credits_of(start)} credits in 1 row",
        got=f"{lab.credits_of(read)} credits in {len(rows)} rows",
    )


def _refused(stage: Stage, answer: Observation, mistake: Any) -> None:
    if answer.status >= 500:
        return  # another rule's business
    stage.judge(
        INVALID_REFUSED,
        answer.status == 400,
        f"{answer.operation.id} took a request that breaks a stated rule",
        answer,
        pointer=_place(mistake),
        expected=400,
        got=answer.status,
    )


def _place(mistake: Any) -> str:
    return "sent " + ", ".join(mistake) if isinstance(mistake, dict) and mistake else "body"


_ODD_TEXTS = (
    "x" * 2000,
    "ünïcødé 日本語 🧾",
    "%00",
    "\x00",
    "a\nb",
    "' OR '1'='1",
    "../../etc/passwd",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "",
    " ",
    "null",
    "-",
    "__proto__",
)
_ODD_NUMBERS = (
    "0",
    "-0",
    "1",
    "-1",
    "1000",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "1e400",
    "0x10",
    "1_0",
    "NaN",
    "",
)


@probe("flexprice", ODD_INPUT_SURVIVED)
def odd_reads(stage: Stage) -> None:
    """Odd ids, and odd values of every query parameter."""
    wallet_id = (stage.subject.wallets or [lab.UNKNOWN_WALLET])[0]
    for operation in stage.contract.operations.values():
        if operation.method != "GET":
            continue
        id = wallet_id if "{id}" in operation.path else None
        if id is not None:
            for text in _ODD_TEXTS:
                if text not in ("", "search"):
                    _survives(stage, stage.call(operation.id, text), "path id")
        base = {"id": "cust_unknown"} if operation.id == "getCustomerWallets" else {}
        for name, kind in _query_parameters(stage, operation):
            for value in _ODD_NUMBERS if kind in ("integer", "number") else _ODD_TEXTS[:8]:
                _survives(stage, stage.call(operation.id, id, query={**base, name: value}), f"query {name}")
            _survives(stage, stage.call(operation.id, id, query=[*base.items(), (name, "1"), (name, "2")]), f"query {name}")
        _survives(stage, stage.call(operation.id, id, query={**base, "no_such_parameter": "1"}), "query no_such_parameter")
    for operation_id in ("queryWallet", "queryWalletTransaction"):
        for body in _odd_searches(operation_id):
            _survives(stage, stage.call(operation_id, body=body), "body")


def _odd_searches(operation_id: str) -> Iterator[dict[str, Any]]:
    yield from (
        {},
        {"status": "active"} if operation_id == "queryWallet" else {"type": "credit"},
        {"wallet_ids": ["x" * 500]},
        {"limit": 1, "offset": 2**63 - 1},
        {"limit": 1, "offset": 2**64},
        {"limit": 1, "expand": ""},
        {"limit": 1, "no_such_member": {"deep": [1, 2, {"er": None}]}},
        {"limit": 1000, "offset": 0, "order": "asc"},
        {"limit": 1, "wallet_ids": []},
        {"limit": 1, "filters": [{"field": "transaction_reason", "operator": "eq", "data_type": "string"}]},
        {"limit": 1, "credits_available_gt": 1e300},
        {"limit": 1, "start_time": "0001-01-01T00:00:00Z"},
    )


def _query_parameters(stage: Stage, operation: Operation) -> Iterator[tuple[str, str]]:
    path, method = operation.key
    for parameter in stage.contract.merged["paths"][path][method].get("parameters", ()):
        if isinstance(parameter, dict) and parameter.get("in") == "query":
            yield parameter["name"], str(parameter.get("schema", {}).get("type", "string"))


@probe("flexprice", ODD_INPUT_SURVIVED, needs=["write"])
def odd_writes(stage: Stage) -> None:
    """Odd values in bodies. What is unusual but lawful is kept small; what is huge goes to a wallet that does not exist."""
    wallet = lab.create(
        stage, description="ünïcødé 日本語 🧾 \u0007", metadata={"": "empty name", "k" * 200: "v" * 2000, "emoji 🧾": "ok"}
    )
    updates: tuple[dict[str, Any], ...] = (
        {"name": "n" * 2000},
        {"description": "' OR 1=1; --", "metadata": {str(number): "x" for number in range(60)}},
        {"metadata": {}},
        {"name": ""},
        {"no_such_member": 1},
        {"config": {}},
        {"config": {"allowed_price_types": []}},
        {"alert_settings": {"alert_enabled": False}},
        {"auto_topup": {}},
    )
    for body in updates:
        _survives(stage, stage.call("updateWallet", wallet.id, body=body), "body")
    for credits in ("0.000000001", "0.0000000000000001", "00012.50", "+1", "1e1"):
        _survives(stage, lab.top_up(stage, wallet.id, credits), "body credits_to_add")
    for fields in (
        {"credits_to_add": "9" * 40},
        {"credits_to_add": "1e400"},
        {"credits_to_add": 1e308},
        {"credits_to_add": "1", "priority": 2**31},
        {"credits_to_add": "1", "idempotency_key": "k" * 1000},
        {"credits_to_add": "1", "expiry_date_utc": "9999-12-31T23:59:59Z"},
        {"credits_to_add": "1", "metadata": {"a": "\x00"}},
    ):
        top_up = {"transaction_reason": "FREE_CREDIT_GRANT", **fields}
        _survives(stage, stage.call("topUpWallet", lab.UNKNOWN_WALLET, body=top_up, invented=True), "body")


def _survives(stage: Stage, answer: Observation, place: str) -> None:
    stage.judge(
        ODD_INPUT_SURVIVED,
        answer.status < 500,
        "odd input made the server fail",
        answer,
        pointer=place,
        expected="below 500",
        got=answer.status,
    )
