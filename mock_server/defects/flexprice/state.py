"""Changes that are lost, kept, or made where there should be none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from contract_tests.exchange import Response
from mock_server.defects.book import Book, on
from mock_server.defects.changes import data_of, objects, with_data
from mock_server.defects.flexprice.money import one_behind
from mock_server.defects.visit import Visit
from mock_server.event_log import Event
from mock_server.flexprice.answers import error_answer, wallet_not_found
from mock_server.flexprice.events import TransactionCreated, WalletCreated, WalletTerminated, WalletUpdated
from mock_server.flexprice.provider import Flexprice
from mock_server.flexprice.state import state_of
from mock_server.world import Draft, World

book = Book("flexprice", "state")

Object = dict[str, Any]
_OF_CUSTOMER = ("getWalletsByCustomerId", "getCustomerWallets")


# ---------------------------------------------------------------- create


@book.each("wallet_")
def currency_upper_case(wallet: Object) -> None:
    """Currencies come back in upper case."""
    wallet["currency"] = wallet["currency"].upper()


@book.events("createWallet")
def wrong_defaults(visit: Visit, world: World, draft: Draft, events: Sequence[Event]) -> Sequence[Event]:
    """A new wallet has another name and other price types than it should."""
    return [
        replace(event, wallet=replace(event.wallet, name="New wallet", allowed_price_types=("FIXED",)))
        if isinstance(event, WalletCreated)
        else event
        for event in events
    ]


def _forget_new(visit: Visit, response: Response) -> Response:
    if visit.operation == "createWallet" and response.status == 200:
        visit.memory[data_of(response)["id"]] = True
    elif visit.operation in ("getWallet", "getWalletBalance") and visit.memory.pop(visit.path_id, False):
        return visit.answer(wallet_not_found(visit.path_id).answer)
    return response


book.add("new-wallet-not-found", "The first read of a new wallet is a 404.", after=_forget_new)
book.add("wallet-creation-lost", "Creating a wallet is answered as done and then forgotten.", lost=on("createWallet"))
book.add(
    "duplicate-wallet-accepted",
    "A second active wallet of the same customer, currency and type is created.",
    blind=on("createWallet"),
)
book.add(
    "duplicate-check-sees-case",
    "A currency that is not spelt in lower case is not compared with those of other wallets: USD and usd both pass.",
    blind=lambda visit: visit.operation == "createWallet" and not str(visit.asked.get("currency")).islower(),
)


@book.before("createWallet")
def metadata_lost_on_create(visit: Visit) -> None:
    """The metadata given with a new wallet is not kept."""
    visit.forget("metadata")


# ---------------------------------------------------------------- update


@book.before("updateWallet")
async def update_merges_metadata(visit: Visit) -> None:
    """Updating metadata adds to it instead of replacing it."""
    wallet = data_of(await visit.ask("GET", f"/wallets/{visit.path_id}"))
    given = visit.asked.get("metadata")
    if isinstance(given, dict) and "metadata" in (wallet or {}):
        visit.set("metadata", wallet["metadata"] | given)


@book.events("updateWallet")
def update_wipes_the_rest(visit: Visit, world: World, draft: Draft, events: Sequence[Event]) -> Sequence[Event]:
    """Updating a wallet empties the metadata and description that the request does not mention."""
    return [
        replace(event, metadata=event.metadata or {}, description=event.description or "")
        if isinstance(event, WalletUpdated)
        else event
        for event in events
    ]


book.add("update-lost", "An update is answered as done and then forgotten.", lost=on("updateWallet"))


@book.before("updateWallet")
def update_ignores_name(visit: Visit) -> None:
    """The name in an update is ignored."""
    visit.forget("name")


def _updated(change: dict[str, Any], statuses: Sequence[str] = ("active", "frozen", "closed")) -> Any:
    """Wallets that were updated, while they had one of these statuses, show something else from then on."""

    def after(visit: Visit, response: Response) -> Response:
        data = data_of(response)
        if visit.operation == "updateWallet" and response.status == 200 and data["wallet_status"] in statuses:
            visit.memory[visit.path_id] = True
        wallets = [wallet for wallet in objects(data, "wallet_") if wallet["id"] in visit.memory]
        for wallet in wallets:
            wallet.update(change)
        return with_data(response, data) if wallets else response

    return after


book.add("update-resets-rate", "Updating a wallet puts its conversion rate back to 1.", after=_updated({"conversion_rate": "1"}))
book.add("update-changes-currency", "Updating a wallet makes it one in euros.", after=_updated({"currency": "eur"}))
book.add("update-reopens", "Updating a closed wallet makes it active.", after=_updated({"wallet_status": "active"}, ("closed",)))


async def _note_time(visit: Visit) -> None:
    if visit.operation == "updateWallet":
        visit.memory["before"] = data_of(await visit.ask("GET", f"/wallets/{visit.path_id}"))


@book.after("updateWallet", live=True, before=_note_time)
def update_shows_old_time(visit: Visit, response: Response) -> Response:
    """An update answers with the updated_at from before it."""
    return with_data(response, data_of(response) | {"updated_at": visit.memory["before"]["updated_at"]})


@book.each("wallet_")
def created_at_moves(wallet: Object) -> None:
    """The creation time of a wallet moves with every change."""
    wallet["created_at"] = wallet["updated_at"]


@book.each("wallet_")
def updated_before_created(wallet: Object) -> None:
    """A wallet's updated_at is from before its creation."""
    wallet["updated_at"] = "2020" + wallet["updated_at"][4:]


# ---------------------------------------------------------------- terminate


@book.events("terminateWallet")
def terminate_leaves_active(visit: Visit, world: World, draft: Draft, events: Sequence[Event]) -> Sequence[Event]:
    """Terminating a wallet takes its credits and leaves it active."""
    return [event for event in events if not isinstance(event, WalletTerminated)]


@book.events("terminateWallet")
def terminate_keeps_credits(visit: Visit, world: World, draft: Draft, events: Sequence[Event]) -> Sequence[Event]:
    """A terminated wallet keeps its credits: there is no debit."""
    return [event for event in events if not isinstance(event, TransactionCreated)]


book.add("termination-lost", "Terminating is answered as done and then forgotten.", lost=on("terminateWallet"))


@book.after("terminateWallet", status=400)
async def second_terminate_accepted(visit: Visit, response: Response) -> Response:
    """Terminating a closed wallet is answered as done once more."""
    return await visit.ask("GET", f"/wallets/{visit.path_id}")


@book.after("terminateWallet", status=400)
def second_terminate_not_found(visit: Visit, response: Response) -> Response:
    """Terminating a closed wallet is a 404."""
    return visit.answer(wallet_not_found(visit.path_id).answer)


@book.after("getWallet", "getWalletBalance")
def closed_wallet_gone(visit: Visit, response: Response) -> Response:
    """A closed wallet can no longer be read."""
    closed = data_of(response)["wallet_status"] == "closed"
    return visit.answer(wallet_not_found(visit.path_id).answer) if closed else response


@book.after(*_OF_CUSTOMER)
async def closed_wallet_listed(visit: Visit, response: Response) -> Response:
    """Closed wallets stay among the wallets of their customer."""
    provider = visit.call.provider
    assert isinstance(provider, Flexprice)
    customer_id = visit.path_id if visit.operation == "getWalletsByCustomerId" else visit.asked.get("id")
    if not customer_id:
        customer = provider.opening.customer_by_external_id(visit.asked["lookup_key"])
        customer_id = customer.id if customer else ""
    data = data_of(response)
    for account in state_of(await visit.world()).accounts_of(customer_id):
        if account.wallet.wallet_status == "closed":
            data.append(data_of(await visit.ask("GET", f"/wallets/{account.wallet.id}/balance/real-time")))
    return with_data(response, data)


# ---------------------------------------------------------------- repeats and reads


@book.before("topUpWallet")
async def key_reuse_accepted(visit: Visit) -> None:
    """A used idempotency key is taken again, and the top-up counts again."""
    key = visit.asked.get("idempotency_key")
    if key and state_of(await visit.world()).key_owner(str(key)) is not None:
        visit.memory["count"] = count = visit.memory.get("count", 0) + 1
        visit.set("idempotency_key", f"{key}-{count}")


@book.after("topUpWallet", status=409)
async def key_reuse_counts(visit: Visit, response: Response) -> Response:
    """A used idempotency key is answered with a conflict, yet the top-up counts again."""
    visit.memory["count"] = count = visit.memory.get("count", 0) + 1
    await visit.ask("POST", visit.path, visit.asked | {"idempotency_key": f"{visit.asked.get('idempotency_key')}-{count}"})
    return response


@book.after("topUpWallet", status=409)
def key_reuse_is_500(visit: Visit, response: Response) -> Response:
    """A used idempotency key is a 500."""
    return visit.answer(error_answer("internal_error", "An unexpected error occurred"))


async def _stale_once(visit: Visit, response: Response) -> Response:
    if response.status != 200:
        return response
    if visit.operation == "topUpWallet":
        visit.memory[visit.path_id] = True
    elif visit.operation == "getWalletBalance" and visit.memory.pop(visit.path_id, False):
        return await one_behind(visit, response)
    return response


book.add("balance-stale-after-top-up", "The first balance read after a top-up is the one from before it.", after=_stale_once)


@book.after("getWalletBalance")
async def balance_one_behind(visit: Visit, response: Response) -> Response:
    """The balance is always the one from before the last transaction."""
    return await one_behind(visit, response)
