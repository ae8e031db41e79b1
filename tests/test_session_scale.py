"""Sessions in great number: what one costs, and that fifty suites on one port never see each other."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from typing import Any

import httpx
from conftest import running

from contract_tests.mock_client import MockClient
from mock_server.assembly import Settings, assemble
from mock_server.sessions import Session

SUITES = 50


def test_a_thousand_sessions_cost_next_to_nothing() -> None:
    """Until something is changed in it, a session takes less than a millisecond to make and less than 4 KiB to keep."""
    worlds = assemble(Settings(population=10)).worlds
    wallet_id = "wallet_01KSF5FR5GR5VX5PHQ9E1Y7PCJ"

    async def use(count: int, prefix: str) -> None:
        for number in range(count):
            name = f"{prefix}{number}"
            assert isinstance(worlds.sessions.get(name), Session)
            assert (await worlds.current(name)).states["flexprice"].account(wallet_id)  # type: ignore[attr-defined]

    asyncio.run(use(10, "warm"))
    began = time.perf_counter()
    asyncio.run(use(1000, "timed"))
    seconds = (time.perf_counter() - began) / 1000
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    asyncio.run(use(1000, "weighed"))
    each = (tracemalloc.get_traced_memory()[0] - before) / 1000
    tracemalloc.stop()

    assert len(worlds.sessions) == 2011
    assert seconds < 0.001
    assert each < 4096


async def suite(client: httpx.AsyncClient, name: str, variant: int, wallets: list[str]) -> list[bytes]:
    """What a test suite does in its session, and all the bodies it saw."""
    seen = []
    headers = {"x-api-key": "k", "x-mock-session": name}

    async def ask(method: str, path: str, body: Any = None) -> None:
        answer = await client.request(method, path, json=body, headers=headers)
        seen.append(b"%d " % answer.status_code + answer.content)

    await ask("PUT", f"/_mock/sessions/{name}/clock", {"clock": "frozen:2026-11-21T12:00:00Z"})
    for step in range(6):
        wallet = wallets[(step * (variant + 1)) % len(wallets)]
        topup = {"credits_to_add": step + 1 + variant, "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": f"k{step}"}
        await ask("POST", f"/v1/wallets/{wallet}/top-up", topup)
        await ask("GET", f"/v1/wallets/{wallet}/balance/real-time")
        await ask("POST", "/v1/wallets", {"currency": "usd", "customer_id": f"cust_{variant}_{step % 4}"})
        await ask("POST", f"/_mock/sessions/{name}/clock/advance", {"by": f"{variant + 1}h"})
        if step == 3:
            await ask("POST", f"/_mock/sessions/{name}/undo", {"events": 2})
    await ask("POST", "/v1/wallets/transactions/search", {"limit": 20})
    await ask("GET", f"/_mock/sessions/{name}/events")
    return seen


def test_fifty_suites_at_once_do_not_see_each_other() -> None:
    """Each of fifty suites that run at once on one port sees, to the byte, what it sees alone."""
    with running("--clock", "frozen:2026-11-21T12:00:00Z") as mock, MockClient(mock.url) as controls:
        personas = controls.personas()
        wallets = [personas[f"flexprice/{name}"]["ids"]["wallet"] for name in ("healthy", "low", "busy", "rate-2", "auto-topup")]

        async def run(name: str, variant: int) -> list[bytes]:
            # A client each: fifty that share a pool of connections spend most of their time in its queue.
            async with httpx.AsyncClient(base_url=mock.url, timeout=60, verify=False) as client:
                return await suite(client, name, variant, wallets)

        async def all_at_once() -> tuple[list[list[bytes]], list[list[bytes]]]:
            alone = [await run(f"alone-{variant}", variant) for variant in range(3)]
            together = await asyncio.gather(*(run(f"together-{number}", number % 3) for number in range(SUITES)))
            return alone, together

        alone, together = asyncio.run(all_at_once())

    assert alone[0] != alone[1] != alone[2]
    assert [number for number in range(SUITES) if together[number] != alone[number % 3]] == []
