"""What a run may do to a target: which hosts it may call, what it may change, how often and how much."""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal
from urllib.parse import urlsplit

from contract_tests.contract import Operation
from contract_tests.source import InputError

Mode = Literal["read", "own", "all"]
"""`read`: nothing is changed; `own`: only what this run created; `all`: anything."""

# POST, but they only look.
_SEARCHES = ("queryWallet", "queryWalletTransaction")


class Forbidden(Exception):
    """A request that this run may not send; says why."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check_host(url: str, allowed: Iterable[str]) -> None:
    """InputError unless the URL is one that can be called and its host is this machine or was named."""
    host = check_url(url, "give credentials with --api-key, --bearer or --header")
    if not is_loopback(host) and host.lower() not in {name.lower() for name in allowed}:
        raise InputError(f"{host} is not this machine: say --allow-host {host} if this run may send requests to it")


def check_url(url: str, instead: str) -> str:
    """The host of a URL that can be called, InputError if it cannot be; `instead` says where credentials in it belong."""
    # What is said of a URL does not repeat what may be a secret in it: a password, a token in the query.
    if "@" in url.partition("?")[0].partition("#")[0]:
        raise InputError(f"the URL holds a user name or password: {instead}")
    shown = re.split("[?#]", url)[0]
    if shown != url:
        raise InputError(f"{shown}: a base URL has no query and no fragment")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{url}: not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\x00-\x20\x7f\\]", url):
        raise InputError(f"{url}: expected a URL such as http://127.0.0.1:8080 or https://staging.example.com/v1")
    return host


def is_safe(operation: Operation) -> bool:
    """Whether an operation only reads."""
    return operation.method in ("GET", "HEAD", "OPTIONS") or operation.id in _SEARCHES


class Guard:
    """Decides on each request before it is sent, and counts. Safe to use from several threads."""

    def __init__(self, mode: Mode = "own", *, max_writes: int = 500, max_amount: Decimal = Decimal(10_000)) -> None:
        self.mode = mode
        self.max_writes = max_writes
        self.max_amount = max_amount
        self.writes = 0
        self.amount = Decimal(0)
        self._own: set[str] = set()
        self._lock = threading.Lock()

    def own(self, wallet_id: str) -> None:
        """From now on this wallet is the run's own."""
        self._own.add(wallet_id)

    def owns(self, wallet_id: str) -> bool:
        """Whether this run created the wallet."""
        return wallet_id in self._own

    def allow_write(self, target: str | None, amount: Decimal = Decimal(0), *, invented: bool = False) -> None:
        """Count one write; Forbidden if it may not be sent.

        `target` is the id of what is changed, None for a creation; `invented`: an id that this run made up, so nothing
        stands behind it. `amount` is what the write puts in, in credits or money.
        """
        with self._lock:
            if self.mode == "read":
                raise Forbidden("--mode read sends no writes")
            if self.mode == "own" and target is not None and not invented and target not in self._own:
                raise Forbidden(f"{target} was not created by this run")
            if self.mode != "all":
                if self.writes >= self.max_writes:
                    raise Forbidden(f"--max-writes {self.max_writes} is reached")
                if not invented and self.amount + abs(amount) > self.max_amount:
                    raise Forbidden(f"--max-amount {self.max_amount} would be exceeded")
            self.writes += 1
            if not invented:
                self.amount += abs(amount)
