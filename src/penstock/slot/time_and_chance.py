"""Time and chance, as a slot has them: whatever in `slot/` depends on either is given a `Clock` and asks nobody else.

A simulation gives one of its own. Two do without: `timers` and `stalls`, which interrupt user code by the machine's own
timers, and what runs before there is a slot.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

import msgspec


def _since_boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock(msgspec.Struct, frozen=True):
    """Functions, so that who asks often keeps the one that it needs: a call costs no more than without a clock."""

    now_s: Callable[[], float] = time.monotonic
    """Seconds that never go back; for how long something took."""
    now_ns: Callable[[], int] = time.monotonic_ns
    """The same in nanoseconds, as pages have it."""
    wall_s: Callable[[], float] = time.time
    """Seconds since 1970, for people."""
    wall_ns: Callable[[], int] = time.time_ns
    since_boot_s: Callable[[], float] = _since_boot_s
    """Seconds since the machine was started, sleep included: nobody sets it, and all lives of a run share it."""
    computed_s: Callable[[], float] = time.thread_time
    """Processor time of this thread."""
    chance: Callable[[], float] = random.random
    """A random number in [0, 1)."""


MACHINE: Final = Clock()
"""The machine's own."""
