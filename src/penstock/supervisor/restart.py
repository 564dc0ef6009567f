"""When a dead worker's successor is born, and when it is enough. Pure: deaths and the time go in, decisions come out.

After Erlang/OTP: more than n unblamed deaths of a stage within t seconds, and the stage has failed. A life that got
something done is followed at once; lives that get nothing done are followed later and later.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

FIRST_DELAY_S = 0.05
MOST_DELAY_S = 10.0
JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Restart:
    """Give birth to the successor after so long."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Escalate:
    """The stage has failed."""

    reason: str


@dataclass(slots=True)
class RestartPolicy:
    """The deaths of one stage's workers."""

    most: float
    within_s: float
    _deaths: deque[float] = field(default_factory=deque)
    _fruitless: dict[int, int] = field(default_factory=dict)

    def decide(
        self, slot: int, now: float, *, counted: bool, progressed: bool, chance: float
    ) -> Restart | Escalate:
        """A worker of `slot` died. `counted`: nobody's row is to blame. `chance`: random, in [0, 1)."""
        if progressed:
            self._fruitless.pop(slot, None)
        if not counted:
            return Restart(0.0)
        while self._deaths and self._deaths[0] <= now - self.within_s:
            self._deaths.popleft()
        self._deaths.append(now)
        if len(self._deaths) > self.most:
            return Escalate(f"its workers died {len(self._deaths)} times within {self.within_s:g} s")
        if progressed:
            return Restart(0.0)
        fruitless = self._fruitless.get(slot, 0)
        self._fruitless[slot] = fruitless + 1
        if fruitless == 0:
            return Restart(0.0)
        delay = min(FIRST_DELAY_S * 2 ** min(fruitless - 1, 30), MOST_DELAY_S)
        return Restart(delay * (1 + JITTER * (2 * chance - 1)))
