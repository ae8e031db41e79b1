"""What leaves the mock: an answer that would break the contract becomes a logged finding and a 500, whoever made it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest

from mock_server.assembly import Settings, assemble
from mock_server.call import Answer, Call

JSON = b"application/json"
WALLET = "/v1/wallets/wallet_01KSR14E8RTG7KRAE0VN3ZSCM8"
PORTAL = "/v1/customer-portal/wallets/"


OPERATIONS = [("flexprice", "getWallet", WALLET), ("polar", "customer_portal:wallets:list", PORTAL)]


class Staged:
    """A mock in which one operation of each provider gives, or raises, whatever the test says."""

    def __init__(self) -> None:
        self.answer: Answer | Exception = Answer(500)
        self._mock = assemble(Settings())
        self._casts: dict[str, Any] = dict(self._mock.casts)
        for provider, operation, _ in OPERATIONS:
            cast = self._casts[provider]
            cast.handlers = {**cast.handlers, operation: self._handle}

    async def _handle(self, call: Call) -> Answer:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def get(self, provider: str, path: str) -> httpx.Response:
        """What a client gets."""
        token = self._casts["polar"].opening.tokens["ada"]
        key = {"x-api-key": "k"} if provider == "flexprice" else {"authorization": f"Bearer {token}"}

        async def get() -> httpx.Response:
            transport = httpx.ASGITransport(self._mock.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=key) as client:
                return await client.get(path)

        return asyncio.run(get())


@pytest.fixture(scope="module")
def staged() -> Staged:
    """One for all tests: what it gives is told anew before each request."""
    return Staged()


BROKEN = [
    ("body", Answer(200, b"{}", content_type=JSON), "response.body"),
    ("not JSON", Answer(200, b"{", content_type=JSON), "response.body"),
    ("no body", Answer(200, content_type=JSON), "response.body"),
    ("content type", Answer(200, b"hello", content_type=b"text/html"), "response.content-type"),
    ("status", Answer(418, b"{}", content_type=JSON), "response.status"),
]


@pytest.mark.parametrize(("answer", "rule"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
@pytest.mark.parametrize(("provider", "operation", "path"), OPERATIONS, ids=["flexprice", "polar"])
def test_broken_answers_never_leave(
    staged: Staged, caplog: pytest.LogCaptureFixture, provider: str, operation: str, path: str, answer: Answer, rule: str
) -> None:
    """The client gets the provider's own 500, and the log names rule and operation."""
    with caplog.at_level(logging.ERROR):
        staged.answer = answer
        response = staged.get(provider, path)

    assert_provider_s_failure(provider, response)
    assert any(rule in message and operation in message for message in caplog.messages), caplog.messages


@pytest.mark.parametrize(("provider", "operation", "path"), OPERATIONS, ids=["flexprice", "polar"])
def test_a_handler_that_fails(staged: Staged, caplog: pytest.LogCaptureFixture, provider: str, operation: str, path: str) -> None:
    """A failure within the mock is the provider's own 500 and says nothing of what happened; the log does."""
    with caplog.at_level(logging.ERROR):
        staged.answer = RuntimeError("secret inside")
        response = staged.get(provider, path)

    assert_provider_s_failure(provider, response)
    assert "secret" not in response.text
    assert "secret inside" in caplog.text


def assert_provider_s_failure(provider: str, response: httpx.Response) -> None:
    """The 500 as the provider writes it."""
    assert response.status_code == 500
    if provider == "flexprice":
        assert response.json().keys() == {"code", "message", "http_status_code"}
        assert (response.json()["code"], response.json()["http_status_code"]) == ("internal_error", 500)
    else:
        assert response.text == "Internal Server Error"
        assert response.headers["content-type"].startswith("text/plain")
