"""How an answer leaves: whole, slowly, cut short, or not at all.

What ASGI has no way to say goes through the server's own transport, uvicorn's.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any, Literal

from starlette.types import Receive, Send

from contract_tests.exchange import Response
from mock_server.stopping import Stopping

Ending = Literal["reset", "refused", "garbage"]

_PIECES = 20  # that a slow body comes in, at most
_FAREWELL = 0.1  # seconds that a listener has for the end of a stream; less than the server waits when it stops
_LINGER_NOT = struct.pack("ii", 1, 0)


async def send_slowly(response: Response, body: bytes, seconds: float, stopping: Stopping, send: Send) -> None:
    """Send the head at once, and the body in pieces of one size, the last one after so many seconds."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await _send_pieces(body, seconds, stopping, send)
    await send({"type": "http.response.body", "body": b""})


async def send_cut(response: Response, body: bytes, seconds: float, stopping: Stopping, receive: Receive, send: Send) -> None:
    """Send a body that ends before its announced length, and close the connection."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    transport = _transport(send)
    await _send_pieces(body, seconds, stopping, send)
    if transport is None:
        await send({"type": "http.response.body", "body": b""})
        return
    transport.close()
    await _gone(receive)


async def send_stream(response: Response, chunks: AsyncIterator[bytes], stopping: Stopping, receive: Receive, send: Send) -> None:
    """Send an answer piece by piece until there is no more, nobody listens any more, or the server stops."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})

    async def send_all() -> None:
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    tasks = [asyncio.create_task(waiting) for waiting in (send_all(), _gone(receive), stopping.wait())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if tasks[1] in done:
        return
    try:
        async with asyncio.timeout(_FAREWELL):
            await send({"type": "http.response.body", "body": b""})
    except TimeoutError:  # who does not read learns of no end
        transport = _transport(send)
        if transport is not None:
            transport.abort()
            await _gone(receive)


async def end(ending: Ending, garbage: bytes, receive: Receive, send: Send) -> None:
    """End the connection without an answer."""
    transport = _transport(send)
    if transport is None:
        raise ConnectionResetError(f"no answer: {ending}")
    if transport.is_closing():
        pass  # the client was first
    elif ending == "reset":
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
    else:
        if ending == "garbage":
            transport.write(garbage)
        transport.close()
    await _gone(receive)


async def _send_pieces(body: bytes, seconds: float, stopping: Stopping, send: Send) -> None:
    count = min(_PIECES, len(body)) if seconds else 1
    size = -(-len(body) // count) if count else 0
    for number in range(count):
        await stopping.sleep(seconds / count)
        await send({"type": "http.response.body", "body": body[number * size : (number + 1) * size], "more_body": True})


async def _gone(receive: Receive) -> None:
    """Wait until the server has noticed: it complains of an answer that is not whole, unless it has."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _transport(send: Send) -> Any:
    """The connection under a request, where the server is one that has it in this place."""
    return getattr(getattr(send, "__self__", None), "transport", None)
