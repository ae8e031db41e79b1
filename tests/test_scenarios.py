"""Scenarios: steps after so many calls or so much time, over HTTP."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from conftest import Mock, running

from contract_tests.source import InputError
from mock_server import assembly, event_codec
from mock_server.assembly import Settings, assemble
from mock_server.clock import ClockSetting
from mock_server.faults import actions as faults_actions
from mock_server.flexprice import actions as flexprice_actions
from mock_server.polar import actions as polar_actions
from mock_server.world import Refusal

ROOT = Path(__file__).parent.parent
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LIST = "customer_portal:wallets:list"
GET = "customer_portal:wallets:get"


class Stage:
    """A mock in this process whose clock stands at noon unless a test moves it, and one session of it."""

    def __init__(self, mock: assembly.Mock, runner: asyncio.Runner, session: str) -> None:
        self.mock = mock
        self.session = session
        self._runner = runner
        self.personas = {f"{name}/{p.name}": p for name, cast in mock.casts.items() for p in cast.personas()}

    def send(self, method: str, path: str, *, session: str = "", **more: Any) -> httpx.Response:
        """A request in the session, or in another one."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.mock.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                headers = {"x-mock-session": session or self.session, **more.pop("headers", {})}
                return await client.request(method, path, headers=headers, **more)

        return self._runner.run(send())

    def control(self, method: str, path: str = "", **more: Any) -> httpx.Response:
        """A request to the scenarios of the session."""
        return self.send(method, f"/_mock/sessions/{self.session}/scenarios{path}", **more)

    def start(self, text: str) -> Any:
        """Start a scenario that is written out."""
        return self.started({"text": text})

    def tell(self, name: str) -> Any:
        """Start one of the library."""
        return self.started({"name": name})

    def started(self, body: dict[str, str]) -> Any:
        """Start a scenario."""
        response = self.control("POST", json=body)
        assert response.status_code == 201, response.text
        return response.json()

    def runs(self) -> Any:
        """What runs, by name."""
        response = self.control("GET")
        assert response.status_code == 200, response.text
        return {run["name"]: run for run in response.json()["scenarios"]}

    def advance(self, **span: float) -> None:
        """Move the session's clock on."""
        self._runner.run(self.mock.worlds.advance(self.session, timedelta(**span)))

    def events(self) -> list[Any]:
        """All that has happened."""
        return list(self._runner.run(self.mock.worlds.events(self.session)))

    def restore(self, events: list[Any]) -> None:
        """Put the session where events bring it."""
        self._runner.run(self.mock.worlds.restore(self.session, events))

    def polar(self, persona: str = "ada.main", path: str = "", **more: Any) -> httpx.Response:
        """A call to Polar as a customer; about a wallet unless there is another path."""
        who = self.personas[f"polar/{persona}"]
        path = path or f"/v1/customer-portal/wallets/{who.ids['wallet']}"
        return self.send("GET", path, headers={"authorization": f"Bearer {who.token}"}, **more)

    def balance(self, persona: str = "ada.main", **more: Any) -> int:
        """What a wallet of Polar holds."""
        return int(self.polar(persona, **more).raise_for_status().json()["balance"])

    def wallet(self, persona: str) -> Any:
        """The real-time balance of a wallet of Flexprice."""
        wallet = self.personas[f"flexprice/{persona}"].ids["wallet"]
        response = self.send("GET", f"/v1/wallets/{wallet}/balance/real-time", headers={"x-api-key": "k"})
        return response.raise_for_status().json()

    def credits(self, persona: str) -> float:
        """Its real-time balance in credits."""
        return float(self.wallet(persona)["real_time_credit_balance"])


@dataclass(frozen=True)
class House:
    """What all stages share."""

    runner: asyncio.Runner
    mock: assembly.Mock


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """One mock for all stages; building it takes longest."""
    with asyncio.Runner() as runner:
        yield House(runner, assemble(Settings(population=10, clock=ClockSetting("frozen", NOON))))


@pytest.fixture
def stage(house: House, session: str) -> Stage:
    """A session of its own."""
    return Stage(house.mock, house.runner, session)


@pytest.fixture
def stages(house: House, session: str) -> Callable[..., Stage]:
    """Stages with settings of their own."""

    def build(**settings: Any) -> Stage:
        settings = {"population": 10, "clock": ClockSetting("frozen", NOON)} | settings
        return Stage(assemble(Settings(**settings)), house.runner, session)

    return build


def one_step(line: str = "", do: str = "set-wallet-balance: {wallet: ada.main, balance: 7}") -> str:
    """A scenario of one step."""
    return f"scenario: test\nsteps:\n  - {{{line}{', ' if line else ''}do: {{{do}}}}}\n"


def test_the_nth_call_is_still_answered_by_the_world_as_it_was(stage: Stage) -> None:
    """`after: 3 calls`: three calls see the old balance, the fourth the new one."""
    started = stage.start(one_step("after: 3 calls"))

    assert started["next"] == {
        "step": 1,
        "about": "",
        "after": "3 calls",
        "do": [{"set-wallet-balance": {"wallet": "ada.main", "balance": 7}}],
        "calls_counted": 0,
    }
    assert [stage.balance() for _ in range(2)] == [5000, 5000]
    assert stage.runs()["test"]["next"]["calls_counted"] == 2
    assert [stage.balance() for _ in range(2)] == [5000, 7]
    assert stage.runs()["test"] == {
        "name": "test",
        "about": "",
        "steps": 1,
        "done": True,
        "happened": [{"at": "2026-11-21T12:00:00.000000Z", "step": 1, "action": "set-wallet-balance"}],
    }


def test_a_step_without_a_wait_is_taken_at_once(stage: Stage) -> None:
    """No `after`, and none of anything: done before the next call is answered."""
    for wait in ("", "after: 0 calls", "after: 0s", 'after: "0 days"'):
        stage.start(one_step(wait))
        assert stage.balance() == 7, wait


def test_steps_count_from_the_step_before(stage: Stage) -> None:
    """Calls before a step do not count for the next one; several actions of one step are all done."""
    stage.start(
        """
scenario: test
steps:
  - after: 1 call
    do:
      - set-wallet-balance: {wallet: ada.main, balance: 1}
      - add-transaction: {wallet: ada.main, amount: 10}
  - after: 2 calls
    do:
      add-transaction: {wallet: ada.main, amount: 100}
"""
    )

    assert [stage.balance() for _ in range(4)] == [5000, 11, 11, 111]


@pytest.mark.parametrize(
    ("which", "counted"),
    [
        ("", {"get", "list", "other", "refused", "old", "flexprice"}),
        (f', of: "{GET}"', {"get", "other", "refused"}),
        (f', of: "{LIST}"', {"list", "old"}),
        (", wallet: ada.main", {"get", "refused"}),
        (f', of: "{GET}", wallet: ada.empty', {"other"}),
        (", of: getWalletBalance", {"flexprice"}),
    ],
)
def test_which_calls_count(stage: Stage, which: str, counted: set[str]) -> None:
    """Calls of any provider, of one operation, or about one wallet; refused ones too, but nothing that is no call."""
    stage.start(one_step(f"after: 50 calls{which}"))
    wallet = stage.personas["polar/ada.main"].ids["wallet"]
    calls: dict[str, Callable[[], object]] = {
        "get": stage.balance,
        "list": lambda: stage.polar(path="/v1/customer-portal/wallets/"),
        "other": lambda: stage.balance("ada.empty"),
        "refused": lambda: stage.send("GET", f"/v1/customer-portal/wallets/{wallet}"),
        "old": lambda: stage.send("GET", "/api/v1/customer-portal/wallets/", headers={"authorization": "Bearer polar_cst_gone"}),
        "redirect": lambda: stage.polar(path="/v1/customer-portal/wallets"),
        "flexprice": lambda: stage.wallet("low"),
        "control": lambda: stage.send("GET", "/_mock/personas"),
        "preflight": lambda: stage.send(
            "OPTIONS",
            f"/v1/customer-portal/wallets/{wallet}",
            headers={"origin": "http://localhost:3000", "access-control-request-method": "GET"},
        ),
        "unrouted": lambda: stage.polar(path="/v1/customer-portal/nothing"),
        "elsewhere": lambda: stage.balance(session="elsewhere"),
    }
    seen = set()
    for name, call in calls.items():
        before = stage.runs()["test"]["next"]["calls_counted"]
        call()
        if stage.runs()["test"]["next"]["calls_counted"] != before:
            seen.add(name)

    assert seen == counted


def test_only_calls_of_its_provider_count(stage: Stage) -> None:
    """`provider: flexprice` leaves Polar's calls uncounted."""
    stage.start("provider: flexprice\n" + one_step("after: 2 calls"))
    assert [stage.balance() for _ in range(3)] == [5000] * 3
    stage.wallet("low")
    stage.wallet("low")
    assert stage.balance() == 7


def test_a_call_with_no_session_s_name_counts_nowhere(stage: Stage) -> None:
    """A misspelled session is refused; it does not count for the default one."""
    default = Stage(stage.mock, stage._runner, "default")
    default.start(one_step("after: 5 calls"))
    try:
        assert default.polar(session="-").status_code == 422
        assert default.runs()["test"]["next"]["calls_counted"] == 0
    finally:
        assert default.control("DELETE").status_code == 204


def test_times_are_those_of_the_session_s_clock(stage: Stage) -> None:
    """`after: 2 hours` comes when the clock does, at its own time and not at the time of whoever looks."""
    started = stage.start(
        """
scenario: test
steps:
  - {after: 2 hours, do: {set-wallet-balance: {wallet: ada.main, balance: 1}}}
  - {after: 30m, do: {set-wallet-balance: {wallet: ada.main, balance: 2}}}
  - {after: 1 call, do: {set-wallet-balance: {wallet: ada.main, balance: 3}}}
  - {after: 1 day, do: {set-wallet-balance: {wallet: ada.main, balance: 4}}}
"""
    )
    assert started["next"]["due"] == "2026-11-21T14:00:00.000000Z"
    stage.advance(hours=1, minutes=59, seconds=59)
    assert stage.balance() == 5000
    stage.advance(seconds=1)
    assert stage.balance() == 1
    stage.advance(days=30)
    assert [stage.balance(), stage.balance()] == [2, 3]
    assert [entry["at"] for entry in stage.runs()["test"]["happened"]] == [
        "2026-11-21T14:00:00.000000Z",
        "2026-11-21T14:30:00.000000Z",
        "2026-12-21T14:00:00.000000Z",
    ]
    stage.advance(days=1)
    assert stage.balance() == 4


def test_a_time_beyond_the_calendar_never_comes(stage: Stage) -> None:
    """The longest span is taken, and nothing breaks when the clock goes to its end."""
    stage.start(one_step('after: "999999999 days"'))
    stage.advance(days=365 * 7900)
    assert stage.balance() == 5000


def test_repeat_begins_anew(stage: Stage) -> None:
    """After the last step the first one waits again; the list shows the last 100 actions only."""
    stage.start("repeat: true\n" + one_step("after: 1 call", "add-transaction: {wallet: ada.main, amount: 1}"))

    assert [stage.balance() for _ in range(120)] == list(range(5000, 5120))
    run = stage.runs()["test"]
    assert (run["done"], run["next"]["step"], len(run["happened"])) == (False, 1, 100)


def test_repeat_by_time(stage: Stage) -> None:
    """A minute for a round is the least, and each round comes at its time."""
    stage.start("repeat: true\n" + one_step("after: 1m", "add-transaction: {wallet: ada.main, amount: 1}"))
    stage.advance(minutes=90, seconds=59)
    assert stage.balance() == 5090


def test_several_scenarios_at_once(stage: Stage) -> None:
    """Each counts for itself; of what is due at the same time the scenario started first comes first."""
    text = "scenario: {}\nsteps: [{{after: 2 calls, do: {{set-wallet-balance: {{wallet: ada.main, balance: {}}}}}}}]"
    for name, balance in (("zebra", 1), ("ant", 2)):
        stage.start(text.format(name, balance))

    assert [stage.balance() for _ in range(3)] == [5000, 5000, 2]
    assert list(stage.runs()) == ["zebra", "ant"]
    message = stage.control("POST", json={"text": text.format("third", 3)}).json()["next"]["step"]
    assert message == 1
    refused = stage.control("POST", json={"text": text.format("third", 3)})
    assert (refused.status_code, refused.json()["error"]) == (409, "refused")
    stage.start(text.format("zebra", 9))  # what is done may be started again
    assert list(stage.runs()) == ["ant", "third", "zebra"]


def test_a_session_has_at_most_twenty(stage: Stage) -> None:
    """The twenty-first is refused, until one is stopped."""
    for number in range(20):
        stage.start(f"scenario: s{number}\nsteps: [{{do: {{clear-faults: }}}}]")
    one_more = {"text": "scenario: more\nsteps: [{do: {clear-faults: }}]"}
    assert stage.control("POST", json=one_more).status_code == 409
    assert stage.control("DELETE", "/s3").status_code == 204
    assert stage.control("POST", json=one_more).status_code == 201


def test_stopping(stage: Stage) -> None:
    """What is stopped is forgotten, and what it has done stays; what does not run cannot be stopped."""
    stage.start(one_step("after: 1 call") + "  - {after: 1 call, do: {set-wallet-balance: {wallet: ada.main, balance: 8}}}\n")
    stage.balance()
    assert stage.control("DELETE", "/other").status_code == 404
    assert stage.control("DELETE", "/test").status_code == 204
    assert stage.control("DELETE", "/test").status_code == 404
    assert [stage.balance(), stage.balance()] == [7, 7]
    assert stage.runs() == {}
    stage.start(one_step("after: 1 call"))
    assert stage.control("DELETE").status_code == 204
    assert stage.control("DELETE").status_code == 204
    assert stage.runs() == {}


def test_what_the_world_refuses_is_listed(stage: Stage) -> None:
    """A refused action does not stop the scenario: the list says what the matter was, and the rest is done."""
    run = stage.start(
        """
scenario: test
steps:
  - do:
      - add-transaction: {wallet: ada.nothing, amount: 1}
      - add-transaction: {wallet: ada.main, amount: 1}
"""
    )

    refused, done = run["happened"]
    assert "ada.nothing" in refused["problem"]
    assert "problem" not in done
    assert run["done"] is True
    assert stage.balance() == 5001


def test_sessions_have_scenarios_of_their_own(stage: Stage) -> None:
    """A scenario in one session is neither seen nor felt in another, and reset ends it."""
    stage.start(one_step())
    other = Stage(stage.mock, stage._runner, f"{stage.session}-other")
    assert (other.runs(), other.balance()) == ({}, 5000)
    assert stage.balance() == 7
    assert stage.send("POST", f"/_mock/sessions/{stage.session}/reset").status_code == 204
    assert (stage.runs(), stage.balance()) == ({}, 5000)


def test_a_log_replays_without_the_file(stage: Stage) -> None:
    """All of a scenario is in the log, as plain JSON: elsewhere it goes on where it was."""
    stage.start(
        "repeat: true\n" + one_step("after: 2 calls", "add-transaction: {wallet: ada.main, amount: 1.0}".replace(".0", ""))
    )
    assert [stage.balance() for _ in range(3)] == [5000, 5000, 5001]
    written = json.loads(json.dumps([event_codec.to_json(event) for event in stage.events()]))
    other = Stage(stage.mock, stage._runner, f"{stage.session}-replayed")
    other.restore([event_codec.from_json(event) for event in written])

    assert other.runs() == stage.runs()
    assert [other.balance() for _ in range(2)] == [5001, 5002]
    assert [stage.balance() for _ in range(2)] == [5001, 5002]
    assert [event_codec.to_json(event) for event in other.events()] == [event_codec.to_json(event) for event in stage.events()]


def test_a_log_from_a_server_with_other_actions(stage: Stage, stages: Callable[..., Stage]) -> None:
    """What a server does not know is a problem of the step; logs that tell of impossible things are refused."""
    stage.start(one_step("after: 1h"))
    told = event_codec.to_json(stage.events()[0])
    alone = stages(providers=("flexprice",))
    alone.restore([event_codec.from_json(told)])
    alone.advance(hours=1)
    assert "no action 'set-wallet-balance'" in alone.runs()["test"]["happened"][0]["problem"]
    told["scenario"]["steps"][0]["do"][0]["set-wallet-balance"] = {"wallet": "ada.main"}
    stage.restore([event_codec.from_json(told)])
    stage.advance(hours=1)
    assert "no such 'set-wallet-balance'" in stage.runs()["test"]["happened"][0]["problem"]

    at = told["at"]
    taken = {"kind": "StepTaken", "at": at, "scenario": "test", "step": 1, "action": "x"}
    for events in (
        [{**told, "scenario": {"scenario": "x", "steps": []}}],
        [{**told, "scenario": {**told["scenario"], "repeat": True, "steps": [{"do": [{"x": {}}]}]}}],
        [taken],
        [told, taken, taken],
        [{"kind": "ScenarioStopped", "at": at, "scenario": "test"}],
        [{"kind": "CallCounted", "at": at, "scenarios": ["test"], "operation": "x"}],
    ):
        with pytest.raises(Refusal):
            stage.restore([event_codec.from_json(event) for event in events])


def test_the_same_calls_make_the_same_ids(stages: Callable[..., Stage]) -> None:
    """Two servers tell a scenario alike, down to ids and times."""
    logs = []
    for _ in range(2):
        stage = stages()
        stage.tell("drained")
        stage.tell("wallet-appears")
        for _ in range(6):
            stage.wallet("healthy")
            stage.polar("newcomer", path="/v1/customer-portal/wallets/")
        logs.append([event_codec.to_json(event) for event in stage.events()])

    assert logs[0] == logs[1]
    assert len(logs[0]) > 10


def test_a_full_session_still_answers(stages: Callable[..., Stage]) -> None:
    """Once a session has all the events it may have, calls are no longer counted, and are answered all the same."""
    stage = stages(max_events=3)
    stage.start(one_step("after: 5 calls"))
    assert [stage.balance() for _ in range(7)] == [5000] * 7
    assert stage.runs()["test"]["next"]["calls_counted"] == 2


# What every session begins with.


def test_every_session_begins_with_what_the_server_was_started_with(stages: Callable[..., Stage], tmp_path: Path) -> None:
    """Sessions count for themselves, times count from a session's beginning, and reset begins anew."""
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        one_step("after: 2 calls") + "  - {after: 1 hour, do: {set-wallet-balance: {wallet: ada.main, balance: 8}}}\n"
    )
    first = stages(scenarios=(str(mine), "closed-elsewhere"))
    second = Stage(first.mock, first._runner, "second")
    assert [first.balance() for _ in range(3)] == [5000, 5000, 7]
    assert [second.balance() for _ in range(2)] == [5000, 5000]
    second.advance(hours=1)
    assert (first.balance(), second.balance()) == (7, 8)
    assert list(first.runs()) == ["test", "closed-elsewhere"]
    first.send("POST", f"/_mock/sessions/{first.session}/reset")
    assert [first.balance() for _ in range(3)] == [5000, 5000, 7]
    first.control("DELETE")
    first.advance(days=1)
    assert (first.runs(), first.balance()) == ({}, 7)


class Ticking:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        """The time, in UTC."""
        return self.time


def test_times_count_from_the_session_s_own_beginning(house: House, tmp_path: Path) -> None:
    """A session that begins days after the server does not find everything done already."""
    mine = tmp_path / "mine.yaml"
    mine.write_text(one_step("after: 1 hour"))
    clock = Ticking()
    stage = Stage(assemble(Settings(population=10, scenarios=(str(mine),)), clock), house.runner, "late")
    clock.time += timedelta(days=3)
    assert stage.balance() == 5000
    assert stage.runs()["test"]["next"]["due"] == "2026-11-24T13:00:00.000000Z"
    clock.time += timedelta(hours=1)
    assert stage.balance() == 7


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("draind",), "unknown scenario 'draind'; there are auto-topup-arrives, "),
        (("missing.yaml",), "missing.yaml: cannot be read: No such file or directory"),
        (("a/" + "b" * 300,), "cannot be read"),
        (("{mine}", "{other}"), "there is another one called test"),
        (("{broken}",), "broken.yaml:3: /steps/0/do/debitt: unknown action 'debitt'; did you mean debit?"),
    ],
)
def test_scenarios_that_cannot_be_started(tmp_path: Path, names: tuple[str, ...], problem: str) -> None:
    """A server does not start with a scenario that is none, and says why with file and line."""
    files = {name: tmp_path / f"{name}.yaml" for name in ("mine", "other", "broken")}
    files["mine"].write_text(one_step())
    files["other"].write_text(one_step("after: 1 call"))
    files["broken"].write_text("scenario: broken\nsteps:\n  - do: {debitt: {wallet: low, credits: 1}}\n")
    settings = Settings(population=10, scenarios=tuple(name.format(**files) for name in names))

    with pytest.raises(InputError, match=re.escape(problem)):
        assemble(settings)


def test_the_option(tmp_path: Path) -> None:
    """`walletproof serve --scenario` takes names and files."""
    mine = tmp_path / "mine.yaml"
    mine.write_text(one_step())
    with running("--scenario", "drained", "--scenario", str(mine)) as mock:
        found = httpx.get(f"{mock.url}/_mock/sessions/any/scenarios").json()["scenarios"]
        assert [run["name"] for run in found] == ["drained", "test"]
        assert [run["done"] for run in found] == [False, True]


# Mistakes.

STEP = "scenario: x\nsteps:\n  - "
MISTAKES = {
    "": "text:1: /: expected a scenario",
    "- a\n": "text:1: /: expected a scenario",
    "a: [\n": "text:2: this is not YAML",
    "x: !!python/object:os.system {}\n": "text:1: /x: YAML tag",
    "scenario: x\n": "text:1: /steps: field required",
    "scenario: ../x\nsteps: [{do: {clear-faults: }}]": "text:1: /scenario: ",
    "scenario: x\nsteps: []\n": "text:2: /steps: ",
    "scenario: x\nscenario: y\n": "text:2: /scenario: duplicate key 'scenario'",
    "scenario: x\nsteps: 7\n": "text:2: /steps: ",
    f"{STEP}7\n": "text:3: /steps/0: ",
    f"{STEP}do: []\n": "text:3: /steps/0/do: expected a list of actions such as `- debit:",
    f"{STEP}do: [{{a: , b: }}]\n": "text:3: /steps/0/do: expected a list of actions",
    f"{STEP}does: {{clear-faults: }}\n": "text:3: /steps/0/does: unknown field 'does'; known here: about, after, do, of, wallet",
    f"{STEP}after: -2 hours\n    do: {{clear-faults: }}\n": "text:3: /steps/0/after: expected calls such as `3 calls`, or a time",
    f"{STEP}after: 3\n    do: {{clear-faults: }}\n": "text:3: /steps/0/after: expected calls such as `3 calls`, or a time",
    f"{STEP}after: .nan\n    do: {{clear-faults: }}\n": "text:3: /steps/0/after: expected calls such as `3 calls`, or a time",
    f"{STEP}after: 9999999 calls\n    do: {{clear-faults: }}\n": "text:3: /steps/0/after: expected calls",
    f"{STEP}after: 999999999999 weeks\n    do: {{clear-faults: }}\n": "text:3: /steps/0/after: expected calls",
    f"{STEP}of: getWallet\n    do: {{clear-faults: }}\n": "text:3: /steps/0: `of` and `wallet` say which calls count",
    f"{STEP}after: 1 call\n    of: getWalet\n    do: {{clear-faults: }}\n": (
        "text:4: /steps/0/of: unknown operation 'getWalet'; did you mean getWallet"
    ),
    f"{STEP}after: 1 call\n    wallet: lwo\n    do: {{clear-faults: }}\n": (
        "text:4: /steps/0/wallet: unknown wallet 'lwo'; did you mean low?"
    ),
    "provider: polr\nscenario: x\nsteps: [{do: {clear-faults: }}]": (
        "text:1: /provider: unknown provider 'polr'; did you mean polar?"
    ),
    "scenario: x\nsteps: [{do: {clear-faults: }}]\nrepeat: true\n": (
        "text:3: /repeat: what repeats must wait for calls, or take a minute"
    ),
    "scenario: x\nsteps:\n- do:\n  - clear-faults:\n  - debitt: {}\n": (
        "text:5: /steps/0/do/1/debitt: unknown action 'debitt'; did you mean debit?"
    ),
    f"{STEP}do: {{debit: {{wallet: low, kredits: 4}}}}\n": (
        "text:3: /steps/0/do/debit/kredits: unknown field 'kredits'; known here: credits, description, wallet"
    ),
    f"{STEP}do:\n      debit:\n        wallet: low\n        credits: .nan\n": "text:6: /steps/0/do/debit/credits: ",
    f"{STEP}do: {{debit: {{wallet: low, credits: -1}}}}\n": "text:3: /steps/0/do/debit/credits: ",
    f"{STEP}do: {{debit: {{wallet: low, credits: 1e999999999}}}}\n": "text:3: /steps/0/do/debit/credits: ",
    f"{STEP}do: {{debit: {{wallet: low, credits: {'9' * 5000}}}}}\n": "text:3: /steps/0/do/debit/credits: a number of more than",
    f"{STEP}do: {{debit: 7}}\n": "text:3: /steps/0/do/debit: ",
    f"{STEP}do: {{debit: }}\n": "text:3: /steps/0/do/debit: action 'debit' needs wallet, credits",
    f"{STEP}do: {{set-fault: {{fault: delay, delay: {{unifor: [1s, 2s]}}}}}}\n": (
        "text:3: /steps/0/do/set-fault/delay/unifor: unknown field 'unifor'; known here: uniform"
    ),
    f"{STEP}do: {{set-fault: {{fault: delay, delay: {{uniform: [1s]}}}}}}\n": "text:3: /steps/0/do/set-fault/delay/uniform: ",
    "scenario: x\nsteps: &a [*a]\n": "text: too large or too deeply nested",
    "[" * 300: "text: this is not YAML: nested more than 200 deep",
    "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
    "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n"
    "e: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n": "text: too large or too deeply nested",
    "scenario: x\nsteps:\n" + "- do: {clear-faults: }\n" * 1001: "text:2: /steps: ",
    "\x00": "text: this is not YAML",
    'x: "\\ud800"': "text:1: this is not YAML",
    "#" * (1 << 20) + "\n": "text: a scenario has at most 1 MiB",
    "#" * 10_000_000: "text: a scenario has at most 1 MiB",
}


@pytest.mark.parametrize(("text", "problem"), MISTAKES.items(), ids=range(len(MISTAKES)))
def test_mistakes_are_shown_by_line(stage: Stage, text: str, problem: str) -> None:
    """A text that is no scenario is refused: the error says where, what came and what was expected; nothing happens."""
    response = stage.control("POST", json={"text": text})
    assert (response.status_code, response.json()["error"]) == (409, "refused"), response.text
    message = response.json()["message"]
    assert message.startswith(problem), message
    assert len(message) < 1_000
    assert stage.events() == []


def test_bodies_that_are_none(stage: Stage) -> None:
    """Neither or both of name and text, other fields, and what cannot be read: 400; unknown names: 404; too much: 413."""
    for body in ({}, {"name": "drained", "text": "x"}, {"file": "x"}, {"name": 7}, [], {"text": None}):
        assert stage.control("POST", json=body).status_code == 400, body
    json_header = {"content-type": "application/json"}
    for content in (b'{"text": "\\ud800"}', b"{", b'{"text": NaN}', b"\xff"):
        assert stage.control("POST", content=content, headers=json_header).status_code == 400, content
    for name in ("none", "../flexprice", "/etc/passwd", "drained.yaml", ""):
        response = stage.control("POST", json={"name": name})
        assert (response.status_code, response.json()["error"]) == (404, "not_found"), name
        assert "drained" in response.json()["message"]
    assert stage.control("POST", json={"text": "x" * (17 << 20)}).status_code == 413
    assert stage.events() == []


def test_numbers_are_kept_exactly(stage: Stage) -> None:
    """Fractions and numbers beyond 64 bits are listed and done as they are written."""
    big, exact = 18446744073709551617, "12345678901.123456789"
    run = stage.start(one_step("after: 1 call", f"set-wallet-balance: {{wallet: ada.main, balance: {big}}}"))
    assert run["next"]["do"] == [{"set-wallet-balance": {"wallet": "ada.main", "balance": str(big)}}]
    stage.start(f"scenario: cents\nsteps: [{{do: {{set-balance: {{wallet: low, credits: {exact}}}}}}}]")

    assert [stage.balance(), stage.balance()] == [5000, big]
    assert stage.wallet("low")["credit_balance"] == exact


# The library.

LIBRARY = sorted(path.stem for path in (ROOT / "fixtures" / "scenarios").glob("*.yaml"))


def test_the_library_is_listed(stage: Stage) -> None:
    """Every file is there under its name, says what it is about, and starts; none finds anything refused."""
    found = stage.send("GET", "/_mock/scenarios").json()["scenarios"]

    assert [scenario["name"] for scenario in found] == LIBRARY
    assert len(LIBRARY) >= 8
    for scenario in found:
        assert re.fullmatch(r"[A-Z].{20,140}", scenario["about"]), scenario
        assert stage.started({"name": scenario["name"]})["name"] == scenario["name"]
    stage.advance(days=60)
    assert [entry for run in stage.runs().values() for entry in run["happened"] if "problem" in entry] == []


def test_a_server_without_a_provider_leaves_its_scenarios_out(stages: Callable[..., Stage]) -> None:
    """What speaks of Polar is not there on a server of Flexprice, and asking for it says why."""
    stage = stages(providers=("flexprice",))
    names = [scenario["name"] for scenario in stage.send("GET", "/_mock/scenarios").json()["scenarios"]]
    assert set(LIBRARY) - set(names) == {"token-expires", "wallet-appears"}
    response = stage.control("POST", json={"name": "token-expires"})
    assert response.status_code == 404
    assert "unknown provider 'polar'" in response.json()["message"]


def test_drained(stage: Stage) -> None:
    """Each look at the balance finds less, and the alert state follows."""
    stage.tell("drained")
    seen = []
    for _ in range(6):
        body = stage.wallet("healthy")
        seen.append((float(body["real_time_credit_balance"]), body["alert_state"]))

    assert seen == [
        (538.5, "ok"),
        (538.5, "ok"),
        (150, "info"),
        (40, "warning"),
        (0, "in_alarm"),
        (-25, "in_alarm"),
    ]


def test_running_dry(stage: Stage) -> None:
    """The balance falls by ten dollars an hour, and credits arrive after four days."""
    stage.tell("running-dry")
    assert stage.credits("busy") == 938.5
    stage.advance(hours=36)
    assert stage.credits("busy") == 578.5
    stage.advance(days=2, hours=11)
    assert stage.credits("busy") == -11.5
    stage.advance(hours=1)
    assert stage.credits("busy") == 478.5
    stage.advance(days=5)
    assert stage.credits("busy") == 478.5


def test_auto_topup_arrives(stage: Stage) -> None:
    """42 credits become 52 by themselves; without the automatic top-up they do not."""
    stage.tell("auto-topup-arrives")

    assert [stage.credits("auto-topup") for _ in range(5)] == [60, 60, 52, 52, 22]
    assert stage.wallet("auto-topup")["credit_balance"] == "22"


def test_frozen_mid_session(stage: Stage) -> None:
    """Frozen after two calls about the wallet, active again after three more."""
    stage.tell("frozen-mid-session")

    statuses = [stage.wallet("healthy")["wallet_status"] for _ in range(6)]
    assert statuses == ["active", "active", "frozen", "frozen", "frozen", "active"]


def test_closed_elsewhere(stage: Stage) -> None:
    """Closed after two calls; its customer's list no longer has it, and it cannot be closed again."""
    stage.tell("closed-elsewhere")
    ids = stage.personas["flexprice/healthy"].ids
    key = {"x-api-key": "k"}

    def listed() -> bool:
        response = stage.send("GET", f"/v1/customers/{ids['customer']}/wallets", headers=key)
        return ids["wallet"] in {wallet["id"] for wallet in response.raise_for_status().json()}

    assert listed()
    assert [stage.wallet("healthy")["wallet_status"] for _ in range(3)] == ["active", "active", "closed"]
    assert not listed()
    response = stage.send("POST", f"/v1/wallets/{ids['wallet']}/terminate", headers=key)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_operation")


def test_credits_expire(stage: Stage) -> None:
    """The free credits arrive at once, some are used, and what is left is swept six hours after they expired."""
    stage.tell("credits-expire")

    def stored() -> float:
        return float(stage.wallet("low")["credit_balance"])

    assert stored() == 25.25
    stage.advance(hours=71)
    assert stored() == 20.25
    stage.advance(hours=6, minutes=59)
    assert stored() == 20.25
    stage.advance(minutes=16)
    assert stored() == 5.25


def test_invoice_overdue_then_paid(stage: Stage) -> None:
    """Unpaid usage lowers the real-time balance, less so once a part is paid, and no longer when all is."""
    stage.tell("invoice-overdue-then-paid")
    seen = []
    for days in (0, 0, 14, 14):
        stage.advance(days=days)
        body = stage.wallet("busy")
        seen.append((float(body["unpaid_invoices_amount"]), float(body["real_time_credit_balance"])))

    assert seen == [(0, 938.5), (120, 818.5), (120, 868.5), (0, 938.5)]


def test_flaky_network(mock: Mock, flexprice: httpx.Client, session: str, wallet_ids: dict[str, str]) -> None:
    """Over a real socket: two good answers, two errors, two slow ones, two lost connections, and again from the beginning."""
    control = f"{mock.url}/_mock/sessions/{session}/scenarios"
    httpx.post(control, json={"name": "flaky-network"}).raise_for_status()
    seen = []
    for _ in range(11):
        try:
            response = flexprice.get(f"/wallets/{wallet_ids['low']}")
        except httpx.TransportError:
            seen.append("lost")
        else:
            seen.append("slow" if response.elapsed > timedelta(seconds=0.29) else str(response.status_code))

    assert seen == ["200", "200", "503", "503", "slow", "slow", "lost", "lost", "200", "200", "503"]


def test_outage_and_recovery(mock: Mock, flexprice: httpx.Client, session: str, wallet_ids: dict[str, str]) -> None:
    """503 with Retry-After for five calls, then slow for two, then as before."""
    control = f"{mock.url}/_mock/sessions/{session}/scenarios"
    httpx.post(control, json={"name": "outage-and-recovery"}).raise_for_status()
    responses = [flexprice.get(f"/wallets/{wallet_ids['low']}") for _ in range(11)]

    assert [response.status_code for response in responses] == [200] * 3 + [503] * 5 + [200] * 3
    assert {response.headers.get("retry-after") for response in responses[3:8]} == {"2"}
    assert min(response.elapsed for response in responses[8:10]) > timedelta(seconds=0.24)
    assert httpx.get(control).json()["scenarios"][0]["done"] is True


def test_rate_limited(stage: Stage) -> None:
    """429 with Retry-After until a minute has passed on the session's clock."""
    stage.tell("rate-limited")
    assert [stage.polar().status_code for _ in range(7)] == [200] * 5 + [429] * 2
    assert stage.polar().headers["retry-after"] == "60"
    stage.advance(seconds=59)
    assert stage.polar().status_code == 429
    stage.advance(seconds=1)
    assert stage.polar().status_code == 200


def test_token_expires(stage: Stage) -> None:
    """401 after three calls; a new token is there after one more, and the old one stays refused."""
    stage.tell("token-expires")
    assert [stage.polar().status_code for _ in range(5)] == [200, 200, 200, 401, 401]
    customers = stage.send("GET", f"/_mock/sessions/{stage.session}/polar/customers").json()["customers"]
    ada = next(customer for customer in customers if customer["name"] == "ada")
    answers = set()
    for token in ada["tokens"]:
        headers = {"authorization": f"Bearer {token['token']}"}
        answers.add(stage.send("GET", "/v1/customer-portal/wallets/", headers=headers).status_code)
    assert answers == {200, 401}


def test_wallet_appears(stage: Stage) -> None:
    """An empty list, then a wallet, then money in it."""
    stage.tell("wallet-appears")
    pages = [stage.polar("newcomer", path="/v1/customer-portal/wallets/").json() for _ in range(3)]

    assert [[wallet["balance"] for wallet in page["items"]] for page in pages] == [[], [0], [2500]]


# The page.


def test_the_page_names_every_action_and_field() -> None:
    """docs/scenarios.md lists all actions with all their fields, the ones that are needed first, and all of the library."""
    page = (ROOT / "docs" / "scenarios.md").read_text("utf-8")
    actions = {**flexprice_actions.ACTIONS, **polar_actions.ACTIONS, **faults_actions.ACTIONS}
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| ([^|]*) \|", page, re.MULTILINE))
    for name, action in actions.items():
        fields = action.model_fields.items()
        needed = [f"**{field}**" for field, about in fields if about.is_required()]
        optional = [field for field, about in fields if not about.is_required()]
        assert listed.pop(name, None) == ", ".join(needed + optional), name
    assert sorted(listed) == LIBRARY


def test_the_page_s_example_is_a_scenario(stage: Stage) -> None:
    """What the page shows can be pasted."""
    page = (ROOT / "docs" / "scenarios.md").read_text("utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        name = yaml.safe_load(example)["scenario"]
        assert stage.start(example)["name"] == name
