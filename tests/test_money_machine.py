"""Whatever is done to wallets, by clients, by controls or by time, the provider's rules hold after every single event."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
import pytest
from flexprice_checks import EXACT, divided, tolerance
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from contract_tests.durations import duration
from mock_server.assembly import Mock, Settings, assemble
from mock_server.clock import ClockSetting
from mock_server.event_codec import from_json, to_json
from mock_server.event_log import Event
from mock_server.flexprice.actions import ACTIONS
from mock_server.flexprice.entities import AlertSettings, Transaction, Wallet
from mock_server.flexprice.events import (
    CreditExpiryMoved,
    InvoiceCreated,
    InvoicePaid,
    InvoiceVoided,
    TransactionCompleted,
    TransactionCreated,
    UsageRateSet,
    UsageRecorded,
    UsageSet,
    WalletCreated,
    WalletEvaluated,
    WalletStatusChanged,
    WalletTerminated,
    WalletUpdated,
)
from mock_server.flexprice.ledger import Account
from mock_server.flexprice.state import FlexpriceState, state_of
from mock_server.world import Draft, Refusal, World

START = datetime(2026, 11, 21, 9, tzinfo=UTC)
ZERO = Decimal(0)
STEP = Decimal("1e-9")
QUARTER = timedelta(minutes=15)
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

_sessions = count()

amounts = st.one_of(
    st.sampled_from(["1", "10", "100", "0.000000001", "33.333333333", "7.77"]).map(Decimal),
    st.decimals(min_value=Decimal("1e-9"), max_value=Decimal(10_000), places=9),
)
signed = st.one_of(amounts, amounts.map(lambda amount: -amount), st.just(ZERO))
levels = st.sampled_from([-50, -1, 0, 1, 5, 20, 50, 100, 200])
spans = st.sampled_from(["0.000001s", "1s", "59s", "7m", "15m", "1h", "2h", "6h", "7h", "1d", "9d"])
reasons = st.sampled_from(
    [
        "FREE_CREDIT_GRANT",
        "SUBSCRIPTION_CREDIT_GRANT",
        "PURCHASED_CREDIT_DIRECT",
        "PURCHASED_CREDIT_INVOICED",
        "PURCHASED_CREDIT_INVOICED",
        "CREDIT_NOTE",
        "INVOICE_VOID_REFUND",
    ]
)
topups = st.fixed_dictionaries(
    {"threshold": levels.map(abs), "amount": st.sampled_from(["10", "33.333333333", "250", "0.5"]), "invoicing": st.booleans()},
    optional={"cooldown": st.sampled_from(["1 second", "10 minutes", "1 hour", "2 days"]), "enabled": st.booleans()},
)


@st.composite
def alerts(draw: st.DrawFn) -> dict[str, Any]:
    """Alert settings that the provider takes."""
    condition = draw(st.sampled_from(["below", "above"]))
    values = sorted(draw(st.lists(levels, min_size=3, max_size=3)), reverse=condition == "above")
    names = draw(st.sampled_from([("critical",), ("info",), ("critical", "warning"), ("critical", "warning", "info")]))
    given = {name: {"condition": condition, "threshold": value} for name, value in zip(names, values, strict=False)}
    return {"enabled": draw(st.sampled_from([True, True, True, False])), **given}


@dataclass
class Seen:
    """What the checks remember of a wallet.

    `adrift`: it was overdrawn while it had expired credits. `unlooked`: something else than usage has changed its balance, or its
    settings, and nobody has looked since. `touched`: when an event last had to do with it.
    """

    wallet: Wallet
    adrift: bool = False
    unlooked: bool = True
    by_amount: bool = False
    evaluated: datetime = START
    touched: datetime = START
    automatic: list[str] = field(default_factory=list)


class Watch:
    """A world of its own, folded event by event, and everything that must hold after each."""

    def __init__(self, mock: Mock) -> None:
        self.world: World = mock.worlds._new()
        self.state: FlexpriceState = state_of(self.world)
        self.seen: dict[str, Seen] = {}

    def of(self, account: Account) -> Seen:
        """What is remembered of a wallet."""
        return self.seen.setdefault(account.wallet.id, Seen(account.wallet))

    def see(self, event: Event) -> None:
        """Fold one event in, and check what it may have touched."""
        assert from_json(to_json(event)) == event
        assert event.at >= self.world.latest
        before = {w: Account(a.wallet, a.transactions) for w in self._touched(event) if (a := self.state.account(w))}
        for account in before.values():
            self.of(account)
        self.world.apply([event])
        self._check_event(event, before)
        for wallet_id in self._touched(event):
            account = self.state.account(wallet_id)
            assert account is not None
            self.of(account).touched = event.at
            self._check_wallet(account, event.at)

    def _touched(self, event: Event) -> list[str]:
        match event:
            case TransactionCreated(transaction=row) | TransactionCompleted(transaction=row):
                return [row.wallet_id]
            case WalletCreated(wallet=wallet):
                return [wallet.id]
            case UsageRecorded() | UsageSet() | UsageRateSet():
                accounts = self.state.accounts_of(event.customer_id)
                return [a.wallet.id for a in accounts if a.wallet.currency == event.currency]
            case InvoiceCreated(invoice=invoice):
                return [a.wallet.id for a in self.state.accounts_of(invoice.customer_id)]
            case InvoicePaid() | InvoiceVoided():
                found = self.state.invoice(event.invoice_id)
                assert found is not None
                return [a.wallet.id for a in self.state.accounts_of(found.customer_id)]
        wallet_id = getattr(event, "wallet_id", None)
        return [wallet_id] if wallet_id else []

    def _check_event(self, event: Event, before: dict[str, Account]) -> None:
        match event:
            case TransactionCreated(transaction=row):
                self._check_row_event(event, before[row.wallet_id])
            case TransactionCompleted(transaction=row):
                old = before[row.wallet_id]
                pending = old.row(row.id)
                assert pending is not None
                assert pending.transaction_status == "pending"
                assert row.credit_balance_before == old.wallet.credit_balance  # I13
                self._looked(row.wallet_id, event.at)
                self.seen[row.wallet_id].by_amount = True
            case WalletEvaluated(wallet_id=wallet_id):
                self._looked(wallet_id, event.at)
            case UsageRecorded() | UsageSet():
                for wallet_id, account in before.items():
                    if counts_usage(account.wallet):
                        self._looked(wallet_id, event.at)
            case (
                InvoiceCreated() | InvoicePaid() | InvoiceVoided() | WalletUpdated() | WalletStatusChanged() | WalletTerminated()
            ):
                for wallet_id in before:
                    self.seen[wallet_id].unlooked = True
            case CreditExpiryMoved(wallet_id=wallet_id):
                after = self.state.account(wallet_id)
                assert after is not None
                assert after.wallet.credit_balance == before[wallet_id].wallet.credit_balance

    def _check_row_event(self, event: TransactionCreated, before: Account) -> None:
        row, seen = event.transaction, self.seen[event.transaction.wallet_id]
        account = self.state.account(row.wallet_id)
        assert account is not None
        assert row.credit_balance_before == before.wallet.credit_balance  # I13
        if row.idempotency_key:  # I20
            assert all(row.idempotency_key != other.idempotency_key for other in before.transactions)
        if row.transaction_status == "pending":  # I12
            assert account.wallet == before.wallet
            if event.automatic:
                seen.automatic.append(row.id)
            return
        if row.type == "debit":
            self._check_debit(event, before, account, seen)
        if event.automatic and row.transaction_reason != "PURCHASED_CREDIT_BONUS":
            self._check_automatic(row, before, event.at, seen)
        if row.transaction_reason == "PURCHASED_CREDIT_INVOICED":
            seen.by_amount = seen.unlooked = True
        else:
            seen.by_amount = False
            self._looked(row.wallet_id, event.at)

    def _check_debit(self, event: TransactionCreated, before: Account, account: Account, seen: Seen) -> None:
        """I19: which credits a debit takes from."""
        row = event.transaction
        if row.transaction_reason == "CREDIT_EXPIRED":
            (credit_id,) = event.consumed
            expired = before.row(credit_id)
            assert expired is not None
            assert expired.expiry_date is not None
            assert expired.expiry_date <= event.at
            assert (event.consumed[credit_id], row.credit_amount) == (ZERO, expired.credits_available)
            assert row.idempotency_key in ("", credit_id)
            due = expired.expiry_date + timedelta(hours=6)
            if event.at >= due and expired.updated_at <= expired.expiry_date:  # neither expired by hand nor paid for too late
                assert event.at - due < QUARTER
                assert (event.at.minute % 15, event.at.second, event.at.microsecond) == (0, 0, 0)
            return
        eligible = [r for r in credits_of(before) if r.credits_available > 0 and (not r.expiry_date or r.expiry_date >= event.at)]
        far = datetime.max.replace(tzinfo=UTC)
        eligible.sort(key=lambda r: (2**40 if r.priority is None else r.priority, r.expiry_date or far, -r.credit_amount))
        left = row.credit_amount
        expected = {}
        for credit in eligible:
            if not left:
                break
            taken = min(left, credit.credits_available)
            expected[credit.id] = credit.credits_available - taken
            left -= taken
        assert dict(event.consumed) == expected
        assert row.metadata.get("consumed_credit_tx_ids", "") == ",".join(expected)
        if left:
            assert row.transaction_reason == "MANUAL_BALANCE_DEBIT"
            seen.adrift = seen.adrift or any(r.credits_available for r in credits_of(account))

    def _check_automatic(self, row: Transaction, before: Account, at: datetime, seen: Seen) -> None:
        """6.8: when a wallet tops itself up."""
        topup = before.wallet.auto_topup
        assert topup is not None
        assert topup.threshold is not None
        assert topup.enabled
        assert row.credit_amount == topup.amount
        assert self.state_value(before, at) <= topup.threshold
        newest = next((r for r in reversed(before.transactions) if r.metadata.get("auto_topup") == "true"), None)
        if newest is not None:
            assert newest.transaction_status != "pending"
            if topup.cooldown is not None:
                assert newest.created_at + topup.cooldown.value * timedelta(seconds=UNITS[topup.cooldown.unit]) <= at
        seen.automatic.append(row.id)

    def _looked(self, wallet_id: str, at: datetime) -> None:
        """I26: right after an evaluation the alert state is what the balance asks for."""
        account = self.state.account(wallet_id)
        assert account is not None
        seen = self.seen[wallet_id]
        seen.unlooked, seen.evaluated = False, at
        effective = self.effective(account.wallet)
        if effective.alert_enabled:
            assert account.wallet.alert_state == asked_state(effective, self.state_value(account, at))
        else:
            assert account.wallet.alert_state in (seen.wallet.alert_state, "ok")
        seen.wallet = account.wallet

    def effective(self, wallet: Wallet) -> AlertSettings:
        """The settings that count for a wallet."""
        own = wallet.alert_settings
        return own if own and (own.critical or own.warning or own.info) else self.state.tenant.alerts

    def state_value(self, account: Account, at: datetime) -> Decimal:
        """The real-time balance in credits, computed anew."""
        wallet = account.wallet
        if wallet.wallet_status != "active":
            return ZERO
        return divided(wallet.balance - self.pending(wallet, at), wallet.conversion_rate)

    def pending(self, wallet: Wallet, at: datetime) -> Decimal:
        """6.5: what is pending of an active wallet."""
        if wallet.wallet_type == "POST_PAID":
            return ZERO
        allowed = wallet.allowed_price_types or ()
        usage = self.state.usage(wallet.customer_id, wallet.currency).at(at) if counts_usage(wallet) else ZERO
        unpaid = [i for i in self.state.invoices(wallet.customer_id) if i.currency == wallet.currency]
        assert all(invoice.status == "unpaid" for invoice in unpaid)
        if {"ALL", "FIXED"} & set(allowed):
            return usage + sum((i.remaining for i in unpaid), ZERO)
        return usage + sum((i.usage_due - i.paid for i in unpaid), ZERO)

    def _check_wallet(self, account: Account, at: datetime) -> None:
        wallet, seen = account.wallet, self.of(account)
        rate = wallet.conversion_rate
        if not seen.by_amount or wallet.topup_conversion_rate == rate:  # I1
            assert abs(wallet.balance - EXACT.multiply(wallet.credit_balance, rate)) <= tolerance(rate)
        now = self.state.real_time(account, at)
        assert now.credit_balance == self.state_value(account, at)  # I3, I4, I5
        if wallet.wallet_status == "active":
            assert now.balance == wallet.balance - now.usage  # I2
            assert now.usage == self.pending(wallet, at)
        else:
            assert (now.balance, now.usage, now.unpaid) == (ZERO, ZERO, None)
        fixed = ("id", "customer_id", "currency", "wallet_type", "conversion_rate", "topup_conversion_rate", "created_at")
        assert all(getattr(wallet, name) == getattr(seen.wallet, name) for name in fixed)  # I28
        assert wallet.updated_at >= wallet.created_at  # I27
        total = ZERO
        for row in account.transactions:
            self._check_row(row)
            if row.transaction_status == "completed":
                total += row.credit_amount if row.type == "credit" else -row.credit_amount
        assert total == wallet.credit_balance  # I10
        available = sum((row.credits_available for row in credits_of(account)), ZERO)
        if not seen.adrift:
            assert available == max(ZERO, wallet.credit_balance)  # I16

    def _check_row(self, row: Transaction) -> None:
        change = row.credit_amount if row.type == "credit" else -row.credit_amount
        moved = change if row.transaction_status == "completed" else ZERO
        assert row.credit_balance_after == row.credit_balance_before + moved  # I11, I12
        rate = row.topup_conversion_rate if row.type == "credit" else row.conversion_rate
        assert rate is not None
        assert (row.topup_conversion_rate is None) != (row.conversion_rate is None)
        assert abs(row.amount - EXACT.multiply(row.credit_amount, rate)) <= tolerance(rate)  # I14
        assert 0 <= row.credits_available <= (row.credit_amount if row.type == "credit" else ZERO)  # I15
        assert row.updated_at >= row.created_at

    def check_time(self, now: datetime) -> None:
        """What must have happened by now has happened, and nothing waits."""
        assert self.world.due > now
        for account in self.state.changed.values():
            wallet, seen = account.wallet, self.of(account)
            for row in credits_of(account):
                if row.credits_available and row.expiry_date:
                    assert row.expiry_date + timedelta(hours=6) + QUARTER > now
            recently = now - seen.evaluated < timedelta(minutes=1)
            effective = self.effective(wallet)
            if not seen.unlooked and not recently and wallet.wallet_status == "active" and effective.alert_enabled:
                assert wallet.alert_state == asked_state(effective, self.state_value(account, now))
            usage = self.state.usage(wallet.customer_id, wallet.currency)
            if usage.rate and counts_usage(wallet) and now - seen.touched >= timedelta(minutes=2):
                self._check_accruing(account, now)

    def _check_accruing(self, account: Account, now: datetime) -> None:
        """6.7, 6.8: usage that goes on has a wallet looked at, whatever else has happened to it."""
        wallet, topup, value = account.wallet, account.wallet.auto_topup, self.state_value(account, now)
        effective = self.effective(wallet)
        if effective.alert_enabled:
            assert wallet.alert_state == asked_state(effective, value)
        if topup is None or topup.threshold is None or not topup.enabled or value > topup.threshold:
            return
        automatic = [row for row in account.transactions if row.metadata.get("auto_topup") == "true"]
        unpaid = {invoice.billing_reason for invoice in self.state.invoices(wallet.customer_id)}
        assert (
            bool(automatic and automatic[-1].transaction_status == "pending")
            or bool(topup.invoicing and "WALLET_AUTO_TOPUP" in unpaid)
            or bool(topup.cooldown and automatic and automatic[-1].created_at + topup.cooldown.span > now)
            or len([row for row in automatic if row.created_at == automatic[-1].created_at]) >= 100
        )


def counts_usage(wallet: Wallet) -> bool:
    """Whether usage is taken from a wallet."""
    allowed = set(wallet.allowed_price_types or ("USAGE",))
    return wallet.wallet_status == "active" and wallet.wallet_type == "PRE_PAID" and bool({"USAGE", "ALL"} & allowed)


def credits_of(account: Account) -> Iterator[Transaction]:
    """The credits that have arrived."""
    return (row for row in account.transactions if row.type == "credit" and row.transaction_status == "completed")


def asked_state(settings: AlertSettings, value: Decimal) -> str:
    """6.7: the alert state that a balance asks for."""
    given = [
        (state, level)
        for state, level in (("in_alarm", settings.critical), ("warning", settings.warning), ("info", settings.info))
        if level is not None
    ]
    for state, level in given:
        if value <= level.threshold if given[0][1].condition == "below" else value >= level.threshold:
            return state
    return "ok"


class Money(RuleBasedStateMachine):
    """One session: clients, controls and time in any order."""

    def __init__(self, mock: Mock, runner: asyncio.Runner) -> None:
        super().__init__()
        self.mock, self.runner = mock, runner
        self.session = f"money-{next(_sessions)}"
        self.watch = Watch(mock)
        self.wallets: list[str] = []
        self.keys = count()

    @initialize()
    def begin(self) -> None:
        """Personas with a past, and two wallets of one customer, one of them at odd rates."""
        self.wallets = ["auto-topup", "draining", "expiring", "unpaid-invoices-all"]
        for currency, rates in (("usd", {}), ("eur", {"conversion_rate": "1.12345", "topup_conversion_rate": "0.4"})):
            body = {"customer_id": "cust_money", "currency": currency, "initial_credits_to_load": "40", **rates}
            answer = self.call("POST", "/wallets", body)
            self.wallets.append(answer["id"])

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.runner.run(self.mock.worlds.reset(self.session))

    def call(self, method: str, path: str, body: Any, refusals: tuple[int, ...] = ()) -> Any:
        """A client's request; a refused one changes nothing."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.mock.app)
            headers = {"x-api-key": "test", "x-mock-session": self.session}
            async with httpx.AsyncClient(transport=transport, base_url="http://mock/v1", headers=headers) as client:
                return await client.request(method, path, json=body)

        response = self.runner.run(send())
        assert response.status_code in (200, *refusals), response.text
        happened = self.follow()
        assert response.status_code == 200 or not happened
        return response.json()

    def act(self, name: str, **fields: Any) -> None:
        """An action; a refused one changes nothing."""
        action = ACTIONS[name].model_validate(fields)

        def decide(world: World, draft: Draft) -> tuple[Any, None]:
            return action.decide(world, draft), None

        try:
            self.runner.run(self.mock.worlds.commit(self.session, decide))
        except Refusal:
            assert not self.follow()
        self.follow()

    def follow(self) -> int:
        """Check what has happened meanwhile, event by event; how many events that were."""
        events = self.runner.run(self.mock.worlds.events(self.session, self.watch.world.position))
        for event in events:
            self.watch.see(event)
        return len(events)

    def pick(self, data: st.DataObject) -> str:
        """One of the wallets."""
        return data.draw(st.sampled_from(self.wallets))

    def id(self, name: str) -> str:
        """The id of a wallet."""
        return self.watch.state.opening.persona_ids.get(name, name)

    def some_row(self, data: st.DataObject, wallet: str) -> Transaction | None:
        """One of a wallet's rows."""
        account = self.watch.state.account(self.id(wallet))
        assert account is not None
        return data.draw(st.sampled_from(account.transactions)) if account.transactions else None

    @rule(data=st.data(), credits=amounts, reason=reasons, bonus=st.none() | amounts, hours=st.none() | st.integers(1, 12))
    def top_up(self, data: st.DataObject, credits: Decimal, reason: str, bonus: Decimal | None, hours: int | None) -> None:
        """A client tops up."""
        body: dict[str, Any] = {
            "credits_to_add": str(credits),
            "transaction_reason": reason,
            "idempotency_key": f"k{next(self.keys)}",
        }
        if bonus is not None:
            body["bonus_credits_to_add"] = str(bonus)
        if hours is not None:
            body["expiry_date_utc"] = (self.now + timedelta(hours=hours)).isoformat()
            body["priority"] = hours % 3
        self.call("POST", f"/wallets/{self.id(self.pick(data))}/top-up", body)

    @rule(data=st.data(), credits=amounts)
    def debit(self, data: st.DataObject, credits: Decimal) -> None:
        """A client debits."""
        body = {
            "credits": str(credits),
            "transaction_reason": "MANUAL_BALANCE_DEBIT",
            "idempotency_key": f"k{next(self.keys)}",
        }
        self.call("POST", f"/wallets/{self.id(self.pick(data))}/debit", body, (400,))

    @rule(data=st.data())
    def reuse_key(self, data: st.DataObject) -> None:
        """I20: a used key is a conflict, and nothing changes."""
        row = self.some_row(data, self.pick(data))
        if row is not None and row.idempotency_key:
            body = {"credits_to_add": 1, "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": row.idempotency_key}
            assert self.call("POST", f"/wallets/{row.wallet_id}/top-up", body, (409,))["code"] == "already_exists"

    @rule(data=st.data(), how=st.sampled_from(["terminate", "modify", "close"]))
    def close(self, data: st.DataObject, how: str) -> None:
        """A wallet is closed, or turned into another; some stay."""
        wallet = self.pick(data)
        if self.wallets.index(wallet) % 3:
            return
        if how == "close":
            self.act("set-status", wallet=wallet, status="closed")
        else:
            body = {"modification_type": "prepaid_to_postpaid"} if how == "modify" else None
            self.call("POST", f"/wallets/{self.id(wallet)}/{how}", body, (400, 409))

    @rule(data=st.data(), allowed=st.sampled_from([["USAGE"], ["ALL"], ["FIXED"], []]))
    def pay_for(self, data: st.DataObject, allowed: list[str]) -> None:
        """A client changes what a wallet pays for."""
        self.call("PUT", f"/wallets/{self.id(self.pick(data))}", {"config": {"allowed_price_types": allowed}})

    @rule(data=st.data(), balance=signed)
    def set_balance(self, data: st.DataObject, balance: Decimal) -> None:
        """A control sets the balance."""
        self.act("set-balance", wallet=self.pick(data), credits=balance)

    @rule(data=st.data(), status=st.sampled_from(["active", "active", "frozen"]))
    def set_status(self, data: st.DataObject, status: str) -> None:
        """A control freezes and unfreezes."""
        self.act("set-status", wallet=self.pick(data), status=status)

    @rule(data=st.data(), settings=alerts())
    def set_alerts(self, data: st.DataObject, settings: dict[str, Any]) -> None:
        """A control sets alerts."""
        self.act("set-alerts", wallet=self.pick(data), settings=settings)

    @rule(data=st.data(), settings=st.none() | topups)
    def set_auto_topup(self, data: st.DataObject, settings: dict[str, Any] | None) -> None:
        """A control sets the automatic top-up."""
        self.act("set-auto-topup", wallet=self.pick(data), settings=settings)

    @rule(data=st.data(), amount=amounts, kind=st.sampled_from(["use", "set-usage"]))
    def use(self, data: st.DataObject, amount: Decimal, kind: str) -> None:
        """Something is used."""
        self.act(kind, wallet=self.pick(data), amount=amount)

    @rule(data=st.data(), amount=st.sampled_from(["0", "1", "0.7", "33.333333333", "500"]), per=st.sampled_from(["hour", "day"]))
    def set_usage_rate(self, data: st.DataObject, amount: str, per: str) -> None:
        """Usage accrues from now on."""
        self.act("set-usage-rate", wallet=self.pick(data), amount=amount, per=per)

    @rule(data=st.data(), amount=amounts, part=st.integers(0, 3))
    def create_invoice(self, data: st.DataObject, amount: Decimal, part: int) -> None:
        """A customer owes money."""
        usage = (amount * part / 3).quantize(STEP) if part < 3 else amount
        paid = (amount * part / 4).quantize(STEP)
        self.act("create-invoice", wallet=self.pick(data), amount=amount, usage=min(usage, amount), paid=paid)

    @rule(data=st.data(), amount=st.none() | amounts, how=st.sampled_from(["pay-invoice", "pay-invoice", "void-invoice"]))
    def settle(self, data: st.DataObject, amount: Decimal | None, how: str) -> None:
        """An invoice is paid, in part or in full, or voided."""
        fields = {"amount": amount} if amount is not None and how == "pay-invoice" else {}
        self.act(how, wallet=self.pick(data), invoice="latest", **fields)

    @rule(data=st.data(), credits=amounts, bonus=st.none() | amounts, early=st.booleans(), amount=signed)
    def buy(self, data: st.DataObject, credits: Decimal, bonus: Decimal | None, early: bool, amount: Decimal) -> None:
        """Credits are bought on invoice, the balance changes, and then they are paid."""
        wallet = self.pick(data)
        body = {"credits_to_add": str(credits), "transaction_reason": "PURCHASED_CREDIT_INVOICED"}
        body |= {"idempotency_key": f"k{next(self.keys)}"} | ({"bonus_credits_to_add": str(bonus)} if bonus else {})
        invoice = self.call("POST", f"/wallets/{self.id(wallet)}/top-up", body)["invoice_id"]
        if not early:
            self.act("set-balance", wallet=wallet, credits=amount)
        self.act("pay-invoice", invoice=invoice)

    @rule(
        data=st.data(),
        rate=st.sampled_from(["1", "0.7", "33.333333333"]),
        near=st.sampled_from(["0.1", "1", "7.5"]),
        kind=st.sampled_from(["critical", "info", "topup", "cooling"]),
        span=spans,
    )
    def drain(self, data: st.DataObject, rate: str, near: str, kind: str, span: str) -> None:
        """Usage takes a wallet towards a threshold that is near, and time to it or beyond."""
        wallet = self.pick(data)
        account = self.watch.state.account(self.id(wallet))
        assert account is not None
        level = (self.watch.state_value(account, self.now) - Decimal(near)).quantize(STEP)
        if kind in ("critical", "info"):
            self.act("set-alerts", wallet=wallet, settings={kind: {"threshold": level}})
        else:
            topup = {"threshold": max(ZERO, level), "amount": "2.5"} | ({"cooldown": "2 hours"} if kind == "cooling" else {})
            self.act("set-auto-topup", wallet=wallet, settings=topup)
        self.act("set-usage-rate", wallet=wallet, amount=rate, per="hour")
        self.act("use", wallet=wallet, amount="0.000000001")
        self.advance(span)
        self.act("debit", wallet=wallet, credits="0.5")

    @rule(data=st.data(), one=st.booleans())
    def expire(self, data: st.DataObject, one: bool) -> None:
        """Credits expire early."""
        wallet = self.pick(data)
        row = self.some_row(data, wallet) if one else None
        self.act("expire-credits", wallet=wallet, transaction=row and row.id)

    @rule(data=st.data(), credits=st.none() | amounts)
    def refund(self, data: st.DataObject, credits: Decimal | None) -> None:
        """Something is given back."""
        wallet = self.pick(data)
        row = self.some_row(data, wallet)
        if row is not None:
            self.act("refund", wallet=wallet, transaction=row.id, credits=credits)

    @rule(span=spans)
    def advance(self, span: str) -> None:
        """Time passes; if too much would happen meanwhile, none does, and then less of it."""
        for length in (duration(span), QUARTER):
            try:
                self.runner.run(self.mock.worlds.advance(self.session, length))
                break
            except Refusal:
                assert not self.follow()
        self.follow()

    @property
    def now(self) -> datetime:
        """The time in the session."""
        return self.mock.worlds.time_of(self.session)

    @invariant()
    def every_event_keeps_the_rules(self) -> None:
        """Whatever has happened since the last step, event by event."""
        self.follow()
        if self.watch.world.position:
            self.watch.check_time(self.now)


@pytest.fixture(scope="module")
def mock() -> Mock:
    """A server in this process, whose clock stands."""
    return assemble(Settings(providers=("flexprice",), population=0, clock=ClockSetting.stopped(START), control_token="t"))


def test_rules_hold_after_every_event(mock: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any sequence of operations, controls and waiting: I1 to I20 and I26 to I30 after each event, and nothing is overdue."""
    # Thousands of top-ups at once, all alike, would be most of the time, and each wallet's rows are looked at after each event.
    monkeypatch.setattr("mock_server.world.MOST_DUE", 200)
    with asyncio.Runner() as runner:
        run_state_machine_as_test(
            lambda: Money(mock, runner), settings=settings(max_examples=15, stateful_step_count=30, deadline=None)
        )
