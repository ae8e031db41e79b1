"""Twenty violations of the contract, each a small edit of the recording that `tests/browser` makes of an honest mock.

The edits keep out of each other's way: any of them alone has one cause, and all of them together have twenty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NamedTuple

Har = dict[str, Any]

RECORDING = Path(__file__).parent / "data" / "recordings" / "chromium.har"

# Entries by what the page did: method, end of the path, and which of those, counted from 0.
CREATED = ("POST", "/wallets", 0)
FIRST_BALANCE = ("GET", r"/wallets/wallet_\w+/balance/real-time", 0)
GIFT = ("POST", r"/wallets/wallet_\w+/top-up", 0)
BOUGHT = ("POST", r"/wallets/wallet_\w+/top-up", 1)
KEY_USED = ("POST", r"/wallets/wallet_\w+/top-up", 2)
BY_AMOUNT = ("POST", r"/wallets/wallet_\w+/top-up", 3)
LATE = ("POST", r"/wallets/wallet_\w+/top-up", 4)
CHANGED = ("PUT", r"/wallets/wallet_\w+", 0)
SECOND_BALANCE = ("GET", r"/wallets/wallet_\w+/balance/real-time", 1)
FIRST_ROWS = ("GET", r"/wallets/wallet_\w+/transactions", 0)
SEARCHED = ("POST", "/wallets/search", 0)
WRONG_KEY = ("GET", r"/wallets/wallet_\w+", 2)
CLOSED = ("GET", r"/wallets/wallet_\w+", 3)
POLAR_FIRST_PAGE = ("GET", "/customer-portal/wallets/", 0)
POLAR_SECOND_PAGE = ("GET", "/customer-portal/wallets/", 1)
POLAR_SORTED = ("GET", "/customer-portal/wallets/", 2)

Where = tuple[str, str, int]


class Cause(NamedTuple):
    """What a report says of a violation."""

    rule: str
    operation: str
    pointer: str
    level: str


@dataclass(frozen=True)
class Violation:
    """An edit of a recording, and the one cause that it has."""

    name: str
    edit: Callable[[Har], None]
    cause: Cause


VIOLATIONS: list[Violation] = []


def recording() -> Har:
    """The recording without violations."""
    har: Har = json.loads(RECORDING.read_text("utf-8"))
    return har


def violated(har: Har, *violations: Violation) -> Har:
    """A copy of a recording with some violations."""
    result: Har = json.loads(json.dumps(har))
    for violation in violations:
        violation.edit(result)
    return result


def entry(har: Har, where: Where) -> dict[str, Any]:
    """The entry of one thing that the page did."""
    method, path, number = where
    found = [
        entry
        for entry in har["log"]["entries"]
        if entry["request"]["method"] == method and re.search(rf"/v1{path}(\?|$)", entry["request"]["url"])
    ]
    picked: dict[str, Any] = found[number]
    return picked


@contextmanager
def answer(har: Har, where: Where) -> Iterator[Any]:
    """The JSON that was answered, to be changed."""
    content = entry(har, where)["response"]["content"]
    body = json.loads(content["text"])
    yield body
    _write(content, json.dumps(body, ensure_ascii=False, separators=(",", ":")))


@contextmanager
def sent(har: Har, where: Where) -> Iterator[Any]:
    """The JSON that was sent, to be changed."""
    request = entry(har, where)["request"]
    body = json.loads(request["postData"]["text"])
    yield body
    request["postData"]["text"] = json.dumps(body, ensure_ascii=False)
    request["bodySize"] = len(request["postData"]["text"].encode())


def header(message: dict[str, Any], name: str, value: str | None) -> None:
    """Set a header of a request or a response, or take it away."""
    message["headers"] = [entry for entry in message["headers"] if entry["name"].lower() != name.lower()]
    if value is not None:
        message["headers"].append({"name": name, "value": value})


def _write(content: dict[str, Any], text: str) -> None:
    content["text"] = text
    content["size"] = len(text.encode())


def _violation(rule: str, operation: str, pointer: str, level: str = "semantic") -> Callable[[Callable[[Har], None]], None]:
    def register(edit: Callable[[Har], None]) -> None:
        VIOLATIONS.append(Violation(edit.__name__, edit, Cause(rule, operation, pointer, level)))

    return register


# ---------------------------------------------------------------- the document and the overlay


@_violation("response.body", "topUpWallet", "/wallet/wallet_status", "published")
def a_state_that_no_wallet_has(har: Har) -> None:
    """The document lists the states."""
    with answer(har, GIFT) as body:
        body["wallet"]["wallet_status"] = "asleep"


@_violation("response.body", "topUpWallet", "/wallet/credit_balance", "overlay")
def a_decimal_with_an_exponent(har: Har) -> None:
    """To the document it is any text."""
    with answer(har, BY_AMOUNT) as body:
        body["wallet"]["credit_balance"] = "7e1"


@_violation("response.status", "createWallet", "", "published")
def a_status_that_is_not_documented(har: Har) -> None:
    """What many frameworks answer to a creation."""
    entry(har, CREATED)["response"] |= {"status": 201, "statusText": "Created"}


@_violation("response.content-type", "getWallet", "", "published")
def json_that_is_called_html(har: Har) -> None:
    """The body is as it should be."""
    response = entry(har, CLOSED)["response"]
    header(response, "Content-Type", "text/html")
    response["content"]["mimeType"] = "text/html"


@_violation("response.header", "queryWallet", "header X-Request-ID", "overlay")
def no_id_of_the_request(har: Har) -> None:
    """The overlay requires it."""
    header(entry(har, SEARCHED)["response"], "X-Request-ID", None)


# ---------------------------------------------------------------- what the client sends


@_violation("request.body", "updateWallet", "/metadata/shop", "published")
def a_number_for_a_text(har: Har) -> None:
    """Metadata has texts only, and the service took it all the same."""
    with sent(har, CHANGED) as body:
        body["metadata"]["shop"] = 3


@_violation("request.parameter", "getWalletTransactions", "query limit", "published")
def a_word_for_a_number(har: Har) -> None:
    """The service took it for none."""
    request = entry(har, FIRST_ROWS)["request"]
    request["url"] = request["url"].replace("limit=2", "limit=two")


@_violation("request.security", "getWalletBalance", "", "published")
def no_key_and_an_answer(har: Har) -> None:
    """Other requests of the recording carry one."""
    header(entry(har, FIRST_BALANCE)["request"], "x-api-key", None)


# ---------------------------------------------------------------- money


@_violation("money.balance-is-credits-times-rate", "topUpWallet", "/wallet/balance")
def a_balance_that_is_not_credits_times_rate(har: Har) -> None:
    """62.5 credits at 2."""
    with answer(har, BOUGHT) as body:
        body["wallet"]["balance"] = "124.99"


@_violation("money.real-time-is-balance-less-usage", "getWalletBalance", "/real_time_balance")
def usage_that_was_forgotten(har: Har) -> None:
    """The credits go with it, so that they agree with each other."""
    with answer(har, SECOND_BALANCE) as body:
        body["real_time_balance"], body["real_time_credit_balance"] = "138", "69"


@_violation("money.transaction-adds-up", "topUpWallet", "/wallet_transaction/credit_balance_after")
def a_row_that_does_not_add_up(har: Har) -> None:
    """Half a credit too much."""
    with answer(har, LATE) as body:
        body["wallet_transaction"]["credit_balance_before"] = "0.5"


# ---------------------------------------------------------------- errors


@_violation("errors.code-fits-status", "topUpWallet", "/code")
def a_code_of_another_status(har: Har) -> None:
    """A 409 that says `not_found`."""
    with answer(har, KEY_USED) as body:
        body["code"] = "not_found"


@_violation("errors.no-internals", "getWallet", "")
def a_source_file_in_an_error(har: Har) -> None:
    """Where the service's code checks keys."""
    with answer(har, WRONG_KEY) as body:
        body["error"] = "Unauthorized (internal/rest/middleware/auth.go:264)"


@_violation("errors.no-secrets", "topUpWallet", "")
def the_key_in_an_answer(har: Har) -> None:
    """As debugging headers do."""
    found = entry(har, BOUGHT)
    key = next(header["value"] for header in found["request"]["headers"] if header["name"] == "x-api-key")
    header(found["response"], "X-Debug", f"key={key}")


@_violation("errors.strict-json", "customer_portal:wallets:list", "")
def a_member_that_is_there_twice(har: Har) -> None:
    """Readers take the first or the last."""
    content = entry(har, POLAR_SORTED)["response"]["content"]
    _write(content, content["text"].replace('"currency":"gbp"', '"currency":"gbp","currency":"gbp"'))


# ---------------------------------------------------------------- lists


@_violation("lists.max-page", "customer_portal:wallets:list", "/pagination/max_page")
def a_page_too_many(har: Har) -> None:
    """Six wallets at two per page."""
    with answer(har, POLAR_SECOND_PAGE) as body:
        body["pagination"]["max_page"] = 4


@_violation("lists.page-full", "customer_portal:wallets:list", "/items")
def a_page_with_a_gap(har: Har) -> None:
    """One of two is missing."""
    with answer(har, POLAR_FIRST_PAGE) as body:
        del body["items"][1]


# ---------------------------------------------------------------- sequences


@_violation("state.fixed-forever", "topUpWallet", "/wallet/created_at")
def a_wallet_that_was_made_anew(har: Har) -> None:
    """All other answers say another time."""
    with answer(har, BOUGHT) as body:
        body["wallet"]["created_at"] = "2026-01-01T00:00:00Z"


@_violation("state.terminate-closes", "topUpWallet", "/wallet/wallet_status")
def a_closed_wallet_that_is_active_again(har: Har) -> None:
    """A minute after its end was answered, and read."""
    late = entry(har, LATE)
    then = datetime.fromisoformat(late["startedDateTime"]) + timedelta(minutes=1)
    late["startedDateTime"] = then.isoformat()
    header(late["response"], "Date", format_datetime(then.replace(microsecond=0), usegmt=True))
    with answer(har, LATE) as body:
        body["wallet"]["wallet_status"] = "active"


@_violation("money.key-takes-effect-once", "topUpWallet", "/wallet_transaction/id")
def a_key_that_took_effect_twice(har: Har) -> None:
    """The key of an earlier top-up, and a row of its own."""
    with sent(har, BOUGHT) as body:
        key = body["idempotency_key"]
    with sent(har, LATE) as body:
        body["idempotency_key"] = key
    with answer(har, LATE) as body:
        body["wallet_transaction"] |= {"idempotency_key": key, "reference_id": key}
