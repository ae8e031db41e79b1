"""Getting what was written to the disk: many writers, one sync."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

_sync = getattr(os, "fdatasync", os.fsync)


class GroupSync:
    """Syncs what SQLite writes ahead of a file, in a thread. All that was written when a sync begins is on the disk with it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._written = 0
        self._synced = 0
        self._running: asyncio.Future[None] | None = None

    def wrote(self) -> None:
        """Something was written that must be on the disk before anybody is told of it."""
        self._written += 1

    async def flush(self) -> None:
        """Return once all that was written so far is on the disk; OSError if it cannot be brought there."""
        wanted = self._written
        while self._synced < wanted:
            if self._running is None:
                self._running = asyncio.create_task(self._run())
            await asyncio.shield(self._running)

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # whoever writes in this turn of the loop comes along
            written = self._written
            await asyncio.to_thread(_sync_ahead_of, self._path)
            self._synced = written
        finally:
            self._running = None


def _sync_ahead_of(path: str) -> None:
    try:
        file = os.open(f"{path}-wal", os.O_RDONLY)
    except FileNotFoundError:
        # All of it is in the file itself already, synced: SQLite does that before it removes what it wrote ahead.
        if Path(path).exists():
            return
        raise
    try:
        _sync(file)
    finally:
        os.close(file)
