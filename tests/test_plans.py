"""Compiled plans never accept what openapi-core, left as its authors made it, rejects.

Valid messages of all three contracts, taken from the mock itself, are changed at every place in many odd ways. Whatever
a plan still accepts is shown to the library. A plan that rejects too much is only slow, so that is not compared; but a
plan that rejects everything would prove nothing, so the unchanged messages must all be accepted.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema_path import SchemaPath
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.validation.schemas.factories import SchemaValidatorsFactory
from werkzeug.datastructures import Headers, ImmutableMultiDict

from contract_tests.contract import Contract
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.plans import AcceptedBodies, has_long_number
from contract_tests.validation import Validator, is_uuid4
from mock_server.assembly import Mock, Settings, assemble
from mock_server.flexprice.provider import Flexprice
from mock_server.ids import Seed
from mock_server.session_file import FORMAT

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's, on every use of allowEmptyValue

SURROGATE = "\ud800"
DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]

# fmt: off
ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 100, 2**31, 2**63, 10**30, 0.5, 1.0, -0.0, 1e308, float("nan"), float("inf"), -float("inf"),
    "", " ", "0", "1", "-1", "12.5", "1.50", "1e3", "+1", "null", "true", "a", "abc", "é", "日本", "\u0000", "\u0661",
    SURROGATE, f"a{SURROGATE}", "usd", "USD", "us\n", "active", "published", "credit", "PRE_PAID", "asc", "x" * 300,
    "2026-08-22T10:15:30Z", "2026-08-22T10:15:30.123456Z", "2026-08-22T10:15:30Z\n", "2016-12-31T23:59:60Z",
    "0000-01-01T00:00:00Z", "1900-02-30T00:00:00Z", "2026-08-22T24:00:00Z", "2026-08-22t10:15:30z", "2026-08-22",
    "2026-08-22T10:15:30", "2026-08-22T10:15:30+24:00", "2026-08-22T10:15:30.Z", "2026-8-22T10:15:30Z",
    "٢٠٢٦-08-22T10:15:30Z", "9f0c7a44-6a3c-4d5e-8b1a-0123456789ab", "9F0C7A446A3C4D5E8B1A0123456789AB",
    "9f0c7a44-6a3c-1d5e-8b1a-0123456789ab", "wallet_01K3A8QW2M7Z5T9R4V6X8Y0B1C", "wallet_01K3A8QW2M7Z5T9R4V6X8Y0B1C\n",
    "wallet_01K3A8QW2M7Z5T9R4V6X8Y0B1I",
    [], {}, [None], [[]], ["a", 1], {"a": None}, {"a": {"b": []}}, {"code": "not_found"}, DEEP,
]

ODD_TEXTS = [
    "", " ", "0", "1", "01", "-1", "+1", "1 ", " 1", "1.0", "1.5", ".5", "1e3", "1_0", "50", "1000", "1001", "9" * 30, "-0",
    "null", "true", "True", "TRUE", "t", "false", "yes", "nan", "inf", "Infinity", "٣", "１", "é", "%", "\x00", "a\nb", "a,b",
    ",", "asc", "ASC", "credit", "completed", "published", "FREE_CREDIT_GRANT", "created_at", "-created_at", "-balance",
    "balance,", "credits_available_breakdown", " credits_available_breakdown , credits_available_breakdown", "customer",
    "wallet,", "wallet\n", "2026-08-22T10:15:30Z", "2016-12-31T23:59:60Z", "0000-01-01T00:00:00Z", "2026-02-30T00:00:00Z",
    "2026-08-22 10:15:30Z", "2026-08-22T10:15:30+02:00", "2026-08-22T10:15:30 02:00", "2026-08-22",
    "2026-08-22T10:15:30Z\n", "default", "a/b", "..", "-",
    "9f0c7a44-6a3c-4d5e-8b1a-0123456789ab", "{9f0c7a44-6a3c-4d5e-8b1a-0123456789ab}", "9f0c7a44-6a3c-1d5e-8b1a-0123456789ab",
    "urn:uuid:9f0c7a446a3c4d5e8b1a0123456789ab", "x" * 300,
]

CONTENT_TYPES = [
    b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8",
    b"application/json; charset=utf-16", b"application/json; charset=latin-1", b"APPLICATION/JSON",
    b"application/json ;charset=UTF-8", b"application/json, text/plain", b"application/json;", b" application/json",
    b"application/problem+json", b"application/jsonx", b"text/json", b"text/plain", b"text/plain; charset=utf-8", b"*/*", b"",
    b"\xff", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary==x", b"text/plain; a=b=c",
    b'application/json; a="="',
]

ODD_BODIES = [
    b"", b" ", b"null", b"0", b"[]", b"{}", b'""', b"true", b"NaN", b"{", b"{}{}", b"{} x", b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00", b'{"a":1,"a":2}', b'{"a":"\\ud800"}', b'{"a":"\xff"}', b"[" * 2000 + b"]" * 2000, b"1e400",
    b"// x\n{}", b"{'a':1}", b"{\x00}",
]
# fmt: on


class Untouched:
    """openapi-core over one document, without plans; only the format that nobody knows is added.

    It looks at every path for every message, so it gets a document of one path for each.
    """

    HOST = "http://localhost"

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._base = document["servers"][0]["url"].rstrip("/")
        self._cores: dict[str, OpenAPI] = {}

    def _core(self, path: str) -> OpenAPI:
        if path not in self._cores:
            config = Config(spec_validator_cls=None, extra_format_validators={"uuid4": is_uuid4})  # type: ignore[arg-type]
            alone = self._document | {"paths": {path: self._document["paths"][path]}}
            self._cores[path] = OpenAPI(SchemaPath.from_dict(alone, resolved_cache_maxsize=4096), config)
        return self._cores[path]

    def rejects_request(self, key: tuple[str, str], request: Request) -> str | None:
        """The library's first complaint."""
        return self._first(self._core(key[0]).request_validator.iter_errors(_LibraryRequest(self._base, key, request)))

    def rejects_response(self, key: tuple[str, str], response: Response) -> str | None:
        """The library's first complaint."""
        request = _LibraryRequest(self._base, key, Request(key[1], "/"))
        return self._first(self._core(key[0]).response_validator.iter_errors(request, _LibraryResponse(response)))

    @staticmethod
    def _first(errors: Iterator[Exception]) -> str | None:
        try:
            error = next(iter(errors), None)
        except Exception as failure:  # noqa: BLE001 - to stumble over a message is not to accept it
            return f"the library fails: {failure!r}"
        return None if error is None else repr(error.__cause__ or error)


@pytest.fixture(scope="module", autouse=True)
def formats_made_once() -> Iterator[None]:
    """The library copies its checks of formats for every schema that it looks at: half of the time that it takes."""
    make = SchemaValidatorsFactory.get_format_checker
    made: dict[Any, Any] = {}

    def known(factory: Any, formats: Any = None, extra: Any = None) -> Any:
        assert formats is None
        key = (factory, *(extra or {}).items())
        if key not in made:
            made[key] = make(factory, formats, extra)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SchemaValidatorsFactory, "get_format_checker", known)
        yield


class _LibraryRequest:
    """The library's protocol, over the first of repeated headers as its own adapters have it."""

    host_url = Untouched.HOST

    def __init__(self, base: str, key: tuple[str, str], request: Request) -> None:
        headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers])
        self.path = request.path
        self.path_pattern = base + key[0]
        self.method = key[1]
        self.body: bytes | None = request.body or None
        self.content_type = headers.get("content-type", "")
        query = parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True)
        self.parameters = RequestParameters(query=ImmutableMultiDict(query), header=headers, path=dict(request.path_params))


class _LibraryResponse:
    """The library's protocol."""

    def __init__(self, response: Response) -> None:
        self.headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers])
        self.status_code = response.status
        self.data: bytes | None = response.body or None
        self.content_type = self.headers.get("content-type", "")


@dataclass(frozen=True)
class Call:
    """A request of an operation; `operation` None is one that reaches none."""

    operation: str | None
    path: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    target: str = ""


@dataclass
class Subject:
    """A contract under test: its plans, the untouched library, and messages that are valid."""

    contract: Contract
    calls: list[Call]
    exchanges: list[tuple[tuple[str, str], Exchange]] = field(default_factory=list)
    good: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        document = self.contract._merged._document
        self.plans = Validator(document)
        self.library = Untouched(document)

    def key(self, operation: str | None) -> tuple[str, str]:
        """Path pattern and method, as validators name an operation."""
        return (self.contract.operations[operation] if operation else self.contract.unrouted).key

    def declared(self, key: tuple[str, str], status: int) -> dict[str, Any]:
        """What the contract says of a response."""
        document: dict[str, Any] = self.contract._merged._document
        found: dict[str, Any] = document["paths"][key[0]][key[1]]["responses"][str(status)]
        return document["components"]["responses"][found["$ref"].rpartition("/")[2]] if "$ref" in found else found

    def request(self, call: Call) -> Request:
        """The request of a call to an operation, as it reaches the validator."""
        assert call.operation is not None
        operation = self.contract.operations[call.operation]
        headers = [(name.lower().encode(), value.encode()) for name, value in call.headers.items()]
        body = b""
        if call.body is not None:
            body = dumps(call.body)
            headers.append((b"content-type", b"application/json"))
        path = operation.path.format(**{name: quote(value) for name, value in call.path.items()})
        return Request(operation.method, path, call.query.encode(), headers, body, dict(call.path))


def dumps(value: Any) -> bytes:
    """JSON with all that Python writes, lawful or not: NaN, lone surrogates."""
    return json.dumps(value).encode()


def is_lawful(text: bytes) -> bool:
    """Whether a plan may take it anywhere: JSON as the standard has it, with whole numbers of 64 bits."""
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return not has_long_number(text)


ODD_TEXTS_OF_VALUES = [dumps(value) for value in ODD_VALUES]
LAWFUL = [text for text in ODD_TEXTS_OF_VALUES if is_lawful(text)]


def paths(node: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all parts of a JSON value, the whole first."""
    yield here
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, child in items:
        yield from paths(child, (*here, step))


def replaced(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a place."""
    if not place:
        return value
    result = copy.deepcopy(body)
    node = result
    for step in place[:-1]:
        if not isinstance(node, dict | list):
            return result
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return result
    if (isinstance(node, dict) and isinstance(place[-1], str)) or (isinstance(node, list) and place[-1] in range(len(node))):
        node[place[-1]] = value
    return result


def removed(body: Any, place: tuple[Any, ...]) -> Any:
    """A copy without the value at a place."""
    result = copy.deepcopy(body)
    node = result
    for step in place[:-1]:
        node = node[step]
    del node[place[-1]]
    return result


def with_values(texts: list[bytes], body: Any, place: tuple[Any, ...]) -> Iterator[bytes]:
    """A JSON body with each of some values, given as JSON, at a place."""
    # Written once with a mark at the place: the rest of the text is always the same.
    before, after = dumps(replaced(body, place, "\x07here")).split(dumps("\x07here"))
    for text in texts:
        yield before + text + after


def mutations(body: Any, done: frozenset[tuple[Any, ...]] = frozenset()) -> Iterator[bytes]:
    """A JSON body changed in one place, in every way there is here; then bodies that are no such JSON at all."""
    for place in paths(body):
        if place in done:
            continue
        yield from with_values(ODD_TEXTS_OF_VALUES, body, place)
        if place:
            yield dumps(removed(body, place))
        if isinstance(at(body, place), dict):
            yield dumps(replaced(body, (*place, "unknown"), 1))
    raw = dumps(body)
    yield from ODD_BODIES
    yield from (raw[:-1], raw + raw, raw + b" \n", b"\xef\xbb\xbf" + raw, raw.decode().encode("utf-16"), b"[" + raw + b"]")


def at(body: Any, place: tuple[Any, ...]) -> Any:
    """The value at a place."""
    for step in place:
        body = body[step]
    return body


def shortened(body: Any) -> Any:
    """Lists of one item: more of the same prove nothing more."""
    if isinstance(body, dict):
        return {name: shortened(value) for name, value in body.items()}
    return [shortened(item) for item in body[:1]] if isinstance(body, list) else body


def header_mutations(headers: list[tuple[bytes, bytes]], known: set[str]) -> Iterator[list[tuple[bytes, bytes]]]:
    """Each header missing, and those that are known odd, and sent twice with two values; every content type."""
    odd = [b"", b" ", b"x", b"\xff", b"null", b"2026-04", b"2026-10", b"private", b"0", b"-1", b"Bearer", b"Bearer x", b"bearerx"]
    for number, (name, value) in enumerate(headers):
        others = headers[:number] + headers[number + 1 :]
        yield others
        if name.decode() not in known | {"content-type"}:
            continue
        for other in CONTENT_TYPES if name == b"content-type" else odd:
            yield [*others, (name, other)]
            yield [*others, (name, other), (name, value)]
            yield [*others, (name, value), (name, other)]
    for content_type in CONTENT_TYPES:
        yield [*headers, (b"content-type", content_type)]


FLEXPRICE = {"x-api-key": "test"}


def flexprice_calls(personas: dict[str, Any]) -> list[Call]:
    """Every operation, every status that the mock can be brought to."""
    wallet = {name: {"id": persona["ids"]["wallet"]} for name, persona in personas.items()}
    acme = personas["healthy"]["ids"]
    unknown = {"id": "wallet_01K3A8QW2M7Z5T9R4V6X8Y0B1C"}
    new = {"customer_id": "cust_plans", "currency": "USD", "initial_credits_to_load": "12.5", "metadata": {"a": "b"}}
    alerts = {
        "alert_enabled": True,
        "critical": {"condition": "below", "threshold": 1},
        "info": {"condition": "below", "threshold": "5"},
    }
    topup = {"enabled": True, "threshold": 5, "amount": "10", "invoicing": False, "cooldown": {"value": 1, "unit": "day"}}
    debit = {"credits": "1.5", "transaction_reason": "MANUAL_BALANCE_DEBIT", "idempotency_key": "plan", "metadata": {"a": "b"}}
    calls = [
        Call("createWallet", body=new),
        Call("createWallet", body=new),
        Call(
            "createWallet", body={**new, "currency": "eur", "alert_settings": alerts, "auto_topup": topup, "conversion_rate": 2}
        ),
        Call("createWallet", body={"currency": "usd", "external_customer_id": "nobody"}),
        Call("createWallet", body={"currency": "long", "customer_id": "cust_plans"}),
        Call("getWallet", unknown),
        Call("getWallet", wallet["unicode"]),
        Call(
            "updateWallet",
            wallet["low"],
            body={"name": "n", "metadata": {"k": "v"}, "alert_settings": alerts, "auto_topup": topup},
        ),
        Call("updateWallet", wallet["low"], body={"config": {"allowed_price_types": ["ALL"]}, "description": None}),
        Call("updateWallet", wallet["low"], body={"auto_topup": {"cooldown": {"value": -1}}}),
        Call("updateWallet", unknown, body={}),
        Call("getWalletBalance", wallet["healthy"], query="expand=credits_available_breakdown&from_cache=true"),
        Call("getWalletBalance", wallet["closed"]),
        Call("getWalletBalance", wallet["auto-topup"]),
        Call("getWalletBalance", unknown),
        Call("getWalletBalance", wallet["healthy"], query="expand=customer"),
        Call("topUpWallet", wallet["low"], body={"credits_to_add": 5, "transaction_reason": "PURCHASED_CREDIT_INVOICED"}),
        Call(
            "topUpWallet",
            wallet["low"],
            body={
                "amount": "7.5",
                "transaction_reason": "FREE_CREDIT_GRANT",
                "idempotency_key": "plans",
                "bonus_credits_to_add": 1,
                "priority": 3,
                "expiry_date_utc": "2096-01-01T00:00:00Z",
                "metadata": {},
            },
        ),
        Call("topUpWallet", wallet["low"], body={"amount": 1, "transaction_reason": "CREDIT_NOTE", "idempotency_key": "plans"}),
        Call("topUpWallet", wallet["low"], body={"transaction_reason": "CREDIT_NOTE"}),
        Call("topUpWallet", unknown, body={"amount": 1, "transaction_reason": "CREDIT_NOTE"}),
        Call("getWalletTransactions", wallet["healthy"], query="limit=2&order=asc&type=credit&start_time=2026-01-01T00:00:00Z"),
        Call("getWalletTransactions", wallet["expiring"], query="priority=1&credits_available_gt=0.5&status=published"),
        Call("getWalletTransactions", wallet["healthy"], query="reference_type=EXTERNAL"),
        Call("getWalletTransactions", unknown),
        Call("terminateWallet", wallet["double"] if "double" in wallet else wallet["rate-2"]),
        Call("terminateWallet", wallet["closed"]),
        Call("terminateWallet", unknown),
        Call("queryWallet", body={"limit": 2, "status": "active", "expand": "credits_available_breakdown"}),
        Call("queryWallet", body={"wallet_ids": [wallet["closed"]["id"]], "order": "asc", "offset": 0, "sort": None}),
        Call("queryWallet", body={"limit": 0}),
        Call(
            "queryWalletTransaction",
            query="expand=customer,created_by_user,wallet",
            body={
                "limit": 2,
                "id": wallet["healthy"]["id"],
                "filters": [{"field": "type", "operator": "eq", "data_type": "string", "value": {"string": "credit"}}],
                "sort": [{"field": "credit_amount", "direction": "desc"}],
                "end_time": "2096-01-01T00:00:00Z",
            },
        ),
        Call("queryWalletTransaction", body={"sort": [{"field": "nothing"}]}),
        Call("getWalletsByCustomerId", {"id": acme["customer"]}, query="expand=credits_available_breakdown"),
        Call("getWalletsByCustomerId", {"id": acme["customer"]}, query="expand=x"),
        Call(
            "getCustomerWallets", query=f"lookup_key={acme['external_customer']}&include_real_time_balance=true&from_cache=false"
        ),
        Call("getCustomerWallets", query="lookup_key=nobody"),
        Call("getCustomerWallets"),
        Call("listWallets", query=f"limit=2&wallet_ids={acme['wallet']}&wallet_ids=x&status=active&sort=&alert_enabled=true"),
        Call("listWallets", query="offset=-1"),
        Call("getWalletBalanceCached", wallet["busy"], query="expand=credits_available_breakdown"),
        Call("getWalletBalanceCached", wallet["busy"], headers={"x-max-live": "60"}),
        Call("getWalletBalanceCached", unknown),
        Call("getWalletBalanceCached", wallet["busy"], query="expand=x"),
        Call("debitWallet", wallet["busy"], body=debit),
        Call("debitWallet", wallet["busy"], body=debit),
        Call("debitWallet", wallet["busy"], body=debit | {"credits": 0, "description": None}),
        Call("debitWallet", unknown, body=debit),
        Call("modifyWallet", wallet["busy"], body={"modification_type": "prepaid_to_postpaid"}),
        Call("modifyWallet", wallet["busy"], body={"modification_type": "prepaid_to_postpaid"}),
        Call("modifyWallet", wallet["healthy"], body={"modification_type": "prepaid_to_postpaid"}),
        Call("modifyWallet", unknown, body={"modification_type": "prepaid_to_postpaid"}),
        Call(None, target="/v1/nothing"),
        Call(None, target="/v1/wallets", method="DELETE"),
        Call(None, target=f"/v1/wallets/{wallet['low']['id']}/"),
        Call(None, target=f"/v1/wallets/{wallet['low']['id']}/", method="PUT"),
        Call(None, target="/v1/wallets", method="OPTIONS"),
        Call(None, target="/v1/wallets", method="POST", body="x" * Flexprice.max_body),
        Call(None, target="/v1/wallets/x", headers={"x-mock-session": "-"}),
    ]
    refused = [
        Call(call.operation, call.path, call.query, call.body, {"x-api-key": key})
        for key, operations in (
            ("expired", ""),
            ("readonly", "createWallet updateWallet topUpWallet terminateWallet debitWallet modifyWallet"),
        )
        for call in {call.operation: call for call in reversed(calls) if call.operation}.values()
        if not operations or str(call.operation) in operations.split()
    ]
    return [Call(c.operation, c.path, c.query, c.body, FLEXPRICE | dict(c.headers), c.method, c.target) for c in calls] + refused


def polar_calls(personas: dict[str, Any]) -> list[Call]:
    """Both operations, every status that the mock can be brought to."""
    get, listing = "customer_portal:wallets:get", "customer_portal:wallets:list"
    ada, employee, lapsed = (
        {"authorization": f"Bearer {personas[name]['token']}"} for name in ("ada.main", "employee.main", "lapsed.main")
    )
    wallet = {"id": personas["ada.modified"]["ids"]["wallet"]}
    huge = {"id": personas["ada.huge"]["ids"]["wallet"]}
    unknown = {"id": "9f0c7a44-6a3c-4d5e-8b1a-0123456789ab"}
    return [
        Call(listing, headers=ada),
        Call(listing, query="page=2&limit=2&sorting=-balance&sorting=created_at", headers=ada),
        Call(listing, query="limit=0&sorting=x", headers=ada),
        Call(listing, headers=employee),
        Call(listing, headers=lapsed),
        Call(listing),
        Call(get, wallet, headers=ada),
        Call(get, huge, headers=ada),
        Call(get, unknown, headers=ada),
        Call(get, {"id": "x"}, headers=ada),
        Call(get, wallet, headers=employee),
        Call(get, wallet),
        Call(None, target="/v1/customer-portal/nothing", headers=ada),
        Call(None, target="/v1/customer-portal/wallets/", method="POST", headers=ada),
        Call(None, target="/v1/customer-portal/wallets", headers=ada),
        Call(None, target="/v1/customer-portal/wallets/", headers=lapsed),
        Call(None, target="/v1/customer-portal/wallets/", headers=ada | {"x-mock-session": "-"}),
        Call(
            None,
            target="/v1/customer-portal/wallets/",
            method="OPTIONS",
            headers={"origin": "http://localhost:3000", "access-control-request-method": "GET"},
        ),
    ]


FIRST_MESSAGE = Seed(1).id("msg", 1_798_761_600_000, "message", 1)  # of a session that stands at the beginning of 2027


def control_calls(mock: Mock) -> list[Call]:
    """Every control."""
    opening: Any = mock.casts["flexprice"].opening  # type: ignore[attr-defined]
    credit = opening.account(opening.persona_ids["busy"]).transactions[0].id
    debit = opening.account(opening.persona_ids["healthy"]).transactions[-1].id
    at = "2026-11-21T12:00:00Z"
    started = mock.origin.model_dump(mode="json")
    file = {"format": FORMAT, "session": "s", "origin": started, "at": at, "requests": 0, "defects": []}
    return [
        Call("health"),
        Call("docs"),
        Call("sessions"),
        Call("createSession", body={"name": "made", "clock": "frozen:2026-11-21T12:00:00Z"}),
        Call("createSession", body={"name": "made"}),
        Call("createSession", body={"clock": "stopped"}),
        Call("session", {"session": "made"}),
        Call("session", {"session": "nobody"}),
        Call("clock", {"session": "made"}),
        Call("putClock", {"session": "made"}, body={"clock": "frozen:2026-11-22T12:00:00Z"}),
        Call("putClock", {"session": "made"}, body={"clock": "frozen:2026-11-21T12:00:00Z"}),
        Call("putClock", {"session": "made"}, body={"clock": "frozen:now"}),
        Call("advanceClock", {"session": "made"}, body={"by": "1h"}),
        Call("advanceClock", {"session": "made"}, body={"by": "-1h"}),
        Call("advanceClock", {"session": "made"}, body={"to": "2020-01-01T00:00:00Z"}),
        Call("putSnapshot", {"session": "made", "snapshot": "s"}),
        Call("snapshots", {"session": "made"}),
        Call("restoreSnapshot", {"session": "made", "snapshot": "s"}),
        Call("restoreSnapshot", {"session": "made", "snapshot": "none"}),
        Call("deleteSnapshot", {"session": "made", "snapshot": "s"}),
        Call("deleteSnapshot", {"session": "made", "snapshot": "s"}),
        Call("undo", {"session": "made"}, body={"events": 1}),
        Call("undo", {"session": "made"}, body={"events": 100}),
        Call("events", {"session": "made"}, query="after=1&limit=5"),
        Call("exportSession", {"session": "made"}),
        Call("importSession", {"session": "made"}, body={**file, "events": []}),
        Call("importSession", {"session": "made"}, body={**file, "events": [{"kind": "none"}]}),
        Call("importSession", {"session": "made"}, body={**file, "origin": {**started, "seed": 2}, "events": []}),
        Call("deleteSession", {"session": "made"}),
        Call("deleteSession", {"session": "made"}),
        Call("personas"),
        Call("defects"),
        Call("sessionDefects", {"session": "plans"}),
        Call("putSessionDefects", {"session": "plans"}, body={"defects": ["balance-as-number"]}),
        Call("member", {"provider": "flexprice", "index": "3"}),
        Call("member", {"provider": "polar", "index": "0"}),
        Call("member", {"provider": "polar", "index": "99999"}),
        Call("member", {"provider": "polar", "index": "x"}),
        Call("journal", {"session": "plans"}, query="limit=1000"),
        Call("journal", {"session": "plans"}, query="operation=nothing"),
        Call("journalEntry", {"session": "plans", "number": "1"}),
        Call("journalEntry", {"session": "plans", "number": "1000000"}),
        Call("verify", {"session": "plans"}, body={"operation": "getWallet"}),
        Call("verify", {"session": "plans"}, body={"operation": "topUpWallet", "times": 50, "where": {"body": {"a": [1]}}}),
        Call("clearJournal", {"session": "plans"}),
        Call("resetSession", {"session": "plans"}),
        Call("resetSession", {"session": "-"}),
        Call("scenarios"),
        Call("startScenario", {"session": "plans"}, body={"name": "drained"}),
        Call("startScenario", {"session": "plans"}, body={"name": "drained"}),
        Call("startScenario", {"session": "plans"}, body={"name": "none"}),
        Call("startScenario", {"session": "plans"}, body={"text": "scenario: mine"}),
        Call("faults"),
        Call("addSessionFault", {"session": "plans"}, body={"fault": "error", "code": 503, "times": 2, "name": "f"}),
        Call("addSessionFault", {"session": "plans"}, body={"fault": "delay", "delay": {"uniform": ["1ms", "2ms"]}}),
        Call("addSessionFault", {"session": "plans"}, body={"fault": "error"}),
        Call("addSessionFault", {"session": "plans"}, body={"fault": "reset", "times": 0}),
        Call("sessionFaults", {"session": "plans"}),
        Call("putSessionFaults", {"session": "plans"}, body={"faults": [{"fault": "cut"}]}),
        Call("putSessionFaults", {"session": "plans"}, body={"faults": [{"fault": "reset", "provider": "none"}]}),
        Call("clearSessionFault", {"session": "plans", "name": "f"}),
        Call("clearSessionFaults", {"session": "plans"}),
        Call("sessionScenarios", {"session": "plans"}),
        Call("stopScenario", {"session": "plans", "scenario": "drained"}),
        Call("stopScenario", {"session": "plans", "scenario": "drained"}),
        Call("stopScenarios", {"session": "plans"}),
        Call("polarCustomers", {"session": "plans"}),
        Call("addPolarCustomer", {"session": "plans"}, body={"name": "planner"}),
        Call("addPolarCustomer", {"session": "plans"}, body={"name": "planner"}),
        Call("addPolarWallet", {"session": "plans", "customer": "planner"}, body={"balance": 5}),
        Call("addPolarWallet", {"session": "plans", "customer": "planner"}, body={}),
        Call("addPolarWallet", {"session": "plans", "customer": "nobody"}, body={}),
        Call("issuePolarToken", {"session": "plans", "customer": "planner"}, body={"expires_in": "90 minutes"}),
        Call("issuePolarToken", {"session": "plans", "customer": "planner"}, body={"expires_in": "soon"}),
        Call("expirePolarTokens", {"session": "plans", "customer": "planner"}),
        Call("setPolarBalance", {"session": "plans", "wallet": "planner.usd"}, body={"balance": -3}),
        Call("addPolarTransaction", {"session": "plans", "wallet": "planner.usd"}, body={"amount": 40}),
        Call("walletState", {"session": "plans", "wallet": "healthy"}),
        Call("walletState", {"session": "plans", "wallet": "none"}),
        Call("changeWallet", {"session": "plans", "wallet": "healthy"}, body={"credit_balance": "12.5", "usage": 3}),
        Call("changeWallet", {"session": "plans", "wallet": "healthy"}, body={"usage_rate": {"amount": 1, "per": "hour"}}),
        Call("changeWallet", {"session": "plans", "wallet": "closed"}, body={"status": "active"}),
        Call("changeWallet", {"session": "plans", "wallet": "healthy"}, body={"auto_topup": None, "alert_settings": {}}),
        Call("addUsage", {"session": "plans", "wallet": "low"}, body={"amount": 1.25}),
        Call("addUsage", {"session": "plans", "wallet": "low"}, body={"amount": "0"}),
        Call("createInvoice", {"session": "plans", "wallet": "low"}, body={"amount": 20, "usage": 5, "paid": 1}),
        Call("createInvoice", {"session": "plans", "wallet": "low"}, body={"amount": 2, "paid": 2}),
        Call("walletInvoices", {"session": "plans", "wallet": "low"}),
        Call("payInvoice", {"session": "plans", "wallet": "low", "invoice": "latest"}, body={"amount": "1"}),
        Call("voidInvoice", {"session": "plans", "wallet": "low", "invoice": "latest"}),
        Call("voidInvoice", {"session": "plans", "wallet": "low", "invoice": "none"}),
        Call("payInvoice", {"session": "plans", "wallet": "pending", "invoice": "latest"}),
        Call("refundTransaction", {"session": "plans", "wallet": "healthy", "transaction": debit}, body={"credits": 1}),
        Call("expireCredits", {"session": "plans", "wallet": "busy", "transaction": credit}),
        Call("expireCredits", {"session": "plans", "wallet": "low", "transaction": "none"}),
        Call("refundTransaction", {"session": "plans", "wallet": "low", "transaction": "none"}, body={"credits": 1}),
        Call("putWebhooks", {"session": "hooks"}, body={"enabled": False}),
        Call("putClock", {"session": "hooks"}, body={"clock": "frozen:2027-01-01T00:00:00Z"}),
        Call("putWebhooks", {"session": "hooks"}, body={"url": None, "delay": "1m", "types": ["wallet.transaction.created"]}),
        Call("changeWallet", {"session": "hooks", "wallet": "healthy"}, body={"credit_balance": "1"}),
        Call("webhooks", {"session": "hooks"}),
        Call("webhookMessages", {"session": "hooks"}),
        Call("resendWebhook", {"session": "hooks", "message": FIRST_MESSAGE}),
        Call("drainWebhooks", {"session": "hooks"}),
        Call("resendWebhook", {"session": "hooks", "message": "msg_" + "0" * 26}),
        Call("putWebhooks", {"session": "hooks"}, body={"url": "http://hooks.example/", "secret": "whsec_dGVzdA=="}),
        Call("putWebhooks", {"session": "hooks"}, body={"url": "http://localhost:9/", "enabled": False, "reorder": True}),
        Call("webhooks", {"session": "hooks"}),
        Call("deleteWebhooks", {"session": "hooks"}),
        Call(None, target="/_mock/nothing"),
        Call(None, target="/_mock/health", method="POST"),
        Call(None, target="/_mock/health/"),
        Call(None, target="/_mock/health", headers={"origin": "http://elsewhere.example"}),
    ]


async def exchanges(app: Any, subject: Subject) -> list[tuple[tuple[str, str], Exchange]]:
    """What the mock answers to the calls of a contract."""
    result = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for call in subject.calls:
            operation = subject.contract.operations[call.operation] if call.operation else None
            target = call.target or operation.path.format(**{n: quote(v) for n, v in call.path.items()})  # type: ignore[union-attr]
            method = operation.method if operation else call.method
            sent = httpx.Request(
                method,
                f"http://localhost{target}" + (f"?{call.query}" if call.query else ""),
                json=call.body,
                headers={"x-mock-session": "plans"} | dict(call.headers),
            )
            got = await client.send(sent)
            headers = [(name.lower(), value) for name, value in got.headers.raw]
            response = Response(got.status_code, headers, got.content)
            # What fails before any operation is known is held to what the contract says of such answers.
            key = subject.key(call.operation if str(got.status_code) in responses(subject, call.operation) else None)
            result.append((key, Exchange(Request(method, target), response)))
    return result


def responses(subject: Subject, operation: str | None) -> dict[str, Any]:
    """The responses that the contract has for an operation."""
    path, method = subject.key(operation)
    found: dict[str, Any] = subject.contract._merged._document["paths"][path][method]["responses"]
    return found


def with_made_up(subject: Subject) -> None:
    """Statuses that the mock was not brought to, in the words of another status or operation."""
    texts = {
        ("flexprice", "500"): b'{"code":"internal_error","message":"m","http_status_code":500,"details":{"a":{}}}',
        ("flexprice", "413"): b'{"code":"validation_error","message":"m","http_status_code":413}',
        ("polar", "500"): b"Internal Server Error",
        ("polar", "429"): b"",
        ("control", "500"): b'{"error":"internal_error","message":"m"}',
    }
    known = {(key, exchange.response.status) for key, exchange in subject.exchanges}
    by_status = {exchange.response.status: exchange for _, exchange in subject.exchanges}
    for operation in [*subject.contract.operations, None]:
        key = subject.key(operation)
        for status in responses(subject, operation):
            if (key, int(status)) in known:
                continue
            body = texts.get((subject.contract.name, status))
            if body is None:
                similar = by_status.get(int(status), by_status.get(400, by_status.get(404)))
                assert similar is not None
                body = similar.response.body
            content_type = b"text/plain; charset=utf-8" if body.startswith(b"Internal") else b"application/json"
            headers = [(b"x-request-id", b"r"), (b"polar-version", b"2026-04"), (b"cache-control", b"private, no-store")]
            headers += [(b"www-authenticate", b"Bearer"), (b"retry-after", b"60"), (b"location", b"/"), (b"allow", b"GET")]
            response = Response(int(status), [*headers, (b"content-type", content_type)], body)
            subject.exchanges.append((key, Exchange(Request("GET", "/"), response)))


@pytest.fixture(scope="module")
def subjects() -> dict[str, Subject]:
    """All three contracts with valid exchanges of every operation and status."""
    mock = assemble(Settings())
    cast = {name: {p.name: {"ids": p.ids, "token": p.token} for p in members.personas()} for name, members in mock.casts.items()}
    contracts = {**mock.contracts, "control": Contract.load("control", ROOT / "openapi" / "control.yaml")}
    calls = {
        "flexprice": flexprice_calls(cast["flexprice"]),
        "polar": polar_calls(cast["polar"]),
        "control": [replace(call, headers={"x-control-token": "t", **call.headers}) for call in control_calls(mock)],
    }
    result = {name: Subject(contract, calls[name]) for name, contract in contracts.items()}

    async def gather() -> None:
        for subject in result.values():
            subject.exchanges = await exchanges(mock.app, subject)

    asyncio.run(gather())
    for subject in result.values():
        with_made_up(subject)
    return result


NAMES = ["flexprice", "polar", "control"]


def unsound_responses(subject: Subject, cases: Iterator[tuple[tuple[str, str], Response]]) -> tuple[int, int, list[str]]:
    """How many responses were judged, how many of them a plan accepted, and which of those the library rejects."""
    judged = accepted = 0
    wrong = []
    seen = set()
    for key, response in cases:
        judged += 1
        try:
            if not subject.plans.response_ok(key, response):
                continue
        except Exception as failure:  # noqa: BLE001 - a plan may stand aside, never fail
            wrong.append(f"{key} {response.status} {response.headers} {response.body[:300]!r}: the plan fails: {failure!r}")
            continue
        accepted += 1
        case = (key, response.status, tuple(response.headers), response.body)
        if case in seen:
            continue
        seen.add(case)
        complaint = subject.library.rejects_response(key, response)
        if complaint:
            wrong.append(f"{key} {response.status} {response.headers} {response.body[:300]!r}: {complaint}")
    return judged, accepted, wrong


@pytest.mark.parametrize("name", NAMES)
def test_plans_accept_every_answer_of_the_mock(subjects: dict[str, Subject], name: str) -> None:
    """Each operation and status has a valid answer, taken by plan and by library."""
    subject = subjects[name]
    declared = {
        (subject.key(operation), int(status))
        for operation in [*subject.contract.operations, None]
        for status in responses(subject, operation)
    }
    rejected = []
    for key, exchange in subject.exchanges:
        response = exchange.response
        complaint = subject.library.rejects_response(key, response)
        assert complaint is None, f"{key} {response.status} {response.body[:300]!r}: {complaint}"
        if not subject.plans.response_ok(key, response) and not has_long_number(response.body):
            rejected.append((key[0], response.status, dict(response.headers).get(b"content-type")))

    assert {(key, exchange.response.status) for key, exchange in subject.exchanges} == declared
    # Without a plan: plain text, a header that is a number (Retry-After), and whole numbers that may exceed 64 bits.
    assert [r for r in rejected if r[2] != b"text/plain; charset=utf-8" and r[1] != 429] == []


def deep_in_free(subject: Subject, key: tuple[str, str], response: Response, body: Any) -> set[tuple[Any, ...]]:
    """All but the first of the places below one that takes whatever is JSON, as bodies in a journal do: they take all alike.

    The library is asked about that place itself, so a plan that takes too much there is found all the same.
    """

    def takes(text: bytes) -> bool:
        return subject.plans.response_ok(key, Response(response.status, response.headers, text))

    deep: set[tuple[Any, ...]] = set()
    for place in paths(body):
        if place and place not in deep and all(map(takes, with_values(LAWFUL, body, place))):
            deep.update([longer for longer in paths(body) if longer[: len(place)] == place and len(longer) > len(place)][1:])
    return deep


@pytest.mark.parametrize(("name", "least"), [("flexprice", 20_000), ("polar", 2_000), ("control", 1_000)])
def test_mutated_response_bodies(subjects: dict[str, Subject], name: str, least: int) -> None:
    """A body changed at any one place is never accepted by a plan against the library."""
    subject = subjects[name]

    def cases() -> Iterator[tuple[tuple[str, str], Response]]:
        done: dict[Any, set[tuple[Any, ...]]] = {}
        for key, exchange in subject.exchanges:
            response = exchange.response
            content_type = dict(response.headers).get(b"content-type", b"")
            if not response.body or not content_type.startswith(b"application/json"):
                continue
            body = shortened(json.loads(response.body))
            # Operations share schemas: a place in a schema is enough once.
            places = done.setdefault(json.dumps(subject.declared(key, response.status)["content"]), set())
            if places.issuperset(paths(body)):
                continue
            for mutated in mutations(body, frozenset(places | deep_in_free(subject, key, response, body))):
                yield key, Response(response.status, response.headers, mutated)
            places.update(paths(body))

    judged, accepted, wrong = unsound_responses(subject, cases())

    assert wrong == []
    assert judged > least
    assert accepted > least / 20


@pytest.mark.parametrize("name", NAMES)
def test_mutated_response_headers(subjects: dict[str, Subject], name: str) -> None:
    """A header that is missing, odd or sent twice is never accepted by a plan against the library."""
    subject = subjects[name]

    def cases() -> Iterator[tuple[tuple[str, str], Response]]:
        done = set()
        for key, exchange in subject.exchanges:
            response = exchange.response
            declared = subject.declared(key, response.status)
            known = {header.lower() for header in declared.get("headers", ())}
            if (response.status, *sorted(known)) not in done:
                done.add((response.status, *sorted(known)))
                for headers in header_mutations(list(response.headers), known):
                    yield key, Response(response.status, headers, response.body)

    judged, accepted, wrong = unsound_responses(subject, cases())

    assert wrong == []
    assert judged > 400
    assert accepted > 100


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_many_mutations_at_once(subjects: dict[str, Subject], name: str, data: st.DataObject) -> None:
    """A body changed at several places, by odd values or by parts of other bodies, is judged alike."""
    subject = subjects[name]
    bodies = [
        (key, exchange.response, json.loads(exchange.response.body))
        for key, exchange in subject.exchanges
        if exchange.response.body[:1] in (b"{", b"[")
    ]
    key, response, body = data.draw(st.sampled_from(bodies), label="body")
    body = shortened(body)
    for _ in range(data.draw(st.integers(2, 5), label="changes")):
        place = data.draw(st.sampled_from(list(paths(body))), label="place")
        other = data.draw(st.sampled_from(bodies), label="other")[2]
        value = data.draw(st.sampled_from([*ODD_VALUES, *(at(other, p) for p in paths(shortened(other)))]), label="value")
        body = replaced(body, place, copy.deepcopy(value))
    changed = Response(response.status, response.headers, dumps(body))
    _, _, wrong = unsound_responses(subject, iter([(key, changed)]))

    assert wrong == []


def unsound_requests(subject: Subject, cases: Iterator[tuple[tuple[str, str], Request]]) -> tuple[int, int, list[str]]:
    """As for responses."""
    judged = accepted = 0
    wrong = []
    for key, request in cases:
        judged += 1
        shown = (request.path_params, request.query_string, request.headers, request.body[:300])
        try:
            if not subject.plans.request_ok(key, request):
                continue
        except Exception as failure:  # noqa: BLE001 - a plan may stand aside, never fail
            wrong.append(f"{key} {shown}: the plan fails: {failure!r}")
            continue
        accepted += 1
        complaint = subject.library.rejects_request(key, request)
        if complaint:
            wrong.append(f"{key} {shown}: {complaint}")
    return judged, accepted, wrong


def good_calls(subject: Subject) -> list[Call]:
    """The calls to an operation that the contract allows."""
    if not subject.good:
        subject.good = [
            call
            for call in subject.calls
            if call.operation and not subject.library.rejects_request(subject.key(call.operation), subject.request(call))
        ]
    return subject.good


@pytest.mark.parametrize(("name", "least"), [("flexprice", 25), ("polar", 6), ("control", 3)])
def test_plans_accept_every_valid_request(subjects: dict[str, Subject], name: str, least: int) -> None:
    """Each operation has valid requests, taken by its plan."""
    subject = subjects[name]
    calls = good_calls(subject)
    rejected = [call for call in calls if not subject.plans.request_ok(subject.key(call.operation), subject.request(call))]

    assert rejected == []
    assert {call.operation for call in calls} | {"resetSession"} >= set(subject.contract.operations)
    assert len(calls) >= least


def parameters(subject: Subject, operation: str) -> list[dict[str, Any]]:
    """The parameters of an operation."""
    path, method = subject.key(operation)
    item = subject.contract.merged["paths"][path]
    declared = item.get("parameters", []) + item[method].get("parameters", [])
    shared = subject.contract.merged["components"].get("parameters", {})
    return [shared[entry["$ref"].rpartition("/")[2]] if "$ref" in entry else entry for entry in declared]


def first_good_call(subject: Subject, operation: str) -> Call:
    """A call to vary."""
    credentials = {"flexprice": FLEXPRICE, "polar": {"authorization": "Bearer x"}, "control": {"x-control-token": "t"}}
    call = next((c for c in good_calls(subject) if c.operation == operation), None)
    call = call or next(c for c in subject.calls if c.operation == operation)
    return Call(operation, call.path, call.query, call.body, credentials[subject.contract.name])


@pytest.mark.parametrize(("name", "least"), [("flexprice", 4_000), ("polar", 500), ("control", 200)])
def test_odd_parameters(subjects: dict[str, Subject], name: str, least: int) -> None:
    """A parameter that is odd, empty, missing or repeated is never accepted by a plan against the library."""
    subject = subjects[name]

    def cases() -> Iterator[tuple[tuple[str, str], Request]]:
        for operation in subject.contract.operations:
            key = subject.key(operation)
            call = first_good_call(subject, operation)
            whole = subject.request(call)
            declared = parameters(subject, operation)
            for parameter in [*declared, {"in": "query", "name": "unknown"}, {"in": "header", "name": "unknown"}]:
                where, called = parameter["in"], parameter["name"]
                for text in ODD_TEXTS if called != "unknown" else ("", "1", "\x00", "é"):
                    if where == "path":
                        path_params = dict(call.path) | {called: text}
                        yield key, Request(whole.method, whole.path, whole.query_string, whole.headers, whole.body, path_params)
                    elif where == "query":
                        encoded = f"{quote(called)}={quote(text)}"
                        yield key, with_query(whole, f"{call.query}&{encoded}" if called not in call.query else encoded)
                        yield key, with_query(whole, f"{encoded}&{encoded}")
                        yield key, with_query(whole, f"{encoded}&{quote(called)}=asc")
                    else:
                        raw = (called.lower().encode(), text.replace("\n", " ").encode("utf-8"))
                        yield key, with_headers(whole, [*whole.headers, raw])
            yield key, Request(whole.method, whole.path, b"", whole.headers, whole.body, {})
            yield key, with_query(whole, "&".join(quote(parameter["name"]) for parameter in declared))
            known = {"x-api-key", "authorization", "x-control-token"} if call.body is None else {"x-api-key"}
            for headers in header_mutations(list(whole.headers), known):
                yield key, with_headers(whole, headers)

    judged, accepted, wrong = unsound_requests(subject, cases())

    assert wrong == []
    assert judged > least
    assert accepted > 10


def with_query(request: Request, query: str) -> Request:
    """A request with another query."""
    raw = query.encode("utf-8")
    return Request(request.method, request.path, raw, request.headers, request.body, request.path_params)


def with_headers(request: Request, headers: list[tuple[bytes, bytes]]) -> Request:
    """A request with other headers."""
    return Request(request.method, request.path, request.query_string, headers, request.body, request.path_params)


def test_mutated_request_bodies(subjects: dict[str, Subject]) -> None:
    """A request body changed at any one place is never accepted by a plan against the library."""
    subject = subjects["flexprice"]

    def cases() -> Iterator[tuple[tuple[str, str], Request]]:
        for call in good_calls(subject):
            if call.body is None:
                continue
            request = subject.request(call)
            for mutated in mutations(call.body):
                yield (
                    subject.key(call.operation),
                    Request(request.method, request.path, request.query_string, request.headers, mutated, request.path_params),
                )

    judged, accepted, wrong = unsound_requests(subject, cases())

    assert wrong == []
    assert judged > 8_000
    assert accepted > 500


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_many_odd_parameters_at_once(subjects: dict[str, Subject], name: str, data: st.DataObject) -> None:
    """Any combination of parameters, repeated ones included, is judged alike."""
    subject = subjects[name]
    operation = data.draw(st.sampled_from(sorted(subject.contract.operations)), label="operation")
    call = first_good_call(subject, operation)
    whole = subject.request(call)
    declared = parameters(subject, operation)
    names = [parameter["name"] for parameter in declared if parameter["in"] == "query"] or ["page"]
    sent = data.draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(ODD_TEXTS)), max_size=6), label="query")
    request = with_query(whole, "&".join(f"{quote(called)}={quote(text)}" for called, text in sent))
    if call.body is not None:
        place = data.draw(st.sampled_from(list(paths(call.body))), label="place")
        body = replaced(call.body, place, data.draw(st.sampled_from(ODD_VALUES), label="value"))
        request = Request(whole.method, whole.path, request.query_string, whole.headers, dumps(body), whole.path_params)
    _, _, wrong = unsound_requests(subject, iter([(subject.key(operation), request)]))

    assert wrong == []


# Schemas that are easy to get wrong: where two versions, two validators or two languages differ.
TRAPS: list[dict[str, Any]] = [
    {"type": "string", "nullable": True},
    {"type": "string", "nullable": True, "enum": ["a", "0"]},
    {"type": "string", "nullable": True, "enum": ["a", None]},
    {"nullable": True, "enum": ["a"]},
    {"enum": [1, "a", False]},
    {"enum": [0]},
    {"type": "integer"},
    {"type": "integer", "format": "int32"},
    {"type": "integer", "format": "int64"},
    {"type": "number", "format": "float"},
    {"type": "number", "multipleOf": 0.5},
    {"type": "number", "minimum": 0},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "date-time"},
    {"format": "date-time"},
    {"type": "string", "format": "date-time", "nullable": True},
    {"type": "string", "format": "date-time", "pattern": "Z$"},
    {"type": "string", "format": "byte"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "uuid4"},
    {"type": "string", "format": "email"},
    {"type": "string", "format": "ipv4"},
    {"type": "string", "format": "uri"},
    {"type": "string", "format": "regex"},
    {"type": "string", "pattern": "^[a-z]{3}$"},
    {"type": "string", "pattern": r"^\d+$"},
    {"type": "string", "pattern": r"^\w+$"},
    {"type": "string", "pattern": "a"},
    {"type": "string", "pattern": r"^(a)\1$|^(?!x)..$"},
    {"type": "string", "maxLength": 1},
    {"type": "string", "minLength": 2},
    {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "minItems": 1},
    {"type": "array", "uniqueItems": True, "items": {}},
    {"type": "object", "required": ["a"], "additionalProperties": False, "properties": {"a": {}}},
    {
        "type": "object",
        "properties": {"nullable": {"type": "integer"}, "format": {"type": "integer"}, "type": {"type": "integer"}},
    },
    {"type": "object", "additionalProperties": {"type": "object"}},
    {"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {"nullable": True, "type": "string"}}}]},
    {"oneOf": [{"type": "number"}, {"type": "integer"}, {"type": "string", "maxLength": 1}]},
    {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]},
    {"not": {"type": "string", "format": "date-time"}},
    {"not": {"nullable": True, "type": "string"}},
    {"$ref": "#/components/schemas/Named"},
    {"$ref": "#/components/schemas/Named", "type": "integer"},
    {"allOf": [{"$ref": "#/components/schemas/Named"}], "nullable": True},
    {"$ref": "#/components/schemas/Recursive"},
]
TRAPS_31: list[dict[str, Any]] = [
    {"type": ["string", "null"], "enum": ["a", None]},
    {"const": 1},
    {"const": {"nullable": True}},
    {"type": "number", "exclusiveMinimum": 0},
    {"type": "string", "nullable": True},
    {"type": "object", "unevaluatedProperties": False, "properties": {"a": {}}},
    {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
    {"type": "array", "contains": {"type": "integer"}, "minContains": 2},
    {"if": {"type": "string"}, "then": {"maxLength": 1}},
    {"type": "object", "propertyNames": {"maxLength": 1}},
    {"type": "object", "dependentRequired": {"a": ["b"]}},
    {"type": ["string", "null"], "format": "date-time"},
]
TRAPS_30: list[dict[str, Any]] = [
    {"type": "number", "minimum": 0, "exclusiveMinimum": True},
    {"type": "number", "maximum": 1, "exclusiveMaximum": True},
]

# fmt: off
TRAP_VALUES = [
    *ODD_VALUES,
    {"nullable": "x"}, {"nullable": True}, {"format": "x"}, {"type": "x"}, {"a": "b"}, {"a": 1, "b": 2}, {"ab": 1},
    [1, 1.0], [0, False], ["a", "a"], [1, 2], ["a"], ["a", "b"], [[1], [1]], [{"a": 1}, {"a": 1}], {"next": {"next": None}},
    "aa", "ab", "xy", "a\n", "1\n", "💶", "e\u0301", "2026-08-22", "aGk=", "127.0.0.1", "a@b", "(", 1.5, 2**31 - 1, 1e16,
]
# fmt: on


def trap_document(version: str, traps: list[dict[str, Any]]) -> dict[str, Any]:
    """A document with one operation per schema."""
    content = [{"application/json": {"schema": schema}} for schema in traps]
    return {
        "openapi": version,
        "info": {"title": "traps", "version": "1"},
        "servers": [{"url": "/"}],
        "paths": {
            f"/{number}": {"post": {"requestBody": {"content": part}, "responses": {"200": {"description": "", "content": part}}}}
            for number, part in enumerate(content)
        },
        "components": {
            "schemas": {
                "Named": {"type": "string", "maxLength": 2},
                "Recursive": {
                    "type": "object",
                    "nullable": True,
                    "properties": {"next": {"$ref": "#/components/schemas/Recursive"}},
                    "additionalProperties": False,
                },
            }
        },
    }


@pytest.mark.parametrize(("version", "traps"), [("3.0.3", TRAPS + TRAPS_30), ("3.1.0", TRAPS + TRAPS_31)], ids=["3.0", "3.1"])
def test_schemas_that_are_easy_to_get_wrong(version: str, traps: list[dict[str, Any]]) -> None:
    """Small schemas with a trap each, against many values, in both versions of OpenAPI."""
    document = trap_document(version, traps)
    plans, library = Validator(document), Untouched(document)
    headers = [(b"content-type", b"application/json")]
    wrong = []
    accepted = 0
    for number, schema in enumerate(traps):
        key = (f"/{number}", "post")
        for value in TRAP_VALUES:
            response = Response(200, headers, dumps(value))
            try:
                ok = plans.response_ok(key, response)
            except Exception as failure:  # noqa: BLE001 - a plan may stand aside, never fail
                wrong.append(f"{schema} fails at {value!r}: {failure!r}")
                continue
            if ok:
                accepted += 1
                complaint = library.rejects_response(key, response)
                if complaint:
                    wrong.append(f"{schema} takes {value!r}: {complaint}")

    assert wrong == []
    assert accepted > 500


def test_another_dialect() -> None:
    """A document that is written in another dialect of JSON Schema is judged by that dialect."""
    document = trap_document("3.1.0", [{"type": "object", "dependencies": {"a": ["b"]}}])
    document["jsonSchemaDialect"] = "http://json-schema.org/draft-07/schema#"
    headers = [(b"content-type", b"application/json")]
    bad = Response(200, headers, b'{"a": 1}')

    assert Untouched(document).rejects_response(("/0", "post"), bad)
    assert not Validator(document).response_ok(("/0", "post"), bad)


PARAMETER_TRAPS: list[dict[str, Any]] = [
    {"name": "a", "in": "query", "schema": {"type": "integer"}},
    {"name": "a", "in": "query", "schema": {"type": "number", "minimum": 0}},
    {"name": "a", "in": "query", "schema": {"type": "boolean"}},
    {"name": "a", "in": "query", "schema": {"type": "string", "enum": ["a", "", "1"]}},
    {"name": "a", "in": "query", "schema": {"type": "string"}, "allowEmptyValue": True},
    {"name": "a", "in": "query", "schema": {"type": "integer"}, "allowEmptyValue": True},
    {"name": "a", "in": "query", "schema": {"type": "string", "format": "date-time"}},
    {"name": "a", "in": "query", "required": True, "schema": {"type": "string"}},
    {"name": "a", "in": "query", "schema": {"type": "array", "items": {"type": "string"}, "maxItems": 2}},
    {"name": "a", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}}},
    {"name": "a", "in": "query", "explode": False, "schema": {"type": "array", "items": {"type": "string", "maxLength": 2}}},
    {
        "name": "a",
        "in": "query",
        "schema": {"type": "array", "items": {"type": "string", "enum": ["a", "1"]}, "uniqueItems": True},
    },
    {
        "name": "a",
        "in": "query",
        "style": "spaceDelimited",
        "schema": {"type": "array", "items": {"type": "string", "maxLength": 1}},
    },
    # Style deepObject is left out: the library rejects every request that lacks even an optional one.
    {"name": "a", "in": "query", "schema": {"type": "object", "required": ["b"]}},
    {"name": "a", "in": "query", "schema": {"type": "string", "default": "x", "maxLength": 3}},
    {"name": "a", "in": "query", "schema": {"type": "integer", "default": 5, "maximum": 10}},
    {"name": "a", "in": "query", "schema": {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]}},
    {"name": "a", "in": "query", "schema": {"maxLength": 1}},
    {"name": "a", "in": "query", "schema": {"$ref": "#/components/schemas/Named"}},
    {"name": "a", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}},
    {"name": "A-B", "in": "header", "required": True, "schema": {"type": "string", "minLength": 2}},
    {"name": "A-B", "in": "header", "schema": {"type": "integer"}},
    {"name": "A-B", "in": "header", "schema": {"type": "array", "items": {"type": "string"}, "maxItems": 1}},
    {"name": "c", "in": "cookie", "required": True, "schema": {"type": "string"}},
]
# fmt: off
QUERIES = [
    b"", b"a", b"a=", b"a=&a=", b"a=1&a=", b"a=a&a=a", b"a=1&a=2&a=3", b"a=1,2", b"a=a,bbb", b"a=a%20bb", b"a[b]=1", b"b=1",
    b"A=1", b"a=%7B%7D", b"a=%FF", b"a=\xff", b"a=1;a=2", b"%61=1", b"a=+1", b"a=1&=2", b"&&a=1", b"a=1#x",
    *(f"a={quote(text)}".encode() for text in ODD_TEXTS),
]
# fmt: on
BEARERS = [b"Bearer x", b"bearer x", b"Bearer", b"Bearer ", b"BEARER\tx", b"basic eDp5"]


def test_parameters_that_are_easy_to_get_wrong() -> None:
    """Small parameters with a trap each, against many queries and headers."""
    document = trap_document("3.0.3", [])
    document["components"]["securitySchemes"] = {
        "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "other": {"type": "apiKey", "in": "header", "name": "X-Other"},
        "bearer": {"type": "http", "scheme": "bearer"},
        "basic": {"type": "http", "scheme": "basic"},
    }
    securities: list[Any] = [[], [{"key": []}], [{"key": [], "other": []}, {"bearer": []}], [{}, {"key": []}], [{"basic": []}]]
    for number, parameter in enumerate(PARAMETER_TRAPS):
        document["paths"][f"/{number}"] = {
            "parameters": [parameter],
            "get": {"responses": {"200": {"description": ""}}, "security": securities[0]},
        }
    for number, security in enumerate(securities):
        document["paths"][f"/s{number}"] = {"get": {"responses": {"200": {"description": ""}}, "security": security}}
    plans, library = Validator(document), Untouched(document)
    texts = [b"", b"a", b"ab", b"1", b"a,b", b" ", b"\xff", b"1 ", *BEARERS]
    names = [b"a-b", b"x-key", b"x-other", b"authorization", b"cookie"]
    one = [[(name, text)] for name in names for text in texts]
    headers: list[list[tuple[bytes, bytes]]] = [
        [],
        *one,
        *([*a, *b] for a in one for b in one if a[0][1] in (b"", b"ab", b"Bearer x")),
    ]
    wrong = []
    judged = accepted = 0
    for path in document["paths"]:
        where = document["paths"][path].get("parameters", [{"in": "header"}])[0]["in"]
        sent = [Request("GET", path, query) for query in (QUERIES if where == "query" else [b""])]
        sent += [Request("GET", path, b"", pairs) for pairs in (headers if where != "query" else [[]])]
        for request in sent:
            judged += 1
            if plans.request_ok((path, "get"), request):
                accepted += 1
                complaint = library.rejects_request((path, "get"), request)
                if complaint:
                    wrong.append(f"{path} {request.query_string!r} {request.headers}: {complaint}")

    assert wrong == []
    assert judged > 5_000
    assert accepted > 500


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "(?P<a>x)"},
        {"type": "string", "pattern": r"\Ax\Z"},
        {"$ref": "#/paths/~1elsewhere/post/requestBody/content/application~1json/schema"},
        {"$ref": "#/components/x-more/Thing"},
    ],
    ids=["python-pattern", "python-anchors", "reference-into-paths", "reference-into-extension"],
)
def test_what_a_plan_cannot_compile_is_left_to_the_library(schema: dict[str, Any]) -> None:
    """A schema that the library understands and the compiler does not makes the plan stand aside, never fail."""
    document = trap_document("3.0.3", [schema])
    content = {"application/json": {"schema": {"type": "string", "maxLength": 1}}}
    document["paths"]["/elsewhere"] = {"post": {"requestBody": {"content": content}, "responses": {"200": {"description": ""}}}}
    document["components"]["x-more"] = {"Thing": {"type": "string", "maxLength": 1}}
    validator = Validator(document)
    headers = [(b"content-type", b"application/json")]
    good, bad = Response(200, headers, b'"x"'), Response(200, headers, b'"yy"')
    request = Request("POST", "/0", b"", headers, b'"x"')

    assert validator.response_ok(("/0", "post"), good) or not validator.response_errors(("/0", "post"), request, good)
    assert not validator.response_ok(("/0", "post"), bad)
    assert validator.response_errors(("/0", "post"), request, bad)
    assert validator.request_ok(("/0", "post"), request) or not validator.request_errors(("/0", "post"), request)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_arrives_makes_a_check_fail(subjects: dict[str, Subject], name: str) -> None:
    """Whatever the headers and bytes are, the contract finds what is wrong with them and never raises."""
    subject = subjects[name]
    contract = subject.contract
    bodies = [*ODD_BODIES, b'{"a":' + b"9" * 5000 + b"}", b'"' + b"x" * 100_000 + b'"']
    failed = []
    for operation in contract.operations.values():
        call = first_good_call(subject, operation.id)
        whole = subject.request(call)
        requests = [
            with_headers(whole, headers) for headers in header_mutations(list(whole.headers), {"x-api-key", "authorization"})
        ]
        requests += [
            Request(
                whole.method, whole.path, whole.query_string, [*whole.headers, (b"content-type", kind)], body, whole.path_params
            )
            for body in bodies
            for kind in (b"application/json", b"application/json; charset=utf-16", b"application/json; charset=nonsense")
        ]
        for request in requests:
            try:
                contract.check_request(operation, request)
            except Exception as failure:  # noqa: BLE001 - any of them is the defect
                failed.append(f"{operation.id} {request.headers} {request.body[:60]!r}: {failure!r}")
    for content_type in CONTENT_TYPES:
        for body in bodies[:12]:
            response = Response(200, [(b"content-type", content_type), (b"x-request-id", b"r")], body)
            try:
                contract.check_response(operation, Exchange(whole, response))
            except Exception as failure:  # noqa: BLE001
                failed.append(f"{operation.id} {response.headers} {response.body[:60]!r}: {failure!r}")

    assert failed == []


class SmallMemo(AcceptedBodies):
    """A memo that is soon full."""

    LONGEST = 20
    CAPACITY = 64


@given(added=st.lists(st.tuples(st.sampled_from("pq"), st.binary(max_size=24)), max_size=40))
def test_memo_stays_within_its_capacity(added: list[tuple[str, bytes]]) -> None:
    """The memo keeps only what was added, the latest first of all, and never more bytes than its capacity."""
    memo = SmallMemo(besides=5)
    for key in added:
        memo.add(key)
        assert (key in memo) == (len(key[1]) <= SmallMemo.LONGEST)
        assert sum(len(body) + 5 for _, body in memo._bodies) == memo._bytes <= SmallMemo.CAPACITY
        assert set(memo._bodies) <= set(added)


def test_memo_of_a_busy_server_stays_within_its_capacity(subjects: dict[str, Subject]) -> None:
    """Thousands of different valid bodies leave no more than the capacity behind."""
    subject = subjects["flexprice"]
    key, exchange = next(
        (key, e) for key, e in subject.exchanges if key[0].endswith("/balance/real-time") and e.response.status == 200
    )
    body = json.loads(exchange.response.body)
    plans = Validator(subject.contract._merged._document)
    for number in range(3_000):
        text = dumps(body | {"description": f"{number:05}" + "x" * 1_900})
        assert plans.response_ok(key, Response(200, exchange.response.headers, text))
    memo = plans._planner._accepted

    assert 3_000 * 2_500 > AcceptedBodies.CAPACITY
    assert AcceptedBodies.CAPACITY * 0.9 < sum(len(text) + 300 for _, text in memo._bodies) <= AcceptedBodies.CAPACITY


def test_memo_never_helps_a_rejected_body(subjects: dict[str, Subject]) -> None:
    """A body accepted in one place stays rejected in another: status, operation, headers, and however often it comes."""
    subject = subjects["flexprice"]
    good = {
        (key, exchange.response.status): exchange.response
        for key, exchange in subject.exchanges
        if exchange.response.body[:1] in (b"{", b"[")
    }
    plans = Validator(subject.contract._merged._document)
    complaints: dict[Any, str | None] = {}  # of the library, which has no memory
    wrong = []
    rejected = 0
    for _ in range(2):
        for (key, _), response in good.items():
            assert plans.response_ok(key, response)
        for (key, status), wanted in good.items():
            for response in good.values():
                other = Response(status, wanted.headers, response.body)
                if plans.response_ok(key, other):
                    case = (key, status, response.body)
                    if case not in complaints:
                        complaints[case] = subject.library.rejects_response(key, other)
                    if complaints[case]:
                        wrong.append((key, status, response.body[:100]))
                else:
                    rejected += 1
            bare = Response(status, [(b"content-type", b"text/plain")], wanted.body)
            rejected += 1
            if plans.response_ok(key, bare):
                wrong.append((key, status, b"without its headers"))

    assert wrong == []
    assert rejected > 500
