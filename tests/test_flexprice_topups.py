"""Flexprice top-ups over HTTP: what is taken, what it costs, what is refused, and a ledger that adds up after all of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from conftest import Mock
from flexprice_checks import BREAKDOWN, Body, Wallet, assert_invalid, assert_ok, assert_refused, assert_row, number

NOBODY = "wallet_00000000000000000000000000"
DIRECT = ("FREE_CREDIT_GRANT", "SUBSCRIPTION_CREDIT_GRANT", "PURCHASED_CREDIT_DIRECT", "CREDIT_NOTE", "INVOICE_VOID_REFUND")
INVOICED = "PURCHASED_CREDIT_INVOICED"
NOT_FOR_TOPUPS = (
    "INVOICE_PAYMENT",
    "CREDIT_EXPIRED",
    "WALLET_TERMINATION",
    "MANUAL_BALANCE_DEBIT",
    "CREDIT_ADJUSTMENT",
    "PURCHASED_CREDIT_BONUS",
)
PAST, FUTURE = "2020-01-01T00:00:00Z", "2036-03-01T00:00:00.000000Z"


def raw(wallet: Wallet, fields: str) -> httpx.Response:
    """A top-up whose JSON is written out, for numbers that a JSON library would not write."""
    body = f'{{"transaction_reason": "FREE_CREDIT_GRANT", {fields}}}'
    return wallet.client.post(f"/wallets/{wallet.id}/top-up", content=body, headers={"content-type": "application/json"})


def assert_unchanged(wallet: Wallet, before: tuple[Body, list[Body]]) -> None:
    """Neither wallet nor ledger differ from what `check` gave before."""
    assert wallet.check() == before


# ---------------------------------------------------------------- reasons


@pytest.mark.parametrize("reason", DIRECT)
def test_direct_top_up(flexprice: httpx.Client, reason: str) -> None:
    """One completed row, the balance grows by exactly the credits, and the answer shows both as they are read back (I18)."""
    wallet = Wallet.create(flexprice, initial_credits_to_load="1.5")
    answer = assert_ok(
        wallet.top_up(
            credits_to_add="10.25",
            transaction_reason=reason,
            idempotency_key="order-7",
            description="« seven »",
            metadata={"payment_method": "CARD"},
        )
    )

    assert set(answer) == {"wallet", "wallet_transaction"}
    body, rows = wallet.check()
    row = answer["wallet_transaction"]
    assert rows[-1] == row
    assert len(rows) == 2
    assert {name: body[name] for name in answer["wallet"]} == answer["wallet"]
    assert body["credit_balance"] == "11.75"
    expected = {
        "type": "credit",
        "transaction_status": "completed",
        "transaction_reason": reason,
        "credit_amount": "10.25",
        "amount": "10.25",
        "credit_balance_before": "1.5",
        "credit_balance_after": "11.75",
        "credits_available": "10.25",
        "reference_type": "EXTERNAL",
        "reference_id": "order-7",
        "idempotency_key": "order-7",
        "description": "« seven »",
        "metadata": {"payment_method": "CARD"},
        "topup_conversion_rate": "1",
        "status": "published",
    }
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("reason", "purchased", "free"),
    [
        ("PURCHASED_CREDIT_DIRECT", "4", "0"),
        ("FREE_CREDIT_GRANT", "0", "4"),
        ("SUBSCRIPTION_CREDIT_GRANT", "0", "4"),
        ("CREDIT_NOTE", "0", "4"),
        ("INVOICE_VOID_REFUND", "0", "4"),
        (INVOICED, "0", "0"),
    ],
)
def test_reason_decides_the_breakdown(flexprice: httpx.Client, reason: str, purchased: str, free: str) -> None:
    """Bought credits count as purchased, all others as free, and credits that are not paid for as neither (I17)."""
    wallet = Wallet.create(flexprice)
    assert_ok(wallet.top_up(credits_to_add="4", transaction_reason=reason))

    assert wallet.check()[0][BREAKDOWN] == {"purchased": purchased, "free": free}


@pytest.mark.parametrize("reason", [*NOT_FOR_TOPUPS, "BONUS", "", "free_credit_grant", None, 1])
def test_reasons_that_cannot_top_up(flexprice: httpx.Client, reason: Any) -> None:
    """Of the twelve documented reasons six are for other flows; those, unknown words and none at all are 400."""
    wallet = Wallet.create(flexprice)
    before = wallet.check()

    assert_invalid(wallet.top_up(credits_to_add="1", transaction_reason=reason), "transaction_reason")
    assert_unchanged(wallet, before)


def test_reason_is_required(flexprice: httpx.Client) -> None:
    """Without the field the body is not even looked at further."""
    wallet = Wallet.create(flexprice)

    assert_invalid(flexprice.post(f"/wallets/{wallet.id}/top-up", json={"credits_to_add": "1"}), "transaction_reason")


# ---------------------------------------------------------------- credits and money


@pytest.mark.parametrize(
    ("given", "credits", "cost"),
    [
        ({"credits_to_add": "10"}, "10", "4"),
        ({"amount": "10"}, "25", "10"),
        ({"credits_to_add": "10", "amount": "1000"}, "10", "4"),
        ({"credits_to_add": "0", "amount": "10"}, "25", "10"),
        ({"credits_to_add": None, "amount": 10}, "25", "10"),
        ({"credits_to_add": "0.000000001"}, "0.000000001", "0"),
        ({"amount": "0.000000001"}, "0.000000003", "0.000000001"),
        ({"credits_to_add": "3.3333333333333333"}, "3.333333333", "1.333333333"),
    ],
)
def test_credits_or_amount(flexprice: httpx.Client, wallet_ids: dict[str, str], given: Body, credits: str, cost: str) -> None:
    """Credits win over an amount, an amount is divided by the top-up rate (0.4), and the balance grows by 0.5 each (I14)."""
    wallet = Wallet(flexprice, wallet_ids["rate-half"])
    before = wallet.stored()
    row = assert_ok(wallet.top_up(transaction_reason="PURCHASED_CREDIT_DIRECT", **given))["wallet_transaction"]

    assert (row["credit_amount"], row["amount"], row["topup_conversion_rate"]) == (credits, cost, "0.4")
    assert "conversion_rate" not in row
    after, _ = wallet.check()
    assert number(after, "credit_balance") - number(before, "credit_balance") == Decimal(credits)


@pytest.mark.parametrize(
    ("rate", "amount", "credits"),
    [
        ("3", "10", "3.333333333"),
        ("3", "20", "6.666666667"),
        ("0.00001", "0.5", "50000"),
        ("1.12346", "1.12346", "1"),
        ("7", "1e-8", "0.000000001"),
    ],
)
def test_amounts_that_do_not_come_out_even(flexprice: httpx.Client, rate: str, amount: str, credits: str) -> None:
    """Division is rounded half away from zero and kept to nine decimals, in the answer as in what is read back."""
    wallet = Wallet.create(flexprice, topup_conversion_rate=rate)
    answer = assert_ok(wallet.top_up(amount=amount))

    assert answer["wallet_transaction"]["credit_amount"] == credits
    assert answer["wallet"]["credit_balance"] == credits
    assert wallet.check()[0]["credit_balance"] == credits


@pytest.mark.parametrize(
    ("text", "credits"),
    [
        ("10", "10"),
        ('"10"', "10"),
        ("1e1", "10"),
        ("1E+1", "10"),
        ('"1e1"', "10"),
        ('"1.0E1"', "10"),
        ('"+10"', "10"),
        ("10.0", "10"),
        ('"10.000000000"', "10"),
        ('".5"', "0.5"),
        ('"5."', "5"),
        ('"007"', "7"),
        ("0.1", "0.1"),
        ("1e-9", "0.000000001"),
        ("0.30000000000000004", "0.3"),
        ("12345678901.123456789", "12345678901.123456789"),
        ("99999999999.999999999", "99999999999.999999999"),
        ('"0.1234567894"', "0.123456789"),
        ('"0.1234567895"', "0.12345679"),
        ('"1e-9"', "0.000000001"),
        ('"5e-10"', "0.000000001"),
        ('"' + "0" * 200 + '1"', "1"),
    ],
)
def test_decimals_as_clients_send_them(flexprice: httpx.Client, text: str, credits: str) -> None:
    """Text and JSON numbers, with exponents or without, are read exactly as written and rounded half away from zero."""
    wallet = Wallet.create(flexprice)
    answer = assert_ok(raw(wallet, f'"credits_to_add": {text}'))

    assert answer["wallet_transaction"]["credit_amount"] == credits
    assert wallet.check()[0]["balance"] == credits


BAD_NUMBERS = [
    "0",
    '"0"',
    '"-0"',
    "-1",
    '"-0.000000001"',
    '"4e-10"',
    '"1e-400"',
    "1e-400",
    '"1e-999999999"',
    '""',
    '" "',
    '" 1"',
    '"1 "',
    '"1,000"',
    '"1_000"',
    '"ten"',
    '"0x10"',
    '"NaN"',
    '"Infinity"',
    '"-inf"',
    '"١٢"',
    '"1e"',
    '"e5"',
    '"."',
    '"--1"',
    "true",
    "[]",
    "{}",
    "100000000000",
    '"100000000000"',
    '"1e11"',
    '"99999999999.9999999999"',
    "1e400",
    '"1e400"',
    '"1e999"',
    '"1e999999999"',
    "1e999999999",
    "-1e999999999",
    "1e99999999999999999999",
    "9" * 100,
    "9" * 5000,
    "-" + "9" * 5000,
    "0." + "9" * 5000,
    '"' + "9" * 5000 + '"',
    "1" + "0" * 4400 + "e-4400",
    "1e" + "9" * 5000,
    '"1e' + "9" * 5000 + '"',
    "NaN",
    "Infinity",
    "-Infinity",
    "01",
    "+1",
    ".5",
    "5.",
    "0x10",
]


@pytest.mark.parametrize("name", ["credits_to_add", "amount", "bonus_credits_to_add"])
def test_numbers_that_cannot_be_stored(flexprice: httpx.Client, name: str) -> None:
    """Zero, negative, huge, ill-written and not quite JSON: 400 at once, never a 5xx, and nothing changes."""
    wallet = Wallet.create(flexprice, initial_credits_to_load="1")
    before = wallet.check()
    wrong = {}

    for text in BAD_NUMBERS:
        credits = '"credits_to_add": "1", ' if name == "bonus_credits_to_add" else ""
        response = raw(wallet, f'{credits}"{name}": {text}')
        if response.status_code != 400 or response.json().get("code") != "validation_error":
            wrong[text[:60]] = (response.status_code, response.text[:200])
    assert wrong == {}
    assert_unchanged(wallet, before)


@pytest.mark.parametrize(
    "fields",
    [
        '"unheard_of": ' + "9" * 5000,
        '"unheard_of": 1e999999999',
        '"unheard_of": ' + "[" * 900 + "]" * 900,
        '"unheard_of": ' + "[" * 100_000 + "]" * 100_000,
        '"unheard_of": ' + '{"a":' * 100_000 + "1" + "}" * 100_000,
        '"description": "\\ud800"',
        '"metadata": {"\\udfff": "x"}',
        '"idempotency_key": "\\ud83d"',
        '"priority": ' + "9" * 5000,
        '"priority": 1e400',
        '"expiry_date_utc": "' + "9" * 5000 + '"',
        '"force_sync_invoice": 1e400',
    ],
    ids=lambda fields: fields[:40],
)
def test_monsters_elsewhere_in_the_body(flexprice: httpx.Client, fields: str) -> None:
    """Whatever is in the fields that are not numbers of credits, the answer is a 200 or a 400, never a 5xx."""
    wallet = Wallet.create(flexprice)
    response = raw(wallet, f'"credits_to_add": "1", {fields}')

    if response.status_code == 200:
        assert fields.startswith('"unheard_of"')
    else:
        assert_invalid(response)
    wallet.check()


@pytest.mark.parametrize(
    ("rates", "fits", "too_much"),
    [
        ({}, "99999999999.999999999", "0.000000001"),
        ({"conversion_rate": "99999.99999"}, "1000000", "1"),
        ({"topup_conversion_rate": "99999.99999"}, "1000000", "1000001"),
        ({"conversion_rate": "0.00001"}, "99999999999", "1"),
    ],
)
def test_balances_have_a_largest_value(flexprice: httpx.Client, rates: Body, fits: str, too_much: str) -> None:
    """Eleven digits before the point in credits, balance and price fit; one step more is 400, as a bonus too."""
    wallet = Wallet.create(flexprice, **rates)
    assert_ok(wallet.top_up(credits_to_add=fits))
    before = wallet.check()

    assert_invalid(wallet.top_up(credits_to_add=too_much))
    assert_invalid(wallet.top_up(credits_to_add="0.000000001", bonus_credits_to_add=too_much))
    assert_unchanged(wallet, before)


def test_largest_balance_takes_no_more(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """The persona that holds all that can be stored refuses even the smallest credit."""
    wallet = Wallet(flexprice, wallet_ids["huge"])
    before = wallet.check()

    for credits in ("0.000000001", "1", "99999999999.999999999"):
        assert_invalid(wallet.top_up(credits_to_add=credits))
    assert_unchanged(wallet, before)


# ---------------------------------------------------------------- bonus


@pytest.mark.parametrize("reason", DIRECT)
def test_bonus_is_a_row_of_its_own(flexprice: httpx.Client, reason: str) -> None:
    """Whatever the reason, the bonus follows the purchase, names it as its parent, and has neither key nor expiry of it (I18)."""
    wallet = Wallet.create(flexprice, conversion_rate="0.5", topup_conversion_rate="0.4")
    answer = assert_ok(
        wallet.top_up(
            credits_to_add="100",
            bonus_credits_to_add=5.5,
            transaction_reason=reason,
            expiry_date_utc=FUTURE,
            priority=3,
            idempotency_key="with-bonus",
        )
    )

    body, (purchase, bonus) = wallet.check()
    assert purchase == answer["wallet_transaction"]
    assert (purchase["credit_amount"], bonus["credit_amount"]) == ("100", "5.5")
    assert (body["credit_balance"], answer["wallet"]["credit_balance"]) == ("105.5", "105.5")
    assert bonus["transaction_reason"] == "PURCHASED_CREDIT_BONUS"
    assert bonus["parent_transaction_id"] == purchase["id"]
    assert (bonus["idempotency_key"], bonus["reference_id"]) == ("", "")
    assert bonus["amount"] == "2.2"
    assert (purchase["expiry_date"], purchase["priority"]) == (FUTURE, 3)
    assert not {"expiry_date", "priority", "reference_type"} & set(bonus)
    assert "parent_transaction_id" not in purchase


def test_bonus_has_its_own_expiry(flexprice: httpx.Client) -> None:
    """`bonus_credits_expiry_date_utc` is for the bonus alone, and means nothing without one."""
    wallet = Wallet.create(flexprice)
    assert_ok(wallet.top_up(credits_to_add="1", bonus_credits_to_add="1", bonus_credits_expiry_date_utc=FUTURE))
    assert_ok(wallet.top_up(credits_to_add="2", bonus_credits_expiry_date_utc=FUTURE))

    _, rows = wallet.check()
    assert [row.get("expiry_date") for row in rows] == [None, FUTURE, None]


def test_invoiced_bonus_waits_with_its_purchase(flexprice: httpx.Client) -> None:
    """Both rows are pending and neither reaches the balance."""
    wallet = Wallet.create(flexprice, initial_credits_to_load="2")
    assert_ok(wallet.top_up(credits_to_add="100", bonus_credits_to_add="10", transaction_reason=INVOICED))

    body, rows = wallet.check()
    assert body["credit_balance"] == "2"
    assert [(row["transaction_status"], row["credit_amount"]) for row in rows[1:]] == [("pending", "100"), ("pending", "10")]


# ---------------------------------------------------------------- bought on invoice


def test_invoiced_top_up_waits_for_its_payment(flexprice: httpx.Client) -> None:
    """A pending row and an invoice; the wallet stays as it was, as usage-only wallets do not count that invoice (I12, I30)."""
    wallet = Wallet.create(flexprice, initial_credits_to_load="20", conversion_rate="2")
    stored, balance = wallet.stored(), wallet.balance()
    answer = assert_ok(wallet.top_up(credits_to_add="100", transaction_reason=INVOICED, idempotency_key="invoiced"))

    assert re.fullmatch("inv_[0-9A-HJKMNP-TV-Z]{26}", answer["invoice_id"])
    row = answer["wallet_transaction"]
    assert_row(row)
    assert (row["transaction_status"], row["credits_available"], row["amount"]) == ("pending", "100", "200")
    assert row["credit_balance_before"] == row["credit_balance_after"] == "20"
    assert row["description"]
    for body, before in ((answer["wallet"], stored), (wallet.stored(), stored), (wallet.balance(), balance)):
        assert {k: v for k, v in body.items() if "updated_at" not in k} == {
            k: v for k, v in before.items() if "updated_at" not in k
        }
    wallet.check()


@pytest.mark.parametrize(
    ("allowed", "falls"), [(["ALL"], "200"), (["FIXED"], "200"), (["FIXED", "USAGE"], "200"), (["USAGE"], "0"), ([], "0")]
)
def test_unpaid_top_up_lowers_what_pays_everything(flexprice: httpx.Client, allowed: list[str], falls: str) -> None:
    """The invoice's price is pending for wallets that pay all or fixed prices; as no usage is on it, not for the others (I30)."""
    wallet = Wallet.create(flexprice, initial_credits_to_load="1000", topup_conversion_rate="2")
    assert_ok(wallet.update(config={"allowed_price_types": allowed}))
    before = wallet.balance()
    assert_ok(wallet.top_up(credits_to_add="100", transaction_reason=INVOICED))
    after = wallet.balance()

    assert (after["balance"], after["credit_balance"]) == (before["balance"], before["credit_balance"])
    assert number(before, "real_time_balance") - number(after, "real_time_balance") == Decimal(falls)
    assert after["unpaid_invoices_amount"] == "0"


def test_unpaid_top_up_of_a_persona(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """On the worked example the new invoice of 40 comes on top of the other two: 850 becomes 810."""
    wallet = Wallet(flexprice, wallet_ids["unpaid-invoices-all"])
    assert_ok(wallet.top_up(amount="40", transaction_reason=INVOICED))

    body = wallet.balance()
    assert (body["balance"], body["real_time_balance"], body["unpaid_invoices_amount"]) == ("1000", "810", "115")


def test_given_description_wins(flexprice: httpx.Client) -> None:
    """The description that an unpaid purchase gets by default is only for those who give none."""
    wallet = Wallet.create(flexprice)
    row = assert_ok(wallet.top_up(credits_to_add="1", transaction_reason=INVOICED, description="mine"))["wallet_transaction"]

    assert row["description"] == "mine"


# ---------------------------------------------------------------- priority and expiry


@pytest.mark.parametrize("priority", [0, 1, 2_147_483_647, None])
def test_priority_is_kept(flexprice: httpx.Client, priority: int | None) -> None:
    """From zero to what 32 bits hold; null is none."""
    row = assert_ok(Wallet.create(flexprice).top_up(credits_to_add="1", priority=priority))["wallet_transaction"]

    assert row.get("priority") == priority


@pytest.mark.parametrize("priority", [-1, 2_147_483_648, 1.5, "1", True, [1]])
def test_priority_that_cannot_be(flexprice: httpx.Client, priority: Any) -> None:
    """Negative, too large, or no whole number: 400."""
    assert_invalid(Wallet.create(flexprice).top_up(credits_to_add="1", priority=priority), "priority")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2036-03-01T10:30:00Z", "2036-03-01T10:30:00.000000Z"),
        ("2036-03-01T10:30:00.123456Z", "2036-03-01T10:30:00.123456Z"),
        ("2036-03-01T10:30:00+05:30", "2036-03-01T05:00:00.000000Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
        (None, None),
    ],
)
def test_expiry_is_kept(flexprice: httpx.Client, given: str | None, kept: str | None) -> None:
    """To the microsecond, and in UTC whatever the offset it came with."""
    row = assert_ok(Wallet.create(flexprice).top_up(credits_to_add="1", expiry_date_utc=given))["wallet_transaction"]

    assert row.get("expiry_date") == kept


@pytest.mark.parametrize("name", ["expiry_date_utc", "bonus_credits_expiry_date_utc"])
@pytest.mark.parametrize(
    "moment",
    [
        PAST,
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2036-13-01T00:00:00Z",
        "2036-02-30T00:00:00Z",
        "2036-03-01",
        "20360301",
        "tomorrow",
        "",
        "2036-03-01T25:00:00Z",
        20360301,
    ],
    ids=str,
)
def test_expiry_that_cannot_be(flexprice: httpx.Client, name: str, moment: Any) -> None:
    """In the past, or no time at all: 400, and nothing changes."""
    wallet = Wallet.create(flexprice)

    assert_invalid(wallet.top_up(credits_to_add="1", bonus_credits_to_add="1", **{name: moment}))
    assert wallet.rows() == []


def test_expiry_is_measured_to_the_moment(flexprice: httpx.Client) -> None:
    """A second ago is past, a minute ahead is not."""
    now = datetime.now(UTC)
    wallet = Wallet.create(flexprice)

    assert_invalid(wallet.top_up(credits_to_add="1", expiry_date_utc=(now - timedelta(seconds=1)).isoformat()))
    assert_ok(wallet.top_up(credits_to_add="1", expiry_date_utc=(now + timedelta(minutes=1)).isoformat()))


# ---------------------------------------------------------------- order of checks


CHECKS: list[tuple[str, Body, int, str]] = [
    ("credits", {"credits_to_add": "-1"}, 400, "validation_error"),
    ("reason", {"transaction_reason": "INVOICE_PAYMENT"}, 400, "validation_error"),
    ("expiry", {"expiry_date_utc": PAST}, 400, "validation_error"),
    ("bonus", {"bonus_credits_to_add": "0"}, 400, "validation_error"),
    ("bonus expiry", {"bonus_credits_expiry_date_utc": PAST}, 400, "validation_error"),
    ("checkout", {"checkout": {"payment_provider": "razorpay"}}, 400, "validation_error"),
    ("used key", {"idempotency_key": "used"}, 409, "already_exists"),
]


def test_top_up_refuses_in_the_provider_s_order(flexprice: httpx.Client) -> None:
    """Of any two fields that are wrong the one that the provider checks first is answered; an unknown wallet before all."""
    wallet = Wallet.create(flexprice)
    assert_ok(wallet.top_up(credits_to_add="1", idempotency_key="used"))
    before = wallet.check()
    alone = {
        name: assert_refused(wallet.top_up(**({"credits_to_add": "1"} | fields)), status, code)
        for name, fields, status, code in CHECKS
    }
    assert len(set(alone.values())) == len(alone)

    for place, (name, fields, status, code) in enumerate(CHECKS):
        for later, more, _, _ in CHECKS[place + 1 :]:
            message = assert_refused(wallet.top_up(**({"credits_to_add": "1"} | fields | more)), status, code)
            if "reason" not in (name, later) or "checkout" not in (name, later):
                assert message == alone[name], f"{name} comes before {later}"
        unknown = Wallet(flexprice, NOBODY)
        assert_refused(unknown.top_up(**({"credits_to_add": "1"} | fields)), 404, "not_found")
    assert_unchanged(wallet, before)


@pytest.mark.parametrize(
    "fields",
    [
        {"transaction_reason": None},
        {"transaction_reason": "unheard of"},
        {"credits_to_add": "ten"},
        {"priority": -1},
        {"expiry_date_utc": "tomorrow"},
        {"metadata": {"n": 1}},
        {"description": 1},
        {"force_sync_invoice": "yes"},
        {"checkout": {}},
        {"checkout": {"payment_provider": "stripe"}},
    ],
    ids=str,
)
def test_shape_comes_before_the_wallet(flexprice: httpx.Client, fields: Body) -> None:
    """A body that is not what the document asks for is 400 even for an unknown wallet."""
    assert_invalid(Wallet(flexprice, NOBODY).top_up(**({"credits_to_add": "1"} | fields)))


@pytest.mark.parametrize("reason", ["FREE_CREDIT_GRANT", INVOICED])
def test_checkout_needs_a_payment_provider(flexprice: httpx.Client, reason: str) -> None:
    """Checkout is for invoiced purchases, and for those where a payment provider is connected, which here is none: 400."""
    wallet = Wallet.create(flexprice)

    assert_invalid(
        wallet.top_up(credits_to_add="1", transaction_reason=reason, checkout={"payment_provider": "razorpay"}), "checkout"
    )
    assert wallet.rows() == []


# ---------------------------------------------------------------- idempotency keys


def test_key_can_be_used_once(flexprice: httpx.Client) -> None:
    """Using it again is 409, whatever else is asked, on any wallet, and changes neither balance nor rows (I20)."""
    wallet, other = Wallet.create(flexprice), Wallet.create(flexprice)
    assert_ok(wallet.top_up(credits_to_add="5", idempotency_key="order « 1 »"))
    before, nothing = wallet.check(), other.check()

    for again in (wallet, other):
        for fields in ({"credits_to_add": "5"}, {"credits_to_add": "6"}, {"amount": "1", "transaction_reason": INVOICED}):
            assert_refused(again.top_up(idempotency_key="order « 1 »", **fields), 409, "already_exists")
    assert_unchanged(wallet, before)
    assert_unchanged(other, nothing)
    assert_ok(other.top_up(credits_to_add="5", idempotency_key="ORDER « 1 »"))


def test_keys_of_fixture_rows_are_used(flexprice: httpx.Client) -> None:
    """A key that a persona's ledger has cannot be used for any wallet."""
    assert_refused(Wallet.create(flexprice).top_up(credits_to_add="1", idempotency_key="order-1001"), 409, "already_exists")


def test_keys_that_the_service_makes_are_used(flexprice: httpx.Client) -> None:
    """A key made for initial credits, or for a top-up without one, cannot be used by a client."""
    wallet = Wallet.create(flexprice, initial_credits_to_load="5")
    keyless = assert_ok(wallet.top_up(credits_to_add="7", idempotency_key=None))["wallet_transaction"]
    assert re.fullmatch("wallet_top_up-[0-9a-f]{16}", keyless["idempotency_key"])
    assert keyless["reference_id"] == keyless["idempotency_key"]

    for row in wallet.rows():
        assert_refused(wallet.top_up(credits_to_add="1", idempotency_key=row["idempotency_key"]), 409, "already_exists")


def test_refused_top_up_does_not_use_its_key(flexprice: httpx.Client) -> None:
    """After a 400 or a 404 the same key still works."""
    wallet = Wallet.create(flexprice)
    assert_invalid(wallet.top_up(credits_to_add="-1", idempotency_key="retry"))
    assert_invalid(wallet.top_up(credits_to_add="99999999999999", idempotency_key="retry"))
    assert_refused(Wallet(flexprice, NOBODY).top_up(credits_to_add="1", idempotency_key="retry"), 404, "not_found")

    assert_ok(wallet.top_up(credits_to_add="1", idempotency_key="retry"))


def test_key_of_a_pending_purchase_is_used(flexprice: httpx.Client) -> None:
    """The row has it, paid or not."""
    wallet = Wallet.create(flexprice)
    assert_ok(wallet.top_up(credits_to_add="1", transaction_reason=INVOICED, idempotency_key="pending"))

    assert_refused(wallet.top_up(credits_to_add="1", idempotency_key="pending"), 409, "already_exists")


def test_sessions_have_keys_of_their_own(mock: Mock, flexprice: httpx.Client, session: str) -> None:
    """A key used in one session is free in another."""
    assert_ok(Wallet.create(flexprice).top_up(credits_to_add="1", idempotency_key="mine"))
    headers = {"x-api-key": "test", "x-mock-session": f"{session}-other"}

    with httpx.Client(base_url=f"{mock.url}/v1", headers=headers) as other:
        assert_ok(Wallet.create(other).top_up(credits_to_add="1", idempotency_key="mine"))


@pytest.mark.parametrize("key", [None, ""])
def test_keyless_repeat_collides_within_a_second(flexprice: httpx.Client, key: str | None) -> None:
    """Without a key the same top-up twice in one second is 409: the made-up key has the second in it."""
    wallet = Wallet.create(flexprice)
    booked = 0
    for _ in range(5):  # a second may end between the two
        first, second = (wallet.top_up(credits_to_add="5", idempotency_key=key) for _ in range(2))
        booked += [first.status_code, second.status_code].count(200)
        if second.status_code == 409:
            break
    assert_refused(second, 409, "already_exists")

    body, rows = wallet.check()
    assert len(rows) == booked
    assert body["credit_balance"] == str(5 * booked)


def test_keyless_top_ups_that_differ_do_not_collide(flexprice: httpx.Client) -> None:
    """Other credits, another reason or another wallet make another key."""
    wallet, other = Wallet.create(flexprice), Wallet.create(flexprice)

    for target, fields in (
        (wallet, {"credits_to_add": "5"}),
        (wallet, {"credits_to_add": "6"}),
        (wallet, {"credits_to_add": "5", "transaction_reason": "CREDIT_NOTE"}),
        (other, {"credits_to_add": "5"}),
    ):
        assert_ok(target.top_up(idempotency_key=None, **fields))
    assert len({row["idempotency_key"] for row in wallet.rows() + other.rows()}) == 4


# ---------------------------------------------------------------- closed wallets, sessions, whole lives


def test_closed_wallet_takes_credits(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """As on the live server: credits and balance grow, the wallet stays closed, its real-time values stay zero."""
    wallet = Wallet(flexprice, wallet_ids["closed"])
    answer = assert_ok(wallet.top_up(credits_to_add="7"))

    assert (answer["wallet"]["wallet_status"], answer["wallet"]["balance"]) == ("closed", "7")
    body, _ = wallet.check()
    assert (body["wallet_status"], body["balance"], body["real_time_balance"]) == ("closed", "7", "0")
    assert_refused(wallet.terminate(), 400, "invalid_operation")


def test_credit_first_repays_an_overdraft(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Of what comes into a wallet below zero only what lifts it above can be spent (I16)."""
    wallet = Wallet(flexprice, wallet_ids["overdrawn"])

    for credits, balance, available in (("1", "-1.5", "0"), ("1.5", "0", "0"), ("4", "4", "4")):
        row = assert_ok(wallet.top_up(credits_to_add=credits))["wallet_transaction"]
        assert (row["credit_balance_after"], row["credits_available"]) == (balance, available)
        wallet.check()


def test_pending_credits_of_an_overdrawn_wallet(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """A purchase that is not paid for repays nothing and offers nothing."""
    wallet = Wallet(flexprice, wallet_ids["overdrawn"])
    row = assert_ok(wallet.top_up(credits_to_add="100", transaction_reason=INVOICED))["wallet_transaction"]

    assert (row["transaction_status"], row["credits_available"], row["credit_balance_after"]) == ("pending", "0", "-2.5")
    assert wallet.check()[0]["credit_balance"] == "-2.5"


def test_top_up_stays_in_its_session(mock: Mock, flexprice: httpx.Client, wallet_ids: dict[str, str], session: str) -> None:
    """The same wallet in another session does not move."""
    wallet = Wallet(flexprice, wallet_ids["healthy"])
    assert_ok(wallet.top_up(credits_to_add="1"))

    headers = {"x-api-key": "test", "x-mock-session": f"{session}-other"}
    with httpx.Client(base_url=f"{mock.url}/v1", headers=headers) as other:
        assert Wallet(other, wallet.id).stored()["credit_balance"] == "538.5"
    assert wallet.stored()["credit_balance"] == "539.5"


def test_termination_spends_in_the_provider_s_order(flexprice: httpx.Client) -> None:
    """Credits are taken by priority, then expiry, then size, each `none` last (I19)."""
    wallet = Wallet.create(flexprice)
    near, far = "2036-01-01T00:00:00Z", "2037-01-01T00:00:00Z"
    given: list[Body] = [
        {"credits_to_add": "1"},
        {"credits_to_add": "2"},
        {"credits_to_add": "3", "expiry_date_utc": far},
        {"credits_to_add": "4", "expiry_date_utc": near},
        {"credits_to_add": "5", "priority": 9},
        {"credits_to_add": "6", "priority": 0, "expiry_date_utc": far},
        {"credits_to_add": "7", "priority": 0, "expiry_date_utc": near},
        {"credits_to_add": "8", "priority": 0},
    ]
    for fields in given:
        assert_ok(wallet.top_up(**fields))
    assert_ok(wallet.terminate())

    _, rows = wallet.check()
    amounts = {row["id"]: row["credit_amount"] for row in rows}
    consumed = rows[-1]["metadata"]["consumed_credit_tx_ids"].split(",")
    assert [amounts[row_id] for row_id in consumed] == ["7", "6", "8", "5", "4", "3", "2", "1"]
    assert all(number(row, "credits_available") == 0 for row in rows)


@pytest.mark.parametrize(
    "rates", [{}, {"conversion_rate": "0.5", "topup_conversion_rate": "0.4"}, {"conversion_rate": "1.12346"}]
)
@pytest.mark.parametrize("wallet_type", ["PRE_PAID", "POST_PAID"])
def test_ledger_adds_up_after_a_mixed_life(flexprice: httpx.Client, wallet_type: str, rates: Body) -> None:
    """Through every kind of top-up, refusals in between and a termination, I10 to I18 hold after every step."""
    wallet = Wallet.create(flexprice, wallet_type=wallet_type, initial_credits_to_load="0.000000001", **rates)
    credits, rows = Decimal("0.000000001"), 1
    steps: list[tuple[Body, str, int]] = [
        ({"credits_to_add": "333.333333333"}, "333.333333333", 1),
        ({"credits_to_add": "-1"}, "0", 0),
        ({"credits_to_add": "0.1", "transaction_reason": "CREDIT_NOTE", "priority": 2}, "0.1", 1),
        ({"credits_to_add": "50", "transaction_reason": INVOICED}, "0", 1),
        ({"credits_to_add": "50", "bonus_credits_to_add": "0.7", "transaction_reason": INVOICED}, "0", 2),
        ({"credits_to_add": "1e4", "bonus_credits_to_add": 1e-9, "expiry_date_utc": FUTURE}, "10000.000000001", 2),
        ({"credits_to_add": "7", "idempotency_key": "order-1001"}, "0", 0),
        ({"credits_to_add": "77777777.777777777", "transaction_reason": "PURCHASED_CREDIT_DIRECT"}, "77777777.777777777", 1),
        ({"credits_to_add": "99999999999"}, "0", 0),
    ]
    for fields, grows, more in steps:
        wallet.top_up(**fields)
        credits, rows = credits + Decimal(grows), rows + more
        body, listed = wallet.check()
        assert (number(body, "credit_balance"), len(listed)) == (credits, rows), json.dumps(fields)

    assert_ok(wallet.terminate())
    body, listed = wallet.check()
    assert (body["credit_balance"], body["balance"], len(listed)) == ("0", "0", rows + 1)
    assert number(listed[-1], "credit_amount") == credits
