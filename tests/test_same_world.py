"""Memory, a file and a database are the same to clients: the same answers to the same requests, and the same exports."""

from __future__ import annotations

import re
from contextlib import ExitStack

import httpx
import postgres
from conftest import running
from crew import quick_folder
from test_repeatability import exchange, requests

from contract_tests.mock_client import MockClient

NINE = "frozen:2026-11-21T09:00:00Z"
SESSIONS = [f"s{number}" for number in range(4)]


def test_the_log_changes_nothing() -> None:
    """120 requests of all kinds: statuses, headers and bodies are the same to the byte, and so are the exported sessions.

    With several workers only the ids of requests differ, which each worker counts for itself.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(quick_folder())
        logs = [
            ("--log", "memory"),
            ("--log", f"sqlite:{folder}/alone"),
            ("--log", postgres.place()),
            ("--log", f"sqlite:{folder}/shared", "--workers", "2"),
        ]
        mocks = [stack.enter_context(running("--seed", "11", "--clock", NINE, *log)) for log in logs]
        clients = [stack.enter_context(httpx.Client(base_url=mock.url)) for mock in mocks]
        clients[-1].headers["connection"] = "close"  # so that any worker may answer the next request
        statuses = set()
        for number, sent in enumerate(requests(5, 120, mocks[0].personas())):
            memory, *others, shared = [exchange(client, sent) for client in clients]
            assert others == [memory, memory], f"request {number}: {sent}"
            assert (shared[0], shared[2]) == (memory[0], memory[2]), f"request {number}: {sent}"
            statuses.add(memory[0])
        exports = [[stack.enter_context(MockClient(mock.url)).session(name).export() for name in SESSIONS] for mock in mocks]

    assert {200, 400, 401, 404} <= statuses
    assert exports[0] == exports[1] == exports[2]
    assert all(export.count(b'"kind"') > 4 for export in exports[0])
    requests_left_out = [[re.sub(rb'"requests": \d+', b"", export) for export in exported] for exported in exports]
    assert requests_left_out[0] == requests_left_out[3]
