"""What a scenario's step can do about faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mock_server.actions import Action
from mock_server.event_log import Event
from mock_server.faults.fault import Fault
from mock_server.faults.state import FaultsCleared, FaultSet, faults_of
from mock_server.world import Draft, Refusal, World

MOST_FAULTS = 100
"""How many faults a session may have at once."""


class SetFault(Fault, Action):
    """A fault begins; the fields are the fault's own. One of the same name ends."""

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """One event; a fault without a name gets one."""
        return set_faults(world, draft, [Fault.model_validate(self.model_dump(exclude_unset=True))])


class ClearFaults(Action):
    """The fault of a `name` ends; all of the session if none is given."""

    name: str | None = None

    def decide(self, world: World, draft: Draft) -> Sequence[Event]:
        """One event, if there is anything to end."""
        standing = faults_of(world).standing
        if self.name is not None and self.name not in standing:
            raise Refusal(f"no fault {self.name!r}; there are {', '.join(standing) or 'none'}")
        return [FaultsCleared(at=draft.at, name=self.name)] if standing else []


ACTIONS: Mapping[str, type[Action]] = {"set-fault": SetFault, "clear-faults": ClearFaults}


def set_faults(world: World, draft: Draft, faults: Sequence[Fault], *, replacing: bool = False) -> Sequence[FaultSet]:
    """The events that set faults, in order, with or in place of those that there are.

    Refusal for one that can never strike, and if there would be too many.
    """
    state = faults_of(world)
    taken = {*(() if replacing else state.standing), *(fault.name for fault in faults if fault.name is not None)}
    events = []
    for fault in faults:
        problem = state.catalogue.problem(fault)
        if problem:
            raise Refusal(problem)
        name = fault.name or state.fresh_name(fault, taken)
        taken.add(name)
        events.append(FaultSet(at=draft.at, name=name, fault=fault))
    if len(taken) > MOST_FAULTS:
        raise Refusal(f"a session may have {MOST_FAULTS} faults: clear some")
    return events
