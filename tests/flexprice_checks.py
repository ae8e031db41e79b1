"""What every Flexprice answer must satisfy, computed apart from the mock's own arithmetic.

The numbers I1, I2 ... are the invariants that the provider's rules give to any tester; TAU is their tolerance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from itertools import count
from typing import Any

import httpx

Body = dict[str, Any]

EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
BREAKDOWN = "credits_available_breakdown"

_STEP = Decimal("1e-9")
_DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.\d*[1-9])?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
_ULID = "[0-9A-HJKMNP-TV-Z]{26}"
_WALLET_DECIMALS = ("balance", "credit_balance", "conversion_rate", "topup_conversion_rate")
_ROW_DECIMALS = ("amount", "credit_amount", "credit_balance_before", "credit_balance_after", "credits_available")


def number(body: Body, name: str) -> Decimal:
    """A decimal of a body, which must be text in the provider's plain notation."""
    text = body[name]
    assert isinstance(text, str), (name, text)
    assert _DECIMAL.fullmatch(text), (name, text)
    assert text != "-0", name
    return Decimal(text)


def assert_ok(response: httpx.Response) -> Any:
    """A 200 in JSON; returns the body."""
    assert response.status_code == 200, f"{response.request.method} {response.request.url}: {response.text}"
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    return response.json()


def assert_refused(response: httpx.Response, status: int, code: str, mention: str = "") -> str:
    """An error in the shape of all handlers' errors, status and code in step (I21); returns the message."""
    where = f"{response.request.method} {response.request.url}: {response.text}"
    assert response.status_code == status, where
    body = response.json()
    assert set(body) <= {"code", "message", "http_status_code", "details"}, where
    assert (body["code"], body["http_status_code"]) == (code, status), where
    message = body["message"]
    assert message, where
    assert mention in message, where
    assert isinstance(message, str)
    return message


def assert_invalid(response: httpx.Response, mention: str = "") -> str:
    """400 validation_error, with the message naming what is wrong where that is known."""
    return assert_refused(response, 400, "validation_error", mention)


def tolerance(rate: Decimal) -> Decimal:
    """How far stored values of nine decimals may be off once multiplied."""
    return _STEP * (1 + rate)


def divided(amount: Decimal, rate: Decimal) -> Decimal:
    """The provider's division: sixteen decimals, half away from zero."""
    return EXACT.divide(amount, rate).quantize(Decimal("1e-16"), context=EXACT)


def assert_wallet(wallet: Body) -> None:
    """I1 and I27: the balance is the credits at their price, and everything is written as the provider writes it."""
    numbers = {name: number(wallet, name) for name in _WALLET_DECIMALS}
    rate = numbers["conversion_rate"]
    assert abs(numbers["balance"] - EXACT.multiply(numbers["credit_balance"], rate)) <= tolerance(rate)
    assert re.fullmatch(f"wallet_{_ULID}", wallet["id"])
    assert re.fullmatch(r"[^A-Z]{3}", wallet["currency"])
    assert wallet["status"] == "published"
    assert _TIME.fullmatch(wallet["created_at"])
    assert _TIME.fullmatch(wallet["updated_at"])
    assert wallet["updated_at"] >= wallet["created_at"]


def assert_balance(body: Body) -> None:
    """I1 to I7 and I27 of a real-time balance."""
    assert_wallet(body)
    real_time, in_credits = number(body, "real_time_balance"), number(body, "real_time_credit_balance")
    usage, balance = number(body, "current_period_usage"), number(body, "balance")
    assert body["balance_updated_at"] == body["updated_at"]  # I7
    assert in_credits == divided(real_time, number(body, "conversion_rate"))  # I3
    if body["wallet_status"] != "active":  # I5
        assert (real_time, in_credits, usage) == (0, 0, 0)
        assert "unpaid_invoices_amount" not in body
        assert body["is_cached_fallback"] is False
    elif body["is_cached_fallback"]:  # I6
        assert body["wallet_type"] == "PRE_PAID"
        assert usage == 0
        assert "unpaid_invoices_amount" not in body
    elif body["wallet_type"] == "POST_PAID":  # I4
        assert (real_time, usage, number(body, "unpaid_invoices_amount")) == (balance, 0, 0)
    else:  # I2
        assert real_time == EXACT.subtract(balance, usage)
        number(body, "unpaid_invoices_amount")


def alert_state(body: Body) -> str | None:
    """I26: the alert state that a balance asks for; None if the wallet's own settings do not decide."""
    settings = body.get("alert_settings", {})
    levels = [(state, settings[level]) for state, level in _LEVELS if level in settings]
    if not settings.get("alert_enabled") or not levels:
        return None
    credits = number(body, "real_time_credit_balance")
    for state, level in levels:
        threshold = Decimal(str(level["threshold"]))
        if credits <= threshold if levels[0][1]["condition"] == "below" else credits >= threshold:
            return state
    return "ok"


_LEVELS = (("in_alarm", "critical"), ("warning", "warning"), ("info", "info"))


def assert_row(row: Body) -> None:
    """I11, I12, I14 and I15 of one transaction."""
    numbers = {name: number(row, name) for name in _ROW_DECIMALS}
    before, after, moved = (numbers[name] for name in ("credit_balance_before", "credit_balance_after", "credit_amount"))
    assert re.fullmatch(f"wtxn_{_ULID}", row["id"])
    assert _TIME.fullmatch(row["created_at"])
    assert moved > 0
    rates = {"credit": "topup_conversion_rate", "debit": "conversion_rate"}
    assert {name for name in rates.values() if name in row} == {rates[row["type"]]}
    rate = number(row, rates[row["type"]])
    assert abs(numbers["amount"] - EXACT.multiply(moved, rate)) <= tolerance(rate)  # I14
    if row["transaction_status"] != "completed":
        assert after == before  # I12
    else:  # I11
        assert abs(after - (before + moved if row["type"] == "credit" else before - moved)) <= _STEP
    available = numbers["credits_available"]
    assert 0 <= available <= (moved if row["type"] == "credit" else 0)  # I15


def assert_ledger(wallet: Body, rows: Sequence[Body], breakdown: Body) -> None:
    """I10 to I17 of all rows of a wallet, oldest first."""
    for row in rows:
        assert_row(row)
        assert (row["wallet_id"], row["customer_id"], row["currency"]) == (
            wallet["id"],
            wallet["customer_id"],
            wallet["currency"],
        )
    completed = [row for row in rows if row["transaction_status"] == "completed"]
    credits = [row for row in completed if row["type"] == "credit"]
    total = total_of(completed)
    balance = number(wallet, "credit_balance")
    assert abs(total - balance) <= _STEP * max(1, len(rows))  # I10
    at = Decimal(0)
    for row in completed:  # I13
        assert number(row, "credit_balance_before") == at, row["id"]
        at = number(row, "credit_balance_after")
    available = sum((number(row, "credits_available") for row in credits), Decimal(0))
    assert available == max(Decimal(0), balance)  # I16
    assert number(breakdown, "purchased") + number(breakdown, "free") == available  # I17


def total_of(rows: Iterable[Body]) -> Decimal:
    """Credits that came in less credits that went out."""
    signed = (number(row, "credit_amount") * (1 if row["type"] == "credit" else -1) for row in rows)
    return sum(signed, Decimal(0))


class Wallet:
    """A wallet behind a client, for tests that look at one thing from several sides."""

    def __init__(self, client: httpx.Client, wallet_id: str) -> None:
        self.client = client
        self.id = wallet_id

    @classmethod
    def create(cls, client: httpx.Client, **fields: Any) -> Wallet:
        """Open a wallet, in US dollars for a customer that nobody else uses unless the fields say otherwise."""
        body = {"currency": "usd", "customer_id": f"cust_{next(_customers)}"} | fields
        return cls(client, assert_ok(client.post("/wallets", json=body))["id"])

    def top_up(self, **fields: Any) -> httpx.Response:
        """Ask for credits, free ones and with a key of their own unless the fields say otherwise."""
        usual = {"transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": f"key-{next(_keys)}"}
        return self.client.post(f"/wallets/{self.id}/top-up", json=usual | fields)

    def update(self, **fields: Any) -> httpx.Response:
        """Change settings."""
        return self.client.put(f"/wallets/{self.id}", json=fields)

    def terminate(self) -> httpx.Response:
        """Close the wallet."""
        return self.client.post(f"/wallets/{self.id}/terminate")

    def stored(self) -> Body:
        """The stored wallet, checked."""
        body: Body = assert_ok(self.client.get(f"/wallets/{self.id}"))
        assert_wallet(body)
        return body

    def balance(self, **query: str) -> Body:
        """The real-time balance, checked."""
        body: Body = assert_ok(self.client.get(f"/wallets/{self.id}/balance/real-time", params=query))
        assert_balance(body)
        return body

    def rows(self, **query: Any) -> list[Body]:
        """The transactions, oldest first unless the query says otherwise."""
        listed = assert_ok(self.client.get(f"/wallets/{self.id}/transactions", params={"order": "asc", "limit": 1000} | query))
        assert all(row["wallet_id"] == self.id for row in listed["items"])
        items: list[Body] = listed["items"]
        return items

    def check(self) -> tuple[Body, list[Body]]:
        """Wallet and rows, once they obey every invariant."""
        body, rows = self.balance(expand=BREAKDOWN), self.rows()
        assert_ledger(body, rows, body[BREAKDOWN])
        return body, rows


_customers, _keys = count(), count()
