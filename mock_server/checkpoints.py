"""Checkpoints: a world written down at a position, so that only what happened later must be folded.

A checkpoint is a cache and never the truth: one that does not fit is thrown away, and the log is folded from its beginning.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import metadata
from typing import Any, get_type_hints

import orjson

from mock_server.clock import ClockSetting
from mock_server.event_log import Event
from mock_server.packing import pack, reader, shape
from mock_server.webhooks.outbox import OutboxMemento
from mock_server.webhooks.settings import WebhookSettings
from mock_server.world import State, World

_QUICK = 1  # zlib's level: the next ones take three times as long for a fifth less
_BROKEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, zlib.error)
"""What data may raise that only looks as if `memento` had written it, or was written on another opening."""


class Misfit(ValueError):
    """A checkpoint is damaged, or of another version or origin, and tells nothing. The text says which."""


@dataclass(frozen=True, slots=True)
class WorldMemento:
    """What a world has besides its states."""

    position: int
    decided: int
    latest: datetime
    clock: ClockSetting
    outbox: OutboxMemento


def memento(world: World, origin: str) -> bytes:
    """A world that has folded its events, as bytes that `recall` understands.

    `origin` says all that decides on a world besides its events, such as seed, fixtures and first clock.
    """
    own = WorldMemento(world.position, world.decided, world.latest, world.clock, world.outbox.memento())
    body = zlib.compress(pack([own, {name: state.memento() for name, state in world.states.items()}]), _QUICK)
    return b"\n".join([_version(world, origin), _checksum(body), body])


def recall(data: bytes, world: World, origin: str) -> None:
    """Bring a new world, to which nothing has happened, to where a checkpoint was.

    Misfit if that cannot be: throw the world away then, as it may be half recalled.
    """
    assert not world.position, "a checkpoint is recalled into a new world"
    version, _, rest = data.partition(b"\n")
    checksum, _, body = rest.partition(b"\n")
    if version != _version(world, origin):
        raise Misfit("the checkpoint is none, or of another version or origin")
    if checksum != _checksum(body):
        raise Misfit("the checkpoint is damaged")
    try:
        own, states = _read(world, orjson.loads(zlib.decompress(body)))
        for name, state in world.states.items():
            state.recall(states[name])
        world.outbox.recall(own.outbox)
    except _BROKEN as error:
        raise Misfit(f"the checkpoint cannot be read: {str(error)[:200]}") from None
    world.recall(own.position, own.decided, own.latest, own.clock)


def _read(world: World, plain: Any) -> tuple[WorldMemento, Mapping[str, Any]]:
    own, states = plain
    read_own = reader(WorldMemento)
    assert read_own is not None
    readers = {name: reader(_memento_type(type(state))) for name, state in world.states.items()}
    return read_own(own), {name: states[name] if read is None else read(states[name]) for name, read in readers.items()}


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).hexdigest().encode()


def _version(world: World, origin: str) -> bytes:
    states = tuple((name, type(state)) for name, state in world.states.items())
    return _digest(states, world.outbox.as_started, origin)


@cache
def _digest(states: tuple[tuple[str, type[State]], ...], webhooks: WebhookSettings, origin: str) -> bytes:
    """What changes with the release, with the form of mementos and events, and with what a world begins from."""
    parts = [
        "checkpoint 1",
        metadata.version("walletproof"),
        origin,
        repr(webhooks),
        shape(WorldMemento),
        *(f"{name}: {shape(_memento_type(state))}" for name, state in states),
        *(shape(Event.kinds[name]) for name in sorted(Event.kinds)),
    ]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest().encode()


@cache
def _memento_type(state: type[State]) -> Any:
    return get_type_hints(state.memento)["return"]
