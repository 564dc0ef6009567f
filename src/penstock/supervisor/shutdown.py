"""The way down, step by step with deadlines. Pure: orders and the time go in, what to do now comes out.

Run, drain (sources stop, what is in flight finishes), terminate (workers leave at the end of their turn), kill, over
(whoever is left is nobody's any more). One never climbs back up; a second order hurries.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, TypeAlias

Ending: TypeAlias = Literal["finished", "drained", "stopped", "failed"]
TERMINATE_S = 2.0
"""So long workers have to leave by themselves."""
KILL_S = 5.0
"""How long the deaths of the killed may take to be told; a zygote that was stopped never tells of them."""


class ShutdownStep(IntEnum):
    """How far down it is; also what the supervisor has to do on entering it."""

    RUN = 0
    DRAIN = 1
    TERMINATE = 2
    KILL = 3
    OVER = 4


class Shutdown:
    """The way down of one run."""

    def __init__(self) -> None:
        self.step = ShutdownStep.RUN
        self.ending: Ending = "finished"
        """How the run will have ended, as far as orders decide it."""
        self.abandoned = False
        """True: the caller was gone before anything was ordered that ends a run."""
        self.deadline: float | None = None
        """When `tick` goes one step further."""

    @property
    def leaving(self) -> bool:
        """True: nobody is born any more."""
        return self.step >= ShutdownStep.TERMINATE

    def drain(self, now: float, timeout_s: float | None) -> ShutdownStep | None:
        """The caller asks for a drain; None as `timeout_s`: for as long as it takes."""
        if self.step is not ShutdownStep.RUN:
            return None
        self.ending = "drained"
        return self._enter(ShutdownStep.DRAIN, None if timeout_s is None else now + timeout_s)

    def stop(self, now: float) -> ShutdownStep | None:
        """The caller asks for the end."""
        if self.leaving:
            return None
        self.ending = "stopped"
        return self._enter(ShutdownStep.TERMINATE, now + TERMINATE_S)

    def abandon(self, now: float) -> ShutdownStep | None:
        """The caller is gone: its next run resumes, and may be waiting already. What was ordered before stays so."""
        if self.step >= ShutdownStep.KILL:
            return None
        self.abandoned = self.abandoned or not self.leaving
        return self._enter(ShutdownStep.KILL, now + KILL_S)

    def fail(self, now: float) -> ShutdownStep | None:
        """A stage has failed; that is how the run ends, whatever was ordered before or comes later."""
        self.ending = "failed"
        return None if self.leaving else self._enter(ShutdownStep.TERMINATE, now + TERMINATE_S)

    def tick(self, now: float) -> ShutdownStep | None:
        """The deadline of a step may have come."""
        if self.deadline is None or now < self.deadline:
            return None
        if self.step is ShutdownStep.DRAIN:
            self.ending = "stopped"
            return self._enter(ShutdownStep.TERMINATE, now + TERMINATE_S)
        if self.step is ShutdownStep.KILL:
            return self._enter(ShutdownStep.OVER, None)
        return self._enter(ShutdownStep.KILL, now + KILL_S)

    def _enter(self, step: ShutdownStep, deadline: float | None) -> ShutdownStep:
        self.step, self.deadline = step, deadline
        return step
