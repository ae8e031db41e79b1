"""Personal data and secrets that must not survive, and how to find them, however they are spelled."""

from __future__ import annotations

import base64
import html
import json
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote, unquote_plus

KEY, TOKEN = "sk_live_4eC39HqLyjWDarjtT1zdp7dc", "polar_cst_Zq8TqqXrwGWaFHTVwGc2wQltrZKpGZyKBjbr23ZDwXx"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ6b3JhIn0.dozjgNryP4J3jVmNHl0w5N"

# What must not survive. The words of a name count on their own.
NAMES = ["Zoraïde", "Quillfeather", "Ünsal", "Bräsigke", "山田太郎", "Жукова"]
CANARIES = [
    *NAMES,
    "zora.q+vip@quillmail.test",
    "quillmail",
    "+49 1512 7654321",
    "(415) 867-5309",
    "DE89370400440532013000",
    "4111 1111 1111 1111",
    "84.17.46.99",
    "2a02:810a:1::77fe",
    "Dachshundgasse",
    "Wolkenkuckucksheim",
    "98127-44",
    "1987-03-14",
    "078-05-1120",
    "quillzora77",
    "Quillworks",
    KEY,
    TOKEN,
    "hunter2correcthorse",
    "sessionvaluezzz",
    JWT,
]


def readings(text: str) -> Iterator[str]:
    """A text as anybody might decode it."""
    yield text
    yield re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    yield unquote_plus(text)
    yield unquote_plus(unquote_plus(text))
    yield html.unescape(text)
    yield text.replace("\0", "")
    for word in re.findall(r"[A-Za-z0-9+/=_-]{12,}", text):
        try:
            yield base64.b64decode(word.replace("-", "+").replace("_", "/") + "==").decode("utf-8", "replace")
        except ValueError:
            continue


def survivors(text: str) -> list[str]:
    """The canaries that are in a text, in any spelling."""
    plain = [_plain(reading) for reading in readings(text)]
    return [canary for canary in CANARIES if any(_plain(canary) in reading for reading in plain)]


def _plain(text: str) -> str:
    """Letters and digits only, without case and accents."""
    bare = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in bare if sign.isalnum())


PERSON = {
    "customer_id": "cust_01KSF5FR5GR5VX5PHQ9E1Y7PCK",
    "external_customer_id": "zora.q+vip@quillmail.test",
    "name": "Zoraïde Quillfeather",
    "firstName": "Zoraïde",
    "last_name": "Quillfeather",
    "email": "ZORA.Q+VIP@Quillmail.test ",
    "contact": {"phone": "+49 1512 7654321", "mobile": 4915127654321, "user_name": "quillzora77"},
    "address_line1": "Dachshundgasse 5",
    "address_city": "Wolkenkuckucksheim",
    "address_postal_code": "98127-44",
    "company": "Quillworks GmbH",
    "date_of_birth": "1987-03-14",
    "ip_address": "84.17.46.99",
    "description": "Wallet of Ünsal Bräsigke, called 山田太郎",
    "tags": ["Zoraïde", "Жукова", ["(415) 867-5309"]],
    "metadata": {
        "zora.q+vip@quillmail.test": "x",
        "Ünsal Bräsigke": "y",
        "zoraide_quillfeather": "z",
        "iban": "DE89 3704 0044 0532 0130 00",
        "card": 4111111111111111,
        "ssn": "078-05-1120",
        "status": "Quillfeather",
        "nested": {"type": "Жукова", "list": [{"code": "Bräsigke"}]},
        "json": json.dumps({"email": "zora.q+vip@quillmail.test"}),
        "b64": base64.b64encode(b"zora.q+vip@quillmail.test").decode(),
        "login": {"password": "hunter2correcthorse", "token": {"value": JWT}},
        "note": f"key {KEY}",
    },
    "idempotency_key": "topup-zora.q+vip@quillmail.test",
    "secret": "hunter2correcthorse",
}
HEADERS = {
    "x-api-key": KEY,
    "authorization": f"Bearer {TOKEN}",
    "cookie": "sid=sessionvaluezzz; theme=dark",
    "referer": "https://app.example.com/people/zora.q%2Bvip%40quillmail.test/Quillfeather?who=Zora%C3%AFde+Quillfeather",
    "user-agent": "shop/1.0 (+mailto:zora.q+vip@quillmail.test)",
    "x-forwarded-for": "84.17.46.99, 2a02:810a:1::77fe",
    "x-user": "Zoraïde Quillfeather",
    "x-note": "zoraide.quillfeather",
    "from": "zora.q+vip@quillmail.test",
    "content-type": "application/json",
}
IN_BASE64 = base64.b64encode(b'{"who": "zora.q+vip@quillmail.test"}').decode()
ECHO = (
    "Customer 'zora.q+vip@quillmail.test' (ZORAÏDE  QUILLFEATHER, zoraide_quillfeather, ZoraideQuillfeather, Zorai\u0308de) by "
    f"{KEY}, {quote('zora.q+vip@quillmail.test')}, Zora\\u00efde, DE89 3704 0044 0532 0130 00, 4111-1111-1111-1111 "
    f"or {IN_BASE64} was not found for Ünsal Bräsigke, see {JWT}"
)
