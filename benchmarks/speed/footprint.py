"""What a server costs besides time per request: its start, its memory, its sessions, its resets."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed.processes import resident
from benchmarks.speed.results import Footprint, Reset, Sessions
from benchmarks.speed.servers import Server, bare, running, walletproof
from benchmarks.speed.wrk import READ, send


def subjects(peers: list[Server]) -> list[Server]:
    """Whose start and memory is measured; what peers were given makes no difference to them."""
    mocks = [walletproof("Walletproof"), walletproof("Walletproof, population 10,000,000", "--population", "10000000")]
    return [bare(), *mocks, *(peer for peer in peers if "given" not in peer.name)]


def footprints(
    servers: list[Server], starts: int, requests: int, most_seconds: int, folder: Path, say: Callable[[str], None]
) -> list[Footprint]:
    """Starts in turns, then the memory of each before and after up to `requests` balance reads, within `most_seconds`."""
    found: dict[str, list[float]] = {server.name: [] for server in servers}
    for _ in range(starts - 1):
        for server in servers:
            with running(server, folder) as started:
                found[server.name].append(started.first_answer)
    prints = []
    with running(next(server for server in servers if server.ours), folder) as mock:
        wallets = mock.wallets(1000)
    for server in servers:
        with running(server, folder) as started:
            found[server.name].append(started.first_answer)
            idle = resident(started.roots())
            done, until = 0, time.monotonic() + most_seconds
            while done < requests and time.monotonic() < until:
                done += round(send(started, READ, wallets, 1).rate)
            prints.append(Footprint(server.name, server.ours, found[server.name], idle, resident(started.roots()), done))
        say(f"  {server.name:40} first 200 {min(prints[-1].starts):6.2f} s   memory {idle:6.0f} MiB")
    return prints


def sessions(count: int, folder: Path) -> Sessions:
    """Memory of so many sessions that were looked at, and of so many others in which something was changed."""
    with running(walletproof("Walletproof"), folder) as mock:
        wallets = mock.wallets(1000)
        send(mock, READ, wallets, 2)  # what the first requests make for all is there by then
        mock.top_up_all([(wallets[number % len(wallets)], f"warm-{number}") for number in range(count)])
        before = resident(mock.roots())
        mock.read_all([(wallets[number % len(wallets)], f"read-{number}") for number in range(count)])
        touched = resident(mock.roots())
        mock.top_up_all([(wallets[number % len(wallets)], f"changed-{number}") for number in range(count)])
        changed = resident(mock.roots())
    return Sessions(count, (touched - before) * 1024 / count, (changed - touched) * 1024 / count)


def reset(name: str, place: str, events: int, times: int, folder: Path) -> Reset:
    """Milliseconds from asking for a reset to its answer, of a session with so many top-ups."""
    taken = []
    with running(walletproof(name, "--log", place), folder) as mock:
        wallets = mock.wallets(100)
        for number in range(times):
            session = f"reset-{number}"
            mock.top_up_all([(wallets[event % len(wallets)], session) for event in range(events)])
            began = time.perf_counter()
            mock.ask("POST", f"/_mock/sessions/{session}/reset")
            taken.append((time.perf_counter() - began) * 1000)
    return Reset(name, events, taken)
