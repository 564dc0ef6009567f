"""When a dead worker's successor is born, and when it is enough. Pure: deaths and the time go in, decisions come out.

Each slot has a budget of its own: more than n deaths without progress within t seconds, and its stage has failed. A
life that committed something gives the whole budget back and is followed at once. Lives that get nothing done are
followed later and later; where two of them in a row end by the same error before the stage ever committed, more lives
would only repeat it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

FIRST_DELAY_S = 0.05
MOST_DELAY_S = 10.0
JITTER = 0.2
SAME_ERRORS = 2
"""So many equal errors in a row, before the stage got anything done, are enough."""


class Progress(Enum):
    """How far a life came."""

    NONE = "none"
    IDLE = "idle"
    """It was through with opening and waited for input or room."""
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class Restart:
    """Give birth to the successor after so long."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Escalate:
    """The stage has failed."""

    reason: str


@dataclass(slots=True)
class _Budget:
    """The deaths of one slot since it last committed."""

    deaths: deque[float] = field(default_factory=deque)
    fruitless: int = 0
    same: str = ""
    """The error of its last life."""
    same_count: int = 0


@dataclass(slots=True)
class RestartPolicy:
    """The deaths of one stage's workers."""

    most: float
    within_s: float
    _budgets: dict[int, _Budget] = field(default_factory=dict)

    def decide(
        self, slot: int, now: float, *, counted: bool, progress: Progress, chance: float, same: str = "",
        proven: bool = False,
    ) -> Restart | Escalate:
        """A worker of `slot` died. `counted`: nobody's row is to blame. `chance`: random, in [0, 1).

        `same`: names the error and its place; empty where it is none, or one that may pass by itself. `proven`: the
        stage has committed something in this run, in whatever slot, so its code and its surroundings can be right.
        """
        if progress is Progress.COMMITTED:
            self._budgets.pop(slot, None)
        if not counted or progress is Progress.COMMITTED:
            return Restart(0.0)
        budget = self._budgets.setdefault(slot, _Budget())
        if (reason := self._exhausted(budget, now, "" if proven else same)) is not None:
            return Escalate(reason)
        if progress is Progress.IDLE:
            budget.fruitless = 0
            return Restart(0.0)
        budget.fruitless += 1
        return Restart(_delay(budget.fruitless, chance))

    def _exhausted(self, budget: _Budget, now: float, same: str) -> str | None:
        """Count the death; why it is enough, if it is."""
        budget.same_count = budget.same_count + 1 if same and same == budget.same else 1
        budget.same = same
        while budget.deaths and budget.deaths[0] <= now - self.within_s:
            budget.deaths.popleft()
        budget.deaths.append(now)
        if same and budget.same_count >= SAME_ERRORS:
            return f"{budget.same_count} lives of a worker ended by the same error before anything was done"
        if len(budget.deaths) > self.most:
            return f"a worker died {len(budget.deaths)} times within {self.within_s:g} s without getting anything done"
        return None


def _delay(fruitless: int, chance: float) -> float:
    """At once for the first time, which may have been anybody's doing; then twice as late each time."""
    if fruitless == 1:
        return 0.0
    delay = min(FIRST_DELAY_S * float(2 ** min(fruitless - 2, 30)), MOST_DELAY_S)
    return delay * (1 + JITTER * (2 * chance - 1))
