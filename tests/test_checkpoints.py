"""A world that was written down and read again is the world that its events make: all of it, and whatever comes of it."""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, make_dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import count, islice
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server import checkpoints
from mock_server.assembly import Mock, Settings, assemble
from mock_server.checkpoints import Misfit, memento, recall
from mock_server.clock import ClockSetting
from mock_server.event_log import Event
from mock_server.flexprice.events import WalletCreated, WalletUpdated
from mock_server.flexprice.ledger import Account
from mock_server.flexprice.schedule import Schedule
from mock_server.flexprice.state import state_of
from mock_server.notice import Notice
from mock_server.packing import pack, shape, unpack
from mock_server.polar.events import WalletChanged
from mock_server.polar.state import polar_of
from mock_server.scenarios.events import ScenarioStarted
from mock_server.webhooks import outbox
from mock_server.webhooks.events import WebhookAttempted, WebhookResent, WebhooksSet
from mock_server.webhooks.outbox import Outbox
from mock_server.webhooks.settings import WebhookSettings
from mock_server.world import World

START = datetime(2026, 11, 21, 9, tzinfo=UTC)
ORIGIN = "seed 1, and so on"
CONTROLS = "http://localhost/_mock/sessions/{}"
HUGE = 10**30

SCENARIO = """
scenario: by-calls
steps:
  - after: 2 calls
    do: [{set-balance: {wallet: low, credits: 3}}, {expire-credits: {wallet: expiring}}]
  - after: 1h
    do: [{use: {wallet: low, amount: 1}}, {set-fault: {name: told, fault: error, code: 500, skip: 2, times: 3}}]
  - after: 30 calls
    do: {clear-faults: {}}
repeat: true
"""

Sent = tuple[str, str, Any, dict[str, str]]
Seen = tuple[int, str | None, bytes]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few messages may wait, so that some are dropped."""
    monkeypatch.setattr(outbox, "MOST_PENDING", 12)


class Standing:
    """Wall time that stands still."""

    def now(self) -> datetime:
        """Always the same."""
        return START


@cache
def mock() -> Mock:
    """A server in this process, for which no time passes."""
    return assemble(Settings(population=50, clock=ClockSetting.stopped(START)), clock=Standing())


def requests(draw: random.Random, session: str, new: str) -> Iterator[Sent]:
    """Requests of every kind without end, of clients and to controls; most of them succeed. `new` is a wallet's id."""
    personas = [persona for cast in mock().casts.values() for persona in cast.personas()]
    tokens = [persona.token for persona in personas if persona.token]
    names = ["low", "auto-topup", "draining", "expiring", "unpaid-invoices-all", "healthy", "new"]
    ids = {persona.name: persona.ids["wallet"] for persona in personas if persona.provider == "flexprice"}
    ids["new"] = new
    key = {"x-api-key": "any", "x-mock-session": session}
    controls = CONTROLS.format(session)
    members = [persona.ids["wallet"] for index in range(9) if (persona := mock().casts["flexprice"].member(index))]
    for number in count(draw.randrange(10**9)):
        name = draw.choice(names)
        wallet, control = f"/v1/wallets/{ids[name]}", f"{controls}/wallets/{ids[name]}"
        credits = draw.choice(["1", "0.000000001", "33.333333333", "20"])
        reason = draw.choice(["FREE_CREDIT_GRANT", "PURCHASED_CREDIT_DIRECT", "PURCHASED_CREDIT_INVOICED"])
        topup = {"credits_to_add": credits, "transaction_reason": reason, "idempotency_key": f"k{number}", "priority": number % 3}
        expiring = {"expiry_date_utc": (START + timedelta(hours=draw.randrange(200))).isoformat()} if number % 2 else {}
        debit = {"credits": credits, "transaction_reason": "MANUAL_BALANCE_DEBIT", "idempotency_key": f"d{number}"}
        alert = {"enabled": True, "critical": {"threshold": draw.choice(["1", "20"])}, "info": {"threshold": "50"}}
        automatic = {"threshold": 5, "amount": "2.5", "invoicing": number % 2 > 0, "cooldown": "1 hour"}
        fault = {"fault": "error", "code": 500, "probability": 0.5, "times": 3, "operation": "updateWallet"}
        hooks = {"delay": "1m", "duplicate": number % 2 > 0, "reorder": number % 3 > 0}
        currency = draw.choice(["gbp", "chf", "jpy"])
        yield draw.choice(
            [
                ("POST", f"{wallet}/top-up", topup | expiring, key),
                ("POST", f"{wallet}/top-up", topup | {"bonus_credits_to_add": "1"}, key),
                ("POST", f"{wallet}/debit", debit, key),
                ("POST", f"{wallet}/debit", debit, key),
                ("PUT", wallet, {"metadata": {"n": str(number)}, "name": f"n{number}"}, key),
                ("POST", "/v1/wallets", {"currency": "usd", "customer_id": f"cust_{number}", "initial_credits_to_load": 5}, key),
                ("POST", f"/v1/wallets/{draw.choice(members)}/top-up", topup, key),
                ("PATCH", control, {"usage_rate": {"amount": "0.7", "per": "hour"}}, {}),
                ("PATCH", control, {"alert_settings": alert}, {}),
                ("PATCH", control, {"auto_topup": automatic}, {}),
                ("PATCH", control, {"status": draw.choice(["frozen", "active", "active"])}, {}),
                ("POST", f"{control}/usage", {"amount": credits}, {}),
                ("PATCH", control, {"usage": credits}, {}),
                ("POST", f"{wallet}/terminate", None, key) if number % 4 == 0 else ("GET", wallet, None, key),
                ("DELETE", f"{controls}/scenarios", None, {}) if number % 4 == 0 else ("GET", wallet, None, key),
                ("POST", f"{wallet}/top-up", topup | {"transaction_reason": "PURCHASED_CREDIT_INVOICED"}, key),
                ("POST", f"{control}/invoices", {"amount": "12", "usage": "7"}, {}),
                ("POST", f"{control}/invoices/latest/pay", {"amount": "2"} if number % 2 else {}, {}),
                ("POST", f"{control}/invoices/latest/pay", {}, {}),
                ("POST", f"{control}/invoices/latest/void", {}, {}),
                ("POST", f"{controls}/clock/advance", {"by": f"{draw.randrange(1, 20)}h"}, {}),
                ("PUT", f"{controls}/clock", {"clock": draw.choice(["offset:400d", "frozen:2027-12-01T00:00:00Z"])}, {}),
                ("POST", f"{controls}/faults", fault, {}),
                ("DELETE", f"{controls}/faults", None, {}) if number % 4 == 0 else ("PUT", wallet, {"description": "x"}, key),
                ("POST", f"{controls}/scenarios", {"text": SCENARIO} if number % 2 else {"name": "drained"}, {}),
                ("PUT", f"{controls}/webhooks", hooks, {}),
                ("POST", f"{controls}/webhooks/drain", None, {}) if number % 4 == 0 else ("PUT", wallet, {"name": "y"}, key),
                ("POST", f"{controls}/polar/customers", {"name": f"c{number}", "role": "member"}, {}),
                ("POST", f"{controls}/polar/customers/ada/wallets", {"currency": currency, "balance": 10**22}, {}),
                ("POST", f"{controls}/polar/customers/bob/tokens", {"expires_in": "3h"}, {}),
                ("POST", f"{controls}/polar/customers/{draw.choice(['ada', 'bob'])}/tokens/expire", None, {}),
                ("POST", f"{controls}/polar/wallets/ada.main/transactions", {"amount": -7}, {}),
                ("GET", "/v1/customer-portal/wallets/", None, {**key, "authorization": f"Bearer {draw.choice(tokens)}"}),
            ]
        )


def reads(session: str) -> Iterator[Sent]:
    """What shows a whole session."""
    key = {"x-api-key": "any", "x-mock-session": session}
    controls = CONTROLS.format(session)
    for cast in mock().casts.values():
        for persona in cast.personas():
            if persona.token:
                headers = {"authorization": f"Bearer {persona.token}", "x-mock-session": session}
                yield "GET", "/v1/customer-portal/wallets/", None, headers
            else:
                wallet = f"/v1/wallets/{persona.ids['wallet']}"
                yield "GET", f"{wallet}/balance/real-time?expand=credits_available_breakdown&from_cache=true", None, key
                yield "GET", f"{controls}/wallets/{persona.ids['wallet']}", None, {}
    yield "POST", "/v1/wallets/search", {"limit": 100}, key
    yield "POST", "/v1/wallets/transactions/search", {"limit": 100}, key
    for path in ("/clock", "/faults", "/scenarios", "/webhooks", "/webhooks/messages", "/polar/customers"):
        yield "GET", controls + path, None, {}


async def exchange(sent: Iterable[Sent], session: str) -> list[Seen]:
    """What comes back, but for the session's name."""
    transport = httpx.ASGITransport(mock().app)
    seen = []
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for method, path, body, headers in sent:
            got = await client.request(method, path, json=body, headers=headers)
            seen.append((got.status_code, got.headers.get("x-request-id"), got.content.replace(session.encode(), b"")))
    return seen


@dataclass(frozen=True)
class History:
    """What has happened to a session, and a wallet of its own; `told` are events that no request makes."""

    new: str
    events: Sequence[Event]
    told: Sequence[Event]

    @property
    def all(self) -> list[Event]:
        """All of it."""
        return [*self.events, *self.told]


def telling(world: World) -> Iterator[Event]:
    """A listener that takes some of a world's messages, and others not."""
    at = world.latest
    url = "http://127.0.0.1:9/hooks"
    yield WebhooksSet(
        at=at, settings=WebhookSettings(url=url, delay=timedelta(days=1, microseconds=1), types=("wallet.updated",))
    )
    for index, message in enumerate(world.outbox.pending[:8]):
        ok, status, problem = [(True, 204, None), (False, 500, None), (False, None, "no answer")][index % 3]
        for _ in range(9 if index == 1 else 1):
            at += timedelta(seconds=1)
            yield WebhookAttempted(at=at, message=message.number, moment=at, ok=ok, status=status, problem=problem)
        if index == 6:
            yield WebhookResent(at=at, message=message.number)
    yield WebhooksSet(at=at, settings=WebhookSettings(url=url, own_secret=True, duplicate=True, reorder=True))
    wallet = next(account.wallet for account in state_of(world).changed.values())
    yield WalletUpdated(at=at, wallet_id=wallet.id, name="told", metadata={"é": ""})
    empty = replace(wallet, id=f"wallet_{'0' * 26}", balance=Decimal(0), credit_balance=Decimal(0), created_at=at, updated_at=at)
    ada, main = polar_of(world).wallet("ada.main")
    yield WalletChanged(at=at, customer=ada.id, wallet_id=main.id, amount=HUGE)
    yield ScenarioStarted(at=at, scenario={"scenario": "huge", "steps": [{"after": "1h", "do": {"act": {"number": HUGE}}}]})
    yield WalletCreated(at=at, wallet=empty, initial_credits=True)


@cache
def history(seed: int) -> History:
    """200 random requests."""

    async def happen() -> History:
        session = f"history-{seed}"
        key = {"x-api-key": "any", "x-mock-session": session}
        body = {"currency": "eur", "customer_id": "cust_new", "initial_credits_to_load": 5, "topup_conversion_rate": "0.4"}
        ((_, _, answer),) = await exchange([("POST", "/v1/wallets", body, key)], session)
        new = json.loads(answer)["id"]
        seen = await exchange(islice(requests(random.Random(seed), session, new), 200), session)
        assert sum(status < 300 for status, _, _ in seen) > 100, "most requests succeed"
        events = await mock().worlds.events(session)
        return History(new, events, list(telling(fold(events))))

    return asyncio.run(happen())


def fold(events: Iterable[Event]) -> World:
    """The world that events make."""
    world: World = mock().worlds._new()
    world.apply(events)
    return world


def recalled(world: World) -> World:
    """A world by way of its memento."""
    again: World = mock().worlds._new()
    recall(memento(world, ORIGIN), again, ORIGIN)
    return again


NOT_KEPT: dict[type, set[str]] = {
    World: {"_agendas", "_due"},  # what is due is computed when somebody asks
    Account: {"rendered", "_places", "_packed", "_rows"},  # computed when somebody asks
    Schedule: {"_heap"},  # what was given up may still be in it, and never surfaces
}


UNORDERED = ("['_owners']", "['_times']")
"""Mappings that are only ever looked up in."""


def parts(value: Any) -> dict[str, Any] | None:
    """The attributes of an object by name; None if it is none of ours."""
    if not type(value).__module__.startswith("mock_server."):
        return None
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    names = {*slots, *getattr(value, "__dict__", ())} - NOT_KEPT.get(type(value), set())
    names |= {"transactions"} if isinstance(value, Account) else set()
    return {name: getattr(value, name) for name in sorted(names)}


def differences(one: Any, other: Any, place: str = "world") -> Iterator[str]:
    """Where two things differ, attribute by attribute down to plain values. What both share does not differ."""
    if one is other:
        return
    if isinstance(one, Notice) and isinstance(other, Notice):
        one, other = (one.type, one.body()), (other.type, other.body())
    if type(one) is not type(other):
        yield f"{place}: {one!r} is not {other!r}"
    elif isinstance(one, Mapping):
        if list(one) != list(other) and not (set(one) == set(other) and place.endswith(UNORDERED)):
            yield f"{place}: {list(one)} are not {list(other)}"
        for key in one.keys() & other.keys():
            yield from differences(one[key], other[key], f"{place}[{key!r}]")
    elif isinstance(one, (list, tuple, deque)):
        if len(one) != len(other):
            yield f"{place}: {len(one)} items are not {len(other)}"
        for index, (left, right) in enumerate(zip(one, other, strict=False)):
            yield from differences(left, right, f"{place}[{index}]")
    elif isinstance(one, Decimal):
        if one.as_tuple() != other.as_tuple():
            yield f"{place}: {one!r} is not {other!r}"
    elif (mine := parts(one)) is not None:
        theirs = parts(other)
        assert theirs is not None
        yield from differences(mine, theirs, place)
    elif one != other:
        yield f"{place}: {one!r} is not {other!r}"


SEEDS = (1, 2, 3, 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_recalled_world_is_the_folded_one(seed: int) -> None:
    """At any position a recalled world has every attribute of the folded one, and goes on as that does."""
    events = history(seed).all
    draw = random.Random(seed)
    for position in (0, *draw.sample(range(1, len(events)), 6), len(events)):
        folded = fold(events[:position])
        again = recalled(folded)
        assert not list(differences(folded, again))
        assert memento(again, ORIGIN) == memento(folded, ORIGIN)
        assert again.due == folded.due
        if folded.due.year < 9999:
            assert again.decide_due(mock().worlds.seed) == folded.decide_due(mock().worlds.seed)
        unread = recalled(folded)  # whose ledgers are still packed
        for world in (folded, again, unread):
            world.apply(events[position:])
        assert memento(unread, ORIGIN) == memento(folded, ORIGIN)
        assert not list(differences(folded, again))
        assert not list(differences(folded, unread))


def test_the_histories_touch_everything() -> None:
    """Every kind of event happens in one of them, and each part of a world changes: none is forgotten because it stays empty."""
    fixed = {"_opening", "_tenant_alerts", "opening", "tenant", "catalogue", "as_started"}
    untouched: set[str] | None = None
    for seed in SEEDS:
        same = set()
        for (name, one), (_, other) in zip(containers(fold(())), containers(fold(history(seed).all)), strict=True):
            mine, theirs = parts(one) or {}, parts(other) or {}
            same |= {f"{name}.{field}" for field in mine if not list(differences(mine[field], theirs[field]))}
        untouched = same if untouched is None else untouched & same

    assert untouched is not None
    kinds = {kind for kind in Event.kinds.values() if kind.__module__.startswith("mock_server.")}
    assert kinds == {type(event) for seed in SEEDS for event in history(seed).all}
    passing = {"bulletin._evaluated"}  # empty between events
    assert {place for place in untouched - passing if place.split(".")[1] not in fixed} == set()


def containers(world: World) -> Iterator[tuple[str, Any]]:
    """The objects that a world is made of, whatever has happened in it."""
    yield "world", world
    yield "outbox", world.outbox
    yield from world.states.items()
    flexprice: Any = world.states["flexprice"]
    yield "schedule", flexprice.schedule
    yield "bulletin", flexprice._bulletin


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_a_recalled_session_answers_the_same(seed: int) -> None:
    """Reads and writes after a recall have the answers that they have without: statuses, ids and bodies."""
    past = history(seed)

    async def go_on(session: str, *, recalling: bool) -> list[Seen]:
        worlds = mock().worlds
        world = await worlds.restore(session, past.events)
        if recalling:
            worlds._replicas[session].world = recalled(world)
        seen = await exchange(reads(session), session)
        seen += await exchange(islice(requests(random.Random(-seed), session, past.new), 80), session)
        return seen + await exchange(reads(session), session)

    folded = asyncio.run(go_on(f"folded-{seed}", recalling=False))
    again = asyncio.run(go_on(f"recalled-{seed}", recalling=True))

    assert again == folded
    assert sum(status == 200 for status, _, _ in folded) > 60


@cache
def checkpoint() -> bytes:
    """A checkpoint of a history."""
    return memento(fold(history(1).all), ORIGIN)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_is_seen(data: st.DataObject) -> None:
    """Whatever has become of a checkpoint's bytes, it is refused, and the world is as new."""
    good = checkpoint()
    place = data.draw(st.integers(0, len(good) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"]))
    bad = {
        "flip": good[:place] + bytes([good[place] ^ data.draw(st.integers(1, 255))]) + good[place + 1 :],
        "cut": good[:place],
        "insert": good[:place] + data.draw(st.binary(min_size=1, max_size=9)) + good[place:],
        "repeat": good + good[place:],
    }[kind]
    world: World = mock().worlds._new()

    with pytest.raises(Misfit):
        recall(bad, world, ORIGIN)
    assert not list(differences(world, mock().worlds._new()))


@pytest.mark.parametrize("plain", [[], {}, [1, 2], [None, {}], "text"], ids=str)
def test_what_only_looks_like_a_checkpoint(plain: Any) -> None:
    """Bytes of the right version and checksum that say something else are refused as well."""
    version = checkpoint().split(b"\n")[0]
    body = zlib.compress(pack(plain))
    world: World = mock().worlds._new()

    with pytest.raises(Misfit, match="cannot be read"):
        recall(b"\n".join([version, checkpoints._checksum(body), body]), world, ORIGIN)


def test_an_opening_that_is_another() -> None:
    """A checkpoint that speaks of what the opening does not have, though its origin is the same, is refused."""
    past = fold(history(1).all)
    state_of(past)._invoices.clear()

    with pytest.raises(Misfit, match="cannot be read: 'inv_"):
        recall(memento(past, ORIGIN), mock().worlds._new(), ORIGIN)


def test_what_else_a_checkpoint_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of another origin, of a server that tells others, or that serves less, is refused."""
    worlds = mock().worlds
    whole: World = worlds._new()
    with pytest.raises(Misfit, match="version or origin"):
        recall(checkpoint(), whole, "seed 2, and so on")
    told = World(whole.states, (), whole.clock, Outbox(WebhookSettings(url="http://127.0.0.1:9/")))
    with pytest.raises(Misfit, match="version or origin"):
        recall(checkpoint(), told, ORIGIN)
    less = World({"faults": whole.states["faults"]}, (), whole.clock, Outbox())
    with pytest.raises(Misfit, match="version or origin"):
        recall(checkpoint(), less, ORIGIN)

    checkpoints._digest.cache_clear()
    monkeypatch.setattr(checkpoints.metadata, "version", lambda name: "99.0")
    with pytest.raises(Misfit, match="version or origin"):
        recall(checkpoint(), whole, ORIGIN)
    checkpoints._digest.cache_clear()


def test_shapes_tell_types_apart() -> None:
    """Whatever changes how a dataclass is written changes its shape: names, order and types of fields, at any depth."""
    inner, other = make_dataclass("Inner", [("a", int)]), make_dataclass("Inner", [("a", str)])
    fields: list[list[tuple[str, Any]]] = [
        [("a", int), ("b", int)],
        [("b", int), ("a", int)],
        [("a", int), ("c", int)],
        [("a", int), ("b", int | None)],
        [("a", int), ("b", list[inner])],  # type: ignore[valid-type]
        [("a", int), ("b", list[other])],  # type: ignore[valid-type]
    ]
    shapes = {shape(make_dataclass("Outer", names)) for names in fields}

    assert len(shapes) == len(fields)


@dataclass(frozen=True)
class Plain:
    """A value of each kind."""

    decimal: Decimal
    time: datetime
    span: timedelta
    texts: dict[str, str]
    maybe: Decimal | None
    many: tuple[Decimal, ...]


@given(
    st.builds(
        Plain,
        decimal=st.decimals(allow_nan=False, allow_infinity=False),
        time=st.datetimes(timezones=st.just(UTC)),
        span=st.timedeltas(),
        texts=st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))
        ),
        maybe=st.none() | st.decimals(allow_nan=False, allow_infinity=False),
        many=st.lists(st.decimals(allow_nan=False, allow_infinity=False)).map(tuple),
    )
)
def test_values_are_exact(value: Plain) -> None:
    """Decimals keep their digits and exponents, times and spans their microseconds, texts their characters."""
    again = unpack(Plain, pack(value))

    assert again == value
    assert list(map(str, (again.decimal, again.maybe, *again.many))) == list(map(str, (value.decimal, value.maybe, *value.many)))
