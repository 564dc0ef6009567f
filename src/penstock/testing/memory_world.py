"""The world of slots that share a test's process: files in memory, a clock that stands still, and bells.

Only one slot does something at a time. One that waits lets the others run (`slots_in_turn`).
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable

from penstock.channel.bell import Bell, MemoryBell, MemoryWaiter, OnePerPath, Waits
from penstock.memory_files import MemoryFiles
from penstock.plan.paths import RunPaths
from penstock.slot.ports import World
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.time_and_chance import Clock
from penstock.slot.user_code.event_loop import EventLoop
from penstock.testing.clock import ManualClock
from penstock.testing.local_rows import pickled
from penstock.testing.row_timeout import timer_for

_TICK_S = 1e-6


def world_in_memory(
    paths: RunPaths, files: MemoryFiles, clock: ManualClock, give_way: Callable[[float], None]
) -> World:
    """`give_way(seconds)`: a slot waits in the middle of what it does; others run, or time passes."""

    def waiter(bell: Bell, event_loop: EventLoop | None) -> Waits:
        assert isinstance(bell, MemoryBell)
        return MemoryWaiter(bell, give_way)

    bells: OnePerPath[MemoryBell] = OnePerPath(lambda path: MemoryBell(path, files.share))
    return World(
        paths=paths, opening=files.share, files=files, bell_of=bells.of, waiter_of=waiter,
        timer_of=lambda timeout_s, on_tick: timer_for(timeout_s), clock=_clock(clock), crash=CrashPoints(),
        pickled=pickled, look_s=math.inf, one_at_a_time=True,
    )


def _clock(clock: ManualClock) -> Clock:
    """What waits goes by the test's clock; how long something took is the machine's to say."""
    ticks = itertools.count()

    def wall_s() -> float:
        return clock.wall() + next(ticks) * _TICK_S  # never the same twice: letters are in the order of their times

    return Clock(
        now_s=clock.monotonic, now_ns=time.monotonic_ns, wall_s=wall_s, wall_ns=lambda: int(clock.wall() * 1e9),
        since_boot_s=clock.monotonic, computed_s=lambda: 0.0, chance=random.random,
    )
