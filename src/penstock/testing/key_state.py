"""The state of one key in memory, to call a `process` operator with as any other object."""

from __future__ import annotations

from typing import Any, TypeVar

from penstock.operators.key_state import KeyState, bound_state
from penstock.operators.timers import KeyTimers
from penstock.slot.state.slot_state import SlotState

S = TypeVar("S", bound=KeyState)


def key_state(declared: type[S], key: Any = "key") -> S:
    """The state of a key for which nothing is kept yet. `timers()` of it says which timers were set."""
    state = SlotState().stage("test").of("process")
    made = bound_state(declared, state, KeyTimers(state))
    made._key = key
    assert isinstance(made, declared)
    return made
