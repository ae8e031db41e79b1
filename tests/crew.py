"""A server with several workers, as tests see it: who they are, each spoken to alone, killed, and started again."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from conftest import start, stop

PATIENCE = 30.0


class Crew:
    """A running `walletproof serve` that can be killed, and started again on its port and its log."""

    def __init__(self, *options: str, command: str = "serve") -> None:
        self._options = options
        self.mock = start(*options, command=command)
        self.logged = ""

    @property
    def url(self) -> str:
        """Where it is."""
        return self.mock.url

    @property
    def address(self) -> tuple[str, int]:
        """Where it is, for sockets."""
        place = urlsplit(self.url)
        assert place.hostname is not None
        assert place.port is not None
        return place.hostname, place.port

    @property
    def parent(self) -> psutil.Process:
        """The process that was started."""
        return psutil.Process(self.mock.process.pid)

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        return [child for child in self.parent.children() if _lives(child)]

    def kill_worker(self, which: float) -> None:
        """End one of the workers at once; `which`, from 0 to 1, says which one."""
        while not (workers := self.workers()):
            os.sched_yield()  # another one takes its place in a moment
        workers[int(which * len(workers))].kill()

    def kill(self) -> None:
        """End all of it at once."""
        everybody = [self.parent, *self.workers()]
        for process in everybody:
            process.suspend()  # so that none sees another one end
        for process in everybody:
            process.kill()
        self._is_gone(everybody)

    def orphan(self) -> None:
        """End the parent at once; returns when its workers, whom nobody looks after any more, have ended."""
        everybody = [self.parent, *self.workers()]
        everybody[0].kill()
        self._is_gone(everybody)

    def again(self) -> None:
        """Start what was killed."""
        self.mock = start(*self._options, "--port", str(self.address[1]))

    def stop(self) -> str:
        """End it in peace; what it logged, with what was logged before it was killed."""
        if not self.mock.log.closed:
            self.logged += stop(self.mock)
        return self.logged

    def _is_gone(self, processes: list[psutil.Process]) -> None:
        self.mock.process.wait(timeout=PATIENCE)
        assert self.mock.process.stdout is not None
        self.mock.process.stdout.close()
        until = time.monotonic() + PATIENCE
        while left := [process for process in processes if _lives(process)]:
            assert time.monotonic() < until, f"{left} are still there"
            time.sleep(0.005)
        with self.mock.log as log:
            log.seek(0)
            self.logged += log.read()


@contextmanager
def crew(*options: str, command: str = "serve") -> Iterator[Crew]:
    """A crew of a test's own, stopped afterwards."""
    made = Crew(*options, command=command)
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory, where there is such a thing: what is killed here are processes, and files outlive them anywhere."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@contextmanager
def alone(crew: Crew, path: str = "", headers: Mapping[str, str] | None = None) -> Iterator[list[httpx.Client]]:
    """A client for each worker, which no other one answers: while it connected, the others stood still."""
    with ExitStack() as stack:
        yield [stack.enter_context(_client_of(crew, worker, path, headers)) for worker in crew.workers()]


@contextmanager
def _client_of(crew: Crew, worker: psutil.Process, path: str, headers: Mapping[str, str] | None) -> Iterator[httpx.Client]:
    addresses = set()

    def look(response: httpx.Response) -> None:
        addresses.add(response.extensions["network_stream"].get_extra_info("client_addr"))
        assert len(addresses) == 1, "the connection ended, and who answers the next one is not known"

    hooks = {"response": [look]}
    with httpx.Client(base_url=crew.url + path, headers=headers, event_hooks=hooks, trust_env=False, timeout=PATIENCE) as client:
        with standing_still([other for other in crew.workers() if other.pid != worker.pid]):
            client.get(f"{crew.url}/_mock/health").raise_for_status()
        yield client


@contextmanager
def standing_still(processes: list[psutil.Process]) -> Iterator[None]:
    """While these processes do nothing at all."""
    try:
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        until = time.monotonic() + PATIENCE
        while any(process.status() != psutil.STATUS_STOPPED for process in processes):
            assert time.monotonic() < until, "a signal did not arrive"
            os.sched_yield()
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
