"""Which row, if any, is to blame for a death. Pure: deaths go in, what to tell the successor comes out.

The worker's page says which rows were in work. A death of the worker's own doing (a segfault, an exit, out of
memory) suspects them at once; SIGKILL may be anybody's, so it suspects rows that were in work twice. Suspects are
worked in ever smaller pieces until a single row is marked; what dies then of its own doing is to blame.

SIGKILL needs more: somebody who kills at random hits a long row as surely as a poisonous row kills itself. So the
successor pauses before the call. Kills that come at random fall into the pauses, too; a row whose call alone is
deadly survives every pause. With k kills, all of them in the row's calls, which made up a share p of the slot's
lifetime, chance explains it with p to the k; below one in a million the row is blamed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from penstock.slot.life import Blamed, Suspect
from penstock.slot.work import Mark

CHANCE = math.log(1e-6)
_PAUSE_FACTOR = 40.0
_LEAST_PAUSE_S, _MOST_PAUSE_S = 0.02, 5.0
_NARROWING = 16
_TRUSTING_LIVES = 3
"""After a kill that a suspect cannot have done: so many lives without pauses."""
_UNDECIDED = 30
"""After so many kills without a verdict the deaths count as nobody's."""


class Cause(Enum):
    """Why a worker died, as far as can be seen."""

    OWN_DOING = "own doing"
    """A signal of its own making, an exit, out of memory."""
    KILLED = "killed"
    """SIGKILL of unknown origin."""
    TIMED_OUT = "timed out"
    """The watchdog killed it."""
    OURS = "ours"
    """A stop, a take-over, or the worker's own orderly exit."""


@dataclass(frozen=True, slots=True)
class Death:
    """One death. Times in seconds."""

    cause: Cause
    mark: Mark | None
    """The rows in work; None: no user code was running."""
    in_call_s: float
    """How long the call had been running."""
    lived_s: float
    what: str
    """`signal SIGSEGV`, `exit code 3`, for the dead letter."""
    attempt: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the successor is told, and whether the death counts against the stage."""

    suspect: Suspect | None = None
    blamed: Blamed | None = None
    counted: bool = True


class Blame:
    """The suspicions about one slot."""

    def __init__(self, *, bisects: bool) -> None:
        self._bisects = bisects
        self._suspect: Suspect | None = None
        self._seen_killed: Mark | None = None
        self._row: Mark | None = None
        self._kills = 0
        self._in_call_s = 0.0
        self._outside_s = 0.0
        self._trusting = 0

    def on_death(self, death: Death) -> Verdict:
        """Judge one death; called for every one of the slot, in order."""
        if death.cause is Cause.OURS:
            return Verdict(self._suspect, counted=False)
        if death.mark is None:
            return self._alibi(death)
        if death.mark.count > 1:
            return self._narrow(death, death.mark)
        return self._judge(death, death.mark)

    def _alibi(self, death: Death) -> Verdict:
        """It died while no row was in work: no row did it, and so perhaps none did it before."""
        if death.cause is Cause.KILLED:
            self._forget_row()
            self._trusting = _TRUSTING_LIVES
        if self._suspect is not None:
            self._suspect = _without_pause(self._suspect)
        return Verdict(self._suspect)

    def _narrow(self, death: Death, mark: Mark) -> Verdict:
        """Several rows were in work."""
        if death.cause is Cause.KILLED:
            seen, self._seen_killed = self._seen_killed, mark
            if seen is None or (seen.frame, seen.row) != (mark.frame, mark.row):
                return Verdict(self._suspect)
            piece = max(mark.count // _NARROWING, 1)
        else:
            piece = max(mark.count // _NARROWING, 1) if self._bisects else 1
        self._suspect = Suspect(mark.part, mark.input, mark.sequence, mark.row, mark.count, piece)
        return Verdict(self._suspect, counted=False)

    def _judge(self, death: Death, mark: Mark) -> Verdict:
        """A single row was in work."""
        if self._row != mark:
            self._forget_row()
            self._row = mark
        if death.cause is not Cause.KILLED:
            return self._convict(death, mark)
        self._kills += 1
        self._in_call_s += death.in_call_s
        self._outside_s += max(death.lived_s - death.in_call_s, 0.0)
        share = max(self._in_call_s, 1e-6) / max(self._in_call_s + self._outside_s, 2e-6)
        if self._kills >= 2 and self._kills * math.log(share) < CHANCE:
            return self._convict(death, mark)
        pause_s = 0.0
        if self._trusting:
            self._trusting -= 1
        else:
            mean = self._in_call_s / self._kills
            pause_s = min(max(_PAUSE_FACTOR * mean, _LEAST_PAUSE_S), _MOST_PAUSE_S)
        known = self._suspect
        if known is not None and known.covers(mark):
            suspect = Suspect(*mark.frame, known.row, known.count, 1, pause_s)
        else:
            suspect = Suspect(*mark.frame, mark.row, 1, 1, pause_s)
        self._suspect = suspect
        return Verdict(suspect, counted=self._kills > _UNDECIDED)

    def _convict(self, death: Death, mark: Mark) -> Verdict:
        attempts = max(self._kills, 1)
        reason = f"the row killed its worker ({death.what})"
        if death.cause is Cause.TIMED_OUT:
            reason = f"the row hung its worker, which was killed ({death.what})"
        blamed = Blamed(*mark.frame, mark.row, attempts, reason)
        self._forget_row()
        if self._suspect is not None:
            self._suspect = _without_pause(self._suspect)
        return Verdict(self._suspect, blamed, counted=False)

    def _forget_row(self) -> None:
        self._row = None
        self._kills, self._in_call_s, self._outside_s = 0, 0.0, 0.0


def _without_pause(suspect: Suspect) -> Suspect:
    return Suspect(suspect.part, suspect.input, suspect.sequence, suspect.row, suspect.count, suspect.piece)
