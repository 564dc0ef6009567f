"""Watches a worker that is through and closes what is the user's: one that does not come back is reported, and killed.

Nothing is lost by that: what it closes holds nothing that is not committed. Pure.
"""

from __future__ import annotations

from enum import Enum

from penstock.supervisor.watchdog import Watchdog

TOLD_AFTER_S = 5.0
MOST_S = 30.0


class ClosingStep(Enum):
    """What to do about it."""

    TELL = "tell"
    KILL = "kill"


class Closing:
    """The end of one life."""

    def __init__(self) -> None:
        self._watchdog = Watchdog()
        self._told = False

    def step(self, since_ns: int, now_ns: int, *, held_up: bool) -> ClosingStep | None:
        """What to do now, each once. `since_ns`: when it began to close. `held_up`: it cannot run now."""
        if self._watchdog.overdue(since_ns, MOST_S * 1e9, now_ns, held_up=held_up):
            return ClosingStep.KILL
        if not self._told and self._watchdog.overdue(since_ns, TOLD_AFTER_S * 1e9, now_ns, held_up=held_up):
            self._told = True
            return ClosingStep.TELL
        return None
