"""What is asked of two Flexprice services: each operation in its usual situations and refusals, then at random by seed.

Every situation has wallets of its own, so that a difference in one does not show in the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

from contract_tests.compare.steps import Numbers, Situations, Spelled, Step, Symbol
from contract_tests.probes.flexprice.lab import UNKNOWN_WALLET
from contract_tests.rules.observation import NO_JSON, decimal

NEW_CUSTOMER = "a customer whom nobody knows"
"""The situation that tells whether a service takes customers that it does not know."""

_JSON = (("content-type", "application/json"),)
_FREE = "FREE_CREDIT_GRANT"
_CURRENCIES = ("eur", "gbp", "jpy", "inr", "aud")
_STRANGERS = ("none", "wrong", "expired")
_REASONS = (_FREE, "PURCHASED_CREDIT_DIRECT", "SUBSCRIPTION_CREDIT_GRANT", "CREDIT_NOTE")
_AMOUNTS = ("0.1", "0.000000001", "1", "2.50", "12.5", "33.333333333", "100", "0.2")
_RATES = ("1", "0.5", "2", "1.25", "0.1")
_LATER = "2098-01-01T00:00:00Z"


class Story:
    """Makes the steps of one sequence."""

    def __init__(self, seed: int) -> None:
        self.random = Random(f"{seed}/compare")  # noqa: S311 - reproducible on purpose
        self.numbers = Numbers()

    # ------------------------------------------------------------------ requests

    def create(self, situation: str, wallet: Symbol, customer: Symbol | None = None, **fields: Any) -> Step:
        """A wallet, for a customer of its own unless one is named."""
        body = {"customer_id": customer or self.numbers.new("customer"), "currency": "usd", **fields}
        amount = decimal(fields.get("initial_credits_to_load")) or Decimal(0)
        return Step("createWallet", situation, body=body, makes=wallet, amount=amount)

    def top_up(self, situation: str, wallet: Symbol, credits: str | None = None, **fields: Any) -> Step:
        """A top-up with a fresh key, unless one is named."""
        body = {"transaction_reason": _FREE, "idempotency_key": self.numbers.new("key"), **fields}
        if credits is not None:
            body["credits_to_add"] = credits
        names = ("credits_to_add", "amount", "bonus_credits_to_add")
        amount = sum((abs(decimal(body.get(name)) or Decimal(0)) for name in names), Decimal(0))
        return Step("topUpWallet", situation, wallet, body=body, amount=amount)

    def reads(self, situation: str, wallet: Symbol) -> Iterator[Step]:
        """A wallet in every way in which it can be read, in any order."""
        steps = [
            Step("getWallet", situation, wallet),
            Step("getWalletBalance", situation, wallet),
            Step("getWalletBalance", f"{situation}, with breakdown", wallet, query=[("expand", "credits_available_breakdown")]),
            Step("getWalletTransactions", situation, wallet),
            Step("queryWallet", situation, body={"wallet_ids": [wallet], "limit": 10}),
            Step("queryWalletTransaction", situation, body={"id": wallet, "limit": 100}),
        ]
        yield from self.random.sample(steps, len(steps))

    def lists(self, situation: str, wallet: Symbol) -> Iterator[Step]:
        """Pages, orders and filters of a wallet's transactions, by both ways of listing them."""
        queries: list[dict[str, Any]] = [
            {"limit": 1},
            {"limit": 2, "offset": 1},
            {"limit": 1000},
            {"offset": 1000},
            {"order": "asc"},
            {"order": "desc"},
            {"type": "credit"},
            {"type": "debit"},
            {"transaction_status": "completed"},
            {"transaction_status": "pending"},
            {"transaction_reason": "PURCHASED_CREDIT_DIRECT"},
            {"priority": 1},
            {"credits_available_gt": 5},
            {"expiry_date_before": "2098-06-01T00:00:00Z"},
            {"expiry_date_after": "2098-06-01T00:00:00Z"},
            {"start_time": "2020-01-01T00:00:00Z"},
            {"end_time": "2020-01-01T00:00:00Z"},
            {"status": "published"},
            {"status": "archived"},
            {"reference_type": "EXTERNAL", "reference_id": "nobody"},
            {"limit": 0},
        ]
        for query in queries:
            words = f"{situation}, {_words(query)}"
            yield Step("getWalletTransactions", words, wallet, query=list(query.items()))
            yield Step("queryWalletTransaction", words, body={"id": wallet, "limit": 100, **query})
        for field in ("credit_amount", "created_at"):
            body = {"id": wallet, "limit": 100, "sort": [{"field": field, "direction": "asc"}]}
            yield Step("queryWalletTransaction", f"{situation}, sorted by {field}", body=body)
        for condition in _CONDITIONS:
            body = {"id": wallet, "limit": 100, "filters": [condition]}
            yield Step("queryWalletTransaction", f"{situation}, {condition['operator']} {condition['field']}", body=body)

    # ------------------------------------------------------------------ situations

    def situations(self) -> Iterator[Iterator[Step]]:
        """All that are usual, for services that may be written to."""
        yield from (
            self._stranger(),
            self._first(),
            self._plain(),
            self._all_fields(),
            self._initial_credits(),
            self._rates(),
            self._alerts(),
            self._pending(),
            self._updates(),
            self._closing(),
            self._closed_with_credits(),
            self._customer(),
            self._external_customer(),
            self._keys(),
            self._ledger(),
            self._paged_search(),
            self._refused_creations(),
            self._refused_top_ups(),
            self._refused_updates(),
            self._unknown_writes(),
        )

    def _stranger(self) -> Iterator[Step]:
        body = {"customer_id": self.numbers.new("name"), "currency": "usd"}
        yield Step("createWallet", NEW_CUSTOMER, body=body, makes=self.numbers.new("wallet"))

    def _first(self) -> Iterator[Step]:
        wallet = self.numbers.new("wallet")
        yield self.create("a wallet of nothing but a currency", wallet)
        yield from self.reads("a new wallet", wallet)
        yield Step("terminateWallet", "an empty wallet", wallet)

    def _plain(self) -> Iterator[Step]:
        wallet = self.numbers.new("wallet")
        yield self.create("a new wallet", wallet)
        for reason in _REASONS:
            yield self.top_up(f"a top-up, {reason}", wallet, self.random.choice(_AMOUNTS), transaction_reason=reason)
        yield from self.reads("after top-ups", wallet)
        yield self.top_up("a bonus on top", wallet, "10", transaction_reason="PURCHASED_CREDIT_DIRECT", bonus_credits_to_add="2")
        yield self.top_up("credits that expire", wallet, "5", expiry_date_utc=_LATER, priority=1)
        yield self.top_up("metadata and description", wallet, "5", metadata={"order": "17"}, description="a present")
        yield from self.reads("after a bonus", wallet)

    def _all_fields(self) -> Iterator[Step]:
        wallet = self.numbers.new("wallet")
        yield self.create(
            "a wallet with all fields",
            wallet,
            currency="EUR",
            description="ünïcødé 日本語",
            metadata={"team": "a", "": "empty name"},
            conversion_rate="2",
            topup_conversion_rate="4",
            wallet_type="PRE_PAID",
        )
        yield from self.reads("a wallet with all fields", wallet)

    def _initial_credits(self) -> Iterator[Step]:
        for expiry in ({}, {"initial_credits_expiry_date_utc": _LATER}, {"initial_credits_to_load_expiry_date": 20980101}):
            wallet = self.numbers.new("wallet")
            words = f"initial credits{', that expire' if expiry else ''}"
            yield self.create(words, wallet, initial_credits_to_load="12.5", **expiry)
            yield from self.reads(words, wallet)

    def _rates(self) -> Iterator[Step]:
        wallet = self.numbers.new("wallet")
        spend, buy = self.random.choice(_RATES[1:]), self.random.choice(_RATES)
        yield self.create("a wallet with rates", wallet, conversion_rate=spend, topup_conversion_rate=buy)
        yield self.top_up("by amount", wallet, amount="10")
        yield self.top_up("by amount", wallet, amount="0.07", transaction_reason="PURCHASED_CREDIT_DIRECT")
        yield self.top_up("by credits", wallet, "3")
        yield self.top_up("by both", wallet, "3", amount="100")
        yield from self.reads("a wallet with rates", wallet)

    def _alerts(self) -> Iterator[Step]:
        wallet = self.numbers.new("wallet")
        low = {"threshold": 5, "condition": "below"}
        yield self.create("a wallet with an alert", wallet, alert_settings={"alert_enabled": True, "critical": low})
        yield from self.reads("below its alert", wallet)
        yield self.top_up("over its alert", wallet, "50")
        yield from self.reads("over its alert", wallet)

    def _pending(self) -> Iterator[Step]:
        wallet = self.numbers.new("wallet")
        yield self.create("a wallet for a purchase", wallet)
        yield self.top_up("a purchase by invoice", wallet, "5", transaction_reason="PURCHASED_CREDIT_INVOICED")
        yield from self.reads("a purchase by invoice", wallet)

    def _updates(self) -> Iterator[Step]:
        wallet = self.numbers.new("wallet")
        rates: dict[str, Any] = {"conversion_rate": "2", "topup_conversion_rate": "4"}
        yield self.create("a wallet to be updated", wallet, metadata={"a": "1", "b": "2"}, **rates)
        yield self.top_up("a wallet to be updated", wallet, "12.5")
        changes: tuple[tuple[str, dict[str, Any]], ...] = (
            ("a name", {"name": "Holidays"}),
            ("a description", {"description": "for June"}),
            ("metadata as a whole", {"metadata": {"c": "3"}}),
            ("no metadata", {"metadata": {}}),
            ("nothing", {}),
            ("price types", {"config": {"allowed_price_types": ["USAGE"]}}),
            ("an alert", {"alert_settings": {"alert_enabled": True, "critical": {"threshold": 5, "condition": "below"}}}),
            ("automatic top-up, off", {"auto_topup": {"enabled": False}}),
            ("an unknown member", {"no_such_member": 1}),
            ("everything", {"name": "All", "description": "", "metadata": {"d": "4"}}),
        )
        for words, body in changes:
            yield Step("updateWallet", words, wallet, body=body)
            yield self.random.choice(list(self.reads(f"after an update of {words}", wallet)))
        yield from self.reads("after updates", wallet)

    def _closing(self) -> Iterator[Step]:
        wallet = self.numbers.new("wallet")
        yield self.create("a wallet to be closed", wallet)
        yield Step("terminateWallet", "an empty wallet", wallet)
        yield from self.reads("closed", wallet)
        yield Step("terminateWallet", "a closed wallet", wallet)
        yield self.top_up("a closed wallet", wallet, "5")
        yield Step("updateWallet", "a closed wallet", wallet, body={"name": "Too late"})
        yield from self.reads("closed, after attempts", wallet)

    def _closed_with_credits(self) -> Iterator[Step]:
        wallet = self.numbers.new("wallet")
        yield self.create("a wallet to be closed with credits", wallet)
        yield self.top_up("before closing", wallet, "25")
        yield self.top_up("before closing", wallet, "0.5", transaction_reason="PURCHASED_CREDIT_DIRECT")
        yield Step("terminateWallet", "a wallet with credits", wallet)
        yield from self.reads("closed with credits", wallet)

    def _customer(self) -> Iterator[Step]:
        customer = self.numbers.new("customer")
        wallets = [self.numbers.new("wallet") for _ in range(4)]
        yield self.create("a first wallet", wallets[0], customer)
        yield self.create("another currency", wallets[1], customer, currency="eur")
        yield self.create("another type", wallets[2], customer, wallet_type="POST_PAID")
        yield self.create("the same currency again", wallets[3], customer)
        yield self.top_up("one of several", wallets[0], "7")
        yield from self._of_customer("a customer with several wallets", customer, wallets)
        yield Step("terminateWallet", "one of several", wallets[1])
        yield from self._of_customer("a customer with a closed wallet", customer, wallets)
        yield self.create("the currency of a closed wallet", self.numbers.new("wallet"), customer, currency="eur")
        for status in ("active", "closed", "frozen"):
            body = {"wallet_ids": wallets[:3], "limit": 10, "status": status}
            yield Step("queryWallet", f"wallets that are {status}", body=body)

    def _of_customer(self, situation: str, customer: Symbol, wallets: Sequence[Symbol]) -> Iterator[Step]:
        about = tuple(wallets)
        yield Step("getWalletsByCustomerId", situation, customer, about=about)
        real_time = [("id", customer), ("include_real_time_balance", "true")]
        for words, query in (
            ("", [("id", customer)]),
            (", with balances", real_time),
            (", with breakdown", [*real_time, ("expand", "credits_available_breakdown")]),
            (", from the cache", [*real_time, ("from_cache", "true")]),
        ):
            yield Step("getCustomerWallets", situation + words, query=query, about=about)

    def known_customer(self, customer: Symbol) -> Iterator[Step]:
        """A customer that is there on both sides: one that somebody made up is not found by all ways of asking."""
        wallet = self.numbers.new("wallet")
        yield self.create("a customer who is known", wallet, customer, currency="sek")
        yield self.top_up("a customer who is known", wallet, "7")
        for step in self._of_customer("a customer who is known", customer, [wallet]):
            yield replace(step, among_others=True)
        yield from self.reads("a customer who is known", wallet)

    def of_own(self) -> Iterator[Step]:
        """Refused reads of a wallet of the run's own."""
        wallet = self.numbers.new("wallet")
        yield self.create("a wallet for refused reads", wallet)
        yield from self.refused_reads(wallet)

    def _external_customer(self) -> Iterator[Step]:
        body = {"external_customer_id": self.numbers.new("name"), "currency": "usd"}
        yield Step("createWallet", "an external customer whom nobody knows", body=body, makes=self.numbers.new("wallet"))
        query = [("lookup_key", self.numbers.new("name"))]
        yield Step("getCustomerWallets", "an external customer whom nobody knows", query=query)
        yield Step("getCustomerWallets", "a customer whom nobody knows", query=[("id", self.numbers.new("name"))])
        yield Step("getWalletsByCustomerId", "a customer whom nobody knows", self.numbers.new("name"))

    def _keys(self) -> Iterator[Step]:
        one, two, key = self.numbers.new("wallet"), self.numbers.new("wallet"), self.numbers.new("key")
        yield self.create("a wallet for keys", one)
        yield self.create("a wallet for keys", two)
        yield self.top_up("a key", one, "5", idempotency_key=key)
        yield self.top_up("a used key", one, "5", idempotency_key=key)
        yield self.top_up("a used key with another amount", one, "6", idempotency_key=key)
        yield self.top_up("a used key on another wallet", two, "5", idempotency_key=key)
        no_key = {"credits_to_add": "5", "transaction_reason": _FREE}
        yield Step("topUpWallet", "no key", one, body=no_key, amount=Decimal(5))
        yield Step("topUpWallet", "no key, once more", one, body=no_key, amount=Decimal(5))
        yield from self.reads("after used keys", one)
        yield from self.reads("after used keys of others", two)

    def _ledger(self) -> Iterator[Step]:
        wallet = self.numbers.new("wallet")
        yield self.create("a wallet with many transactions", wallet)
        for number, reason in enumerate((*_REASONS, *_REASONS)):
            more = {"priority": 1} if number == 2 else {"expiry_date_utc": f"209{number}-01-01T00:00:00Z"} if number > 5 else {}
            yield self.top_up("many transactions", wallet, f"{number + 1}.5", transaction_reason=reason, **more)
        yield from self.lists("many transactions", wallet)

    def _paged_search(self) -> Iterator[Step]:
        customer = self.numbers.new("customer")
        wallets = [self.numbers.new("wallet") for _ in _CURRENCIES]
        for currency, wallet in zip(_CURRENCIES, wallets, strict=True):
            yield self.create("one of several currencies", wallet, customer, currency=currency)
        pages: tuple[dict[str, Any], ...] = (
            *({"limit": 2, "offset": offset} for offset in (0, 2, 4, 6)),
            {"limit": 1, "order": "asc"},
            {"limit": 10, "sort": "created_at", "order": "asc"},
            {"limit": 10, "expand": "credits_available_breakdown"},
            {},
        )
        for page in pages:
            yield Step("queryWallet", f"search, {_words(page) or 'no page'}", body={"wallet_ids": wallets, **page})

    def _refused_creations(self) -> Iterator[Step]:
        customer = self.numbers.new("customer")
        named = {"customer_id": customer, "currency": "usd"}
        mistakes: tuple[tuple[str, dict[str, Any]], ...] = (
            ("no currency", {"customer_id": customer}),
            ("no customer", {"currency": "usd"}),
            ("a short currency", {**named, "currency": "us"}),
            ("a long currency", {**named, "currency": "usdollar"}),
            ("a number as currency", {**named, "currency": 840}),
            ("an unknown type", {**named, "wallet_type": "GIFT_CARD"}),
            ("a negative rate", {**named, "conversion_rate": "-1"}),
            ("a rate of nothing", {**named, "topup_conversion_rate": "0"}),
            ("a customer id with a space", {"customer_id": "with space", "currency": "usd"}),
            ("an alert without thresholds", {**named, "alert_settings": {"alert_enabled": True}}),
            ("automatic top-up without amounts", {**named, "auto_topup": {"enabled": True}}),
            ("nested metadata", {**named, "metadata": {"nested": {"not": "text"}}}),
        )
        for words, body in mistakes:
            yield Step("createWallet", words, body=body, makes=self.numbers.new("wallet"))
        for raw in _NO_BODIES:
            yield Step("createWallet", f"the body {raw.decode() or '(none)'}", raw=raw, headers=_JSON)
        for identity in _STRANGERS:
            yield Step("createWallet", _stranger(identity), body=named, identity=identity, makes=self.numbers.new("wallet"))

    def _refused_top_ups(self) -> Iterator[Step]:
        wallet = self.numbers.new("wallet")
        yield self.create("a wallet for refusals", wallet)
        yield self.top_up("something to begin with", wallet, "10")
        free = {"credits_to_add": "5", "transaction_reason": _FREE}
        mistakes: tuple[tuple[str, dict[str, Any]], ...] = (
            ("no reason", {"credits_to_add": "5"}),
            ("no credits", {"transaction_reason": _FREE}),
            ("negative credits", {**free, "credits_to_add": "-5"}),
            ("credits in words", {**free, "credits_to_add": "five"}),
            ("nothing of both", {**free, "credits_to_add": "0", "amount": "0"}),
            ("a negative amount", {"amount": "-10", "transaction_reason": _FREE}),
            ("a reason that is no top-up's", {**free, "transaction_reason": "INVOICE_PAYMENT"}),
            ("an unknown reason", {**free, "transaction_reason": "GIFT"}),
            ("a negative priority", {**free, "priority": -1}),
            ("an expiry in the past", {**free, "expiry_date_utc": "2020-01-01T00:00:00Z"}),
            ("a negative bonus", {**free, "bonus_credits_to_add": "-1"}),
            ("an object as credits", {**free, "credits_to_add": {"amount": "5"}}),
            ("a list as metadata", {**free, "metadata": ["not", "a", "map"]}),
        )
        for words, body in mistakes:
            keyed = {**body, "idempotency_key": self.numbers.new("key")}
            yield Step("topUpWallet", words, wallet, body=keyed, amount=Decimal(10))
        for raw in _NO_BODIES:
            yield Step("topUpWallet", f"the body {raw.decode() or '(none)'}", wallet, raw=raw, headers=_JSON)
        for identity in _STRANGERS:
            yield Step("topUpWallet", _stranger(identity), wallet, body=free, identity=identity, amount=Decimal(5))
        yield from self.reads("after refused top-ups", wallet)

    def _refused_updates(self) -> Iterator[Step]:
        wallet = self.numbers.new("wallet")
        yield self.create("a wallet for refused updates", wallet)
        mistakes: tuple[tuple[str, dict[str, Any]], ...] = (
            ("an unknown price type", {"config": {"allowed_price_types": ["GIFTS"]}}),
            ("nested metadata", {"metadata": {"nested": {"not": "text"}}}),
            ("a number as description", {"description": 5}),
        )
        for words, body in mistakes:
            yield Step("updateWallet", words, wallet, body=body)
        for raw in _NO_BODIES:
            yield Step("updateWallet", f"the body {raw.decode() or '(none)'}", wallet, raw=raw, headers=_JSON)
        for identity in _STRANGERS:
            yield Step("updateWallet", _stranger(identity), wallet, body={"name": "Stolen"}, identity=identity)
            yield Step("terminateWallet", _stranger(identity), wallet, identity=identity)
        yield from self.reads("after refused updates", wallet)

    def _unknown_writes(self) -> Iterator[Step]:
        free = {"credits_to_add": "5", "transaction_reason": _FREE}
        for id in (UNKNOWN_WALLET, "not-an-id"):
            # Twice each: there are services that answer by turns.
            for operation, body in (("updateWallet", {"name": "Nobody's"}), ("topUpWallet", free), ("terminateWallet", NO_JSON)):
                for _ in range(2):
                    yield Step(operation, "a wallet that nobody has", id, body=body, invented=True)

    # ------------------------------------------------------------------ reading

    def refused_reads(self, wallet: Symbol | str) -> Iterator[Step]:
        """Reads with one mistake each, of what nobody has, and by strangers; `wallet` is one that is there."""
        for id in (UNKNOWN_WALLET, "not-an-id"):
            for operation in ("getWallet", "getWalletBalance", "getWalletTransactions"):
                yield Step(operation, "a wallet that nobody has", id)
        yield Step("queryWallet", "a wallet that nobody has", body={"wallet_ids": [UNKNOWN_WALLET], "limit": 10})
        yield Step("queryWalletTransaction", "a wallet that nobody has", body={"id": UNKNOWN_WALLET, "limit": 10})
        for operation, mistake in _READ_MISTAKES:
            if operation.startswith("query"):
                yield Step(operation, _words(mistake), body=mistake)
            else:
                subject = None if operation == "getCustomerWallets" else wallet
                yield Step(operation, _words(mistake) or "no parameter", subject, query=list(mistake.items()))
        for operation in ("queryWallet", "queryWalletTransaction"):
            for raw in _NO_BODIES:
                yield Step(operation, f"the body {raw.decode() or '(none)'}", raw=raw, headers=_JSON, same_data=False)
        for identity in _STRANGERS:
            for operation in ("getWallet", "getWalletBalance", "getWalletTransactions"):
                yield Step(operation, _stranger(identity), wallet, identity=identity)
            yield Step("getWalletsByCustomerId", _stranger(identity), "nobody", identity=identity)
            yield Step("getCustomerWallets", _stranger(identity), query=[("id", "nobody")], identity=identity)
            for operation in ("queryWallet", "queryWalletTransaction"):
                yield Step(operation, _stranger(identity), body={"limit": 1}, identity=identity)
        yield Step("getWallet", "with a request id", wallet, headers=(("x-request-id", Spelled("{}", self.numbers.new("name"))),))
        for words, path in (
            ("a path that is not there", "/no-such-path"),
            ("a part that is not there", "/wallets/x/no-such-part"),
        ):
            yield Step("", words, path=f"/v1{path}")

    def unlike_data(self) -> Iterator[Step]:
        """Lists of whatever is there: the two services hold different things."""
        for body in ({}, {"limit": 2}, {"limit": 2, "status": "active"}, {"limit": 2, "order": "asc"}):
            yield Step("queryWallet", f"all wallets, {_words(body) or 'no page'}", body=body, same_data=False)
        for body in ({"limit": 2}, {"limit": 5, "type": "debit"}):
            yield Step("queryWalletTransaction", f"all transactions, {_words(body)}", body=body, same_data=False)

    def known(self, wallet: Symbol, *, same_data: bool) -> Iterator[Step]:
        """A wallet that was there before. Its customer may have others, of which nobody knows whether they are on both sides."""
        steps = [*self.reads("a wallet that was there", wallet), *self.lists("a wallet that was there", wallet)]
        for step in steps:
            yield replace(step, same_data=same_data)

    # ------------------------------------------------------------------ at random

    def wander(self, count: int) -> Iterator[Step]:
        """So many steps at random, with a few wallets at a time."""
        wallets: list[Symbol] = []
        keys: list[Symbol] = []
        for number in range(count):
            if len(wallets) < 1 or (len(wallets) < 4 and number % 25 == 0):
                wallet = self.numbers.new("wallet")
                rates: dict[str, Any] = {
                    "conversion_rate": self.random.choice(_RATES),
                    "topup_conversion_rate": self.random.choice(_RATES),
                }
                yield self.create("at random", wallet, **(rates if self.random.random() < 0.5 else {}))
                wallets.append(wallet)
                continue
            wallet = self.random.choice(wallets)
            chance = self.random.random()
            if chance < 0.35:
                yield self._any_top_up(wallet, keys)
            elif chance < 0.45:
                fields = {"name": f"n{number}", "description": f"d{number}", "metadata": {"m": str(number)}}
                chosen = self.random.sample(sorted(fields), self.random.randint(1, 3))
                yield Step("updateWallet", "at random", wallet, body={name: fields[name] for name in chosen})
            elif chance < 0.48:
                yield Step("terminateWallet", "at random", wallet)
            elif chance < 0.65:
                yield self.random.choice(list(self.lists("at random", wallet)))
            else:
                yield self.random.choice(list(self.reads("at random", wallet)))
        for wallet in wallets:
            yield from self.reads("in the end", wallet)

    def _any_top_up(self, wallet: Symbol, keys: list[Symbol]) -> Step:
        fields: dict[str, Any] = {"transaction_reason": self.random.choice(_REASONS)}
        if keys and self.random.random() < 0.1:
            fields["idempotency_key"] = self.random.choice(keys)
        else:
            fields["idempotency_key"] = self.numbers.new("key")
            keys.append(fields["idempotency_key"])
        if self.random.random() < 0.2:
            fields["expiry_date_utc"] = f"20{self.random.randint(40, 98)}-01-01T00:00:00Z"
        if self.random.random() < 0.2:
            fields["priority"] = self.random.randint(0, 5)
        if self.random.random() < 0.15 and fields["transaction_reason"] == "PURCHASED_CREDIT_DIRECT":
            fields["bonus_credits_to_add"] = self.random.choice(_AMOUNTS)
        amount = self.random.choice((*_AMOUNTS, "0", "-1"))
        return (
            self.top_up("at random", wallet, amount=amount, **fields)
            if self.random.random() < 0.3
            else self.top_up("at random", wallet, amount, **fields)
        )


def _condition(field: str, operator: str, data_type: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "data_type": data_type, "value": {data_type: value}}


_CONDITIONS = (
    _condition("transaction_reason", "eq", "string", "CREDIT_NOTE"),
    _condition("transaction_reason", "in", "array", ["CREDIT_NOTE", "PURCHASED_CREDIT_DIRECT"]),
    _condition("transaction_reason", "not_in", "array", [_FREE]),
    _condition("credit_amount", "gt", "number", 4),
    _condition("credit_amount", "lt", "number", 4),
    _condition("no_such_field", "eq", "string", "x"),
)

_READ_MISTAKES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("getWalletBalance", {"expand": "everything"}),
    *(
        ("getWalletTransactions", query)
        for query in (
            {"limit": "abc"},
            {"limit": -1},
            {"limit": 1001},
            {"offset": -1},
            {"order": "sideways"},
            {"type": "gift"},
            {"transaction_status": "lost"},
            {"start_time": "2026-02-02T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"},
            {"start_time": "yesterday"},
            {"reference_type": "EXTERNAL"},
            {"credits_available_gt": "much"},
        )
    ),
    ("queryWallet", {"limit": 1001}),
    ("queryWallet", {"limit": 10, "offset": -1}),
    ("queryWallet", {"limit": 10, "expand": "everything"}),
    ("queryWalletTransaction", {"limit": 10, "offset": -1}),
    ("queryWalletTransaction", {"limit": 10, "type": "gift"}),
    ("queryWalletTransaction", {"limit": 10, "expand": "everything"}),
    ("queryWalletTransaction", {"limit": 10, "sort": [{"field": "no_such_field", "direction": "asc"}]}),
    ("getCustomerWallets", {}),
    ("getCustomerWallets", {"id": "a", "lookup_key": "b"}),
    ("getCustomerWallets", {"id": "a", "include_real_time_balance": "maybe"}),
)

_NO_BODIES = (b"", b"{", b"[]", b'"text"', b'{"currency": "usd"')


def _words(fields: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in fields.items())


def _stranger(identity: str) -> str:
    return {"none": "without a key", "wrong": "with a wrong key"}.get(identity, "with an expired key")


def _tidied(situation: Iterator[Step]) -> Iterator[Step]:
    """A situation, and its wallets closed: a customer can have one of each currency only, and some services know few."""
    made: dict[Symbol, None] = {}
    for step in situation:
        if step.makes is not None:
            made[step.makes] = None
        if step.operation == "terminateWallet" and step.identity == "main" and isinstance(step.subject, Symbol):
            made.pop(step.subject, None)
        yield step
    for wallet in made:
        yield Step("terminateWallet", "when all is done", wallet, tidy=True)


def sequence(wanted: Situations) -> Iterator[Step]:
    """All steps."""
    story = Story(wanted.seed)
    if wanted.writes:
        for situation in (*story.situations(), *map(story.known_customer, wanted.customers[:1])):
            yield from _tidied(situation)
        yield from _tidied(story.of_own())
    else:
        wallet, same_data = wanted.known[0] if wanted.known else (UNKNOWN_WALLET, True)
        for step in story.refused_reads(wallet):
            yield replace(step, same_data=step.same_data and same_data)
    for symbol, same_data in wanted.known:
        yield from story.known(symbol, same_data=same_data)
    yield from story.unlike_data()
    if wanted.writes:
        yield from story.wander(wanted.at_random)
