"""How busy a load keeps the cores: the server, the load generator, and whatever else runs on the machine."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.processes import cpu_seconds

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Busy:
    """Processor time per second, in cores."""

    server: float
    client: float
    others: float


class Meter:
    """Measures from its making until `read`. The client is what was started and waited for meanwhile.

    The kernel counts the network's interrupts to a core and to no process; they are the server's on its cores and the
    client's on the others. Where the two share a core, they are the server's.
    """

    def __init__(self, server: list[int], server_cores: str) -> None:
        self._server = server
        self._cores = {int(core) for core in server_cores.split(",")}
        self._began = time.perf_counter()
        self._before = self._now()

    def read(self) -> Busy:
        """What was used until now."""
        seconds = time.perf_counter() - self._began
        server, client, working, theirs, rest = (now - then for now, then in zip(self._now(), self._before, strict=True))
        return Busy((server + theirs) / seconds, (client + rest) / seconds, max(working - server - client, 0) / seconds)

    def _now(self) -> tuple[float, float, float, float, float]:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        working = theirs = rest = 0.0
        for line in Path("/proc/stat").read_text("ascii").splitlines():
            name, *ticks = line.split()
            if name.startswith("cpu") and name != "cpu":
                user, nice, system, _, _, hard, soft = (int(tick) / _TICKS for tick in ticks[:7])
                working += user + nice + system
                if int(name[3:]) in self._cores:
                    theirs += hard + soft
                else:
                    rest += hard + soft
        return cpu_seconds(self._server), usage.ru_utime + usage.ru_stime, working, theirs, rest
