"""Lists of transactions: of one wallet (query) and of all wallets (search body)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mock_server.call import Answer, Call, Handler
from mock_server.flexprice import inputs
from mock_server.flexprice.answers import invalid, json_answer, wallet_not_found
from mock_server.flexprice.bodies import customer_body, page_body, transaction_body, user_body, wallet_body
from mock_server.flexprice.criteria import OPERATORS, Criteria, condition_of, criteria_of, sort_key, sort_of
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
        criteria = criteria_of(query | {"id": call.request.path_params["id"]})
        state = state_of(await self._worlds.current(call.session))
        if state.account(call.request.path_params["id"]) is None:
            raise wallet_not_found(call.request.path_params["id"])
        return self._answer(state, criteria, set())

    async def search(self, call: Call) -> Answer:
        """POST /wallets/transactions/search"""
        fields = inputs.body(call)
        expanded = inputs.expand(call.request.query_first.get("expand") or fields.get("expand"), _EXPANDABLE)
        criteria = criteria_of(fields)
        for entry in fields.get("filters", ()):
            condition = condition_of(inputs.present(entry), self._shared)
            if condition.column not in self._shared:
                criteria.conditions.append(condition)
            elif not OPERATORS[condition.operator](self._shared[condition.column], condition.value):
                criteria.nothing = True
        for entry in fields.get("sort", ()):
            name, descending = sort_of(inputs.present(entry), self._shared)
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
            key=lambda row: sort_key(row, criteria.sort),
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
                    key = sort_key(row, criteria.sort)
                    slots_by_key.setdefault(key, [[] for _ in templates])[number].append(slot)
        changed = [index for wallet_id in state.changed if (index := population.wallet_index(wallet_id)) is not None]
        groups = []
        for key, slots in slots_by_key.items():
            times = partial(_times, population, slots)
            rows_of_key = MemberRows(population.size, slots, changed, times, population.last_created)
            rows_of_key.between(criteria.start_time, criteria.end_time)
            groups.append((key, rows_of_key))
        return groups


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
