"""When accruing usage makes the provider look at a wallet, found by arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from mock_server.clock import FIRST, later
from mock_server.flexprice import auto_topup, ledger, money
from mock_server.flexprice.entities import AlertSettings, Invoice, Wallet
from mock_server.flexprice.ledger import Account, RealTime
from mock_server.flexprice.money import TINIEST
from mock_server.flexprice.usage import Usage

EVALUATED_EVERY = timedelta(minutes=1)
"""Accruing usage is not looked at more often, however fast it reaches one threshold after another."""


def next_look(
    account: Account,
    usage: Usage,
    invoices: Iterable[Invoice],
    tenant_alerts: AlertSettings,
    at: datetime,
    *,
    evaluated: bool,
) -> datetime | None:
    """The first moment after `at` at which accruing usage makes the provider look at a wallet and find something new.

    That is when usage reaches a threshold, when a low wallet has cooled down, and unless the wallet was `evaluated` just now, on
    the next full minute if there is something to find already. Without the tenant's alerts nobody looks because of usage.
    """
    wallet = account.wallet
    if not usage.rate or not tenant_alerts.alert_enabled or not ledger.counts_usage(wallet):
        return None
    now = ledger.real_time(wallet, usage.at(at), invoices)
    alerts = ledger.effective_alerts(wallet, tenant_alerts)
    moments = list(_crossings(wallet, usage, now, alerts, at))
    topup_from = auto_topup.due_from(account, now.credit_balance, invoices)
    if topup_from is not None and topup_from > at:
        moments.append(topup_from)
    elif not evaluated and (
        topup_from is not None or ledger.alert_state(alerts, now.credit_balance, wallet.alert_state) != wallet.alert_state
    ):
        moments.append(later(at, EVALUATED_EVERY - (at - FIRST) % EVALUATED_EVERY))
    return min(moments, default=None)


def _crossings(wallet: Wallet, usage: Usage, now: RealTime, alerts: AlertSettings, at: datetime) -> Iterator[datetime]:
    """When usage alone brings a wallet, whose balance is `now`, to each of the thresholds ahead."""
    without_usage = now.balance + usage.at(at)
    for level, falls_below in _levels(wallet, alerts, now.credit_balance):
        moment = usage.reaches(_usage_at(level, without_usage, wallet.conversion_rate, falls_below))
        if moment is not None and moment > at:
            yield moment


def _levels(wallet: Wallet, alerts: AlertSettings, credits: Decimal) -> Iterator[tuple[Decimal, bool]]:
    """The thresholds that lie ahead of a falling balance, and whether it must fall below them rather than to them."""
    if alerts.alert_enabled:
        for level in (alerts.critical, alerts.warning, alerts.info):
            if level is not None and (credits > level.threshold if level.condition == "below" else credits >= level.threshold):
                yield level.threshold, level.condition == "above"
    topup = wallet.auto_topup
    if topup is not None and topup.enabled and topup.threshold is not None and credits > topup.threshold:
        yield topup.threshold, False


def _usage_at(level: Decimal, balance: Decimal, rate: Decimal, falls_below: bool) -> Decimal:
    """How much usage brings a balance to a level in credits, or just below it."""
    needed = money.round_up(money.subtract(balance, money.multiply(level, rate)))
    return needed + TINIEST if falls_below else needed
