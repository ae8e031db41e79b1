"""The faults of a session: a part of its world, folded from its log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count

from mock_server.event_log import Event
from mock_server.faults.catalogue import Catalogue
from mock_server.faults.fault import Fault, FaultName
from mock_server.notice import Notice
from mock_server.world import World

PART = "faults"
"""Name of this part of a world."""


@dataclass(frozen=True, kw_only=True)
class FaultSet(Event):
    """A fault begins; one of the same name ends."""

    name: FaultName
    fault: Fault


@dataclass(frozen=True, kw_only=True)
class FaultsCleared(Event):
    """A fault ends, or all do."""

    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class FaultsMet(Event):
    """A call met faults that count their calls; some of them struck it."""

    met: tuple[str, ...]
    struck: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """A fault of a session. Faults that count know how many calls `met` them and how many they `struck`."""

    name: str
    fault: Fault
    met: int = 0
    struck: int = 0

    @property
    def over(self) -> bool:
        """It has struck as often as it should."""
        return self.fault.times is not None and self.struck >= self.fault.times


@dataclass(frozen=True, slots=True)
class FaultsMemento:
    """The faults in their order, and how many were ever set."""

    standing: list[Standing]
    set: int


class FaultsState:
    """The faults of a session by name, in the order in which they were set. `active` are those that are not over."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.standing: Mapping[str, Standing] = {}
        self.active: tuple[Standing, ...] = ()
        self._set = 0

    def fresh_name(self, fault: Fault, taken: Collection[str]) -> str:
        """A name for a fault that has none: its kind and how many have been set, unless that is taken."""
        numbers = count(self._set + 1)
        return next(name for number in numbers if (name := f"{fault.fault}-{number}") not in taken)

    def apply(self, event: Event) -> Iterable[Notice]:
        """Faults tell nobody."""
        if isinstance(event, FaultSet):
            self._set += 1
            others = {name: one for name, one in self.standing.items() if name != event.name}
            self._keep({**others, event.name: Standing(event.name, event.fault)})
        elif isinstance(event, FaultsCleared):
            self._keep({name: one for name, one in self.standing.items() if event.name not in (None, name)})
        elif isinstance(event, FaultsMet):
            standing = dict(self.standing)
            for name in event.met:
                one = standing[name]
                standing[name] = replace(one, met=one.met + 1, struck=one.struck + (name in event.struck))
            self._keep(standing)
        return ()

    def memento(self) -> FaultsMemento:
        """Which of them are over follows from themselves."""
        return FaultsMemento(list(self.standing.values()), self._set)

    def recall(self, memento: FaultsMemento) -> None:
        """All that was."""
        self._keep({one.name: one for one in memento.standing})
        self._set = memento.set

    def _keep(self, standing: Mapping[str, Standing]) -> None:
        self.standing = standing
        self.active = tuple(one for one in standing.values() if not one.over)


def faults_of(world: World) -> FaultsState:
    """The faults of a world."""
    state = world.states[PART]
    assert isinstance(state, FaultsState)
    return state
