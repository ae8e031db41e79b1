"""What traffic tells of Flexprice wallets, their customers and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from contract_tests.exchange import Exchange, Request
from mock_server.flexprice.entities import WalletType
from mock_server.from_traffic.rows import Row, row_of
from mock_server.from_traffic.seen import Body, member, moment, objects, parsed, section, text

_WRITES = ("updateWallet", "topUpWallet", "terminateWallet", "debitWallet", "modifyWallet")
_CLOSES = ("terminateWallet", "modifyWallet")
_UNRESTRICTED = frozenset({"limit", "offset", "order", "expand"})


@dataclass
class SeenCustomer:
    """A customer, as far as anybody said who it is."""

    id: str = ""
    external_id: str = ""
    body: Body = field(default_factory=dict)


@dataclass
class SeenWallet:
    """A wallet as it was first seen. `changed` is when somebody changed it first, by the server's time.

    `rows` are those from before that, by id, `later` those from then on; `total` is how many rows it had, if that was told.
    `is_late`: it was not seen before it was changed, by `change`.
    """

    id: str
    body: Body = field(default_factory=dict)
    balance: Body = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    later: dict[str, Row] = field(default_factory=dict)
    total: int | None = None
    changed: datetime | None = None
    change: str = ""

    @property
    def is_late(self) -> bool:
        """Whether its first answer came with or after the first change."""
        return bool(self.change)

    @property
    def status(self) -> str:
        """Its state when the recording began."""
        return "active" if self.change in _CLOSES else str(self.body.get("wallet_status"))

    @property
    def type(self) -> WalletType:
        """What it is; prepaid if nobody said."""
        return "POST_PAID" if self.body.get("wallet_type") == "POST_PAID" else "PRE_PAID"

    def see(self, body: Body) -> None:
        """An answer with the wallet in it."""
        if not self.body:
            self.body = body
        if "real_time_balance" not in body or self.changed is not None:
            return
        if not self.balance or (self.balance.get("is_cached_fallback") and not body.get("is_cached_fallback")):
            self.balance = body

    def see_row(self, row: Row) -> None:
        """An answer with a row of its ledger in it."""
        of_then = self.later if self.changed is not None and row.at >= self.changed else self.rows
        of_then.setdefault(row.id, row)


class SeenFlexprice:
    """Takes exchanges without personal data, in the order of their times.

    `wallets` are those that were there when the recording began, `created` the ids of those that came to be in it.
    """

    def __init__(self) -> None:
        self.created: dict[str, None] = {}
        self._wallets: dict[str, SeenWallet] = {}
        self._customers: dict[str, SeenCustomer] = {}  # by id
        self._without_id: dict[str, SeenCustomer] = {}  # by external id

    @property
    def wallets(self) -> list[SeenWallet]:
        """In the order in which they were first seen."""
        return [wallet for wallet in self._wallets.values() if wallet.body and wallet.id not in self.created]

    @property
    def unseen(self) -> list[str]:
        """Wallets of which no answer said what they are."""
        return [wallet.id for wallet in self._wallets.values() if wallet.id and not wallet.body and wallet.id not in self.created]

    @property
    def customers(self) -> list[SeenCustomer]:
        """Those of whom the id is known, then the others."""
        return [*self._customers.values(), *self._without_id.values()]

    def _see_customer(self, customer_id: str, external_id: str = "", body: Body | None = None) -> None:
        """There is a customer of this id, this external one, or both."""
        if not customer_id:
            if external_id and all(customer.external_id != external_id for customer in self._customers.values()):
                self._without_id.setdefault(external_id, SeenCustomer(external_id=external_id))
            return
        found = self._customers.setdefault(customer_id, SeenCustomer(customer_id))
        found.external_id = found.external_id or external_id
        found.body = found.body or body or {}
        self._without_id.pop(found.external_id, None)

    def take(self, operation: str, exchange: Exchange, started: float) -> None:
        """Look at one exchange, which `started` at this time in seconds since 1970."""
        request, status = exchange.request, exchange.response.status
        body = parsed(exchange.response.body) if status < 300 else None
        if operation in _WRITES:
            if status < 300 or status >= 500:  # nobody knows whether a server that failed had done it by then
                self._change(operation, self._wallet(request.path_params.get("id", "")), body, started)
        elif operation == "createWallet":
            if isinstance(body, dict):
                self.created[text(body, "id")] = None
                self._see_customer(text(body, "customer_id"), member(request, "external_customer_id"))
        elif operation == "getWalletTransactions":
            self._see_rows(request, body)
        elif operation == "queryWalletTransaction":
            for item in objects(body):
                self._see_row(item)
        elif operation == "getCustomerWallets":
            self._see_customers_wallets(request, body)
        else:
            self._see_all(objects(body))

    def _wallet(self, wallet_id: str) -> SeenWallet:
        return self._wallets.setdefault(wallet_id, SeenWallet(wallet_id))

    def _see_all(self, bodies: Iterable[Body]) -> None:
        for body in bodies:
            if isinstance(body.get("id"), str) and "wallet_status" in body:
                self._wallet(body["id"]).see(body)
                self._see_customer(text(body, "customer_id"))

    def _change(self, operation: str, wallet: SeenWallet, body: Any, started: float) -> None:
        body = body if isinstance(body, dict) else {}
        after = next((body[name] for name in ("wallet", "original_wallet") if isinstance(body.get(name), dict)), body)
        row = row_of(section(body, "wallet_transaction"))
        if wallet.changed is None:
            wallet.changed = row.at if row else moment(after, "updated_at") or datetime.fromtimestamp(started, UTC)
            wallet.change = "" if wallet.body else operation
        if row is not None:
            wallet.later.setdefault(row.id, row)
        if operation == "modifyWallet":
            self.created[text(section(body, "new_wallet"), "id")] = None
        self._see_all([after])

    def _see_rows(self, request: Request, body: Any) -> None:
        wallet = self._wallet(request.path_params.get("id", ""))
        for item in objects(body):
            self._see_row(item)
        pagination = body.get("pagination") if isinstance(body, dict) else None
        if isinstance(pagination, dict) and isinstance(pagination.get("total"), int) and wallet.changed is None:
            given = {name for name, value in request.query if value}
            if wallet.total is None and given <= _UNRESTRICTED:
                wallet.total = pagination["total"]

    def _see_row(self, item: Body) -> None:
        wallet_id, row = text(item, "wallet_id"), row_of(item)
        if wallet_id and row is not None:
            self._wallet(wallet_id).see_row(row)
        self._see_all([section(item, "wallet")])
        if customer := section(item, "customer"):
            self._see_customer(text(customer, "id"), text(customer, "external_id"), customer)

    def _see_customers_wallets(self, request: Request, body: Any) -> None:
        if not isinstance(body, list):
            return
        query = request.query_first
        found = [text(item, "customer_id") for item in objects(body)]
        customer_id = query.get("id") or (found[0] if found else "")
        if customer_id or query.get("lookup_key"):
            self._see_customer(customer_id, query.get("lookup_key", ""))
        self._see_all(objects(body))


def left_out(seen: SeenFlexprice) -> Iterator[str]:
    """Which wallets were seen and are none of `wallets`, and why."""
    for wallet_id in seen.created:
        yield f"{wallet_id} is left out: the recording creates it, and so does whoever sends it again"
    for wallet_id in seen.unseen:
        yield f"{wallet_id} is left out: it was named, but no answer says what it is"
