"""Top-ups by many clients at once while something is broken beneath them, and what must be true of all of them afterwards.

Every top-up adds one credit under an idempotency key of its own, by which it can be found again.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import httpx
from flexprice_checks import Wallet

CLIENTS = 32
_PATIENCE = 30.0  # seconds that a client waits for an answer, or for somebody to be there who gives one

Break = Callable[[], Awaitable[None]]


@dataclass
class Outcome:
    """What clients know of their top-ups: which were acknowledged, and of which nobody told them what became of them.

    `refused` counts answers that were errors, by status; `lost` connections that ended without an answer.
    """

    acknowledged: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    refused: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    bodies: list[bytes] = field(default_factory=list)
    """Bodies of the errors."""


class Load:
    """Clients that send `count` top-ups to wallets in turn.

    `retrying`: after an error or a lost connection they ask again, with the same key, until they know. Otherwise they go on with
    the next one.
    """

    def __init__(self, address: tuple[str, int], wallets: Sequence[str], count: int, *, retrying: bool, name: str = "") -> None:
        self.outcome = Outcome()
        self._address = address
        self._retrying = retrying
        self._keys = iter([(f"{name}t-{number}", wallets[number % len(wallets)]) for number in range(count)])
        self._done = 0
        self._reached = asyncio.Condition()
        self._breaking = asyncio.Lock()  # one thing after the other

    async def run(self, *breaks: tuple[int, Break]) -> Outcome:
        """Send all of them; once clients are done with so many, break something."""
        await asyncio.gather(*(self._client() for _ in range(CLIENTS)), *(self._break(at, work) for at, work in breaks))
        return self.outcome

    async def _break(self, at: int, work: Break) -> None:
        async with self._reached:
            await self._reached.wait_for(lambda: self._done >= at)
        async with self._breaking:
            await work()

    async def _client(self) -> None:
        connection = Connection(self._address)
        for key, wallet in self._keys:
            await self._top_up(connection, wallet, key)
            self._done += 1
            async with self._reached:
                self._reached.notify_all()
        connection.close()

    async def _top_up(self, connection: Connection, wallet: str, key: str) -> None:
        outcome = self.outcome
        while True:
            status, body = await connection.top_up(wallet, key)
            # That a key was used before is an acknowledgement, to who knows that nobody else uses it.
            if status == 200 or (status == 409 and key in outcome.unknown):
                outcome.unknown.discard(key)
                outcome.acknowledged.add(key)
                return
            outcome.unknown.add(key)
            if status:
                outcome.refused[status] += 1
                outcome.bodies.append(body)
            else:
                outcome.lost += 1
            await asyncio.sleep(0.02)  # or all of them would be refused while something is away for a moment
            if not self._retrying:
                return


class Connection:
    """A connection that is opened when needed, and anew once it is lost."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """A request: status and body of the answer, 0 and nothing if the connection was lost."""
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: mock\r\nx-api-key: test\r\ncontent-type: application/json\r\n"
        try:
            async with asyncio.timeout(_PATIENCE):
                reader, writer = self._streams = self._streams or await self._connected()
                writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
                answer = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = re.search(rb"content-length: (\d+)", answer)
                assert length is not None, answer
                content = await reader.readexactly(int(length[1]))
        except (ConnectionError, EOFError):
            self.close()
            return 0, b""
        if b"connection: close" in answer:
            self.close()
        return int(answer.split(b" ", 2)[1]), content

    async def top_up(self, wallet: str, key: str, credits: int = 1) -> tuple[int, bytes]:
        """Ask for credits."""
        asked = {"credits_to_add": credits, "transaction_reason": "PURCHASED_CREDIT_DIRECT", "idempotency_key": key}
        return await self.send("POST", f"/v1/wallets/{wallet}/top-up", asked)

    def close(self) -> None:
        """Close it, if it is open."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            try:
                return await asyncio.open_connection(*self._address)
            except ConnectionError:
                await asyncio.sleep(0.01)  # a server that is started again listens in a moment


@dataclass(frozen=True)
class Account:
    """What has become of all top-ups: how many are there, and how many of these nobody was told of."""

    there: int
    untold: int


def account(client: httpx.Client, wallets: Sequence[str], outcome: Outcome) -> Account:
    """Look for every top-up; AssertionError unless each acknowledged one is there, no other twice, and all balances add up."""
    found: Counter[str] = Counter()
    for wallet in wallets:
        rows = list(_rows(client, wallet))
        balance = Wallet(client, wallet).balance()
        assert Decimal(str(balance["credit_balance"])) == len(rows), f"{wallet}: balance and transactions differ"
        found.update(str(row["idempotency_key"]) for row in rows)
        # One chain: each transaction begins where the one before it has ended.
        for number, row in enumerate(rows):
            assert (row["credit_balance_before"], row["credit_balance_after"]) == (str(number), str(number + 1)), row
    missing = outcome.acknowledged - set(found)
    assert not missing, f"{len(missing)} acknowledged top-ups are missing: {sorted(missing)[:5]}"
    twice = {key for key, times in found.items() if times > 1}
    assert not twice, f"{len(twice)} top-ups are there twice: {sorted(twice)[:5]}"
    strange = set(found) - outcome.acknowledged - outcome.unknown
    assert not strange, f"nobody asked for {sorted(strange)[:5]}"
    return Account(len(found), len(set(found) & outcome.unknown))


def _rows(client: httpx.Client, wallet: str) -> Iterator[dict[str, object]]:
    offset = 0
    while True:
        query = {"order": "asc", "limit": 1000, "offset": offset}
        page = client.get(f"/wallets/{wallet}/transactions", params=query).raise_for_status().json()["items"]
        yield from page
        if len(page) < 1000:
            return
        offset += 1000


def moments(draw: random.Random, count: int, number: int) -> list[int]:
    """After how many top-ups to break something: `number` random moments in the middle four fifths of `count`."""
    return sorted(draw.sample(range(count // 10, count * 9 // 10), number))
