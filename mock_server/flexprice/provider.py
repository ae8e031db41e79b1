"""Flexprice as the mock serves it: keys, error shapes, headers, and which handler does what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from contract_tests.contract import Contract
from contract_tests.finding import Finding
from mock_server.call import Answer, Call, Handler, Header, Refused, path_of
from mock_server.clock import milliseconds
from mock_server.flexprice.answers import BAD_REQUEST, error_answer, json_answer
from mock_server.flexprice.caching import BalanceCache, CachingState
from mock_server.flexprice.debits import Debits
from mock_server.flexprice.fixtures import FlexpriceFixtures
from mock_server.flexprice.generations import generation_aware
from mock_server.flexprice.modify import Modifications
from mock_server.flexprice.opening import Opening
from mock_server.flexprice.state import FlexpriceState
from mock_server.flexprice.topups import Topups
from mock_server.flexprice.transactions import Transactions
from mock_server.flexprice.wallets import Wallets
from mock_server.ids import Seed
from mock_server.personas import Persona
from mock_server.routes import near
from mock_server.world import Worlds

REFUSED_KEYS = (b"invalid", b"expired")
"""Keys beginning so are refused, so that a client can meet a 401."""

READ_ONLY_KEYS = b"readonly"
"""Keys beginning so may not write, so that a client can meet a 403."""

_WRITES = ("createWallet", "updateWallet", "topUpWallet", "terminateWallet", "debitWallet", "modifyWallet")

_HEADERS: list[Header] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"X-Request-ID"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"geolocation=(), camera=(), microphone=()"),
]


class Flexprice:
    """The provider. `attach` gives it the worlds, once they are made from its own opening."""

    name = "flexprice"
    max_body = 1 << 20

    def __init__(
        self,
        contract: Contract,
        seed: Seed,
        fixtures: FlexpriceFixtures,
        population: int,
        first_day: datetime,
        api_keys: Sequence[str] = (),
    ) -> None:
        self.contract = contract
        self.prefixes: tuple[str, ...] = (contract.base_path + "/",)
        self.opening = Opening(seed, fixtures, population, first_day)
        self.handlers: Mapping[str, Handler] = {}
        self._api_keys = frozenset(key.encode() for key in api_keys)

    def attach(self, worlds: Worlds) -> None:
        """Make the handlers."""
        self._worlds = worlds
        documented_only = "getWalletBalanceCached" not in self.contract.operations
        handlers = {
            **Wallets(worlds, self.opening, BalanceCache(worlds, heeds_max_live=not documented_only)).handlers,
            **Transactions(worlds, self.opening).handlers,
            "topUpWallet": Topups(worlds, self.opening).top_up,
            "debitWallet": Debits(worlds, self.opening).debit,
            "modifyWallet": Modifications(worlds, self.opening).modify,
        }
        self.handlers = {operation: generation_aware(handler) for operation, handler in handlers.items()}

    def personas(self) -> Iterator[Persona]:
        """The fixture wallets, by name."""
        for name, about, wallet_id, customer_id, external_id in self.opening.cast():
            ids = {"wallet": wallet_id, "customer": customer_id, "external_customer": external_id}
            yield Persona(self.name, name, about, ids)

    def member(self, index: int) -> Persona | None:
        """A member of the population."""
        population = self.opening.population
        if index >= population.size:
            return None
        ids = {
            "wallet": population.wallet_id(index),
            "customer": population.customer_id(index),
            "external_customer": f"member-{index}",
        }
        return Persona(self.name, f"member {index}", population.about(index), ids)

    def new_state(self) -> FlexpriceState:
        """A world's part before any event."""
        return CachingState(self.opening)

    async def before_routing(self, call: Call) -> Answer | None:
        """OPTIONS is always 200; HEAD has no routes."""
        method = call.request.method
        if method == "OPTIONS":
            return Answer(200, headers=_preflight(call))
        if method == "HEAD":
            return self.unrouted(call, self.contract.methods_at(call.request.path))
        return None

    def authenticate(self, call: Call) -> None:
        """Any key will do but the refused ones, unless the server was given a list."""
        header = call.request.header
        key = header.get(b"x-api-key", b"")
        if self.takes(key):
            call.identity = key
            if key.startswith(READ_ONLY_KEYS) and call.operation is not None and call.operation.id in _WRITES:
                raise Refused(json_answer(403, {"message": "This key may read wallets but not change them"}))
            return
        authorization = header.get(b"authorization")
        if authorization is None:
            message = "Unauthorized"
        elif authorization[:7].lower() != b"bearer ":
            message = "Authorization header must be `Bearer` and a token"
        else:
            message = "Invalid token"
        raise Refused(json_answer(401, {"error": message}))

    def takes(self, key: bytes) -> bool:
        """Whether a key is good."""
        return bool(key) and not key.startswith(REFUSED_KEYS) and (not self._api_keys or key in self._api_keys)

    def good_key(self) -> bytes:
        """A key that is."""
        return next(iter(self._api_keys), b"test")

    def refuse(self, call: Call, findings: list[Finding]) -> Answer | None:
        """A request that is not what the contract asks for is a 400, whatever is wrong with it."""
        finding = findings[0]
        place = finding.pointer if finding.pointer not in ("", "/") else "body"
        return error_answer("validation_error", f"{BAD_REQUEST}: {place}: {finding.problem}"[:500])

    def unrouted(self, call: Call, allowed: Sequence[str]) -> Answer:
        """Unknown paths and unknown methods are both 404; the latter say what the path allows."""
        headers = ((b"allow", ", ".join(allowed).encode()),) if allowed else ()
        message = f"No route for {call.request.method} {call.request.path}"[:400]
        routes = near(call)
        if routes:
            message += f"; nearest: {', '.join(routes)}"
        return error_answer("not_found", message, headers=headers)

    def redirect(self, call: Call, location: str) -> Answer:
        """A slash too many at the end: permanent for reads, method-preserving for everything else."""
        return Answer(301 if call.request.method == "GET" else 307, headers=((b"location", path_of(location)),))

    def too_large(self, call: Call, limit: int) -> Answer:
        """A body beyond what the mock reads."""
        message = f"The request body is larger than {limit} bytes"
        return error_answer("validation_error", message, status=413, headers=((b"connection", b"close"),))

    def bad_header(self, call: Call, header: str, problem: str) -> Answer:
        """The name of a mock session, or of a defect, is none."""
        return error_answer("validation_error", problem)

    def failure(self, call: Call) -> Answer:
        """500."""
        return error_answer("internal_error", "An unexpected error occurred")

    def unavailable(self, call: Call, problem: Exception) -> Answer:
        """503."""
        return error_answer("service_unavailable", str(problem))

    def headers(self, call: Call) -> list[Header]:
        """Security headers, CORS, and the request's id: the client's own or a fresh ULID."""
        request_id = call.request.header.get(b"x-request-id")
        if not request_id:
            session = self._worlds.sessions.at_hand(call.session)
            session.requests += 1
            request_id = self._worlds.request_ids.at(milliseconds(call.at), session.requests).encode()
        return [*_HEADERS, (b"x-request-id", request_id)]


def _preflight(call: Call) -> list[Header]:
    headers = [(b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE, OPTIONS"), (b"access-control-max-age", b"600")]
    wanted = call.request.header.get(b"access-control-request-headers")
    if wanted:
        headers.append((b"access-control-allow-headers", wanted))
    return headers
