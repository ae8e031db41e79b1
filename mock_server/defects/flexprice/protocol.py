"""Answers that are not what HTTP and JSON ask for."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from contract_tests.exchange import Response
from mock_server.defects.book import Book
from mock_server.defects.changes import CutShort, truncated, with_body, with_header, with_status
from mock_server.defects.visit import Visit

book = Book("flexprice", "protocol")

_BALANCE = re.compile(rb'"balance":"[^"]*"')


def _bodies(name: str, about: str, change: Callable[[bytes], bytes]) -> None:
    def after(visit: Visit, response: Response) -> Response:
        return with_body(response, change(response.body)) if response.status == 200 and response.body else response

    book.add(name, about, after=after)


_bodies("nan-in-body", "A wallet's balance is the bare word NaN, which is no JSON.", lambda b: _BALANCE.sub(b'"balance":NaN', b))
_bodies("utf16-body", "Bodies are UTF-16 under a content type that says UTF-8.", lambda b: b.decode().encode("utf-16"))
_bodies("byte-order-mark", "Bodies begin with a byte order mark.", lambda b: codecs.BOM_UTF8 + b)
_bodies("duplicate-json-key", "Objects have their id twice, once empty.", lambda b: b.replace(b'{"id":', b'{"id":"","id":'))
_bodies("two-json-values", "A second JSON value follows the body.", lambda b: b + b"\n{}")


@book.after()
def html_content_type(visit: Visit, response: Response) -> Response:
    """Good answers are labelled as HTML."""
    return with_header(response, b"content-type", b"text/html; charset=utf-8")


@book.after("getWallet", "queryWallet")
def truncated_body(visit: Visit, response: Response) -> Response:
    """The last third of the body is missing."""
    return truncated(response)


@book.after("getWalletBalance")
def connection_cut(visit: Visit, response: Response) -> Response:
    """The connection closes before the announced length of the body was sent."""
    return CutShort(response.status, response.headers, response.body[:-20])


@book.after("createWallet")
def create_answers_201(visit: Visit, response: Response) -> Response:
    """Creating a wallet answers 201."""
    return with_status(response, 201)


@book.after("updateWallet")
def update_answers_204(visit: Visit, response: Response) -> Response:
    """Updating a wallet answers 204 without a body."""
    for name in (b"content-type", b"content-length"):
        response = with_header(response, name, None)
    return Response(204, response.headers, b"")


@book.after("terminateWallet")
def terminate_answers_nothing(visit: Visit, response: Response) -> Response:
    """Terminating a wallet answers 200 with an empty body."""
    return with_body(response, b"")


@book.after(status=None)
def request_id_missing(visit: Visit, response: Response) -> Response:
    """Answers carry no X-Request-ID."""
    return with_header(response, b"x-request-id", None)
