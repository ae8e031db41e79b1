"""Processes on cores of their own: started, asked until they answer, weighed, stopped. Linux only (taskset, /proc)."""

from __future__ import annotations

import http.client
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

PATIENCE = 60.0  # seconds; the slowest server measured so far needs eight on a busy machine


class BenchError(Exception):
    """The measurement cannot go on; the message says what to do."""


@contextmanager
def pinned(command: list[str], cores: str, environment: Mapping[str, str], folder: Path) -> Iterator[Process]:
    """A process that runs in `folder` on `cores` (as taskset writes them) and is stopped at the end."""
    with tempfile.TemporaryFile("w+") as said:  # not a pipe: nobody reads it meanwhile, and a full pipe would stop the server
        child = subprocess.Popen(
            ["taskset", "-c", cores, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**os.environ, **environment},
            cwd=folder,
        )
        try:
            yield Process(child, said)
        finally:
            whole = tree([child.pid])
            child.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=10)
            for pid in whole:  # nobody else would stop what it left behind
                _end(pid)
            child.wait()


class Process:
    """A running process and what it says on stderr."""

    def __init__(self, child: subprocess.Popen[bytes], said: IO[str]) -> None:
        self.began = time.perf_counter()
        self.pid = child.pid
        self._child = child
        self._said = said

    def until_answered(self, url: str, headers: Mapping[str, str]) -> float:
        """Seconds from the start until `url` was answered with 200."""
        target = urlsplit(url)
        while (now := time.perf_counter()) < self.began + PATIENCE:
            if self._child.poll() is not None:
                raise BenchError(f"{self._name()} ended before it answered; it said:\n{self._words()}")
            # Not httpx: making a client takes as long as a tenth of a start.
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=PATIENCE)
            try:
                connection.request("GET", target.path, headers=dict(headers))
                if connection.getresponse().status == 200:
                    return now - self.began
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.005)
        raise BenchError(f"{self._name()} did not answer {url} with 200 within {PATIENCE:g} s; it said:\n{self._words()}")

    def _name(self) -> str:
        return " ".join(str(part) for part in self._child.args[3:6])  # type: ignore[index] # a list, as above

    def _words(self) -> str:
        self._said.seek(0)
        return self._said.read()[-2000:].strip()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(roots: Iterable[int]) -> list[int]:
    """The given processes and all that they started, as long as they run."""
    found = list(roots)
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children.setdefault(int(_fields(stat)[1]), []).append(int(stat.parent.name))
    for pid in found:  # grows meanwhile
        found += children.get(pid, [])
    return found


def resident(roots: Iterable[int]) -> float:
    """MiB of memory that the trees have, pages that several processes share counted for each."""
    total = 0
    for pid in tree(roots):
        with suppress(OSError):
            match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text("ascii"))
            total += int(match[1]) if match else 0
    return total / 1024


def cpu_seconds(roots: Iterable[int]) -> float:
    """Processor time that the trees have used."""
    ticks = 0
    for pid in tree(roots):
        with suppress(OSError):
            fields = _fields(Path(f"/proc/{pid}/stat"))
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            select.select([handle], [], [], 10)
        finally:
            os.close(handle)


def _fields(stat: Path) -> list[str]:
    # From the third field on: the second is a name in parentheses, which may hold anything.
    return stat.read_text("utf-8", errors="replace").rpartition(")")[2].split()
