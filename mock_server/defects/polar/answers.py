"""Wallets and pages that are not of the document's shape, and answers that are not what HTTP and JSON ask for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from contract_tests.exchange import Response
from mock_server.clock import rfc3339
from mock_server.defects.book import Book
from mock_server.defects.changes import data_of, truncated, with_body, with_data, with_header
from mock_server.defects.polar.operations import GET, LIST, each_wallet
from mock_server.defects.visit import Visit

schema = Book("polar", "schema")
protocol = Book("polar", "protocol")

Object = dict[str, Any]


@each_wallet(schema)
def currency_missing(wallet: Object) -> None:
    """Wallets have no currency."""
    del wallet["currency"]


@each_wallet(schema)
def modified_at_missing(wallet: Object) -> None:
    """Wallets without a change have no modified_at, instead of null."""
    if wallet["modified_at"] is None:
        del wallet["modified_at"]


@each_wallet(schema)
def extra_field(wallet: Object) -> None:
    """Wallets have a member more, their type."""
    wallet["type"] = "billing"


@each_wallet(schema)
def balance_as_text(wallet: Object) -> None:
    """The balance is text."""
    wallet["balance"] = str(wallet["balance"])


@each_wallet(schema)
def balance_in_units(wallet: Object) -> None:
    """The balance is in whole units of the currency, with a fraction."""
    wallet["balance"] = wallet["balance"] / 100


@each_wallet(schema)
def debt_as_null(wallet: Object) -> None:
    """Balances below 0 are null."""
    wallet["balance"] = None if wallet["balance"] < 0 else wallet["balance"]


@each_wallet(schema)
def id_upper_case(wallet: Object) -> None:
    """Ids of wallets are in upper case."""
    wallet["id"] = wallet["id"].upper()


@each_wallet(schema)
def customer_id_prefixed(wallet: Object) -> None:
    """The id of the customer is no UUID."""
    wallet["customer_id"] = f"cus_{wallet['customer_id']}"


@each_wallet(schema)
def created_at_null(wallet: Object) -> None:
    """Creation times are null."""
    wallet["created_at"] = None


@each_wallet(schema)
def created_at_number(wallet: Object) -> None:
    """Creation times are seconds since 1970."""
    wallet["created_at"] = int(datetime.fromisoformat(wallet["created_at"]).timestamp())


@each_wallet(schema)
def time_without_zone(wallet: Object) -> None:
    """Creation times have no time zone."""
    wallet["created_at"] = wallet["created_at"].removesuffix("Z")


@each_wallet(schema)
def currency_upper_case(wallet: Object) -> None:
    """Currencies are in upper case."""
    wallet["currency"] = wallet["currency"].upper()


@each_wallet(schema)
def modified_before_created(wallet: Object) -> None:
    """Wallets were modified before they were created."""
    wallet["modified_at"] = "2020" + wallet["created_at"][4:]


@schema.after(GET)
def modified_on_read(visit: Visit, response: Response) -> Response:
    """Reading a wallet modifies it: modified_at is the time of the request."""
    now = max(visit.worlds.time_of(visit.call.session), visit.memory.get("last", datetime.min.replace(tzinfo=UTC)))
    return with_data(response, {**data_of(response), "modified_at": rfc3339(now)})


@schema.data(LIST)
def list_as_array(data: Any) -> Any:
    """A list is the bare array of wallets."""
    return data["items"]


@schema.data(LIST)
def pagination_missing(data: Any) -> None:
    """A list has no pagination."""
    del data["pagination"]


@protocol.after()
def html_content_type(visit: Visit, response: Response) -> Response:
    """Good answers are labelled as HTML."""
    return with_header(response, b"content-type", b"text/html; charset=utf-8")


@protocol.after()
def trailing_comma(visit: Visit, response: Response) -> Response:
    """Objects have a comma too many at their end."""
    return with_body(response, response.body[:-1] + b",}")


@protocol.after(LIST)
def truncated_body(visit: Visit, response: Response) -> Response:
    """The last third of a list is missing."""
    return truncated(response)


@protocol.after(status=None)
def cacheable(visit: Visit, response: Response) -> Response:
    """Answers do not forbid caches to keep them."""
    return with_header(response, b"cache-control", None)


@protocol.after(status=None)
def version_missing(visit: Visit, response: Response) -> Response:
    """Answers do not tell the version."""
    return with_header(response, b"polar-version", None)
