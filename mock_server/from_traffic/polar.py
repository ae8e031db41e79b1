"""What traffic tells of Polar customers and their wallets, and the fixture file that has them as they were first seen."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from contract_tests.exchange import Exchange
from mock_server.from_traffic.seen import Body, moment, objects, parsed, text
from mock_server.from_traffic.yaml_text import comment, fields, joined
from mock_server.polar.fixtures import MOST

_HEADER = """Polar customers made from recorded traffic, with their wallets as they were first seen.

Balances, currencies, times and the provider's own ids are as recorded. Tokens are not: each customer has one of the mock's own,
which the mock prints when it starts. `fixtures/polar.yaml`, which is shipped, says what each field means."""
_CURRENCY = re.compile(r"[a-z]{3}")
_TYPES = ("billing", "usage")


@dataclass
class _Customer:
    """Who sent with one token, or owns wallets."""

    id: str = ""
    tokens: set[str] = field(default_factory=set)
    is_refused: bool = False
    wallets: dict[str, Body] = field(default_factory=dict)
    total: int = 0


class SeenPolar:
    """Takes exchanges without personal data, in the order of their times; `token` tells clients apart and is never shown."""

    def __init__(self) -> None:
        self._customers: list[_Customer] = []
        self.changed: dict[str, None] = {}

    def take(self, exchange: Exchange, token: str) -> None:
        """Look at one exchange."""
        status, body = exchange.response.status, parsed(exchange.response.body)
        if status == 403:
            self._customer("", token).is_refused = True
        if status != 200:
            return
        found = [item for item in objects(body) if text(item, "id") and text(item, "customer_id")]
        customer = self._customer(found[0]["customer_id"] if found else "", token)
        for item in found:
            first = customer.wallets.setdefault(item["id"], item)
            if first != item:
                self.changed[item["id"]] = None
        pagination = body.get("pagination") if isinstance(body, dict) else None
        if isinstance(pagination, dict) and isinstance(pagination.get("total_count"), int):
            customer.total = max(customer.total, pagination["total_count"])

    def _customer(self, customer_id: str, token: str) -> _Customer:
        known = next((c for c in self._customers if customer_id and c.id == customer_id), None)
        of_token = next((c for c in self._customers if token and token in c.tokens), None)
        if known is None and of_token is not None and (not customer_id or not of_token.id):
            known = of_token
        if known is None:
            known = _Customer()
            self._customers.append(known)
        elif of_token is not None and of_token is not known and not of_token.id:
            self._customers.remove(of_token)
        known.id = known.id or customer_id
        known.tokens |= {token} if token else set()
        return known

    @property
    def customers(self) -> dict[str, _Customer]:
        """By the name that they have in the file."""
        return {f"customer-{number}": customer for number, customer in enumerate(self._customers, 1)}


class PolarFile:
    """Makes the file. `notes` say what could not be carried over."""

    def __init__(self, seen: SeenPolar) -> None:
        self.notes: list[str] = []
        self.wallets = 0
        self._seen = seen
        self._written: set[str] = set()

    def write(self) -> str:
        """The file's text."""
        customers = self._seen.customers
        lines = [*comment(_HEADER), "", "provider: polar", "", "customers:" if customers else "customers: {}"]
        for name, customer in customers.items():
            lines += ["", f"  {name}:", *self._customer(name, customer)]
        for wallet_id in self._seen.changed:
            self.notes.append(f"{wallet_id} changed in the recording; the file has what was seen first")
        return joined(lines)

    def _customer(self, name: str, customer: _Customer) -> Iterator[str]:
        seen = len(customer.wallets)
        about = "May not see wallets (403)" if customer.is_refused and not seen else f"{seen or 'No'} wallet{'s' * (seen != 1)}"
        if customer.total > seen:
            self.notes.append(f"{name}: {seen} of {customer.total} wallets were seen; the others are left out")
        refused = customer.is_refused and not seen
        yield from fields(
            {
                "about": about,
                "id": customer.id if _is_uuid4(customer.id) else None,
                "session": "member" if refused else None,
                "role": "member" if refused else None,
            },
            4,
        )
        if customer.id and not _is_uuid4(customer.id):
            self.notes.append(f"{name}: gets another id in the mock, where all are version 4 UUIDs")
        lines = list(self._wallets(name, customer))
        if lines:
            yield "    wallets:"
            yield from lines

    def _wallets(self, name: str, customer: _Customer) -> Iterator[str]:
        by_currency: dict[str, int] = {}
        for wallet_id, body in customer.wallets.items():
            currency, balance = text(body, "currency"), body.get("balance")
            if not _CURRENCY.fullmatch(currency) or type(balance) is not int or abs(balance) > MOST:
                self.notes.append(f"{wallet_id} is left out: its balance or currency is none that a wallet can have")
                continue
            if wallet_id in self._written:
                self.notes.append(f"{wallet_id} is once in the file, though several customers were said to own it")
                continue
            self._written.add(wallet_id)
            number = by_currency[currency] = by_currency.get(currency, 0) + 1
            if number > len(_TYPES):
                self.notes.append(
                    f"{wallet_id} is left out: {name} has two other wallets in {currency.upper()}, as many as can be"
                )
                continue
            self.wallets += 1
            yield f"      {currency if number == 1 else f'{currency}-{number}'}:"
            yield from fields(
                {
                    "about": f"A wallet in {currency.upper()}",
                    "id": wallet_id if _is_uuid4(wallet_id) else None,
                    "type": None if number == 1 else _TYPES[1],
                    "currency": currency,
                    "balance": balance,
                    "created": moment(body, "created_at"),
                    "modified": moment(body, "modified_at"),
                },
                8,
            )


def _is_uuid4(text: str) -> bool:
    try:
        found = uuid.UUID(text)
    except ValueError:
        return False
    return found.version == 4 and str(found) == text
