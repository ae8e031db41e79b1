"""A PostgreSQL server for the benchmarks: the one that tests start, with its writes really on disk, on the server's core."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.speed.servers import ROOT, SERVER_CORE


class Database:
    """A running server: `new_url()` is a database that nobody has used, `pid` the process that all others come from."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        (row,) = cluster.execute("postgres", "SELECT current_setting('data_directory'), current_setting('server_version')")
        self.pid = int(Path(row[0], "postmaster.pid").read_text("utf-8").split()[0])
        self.version = str(row[1])

    def new_url(self) -> str:
        """A database that nobody has used."""
        return str(self._cluster.new_database())


@contextmanager
def database() -> Iterator[Database]:
    """A server of its own, pinned, which goes with all it has at the end."""
    spec = importlib.util.spec_from_file_location("postgres_of_tests", ROOT / "tests/postgres.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cluster = module.Cluster(fsync=True)
    mine = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {int(SERVER_CORE)})  # what is started now stays there
        cluster.start()
        os.sched_setaffinity(0, mine)
        yield Database(cluster)
    finally:
        os.sched_setaffinity(0, mine)
        cluster.stop()
