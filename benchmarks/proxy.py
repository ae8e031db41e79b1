"""What the proxy adds: the same requests direct and through it, in turns over kept connections; and a body of 100 MB each way.

python -m benchmarks.proxy [--requests 2000] [--record]
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import psutil

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from conftest import running

KEY = {"x-api-key": "test", "content-type": "application/json"}
MUCH = 100 << 20


def main(arguments: Sequence[str]) -> int:
    """Measure, and print a line for each kind of request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=2_000, help="of each kind, each way (default: 2000)")
    parser.add_argument("--record", action="store_true", help="with --record")
    options = parser.parse_args(arguments)
    with running() as mock, tempfile.TemporaryDirectory() as folder:
        record = ["--record", f"{folder}/recorded.har"] if options.record else []
        wallets = {name: str(entry["ids"]["wallet"]) for name, entry in mock.personas().items() if "flexprice" in name}  # type: ignore[index]
        wallet = wallets["flexprice/healthy"]
        with proxy(mock.url, *record) as (url, _):
            print(f"{options.requests:,} requests of each kind, in turns; milliseconds, median (95%, 99%)")
            print(f"{'':28}{'direct':>24}{'through the proxy':>24}{'added':>8}")
            for name, ask in kinds(wallet).items():
                direct, through = measured([mock.url, url], ask, options.requests)
                print(f"{name:28}{shown(direct):>24}{shown(through):>24}{median(through) - median(direct):>8.2f}")
    streamed()
    return 0


def kinds(wallet: str) -> dict[str, Callable[[int], tuple[str, str, str]]]:
    """Method, path and body of the request with a number, by what it is."""
    topup = {"transaction_reason": "FREE_CREDIT_GRANT", "credits_to_add": "1"}
    return {
        "balance (1 KB)": lambda _: ("GET", f"/v1/wallets/{wallet}/balance/real-time", ""),
        "top-up": lambda number: (
            "POST",
            f"/v1/wallets/{wallet}/top-up",
            json.dumps({**topup, "idempotency_key": f"key-{number}"}),
        ),
        "search, 50 wallets (45 KB)": lambda _: ("POST", "/v1/wallets/search", '{"limit": 50}'),
        "not in the contract": lambda _: ("GET", "/_mock/defects/none", ""),
    }


def measured(urls: Sequence[str], ask: Callable[[int], tuple[str, str, str]], requests: int) -> list[list[float]]:
    """Milliseconds of each request, by URL."""
    clients = [http.client.HTTPConnection(url.removeprefix("http://")) for url in urls]
    found: list[list[float]] = [[] for _ in urls]
    for number in range(-50, requests):
        for place, client in enumerate(clients):
            method, path, body = ask(number * len(urls) + place)
            began = time.perf_counter()
            client.request(method, path, body or None, KEY)
            answer = client.getresponse()
            answer.read()
            if number >= 0:
                found[place].append((time.perf_counter() - began) * 1000)
    for client in clients:
        client.close()
    return found


def shown(milliseconds: list[float]) -> str:
    """`0.51 (0.70, 1.20)`."""
    cuts = quantiles(milliseconds, n=100)
    return f"{median(milliseconds):.2f} ({cuts[94]:.2f}, {cuts[98]:.2f})"


@contextmanager
def proxy(url: str, *options: str) -> Iterator[tuple[str, psutil.Process]]:
    """A proxy process, and where it listens."""
    line = [sys.executable, "-m", "walletproof", "proxy", url, "--port", "0", "--quiet", *options]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = ""
    while "Stop:" not in said:
        said += process.stdout.readline()
    match = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert match
    try:
        yield match[0], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.communicate()


def streamed() -> None:
    """Send 100 MB to a service that sends all back while it comes, and look at the proxy's memory meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        threading.Thread(target=_echo, args=(service,), daemon=True).start()
        with proxy(f"http://127.0.0.1:{service.getsockname()[1]}") as (url, process):
            before = most = process.memory_info().rss
            began = time.perf_counter()
            host, port = url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as client:
                threading.Thread(target=_send, args=(client,), daemon=True).start()
                left = None
                while left != 0:
                    piece = client.recv(1 << 20)
                    if left is None:
                        piece = piece.partition(b"\r\n\r\n")[2]
                        left = MUCH
                    left -= len(piece)
                    most = max(most, process.memory_info().rss)
            seconds = time.perf_counter() - began
    began_with, reached = (f"{size / (1 << 20):.0f} MiB" for size in (before, most))
    print(f"\n100 MB to the service and back in {seconds:.1f} s; memory {began_with} before, {reached} at most")


def _send(client: socket.socket) -> None:
    client.sendall(b"POST /v1/wallets HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % MUCH)
    piece = bytes(1 << 20)
    for _ in range(MUCH // len(piece)):
        client.sendall(piece)


def _echo(service: socket.socket) -> None:
    connection, _ = service.accept()
    with connection:
        found = b""
        while b"\r\n\r\n" not in found:
            found += connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH)
        piece = found.partition(b"\r\n\r\n")[2]
        left = MUCH
        while left:
            connection.sendall(piece)
            left -= len(piece)
            piece = connection.recv(1 << 18) if left else b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
