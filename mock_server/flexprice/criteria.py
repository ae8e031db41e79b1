"""What a list of transactions is asked for: restrictions, `filters` over columns, sorting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import total_ordering
from typing import Any, get_args, get_type_hints

from mock_server.flexprice import inputs, money
from mock_server.flexprice.answers import invalid
from mock_server.flexprice.entities import Transaction


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
        return OPERATORS[self.operator](getattr(row, self.column), self.value)


@total_ordering
@dataclass(frozen=True)
class _Descending:
    value: Any

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.value < self.value)


_COLUMNS = {name for name in Transaction.__dataclass_fields__ if name != "metadata"}


def criteria_of(fields: Mapping[str, Any]) -> Criteria:
    """Criteria from a query or a search body, without its filters and sort."""
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


def condition_of(entry: Mapping[str, Any], shared: Mapping[str, str]) -> Condition:
    """One entry of `filters`; `shared` are columns that are the same in every row."""
    name, operator = entry.get("field", ""), entry.get("operator", "")
    if name not in _COLUMNS and name not in shared:
        raise invalid(f"filters: unknown field {name!r}")
    if operator not in OPERATORS:
        raise invalid(f"filters: operator must be one of {', '.join(OPERATORS)}")
    given = inputs.present(entry.get("value") or {})
    members = {"in": ("array",), "not_in": ("array",), "before": ("date", "string"), "after": ("date", "string")}
    for member in members.get(operator, ("string", "number", "date", "boolean")):
        if member in given:
            as_text = operator in ("contains", "not_contains")
            return Condition(name, operator, str(given[member]) if as_text else _like(given[member], name))
    raise invalid(f"filters: {operator} on {name} needs a value")


def sort_of(entry: Mapping[str, Any], shared: Mapping[str, str]) -> tuple[str, bool]:
    """One entry of `sort`: the column, and whether it descends."""
    name = entry.get("field", "")
    if name not in _COLUMNS and name not in shared:
        raise invalid(f"sort: unknown field {name!r}")
    return name, entry.get("direction") == "desc"


def sort_key(row: Transaction, sort: list[tuple[str, bool]]) -> tuple[Any, ...]:
    """A row's place under a sort; its time decides what this leaves open."""
    parts: list[Any] = []
    for name, descending in sort:
        value = getattr(row, name)
        part = (value is None, 0 if value is None else value)  # like the database: nulls last, and first when turned round
        parts.append(_Descending(part) if descending else part)
    return tuple(parts)


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


def _type(hint: Any) -> type:
    """What a column of this type is compared as."""
    return next((kind for kind in (Decimal, datetime, int) if hint is kind or kind in get_args(hint)), str)


_TYPES = {name: _type(hint) for name, hint in get_type_hints(Transaction).items()}


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return money.wire(value)
    return "" if value is None else str(value)


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda found, value: bool(found == value),
    "contains": lambda found, value: value.lower() in _text(found).lower(),
    "not_contains": lambda found, value: value.lower() not in _text(found).lower(),
    "gt": lambda found, value: found is not None and found > value,
    "lt": lambda found, value: found is not None and found < value,
    "gte": lambda found, value: found is not None and found >= value,
    "in": lambda found, value: found in value,
    "not_in": lambda found, value: found is not None and found not in value,
    "before": lambda found, value: found is not None and found < value,
    "after": lambda found, value: found is not None and found > value,
}
