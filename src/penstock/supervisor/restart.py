"""When a dead worker's successor is born, and when it is enough. Pure: deaths and the time go in, decisions come out.

Each slot has a budget of its own: more than n deaths without progress within t seconds, and its stage has failed. A
life that committed something gives the whole budget back and is followed at once. Lives that get nothing done are
followed later and later; where two of them in a row end by the same error before the stage ever committed, more lives
would only repeat it.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import msgspec

FIRST_DELAY_S = 0.05
MOST_DELAY_S = 10.0
JITTER = 0.2
SAME_ERRORS = 2
"""This many equal errors in a row, before the stage got anything done, are enough."""

_FIRST_WAIT_S, _MOST_WAIT_S = 0.5, 30.0
_STUCK_S = 120.0


class Progress(Enum):
    """How far a life came."""

    NONE = "none"
    IDLE = "idle"
    """It was through with opening and waited for input or room."""
    COMMITTED = "committed"


class Restart(msgspec.Struct, frozen=True):
    """Give birth to the successor after this long."""

    after_s: float


class Escalate(msgspec.Struct, frozen=True):
    """The stage has failed."""

    reason: str


class Wait(msgspec.Struct, frozen=True):
    """Give birth to the successor after this long, because what it needs is down."""

    after_s: float
    times: int
    """How often it has waited in a row, this time included."""
    waited_s: float
    """How long it will have waited by then."""


class _Budget(msgspec.Struct):
    """The deaths of one slot since it last committed."""

    deaths: deque[float] = msgspec.field(default_factory=deque)
    fruitless: int = 0
    same: str = ""
    """The error of its last life."""
    same_count: int = 0
    waited_s: float = 0.0
    """How long what it needs has been down, as far as it has waited for that."""
    waits: int = 0


class RestartPolicy(msgspec.Struct):
    """The deaths of one stage's workers."""

    most: float
    within_s: float
    _budgets: dict[int, _Budget] = msgspec.field(default_factory=dict)

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

    def unavailable(
        self, slot: int, *, progress: Progress, lived_s: float, retry_after_s: float | None, limit_s: float,
        chance: float,
    ) -> Wait | Escalate:
        """A worker of `slot` has left because what it reads or writes is down. `limit_s`: so long it may be."""
        if progress is Progress.COMMITTED:
            self._budgets.pop(slot, None)
        budget = self._budgets.setdefault(slot, _Budget())
        # A life may have been well for hours before; one that is stuck in a connection leaves sooner or later.
        budget.waited_s += min(lived_s, _STUCK_S)
        left_s = limit_s - budget.waited_s
        if left_s <= 0:
            return Escalate(f"unavailable for {budget.waited_s:.0f} s, which is longer than `unavailable_for` allows")
        after_s = retry_after_s
        if after_s is None:
            jitter = 1 + JITTER * (2 * chance - 1)
            after_s = min(_FIRST_WAIT_S * float(2 ** min(budget.waits, 30)), _MOST_WAIT_S) * jitter
        after_s = min(max(after_s, FIRST_DELAY_S), left_s)
        budget.waits += 1
        budget.waited_s += after_s
        return Wait(after_s, budget.waits, budget.waited_s)

    def _exhausted(self, budget: _Budget, now: float, same: str) -> str | None:
        """Count the death; why it is enough, if it is."""
        budget.same_count = budget.same_count + 1 if same and same == budget.same else 1
        budget.same = same
        while budget.deaths and budget.deaths[0] <= now - self.within_s:
            budget.deaths.popleft()
        budget.deaths.append(now)
        if same and budget.same_count >= SAME_ERRORS:
            return f"{budget.same_count} lives of a worker ended with the same error before doing any work"
        if len(budget.deaths) > self.most:
            return f"a worker died {len(budget.deaths)} times within {self.within_s:g} s without making progress"
        return None


def _delay(fruitless: int, chance: float) -> float:
    """At once for the first time, which may have been anybody's doing; then twice as late each time."""
    if fruitless == 1:
        return 0.0
    delay = min(FIRST_DELAY_S * float(2 ** min(fruitless - 2, 30)), MOST_DELAY_S)
    return delay * (1 + JITTER * (2 * chance - 1))
