"""The last step of every request of the fuzzing process: fenced, sent, and its answer taken as it came over the wire.

It sits below Schemathesis, in the adapter that `requests` sends with. So it sees all requests, also those that no hook
tells of; it adds the credentials, which Schemathesis never learns; and answers are read whole, within bounds and unaltered.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter

from contract_tests.contract import Contract, Operation
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.fuzz.answers import answered_here, is_stale, kind, raw_headers, read, retry_after, seconds
from contract_tests.fuzz.brief import Brief
from contract_tests.fuzz.fence import Fence, Pass
from contract_tests.fuzz.witness import Witness
from contract_tests.target import USER_AGENT

_RETRIES = 3
_CASE, _PROBE = "X-Schemathesis-TestCaseId", "X-Schemathesis-Probe"
_MOST_HANGS = 2  # an operation that hung this often gets the patience that Schemathesis has left for it

Send = Callable[[tuple[float, float]], requests.Response]


class Router:
    """Which operation a request reaches, as a server sees it."""

    def __init__(self, contract: Contract) -> None:
        self._unrouted = contract.unrouted
        # Literal segments before templated ones, as OpenAPI has it.
        operations = sorted(contract.operations.values(), key=lambda operation: operation.path.count("{"))
        self._routes = [(operation, *_pattern(operation.path)) for operation in operations]

    def match(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """The operation with its path parameters; the one that stands for all others if there is none."""
        for operation, pattern, names in self._routes:
            if operation.method == method and (found := pattern.fullmatch(path)) is not None:
                return operation, {name: unquote(value) for name, value in zip(names, found.groups(), strict=True)}
        return self._unrouted, {}


def _pattern(path: str) -> tuple[re.Pattern[str], list[str]]:
    parts = re.split(r"\{([^}]+)\}", path)
    return re.compile("([^/]+)".join(re.escape(part) for part in parts[::2])), parts[1::2]


class Wire:
    """Sends. `install` puts it below everything in this process that uses `requests`."""

    def __init__(self, brief: Brief, contract: Contract, fence: Fence, witness: Witness) -> None:
        self._brief = brief
        self._fence = fence
        self._witness = witness
        self._router = Router(contract)
        parts = urlsplit(brief.base)
        self._origin, self._prefix = _origin(f"{parts.scheme}://{parts.netloc}"), parts.path
        self._hangs: dict[str, int] = {}
        self._next = 0.0
        self._lock = threading.Lock()

    def install(self) -> None:
        """From now on."""
        original = HTTPAdapter.send

        def send(
            adapter: HTTPAdapter,
            request: requests.PreparedRequest,
            stream: bool = False,
            timeout: Any = None,
            verify: Any = True,
            **options: Any,
        ) -> requests.Response:
            trusted = {**options, "stream": True, "verify": self._brief.verify}
            return self._send(lambda patience: original(adapter, request, **trusted, timeout=patience), request, timeout)

        HTTPAdapter.send = send  # type: ignore[assignment, method-assign]

    def _send(self, send: Send, prepared: requests.PreparedRequest, timeout: Any) -> requests.Response:
        probe = prepared.headers.pop(_PROBE, None)
        self._dress(prepared)
        request = self._taken(prepared)
        if request is None:
            return answered_here(prepared)
        if probe is not None:
            # Whether to send NUL in headers, and control characters in paths: no. Gateways refuse them with pages of their
            # own, and what such a request reaches says nothing about the service.
            return answered_here(prepared, 400)
        operation, _ = self._router.match(request.method, request.path)
        leave = self._fence.check(operation, request)
        if leave is None:
            self._witness.withheld(operation)
            return answered_here(prepared)
        if leave.request is not request:
            request = leave.request
            self._put(prepared, request)
            operation, _ = self._router.match(request.method, request.path)
        request.path_params = self._router.match(request.method, request.path)[1]
        with self._witness.in_flight(operation):
            return self._exchange(send, prepared, timeout, operation, leave)

    def _exchange(
        self, send: Send, prepared: requests.PreparedRequest, timeout: Any, operation: Operation, leave: Pass
    ) -> requests.Response:
        patience = self._brief.timeout
        if self._hangs.get(operation.id, 0) >= _MOST_HANGS:
            patience = min(patience, seconds(timeout, patience))
        started = time.monotonic()
        try:
            answer = self._answered(send, prepared, patience)
        except requests.exceptions.RequestException as error:
            what, text = kind(error, self._brief.base, self._brief.timeout)
            if what == "timeout":
                self._hangs[operation.id] = self._hangs.get(operation.id, 0) + 1
                if time.monotonic() - started < 0.9 * self._brief.timeout:
                    what = None  # we have been less patient than promised
            self._witness.trouble(what, text, operation, leave.request)
            raise
        response = Response(answer.status_code, raw_headers(answer), answer.content)
        seen = self._witness.saw(operation, Exchange(leave.request, response))
        created = self._fence.settle(leave, seen)
        if created is not None:
            self._witness.wallet(created, "active")
        elif operation.id == "terminateWallet" and seen.ok:
            self._witness.wallet(leave.request.path_params.get("id", ""), "closed")
        return answer

    def _answered(self, send: Send, prepared: requests.PreparedRequest, patience: float) -> requests.Response:
        """An answer, read whole. A target that asks for patience gets it; a connection that went stale is opened again."""
        fresh = False
        for attempt in range(_RETRIES + 1):
            self._take_turn()
            started = time.monotonic()
            try:
                answer = send((patience, patience))
            except requests.exceptions.ConnectionError as error:
                if fresh or not is_stale(error):
                    raise
                fresh = True
                answer = send((patience, patience))
            read(answer, self._brief.max_bytes, started + patience)
            wait = retry_after(answer)
            if wait is None or attempt == _RETRIES:
                break
            time.sleep(wait)
        return answer

    def _take_turn(self) -> None:
        if not self._brief.rate:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + 1 / self._brief.rate
        time.sleep(turn - now)

    # ------------------------------------------------------------------ between requests and us

    def _dress(self, prepared: requests.PreparedRequest) -> None:
        """The headers that all our requests have, so that the gate's own requests can confirm what was found by this one."""
        headers = prepared.headers
        headers.pop(_CASE, None)
        headers["User-Agent"] = USER_AGENT
        headers["Accept-Encoding"] = "identity"
        if headers.get("Accept", "*/*") == "*/*":
            headers["Accept"] = "application/json"
        for name, value in (*self._brief.headers, *self._brief.more_headers):
            headers.setdefault(name, value)

    def _taken(self, prepared: requests.PreparedRequest) -> Request | None:
        """The request in our terms; None if it goes elsewhere."""
        parts = urlsplit(prepared.url or "")
        path, query = parts.path, parts.query
        if f"{parts.scheme}://{parts.netloc}" != self._origin or not path.startswith(self._prefix):
            return None
        body = prepared.body or b""
        if not isinstance(body, str | bytes):
            return None
        headers = [(_bytes(name).lower(), _bytes(value)) for name, value in prepared.headers.items()]
        return Request(
            prepared.method or "GET",
            path.removeprefix(self._prefix),
            query.encode("latin-1", "replace"),
            headers,
            body.encode() if isinstance(body, str) else body,
        )

    def _put(self, prepared: requests.PreparedRequest, request: Request) -> None:
        """Make a changed request what is sent."""
        query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
        prepared.url = self._origin + self._prefix + request.path + query
        if request.body:
            prepared.body = request.body
            prepared.headers["Content-Length"] = str(len(request.body))


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1", "replace")


def _origin(base: str) -> str:
    """Scheme, host and port as `requests` writes them."""
    parts = urlsplit(requests.Request("GET", base).prepare().url or "")
    return f"{parts.scheme}://{parts.netloc}"
