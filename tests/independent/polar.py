"""Polar: the wallets of a customer, as the customer sees them. Nothing here changes after the start."""

import random
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from . import faults
from .wire import Answer, Request, json_answer, text_answer

VERSIONS = ("2026-04", "2026-10")
SORTING = ("created_at", "-created_at", "balance", "-balance")
SORTING_WORDS = "'created_at', '-created_at', 'balance' or '-balance'"
LARGEST_PAGE = 100
CURRENCIES = "usd eur gbp jpy sek chf cad aud nok dkk pln czk brl krw".split()
BALANCES = (5000, 0, 2500, 2500, -1200, 5000, 2500, 0, 9007199254740993, 5000)
ANY_UUID = re.compile(
    r"(urn:uuid:)?\{?([0-9a-fA-F]{8})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{12})\}?"
)
INTEGER = re.compile(r"([+-]?[0-9]+(?:_[0-9]+)*)(?:\.0*)?")
INVALID_TOKEN = "The access token provided is expired, revoked, malformed, or invalid for other reasons."


@dataclass(frozen=True)
class Session:
    """What a token stands for."""

    customer_id: str
    role: str
    ends_at: float


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, payload: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.answer = json_answer(status, payload, headers)


class Polar:
    """The two operations and their data."""

    def __init__(self) -> None:
        first, second = (str(uuid.uuid4()) for _ in range(2))
        hour = time.time() + 3600
        self._sessions = {
            _token("polar_cst_"): Session(first, "owner", hour * 2),
            _token("polar_mst_"): Session(second, "billing_manager", hour * 2),
            _token("polar_cst_"): Session(first, "owner", time.time() - 60),
            _token("polar_mst_"): Session(second, "member", hour * 2),
        }
        self._wallets = {wallet["id"]: wallet for wallet in _wallets(first, 25) + _wallets(second, 7)}

    def samples(self) -> dict[str, Any]:
        """Tokens to begin with; the last one belongs to a member who may not see wallets."""
        return dict(zip(("token", "other_token", "expired_token", "member_token"), self._sessions, strict=True))

    def answer(self, request: Request) -> Answer:
        """The checks in the order in which the service makes them."""
        version = request.headers.get("Polar-Version") or VERSIONS[0]
        if version not in VERSIONS:
            return json_answer(404, {"detail": "Not Found"})
        try:
            answer = self._operation(request)
        except Refusal as refusal:
            answer = refusal.answer
        except Exception:  # noqa: BLE001
            return text_answer(500, "Internal Server Error")
        answer.headers["Polar-Version"] = version
        answer.headers.setdefault("Cache-Control", "private, no-store")
        answer.headers["X-Polar-Sandbox"] = "1"
        answer.headers["Access-Control-Allow-Origin"] = "*"
        if request.path.startswith("/api/"):
            answer.headers["X-Polar-Deprecation-Notice"] = "The /api prefix is no longer needed."
        return answer

    def _operation(self, request: Request) -> Answer:
        headers = request.headers
        if request.method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers:
            allowed = {"Access-Control-Allow-Methods": "GET", "Access-Control-Allow-Headers": "Authorization, Polar-Version"}
            return text_answer(200, "OK", allowed)
        session = self._session(headers.get("Authorization", ""))
        segments = request.segments[1:] if request.segments[0] == "api" else request.segments
        if segments[:3] != ("v1", "customer-portal", "wallets") or len(segments) > 5:
            raise Refusal(404, {"detail": "Not Found"})
        wallet_id = segments[3] if len(segments) > 3 else None
        if wallet_id is None or (len(segments) == 5 and wallet_id and not segments[4]):
            path = request.path + "/" if wallet_id is None else request.path[:-1]
            query = "?" + request.query_text if request.query_text else ""
            location = f"http://{headers.get('Host', 'localhost')}{path}{query}"
            return Answer(307, headers={"Location": location})
        if len(segments) == 5:
            raise Refusal(404, {"detail": "Not Found"})
        if request.method != "GET":
            raise Refusal(405, {"detail": "Method Not Allowed"}, {"Allow": "GET"})
        if session is None:
            challenge = {} if faults.on("no-challenge") else {"WWW-Authenticate": 'Bearer realm="polar"'}
            raise Refusal(401, {"error": "Unauthorized", "detail": "Unauthorized"}, challenge)
        if session.role == "member":
            detail = "Only owners and billing managers can access billing features."
            raise Refusal(403, {"error": "NotPermitted", "detail": detail})
        if wallet_id:
            return json_answer(200, self._get(session, wallet_id))
        return json_answer(200, self._list(session, request.query))

    def _session(self, authorization: str) -> Session | None:
        """The session of the token, None if there is no bearer token at all."""
        scheme, _, token = authorization.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or not token.isascii():
            return None
        session = self._sessions.get(token)
        if session and (session.ends_at > time.time() or faults.on("expired-session")):
            return session
        headers = {"Cache-Control": "no-store"}
        if not faults.on("no-challenge"):
            challenge = f'Bearer realm="polar", error="invalid_token", error_description="{INVALID_TOKEN}"'
            headers["WWW-Authenticate"] = challenge
        raise Refusal(401, {"error": "invalid_token", "error_description": INVALID_TOKEN}, headers)

    def _get(self, session: Session, text: str) -> dict[str, Any]:
        wallet = self._wallets.get(_wallet_id(text))
        if wallet is None or (wallet["customer_id"] != session.customer_id and not faults.on("foreign-wallet")):
            raise Refusal(404, {"error": "ResourceNotFound", "detail": "Not found"})
        return wallet

    def _list(self, session: Session, query: list[tuple[str, str]]) -> dict[str, Any]:
        errors: list[dict[str, Any]] = []
        page = _positive(query, "page", 1, errors)
        limit = min(_positive(query, "limit", 10, errors), LARGEST_PAGE)
        sorting = [value for name, value in query if name == "sorting"]
        for index, value in enumerate(sorting):
            if value not in SORTING:
                context = {"expected": SORTING_WORDS}
                errors.append(_entry("enum", ["query", "sorting", index], f"Use {SORTING_WORDS}", value, context))
        if errors:
            raise _invalid(errors)
        mine = [wallet for wallet in self._wallets.values() if wallet["customer_id"] == session.customer_id]
        mine.sort(key=lambda wallet: wallet["id"])
        if faults.on("tied-pages"):
            random.Random(page).shuffle(mine)
        for criterion in reversed(sorting or ["-created_at"]):
            mine.sort(key=_by(criterion.lstrip("-")), reverse=criterion[0] == "-")
        max_page = len(mine) // limit + 1 if faults.on("max-page") else -(-len(mine) // limit)
        items = mine[(page - 1) * limit : page * limit]
        return {"pagination": {"max_page": max_page, "total_count": len(mine)}, "items": items}


def _token(prefix: str) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return prefix + "".join(random.SystemRandom().choices(letters, k=43))


def _wallets(customer_id: str, count: int) -> list[dict[str, Any]]:
    """Wallets of one customer, at most two of a currency, many with the same balance."""
    start = datetime(2026, 3, 2, 8, 30, 5, tzinfo=UTC)
    wallets = []
    for index in range(count):
        created = start + timedelta(days=index * 3, microseconds=index % 4 * 101_700)
        wallet = {
            "currency": CURRENCIES[index // 2],
            "balance": BALANCES[index % len(BALANCES)],
            "customer_id": customer_id,
            "id": str(uuid.uuid4()),
            "modified_at": _time(created + timedelta(hours=5)) if index == 3 else None,
            "created_at": _time(created),
        }
        wallets.append(wallet)
    return wallets


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _by(name: str) -> Callable[[dict[str, Any]], Any]:
    def key(wallet: dict[str, Any]) -> Any:
        return wallet[name] if name == "balance" else datetime.fromisoformat(wallet[name])

    return key


def _positive(query: list[tuple[str, str]], name: str, default: int, errors: list[dict[str, Any]]) -> int:
    """An integer above zero; the last of several counts."""
    values = [value for key, value in query if key == name]
    if not values:
        return default
    match = INTEGER.fullmatch(values[-1].strip())
    if not match or len(match[1]) > 4000:
        message = "Input should be a valid integer, unable to parse string as an integer"
        errors.append(_entry("int_parsing", ["query", name], message, values[-1]))
        return default
    number = int(match[1])
    if number <= 0:
        errors.append(_entry("greater_than", ["query", name], "Input should be greater than 0", values[-1], {"gt": 0}))
        return default
    return number


def _wallet_id(text: str) -> str:
    """The usual spelling of an id."""
    match = ANY_UUID.fullmatch(text)
    if not match:
        reason = "neither 32 hexadecimal digits nor such with hyphens"
        message = f"Input should be a valid UUID, {reason}"
        raise _invalid([_entry("uuid_parsing", ["path", "id"], message, text, {"error": reason})])
    if match[4][0] != "4" or match[5][0] not in "89abAB":
        message = "UUID version 4 expected"
        raise _invalid([_entry("uuid_version", ["path", "id"], message, text, {"expected_version": 4})])
    return "-".join(match.groups()[1:]).lower()


def _entry(kind: str, place: list[str | int], message: str, value: str, context: Any = None) -> dict[str, Any]:
    entry = {"type": kind, "loc": place, "msg": message, "input": value}
    return entry if context is None else {**entry, "ctx": context}


def _invalid(errors: list[dict[str, Any]]) -> Refusal:
    return Refusal(422, {"detail": errors, "error": "RequestValidationError"})
