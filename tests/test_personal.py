"""Pseudonyms: nothing that people chose, and no secret, survives, however it is spelled; what rules judge stays as it was."""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from canaries import ECHO, HEADERS, KEY, PERSON, survivors

from contract_tests.exchange import Exchange, Request, Response
from contract_tests.traffic.personal import Pseudonyms

WALLET, CUSTOMER, ROW = (
    "wallet_01KSF5FR5GR5VX5PHQ9E1Y7PCJ",
    "cust_01KSF5FR5GR5VX5PHQ9E1Y7PCK",
    "wtxn_01KSF5FR5GR5VX5PHQ9E1Y7PCM",
)


def exchange(
    body: Any = None,
    answer: Any = None,
    *,
    method: str = "POST",
    path: str = "/v1/wallets",
    query: bytes = b"",
    headers: dict[str, str] | None = None,
    answered: dict[str, str] | None = None,
    status: int = 200,
    params: dict[str, str] | None = None,
) -> Exchange:
    """An exchange; bodies are JSON unless they are bytes."""
    request = Request(method, path, query, _raw(headers or {}), _bytes(body), params)
    return Exchange(request, Response(status, _raw(answered or {}), _bytes(answer)))


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()


def everything(seen: Exchange) -> str:
    """All texts of an exchange, a line each."""
    request, response = seen.request, seen.response
    parts = [request.path.encode(), request.query_string, request.body, response.body, *request.path_params.values()]
    parts += [part for header in (*request.headers, *response.headers) for part in header]
    texts = [part if isinstance(part, str) else part.decode("utf-8", "replace") for part in parts]
    return "\n".join([*texts, response.body.decode("latin-1")])


@pytest.mark.parametrize(
    "seen",
    [
        exchange(PERSON, PERSON, headers=HEADERS, answered={"set-cookie": "sid=sessionvaluezzz", "x-owner": "Quillfeather"}),
        exchange(PERSON, {"error": {"code": "not_found", "message": ECHO}}, headers=HEADERS, status=404),
        exchange(
            json.dumps(PERSON, ensure_ascii=False).encode("utf-16"), json.dumps(PERSON, ensure_ascii=False).encode("utf-8-sig")
        ),
        exchange(json.dumps(PERSON)[:-40].encode(), b"\n".join([_bytes(PERSON), _bytes(PERSON)])),
        exchange(b"&".join(f"{quote(n)}={quote_plus(str(v))}".encode() for n, v in PERSON.items()), None),
        exchange(None, f"<html><body title='Quillfeather'>Hello {PERSON['name']}, {ECHO}</body></html>".encode(), status=502),
        exchange(None, json.dumps("Zoraïde Quillfeather").encode()),
        exchange(None, b"[" * 5000 + b'"Quillfeather"'),
        exchange(None, "Zora\u00efde".encode("latin-1")),
        exchange(
            path="/v1/customers/zora.q%2Bvip%40quillmail.test/Quillworks/Zora%C3%AFde",
            query=b"lookup_key=ZORA.Q%2Bvip%40quillmail.test&name=Quillfeather&status=%D0%96%D1%83%D0%BA%D0%BE%D0%B2%D0%B0",
        ),
        exchange(path="/v1/customers/quillfeather/wallets", params={"id": "quillfeather"}),
    ],
    ids=["members", "message", "wide", "half", "form", "page", "text", "deep", "latin-1", "address", "parameter"],
)
def test_nothing_survives(seen: Exchange) -> None:
    """Names, addresses, numbers, keys and tokens are gone from every part of an exchange, however they were spelled."""
    assert survivors(everything(seen))
    pseudonyms = Pseudonyms()
    clean = pseudonyms.exchange(seen)
    assert survivors(everything(clean)) == []
    assert survivors(repr(pseudonyms.replaced)) == []


def test_what_is_known_is_found_in_texts() -> None:
    """A text without any form of its own loses what exchanges taught, in whatever spelling, and nothing else."""
    pseudonyms = Pseudonyms()
    pseudonyms.exchange(exchange(PERSON, headers=HEADERS))
    text = pseudonyms.text(f"/items/0: expected a wallet of {CUSTOMER}, got {ECHO!r}, 12.50 usd at 2026-07-01T12:00:00Z")
    assert survivors(text) == []
    assert text.startswith(f"/items/0: expected a wallet of {CUSTOMER}, got ")
    assert text.endswith(", 12.50 usd at 2026-07-01T12:00:00Z")


def test_the_same_becomes_the_same() -> None:
    """One replacement for one value: in other letters, alone or in a text, in bodies, addresses and later exchanges."""
    pseudonyms = Pseudonyms()
    clean = pseudonyms.exchange(exchange(PERSON, {"error": {"message": ECHO}}, headers=HEADERS, status=404))
    body = json.loads(clean.request.body)
    mail = body["email"]
    assert body["external_customer_id"] == mail
    assert mail in body["metadata"]
    assert f"'{mail}'" in json.loads(clean.response.body)["error"]["message"]
    assert body["name"] == f"{body['firstName']} {body['last_name']}"
    assert clean.request.header[b"x-user"].decode() == body["name"]
    assert body["name"].replace(" ", "_") in json.loads(clean.response.body)["error"]["message"]
    later = pseudonyms.exchange(
        exchange(method="GET", query=b"lookup_key=zora.q%2Bvip%40QUILLMAIL.test", path="/v1/customers/wallets")
    )
    assert later.request.query == [("lookup_key", mail)]
    assert re.fullmatch(r"[a-z0-9.]+@example\.(com|org|net)", mail)


def test_a_name_is_known_before_it_is_said_to_be_one() -> None:
    """A message that comes before the member which holds the name loses it as well."""
    body = {"error": {"message": "no zoraide left"}, "customer": {"name": "Zoraïde"}}
    clean = Pseudonyms().exchange(exchange(None, body, status=400))
    assert survivors(clean.response.body.decode()) == []


def test_different_values_stay_different() -> None:
    """Two customers never become one, also when all that Faker knows is used up."""
    people = [{"email": f"p{n}@quillmail.test", "address_state": f"Bundesland {n}"} for n in range(80)]
    clean = json.loads(Pseudonyms().exchange(exchange({"people": people})).request.body)["people"]
    for name in ("email", "address_state"):
        assert len({person[name] for person in clean}) == len(people)


def test_what_rules_judge_stays() -> None:
    """Amounts, states, currencies, times, rates and the server's own ids are as they were, to the byte."""
    body = (
        f'{{ "id":"{WALLET}", "customer_id":"{CUSTOMER}","balance":"12345678.50" ,"credit_balance": 12.50,\n'
        '"big":18446744073709551614,'
        '"currency":"usd","wallet_status":"frozen","wallet_type":"PRE_PAID","alert_state":"in_alarm",'
        '"name":"Prepaid Wallet - USD","created_at":"2026-07-01T12:00:00.000001Z","config":{"allowed_price_types":["USAGE"]},'
        f'"metadata":{{"auto_topup":"true","consumed_credit_tx_ids":"{ROW},{ROW}","n":"12"}},"a":1,"a":1e3,"x":null,'
        '"auto_topup":{"cooldown":{"value":1,"unit":"day"}},"transaction_reason":"CREDIT_NOTE","amount":"100000000000",'
        '"conversion_rate":"1.50000"}'
    ).encode()
    seen = exchange(
        None,
        body,
        method="GET",
        path=f"/v1/wallets/{WALLET}/balance/real-time-cached",
        query=b"limit=10&offset=0&order=asc&expand=credits_available_breakdown&status=active&sorting=-created_at",
        headers={
            "content-type": "application/json",
            "accept": "*/*",
            "date": "Sat, 21 Nov 2026 18:29:00 GMT",
            "prefer": "code=404",
        },
        params={"id": WALLET},
    )
    pseudonyms = Pseudonyms()
    clean = pseudonyms.exchange(seen)
    assert clean.response.body == body
    assert everything(clean) == everything(seen)
    assert pseudonyms.replaced == []


def test_errors_stay_readable() -> None:
    """What a server says of a mistake stays, but for names in it."""
    body = {
        "success": False,
        "error": {"code": "not_found", "message": f"Wallet {WALLET} was not found", "details": {"http_status_code": 404}},
    }
    assert json.loads(Pseudonyms().exchange(exchange(None, body, status=404)).response.body) == body
    page = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
    assert Pseudonyms().exchange(exchange(None, page, status=502)).response.body == page
    named = {"error": {"message": "No customer Hroswitha McUhl-Uhlenbrock here, try Wallet or JSON"}}
    message = json.loads(Pseudonyms().exchange(exchange(None, named, status=404)).response.body)["error"]["message"]
    assert "Hroswitha" not in message
    assert "Uhlenbrock" not in message
    assert message.endswith(" here, try Wallet or JSON")


def test_replacements_are_not_replaced_and_follow_the_seed() -> None:
    """Twice is as good as once; a seed gives the same again, another something else; what was there does not count."""
    seen = exchange(PERSON, {"error": {"message": ECHO}}, headers=HEADERS, status=404, query=b"name=Quillfeather")
    pseudonyms = Pseudonyms(3)
    once = pseudonyms.exchange(seen)
    assert everything(pseudonyms.exchange(once)) == everything(once)
    assert everything(Pseudonyms(3).exchange(seen)) == everything(once)
    assert everything(Pseudonyms(4).exchange(seen)) != everything(once)
    other = [Pseudonyms(3).exchange(exchange({"email": mail})).request.body for mail in ("a@quillmail.test", "b@quillmail.test")]
    assert other[0] == other[1]


def test_the_list_says_what_and_where() -> None:
    """Kind, replacement, places with stars for lists, and how often; secrets too."""
    pseudonyms = Pseudonyms()
    people = [{"email": "zora.q+vip@quillmail.test"}, {"email": "zora.q+vip@quillmail.test"}]
    pseudonyms.exchange(exchange({"people": people, "password": "hunter2correcthorse"}, headers={"x-api-key": KEY}))
    mail, secret = pseudonyms.replaced
    assert (mail.kind, mail.where, mail.count) == ("e-mail", ("request body/people/*/email",), 2)
    assert (secret.kind, secret.replacement, secret.count) == ("secret", "***", 2)


def test_lengths_are_those_of_the_new_bodies() -> None:
    """`content-length` follows the body."""
    seen = exchange(PERSON, headers={"content-length": "999"})
    clean = Pseudonyms().exchange(seen)
    assert int(clean.request.header[b"content-length"]) == len(clean.request.body)


def test_thousands_that_begin_alike() -> None:
    """Each request has an id of its own, and all begin alike: the ten-thousandth takes no longer than the first."""
    pseudonyms = Pseudonyms()
    begun = time.process_time()
    for number in range(10_000):
        pseudonyms.exchange(exchange(answered={"x-request-id": f"req-{number}-of-day"}))
    assert time.process_time() - begun < 12


def test_numbers_of_people() -> None:
    """A birthday, a phone or a number of somebody is personal however it is written; amounts stay."""
    body = {
        "birth_year": 1984,
        "dob": 19840312,
        "house_number": 1247,
        "metadata": {"kontakt": 4917612345678},
        "amount": 4917612345678,
    }
    clean = json.loads(Pseudonyms().exchange(exchange(body)).request.body)

    assert clean["amount"] == body["amount"]
    assert not {"1984", "19840312", "1247", "4917612345678"} & set(
        map(str, (clean["birth_year"], clean["dob"], clean["house_number"], clean["metadata"]["kontakt"]))
    )


@pytest.mark.parametrize("sign", ["a", "\\", "."])
def test_long_runs_of_one_sign(sign: str) -> None:
    """Time grows with the length of a message, not with its square."""
    before = time.process_time()
    Pseudonyms().exchange(exchange({}, {"message": sign * 100_000}, status=400, answered={"content-type": "application/json"}))
    assert time.process_time() - before < 5
