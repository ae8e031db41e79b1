"""A target: a base URL under test, and the one way to send requests to it.

Whatever goes wrong between here and there (refused, reset, too slow, too large) is a `Trouble` with a kind; no other
exception leaves `send`.
"""

from __future__ import annotations

import ssl
import threading
import time
from typing import Literal
from urllib.parse import urlsplit

import httpx

from contract_tests.exchange import Exchange, Request, Response
from contract_tests.identity import Identity

TroubleKind = Literal["unreachable", "tls", "timeout", "incomplete", "too large", "protocol"]

USER_AGENT = "walletproof"
_LONGEST_WAIT = 30.0  # seconds that a target may ask for with Retry-After
_RETRIES = 3


class Trouble(Exception):
    """No whole answer came."""

    def __init__(self, kind: TroubleKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Target:
    """Sends requests. `timeout` are seconds for one whole answer, however slowly it drips in.

    `base_path` is the contract's: a URL that ends with it already is taken as it is. `rate` is the most requests per
    second; `headers` are sent with every request, whoever sends it. No wait goes beyond `deadline` (of
    `time.monotonic`). Safe to use from several threads.
    """

    def __init__(
        self,
        url: str,
        base_path: str = "",
        *,
        timeout: float = 10.0,
        max_bytes: int = 10 << 20,
        rate: float | None = None,
        insecure: bool = False,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        parts = urlsplit(url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        path = parts.path.rstrip("/")
        self.prefix = path.removesuffix(base_path) if base_path else path
        self.headers = headers
        self.timeout = timeout
        self.max_bytes = max_bytes
        self.requests = 0
        self.throttled = 0
        self.answered = 0
        self.silent = 0  # requests without an answer since the last answer
        self.deadline: float | None = None
        self._interval = 1 / rate if rate else 0.0
        self._next = 0.0
        self._lock = threading.Lock()
        verify: ssl.SSLContext | bool = False if insecure or parts.scheme == "http" else ssl.create_default_context()
        self._client = httpx.Client(
            verify=verify,
            timeout=httpx.Timeout(timeout),
            follow_redirects=False,
            trust_env=not parts.hostname or parts.hostname not in ("127.0.0.1", "localhost", "::1"),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=32),
        )

    @property
    def base(self) -> str:
        """What stands before the contract's paths."""
        return self.origin + self.prefix

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def send(self, request: Request, identity: Identity) -> Exchange:
        """Send `request` as `identity` (whose headers are added to it) and return the exchange; Trouble if none came about.

        A target that asks for patience (429 or 503 with Retry-After) gets it, a few times.
        """
        for name, value in (*identity.headers, *self.headers):
            request.add_header(name.encode(), value.encode("latin-1", "replace"))
        for _ in range(_RETRIES):
            self.silent += 1
            response = self._once(request)
            self.silent = 0
            self.answered += 1
            wait = _retry_after(response)
            if wait is None or not self._pause(wait):
                break
            self.throttled += 1
        return Exchange(request, response)

    def _once(self, request: Request) -> Response:
        self._take_turn()
        self.requests += 1
        started = time.monotonic()
        target = (self.prefix + request.path).encode("utf-8", "surrogateescape")
        url = httpx.URL(self.origin).copy_with(
            raw_path=_quoted(target) + (b"?" + request.query_string if request.query_string else b"")
        )
        headers = [(name, value) for name, value in request.headers]
        headers += [(b"user-agent", USER_AGENT.encode()), (b"accept", b"application/json"), (b"accept-encoding", b"identity")]
        try:
            message = self._client.build_request(request.method, url, headers=headers, content=request.body or None)
            answer = self._client.send(message, stream=True)
            try:
                body = self._read(answer, started)
            finally:
                answer.close()
        except httpx.ConnectError as error:
            if isinstance(_root(error), ssl.SSLError):
                raise Trouble("tls", f"TLS failed: {_root(error)}") from None
            raise Trouble("unreachable", f"cannot connect to {self.origin}: {_root(error)}") from None
        except httpx.TimeoutException:
            raise Trouble("timeout", f"no whole answer within {self.timeout:g} s") from None
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError) as error:
            raise Trouble("incomplete", f"the connection ended before the answer was whole: {error}") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError, UnicodeError) as error:
            raise Trouble("protocol", f"not understood as HTTP: {error}") from None
        return Response(answer.status_code, [(name.lower(), value) for name, value in answer.headers.raw], body)

    def _read(self, answer: httpx.Response, started: float) -> bytes:
        chunks = []
        size = 0
        for chunk in answer.iter_raw():
            size += len(chunk)
            if size > self.max_bytes:
                raise Trouble("too large", f"the answer is larger than {self.max_bytes >> 20} MiB")
            if time.monotonic() - started > self.timeout:
                raise Trouble("timeout", f"no whole answer within {self.timeout:g} s")
            chunks.append(chunk)
        return b"".join(chunks)

    def _take_turn(self) -> None:
        if not self._interval:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        time.sleep(turn - now)

    def _pause(self, seconds: float) -> bool:
        """Wait, unless that would take too long."""
        if seconds > _LONGEST_WAIT or (self.deadline is not None and time.monotonic() + seconds > self.deadline):
            return False
        time.sleep(seconds)
        return True


def _retry_after(response: Response) -> float | None:
    if response.status not in (429, 503):
        return None
    for name, value in response.headers:
        if name == b"retry-after" and value.strip().isdigit():
            return float(value)
    return None


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return error


_UNQUOTED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:@!$&'()*+,;=%")


def _quoted(path: bytes) -> bytes:
    return b"".join(bytes([byte]) if byte in _UNQUOTED else b"%%%02X" % byte for byte in path)
