"""The garbage collector in a worker: never over data in flight.

A batch is thousands of young containers that die by reference count at the end of their turn. The collector's
default (a young collection every 700 allocations) would look at them many times and promote them to the oldest
generation. Here collections run between turns, when nothing is in flight: the two young generations often, the
oldest so seldom that it costs at most 1 % of the time. A single turn that makes very many cycles is still collected.
"""

from __future__ import annotations

import gc

from penstock.slot.time_and_chance import Clock
from penstock.slot.turn.slot_stage import SlotStage

_YOUNG_ALLOCATIONS = 500_000
"""Net allocations within one turn after which the collector looks all the same."""
_BETWEEN_TURNS = 20_000
_SHARE = 0.01


class TurnGc:
    """Collects between turns."""

    def __init__(self, clock: Clock) -> None:
        self._now_s = clock.now_s
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG_ALLOCATIONS, 1_000_000, 1_000_000)
        self._next_full = self._now_s() + 10.0

    def between_turns(self, stage: SlotStage) -> None:
        """Called after a commit."""
        if gc.get_count()[0] < _BETWEEN_TURNS:
            return
        gc.collect(1)
        now = self._now_s()
        if now >= self._next_full:
            gc.collect()
            spent = self._now_s() - now
            self._next_full = now + spent / _SHARE + 1.0
