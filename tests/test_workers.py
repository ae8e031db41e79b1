"""Several workers on one port are one server: whatever one of them does every other one knows, and any of them may die."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from crew import PATIENCE, Crew, alone, crew, quick_folder
from flexprice_checks import Wallet, assert_ok, assert_refused
from standardwebhooks import Webhook
from test_webhooks import SECRET, Listener

from contract_tests.mock_client import ControlError, MockClient, Session

NOON = "2026-11-21T12:00:00.000000Z"
HEADERS = {"x-api-key": "test"}


@dataclass(frozen=True)
class Worker:
    """One worker and no other: the controls of a session, and a wallet that was healthy when the session began."""

    client: httpx.Client
    controls: MockClient
    session: Session
    wallet: Wallet

    @property
    def credits(self) -> str:
        """What the wallet has."""
        return str(self.wallet.check()[0]["credit_balance"])


@contextmanager
def voices(crew: Crew, session: str) -> Iterator[list[Worker]]:
    """Each worker of a crew, in a session."""
    wallet: str = crew.mock.personas()["flexprice/healthy"]["ids"]["wallet"]  # type: ignore[index]
    with alone(crew, "/v1", HEADERS | {"x-mock-session": session}) as clients:
        found = []
        for client in clients:
            controls = MockClient(crew.url)
            controls.close()
            controls._client = client  # its connection is the one that is known to end at this worker
            found.append(Worker(client, controls, controls.session(session), Wallet(client, wallet)))
        yield found


@pytest.fixture(scope="module")
def server() -> Iterator[Crew]:
    """Two workers on a file, which log nothing."""
    with quick_folder() as folder, crew("--log", f"sqlite:{folder}/log", "--workers", "2") as made:
        yield made
    assert made.logged == "", f"the mock complained:\n{made.logged}"


@pytest.fixture
def workers(server: Crew, session: str) -> Iterator[list[Worker]]:
    """Both of them."""
    with voices(server, session) as found:
        assert len(found) == 2
        yield found


def test_what_one_writes_the_other_reads(workers: list[Worker]) -> None:
    """Top-ups by turns make one chain, and a key that was used at one worker is used at the other."""
    one, other = workers
    for turn in range(3):
        assert_ok(one.wallet.top_up(credits_to_add=1, idempotency_key=f"one-{turn}"))
        assert_refused(other.wallet.top_up(credits_to_add=1, idempotency_key=f"one-{turn}"), 409, "already_exists")
        assert_ok(other.wallet.top_up(credits_to_add=1))
        assert one.wallet.check() == other.wallet.check()
    assert one.credits == "544.5"


def test_a_new_wallet_is_everywhere(workers: list[Worker]) -> None:
    """What one worker has made the other finds, changes and closes."""
    one, other = workers
    made = Wallet.create(one.client)
    assert_ok(Wallet(other.client, made.id).update(name="Renamed"))
    assert made.stored()["name"] == "Renamed"
    assert_ok(Wallet(other.client, made.id).terminate())
    assert made.stored()["wallet_status"] == "closed"


def test_faults_are_counted_together(workers: list[Worker]) -> None:
    """A fault for three calls strikes three, whoever answers them."""
    one, other = workers
    one.session.set_fault(fault="error", code=503, times=3, operation="getWallet")
    path = f"/wallets/{one.wallet.id}"
    assert [worker.client.get(path).status_code for worker in (one, other, other, one, other)] == [503, 503, 503, 200, 200]
    for worker in workers:
        (fault,) = worker.session.call("GET", "/faults").json()["faults"]
        assert (fault["struck"], fault["over"]) == (3, True)


def test_defects_are_on_everywhere(workers: list[Worker]) -> None:
    """What is switched on at one worker plays at the other, until it is switched off at either."""
    one, other = workers
    one.session.defects("balance-as-number")
    assert [type(worker.client.get(f"/wallets/{one.wallet.id}").json()["balance"]) for worker in workers] == [float, float]
    other.session.defects()
    assert [worker.session.about()["defects"] for worker in workers] == [[], []]
    assert [worker.credits for worker in workers] == ["538.5", "538.5"]


def test_the_clock_is_one(workers: list[Worker]) -> None:
    """It is stopped at one worker, moved at the other, and what fell due has happened once."""
    one, other = workers
    one.session.set_clock(f"frozen:{NOON}")
    assert other.session.clock()["now"] == NOON
    gift = assert_ok(one.wallet.top_up(credits_to_add=10, expiry_date_utc="2026-11-22T00:00:00Z"))
    assert gift["wallet"]["credit_balance"] == "548.5"
    happened = other.session.advance("1 day")
    assert [event["kind"] for event in happened if event["kind"] != "ClockMoved"]
    assert [worker.credits for worker in workers] == ["538.5", "538.5"]
    assert one.session.clock() == other.session.clock()


def test_scenarios_count_calls_together(workers: list[Worker]) -> None:
    """A step after three calls is taken after three, whoever answers them."""
    one, other = workers
    step = "{after: 3 calls, do: {set-status: {wallet: healthy, status: closed}}}"
    one.session.start_scenario(text=f"scenario: test\nprovider: flexprice\nsteps:\n  - {step}\n")
    states = [worker.wallet.stored()["wallet_status"] for worker in (one, other, one, other)]
    assert states == ["active", "active", "active", "closed"]
    assert [worker.session.scenarios()[0]["done"] for worker in workers] == [True, True]


def test_history_goes_back_everywhere(workers: list[Worker]) -> None:
    """Snapshots, undo, restore and reset at one worker are seen at the other, which goes on from there."""
    one, other = workers
    assert_ok(one.wallet.top_up(credits_to_add=1))
    other.session.snapshot("before")
    assert one.session.about()["snapshots"] == ["before"]
    assert_ok(one.wallet.top_up(credits_to_add=10))
    assert_ok(other.wallet.top_up(credits_to_add=100))
    one.session.undo()
    assert [worker.credits for worker in workers] == ["549.5", "549.5"]
    one.session.restore("before")
    assert_ok(other.wallet.top_up(credits_to_add=1000))
    assert [worker.credits for worker in workers] == ["1539.5", "1539.5"]
    other.session.reset()
    assert [worker.credits for worker in workers] == ["538.5", "538.5"]
    one.session.restore("before")
    assert [worker.credits for worker in workers] == ["539.5", "539.5"]


def test_sessions_are_made_listed_and_ended_together(workers: list[Worker], session: str) -> None:
    """One worker makes a session, the other knows it, refuses to make it again, and ends it for both."""
    one, other = workers
    name = f"{session}-made"
    made = one.controls.create(name, clock=f"frozen:{NOON}")
    assert name in [known["name"] for known in other.controls.sessions()]
    with pytest.raises(ControlError, match="already"):
        other.controls.create(name)
    assert other.controls.session(name).about()["now"] == NOON
    other.controls.session(name).delete()
    with pytest.raises(ControlError, match="404"):
        made.about()
    assert name not in [known["name"] for known in one.controls.sessions()]


def test_a_session_that_ended_begins_anew_everywhere(workers: list[Worker]) -> None:
    """Nothing of it is left at the worker that had known it best."""
    one, other = workers
    assert_ok(one.wallet.top_up(credits_to_add=1))
    one.session.defects("balance-as-number")
    other.session.delete()
    assert [worker.credits for worker in workers] == ["538.5", "538.5"]


def test_the_journal_is_one(workers: list[Worker]) -> None:
    """Both workers' exchanges are in it, numbered in order; what is expected is counted over both, and cleared for both."""
    one, other = workers
    for worker in (one, other, other, one):
        worker.wallet.stored()
    assert one.session.journal() == other.session.journal()
    assert [entry["number"] for entry in one.session.journal()] == [1, 2, 3, 4]
    assert other.session.expect("getWallet", times=4) == [1, 2, 3, 4]
    one.session.call("DELETE", "/journal")
    assert other.session.journal() == []


def test_events_are_followed_at_the_other_worker(workers: list[Worker], server: Crew) -> None:
    """A stream from one worker has what happens at the other, and hears that some was taken back."""
    one, other = workers
    lines = []
    with one.client.stream(
        "GET", f"{server.url}/_mock/sessions/{one.session.name}/events", headers={"accept": "text/event-stream"}
    ) as answer:
        incoming = (line.removeprefix("event: ") for line in answer.iter_lines() if line.startswith("event: "))
        assert_ok(other.wallet.top_up(credits_to_add=1))
        lines.append(next(incoming))
        assert_ok(other.wallet.update(name="Later"))
        lines.append(next(incoming))
        other.session.undo(2)
        lines.append(next(incoming))
    assert lines == ["TransactionCreated", "WalletUpdated", "rewound"]


def test_each_message_is_sent_once(workers: list[Worker], listener: Listener) -> None:
    """Both workers change things at once: one message each, in order, signed with the secret that one of them was told."""
    one, other = workers
    one.session.set_webhooks(url=listener.url, secret=SECRET)

    def work(worker: Worker) -> None:
        for _ in range(8):
            assert_ok(worker.wallet.top_up(credits_to_add=1))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listener.wait_for(16)
    # Once nothing is pending nothing more will be sent.
    until = time.monotonic() + PATIENCE
    while pending := other.session.call("GET", "/webhooks").json()["counts"]["pending"]:
        assert time.monotonic() < until, pending
    sent = list(listener.received)
    assert len({message.id for message in sent}) == len(sent)
    for message in sent:
        Webhook(SECRET).verify(message.body, message.headers)
    rows = [row["id"] for row in one.wallet.rows()][-16:]
    told = [row for message in sent for row in re.findall(r"wtxn_\w{26}", message.body) if row in rows]
    assert list(dict.fromkeys(told)) == rows


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A listener of a test's own."""
    opened = Listener()
    yield opened
    opened.close()


def test_an_idle_session_ends_when_no_worker_uses_it() -> None:
    """One that is used at one worker only is not ended by the other; one that nobody uses is ended for both."""
    with crew("--workers", "2", "--session-idle", "2s") as server, voices(server, "used") as (one, other):
        left = one.controls.create("left")
        assert_ok(one.wallet.top_up(credits_to_add=1))
        until = time.monotonic() + PATIENCE
        while "left" in [known["name"] for known in other.controls.sessions()]:
            assert time.monotonic() < until, "nobody ended it"
            one.wallet.stored()
            time.sleep(0.05)  # workers have something to do besides
        with pytest.raises(ControlError, match="404"):
            left.about()
        assert [worker.credits for worker in (one, other)] == ["539.5", "539.5"]


def test_any_of_them_may_die() -> None:
    """Workers are replaced, and nothing is forgotten. Without their parent they end, and another server has the port at once."""
    with crew("--workers", "2") as server:
        before = server.workers()
        with httpx.Client(base_url=f"{server.url}/v1", headers=HEADERS) as client:
            wallet = Wallet.create(client)
            assert_ok(wallet.top_up(credits_to_add=5))
        for worker in before:
            worker.kill()
        for _ in range(4):
            with httpx.Client(base_url=f"{server.url}/v1", headers=HEADERS, timeout=PATIENCE) as client:
                assert Wallet(client, wallet.id).stored()["credit_balance"] == "5"
        until = time.monotonic() + PATIENCE
        while len(server.workers()) < 2:
            assert time.monotonic() < until, "not all were replaced"
        assert not set(before) & set(server.workers())
        server.orphan()
        server.again()
        assert httpx.get(f"{server.url}/_mock/health").status_code == 200
        logged = server.stop()
    assert set(logged.splitlines()) == {f"worker {worker.pid} was ended by SIGKILL; another takes its place" for worker in before}


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C"])
def test_what_is_under_way_is_answered_before_the_end(how: str) -> None:
    """Requests whose bodies are still to come when the server is told to stop are answered; then it has stopped.

    The file that two workers shared because nobody gave them one is gone.
    """
    with crew("--workers", "2") as server, ExitStack() as stack:
        files = {Path(file.path) for worker in server.workers() for file in worker.open_files()}
        (folder,) = {path.parent for path in files if path.name == "log"}
        wallet: str = server.mock.personas()["flexprice/healthy"]["ids"]["wallet"]  # type: ignore[index]
        bodies = [
            f'{{"credits_to_add":1,"transaction_reason":"FREE_CREDIT_GRANT","idempotency_key":"k{number}"}}'.encode()
            for number in range(8)
        ]
        sockets = [stack.enter_context(socket.create_connection(server.address, PATIENCE)) for _ in bodies]
        for connection, body in zip(sockets, bodies, strict=True):
            connection.sendall(
                f"POST /v1/wallets/{wallet}/top-up HTTP/1.1\r\nhost: mock\r\nx-api-key: test\r\nexpect: 100-continue\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            )
            assert b" 100 " in connection.recv(100), "the request is under way"
        with alone(server) as idle:
            told = [server.parent, *server.workers()] if how == "Ctrl-C" else [server.parent]
            for process in told:  # Ctrl-C on a terminal tells them all
                process.send_signal(signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM)
            until = time.monotonic() + PATIENCE
            # Workers that have begun to stop close connections on which nothing is under way.
            streams = [client._transport._pool.connections[0] for client in idle]  # type: ignore[attr-defined]
            while not all(stream.has_expired() for stream in streams):
                assert time.monotonic() < until, "the signal was not heard"
        for connection, body in zip(sockets, bodies, strict=True):
            connection.sendall(body)
        answers = [b"".join(iter(lambda: connection.recv(65536), b"")).decode() for connection in sockets]  # noqa: B023 - used at once
        assert [answer.split(" ", 2)[1] for answer in answers] == ["200"] * 8
        assert "546.5" in {re.findall(r'"credit_balance":"([0-9.]+)"', answer)[-1] for answer in answers}
        out, _ = server.mock.process.communicate(timeout=PATIENCE)
        assert out.endswith("stopped\n")
        assert server.mock.process.returncode == 0
        assert server.stop() == ""
        assert not folder.exists()


def command_line(prelude: str, *options: str) -> list[str]:
    """`walletproof serve` with two workers, of which each copy of the process executes something first."""
    script = f"""
import os, sys
forks = []
os.register_at_fork(before=lambda: forks.append(1), after_in_child=lambda: {prelude})
from walletproof.cli import main
sys.exit(main())
"""
    return [sys.executable, "-c", script, "serve", "--port", "0", "--workers", "2", *options]


def test_workers_that_cannot_start_are_not_begun_for_ever() -> None:
    """It says so, and ends with an error."""
    done = subprocess.run(command_line("os._exit(3)"), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (1, "stopped\n")
    assert done.stderr.endswith("workers end before they answer anything: giving up\n")


def test_a_worker_that_does_not_start_is_replaced_as_well() -> None:
    """The first one ends before it answers anything; the server is ready once another one has taken its place."""
    line = command_line("len(forks) == 1 and os._exit(3)")
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(said.startswith("Personas:") for said in process.stdout)
        process.terminate()
        _, logged = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert re.fullmatch(r"worker \d+ ended with 3; another takes its place\n", logged)


def test_what_two_made_two_others_play(workers: list[Worker], tmp_path: Path) -> None:
    """A session of two workers is exported by one of them, and replayed by two of another server."""
    file = tmp_path / "session.json"
    for worker in workers:
        assert_ok(worker.wallet.top_up(credits_to_add=1))
    expected = workers[0].wallet.check()
    file.write_bytes(workers[1].session.export())
    with crew(str(file), "--session", "bug", "--workers", "2", command="replay") as server, voices(server, "bug") as replayed:
        assert [worker.wallet.check() for worker in replayed] == [expected, expected]
