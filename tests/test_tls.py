"""TLS: which files are refused and in which words, and that everything which talks to a mock can talk to this one.

The certificate in `tests/data/tls` is its own issuer, names localhost and 127.0.0.1, and is good until 2126. Its key is public:
trust it nowhere else.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import Mock, paste, start, stop

from contract_tests.checking import Wanted, subjects
from contract_tests.mock_client import ControlError, MockClient
from contract_tests.source import InputError
from mock_server.tls import server_context

PEM = Path(__file__).parent / "data" / "tls"
CERTIFICATE, KEY = PEM / "test-certificate.pem", PEM / "test-key.pem"
SERVE_TLS = ["--tls-cert", str(CERTIFICATE), "--tls-key", str(KEY)]


@pytest.fixture(scope="module")
def secure() -> Iterator[Mock]:
    """A mock that speaks TLS; it must not log anything."""
    running = start(*SERVE_TLS)
    yield running
    logged = stop(running)
    assert logged == "", f"the mock complained:\n{logged}"


@pytest.fixture
def client(secure: Mock) -> Iterator[httpx.Client]:
    """A client that trusts the certificate."""
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    with httpx.Client(base_url=secure.url, headers={"x-api-key": "test"}, verify=trusting) as opened:
        yield opened


def healthy(mock: Mock) -> str:
    """The path of a wallet."""
    return f"/v1/wallets/{mock.personas()['flexprice/healthy']['ids']['wallet']}"  # type: ignore[index]


def command(*arguments: str, trusting: bool) -> subprocess.CompletedProcess[str]:
    """A command as a process, which trusts the certificate or not."""
    environment = {name: value for name, value in os.environ.items() if name not in ("SSL_CERT_FILE", "COLUMNS")}
    environment |= {"COLUMNS": "300"} | ({"SSL_CERT_FILE": str(CERTIFICATE)} if trusting else {})
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=PEM.parent
    )


@pytest.mark.parametrize(
    ("certificate", "key", "text"),
    [
        (CERTIFICATE, None, "--tls-cert and --tls-key go together, got only --tls-cert"),
        (None, KEY, "--tls-cert and --tls-key go together, got only --tls-key"),
        ("no", KEY, "--tls-cert no: cannot be read: No such file or directory"),
        (CERTIFICATE, ".", "--tls-key .: cannot be read: Is a directory"),
        ("binary", KEY, "--tls-cert binary: not a certificate in PEM form: .*-----BEGIN CERTIFICATE-----"),
        (KEY, CERTIFICATE, "--tls-cert .*test-key.pem: not a certificate in PEM form"),
        (CERTIFICATE, "binary", "--tls-key binary: not a private key in PEM form: .*-----BEGIN PRIVATE KEY-----"),
        ("broken", KEY, "--tls-cert broken: a certificate in it is broken"),
        (CERTIFICATE, "broken", "--tls-key broken: the key in it is broken"),
        (CERTIFICATE, PEM / "other-test-key.pem", "--tls-key .*: not the key of the first certificate in .*certificate.pem"),
        (CERTIFICATE, PEM / "encrypted-test-key.pem", "--tls-key .*: the key is encrypted, .*openssl pkey -in "),
    ],
)
def test_bad_files(
    certificate: Path | str | None, key: Path | str | None, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says which file is wrong, and why."""
    monkeypatch.chdir(tmp_path)
    Path("binary").write_bytes(b"\x30\x82\xff\xfe")
    frames = [f"-----BEGIN {what}-----\nAAAA\n-----END {what}-----\n" for what in ("CERTIFICATE", "PRIVATE KEY")]
    Path("broken").write_text("".join(frames))
    with pytest.raises(InputError, match=f"^{text}") as refusal:
        server_context(*(None if path is None else Path(path) for path in (certificate, key)))
    assert "\n" not in str(refusal.value)


def test_bad_files_are_refused_before_anything_listens() -> None:
    """The port is not even asked for: it is taken, and that is not what is complained of."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = command("-m", "walletproof", "serve", "--port", port, "--tls-cert", str(CERTIFICATE), trusting=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "walletproof: --tls-cert and --tls-key go together, got only --tls-cert\n"


def test_versions() -> None:
    """Nothing older than TLS 1.2 is spoken, whatever the system allows."""
    context = server_context(CERTIFICATE, KEY)
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_banner(secure: Mock) -> None:
    """Every address in it is https, and the line after `Try:` works when pasted."""
    assert "http://" not in secure.banner
    line = re.search(r"^Try: +(curl .*)$", secure.banner, re.MULTILINE)
    assert line
    assert json.loads(paste(line[1]))["real_time_balance"]


def test_plain_http_is_not_answered(secure: Mock) -> None:
    """Who speaks without TLS gets nothing, and others are served on."""
    with pytest.raises(httpx.TransportError):
        httpx.get(secure.url.replace("https:", "http:") + "/_mock/health")
    assert httpx.get(f"{secure.url}/_mock/health", verify=False).status_code == 200


def test_controls_take_pages_of_their_own_origin_only(client: httpx.Client, secure: Mock) -> None:
    """The guard against foreign pages knows https origins as well."""
    asked = [client.get("/_mock/personas", headers={"origin": origin}) for origin in (secure.url, "https://page.example")]
    assert [answer.status_code for answer in asked] == [200, 403]


def test_changes_are_seen(client: httpx.Client, secure: Mock) -> None:
    """Bodies go both ways, in one connection."""
    path = healthy(secure)
    in_session = {"x-mock-session": "tls-changes"}
    client.put(path, json={"name": "Höher"}, headers=in_session).raise_for_status()
    assert client.get(path, headers=in_session).json()["name"] == "Höher"


@pytest.mark.parametrize("fault", ["reset", "refused", "garbage", "cut"])
def test_broken_connections(client: httpx.Client, secure: Mock, fault: str) -> None:
    """Faults that reach below HTTP find the connection under TLS too: the client gets no whole answer, and then another one."""
    path = healthy(secure)
    with pytest.raises(httpx.TransportError):
        client.get(path, headers={"prefer": f"fault={fault}"})
    assert client.get(path).status_code == 200


def test_export_and_replay(secure: Mock, tmp_path: Path) -> None:
    """A session leaves one https mock as a file and lives on in another."""
    file = tmp_path / "session.json"
    with httpx.Client(base_url=secure.url, verify=False, headers={"x-api-key": "t", "x-mock-session": "tls-export"}) as client:
        client.put(healthy(secure), json={"name": "Exported"}).raise_for_status()
    export = ("-m", "walletproof", "export", secure.url, "--session", "tls-export", "--out", str(file))
    done = command(*export, trusting=True)
    assert (done.returncode, done.stderr) == (0, "")
    replayed = start(str(file), *SERVE_TLS, command="replay")
    try:
        assert replayed.url.startswith("https://")
        wallet = httpx.get(replayed.url + healthy(replayed), headers={"x-api-key": "t"}, verify=False).json()
        assert wallet["name"] == "Exported"
    finally:
        assert stop(replayed) == ""


def test_checks_without_trust(secure: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it they do not begin, and say what is wrong and what to do; who insists need not trust."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(InputError, match=r"is not trusted: .*SSL_CERT_FILE"):
        subjects(Wanted(secure.url, providers=("polar",)))
    (subject,) = subjects(Wanted(secure.url, providers=("polar",), insecure=True))
    subject.target.close()


def test_mock_client(secure: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of the controls trusts what SSL_CERT_FILE names, and nothing that nobody vouches for."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with MockClient(secure.url) as careful, pytest.raises(ControlError, match="SSL_CERT_FILE"):
        careful.personas()
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with MockClient(secure.url) as trusting:
        assert "flexprice/healthy" in trusting.personas()


def test_ctrl_c_is_quick_and_quiet() -> None:
    """Connections that clients keep open, or opened without a word, do not hold it up, nor are they trouble to log."""
    running = start(*SERVE_TLS)
    port = int(running.url.rpartition(":")[2])
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    with (
        socket.create_connection(("127.0.0.1", port)),
        trusting.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost") as idle,
    ):
        idle.sendall(b"GET /_mock/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(15) == b"HTTP/1.1 200 OK"
        begin = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        code = running.process.wait(timeout=10)
        seconds = time.monotonic() - begin
    logged = stop(running)
    assert (code, logged) == (0, "")
    assert seconds < 2
