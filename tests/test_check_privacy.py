"""Traffic is full of people and keys: none of them survives in what `check` and `proxy` write of it, in any spelling.

Each canary stands in an exchange in which something is wrong, at the very place or beside it, so that reports show it.
"""

from __future__ import annotations

import base64
import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
import violations
from violations import Har, answer, entry, header, sent

from walletproof.cli import main

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's, on every use of allowEmptyValue

API = "http://127.0.0.1:8080"
FORMATS = ("json", "html", "junit", "sarif", "github", "text")

# People.
MAIL = "zephyrine.quillfeather+canary@kanarinka.test"
OTHER_MAIL = "ODALYS@Kanaria-Werke.test"
NAME = "Zephyrine Quillfeather"
OTHER_NAME = "Ødalÿs Þrúðvangr"
PHONE = "+49 151 98765432"
STREET = "Kanarienstraße 77b"
ADDRESS = "198.18.203.77"
CARD = "4929 8817 3305 9014"
IBAN = "DE44500105175407324931"
REFERENCE = "quillfeather-haus-7"
HOUSEHOLD = "ismelda.vantongeren-2026"  # a customer's id, in paths
NAME_ELSEWHERE = "Perpetua Oxenstierna"  # a member of an exchange without fault, and a word of a message in one with a fault
NAME_IN_A_MESSAGE = "Théodora Cavendish-Löw"  # in no member at all

# Secrets.
KEY = "sk_live_c4n4ry7Hq2Lx9"
TOKEN = "polar_cst_Zq8vLw2XkP4nRt7YbM5c"
COOKIE = "c4nary0kx81mz0vq55"
COOKIE_MAIL = "rememb.tukan@papagei.test"
IN_URL = "tw9Kq3c4naryZ7vXb2"
PASSWORD = 'c4n"4ry<zu>klo&pq7'
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwaW5zb24ifQ.cGluc29uLXNpZ25hdHVyZQ"

NAMES = [word for name in (NAME, OTHER_NAME, NAME_ELSEWHERE, NAME_IN_A_MESSAGE) for word in name.split()]
PEOPLE = (MAIL, OTHER_MAIL, *NAMES, PHONE, STREET, ADDRESS, CARD, IBAN, REFERENCE, HOUSEHOLD)
SECRETS = (KEY, TOKEN, COOKIE, COOKIE_MAIL, IN_URL, PASSWORD, JWT)


PIECE = 7  # characters; what is shorter may stand anywhere


def spellings(canary: str) -> Iterator[str]:
    """The ways in which something can stand in a text, in lower case."""
    in_json = json.dumps(canary)[1:-1]
    written = {canary, in_json, json.dumps(in_json)[1:-1], quote(canary), quote(canary, safe=""), quote_plus(canary)}
    written |= {quote(quote(canary, safe=""), safe=""), html.escape(canary), html.escape(in_json), canary.replace(" ", "")}
    for shift in range(3):  # in base64 it depends on what stands before; both ends may be shared with others
        packed = base64.b64encode(b" " * shift + canary.encode()).decode()
        written |= {packed[4:-4], packed[4:-4].translate(str.maketrans("+/", "-_"))}
    yield from (text.lower() for text in written if len(text) >= PIECE)


def full_of_canaries() -> Har:
    """The recording, with somebody's life in it, and violations just there."""
    har = violations.recording()
    for found in har["log"]["entries"]:
        request = found["request"]
        for name, secret in (("x-api-key", KEY), ("authorization", f"Bearer {TOKEN}")):
            if any(given["name"].lower() == name for given in request["headers"]):
                header(request, name, secret)
        header(request, "Cookie", f"session={COOKIE}; who={COOKIE_MAIL}")
        header(request, "X-Forwarded-For", ADDRESS)
        header(request, "Referer", f"http://localhost:5173/?mail={quote(MAIL)}&token={IN_URL}")
        header(found["response"], "Set-Cookie", f"session={COOKIE}")
        header(found["response"], "X-User", OTHER_MAIL)

    person = {
        "owner": NAME,
        "phone": PHONE,
        "password": PASSWORD,
        "session": JWT,
        "iban": IBAN,
        "note": f"for {OTHER_NAME}, {CARD}",
    }
    with sent(har, violations.CREATED) as body:
        body |= {"external_customer_id": MAIL, "name": NAME, "metadata": person, "conversion_rate": {"of": NAME}}
    with answer(har, violations.CREATED) as body:
        body |= {"name": NAME, "metadata": person, "description": f"{OTHER_NAME}, {STREET}, {PHONE}", "currency": [NAME]}
    with sent(har, violations.CHANGED) as body:
        body |= {"name": OTHER_NAME, "metadata": {MAIL: 3, NAME: ["a list"]}}
    with answer(har, violations.GIFT) as body:
        body["wallet"] |= {"wallet_status": NAME, "metadata": {OTHER_MAIL: 7}}
        body["wallet_transaction"] |= {"reference_id": REFERENCE, "description": STREET, "type": OTHER_MAIL}
    with answer(har, violations.KEY_USED) as body:
        body |= {"message": f"{NAME} <{MAIL}> used {KEY} before, says /srv/app/wallet.go:17 to {ADDRESS}", "code": "not_found"}
        body["details"] = {"hint": f"{NAME_IN_A_MESSAGE} has it", "owner_id": NAME_ELSEWHERE.lower()}
        body["message"] += f" for {NAME_ELSEWHERE} and {NAME_IN_A_MESSAGE}"
    with answer(har, violations.CLOSED) as body:
        body["name"] = NAME_ELSEWHERE
    of_customer = entry(har, ("GET", r"/customers/cust_\w+/wallets", 0))
    of_customer["request"]["url"] = re.sub(r"cust_\w+", f"{HOUSEHOLD}%20{quote(NAME)}", of_customer["request"]["url"])
    of_customer["response"]["status"] = 299
    with answer(har, violations.WRONG_KEY) as body:
        # What is shown of it begins and ends within somebody.
        body["error"] = f"{NAME} {'before ' * 7} /srv/app/wallet.go:17 {'after ' * 7} {MAIL} {PHONE}"
    with answer(har, violations.SEARCHED) as body:
        body["items"][0] |= {"balance": NAME, "alert_settings": {"critical": STREET}, "email": MAIL}
    for where in (violations.FIRST_ROWS, violations.POLAR_SECOND_PAGE):
        request = entry(har, where)["request"]
        request["url"] = request["url"].replace(
            "limit=2", f"limit={quote(MAIL)}&access_token={IN_URL}&name={quote_plus(OTHER_NAME)}"
        )
    first = entry(har, ("GET", "/customers/wallets", 0))
    first["request"]["url"] = first["request"]["url"].replace("lookup_key=ext_cust_acme", f"lookup_key={quote(MAIL, safe='')}")
    header(first["response"], "Content-Type", f"text/html; author={OTHER_MAIL}")
    content = entry(har, violations.POLAR_SORTED)["response"]["content"]
    content["text"] = content["text"].replace('"currency":"gbp"', f'"{MAIL}":1,"{MAIL}":2')
    # Half a body, a form, and what is no JSON at all.
    entry(har, violations.SECOND_BALANCE)["response"]["content"]["text"] = (
        f'{{"id": "w", "owner": "{NAME}", "mail": "{MAIL}", "pass'
    )
    late = entry(har, violations.LATE)["request"]
    header(late, "Content-Type", "application/x-www-form-urlencoded")
    late["postData"]["text"] = f"mail={quote_plus(MAIL)}&name={quote_plus(NAME)}&password={quote_plus(PASSWORD)}&api_key={KEY}"
    return har


def with_broken_entries(har: Har) -> Har:
    """The same and entries that cannot be read, where the message might say what stood there."""
    entries = har["log"]["entries"]
    template = json.dumps(entry(har, violations.CLOSED))
    for edit in (
        {"startedDateTime": MAIL},
        {"request": {"method": NAME, "url": f"http://{MAIL}:{IN_URL}@[::1", "headers": []}},
        {"request": {"method": "GET", "url": f"http://api.example.com:{PHONE}/{quote(NAME)}?token={IN_URL}", "headers": []}},
        {
            "request": {
                "method": "GET",
                "url": "http://127.0.0.1:8080/v1/wallets",
                "headers": [{"name": MAIL, "value": {"is": KEY}}],
            }
        },
        {"response": {"status": NAME, "headers": [], "content": {}}},
        {"response": {"status": 200, "headers": [], "content": {"text": f"{MAIL} {PASSWORD}", "encoding": "base64"}}},
        {"response": {"status": 200, "headers": [], "content": {"text": "e30=", "encoding": OTHER_NAME}}},
        {"response": {"status": 0, "headers": [], "content": {}, "_error": f"no route to {MAIL}"}},
    ):
        broken: dict[str, Any] = json.loads(template)
        entries.append(broken | edit)
    # Not of the API, but of the same people.
    elsewhere: dict[str, Any] = json.loads(template)
    elsewhere["request"]["url"] = f"http://{quote(NAME)}:{quote(PASSWORD, safe='')}@127.0.0.1:8080/people/{quote(MAIL)}"
    entries.append(elsewhere)
    return har


def reports(folder: Path) -> dict[str, Path]:
    """Where each format of report goes."""
    return {name: folder / f"report.{name}" for name in FORMATS}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Everything that a check writes of the recording, by where it was written."""
    folder = tmp_path_factory.mktemp("checked")
    file, summary = folder / "shop.har", folder / "summary"
    file.write_text(json.dumps(with_broken_entries(full_of_canaries()), ensure_ascii=False), "utf-8")
    said = {name: folder / name for name in ("stdout", "stderr")}
    with pytest.MonkeyPatch.context() as patch, said["stdout"].open("w") as out, said["stderr"].open("w") as err:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        patch.setenv("GITHUB_ACTIONS", "true")
        patch.setenv("GITHUB_STEP_SUMMARY", str(summary))
        code = main(["check", str(file), *(f"--report={name}={path}" for name, path in reports(folder).items())])
    assert code == 1
    return {path.name: path.read_text("utf-8") for path in (*reports(folder).values(), summary, *said.values())}


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Everything that a proxy writes of the same exchanges, by where it was written."""
    folder = tmp_path_factory.mktemp("passed")
    record, log = folder / "record.har", folder / "log"
    har = full_of_canaries()
    entries = [e for e in har["log"]["entries"] if e["request"]["url"].startswith(f"{API}/v1/")]
    entries = [e for e in entries if e["response"]["status"]]
    with answering(entries) as url, log.open("w") as output:
        options = [f"--record={record}", *(f"--report={name}={path}" for name, path in reports(folder).items())]
        command = [sys.executable, "-m", "walletproof", "proxy", url, "--port", "0", *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=output, text=True) as proxy:
            assert proxy.stdout is not None
            said = proxy.stdout.readline()
            try:
                (address,) = re.findall(r"http://127\.0\.0\.1:\d+(?= )", said)
                with httpx.Client(base_url=address, verify=False) as client:
                    for found in entries:
                        send(client, found["request"])
            finally:
                proxy.terminate()
                said += proxy.communicate(timeout=20)[0]
    written = {path.name: path.read_text("utf-8") for path in (*reports(folder).values(), record, log)}
    return written | {"stdout": said}


def send(client: httpx.Client, request: dict[str, Any]) -> None:
    """Send what was recorded."""
    own = ("host", "connection", "content-length", "accept-encoding")
    headers = [(given["name"], given["value"]) for given in request["headers"] if given["name"].lower() not in own]
    body = request.get("postData", {}).get("text", "").encode()
    client.request(request["method"], request["url"].removeprefix(API), headers=headers, content=body)


@contextmanager
def answering(entries: list[dict[str, Any]]) -> Iterator[str]:
    """A service that gives the recorded answers, one after the other; its address."""
    answers = iter([found["response"] for found in entries])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet, or each answer waits 40 ms for an acknowledgement

        def __getattr__(self, name: str) -> Any:
            if not name.startswith("do_"):
                raise AttributeError(name)
            return self.answer

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            response = next(answers)
            body = response["content"].get("text", "").encode()
            self.send_response_only(response["status"], "Recorded")
            for given in response["headers"]:
                if given["name"].lower() not in ("content-length", "connection"):
                    self.send_header(given["name"], given["value"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("command", ["check", "proxy"])
def test_reports_show_the_exchanges_that_hold_canaries(written: dict[str, str], passed: dict[str, str], command: str) -> None:
    """Or nothing would be proved here: what is wrong is found at all these places, and shown."""
    report = json.loads({"check": written, "proxy": passed}[command]["report.json"])
    causes = [cause for run in report["runs"] for cause in run["causes"]]
    rules = {cause["rule"] for cause in causes}

    assert rules >= {
        "request.body",
        "request.parameter",
        "request.content-type",
        "response.body",
        "response.content-type",
        "errors.no-internals",
        "errors.no-secrets",
        "errors.strict-json",
        "errors.code-fits-status",
    }
    operations = {"createWallet", "updateWallet", "topUpWallet", "queryWallet", "getWallet", "getWalletTransactions"}
    assert {cause["operation"] for cause in causes} >= operations
    assert all(step["curl"] for cause in causes for step in cause["steps"])


def test_messages_about_broken_entries_are_there(written: dict[str, str]) -> None:
    """For those that hold canaries as well."""
    assert json.loads(written["report.json"])["traffic"]["unusable"]["unreadable"] >= 5


@pytest.fixture(scope="module")
def pieces(written: dict[str, str], passed: dict[str, str]) -> dict[str, set[str]]:
    """Everything of `PIECE` characters in what is written, in lower case, by where."""
    texts = {f"check {where}": text for where, text in written.items()} | {
        f"proxy {where}": text for where, text in passed.items()
    }
    return {
        where: {text[at : at + PIECE] for text in (whole.lower(),) for at in range(len(text) - PIECE + 1)}
        for where, whole in texts.items()
    }


def told(canary: str) -> set[str]:
    """The pieces of a canary, however it is spelled."""
    return {text[at : at + PIECE] for text in spellings(canary) for at in range(max(1, len(text) - PIECE + 1))}


@pytest.mark.parametrize("canary", PEOPLE)
def test_nobody_is_in_what_is_written(pieces: dict[str, set[str]], canary: str) -> None:
    """Neither in reports nor on the terminal, plain or escaped, nor a piece where a text was cut.

    What a proxy records is for a machine, and keeps people as they are.
    """
    seen = {where: told(canary) & found for where, found in pieces.items() if where != "proxy record.har"}

    assert {where: found for where, found in seen.items() if found} == {}


@pytest.mark.parametrize("canary", SECRETS)
def test_no_secret_is_in_what_is_written(pieces: dict[str, set[str]], canary: str) -> None:
    """Nor in what a proxy records."""
    assert {where: found for where, seen in pieces.items() if (found := told(canary) & seen)} == {}
