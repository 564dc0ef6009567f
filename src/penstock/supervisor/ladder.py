"""The way down, rung by rung with deadlines. Pure: orders and the time go in, what to do now comes out.

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


class Rung(IntEnum):
    """How far down it is; also what the supervisor has to do on entering it."""

    RUN = 0
    DRAIN = 1
    TERMINATE = 2
    KILL = 3
    OVER = 4


class Ladder:
    """The way down of one run."""

    def __init__(self) -> None:
        self.rung = Rung.RUN
        self.ending: Ending = "finished"
        """How the run will have ended, as far as orders decide it."""
        self.abandoned = False
        """True: the caller was gone before anything was ordered that ends a run."""
        self.deadline: float | None = None
        """When `tick` goes one rung further."""

    @property
    def leaving(self) -> bool:
        """True: nobody is born any more."""
        return self.rung >= Rung.TERMINATE

    def drain(self, now: float, timeout_s: float | None) -> Rung | None:
        """The caller asks for a drain; None as `timeout_s`: for as long as it takes."""
        if self.rung is not Rung.RUN:
            return None
        self.ending = "drained"
        return self._enter(Rung.DRAIN, None if timeout_s is None else now + timeout_s)

    def stop(self, now: float) -> Rung | None:
        """The caller asks for the end."""
        if self.leaving:
            return None
        self.ending = "stopped"
        return self._enter(Rung.TERMINATE, now + TERMINATE_S)

    def abandon(self, now: float) -> Rung | None:
        """The caller is gone: its next run resumes, and may be waiting already. What was ordered before stays so."""
        if self.rung >= Rung.KILL:
            return None
        self.abandoned = self.abandoned or not self.leaving
        return self._enter(Rung.KILL, now + KILL_S)

    def fail(self, now: float) -> Rung | None:
        """A stage has failed; that is how the run ends, whatever was ordered before or comes later."""
        self.ending = "failed"
        return None if self.leaving else self._enter(Rung.TERMINATE, now + TERMINATE_S)

    def tick(self, now: float) -> Rung | None:
        """The deadline of a rung may have come."""
        if self.deadline is None or now < self.deadline:
            return None
        if self.rung is Rung.DRAIN:
            self.ending = "stopped"
            return self._enter(Rung.TERMINATE, now + TERMINATE_S)
        if self.rung is Rung.KILL:
            return self._enter(Rung.OVER, None)
        return self._enter(Rung.KILL, now + KILL_S)

    def _enter(self, rung: Rung, deadline: float | None) -> Rung:
        self.rung, self.deadline = rung, deadline
        return rung
