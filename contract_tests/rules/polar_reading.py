"""Polar's messages as rules read them: what a request asks for, which complaints it must provoke, and what a page holds.

Where nobody can say how an honest server reads something (`1_0`, ` 2`, numbers of thousands of digits), the answer is None
and nothing is judged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contract_tests.exchange import Request
from contract_tests.plans import has_long_number
from contract_tests.rules.observation import NO_JSON, Observation

LIST = "customer_portal:wallets:list"
GET = "customer_portal:wallets:get"

SORTINGS = ("created_at", "-created_at", "balance", "-balance")
LARGEST_PAGE = 100

_PLAIN_INTEGER = re.compile(r"-?[0-9]{1,300}")
_PERHAPS_INTEGER = re.compile(r"\s*[+-]?[0-9_]*\.?0*\s*")
_PLAIN_UUID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})|[0-9a-f]{32}")
_AROUND_UUID = re.compile(r"urn:|uuid:|[{}()\s-]")


@dataclass(frozen=True)
class Complaint:
    """What a 422 says about one parameter."""

    type: str
    loc: tuple[str | int, ...]
    input: str


@dataclass(frozen=True)
class Asked:
    """A list request whose parameters are all in order; `limit` is the one in effect."""

    page: int
    limit: int
    sorting: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """One page of a list."""

    items: list[dict[str, Any]]
    total_count: int
    max_page: int

    @property
    def ids(self) -> list[str]:
        """The ids, in order."""
        return [str(item.get("id")) for item in self.items]

    @property
    def totals(self) -> tuple[int, int]:
        """What the page says about all pages."""
        return self.total_count, self.max_page


def body_of(seen: Observation) -> Any:
    """The body with numbers as they were written: balances go beyond 64 bits."""
    if seen.body is NO_JSON or not has_long_number(seen.response.body):
        return seen.body
    try:
        return json.loads(seen.response.body)
    except (ValueError, RecursionError):
        return NO_JSON


def page_of(seen: Observation) -> Page | None:
    """The page that a list answered; None if it is no page (then the contract complains)."""
    if seen.operation.id != LIST or seen.status != 200:
        return None
    body = body_of(seen)
    items, pagination = member(body, "items"), member(body, "pagination")
    total, last = member(pagination, "total_count"), member(pagination, "max_page")
    if not isinstance(items, list) or type(total) is not int or type(last) is not int:
        return None
    return Page(items, total, last) if all(isinstance(item, dict) for item in items) else None


def wallet_of(seen: Observation) -> dict[str, Any] | None:
    """The wallet that was read by its id; None if none came."""
    if seen.operation.id != GET or seen.status != 200:
        return None
    body = body_of(seen)
    return body if isinstance(body, dict) else None


def wallets_in(seen: Observation) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every wallet of an answer with its JSON pointer."""
    wallet, page = wallet_of(seen), page_of(seen)
    if wallet is not None:
        yield "", wallet
    elif page is not None:
        yield from ((f"/items/{index}", item) for index, item in enumerate(page.items))


def member(value: Any, name: str) -> Any:
    """A member of an object; None if there is none, or no object."""
    return value.get(name) if isinstance(value, dict) else None


def moment(value: Any) -> datetime | None:
    """An RFC 3339 time with its zone; None if it is anything else."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else None


def sort_key(item: dict[str, Any], name: str) -> datetime | int | None:
    """What a wallet is sorted by; None if it cannot be compared."""
    value = item.get(name)
    if name == "balance":
        return value if type(value) is int else None
    return moment(value)


def asked(seen: Observation) -> Asked | None:
    """What a list was asked for; None if the parameters are not in order, or nobody can say."""
    if seen.operation.id != LIST or complaints(seen) != []:
        return None
    last = dict(seen.request.query)
    sorting = tuple(value for name, value in seen.request.query if name == "sorting")
    return Asked(int(last.get("page", "1")), min(int(last.get("limit", "10")), LARGEST_PAGE), sorting or ("-created_at",))


def complaints(seen: Observation) -> list[Complaint] | None:
    """What a 422 must name, in order; None if nobody can say."""
    if seen.operation.id == LIST:
        return _of_list(seen.request)
    if seen.operation.id == GET and "id" in seen.request.path_params:
        return _of_id(seen.request.path_params["id"])
    return None


def canonical(wallet_id: str) -> str | None:
    """The usual form of any spelling of a UUID; None if it is no UUID."""
    digits = _AROUND_UUID.sub("", wallet_id.lower())
    if not re.fullmatch("[0-9a-f]{32}", digits):
        return None
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _of_list(request: Request) -> list[Complaint] | None:
    """Of a repeated page or limit the last one counts; every sorting does."""
    last = dict(request.query)
    found: list[Complaint] = []
    for name in ("page", "limit"):
        if name not in last:
            continue
        text = last[name]
        if _PLAIN_INTEGER.fullmatch(text):
            if int(text) <= 0:
                found.append(Complaint("greater_than", ("query", name), text))
        elif text.strip() and _PERHAPS_INTEGER.fullmatch(text):
            return None
        else:
            found.append(Complaint("int_parsing", ("query", name), text))
    sortings = [value for name, value in request.query if name == "sorting"]
    found += [Complaint("enum", ("query", "sorting", n), text) for n, text in enumerate(sortings) if text not in SORTINGS]
    return found


def _of_id(text: str) -> list[Complaint] | None:
    usual = canonical(text)
    if usual is None:
        return [Complaint("uuid_parsing", ("path", "id"), text)]
    if not _PLAIN_UUID.fullmatch(text.lower()):
        return None
    if usual[14] == "4" and usual[19] in "89ab":
        return []
    return [Complaint("uuid_version", ("path", "id"), text)]
