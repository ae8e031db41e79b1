"""Polar's customer portal over HTTP: list, get, paging, sorting, parameters, ids, tokens, versions, redirects.

Parameters, ids, tokens, precedence, redirects and headers are as seen on the wire of the real server; the texts are its own.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from conftest import Mock, running

Body = dict[str, Any]

CUSTOMERS: Body = yaml.safe_load((Path(__file__).parent.parent / "fixtures" / "polar.yaml").read_text("utf-8"))["customers"]
PORTAL = "/v1/customer-portal/wallets"
UNKNOWN = "9f0c7a44-6a3c-4d5e-8b1a-0123456789ab"
PAGED = len(CUSTOMERS["paged"]["wallets"])
UUID4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")

UNAUTHORIZED = b'{"error":"Unauthorized","detail":"Unauthorized"}'
NOT_FOUND = b'{"error":"ResourceNotFound","detail":"Not found"}'
NO_ROUTE = b'{"detail":"Not Found"}'
NOT_PERMITTED = b'{"error":"NotPermitted","detail":"Only owners and billing managers can access billing features."}'
WRONG_METHOD = b'{"detail":"Method Not Allowed"}'


@cache
def tokens(url: str) -> dict[str, str]:
    """The tokens of the fixture customers by name."""
    personas = httpx.get(f"{url}/_mock/personas").json()["personas"]
    return {p["name"].split(".")[0]: p["token"] for p in personas if p["provider"] == "polar"}


def token(mock: Mock, customer: str) -> str:
    """The token of a fixture customer."""
    return tokens(mock.url)[customer]


def sign_in(mock: Mock, customer: str) -> httpx.Client:
    """A client of the portal with a customer's token."""
    headers = {"authorization": f"Bearer {token(mock, customer)}"}
    return httpx.Client(base_url=mock.url + PORTAL, headers=headers, verify=False)


@pytest.fixture(scope="module")
def paged(mock: Mock) -> Iterator[httpx.Client]:
    """The customer with enough wallets for several pages."""
    with sign_in(mock, "paged") as client:
        yield client


@pytest.fixture(scope="module")
def bare(mock: Mock) -> Iterator[httpx.Client]:
    """A client of the whole server without any token."""
    with httpx.Client(base_url=mock.url) as client:
        yield client


def listed(client: httpx.Client, query: Any = None) -> Body:
    """A page, checked for the shape of all pages."""
    response = client.get("/", params=query)
    assert response.status_code == 200, response.text
    page: Body = response.json()
    assert list(page) == ["items", "pagination"]
    assert list(page["pagination"]) == ["total_count", "max_page"]
    for wallet in page["items"]:
        assert_wallet(wallet)
    return page


def assert_wallet(wallet: Body) -> None:
    """Six keys in their order, each written as the provider writes it (invariant 10)."""
    assert list(wallet) == ["id", "created_at", "modified_at", "customer_id", "balance", "currency"]
    assert UUID4.fullmatch(wallet["id"])
    assert UUID4.fullmatch(wallet["customer_id"])
    assert TIME.fullmatch(wallet["created_at"])
    assert ".000000Z" not in wallet["created_at"]
    if wallet["modified_at"] is not None:
        assert TIME.fullmatch(wallet["modified_at"])
        assert datetime.fromisoformat(wallet["modified_at"]) >= datetime.fromisoformat(wallet["created_at"])
    assert type(wallet["balance"]) is int
    assert re.fullmatch("[a-z]{3}", wallet["currency"])


def assert_422(response: httpx.Response, *entries: Body) -> None:
    """The envelope with exactly these entries, in this order, compactly written."""
    assert response.status_code == 422, response.text
    assert response.json() == {"error": "RequestValidationError", "detail": list(entries)}
    assert [list(entry) for entry in response.json()["detail"]] == [list(entry) for entry in entries]
    assert response.text.startswith('{"error":"RequestValidationError","detail":[{"type":')


# ---------------------------------------------------------------- list


def test_list_is_what_the_fixture_says(polar: httpx.Client) -> None:
    """Each wallet of the customer with its balance and currency, newest first, one customer in all (2)."""
    page = listed(polar)
    wallets = CUSTOMERS["ada"]["wallets"].values()

    assert page["pagination"] == {"total_count": len(wallets), "max_page": 1}
    expected = sorted((wallet["balance"], wallet.get("currency", "usd")) for wallet in wallets)
    assert sorted((wallet["balance"], wallet["currency"]) for wallet in page["items"]) == expected
    assert len({wallet["customer_id"] for wallet in page["items"]}) == 1
    assert all(newer["created_at"] >= older["created_at"] for newer, older in pairwise(page["items"]))


@pytest.mark.parametrize("customer", [name for name in CUSTOMERS if name not in ("employee", "lapsed")])
def test_items_equal_their_wallets(mock: Mock, customer: str) -> None:
    """Every item equals the get of its id, byte for byte, and a second read is the same (1, 9)."""
    with sign_in(mock, customer) as client:
        first = client.get("/", params={"limit": 100})
        assert client.get("/", params={"limit": 100}).content == first.content
        for wallet in first.json()["items"]:
            one = client.get(f"/{wallet['id']}")
            assert one.status_code == 200
            assert one.json() == wallet
            assert one.content in first.content


def test_balances_are_exact_beyond_64_bits(polar: httpx.Client) -> None:
    """Whole numbers of any size, zero and below, are written in full."""
    text = polar.get("/").text

    for balance in (18446744073709551614, 0, -1250, 5000):
        assert f'"balance":{balance},' in text


def test_modified_at_is_null_until_it_is_set(polar: httpx.Client) -> None:
    """Null is there, not left out; a set one has its fraction in six digits."""
    modified = {wallet["currency"]: wallet["modified_at"] for wallet in listed(polar)["items"]}

    assert modified["chf"] == "2026-06-01T08:30:00.250000Z"
    assert set(modified.values()) == {None, "2026-06-01T08:30:00.250000Z"}
    assert polar.get("/").text.count('"modified_at":null') == len(CUSTOMERS["ada"]["wallets"]) - 1


def test_whole_seconds_have_no_fraction(paged: httpx.Client) -> None:
    """A fraction of zero is left out."""
    created = [wallet["created_at"] for wallet in listed(paged, {"limit": 100})["items"]]

    assert created.count("2026-03-01T00:00:00Z") == 4


def test_each_currency_at_most_twice(polar: httpx.Client, paged: httpx.Client) -> None:
    """A customer can have a wallet of two types per currency, whose type nobody tells (12)."""
    for client in (polar, paged):
        currencies = [wallet["currency"] for wallet in listed(client, {"limit": 100})["items"]]
        assert max(map(currencies.count, currencies)) == 2


def test_customer_without_wallets(mock: Mock) -> None:
    """An empty list has no page at all."""
    with sign_in(mock, "newcomer") as client:
        for query in ({}, {"page": 3}, {"limit": 1, "sorting": "balance"}):
            assert client.get("/", params=query).content == b'{"items":[],"pagination":{"total_count":0,"max_page":0}}'


# ---------------------------------------------------------------- paging


def test_pages_at_every_limit(paged: httpx.Client) -> None:
    """At limits 1 to 100 pages never overlap and together are everything; totals and page counts fit (3, 4, 5)."""
    everything = listed(paged, {"limit": 100})["items"]
    assert len({wallet["id"] for wallet in everything}) == len(everything) == PAGED

    for limit in range(1, 101):
        pages = -(-PAGED // limit)
        found: list[Body] = []
        for page in range(1, pages + 1):
            answer = listed(paged, {"limit": limit, "page": page})
            assert answer["pagination"] == {"total_count": PAGED, "max_page": pages}
            assert len(answer["items"]) == min(limit, PAGED - (page - 1) * limit)
            found += answer["items"]
        assert found == everything
        beyond = listed(paged, {"limit": limit, "page": pages + 1})
        assert beyond == {"items": [], "pagination": {"total_count": PAGED, "max_page": pages}}


@pytest.mark.parametrize("sorting", ["created_at", "-created_at", "balance", "-balance"])
def test_pages_of_equals_never_overlap(paged: httpx.Client, sorting: str) -> None:
    """Although most wallets are equal in what is sorted by, each comes exactly once, at any page size."""
    everything = listed(paged, {"limit": 100, "sorting": sorting})["items"]

    for limit in (1, 2, 5, 7, 10, 22):
        found = []
        for page in range(1, -(-PAGED // limit) + 1):
            found += listed(paged, {"limit": limit, "page": page, "sorting": sorting})["items"]
        assert found == everything


@pytest.mark.parametrize("limit", ["101", "1000", "9" * 18, "9" * 30, "9" * 4000])
def test_limit_is_clamped(paged: httpx.Client, limit: str) -> None:
    """More than 100 is answered exactly as 100, whatever its size (7)."""
    assert paged.get("/", params={"limit": limit}).content == paged.get("/", params={"limit": 100}).content


def test_limit_is_clamped_in_what_comes(tmp_path: Path) -> None:
    """Of more than a hundred wallets a page holds a hundred, and pages are counted with that, however many were asked for."""
    letters = "abcdefghijk"
    wallets = {a + b + "x": {"about": "One of many", "currency": a + b + "x", "balance": 1} for a in letters for b in letters}
    fixtures = {"provider": "polar", "customers": {"crowd": {"about": "A crowd", "wallets": wallets}}}
    file = tmp_path / "crowd.yaml"
    file.write_text(yaml.safe_dump(fixtures), "utf-8")

    with running("--provider", "polar", "--fixtures", str(file)) as crowded, sign_in(crowded, "crowd") as client:
        for limit in (100, 101, 120, 121, 1000):
            first, second = (listed(client, {"limit": limit, "page": page}) for page in (1, 2))
            assert first["pagination"] == second["pagination"] == {"total_count": 121, "max_page": 2}
            assert [len(first["items"]), len(second["items"])] == [100, 21]
            assert len({wallet["id"] for wallet in first["items"] + second["items"]}) == 121


@pytest.mark.parametrize("page", ["4", "100", "9" * 18, "9" * 30])
def test_pages_past_the_last(paged: httpx.Client, page: str) -> None:
    """Empty, with true totals, however far."""
    assert listed(paged, {"page": page}) == {"items": [], "pagination": {"total_count": PAGED, "max_page": 3}}


def test_defaults(paged: httpx.Client) -> None:
    """Nothing given is page 1, ten wallets, newest first (7)."""
    spelled = {"page": "1", "limit": "10", "sorting": "-created_at"}

    assert paged.get("/").content == paged.get("/", params=spelled).content
    assert len(paged.get("/").json()["items"]) == 10


# ---------------------------------------------------------------- sorting


@pytest.mark.parametrize(
    "criteria",
    [
        ["created_at"],
        ["-created_at"],
        ["balance"],
        ["-balance"],
        ["balance", "created_at"],
        ["-balance", "-created_at"],
        ["balance", "-created_at"],
        ["created_at", "-balance"],
        ["balance", "-balance"],
        ["created_at", "created_at", "balance"],
    ],
    ids=",".join,
)
def test_sorting_by_criteria(paged: httpx.Client, criteria: list[str]) -> None:
    """Neighbours respect the first criterion, among its equals the second, and so on (6)."""
    items = listed(paged, [("limit", 100), *(("sorting", criterion) for criterion in criteria)])["items"]

    def key(wallet: Body) -> list[float]:
        values = {"balance": wallet["balance"], "created_at": datetime.fromisoformat(wallet["created_at"]).timestamp()}
        return [-values[c[1:]] if c.startswith("-") else values[c] for c in criteria]

    assert all(key(before) <= key(after) for before, after in pairwise(items))
    assert len(items) == PAGED


def test_opposite_sortings_are_mirror_images(polar: httpx.Client) -> None:
    """Where no two are equal, descending is ascending turned round (6)."""
    for field in ("created_at", "balance"):
        up, down = (listed(polar, {"sorting": criterion})["items"] for criterion in (field, f"-{field}"))
        assert up == down[::-1]


def test_order_does_not_change_what_is_counted(paged: httpx.Client) -> None:
    """Total and set of ids are the same in any order (5)."""
    pages = [listed(paged, {"limit": 100, "sorting": s}) for s in ("created_at", "-created_at", "balance", "-balance")]

    assert len({frozenset(wallet["id"] for wallet in page["items"]) for page in pages}) == 1
    assert {page["pagination"]["total_count"] for page in pages} == {PAGED}


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("query", "like"),
    [
        ("limit=1_0", "limit=10"),
        ("limit=01", "limit=1"),
        ("limit=007", "limit=7"),
        ("limit=1.0", "limit=1"),
        ("limit=2.00", "limit=2"),
        ("limit=%202", "limit=2"),
        ("limit=2%20", "limit=2"),
        ("limit=+2", "limit=2"),
        ("limit=%2B2", "limit=2"),
        ("page=1_0", "page=10"),
        ("page=2.0&limit=5", "page=2&limit=5"),
        ("limit=3&limit=5", "limit=5"),
        ("limit=0&limit=5", "limit=5"),
        ("limit=x&limit=5&page=x&page=2", "limit=5&page=2"),
        ("sorting=balance&sorting=balance", "sorting=balance"),
        ("sorting=balance&sorting=-balance", "sorting=balance"),
        ("PAGE=2", ""),
        ("Limit=3", ""),
        ("sorting[]=balance", ""),
        ("sorting%5B%5D=up", ""),
        ("unheard_of=1&organization_id=x", ""),
        ("&&", ""),
    ],
)
def test_parameters_are_read_leniently(paged: httpx.Client, query: str, like: str) -> None:
    """Whole numbers in several spellings, the last of a repeated one, first criteria first, unknown names ignored."""
    answer = paged.get(f"/?{query}")

    assert answer.status_code == 200, answer.text
    assert answer.content == paged.get(f"/?{like}").content


def parsing(name: str, given: str) -> Body:
    """The entry for what is no whole number."""
    message = "Input should be a valid integer, unable to parse string as an integer"
    return {"type": "int_parsing", "loc": ["query", name], "msg": message, "input": given}


def too_small(name: str, given: str) -> Body:
    """The entry for a whole number below 1."""
    message = "Input should be greater than 0"
    return {"type": "greater_than", "loc": ["query", name], "msg": message, "input": given, "ctx": {"gt": 0}}


def no_criterion(index: int, given: str) -> Body:
    """The entry for an unknown criterion."""
    words = "'created_at', '-created_at', 'balance' or '-balance'"
    place = ["query", "sorting", index]
    return {"type": "enum", "loc": place, "msg": f"Input should be {words}", "input": given, "ctx": {"expected": words}}


@pytest.mark.parametrize("name", ["page", "limit"])
@pytest.mark.parametrize(
    "text", ["", "abc", "1.5", "1e1", "0x1", "true", "null", "١", "１", "1 0", "--1", "1__0", "_1", "1,0", "∞"]
)
def test_what_is_no_whole_number(paged: httpx.Client, name: str, text: str) -> None:
    """One entry with the text as it was sent."""
    assert_422(paged.get("/", params={name: text}), parsing(name, text))


@pytest.mark.parametrize("name", ["page", "limit"])
@pytest.mark.parametrize("text", ["0", "-1", "-0", "00", "0.0", "-100", "-" + "9" * 30])
def test_numbers_below_one(paged: httpx.Client, name: str, text: str) -> None:
    """One entry, which says what it must be greater than."""
    assert_422(paged.get("/", params={name: text}), too_small(name, text))


@pytest.mark.parametrize(
    "text",
    ["", "foo", "null", "Balance", "-BALANCE", "--balance", "+balance", " balance", "balance ", "balance,created_at", "id"],
)
def test_what_is_no_criterion(paged: httpx.Client, text: str) -> None:
    """Sorting is exact; the place of the bad one is told."""
    assert_422(paged.get("/", params={"sorting": text}), no_criterion(0, text))
    assert_422(paged.get("/", params=[("sorting", "balance"), ("sorting", text)]), no_criterion(1, text))


@pytest.mark.parametrize(
    ("query", "entries"),
    [
        ("limit=x&page=0", [too_small("page", "0"), parsing("limit", "x")]),
        ("sorting=a&sorting=balance&sorting=b&limit=0", [too_small("limit", "0"), no_criterion(0, "a"), no_criterion(2, "b")]),
        ("sorting=a&limit=x&page=x", [parsing("page", "x"), parsing("limit", "x"), no_criterion(0, "a")]),
        ("limit=5&limit=0", [too_small("limit", "0")]),
        ("page=1&page=&limit=", [parsing("page", ""), parsing("limit", "")]),
    ],
)
def test_everything_wrong_is_told_at_once(paged: httpx.Client, query: str, entries: list[Body]) -> None:
    """In the order page, limit, sorting, whatever the order in the query."""
    assert_422(paged.get(f"/?{query}"), *entries)


@pytest.mark.parametrize("text", ["9" * 4301, "-" + "9" * 4301, "1" + "_0" * 3000])
def test_numbers_of_thousands_of_digits(paged: httpx.Client, text: str) -> None:
    """More digits than a parser takes are refused or clamped, never a 5xx."""
    for name in ("page", "limit"):
        assert paged.get("/", params={name: text}).status_code in (200, 422)


def test_get_ignores_all_parameters(polar: httpx.Client) -> None:
    """What would be wrong in a list is nothing to one wallet."""
    wallet = listed(polar)["items"][0]

    assert polar.get(f"/{wallet['id']}", params={"page": "0", "sorting": "up", "x": "y"}).json() == wallet


# ---------------------------------------------------------------- get: ids


@pytest.mark.parametrize(
    "spelling",
    [
        lambda u: u.upper(),
        lambda u: u.replace("-", ""),
        lambda u: u.replace("-", "").upper(),
        lambda u: "{" + u + "}",
        lambda u: "urn:uuid:" + u,
        lambda u: u[:20].upper() + u[20:],
    ],
    ids=["upper", "plain", "plain upper", "braces", "urn", "mixed"],
)
def test_spellings_of_an_id(polar: httpx.Client, spelling: Any) -> None:
    """All are the same wallet, answered byte for byte with the canonical id; of an unknown one, the same 404 (11)."""
    for wallet_id, status in ((listed(polar)["items"][0]["id"], 200), (UNKNOWN, 404)):
        canonical, other = polar.get(f"/{wallet_id}"), polar.get(f"/{spelling(wallet_id)}")
        assert (canonical.status_code, other.status_code) == (status, status)
        assert other.content == canonical.content


def test_id_that_is_no_uuid(polar: httpx.Client) -> None:
    """One entry, with the reason that the library gives, twice."""
    reason = "invalid length: expected length 32 for simple format, found 3"
    assert_422(
        polar.get("/abc"),
        {
            "type": "uuid_parsing",
            "loc": ["path", "id"],
            "msg": f"Input should be a valid UUID, {reason}",
            "input": "abc",
            "ctx": {"error": reason},
        },
    )


@pytest.mark.parametrize(
    "text",
    ["x", "ü", "%20", "null", "0", UNKNOWN[:-1], f"{UNKNOWN}0", f"{UNKNOWN} ", UNKNOWN.replace("9", "g"), "(" + UNKNOWN + ")"],
)
def test_ids_that_are_no_uuids(polar: httpx.Client, text: str) -> None:
    """422 `uuid_parsing` with the text as it was sent."""
    (entry,) = polar.get(f"/{text}").json()["detail"]

    assert (entry["type"], entry["loc"]) == ("uuid_parsing", ["path", "id"])
    assert entry["input"] == (" " if text == "%20" else text)


@pytest.mark.parametrize(
    "wallet_id",
    [
        "00000000-0000-0000-0000-000000000000",
        "2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d",
        "018f3b5e-7c1a-7d2b-9a3c-0123456789ab",
        "5df41881-3aed-3515-88a7-2f4a814cf09e",
        "9f0c7a44-6a3c-4d5e-0b1a-0123456789ab",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ],
    ids=["nil", "1", "7", "3", "variant", "max"],
)
def test_uuids_of_another_version(polar: httpx.Client, wallet_id: str) -> None:
    """A UUID all right, but not of version 4, or of another variant."""
    expected = {"expected_version": 4}
    entry = {"type": "uuid_version", "loc": ["path", "id"], "msg": "UUID version 4 expected", "input": wallet_id, "ctx": expected}

    assert_422(polar.get(f"/{wallet_id}"), entry)


def test_two_customers_see_nothing_of_each_other(mock: Mock, polar: httpx.Client, paged: httpx.Client) -> None:
    """Disjoint ids; another's wallet is, byte for byte and header for header, a wallet that does not exist (8)."""
    with sign_in(mock, "bob") as bob:
        clients = {"ada": polar, "paged": paged, "bob": bob}
        ids = {name: [wallet["id"] for wallet in listed(client, {"limit": 100})["items"]] for name, client in clients.items()}
        assert len({i for own in ids.values() for i in own}) == sum(map(len, ids.values()))

        for name, client in clients.items():
            unknown = client.get(f"/{uuid.uuid4()}")
            assert (unknown.status_code, unknown.content) == (404, NOT_FOUND)
            for foreign in (i for other, own in ids.items() if other != name for i in own):
                answer = client.get(f"/{foreign}")
                assert (answer.status_code, answer.content) == (404, NOT_FOUND)
                assert {**answer.headers, "date": ""} == {**unknown.headers, "date": ""}


# ---------------------------------------------------------------- tokens


def test_tokens_by_kind_of_session(mock: Mock) -> None:
    """Customer sessions have one prefix, member sessions another, then 37 alphanumerics and a checksum of six."""
    for name, customer in CUSTOMERS.items():
        prefix = {"customer": "polar_cst_", "member": "polar_mst_"}[customer.get("session", "customer")]
        assert re.fullmatch(prefix + "[0-9A-Za-z]{43}", token(mock, name))


def test_members_with_a_role_may_look(mock: Mock) -> None:
    """An owner's member session works like a customer's."""
    with sign_in(mock, "bob") as client:
        assert listed(client)["pagination"]["total_count"] == 2


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer    {}", "bEaReR  {}"])
def test_scheme_in_any_case(mock: Mock, bare: httpx.Client, form: str) -> None:
    """Case does not matter, and neither do more spaces before the token."""
    answer = bare.get(f"{PORTAL}/", headers={"authorization": form.format(token(mock, "ada"))})

    assert answer.status_code == 200


@pytest.mark.parametrize("form", ["Bearer {} x", "Bearer {}x", "Bearer x{}", "Bearer {},", 'Bearer "{}"', "Bearer {0} {0}"])
def test_anything_around_the_token_makes_it_invalid(mock: Mock, bare: httpx.Client, form: str) -> None:
    """A token is the whole of what follows the scheme."""
    answer = bare.get(f"{PORTAL}/", headers={"authorization": form.format(token(mock, "ada"))})

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Bearer",
        b"Basic YWRhOnBhc3M=",
        b"Token {token}",
        b"{token}",
        "Bearer ünïcødé".encode(),
        b"Bearer polar_oat_" + b"x" * 43,
        b"Bearer polar_pat_" + b"x" * 43,
        b"Bearer polar_at_u_" + b"x" * 43,
        b"Bearer polar_at_o_" + b"x" * 43,
        b"Bearer polar_crt_" + b"x" * 43,
    ],
)
def test_no_usable_token(mock: Mock, bare: httpx.Client, authorization: bytes) -> None:
    """Another scheme, nothing, not ASCII, or a token of another kind of caller: as if there were none (14)."""
    authorization = authorization.replace(b"{token}", token(mock, "ada").encode())
    for path in (f"{PORTAL}/", f"{PORTAL}/?limit=0", f"{PORTAL}/{UNKNOWN}", f"{PORTAL}/abc"):
        answer = bare.get(path, headers={b"authorization": authorization})
        assert (answer.status_code, answer.content) == (401, UNAUTHORIZED)


def test_expired_token(mock: Mock, bare: httpx.Client) -> None:
    """Like a token that never was, and on unknown paths as well; never 403 (15)."""
    expired, unknown = ({"authorization": f"Bearer {t}"} for t in (token(mock, "lapsed"), "polar_cst_" + "y" * 43))
    for path in (f"{PORTAL}/", f"{PORTAL}/{UNKNOWN}", PORTAL, "/v1/customer-portal/nowhere"):
        answer = bare.get(path, headers=expired)
        assert answer.status_code == 401
        assert answer.content == bare.get(path, headers=unknown).content


# ---------------------------------------------------------------- precedence


# What can be wrong with a request, the first of which is answered.
WRONG: list[tuple[str, int, bytes]] = [
    ("version", 404, NO_ROUTE),
    ("token", 401, b'{"error": "invalid_token"'),
    ("route", 404, NO_ROUTE),
    ("method", 405, WRONG_METHOD),
    ("auth", 401, UNAUTHORIZED),
    ("role", 403, NOT_PERMITTED),
    ("parameters", 422, b'{"error":"RequestValidationError"'),
    ("lookup", 404, NOT_FOUND),
]


@pytest.mark.parametrize("path", ["list", "get"])
def test_precedence(mock: Mock, bare: httpx.Client, path: str) -> None:
    """Of any two things that are wrong with a request the earlier in the provider's order is answered."""
    kinds = [entry for entry in WRONG if path == "get" or entry[0] != "lookup"]
    for place, (first, status, body) in enumerate(kinds):
        for second in [first, *(name for name, _, _ in kinds[place + 1 :])]:
            wrong = {first, second}
            if len(wrong & {"token", "auth", "role"}) > 1:
                continue  # one header cannot be wrong in two ways
            headers = {"authorization": f"Bearer {token(mock, 'employee' if 'role' in wrong else 'ada')}"}
            if "token" in wrong:
                headers["authorization"] = "Bearer polar_cst_unknown"
            if "auth" in wrong:
                del headers["authorization"]
            if "version" in wrong:
                headers["polar-version"] = "2027-01"
            url = f"{PORTAL}/"
            if path == "get":
                url += "abc" if "parameters" in wrong else UNKNOWN
            elif "parameters" in wrong:
                url += "?limit=0"
            if "route" in wrong:
                url = url.replace("/wallets/", "/nowhere/")
            answer = bare.request("DELETE" if "method" in wrong else "GET", url, headers=headers)
            assert answer.status_code == status, wrong
            assert answer.content.startswith(body), wrong


# ---------------------------------------------------------------- redirects, alias


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (PORTAL, f"{PORTAL}/"),
        (f"{PORTAL}/{UNKNOWN}/", f"{PORTAL}/{UNKNOWN}"),
        (f"{PORTAL}/abc/", f"{PORTAL}/abc"),
    ],
)
@pytest.mark.parametrize("query", ["", "?page=2&limit=5&sorting=balance", "?x=%20y&x=%2F"])
def test_redirects_put_the_slash_right(bare: httpx.Client, path: str, target: str, query: str) -> None:
    """307 with an absolute location made from the Host header, query kept, empty body, no token needed."""
    for host in ("wallets.localhost:8080", "localhost"):
        answer = bare.get(path + query, headers={"host": host})
        assert (answer.status_code, answer.content) == (307, b"")
        assert answer.headers["location"] == f"http://{host}{target}{query}"


def test_redirects_can_be_followed(mock: Mock, paged: httpx.Client) -> None:
    """Who follows arrives at what was meant."""
    for prefix in ("", "/api"):
        answer = paged.get(f"{mock.url}{prefix}{PORTAL}", params={"limit": 3}, follow_redirects=True)

        assert [response.status_code for response in answer.history] == [307]
        assert answer.content == paged.get("/", params={"limit": 3}).content


def test_invalid_token_comes_before_a_redirect(bare: httpx.Client) -> None:
    """A bad token is noticed first."""
    assert bare.get(PORTAL, headers={"authorization": "Bearer x"}).status_code == 401


def test_api_prefix(mock: Mock, polar: httpx.Client, bare: httpx.Client) -> None:
    """Everything is served under /api as well, the same but for a notice that it is deprecated."""
    wallet_id = listed(polar)["items"][0]["id"]
    headers = {"authorization": polar.headers["authorization"]}
    for path in (f"{PORTAL}/", f"{PORTAL}/?limit=2", f"{PORTAL}/{wallet_id}", f"{PORTAL}/{UNKNOWN}", f"{PORTAL}/?limit=0"):
        old, new = bare.get(f"/api{path}", headers=headers), bare.get(path, headers=headers)
        assert (old.status_code, old.content) == (new.status_code, new.content)
        assert old.headers["x-polar-deprecation-notice"]
        assert "x-polar-deprecation-notice" not in new.headers
    assert bare.get(f"/api{PORTAL}/").status_code == 401
    assert bare.delete(f"/api{PORTAL}/").status_code == 405
    assert bare.get("/api/v1/customer-portal/nowhere").status_code == 404


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("given", "in_force"), [(None, "2026-04"), ("", "2026-04"), ("2026-04", "2026-04"), ("2026-10", "2026-10")]
)
def test_version_in_force(polar: httpx.Client, given: str | None, in_force: str) -> None:
    """Absent or empty means 2026-04; wallets are the same in both versions."""
    headers = {} if given is None else {"polar-version": given}
    wallet_id = listed(polar)["items"][0]["id"]
    for path in ("/", f"/{wallet_id}", f"/{UNKNOWN}", "/abc"):
        answer = polar.get(path, headers=headers)
        assert answer.headers["polar-version"] == in_force
        assert answer.content == polar.get(path).content


@pytest.mark.parametrize("version", ["2027-01", "2026-4", "latest", "2026-04,2026-10", "v1"])
def test_version_that_there_is_not(polar: httpx.Client, version: str) -> None:
    """404 as for an unknown route, without the headers of normal answers."""
    answer = polar.get("/", headers={"polar-version": version})

    assert (answer.status_code, answer.content) == (404, NO_ROUTE)
    assert not {"polar-version", "cache-control"} & set(answer.headers)


def test_headers_of_normal_answers(polar: httpx.Client) -> None:
    """JSON, compactly written, with version and caching told; Accept is ignored, and nothing is said to pages of no origin."""
    wallet_id = listed(polar)["items"][0]["id"]
    for path in ("/", f"/{wallet_id}", f"/{UNKNOWN}", "/abc", "/?limit=0"):
        for accept in ("*/*", "text/html", "application/xml;q=1"):
            answer = polar.get(path, headers={"accept": accept})
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["polar-version"] == "2026-04"
            assert answer.headers["cache-control"] == "private, no-store"
            assert '": ' not in answer.text
            assert "access-control-allow-origin" not in answer.headers
            assert not {"server", "x-request-id", "access-control-allow-credentials"} & set(answer.headers)


def test_population_has_tokens_too(mock: Mock) -> None:
    """A member of the population sees its own wallets with the token that the control tells."""
    for index, kinds in ((0, ["usd"]), (1, ["usd", "eur"]), (998, ["usd"])):
        member = httpx.get(f"{mock.url}/_mock/population/polar/{index}").json()
        headers = {"authorization": f"Bearer {member['token']}"}
        with httpx.Client(base_url=mock.url + PORTAL, headers=headers) as client:
            items = listed(client)["items"]
        assert {wallet["customer_id"] for wallet in items} == {member["ids"]["customer"]}
        assert sorted(wallet["currency"] for wallet in items) == sorted(kinds)
