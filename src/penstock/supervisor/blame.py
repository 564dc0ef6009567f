"""Which row, if any, is to blame for a death. Pure: deaths go in, what to tell the successor comes out.

The worker's page says which rows were in progress. A death of the worker's own doing (a segfault, an exit, out of
memory) makes them suspects at once; SIGKILL may be anybody's, so only rows that were in progress twice become suspects
(trap 1). Suspects are processed in ever smaller pieces until a single row is marked; if the worker then dies of its own
doing, that row is to blame.

SIGKILL needs more: somebody who kills at random hits a long row as surely as a poisonous row kills itself. So the
successor pauses before the call, for a time drawn again for each life. Whoever kills without looking at the worker
cannot know it, and hits the short time right behind the pause with a small chance only; the row that kills itself
does so each time. Once chance explains the hits with less than one in a million, the row is blamed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from enum import Enum

import msgspec

from penstock.slot.records.life import Blamed, Suspect
from penstock.slot.records.work_page import TURN_INPUT, Doing, Mark

_CERTAIN = math.log(1e6)
_SPREAD = 4.0
"""The longest pause that may be drawn is this many times the shortest."""
_HIT_SHARE = 0.9
"""The rest of the stakes is kept for the life that does not hit."""
_LEAST_CALL_S = 0.005
"""Shorter calls cannot be told apart by those who look at the corpse."""
_CALL_MARGIN = 1.5
_USUAL_PAUSE_S = 0.5
_LEAST_FACTOR, _MOST_FACTOR = 2.0, 40.0
"""The shortest pause is this many times the call; the more, the fewer deaths it takes."""
_MOST_PAUSE_S = 3600.0
_KILLS_BEFORE_PAUSES = 2
_NARROWING = 16
_TRUSTING_LIVES = 3
"""After a kill that a suspect cannot have done: this many lives without pauses."""
_UNDECIDED = 30
"""After this many kills without a verdict the deaths count as nobody's."""


_WHILE = {
    Doing.DECODING: " while it was decoded",
    Doing.ENCODING: " while its result was encoded",
    Doing.TELLING: " while it, or its error, was turned into text",
}


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


class Death(msgspec.Struct, frozen=True):
    """One death. Times in seconds."""

    cause: Cause
    mark: Mark | None
    """The rows in progress; None: no user code was running."""
    in_call_s: float
    """How long the call had been running."""
    lived_s: float
    what: str
    """`signal SIGSEGV`, `exit code 3`, for the dead letter."""
    attempt: int
    doing: int = Doing.CALLING
    """What was being done with the rows in progress."""


class Verdict(msgspec.Struct, frozen=True):
    """What the successor is told, and whether the death counts against the stage."""

    suspect: Suspect | None = None
    blamed: Blamed | None = None
    counted: bool = True
    careful: int = 0
    """Process this many rows one by one: it is not known which of them gave what was being encoded."""
    ungathered: int = 0
    """Give this many rows to batch functions batch by batch: it is not known which of several batches it was."""


class _Pause(msgspec.Struct, frozen=True):
    """A pause that a life was told, and how long its call may run to count as a hit."""

    seconds: float
    hit_s: float
    stakes: float
    """What a hit adds to the evidence."""

    @staticmethod
    def drawn(call_s: float, chance: float) -> _Pause | None:
        """A pause before a call that is deadly within `call_s`; None: it would take too long to find out."""
        factor = min(max(_USUAL_PAUSE_S / call_s, _LEAST_FACTOR), _MOST_FACTOR)
        shortest = factor * call_s
        if shortest * _SPREAD > _MOST_PAUSE_S:
            return None
        seconds = shortest * _SPREAD**chance
        # The logarithm of the pause is uniform: so likely lies any given moment within `hit_s` behind its end.
        likely = math.log1p(1 / factor) / math.log(_SPREAD)
        return _Pause(seconds, seconds / factor, math.log(_HIT_SHARE / likely + 1 - _HIT_SHARE))


class Blame:
    """The suspicions about one slot."""

    def __init__(self, *, bisects: bool, chance: Callable[[], float] = random.random) -> None:
        """`chance`: gives random numbers in [0, 1)."""
        self._bisects = bisects
        self._chance = chance
        self._suspect: Suspect | None = None
        self._narrowed: Suspect | None = None
        """The rows to work in pieces, while a single one of them is watched more closely."""
        self._seen_killed: Mark | None = None
        self._turn_seen_killed: Mark | None = None
        """Apart from the other: a life may mark all rows of a turn, and the next one, told to be careful, a batch."""
        self._row: Mark | None = None
        self._kills = 0
        self._longest_s = 0.0
        self._evidence = 0.0
        self._pause: _Pause | None = None
        self._trusting = 0

    def on_death(self, death: Death) -> Verdict:
        """Judge one death; called for every one of the slot, in order."""
        if death.cause is Cause.OURS:
            return Verdict(self._suspect, counted=False)
        if death.mark is None:
            return self._alibi(death)
        if not death.mark.is_met_again:
            return Verdict(self._suspect)  # counted: no successor can be told which row to leave out
        if death.mark.input == TURN_INPUT:
            return self._narrow_turn(death, death.mark)
        if death.mark.count > 1:
            return self._narrow(death, death.mark)
        return self._judge(death, death.mark)

    def _alibi(self, death: Death) -> Verdict:
        """It died while no row was in progress: no row did it, so perhaps none did it before."""
        if death.cause is Cause.KILLED:
            self._missed()
            self._trusting = _TRUSTING_LIVES
        self._stop_pausing()
        return Verdict(self._suspect)

    def _narrow(self, death: Death, mark: Mark) -> Verdict:
        """Several rows were in progress."""
        if death.cause is Cause.KILLED:
            seen, self._seen_killed = self._seen_killed, mark
            if seen is None or (seen.frame, seen.row) != (mark.frame, mark.row):
                return Verdict(self._suspect)
            piece = max(mark.count // _NARROWING, 1)
        else:
            piece = max(mark.count // _NARROWING, 1) if self._bisects else 1
        self._forget_row()
        self._narrowed = self._suspect = Suspect(mark.stage, mark.input, mark.sequence, mark.row, mark.count, piece)
        return Verdict(self._suspect, counted=False)

    def _narrow_turn(self, death: Death, mark: Mark) -> Verdict:
        """What the rows of a turn gave was being encoded, or several batches were with a function together."""
        if death.cause is Cause.KILLED:
            seen, self._turn_seen_killed = self._turn_seen_killed, mark
            if seen is None or seen.frame != mark.frame:
                return Verdict(self._suspect)
        if death.doing == Doing.CALLING:
            return Verdict(self._suspect, counted=False, ungathered=mark.count)
        return Verdict(self._suspect, counted=False, careful=mark.count)

    def _judge(self, death: Death, mark: Mark) -> Verdict:
        """A single row was in progress."""
        if self._row != mark:
            self._forget_row()
            self._row = mark
        if death.cause is not Cause.KILLED:
            return self._convict(death, mark)
        self._kills += 1
        self._weigh(death.in_call_s)
        if self._evidence >= _CERTAIN:
            return self._convict(death, mark)
        self._pause = self._next_pause()
        if self._pause is None:
            self._watch(mark)
        else:
            self._suspect = Suspect(*mark.frame, mark.row, 1, 1, self._pause.seconds)
        return Verdict(self._suspect, counted=self._kills > _UNDECIDED)

    def _weigh(self, in_call_s: float) -> None:
        """What this death says about the row: a bet whose stakes grow only by luck if the killer is somebody else."""
        if self._pause is not None:
            if in_call_s <= self._pause.hit_s:
                self._evidence += self._pause.stakes
            else:
                self._missed()
        self._longest_s = max(self._longest_s, in_call_s)

    def _missed(self) -> None:
        self._evidence = max(self._evidence + math.log(1 - _HIT_SHARE), 0.0)

    def _next_pause(self) -> _Pause | None:
        if self._kills < _KILLS_BEFORE_PAUSES:
            return None
        if self._trusting:
            self._trusting -= 1
            return None
        return _Pause.drawn(max(self._longest_s * _CALL_MARGIN, _LEAST_CALL_S), self._chance())

    def _convict(self, death: Death, mark: Mark) -> Verdict:
        attempts = max(self._kills, 1)
        reason = f"the row killed its worker ({death.what})"
        if death.cause is Cause.TIMED_OUT:
            reason = f"the row hung its worker, which was killed ({death.what})"
        blamed = Blamed(*mark.frame, mark.row, attempts, reason + _WHILE.get(death.doing, ""), death.doing)
        self._stop_pausing()
        self._forget_row()
        return Verdict(self._suspect, blamed, counted=False)

    def _watch(self, mark: Mark) -> None:
        """Without a pause; together with the rows that it was narrowed down from."""
        covered = self._narrowed is not None and self._narrowed.covers(mark)
        self._suspect = self._narrowed if covered else Suspect(*mark.frame, mark.row, 1, 1)

    def _stop_pausing(self) -> None:
        if self._pause is not None and self._suspect is not None:
            told = self._suspect
            self._watch(Mark(told.stage, told.input, told.sequence, told.row, 1))
        self._pause = None

    def _forget_row(self) -> None:
        self._row = None
        self._kills, self._longest_s, self._evidence = 0, 0.0, 0.0
        self._pause = None
