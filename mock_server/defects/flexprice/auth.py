"""Keys that open what they should not, and refusals that tell too much."""

from __future__ import annotations

from typing import Any

from contract_tests.exchange import Response
from mock_server.defects.book import Book
from mock_server.defects.changes import data_of, with_data
from mock_server.defects.visit import Visit
from mock_server.flexprice.answers import json_answer
from mock_server.flexprice.provider import Flexprice

book = Book("flexprice", "auth")

_EXPIRED = b"expired"


def _key(visit: Visit) -> bytes:
    return visit.call.request.header.get(b"x-api-key", b"")


def _provider(visit: Visit) -> Flexprice:
    provider = visit.call.provider
    assert isinstance(provider, Flexprice)
    return provider


def _let_in(visit: Visit) -> None:
    visit.set_header(b"x-api-key", _provider(visit).good_key())


@book.before()
def missing_key_accepted(visit: Visit) -> None:
    """Requests without a key are served."""
    if not _key(visit):
        _let_in(visit)


@book.before()
def wrong_key_accepted(visit: Visit) -> None:
    """Requests with any wrong key are served, only a missing or an expired one is refused."""
    if _key(visit) and not _key(visit).startswith(_EXPIRED):
        _let_in(visit)


@book.before()
def expired_key_accepted(visit: Visit) -> None:
    """An expired key still works; other wrong ones are refused."""
    if _key(visit).startswith(_EXPIRED):
        _let_in(visit)


@book.before()
def wrong_key_reads(visit: Visit) -> None:
    """Reading needs no good key, only changing does."""
    if _key(visit) and visit.operation.startswith(("get", "query")):
        _let_in(visit)


@book.data(status=401)
def unauthorized_with_code(data: Any) -> Any:
    """A 401 has the shape of other errors, with code and message."""
    return {"code": "permission_denied", "message": data["error"], "http_status_code": 401}


@book.after(status=401)
def unauthorized_echoes_key(visit: Visit, response: Response) -> Response:
    """A 401 repeats the key that was sent."""
    return with_data(response, {"error": f"Unauthorized: no such key {_key(visit).decode('latin-1')}"})


@book.after(status=401)
def wrong_key_forbidden(visit: Visit, response: Response) -> Response:
    """A wrong key is answered 403 instead of 401."""
    return visit.answer(json_answer(403, {"message": "The API key is not valid"})) if _key(visit) else response


@book.after(status=401)
def unauthorized_as_200(visit: Visit, response: Response) -> Response:
    """A 401 is labelled 200; only the body says that the key is wrong."""
    return visit.answer(json_answer(200, data_of(response)))


@book.after(status=401)
async def existence_before_auth(visit: Visit, response: Response) -> Response:
    """Without a key, an unknown wallet is a 404 and a known one a 401: anyone can find out which exist."""
    if not visit.path_id.startswith("wallet"):
        return response
    known = await visit.ask("GET", f"/wallets/{visit.path_id}", x_api_key=_provider(visit).good_key())
    return known if known.status == 404 else response
