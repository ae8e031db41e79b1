"""Two machines on one PostgreSQL, one of which loses its network to the database for a while: still as if there were one server.

    sudo .venv/bin/python benchmarks/two_machines.py [--clients 6] [--count 400] [--wallets 4] [--apart 8]

The machines are network namespaces of Linux, each with one network to the clients and another one to the database; the second is
taken down on one of them for `--apart` seconds in the middle. Every answer has to have its place in one order per wallet
(tests/histories.py). Whoever asks the machine that is cut off is told 503.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx

sys.path.append(str(Path(__file__).parent.parent / "tests"))

import postgres
from histories import Histories, observe, unexplained

_PORT = 8080


def _ip(*words: object) -> None:
    subprocess.run(["ip", *map(str, words)], check=True)


@contextmanager
def machine(number: int) -> Iterator[str]:
    """A namespace with two networks, 10.77.N.0/24 for clients and 10.78.N.0/24 for the database; its name."""
    name = f"walletproof-{number}"
    _ip("netns", "add", name)
    try:
        _ip("netns", "exec", name, "ip", "link", "set", "lo", "up")
        for net in (77, 78):
            here, there = f"wp{net}-{number}-h", f"wp{net}-{number}-m"
            _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
            _ip("addr", "add", f"10.{net}.{number}.1/24", "dev", here)
            _ip("link", "set", here, "up")
            _ip("netns", "exec", name, "ip", "addr", "add", f"10.{net}.{number}.2/24", "dev", there)
            _ip("netns", "exec", name, "ip", "link", "set", there, "up")
        yield name
    finally:
        _ip("netns", "del", name)


@contextmanager
def serving(name: str, number: int, log: str) -> Iterator[tuple[str, int]]:
    """A server on a machine; its address."""
    host = f"10.77.{number}.2"
    line = ["ip", "netns", "exec", name, sys.executable, "-m", "walletproof", "serve", "--host", host, "--port", str(_PORT)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*line, "--log", log, "--control-token", "two machines"], stdout=subprocess.PIPE, stderr=errors, text=True
        )
        assert process.stdout is not None
        try:
            if not any(said.startswith("Personas:") for said in process.stdout):
                errors.seek(0)
                raise SystemExit(errors.read())
            yield host, _PORT
        finally:
            process.terminate()
            process.wait()


async def relay(port: int, number: int) -> asyncio.Server:
    """The database's port on a network that the database does not listen on itself."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(asyncio.CancelledError):  # the end, while nobody has closed it
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    return await asyncio.start_server(join, f"10.78.{number}.1", port)


async def play(options: argparse.Namespace, database: postgres.Cluster, log: str) -> bool:
    """Whether every answer has its place."""
    with ExitStack() as stack:
        names = [stack.enter_context(machine(number)) for number in (1, 2)]
        relays = [await relay(database.port, number) for number in (1, 2)]
        addresses = []
        for number, name in enumerate(names, 1):
            there = log.replace("127.0.0.1", f"10.78.{number}.1")
            addresses.append(await asyncio.to_thread(stack.enter_context, serving(name, number, there)))
        base = f"http://{addresses[0][0]}:{_PORT}/v1"
        async with httpx.AsyncClient(base_url=base, headers={"x-api-key": "test"}) as client:
            made = [
                await client.post("/wallets", json={"currency": "usd", "customer_id": f"c{n}"}) for n in range(options.wallets)
            ]
        histories: Histories = {answer.raise_for_status().json()["id"]: [] for answer in made}
        total = options.clients * options.count

        async def part() -> None:
            while sum(map(len, histories.values())) < total // 3:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            _ip("link", "set", "wp78-2-h", "down")
            await asyncio.sleep(options.apart)
            _ip("link", "set", "wp78-2-h", "up")

        began = time.perf_counter()
        await asyncio.gather(observe(histories, addresses, options.clients, options.count), part())
        took = time.perf_counter() - began
        for server in relays:
            server.close()
    answered = [operation for history in histories.values() for operation in history if operation.end is not None]
    longest = max(operation.end - operation.begin for operation in answered if operation.end is not None)
    lost = sum(map(len, histories.values())) - len(answered)
    print(
        f"{total} requests to two machines in {took:.0f} s, one without its database for {options.apart:g} s: "
        f"{len(answered)} answered (the slowest after {longest:.1f} s), {lost} told 503"
    )
    good = True
    for wallet, history in histories.items():
        wrong = unexplained(history)
        good = good and wrong is None
        print(f"{wallet}  {len(history):5} operations  {'linearizable' if wrong is None else f'NOT LINEARIZABLE: {wrong}'}")
    return good


def main(arguments: Sequence[str]) -> int:
    """Play, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--count", type=int, default=400, help="requests of each client")
    parser.add_argument("--wallets", type=int, default=4)
    parser.add_argument("--apart", type=float, default=8.0, help="seconds without the database")
    options = parser.parse_args(arguments)
    with postgres.cluster(fsync=True) as database:
        return 0 if asyncio.run(play(options, database, database.new_database())) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
