"""Flexprice: the eleven wallet operations over HTTP."""

import json
import re
import secrets
from collections.abc import Callable
from decimal import Decimal
from email.message import Message
from typing import Any

from . import faults
from .forms import CREATE, ROW_FILTER, ROW_QUERY, TOP_UP, UPDATE, WALLET_FILTER, WORDS
from .ledger import (
    GRANTS,
    LEVELS,
    PURCHASES,
    ZERO,
    Ledger,
    Refused,
    Transaction,
    Wallet,
    forbidden_now,
    has_room,
    invalid,
    made_up_key,
)
from .values import BadValue, as_number, padded, parse_time, plain, quotient, rounded, stamp
from .wire import Answer, Request, json_answer, text_answer

TOP_UP_REASONS = (*GRANTS, *PURCHASES, "CREDIT_NOTE", "INVOICE_VOID_REFUND")
EXPANDABLE = "credits_available_breakdown"
ROW_EXPANDABLE = ("customer", "created_by_user", "wallet")
DEFAULT_LIMIT, LARGEST_LIMIT = 50, 1000
TRUE, FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False", "")
DECIMALS = ("credit_amount", "credit_balance_before", "credit_balance_after", "credits_available", "amount")
COLUMNS = (
    "id wallet_id customer_id currency type transaction_reason transaction_status description idempotency_key reference_type "
    "reference_id expiry_date priority parent_transaction_id created_at status created_by updated_by tenant_id environment_id "
    "updated_at"
).split() + list(DECIMALS)  # fmt: skip
OPERANDS = {
    **dict.fromkeys(("in", "not_in"), ("array",)),
    **dict.fromkeys(("contains", "not_contains"), ("string",)),
    **dict.fromkeys(("before", "after"), ("date",)),
    **dict.fromkeys(("gt", "lt", "gte"), ("number",)),
    "eq": ("string", "number", "date"),
}


class Flexprice:
    """Routes, checks and views; the state is in the ledger."""

    def __init__(self) -> None:
        self._ledger = ledger = Ledger()
        make = ledger.ulids.make
        self._key = make("sk")
        self._origin = {"environment_id": make("env"), "tenant_id": make("tenant"), "status": "published"}
        self._user = make("user")
        self._start = stamp(ledger.clock.tick())
        self._customers = {make("cust"): f"ext_cust_{number}" for number in (101, 102, 103)}
        self._routes: dict[str, list[tuple[tuple[str, ...], Callable[..., Any]]]] = {
            "GET": [
                (("customers", "wallets"), self._wallets_by_either_id),
                (("customers", "*", "wallets"), self._wallets_of_customer),
                (("wallets", "*"), self._get),
                (("wallets", "*", "balance", "real-time"), self._balance),
                (("wallets", "*", "transactions"), self._transactions),
            ],
            "POST": [
                (("wallets",), self._create),
                (("wallets", "search"), self._search),
                (("wallets", "transactions", "search"), self._search_transactions),
                (("wallets", "*", "top-up"), self._top_up),
                (("wallets", "*", "terminate"), self._terminate),
            ],
            "PUT": [(("wallets", "*"), self._update)],
        }
        self._cache: dict[str, dict[str, Any]] = {}
        self._fill()

    def samples(self) -> dict[str, Any]:
        """A key and ids to begin with."""
        return {
            "api_key": self._key,
            "wallets": list(self._ledger.wallets),
            "customers": list(self._customers),
            "external_customers": list(self._customers.values()),
        }

    def answer(self, request: Request) -> Answer:
        """Routing, then the key, then the operation."""
        try:
            answer = self._operation(request)
        except Refused as refused:
            payload: dict[str, Any] = {"http_status_code": refused.status, "message": refused.message, "code": refused.code}
            if refused.details:
                payload["details"] = refused.details
            answer = json_answer(refused.status, payload)
        except Exception:  # noqa: BLE001
            message = "Something went wrong on our side."
            answer = json_answer(500, {"http_status_code": 500, "message": message, "code": "system_error"})
        with self._ledger.lock:
            own_id = self._ledger.ulids.make()
        answer.headers["X-Request-ID"] = request.headers.get("X-Request-ID") or own_id
        answer.headers["Access-Control-Allow-Origin"] = "*"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    # ------------------------------------------------------------ requests

    def _operation(self, request: Request) -> Answer:
        if request.method == "OPTIONS":
            return Answer(200)
        segments = request.segments
        if segments[-1] == "" and self._route(request.method, segments[:-1]):
            query = "?" + request.query_text if request.query_text else ""
            return Answer(301 if request.method == "GET" else 307, headers={"Location": request.path.rstrip("/") + query})
        route = self._route(request.method, segments)
        if not route:
            return text_answer(404, "404 page not found")
        operation, ids = route
        is_open = faults.on("open-customer-lists") and segments[1] == "customers"
        if not is_open and not secrets.compare_digest(request.headers.get("x-api-key", "").encode(), self._key.encode()):
            return json_answer(401, {"error": "A valid API key is needed in the header x-api-key."})
        if request.too_large:
            raise Refused(413, "validation_error", "The body is too large.")
        try:
            return json_answer(200, operation(request, *ids))
        except BadValue as error:
            if faults.on("bare-errors"):
                return json_answer(400, {"error": f"cannot bind the request: {error}"})
            raise invalid(f"The request is not in the right format: {error}.") from error

    def _route(self, method: str, segments: tuple[str, ...]) -> tuple[Callable[..., Any], list[str]] | None:
        if segments[:1] != ("v1",):
            return None
        segments = segments[1:]
        for pattern, operation in self._routes.get(method, []):
            if len(pattern) == len(segments) and all(
                part == segment if part != "*" else segment for part, segment in zip(pattern, segments, strict=True)
            ):
                return operation, [segment for part, segment in zip(pattern, segments, strict=True) if part == "*"]
        return None

    def _wallet(self, wallet_id: str) -> Wallet:
        wallet = self._ledger.wallets.get(wallet_id)
        if wallet is None:
            raise Refused(404, "not_found", "There is no such wallet.", {"wallet_id": wallet_id})
        return wallet

    # ------------------------------------------------------------ wallets

    def _create(self, request: Request) -> dict[str, Any]:
        body = CREATE(_json(request))
        currency = body["currency"]
        kind = body.get("wallet_type", "PRE_PAID")
        rate = _rate(body.get("conversion_rate", ZERO) or Decimal(1))
        topup_rate = _rate(body.get("topup_conversion_rate", rate))
        if body.get("price_unit"):
            raise invalid("There is no such price unit.", price_unit=body["price_unit"])
        if len(currency) != 3 or not currency.isascii() or "\0" in currency:
            raise invalid("A currency has three letters.", currency=currency)
        if "auto_topup" in body:
            _check_auto_topup(body["auto_topup"])
        if kind not in ("PRE_PAID", "POST_PAID"):
            raise invalid("There is no such type of wallet.", type=kind, allowed=["PRE_PAID", "POST_PAID"])
        customer_id = self._owner(body.get("customer_id", ""), body.get("external_customer_id", ""))
        _check_alerts(body.get("alert_settings", {}))
        with self._ledger.lock:
            now = self._ledger.clock.tick()
            credits = rounded(body.get("initial_credits_to_load", ZERO), 9)
            expiry = _future(body, "initial_credits_expiry_date_utc", now)
            if expiry is None and credits > 0 and "initial_credits_to_load_expiry_date" in body:
                expiry = _day(body["initial_credits_to_load_expiry_date"], now)
            if not has_room(max(credits, ZERO), rate, topup_rate):
                raise invalid("That is more than a wallet can hold.")
            wallet = self._ledger.open(
                customer_id=customer_id,
                currency=currency.lower(),
                wallet_type=kind,
                conversion_rate=rate,
                topup_conversion_rate=topup_rate,
                name=f"{'Prepaid' if kind == 'PRE_PAID' else 'Postpaid'} Wallet - {currency.upper()}",
                config={"allowed_price_types": ["USAGE" if kind == "PRE_PAID" else "ALL"]},
                **{name: body[name] for name in ("description", "metadata", "alert_settings", "auto_topup") if name in body},
            )
            if credits > 0:
                key = f"credit_grant-{secrets.token_hex(8)}"
                self._ledger.claim_key(wallet, key)
                self._ledger.add(wallet, "FREE_CREDIT_GRANT", credits, expiry_date=expiry, **_source(key))
                self._ledger.auto_top_up(wallet)
            return self._view(wallet)

    def _owner(self, customer_id: str, external_id: str) -> str:
        if not customer_id and not external_id:
            raise invalid("A wallet needs a customer.")
        if re.search(r"[% ]", external_id) or re.search(r"[% ]|^_|_$", customer_id):
            raise invalid("The id of the customer has a character that it may not have there.")
        found = customer_id or next((own for own, external in self._customers.items() if external == external_id), None)
        if found is None:
            raise invalid("There is no such customer.", lookup_key=external_id)
        return found

    def _get(self, request: Request, wallet_id: str) -> dict[str, Any]:
        with self._ledger.lock:
            self._ledger.sweep()
            view = self._view(self._wallet(wallet_id))
            return self._cache.setdefault(wallet_id, view) if faults.on("stale-read") else view

    def _update(self, request: Request, wallet_id: str) -> dict[str, Any]:
        body = UPDATE(_json(request))
        with self._ledger.lock:
            self._ledger.sweep()
            wallet = self._wallet(wallet_id)
            alerts = body.get("alert_settings")
            auto_topup = wallet.auto_topup
            if "auto_topup" in body:
                auto_topup = {**(auto_topup or {}), **body["auto_topup"]}
                if auto_topup.get("cooldown", {}).get("value") == 0:
                    del auto_topup["cooldown"]
                _check_auto_topup(auto_topup)
            _check_alerts(alerts or {})
            wallet.auto_topup = auto_topup
            wallet.name = body.get("name") or wallet.name
            wallet.description = body.get("description") or wallet.description
            wallet.metadata = body.get("metadata", wallet.metadata)
            wallet.config = body.get("config") or wallet.config
            if alerts is not None:
                wallet.alert_settings = alerts
                wallet.alert_state = wallet.alert_state if alerts.get("alert_enabled") else "ok"
            wallet.updated_at = self._ledger.clock.tick()
            self._cache.pop(wallet_id, None)
            return self._view(wallet)

    def _balance(self, request: Request, wallet_id: str) -> dict[str, Any]:
        expand = _expand(request.first("expand"))
        with self._ledger.lock:
            self._ledger.sweep()
            return self._view(self._wallet(wallet_id), expand=expand, real_time=True)

    def _terminate(self, request: Request, wallet_id: str) -> dict[str, Any]:
        with self._ledger.lock:
            self._ledger.sweep()
            wallet = self._wallet(wallet_id)
            self._ledger.close(wallet)
            self._cache.pop(wallet_id, None)
            return self._view(wallet)

    def _search(self, request: Request) -> dict[str, Any]:
        body = WALLET_FILTER(_json(request))
        _limits(body)
        expand = _expand(body.get("expand"))
        wanted = set(body.get("wallet_ids", ()))
        with self._ledger.lock:
            self._ledger.sweep()
            items = [
                self._view(wallet, expand=expand)
                for wallet in self._ledger.wallets.values()
                if wallet.wallet_status == body.get("status", wallet.wallet_status) and (not wanted or wallet.id in wanted)
            ]
        return {"pagination": {"total": len(items), "offset": 0, "limit": DEFAULT_LIMIT}, "items": items}

    def _wallets_of_customer(self, request: Request, customer_id: str) -> list[dict[str, Any]]:
        expand = _expand(request.first("expand"))
        with self._ledger.lock:
            self._ledger.sweep()
            return [self._view(wallet, expand=expand) for wallet in self._active(customer_id)]

    def _wallets_by_either_id(self, request: Request) -> list[dict[str, Any]]:
        real_time, _ = (_query_flag(request.first(name) or "") for name in ("include_real_time_balance", "from_cache"))
        expand = _expand(request.first("expand"))
        customer_id, lookup_key = request.first("id"), request.first("lookup_key")
        if bool(customer_id) == bool(lookup_key):
            raise invalid("Give either id or lookup_key.")
        with self._ledger.lock:
            self._ledger.sweep()
            own_id = customer_id or next((own for own, external in self._customers.items() if external == lookup_key), "")
            owners = {wallet.customer_id for wallet in self._ledger.wallets.values()}
            if own_id not in owners | set(self._customers):
                raise Refused(404, "not_found", "There is no such customer.", {"customer": customer_id or lookup_key})
            return [self._view(wallet, expand=expand and real_time, real_time=real_time) for wallet in self._active(own_id)]

    def _active(self, customer_id: str) -> list[Wallet]:
        wallets = self._ledger.wallets.values()
        return [wallet for wallet in wallets if wallet.customer_id == customer_id and wallet.wallet_status == "active"]

    # ------------------------------------------------------------ transactions

    def _top_up(self, request: Request, wallet_id: str) -> dict[str, Any]:
        body = TOP_UP(_json(request))
        reason, bonus, checkout = body["transaction_reason"], body.get("bonus_credits_to_add"), body.get("checkout")
        ledger = self._ledger
        with ledger.lock:
            ledger.sweep()
            wallet = self._wallet(wallet_id)
            now = ledger.clock.tick()
            credits = body.get("credits_to_add", ZERO)
            if not credits:
                rate = wallet.conversion_rate if faults.on("spending-rate") else wallet.topup_conversion_rate
                credits = quotient(body.get("amount", ZERO), rate)
            credits, bonus = rounded(credits, 9), None if bonus is None else rounded(bonus, 9)
            if credits <= 0 or (bonus is not None and bonus <= 0):
                raise invalid("Credits to add must be more than zero.")
            if reason not in TOP_UP_REASONS:
                raise invalid("Not a reason for a top-up.", transaction_reason=reason, allowed_reasons=list(TOP_UP_REASONS))
            expiry = _future(body, "expiry_date_utc", now)
            bonus_expiry = _future(body, "bonus_credits_expiry_date_utc", now)
            if body.get("priority", 0) < 0:
                raise invalid("A priority is not negative.", priority=body["priority"])
            invoiced = reason == "PURCHASED_CREDIT_INVOICED"
            if checkout is not None and (not invoiced or checkout["payment_provider"] != "razorpay"):
                raise invalid("A checkout needs razorpay and a purchase by invoice.")
            if wallet.wallet_status != "active":
                raise forbidden_now("The wallet is closed.", wallet_id=wallet.id)
            if checkout is not None:
                raise forbidden_now("No payment provider is connected for checkouts.")
            total = wallet.credit_balance + credits + (bonus or ZERO)
            if not has_room(total, wallet.conversion_rate, wallet.topup_conversion_rate):
                raise invalid("That is more than a wallet can hold.")
            key = body.get("idempotency_key") or made_up_key()
            ledger.claim_key(wallet, key)
            values = {name: body[name] for name in ("description", "metadata", "priority") if name in body}
            row = ledger.add(wallet, reason, credits, pending=invoiced, expiry_date=expiry, **values, **_source(key))
            if bonus is not None:
                values = {"parent_transaction_id": row.id, "expiry_date": bonus_expiry}
                ledger.add(wallet, "PURCHASED_CREDIT_BONUS", bonus, pending=invoiced, **values)
            if not invoiced:
                ledger.auto_top_up(wallet)
            answer: dict[str, Any] = {"wallet_transaction": self._row_view(row), "wallet": self._view(wallet)}
            if invoiced:
                answer["invoice_id"] = ledger.ulids.make("inv")
            return answer

    def _transactions(self, request: Request, wallet_id: str) -> dict[str, Any]:
        found = {name: request.first(name) for name in ROW_QUERY}
        values = {name: ROW_QUERY[name](text) for name, text in found.items() if text is not None}
        return self._page_of({name: value for name, value in values.items() if value is not None}, wallet_id, ())

    def _search_transactions(self, request: Request) -> dict[str, Any]:
        body = ROW_FILTER(_json(request))
        words = request.first("expand") or body.get("expand") or ""
        expand = tuple(word.strip() for word in words.split(",")) if words else ()
        if any(word not in ROW_EXPANDABLE for word in expand):
            raise invalid("That cannot be expanded.", field="expand")
        return self._page_of(body, body.get("id"), expand)

    def _page_of(self, wanted: dict[str, Any], wallet_id: str | None, expand: tuple[str, ...]) -> dict[str, Any]:
        """One page of the transactions that fit, newest first unless told otherwise."""
        limit, offset = _limits(wanted)
        _check_ranges(wanted)
        with self._ledger.lock:
            self._ledger.sweep()
            rows = self._ledger.rows if not wallet_id else self._ledger.rows_of.get(wallet_id, [])
            rows = [row for row in rows if self._fits(row, wanted)]
            if wanted.get("order") != "asc":
                rows.reverse()
            for condition in reversed(wanted.get("sort", [])):
                rows.sort(key=self._by(condition["field"]), reverse=condition.get("direction") == "desc")
            start = offset - 1 if faults.on("page-overlap") and offset else offset
            text = padded if faults.on("padded-decimals") else plain
            items = [self._row_view(row, expand, text) for row in rows[start : start + limit]]
        return {"pagination": {"total": len(rows), "offset": offset + limit, "limit": limit}, "items": items}

    def _by(self, name: str) -> Callable[[Transaction], Any]:
        """Sorts by a column, empty values last."""

        def key(row: Transaction) -> Any:
            value = self._column_value(row, name)
            return value is None, 0 if value is None else value

        return key

    def _fits(self, row: Transaction, wanted: dict[str, Any]) -> bool:
        get = wanted.get
        created, expires = row.created_at * 1000, None if row.expiry_date is None else row.expiry_date * 1000
        same = all(getattr(row, name) == wanted[name] for name in (*WORDS, "priority") if name in wanted)
        if (
            not same
            or get("status", "published") != "published"
            or row.credits_available <= get("credits_available_gt", Decimal(-1))
        ):
            return False
        if created < get("start_time", created) or created > get("end_time", created):
            return False
        if ("expiry_date_before" in wanted or "expiry_date_after" in wanted) and (
            expires is None or expires > get("expiry_date_before", expires) or expires < get("expiry_date_after", expires)
        ):
            return False
        if get("reference_type") and (row.reference_type, row.reference_id) != (get("reference_type"), get("reference_id")):
            return False
        return all(self._holds(row, condition) for condition in get("filters", ()))

    def _column_value(self, row: Transaction, name: str) -> Any:
        if name in self._origin:
            return self._origin[name]
        if name in ("created_by", "updated_by"):
            return self._user
        return getattr(row, "created_at" if name == "updated_at" else name)

    def _holds(self, row: Transaction, condition: dict[str, Any]) -> bool:
        """Whether one condition of a search holds."""
        operator: str = condition["operator"]
        given: dict[str, Any] = condition["value"]
        value = self._column_value(row, condition["field"])
        if operator in ("in", "not_in"):
            return (_as_text(value) in list(given["array"])) == (operator == "in")
        if operator in ("contains", "not_contains"):
            return (str(given["string"]).lower() in _as_text(value).lower()) == (operator == "contains")
        if operator == "eq" and "string" in given:
            return _as_text(value) == str(given["string"])
        if not isinstance(value, int | Decimal):
            return False
        found: Decimal = Decimal(value)
        limit: Decimal = given["number"] if "number" in given else Decimal(parse_time(given["date"])) / 1000
        if operator in ("gte", "eq"):
            return found == limit or (operator == "gte" and found > limit)
        return found > limit if operator in ("gt", "after") else found < limit

    # ------------------------------------------------------------ views

    def _view(self, wallet: Wallet, *, expand: bool = False, real_time: bool = False) -> dict[str, Any]:
        view: dict[str, Any] = {
            "object": "wallet",
            "id": wallet.id,
            "name": wallet.name,
            "wallet_status": wallet.wallet_status,
            "wallet_type": wallet.wallet_type,
            "customer_id": wallet.customer_id,
            "currency": wallet.currency,
            "credit_balance": plain(wallet.credit_balance),
            "balance": plain(wallet.balance),
            "topup_conversion_rate": plain(wallet.topup_conversion_rate),
            "conversion_rate": plain(wallet.conversion_rate),
            "description": wallet.description,
            "metadata": wallet.metadata,
            "config": wallet.config,
            "alert_state": wallet.alert_state,
            "created_at": stamp(wallet.created_at),
            "created_by": self._user,
            "updated_at": stamp(wallet.updated_at),
            "updated_by": self._user,
            **self._origin,
        }
        if any(level in wallet.alert_settings for level in LEVELS):
            view["alert_settings"] = _numbers(wallet.alert_settings)
        if wallet.auto_topup:
            view["auto_topup"] = _numbers(wallet.auto_topup)
        breakdown = self._ledger.breakdown(wallet) if expand else None
        if breakdown:
            view["credits_available_breakdown"] = breakdown
        if real_time:
            view["real_time_balance"] = plain(wallet.real_time_balance)
            view["real_time_credit_balance"] = plain(wallet.real_time_credits)
            view["current_period_usage"] = "0"
            view["balance_updated_at"] = view["updated_at"]
            view["is_cached_fallback"] = False
            if wallet.wallet_status == "active":
                view["unpaid_invoices_amount"] = "0"
        return view

    def _row_view(self, row: Transaction, expand: tuple[str, ...] = (), text: Callable[[Decimal], str] = plain) -> dict[str, Any]:
        stored = vars(row).items()
        view = {name: value for name, value in stored if value is not None and name not in ("rate", "created_at", "expiry_date")}
        view.update({name: text(getattr(row, name)) for name in DECIMALS})
        view["topup_conversion_rate" if row.type == "credit" else "conversion_rate"] = plain(row.rate)
        view.update(self._origin, created_by=self._user, updated_by=self._user)
        view["created_at"] = view["updated_at"] = stamp(row.created_at)
        if row.expiry_date is not None:
            view["expiry_date"] = stamp(row.expiry_date)
        if "wallet" in expand:
            view["wallet"] = self._view(self._ledger.wallets[row.wallet_id])
        if "customer" in expand and row.customer_id in self._customers:
            view["customer"] = {
                **self._origin,
                "id": row.customer_id,
                "external_id": self._customers[row.customer_id],
                "name": "Test Customer",
                "created_at": self._start,
                "updated_at": self._start,
            }
        if "created_by_user" in expand:
            view["created_by_user"] = {"id": self._user, "type": "service_account", "name": "Backend", "roles": []}
        return view

    def _fill(self) -> None:
        """Four wallets with some credits in them."""
        for index, (customer_id, currency) in enumerate(
            zip([*self._customers, *self._customers], "usd eur jpy gbp".split(), strict=False)
        ):
            body = {"customer_id": customer_id, "currency": currency, "initial_credits_to_load": str(index * 100)}
            self._create(Request("POST", "/v1/wallets", "", Message(), json.dumps(body).encode()))


# ---------------------------------------------------------------- checks


def _json(request: Request) -> Any:
    def refuse(text: str) -> None:
        raise ValueError(text)

    try:
        body = json.loads(request.body.decode(), parse_float=Decimal, parse_constant=refuse)
        json.dumps(body, ensure_ascii=False, default=str).encode()
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise BadValue("not JSON") from error
    return body


def _source(key: str) -> dict[str, Any]:
    return {"idempotency_key": key, "reference_type": "EXTERNAL", "reference_id": key}


def _limits(wanted: dict[str, Any]) -> tuple[int, int]:
    limit, offset = wanted.get("limit", DEFAULT_LIMIT), wanted.get("offset", 0)
    if not 0 <= limit <= LARGEST_LIMIT or offset < 0:
        raise invalid("The page is not acceptable.", limit=limit, offset=offset)
    return limit or DEFAULT_LIMIT, offset


def _check_ranges(wanted: dict[str, Any]) -> None:
    for lower, upper in (("start_time", "end_time"), ("expiry_date_after", "expiry_date_before")):
        if lower in wanted and upper in wanted and wanted[upper] < wanted[lower]:
            raise invalid(f"{upper} is before {lower}.")
    if wanted.get("reference_type") and not wanted.get("reference_id"):
        raise invalid("reference_type needs reference_id.")
    for condition in (*wanted.get("filters", ()), *wanted.get("sort", ())):
        if condition["field"] not in COLUMNS:
            raise invalid("There is no such field.", field=condition["field"])
    for condition in wanted.get("filters", ()):
        given = condition.get("value", {})
        if not any(member in given for member in OPERANDS[condition["operator"]]):
            raise invalid("The value does not suit the operator.", field=condition["field"], operator=condition["operator"])
        if "date" in given:
            parse_time(given["date"])


def _as_text(value: Any) -> str:
    return plain(value) if isinstance(value, Decimal) else str("" if value is None else value)


def _expand(words: str | None) -> bool:
    if words and any(word.strip() != EXPANDABLE for word in words.split(",")):
        raise invalid("That cannot be expanded.", field="expand")
    return bool(words)


def _query_flag(text: str) -> bool:
    if text not in TRUE + FALSE:
        raise BadValue("not a boolean")
    return text in TRUE


def _rate(value: Decimal) -> Decimal:
    """Rates have five digits before the point and five after it."""
    stored = rounded(value, 5)
    if not 0 < stored < 100_000:
        raise invalid("A rate is above zero and below 100000.", rate=plain(value))
    return stored


def _future(body: dict[str, Any], name: str, now: int) -> int | None:
    """Microseconds of a time that must be ahead."""
    if name not in body:
        return None
    micros: int = body[name] // 1000
    if micros <= now:
        raise invalid("The credits would have expired already.", field=name)
    return micros


def _day(date: int, now: int) -> int:
    text = f"{date:08d}"
    nanos = parse_time(f"{text[:4]}-{text[4:6]}-{text[6:]}T00:00:00Z")
    return _future({"initial_credits_to_load_expiry_date": nanos}, "initial_credits_to_load_expiry_date", now) or 0


def _check_auto_topup(settings: dict[str, Any]) -> None:
    if any(name not in settings for name in ("threshold", "amount", "invoicing")):
        raise invalid("Automatic top-ups need threshold, amount and invoicing.")
    if "cooldown" in settings and (settings["cooldown"].get("value", 0) <= 0 or "unit" not in settings["cooldown"]):
        raise invalid("A cooldown needs a value above zero and a unit.")


def _check_alerts(settings: dict[str, Any]) -> None:
    """Levels share a condition, and each is at least as mild as the next one."""
    levels = [settings[name] for name in LEVELS if name in settings]
    if settings.get("alert_enabled") and not levels:
        raise invalid("Alerts need at least one level.")
    if "warning" in settings and "critical" not in settings:
        raise invalid("A warning level needs a critical level.")
    if any(level.get("condition") not in ("above", "below") or "threshold" not in level for level in levels):
        raise invalid("Every level needs a threshold, and above or below as its condition.")
    if len({level["condition"] for level in levels}) > 1:
        raise invalid("All levels need the same condition.")
    thresholds = [level["threshold"] for level in levels]
    if thresholds != sorted(thresholds, reverse=bool(levels) and levels[0]["condition"] == "above"):
        raise invalid("The levels are in the wrong order.")


def _numbers(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with their thresholds as JSON numbers."""
    return {
        name: _numbers(value) if isinstance(value, dict) else as_number(value) if isinstance(value, Decimal) else value
        for name, value in settings.items()
    }
