"""Lets the slots of a run take turns in one thread: whoever is furthest downstream goes first.

So every batch runs down to the sinks before the next one is read. When nobody has anything to do, coroutines run;
where there are none, the clock is moved on to what is due next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from penstock.plan.topology import Slot, Topology
from penstock.testing.clock import ManualClock
from penstock.testing.memory_slot import MemorySlot

_ALONE_S: Final = 0.05
_BESIDE_OTHERS_S: Final = 0.001
_LEAST_S: Final = 1e-6
"""Sums of floats may fall short of the moment that was meant."""
_MOST_IDLE: Final = 1000
"""So often time may pass without anybody doing anything; each time somebody was to."""


class SlotsInTurn:
    """The turns of one run."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._slots: Sequence[MemorySlot] = ()
        self._idle = 0

    def run(self, slots: Sequence[MemorySlot]) -> None:
        """To the end of all slots. `slots`: in the order in which they are asked. Raises what slots raise."""
        self._slots = slots
        while not all(slot.finished for slot in slots):
            self._let_one_run()

    def give_way(self, seconds: float) -> None:
        """A slot waits in the middle of what it does: for this long, or (`math.inf`) until another one has made room.

        The slot lies on top of the stack: whoever waits below it continues after it. So a slot that waits for a time
        lets nobody begin anything, for that might have to wait for this very slot.
        """
        if seconds == math.inf:
            self._let_one_run()
        else:
            self._clock.sleep(seconds)

    def _let_one_run(self) -> None:
        """Let a slot do one thing, or time pass."""
        if any(slot.step() for slot in self._slots):  # the first that can
            self._idle = 0
        else:
            self._wait()

    def _wait(self) -> None:
        flying = [slot for slot in self._slots if slot.has_rows_in_flight]
        for slot in flying:
            slot.let_coroutines_run(_ALONE_S if len(flying) == 1 else _BESIDE_OTHERS_S)
        if flying:
            return
        waits = [wait_s for slot in self._slots if (wait_s := slot.waits_for_s()) is not None]
        nap_s = min(waits, default=math.inf)
        self._idle += 1
        if nap_s == math.inf or self._idle > _MOST_IDLE:
            raise RuntimeError("the stages wait for each other, and for nothing else: this is a bug of penstock's")
        self._clock.sleep(max(nap_s, _LEAST_S))


def downstream_first(topology: Topology) -> list[Slot]:
    """All slots, those of sinks before those that send to them."""
    plan, depth = topology.plan, dict.fromkeys(topology.plan.stages, 0)
    for _ in plan.stages:
        for edge in plan.edges:
            depth[edge.receiver] = max(depth[edge.receiver], depth[edge.sender] + 1)
    return sorted(topology.slots(), key=lambda slot: -max(depth[stage.name] for stage in slot.stages))
