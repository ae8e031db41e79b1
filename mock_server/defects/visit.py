"""A request on its way through the mock, as defects see and change it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from contract_tests.exchange import Request, Response
from mock_server.call import Answer, Call, response_of
from mock_server.world import World, Worlds

Ask = Callable[[Request], Awaitable[Response]]
"""Has another request of the same session answered, honestly."""

_NOT_PASSED_ON = (b"content-length", b"content-type", b"prefer")


class Visit:
    """One request: what it asks for, and the means to change it.

    `path` is the path below the provider's base; `operation` is the id of the operation that the request is for, empty if
    none; `asked` has its parameters, from query or JSON body, as the client sent them. `memory` is what a defect keeps from
    one request of a session to the next.
    """

    def __init__(self, call: Call, worlds: Worlds, ask: Ask) -> None:
        self.call = call
        self.worlds = worlds
        self.memory: dict[str, Any] = {}
        self._ask = ask
        self.path = call.request.path.removeprefix("/api").removeprefix(call.provider.contract.base_path)
        self.operation = self._operation()
        self.asked: dict[str, Any] = dict(self._fields() if call.request.body else call.request.query_first)

    @property
    def path_id(self) -> str:
        """The id in the path `/wallets/{id}...` or `/customers/{id}...`; empty if there is none."""
        segments = self.path.split("/")
        return segments[2] if len(segments) > 2 else ""

    async def world(self) -> World:
        """The session's world."""
        return await self.worlds.current(self.call.session)

    async def ask(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None, **headers: bytes
    ) -> Response:
        """The honest answer to another request, with the same headers but for those given. `path` is below the base."""
        changed = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        kept = [pair for pair in self.call.request.headers if pair[0] not in _NOT_PASSED_ON and pair[0] not in changed]
        content = b"" if body is None else json.dumps(body).encode()
        request = Request(
            method,
            self.call.provider.contract.base_path + path,
            urlencode(query or {}, doseq=True).encode(),
            [*kept, *changed.items(), (b"content-type", b"application/json")],
            content,
        )
        return await self._ask(request)

    def answer(self, answer: Answer) -> Response:
        """An answer of the provider as it leaves, unchecked."""
        return response_of(self.call, answer)

    def set_header(self, name: bytes, value: bytes) -> None:
        """Give the request another header in place of the one that it has."""
        request = self.call.request
        request.headers = [*(pair for pair in request.headers if pair[0] != name), (name, value)]
        request.header[name] = value

    def forget(self, *names: str) -> None:
        """Take parameters out of the query or the JSON body."""
        request = self.call.request
        if request.body:
            self._send({name: value for name, value in self._fields().items() if name not in names})
        else:
            request.query_string = urlencode([pair for pair in request.query if pair[0] not in names]).encode()

    def set(self, name: str, value: Any) -> None:
        """Give a parameter another value, in the query or the JSON body."""
        request = self.call.request
        if request.body:
            self._send({**self._fields(), name: value})
        else:
            self.forget(name)
            values = value if isinstance(value, list) else [value]
            request.query_string = urlencode([*request.query, *((name, entry) for entry in values)]).encode()

    def _operation(self) -> str:
        contract = self.call.provider.contract
        operation = contract.operation_at(self.call.request.method, contract.base_path + self.path)
        return "" if operation is None else operation.id

    def _fields(self) -> dict[str, Any]:
        try:
            fields = json.loads(self.call.request.body)
        except ValueError:
            return {}
        return fields if isinstance(fields, dict) else {}

    def _send(self, fields: dict[str, Any]) -> None:
        """Only a body that is an object can be changed."""
        if self._fields():
            self.call.request.body = json.dumps(fields).encode()
