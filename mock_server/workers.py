"""Several processes that answer on one port: begun together, replaced when one dies, ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable

from contract_tests.source import InputError

PATIENCE = 10.0  # seconds that workers have for ending
_MOST_FAILURES = 3
_STOPPING = (signal.SIGINT, signal.SIGTERM)

Work = Callable[[int, Callable[[], None]], None]
"""Serves until told to stop, or until the other end of a pipe closes; calls the function once requests are answered."""


def run(number: int, work: Work, ready: Callable[[], None]) -> int:
    """Have `number` processes work until this one is told to stop; `ready` is called once all are. The exit code."""
    if not hasattr(os, "fork"):
        raise InputError(f"--workers {number}: this system cannot fork; use --workers 1")
    return _Crew(number, work, ready).run()


class _Crew:
    def __init__(self, number: int, work: Work, ready: Callable[[], None]) -> None:
        self._number = number
        self._work = work
        self._ready = ready
        self._stopping = False
        self._failures = 0
        self._unready: dict[int, int] = {}  # pipes on which workers say that they are ready, by process id
        self._workers: set[int] = set()
        # Workers read the one end; when this process dies, however that happens, they see the other end close.
        self._life = os.pipe()

    def run(self) -> int:
        for number in _STOPPING:
            signal.signal(number, self._stop)
        for _ in range(self._number):
            self._begin()
        while not self._stopping and not all(map(self._is_ready, tuple(self._workers))):
            self._wait()
        if not self._stopping:
            self._ready()
        while self._workers:
            self._wait()
        return 1 if self._failures >= _MOST_FAILURES else 0

    def _begin(self) -> None:
        # No signal may come between: whoever is told to stop must know all whom to tell, and a copy must not take it for its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        try:
            if self._stopping:
                return
            told, tell = os.pipe()
            worker = os.fork()
            if worker == 0:
                os.close(told)
                os.close(self._life[1])
                self._become_worker(tell)
            os.close(tell)
            self._workers.add(worker)
            self._unready[worker] = told
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    def _become_worker(self, tell: int) -> None:
        code = 1
        try:
            for number in _STOPPING:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
            for pipe in self._unready.values():
                os.close(pipe)

            def ready() -> None:
                with contextlib.suppress(BrokenPipeError):  # nobody is there any more who would care
                    os.write(tell, b"!")
                os.close(tell)

            self._work(self._life[0], ready)
            code = 0
        except KeyboardInterrupt:
            code = 0
        except BaseException:  # noqa: BLE001 # a copy of this process must not go on as if it were this one
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _is_ready(self, worker: int) -> bool:
        """Wait until a worker has begun to answer, or has ended without."""
        told = self._unready.get(worker)
        if told is None:
            return True
        if not os.read(told, 1):
            return False
        os.close(told)
        del self._unready[worker]
        return True

    def _wait(self) -> None:
        worker, status = os.waitpid(-1, 0)
        if worker in self._workers:
            self._ended(worker, status)

    def _ended(self, worker: int, status: int) -> None:
        self._workers.discard(worker)
        was_ready = self._is_ready(worker)
        if not was_ready:
            os.close(self._unready.pop(worker))
        if self._stopping:
            return
        self._failures = 0 if was_ready else self._failures + 1
        if self._failures >= _MOST_FAILURES:
            print("workers end before they answer anything: giving up", file=sys.stderr, flush=True)
            self._stop()
            return
        code = os.waitstatus_to_exitcode(status)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        print(f"worker {worker} {how}; another takes its place", file=sys.stderr, flush=True)
        self._begin()

    def _stop(self, *_: object) -> None:
        if self._stopping:
            return
        self._stopping = True
        for worker in list(self._workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGTERM)
        signal.signal(signal.SIGALRM, self._kill)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def _kill(self, *_: object) -> None:
        for worker in list(self._workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
