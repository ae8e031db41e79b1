"""Which operation of which contract an exchange of others is about, if of any.

Recordings hold everything that a browser or a proxy saw: fonts, other services, other versions. What no contract has is left
alone. The contract's paths may stand behind others (`https://gateway.example.com/billing/v1/wallets`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from contract_tests.contract import Contract, Operation
from contract_tests.exchange import Exchange, Request
from contract_tests.guard import check_url
from contract_tests.source import InputError
from contract_tests.traffic.recorded import Recorded

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Placed:
    """An exchange with its operation. `exchange` has the contract's path, `base` is what stood before it."""

    recorded: Recorded
    contract: Contract
    operation: Operation
    exchange: Exchange
    base: str


def moves_a_mock(recorded: Recorded) -> bool:
    """Whether an exchange used a control of a mock of ours: it may have put a world back, or anywhere else."""
    request = recorded.exchange.request
    return "/_mock/" in request.path and request.method not in ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Server:
    """Where an API is: an origin, and what stands before the contract's paths there."""

    origin: str
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Server:
        """The server of a base URL; InputError if it is none."""
        try:
            host = check_url(url, "nothing is sent there, so leave them out")
        except InputError as error:
            raise InputError(f"--server: {error}") from None
        parts = urlsplit(url)
        if ":" in host:
            host = f"[{host}]"
        own = "" if parts.port in (None, _PORTS[parts.scheme]) else f":{parts.port}"
        return cls(f"{parts.scheme}://{host}{own}", parts.path.rstrip("/"))


class Addresses:
    """Finds operations. With `servers` only what went to one of them is looked at, else any host may be the service."""

    def __init__(self, contracts: Sequence[Contract], servers: Iterable[str] = ()) -> None:
        self._contracts = contracts
        self._servers = [Server.parse(url) for url in servers]

    def place(self, recorded: Recorded) -> Placed | None:
        """What an exchange is about; None if no contract has it."""
        request = recorded.exchange.request
        for contract in self._contracts:
            for prefix, path in self._paths(contract, recorded.origin, request.path):
                operation = contract.operation_at(request.method, path)
                if operation is not None and _has_version(contract, recorded.exchange):
                    return _placed(recorded, contract, operation, path, recorded.origin + prefix)
        return None

    def _paths(self, contract: Contract, origin: str, path: str) -> Iterable[tuple[str, str]]:
        """What may be the path in the contract, each with what stands before it."""
        if self._servers:
            return self._on_servers(contract, origin, path)
        begin = contract.base_path + "/"
        start = path.find(begin)
        found = []
        while start >= 0:
            found.append((path[:start], path[start:]))
            start = path.find(begin, start + 1)
        return found

    def _on_servers(self, contract: Contract, origin: str, path: str) -> Iterable[tuple[str, str]]:
        for server in self._servers:
            if server.origin != origin or not path.startswith(server.prefix + "/"):
                continue
            before = server.prefix.removesuffix(contract.base_path)
            if before != server.prefix:
                yield before, path[len(before) :]
                continue
            if not contract.base_path:
                # Without one, what the contract's paths begin with may be in the URL as well.
                yield from ((start, path[len(start) :]) for start in _starts(server.prefix))
                continue
            yield server.prefix, path[len(server.prefix) :]
            # A gateway may keep the contract's own base path to itself.
            yield server.prefix, contract.base_path + path[len(server.prefix) :]


def _has_version(contract: Contract, exchange: Exchange) -> bool:
    """Whether the version that was asked for is one that the service knows: in others, Polar has none of its paths."""
    return not (
        contract.name == "polar"
        and exchange.request.header.get(b"polar-version")
        and exchange.response.status == 404
        and b"".join(exchange.response.body.split()) == b'{"detail":"NotFound"}'
    )


def _starts(prefix: str) -> Iterator[str]:
    """`/a/b`, `/a`, and nothing."""
    while prefix:
        yield prefix
        prefix = prefix.rpartition("/")[0]
    yield ""


def _placed(recorded: Recorded, contract: Contract, operation: Operation, path: str, base: str) -> Placed:
    sent = recorded.exchange.request
    params = {
        name[1:-1]: unquote(value)
        for name, value in zip(operation.path.split("/"), path.split("/"), strict=True)
        if name.startswith("{") and name.endswith("}")
    }
    request = Request(sent.method, path, sent.query_string, sent.headers, sent.body, params)
    return Placed(recorded, contract, operation, Exchange(request, recorded.exchange.response), base)
