"""Polar as the mock serves it: tokens, error shapes, headers, and the two operations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from contract_tests.contract import Contract
from contract_tests.finding import Finding
from mock_server.call import Answer, Call, Handler, Header
from mock_server.clock import rfc3339
from mock_server.ids import Seed
from mock_server.personas import Persona
from mock_server.polar import answers, parameters
from mock_server.polar.entities import Customer, Wallet
from mock_server.polar.fixtures import PolarFixtures
from mock_server.polar.opening import Opening
from mock_server.polar.parameters import Sorting
from mock_server.polar.state import PolarState, polar_of
from mock_server.world import Worlds

_VERSIONS = (b"2026-04", b"2026-10")
_PORTAL = "/v1/customer-portal"

# Tokens that the service knows, but not as a customer's.
_OTHER_SUBJECTS = ("polar_oat_", "polar_pat_", "polar_at_u_", "polar_at_o_", "polar_crt_")

_BEARER = re.compile(rb"bearer +(.*)", re.IGNORECASE | re.DOTALL)


class Polar:
    """The provider."""

    name = "polar"
    max_body = 1 << 20

    def __init__(self, contract: Contract, seed: Seed, fixtures: PolarFixtures, population: int, first_day: datetime) -> None:
        self.contract = contract
        self.prefixes: tuple[str, ...] = (_PORTAL, "/api" + _PORTAL)
        self.opening = Opening(seed, fixtures, population, first_day)
        self.handlers: Mapping[str, Handler] = {
            "customer_portal:wallets:list": self.list,
            "customer_portal:wallets:get": self.get,
        }

    def attach(self, worlds: Worlds) -> None:
        """Customers and tokens are those of the session's world."""
        self._worlds = worlds

    def personas(self) -> Iterator[Persona]:
        """The fixture wallets by `customer.wallet`, and customers without any by `customer`."""
        for customer in self.opening.customers():
            fixture, token = self.opening.fixtures.customers[customer.name], self.opening.tokens[customer.name]
            if not fixture.wallets:
                yield Persona(self.name, customer.name, fixture.about, {"customer": customer.id}, token)
            for wallet in customer.wallets:
                ids = {"wallet": wallet.id, "customer": customer.id}
                yield Persona(self.name, f"{customer.name}.{wallet.name}", fixture.wallets[wallet.name].about, ids, token)

    def member(self, index: int) -> Persona | None:
        """A member of the population."""
        if index >= self.opening.population:
            return None
        token, customer = self.opening.member(index)
        ids = {"customer": customer.id} | {f"wallet_{n}": wallet.id for n, wallet in enumerate(customer.wallets)}
        return Persona(self.name, f"member {index}", self.opening.member_about(index), ids, token)

    def new_state(self) -> PolarState:
        """A world's part before any event."""
        return PolarState(self.opening)

    async def before_routing(self, call: Call) -> Answer | None:
        """Version, preflight and invalid tokens are judged before any route, in this order."""
        request = call.request
        header = request.header
        if header.get(b"polar-version", b"") not in (b"", *_VERSIONS):
            return answers.no_version()
        if request.method == "OPTIONS" and b"origin" in header and b"access-control-request-method" in header:
            return Answer(200, b"OK", content_type=b"text/plain; charset=utf-8", headers=_preflight(call))
        token = _token(header.get(b"authorization", b""))
        if token is not None and not token.startswith(_OTHER_SUBJECTS):
            world = await self._worlds.current(call.session)
            call.identity = polar_of(world).signed_in(token, max(self._worlds.now(world), world.latest))
            if call.identity is None:
                return answers.invalid_token()
        if request.path.startswith("/api/"):
            request.path = request.path.removeprefix("/api")
            call.headers = ((b"x-polar-deprecation-notice", b"The /api prefix is deprecated: use /v1"),)
        if request.method in ("HEAD", "OPTIONS"):
            return self.unrouted(call, self.contract.methods_at(request.path))
        return None

    def authenticate(self, call: Call) -> None:
        """A customer's token; members need a role that may see bills."""
        customer: Customer | None = call.identity
        if customer is None:
            raise answers.unauthorized()
        if customer.role == "member":
            raise answers.not_permitted()

    def refuse(self, call: Call, findings: list[Finding]) -> Answer | None:
        """The service's own library decides, in the handler; it reads `01` and ` 1` as whole numbers."""
        return None

    def unrouted(self, call: Call, allowed: Sequence[str]) -> Answer:
        """404, or 405 where the path has other methods."""
        return answers.no_method(allowed) if allowed else answers.no_route()

    def redirect(self, call: Call, location: str) -> Answer:
        """A missing or additional slash."""
        return Answer(307, headers=[answers.PRIVATE, (b"location", location.encode("latin-1", "replace"))])

    def too_large(self, call: Call, limit: int) -> Answer:
        """No operation reads a body; where one is sent all the same, the route decides."""
        return self.unrouted(call, self.contract.methods_at(call.request.path))

    def bad_header(self, call: Call, header: str, problem: str) -> Answer:
        """The name of a mock session, or of a defect, is none."""
        given = call.request.header.get(header.encode(), b"").decode("latin-1")
        entry = {"type": "value_error", "loc": ["header", header], "msg": problem, "input": given}
        return answers.invalid([entry])

    def failure(self, call: Call) -> Answer:
        """500, in plain text."""
        return Answer(500, b"Internal Server Error", content_type=b"text/plain; charset=utf-8")

    def unavailable(self, call: Call, problem: Exception) -> Answer:
        """503, in plain text like other failures."""
        return Answer(503, str(problem).encode(), content_type=b"text/plain; charset=utf-8")

    def headers(self, call: Call) -> list[Header]:
        """Version and CORS."""
        header = call.request.header
        version = header.get(b"polar-version") or _VERSIONS[0]
        result: list[Header] = []
        if version in _VERSIONS:
            result = [(b"polar-version", version)]
        if b"origin" in header:
            result += [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"Polar-Version")]
        return result

    async def list(self, call: Call) -> Answer:
        """GET /v1/customer-portal/wallets/"""
        query = parameters.list_query(call.request)
        customer: Customer = call.identity
        limit = min(query.limit, parameters.MAX_LIMIT)
        wallets = _sorted(customer.wallets, query.sorting)
        start = (query.page - 1) * limit
        items = [wallet_body(wallet) for wallet in wallets[start : start + limit]]
        pagination = {"total_count": len(wallets), "max_page": -(-len(wallets) // limit)}
        return answers.json_answer(200, {"items": items, "pagination": pagination})

    async def get(self, call: Call) -> Answer:
        """GET /v1/customer-portal/wallets/{id}"""
        wallet_id = parameters.wallet_id(call.request)
        customer: Customer = call.identity
        for wallet in customer.wallets:
            if wallet.id == wallet_id:
                return answers.json_answer(200, wallet_body(wallet))
        raise answers.not_found()


def wallet_body(wallet: Wallet) -> dict[str, Any]:
    """CustomerWallet: six fields, always."""
    return {
        "id": wallet.id,
        "created_at": _time(wallet.created_at),
        "modified_at": _time(wallet.modified_at) if wallet.modified_at else None,
        "customer_id": wallet.customer_id,
        "balance": wallet.balance,
        "currency": wallet.currency,
    }


def _time(moment: datetime) -> str:
    """Six decimals, or none at all."""
    return rfc3339(moment).replace(".000000Z", "Z")


def _sorted(wallets: Sequence[Wallet], criteria: Sequence[Sorting]) -> list[Wallet]:
    """By the criteria in order; equal ones by id, so that pages never overlap."""
    result = sorted(wallets, key=lambda wallet: wallet.id)
    for criterion in reversed(criteria):
        field = criterion.lstrip("-")
        result.sort(key=lambda wallet: getattr(wallet, field), reverse=criterion.startswith("-"))
    return result


def _token(authorization: bytes) -> str | None:
    """The bearer token; None if there is none at all (then the answer is another one)."""
    match = _BEARER.fullmatch(authorization)
    if match is None or not match[1].strip() or not match[1].isascii():
        return None
    return match[1].decode("ascii")


def _preflight(call: Call) -> list[Header]:
    wanted = call.request.header.get(b"access-control-request-headers", b"Authorization, Polar-Version")
    return [
        (b"access-control-allow-methods", b"GET"),
        (b"access-control-allow-headers", wanted),
        (b"access-control-max-age", b"600"),
    ]
