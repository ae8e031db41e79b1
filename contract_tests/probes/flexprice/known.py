"""Wallets that were there before: found, and only read."""

from __future__ import annotations

from contract_tests.probes.flexprice import lab
from contract_tests.probes.flexprice.topups import ROWS_SUM_UP, sums_up
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.flexprice_sequences import CREATED_IS_FOUND, CUSTOMER_LISTS
from contract_tests.rules.shared import FILTERS_FILTER, ITEM_EQUALS_GET

_FEW = 5


def discover(stage: Stage) -> list[str]:
    """Ids of wallets that can be read, as search lists them; active ones first."""
    found = lab.items(stage.call("queryWallet", body={"limit": 50, "status": "active"})) or []
    found += lab.items(stage.call("queryWallet", body={"limit": 50})) or []
    return list(dict.fromkeys(item["id"] for item in found if isinstance(item.get("id"), str)))


@probe("flexprice", ITEM_EQUALS_GET, ROWS_SUM_UP, needs=["wallet"])
def known_wallets(stage: Stage) -> None:
    """A few wallets, read in every way, with their transactions where these are not too many."""
    for wallet_id in stage.subject.wallets[:_FEW]:
        one = stage.call("getWallet", wallet_id)
        balance = stage.call("getWalletBalance", wallet_id)
        found = stage.call("queryWallet", body={"wallet_ids": [wallet_id], "limit": 10})
        listed = stage.call("getWalletTransactions", wallet_id, query={"limit": 1000})
        two = stage.call("getWallet", wallet_id)
        if not one.ok or not two.ok or one.body != two.body or not isinstance(one.body, dict):
            continue  # somebody else is at work on it
        views = [(balance, balance.body if balance.ok else None)]
        views += [(found, item) for item in lab.items(found) or () if item.get("id") == wallet_id]
        for seen, body in views:
            if isinstance(body, dict):
                different = lab.differences(one.body, body)
                stage.judge(
                    ITEM_EQUALS_GET,
                    not different,
                    f"{', '.join(different)} of a wallet depends on how it is read",
                    one,
                    seen,
                    pointer=f"/{different[0]}" if different else "",
                    expected={name: one.body.get(name) for name in different},
                    got={name: body.get(name) for name in different},
                )
        rows, credits = lab.items(listed), lab.credits_of(one)
        if rows is not None and credits is not None and lab.field(listed, "pagination", "total") == len(rows):
            sums_up(stage, rows, credits, listed, one)
        stage.call("getWalletBalance", wallet_id, query={"expand": "credits_available_breakdown"})


@probe("flexprice", CUSTOMER_LISTS, ITEM_EQUALS_GET, needs=["wallet"])
def customers_of_known_wallets(stage: Stage) -> None:
    """Both lists of a customer's wallets against each other."""
    customers: dict[str, str] = {}
    for wallet_id in stage.subject.wallets[:_FEW]:
        customer = lab.field(stage.call("getWallet", wallet_id), "customer_id")
        if isinstance(customer, str) and customer:
            customers.setdefault(customer, wallet_id)
    for customer in customers:
        by_id = stage.call("getWalletsByCustomerId", customer)
        plain = stage.call("getCustomerWallets", query={"id": customer})
        real_time = stage.call("getCustomerWallets", query={"id": customer, "include_real_time_balance": "true"})
        again = stage.call("getWalletsByCustomerId", customer)
        if by_id.body != again.body:
            continue  # somebody else is at work on it
        lists = [(seen, found) for seen in (by_id, plain, real_time) if (found := lab.items(seen)) is not None]
        for seen, found in lists:
            strange = [
                item.get("id") for item in found if item.get("customer_id") != customer or item.get("wallet_status") != "active"
            ]
            stage.judge(
                CUSTOMER_LISTS,
                not strange,
                "a customer's list holds wallets that are another's or not active",
                seen,
                pointer="/",
                got=strange,
            )
            stage.judge(
                CUSTOMER_LISTS,
                {item.get("id") for item in found} == {item.get("id") for item in lists[0][1]},
                "two ways of asking for a customer's wallets give different wallets",
                lists[0][0],
                *(() if seen is lists[0][0] else (seen,)),
                pointer="/",
            )
        for item in (lab.items(real_time) or [])[:_FEW]:
            balance = stage.call("getWalletBalance", str(item.get("id")))
            if balance.ok and isinstance(balance.body, dict):
                different = lab.differences(item, balance.body)
                stage.judge(
                    ITEM_EQUALS_GET,
                    not different,
                    f"{', '.join(different)} differs between list and balance",
                    real_time,
                    balance,
                    pointer=f"/{different[0]}" if different else "",
                )


@probe("flexprice", CUSTOMER_LISTS, FILTERS_FILTER, CREATED_IS_FOUND, needs=["write"])
def own_customer(stage: Stage) -> None:
    """A customer with four wallets, one of them closed, in both lists and in search."""
    first = lab.create(stage, currency="usd")
    wallets = {first.id: "active"}
    for currency, kind in (("eur", "PRE_PAID"), ("gbp", "PRE_PAID"), (str(first.body.get("currency")), "POST_PAID")):
        answer = stage.call("createWallet", body={"customer_id": first.customer, "currency": currency, "wallet_type": kind})
        if answer.ok:
            wallets[lab.made(stage, answer).id] = "active"
    last = list(wallets)[-1]
    if len(wallets) < 2 or not lab.terminate(stage, last).status < 300:
        stage.give_up("could not make several wallets for one customer and close one")
    wallets[last] = "closed"
    active = {wallet_id for wallet_id, status in wallets.items() if status == "active"}
    listed = stage.eventually(
        lambda: stage.call("getWalletsByCustomerId", first.customer),
        lambda seen: {item.get("id") for item in lab.items(seen) or ()} == active,
    )
    if lab.items(listed) is not None:
        got = {item.get("id") for item in lab.items(listed) or ()}
        stage.judge(
            CUSTOMER_LISTS,
            got == active,
            "the list is not the customer's active wallets",
            first.answer,
            listed,
            pointer="/",
            expected=sorted(active),
            got=sorted(map(str, got)),
        )
    for status, wanted in (("active", active), ("closed", {last}), (None, set(wallets)), ("frozen", set())):
        body = {"wallet_ids": list(wallets), "limit": 100} | ({"status": status} if status else {})
        found = stage.call("queryWallet", body=body)
        if lab.items(found) is not None:
            got = {item.get("id") for item in lab.items(found) or ()}
            stage.judge(
                FILTERS_FILTER,
                got == wanted,
                f"search by wallet_ids{f' and status {status}' if status else ''} does not give just what matches",
                found,
                pointer="/items",
                expected=sorted(wanted),
                got=sorted(map(str, got)),
            )
    for wallet_id in (first.id, last):
        found = stage.call("queryWallet", body={"wallet_ids": [wallet_id], "limit": 100})
        if lab.items(found) is not None:
            got = {item.get("id") for item in lab.items(found) or ()}
            stage.judge(
                FILTERS_FILTER,
                got == {wallet_id},
                "search by one id does not give just that wallet",
                found,
                pointer="/items",
                expected=wallet_id,
                got=sorted(map(str, got)),
            )
