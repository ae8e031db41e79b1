"""Messages of one document judged: by plans where they plainly keep it, by openapi-core where they may not."""

from __future__ import annotations

import uuid
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

from contract_tests.exchange import Request, Response
from contract_tests.plans import FormatCheck, Planner, RequestPlan, ResponsePlan

if TYPE_CHECKING:
    from contract_tests.complaints import Library

# openapi-core warns on every request that uses a deprecated parameter or an empty value; documents may lawfully have both.
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"openapi_core\.")


def is_uuid4(value: object) -> bool:
    """Format `uuid4`: in any spelling that UUID libraries read. (Canonical form is a pattern's business.)"""
    if not isinstance(value, str):
        return True
    try:
        parsed = uuid.UUID(value)
    except ValueError:
        return False
    return parsed.version == 4


FORMATS: dict[str, FormatCheck] = {"uuid4": is_uuid4}


class Validator:
    """Judges messages of one document. Operations are named by (path pattern, method in lower case)."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._request_plans: dict[tuple[str, str], RequestPlan | None] = {}
        self._response_plans: dict[tuple[str, str, int], ResponsePlan | None] = {}

    def request_ok(self, key: tuple[str, str], request: Request) -> bool:
        """True: valid. False: perhaps not; `request_errors` knows."""
        try:
            plan = self._request_plans[key]
        except KeyError:
            item = self._document["paths"][key[0]]
            plan = self._request_plans[key] = self._planner.request_plan(item, item[key[1]])
        return plan is not None and plan.accepts(request)

    def response_ok(self, key: tuple[str, str], response: Response) -> bool:
        """True: valid. False: perhaps not; `response_errors` knows."""
        plan_key = (*key, response.status)
        try:
            plan = self._response_plans[plan_key]
        except KeyError:
            operation = self._document["paths"][key[0]][key[1]]
            plan = self._response_plans[plan_key] = self._planner.response_plan(operation, response.status)
        return plan is not None and plan.accepts(response)

    def request_errors(self, key: tuple[str, str], request: Request) -> list[Exception]:
        """openapi-core's complaints about a request, in its own terms."""
        return self._library.request_errors(key, request)

    def response_errors(self, key: tuple[str, str], request: Request, response: Response) -> list[Exception]:
        """openapi-core's complaints about a response, in its own terms."""
        return self._library.response_errors(key, request, response)

    @cached_property
    def _planner(self) -> Planner:
        return Planner(self._document, FORMATS)

    @cached_property
    def _library(self) -> Library:
        # Imported when it has something to explain: it is a twelfth of a start, and 8 MiB.
        from contract_tests.complaints import Library

        return Library(self._document, FORMATS)
