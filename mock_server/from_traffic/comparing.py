"""What the mock will answer otherwise than was recorded, found by asking its own code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from mock_server.flexprice import ledger, money
from mock_server.flexprice.bodies import balance_body, wallet_body
from mock_server.flexprice.opening import Opening
from mock_server.from_traffic.flexprice import SeenWallet
from mock_server.from_traffic.seen import section

_COMPARED = ("balance", "credit_balance", "wallet_status", "alert_state")
_IN_REAL_TIME = ("real_time_balance", "real_time_credit_balance", "current_period_usage", "unpaid_invoices_amount")


def differences(opening: Opening, personas: Mapping[str, SeenWallet]) -> Iterator[str]:
    """A line for each value that is not as recorded, for wallets that were seen before they were changed."""
    for name, seen in personas.items():
        account = opening.account(opening.persona_ids[name])
        if account is None or seen.is_late:
            continue
        wallet = account.wallet
        body = wallet_body(wallet, opening.tenant)
        yield from _lines(name, seen, _COMPARED, seen.body, body)
        if seen.balance:
            now = ledger.real_time(
                wallet, opening.usage(wallet.customer_id, wallet.currency).amount, opening.invoices(wallet.customer_id)
            )
            of_now = balance_body(account, now, opening.tenant, ledger.breakdown(account))
            yield from _lines(name, seen, _IN_REAL_TIME, seen.balance, of_now)
            left = "credits_available_breakdown"
            yield from _lines(name, seen, ("purchased", "free"), section(seen.balance, left), of_now[left])
        left_of = {row.id: row.credits_available for row in account.transactions}
        other = sum(1 for row in seen.rows.values() if row.available not in (None, left_of.get(row.id, row.available)))
        if other:
            yield f"{name} ({seen.id}): {other} rows have other credits left than recorded, since not all rows were seen"


def _lines(
    name: str, seen: SeenWallet, members: tuple[str, ...], recorded: Mapping[str, Any], made: Mapping[str, Any]
) -> Iterator[str]:
    for member in members:
        if member in recorded and _value(recorded[member]) != _value(made.get(member, "0")):
            yield f"{name} ({seen.id}): {member} was {recorded[member]}, in the mock it is {made.get(member)}"


def _value(value: Any) -> Decimal | str:
    try:
        return money.parse(value)
    except ValueError:
        return str(value)
