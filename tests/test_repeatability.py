"""Same seed, same requests, same bytes: across processes, hash seeds, and by way of a file on another machine."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Mock, running

from contract_tests.mock_client import ControlError, MockClient

NOON = "frozen:2026-11-21T12:00:00Z"
Sent = tuple[str, str, Any, dict[str, str]]
Seen = tuple[int, list[tuple[str, str]], bytes]


def requests(seed: int, count: int, personas: dict[str, Any]) -> Iterator[Sent]:
    """Requests of every kind, drawn from a seed: reads, writes, mistakes, faults, and clocks that are moved."""
    draw = random.Random(seed)
    wallets = [p["ids"]["wallet"] for p in personas.values() if p["provider"] == "flexprice"]
    tokens = [p["token"] for p in personas.values() if p["provider"] == "polar"]
    for number in range(count):
        session = f"s{draw.randrange(4)}"
        wallet = draw.choice(wallets)
        key = {"x-api-key": "any", "x-mock-session": session}
        bearer = {"authorization": f"Bearer {draw.choice(tokens)}", "x-mock-session": session}
        control = f"/_mock/sessions/{session}"
        credits = draw.randrange(1, 50)
        reason = draw.choice(["FREE_CREDIT_GRANT", "PURCHASED_CREDIT_DIRECT", "PURCHASED_CREDIT_INVOICED", "WALLET_TERMINATION"])
        topup = {"credits_to_add": credits, "transaction_reason": reason, "idempotency_key": f"k{draw.randrange(900)}"}
        kinds: list[tuple[int, Sent]] = [
            (20, ("GET", f"/v1/wallets/{wallet}/balance/real-time?expand=credits_available_breakdown", None, key)),
            (6, ("GET", f"/v1/wallets/{wallet}/transactions?limit=5", None, key)),
            (12, ("POST", f"/v1/wallets/{wallet}/top-up", topup, key)),
            (3, ("POST", "/v1/wallets", {"currency": "usd", "customer_id": f"cust_{number}", "initial_credits_to_load": 5}, key)),
            (2, ("PUT", f"/v1/wallets/{wallet}", {"metadata": {"n": str(number)}}, key)),
            (1, ("POST", f"/v1/wallets/{wallet}/terminate", None, key)),
            (3, ("POST", "/v1/wallets/search", {"limit": 3}, key)),
            (3, ("POST", "/v1/wallets/transactions/search", {"limit": 3}, key)),
            (6, ("GET", "/v1/customer-portal/wallets/?limit=3", None, bearer)),
            (3, ("GET", f"/v1/wallets/{wallet}", None, {**key, "x-api-key": draw.choice(["any", "invalid"])})),
            (2, ("GET", "/v1/wallet", None, key)),
            (2, ("POST", f"{control}/clock/advance", {"by": f"{draw.randrange(1, 40)}h"}, {})),
            (1, ("POST", f"{control}/faults", {"fault": "error", "code": 500, "probability": 0.3, "times": 5}, {})),
            (1, ("PATCH", f"{control}/wallets/{wallet}", {"usage_rate": {"amount": "0.5", "per": "hour"}}, {})),
            (1, ("POST", f"{control}/undo", {"events": 1}, {})),
        ]
        yield draw.choices([sent for _, sent in kinds], [weight for weight, _ in kinds])[0]


def exchange(client: httpx.Client, sent: Sent) -> Seen:
    """One request, and everything that came back."""
    method, path, body, headers = sent
    got = client.request(method, path, json=body, headers=headers)
    return got.status_code, sorted(got.headers.multi_items()), got.content


def test_a_thousand_requests_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers whose hashes differ answer 1,000 random requests with the same statuses, headers and bodies."""
    servers: list[Mock] = []
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    with running("--seed", "11", "--clock", NOON) as first:
        monkeypatch.setenv("PYTHONHASHSEED", "2")
        with running("--seed", "11", "--clock", NOON) as second:
            servers = [first, second]
            statuses = set()
            with httpx.Client(base_url=servers[0].url) as one, httpx.Client(base_url=servers[1].url) as other:
                for number, sent in enumerate(requests(5, 1000, first.personas())):
                    seen = exchange(one, sent)
                    assert exchange(other, sent) == seen, f"request {number}: {sent}"
                    statuses.add(seen[0])
            exported = []
            for server in servers:
                with MockClient(server.url) as controls:
                    exported.append(controls.session("s1").export())

    assert {200, 400, 401, 404, 409, 500} <= statuses
    assert exported[0] == exported[1]


def test_a_session_plays_on_another_machine(tmp_path: Path) -> None:
    """An exported session, replayed by another process, answers the same to the byte, and goes on the same."""
    file = tmp_path / "session.json"
    with running("--seed", "12", "--clock", NOON) as mock, httpx.Client(base_url=mock.url) as client:
        sent = [
            (m, p, b, {**h, "x-mock-session": "bug"}) for m, p, b, h in requests(6, 150, mock.personas()) if p.startswith("/v1/")
        ]
        for one in sent[:100]:
            exchange(client, one)
        done = subprocess.run(
            [sys.executable, "-m", "walletproof", "export", mock.url, "--session", "bug", "--out", str(file)],
            capture_output=True,
            text=True,
            check=True,
        )
        expected = [exchange(client, one) for one in sent[100:]]
    assert str(file) in done.stdout
    with running(str(file), "--session", "bug", command="replay") as replayed, httpx.Client(base_url=replayed.url) as client:
        assert [exchange(client, one) for one in sent[100:]] == expected

    lines = file.read_text("utf-8").splitlines()
    assert sum('"kind":' in line for line in lines) > 20, "an event per line"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: data.update(format="other"), "walletproof session 1"),
        (lambda data: data["events"].append({"kind": "Nothing", "at": "2026-11-21T12:00:00Z"}), "/events/1: no such kind"),
        (lambda data: data["events"].append({"kind": "WalletTerminated"}), "/events/1: WalletTerminated: at"),
        (lambda data: data["origin"].update(seed="x"), "/origin/seed"),
        (lambda data: data["origin"].update(fixtures={"flexprice": "0", "polar": "0"}), "fixtures"),
        (lambda data: data.update(defects=["no-such"]), "no defect"),
    ],
    ids=["format", "kind", "field", "seed", "fixtures", "defect"],
)
def test_a_file_that_is_none(mock: Mock, session: str, change: Any, expected: str) -> None:
    """A file that was changed by hand, or comes from elsewhere, is refused with the place, and nothing changes."""
    with MockClient(mock.url) as client:
        mine = client.session(session)
        mine.set_clock(NOON)
        data = json.loads(mine.export())
        change(data)
        before = mine.export()
        with pytest.raises(ControlError, match=re.escape(expected)) as refusal:
            mine.load(json.dumps(data).encode())
        assert refusal.value.status in (400, 409)
        assert mine.export() == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: data.update(events=[{"kind": "Nothing", "at": "2026-11-21T12:00:00Z"}]), "/events/0: no such kind"),
        (lambda data: data["origin"].update(fixtures={"flexprice": "0", "polar": "0"}), "fixtures"),
    ],
    ids=["kind", "fixtures"],
)
def test_replaying_a_file_that_is_none(mock: Mock, session: str, tmp_path: Path, change: Any, expected: str) -> None:
    """The command says where the file is wrong, with exit code 2 and no traceback."""
    with MockClient(mock.url) as client:
        data = json.loads(client.session(session).export())
    change(data)
    file = tmp_path / "session.json"
    file.write_text(json.dumps(data), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "walletproof", "replay", str(file), "--port", "0"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert str(file) in done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
