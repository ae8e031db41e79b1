"""Fixture files made from recordings: the same traffic gets the same answers, and nothing personal is in them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from canaries import HEADERS, PERSON, survivors
from conftest import Mock, running

from contract_tests.checking import contract
from contract_tests.contract import Contract
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.source import Source, SourceError, exact_number
from mock_server.fixture_files import parse
from mock_server.flexprice.fixtures import FlexpriceFixtures
from mock_server.flexprice.ledger import Account, breakdown
from mock_server.flexprice.opening import Opening
from mock_server.from_traffic.maker import FixtureFile, FixtureMaker
from mock_server.ids import Seed
from walletproof.cli import main

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
API = "https://api.example.com"
FROZEN = ("--population", "0", "--clock", f"frozen:{NOW:%Y-%m-%dT%H:%M:%SZ}")
JUDGED = re.compile(
    r"balance|credit|amount|status|state$|currency|type|rate|reason|total|limit|offset|max_page|usage|priority|created_at|expiry|"
    r"threshold|condition|purchased|free|allowed|enabled|value|unit|code|invoicing"
)
"""Members whose values must be as they were recorded."""


class Recording:
    """A client whose exchanges are kept, and written as lines of JSON."""

    def __init__(self, http: httpx.Client) -> None:
        self.lines: list[dict[str, Any]] = []
        self._http = http

    def send(self, method: str, path: str, headers: dict[str, str], body: str = "") -> None:
        """Send a request; a body is JSON."""
        answer = self._http.request(method, path, content=body, headers=headers)
        seen = line(len(self.lines), method, f"{API}{path}", headers, body, answer.status_code, answer.text)
        seen["response"]["headers"] = answer.headers.multi_items()
        self.lines.append(seen)

    def write(self, path: Path) -> Path:
        """The file."""
        path.write_text("\n".join(map(json.dumps, self.lines)), "utf-8")
        return path


def line(number: int, method: str, url: str, headers: dict[str, str], body: str, status: int, answer: str) -> dict[str, Any]:
    """An exchange, a second after the one before."""
    return {
        "started": NOW.timestamp() + number,
        "request": {"method": method, "url": url, "headers": headers, "body": body},
        "response": {"status": status, "headers": {"content-type": "application/json"}, "body": answer},
    }


def traffic(mock: Mock, recording: Recording) -> None:
    """Several clients read and change wallets of both providers."""
    people = mock.personas()
    shop, admin = {"x-api-key": "shop-key-0001", "content-type": "application/json"}, {"x-api-key": "admin-key-0001"}
    listed = set()
    for number, (name, persona) in enumerate(people.items()):
        ids: dict[str, str] = persona["ids"]  # type: ignore[assignment]
        if name.startswith("flexprice/"):
            wallet, client = ids["wallet"], shop if number % 2 else admin
            recording.send("GET", f"/v1/wallets/{wallet}/balance/real-time?expand=credits_available_breakdown", client)
            for offset in (0, 2):
                recording.send("GET", f"/v1/wallets/{wallet}/transactions?limit=2&offset={offset}", client)
            recording.send("GET", f"/v1/customers/{ids['customer']}/wallets", client)
        elif ids["customer"] not in listed:
            listed.add(ids["customer"])
            mine = {"authorization": f"Bearer {persona['token']}"}
            for query in ("", "?limit=5&page=2&sorting=-balance", "?limit=100&sorting=balance&sorting=-created_at"):
                recording.send("GET", f"/v1/customer-portal/wallets/{query}", mine)
            if "wallet" in ids:
                recording.send("GET", f"/v1/customer-portal/wallets/{ids['wallet']}", mine)
    recording.send("POST", "/v1/wallets/search", shop, '{"limit": 7}')
    recording.send("POST", "/v1/wallets/transactions/search?expand=customer", shop, '{"limit": 30}')
    wallet_of = {name: persona["ids"].get("wallet") for name, persona in people.items()}  # type: ignore[attr-defined]
    healthy = f"/v1/wallets/{wallet_of['flexprice/healthy']}"
    topup = {"credits_to_add": "12.5", "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": "order-7"}
    recording.send("POST", f"{healthy}/top-up", shop, json.dumps(topup))
    recording.send("POST", f"{healthy}/top-up", admin | {"content-type": "application/json"}, json.dumps(topup))
    recording.send("PUT", f"/v1/wallets/{wallet_of['flexprice/busy']}", shop, '{"name": "Everyday"}')
    recording.send("POST", f"/v1/wallets/{wallet_of['flexprice/low']}/terminate", shop)
    recording.send("GET", f"{healthy}/balance/real-time?expand=credits_available_breakdown", shop)
    recording.send("GET", f"{healthy}/transactions", shop)


@dataclass
class Story:
    """A recording, what was made of it, and the same traffic again."""

    made: subprocess.CompletedProcess[str]
    recording: Recording
    again: Recording
    folder: Path


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Record, make fixtures, serve them, and send the same."""
    folder = tmp_path_factory.mktemp("story")
    with ExitStack() as mocks:
        mock = mocks.enter_context(running(*FROZEN))
        recording = Recording(mocks.enter_context(httpx.Client(base_url=mock.url, verify=False)))
        traffic(mock, recording)
        command = ["fixtures", "from", recording.write(folder / "shop.jsonl"), "--out", folder / "shop.yaml"]
        made = subprocess.run([sys.executable, "-m", "walletproof", *command], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        files = [folder / "shop-flexprice.yaml", folder / "shop-polar.yaml"]
        other = mocks.enter_context(running(*FROZEN, *(part for file in files for part in ("--fixtures", str(file)))))
        again = Recording(mocks.enter_context(httpx.Client(base_url=other.url, verify=False)))
        tokens = _tokens(mock, other, recording)
        for entry in recording.lines:
            request = entry["request"]
            headers = dict(request["headers"])
            if "authorization" in headers:
                headers["authorization"] = tokens[headers["authorization"]]
            path = request["url"].removeprefix(API)
            again.send(request["method"], path, headers, request["body"])
        yield Story(made, recording, again, folder)


def _tokens(mock: Mock, other: Mock, recording: Recording) -> dict[str, str]:
    """The token of the new mock for each one that was recorded: customers are in the order in which they were seen."""
    seen = [entry["request"]["headers"].get("authorization") for entry in recording.lines]
    # Whose token had expired was never told who it is.
    answered = {
        entry["request"]["headers"].get("authorization") for entry in recording.lines if entry["response"]["status"] in (200, 403)
    }
    given = dict.fromkeys(f"Bearer {persona['token']}" for name, persona in other.personas().items() if name.startswith("polar/"))
    found = dict(zip([token for token in dict.fromkeys(seen) if token and token in answered], given, strict=True))
    return {token: found.get(token, "Bearer polar_cst_lapsed") for token in seen if token}


def judged(value: Any, name: str = "") -> Any:
    """What must be the same of an answer: amounts, states, pages, orders, the ids of wallets."""
    if isinstance(value, dict):
        kept = {key: judged(item, key) for key, item in value.items() if key != "customer"}
        return {key: item for key, item in kept.items() if item not in (None, {}, [])}
    if isinstance(value, list):
        return [judged(item, name) for item in value]
    return value if JUDGED.search(name) or re.match(r"(wallet|cust)_[0-9A-Z]{26}$", str(value)) else None


def test_the_same_traffic_gets_the_same_answers(story: Story) -> None:
    """Statuses, amounts, states, currencies, pages and orders are as recorded, for reads and writes, before and after writes."""
    before = [(entry["request"]["url"], entry["response"]) for entry in story.recording.lines]
    after = [entry["response"] for entry in story.again.lines]
    assert len(before) > 100
    for (url, old), new in zip(before, after, strict=True):
        assert new["status"] == old["status"], url
        assert judged(_json(new)) == judged(_json(old)), url


def _json(answer: dict[str, Any]) -> Any:
    return json.loads(answer["body"]) if answer["body"].startswith(("{", "[")) else answer["body"]


def test_check_passes_on_it(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    """The traffic that the mock with these fixtures answered keeps contract and rules."""
    done = main(["check", str(story.again.write(story.folder / "again.jsonl")), "--quiet"])
    assert done == 0, capsys.readouterr().out


def test_the_list(story: Story) -> None:
    """What was made, replaced and left out, and how to serve it, is printed; each wallet is there once."""
    said = story.made.stdout
    assert re.search(
        r"shop-flexprice.yaml: 24 flexprice wallets\n  serve it: walletproof serve --provider flexprice --fixtures", said
    )
    assert re.search(r"tokens of the customers.*\n    customer-1: polar_cst_\w{43}\n", said)
    assert re.search(r"\n  text: \d+ values? in \d+ places?\n    \d+ x [\w ,.-]+: response body/", said)
    fixtures = yaml.safe_load((story.folder / "shop-flexprice.yaml").read_text("utf-8"))
    assert len({persona["id"] for persona in fixtures["personas"].values()}) == 24


def test_nothing_personal_is_in_files_and_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """E-mails, names, numbers, keys and tokens of a recording are neither in the files nor in what is printed."""
    wallet = {**BODY, **PERSON, "customer_id": CUSTOMER}
    row = {**ROWS[0], "description": PERSON["description"], "metadata": PERSON["metadata"], "idempotency_key": "zoraide-1"}
    customer = {**PERSON, "id": CUSTOMER, "external_id": "zora.q+vip@quillmail.test"}
    rows = {"items": [row | {"customer": customer}], "pagination": {"total": 1, "limit": 50, "offset": 0}}
    polar = {"id": UUID, "customer_id": UUID, "currency": "usd", "balance": 5, "created_at": CREATED, "modified_at": None}
    api = "https://zoraide.example.com/v1"
    recording = tmp_path / "shop.jsonl"
    entries = [
        line(
            0, "GET", f"{api}/customers/wallets?lookup_key=zora.q%2Bvip%40quillmail.test", HEADERS, "", 200, json.dumps([wallet])
        ),
        line(1, "POST", f"{api}/wallets/transactions/search", HEADERS, "{}", 200, json.dumps(rows)),
        line(2, "GET", f"{api}/wallets/quillfeather", HEADERS, "", 404, json.dumps({"error": {"message": "no Quillfeather"}})),
        line(
            3,
            "GET",
            f"{api}/customer-portal/wallets/{UUID}",
            HEADERS,
            "",
            200,
            json.dumps(polar | PERSON | {"customer_id": UUID}),
        ),
        {"url": f"{api}/wallets/quillfeather", "method": "GET", "status": 0},
    ]
    recording.write_text("\n".join(map(json.dumps, entries)), "utf-8")
    assert survivors(recording.read_text("utf-8"))
    assert main(["fixtures", "from", str(recording), "--out", str(tmp_path / "made.yaml")]) == 0
    said = capsys.readouterr()
    files = [path.read_text("utf-8") for path in sorted(tmp_path.glob("made*.yaml"))]
    assert [text.count("balance: 5\n") + text.count("credit: 100\n") for text in files] == [1, 1]
    assert survivors("\n".join([*files, said.out, said.err])) == []


def test_two_services_in_one_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Staging and production are not mixed unnoticed; what no JSON reader takes is no wallet, and nobody's fall."""
    recording = tmp_path / "shop.jsonl"
    answers = {"https://staging.example.com": json.dumps(BODY), API: "[" * 18_000}
    entries = [line(n, "GET", f"{at}/v1/wallets/{WALLET}", {}, "", 200, body) for n, (at, body) in enumerate(answers.items())]
    recording.write_text("\n".join(map(json.dumps, entries)), "utf-8")
    made = ["fixtures", "from", str(recording), "--out", str(tmp_path / "my shop.yaml")]
    assert main(made) == 0
    said = capsys.readouterr().out
    assert f"Taken for one flexprice, `--server URL` chooses: {API}, https://staging.example.com\n" in said
    assert f"--fixtures '{tmp_path}/my shop.yaml' --population 0\n" in said
    assert main([*made, "--server", "https://staging.example.com"]) == 0
    assert "Taken for one" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--out", "recording.jsonl"), r"--out .*recording.jsonl: is one of the recordings"),
        (("--out", "nowhere/made.yaml"), r"--out .*nowhere/made.yaml: there is no such folder"),
        (
            ("--out", "made.yaml", "--server", "https://other.example.com"),
            r"none of these exchanges .* \(exchanges of other hosts or paths: 1\)",
        ),
    ],
)
def test_mistakes(tmp_path: Path, options: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be written, or nothing to write: exit code 2, a line that says so, no file."""
    recording = tmp_path / "recording.jsonl"
    recording.write_text(
        json.dumps(line(0, "GET", f"https://api.example.com/v1/wallets/{WALLET}", {}, "", 200, json.dumps(BODY)))
    )
    paths = [str(tmp_path / option) if option.endswith(("yaml", "jsonl")) else option for option in options]
    assert main(["fixtures", "from", str(recording), *paths]) == 2
    assert re.search(complaint, capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["recording.jsonl"]


# ---------------------------------------------------------------------- wallets that were seen only in part

WALLET, CUSTOMER = "wallet_01KSF5FR5GR5VX5PHQ9E1Y7PCJ", "cust_01KSF5FR5GR5VX5PHQ9E1Y7PCK"
UUID = "9f7c757f-fdf5-4a13-8b10-9b80a234e59b"
CREATED = "2026-05-01T00:00:00Z"
BODY: dict[str, Any] = {
    "id": WALLET,
    "customer_id": CUSTOMER,
    "currency": "eur",
    "balance": "150",
    "credit_balance": "100",
    "wallet_status": "active",
    "wallet_type": "PRE_PAID",
    "conversion_rate": "1.5",
    "topup_conversion_rate": "1.5",
    "created_at": CREATED,
    "updated_at": "2026-06-30T00:00:00Z",
}


def _row(number: int, before: str, credits: str, **members: Any) -> dict[str, Any]:
    change = Decimal(credits)
    return {
        "id": f"wtxn_01KSF5FR5GR5VX5PHQ9E1Y7P{number:02}",
        "wallet_id": WALLET,
        "customer_id": CUSTOMER,
        "type": "credit" if change > 0 else "debit",
        "credit_amount": str(abs(change)),
        "credit_balance_before": before,
        "credit_balance_after": str(Decimal(before) + change),
        "credits_available": str(max(change, Decimal(0))),
        "transaction_status": "completed",
        "transaction_reason": "PURCHASED_CREDIT_DIRECT" if change > 0 else "CREDIT_ADJUSTMENT",
        "created_at": f"2026-06-{number:02}T00:00:00Z",
    } | members


ROWS = [_row(1, "0", "100")]


@cache
def flexprice() -> Contract:
    """The contract, loaded once."""
    return contract("flexprice")


class Made:
    """Fixtures made of exchanges that never were; `account` is the wallet as the mock has it."""

    def __init__(self, *exchanges: tuple[str, str, Any]) -> None:
        maker = FixtureMaker()
        for number, (method, path, answer) in enumerate(exchanges):
            operation = flexprice().operation_at(method, path.partition("?")[0])
            assert operation is not None
            query = path.partition("?")[2].encode()
            request = Request(method, path.partition("?")[0], query, (), b"", {"id": WALLET} if WALLET in path else {})
            answered = Response(200, [(b"content-type", b"application/json")], json.dumps(answer).encode())
            maker.take("flexprice", operation, Exchange(request, answered), NOW.timestamp() + number)
        self.file: FixtureFile = maker.files()[0]
        self.opening = Opening(Seed(1), read(self.file.text), 0, NOW)

    @property
    def account(self) -> Account:
        found = self.opening.account(WALLET)
        assert found is not None
        return found


def read(text: str) -> FlexpriceFixtures:
    """A fixture file, as the mock reads it."""
    return parse(Source(Path("made.yaml"), text, number=exact_number), FlexpriceFixtures)


def page(rows: list[dict[str, Any]], total: int) -> dict[str, Any]:
    """An answer with these rows, newest first, of so many."""
    return {"items": rows[::-1], "pagination": {"total": total, "limit": 50, "offset": 0}}


GET = ("GET", f"/v1/wallets/{WALLET}", BODY)
TRANSACTIONS = f"/v1/wallets/{WALLET}/transactions"


def test_a_wallet_without_its_rows() -> None:
    """An opening credit makes up the balance, marked as made up."""
    made = Made(GET)
    assert [row.credit_amount for row in made.account.transactions] == [100]
    assert made.account.wallet.balance == 150
    assert "# Made up: stands for what came before, which was not seen." in made.file.text
    assert made.file.notes == []


def test_customers_without_an_external_id_have_none_in_common() -> None:
    """Only external ids that were seen can be the same."""
    other = BODY | {"id": f"{WALLET[:-1]}K", "customer_id": f"{CUSTOMER[:-1]}M"}
    made = Made(("POST", "/v1/wallets/search", page([BODY, other], 2)))
    assert (made.file.wallets, made.file.notes) == (2, [])


def test_what_is_left_of_credits_tells_bought_from_free() -> None:
    """The breakdown is as recorded, with no row seen."""
    balance = BODY | {"real_time_balance": "130", "current_period_usage": "20", "unpaid_invoices_amount": "0"}
    balance |= {"credits_available_breakdown": {"purchased": "60", "free": "40"}}
    made = Made(("GET", f"/v1/wallets/{WALLET}/balance/real-time", balance))
    assert breakdown(made.account) == {"purchased": "60", "free": "40"}
    assert made.opening.usage(CUSTOMER, "eur").amount == 20
    assert made.file.notes == []


def test_a_wallet_of_which_a_page_was_seen() -> None:
    """Rows that were not seen are made up for: their number, so that pages fit, and their sum, so that balances do."""
    rows = [_row(7, "40", "80"), _row(9, "90", "10"), _row(10, "100", "5", transaction_status="failed")]
    made = Made(("GET", TRANSACTIONS, page(rows, 7)), GET)
    seen = [(row.credit_balance_before, row.credit_balance_after) for row in made.account.transactions]
    assert len(seen) == 7
    assert seen[-4:] == [(40, 120), (120, 90), (90, 100), (100, 100)]
    assert made.account.row(rows[0]["id"]) is not None
    assert made.account.wallet.credit_balance == 100


def test_the_state_before_the_first_change() -> None:
    """A wallet that is first seen when it is changed is in the file as it was before: balance, state, without the new rows."""
    topped = {"wallet": BODY, "wallet_transaction": _row(30, "70", "30")}
    made = Made(
        ("POST", f"/v1/wallets/{WALLET}/top-up", topped),
        ("GET", TRANSACTIONS, page([_row(1, "0", "70"), _row(30, "70", "30")], 2)),
    )
    assert [row.credit_amount for row in made.account.transactions] == [70]
    closed = BODY | {"wallet_status": "closed", "balance": "0", "credit_balance": "0", "updated_at": "2026-06-30T00:00:00Z"}
    last = _row(30, "100", "-100", transaction_reason="WALLET_TERMINATION")
    made = Made(("POST", f"/v1/wallets/{WALLET}/terminate", closed), ("GET", TRANSACTIONS, page([last], 2)))
    assert (made.account.wallet.wallet_status, made.account.wallet.credit_balance) == ("active", 100)


def test_later_answers_do_not_count() -> None:
    """A wallet that others change meanwhile is in the file as it was seen first."""
    made = Made(
        GET, ("GET", f"/v1/wallets/{WALLET}", BODY | {"credit_balance": "7", "balance": "10.5", "wallet_status": "frozen"})
    )
    assert (made.account.wallet.wallet_status, made.account.wallet.credit_balance) == ("active", 100)


def test_what_was_created_is_left_out() -> None:
    """Who sends the same again creates it again."""
    made = Made(("POST", "/v1/wallets", BODY), GET)
    assert made.opening.account(WALLET) is None
    assert made.file.notes == [f"{WALLET} is left out: the recording creates it, and so does whoever sends it again"]


def test_what_the_mock_says_otherwise_is_told() -> None:
    """A balance that does not follow from credits and rate cannot be carried over, and the list says so."""
    made = Made(("GET", f"/v1/wallets/{WALLET}", BODY | {"balance": "151"}))
    assert made.file.notes == [f"wallet-1 ({WALLET}): balance was 151, in the mock it is 150"]


def test_two_rows_of_one_id() -> None:
    """A file with the same row twice is refused, with the place."""
    text = Made(("GET", TRANSACTIONS, page(ROWS, 1)), GET).file.text
    rows = text[text.index("      - credit") :]
    source = Source(Path("made.yaml"), text + rows, number=exact_number)
    opening = Opening(Seed(1), parse(source, FlexpriceFixtures), 0, NOW)
    with pytest.raises(
        SourceError, match=r"transactions/1/id: duplicate id wtxn_01KSF5FR5GR5VX5PHQ9E1Y7P01: wallet-1, row 0 has it"
    ):
        opening.check(source)


def test_strange_answers_cost_one_wallet_at_most() -> None:
    """Whatever a service writes into a member, the file can be served; what it cannot hold is told."""
    strange: list[Any] = [None, True, -1, 10**30, "NaN", "1e400", "9999-12-31T23:59:59Z", [], {}, [1], "{{name}}", "\ud800"]
    names = {**BODY, "metadata": 0, "config": 0, "auto_topup": 0, "alert_settings": 0, "name": 0, "real_time_balance": "1"}
    for name in names:
        for value in strange:
            made = Made(
                ("GET", f"/v1/wallets/{WALLET}", BODY | {name: value}), ("GET", TRANSACTIONS, page([ROWS[0] | {name: value}], 1))
            )
            assert made.opening.account(WALLET) is not None or name == "id" or made.file.notes, (name, value)


def test_more_than_can_be_stored() -> None:
    """Rows whose sum no wallet can hold are refused where they stand, also in files that people write."""
    text = Made(("GET", TRANSACTIONS, page(ROWS, 1)), GET).file.text.replace("credit: 100", "credit: 99999999999")
    source = Source(Path("made.yaml"), text + "      - credit: 1\n", number=exact_number)
    opening = Opening(Seed(1), parse(source, FlexpriceFixtures), 0, NOW)
    with pytest.raises(
        SourceError, match=r"made.yaml:\d+: /personas/wallet-1/transactions/\d: the balance after it cannot be stored"
    ):
        opening.check(source)
