"""Writing what was seen of Flexprice wallets as a fixture file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

from mock_server.flexprice import ledger as booking
from mock_server.flexprice import money
from mock_server.flexprice.entities import UNITS, PriceType
from mock_server.flexprice.money import ZERO
from mock_server.from_traffic.flexprice import SeenCustomer, SeenWallet
from mock_server.from_traffic.rows import Credits, Row, ledger
from mock_server.from_traffic.seen import Body, decimal, moment, section, text
from mock_server.from_traffic.yaml_text import comment, fields, joined
from mock_server.ids import ULID

_HEADER = """Flexprice wallets made from recorded traffic, as they were before the first change that the recording shows.

What people had chosen (names, e-mails, texts, ids of their own) is invented; amounts, states, currencies, times and the
provider's own ids are as recorded. `fixtures/flexprice.yaml`, which is shipped, says what each field means."""
_ADDRESS = ("line1", "line2", "city", "state", "postal_code", "country")
_LEVELS = ("critical", "warning", "info")
_UNKNOWN = datetime(2026, 1, 1, tzinfo=UTC)
_CURRENCY = re.compile(r"[a-z]{3}")


class FlexpriceFile:
    """Makes the file. `clean` takes what was learnt to be personal out of a text; `notes` say what could not be carried over."""

    def __init__(self, wallets: Sequence[SeenWallet], customers: Sequence[SeenCustomer], clean: Callable[[str], str]) -> None:
        self.notes: list[str] = []
        self.personas = {f"wallet-{number}": wallet for number, wallet in enumerate(wallets, 1)}
        self._clean = clean
        self._keys: set[str] = set()
        self._row_ids: set[str] = set()
        self._external_ids: set[str] = set()
        owners = {_owner(wallet) for wallet in wallets}
        found = [
            customer for customer in customers if customer.id in owners or customer.external_id or _is_id("cust", customer.id)
        ]
        self._customers = {f"customer-{number}": customer for number, customer in enumerate(found, 1)}

    def write(self) -> str:
        """The file's text."""
        lines = [*comment(_HEADER), "", "provider: flexprice", ""]
        lines.append("customers:" if self._customers else "customers: {}")
        owners: dict[str, str] = {}
        for name, customer in self._customers.items():
            owners[customer.id] = name
            described = list(self._customer(customer))
            lines += ["", f"  {name}:", *described] if described else ["", f"  {name}: {{}}"]
        lines += ["", "personas:" if self.personas else "personas: {}"]
        for name, wallet in self.personas.items():
            lines += ["", f"  {name}:", *self._persona(name, wallet, owners[_owner(wallet)])]
        return joined(lines)

    def _customer(self, customer: SeenCustomer) -> Iterator[str]:
        body = customer.body
        if customer.id and not _is_id("cust", customer.id):
            self.notes.append(f"{customer.id}: the customer gets another id in the mock, where all are `cust_` and a ULID")
        external_id = customer.external_id
        if external_id and external_id in self._external_ids:
            self.notes.append(f"{customer.id}: the customer has no external id in the file, since another one has the same")
            external_id = ""
        self._external_ids.add(external_id)
        address = {part: line for part in _ADDRESS if (line := text(body, f"address_{part}"))}
        yield from fields(
            {
                "id": customer.id if _is_id("cust", customer.id) else None,
                "external_id": external_id or None,
                "name": text(body, "name") or None,
                "email": text(body, "email") or None,
                "address": address or None,
                "metadata": self._metadata(section(body, "metadata")) or None,
            },
            4,
        )
        usage: dict[str, Decimal] = {}
        invoices: list[dict[str, Any]] = []
        for wallet in self.personas.values():
            if _owner(wallet) == customer.id and wallet.balance:
                self._pending(wallet, usage, invoices)
        yield from fields({"usage": usage or None, "unpaid_invoices": invoices or None}, 4)

    def _pending(self, wallet: SeenWallet, usage: dict[str, Decimal], invoices: list[dict[str, Any]]) -> None:
        """Usage and unpaid invoices that make the real-time balance what it was."""
        body = wallet.balance
        if body.get("wallet_status") != "active" or body.get("wallet_type") != "PRE_PAID":
            return
        pending, due = decimal(body, "current_period_usage"), decimal(body, "unpaid_invoices_amount") or ZERO
        if pending is None:
            return
        currency = text(wallet.body, "currency")
        allowed = _price_types(body) or ["USAGE"]
        counts_usage = "USAGE" in allowed or "ALL" in allowed
        pays_all = "ALL" in allowed or "FIXED" in allowed
        waiting = sum((_price(row, body) for row in wallet.rows.values() if _is_unpaid(row)), ZERO) if pays_all else ZERO
        pending -= waiting
        counted = max(ZERO, pending - due) if counts_usage else ZERO
        rest = pending - counted
        if counted:
            usage[currency] = counted
        if pays_all and (rest > 0 or due):
            invoices.append({"currency": currency, "remaining": max(ZERO, rest), "usage_lines": [{"amount": due}]})
        elif due or rest:
            invoices.append({"currency": currency, "remaining": due, "paid": due - rest, "usage_lines": [{"amount": due}]})

    def _persona(self, name: str, wallet: SeenWallet, customer: str) -> Iterator[str]:
        body = wallet.body
        kind, currency = wallet.type, body["currency"]
        usual_name, usual_types = booking.defaults(kind, currency)
        created = moment(body, "created_at")
        status = wallet.status
        types = _price_types(body)
        rate, topup_rate = decimal(body, "conversion_rate"), decimal(body, "topup_conversion_rate")
        yield from fields(
            {
                "about": f"{'Prepaid' if kind == 'PRE_PAID' else 'Postpaid'}, {status}, in {currency.upper()}",
                "id": wallet.id if _is_id("wallet", wallet.id) else None,
                "customer": customer,
                "created": created,
                "currency": currency,
                "type": None if kind == "PRE_PAID" else kind,
                "status": None if status == "active" else status,
                "conversion_rate": None if rate in (None, 1) else rate,
                "topup_conversion_rate": None if topup_rate in (None, rate) else topup_rate,
                "name": None if text(body, "name") in ("", usual_name) else body["name"],
                "description": text(body, "description") or None,
                "metadata": self._metadata(section(body, "metadata")) or None,
                "allowed_price_types": None if types is None or tuple(types) == usual_types else types,
                "alerts": _alerts(section(body, "alert_settings")) or None,
                "auto_topup": self._auto_topup(name, section(body, "auto_topup")),
            },
            4,
        )
        if wallet.change == "updateWallet":
            self.notes.append(
                f"{name} ({wallet.id}): its settings are those of after the first update, which came before anybody read them"
            )
        begin = created or min((row.at for row in wallet.rows.values()), default=_UNKNOWN)
        rows = ledger(wallet.rows.values(), self._credits(name, wallet), wallet.total, _left(wallet), begin)
        if rows:
            yield "    transactions:"
            for row in rows:
                yield from self._row(name, row)

    def _credits(self, name: str, wallet: SeenWallet) -> Decimal:
        """The balance in credits, before the first change."""
        credits = decimal(wallet.body, "credit_balance") or ZERO
        if not wallet.is_late:
            return credits
        first = min((row for row in wallet.later.values() if row.effect and row.before is not None), key=_booked, default=None)
        if first is not None and first.before is not None:
            return first.before
        if wallet.change != "updateWallet":
            self.notes.append(f"{name} ({wallet.id}): its balance is that of after the first change; none from before was seen")
        return credits

    def _row(self, name: str, row: Row) -> Iterator[str]:
        if row.why:
            yield from comment(f"Made up: {row.why}.", 6)
        key = row.key
        if key and key in self._keys:
            self.notes.append(f"{name}: a row has no idempotency key in the file, since another row has the same")
            key = ""
        self._keys.add(key)
        row_id = row.id if _is_id("wtxn", row.id) else None
        if row_id in self._row_ids:
            self.notes.append(f"{name}: a row gets another id, since another wallet's row has the same")
            row_id = None
        elif row_id:
            self._row_ids.add(row_id)
        usual_reason = "PURCHASED_CREDIT_DIRECT" if row.is_credit else "CREDIT_ADJUSTMENT"
        values = {
            "credit" if row.is_credit else "debit": row.credits,
            "id": row_id,
            "at": row.at,
            "reason": None if row.reason == usual_reason else row.reason,
            "status": None if row.status == "completed" or not row.is_credit else row.status,
            "expires": row.expires if row.is_credit else None,
            "priority": row.priority if row.is_credit else None,
            "description": row.description or None,
            "idempotency_key": key or None,
            "metadata": self._metadata(row.metadata) or None,
        }
        for number, line in enumerate(fields(values, 8)):
            yield line if number else f"      - {line.lstrip()}"

    def _auto_topup(self, name: str, body: Body) -> dict[str, Any] | None:
        threshold, amount = decimal(body, "threshold"), decimal(body, "amount")
        if threshold is None or amount is None or amount <= 0 or threshold < 0:
            if body:
                self.notes.append(f"{name}: its automatic top-up is left out: a fixture's has a threshold and an amount")
            return None
        cooldown = section(body, "cooldown")
        given: dict[str, Any] = {"threshold": threshold, "amount": amount}
        if body.get("enabled") is False:
            given["enabled"] = False
        if body.get("invoicing"):
            given["invoicing"] = True
        if type(cooldown.get("value")) is int and cooldown["value"] > 0 and cooldown.get("unit") in UNITS:
            given["cooldown"] = f"{cooldown['value']} {cooldown['unit']}s"
        return given

    def _metadata(self, body: Mapping[str, Any]) -> dict[str, str]:
        return {self._clean(str(key)): str(value) for key, value in body.items()}


def problem(wallet: SeenWallet) -> str:
    """Why a fixture cannot say what a wallet is; empty if it may."""
    body = wallet.body
    currency = body.get("currency")
    if not _owner(wallet):
        return "no answer says whose it is"
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        return "its currency is no three letters"
    if body.get("wallet_status") not in ("active", "frozen", "closed"):
        return "its state is none that a fixture can have"
    return ""


def _left(wallet: SeenWallet) -> Credits | None:
    body = section(wallet.balance, "credits_available_breakdown")
    purchased, free = decimal(body, "purchased"), decimal(body, "free")
    return None if purchased is None or free is None else Credits(purchased, free)


def _alerts(body: Body) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if body.get("alert_enabled") is False:
        given["enabled"] = False
    for level in _LEVELS:
        threshold = decimal(section(body, level), "threshold")
        if threshold is not None:
            above = {"condition": "above"} if body[level].get("condition") == "above" else {}
            given[level] = {**above, "threshold": threshold}
    return given


def _owner(wallet: SeenWallet) -> str:
    return text(wallet.body, "customer_id")


def _price_types(body: Body) -> list[str] | None:
    types = section(body, "config").get("allowed_price_types")
    return [kind for kind in types if kind in get_args(PriceType)] if isinstance(types, list) else None


def _is_id(prefix: str, text: str) -> bool:
    return text.startswith(f"{prefix}_") and ULID.fullmatch(text[len(prefix) + 1 :]) is not None


def _is_unpaid(row: Row) -> bool:
    return row.is_credit and row.reason == "PURCHASED_CREDIT_INVOICED" and row.status == "pending"


def _price(row: Row, body: Body) -> Decimal:
    return money.store(money.multiply(row.credits, decimal(body, "topup_conversion_rate") or money.ONE))


def _booked(row: Row) -> datetime:
    return row.at
