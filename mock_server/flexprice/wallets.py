"""Operations on wallets: create, get, update, real-time balance, terminate, search, and a customer's wallets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mock_server.call import Answer, Call, Handler
from mock_server.event_log import Event
from mock_server.flexprice import closing, inputs, ledger, settings
from mock_server.flexprice.answers import JSON, invalid, json_answer, refused, wallet_not_found
from mock_server.flexprice.bodies import balance_body, balance_json, page_body, wallet_body
from mock_server.flexprice.caching import BalanceCache
from mock_server.flexprice.entities import AutoTopup, Wallet, WalletType
from mock_server.flexprice.events import TransactionCreated, WalletCreated, WalletUpdated
from mock_server.flexprice.ledger import Account
from mock_server.flexprice.members import MemberRows, Page
from mock_server.flexprice.money import ONE, ZERO
from mock_server.flexprice.opening import Opening
from mock_server.flexprice.state import FlexpriceState, state_of
from mock_server.world import Draft, World, Worlds

BREAKDOWN = "credits_available_breakdown"

_TRUE = ("1", "t", "T", "true", "TRUE", "True")  # Go's spelling of booleans
_FALSE = ("0", "f", "F", "false", "FALSE", "False", "")


class Wallets:
    """The wallet operations over the worlds of all sessions."""

    def __init__(self, worlds: Worlds, opening: Opening, cache: BalanceCache) -> None:
        self._worlds = worlds
        self._opening = opening
        self._cache = cache
        self._tenant = opening.tenant
        self.handlers: Mapping[str, Handler] = {
            "createWallet": self.create,
            "getWallet": self.get,
            "updateWallet": self.update,
            "getWalletBalance": self.balance,
            "terminateWallet": self.terminate,
            "queryWallet": self.search,
            "listWallets": self.listed,
            "getWalletBalanceCached": self.cached_balance,
            "getWalletsByCustomerId": self.of_customer_id,
            "getCustomerWallets": self.of_customer,
        }

    async def create(self, call: Call) -> Answer:
        """POST /wallets"""
        fields = inputs.body(call)
        world, wallet_id = await self._worlds.commit(call.session, lambda world, draft: self._decide_create(world, draft, fields))
        return self._wallet_answer(world, wallet_id)

    async def get(self, call: Call) -> Answer:
        """GET /wallets/{id}"""
        wallet_id = call.request.path_params["id"]
        return self._wallet_answer(await self._worlds.current(call.session), wallet_id)

    async def update(self, call: Call) -> Answer:
        """PUT /wallets/{id}"""
        wallet_id = call.request.path_params["id"]
        fields = inputs.body(call)
        world, _ = await self._worlds.commit(
            call.session, lambda world, draft: ([self._decide_update(world, draft, wallet_id, fields)], None)
        )
        return self._wallet_answer(world, wallet_id)

    async def balance(self, call: Call) -> Answer:
        """GET /wallets/{id}/balance/real-time"""
        query = call.request.query_first if call.request.query_string else {}
        return await self._balance_answer(call, query.get("expand"), from_cache=query.get("from_cache") == "true")

    async def cached_balance(self, call: Call) -> Answer:
        """GET /wallets/{id}/balance/real-time-cached"""
        return await self._balance_answer(call, call.request.query_first.get("expand"), from_cache=True)

    async def terminate(self, call: Call) -> Answer:
        """POST /wallets/{id}/terminate"""
        wallet_id = call.request.path_params["id"]
        world, _ = await self._worlds.commit(
            call.session, lambda world, draft: (self._decide_terminate(world, draft, wallet_id), None)
        )
        return self._wallet_answer(world, wallet_id)

    async def search(self, call: Call) -> Answer:
        """POST /wallets/search"""
        return await self._list_answer(call, inputs.body(call))

    async def listed(self, call: Call) -> Answer:
        """GET /wallets"""
        wallet_ids = [value for name, value in call.request.query if name == "wallet_ids"]
        return await self._list_answer(call, {**call.request.query_first, "wallet_ids": wallet_ids})

    async def _list_answer(self, call: Call, fields: Mapping[str, Any]) -> Answer:
        expanded = inputs.expand(fields.get("expand"), (BREAKDOWN,))
        limit, offset = inputs.page(fields)
        state = state_of(await self._worlds.current(call.session))
        page = self._search(state, fields.get("status"), fields.get("wallet_ids"), newest_first=fields.get("order") != "asc")
        items = []
        for account in page.items(offset, limit):
            body = wallet_body(account.wallet, self._tenant)
            if expanded:
                body[BREAKDOWN] = ledger.breakdown(account)
            items.append(body)
        return json_answer(200, page_body(items, page.total, limit, offset))

    async def of_customer_id(self, call: Call) -> Answer:
        """GET /customers/{id}/wallets"""
        expanded = inputs.expand(call.request.query_first.get("expand"), (BREAKDOWN,))
        state = state_of(await self._worlds.current(call.session))
        items = []
        for account in _active(state.accounts_of(call.request.path_params["id"])):
            body = wallet_body(account.wallet, self._tenant)
            if expanded:
                body[BREAKDOWN] = ledger.breakdown(account)
            items.append(body)
        return json_answer(200, items)

    async def of_customer(self, call: Call) -> Answer:
        """GET /customers/wallets"""
        query = call.request.query_first
        real_time = _boolean(query, "include_real_time_balance")
        from_cache = _boolean(query, "from_cache")
        expanded = inputs.expand(query.get("expand"), (BREAKDOWN,)) if real_time else ()
        customer_id, lookup_key = query.get("id", ""), query.get("lookup_key", "")
        if bool(customer_id) == bool(lookup_key):
            raise invalid("Exactly one of id and lookup_key is required")
        opening = self._opening
        customer = opening.customer(customer_id) if customer_id else opening.customer_by_external_id(lookup_key)
        if customer is None:
            raise refused("not_found", f"Customer {customer_id or lookup_key} was not found")
        world = await self._worlds.current(call.session)
        accounts = _active(state_of(world).accounts_of(customer.id))
        if real_time:
            breakdown = bool(expanded)
            ids = [account.wallet.id for account in accounts]
            if from_cache:
                await self._cache.fetch(call.session, ids)
            body = [self._balance_body(call, world, a, breakdown=breakdown, from_cache=from_cache) for a in accounts]
            await self._cache.publish(call.session, ids)
            return json_answer(200, body)
        return json_answer(200, [wallet_body(a.wallet, self._tenant) | {"is_cached_fallback": False} for a in accounts])

    def _wallet_answer(self, world: World, wallet_id: str) -> Answer:
        account = state_of(world).account(wallet_id)
        if account is None:
            raise wallet_not_found(wallet_id)
        return json_answer(200, wallet_body(account.wallet, self._tenant))

    async def _balance_answer(self, call: Call, expand: str | None, *, from_cache: bool) -> Answer:
        expanded = inputs.expand(expand, (BREAKDOWN,))
        wallet_id = call.request.path_params["id"]
        if from_cache:
            await self._cache.fetch(call.session, [wallet_id])
        world = await self._worlds.current(call.session)
        account = state_of(world).account(wallet_id)
        if account is None:
            raise wallet_not_found(wallet_id)
        if expanded:
            answer = json_answer(200, self._balance_body(call, world, account, breakdown=True, from_cache=from_cache))
        else:
            now, cached = self._cache.real_time(call, world, account, from_cache=from_cache)
            answer = Answer(200, balance_json(account, now, self._tenant, cached=cached), content_type=JSON)
        await self._cache.publish(call.session, [wallet_id])
        return answer

    def _balance_body(self, call: Call, world: World, account: Account, *, breakdown: bool, from_cache: bool) -> dict[str, Any]:
        credits = ledger.breakdown(account) if breakdown else None
        now, cached = self._cache.real_time(call, world, account, from_cache=from_cache)
        body = balance_body(account, now, self._tenant, credits)
        if cached:
            body["is_cached_fallback"] = True
        return body

    def _decide_create(self, world: World, draft: Draft, fields: inputs.Fields) -> tuple[list[Event], str]:
        state = state_of(world)
        if fields.get("price_unit"):
            raise refused("not_found", f"Price unit {fields['price_unit']} was not found")
        currency = fields["currency"].lower()
        topup = settings.auto_topup(fields["auto_topup"]) if "auto_topup" in fields else None
        rate = inputs.decimal(fields, "conversion_rate") or ONE
        if rate < 0:
            raise invalid("conversion_rate must not be negative")
        topup_rate = inputs.decimal(fields, "topup_conversion_rate")
        if topup_rate is not None and topup_rate <= 0:
            raise invalid("topup_conversion_rate must be greater than 0")
        rate = inputs.stored_rate(rate, "conversion_rate")
        topup_rate = rate if topup_rate is None else inputs.stored_rate(topup_rate, "topup_conversion_rate")
        if not rate or not topup_rate:
            raise invalid("a conversion rate is too small to be stored with 5 decimals")
        customer_id = self._customer_id(fields)
        expiry = inputs.moment(fields.get("initial_credits_expiry_date_utc"), "initial_credits_expiry_date_utc")
        if expiry is not None and expiry <= draft.at:
            raise invalid("initial_credits_expiry_date_utc must be in the future")
        alerts = settings.alert_settings(fields["alert_settings"]) if "alert_settings" in fields else None
        if customer_id is None:
            customer = self._opening.customer_by_external_id(fields["external_customer_id"])
            if customer is None:
                raise refused("not_found", f"Customer {fields['external_customer_id']} was not found")
            customer_id = customer.id
        wallet_type: WalletType = fields.get("wallet_type") or "PRE_PAID"
        for account in _active(state.accounts_of(customer_id)):
            if account.wallet.currency == currency and account.wallet.wallet_type == wallet_type:
                raise refused(
                    "already_exists", f"Customer {customer_id} has an active {currency} {wallet_type} wallet: {account.wallet.id}"
                )
        name, price_types = ledger.defaults(wallet_type, currency)
        wallet = Wallet(
            id=draft.id("wallet"),
            customer_id=customer_id,
            currency=currency,
            wallet_type=wallet_type,
            conversion_rate=rate,
            topup_conversion_rate=topup_rate,
            created_at=draft.at,
            updated_at=draft.at,
            name=name,
            description=fields.get("description", ""),
            metadata=fields.get("metadata", {}),
            auto_topup=topup,
            allowed_price_types=price_types,
            alert_settings=alerts,
        )
        initial = inputs.stored(inputs.decimal(fields, "initial_credits_to_load") or ZERO, "initial_credits_to_load")
        events: list[Event] = [WalletCreated(at=draft.at, wallet=wallet, initial_credits=initial > 0)]
        if initial > 0:
            events.append(self._initial_credits(draft, wallet, initial, expiry, fields))
        return events, wallet.id

    def _initial_credits(
        self, draft: Draft, wallet: Wallet, amount: Any, expiry: datetime | None, fields: inputs.Fields
    ) -> TransactionCreated:
        if expiry is None and fields.get("initial_credits_to_load_expiry_date"):
            expiry = _day(fields["initial_credits_to_load_expiry_date"])
            if expiry <= draft.at:
                raise invalid("initial_credits_to_load_expiry_date must be in the future")
        inputs.check_room(wallet, amount, "initial_credits_to_load")
        row_id = draft.id("wtxn")
        key = f"credit_grant-{self._worlds.seed.bits(64, 'key', row_id):016x}"
        incoming = ledger.Credit(amount=amount, reason="FREE_CREDIT_GRANT", expiry_date=expiry, idempotency_key=key)
        return TransactionCreated(at=draft.at, transaction=ledger.credit(wallet, row_id, incoming, draft.at), consumed={})

    def _customer_id(self, fields: inputs.Fields) -> str | None:
        """The given customer id; None if only an external id is given. Both are checked for syntax only."""
        customer_id, external_id = fields.get("customer_id", ""), fields.get("external_customer_id", "")
        if not customer_id and not external_id:
            raise invalid("customer_id or external_customer_id is required")
        if re.search(r"[% ]", external_id):
            raise invalid("external_customer_id must not contain spaces or percent signs")
        if customer_id and (re.search(r"[% ]", customer_id) or customer_id.strip("_") != customer_id):
            raise invalid("customer_id must not contain spaces or percent signs, nor begin or end with an underscore")
        return customer_id or None

    def _decide_update(self, world: World, draft: Draft, wallet_id: str, fields: inputs.Fields) -> Event:
        account = state_of(world).account(wallet_id)
        if account is None:
            raise wallet_not_found(wallet_id)
        topup = (
            settings.auto_topup(fields["auto_topup"], update_of=account.wallet.auto_topup or AutoTopup())
            if "auto_topup" in fields
            else None
        )
        alerts = settings.alert_settings(fields["alert_settings"]) if "alert_settings" in fields else None
        allowed = inputs.present(fields.get("config", {})).get("allowed_price_types")
        return WalletUpdated(
            at=draft.at,
            wallet_id=wallet_id,
            name=fields.get("name") or None,  # an empty name or description is not stored
            description=fields.get("description") or None,
            metadata=fields.get("metadata"),
            auto_topup=topup,
            alert_settings=alerts,
            alert_state="ok" if alerts is not None and not alerts.alert_enabled else None,
            allowed_price_types=None if allowed is None else tuple(allowed),
        )

    def _decide_terminate(self, world: World, draft: Draft, wallet_id: str) -> list[Event]:
        state = state_of(world)
        account = state.account(wallet_id)
        if account is None:
            raise wallet_not_found(wallet_id)
        if account.wallet.wallet_status == "closed":
            raise refused("invalid_operation", f"Wallet {wallet_id} is closed already")
        try:
            return closing.close(state, account, draft)
        except closing.KeyUsed:
            raise refused("already_exists", f"Idempotency key {wallet_id} was used before") from None
        except ledger.InsufficientCredits:
            raise refused("invalid_operation", "Insufficient balance: part of the credits has expired") from None

    def _search(
        self, state: FlexpriceState, status: str | None, wallet_ids: list[str] | None, *, newest_first: bool
    ) -> Page[Account]:
        population = self._opening.population
        if wallet_ids:
            found = {wallet_id: account for wallet_id in wallet_ids if (account := state.account(wallet_id))}
            rows, groups = list(found.values()), []
        else:
            rows = list(state.listed_accounts())
            fits = [
                [0] if status in (None, population.template_account(t).wallet.wallet_status) else []
                for t in range(population.period if population.size else 0)
            ]
            changed = (i for wallet_id in state.changed if (i := population.wallet_index(wallet_id)) is not None)
            members = MemberRows(population.size, fits, changed, lambda i: [population.created(i)], population.last_created)
            groups = [((), members)]
        return Page(
            [account for account in rows if status in (None, account.wallet.wallet_status)],
            groups,
            lambda index, _: population.account_at(index),
            key=lambda account: (),
            time=lambda account: account.wallet.created_at,
            newest_first=newest_first,
        )


def _active(accounts: list[Account]) -> list[Account]:
    return [account for account in accounts if account.wallet.wallet_status == "active"]


def _boolean(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "")
    if text not in _TRUE and text not in _FALSE:
        raise invalid(f"{name} must be true or false")
    return text in _TRUE


def _day(number: int) -> datetime:
    try:
        return datetime.strptime(str(int(number)), "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        raise invalid("initial_credits_to_load_expiry_date must be a day as YYYYMMDD") from None
