"""Named places where a test may kill the worker. Nothing is armed outside of tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import msgspec

POINTS = (
    "before_append", "after_append", "before_commit", "after_commit", "after_publish",
    "before_sink_write", "after_sink_write", "before_sink_commit", "after_sink_commit", "in_user_code",
)


def kill_worker() -> None:
    """As `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


class ArmedCrash(msgspec.Struct, frozen=True):
    """Die at a point, once `row` rows of the slot's input were taken in, in the first life only."""

    point: str
    row: int = 1


class CrashPoints:
    """The armed points of one worker life."""

    def __init__(self, armed: tuple[ArmedCrash, ...] = (), die: Callable[[], None] = kill_worker) -> None:
        """`die`: called at a point that is armed; if it returns, the worker continues."""
        self._armed = armed
        self._die = die

    def reached(self, point: str, rows: int) -> None:
        """Die here when armed for it. `rows`: input rows taken so far by this slot."""
        for crash in self._armed:
            if crash.point == point and rows >= crash.row:
                self._die()
