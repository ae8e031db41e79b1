"""How fast the mock is, beside a bare ASGI function that sends the same bytes: `make bench`.

Each server runs on one core and wrk, the load generator, on another, in turns, so that a machine whose speed drifts
slows both. Figures are for comparing within one run; nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

HERE = Path(__file__).parent
SERVER_CORE, CLIENT_CORE = "0", "1"
WALLETS = 1000

# Lua for wrk: another wallet with every request.
SCRIPT = """
local paths = {%s}
local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", paths[(n %% #paths) + 1], {["x-api-key"] = "bench"})
end
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of runs")
    parser.add_argument("--seconds", type=int, default=5, help="length of one run")
    options = parser.parse_args()
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("bench needs wrk as load generator (Debian: apt-get install wrk)")
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("bench needs two cores: one for the server, one for the load generator")
    starts()
    memory()
    reads(wrk, options.rounds, options.seconds)


def starts() -> None:
    """Time from process start to the first 200, by population."""
    for population in (10, 10_000_000):
        times = []
        for _ in range(5):
            port = free_port()
            begin = time.perf_counter()
            with mock(port, population) as url:
                times.append(until_answered(f"{url}/_mock/health") - begin)
        print(f"first 200, population {population:>10,}: median {statistics.median(times):.2f} s, max {max(times):.2f} s")


def memory() -> None:
    """Resident memory after the first answer, by population."""
    for population in (10, 10_000_000):
        port = free_port()
        with mock(port, population) as url:
            until_answered(f"{url}/_mock/health")
            pid = int(subprocess.check_output(["pgrep", "-f", f"serve --port {port} "], text=True).split()[0])
            resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
            print(
                f"memory,    population {population:>10,}: {int(resident[1]) / 1024:.0f} MiB" if resident else "memory: unknown"
            )


def reads(wrk: str, rounds: int, seconds: int) -> None:
    """Balance reads per second over a socket, validated both ways, beside the bare function."""
    mock_port, bare_port = free_port(), free_port()
    with mock(mock_port, WALLETS) as mock_url, bare(bare_port) as bare_url, tempfile.TemporaryDirectory() as folder:
        until_answered(f"{mock_url}/_mock/health")
        script = Path(folder, "wallets.lua")
        script.write_text(SCRIPT % ", ".join(f'"{path}"' for path in balance_paths(mock_url)))
        until_answered(bare_url)
        ratios = []
        for number in range(1, rounds + 1):
            bare_rate = load(wrk, bare_url, script, seconds)
            mock_rate = load(wrk, mock_url, script, seconds)
            ratios.append(mock_rate / bare_rate)
            print(f"round {number}: bare ASGI {bare_rate:8,.0f}/s   balance read {mock_rate:8,.0f}/s   ratio {ratios[-1]:.2f}")
        print(f"balance read / bare ASGI: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def balance_paths(url: str) -> list[str]:
    """The balance paths of the population's wallets."""
    body = {"limit": WALLETS, "order": "asc"}
    found = httpx.post(f"{url}/v1/wallets/search", json=body, headers={"x-api-key": "bench"}).raise_for_status().json()
    return [f"/v1/wallets/{wallet['id']}/balance/real-time" for wallet in found["items"]]


def load(wrk: str, url: str, script: Path, seconds: int) -> float:
    """Requests per second; exits if any answer was not a 2xx."""
    command = ["taskset", "-c", CLIENT_CORE, wrk, "-t1", "-c16", f"-d{seconds}", "-s", str(script), url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"the load met errors:\n{output}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if rate is None:
        sys.exit(f"wrk said nothing of a rate:\n{output}")
    return float(rate[1])


@contextmanager
def mock(port: int, population: int) -> Iterator[str]:
    """A mock on one core."""
    command = [sys.executable, "-m", "walletproof", "serve", "--port", str(port), "--population", str(population)]
    with running(command):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def bare(port: int) -> Iterator[str]:
    """The bare ASGI function on one core, in the same HTTP server with the same settings."""
    command = [sys.executable, "-m", "uvicorn", "bare:app", "--app-dir", str(HERE), "--port", str(port)]
    command += ["--log-level", "error", "--no-access-log", "--no-server-header", "--no-proxy-headers", "--lifespan", "off"]
    with running(command):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    """A process pinned to the server's core, stopped at the end."""
    process = subprocess.Popen(["taskset", "-c", SERVER_CORE, *command], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)


def until_answered(url: str) -> float:
    """The moment of the first 200."""
    target = httpx.URL(url)
    deadline = time.perf_counter() + 30
    while time.perf_counter() < deadline:
        # Not httpx: making a client takes as long as a tenth of a start.
        connection = http.client.HTTPConnection(target.host, target.port)
        try:
            connection.request("GET", target.path)
            if connection.getresponse().status == 200:
                return time.perf_counter()
        except OSError:
            time.sleep(0.005)
        finally:
            connection.close()
    sys.exit(f"{url} did not answer within 30 s")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
