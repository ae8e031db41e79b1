"""How both providers say no: status, shape and headers of every kind of error, and each held against the contract.

Flexprice has three shapes: `{code, message, http_status_code}` from handlers and the router, `{error}` for 401, `{message}`
for 403. Polar has `{error, detail}`, OAuth's `{error, error_description}`, and the router's bare `{detail}`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Mock, running
from flexprice_checks import assert_invalid, assert_ok, assert_refused

from contract_tests.contract import Contract
from contract_tests.exchange import Exchange, Request, Response

OPENAPI = Path(__file__).parent.parent / "openapi"
NOBODY = "wallet_00000000000000000000000000"
UNKNOWN_UUID = "9f0c7a44-6a3c-4d5e-8b1a-0123456789ab"
BREAKDOWN = "credits_available_breakdown"
MIB = 1 << 20

# operationId -> method, path (with the id of a wallet), JSON body that would be accepted
FLEXPRICE: dict[str, tuple[str, str, Any]] = {
    "createWallet": ("POST", "/v1/wallets", {"currency": "usd", "customer_id": "cust_errors"}),
    "getWallet": ("GET", "/v1/wallets/{id}", None),
    "updateWallet": ("PUT", "/v1/wallets/{id}", {}),
    "getWalletBalance": ("GET", "/v1/wallets/{id}/balance/real-time", None),
    "topUpWallet": ("POST", "/v1/wallets/{id}/top-up", {"transaction_reason": "CREDIT_NOTE", "credits_to_add": "1"}),
    "terminateWallet": ("POST", "/v1/wallets/{id}/terminate", None),
    "getWalletTransactions": ("GET", "/v1/wallets/{id}/transactions", None),
    "queryWallet": ("POST", "/v1/wallets/search", {}),
    "queryWalletTransaction": ("POST", "/v1/wallets/transactions/search", {}),
    "getWalletsByCustomerId": ("GET", "/v1/customers/cust_x/wallets", None),
    "getCustomerWallets": ("GET", "/v1/customers/wallets?lookup_key=ext_cust_acme", None),
}
WITH_BODY = [name for name, (_, _, body) in FLEXPRICE.items() if body is not None]
WRITES = ("createWallet", "updateWallet", "topUpWallet", "terminateWallet")
WITH_WALLET = [name for name, (_, path, _) in FLEXPRICE.items() if "{id}" in path]

POLAR = {
    "customer_portal:wallets:list": "/v1/customer-portal/wallets/",
    "customer_portal:wallets:get": f"/v1/customer-portal/wallets/{UNKNOWN_UUID}",
}


@cache
def contract(provider: str) -> Contract:
    """A provider's contract, as the mock has it."""
    return Contract.load(provider, OPENAPI / f"{provider}.yaml", OPENAPI / f"{provider}.overlay.yaml")


def assert_keeps_contract(provider: str, operation_id: str | None, response: httpx.Response) -> None:
    """The answer is one that document and overlay declare: for the operation, or where there is none for unrouted requests."""
    kept = contract(provider)
    operation = kept.operations[operation_id] if operation_id else kept.unrouted
    sent = response.request
    request = Request(sent.method, sent.url.path, sent.url.query, _raw(sent.headers))
    exchange = Exchange(request, Response(response.status_code, _raw(response.headers), response.content))
    findings = kept.check_response(operation, exchange)
    assert not findings, "\n".join(map(str, findings))
    assert response.headers.get("content-type") != "application/problem+json"


def _raw(headers: httpx.Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers.raw]


@pytest.fixture
def client(mock: Mock, session: str) -> Iterator[httpx.Client]:
    """A client without any credentials, in a session of its own."""
    with httpx.Client(base_url=mock.url, headers={"x-mock-session": session}, verify=False) as made:
        yield made


@pytest.fixture(scope="module")
def token(mock: Mock) -> dict[str, str]:
    """Polar's header for the customer `ada`."""
    return {"authorization": f"Bearer {mock.personas()['polar/ada.main']['token']}"}


KEY = {"x-api-key": "test"}


def call(client: httpx.Client, operation_id: str, wallet_id: str = NOBODY, **extra: Any) -> httpx.Response:
    """One of Flexprice's operations, with a body that is fine unless another is given."""
    method, path, body = FLEXPRICE[operation_id]
    if body is not None and "content" not in extra:
        extra.setdefault("json", body)
    return client.request(method, path.replace("{id}", wallet_id), **extra)


def test_table_of_operations_is_whole() -> None:
    """What these tests go through are all operations of both contracts."""
    assert set(FLEXPRICE) == set(contract("flexprice").operations)
    assert set(POLAR) == set(contract("polar").operations)


# ---------------------------------------------------------------- 401


@pytest.mark.parametrize("operation", FLEXPRICE)
@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, "Unauthorized"),
        ({"x-api-key": ""}, "Unauthorized"),
        ({"x-api-key": "invalid"}, "Unauthorized"),
        ({"x-api-key": "invalid-key-1"}, "Unauthorized"),
        ({"x-api-key": "expired"}, "Unauthorized"),
        ({"x-api-key": "expired_2025"}, "Unauthorized"),
        ({"authorization": "Basic dXNlcjpwYXNz"}, "header"),
        ({"authorization": "token"}, "header"),
        ({"authorization": "Bearer sk_x"}, "token"),
        ({"x-api-key": "invalid", "authorization": "Digest x"}, "header"),
        ({"x-api-key": "invalid", "authorization": "Bearer x"}, "token"),
    ],
    ids=str,
)
def test_flexprice_without_a_good_key(client: httpx.Client, operation: str, headers: dict[str, str], error: str) -> None:
    """401 on every operation, with `error` and nothing else, whatever else would be wrong (I32)."""
    response = call(client, operation, headers=headers)

    assert response.status_code == 401
    assert list(response.json()) == ["error"]
    assert error.lower() in response.json()["error"].lower()
    assert_keeps_contract("flexprice", operation, response)


def test_flexprice_checks_the_key_before_the_request(client: httpx.Client) -> None:
    """A bad body, a bad query or an unknown wallet is not even looked at without a key."""
    for response in (
        client.post("/v1/wallets", content=b"{", headers={"content-type": "application/json"}),
        client.get(f"/v1/wallets/{NOBODY}/balance/real-time?expand=nonsense"),
        client.get(f"/v1/wallets/{NOBODY}"),
    ):
        assert (response.status_code, response.json()) == (401, {"error": "Unauthorized"})


def test_flexprice_takes_any_other_key(client: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """A good key counts, whatever the Authorization header says beside it."""
    for headers in (KEY, {"x-api-key": "sk_01K3A8"}, {"x-api-key": "x", "authorization": "Basic x"}, {"X-API-KEY": "ünï"}):
        raw = {name: value.encode() for name, value in headers.items()}
        assert_ok(call(client, "getWallet", wallet_ids["healthy"], headers=raw))


@pytest.mark.parametrize("operation", POLAR)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Basic dXNlcjpwYXNz", "polar_cst_x", "Bearer polar_oat_x", "Bearer polar_crt_x"],
)
def test_polar_without_a_token(client: httpx.Client, operation: str, authorization: str | None) -> None:
    """No token, another scheme, or a token of someone who is no customer: the short 401."""
    response = client.get(POLAR[operation], headers={} if authorization is None else {"authorization": authorization})

    assert response.status_code == 401
    assert response.content == b'{"error":"Unauthorized","detail":"Unauthorized"}'
    assert response.headers["www-authenticate"] == 'Bearer realm="polar"'
    assert_keeps_contract("polar", operation, response)


@pytest.mark.parametrize("operation", [*POLAR, None])
@pytest.mark.parametrize("kind", ["unknown", "malformed", "expired"])
def test_polar_with_a_bad_token(mock: Mock, client: httpx.Client, operation: str | None, kind: str) -> None:
    """A bearer token that means nothing: OAuth's 401, spaces and all, on routes and elsewhere."""
    tokens = {"unknown": f"polar_cst_{'x' * 43}", "malformed": "x y", "expired": mock.personas()["polar/lapsed.main"]["token"]}
    path = POLAR[operation] if operation else "/v1/customer-portal/nowhere"
    response = client.get(path, headers={"authorization": f"Bearer {tokens[kind]}"})

    description = "The access token provided is expired, revoked, malformed, or invalid for other reasons."
    assert response.status_code == 401
    assert response.text == f'{{"error": "invalid_token", "error_description": "{description}"}}'
    challenge = f'Bearer realm="polar", error="invalid_token", error_description="{description}"'
    assert response.headers["www-authenticate"] == challenge
    assert "no-store" in response.headers["cache-control"]
    assert_keeps_contract("polar", operation, response)


# ---------------------------------------------------------------- 403


@pytest.mark.parametrize("operation", FLEXPRICE)
def test_flexprice_key_that_may_only_read(client: httpx.Client, operation: str) -> None:
    """Writing is 403 with `message` and nothing else, before anything in the request is looked at; reading works."""
    response = call(client, operation, headers={"x-api-key": "readonly-1"})

    if operation in WRITES:
        assert response.status_code == 403
        assert list(response.json()) == ["message"]
        bad = call(client, operation, headers={"x-api-key": "readonly"} | JSON, content=b"{")
        assert (bad.status_code, bad.json()) == (403, response.json())
    else:
        assert response.status_code in (200, 404)
    assert_keeps_contract("flexprice", operation, response)


@pytest.mark.parametrize("operation", POLAR)
def test_polar_member_without_a_role(mock: Mock, client: httpx.Client, operation: str) -> None:
    """A mere member gets 403, for the parameters and the wallet nobody asks any more."""
    headers = {"authorization": f"Bearer {mock.personas()['polar/employee.main']['token']}"}
    for query in ("", "?limit=0&sorting=x"):
        response = client.get(POLAR[operation] + query, headers=headers)

        assert response.status_code == 403
        assert response.content == (
            b'{"error":"NotPermitted","detail":"Only owners and billing managers can access billing features."}'
        )
        assert "www-authenticate" not in response.headers
        assert_keeps_contract("polar", operation, response)


# ---------------------------------------------------------------- 400 and 422


JSON = {"content-type": "application/json"}
FINE = b'{"currency": "usd", "customer_id": "c", "transaction_reason": "CREDIT_NOTE", "credits_to_add": "1"}'


@pytest.mark.parametrize("operation", WITH_BODY)
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "application/json"),
        (b" ", "application/json"),
        (b"{", "application/json"),
        (b'{"currency": "usd",}', "application/json"),
        (b"{'currency': 'usd'}", "application/json"),
        (b"{currency: usd}", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b'"text"', "application/json"),
        (b"1", "application/json"),
        (b"NaN", "application/json"),
        (FINE.replace(b'"1"', b"NaN"), "application/json"),
        (FINE.replace(b'"1"', b"-Infinity"), "application/json"),
        (FINE.replace(b'"c"', b'"\xff"'), "application/json"),
        (FINE.replace(b'"c"', b'"\xed\xa0\x80"'), "application/json"),
        (FINE.replace(b'"c"', b'"\n"'), "application/json"),
        (b"\xff\xfe\x00", "application/json"),
        (FINE.decode().encode("utf-16"), "application/json"),
        (FINE.decode().encode("utf-16"), "application/json; charset=utf-16"),
        (b"\x1f\x8b\x08\x00" + FINE, "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"a":' * 100_000, "application/json"),
        (FINE, "text/plain"),
        (FINE, "application/xml"),
        (FINE, "application/x-www-form-urlencoded"),
        (FINE, "multipart/form-data; boundary=x"),
        (FINE, "application/problem+json"),
        (FINE, "*/*"),
        (FINE, ""),
        (FINE, None),
        (b"", None),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_flexprice_body_that_is_no_json_object(
    client: httpx.Client, operation: str, content: bytes, content_type: str | None
) -> None:
    """Malformed, of another type, of another content type, not UTF-8, empty: 400 in the handlers' shape, never a 5xx."""
    headers = KEY if content_type is None else KEY | {"content-type": content_type}
    response = call(client, operation, content=content, headers=headers)

    assert_invalid(response)
    assert_keeps_contract("flexprice", operation, response)


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"]
)
def test_flexprice_reads_json_by_any_of_its_names(client: httpx.Client, content_type: str) -> None:
    """Case and charset of the content type do not matter as long as it is JSON in UTF-8."""
    response = call(client, "createWallet", content=FINE, headers=KEY | {"content-type": content_type})

    assert assert_ok(response)["currency"] == "usd"


@pytest.mark.parametrize(
    ("operation", "query"),
    [
        ("getWalletBalance", "expand=nonsense"),
        ("getWalletBalance", f"expand={BREAKDOWN},"),
        ("getWalletBalance", "expand=%FF"),
        ("getWalletBalance", "expand=%00"),
        ("getWalletTransactions", "limit=0"),
        ("getWalletTransactions", "limit=ten"),
        ("getWalletTransactions", "order=up"),
        ("getWalletTransactions", "reference_type=EXTERNAL"),
        ("getWalletTransactions", "start_time=soon"),
        ("getWalletsByCustomerId", "expand=nonsense"),
        ("getCustomerWallets", "&id=cust_x"),
        ("getCustomerWallets", "&include_real_time_balance=maybe"),
        ("getCustomerWallets", "&include_real_time_balance=true&expand=nonsense"),
        ("queryWalletTransaction", "expand=nonsense"),
    ],
)
def test_flexprice_bad_query(client: httpx.Client, wallet_ids: dict[str, str], operation: str, query: str) -> None:
    """400, and the message names what is wrong in words that a person can act on."""
    method, path, body = FLEXPRICE[operation]
    url = path.replace("{id}", wallet_ids["healthy"])
    response = client.request(method, f"{url}{'' if '?' in url else '?'}{query}", json=body, headers=KEY)

    message = assert_invalid(response)
    assert re.split("[=&]", query)[-2] in message
    assert_keeps_contract("flexprice", operation, response)


def test_polar_bad_parameters(client: httpx.Client, token: dict[str, str]) -> None:
    """422 with an entry for each, as the contract has it."""
    for operation, path in (
        ("customer_portal:wallets:list", "/v1/customer-portal/wallets/?page=0&limit=x&sorting=up"),
        ("customer_portal:wallets:get", "/v1/customer-portal/wallets/x"),
    ):
        response = client.get(path, headers=token)
        assert response.status_code == 422
        assert list(response.json()) == ["error", "detail"]
        assert response.json()["error"] == "RequestValidationError"
        assert_keeps_contract("polar", operation, response)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"{}", b"x" * 1000])
def test_polar_ignores_bodies(client: httpx.Client, token: dict[str, str], content: bytes) -> None:
    """A GET may come with anything in its body; nobody looks."""
    plain = client.get(POLAR["customer_portal:wallets:list"], headers=token)
    with_body = client.request("GET", POLAR["customer_portal:wallets:list"], headers=token | JSON, content=content)

    assert (with_body.status_code, with_body.content) == (200, plain.content)


# ---------------------------------------------------------------- 404, 405, 409


@pytest.mark.parametrize("operation", WITH_WALLET)
@pytest.mark.parametrize("wallet_id", [NOBODY, "x", "wallet_", "%20", "%F0%9F%92%B6", "%FF", "a" * 500])
def test_flexprice_unknown_wallet(client: httpx.Client, operation: str, wallet_id: str) -> None:
    """404 not_found by every operation that names a wallet, however odd the id."""
    response = call(client, operation, wallet_id, headers=KEY)

    assert_refused(response, 404, "not_found")
    assert_keeps_contract("flexprice", operation, response)


def test_polar_unknown_wallet(client: httpx.Client, token: dict[str, str]) -> None:
    """404 with the name of the error."""
    response = client.get(POLAR["customer_portal:wallets:get"], headers=token)

    assert response.status_code == 404
    assert response.content == b'{"error":"ResourceNotFound","detail":"Not found"}'
    assert_keeps_contract("polar", "customer_portal:wallets:get", response)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/nowhere",
        "/v1/Wallets",
        "/v1/wallets/x/y",
        "/v1/wallets/x/balance",
        "/v1/wallets/x/balance/real-time/now",
        "/v1/wallets/a%2Fb",
        "/v1//wallets",
        "/v2/wallets",
        "/wallets",
        "/favicon.ico",
        "/v1/customer",
        "/v1/" + "x" * 5000,
    ],
)
@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
def test_flexprice_unknown_route(client: httpx.Client, path: str, headers: dict[str, str]) -> None:
    """404 in the handlers' shape, with or without a key, for every path that no provider has."""
    for method in ("GET", "POST"):
        response = client.request(method, path, headers=headers)
        assert_refused(response, 404, "not_found")
        assert_keeps_contract("flexprice", None, response)
        assert "allow" not in response.headers


@pytest.mark.parametrize(
    "path",
    [
        "/v1/customer-portal",
        "/v1/customer-portal/",
        "/v1/customer-portal/nowhere",
        "/v1/customer-portal/Wallets/",
        "/v1/customer-portal//wallets/",
        f"/v1/customer-portal/wallets/{UNKNOWN_UUID}/top-up",
        "/api/v1/customer-portal/nowhere",
    ],
)
def test_polar_unknown_route(client: httpx.Client, token: dict[str, str], path: str) -> None:
    """404 in the router's shape, which has no `error`, with or without a token and for any method."""
    for method in ("GET", "POST"):
        for headers in ({}, token):
            response = client.request(method, path, headers=headers)
            assert (response.status_code, response.content) == (404, b'{"detail":"Not Found"}')
            assert_keeps_contract("polar", None, response)


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "invalid"}, {"x-api-key": "readonly"}], ids=str)
@pytest.mark.parametrize("operation", FLEXPRICE)
def test_line_feed_at_the_end_is_no_way_round_the_key(
    client: httpx.Client, wallet_ids: dict[str, str], operation: str, headers: dict[str, str]
) -> None:
    """A path that ends in a line feed, which routers tend to overlook, is unknown or refused like any other."""
    method, path, body = FLEXPRICE[operation]
    path, _, query = path.replace("{id}", wallet_ids["healthy"]).partition("?")
    response = client.request(method, f"{path}%0A{'?' if query else ''}{query}", json=body, headers=headers)

    if headers.get("x-api-key") == "readonly" and operation not in WRITES:
        assert response.status_code in (200, 404)
    else:
        assert response.status_code in (401, 403, 404), response.text
    assert assert_ok(client.get("/v1/customers/cust_errors/wallets", headers=KEY)) == []


def test_line_feed_at_the_end_is_no_way_round_what_a_server_was_started_with() -> None:
    """Neither the given API key nor the control token can be avoided so."""
    with running("--api-key", "sk_mine", "--control-token", "s3cret") as guarded:
        for path in ("/_mock/personas%0A", "/_mock/population/flexprice/1%0A", "/v1/wallets/search%0A"):
            for method in ("GET", "POST"):
                response = httpx.request(method, guarded.url + path, headers={"x-api-key": "other"})
                assert response.status_code in (401, 404, 405), (method, path, response.text[:100])
        reset = httpx.post(f"{guarded.url}/_mock/sessions/default/reset%0A")
        assert reset.status_code in (401, 404)


@pytest.mark.parametrize("path", POLAR.values())
def test_line_feed_at_the_end_is_no_way_round_the_token(client: httpx.Client, path: str) -> None:
    """Without a token Polar says 401 or 404 to such a path, and never fails."""
    assert client.get(f"{path}%0A").status_code in (401, 404)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/wallets", {"GET", "POST"}),
        ("/v1/wallets/{id}", {"GET", "PUT"}),
        ("/v1/wallets/{id}/balance/real-time", {"GET"}),
        ("/v1/wallets/{id}/top-up", {"POST"}),
        ("/v1/wallets/{id}/terminate", {"POST"}),
        ("/v1/customers/cust_x/wallets", {"GET"}),
        ("/v1/customers/wallets", {"GET"}),
        ("/v1/wallets/transactions/search", {"POST"}),
    ],
)
def test_flexprice_wrong_method(client: httpx.Client, wallet_ids: dict[str, str], path: str, allowed: set[str]) -> None:
    """404 as for an unknown route, never 405, with the methods that there are; HEAD the same without a body."""
    path = path.replace("{id}", wallet_ids["healthy"])
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - allowed:
        for headers in ({}, KEY):
            response = client.request(method, path, headers=headers)
            assert_refused(response, 404, "not_found")
            assert set(response.headers["allow"].split(", ")) == allowed
            assert_keeps_contract("flexprice", None, response)
    head = client.head(path, headers=KEY)
    assert (head.status_code, head.content) == (404, b"")
    assert set(head.headers["allow"].split(", ")) == allowed


def test_flexprice_words_that_look_like_ids(client: httpx.Client) -> None:
    """`search` and `transactions` are ids to GET: the wallet is not found, not the method."""
    for word in ("search", "transactions"):
        response = client.get(f"/v1/wallets/{word}", headers=KEY)
        assert_refused(response, 404, "not_found")
        assert_keeps_contract("flexprice", "getWallet", response)
        assert "allow" not in response.headers


@pytest.mark.parametrize("path", POLAR.values())
def test_polar_wrong_method(client: httpx.Client, token: dict[str, str], path: str) -> None:
    """405 with what is allowed, with or without a token; HEAD and a plain OPTIONS are other methods too."""
    for headers in ({}, token):
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            response = client.request(method, path, headers=headers)
            assert (response.status_code, response.content) == (405, b'{"detail":"Method Not Allowed"}')
            assert response.headers["allow"] == "GET"
            assert_keeps_contract("polar", None, response)
        head = client.head(path, headers=headers)
        assert (head.status_code, head.content, head.headers["allow"]) == (405, b"", "GET")


def test_flexprice_conflicts(client: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """409 already_exists on create, top-up and terminate, each declared by the contract."""
    assert_ok(call(client, "createWallet", headers=KEY))
    body = {"transaction_reason": "CREDIT_NOTE", "credits_to_add": "1", "idempotency_key": wallet_ids["healthy"]}
    assert_ok(call(client, "topUpWallet", wallet_ids["healthy"], headers=KEY, json=body))

    for operation, extra in (("createWallet", {}), ("topUpWallet", {"json": body}), ("terminateWallet", {})):
        response = call(client, operation, wallet_ids["healthy"], headers=KEY, **extra)
        assert_refused(response, 409, "already_exists")
        assert_keeps_contract("flexprice", operation, response)


def test_flexprice_invalid_operation(client: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Closing a closed wallet has a code of its own."""
    response = call(client, "terminateWallet", wallet_ids["closed"], headers=KEY)

    assert_refused(response, 400, "invalid_operation")
    assert_keeps_contract("flexprice", "terminateWallet", response)


# ---------------------------------------------------------------- 413


def large(size: int, *, chunked: bool) -> Any:
    """A JSON object of so many bytes, at once with its length, or in pieces without."""
    filling = size - len(b'{"currency": "usd", "customer_id": "c", "description": ""}')
    body = b'{"currency": "usd", "customer_id": "c", "description": "' + b"x" * filling + b'"}'
    assert len(body) == size
    return (body[at : at + 65_536] for at in range(0, size, 65_536)) if chunked else body


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
@pytest.mark.parametrize("size", [MIB + 1, 2 * MIB])
@pytest.mark.parametrize("operation", WITH_BODY)
def test_flexprice_body_beyond_a_mebibyte(client: httpx.Client, operation: str, size: int, chunked: bool) -> None:
    """413 in the handlers' shape, whether the length was announced or not, and the client can go on afterwards."""
    response = call(client, operation, content=large(size, chunked=chunked), headers=KEY | JSON)

    assert_refused(response, 413, "validation_error")
    assert_keeps_contract("flexprice", operation, response)
    assert_ok(call(client, "queryWallet", headers=KEY))


@pytest.mark.parametrize("operation", [name for name in FLEXPRICE if name not in WITH_BODY])
def test_flexprice_large_body_where_none_is_wanted(client: httpx.Client, wallet_ids: dict[str, str], operation: str) -> None:
    """An operation without a body may refuse or ignore one, but its answer is one that its contract declares."""
    response = call(client, operation, wallet_ids["new"], content=b"x" * (MIB + 1), headers=KEY)

    assert response.status_code in (200, 413)
    assert_keeps_contract("flexprice", operation, response)


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_flexprice_body_of_a_mebibyte(client: httpx.Client, chunked: bool) -> None:
    """The limit itself is still read."""
    response = call(client, "createWallet", content=large(MIB, chunked=chunked), headers=KEY | JSON)

    assert len(assert_ok(response)["description"]) > MIB - 100


def test_flexprice_body_that_is_announced_too_large(mock: Mock) -> None:
    """A length is believed: nothing of the body need arrive for the answer to come."""
    address = httpx.URL(mock.url)
    head = f"POST /v1/wallets HTTP/1.1\r\nhost: localhost\r\nx-api-key: test\r\ncontent-length: {10 * MIB}\r\n\r\n"
    with socket.create_connection((address.host, address.port or 80), timeout=5) as connection:
        connection.sendall(head.encode())
        answer = connection.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"http_status_code":413' in answer


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_polar_large_bodies(client: httpx.Client, token: dict[str, str], chunked: bool) -> None:
    """No route reads a body: a GET is answered or refused as too large, but not called the wrong method; a POST is just that."""
    path = POLAR["customer_portal:wallets:list"]
    got = client.request("GET", path, headers=token, content=large(2 * MIB, chunked=chunked))
    posted = client.post(path, headers=token, content=large(2 * MIB, chunked=chunked))

    assert got.status_code in (200, 413), got.text
    assert_keeps_contract("polar", "customer_portal:wallets:list", got)
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET")
    assert_keeps_contract("polar", None, posted)


# ---------------------------------------------------------------- redirects


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/wallets/{id}", 301),
        ("GET", "/v1/wallets/{id}/balance/real-time", 301),
        ("GET", "/v1/wallets/{id}/transactions", 301),
        ("GET", "/v1/customers/wallets", 301),
        ("POST", "/v1/wallets", 307),
        ("POST", "/v1/wallets/search", 307),
        ("POST", "/v1/wallets/{id}/top-up", 307),
        ("PUT", "/v1/wallets/{id}", 307),
    ],
)
@pytest.mark.parametrize("query", ["", "?limit=1&order=asc"])
def test_flexprice_slash_too_many(
    client: httpx.Client, wallet_ids: dict[str, str], method: str, path: str, status: int, query: str
) -> None:
    """The path without its slash, query kept, before any key is asked for: 301 for GET, 307 otherwise."""
    path = path.replace("{id}", wallet_ids["healthy"])
    response = client.request(method, f"{path}/{query}")

    assert response.status_code == status
    assert client.base_url.join(response.headers["location"]) == client.base_url.join(path + query)
    assert_keeps_contract("flexprice", None, response)


def test_flexprice_redirects_lead_somewhere(client: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """A client that follows arrives, with method and body."""
    path = f"/v1/wallets/{wallet_ids['healthy']}/"
    assert assert_ok(client.get(path, headers=KEY, follow_redirects=True))["id"] == wallet_ids["healthy"]

    answer = client.put(path, headers=KEY, json={"name": "arrived"}, follow_redirects=True)
    assert assert_ok(answer)["name"] == "arrived"


# ---------------------------------------------------------------- CORS


PAGE = "http://localhost:3000"


@pytest.mark.parametrize("origin", [PAGE, "http://127.0.0.1:5173", "https://app.localhost"])
@pytest.mark.parametrize(
    ("provider", "path", "method", "wanted"),
    [
        ("flexprice", "/v1/wallets", "POST", "x-api-key, content-type, x-mock-session"),
        ("flexprice", "/v1/wallets/{id}", "PUT", "content-type, x-api-key, x-mock-session, x-request-id"),
        ("flexprice", "/v1/wallets/{id}/balance/real-time", "GET", "x-api-key"),
        ("polar", "/v1/customer-portal/wallets/", "GET", "authorization, x-mock-session, polar-version"),
        ("polar", f"/v1/customer-portal/wallets/{UNKNOWN_UUID}", "GET", "authorization"),
    ],
)
def test_preflight(client: httpx.Client, origin: str, provider: str, path: str, method: str, wanted: str) -> None:
    """A page on any localhost origin is told that it may send the method with all the headers it needs, without credentials."""
    asked = {"origin": origin, "access-control-request-method": method, "access-control-request-headers": wanted}
    response = client.options(path.replace("{id}", NOBODY), headers=asked)

    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] in ("*", origin)
    assert method in response.headers["access-control-allow-methods"].split(", ")
    allowed = {name.strip().lower() for name in response.headers["access-control-allow-headers"].split(",")}
    assert {name.strip() for name in wanted.split(",")} <= allowed
    assert "access-control-allow-credentials" not in response.headers
    assert_keeps_contract(provider, None, response)


def test_answers_can_be_read_by_a_page(client: httpx.Client, token: dict[str, str], wallet_ids: dict[str, str]) -> None:
    """Successes and errors alike are open to the page, and so are the headers that clients want to see."""
    origin = {"origin": PAGE}
    big = b"x" * (MIB + 1)
    flexprice = [
        client.get(f"/v1/wallets/{wallet_ids['healthy']}", headers=KEY | origin),
        client.get(f"/v1/wallets/{NOBODY}", headers=origin),
        client.get(f"/v1/wallets/{NOBODY}", headers=KEY | origin),
        client.post("/v1/wallets", headers=KEY | origin, content=b"{"),
        client.post("/v1/wallets", headers=KEY | origin, content=big),
        client.delete("/v1/wallets", headers=KEY | origin),
        client.get("/v1/nowhere", headers=origin),
    ]
    polar = [
        client.get(path, headers=headers | origin)
        for path in (*POLAR.values(), "/v1/customer-portal/nowhere", "/v1/customer-portal/wallets/x")
        for headers in ({}, token, {"authorization": "Bearer x"})
    ]
    assert [response.status_code for response in flexprice] == [200, 401, 404, 400, 413, 404, 404]
    for responses, exposed in ((flexprice, "x-request-id"), (polar, "polar-version")):
        for response in responses:
            assert response.headers["access-control-allow-origin"] == "*"
            assert exposed in response.headers["access-control-expose-headers"].lower()


def test_flexprice_answers_any_options(client: httpx.Client) -> None:
    """OPTIONS is 200 with an empty body, for any path, asked by a browser or not."""
    for path in ("/v1/wallets", "/v1/nowhere", f"/v1/wallets/{NOBODY}/top-up"):
        response = client.options(path)
        assert (response.status_code, response.content) == (200, b"")
        assert_keeps_contract("flexprice", None, response)


# ---------------------------------------------------------------- headers


def every_kind(client: httpx.Client, wallet_id: str, **headers: str) -> list[httpx.Response]:
    """Flexprice's answers of every kind."""
    return [
        client.get(f"/v1/wallets/{wallet_id}", headers=KEY | headers),
        client.get(f"/v1/wallets/{wallet_id}", headers=headers),
        client.put(f"/v1/wallets/{wallet_id}", headers={"x-api-key": "readonly"} | headers, json={}),
        client.put(f"/v1/wallets/{wallet_id}", headers=KEY | headers, json={"name": 1}),
        client.get(f"/v1/wallets/{NOBODY}", headers=KEY | headers),
        client.get("/v1/nowhere", headers=headers),
        client.patch("/v1/wallets", headers=headers),
        client.post("/v1/wallets", headers=KEY | headers, content=b"x" * (MIB + 1)),
        client.options("/v1/wallets", headers=headers),
    ]


def test_flexprice_request_ids(client: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Every answer has the request's own id, or a fresh ULID if it had none."""
    made = [response.headers["x-request-id"] for response in every_kind(client, wallet_ids["healthy"])]
    assert all(re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", request_id) for request_id in made)
    assert len(set(made)) == len(made)
    assert made == sorted(made)

    for own in ("req-1", "not a ULID; but mine", "x" * 1000):
        answers = every_kind(client, wallet_ids["healthy"], **{"x-request-id": own})
        assert [response.headers.get_list("x-request-id") for response in answers] == [[own]] * len(answers)


def test_flexprice_security_headers(client: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Every answer, errors included, forbids sniffing, framing and referrers."""
    for response in every_kind(client, wallet_ids["healthy"]):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["referrer-policy"]
        assert response.headers["permissions-policy"]
        assert response.headers["access-control-allow-origin"] == "*"
        if response.content:
            assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert "server" not in response.headers


@pytest.mark.parametrize("name", ["", "-x", "../etc", "a b", "a/b", "x" * 65, "ünï", "a,b"])
def test_session_that_is_no_name(client: httpx.Client, token: dict[str, str], name: str) -> None:
    """The mock's own header is judged too, and refused in the provider's shape, with a word about what it should be."""
    header = {"x-mock-session": name.encode()}
    refused = client.get("/v1/wallets/x", headers=KEY | header)  # type: ignore[operator]
    assert_invalid(refused, "X-Mock-Session")
    assert_keeps_contract("flexprice", None, refused)

    refused = client.get(POLAR["customer_portal:wallets:list"], headers=token | header)  # type: ignore[operator]
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["header", "x-mock-session"]
    assert_keeps_contract("polar", None, refused)
