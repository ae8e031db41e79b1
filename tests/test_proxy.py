"""The proxy: what passes it, what does not, and what it says of it. Over real sockets, from both sides."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import psutil
import pytest
import test_sdks
import troubled
from conftest import Mock
from flexprice import Flexprice
from gating import play
from test_sdks import tokens  # noqa: F401 - a fixture
from troubled import Asked, always, http

from contract_tests.checking import contract
from contract_tests.codings import Undecodable, acceptable, decoded
from contract_tests.finding import Finding
from contract_tests.listening import listen
from contract_tests.policy import Policy
from contract_tests.proxy.examination import Examination, Seen
from contract_tests.proxy.headers import Place
from contract_tests.proxy.passing import HELD, Passing
from contract_tests.proxy.server import Serving
from contract_tests.proxy.upstream import Upstream
from contract_tests.proxy.view import View
from contract_tests.source import InputError
from contract_tests.traffic.addressing import Placed
from contract_tests.traffic.examiner import Traffic
from contract_tests.traffic.har_file import HarFile
from contract_tests.traffic.reading import read
from contract_tests.traffic.recorded import Recorded
from walletproof.cli import main

FINDINGS = "x-walletproof-findings"
KEY = {"x-api-key": "test"}
TLS = Path(__file__).parent / "data/tls"
JSON = "Content-Type: application/json"
NOWHERE = "unjudged: not in the contract"


# ---------------------------------------------------------------- proxies


@dataclass
class Proxy:
    """A proxy within this process. `seen` is what it would show."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    examination: Examination | None = None
    end: Callable[[], object] = lambda: None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)


@contextmanager
def proxy(
    url: str, *, block: bool = False, timeout: float = 1.0, insecure: bool = False, record: HarFile | None = None
) -> Iterator[Proxy]:
    """A proxy in front of `url`, or of itself, while it is needed."""
    bound = listen("127.0.0.1", 0)
    made = Proxy(f"http://127.0.0.1:{bound.getsockname()[1]}")
    begun = threading.Event()

    async def serve() -> None:
        place = Place.parse(made.url if url == "itself" else url)
        traffic = Traffic([contract("flexprice"), contract("polar")], [place.origin + place.prefix], settle=0.0, live=True)
        made.examination = Examination(traffic, policy=Policy(), record=record, show=made.seen.append)
        upstream = Upstream(place, timeout=timeout, insecure=insecure)
        serving = Serving(Passing(upstream, made.examination, frozenset([made.url[7:]]), block=block), bound)
        loop = asyncio.get_running_loop()
        made.end = lambda: loop.call_soon_threadsafe(serving.end)
        await serving.run(begun.set)
        upstream.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert begun.wait(10)
        yield made
    finally:
        if thread.is_alive():
            made.end()
        thread.join(10)
        assert not thread.is_alive()


@dataclass
class Command:
    """`walletproof proxy` as a process. `said` is what it printed, once it has ended."""

    url: str
    process: subprocess.Popen[str]
    said: str = ""

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end; its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(how)
            self.said += self.process.communicate(timeout=10)[0]
        assert "Traceback" not in self.said
        return self.process.returncode


@contextmanager
def command(*arguments: str | Path) -> Iterator[Command]:
    """The command line on a free port."""
    line = [sys.executable, "-m", "walletproof", "proxy", "--port", "0", *map(str, arguments)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = ""
    for text in process.stdout:
        said += text
        if text.startswith("Stop:"):
            break
    match = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert match, said
    running = Command(match[0], process)
    try:
        yield running
    finally:
        running.end()


@pytest.fixture(scope="module")
def before_the_mock(mock: Mock) -> Iterator[Proxy]:
    """A proxy in front of the shared mock."""
    with proxy(mock.url, timeout=30) as made:
        yield made


@pytest.fixture
def through(mock: Mock, before_the_mock: Proxy) -> Mock:
    """The mock as it is seen through that proxy."""
    return replace(mock, url=before_the_mock.url)


@contextmanager
def connected(address: tuple[str, int]) -> Iterator[socket.socket]:
    """A bare connection; nothing on it takes longer than ten seconds."""
    with socket.create_connection(address, timeout=10) as connection:
        yield connection


def raw(address: tuple[str, int], request: bytes) -> bytes:
    """What comes back until the connection is closed."""
    with connected(address) as connection:
        connection.sendall(request)
        found = b""
        while more := connection.recv(1 << 16):
            found += more
        return found


def until(connection: socket.socket, sign: bytes) -> bytes:
    """What comes, up to a sign in it."""
    found = b""
    while sign not in found:
        more = connection.recv(1 << 16)
        assert more, f"ended before {sign!r}: {found!r}"
        found += more
    return found


# ---------------------------------------------------------------- nothing but headers changes

FLEXPRICE = [
    test_sdks.test_flexprice_life_of_a_wallet,
    test_sdks.test_flexprice_settings_make_the_round,
]
POLAR = [test_sdks.test_polar_async, test_sdks.test_polar_documented_errors, test_sdks.test_polar_token_for_one_request]


@pytest.mark.parametrize("story", FLEXPRICE)
def test_flexprice_sdk(story: Callable[[Flexprice], None], through: Mock, session: str) -> None:
    """The SDK's own tests pass through the proxy as they do without, and it finds nothing wrong with SDK and mock."""
    said: list[str] = []
    with (
        httpx.Client(
            headers={"x-mock-session": session}, event_hooks={"response": [lambda seen: said.append(seen.headers[FINDINGS])]}
        ) as client,
        Flexprice(api_key_auth="test", server_url=f"{through.url}/v1", client=client) as sdk,
    ):
        story(sdk)
    assert set(said) == {"0"}


@pytest.mark.parametrize("story", POLAR)
def test_polar_sdk(story: Callable[..., None], through: Mock, tokens: dict[str, str]) -> None:  # noqa: F811 - a fixture
    """The same for Polar's."""
    story(through, tokens)


ANSWERS = {
    "length": http("200 Fine By Me", b"\x00\xff\r\n\r\n{", "Content-Type: text/html", "set-cookie: a=1", "Set-Cookie: b=2"),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Odd: \xe4\r\nConnection: close\r\n\r\n"
    b"3\r\nabc\r\n0\r\nX-End: yes\r\n\r\n",
    "gzip": http("200 OK", gzip.compress(b'{"a": 1}', mtime=0), JSON, "Content-Encoding: gzip"),
    "empty": http("204 No Content"),
    "unchanged": b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nConnection: close\r\n\r\n',
    "teapot": http("418 I'm a teapot", b"short and stout"),
    "status-799": http("799 Beyond", b"?"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_to_the_byte(name: str) -> None:
    """Status, reason, body, chunks and trailers come as they were sent, and so do headers, repeated and odd ones."""
    asked = b"GET /elsewhere?b=%2F&a=1 HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    with troubled.troubled(always(ANSWERS[name])) as server, proxy(server.url) as made:
        direct = raw(("127.0.0.1", server.server_address[1]), asked)
        passed = raw(made.address, asked)
    head, _, body = direct.partition(b"\r\n\r\n")
    passed_head, _, passed_body = passed.partition(b"\r\n\r\n")
    assert passed_body == body
    added = b"X-Walletproof-Findings: " + NOWHERE.encode()
    assert sorted(line.lower() for line in passed_head.split(b"\r\n")) == sorted(
        line.lower() for line in [*head.split(b"\r\n"), added]
    )


def test_pages_of_other_origins_can_read_what_was_found(through: Mock) -> None:
    """A browser shows a page only the headers that an answer names; what the service names stays named."""
    named = httpx.get(f"{through.url}/v1/wallets/x", headers={"x-api-key": "k"}, verify=False).headers.get_list(
        "access-control-expose-headers", split_commas=True
    )

    assert {"x-request-id", FINDINGS} <= {name.lower() for name in named}


def test_requests_to_the_byte() -> None:
    """The service gets target, headers and body as they were sent; what the proxy changes is what it documents."""
    body = bytes(range(256)) * 3
    sent = (
        b"PATCH /a%2Fb/../c?q=%20+&&x HTTP/1.1\r\nHost: here.example:1\r\nX-Case: KEPT\r\nx-twice: 1\r\nx-twice: 2\r\n"
        b"Accept-Encoding: br;q=1, GZIP;q=0.5, *;q=0\r\nTE: trailers\r\nKeep-Alive: 5\r\nX-Mine: 1\r\nUpgrade: h2c\r\n"
        b"Connection: close, X-Mine, Upgrade\r\nProxy-Authorization: Basic eDp5\r\nX-Forwarded-For: 192.0.2.1\r\n"
        b"X-Forwarded-Proto: https\r\nVia: 1.0 somebody\r\nContent-Length: 768\r\n\r\n" + body
    )
    heads: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        found = until(connection, b"\r\n\r\n")
        head, _, rest = found.partition(b"\r\n\r\n")
        while len(rest) < len(body):
            rest += connection.recv(1 << 16)
        heads.extend([head, rest])
        connection.sendall(http("200 OK"))

    with listening(answer) as url, proxy(url + "/base") as made:
        raw(made.address, sent)
    head, rest = heads
    lines = head.decode().split("\r\n")
    lines[-1] = re.sub(r"walletproof-\w{8}", "walletproof-X", lines[-1])
    assert rest == body
    assert lines == [
        "PATCH /base/a%2Fb/../c?q=%20+&&x HTTP/1.1",
        f"Host: {url[7:]}",
        "X-Case: KEPT",
        "x-twice: 1",
        "x-twice: 2",
        "Accept-Encoding: GZIP;q=0.5",
        "X-Forwarded-Proto: https",
        f"Content-Length: {len(body)}",
        "X-Forwarded-For: 192.0.2.1, 127.0.0.1",
        "X-Forwarded-Host: here.example:1",
        "Via: 1.0 somebody, 1.1 walletproof-X",
    ]


@contextmanager
def listening(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server whose every connection is handled by `answer`."""
    server = socket.create_server(("127.0.0.1", 0))
    errors: list[BaseException] = []

    def handle(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            try:
                answer(connection)
            except OSError:
                pass
            except BaseException as error:  # noqa: BLE001 - told to the test
                errors.append(error)

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
    assert errors == []


def test_methods_and_heads(before_the_mock: Proxy, mock: Mock) -> None:
    """HEAD, OPTIONS and what nobody knows pass, and the answers are the service's."""
    with httpx.Client() as client:
        for method in ("HEAD", "OPTIONS", "DELETE", "PROPFIND"):
            direct, passed = (
                client.request(method, f"{url}/v1/wallets/x", headers=KEY) for url in (mock.url, before_the_mock.url)
            )
            assert (passed.status_code, passed.content) == (direct.status_code, direct.content), method


def test_a_client_of_http_1_0() -> None:
    """It gets no chunks, which it does not know: the end of the connection is the end of the body."""
    with troubled.troubled(always(ANSWERS["chunks"])) as server, proxy(server.url) as made:
        passed = raw(made.address, b"GET /x HTTP/1.0\r\n\r\n")
    head, _, body = passed.partition(b"\r\n\r\n")
    assert body == b"abc"
    assert b"ransfer-" not in head


# ---------------------------------------------------------------- many, much, slow


def test_fifty_clients(mock: Mock, session: str, wallet_ids: dict[str, str]) -> None:
    """Fifty clients at once: each finds its own wallet and no other's; and all write to one, in which nothing is found wrong."""
    headers = {**KEY, "x-mock-session": session}
    bar = threading.Barrier(50)

    def live(number: int) -> list[str]:
        with httpx.Client(base_url=f"{made.url}/v1", headers=headers, timeout=30) as client:
            bar.wait()
            answers = [client.post("/wallets", json={"currency": "usd", "customer_id": f"c-{number}"})]
            own = answers[0].json()["id"]
            for amount in (1, 2):
                topup = {"credits_to_add": str(amount), "transaction_reason": "FREE_CREDIT_GRANT"}
                answers += [client.post(f"/wallets/{wallet}/top-up", json=topup) for wallet in (own, wallet_ids["healthy"])]
                answers += [client.get(f"/wallets/{wallet}") for wallet in (own, wallet_ids["healthy"])]
                assert (answers[-2].json()["id"], answers[-2].json()["customer_id"]) == (own, f"c-{number}")
        assert {answer.status_code for answer in answers} <= {200, 409}  # two top-ups at once may be one too many
        return [answer.headers[FINDINGS] for answer in answers]

    with proxy(mock.url, timeout=30) as made, ThreadPoolExecutor(50) as pool:
        said = [words for each in pool.map(live, range(50)) for words in each]
    assert set(said) == {"0"}
    assert made.examination is not None
    assert (made.examination.counted.judged, made.examination.counted.unusable) == (len(said), {})
    assert min(seen.seconds for seen in made.seen) < HELD  # what is whole is sent


MUCH = 100 << 20


def test_hundred_megabytes_each_way() -> None:
    """A service that sends back what it gets: 100 MB pass in both directions at once, and the proxy does not grow with them."""

    def echo(connection: socket.socket) -> None:
        _, _, body = until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH)
        left = MUCH
        while left:
            connection.sendall(body)
            left -= len(body)
            body = connection.recv(1 << 18) if left else b""

    piece = bytes(range(256)) * 4096
    sent, got = hashlib.sha1(), hashlib.sha1()
    with listening(echo) as url, command(url, "--quiet") as made:
        process = psutil.Process(made.process.pid)
        with connected(("127.0.0.1", int(made.url.rpartition(":")[2]))) as connection:
            passed = [0]

            def send() -> None:
                connection.sendall(b"POST /v1/wallets HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % MUCH)
                for _ in range(MUCH // len(piece)):
                    connection.sendall(piece)
                    sent.update(piece)
                    passed[0] += len(piece)

            before = process.memory_info().rss
            sender = threading.Thread(target=send)
            sender.start()
            stood = -1
            while stood != passed[0]:  # nobody reads: it must come to a stand, with all buffers full
                stood = passed[0]
                sender.join(0.2)
            most = process.memory_info().rss
            _, _, body = until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
            size = 0
            while True:
                got.update(body)
                size += len(body)
                if size == MUCH:
                    break
                body = connection.recv(1 << 20)
                assert body
                most = max(most, process.memory_info().rss)
            sender.join()
    assert got.digest() == sent.digest()
    assert most - before < 20 << 20


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("/elsewhere", "text/plain", NOWHERE),
        ("/v1/wallets/wallet_x", "text/event-stream", "later: it is long or slow"),
        ("/v1/wallets/wallet_x", "application/json", "later: it is long or slow"),
    ],
)
def test_pieces_come_as_they_are_sent(path: str, kind: str, said: str) -> None:
    """The service sends the next piece only when the client has the one before: whoever waits for the end waits for ever."""
    arrived = [threading.Event() for _ in range(3)]

    def drip(connection: socket.socket) -> None:
        until(connection, b"\r\n\r\n")
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for number, event in enumerate(arrived):
            connection.sendall(b"3\r\n<%d>\r\n" % number)
            assert event.wait(5)
        connection.sendall(b"0\r\n\r\n")

    with listening(drip) as url, proxy(url, timeout=30) as made, connected(made.address) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nx-api-key: test\r\n\r\n".encode())
        head = until(connection, b"<0>")
        assert f"X-Walletproof-Findings: {said}\r\n".encode() in head
        arrived[0].set()
        for number in (1, 2):
            until(connection, b"<%d>" % number)
            arrived[number].set()
        until(connection, b"0\r\n\r\n")


def test_an_upload_comes_as_it_is_sent() -> None:
    """The service has the first half of a body before the client sends the second."""
    half = threading.Event()

    def take(connection: socket.socket) -> None:
        until(connection, b"first")
        half.set()
        until(connection, b"0\r\n\r\n")
        connection.sendall(http("200 OK"))

    with listening(take) as url, proxy(url) as made, connected(made.address) as connection:
        connection.sendall(b"POST /v1/wallets HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert half.wait(5)
        connection.sendall(b"6\r\nsecond\r\n0\r\n\r\n")
        until(connection, b"200 OK")


def test_an_answer_before_the_request_has_ended() -> None:
    """The service refuses an upload that has only begun: the client hears of it, also if it looks only when it has sent more."""

    def refuse(connection: socket.socket) -> None:
        until(connection, b"begin")
        connection.sendall(http("413 Content Too Large", b"enough"))
        while connection.recv(1 << 16):
            pass

    with listening(refuse) as url, proxy(url) as made, connected(made.address) as connection:
        connection.sendall(b"POST /v1/wallets HTTP/1.1\r\nHost: x\r\nContent-Length: 99000000\r\n\r\nbegin")
        connection.recv(1, socket.MSG_PEEK)  # it is there
        connection.sendall(bytes(20 << 20))
        assert b"413 Content Too Large" in until(connection, b"enough")


def test_continue_is_the_service_s_word() -> None:
    """A client that asks before it sends is answered by the service, whatever that says."""

    def ask(connection: socket.socket) -> None:
        head = until(connection, b"\r\n\r\n")
        assert b"Expect: 100-continue" in head
        if b"/yes" in head:
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            until(connection, b"body")
        connection.sendall(http("417 Expectation Failed" if b"/no" in head else "200 OK"))

    with listening(ask) as url, proxy(url) as made:
        for path, first in (("/yes", b"HTTP/1.1 103 Early Hints\r\n"), ("/no", b"HTTP/1.1 417 ")):
            with connected(made.address) as connection:
                connection.sendall(
                    f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n".encode()
                )
                found = until(connection, b"100 Continue\r\n\r\n" if path == "/yes" else b"\r\n\r\n")
                assert found.startswith(first)
                if path == "/yes":
                    connection.sendall(b"body")
                    until(connection, b"200 OK")


def test_half_a_request_never_looks_whole() -> None:
    """The client breaks off in the middle of a body without a length: the service's connection is cut, too."""
    ends: list[bytes | None] = []

    def take(connection: socket.socket) -> None:
        until(connection, b"half")
        try:
            ends.append(connection.recv(1 << 16))
        except ConnectionResetError:
            ends.append(None)

    with listening(take) as url, proxy(url) as made:
        with connected(made.address) as connection:
            connection.sendall(b"POST /v1/wallets HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1 << 16) == b""
    assert ends == [None]


# ---------------------------------------------------------------- a service in trouble


def nobody() -> str:
    """The URL of a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return f"http://127.0.0.1:{gone.getsockname()[1]}"


TROUBLES: dict[str, tuple[troubled.Answer, int, str]] = {
    "closed": (lambda *_: None, 502, "ended the connection without an answer"),
    "reset": (lambda _, connection: troubled.reset(connection), 502, "ended the connection without an answer"),
    "no-http": (always(b"220 mail.example ESMTP\r\n\r\n"), 502, "is not understood as HTTP: illegal status line"),
    "two-lengths": (
        always(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        502,
        "has both Content-Length and Transfer-Encoding",
    ),
    "switching": (always(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), 502, "not understood as HTTP"),
    "half": (troubled.half_then_reset, 502, "ended before the answer was whole"),
    "silent": (troubled.silent, 504, "no whole answer of"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble(name: str) -> None:
    """502 or 504, as JSON that names service and cause; and the exchange counts as unanswered."""
    answer, status, words = TROUBLES[name]
    with troubled.troubled(answer) as server, proxy(server.url, timeout=0.3) as made:
        got = httpx.get(f"{made.url}/v1/wallets/wallet_x", headers=KEY)
    problem = got.json()
    assert (got.status_code, problem["status"], got.headers["content-type"]) == (status, status, "application/problem+json")
    assert problem["detail"].startswith("walletproof proxy: ")
    assert words in problem["detail"]
    assert server.url in problem["detail"]
    assert made.examination is not None
    assert made.examination.counted.unusable == {"unanswered": 1}
    assert [(seen.status, words in seen.note) for seen in made.seen] == [(None, True)]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nobody", "connection refused"),
        ("http://nothing.invalid", "no address for this name"),
        ("https", "does not seem to speak TLS: http://?"),
        ("tls-without-certificate", "TLS failed: "),
    ],
)
def test_no_connection(url: str, words: str) -> None:
    """502 that says why there is no connection."""
    tls = troubled.without_certificate() if url.startswith("tls") else None
    with troubled.troubled(always(http("400 Bad Request", b"plain HTTP")), tls) as server:
        url = {"nobody": nobody(), "https": server.url.replace("http:", "https:"), "tls-without-certificate": server.url}.get(
            url, url
        )
        with proxy(url) as made:
            got = httpx.get(f"{made.url}/v1/wallets/wallet_x")
    assert (got.status_code, words in got.json()["detail"]) == (502, True), got.text


def test_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service whose certificate is not trusted is 502 and says what to do; with its issuer trusted, or any, it is reached."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(TLS / "test-certificate.pem", TLS / "test-key.pem")
    with troubled.troubled(always(http("200 OK", b"secure")), tls) as server:
        with proxy(server.url) as made:
            refused = httpx.get(f"{made.url}/x")
        with proxy(server.url, insecure=True) as made:
            assert httpx.get(f"{made.url}/x").text == "secure"
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "test-certificate.pem"))
        with proxy(server.url) as made:
            assert httpx.get(f"{made.url}/x", verify=False).text == "secure"
    assert (refused.status_code, "--insecure takes any" in refused.text) == (502, True)


def test_through_the_environment_s_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service beyond this machine is reached through the proxy that the environment names; its refusal is told, no password."""
    heads: list[bytes] = []

    def tunnel(connection: socket.socket) -> None:
        heads.append(until(connection, b"\r\n\r\n"))
        if b"closed" in heads[-1]:
            connection.sendall(http("403 Forbidden"))
            return
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        heads.append(until(connection, b"\r\n\r\n"))
        connection.sendall(http("200 OK"))

    with listening(tunnel) as url:
        monkeypatch.setenv("HTTP_PROXY", url.replace("//", "//me:sesame@"))
        with proxy("http://service.test") as made:
            assert httpx.get(f"{made.url}/x", trust_env=False).status_code == 200
        with proxy("http://closed.test:81") as made:
            refused = httpx.get(f"{made.url}/x", trust_env=False)
    assert heads[0].startswith(b"CONNECT service.test:80 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6c2VzYW1l" in heads[0]
    assert heads[1].startswith(b"GET /x HTTP/1.1\r\nHost: service.test\r\n")
    assert (refused.status_code, "answers 403 to CONNECT closed.test:81" in refused.text) == (502, True)
    assert "sesame" not in refused.text


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked", "X: none"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_answer_cut_on_its_way(framing: str, version: str) -> None:
    """The service breaks off when the beginning has passed: the client's connection is cut as well, not ended well."""
    begun = threading.Event()

    def cut(connection: socket.socket) -> None:
        until(connection, b"\r\n\r\n")
        piece = b"4\r\nhalf\r\n" if "chunked" in framing else b"half"
        connection.sendall(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode() + piece)
        assert begun.wait(5)
        troubled.reset(connection)

    with listening(cut) as url, proxy(url) as made, connected(made.address) as connection:
        connection.sendall(f"GET /elsewhere HTTP/{version}\r\nHost: x\r\n\r\n".encode())
        until(connection, b"half")
        begun.set()
        with pytest.raises(ConnectionResetError):
            connection.recv(1 << 16)


def test_a_kept_connection_that_the_service_closes() -> None:
    """What may be sent twice is sent again when the service closed the kept connection; a POST is not, it may have been done."""
    asked: list[str] = []

    def answer(request: Asked, connection: socket.socket) -> bool:
        asked.append(request.method)
        if len(asked) % 2:
            connection.sendall(http("200 OK", b"{}", kept=True))
            return True
        return False  # the second on a connection: it is closed instead

    with troubled.troubled(answer) as server, proxy(server.url) as made, httpx.Client(base_url=made.url) as client:
        assert client.get("/a").status_code == 200
        assert client.get("/b").status_code == 200
        lost = client.post("/c")
    assert asked == ["GET", "GET", "GET", "POST"]
    assert (lost.status_code, "without an answer" in lost.text) == (502, True)


def test_what_comes_behind_an_answer_is_nobody_s() -> None:
    """A service that sends one answer too many: the next client does not get it as its own."""

    def answer(request: Asked, connection: socket.socket) -> bool:
        more = http("200 OK", b"of another", kept=True) if request.target == "/twice" else b""
        connection.sendall(http("200 OK", request.target.encode(), kept=True) + more)
        return True

    with troubled.troubled(answer) as server, proxy(server.url) as made:
        assert [httpx.get(made.url + path).text for path in ("/twice", "/next")] == ["/twice", "/next"]


def test_the_proxy_is_told_to_end() -> None:
    """What has no answer by then is cut off, shown, and counted as unanswered."""
    asked = threading.Event()

    def wait(_: Asked, connection: socket.socket) -> None:
        asked.set()
        connection.recv(1)

    with troubled.troubled(wait) as server, proxy(server.url, timeout=30) as made, connected(made.address) as connection:
        connection.sendall(b"GET /v1/wallets/wallet_x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asked.wait(5)
        made.end()
        made.end()  # told twice it does not wait
        with pytest.raises(ConnectionResetError):
            connection.recv(1 << 16)
    assert made.examination is not None
    assert (made.examination.counted.exchanges, made.examination.counted.unusable) == (1, {"unanswered": 1})
    assert [seen.note for seen in made.seen] == ["the proxy was stopped before the answer was whole"]


def test_a_client_that_does_not_wait() -> None:
    """What the service answers is judged and shown, though the client is gone."""
    asked, left = threading.Event(), threading.Event()

    def answer(_: Asked, connection: socket.socket) -> None:
        asked.set()
        assert left.wait(5)
        connection.sendall(http("404 Not Found", b"{}", JSON))

    with troubled.troubled(answer) as server, proxy(server.url, timeout=30) as made:
        with connected(made.address) as connection:
            connection.sendall(b"GET /v1/wallets/wallet_x HTTP/1.1\r\nHost: x\r\n\r\n")
            assert asked.wait(5)
            troubled.reset(connection)
        left.set()
    assert [(seen.status, bool(seen.findings)) for seen in made.seen] == [(404, True)]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nSet-Cookie : sid=sesame\r\n\r\n",
        b"sesame",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsesame\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nasesame\r\n",
    ],
    ids=["header", "status line", "chunk", "end of a chunk"],
)
def test_what_is_no_http_is_not_repeated(answer: bytes) -> None:
    """Whoever hears that an answer is not understood does not hear what it was: there could be a secret in it."""
    with troubled.troubled(always(answer + b"\r\n\r\n")) as server, proxy(server.url) as made:
        got = httpx.get(f"{made.url}/v1/wallets/wallet_x", headers=KEY)
    assert made.examination is not None
    said = [got.text, made.seen[0].note, *made.examination.counted.problems]
    assert [len(re.findall("is not understood as HTTP: ", text)) for text in said] == [1] * 3
    assert not any(re.search("sesame|b'", text) for text in said)


# ---------------------------------------------------------------- what is not passed on

REFUSED = {
    "two-lengths": (
        b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "both",
    ),
    "no-http": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "URL begins with http://"),
    "no-request": (b"sesame\r\n\r\n", 400, "no request of HTTP/1.1: illegal request line"),
    "no-host": (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
    "long-head": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 300_000 + b"\r\n\r\n", 431, "too long"),
    "broken-body": (b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "body is broken"),
    "websocket": (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eDp5\r\n\r\n",
        501,
        "websockets are not passed on",
    ),
    "connect": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 501, "put its address in the place of"),
    "other-host": (b"GET http://example.com/x HTTP/1.1\r\nHost: example.com\r\n\r\n", 421, "and to nobody else"),
    "no-target": (b"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400, "neither a path nor a URL"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """What would be misunderstood, or is for somebody else, is answered by the proxy, and the service never sees it."""
    request, status, words = REFUSED[name]
    with troubled.troubled(always(http("200 OK"))) as server, proxy(server.url) as made, connected(made.address) as connection:
        connection.sendall(request)
        head = until(connection, b"\r\n\r\n")
        body = until(connection, b"}") if b"}" not in head else b""
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert words in (head + body).decode()
    assert server.asked == []
    assert [(seen.status, words in seen.note) for seen in made.seen] == [(status, True)]
    assert "sesame" not in made.seen[0].note + made.seen[0].path


def test_targets_that_name_a_host() -> None:
    """A URL as target passes if it names the proxy or the service; and a star asks about the whole service."""
    with troubled.troubled(always(http("200 OK"))) as server, proxy(server.url + "/base") as made:
        for line in (f"GET {made.url}/x", f"GET {server.url}/base/y?z", "OPTIONS *"):
            assert raw(made.address, f"{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()).startswith(
                b"HTTP/1.1 200 "
            )
    assert [asked.target for asked in server.asked] == ["/base/x", "/base/y?z", "*"]


def test_a_proxy_before_itself() -> None:
    """A request that has passed already is refused: it would go round for ever."""
    with proxy("itself") as made:
        got = httpx.get(f"{made.url}/v1/wallets")
    assert (got.status_code, "leads back to this proxy" in got.text) == (508, True)


LOCATIONS = {
    "SERVICE/base/v1/next?a=b": "PROXY/v1/next?a=b",
    "/base/v1/next": "/v1/next",
    "//HOST/base/": "PROXY/",
    "next": "next",
    "/beyond": "/beyond",
    "/base": "/base",
    "SERVICE?next=/base/x": "SERVICE?next=/base/x",
    "SERVICE/based": "SERVICE/based",
    "https://elsewhere.example/base/v1": "https://elsewhere.example/base/v1",
    "SERVICE@evil.example/base/x": "SERVICE@evil.example/base/x",
}


@pytest.mark.parametrize("location", LOCATIONS)
def test_redirects_are_passed_on(location: str) -> None:
    """They are never followed; one within the service leads through the proxy, any other where it says."""

    def named(text: str, service: str, own: str) -> str:
        return text.replace("SERVICE", service).replace("PROXY", own).replace("HOST", service[7:])

    def answer(asked: Asked, connection: socket.socket) -> None:
        connection.sendall(http("302 Found", b"", f"Location: {named(location, server.url, '')}"))

    with troubled.troubled(answer) as server, proxy(server.url + "/base") as made:
        got = httpx.get(f"{made.url}/v1/x")
        nameless = raw(made.address, b"GET /v1/x HTTP/1.0\r\n\r\n")
    assert got.status_code == 302
    assert b"http:///" not in nameless
    assert got.headers["location"] == named(LOCATIONS[location], server.url, made.url)
    assert len(server.asked) == 2


# ---------------------------------------------------------------- what is found

LEVELS = {
    "published": ("balance-as-number", "1 response.body"),
    "overlay": ("trailing-zeros", "1 response.body"),
    "semantic": ("balance-off-by-one-cent", "1 money.balance-is-credits-times-rate"),
}


@pytest.mark.parametrize("level", LEVELS)
def test_findings_in_front_of_the_answer(level: str, mock: Mock, session: str, wallet_ids: dict[str, str]) -> None:
    """The header counts the findings and names their rules, for each level; an honest answer has none."""
    defect, said = LEVELS[level]
    headers = {**KEY, "x-mock-session": session}
    with proxy(mock.url) as made, httpx.Client(base_url=f"{made.url}/v1", headers=headers) as client:
        path = f"/wallets/{wallet_ids['healthy']}"
        assert client.get(path).headers[FINDINGS] == "0"
        assert client.get(path, headers={"prefer": f"defect={defect}"}).headers[FINDINGS] == said
    assert [[finding.level for finding in seen.findings or ()] for seen in made.seen] == [[], [level]]


def test_findings_against_what_was_seen_before(mock: Mock, session: str, wallet_ids: dict[str, str]) -> None:
    """What two answers cannot both say is found in the second."""
    path = f"/v1/wallets/{wallet_ids['healthy']}"
    with proxy(mock.url) as made, httpx.Client(base_url=made.url, headers={**KEY, "x-mock-session": session}) as client:
        assert client.get(path).headers[FINDINGS] == "0"
        play(mock, session, "update-changes-currency")
        got = client.put(path, json={"name": "new"})
    assert got.headers[FINDINGS] == "1 state.fixed-forever"


def test_trouble_of_the_judge_s_own(
    mock: Mock, wallet_ids: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong in judging or recording, the traffic does not suffer; what is logged repeats nothing of it."""

    def fail(*_: object, **__: object) -> None:
        raise KeyError("sesame")

    def full(*_: object, **__: object) -> None:
        raise InputError("no space left")

    monkeypatch.setattr(Traffic, "examine", fail)
    monkeypatch.setattr(HarFile, "add", full)
    with HarFile(tmp_path / "x.har") as record, proxy(mock.url, record=record) as made:
        for _ in range(2):
            got = httpx.get(f"{made.url}/v1/wallets/{wallet_ids['healthy']}", headers=KEY)
            assert (got.status_code, got.headers[FINDINGS]) == (200, "unjudged: internal error")
    assert made.examination is not None
    assert made.examination.broken_recording == "no space left"
    assert "exchange 1 cannot be judged: KeyError at fail" in caplog.text
    assert "sesame" not in caplog.text


def test_trouble_before_anything_is_sent(mock: Mock, wallet_ids: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding the operation is judging as well: where it fails, the request passes all the same."""

    def fail(*_: object) -> None:
        raise KeyError("sesame")

    monkeypatch.setattr(Traffic, "place", fail)
    with proxy(mock.url) as made:
        got = httpx.get(f"{made.url}/v1/wallets/{wallet_ids['healthy']}", headers=KEY)
    assert (got.status_code, got.headers[FINDINGS]) == (200, NOWHERE)


def test_nobody_waits_for_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that takes long to judge goes its way when its time is up, and is judged nevertheless."""
    gone = threading.Event()
    judged = []

    def slow(_: Traffic, placed: Placed) -> list[Finding]:
        judged.append(gone.wait(20))
        return []

    monkeypatch.setattr(Traffic, "examine", slow)
    answer = http("200 OK", json.dumps({"name": "x" * 100_000}).encode(), JSON)
    with troubled.troubled(always(answer)) as server, proxy(server.url) as made:
        got = httpx.get(f"{made.url}/v1/wallets/wallet_x", headers=KEY, timeout=15)
        gone.set()
    assert got.headers[FINDINGS] == "later: it is long or slow"
    assert judged == [True]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_compressed_bodies_are_judged(coding: str) -> None:
    """The service is asked for what can be read, and what it compressed is judged and passed on as it is."""
    import zlib

    body = json.dumps({"code": "x"}).encode()
    packed = {"gzip": gzip.compress(body), "deflate": zlib.compress(body), "br": b"\x0b\x02\x80{}\x03"}[coding]
    answer = http("404 Not Found", packed, JSON, f"Content-Encoding: {coding}")
    with troubled.troubled(always(answer)) as server, proxy(server.url) as made, connected(made.address) as connection:
        connection.sendall(b"GET /v1/wallets/wallet_x HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\nAccept-Encoding: br, gzip\r\n\r\n")
        got = until(connection, packed)
    assert server.asked[0].headers["accept-encoding"] == "gzip"
    expected = "unjudged: the answer's body cannot be read" if coding == "br" else "[1-9] response.body"
    assert re.search(f"X-Walletproof-Findings: {expected}", got.decode("latin-1"))


def test_codings() -> None:
    """Members, bare deflate, several codings; and what is broken, unknown or a bomb is said to be."""
    bare = b"\x4b\x04\x00"  # "a"
    assert decoded(gzip.compress(b"a") + gzip.compress(b"b"), "x-gzip", 10) == b"ab"
    assert decoded(bare, "deflate", 10) == b"a"
    assert decoded(gzip.compress(gzip.compress(b"a")), "gzip, identity, GZIP", 100) == b"a"
    for body, coding, words in (
        (b"xyz", "gzip", "not gzip data"),
        (gzip.compress(b"abc")[:-4], "gzip", "ends too early"),
        (b"", "br", "is not known here"),
        (gzip.compress(bytes(1 << 20)), "gzip", "more than 1000 bytes"),
    ):
        with pytest.raises(Undecodable, match=words):
            decoded(body, coding, 1000)
    begun = time.process_time()
    assert decoded(gzip.compress(b"") * 200_000, "gzip", 10) == b""
    assert time.process_time() - begun < 4  # twice as many members take twice as long, and not four times
    assert acceptable(b"br, zstd") == b"identity"
    assert acceptable(b"gzip;q=0.8 , deflate, br") == b"gzip;q=0.8, deflate"


# ---------------------------------------------------------------- --block


def test_block(mock: Mock, session: str) -> None:
    """A request that breaks the contract is answered with what is wrong, and the service never sees it; others pass."""
    with troubled.proxy(mock.url) as server, proxy(server.url, block=True) as made:
        with httpx.Client(base_url=f"{made.url}/v1", headers={**KEY, "x-mock-session": session}) as client:
            bad = client.post("/wallets", json={"currency": 5})
            large = client.post("/wallets", content=b'{"currency": "' + b"x" * (2 << 20) + b'"}')
            good = client.post("/wallets", json={"currency": "usd", "customer_id": "c"}, headers={"expect": "100-continue"})
            elsewhere = client.post("/elsewhere", json={"currency": 5})
            unread = client.post("/wallets", content=b'{"currency": 5}', headers={"content-encoding": "br"})
    assert unread.status_code == 415
    problem = bad.json()
    assert (bad.status_code, bad.headers[FINDINGS].split()[1:]) == (400, ["request.body"])
    assert problem["findings"][0]["pointer"] == "/currency"
    assert (large.status_code, "no more than 1 MiB" in large.text) == (413, True)
    assert (good.status_code, good.headers[FINDINGS]) == (200, "0")
    assert elsewhere.status_code == 404
    assert [(asked.target, asked.headers.get("expect")) for asked in server.asked] == [
        ("/v1/wallets", None),
        ("/v1/elsewhere", None),
    ]
    assert made.examination is not None
    assert (made.examination.blocked, made.examination.counted.judged) == (1, 1)


# ---------------------------------------------------------------- --record


def test_recording(mock: Mock, session: str, wallet_ids: dict[str, str], tmp_path: Path) -> None:
    """What passed is a recording that `check` reads and finds the same in, and no secret is in it."""
    file = tmp_path / "recorded.har"
    path = f"/v1/wallets/{wallet_ids['healthy']}"
    headers = {"x-api-key": "sk_live_sesame_0123456789", "x-mock-session": session}
    with HarFile(file) as record, proxy(mock.url, record=record) as made:
        with httpx.Client(base_url=made.url, headers=headers) as client:
            client.get(path + "?access_token=sesame-open-thyself")
            client.get(path, headers={"prefer": "defect=balance-as-number"})
            client.get("/_mock/personas")
    entries = list(read([file]))
    assert "sesame" not in file.read_text("utf-8")
    assert [entry.exchange.request.path for entry in entries if isinstance(entry, Recorded)] == [path, path, "/_mock/personas"]
    assert main(["check", str(file), "--quiet", "--server", mock.url]) == 1


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("level", "defect", "code"),
    [
        ("", "balance-as-number", 0),
        ("published", "balance-as-number", 1),
        ("published", "balance-off-by-one-cent", 0),
    ],
)
def test_exit_codes(
    mock: Mock,
    session: str,
    wallet_ids: dict[str, str],
    level: str,
    defect: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """--fail-on turns findings of its level, or a stricter one, into exit code 1 at the end; without it the proxy just ends."""

    def ask() -> None:
        for prefer in ({}, {"prefer": f"defect={defect}"}):
            got = client.get(path + "?secret=sesame", headers=prefer)
            assert got.status_code == 200
        os.kill(os.getpid(), signal.SIGTERM)

    port = int(nobody().rpartition(":")[2])
    path = f"/v1/wallets/{wallet_ids['healthy']}/balance/real-time"
    headers = {**KEY, "x-mock-session": session}
    options = ["--fail-on", level] if level else []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client, ThreadPoolExecutor(1) as pool:
        asking: list[Future[None]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(View, "__enter__", lambda view: asking.append(pool.submit(ask)) or view)  # it answers from now on
            assert main(["proxy", mock.url, "--port", str(port), *options]) == code
        asking[0].result()
    said = capsys.readouterr().out
    assert f"(exit code {code})" in said
    assert f"GET  {path}  200" in said
    assert "sesame" not in said
    assert "test" not in said.replace("contract_tests", "").split()


def test_ctrl_c(mock: Mock, session: str, wallet_ids: dict[str, str]) -> None:
    """The process ends with the verdict as its exit code."""
    headers = {**KEY, "x-mock-session": session, "prefer": "defect=balance-as-number"}
    with command(mock.url, "--fail-on", "overlay") as made:
        httpx.get(f"{made.url}/v1/wallets/{wallet_ids['healthy']}", headers=headers)
        assert made.end(signal.SIGINT) == 1
    assert made.said.endswith("findings (exit code 1)\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ftp://x"], "expected a URL such as"),
        (["http://user:sesame@x"], "give credentials with the requests"),
        (["http://x", "--port", "70000"], "a port is a number"),
        (["http://x", "--timeout", "soon"], "--timeout soon: expected a time"),
        (["http://x", "--level", "published", "--fail-on", "semantic"], "one level counts; give --fail-on alone"),
        (["http://x", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1:8081"),
    ],
)
def test_mistakes(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and what to do, before anything listens."""
    assert main(["proxy", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "sesame" not in said
