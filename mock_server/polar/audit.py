"""Whether an event that comes from a file can follow on what was before."""

from __future__ import annotations

from mock_server.event_log import Event
from mock_server.polar.events import TokenIssued, WalletAdded
from mock_server.polar.state import PolarState
from mock_server.world import World


def audit(world: World, event: Event) -> None:
    """ValueError if the event contradicts the world; the fold itself sees to the rest."""
    state = world.states.get("polar")
    if not isinstance(state, PolarState):
        return
    if isinstance(event, WalletAdded) and state.taken(event.wallet_id):
        raise ValueError(f"there is a wallet {event.wallet_id} already")
    if isinstance(event, TokenIssued) and state.token(event.token) is not None:
        raise ValueError("there is such a token already")
