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

import httpcore
import httpx

from contract_tests.connection import connections, tls_context, tls_trouble
from contract_tests.exchange import Exchange, Request, Response
from contract_tests.guard import is_loopback
from contract_tests.identity import Identity

TroubleKind = Literal["unreachable", "tls", "timeout", "incomplete", "too large", "protocol", "unsendable"]

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
        self.answered = 0
        self.silent = 0  # requests without an answer since the last answer
        self.deadline: float | None = None
        self.hurry = threading.Event()  # ends waiting
        self._interval = 1 / rate if rate else 0.0
        self._next = 0.0
        self._lock = threading.Lock()
        verify = tls_context(insecure=insecure) if parts.scheme == "https" else None
        self._pool, self._deadline = connections(parts, verify, proxies=not is_loopback(parts.hostname or ""))
        whole = httpx.URL(self.origin)  # this knows how names that are not ASCII are written
        self._host = whole.netloc
        self._where = (whole.raw_scheme, whole.raw_host, whole.port)

    @property
    def base(self) -> str:
        """What stands before the contract's paths."""
        return self.origin + self.prefix

    def close(self) -> None:
        """Close connections."""
        self._pool.close()

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
        return Exchange(request, response)

    def _once(self, request: Request) -> Response:
        self._take_turn()
        self.requests += 1
        target = _quoted((self.prefix + request.path).encode("utf-8", "surrogateescape"))
        if request.query_string:
            target += b"?" + request.query_string
        scheme, host, port = self._where
        message = httpcore.Request(
            request.method,
            httpcore.URL(scheme=scheme, host=host, port=port, target=target),
            headers=self._headers(request),
            content=request.body,
        )
        self._deadline.at = time.monotonic() + self.timeout
        try:
            answer = self._pool.handle_request(message)
            try:
                body = self._read(answer)
            finally:
                answer.close()
        except (httpcore.ConnectError, httpcore.ProxyError) as error:
            if isinstance(_root(error), ssl.SSLError):
                raise Trouble("tls", tls_trouble(self.origin, _root(error))) from None
            raise Trouble("unreachable", f"cannot connect to {self.origin}: {_root(error)}") from None
        except httpcore.ConnectTimeout:
            raise Trouble("unreachable", f"cannot connect to {self.origin} within {self.timeout:g} s") from None
        except httpcore.TimeoutException:
            raise Trouble("timeout", f"no whole answer within {self.timeout:g} s") from None
        except (httpcore.RemoteProtocolError, httpcore.NetworkError) as error:
            if _is_no_http(error):
                raise Trouble("protocol", f"not understood as HTTP: {error}") from None
            raise Trouble("incomplete", f"the connection ended before the answer was whole: {error}") from None
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol, ValueError) as error:
            # The message would hold what was to be sent, which may be a secret.
            raise Trouble("unsendable", f"the request cannot be sent as HTTP: {type(error).__name__}") from None
        return Response(answer.status, [(name.lower(), value) for name, value in answer.headers], body)

    def _headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        """The request's own, and those that it cannot do without."""
        names = request.header
        headers = [] if b"host" in names else [(b"host", self._host)]
        headers += request.headers
        headers += [(b"user-agent", USER_AGENT.encode()), (b"accept", b"application/json"), (b"accept-encoding", b"identity")]
        framed = b"content-length" in names or b"transfer-encoding" in names
        if not framed and (request.body or request.method in ("POST", "PUT", "PATCH")):
            headers.append((b"content-length", str(len(request.body)).encode()))
        return headers

    def _read(self, answer: httpcore.Response) -> bytes:
        chunks = []
        size = 0
        for chunk in answer.iter_stream():
            size += len(chunk)
            if size > self.max_bytes:
                raise Trouble("too large", f"the answer is larger than {self.max_bytes >> 20} MiB")
            chunks.append(chunk)
        return b"".join(chunks)

    def _take_turn(self) -> None:
        if not self._interval:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        self.hurry.wait(turn - now)

    def _pause(self, seconds: float) -> bool:
        """Wait, unless that would take too long."""
        if seconds > _LONGEST_WAIT or (self.deadline is not None and time.monotonic() + seconds > self.deadline):
            return False
        self.hurry.wait(seconds)
        return True


def _retry_after(response: Response) -> float | None:
    if response.status not in (429, 503):
        return None
    for name, value in response.headers:
        if name == b"retry-after" and value.strip().isdigit():
            return float(value)
    return None


def _is_no_http(error: BaseException) -> bool:
    """Whether something came that is no HTTP, rather than too little."""
    text = str(error)
    return isinstance(error, httpcore.RemoteProtocolError) and not any(
        sign in text for sign in ("disconnected", "closed connection", "incomplete", "without sending")
    )


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return error


_UNQUOTED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:@!$&'()*+,;=%")


def _quoted(path: bytes) -> bytes:
    return b"".join(bytes([byte]) if byte in _UNQUOTED else b"%%%02X" % byte for byte in path)
