"""The mock's controls from Python: sessions, their clocks, wallets, faults, scenarios, journal and webhooks.

    with MockClient("http://127.0.0.1:8080") as mock:
        session = mock.session("checkout")
        session.set_clock("frozen:2026-11-21T09:00:00Z")
        session.wallet("healthy").set(credit_balance=3)
        session.set_fault(fault="error", code=503, times=2)
        ...                                                  # the application under test, with session.headers
        session.expect("topUpWallet", times=1, where={"body": {"credits_to_add": 5}})

Over HTTP only; what each control takes and answers is in the mock's own document, `openapi/control.yaml`.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

Body = dict[str, Any]
Number = int | float | str | Decimal


class ControlError(Exception):
    """A control refused, or there is no mock; `status` is 0 if nothing answered."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotExpected(AssertionError):
    """The calls that a test expected were not made."""


class MockClient:
    """A running mock. `token` is its control token, if it was started with one.

    An https mock must have a certificate that the system trusts, or SSL_CERT_FILE names.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {"x-control-token": token} if token else {}
        # As the gate, and unlike httpx by itself, it trusts what the system does. Reading that takes time, so only if needed.
        verify = False if self.url.startswith("http://") else ssl.create_default_context()
        self._client = httpx.Client(trust_env=False, verify=verify, headers=headers, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> httpx.Response:
        """One control, by its path below `/_mock`; ControlError unless it succeeds."""
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body, default=_plain).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        params = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            answer = self._client.request(method, f"{self.url}/_mock{path}", content=content, headers=headers, params=params)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            hint = "; SSL_CERT_FILE can name one to trust" if "CERTIFICATE_VERIFY_FAILED" in str(error) else ""
            raise ControlError(0, f"no mock answers at {self.url}: {error}{hint}") from None
        if answer.is_success:
            return answer
        try:
            message = str(answer.json()["message"])
        except (ValueError, KeyError, TypeError):
            message = answer.text[:300]
        raise ControlError(answer.status_code, f"{method} /_mock{path}: {answer.status_code}: {message}")

    def personas(self) -> dict[str, Body]:
        """The fixture wallets by `provider/name`, with ids and tokens."""
        found = self.call("GET", "/personas").json()["personas"]
        return {f"{persona['provider']}/{persona['name']}": persona for persona in found}

    def sessions(self) -> list[Body]:
        """All sessions in use."""
        found: list[Body] = self.call("GET", "/sessions").json()["sessions"]
        return found

    def create(self, name: str | None = None, *, clock: str | None = None) -> Session:
        """A new session; without a name the mock chooses one."""
        wanted = {key: value for key, value in (("name", name), ("clock", clock)) if value is not None}
        return self.session(self.call("POST", "/sessions", wanted).json()["name"])

    def session(self, name: str = "default") -> Session:
        """A session by name; it comes to be when it is used."""
        return Session(self, name)


class Session:
    """One session of a mock. Requests with `headers` are in it."""

    def __init__(self, mock: MockClient, name: str) -> None:
        self.mock = mock
        self.name = name

    @property
    def headers(self) -> dict[str, str]:
        """What chooses the session."""
        return {"X-Mock-Session": self.name}

    def call(self, method: str, path: str = "", body: Any = None, query: Mapping[str, Any] | None = None) -> httpx.Response:
        """One control of this session, by its path below the session's."""
        return self.mock.call(method, f"/sessions/{quote(self.name, safe='')}{path}", body, query)

    def about(self) -> Body:
        """How many events it has, its clock, its snapshots and defects."""
        return _object(self.call("GET"))

    def reset(self) -> None:
        """Back to the beginning."""
        self.call("POST", "/reset")

    def delete(self) -> None:
        """End it; nothing of it is left."""
        self.call("DELETE")

    def clock(self) -> Body:
        """How its clock goes (`clock`), and what it shows (`now`)."""
        return _object(self.call("GET", "/clock"))

    def set_clock(self, clock: str) -> Body:
        """`real`, `frozen`, `frozen:2026-11-21T09:00:00Z` or `offset:7d`."""
        return _object(self.call("PUT", "/clock", {"clock": clock}))

    def advance(self, by: str | None = None, *, to: str | None = None) -> list[Body]:
        """Move the clock on by a span such as `7 days`, or to a time; returns the events that happened meanwhile."""
        happened: list[Body] = self.call("POST", "/clock/advance", {"by": by} if to is None else {"to": to}).json()["happened"]
        return happened

    def snapshot(self, name: str) -> None:
        """Keep the world as it is under a name."""
        self.call("PUT", f"/snapshots/{quote(name, safe='')}")

    def restore(self, name: str) -> None:
        """Back to a snapshot."""
        self.call("POST", f"/snapshots/{quote(name, safe='')}/restore")

    def undo(self, events: int = 1) -> list[Body]:
        """Take back the last events; returns them."""
        undone: list[Body] = self.call("POST", "/undo", {"events": events}).json()["undone"]
        return undone

    def events(self, after: int = 0) -> list[Body]:
        """What happened, at most 1,000 events."""
        found: list[Body] = self.call("GET", "/events", query={"after": after}).json()["events"]
        return found

    def export(self) -> bytes:
        """The whole session as a file; `walletproof replay` plays it."""
        return self.call("GET", "/export").content

    def load(self, file: bytes) -> None:
        """Put the session where an exported file brings it."""
        self.call("PUT", "/import", file)

    def defects(self, *names: str) -> None:
        """Have these defects and no others."""
        self.call("PUT", "/defects", {"defects": names})

    def wallet(self, wallet: str) -> Wallet:
        """A Flexprice wallet by persona name or id."""
        return Wallet(self, wallet)

    @property
    def polar(self) -> Polar:
        """Polar's customers."""
        return Polar(self)

    def set_fault(self, **fault: Any) -> Body:
        """One more fault, such as `fault="error", code=503, times=2, operation="topUpWallet"`."""
        return _object(self.call("POST", "/faults", fault))

    def clear_faults(self) -> None:
        """No faults any more."""
        self.call("DELETE", "/faults")

    def start_scenario(self, name: str | None = None, *, text: str | None = None) -> Body:
        """Start a scenario of the library by name, or one of your own (YAML)."""
        return _object(self.call("POST", "/scenarios", {"name": name} if text is None else {"text": text}))

    def scenarios(self) -> list[Body]:
        """The scenarios that run, and how far they are."""
        found: list[Body] = self.call("GET", "/scenarios").json()["scenarios"]
        return found

    def stop_scenarios(self) -> None:
        """Stop all of them; what they did stays."""
        self.call("DELETE", "/scenarios")

    def journal(self, **query: Any) -> list[Body]:
        """What was asked and answered: by `operation`, `status` (404 or 4xx), `wallet`, `since`, `until`, `after`, `limit`."""
        found: list[Body] = self.call("GET", "/journal", query=query).json()["entries"]
        return found

    def expect(
        self,
        operation: str,
        *,
        times: int | None = None,
        at_least: int | None = None,
        at_most: int | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """NotExpected, with the nearest calls, unless an operation was called so often; returns the numbers of the calls.

        Without a count it must have been called at least once. `where` narrows: `status`, `path`, `query`, `headers`, `body`.
        """
        counts = {"times": times, "at_least": at_least, "at_most": at_most}
        wanted: Body = {"operation": operation} | {name: count for name, count in counts.items() if count is not None}
        if len(wanted) == 1:
            wanted["at_least"] = 1
        if where:
            wanted["where"] = dict(where)
        verdict = _object(self.call("POST", "/verify", wanted))
        if verdict["verified"]:
            return list(verdict["matching"])
        lines = [f"expected {verdict['expected']} of {operation}, found {verdict['count']}"]
        lines += [f"  near: {_nearest(call)}" for call in verdict["nearest"]]
        raise NotExpected("\n".join(lines))

    def set_webhooks(self, **settings: Any) -> Body:
        """Where webhooks go, and how: `url`, `secret`, `enabled`, `types`, `delay`, `duplicate`, `reorder`."""
        return _object(self.call("PUT", "/webhooks", settings))

    def drain(self) -> list[Body]:
        """All messages that wait, as they would be sent, in order; they count as delivered."""
        messages: list[Body] = self.call("POST", "/webhooks/drain").json()["messages"]
        return messages


class Wallet:
    """A Flexprice wallet of a session, as the controls see it."""

    def __init__(self, session: Session, wallet: str) -> None:
        self._session = session
        self._path = f"/wallets/{quote(wallet, safe='')}"

    def get(self) -> Body:
        """All of its state."""
        return _object(self._session.call("GET", self._path))

    def set(self, **fields: Any) -> Body:
        """Change `credit_balance`, `status`, `usage`, `usage_rate`, `alert_settings`, `auto_topup`: all or nothing."""
        return _object(self._session.call("PATCH", self._path, fields))

    def use(self, amount: Number) -> Body:
        """Add pending usage, in money."""
        return _object(self._session.call("POST", f"{self._path}/usage", {"amount": amount}))

    def create_invoice(self, amount: Number, **fields: Any) -> Body:
        """An unpaid invoice of the wallet's customer."""
        return _object(self._session.call("POST", f"{self._path}/invoices", {"amount": amount, **fields}))

    def invoices(self) -> list[Body]:
        """The invoices of the wallet's customer in its currency, whatever has become of them."""
        found: list[Body] = self._session.call("GET", f"{self._path}/invoices").json()["invoices"]
        return found

    def pay_invoice(self, invoice: str = "latest", amount: Number | None = None) -> Body:
        """Pay an invoice, all of it unless an amount is given; what was bought with it arrives."""
        body = {} if amount is None else {"amount": amount}
        return _object(self._session.call("POST", f"{self._path}/invoices/{quote(invoice, safe='')}/pay", body))

    def void_invoice(self, invoice: str = "latest") -> Body:
        """Void an unpaid invoice."""
        return _object(self._session.call("POST", f"{self._path}/invoices/{quote(invoice, safe='')}/void"))

    def expire(self, transaction: str) -> Body:
        """Let a credit expire now."""
        return _object(self._session.call("POST", f"{self._path}/credits/{quote(transaction, safe='')}/expire"))

    def refund(self, transaction: str, credits: Number | None = None) -> Body:
        """Give the credits of a debit back, all of them unless told how many."""
        body = {} if credits is None else {"credits": credits}
        return _object(self._session.call("POST", f"{self._path}/transactions/{quote(transaction, safe='')}/refund", body))


class Polar:
    """Polar's customers of a session; they are called by name or id, wallets by `customer.wallet` or id."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def customers(self) -> list[Body]:
        """The customers with their tokens and wallets."""
        found: list[Body] = self._call("GET", "/customers").json()["customers"]
        return found

    def add_customer(self, name: str, **fields: Any) -> Body:
        """A new customer, with a token."""
        return _object(self._call("POST", "/customers", {"name": name, **fields}))

    def add_wallet(self, customer: str, **fields: Any) -> Body:
        """One more wallet: `currency`, `type`, `balance` (in the smallest unit)."""
        return _object(self._call("POST", f"/customers/{quote(customer, safe='')}/wallets", fields))

    def issue_token(self, customer: str, *, expires_in: str | None = None) -> Body:
        """One more token; it lasts an hour unless told otherwise."""
        body = {} if expires_in is None else {"expires_in": expires_in}
        return _object(self._call("POST", f"/customers/{quote(customer, safe='')}/tokens", body))

    def expire_tokens(self, customer: str) -> Body:
        """No token of the customer is good any more."""
        return _object(self._call("POST", f"/customers/{quote(customer, safe='')}/tokens/expire"))

    def set_balance(self, wallet: str, balance: int) -> Body:
        """Give a wallet another balance."""
        return _object(self._call("PATCH", f"/wallets/{quote(wallet, safe='')}", {"balance": balance}))

    def add_transaction(self, wallet: str, amount: int) -> Body:
        """Add to a wallet's balance, or take from it."""
        return _object(self._call("POST", f"/wallets/{quote(wallet, safe='')}/transactions", {"amount": amount}))

    def _call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self._session.call(method, f"/polar{path}", body)


def _object(answer: httpx.Response) -> Body:
    body: Body = answer.json()
    return body


def _plain(value: Any) -> Any:
    """Decimals travel as text, so that no digit is lost."""
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _nearest(call: Body) -> str:
    differs = "; ".join(call["differences"])
    return f"#{call['number']} {call['method']} {call['path']} {call['status']}: {differs}"
