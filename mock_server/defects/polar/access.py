"""Tokens that open what they should not, and refusals that are wrong."""

from __future__ import annotations

import re
from typing import Any

from contract_tests.exchange import Response
from mock_server.call import Answer
from mock_server.defects.book import Book
from mock_server.defects.changes import data_of, with_data, with_header, with_status
from mock_server.defects.polar.operations import GET, LIST, foreign_wallets, good_token, state_and_time
from mock_server.defects.visit import Visit
from mock_server.polar.answers import json_answer, not_found, not_permitted
from mock_server.polar.provider import wallet_body

auth = Book("polar", "auth")
errors = Book("polar", "errors")

_TRACE = (
    'Traceback (most recent call last):\n  File "/app/polar/wallet/service.py", line 62, in get\n    raise ResourceNotFound()'
)
_CANONICAL = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _token(visit: Visit) -> str:
    return visit.call.request.header.get(b"authorization", b"").decode("latin-1").partition(" ")[2].strip()


async def _expired(visit: Visit) -> bool:
    state, now = await state_and_time(visit)
    token = state.token(_token(visit))
    return token is not None and token.expired(now)


async def _let_in(visit: Visit) -> None:
    visit.set_header(b"authorization", b"Bearer " + await good_token(visit))


@auth.before()
async def missing_token_accepted(visit: Visit) -> None:
    """Requests without a token are served."""
    if not _token(visit):
        await _let_in(visit)


@auth.before()
async def unknown_token_accepted(visit: Visit) -> None:
    """Any unknown token is served; expired ones are refused."""
    state, _ = await state_and_time(visit)
    if _token(visit) and state.token(_token(visit)) is None:
        await _let_in(visit)


@auth.before()
async def expired_token_accepted(visit: Visit) -> None:
    """An expired token still works."""
    if await _expired(visit):
        await _let_in(visit)


@auth.after(status=401)
async def expired_token_forbidden(visit: Visit, response: Response) -> Response:
    """An expired token is answered 403."""
    return visit.answer(not_permitted().answer) if await _expired(visit) else response


@auth.after(status=401)
def challenge_missing(visit: Visit, response: Response) -> Response:
    """A 401 has no WWW-Authenticate."""
    return with_header(response, b"www-authenticate", None)


@auth.after(status=401)
def unauthorized_echoes_token(visit: Visit, response: Response) -> Response:
    """A 401 repeats the token that was sent."""
    return with_data(response, {**data_of(response), "token": _token(visit)})


@auth.after(LIST, status=401)
def unauthorized_as_empty_list(visit: Visit, response: Response) -> Response:
    """A refused token is answered with an empty list."""
    return visit.answer(json_answer(200, {"items": [], "pagination": {"total_count": 0, "max_page": 0}}))


@auth.after(GET, status=404)
async def foreign_wallet_readable(visit: Visit, response: Response) -> Response:
    """Any customer can read any wallet by its id."""
    for wallet in await foreign_wallets(visit, ""):
        if wallet.id == _asked_id(visit):
            return visit.answer(json_answer(200, wallet_body(wallet)))
    return response


@auth.after(GET, status=404)
async def foreign_wallet_forbidden(visit: Visit, response: Response) -> Response:
    """Someone else's wallet is a 403, an unknown one a 404: anyone can find out which exist."""
    exists = any(wallet.id == _asked_id(visit) for wallet in await foreign_wallets(visit, ""))
    return visit.answer(not_permitted().answer) if exists else response


@errors.data(GET, status=404)
def not_found_without_error(data: Any) -> None:
    """A 404 has no `error`."""
    del data["error"]


@errors.after(GET, status=404)
def unknown_wallet_is_500(visit: Visit, response: Response) -> Response:
    """An unknown wallet is a 500."""
    return _failure(visit)


@errors.after(GET, status=404)
def unknown_wallet_is_null(visit: Visit, response: Response) -> Response:
    """An unknown wallet is null."""
    return visit.answer(json_answer(200, None))


@errors.data(GET, status=404)
def stack_trace_in_detail(data: Any) -> None:
    """A 404 shows the server's stack trace."""
    data["detail"] = _TRACE


@errors.data(LIST, GET, status=422)
def validation_without_detail(data: Any) -> None:
    """A 422 has no detail."""
    del data["detail"]


@errors.data(LIST, GET, status=422)
def validation_detail_as_text(data: Any) -> None:
    """The detail of a 422 is a sentence instead of a list."""
    data["detail"] = data["detail"][0]["msg"]


@errors.after(LIST, GET, status=422)
def validation_as_400(visit: Visit, response: Response) -> Response:
    """Bad parameters are answered 400."""
    return with_status(response, 400)


@errors.after(LIST, status=422)
def page_zero_is_500(visit: Visit, response: Response) -> Response:
    """A page below 1 is a 500."""
    return _failure(visit) if re.fullmatch("0|-[0-9]+", str(visit.asked.get("page"))) else response


@errors.before(LIST)
def page_zero_accepted(visit: Visit) -> None:
    """A page below 1 is taken for the first."""
    if re.fullmatch("0|-[0-9]+", str(visit.asked.get("page"))):
        visit.forget("page")


@errors.after(LIST)
def huge_page_is_500(visit: Visit, response: Response) -> Response:
    """A page number beyond 32 bits is a 500."""
    page = str(visit.asked.get("page", ""))
    return _failure(visit) if page.isdecimal() and int(page[:50]) >= 2**31 else response


@errors.after(GET, status=422)
def bad_id_is_500(visit: Visit, response: Response) -> Response:
    """An id that is no UUID is a 500."""
    return _failure(visit)


@errors.after(GET, status=422)
def bad_id_is_404(visit: Visit, response: Response) -> Response:
    """An id that is no UUID is a 404."""
    return visit.answer(not_found().answer)


@errors.before(LIST)
def bad_sorting_accepted(visit: Visit) -> None:
    """An unknown sorting is ignored."""
    if str(visit.asked.get("sorting", "balance")).removeprefix("-") not in ("created_at", "balance"):
        visit.forget("sorting")


@errors.after(GET)
def id_case_sensitive(visit: Visit, response: Response) -> Response:
    """An id in upper case is a 404."""
    return response if _asked_id(visit).islower() or _asked_id(visit).isdecimal() else visit.answer(not_found().answer)


@errors.after(GET)
def id_echoed(visit: Visit, response: Response) -> Response:
    """The answer repeats the id as it was spelt in the request."""
    return with_data(response, {**data_of(response), "id": _asked_id(visit)})


def _asked_id(visit: Visit) -> str:
    return visit.path.rpartition("/")[2]


def _failure(visit: Visit) -> Response:
    return visit.answer(Answer(500, b"Internal Server Error", content_type=b"text/plain; charset=utf-8"))
