"""The fuzzing process, from the parent's side: started, listened to, and stopped whatever happens."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

import contract_tests
from contract_tests.fuzz.brief import Brief

_STOPPING = 1.8  # seconds, then it is killed
_LAST_WORDS = 600


class Process:
    """Runs `contract_tests.fuzz.child` in `folder`, in a session of its own, so that only we answer to Ctrl-C."""

    def __init__(self, folder: Path, arguments: list[str], brief: Brief) -> None:
        self._log = folder / "log.txt"
        self._lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.ended = False
        roots = [str(Path(contract_tests.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, roots)), "NO_COLOR": "1"}
        environment["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY", ""), "127.0.0.1,localhost,::1"]))
        environment["NETRC"] = os.devnull  # no credentials but those that the run was given
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "contract_tests.fuzz.child", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        threading.Thread(target=self._tell, args=(brief.to_bytes(),), daemon=True).start()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    @property
    def code(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.poll()

    def lines(self, patience: float) -> Iterator[dict[str, Any]]:
        """What it has told by now; waits a little for the first line. `ended` is set after the last."""
        try:
            line = self._lines.get(timeout=patience)
            while line is not None:
                yield line
                line = self._lines.get_nowait()
            self.ended = True
        except queue.Empty:
            return

    def stop(self) -> Iterator[dict[str, Any]]:
        """Stop it, at once if it does not obey; what it had still to tell."""
        give_up_at = time.monotonic() + _STOPPING
        if self._process.poll() is None and not self.ended:
            self._process.terminate()
        try:
            self._process.wait(max(0.1, give_up_at - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.kill()
            self._process.wait()
        self._reader.join(1.0)
        while not self.ended:
            yield from self.lines(0.1)
            if not self._reader.is_alive() and self._lines.empty():
                break

    def last_words(self) -> str:
        """The end of what it printed."""
        try:
            text = self._log.read_bytes()[-4000:].decode("utf-8", "replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " | ".join(lines[-6:])[-_LAST_WORDS:]

    def _tell(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            with self._process.stdin as stdin:
                stdin.write(data)
        except OSError:
            pass  # it died; that shows in its exit code

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                try:
                    self._lines.put(orjson.loads(line))
                except ValueError:
                    continue  # cut off when it was killed
        self._lines.put(None)
