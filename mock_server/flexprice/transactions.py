"""Lists of transactions: of one wallet (query) and of all wallets (search body)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial, total_ordering
from typing import Any

from mock_server.call import Answer, Call, Handler
from mock_server.flexprice import inputs, money
from mock_server.flexprice.answers import invalid, json_answer, wallet_not_found
from mock_server.flexprice.bodies import customer_body, page_body, transaction_body, user_body, wallet_body
from mock_server.flexprice.entities import Transaction
from mock_server.flexprice.members import MemberRows, Page
from mock_server.flexprice.opening import Opening
from mock_server.flexprice.state import FlexpriceState, state_of
from mock_server.ids import ulid_milliseconds
from mock_server.world import Worlds

_EXPANDABLE = ("customer", "created_by_user", "wallet")

# Small populations are simply looked at; large ones are counted, for which these columns differ row by row.
_SMALL_POPULATION = 1_000
_MEMBER_COLUMNS = {"id", "wallet_id", "customer_id"}
_TIME_COLUMNS = {"created_at", "updated_at"}


@dataclass
class Criteria:
    """What a list is asked for; None and absent do not restrict."""

    wallet_id: str | None = None
    type: str | None = None
    transaction_status: str | None = None
    transaction_reason: str | None = None
    reference: tuple[str, str] | None = None
    priority: int | None = None
    credits_available_gt: Decimal | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    expires_by: datetime | None = None
    expires_from: datetime | None = None
    status: str | None = None
    conditions: list[Condition] = field(default_factory=list)
    nothing: bool = False
    sort: list[tuple[str, bool]] = field(default_factory=list)
    newest_first: bool = True
    limit: int = 50
    offset: int = 0

    def fits(self, row: Transaction) -> bool:
        """Whether a row is asked for, its time and wallet aside."""
        expiry = row.expiry_date
        return (
            not self.nothing
            and self.type in (None, row.type)
            and self.transaction_status in (None, row.transaction_status)
            and self.transaction_reason in (None, row.transaction_reason)
            and self.reference in (None, (row.reference_type, row.reference_id))
            and self.priority in (None, row.priority)
            and (self.credits_available_gt is None or row.credits_available > self.credits_available_gt)
            and (self.expires_by is None or (expiry is not None and expiry <= self.expires_by))
            and (self.expires_from is None or (expiry is not None and expiry >= self.expires_from))
            and self.status in (None, "published", "")
            and all(condition.holds(row) for condition in self.conditions)
        )

    def in_time(self, row: Transaction) -> bool:
        """Whether a row was created when asked for; both ends count."""
        return (self.start_time is None or row.created_at >= self.start_time) and (
            self.end_time is None or row.created_at <= self.end_time
        )


@dataclass(frozen=True)
class Condition:
    """One entry of `filters`: column, operator, and the value as the column's type."""

    column: str
    operator: str
    value: Any

    def holds(self, row: Transaction) -> bool:
        """Whether the row's column satisfies the operator."""
        return _OPERATORS[self.operator](getattr(row, self.column), self.value)


@total_ordering
@dataclass(frozen=True)
class _Descending:
    value: Any

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.value < self.value)


class Transactions:
    """The transaction lists over the worlds of all sessions."""

    def __init__(self, worlds: Worlds, opening: Opening) -> None:
        self._worlds = worlds
        self._opening = opening
        self._tenant = opening.tenant
        self._shared = {  # columns that are the same in every row
            "status": "published",
            "created_by": opening.tenant.user_id,
            "updated_by": opening.tenant.user_id,
            "environment_id": opening.tenant.environment_id,
            "tenant_id": opening.tenant.tenant_id,
        }
        self.handlers: Mapping[str, Handler] = {
            "getWalletTransactions": self.of_wallet,
            "queryWalletTransaction": self.search,
        }

    async def of_wallet(self, call: Call) -> Answer:
        """GET /wallets/{id}/transactions"""
        query = {name: value for name, value in call.request.query_first.items() if value}
        query.pop("expand", None)  # accepted and ignored by this operation, as by the live server
        criteria = _criteria(query | {"id": call.request.path_params["id"]})
        state = state_of(await self._worlds.current(call.session))
        if state.account(call.request.path_params["id"]) is None:
            raise wallet_not_found(call.request.path_params["id"])
        return self._answer(state, criteria, set())

    async def search(self, call: Call) -> Answer:
        """POST /wallets/transactions/search"""
        fields = inputs.body(call)
        expanded = inputs.expand(call.request.query_first.get("expand") or fields.get("expand"), _EXPANDABLE)
        criteria = _criteria(fields)
        for entry in fields.get("filters", ()):
            condition = _condition(inputs.present(entry), self._shared)
            if condition.column not in self._shared:
                criteria.conditions.append(condition)
            elif not _OPERATORS[condition.operator](self._shared[condition.column], condition.value):
                criteria.nothing = True
        for entry in fields.get("sort", ()):
            name, descending = _sort(inputs.present(entry), self._shared)
            if name not in self._shared:
                criteria.sort.append((name, descending))
        state = state_of(await self._worlds.current(call.session))
        return self._answer(state, criteria, expanded)

    def _answer(self, state: FlexpriceState, criteria: Criteria, expanded: set[str]) -> Answer:
        page = self._page(state, criteria)
        items = [self._item(state, row, expanded) for row in page.items(criteria.offset, criteria.limit)]
        return json_answer(200, page_body(items, page.total, criteria.limit, criteria.offset))

    def _item(self, state: FlexpriceState, row: Transaction, expanded: set[str]) -> dict[str, Any]:
        body = transaction_body(row, self._tenant)
        if "wallet" in expanded and (account := state.account(row.wallet_id)):
            body["wallet"] = wallet_body(account.wallet, self._tenant)
        if "customer" in expanded and (customer := self._opening.customer(row.customer_id)):
            body["customer"] = customer_body(customer, self._tenant)
        if "created_by_user" in expanded:
            body["created_by_user"] = user_body(self._tenant)
        return body

    def _page(self, state: FlexpriceState, criteria: Criteria) -> Page[Transaction]:
        population = self._opening.population
        wallets = _named_wallets(state, criteria)
        groups: list[tuple[Any, MemberRows]] = []
        if wallets is not None:
            accounts = [account for wallet_id in wallets if (account := state.account(wallet_id))]
        else:
            accounts = list(state.listed_accounts())
            if 0 < population.size <= _SMALL_POPULATION:
                members = (population.account_at(index) for index in range(population.size))
                accounts += [account for account in members if account.wallet.id not in state.changed]
            elif population.size:
                groups = self._member_groups(state, criteria)
        rows = [row for account in accounts for row in account.transactions if criteria.in_time(row) and criteria.fits(row)]
        return Page(
            rows,
            groups,
            lambda index, slot: population.account_at(index).transactions[slot],
            key=lambda row: _sort_key(row, criteria.sort),
            time=lambda row: row.created_at,
            newest_first=criteria.newest_first,
        )

    def _member_groups(self, state: FlexpriceState, criteria: Criteria) -> list[tuple[Any, MemberRows]]:
        """The population's rows by sort key. Rows of one template and slot differ in ids and times only."""
        population = self._opening.population
        for condition in criteria.conditions:
            if condition.column in _MEMBER_COLUMNS | _TIME_COLUMNS:
                raise invalid(
                    f"filters: {condition.operator} on {condition.column} would read every row of a population of "
                    f"{population.size} wallets; this mock answers eq and in on ids, and start_time and end_time"
                )
        for name, _ in criteria.sort:
            if name in _MEMBER_COLUMNS | _TIME_COLUMNS:
                raise invalid(f"sort: by {name} is not possible over a population of {population.size} wallets; use `order`")
        templates = [population.template_account(template).transactions for template in range(population.period)]
        slots_by_key: dict[Any, list[list[int]]] = {}
        for number, rows in enumerate(templates):
            for slot, row in enumerate(rows):
                if criteria.fits(row):
                    key = _sort_key(row, criteria.sort)
                    slots_by_key.setdefault(key, [[] for _ in templates])[number].append(slot)
        changed = [index for wallet_id in state.changed if (index := population.wallet_index(wallet_id)) is not None]
        groups = []
        for key, slots in slots_by_key.items():
            times = partial(_times, population, slots)
            rows_of_key = MemberRows(population.size, slots, changed, times, population.last_created)
            rows_of_key.between(criteria.start_time, criteria.end_time)
            groups.append((key, rows_of_key))
        return groups


_COLUMNS = {name for name in Transaction.__dataclass_fields__ if name != "metadata"}


def _criteria(fields: Mapping[str, Any]) -> Criteria:
    criteria = Criteria(
        wallet_id=fields.get("id") or None,
        type=fields.get("type"),
        transaction_status=fields.get("transaction_status"),
        transaction_reason=fields.get("transaction_reason"),
        status=fields.get("status"),
        start_time=inputs.moment(fields.get("start_time"), "start_time"),
        end_time=inputs.moment(fields.get("end_time"), "end_time"),
        expires_by=inputs.moment(fields.get("expiry_date_before"), "expiry_date_before"),
        expires_from=inputs.moment(fields.get("expiry_date_after"), "expiry_date_after"),
        newest_first=fields.get("order") != "asc",
    )
    criteria.limit, criteria.offset = inputs.page(fields)
    if "priority" in fields:
        criteria.priority = int(fields["priority"])
    if "credits_available_gt" in fields:
        criteria.credits_available_gt = inputs.decimal(dict(fields), "credits_available_gt")
    if criteria.start_time and criteria.end_time and criteria.end_time < criteria.start_time:
        raise invalid("end_time must not be before start_time")
    if criteria.expires_by and criteria.expires_from and criteria.expires_by < criteria.expires_from:
        raise invalid("expiry_date_before must not be earlier than expiry_date_after")
    reference_type, reference_id = fields.get("reference_type"), fields.get("reference_id")
    if reference_type:
        if not reference_id:
            raise invalid("reference_type needs a reference_id")
        criteria.reference = (reference_type, reference_id)
    return criteria


def _condition(entry: Mapping[str, Any], shared: Mapping[str, str]) -> Condition:
    name, operator = entry.get("field", ""), entry.get("operator", "")
    if name not in _COLUMNS and name not in shared:
        raise invalid(f"filters: unknown field {name!r}")
    if operator not in _OPERATORS:
        raise invalid(f"filters: operator must be one of {', '.join(_OPERATORS)}")
    given = inputs.present(entry.get("value") or {})
    members = {"in": ("array",), "not_in": ("array",), "before": ("date", "string"), "after": ("date", "string")}
    for member in members.get(operator, ("string", "number", "date", "boolean")):
        if member in given:
            as_text = operator in ("contains", "not_contains")
            return Condition(name, operator, str(given[member]) if as_text else _like(given[member], name))
    raise invalid(f"filters: {operator} on {name} needs a value")


def _sort(entry: Mapping[str, Any], shared: Mapping[str, str]) -> tuple[str, bool]:
    name = entry.get("field", "")
    if name not in _COLUMNS and name not in shared:
        raise invalid(f"sort: unknown field {name!r}")
    return name, entry.get("direction") == "desc"


def _sort_key(row: Transaction, sort: list[tuple[str, bool]]) -> tuple[Any, ...]:
    parts: list[Any] = []
    for name, descending in sort:
        value = getattr(row, name)
        part = (value is None, 0 if value is None else value)  # like the database: nulls last, and first when turned round
        parts.append(_Descending(part) if descending else part)
    return tuple(parts)


def _named_wallets(state: FlexpriceState, criteria: Criteria) -> list[str] | None:
    """The wallets that the criteria name outright; None if they name none."""
    if criteria.wallet_id is not None:
        return [criteria.wallet_id]
    for condition in criteria.conditions:
        if condition.operator not in ("eq", "in"):
            continue
        values = [str(v) for v in (condition.value if condition.operator == "in" else [condition.value])]
        if condition.column == "wallet_id":
            return list(dict.fromkeys(values))
        if condition.column == "customer_id":
            return list(dict.fromkeys(a.wallet.id for value in values for a in state.accounts_of(value)))
        if condition.column == "id":
            return list(dict.fromkeys(wallet_id for value in values for wallet_id in _wallets_near(state, value)))
    return None


def _wallets_near(state: FlexpriceState, transaction_id: str) -> list[str]:
    """Wallets that may hold a transaction: all that are listed, and the member of the population created then."""
    wallets = [account.wallet.id for account in state.listed_accounts()]
    created = ulid_milliseconds(transaction_id.removeprefix("wtxn_"))
    population = state.opening.population
    if created is not None and population.size:
        index = population.last_created(datetime.fromtimestamp(created / 1000, UTC))
        if 0 <= index < population.size:
            wallets.append(population.wallet_id(index))
    return wallets


def _times(population: Any, slots: list[list[int]], index: int) -> list[datetime]:
    rows = population.account_at(index).transactions
    return [rows[slot].created_at for slot in slots[index % len(slots)]]


def _like(value: Any, name: str) -> Any:
    """A filter's value as the column's type, so that they compare."""
    if isinstance(value, list):
        return [_like(entry, name) for entry in value]
    column_type = _TYPES.get(name, str)
    if column_type is str:
        return str(value)
    if column_type is datetime:
        moment = inputs.moment(str(value), f"filters: {name}")
        if moment is None:
            raise invalid(f"filters: {name} is compared with a time")
        return moment
    try:
        return money.parse(value)
    except ValueError:
        raise invalid(f"filters: {str(value)[:50]!r} does not fit the column {name}") from None


_TYPES: dict[str, type] = {
    name: Decimal if "Decimal" in str(f.type) else datetime if "datetime" in str(f.type) else int if "int" in str(f.type) else str
    for name, f in Transaction.__dataclass_fields__.items()
}


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return money.wire(value)
    return "" if value is None else str(value)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda found, value: bool(found == value),
    "contains": lambda found, value: value.lower() in _text(found).lower(),
    "not_contains": lambda found, value: value.lower() not in _text(found).lower(),
    "gt": lambda found, value: found is not None and found > value,
    "lt": lambda found, value: found is not None and found < value,
    "gte": lambda found, value: found is not None and found >= value,
    "in": lambda found, value: found in value,
    "not_in": lambda found, value: found not in value,
    "before": lambda found, value: found is not None and found < value,
    "after": lambda found, value: found is not None and found > value,
}
