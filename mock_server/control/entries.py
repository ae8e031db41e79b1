"""Entries of the journal as they are read: bodies parsed, judged, and without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from contract_tests.contract import Contract
from contract_tests.exchange import RawHeaders
from contract_tests.redaction import redacted_json, redacted_pairs, redacted_text, secrets_of
from mock_server.clock import rfc3339
from mock_server.journal import Entry
from mock_server.journal.bodies import NO_JSON, parsed, plain
from mock_server.journal.findings import Judges
from mock_server.routes import routes_of

MOST_OF_A_BODY = 16 << 10

_MOST_WALLETS = 100
_WALLET_IN_PATH = re.compile(r"/wallets/\{(\w+)\}")


class Reader:
    """Makes sense of entries, for the providers whose `contracts` it has by name."""

    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        self._judges = Judges(contracts)

    def body(self, entry: Entry) -> dict[str, Any]:
        """An entry, whole."""
        call, response = entry.call, entry.response
        asked_bytes, answered_bytes = entry.body_bytes
        request, operation = call.request, call.operation
        secrets = secrets_of(request.headers) | secrets_of(response.headers)
        query: dict[str, list[str]] = {}
        for name, value in redacted_pairs(request.query, secrets):
            query.setdefault(plain(name), []).append(plain(value))
        return {
            "number": entry.number,
            "at": rfc3339(entry.call.at),
            "took_ms": round(entry.seconds * 1000, 3),
            "session": call.session,
            "provider": call.provider.name,
            "operation": operation.id if operation else None,
            "request": {
                "method": plain(request.method),
                "path": plain(redacted_text(request.path, secrets)),
                "query": query,
                "headers": _headers(request.headers, secrets),
                **_shown(request.body, asked_bytes, secrets),
            },
            "response": {
                "status": response.status,
                "headers": _headers(response.headers, secrets),
                **(_shown(b"", 0, secrets) if request.method == "HEAD" else _shown(response.body, answered_bytes, secrets)),
            },
            "wallets": [plain(redacted_text(wallet, secrets)) for wallet in self.wallets(entry)],
            "findings": self._judges.shown(call, response, secrets) if entry.findings is None else entry.findings,
            "hint": self.hint(entry),
        }

    def hint(self, entry: Entry) -> list[str]:
        """The routes nearest to a request that reached none, as its answer said."""
        return routes_of(entry.response.headers)

    def wallets(self, entry: Entry) -> list[str]:
        """The ids of the wallets that an exchange is about: of its path and of its bodies."""
        call = entry.call
        found: dict[str, None] = {}
        if call.operation is not None:
            named = _WALLET_IN_PATH.search(call.operation.path)
            if named and named[1] in call.request.path_params:
                found[call.request.path_params[named[1]]] = None
        bodies = [parsed(call.request.body)] if call.request.body else []
        if entry.response.status < 300:
            bodies.append(parsed(entry.response.body))
        for body in bodies:
            for wallet in _wallet_ids(body, call.provider.name == "polar"):
                found[wallet] = None
                if len(found) == _MOST_WALLETS:
                    return list(found)
        return list(found)

    def is_about(self, entry: Entry, wallet: str) -> bool:
        """Whether an exchange is about a wallet; only those are read whole that have the id somewhere."""
        request = entry.call.request
        raw = wallet.encode("utf-8", "replace")
        here = wallet in request.path_params.values() or raw in request.body or raw in entry.response.body
        return here and wallet in self.wallets(entry)


def _headers(headers: RawHeaders, secrets: frozenset[str]) -> dict[str, str]:
    """Headers by name; repeated ones as one."""
    found: dict[str, str] = {}
    decoded = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
    for name, value in redacted_pairs(decoded, secrets):
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _shown(body: bytes, size: int, secrets: frozenset[str]) -> dict[str, Any]:
    """A body of that size as JSON where it is some and not too long, else as text; `body_cut` if there is more of it."""
    about = {"body_bytes": size, "body_cut": False}
    if not body:
        return {"body": None, **about}
    value = parsed(body)
    if value is not NO_JSON:
        value = redacted_json(value, secrets)
        if size <= MOST_OF_A_BODY:
            return {"body": value, **about}
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = redacted_text(body.decode("utf-8", "replace"), secrets)
    return {"body": plain(text[:MOST_OF_A_BODY]), **about, "body_cut": len(text) > MOST_OF_A_BODY}


def _wallet_ids(value: Any, ids_are_plain: bool) -> Iterator[str]:
    """Ids in a body: under the names that providers have for them; `ids_are_plain` where they do not begin with `wallet_`."""
    if isinstance(value, list):
        for item in value:
            yield from _wallet_ids(item, ids_are_plain)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in ("wallet_id", "id") and isinstance(item, str):
                if name == "wallet_id" or ids_are_plain or item.startswith("wallet_"):
                    yield item
            elif name == "wallet_ids" and isinstance(item, list):
                yield from (each for each in item if isinstance(each, str))
            else:
                yield from _wallet_ids(item, ids_are_plain)
