"""`walletproof compare`: equal services do not differ, each difference is named, and credentials stay on their side."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from conftest import Mock
from gating import play, wallets
from reports_sample import CONTROL, MARKUP
from reports_sample import step as exchange

from contract_tests.checking import Wanted, subjects
from contract_tests.compare.comparing import Comparing, Options
from contract_tests.compare.flexprice import Story
from contract_tests.compare.flexprice import sequence as flexprice_sequence
from contract_tests.compare.lawful import lawful
from contract_tests.compare.names import Names
from contract_tests.compare.outcome import Comparison, Comparisons, Difference, Fidelity, NotComparable, Words
from contract_tests.compare.proposal import propose
from contract_tests.compare.reports import as_html
from contract_tests.compare.steps import Situations, Step, Symbol
from contract_tests.compare.times import Times, instant
from contract_tests.contract import Contract
from contract_tests.overlay import apply_overlay
from contract_tests.probes.flexprice.lab import UNKNOWN_WALLET
from contract_tests.source import Source
from mock_server.defects.catalogue import CATALOGUE
from walletproof import cli

LIVE = {
    "metadata-null": {
        ("createWallet", "shape", "/metadata"),
        ("getWallet", "shape", "/metadata"),
        ("getWalletBalance", "shape", "/metadata"),
        ("queryWallet", "shape", "/items/*/metadata"),
        ("topUpWallet", "shape", "/wallet/metadata"),
        ("updateWallet", "shape", "/metadata"),
    },
    "unset-fields-null": {
        (operation, "shape", f"{place}/{member}")
        for operation, place in (
            ("topUpWallet", "/wallet_transaction"),
            ("getWalletTransactions", "/items/*"),
            ("queryWalletTransaction", "/items/*"),
        )
        for member in ("expiry_date", "priority")
    },
    "reference-type-empty": {
        ("getWalletTransactions", "shape", "/items/*/reference_type"),
        ("queryWalletTransaction", "shape", "/items/*/reference_type"),
    },
    "terminate-answers-message": {("terminateWallet", "shape", "")},
    "search-without-paging-fails": {("queryWallet", "status", "")},
    "update-of-unknown-fails": {("updateWallet", "status", "")},
    "update-shows-old-time": {("updateWallet", "value", "/updated_at")},
}

Sequence = Callable[[Situations], Iterator[Step]]


def chosen(*names: str) -> Sequence:
    """A few of the usual situations."""

    def steps(wanted: Situations) -> Iterator[Step]:
        story = Story(wanted.seed)
        for name in names:
            yield from getattr(story, name)()

    return steps


def told(steps: Callable[[Story], Iterator[Step]]) -> Sequence:
    """Steps of a story of the test's own."""
    return lambda wanted: steps(Story(wanted.seed))


def comparing(
    mock: Mock, session: str, a: tuple[str, ...] = (), b: tuple[str, ...] = (), *, provider: str = "flexprice", **options: Any
) -> Comparing:
    """Two sessions of one mock, each with defects of its own."""
    mode = options.pop("mode", "own")
    seed = options.pop("seed", 1)
    sides = []
    for name, defects in (("a", a), ("b", b)):
        headers = (("x-mock-session", play(mock, f"{session}-{name}", *defects)),)
        (subject,) = subjects(Wanted(mock.url, (provider,), headers=headers, seed=seed, mode=mode))
        sides.append(subject)
    return Comparing(sides[0], sides[1], Options(**options))


def compared(*arguments: Any, **options: Any) -> Comparison:
    """What comparing two sessions found out."""
    one = comparing(*arguments, **options)
    try:
        return one.run()
    finally:
        close(one)


def close(one: Comparing) -> None:
    """Close the connections of both sides."""
    for side in one.sides:
        side.subject.target.close()


def named(run: Comparison) -> set[tuple[str, str, str]]:
    """Differences by what they are called."""
    return {(entry.operation, entry.kind, entry.pointer) for entry in run.differences}


# ---------------------------------------------------------------- what does not differ


def test_equal_mocks_do_not_differ(mock: Mock, session: str) -> None:
    """Nothing differs, all operations were compared, nothing was left out, and what was made is closed."""
    one = comparing(mock, session, at_random=0)
    run = one.run()
    close(one)

    assert [entry.fingerprint for entry in run.differences] == []
    assert (run.verdict, run.why, run.interrupted) == ("pass", [], "")
    assert run.fidelity.agreed == run.fidelity.compared > 3000
    assert len(run.by_operation) == 12  # all operations, and requests that reach none
    assert run.not_comparable == []
    assert run.created == run.cleaned > 50
    for side in "ab":
        left = [wallet for wallet in wallets(mock, f"{session}-{side}") if wallet["customer_id"].startswith("wp-")]
        assert left
        assert {wallet["wallet_status"] for wallet in left} == {"closed"}
    asked = [f"{exchange.request.path} {exchange.request.body!r}" for _, exchange, _ in one.wallets_of_a()]
    own = one.sides[0].subject.created
    assert asked
    assert [text for text in asked if any(wallet in text for wallet in own)] == []


def test_equal_mocks_of_polar_do_not_differ(mock: Mock, session: str) -> None:
    """The same of Polar, which can only be read: what both hold is compared by value."""
    run = compared(mock, session, provider="polar", at_random=10)

    assert [entry.fingerprint for entry in run.differences] == []
    assert (run.verdict, run.not_comparable, run.created) == ("pass", [], 0)
    assert set(run.by_operation) == {"customer_portal:wallets:list", "customer_portal:wallets:get", "(no operation)"}


def test_reading_changes_nothing(mock: Mock, session: str) -> None:
    """With --mode read only reads and searches are sent; wallets that are there on both sides are compared and do not differ."""

    def steps(wanted: Situations) -> Iterator[Step]:
        return flexprice_sequence(replace(wanted, known=wanted.known[:1]))

    run = compared(mock, session, mode="read", sequence=steps)

    assert (run.verdict, run.differences, run.created) == ("pass", [], 0)
    assert len(run.paired) == 4
    journal = httpx.get(f"{mock.url}/_mock/sessions/{session}-b/journal?limit=1000", verify=False).json()["entries"]
    assert len(journal) > 100
    sent = {(entry["request"]["method"], entry.get("operation")) for entry in journal}
    assert {operation for method, operation in sent if method != "GET"} <= {"queryWallet", "queryWalletTransaction"}


# ---------------------------------------------------------------- what differs


def test_every_live_defect_has_its_differences() -> None:
    """A defect that is added as the real service's is expected here as well."""
    assert set(LIVE) == {name for name, defect in CATALOGUE.items() if defect.live}


def test_what_the_real_service_does_otherwise_is_named_and_nothing_else(mock: Mock, session: str) -> None:
    """All `live` defects at once: each has its differences by operation, kind and place, confirmed, with both exchanges."""
    situations = chosen("_plain", "_updates", "_closing", "_paged_search", "_unknown_writes")
    run = compared(mock, session, (), tuple(LIVE), sequence=situations)

    assert named(run) == set().union(*LIVE.values())
    assert run.verdict == "findings"
    for entry in run.differences:
        assert entry.confirmation == "confirmed"
        assert entry.step_a.curl.startswith("curl")
        assert entry.step_b.curl.startswith("curl")
        assert entry.a != entry.b
    assert 0.5 < (run.fidelity.share or 0) < 1


def one_top_up(story: Story) -> Iterator[Step]:
    """A wallet with credits, read in every way."""
    wallet = story.numbers.new("wallet")
    yield story.create("a wallet", wallet)
    yield story.top_up("a top-up", wallet, "10")
    yield from story.reads("after it", wallet)


def ask_for_nobodys(story: Story) -> Iterator[Step]:
    """Wallets that nobody has."""
    for _ in range(2):
        yield Step("getWallet", "a wallet that nobody has", "wallet_00000000000000000000000000")


def lists(story: Story) -> Iterator[Step]:
    """Transactions in several orders."""
    wallet = story.numbers.new("wallet")
    yield story.create("a wallet", wallet)
    for credits in ("3", "1", "2"):
        yield story.top_up("a top-up", wallet, credits)
    yield Step("getWalletTransactions", "all", wallet)


@pytest.mark.parametrize(
    ("defect", "steps", "expected"),
    [
        ("unknown-wallet-is-400", ask_for_nobodys, {("getWallet", "status", "")}),
        ("not-found-as-validation-error", ask_for_nobodys, {("getWallet", "code", "/code")}),
        ("balance-as-number", ask_for_nobodys, set()),
        (
            "time-without-zone",
            one_top_up,
            {
                ("createWallet", "shape", "/created_at"),
                ("topUpWallet", "shape", "/wallet/created_at"),
                ("getWallet", "shape", "/created_at"),
                ("getWalletBalance", "shape", "/created_at"),
                ("queryWallet", "shape", "/items/*/created_at"),
            },
        ),
        # Once where it begins; balances of the wallet that are read afterwards follow from it.
        ("top-up-one-credit-short", one_top_up, {("topUpWallet", "value", "/wallet/balance")}),
        ("default-order-ascending", lists, {("getWalletTransactions", "order", "/items")}),
        ("request-id-missing", ask_for_nobodys, {("getWallet", "header", "header x-request-id")}),
    ],
)
def test_each_kind_of_difference(
    mock: Mock, session: str, defect: str, steps: Callable[[Story], Iterator[Step]], expected: set[tuple[str, str, str]]
) -> None:
    """A difference is of its kind, at its place, and nowhere else."""
    assert named(compared(mock, session, (), (defect,), sequence=told(steps))) == expected


def test_what_is_seen_once_is_flaky(mock: Mock, session: str) -> None:
    """A difference that the second time does not show is told, and fails nothing."""

    def once(story: Story) -> Iterator[Step]:
        yield Step("updateWallet", "a wallet that nobody has", UNKNOWN_WALLET, body={"name": "x"}, invented=True)

    run = compared(mock, session, (), ("update-of-unknown-fails",), sequence=told(once))  # by turns

    assert [(entry.fingerprint, entry.confirmation) for entry in run.differences] == [("updateWallet status -", "flaky")]
    assert run.verdict == "inconclusive"  # nothing else was looked at


def test_what_somebody_declares_is_not_compared(mock: Mock, session: str) -> None:
    """A place whose values may differ, and a difference that is known: neither fails, the known one is told."""
    defects = ("default-order-ascending", "balance-off-by-one-cent")
    allowed = lawful(["/*balance", "topUpWallet /wallet/balance", "/items/*/balance"], ["getWalletTransactions * /items"])
    run = compared(mock, session, (), defects, sequence=told(lists), lawful=allowed)

    assert [(entry.fingerprint, entry.ignored) for entry in run.differences] == [("getWalletTransactions order /items", True)]
    assert run.verdict == "pass"
    assert run.fidelity.agreed == run.fidelity.compared


def test_wallets_of_other_ids_are_compared_by_their_form(mock: Mock, session: str, wallet_ids: dict[str, str]) -> None:
    """Named pairs by value; what is paired by order holds other things, which is no difference."""
    one, two = wallet_ids["healthy"], wallet_ids["low"]
    by_value = compared(mock, session, mode="read", pairs=((one, two),), sequence=known_wallets(1))
    by_form = comparing(mock, session, mode="read", sequence=known_wallets(1))
    by_form.sides[0].subject.wallets[:] = []
    by_form._pairs = [(Symbol("known wallet", 1), one, two, False)]
    by_form._pair = lambda: None  # type: ignore[method-assign]
    by_form_run = by_form.run()
    close(by_form)

    entries = {(entry.operation, entry.kind, entry.pointer): entry for entry in by_value.differences}
    first = entries["getWallet", "value", "/balance"]
    real = httpx.get(f"{mock.url}/v1/wallets/{one}", headers={"x-api-key": "k"}, verify=False).json()
    for text in (real["description"], *real["metadata"].values()):
        assert text not in str(by_value)  # somebody may have chosen it
    assert real["balance"] == first.a
    assert f"/wallets/{one}" in first.step_a.curl
    assert f"/wallets/{two}" in first.step_b.curl
    assert by_form_run.differences == []
    assert by_form_run.fidelity.compared > 0


def known_wallets(count: int) -> Sequence:
    """Only wallets that were there."""

    def steps(wanted: Situations) -> Iterator[Step]:
        story = Story(wanted.seed)
        for symbol, same_data in wanted.known[:count]:
            for step in story.reads("a wallet that was there", symbol):
                yield replace(step, same_data=same_data)

    return steps


# ---------------------------------------------------------------- proposals


def test_the_proposed_overlay_fits_what_the_reference_does(mock: Mock, session: str, tmp_path: Path) -> None:
    """Applied on top of the shipped one, the contract finds nothing in what the `live` defects answer, but for what it says."""

    def steps(story: Story) -> Iterator[Step]:
        wallet = story.numbers.new("wallet")
        yield story.create("a wallet", wallet)
        yield story.top_up("a bonus", wallet, "5", transaction_reason="PURCHASED_CREDIT_DIRECT", bonus_credits_to_add="2")
        yield from story.reads("after it", wallet)
        yield Step("updateWallet", "a name", wallet, body={"name": "x"})
        yield Step("terminateWallet", "with credits", wallet)
        for _ in range(2):
            yield Step("updateWallet", "a wallet that nobody has", UNKNOWN_WALLET, body={"name": "x"}, invented=True)

    one = comparing(mock, session, tuple(LIVE), (), sequence=told(steps))
    one.run()
    close(one)
    contract = one.sides[0].subject.contract
    proposal = propose(contract, one.answers_of_a(), "flexprice.overlay.yaml")
    file = tmp_path / "proposal.yaml"
    file.write_text(proposal.text, "utf-8")

    merged = Contract("flexprice", contract.document, apply_overlay(contract.merged, Source(file)))
    a, b = ([sent.observation for sent in side.stage.log] for side in one.sides)
    assert sum(bool(contract.check_response(seen.operation, seen.exchange)) for seen in a) > 10
    assert [seen for seen in (*a, *b) if merged.check_response(seen.operation, seen.exchange)] == []
    assert proposal.uncovered == []
    written = yaml.safe_load(proposal.text)
    assert written["overlay"] == "1.0.0"
    assert all(action["description"] for action in written["actions"])


def test_nothing_is_proposed_for_a_reference_that_keeps_its_contract(mock: Mock, session: str) -> None:
    """The mock is honest, so there is nothing to say beyond its overlay."""
    one = comparing(mock, session, sequence=chosen("_plain", "_refused_top_ups"))
    one.run()
    close(one)

    assert propose(one.sides[0].subject.contract, one.answers_of_a(), "x").text == ""


# ---------------------------------------------------------------- the command


class _Recorder(BaseHTTPRequestHandler):
    """Answers everything with an empty list, and keeps what it was sent."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    got: list[str]

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.got.append(f"{self.path}\n{self.headers}\n{body!r}")
        answer = json.dumps({"items": [], "pagination": {"limit": 1, "offset": 0, "total": 0}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Every method is served."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silent."""


@contextmanager
def recorder() -> Iterator[tuple[str, list[str]]]:
    """A service that keeps what it was sent: its URL, and that."""
    got: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Recorder", (_Recorder,), {"got": got})) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", got
        finally:
            server.shutdown()


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """`walletproof compare` in this process: exit code, output, errors."""
    code = cli.main(["compare", *arguments, "--quiet"])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_credentials_stay_on_their_side(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither service ever sees the other's key, header or environment, and no report shows any."""
    monkeypatch.setenv("WALLETPROOF_B_EXPIRED_API_KEY", "expired-secret-of-b")
    report, text = tmp_path / "report.json", tmp_path / "report.txt"
    with recorder() as (a, got_a), recorder() as (b, got_b):
        code, out, err = run_command(
            capsys,
            a,
            b,
            "--mode",
            "read",
            "--api-key",
            "secret-key-of-a",
            "--b-api-key",
            "secret-key-of-b",
            "--header",
            "x-proxy-token: secret-token-of-a",
            "--expired-api-key",
            "expired-secret-of-a",
            "--report",
            f"json={report}",
            "--report",
            f"text={text}",
        )

    assert code in (0, 1), err
    for got, mine, others in ((got_a, "of-a", "of-b"), (got_b, "of-b", "of-a")):
        assert any(f"secret-key-{mine}" in entry for entry in got)
        assert any(f"expired-secret-{mine}" in entry for entry in got)
        assert not any(others in entry for entry in got)
    for shown in (out, err, report.read_text("utf-8"), text.read_text("utf-8")):
        assert "secret-" not in shown


def test_a_key_for_one_side_is_not_enough(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """B gets no key of its own from nowhere, least of all A's: that is a mistake, and B is asked for nothing but personas."""
    monkeypatch.setenv("WALLETPROOF_API_KEY", "environment-of-a")
    with recorder() as (a, _), recorder() as (b, got):
        code, _, err = run_command(capsys, a, b, "--api-key", "secret-key-of-a")

    assert code == 2
    assert err.startswith("walletproof: B: flexprice asks for credentials")
    assert "--b-api-key" in err
    assert "WALLETPROOF_B_API_KEY" in err
    assert all("of-a" not in entry for entry in got)


def test_a_side_that_is_not_there_is_inconclusive(capsys: pytest.CaptureFixture[str], mock: Mock) -> None:
    """It is said which one, and why; that is no verdict on either."""
    code, out, _ = run_command(capsys, mock.url, "http://127.0.0.1:1", "--b-api-key", "k", "--provider", "flexprice")

    assert code == 3
    assert "B: cannot connect to http://127.0.0.1:1" in out
    assert "nothing was comparable" in out


def test_a_report_tells_both_sides(capsys: pytest.CaptureFixture[str], tmp_path: Path, mock: Mock, session: str) -> None:
    """Differences with both exchanges and a way to see them again, on the terminal and in the JSON; exit code 1."""
    play(mock, f"{session}-b", "polar-not-found-without-error")
    report, page = tmp_path / "report.json", tmp_path / "report.html"
    code, out, _ = run_command(
        capsys,
        mock.url,
        mock.url,
        "--provider",
        "polar",
        "--header",
        f"x-mock-session: {session}-a",
        "--b-header",
        f"x-mock-session: {session}-b",
        "--report",
        f"json={report}",
        "--report",
        f"html={page}",
        "--steps",
        "0",
    )

    assert code == 1
    assert "shape customer_portal:wallets:get /error  confirmed" in out
    assert out.count("curl -sS -i") == 2
    data = json.loads(report.read_text("utf-8"))
    assert (data["format"], data["verdict"], data["exit_code"]) == (1, "findings", 1)
    (run,) = data["runs"]
    assert 0.9 < run["fidelity"]["share"] < 1
    (entry,) = run["differences"]
    assert entry["fingerprint"] == "customer_portal:wallets:get shape /error"
    assert (entry["step_a"]["status"], entry["step_b"]["status"], entry["b"]) == (404, 404, "absent")
    shown = page.read_text("utf-8")
    assert entry["step_a"]["curl"] in unescape(shown)
    assert shown.count("<b>A</b>") == shown.count("<b>B</b>") == 1
    assert f"--ignore '{entry['fingerprint']}'" in shown


def test_defects_that_imitate_the_service_are_named(capsys: pytest.CaptureFixture[str], mock: Mock, session: str) -> None:
    """All that the mock can do as A does, and only what it does not do yet: the other way round nothing is proposed."""
    play(mock, f"{session}-a", *LIVE)
    sides = [["--header", f"x-mock-session: {session}-a"], ["--header", f"x-mock-session: {session}-b"]]
    proposed = []
    for one, two in (sides, sides[::-1]):
        others = [part.replace("--header", "--b-header") for part in two]
        code, out, _ = run_command(capsys, mock.url, mock.url, "--provider", "flexprice", "--steps", "0", *one, *others)
        assert code == 1
        proposed.append(re.findall(r"--defect ([a-z-]+)", out))

    assert proposed == [list(LIVE), []]


def test_nothing_gets_out_of_the_page() -> None:
    """What the services sent is shown as text, control characters as escapes, whatever member of a difference it stands in."""
    odd = f"{MARKUP} {CONTROL}"
    entry = Difference(odd, odd, "shape", odd, odd, odd, odd, odd, exchange(odd), exchange(odd, curl=MARKUP), [odd], [odd], [odd])
    run = Comparison(odd, odd, odd, "own", 1, [odd, odd], why=[odd], differences=[entry], by_operation={odd: Fidelity(1, 2)})
    run.not_comparable, run.words, run.paired, run.leftovers = (
        [NotComparable(odd, odd)],
        [Words(odd, odd, odd, odd)],
        [odd],
        [odd],
    )

    made = as_html(Comparisons("0.1.0", "2026-01-02T03:04:05Z", [run]))

    assert "<script>alert" not in made
    assert "</style> &amp;" not in made
    assert not [mark for mark in made if not mark.isprintable() and mark not in "\n\t"]


def test_proposals_are_written(capsys: pytest.CaptureFixture[str], tmp_path: Path, mock: Mock, session: str) -> None:
    """Fixtures of the wallets that were there, and of an honest reference no overlay."""
    fixtures, overlay = tmp_path / "fixtures.yaml", tmp_path / "overlay.yaml"
    code, out, _ = run_command(
        capsys,
        mock.url,
        mock.url,
        "--provider",
        "polar",
        "--steps",
        "0",
        "--header",
        f"x-mock-session: {session}-a",
        "--b-header",
        f"x-mock-session: {session}-b",
        "--to-fixtures",
        str(fixtures),
        "--to-overlay",
        str(overlay),
    )

    assert code == 0
    assert yaml.safe_load(fixtures.read_text("utf-8"))["provider"] == "polar"
    assert not overlay.exists()
    assert "there is no overlay to propose" in out


def test_a_proposed_overlay_can_be_given_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, mock: Mock, session: str
) -> None:
    """With it the reference keeps its contract, and all of it is proposed once more: one file is enough."""
    a, b = play(mock, f"{session}-a", "polar-balance-as-text"), play(mock, f"{session}-b")
    sides = (mock.url, mock.url, "--header", f"x-mock-session: {a}", "--b-header", f"x-mock-session: {b}")
    first, again = tmp_path / "first.yaml", tmp_path / "again.yaml"
    run_command(capsys, *sides, "--provider", "polar", "--steps", "0", "--to-overlay", str(first))
    how = ("--provider", "polar", "--steps", "0", "--overlay", str(first), "--to-overlay", str(again))
    _, out, _ = run_command(capsys, *sides, *how)

    assert "response.body" not in out
    assert again.read_text("utf-8") == first.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ftp://a", "http://127.0.0.1:1"], "A: ftp://a: expected a URL"),
        (["http://127.0.0.1:1", "http://example.com"], "A: cannot connect"),
        (["http://127.0.0.1:1", "http://example.com", "--api-key", "k"], "B: example.com is not this machine"),
        (["http://127.0.0.1:1", "http://u:secret@127.0.0.1:1", "--api-key", "k"], "B: the URL holds a user name"),
        (["http://127.0.0.1:1", "http://127.0.0.1:1", "--steps", "-1"], "--steps -1: expected"),
        (
            ["http://127.0.0.1:1", "http://127.0.0.1:1", "--volatile", "balance"],
            "--volatile and --ignore: expected a JSON pointer",
        ),
        (["http://127.0.0.1:1", "http://127.0.0.1:1", "--ignore", "balance"], "--volatile and --ignore: 'balance': expected"),
        (["http://127.0.0.1:1", "http://127.0.0.1:1", "--wallet", "=x"], "--wallet =x: expected an id"),
        (["http://127.0.0.1:1", "http://127.0.0.1:1", "--report", "sarif=x"], "--report sarif=x: compare has no format 'sarif'"),
    ],
)
def test_mistakes_are_told(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    """Exit code 2 and one line, before anything is sent, without secrets."""
    code, out, err = run_command(capsys, *arguments)

    assert (code, out) == (2, "")
    assert err.startswith(f"walletproof: {said}")
    assert err.count("\n") == 1
    assert "secret" not in err


@pytest.mark.parametrize(
    ("declared", "operation", "place", "covered"),
    [
        ("/name", "getWallet", "/name", True),
        ("/name", "getWallet", "/wallet/name", False),
        ("/**/name", "getWallet", "/name", True),
        ("/**/name", "queryWallet", "/items/*/name", True),
        ("/items/*/name", "queryWallet", "/items/*/name", True),
        ("/*/name", "queryWallet", "/items/*/name", False),
        ("getWallet /name", "updateWallet", "/name", False),
        ("/metadata/**", "getWallet", "/metadata/a/b", True),
        ("/**", "getWallet", "/a/b", True),
        ("header Link", "updateWallet", "header link", True),
        ("updateWallet header link", "getWallet", "header link", False),
    ],
)
def test_where_a_declared_place_is(declared: str, operation: str, place: str, covered: bool) -> None:
    """A pointer is whole, `*` is one step, `**` any number of them, and an operation before it narrows it."""
    assert lawful([declared]).any_value(operation, place) is covered


# ---------------------------------------------------------------- alignment


def test_an_id_stands_for_one_thing() -> None:
    """New ids are paired once; from then on each is the same thing everywhere, also within texts, and nothing else is."""
    names = Names()

    assert names.pair("wallet_AAAA1", "wallet_BBBB1")
    assert names.pair("wallet_AAAA1", "wallet_BBBB1")
    assert not names.pair("wallet_AAAA1", "wallet_BBBB2")
    assert not names.pair("wallet_AAAA2", "wallet_BBBB1")
    assert names.symbolic("Wallet wallet_AAAA1 was not found.", 0) == names.symbolic("Wallet wallet_BBBB1 was not found.", 1)
    assert names.symbolic("Wallet wallet_AAAA11 was not found.", 0) == "Wallet wallet_AAAA11 was not found."


def test_ids_within_a_text_are_paired() -> None:
    """A list of ids in one text, some of which nobody has seen: they are paired as well, and words stay words."""
    names = Names()
    one, two, three = (f"wtxn_{letter * 26}" for letter in "ABC")
    other, another = (f"wtxn_{letter * 26}" for letter in "XY")

    assert names.pair(one, other)
    assert names.pair_within(f"{one},{two}", f"{other},{another}")
    assert not names.pair_within(f"{one},{three}", f"{other},{another}")  # which stands for another one by now
    assert not names.pair_within(f"{one},{two}", f"{other};{another}")
    assert not names.pair_within("paid by card", "paid by cash")


def test_times_are_compared_by_how_they_move() -> None:
    """Later on both sides is alike, later on one is not; what is nearer than databases can tell may be either."""

    def at(text: str) -> datetime:
        found = instant(f"2026-01-01T00:00:{text}Z")
        assert found is not None
        return found

    times, key = Times(), ("<wallet 1>", "updated_at")

    assert times.unlike(key, at("01"), at("30")) is None
    assert times.unlike(key, at("02"), at("31")) is None
    assert times.unlike(key, at("03"), at("31")) == ("later", "as before")
    assert times.unlike(key, at("03"), at("32")) is None  # not remembered: the next one is no other difference
    assert times.unlike(key, at("03.0004"), at("32")) is None
    assert times.unlike(("<wallet 2>", "updated_at"), at("01"), at("01")) is None


def test_ctrl_c_while_cleaning_up(mock: Mock, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who will not wait for it gets what was seen, and is told what is left."""

    def hurry(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("contract_tests.compare.comparing.close_wallets", hurry)
    one = comparing(mock, session, provider="polar", at_random=0)
    one.sides[0].subject.created["wallet_of_ours"] = "active"
    run = one.run()
    close(one)

    assert (run.verdict, run.interrupted) == ("inconclusive", "interrupted")
    assert run.leftovers == ["A: active: wallet_of_ours"]
