"""Answers that are not of the document's shape."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mock_server.defects.book import Book
from mock_server.defects.visit import Visit

book = Book("flexprice", "schema")

Object = dict[str, Any]
_LISTS = ("getWalletTransactions", "queryWallet", "queryWalletTransaction")


@book.each("wallet_")
def balance_as_number(wallet: Object) -> None:
    """A wallet's balance leaves as a JSON number instead of decimal text."""
    wallet["balance"] = float(wallet["balance"])


@book.each("wallet_", "getWalletBalance")
def real_time_balance_missing(wallet: Object) -> None:
    """The real-time balance has no real_time_balance."""
    del wallet["real_time_balance"]


@book.each("wallet_", "getWallet", "queryWallet")
def wallet_id_missing(wallet: Object) -> None:
    """Wallets come without their id."""
    del wallet["id"]


@book.each("wtxn_")
def transaction_currency_missing(row: Object) -> None:
    """Transactions come without their currency."""
    del row["currency"]


@book.each("wallet_", live=True)
def metadata_null(wallet: Object) -> None:
    """A wallet without metadata has null there, not an empty object."""
    wallet["metadata"] = wallet["metadata"] or None


@book.each("wtxn_", live=True)
def unset_fields_null(row: Object) -> None:
    """Transactions without expiry or priority have null there."""
    row.setdefault("expiry_date", None)
    row.setdefault("priority", None)


@book.each("wtxn_", live=True)
def reference_type_empty(row: Object) -> None:
    """Transactions without a reference, such as a bonus, have an empty reference_type."""
    row.setdefault("reference_type", "")


@book.each("wallet_")
def wallet_status_unknown(wallet: Object) -> None:
    """Active wallets have the status `enabled`, which the document does not know."""
    if wallet["wallet_status"] == "active":
        wallet["wallet_status"] = "enabled"


@book.each("wtxn_")
def transaction_type_upper_case(row: Object) -> None:
    """The type of a transaction is in upper case."""
    row["type"] = row["type"].upper()


def _short_path(visit: Visit) -> None:
    visit.call.request.path = visit.call.request.path.replace("/wal_", "/wallet_")


@book.each("wallet_", before=_short_path)
def wallet_id_prefix(wallet: Object) -> None:
    """Wallet ids begin with `wal_`; both spellings are understood."""
    wallet["id"] = wallet["id"].replace("wallet_", "wal_")


@book.each("wallet_")
def trailing_zeros(wallet: Object) -> None:
    """Credit balances have zeros at the end of the fraction, as in `12.50`."""
    text = wallet["credit_balance"]
    wallet["credit_balance"] = f"{text}0" if "." in text else f"{text}.00"


@book.each("wtxn_")
def exponent_notation(row: Object) -> None:
    """Credit amounts are written with an exponent, as in `1.25E+1`."""
    row["credit_amount"] = f"{Decimal(row['credit_amount']):E}"


@book.each("wallet_")
def time_without_zone(wallet: Object) -> None:
    """Creation times of wallets have no time zone."""
    wallet["created_at"] = wallet["created_at"].removesuffix("Z")


@book.each("wallet_")
def metadata_value_number(wallet: Object) -> None:
    """The server keeps a revision number, which is no text, among a wallet's metadata."""
    wallet["metadata"]["revision"] = 1


@book.each("wallet_", "getWalletBalance", "getCustomerWallets")
def cached_flag_as_text(wallet: Object) -> None:
    """The flag is_cached_fallback is text."""
    wallet["is_cached_fallback"] = str(wallet["is_cached_fallback"]).lower()


@book.each("wallet_")
def config_as_list(wallet: Object) -> None:
    """The config of a wallet is the bare list of price types."""
    wallet["config"] = wallet["config"].get("allowed_price_types", [])


@book.data()
def answer_in_envelope(data: Any) -> Any:
    """Every good answer is wrapped in an object with one member, `data`."""
    return {"data": data}


@book.data("getWalletsByCustomerId", "getCustomerWallets")
def customer_wallets_as_object(data: Any) -> Any:
    """The wallets of a customer come as an object with items."""
    return {"items": data}


@book.data(*_LISTS)
def pagination_without_total(data: Any) -> None:
    """Pages do not tell the total."""
    del data["pagination"]["total"]


@book.data(*_LISTS)
def pagination_as_text(data: Any) -> None:
    """Numbers of the pagination are text."""
    data["pagination"] = {name: str(value) for name, value in data["pagination"].items()}


@book.data("terminateWallet", live=True)
def terminate_answers_message(data: Any) -> Any:
    """Terminating answers with a message instead of the wallet."""
    return {"message": "wallet terminated successfully"}


@book.data("topUpWallet")
def top_up_answers_transaction(data: Any) -> Any:
    """A top-up answers with the bare transaction."""
    return data["wallet_transaction"]
