"""Surprises: what makes a lawful answer a rare one, whoever the provider."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from contract_tests.references import resolved
from mock_server.faults.fault import SurpriseName
from mock_server.flexprice.money import wire

ABOUT: Mapping[SurpriseName, str] = {
    "no-optionals": "Every field that the contract does not require is absent",
    "longest-strings": "Names of 255 characters, descriptions and metadata of thousands",
    "new-strings": "Currencies and texts that no client has seen before: markup, quotes, line feeds, the word null",
    "zero-amounts": "Every amount is 0",
    "huge-amounts": "Amounts up to the most that the provider can store",
    "empty-page": "A page without items, as after the last one",
    "unicode-names": "Names, descriptions and metadata far beyond ASCII",
}

_EXACT = Context(prec=60)
_DECIMAL = re.compile(r"-?\d{1,40}(\.\d{1,40})?")


@dataclass(frozen=True)
class Texts:
    """What stands in place of free text."""

    name: str
    description: str
    metadata: Mapping[str, str]


TEXTS: Mapping[SurpriseName, Texts] = {
    "longest-strings": Texts("W" * 255, "Words and words. " * 600, {"k" * 255: "v" * 5_000}),
    "new-strings": Texts(
        "null",
        "<b onclick=\"alert('1')\">Bold</b> & \\ %s {{name}} ${name}\n\tline two\r\nline three",
        {"": "", "true": "false", "__proto__": "constructor", "a b/c?d=e#f": '{"json": [1, "2"]}'},
    ),
    "unicode-names": Texts(
        "財布 محفظة кошелёк 👛👩‍👩‍👧‍👦 Zu\u0308rich \u202eright to left\u202c",
        "ﬁ ß İ ı Ǆ 𝒲𝒶𝓁𝓁ℯ𝓉 e\u0301\u0301\u0301 \u200bzero\u200dwidth\ufeff 🇺🇳 ก็็็",
        {"ключ": "значение", "鍵": "值", "🔑": "🗝️", "مفتاح": "قيمة"},
    ),
}


def amounts(body: Any, names: AbstractSet[str], outside: AbstractSet[str] = frozenset()) -> Iterator[Decimal]:
    """All amounts in a body: members of these names, but not within others."""
    if isinstance(body, list):
        for item in body:
            yield from amounts(item, names, outside)
    elif isinstance(body, dict):
        for name, value in body.items():
            if name in names and _is_amount(value):
                yield Decimal(value)
            elif name not in outside:
                yield from amounts(value, names, outside)


def largest_factor(found: Iterator[Decimal], limit: int) -> int:
    """The largest power of ten that keeps amounts below a limit; 1 if they have come that far."""
    largest = max((abs(amount) for amount in found), default=Decimal(0))
    factor = 1
    while largest and largest * factor * 10 < limit:
        factor *= 10
    return factor


def scaled(body: Any, factor: int, names: AbstractSet[str], outside: AbstractSet[str] = frozenset()) -> Any:
    """The body with all amounts times a factor: what sums and products held before, they hold after."""
    if isinstance(body, list):
        return [scaled(item, factor, names, outside) for item in body]
    if not isinstance(body, dict):
        return body
    result = {}
    for name, value in body.items():
        if name in names and _is_amount(value):
            result[name] = value * factor if isinstance(value, int) else wire(_EXACT.multiply(Decimal(value), Decimal(factor)))
        else:
            result[name] = value if name in outside else scaled(value, factor, names, outside)
    return result


def reworded(body: Any, texts: Texts | None, *, currencies: bool) -> Any:
    """The body with other texts in its free text, and with other currencies (the same for the same)."""
    if isinstance(body, list):
        return [reworded(item, texts, currencies=currencies) for item in body]
    if not isinstance(body, dict):
        return body
    result: dict[str, Any] = {}
    for name, value in body.items():
        if currencies and name == "currency" and isinstance(value, str):
            result[name] = _mirrored(value)
        elif texts and name in ("name", "description") and isinstance(value, str):
            result[name] = texts.name if name == "name" else texts.description
        elif texts and name == "metadata" and isinstance(value, dict):
            result[name] = dict(texts.metadata)
        else:
            result[name] = reworded(value, texts, currencies=currencies)
    return result


def required_only(document: Mapping[str, Any], key: tuple[str, str], body: Any) -> Any:
    """The body of a 200 without whatever its schema does not require."""
    responses = document["paths"][key[0]][key[1]]["responses"]
    schema = resolved(document, responses["200"]).get("content", {}).get("application/json", {}).get("schema", {})
    return _required(document, schema, body)


def _required(document: Mapping[str, Any], schema: Mapping[str, Any], value: Any) -> Any:
    schema = resolved(document, schema)
    if isinstance(value, list):
        return [_required(document, schema.get("items", {}), item) for item in value]
    if not isinstance(value, dict) or schema.get("type") != "object":
        return value
    properties = schema.get("properties", {})
    required = schema.get("required", ())
    return {name: _required(document, properties.get(name, {}), entry) for name, entry in value.items() if name in required}


def _mirrored(currency: str) -> str:
    """Another currency for each: the alphabet the other way round."""
    return "".join(chr(219 - ord(letter)) if "a" <= letter <= "z" else letter for letter in currency)


def _is_amount(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and _DECIMAL.fullmatch(value) is not None)
