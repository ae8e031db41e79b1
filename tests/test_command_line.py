"""The command line as a process: what it says, what it refuses and in which words, how it guards itself, how it stops."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from conftest import Mock, paste, start
from syrupy.assertion import SnapshotAssertion

from mock_server import fixture_files
from walletproof.cli import main

ROOT = Path(__file__).parent.parent
WALLETPROOF = [sys.executable, "-m", "walletproof"]
DOCUMENT = (ROOT / "openapi" / "flexprice.yaml").read_text(encoding="utf-8")
FIXTURES = """\
provider: flexprice
locale: en_US
customers:
  acme: {external_id: ext_acme}
personas:
  one:
    about: A wallet
    customer: acme
    name: "Wallet of {{company}}"
    currency: usd
    transactions:
      - {credit: 100}
      - {debit: 40.5}
"""
ID = "wallet_01KSF5FR5GR5VX5PHQ9E1Y7PCJ"
TWO = f"  two: {{about: Two, customer: acme, id: {ID}}}\n"
OVERLAY = "overlay: 1.0.0\ninfo: {title: Test, version: '1'}\nactions:\n  - target: $.info\n    update: {x-test: true}\n"


def _logged(mock: Mock) -> str:
    """What a mock has written to stderr."""
    mock.log.seek(0)
    return mock.log.read()


def run(*arguments: str, width: int = 100) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself, and soon."""
    env = {**os.environ, "COLUMNS": str(width)}
    return subprocess.run([*WALLETPROOF, *arguments], capture_output=True, text=True, timeout=10, check=False, env=env)


def refusal(code: int, out: str, error: str) -> str:
    """What `serve` said about input that it refused: one line."""
    assert (code, out) == (2, "")
    assert "Traceback" not in error
    assert re.fullmatch(r"walletproof: [^\n]+\n", error), error
    return error.removeprefix("walletproof: ").rstrip("\n")


Refused = Callable[..., str]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Refused]:
    """`serve` with options that it refuses, in this process, as many a process would take a second each; what it says."""

    def serves(*_: object) -> NoReturn:
        pytest.fail("it was not refused: it serves")

    def refused(*options: str) -> str:
        return refusal(main(["serve", "--port", "0", *options]), *capfd.readouterr())

    monkeypatch.setattr("mock_server.serving.serve", serves)
    yield refused
    gc.enable()  # a start does without


@contextmanager
def serving(*options: str) -> Iterator[Mock]:
    """A mock of a test's own; whatever happens, it ends with the test."""
    running = start(*options)
    with running.process, running.log:
        try:
            yield running
        finally:
            running.process.kill()


def interrupt(mock: Mock) -> tuple[int, str, str]:
    """Ctrl-C: the exit code, and what was still to be read from stdout and stderr."""
    mock.process.send_signal(signal.SIGINT)
    assert mock.process.stdout is not None
    out, error = "" if mock.process.stdout.closed else mock.process.stdout.read(), _logged(mock)
    return mock.process.wait(timeout=10), out, error


def wallet_of(mock: Mock, name: str) -> str:
    """The wallet id of a Flexprice persona."""
    return mock.personas()[f"flexprice/{name}"]["ids"]["wallet"]  # type: ignore[index]


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"]], ids=" ".join)
def test_help(arguments: list[str], snapshot: SnapshotAssertion) -> None:
    """The help texts, a hundred columns wide."""
    result = run(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == snapshot


def test_version() -> None:
    """`--version` says name and version."""
    result = run("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, "walletproof 0.1.0\n", "")


@pytest.mark.parametrize("arguments", [[], ["--nope"], ["nope"], ["serve", "--nope"], ["serve", "--port", "x"]], ids=" ".join)
def test_usage_errors(arguments: list[str]) -> None:
    """What argparse refuses: usage on stderr, exit code 2."""
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: walletproof")
    assert "Traceback" not in result.stderr


def test_banner(mock: Mock, snapshot: SnapshotAssertion) -> None:
    """The banner fits a screen."""
    lines = mock.banner.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 120
    assert re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", mock.banner) == snapshot


@pytest.mark.parametrize("provider", ["flexprice", "polar"])
def test_banner_curl_works(provider: str) -> None:
    """The line after `Try:` works when pasted into a shell, whichever provider is served alone."""
    with serving("--provider", provider) as mock:
        line = re.search(r"^Try: +(curl .*)$", mock.banner, re.MULTILINE)
        assert line
        assert paste(line[1])[:1] == "{"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("--provider stripe", "unknown provider 'stripe'; there are flexprice, polar"),
        ("--spec x.yaml", "--spec and --overlay .* one --provider"),
        ("--provider flexprice --spec {tmp}/no.yaml", r"{tmp}/no\.yaml: cannot be read: No such file"),
        ("--provider flexprice --spec {tmp}", r"{tmp}: cannot be read: Is a directory"),
        ("--provider flexprice --overlay {tmp}/no.yaml", r"{tmp}/no\.yaml: cannot be read: No such file"),
        ("--fixtures {tmp}/no.yaml", r"{tmp}/no\.yaml: cannot be read: No such file"),
        ("--fixtures {tmp}/bytes.yaml", r"{tmp}/bytes\.yaml: cannot be read: it is not UTF-8"),
        ("--fixtures {tmp}/good.yaml --fixtures {tmp}/more.yaml", "{tmp}/more.yaml: a second .* flexprice.* {tmp}/good.yaml"),
        ("--fixtures {tmp}/good.yaml --provider polar", "{tmp}/good.yaml:1: /provider: .* polar, got 'flexprice'"),
        ("--population=-1", "--population must be between 0 and 100000000, got -1"),
        ("--population 100000001", "--population must be between 0 and 100000000, got 100000001"),
        ("--seed 9223372036854775808", "--seed must fit in 64 bits"),
        ("--port 70000", "--port 70000: a port is a number from 0 to 65535"),
        ("--port=-1", "--port -1: a port is a number from 0 to 65535"),
        ("--host nowhere.invalid", r"--host nowhere\.invalid: no such address"),
        ("--host 192.0.2.1", r"cannot listen on 192\.0\.2\.1:0: "),
    ],
)
def test_bad_options(options: str, text: str, refused: Refused, tmp_path: Path) -> None:
    """One line says which option or file is wrong, and why."""
    for name in ("good.yaml", "more.yaml"):
        (tmp_path / name).write_text(FIXTURES)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    assert re.match(text.format(tmp=tmp_path), refused(*options.format(tmp=tmp_path).split()))


def test_port_in_use(refused: Refused) -> None:
    """Another server's port is refused by number."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused("--port", str(port)).startswith(f"port {port} on 127.0.0.1 is in use")


@pytest.mark.parametrize(
    "options", [["--spec", "{tmp}/no.yaml", "--provider", "polar"], ["--fixtures", "{tmp}"], ["--seed", "9" * 19]]
)
def test_a_refusal_ends_the_process(options: list[str], tmp_path: Path) -> None:
    """As the command itself: exit code 2, one line, and nothing of a library's own besides."""
    done = run("serve", "--port", "0", *(option.format(tmp=tmp_path) for option in options))
    assert refusal(done.returncode, done.stdout, done.stderr)


BAD = [
    ("--spec", "openapi: 3.0.1", "openapi: 2.0.0", r"\d+: /openapi: expected an OpenAPI 3.0 or 3.1 document"),
    ("--spec", "title: Flexprice API", "title: [1]", r"\d+: /info/title: this document is not valid OpenAPI"),
    ("--spec", "title: Flexprice API", "title: {a: 1\n", r"\d+: this is not YAML"),
    ("--spec", "title: Flexprice API", "title: a\n  title: b", r"\d+: /info/title: duplicate key"),
    (
        "--spec",
        "operationId: queryWallet\n",
        "operationId: createWallet\n",
        r"\d+: /paths/~1wallets~1search/post\S*: operationId .*taken",
    ),
    ("--spec", "operationId: getWallet\n", "operationId: fetch\n", "flexprice: the mock does not know what fetch should do"),
    ("--spec", "schemas/WalletResponse'", "schemas/Nope'", r"\d+: /paths/\S+/\$ref: .*schemas/Nope"),
    ("--overlay", "$.info", "$.paths['/nope']", r"4: /actions/0/target: target \$\.paths\['/nope'\] matches nothing"),
    ("--overlay", "$.info", '"$.paths["', "4: /actions/0/target: not a JSONPath"),
    ("--fixtures", "currency", "curency", "10: /personas/one/curency: unknown field .*known here: about, .*currency"),
    ("--fixtures", "{credit: 100}", "{credit: 1, expire: 1}", "12: .*/0/expire: unknown .*known here: .*credit.*expires"),
    ("--fixtures", "{debit: 40.5}", "{debit: 1, reson: x}", "13: .*/1/reson: unknown .*known here: .*debit.*reason"),
    ("--fixtures", "about: A wallet", "about: [1]", "7: /personas/one/about: .*string"),
    ("--fixtures", "company", "compny", "9: /personas/one/name: Faker has no provider 'compny'"),
    ("--fixtures", "en_US", "xx_XX", "2: /locale: Faker has no locale 'xx_XX'"),
    (
        "--fixtures",
        FIXTURES,
        FIXTURES.replace("en_US", "xx_XX").replace("{{company}}", "Acme"),
        "2: /locale: Faker has no locale",
    ),
    ("--fixtures", "40.5", "forty", "13: /personas/one/transactions/1/debit: .*decimal.*'forty'"),
    ("--fixtures", "40.5", ".nan", "13: /personas/one/transactions/1/debit: "),
    ("--fixtures", "40.5", "140.5", "13: /personas/one/transactions/1/debit: more than the credits"),
    ("--fixtures", "{debit: 40.5}", "{}", "13: /personas/one/transactions/1: .*either `credit:` or `debit:`"),
    ("--fixtures", "customer: acme", "customer: nobody", "8: /personas/one/customer: no customer 'nobody'.*acme"),
    ("--fixtures", "customers:\n", "customers:\n  acme: {}\n", "5: /customers/acme: duplicate key 'acme'"),
    ("--fixtures", "  one:\n", f"{TWO}  one:\n    id: {ID}\n", f"8: /personas/one/id: duplicate id {ID}: .*two"),
    ("--fixtures", "provider: flexprice", "provider: stripe", "1: /provider: .*flexprice, got 'stripe'"),
    ("--fixtures", "provider: flexprice\n", "", "1: /provider: .*flexprice, got None"),
    ("--fixtures", FIXTURES, "", r"1: /\w*: expected"),
]


@pytest.mark.parametrize(("option", "old", "new", "text"), BAD, ids=[re.sub(r"\W+", " ", bad[0] + bad[2])[:40] for bad in BAD])
def test_bad_files(option: str, old: str, new: str, text: str, refused: Refused, tmp_path: Path) -> None:
    """A file that is good but for one thing is refused with file, line, JSON pointer, and what was expected."""
    good = {"--spec": DOCUMENT, "--overlay": OVERLAY, "--fixtures": FIXTURES}[option]
    assert old in good
    path = tmp_path / "mine.yaml"
    path.write_text(good.replace(old, new, 1), encoding="utf-8")
    assert re.match(rf"({path}:)?{text}", refused("--provider", "flexprice", option, str(path)))


@pytest.mark.parametrize("provider", ["flexprice", "polar"])
def test_shipped_expressions(provider: str) -> None:
    """The Faker expressions of the shipped fixtures, which no start checks, are all good."""
    source = fixture_files.read_source(ROOT / "fixtures" / f"{provider}.yaml")
    fixture_files.check_expressions(source, source.data.get("locale", "en_US"))


def test_own_fixtures(tmp_path: Path) -> None:
    """A user's file takes the place of the shipped one; its expressions are evaluated, its balance follows."""
    (tmp_path / "mine.yaml").write_text(FIXTURES)
    with serving("--fixtures", f"{tmp_path}/mine.yaml") as mock:
        assert [name for name in mock.personas() if name.startswith("flexprice/")] == ["flexprice/one"]
        wallet = httpx.get(f"{mock.url}/v1/wallets/{wallet_of(mock, 'one')}", headers={"x-api-key": "test"}).json()
    assert re.fullmatch(r"Wallet of [A-Z][^{}]+", wallet["name"])
    assert float(wallet["balance"]) == 59.5


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "keep-alive"])
def test_ctrl_c(busy: bool) -> None:
    """Ctrl-C ends it within a second and with success, connections that clients keep open or not."""
    with serving() as mock, httpx.Client(base_url=mock.url) as client, socket.socket() as silent:
        if busy:
            assert [client.get("/_mock/health").status_code for _ in range(3)] == [200] * 3
            silent.connect(("127.0.0.1", client.base_url.port or 0))
        begin = time.monotonic()
        result = interrupt(mock)
        assert time.monotonic() - begin < 1
    assert result == (0, "stopped\n", "")


def test_reader_gone() -> None:
    """`serve | head -1`: it serves on, and stops as cleanly as ever."""
    with serving() as mock:
        assert mock.process.stdout is not None
        mock.process.stdout.close()
        assert httpx.get(f"{mock.url}/_mock/health").status_code == 200
        assert interrupt(mock) == (0, "", "")


@pytest.mark.parametrize("way", ["option", "environment"])
def test_secrets(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the given key and control token are taken, and neither is ever printed."""
    options = ["--host", "0.0.0.0", "--api-key", "key-s3cret"]  # the banner names 127.0.0.1
    if way == "option":
        options += ["--control-token", "token-s3cret"]
    else:
        monkeypatch.setenv("WALLETPROOF_CONTROL_TOKEN", "token-s3cret")
    with serving(*options) as mock, httpx.Client(base_url=mock.url) as client:
        tried = [client.get("/_mock/personas", headers={"x-control-token": token}) for token in ("token-s3cret", "other")]
        assert [answer.status_code for answer in [*tried, client.get("/_mock/personas")]] == [200, 401, 401]
        (wallet,) = [p["ids"]["wallet"] for p in tried[0].json()["personas"] if p["name"] == "busy"]
        codes = [client.get(f"/v1/wallets/{wallet}", headers={"x-api-key": key}).status_code for key in ("key-s3cret", "other")]
        assert codes == [200, 401]
        code, out, error = interrupt(mock)
    assert (code, error) == (0, "")
    assert "ask for the control token" in out
    assert "s3cret" not in mock.banner + out + error


def test_controls_off() -> None:
    """Seen by other machines and without a control token: only health answers."""
    with serving("--host", "0.0.0.0") as mock:
        codes = [httpx.get(f"{mock.url}/_mock/{path}").status_code for path in ("personas", "population/polar/0", "health")]
        assert codes == [403, 403, 200]
        assert "are off: no --control-token" in interrupt(mock)[1]


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("host", "rebound.example", 403),
        ("host", "localhost:{port}", 200),
        ("host", "127.0.0.1.rebound.example:{port}", 403),
        ("origin", "https://page.example", 403),
        ("origin", "null", 403),
        ("origin", "http://127.0.0.1:1", 403),
        ("origin", "http://127.0.0.1:{port}", 200),
    ],
)
def test_foreign_pages(mock: Mock, header: str, value: str, status: int) -> None:
    """On loopback, the controls answer neither rebound names nor pages of another origin."""
    value = value.format(port=httpx.URL(mock.url).port)
    assert httpx.get(f"{mock.url}/_mock/personas", headers={header: value}).status_code == status
