"""A journal that several processes share: what it writes of an exchange, and what it never writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import httpx
import orjson
import pytest
from conftest import running
from test_journal import Journal

from contract_tests import redaction
from contract_tests.exchange import Request, Response
from mock_server.assembly import Settings, assemble
from mock_server.call import Call, Provider
from mock_server.control.entries import Reader
from mock_server.control.verifying import differences
from mock_server.event_log import PATIENCE, LogUnavailable, Patience, patience
from mock_server.journal.memory import MemoryJournal
from mock_server.journal.shared import LogJournal
from mock_server.logs.memory import MemoryLog
from mock_server.sessions import Sessions

KEY = "flex-live/9f8e+kkkkkkkk"
SECRETS = (b"kkkkkkkk", b"0123456789")  # of the key and of all others, a part that is the same however it is written
HEADERS = [(b"host", b"localhost"), (b"x-api-key", KEY.encode()), (b"content-type", b"application/json")]
WALLET = "wallet_01KSF5FR5GR5VX5PHQ9E1Y7PCJ"


@pytest.fixture(scope="module")
def providers() -> Mapping[str, Provider]:
    """Those of a mock, by name."""
    return dict(assemble(Settings()).casts)  # type: ignore[arg-type]


class GoneLog(MemoryLog):
    """A log that cannot be written while it is `gone`."""

    gone: Exception | None = None

    async def record(self, entries: Sequence[tuple[str, bytes]], most: int) -> None:
        if self.gone is not None:
            raise self.gone
        await super().record(entries, most)


class HeldUpLog(GoneLog):
    """A log that begins to write a batch only when it is told to go on; `batches` are the sessions of those it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.given, self.go_on = asyncio.Event(), asyncio.Event()
        self.patience: list[float] = []

    async def record(self, entries: Sequence[tuple[str, bytes]], most: int) -> None:
        self.batches.append([session for session, _ in entries])
        self.patience.append(patience().seconds)
        self.given.set()
        await self.go_on.wait()
        await super().record(entries, most)


def asked(providers: Mapping[str, Provider], **parts: object) -> Call:
    """A call of `updateWallet`, with what differs from the usual."""
    request = Request("PUT", f"/v1/wallets/{WALLET}", headers=HEADERS, path_params={"id": WALLET})
    for name, value in parts.items():
        setattr(request, name, value)
    request.header = dict(request.headers)
    call = Call(request, providers["flexprice"], "s", datetime(2026, 12, 1, 10, 0, 0, 5, tzinfo=UTC))
    call.operation = call.provider.contract.operations["updateWallet"]
    return call


def answered(status: int = 200, body: bytes = b'{"id":"w"}', *headers: tuple[bytes, bytes]) -> Response:
    """An answer."""
    return Response(status, [(b"content-type", b"application/json"), *headers], body)


EXCHANGES: dict[str, tuple[dict[str, object], Response]] = {
    "plain": ({"body": b'{"name":"x"}', "query_string": b"a=1&a=2&b="}, answered()),
    "utf-8": ({"body": '{"name":"Größe"}'.encode(), "path": "/v1/wallets/Größe"}, answered(body='{"name":"Größe"}'.encode())),
    "no text": ({"body": bytes(range(128, 256))}, answered(500, b"\xff\xfe\x00")),
    "whole numbers": ({"body": b'{"name":98765432109876543210987654321}'}, answered(400)),
    "wrong": ({"body": b'{"name":7}'}, answered(200, b'{"balance":1}')),
    "no answer": ({"method": "HEAD"}, answered(0, b'{"id":"w"}')),
    "repeated headers": ({"headers": [*HEADERS, (b"x-a", b"\xfc"), (b"x-a", b"")]}, answered()),
    "long": ({"body": b'{"metadata":{"long":"' + b"y" * 20_000 + b'"}}'}, answered(body=b'{"note":"' + b"z" * 20_000 + b'"}')),
    "key in path": ({"path": f"/v1/wallets/{KEY}", "path_params": {"id": KEY}}, answered(404)),
    "key in query": ({"query_string": f"note=a{quote(KEY, safe='')}b&wallet={quote(KEY)}".encode()}, answered()),
    "key in bodies": ({"body": f'{{"name":"key {KEY}!"}}'.encode()}, answered(400, f'{{"error":"not {KEY}"}}'.encode())),
    "key in headers": ({"headers": [*HEADERS, (b"x-note", KEY.encode())]}, answered(200, b"{}", (b"x-echo", KEY.encode()))),
    "names in query": ({"query_string": b"a=1&access_token=0123456789&API-KEY=0123456789"}, answered()),
    "names in a URL": ({"query_string": b"to%6Ben=0123456789"}, answered()),
    "names in JSON": (
        {"body": b'{"name":7,"metadata":{"Access_Token":"0123456789","b":[{"password":["0123456789"]}],"token":null}}'},
        answered(200, b'{"id":"w","client-secret":{"x":"0123456789"}}'),
    ),
    "names in escapes": ({"body": b'{"name":"\\u00fc","to\\u006ben":"0123456789","pa\\u017fsword":"0123456789"}'}, answered()),
    "names with a long s": ({"body": '{"acceſs_paſſword":"0123456789"}'.encode()}, answered()),
    "names in UTF-16": ({"body": '{"token":"0123456789"}'.encode("utf-16")}, answered()),
    "secret of another kind": ({"body": b'{"metadata":{"token":{"a":"0123456789"},"pin_secret":123456789}}'}, answered()),
    "too deep": ({"body": b'{"token":"0123456789","name":' + b"[" * 900 + b"]" * 900 + b"}"}, answered(400)),
    "half of a body": ({"body": b'{"client_secret": "0123456789", "name": "x'}, answered(400)),
    "JSON web tokens": (
        {
            "body": b'{"metadata":{"session":"eyJhbGciOiJI.eyJ0123456789.x-0123456789"}}',
            "query_string": b"s=eyJhbGciOiJI.0123456789.",
        },
        answered(400, b"not eyJhbGciOiJI.0123456789.0123456789"),
    ),
    "form": ({"body": b"grant=a&password=0123456789&b=c"}, answered(400, b"Bearer 0123456789 is no good")),
    "long secrets": ({"body": b'{"name":"a","token":[' + b'"0123456789",' * 4_000 + b'"x"]}'}, answered()),
    "cookies": (
        {"headers": [*HEADERS, (b"cookie", b"sid=cookie-0123456789; theme=dark")], "body": b'{"name":"cookie-0123456789"}'},
        answered(200, b"{}", (b"set-cookie", b"sid=other-0123456789; Path=/")),
    ),
    "tokens": (
        {
            "headers": [
                *HEADERS,
                (b"authorization", b"Bearer bearer-0123456789"),
                (b"x-session-token", b"session-0123456789"),
                (b"referer", b"http://localhost/?token=0123456789"),
            ]
        },
        answered(401, b'{"error":"bearer-0123456789 has expired"}'),
    ),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_it_tells_what_one_in_memory_tells(providers: Mapping[str, Provider], name: str) -> None:
    """Whatever was asked and answered, an entry reads the same; and what is written for that has no secret in it."""
    parts, response = EXCHANGES[name]
    log = MemoryLog()
    shared, memory = LogJournal(log, providers), MemoryJournal(Sessions())

    async def note() -> tuple[list[dict[str, object]], bytes]:
        entries = []
        for journal in (shared, memory):
            await journal.note(asked(providers, **parts), response, 0.0123)
            (entry,) = (await journal.kept("s")).entries
            entries.append(reader.body(entry))
        (record,) = (await log.records("s")).records
        return entries, record.entry

    reader = Reader({name: provider.contract for name, provider in providers.items()})
    (from_log, from_memory), record = asyncio.run(note())
    assert from_log == from_memory
    text = "".join(map(str, orjson.loads(record))).replace("\0", "")
    assert not any(secret.decode() in text for secret in SECRETS)


def test_every_name_of_a_secret_is_known(providers: Mapping[str, Provider]) -> None:
    """What the redaction calls a secret is not written: a name that is added there must be found here as well."""
    pattern = redaction._SECRET_NAME.pattern
    names = [word.replace("[_-]?", between) for word in pattern.split("|") for between in ("", "_", "-")]
    assert len(names) == 3 * 7
    for name in [*names, *(name.title() for name in names)]:
        assert redaction.is_secret(name)
        log = MemoryLog()
        call = asked(providers, body=b'{"my_%s_1":"0123456789"}' % name.encode(), query_string=f"{name}=0123456789".encode())
        asyncio.run(LogJournal(log, providers).note(call, answered(), 0.1))
        (record,) = asyncio.run(log.records("s")).records
        assert SECRETS[1] not in record.entry, name


@pytest.mark.parametrize(
    ("header", "value", "where", "difference"),
    [
        (b"x-api-key", KEY.encode(), {"headers": {"X-Api-Key": KEY}}, None),
        (b"x-api-key", KEY.encode(), {"headers": {"X-Api-Key": "other"}}, "headers.x-api-key was another than expected"),
        (b"x-api-key", KEY.encode(), {"headers": {"X-Api-Key": "€"}}, "headers.x-api-key was another than expected"),
        (b"x-api-key", b"***~x", {"headers": {"X-Api-Key": "other"}}, "headers.x-api-key was another than expected"),
        (b"x-note", b"***~x", {"headers": {"X-Note": "***~"}}, 'headers.x-note was "***~x", expected "***~"'),
        (b"authorization", b"Bearer 0123456789", {"headers": {"Authorization": "Bearer 0123456789"}}, None),
        (
            b"authorization",
            b"Basic dXNlcjpwYXNz",
            {"headers": {"Authorization": "Basic dXNlcjpwYXNz"}},
            "headers.authorization is a secret, and was not kept",
        ),
        (b"x", b"y", {"body": {"token": "0123456789"}}, "body.token is a secret, and was not kept"),
        (b"x", b"y", {"query": {"api_key": "0123456789"}}, "query.api_key is a secret, and was not kept"),
    ],
)
def test_secrets_can_be_verified(
    providers: Mapping[str, Provider], header: bytes, value: bytes, where: dict[str, object], difference: str | None
) -> None:
    """A key or a token is known again; of what was not kept that is said, and nothing that could be wrong."""
    body, query = b'{"token":"0123456789"}', b"api_key=0123456789"
    call = asked(providers, headers=[(header, value)], body=body, query_string=query)
    log = MemoryLog()

    async def note() -> list[str]:
        await LogJournal(log, providers).note(call, answered(), 0.1)
        (entry,) = (await LogJournal(log, providers).kept("s")).entries
        return list(differences(entry, where))

    assert asyncio.run(note()) == ([difference] if difference else [])


def test_a_log_that_is_gone(providers: Mapping[str, Provider], caplog: pytest.LogCaptureFixture) -> None:
    """Noting does not fail, for what was asked is done: entries are lost, which is logged once, and count as dropped."""
    log = GoneLog()
    one, other = LogJournal(log, providers), LogJournal(log, providers)

    async def lose() -> None:
        await one.note(asked(providers), answered(), 0.1)
        log.gone = LogUnavailable("the database is gone")
        for _ in range(3):
            await one.note(asked(providers), answered(), 0.1)
        assert (await one.kept("s")).dropped == 3
        log.gone = None
        await one.note(asked(providers), answered(), 0.1)

    with caplog.at_level(logging.WARNING, "walletproof"):
        asyncio.run(lose())
    for journal in (one, other):
        kept = asyncio.run(journal.kept("s"))
        assert ([entry.number for entry in kept.entries], kept.last, kept.dropped) == ([1, 2], 2, 3)
    assert [record.message for record in caplog.records] == [
        "entries of the journal are lost, until it can be written again: the database is gone",
        "the journal is written again; 3 entries were lost",
    ]


def of_session(providers: Mapping[str, Provider], session: str) -> Call:
    """A call of a session."""
    call = asked(providers)
    call.session = session
    return call


def test_entries_that_wait_go_together(providers: Mapping[str, Provider]) -> None:
    """While a batch is on its way the next one gathers, in the order of the answers; none is done before it is written."""

    async def run() -> None:
        log = HeldUpLog()
        journal = LogJournal(log, providers)
        PATIENCE.set(Patience(0.0))  # that of a request which has waited long enough for other things
        first = [asyncio.create_task(journal.note(of_session(providers, name), answered(), 0.1)) for name in "ab"]
        await log.given.wait()
        late = [asyncio.create_task(journal.note(of_session(providers, name), answered(), number)) for number, name in
                enumerate("abbac")]  # fmt: skip
        await asyncio.sleep(0)
        late[2].cancel()  # its client has gone, but what it asked for is done
        await asyncio.wait(late, timeout=0)
        assert not any(task.done() for task in first)
        log.go_on.set()
        await asyncio.gather(*first, *late, return_exceptions=True)
        assert log.batches == [["a", "b"], ["a", "b", "b", "a", "c"]]
        assert log.patience == [0.5, 0.5]
        seconds = {name: [entry.seconds for entry in (await journal.kept(name)).entries] for name in "abc"}
        assert seconds == {"a": [0.1, 0, 3], "b": [0.1, 1, 2], "c": [4]}

    asyncio.run(run())


def test_a_batch_that_is_lost(providers: Mapping[str, Provider], caplog: pytest.LogCaptureFixture) -> None:
    """All its entries count as dropped, each in its session; what comes after is written, and tells of them."""

    async def run() -> None:
        log = HeldUpLog()
        log.go_on.set()
        log.gone = LogUnavailable("the database is gone")
        journal = LogJournal(log, providers)
        for batches in (1, 2):
            await asyncio.gather(*(journal.note(of_session(providers, name), answered(), 0.1) for name in "aab"))
            assert len(log.batches) == batches
            assert [(await journal.kept(name)).dropped for name in "ab"] == [2 * batches, batches]
        log.gone = None
        await asyncio.gather(*(journal.note(of_session(providers, name), answered(), 0.1) for name in "aab"))
        for name, written, lost in (("a", 2, 4), ("b", 1, 2)):
            kept = await LogJournal(log, providers).kept(name)
            assert (len(kept.entries), kept.last, kept.dropped) == (written, written, lost)

    with caplog.at_level(logging.WARNING, "walletproof"):
        asyncio.run(run())
    assert [record.message for record in caplog.records] == [
        "entries of the journal are lost, until it can be written again: the database is gone",
        "the journal is written again; 6 entries were lost",
    ]


def test_an_entry_that_makes_trouble(providers: Mapping[str, Provider], caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong with an entry is logged, and no matter of the answer."""
    log = GoneLog()
    log.gone = RuntimeError("nobody has thought of this")
    journal = LogJournal(log, providers)

    asyncio.run(journal.note(asked(providers), answered(), 0.1))
    assert asyncio.run(journal.kept("s")).dropped == 1
    assert [record.message for record in caplog.records] == ["entries of the journal could not be written"]


def test_a_provider_that_is_not_served(providers: Mapping[str, Provider]) -> None:
    """Who cannot read an entry says that there is one less."""
    log = MemoryLog()
    asyncio.run(LogJournal(log, providers).note(asked(providers), answered(), 0.1))

    kept = asyncio.run(LogJournal(log, {"polar": providers["polar"]}).kept("s"))
    assert (list(kept.entries), kept.last, kept.dropped) == ([], 1, 1)


def test_two_workers_and_a_restart(tmp_path: Path) -> None:
    """What either has answered, either tells at once, and so does the next server; the file has no secret in it."""
    place, key = tmp_path / "log.sqlite", "flex-live-0123456789"
    headers = {"x-api-key": key, "connection": "close"}  # each connection is the one worker's or the other's
    options = ("--log", f"sqlite:{place}", "--journal", "20")
    with running("--workers", "2", *options) as mock, httpx.Client(base_url=mock.url, headers=headers, verify=False) as client:
        for number in range(1, 26):
            client.get(f"/v1/wallets/{number}", params={"token": "x-0123456789"})
            assert client.get("/_mock/sessions/default/journal", params={"limit": 1}).json()["last"] == number
        before = Journal(mock.url, "default").read()
        assert [entry["number"] for entry in before["entries"]] == list(range(6, 26))
        assert before["dropped"] == 5
    files = sorted(tmp_path.iterdir())
    assert place in files
    for file in files:
        assert SECRETS[1] not in file.read_bytes(), file
    with running(*options) as mock:
        journal = Journal(mock.url, "default")
        assert journal.read() == before
        assert journal.verify("getWallet", times=20, where={"headers": {"x-api-key": key}})["verified"] is True
