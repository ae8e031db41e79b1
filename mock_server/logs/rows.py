"""Events as rows of a table, in the same shape wherever the table is.

A row has the position of its last event, and either one event's text or, once compacted, up to 1,000 of them packed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mock_server.event_codec import decode, lines, pack
from mock_server.event_log import Event, LogUnavailable

PACKED = 1_000
"""How many events a row holds at most."""

JOURNAL_BYTES = 4 * 1024 * 1024
"""How long the entries of a session's journal are together at most; the latest one is kept in any case."""

Row = tuple[int, str | None, bytes | None]
"""Position, event, pack."""


def events_of(session: str, rows: Iterable[Row], after: int) -> Sequence[Event]:
    """The events that rows hold, without those up to a position; LogUnavailable if a row cannot be read."""
    found: list[Event] = []
    for position, event, packed in rows:
        try:
            if event is not None:
                found.append(decode(event))
            else:
                texts = lines(packed or b"")
                found.extend(map(decode, texts[max(0, after - position + len(texts)) :]))
        except ValueError as problem:
            raise LogUnavailable(f"an event of session {session!r}, at {position}, cannot be read: {problem}") from None
    return found


def by_session(entries: Iterable[tuple[str, bytes]]) -> Mapping[str, Sequence[bytes]]:
    """Entries of the journal by their sessions, in order."""
    found: dict[str, list[bytes]] = {}
    for session, entry in entries:
        found.setdefault(session, []).append(entry)
    return found


def packs_of(rows: Sequence[Row]) -> Sequence[tuple[int, bytes]]:
    """What can stand for rows that follow one another, beginning after a full pack or none: positions and packs."""
    start = (rows[0][0] - 1) // PACKED * PACKED
    texts = [text for _, event, packed in rows for text in ((event,) if event is not None else lines(packed or b""))]
    chunks = [texts[first : first + PACKED] for first in range(0, len(texts), PACKED)]
    return [(start + number * PACKED + len(chunk), pack(chunk)) for number, chunk in enumerate(chunks)]
