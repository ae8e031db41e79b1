"""How defects are written down: a decorator says where a function takes hold; its name and sentence are the defect's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from contract_tests.exchange import Response
from mock_server.defects.changes import data_of, objects, with_data
from mock_server.defects.defect import After, Area, Before, Booking, Defect, Provider, When
from mock_server.defects.visit import Visit

F = TypeVar("F", bound=Callable[..., Any])
Change = Callable[[dict[str, Any]], None]

RARE = 20  # a rare defect shows in one of so many answers


class Book:
    """The defects of one provider in one area. All those of the area `rare` show in every twentieth answer only."""

    def __init__(self, provider: Provider, area: Area) -> None:
        self.provider: Provider = provider
        self.area: Area = area
        self.defects: list[Defect] = []

    def add(self, name: str, about: str, **hooks: Any) -> None:
        """A defect made of ready parts."""
        if self.area == "rare":
            hooks["after"] = _rarely(hooks["after"])
        prefix = "polar-" if self.provider == "polar" else ""
        self.defects.append(Defect(name=prefix + name, provider=self.provider, area=self.area, about=about, **hooks))

    def _add(self, function: Callable[..., Any], **hooks: Any) -> None:
        self.add(function.__name__.replace("_", "-"), inspect.getdoc(function) or "", **hooks)

    def before(self, *operations: str, **more: Any) -> Callable[[F], F]:
        """A change of requests; with `operations`, of theirs only."""

        def note(function: F) -> F:
            def hook(visit: Visit) -> Any:
                return function(visit) if not operations or visit.operation in operations else None

            self._add(function, before=hook, **more)
            return function

        return note

    def after(self, *operations: str, status: int | None = 200, **more: Any) -> Callable[[F], F]:
        """A change of answers with this status (None: any); with `operations`, of theirs only."""

        def note(function: F) -> F:
            def hook(visit: Visit, response: Response) -> Any:
                concerned = (not operations or visit.operation in operations) and status in (None, response.status)
                return function(visit, response) if concerned else response

            self._add(function, after=hook, **more)
            return function

        return note

    def data(self, *operations: str, status: int | None = 200, **more: Any) -> Callable[[F], F]:
        """A change of JSON bodies: the function gets the data, changes it, or returns other data."""

        def note(function: F) -> F:
            def change(visit: Visit, response: Response) -> Response:
                data = data_of(response)
                if data is None:
                    return response
                result = function(data)
                return with_data(response, data if result is None else result)

            self.after(*operations, status=status, **more)(wraps(function)(change))
            return function

        return note

    def each(self, prefix: str, *operations: str, **more: Any) -> Callable[[Change], Change]:
        """A change of every object in good answers whose id begins so."""

        def note(function: Change) -> Change:
            def change(data: Any) -> None:
                for thing in list(objects(data, prefix)):
                    function(thing)

            self.data(*operations, **more)(wraps(function)(change))
            return function

        return note

    def errors(self, *operations: str, **more: Any) -> Callable[[F], F]:
        """A change of the bodies of errors."""

        def note(function: F) -> F:
            def change(visit: Visit, response: Response) -> Response:
                data = data_of(response)
                if response.status < 400 or not isinstance(data, dict) or "message" not in data:
                    return response
                result = function(data)
                return with_data(response, data if result is None else result)

            self.after(*operations, status=None, **more)(wraps(function)(change))
            return function

        return note

    def events(self, *operations: str, **more: Any) -> Callable[[Booking], Booking]:
        """A change of what is booked."""

        def note(function: Booking) -> Booking:
            def hook(visit: Visit, *rest: Any) -> Any:
                return function(visit, *rest) if visit.operation in operations else rest[-1]

            self._add(function, events=hook, **more)
            return function

        return note


def on(*operations: str) -> When:
    """The requests of some operations."""
    return lambda visit: visit.operation in operations


def forgetting(*names: str, operations: tuple[str, ...]) -> Before:
    """The request loses these parameters on its way."""

    def hook(visit: Visit) -> None:
        if visit.operation in operations:
            visit.forget(*names)

    return hook


def _rarely(after: After) -> After:
    """Count the answers that the change would concern, by session, and let through every twentieth change."""

    async def hook(visit: Visit, response: Response) -> Response:
        changed = after(visit, response)
        result = await changed if inspect.isawaitable(changed) else changed
        if result is response:
            return response
        visit.memory["count"] = visit.memory.get("count", 0) + 1
        return response if visit.memory["count"] % RARE else result

    return hook
