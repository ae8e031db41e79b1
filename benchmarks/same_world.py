"""The same world from memory, a file and a database: 5,000 requests of all kinds to each, then the exported files compared.

    python benchmarks/same_world.py [--requests 5000] [--seed 5]

Every status, header and body is compared to the byte as well.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx

from contract_tests.mock_client import MockClient

sys.path.append(str(Path(__file__).parent.parent / "tests"))

import postgres
from conftest import running
from test_repeatability import exchange, requests

SESSIONS = [f"s{number}" for number in range(4)]


def main(arguments: Sequence[str]) -> int:
    """Ask, export, compare, and print a line for each session."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        logs = {"memory": "memory", "sqlite": f"sqlite:{folder}/log", "postgresql": postgres.place()}
        world = ("--seed", "11", "--clock", "frozen:2026-11-21T09:00:00Z")
        mocks = [stack.enter_context(running(*world, "--log", log)) for log in logs.values()]
        clients = [stack.enter_context(httpx.Client(base_url=mock.url, timeout=60)) for mock in mocks]
        seconds, statuses = [0.0] * len(clients), Counter[int]()
        for number, sent in enumerate(requests(options.seed, options.requests, mocks[0].personas())):
            seen = []
            for place, client in enumerate(clients):
                began = time.perf_counter()
                seen.append(exchange(client, sent))
                seconds[place] += time.perf_counter() - began
            if seen[1:] != seen[:-1]:
                print(f"request {number} is answered differently: {sent}")
                return 1
            statuses[seen[0][0]] += 1
        controls = [stack.enter_context(MockClient(mock.url)) for mock in mocks]
        exports = {session: [each.session(session).export() for each in controls] for session in SESSIONS}
    print(f"{options.requests:,} requests, answered alike by {', '.join(logs)}: {dict(sorted(statuses.items()))}")
    print("seconds: " + ", ".join(f"{log} {took:.1f}" for log, took in zip(logs, seconds, strict=True)))
    for session, files in exports.items():
        same = files[1:] == files[:-1]
        digests = ", ".join(sorted({hashlib.sha256(file).hexdigest()[:16] for file in files}))
        print(f"{session}: {len(files[0]):,} bytes, {'identical' if same else 'DIFFERENT'}, SHA-256 {digests}")
    return 0 if all(files[1:] == files[:-1] for files in exports.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
