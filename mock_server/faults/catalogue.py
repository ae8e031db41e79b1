"""What can be asked of faults on this server: which operations there are, and which errors each of them documents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property

from contract_tests.contract import Contract, Operation
from contract_tests.durations import duration
from contract_tests.exchange import Request
from mock_server.faults.fault import GATEWAY_STATUSES, Fault
from mock_server.faults.repertoire import Repertoire
from mock_server.personas import Cast, wallet_ids

_ID = re.compile(r"wallet_[0-9A-Z]{26}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_NEVER = {405}  # says something of the request's method, which nothing but the method can make true


class Catalogue:
    """Contracts, personas and repertoires of the providers that are served, by name."""

    def __init__(
        self, contracts: Mapping[str, Contract], casts: Mapping[str, Cast], repertoires: Mapping[str, Repertoire]
    ) -> None:
        self.contracts = contracts
        self.repertoires = repertoires
        self._casts = casts

    def fits(self, fault: Fault, provider: str, operation: Operation | None, request: Request) -> bool:
        """Whether a request is one that a fault is for."""
        if fault.provider not in (None, provider) or fault.method not in (None, request.method):
            return False
        if fault.operation is not None and (operation is None or operation.id != fault.operation):
            return False
        if fault.code is not None and self.status(fault, provider) not in self.statuses(provider, operation):
            return False
        if fault.wallet is None:
            return True
        ids = self._wallets.get(fault.wallet, (fault.wallet,))
        return any(segment.lower() in ids or segment in ids for segment in request.path.split("/"))

    def statuses(self, provider: str, operation: Operation | None) -> Sequence[int]:
        """The error statuses that an operation documents, and those of gateways. None: where no operation is reached."""
        contract = self.contracts[provider]
        if operation is None:
            responses = contract.merged.get("x-unrouted", {}).get("responses", {})
        else:
            path, method = operation.key
            responses = contract.merged["paths"][path][method]["responses"]
        documented = {int(status) for status in responses if str(status).isdecimal() and int(status) >= 400}
        return sorted(documented.union(GATEWAY_STATUSES) - _NEVER)

    def status(self, fault: Fault, provider: str) -> int | None:
        """The status of an error fault at a provider; None if it has no such word."""
        return fault.code if isinstance(fault.code, int) else self.repertoires[provider].codes.get(fault.code or "")

    def problem(self, fault: Fault) -> str | None:
        """Why a fault can never strike on this server; None if it can."""
        if fault.provider is not None and fault.provider not in self.contracts:
            return f"no provider {fault.provider!r}; there are {', '.join(self.contracts)}"
        places = list(self._places(fault))
        if fault.operation is not None and not places:
            ids = [name for contract in self.contracts.values() for name in contract.operations]
            near = get_close_matches(fault.operation, ids, 3, 0.5) or ids
            return f"no operation {fault.operation!r} here; there are {', '.join(near)}"
        if fault.wallet is not None and fault.wallet not in self._wallets and not _ID.fullmatch(fault.wallet):
            near = get_close_matches(fault.wallet, self._wallets, 3, 0.5) or sorted(self._wallets)
            return f"no persona {fault.wallet!r}, and no id of a wallet; there are {', '.join(near)}"
        if fault.code is not None:
            return self.problem_of_code(fault, places or [(name, None) for name in self.contracts])
        return None

    def problem_of_code(self, fault: Fault, places: Sequence[tuple[str, Operation | None]]) -> str | None:
        """Why an error cannot be answered at any of these places."""
        fitting = [status for name, operation in places if (status := self.status(fault, name)) in self.statuses(name, operation)]
        if not fitting:
            documented = sorted({status for name, operation in places for status in self.statuses(name, operation)})
            providers = {name for name, _ in places}
            words = sorted({word for name in providers for word, status in self.codes(name).items() if status in documented})
            where = f"{places[0][1].id} answers" if len(places) == 1 and places[0][1] is not None else "answers here are"
            return f"code {fault.code} is not documented; {where} {', '.join(map(str, documented))}, or {', '.join(words)}"
        if fault.retry_after is not None and not set(fitting) <= set(GATEWAY_STATUSES):
            return f"retry_after goes with {' and '.join(map(str, GATEWAY_STATUSES))}, not with {fault.code}"
        return None

    def codes(self, provider: str) -> Mapping[str, int]:
        """A provider's words for errors, with their statuses."""
        return self.repertoires[provider].codes

    def _places(self, fault: Fault) -> Iterator[tuple[str, Operation | None]]:
        """The operations that a fault may be for."""
        for name in self.contracts if fault.provider is None else (fault.provider,):
            for operation in self.contracts[name].operations.values():
                if fault.operation in (None, operation.id) and fault.method in (None, operation.method):
                    yield name, operation

    @cached_property
    def _wallets(self) -> Mapping[str, tuple[str, ...]]:
        """The wallet ids of personas, by name."""
        found: dict[str, tuple[str, ...]] = {}
        for cast in self._casts.values():
            for name, wallet in wallet_ids(cast).items():
                found[name] = (*found.get(name, ()), wallet)
        return found


def retry_after(fault: Fault) -> int | None:
    """The seconds that a client is asked to wait, rounded up."""
    return None if fault.retry_after is None else -int(-duration(fault.retry_after).total_seconds() // 1)
