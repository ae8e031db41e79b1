"""Flexprice wallets over HTTP: create, get, update, real-time balance, terminate, search, a customer's wallets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from conftest import Mock
from flexprice_checks import (
    BREAKDOWN,
    Body,
    Wallet,
    alert_state,
    assert_balance,
    assert_invalid,
    assert_ok,
    assert_refused,
    assert_wallet,
    divided,
    number,
)

FIXTURES = yaml.safe_load((Path(__file__).parent.parent / "fixtures" / "flexprice.yaml").read_text("utf-8"))
PERSONAS: dict[str, Body] = FIXTURES["personas"]
NOBODY = "wallet_00000000000000000000000000"


def times(moment: datetime) -> dict[str, Any]:
    """A moment in the two forms in which the expiry of initial credits can be given."""
    return {"utc": moment.isoformat(), "day": int(moment.strftime("%Y%m%d"))}


PAST, FUTURE = times(datetime(2020, 1, 1, tzinfo=UTC)), times(datetime(2036, 3, 1, tzinfo=UTC))


# ---------------------------------------------------------------- create


@pytest.mark.parametrize(
    ("wallet_type", "name", "allowed"),
    [
        (None, "Prepaid Wallet - USD", ["USAGE"]),
        ("PRE_PAID", "Prepaid Wallet - USD", ["USAGE"]),
        ("POST_PAID", "Postpaid Wallet - USD", ["ALL"]),
    ],
)
def test_create_fills_in_the_defaults(flexprice: httpx.Client, wallet_type: str | None, name: str, allowed: list[str]) -> None:
    """A wallet made of a currency and a customer has the provider's defaults in every other field (I29)."""
    body = {"currency": "USD", "customer_id": "cust_defaults"} | ({"wallet_type": wallet_type} if wallet_type else {})
    created = assert_ok(flexprice.post("/wallets", json=body))

    assert_wallet(created)
    assert created["created_at"] == created["updated_at"]
    expected = {
        "customer_id": "cust_defaults",
        "currency": "usd",
        "balance": "0",
        "credit_balance": "0",
        "wallet_status": "active",
        "name": name,
        "description": "",
        "metadata": {},
        "wallet_type": wallet_type or "PRE_PAID",
        "config": {"allowed_price_types": allowed},
        "conversion_rate": "1",
        "topup_conversion_rate": "1",
        "alert_state": "ok",
        "status": "published",
    }
    unknown_before = {"id", "created_at", "updated_at", "environment_id", "tenant_id", "created_by", "updated_by"}
    assert {field: value for field, value in created.items() if field not in unknown_before} == expected
    assert Wallet(flexprice, created["id"]).stored() == created


def test_create_keeps_what_it_is_given(flexprice: httpx.Client) -> None:
    """Description, metadata, alert settings and auto top-up come back as they were sent, in GET as well."""
    given: Body = {
        "description": "« été » 💶",
        "metadata": {"source": "sanity_test", "": "empty key", "emoji": "🧾"},
        "alert_settings": {
            "alert_enabled": True,
            "critical": {"condition": "below", "threshold": 1.5},
            "warning": {"condition": "below", "threshold": 1.5},
            "info": {"condition": "below", "threshold": 100},
        },
        "auto_topup": {
            "enabled": False,
            "threshold": 50,
            "amount": 10.25,
            "invoicing": True,
            "cooldown": {"value": 1, "unit": "day"},
        },
    }
    stored = Wallet.create(flexprice, **given).stored()

    assert {field: stored[field] for field in given} == given


@pytest.mark.parametrize(
    ("given", "conversion", "topup"),
    [
        ({}, "1", "1"),
        ({"conversion_rate": "0"}, "1", "1"),
        ({"conversion_rate": 0, "topup_conversion_rate": None}, "1", "1"),
        ({"conversion_rate": None}, "1", "1"),
        ({"conversion_rate": "2"}, "2", "2"),
        ({"conversion_rate": 0.5}, "0.5", "0.5"),
        ({"conversion_rate": "0.5", "topup_conversion_rate": 0.4}, "0.5", "0.4"),
        ({"topup_conversion_rate": "3.50"}, "1", "3.5"),
        ({"conversion_rate": "1e4"}, "10000", "10000"),
        ({"conversion_rate": 1e-4}, "0.0001", "0.0001"),
        ({"conversion_rate": "1.123456"}, "1.12346", "1.12346"),
        ({"conversion_rate": "1.123455"}, "1.12346", "1.12346"),
        ({"conversion_rate": "99999.99999"}, "99999.99999", "99999.99999"),
    ],
)
def test_rates_of_a_new_wallet(flexprice: httpx.Client, given: Body, conversion: str, topup: str) -> None:
    """Rates default to 1 and to each other, take text or number, and are kept to five decimals, half away from zero."""
    stored = Wallet.create(flexprice, **given).stored()

    assert (stored["conversion_rate"], stored["topup_conversion_rate"]) == (conversion, topup)


@pytest.mark.parametrize("currency", ["usd", "USD", "uSd", "xyz"])
def test_currency_is_any_three_letters_in_lower_case(flexprice: httpx.Client, currency: str) -> None:
    """There is no list of currencies, and case is not kept but in the name, which has it in upper case."""
    stored = Wallet.create(flexprice, currency=currency).stored()

    assert (stored["currency"], stored["name"]) == (currency.lower(), f"Prepaid Wallet - {currency.upper()}")


@pytest.mark.parametrize(
    ("given", "owner"),
    [
        ({"customer_id": "cust_unheard_of"}, "cust_unheard_of"),
        ({"customer_id": "x"}, "x"),
        ({"customer_id": "cust_both", "external_customer_id": "unheard_of"}, "cust_both"),
        ({"customer_id": "cust_both", "external_customer_id": "ext_cust_whale"}, "cust_both"),
    ],
)
def test_customer_ids_are_not_looked_up(flexprice: httpx.Client, given: Body, owner: str) -> None:
    """An unknown customer id is accepted, and wins over an external id, which is then not looked up either."""
    created = assert_ok(flexprice.post("/wallets", json={"currency": "usd"} | given))

    assert created["customer_id"] == owner
    assert created in assert_ok(flexprice.get(f"/customers/{owner}/wallets"))


@pytest.mark.parametrize("external_id", ["ext_cust_whale", "member-3"])
def test_external_customer_id_is_looked_up(mock: Mock, flexprice: httpx.Client, external_id: str) -> None:
    """By the id of the tenant's own system the wallet goes to the customer who has it, persona or population."""
    created = assert_ok(flexprice.post("/wallets", json={"currency": "chf", "external_customer_id": external_id}))

    member = httpx.get(f"{mock.url}/_mock/population/flexprice/3").json()
    owners = {"ext_cust_whale": mock.personas()["flexprice/huge"], "member-3": member}
    assert created["customer_id"] == owners[external_id]["ids"]["customer"]


COMPLETE_TOPUP = {"threshold": 1, "amount": 1, "invoicing": False}
CREATE_CHECKS: list[tuple[str, Body, int, str]] = [
    ("price unit", {"price_unit": "gold"}, 404, "not_found"),
    ("auto top-up", {"auto_topup": {"amount": 1, "invoicing": False}}, 400, "validation_error"),
    ("cooldown", {"auto_topup": COMPLETE_TOPUP | {"cooldown": {"value": 0, "unit": "day"}}}, 400, "validation_error"),
    ("conversion rate", {"conversion_rate": "-0.5"}, 400, "validation_error"),
    ("top-up rate", {"topup_conversion_rate": 0}, 400, "validation_error"),
    ("no customer", {"customer_id": None, "external_customer_id": None}, 400, "validation_error"),
    ("external id", {"external_customer_id": "100%"}, 400, "validation_error"),
    ("customer id", {"customer_id": "_cust"}, 400, "validation_error"),
    ("expiry", {"initial_credits_expiry_date_utc": PAST["utc"]}, 400, "validation_error"),
    ("alerts", {"alert_settings": {"alert_enabled": True}}, 400, "validation_error"),
    ("unknown external id", {"customer_id": "", "external_customer_id": "nobody"}, 404, "not_found"),
    ("conflict", {"customer_id": "cust_taken"}, 409, "already_exists"),
    (
        "expiry day",
        {"initial_credits_to_load": "5", "initial_credits_to_load_expiry_date": PAST["day"]},
        400,
        "validation_error",
    ),
]


def test_create_refuses_in_the_provider_s_order(flexprice: httpx.Client) -> None:
    """Each check refuses by itself, and of any two that fail the one that the provider makes first is answered.

    What the document itself forbids, such as a currency that is too short, comes before all of these.
    """
    base = {"currency": "usd", "customer_id": "cust_free"}
    Wallet.create(flexprice, customer_id="cust_taken")
    alone = {
        name: assert_refused(flexprice.post("/wallets", json=base | fields), status, code)
        for name, fields, status, code in CREATE_CHECKS
    }
    assert len(set(alone.values())) == len(alone)

    for (name, fields, status, code), (later, more, _, _) in combinations(CREATE_CHECKS, 2):
        if not set(fields) & set(more):
            message = assert_refused(flexprice.post("/wallets", json=base | fields | more), status, code)
            assert message == alone[name], f"{name} comes before {later}"
    for _, fields, _, _ in CREATE_CHECKS:
        assert_invalid(flexprice.post("/wallets", json=base | fields | {"currency": "us"}), "currency")
    assert assert_ok(flexprice.get("/customers/cust_free/wallets")) == []


@pytest.mark.parametrize("missing", ["threshold", "amount", "invoicing"])
def test_auto_topup_must_be_complete(flexprice: httpx.Client, missing: str) -> None:
    """Threshold, amount and invoicing are required; the message names the one that is missing, even before a bad cooldown."""
    settings = COMPLETE_TOPUP | {missing: None} | {"cooldown": {"value": 0, "unit": "day"}}
    settings = {name: value for name, value in settings.items() if value is not None}

    for body in (settings, {name: value for name, value in settings.items() if name != "cooldown"}):
        response = flexprice.post("/wallets", json={"currency": "usd", "customer_id": "c", "auto_topup": body})
        assert_invalid(response, missing)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"customer_id": "c"},
        {"customer_id": "c", "currency": None},
        {"customer_id": "c", "price_unit": "gold"},
        {"customer_id": "c", "currency": ""},
        {"customer_id": "c", "currency": "us"},
        {"customer_id": "c", "currency": "usdt"},
        {"customer_id": "c", "currency": "ü$"},
        {"customer_id": "c", "currency": 840},
        {"customer_id": 1, "currency": "usd"},
        {"customer_id": "c", "currency": "usd", "wallet_type": "PREPAID"},
        {"customer_id": "c", "currency": "usd", "wallet_type": "pre_paid"},
        {"customer_id": "c", "currency": "usd", "metadata": {"n": 1}},
        {"customer_id": "c", "currency": "usd", "metadata": []},
        {"customer_id": "c", "currency": "usd", "conversion_rate": ""},
        {"customer_id": "c", "currency": "usd", "conversion_rate": "one"},
        {"customer_id": "c", "currency": "usd", "conversion_rate": True},
        {"customer_id": "c", "currency": "usd", "conversion_rate": "100000"},
        {"customer_id": "c", "currency": "usd", "conversion_rate": "0.000001"},
        {"customer_id": "c", "currency": "usd", "conversion_rate": "1e400"},
        {"customer_id": "c", "currency": "usd", "topup_conversion_rate": "-1"},
        {"customer_id": "c", "currency": "usd", "topup_conversion_rate": "0.000001"},
        {"customer_id": "c", "currency": "usd", "initial_credits_to_load": "1e12"},
        {"customer_id": "c", "currency": "usd", "initial_credits_to_load": "99999999999", "conversion_rate": "2"},
        {"customer_id": "c", "currency": "usd", "initial_credits_to_load": "5", "initial_credits_to_load_expiry_date": 20361301},
        {
            "customer_id": "c",
            "currency": "usd",
            "initial_credits_to_load": "5",
            "initial_credits_to_load_expiry_date": "20360101",
        },
        {"customer_id": "c", "currency": "usd", "initial_credits_to_load": "5", "initial_credits_to_load_expiry_date": -1},
        {"customer_id": "c", "currency": "usd", "initial_credits_to_load": "5", "initial_credits_to_load_expiry_date": 10**30},
        {"customer_id": "c", "currency": "usd", "initial_credits_expiry_date_utc": "tomorrow"},
        {"customer_id": "c", "currency": "usd", "auto_topup": COMPLETE_TOPUP | {"cooldown": {"value": 1}}},
        {"customer_id": "c", "currency": "usd", "auto_topup": COMPLETE_TOPUP | {"cooldown": {"value": 1, "unit": "week"}}},
        {"customer_id": "c", "currency": "usd", "auto_topup": COMPLETE_TOPUP | {"cooldown": {"value": 1, "unit": "DAY"}}},
        {"customer_id": "c", "currency": "usd", "auto_topup": COMPLETE_TOPUP | {"cooldown": {"value": -1, "unit": "day"}}},
        {"customer_id": "c", "currency": "usd", "auto_topup": COMPLETE_TOPUP | {"cooldown": {"value": 1.5, "unit": "day"}}},
        {"customer_id": "c", "currency": "usd", "auto_topup": COMPLETE_TOPUP | {"amount": "lots"}},
        {"customer_id": "a b", "currency": "usd"},
        {"customer_id": "a%", "currency": "usd"},
        {"customer_id": "cust_", "currency": "usd"},
        {"external_customer_id": "a b", "currency": "usd"},
        {"customer_id": "c", "external_customer_id": "a b", "currency": "usd"},
        {"customer_id": "", "external_customer_id": "", "currency": "usd"},
    ],
    ids=str,
)
def test_create_refuses_what_it_cannot_use(flexprice: httpx.Client, body: Body) -> None:
    """Missing, ill-typed or impossible fields are 400 validation_error, and nothing is created."""
    assert_invalid(flexprice.post("/wallets", json=body))

    assert assert_ok(flexprice.get("/customers/c/wallets")) == []


BELOW_ABOVE_REFUSED: list[Body] = [
    {"alert_enabled": True},
    {"critical": {"threshold": 1}},
    {"critical": {"condition": "", "threshold": 1}},
    {"critical": {"condition": "BELOW", "threshold": 1}},
    {"info": {"condition": "equal", "threshold": 1}},
    {"critical": {"condition": "below", "threshold": "low"}},
    {"warning": {"condition": "below", "threshold": 1}},
    {"warning": {"condition": "below", "threshold": 1}, "info": {"condition": "below", "threshold": 2}},
    {"critical": {"condition": "below", "threshold": 1}, "warning": {"condition": "above", "threshold": 2}},
    {"critical": {"condition": "below", "threshold": 10}, "warning": {"condition": "below", "threshold": 9.5}},
    {"critical": {"condition": "above", "threshold": 10}, "warning": {"condition": "above", "threshold": 10.5}},
    {"critical": {"condition": "below", "threshold": 10}, "info": {"condition": "below", "threshold": 9}},
    {"critical": {"condition": "above", "threshold": 10}, "info": {"condition": "above", "threshold": 11}},
    {"critical": {"condition": "below", "threshold": 10}, "info": {"condition": "above", "threshold": 10}},
    {
        "critical": {"condition": "below", "threshold": 0},
        "warning": {"condition": "below", "threshold": 10},
        "info": {"condition": "below", "threshold": 5},
    },
    {
        "critical": {"condition": "above", "threshold": 10},
        "warning": {"condition": "above", "threshold": 5},
        "info": {"condition": "above", "threshold": 6},
    },
]
BELOW_ABOVE_ACCEPTED: list[Body] = [
    {"alert_enabled": False},
    {"alert_enabled": True, "critical": {"condition": "below", "threshold": 0}},
    {"alert_enabled": True, "info": {"condition": "above", "threshold": "5.5"}},
    {"critical": {"condition": "below", "threshold": "1e1"}, "warning": {"condition": "below", "threshold": 10}},
    {"critical": {"condition": "above", "threshold": 10}, "warning": {"condition": "above", "threshold": 10}},
    {"critical": {"condition": "above", "threshold": 10}, "info": {"condition": "above", "threshold": -3}},
    {
        "critical": {"condition": "below", "threshold": -10},
        "warning": {"condition": "below", "threshold": 0},
        "info": {"condition": "below", "threshold": 0},
    },
]


@pytest.mark.parametrize("settings", BELOW_ABOVE_REFUSED, ids=str)
def test_alert_settings_that_contradict_themselves(flexprice: httpx.Client, settings: Body) -> None:
    """Create and update refuse thresholds without order or condition, and the update changes nothing."""
    assert_invalid(flexprice.post("/wallets", json={"currency": "usd", "customer_id": "c", "alert_settings": settings}))

    wallet = Wallet.create(flexprice)
    before = wallet.stored()
    assert_invalid(wallet.update(name="new name", alert_settings=settings))
    assert wallet.stored() == before


@pytest.mark.parametrize("settings", BELOW_ABOVE_ACCEPTED, ids=str)
def test_alert_settings_that_make_sense(flexprice: httpx.Client, settings: Body) -> None:
    """Create and update take them, equal thresholds included; without any threshold the wallet has none of its own."""
    created, updated = Wallet.create(flexprice, alert_settings=settings), Wallet.create(flexprice)
    assert_ok(updated.update(alert_settings=settings))

    for wallet in (created, updated):
        shown = wallet.stored().get("alert_settings", {})
        levels = {name for name in ("critical", "warning", "info") if name in settings}
        assert {name for name in ("critical", "warning", "info") if name in shown} == levels
        for name in levels:
            assert shown[name]["condition"] == settings[name]["condition"]
            assert Decimal(str(shown[name]["threshold"])) == Decimal(str(settings[name]["threshold"]))
        assert shown.get("alert_enabled") == (settings.get("alert_enabled") if levels else None)


def test_one_active_wallet_for_customer_currency_and_type(flexprice: httpx.Client) -> None:
    """A second one is 409 in whatever case the currency is written; another type or currency, or a closed first, is 200 (I23)."""
    body = {"currency": "usd", "customer_id": "cust_twice"}
    first = Wallet.create(flexprice, **body)

    for again in (body, body | {"currency": "USD"}, body | {"currency": "Usd", "wallet_type": "PRE_PAID"}):
        assert_refused(flexprice.post("/wallets", json=again), 409, "already_exists")
    for other in ({"currency": "eur"}, {"wallet_type": "POST_PAID"}, {"customer_id": "cust_other"}):
        assert_ok(flexprice.post("/wallets", json=body | other))
    assert_refused(flexprice.post("/wallets", json=body | {"wallet_type": "POST_PAID"}), 409, "already_exists")

    assert_ok(first.terminate())
    second = Wallet.create(flexprice, **body)
    assert second.id != first.id
    assert_refused(flexprice.post("/wallets", json=body), 409, "already_exists")


def test_personas_wallets_conflict_as_well(flexprice: httpx.Client) -> None:
    """A fixture wallet counts like any other; a fixture wallet that is closed or frozen does not."""
    acme = {"external_customer_id": "ext_cust_acme"}

    assert_refused(flexprice.post("/wallets", json=acme | {"currency": "USD"}), 409, "already_exists")
    assert_ok(flexprice.post("/wallets", json=acme | {"currency": "gbp"}))
    assert_ok(flexprice.post("/wallets", json={"external_customer_id": "ext_cust_low", "currency": "inr"}))


@pytest.mark.parametrize("credits", ["10", 10, "1e1", 1e1, "+10.0", "10.000000000"])
def test_initial_credits_are_a_free_grant(flexprice: httpx.Client, credits: Any) -> None:
    """They come as one completed free grant of the provider's own key, priced with the top-up rate."""
    wallet = Wallet.create(flexprice, initial_credits_to_load=credits, conversion_rate="0.5", topup_conversion_rate="0.4")
    body, rows = wallet.check()

    assert (body["credit_balance"], body["balance"]) == ("10", "5")
    assert len(rows) == 1
    assert rows[0]["transaction_reason"] == "FREE_CREDIT_GRANT"
    assert (rows[0]["amount"], rows[0]["credits_available"]) == ("4", "10")
    assert rows[0]["reference_type"] == "EXTERNAL"
    assert re.fullmatch("credit_grant-[0-9a-f]{16}", rows[0]["idempotency_key"])
    assert rows[0]["reference_id"] == rows[0]["idempotency_key"]
    assert "expiry_date" not in rows[0]


@pytest.mark.parametrize("credits", [None, "0", 0, "-5", -0.5, "0.0000000001"])
def test_no_initial_credits(flexprice: httpx.Client, credits: Any) -> None:
    """Nothing, zero and less than zero mean no credits, and then no transaction."""
    body, rows = Wallet.create(flexprice, initial_credits_to_load=credits).check()

    assert (body["credit_balance"], body["balance"], rows) == ("0", "0", [])


@pytest.mark.parametrize(
    ("given", "expiry"),
    [
        ({"initial_credits_expiry_date_utc": "2036-03-01T10:30:00.25Z"}, "2036-03-01T10:30:00.250000Z"),
        ({"initial_credits_expiry_date_utc": "2036-03-01T10:30:00+02:00"}, "2036-03-01T08:30:00.000000Z"),
        ({"initial_credits_to_load_expiry_date": 20360301}, "2036-03-01T00:00:00.000000Z"),
        ({"initial_credits_expiry_date_utc": FUTURE["utc"], "initial_credits_to_load_expiry_date": PAST["day"]}, FUTURE["utc"]),
        ({"initial_credits_expiry_date_utc": None, "initial_credits_to_load_expiry_date": None}, None),
    ],
)
def test_expiry_of_initial_credits(flexprice: httpx.Client, given: Body, expiry: str | None) -> None:
    """A time wins over a day; a day means its beginning in UTC; without either they last."""
    _, (row,) = Wallet.create(flexprice, initial_credits_to_load="5", **given).check()

    if expiry is None:
        assert "expiry_date" not in row
    else:
        assert datetime.fromisoformat(row["expiry_date"]) == datetime.fromisoformat(expiry)
        assert row["expiry_date"].endswith("Z")


def test_expiry_day_counts_only_with_credits(flexprice: httpx.Client) -> None:
    """A day in the past is nothing to refuse when there are no credits to expire."""
    wallet = Wallet.create(flexprice, initial_credits_to_load_expiry_date=PAST["day"])

    assert wallet.rows() == []


def test_create_ignores_what_it_does_not_know(flexprice: httpx.Client) -> None:
    """Fields that are not the client's to set, and unknown ones, have no effect."""
    own = {"id": "wallet_mine", "balance": "5", "credit_balance": "5", "wallet_status": "closed", "config": {}, "name": "x"}
    stored = Wallet.create(flexprice, **own, unheard_of=[1, {}]).stored()

    assert stored["id"] != "wallet_mine"
    assert (stored["balance"], stored["credit_balance"], stored["wallet_status"]) == ("0", "0", "active")
    assert stored["name"] == "Prepaid Wallet - USD"
    assert stored["config"] == {"allowed_price_types": ["USAGE"]}


# ---------------------------------------------------------------- get


@pytest.mark.parametrize("wallet_id", [NOBODY, "wallet_missing", "x", "search", "transactions", "💶", "%00", "a" * 300])
def test_get_of_an_unknown_wallet(flexprice: httpx.Client, wallet_id: str) -> None:
    """Ids are not checked for form: an odd one is simply not found, and `search` is an id like any other to GET."""
    assert_refused(flexprice.get(f"/wallets/{wallet_id}"), 404, "not_found")


# ---------------------------------------------------------------- update


def test_update_of_nothing_changes_nothing(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """An empty object, nulls and unknown fields leave every setting as it was."""
    wallet = Wallet(flexprice, wallet_ids["healthy"])
    before = wallet.stored()
    nothing = dict.fromkeys(("name", "description", "metadata", "config", "alert_settings", "auto_topup"))

    for body in ({}, nothing, {"unheard_of": {"deep": []}}):
        answer = assert_ok(flexprice.put(f"/wallets/{wallet.id}", json=body))
        assert {k: v for k, v in answer.items() if k != "updated_at"} == {k: v for k, v in before.items() if k != "updated_at"}
    assert wallet.stored()["updated_at"] >= before["updated_at"]


def test_every_change_moves_updated_at(flexprice: httpx.Client) -> None:
    """Settings and credits both count as changes, reading does not, and the time of creation stays."""
    wallet = Wallet.create(flexprice)
    times_seen = [wallet.stored()["updated_at"]]
    for change in (
        wallet.update,
        lambda: wallet.update(name="x"),
        lambda: wallet.top_up(credits_to_add="1"),
        wallet.terminate,
    ):
        assert_ok(change())
        body = wallet.balance()
        assert body == wallet.balance()
        assert body["created_at"] == times_seen[0]
        times_seen.append(body["updated_at"])

    assert all(earlier < later for earlier, later in pairwise(times_seen))


def test_update_replaces_metadata(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """What was sent is what is stored, old keys gone, down to an empty map (I28)."""
    wallet = Wallet(flexprice, wallet_ids["healthy"])
    assert "source" in wallet.stored()["metadata"]

    for metadata in ({"tier": "gold", "ünï": "🧾"}, {"other": ""}, {}):
        assert assert_ok(wallet.update(metadata=metadata))["metadata"] == metadata
        assert wallet.stored()["metadata"] == metadata


def test_update_changes_name_and_description_but_not_to_nothing(flexprice: httpx.Client) -> None:
    """Texts are stored unless they are empty."""
    wallet = Wallet.create(flexprice, description="first")
    assert_ok(wallet.update(name="Main « wallet »", description="second"))
    assert_ok(wallet.update(name="", description=""))

    stored = wallet.stored()
    assert (stored["name"], stored["description"]) == ("Main « wallet »", "second")


@pytest.mark.parametrize(
    ("config", "stored"),
    [
        ({"allowed_price_types": ["ALL"]}, ["ALL"]),
        ({"allowed_price_types": ["FIXED", "USAGE"]}, ["FIXED", "USAGE"]),
        ({"allowed_price_types": []}, []),
        ({}, ["USAGE"]),
        (None, ["USAGE"]),
    ],
)
def test_update_replaces_config(flexprice: httpx.Client, config: Body | None, stored: list[str]) -> None:
    """The list of price types is replaced, an empty one included; a config without a list is not stored."""
    wallet = Wallet.create(flexprice)
    assert_ok(wallet.update(config=config))

    assert wallet.stored()["config"] == {"allowed_price_types": stored}


def test_config_decides_what_counts_at_once(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """The same customer's unpaid invoices lower the balance by 85 or by 150, as the wallet's price types say."""
    wallet = Wallet(flexprice, wallet_ids["unpaid-invoices"])

    for allowed, left in (("USAGE", "915"), ("ALL", "850"), ("FIXED", "850"), (None, "915")):
        assert_ok(wallet.update(config={"allowed_price_types": [allowed] if allowed else []}))
        assert wallet.balance()["real_time_balance"] == left


def test_update_merges_auto_topup_field_by_field(flexprice: httpx.Client) -> None:
    """What is not sent stays, and a cooldown of zero is taken away."""
    wallet = Wallet.create(flexprice)
    settings: Body = {"threshold": 50, "amount": 10, "invoicing": False}
    steps: list[tuple[Body, Body]] = [
        (settings, settings),
        ({"enabled": False}, {"enabled": False}),
        ({"amount": "12.5"}, {"amount": 12.5}),
        ({"cooldown": {"value": 90, "unit": "minute"}}, {"cooldown": {"value": 90, "unit": "minute"}}),
        ({"invoicing": True, "threshold": 0}, {"invoicing": True, "threshold": 0}),
        ({}, {}),
    ]
    for sent, change in steps:
        assert_ok(wallet.update(auto_topup=sent))
        settings |= change
        assert wallet.stored()["auto_topup"] == settings

    assert_ok(wallet.update(auto_topup={"cooldown": {"value": 0}}))
    del settings["cooldown"]
    assert wallet.stored()["auto_topup"] == settings


@pytest.mark.parametrize(
    "sent", [{}, {"enabled": True}, {"threshold": 1, "amount": 1}, {"amount": 1, "invoicing": True}, {"cooldown": {"value": 0}}]
)
def test_first_auto_topup_must_be_complete(flexprice: httpx.Client, sent: Body) -> None:
    """Where there is nothing to merge into, threshold, amount and invoicing are all required."""
    wallet = Wallet.create(flexprice)
    assert_invalid(wallet.update(auto_topup=sent))

    assert "auto_topup" not in wallet.stored()


def test_nulls_inside_settings_count_as_absent(flexprice: httpx.Client) -> None:
    """The live server reads null like a missing member at every depth, so a merge leaves those members alone."""
    wallet = Wallet.create(flexprice, auto_topup=COMPLETE_TOPUP)
    assert_ok(wallet.update(auto_topup={"enabled": None, "threshold": None, "amount": 7, "cooldown": None}))
    assert wallet.stored()["auto_topup"] == COMPLETE_TOPUP | {"amount": 7}

    assert_ok(wallet.update(alert_settings={"critical": {"condition": "below", "threshold": 1}, "warning": None, "info": None}))
    assert wallet.stored()["alert_settings"] == {"critical": {"condition": "below", "threshold": 1}}


def test_update_evaluates_no_alerts_but_resets_them(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Enabled settings wait for the next credit to be evaluated; settings that are not enabled put the state to ok at once."""
    wallet = Wallet(flexprice, wallet_ids["in-alarm"])
    mild = {"alert_enabled": True, "critical": {"condition": "below", "threshold": -1000}}
    assert wallet.stored()["alert_state"] == "in_alarm"

    assert assert_ok(wallet.update(alert_settings=mild))["alert_state"] == "in_alarm"
    assert assert_ok(wallet.top_up(credits_to_add="1"))["wallet"]["alert_state"] == "ok"

    strict = {"alert_enabled": True, "critical": {"condition": "below", "threshold": 1000}}
    assert assert_ok(wallet.update(alert_settings=strict))["alert_state"] == "ok"
    assert assert_ok(wallet.top_up(credits_to_add="2"))["wallet"]["alert_state"] == "in_alarm"
    for off in (strict | {"alert_enabled": False}, {"alert_enabled": False}):
        assert_ok(wallet.update(alert_settings=off))
        assert wallet.stored()["alert_state"] == "ok"
        assert assert_ok(wallet.top_up(credits_to_add="3"))["wallet"]["alert_state"] == "ok"
        assert_ok(wallet.update(alert_settings=strict))
        assert assert_ok(wallet.top_up(credits_to_add="4"))["wallet"]["alert_state"] == "in_alarm"


@pytest.mark.parametrize("condition", ["below", "above"])
def test_alert_state_follows_each_credit(flexprice: httpx.Client, condition: str) -> None:
    """Right after a credit the state is what the thresholds make of the real-time credits, thresholds included (I26)."""
    thresholds = {"below": (10, 20, 30), "above": (30, 20, 10)}[condition]
    levels = dict(zip(("critical", "warning", "info"), thresholds, strict=True))
    settings = {name: {"condition": condition, "threshold": value} for name, value in levels.items()}
    wallet = Wallet.create(flexprice, alert_settings={"alert_enabled": True} | settings, conversion_rate="2")
    assert wallet.stored()["alert_state"] == "ok"

    seen = []
    for credits in ("5", "5", "0.5", "9.5", "10", "0.000000001", "5"):
        answer = assert_ok(wallet.top_up(credits_to_add=credits))
        body = wallet.balance()
        assert answer["wallet"]["alert_state"] == body["alert_state"] == alert_state(body), body["credit_balance"]
        seen.append(body["alert_state"])
    below = ["in_alarm", "in_alarm", "warning", "warning", "info", "ok", "ok"]
    above = ["ok", "info", "info", "warning", "in_alarm", "in_alarm", "in_alarm"]
    assert seen == (below if condition == "below" else above)


def test_initial_credits_are_evaluated_too(flexprice: httpx.Client) -> None:
    """Initial credits are a top-up: the answer to create has the alert state that they lead to."""
    settings = {"alert_enabled": True, "critical": {"condition": "below", "threshold": 10}}

    for credits, state in (("10", "in_alarm"), ("10.1", "ok"), ("0", "ok")):
        wallet = Wallet.create(flexprice, alert_settings=settings, initial_credits_to_load=credits)
        assert wallet.stored()["alert_state"] == state


def test_update_cannot_change_what_is_fixed(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Currency, type, customer, rates, balances and status stay what they are, whatever is sent (I28)."""
    wallet = Wallet(flexprice, wallet_ids["rate-half"])
    before = wallet.stored()
    fixed = {
        "id": NOBODY,
        "currency": "usd",
        "wallet_type": "POST_PAID",
        "customer_id": "cust_other",
        "conversion_rate": "9",
        "topup_conversion_rate": "9",
        "balance": "9",
        "credit_balance": "9",
        "wallet_status": "closed",
        "alert_state": "in_alarm",
        "created_at": "2020-01-01T00:00:00Z",
    }
    assert_ok(wallet.update(**fixed))

    assert {field: wallet.stored()[field] for field in fixed} == {field: before[field] for field in fixed}


@pytest.mark.parametrize(
    "body",
    [
        {"name": 1},
        {"metadata": {"n": 1}},
        {"metadata": "x"},
        {"config": {"allowed_price_types": ["USAGE", "SOME"]}},
        {"config": {"allowed_price_types": "USAGE"}},
        {"auto_topup": {"amount": True}},
        {"auto_topup": []},
        {"alert_settings": {"alert_enabled": "yes"}},
        [],
        "text",
        None,
    ],
    ids=str,
)
def test_update_refuses_what_it_cannot_use(flexprice: httpx.Client, wallet_ids: dict[str, str], body: Any) -> None:
    """Ill-typed settings are 400, whether or not there is such a wallet, and change nothing."""
    wallet = Wallet(flexprice, wallet_ids["healthy"])
    before = wallet.stored()

    assert_invalid(flexprice.put(f"/wallets/{wallet.id}", json=body))
    assert_invalid(flexprice.put(f"/wallets/{NOBODY}", json=body))
    assert wallet.stored() == before


def test_update_of_an_unknown_wallet(flexprice: httpx.Client) -> None:
    """404, whatever would be changed."""
    for body in ({}, {"name": "x"}, {"auto_topup": {"enabled": True}}):
        assert_refused(flexprice.put(f"/wallets/{NOBODY}", json=body), 404, "not_found")


# ---------------------------------------------------------------- real-time balance


def pending_charges(persona: Body) -> tuple[Decimal, Decimal]:
    """What is to be taken off a prepaid persona's balance, and its unpaid usage, from the fixture file by the provider's rule."""
    customer = (FIXTURES["customers"][persona["customer"]]) or {}
    currency = persona.get("currency", "usd")
    allowed = persona.get("allowed_price_types", ["USAGE"])
    usage = Decimal(str(customer.get("usage", {}).get(currency, 0)))
    if allowed and not {"USAGE", "ALL"} & set(allowed):
        usage = Decimal(0)
    remaining = due = paid = Decimal(0)
    for invoice in customer.get("unpaid_invoices", []):
        if invoice["currency"] == currency:
            remaining += invoice["remaining"]
            paid += invoice.get("paid", 0)
            for line in invoice["usage_lines"]:
                due += line["amount"] - line.get("prepaid_credits", 0) - line.get("discount", 0)
    return usage + (remaining if {"ALL", "FIXED"} & set(allowed) else due - paid), due


def test_controls_list_every_persona(mock: Mock) -> None:
    """The personas that the tests go through are all that the control names."""
    names = [name.removeprefix("flexprice/") for name in mock.personas() if name.startswith("flexprice/")]

    assert names == list(PERSONAS)


STEADY = [name for name in PERSONAS if name != "draining"]
"""Personas that stay as they are while time goes by."""


@pytest.mark.parametrize("name", STEADY)
def test_real_time_balance_of_every_persona(flexprice: httpx.Client, wallet_ids: dict[str, str], name: str) -> None:
    """Every figure obeys I1 to I8 and follows from the fixture file; the ledger adds up; the alert state fits (I26)."""
    persona = PERSONAS[name]
    body, rows = Wallet(flexprice, wallet_ids[name]).check()

    assert len(rows) == len(persona.get("transactions", []))
    assert body["wallet_status"] == persona.get("status", "active")
    assert body["wallet_type"] == persona.get("type", "PRE_PAID")
    if body["wallet_status"] == "active" and body["wallet_type"] == "PRE_PAID":
        charges, due = pending_charges(persona)
        assert number(body, "current_period_usage") == charges
        assert number(body, "unpaid_invoices_amount") == due
    if (state := alert_state(body)) is not None:
        assert body["alert_state"] == state


@pytest.mark.parametrize("index", range(5))
def test_real_time_balance_of_the_population(mock: Mock, flexprice: httpx.Client, index: int) -> None:
    """A member of each kind obeys the same rules."""
    member = httpx.get(f"{mock.url}/_mock/population/flexprice/{index}").json()
    body, _ = Wallet(flexprice, member["ids"]["wallet"]).check()

    assert body["customer_id"] == member["ids"]["customer"]


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("busy", {"balance": "1000", "current_period_usage": "61.5", "real_time_balance": "938.5"}),
        ("unpaid-invoices", {"real_time_balance": "915", "current_period_usage": "85", "unpaid_invoices_amount": "115"}),
        ("unpaid-invoices-all", {"real_time_balance": "850", "current_period_usage": "150", "unpaid_invoices_amount": "115"}),
        ("overspent", {"balance": "100", "real_time_balance": "-150.75"}),
        ("rate-2", {"balance": "330", "credit_balance": "165", "real_time_credit_balance": "165"}),
        ("rate-half", {"credit_balance": "333.333333332", "balance": "166.666666666", "real_time_balance": "159.166666666"}),
        ("postpaid", {"balance": "50", "real_time_balance": "50", "current_period_usage": "0", "unpaid_invoices_amount": "0"}),
        ("frozen", {"balance": "5000", "real_time_balance": "0", "wallet_status": "frozen"}),
        ("closed", {"balance": "0", "real_time_balance": "0", "wallet_status": "closed"}),
        ("overdrawn", {"balance": "-2.5", "real_time_balance": "-2.5"}),
        ("yen", {"balance": "50000", "real_time_balance": "48800", "currency": "jpy"}),
        ("huge", {"balance": "99999999999.999999999", "real_time_balance": "99999999999.999999999"}),
        ("new", {"balance": "0", "real_time_balance": "0"}),
        ("pending", {"balance": "0", "real_time_balance": "0"}),
        ("in-alarm", {"alert_state": "in_alarm"}),
        ("warning", {"alert_state": "warning"}),
        ("informed", {"alert_state": "info"}),
        ("healthy", {"alert_state": "ok", "balance": "538.5"}),
    ],
)
def test_figures_that_people_know(flexprice: httpx.Client, wallet_ids: dict[str, str], name: str, figures: Body) -> None:
    """The worked examples and what the personas are described with, to the digit."""
    body = Wallet(flexprice, wallet_ids[name]).balance()

    assert {field: body[field] for field in figures} == figures


@pytest.mark.parametrize("customer", ["ext_cust_busy", "ext_cust_debtor", "ext_cust_debtor_all", "ext_cust_overspent"])
def test_postpaid_wallets_know_no_pending_charges(flexprice: httpx.Client, customer: str) -> None:
    """Whatever the customer used or owes, a postpaid wallet's real-time balance is its balance (I4), a prepaid one's is less."""
    body = {"external_customer_id": customer, "wallet_type": "POST_PAID", "currency": "usd", "initial_credits_to_load": "10"}
    created = assert_ok(flexprice.post("/wallets", json=body | {"conversion_rate": "3"}))
    balance = Wallet(flexprice, created["id"]).balance()

    assert (balance["balance"], balance["real_time_balance"], balance["real_time_credit_balance"]) == ("30", "30", "10")
    assert (balance["current_period_usage"], balance["unpaid_invoices_amount"]) == ("0", "0")
    (prepaid,) = (
        item
        for item in assert_ok(
            flexprice.get("/customers/wallets", params={"lookup_key": customer, "include_real_time_balance": "true"})
        )
        if (item["wallet_type"], item["currency"]) == ("PRE_PAID", "usd")
    )
    assert number(prepaid, "real_time_balance") < number(prepaid, "balance")


@pytest.mark.parametrize("name", STEADY)
def test_balance_and_get_agree(flexprice: httpx.Client, wallet_ids: dict[str, str], name: str) -> None:
    """Every stored field is the same in both answers (I31), and two reads in a row are equal."""
    wallet = Wallet(flexprice, wallet_ids[name])
    stored, balance = wallet.stored(), wallet.balance()

    assert {field: balance.get(field) for field in stored} == stored
    assert set(balance) - set(stored) <= {
        "real_time_balance",
        "real_time_credit_balance",
        "current_period_usage",
        "unpaid_invoices_amount",
        "balance_updated_at",
        "is_cached_fallback",
    }
    assert wallet.balance() == balance


@pytest.mark.parametrize(
    ("name", "purchased", "free"),
    [
        ("healthy", "500", "38.5"),
        ("expiring", "250", "100"),
        ("rate-2", "150", "15"),
        ("overdrawn", "0", "0"),
        ("pending", "0", "0"),
        ("new", "0", "0"),
        ("closed", "0", "0"),
        ("frozen", "5000", "0"),
    ],
)
def test_expanded_balance(flexprice: httpx.Client, wallet_ids: dict[str, str], name: str, purchased: str, free: str) -> None:
    """The breakdown tells available credits by origin, and comes only when it is asked for."""
    wallet = Wallet(flexprice, wallet_ids[name])

    assert wallet.balance(expand=BREAKDOWN)[BREAKDOWN] == {"purchased": purchased, "free": free}
    for nothing in ({}, {"expand": ""}):
        assert BREAKDOWN not in wallet.balance(**nothing)


@pytest.mark.parametrize("expand", [BREAKDOWN, f" {BREAKDOWN} ", f"{BREAKDOWN},{BREAKDOWN}", f"{BREAKDOWN} , {BREAKDOWN}"])
def test_expand_is_a_comma_list(flexprice: httpx.Client, wallet_ids: dict[str, str], expand: str) -> None:
    """Blanks around a word and repeats are fine."""
    assert BREAKDOWN in Wallet(flexprice, wallet_ids["healthy"]).balance(expand=expand)


@pytest.mark.parametrize(
    "expand", ["wallet", "customer", ",", f"{BREAKDOWN},", f",{BREAKDOWN}", f"{BREAKDOWN}.x", BREAKDOWN.upper(), f"{BREAKDOWN};"]
)
def test_expand_of_anything_else(flexprice: httpx.Client, wallet_ids: dict[str, str], expand: str) -> None:
    """Anything else is 400, before the wallet is looked up."""
    for wallet_id in (wallet_ids["healthy"], NOBODY):
        assert_invalid(flexprice.get(f"/wallets/{wallet_id}/balance/real-time", params={"expand": expand}))


def test_balance_of_an_unknown_wallet(flexprice: httpx.Client) -> None:
    """404."""
    assert_refused(flexprice.get(f"/wallets/{NOBODY}/balance/real-time"), 404, "not_found")


@pytest.mark.parametrize("from_cache", ["true", "false", "TRUE", "1", "maybe", ""])
def test_from_cache_keeps_the_rules(flexprice: httpx.Client, wallet_ids: dict[str, str], from_cache: str) -> None:
    """Whatever it is given, the answer obeys the invariants of its own `is_cached_fallback`."""
    body = Wallet(flexprice, wallet_ids["busy"]).balance(from_cache=from_cache)

    assert body["balance"] == "1000"


# ---------------------------------------------------------------- terminate


@pytest.mark.parametrize(
    ("name", "credits", "amount"),
    [
        ("healthy", "538.5", "538.5"),
        ("rate-half", "333.333333332", "166.666666666"),
        ("rate-2", "165", "330"),
        ("frozen", "5000", "5000"),
        ("expiring", "350", "350"),
        ("postpaid", "50", "50"),
        ("huge", "99999999999.999999999", "99999999999.999999999"),
    ],
)
def test_terminate_takes_out_what_is_left(
    mock: Mock, flexprice: httpx.Client, wallet_ids: dict[str, str], name: str, credits: str, amount: str
) -> None:
    """One debit of everything, then closed for good: gone from the customer's lists, still there by id and in search (I22)."""
    wallet = Wallet(flexprice, wallet_ids[name])
    before = wallet.rows()
    answer = assert_ok(wallet.terminate())

    assert_wallet(answer)
    assert (answer["wallet_status"], answer["balance"], answer["credit_balance"]) == ("closed", "0", "0")
    body, rows = wallet.check()
    assert (body["wallet_status"], body["real_time_balance"]) == ("closed", "0")
    assert len(rows) == len(before) + 1
    debit = rows[-1]
    assert (debit["type"], debit["transaction_reason"], debit["reference_type"]) == ("debit", "WALLET_TERMINATION", "REQUEST")
    assert (debit["credit_amount"], debit["amount"], debit["idempotency_key"]) == (credits, amount, wallet.id)
    drained = {row["id"] for row in rows if row["type"] == "credit" and row["transaction_status"] == "completed"}
    assert set(debit["metadata"]["consumed_credit_tx_ids"].split(",")) <= drained

    assert_refused(wallet.terminate(), 400, "invalid_operation")
    assert wallet.rows() == rows
    customer = str(mock.personas()[f"flexprice/{name}"]["ids"]["customer"])  # type: ignore[index]
    for listed in (f"/customers/{customer}/wallets", f"/customers/wallets?id={customer}"):
        assert wallet.id not in [item["id"] for item in assert_ok(flexprice.get(listed))]
    found = assert_ok(flexprice.post("/wallets/search", json={"wallet_ids": [wallet.id]}))["items"]
    assert found == [wallet.stored()]


@pytest.mark.parametrize(("name", "credits"), [("new", "0"), ("pending", "0"), ("overdrawn", "-2.5")])
def test_terminate_with_nothing_left(flexprice: httpx.Client, wallet_ids: dict[str, str], name: str, credits: str) -> None:
    """No debit where there is nothing to take out; a balance below zero stays below zero."""
    wallet = Wallet(flexprice, wallet_ids[name])
    before = wallet.rows()
    answer = assert_ok(wallet.terminate())

    assert (answer["wallet_status"], answer["credit_balance"]) == ("closed", credits)
    assert wallet.rows() == before


def test_terminate_refused(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Closed already: 400 invalid_operation. Unknown: 404."""
    assert_refused(Wallet(flexprice, wallet_ids["closed"]).terminate(), 400, "invalid_operation")
    assert_refused(Wallet(flexprice, NOBODY).terminate(), 404, "not_found")


def test_terminate_needs_its_own_key(flexprice: httpx.Client) -> None:
    """The debit's key is the wallet's id: if a client used that for a top-up, 409, and the wallet stays open."""
    wallet = Wallet.create(flexprice)
    assert_ok(wallet.top_up(credits_to_add="1", idempotency_key=wallet.id))

    assert_refused(wallet.terminate(), 409, "already_exists")
    assert wallet.stored()["wallet_status"] == "active"


def test_terminate_refuses_expired_credits(flexprice: httpx.Client) -> None:
    """Credits that have expired but were not swept count in the balance and cannot be taken out: 400, nothing changes."""
    expiry = datetime.now(UTC) + timedelta(milliseconds=600)
    wallet = Wallet.create(flexprice, initial_credits_to_load="5", initial_credits_expiry_date_utc=expiry.isoformat())
    assert_ok(wallet.top_up(credits_to_add="7"))
    while datetime.now(UTC) <= expiry:
        wallet.stored()
    before = wallet.stored()

    assert_refused(wallet.terminate(), 400, "invalid_operation")
    assert wallet.stored() == before
    body, _ = wallet.check()
    assert (body["credit_balance"], body["real_time_balance"]) == ("12", "12")


def test_settings_of_a_closed_wallet_can_change(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Closing ends neither reading nor naming."""
    wallet = Wallet(flexprice, wallet_ids["closed"])
    assert_ok(wallet.update(name="Old wallet"))

    stored = wallet.stored()
    assert (stored["name"], stored["wallet_status"]) == ("Old wallet", "closed")


# ---------------------------------------------------------------- a customer's wallets


@pytest.fixture
def acme(mock: Mock) -> str:
    """The id of the customer who has an active, a postpaid and a closed wallet."""
    return str(mock.personas()["flexprice/healthy"]["ids"]["customer"])  # type: ignore[index]


def test_wallets_of_a_customer(flexprice: httpx.Client, wallet_ids: dict[str, str], acme: str) -> None:
    """Active ones only, as stored, by internal id (10) and by either id (11)."""
    expected = {wallet_ids["healthy"], wallet_ids["postpaid"]}

    for path in (f"/customers/{acme}/wallets", f"/customers/wallets?id={acme}", "/customers/wallets?lookup_key=ext_cust_acme"):
        items = assert_ok(flexprice.get(path))
        assert {item["id"] for item in items} == expected
        for item in items:
            stored = Wallet(flexprice, item["id"]).stored()
            assert {field: item.get(field) for field in stored} == stored


def test_frozen_wallets_are_not_listed(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Frozen is not active."""
    items = assert_ok(flexprice.get("/customers/wallets", params={"lookup_key": "ext_cust_low"}))

    assert [item["id"] for item in items] == [wallet_ids["low"]]


def test_wallets_of_an_unknown_customer(flexprice: httpx.Client) -> None:
    """By path an empty list, by query 404, as the document declares it only there."""
    assert assert_ok(flexprice.get("/customers/cust_nobody/wallets")) == []
    for query in ({"id": "cust_nobody"}, {"lookup_key": "nobody"}, {"lookup_key": "member-01"}, {"lookup_key": "member-1000"}):
        assert_refused(flexprice.get("/customers/wallets", params=query), 404, "not_found")


def test_expanded_wallets_of_a_customer(flexprice: httpx.Client, acme: str) -> None:
    """Operation 10 expands at once, operation 11 only together with real-time balances."""
    for path, query, expanded in (
        (f"/customers/{acme}/wallets", {"expand": BREAKDOWN}, True),
        (f"/customers/{acme}/wallets", {"expand": ""}, False),
        ("/customers/wallets", {"id": acme, "expand": BREAKDOWN}, False),
        ("/customers/wallets", {"id": acme, "expand": BREAKDOWN, "include_real_time_balance": "true"}, True),
        ("/customers/wallets", {"id": acme, "include_real_time_balance": "true"}, False),
    ):
        items = assert_ok(flexprice.get(path, params=query))
        assert items
        assert [BREAKDOWN in item for item in items] == [expanded] * len(items), (path, query)


@pytest.mark.parametrize("expand", ["wallet", f"{BREAKDOWN},", "customer"])
def test_bad_expand_of_customer_wallets(flexprice: httpx.Client, acme: str, expand: str) -> None:
    """400, before the customer is looked up."""
    for path in (f"/customers/{acme}/wallets", "/customers/cust_nobody/wallets"):
        assert_invalid(flexprice.get(path, params={"expand": expand}))
    for customer in (acme, "cust_nobody"):
        query = {"id": customer, "expand": expand, "include_real_time_balance": "true"}
        assert_invalid(flexprice.get("/customers/wallets", params=query))


def test_real_time_balances_of_a_customer(flexprice: httpx.Client, acme: str) -> None:
    """With real-time balances each item equals the wallet's own balance; without, nothing is computed."""
    items = assert_ok(flexprice.get("/customers/wallets", params={"id": acme, "include_real_time_balance": "true"}))
    for item in items:
        assert_balance(item)
        assert item == Wallet(flexprice, item["id"]).balance()

    for item in assert_ok(flexprice.get("/customers/wallets", params={"id": acme})):
        assert_wallet(item)
        assert not {"real_time_balance", "real_time_credit_balance", "current_period_usage"} & set(item)


@pytest.mark.parametrize("name", ["include_real_time_balance", "from_cache"])
@pytest.mark.parametrize(
    ("text", "fine"),
    [
        *((text, True) for text in ("1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False")),
        *((text, False) for text in ("yes", "no", "on", "2", "tRUE", "null", " true", "-1", "1.0")),
    ],
)
def test_booleans_are_go_s(flexprice: httpx.Client, acme: str, name: str, text: str, fine: bool) -> None:
    """Booleans in a query are spelled as Go spells them; anything else is 400, even for an unknown customer."""
    for customer in (acme, "cust_nobody"):
        response = flexprice.get("/customers/wallets", params={"id": customer, name: text})
        if not fine:
            assert_invalid(response)
        elif customer == acme:
            wanted = name == "include_real_time_balance" and text in ("1", "t", "T", "true", "TRUE", "True")
            assert ["real_time_balance" in item for item in assert_ok(response)] == [wanted] * 2
        else:
            assert_refused(response, 404, "not_found")


@pytest.mark.parametrize(
    "query", [{}, {"id": ""}, {"lookup_key": ""}, {"id": "", "lookup_key": ""}, {"id": "ACME", "lookup_key": "ext_cust_acme"}]
)
def test_exactly_one_customer_id(flexprice: httpx.Client, acme: str, query: dict[str, str]) -> None:
    """Neither or both is 400; empty is none."""
    query = {name: value.replace("ACME", acme) for name, value in query.items()}

    assert_invalid(flexprice.get("/customers/wallets", params=query))


# ---------------------------------------------------------------- search


def pages(client: httpx.Client, size: int, **body: Any) -> Iterator[list[Body]]:
    """All pages of a search, checked for totals."""
    offset, total = 0, None
    while total is None or offset < total:
        page = assert_ok(client.post("/wallets/search", json={"limit": size, "offset": offset} | body))
        assert page["pagination"]["limit"] == size
        assert page["pagination"]["offset"] == offset
        assert total in (None, page["pagination"]["total"])
        total = page["pagination"]["total"]
        assert len(page["items"]) == max(0, min(size, total - offset))
        yield page["items"]
        offset += size


def all_of(client: httpx.Client, size: int = 1000, **body: Any) -> list[Body]:
    """Every wallet that a search finds."""
    return [item for page in pages(client, size, **body) for item in page]


@pytest.mark.parametrize("size", [1000, 333, 97, 50])
def test_search_pages_through_everything(mock: Mock, flexprice: httpx.Client, size: int) -> None:
    """At any page size every persona and member comes exactly once, newest first, and nothing overlaps (I25)."""
    found = all_of(flexprice, size)

    members = httpx.get(f"{mock.url}/_mock/health").json()["population"]
    assert len(found) == members + len(PERSONAS)
    assert len({wallet["id"] for wallet in found}) == len(found)
    assert all(newer["created_at"] >= older["created_at"] for newer, older in pairwise(found))
    assert found == all_of(flexprice)


def test_search_in_either_order(flexprice: httpx.Client) -> None:
    """Oldest first is newest first turned round, and newest first is what comes unless asked otherwise."""
    newest = [wallet["id"] for wallet in all_of(flexprice)]

    assert [wallet["id"] for wallet in all_of(flexprice, order="desc")] == newest
    assert [wallet["id"] for wallet in all_of(flexprice, order="asc")] == newest[::-1]


def test_search_by_status(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Each wallet is found under its own status and no other, and changes its place when it is closed."""
    everything = all_of(flexprice)
    for status in ("active", "frozen", "closed"):
        assert all_of(flexprice, 400, status=status) == [w for w in everything if w["wallet_status"] == status]
    member = everything[-1]["id"]
    for wallet_id in (wallet_ids["healthy"], member):
        assert_ok(Wallet(flexprice, wallet_id).terminate())

    closed, active = all_of(flexprice, status="closed"), all_of(flexprice, 400, status="active")
    assert {wallet["id"] for wallet in closed} == {wallet_ids["closed"], wallet_ids["healthy"], member}
    assert len(closed) + len(active) + 1 == len(everything)
    assert [wallet["id"] for wallet in all_of(flexprice, 333)] == [wallet["id"] for wallet in everything]


def test_search_finds_what_is_new(flexprice: httpx.Client) -> None:
    """A new wallet comes first, as it is stored, and counts; without any filter a page has fifty."""
    before = assert_ok(flexprice.post("/wallets/search", json={}))
    wallet = Wallet.create(flexprice)
    after = assert_ok(flexprice.post("/wallets/search", json={}))

    assert len(before["items"]) == len(after["items"]) == 50
    assert after["pagination"] == {"total": before["pagination"]["total"] + 1, "limit": 50, "offset": 0}
    assert after["items"] == [wallet.stored(), *before["items"][:49]]


def test_search_by_ids(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """Only these, once each, unknown ones passed over, status applied as well; an empty list is no filter."""
    wanted = [wallet_ids["healthy"], wallet_ids["closed"], wallet_ids["frozen"]]
    everything = {wallet["id"]: wallet for wallet in all_of(flexprice)}

    found = all_of(flexprice, wallet_ids=[*wanted, NOBODY, wanted[0], ""])
    assert sorted(w["id"] for w in found) == sorted(wanted)
    assert all(everything[wallet["id"]] == wallet for wallet in found)
    assert [w["id"] for w in all_of(flexprice, wallet_ids=wanted, status="closed")] == [wallet_ids["closed"]]
    assert all_of(flexprice, wallet_ids=[NOBODY]) == []
    assert len(all_of(flexprice, wallet_ids=[])) == len(everything)
    assert all_of(flexprice, 2, wallet_ids=wanted) == all_of(flexprice, wallet_ids=wanted)


def test_search_expands(flexprice: httpx.Client, wallet_ids: dict[str, str]) -> None:
    """The breakdown comes in every item when asked for, and only then."""
    body = {"wallet_ids": [wallet_ids["healthy"], wallet_ids["new"]]}
    for wallet in all_of(flexprice, expand=BREAKDOWN, **body):
        assert wallet[BREAKDOWN] == Wallet(flexprice, wallet["id"]).balance(expand=BREAKDOWN)[BREAKDOWN]

    assert not any(BREAKDOWN in wallet for wallet in all_of(flexprice, **body))


def test_search_takes_null_for_absent(flexprice: httpx.Client) -> None:
    """Nulls and the filters that the provider ignores change nothing."""
    plain = assert_ok(flexprice.post("/wallets/search", json={}))
    nothing = dict.fromkeys(("status", "wallet_ids", "limit", "offset", "order", "sort", "expand", "alert_enabled"))

    for body in (nothing, {"alert_enabled": True}, {"sort": "name"}, {"expand": ""}):
        assert assert_ok(flexprice.post("/wallets/search", json=body)) == plain


def test_search_beyond_the_end(flexprice: httpx.Client) -> None:
    """An offset past the last one gives an empty page with the true total."""
    total = len(all_of(flexprice))

    for offset in (total, total + 1, 10**12):
        page = assert_ok(flexprice.post("/wallets/search", json={"offset": offset, "limit": 7}))
        assert page == {"items": [], "pagination": {"total": total, "limit": 7, "offset": offset}}


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 0},
        {"limit": 1001},
        {"limit": -1},
        {"limit": 1.5},
        {"limit": "10"},
        {"limit": 10**30},
        {"offset": -1},
        {"offset": "0"},
        {"order": "up"},
        {"order": "DESC"},
        {"status": "open"},
        {"status": "published"},
        {"wallet_ids": "wallet_x"},
        {"wallet_ids": [1]},
        {"expand": "customer"},
        {"alert_enabled": "yes"},
        [],
        None,
    ],
    ids=str,
)
def test_search_refuses_what_it_cannot_use(flexprice: httpx.Client, body: Any) -> None:
    """Limits outside 1 to 1000, negative offsets and unknown words are 400."""
    assert_invalid(flexprice.post("/wallets/search", json=body))


def test_credit_balance_times_rate_stays_true_over_a_life(flexprice: httpx.Client) -> None:
    """Through credits that do not come out even, real-time credits are the balance divided to sixteen digits (I1, I3)."""
    wallet = Wallet.create(flexprice, conversion_rate="0.00003", topup_conversion_rate="7.77777")
    for credits in ("0.000000001", "33333.333333333", "1"):
        assert_ok(wallet.top_up(credits_to_add=credits))
        body, _ = wallet.check()
        assert number(body, "real_time_credit_balance") == divided(number(body, "balance"), Decimal("0.00003"))
