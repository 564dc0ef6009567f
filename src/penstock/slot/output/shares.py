"""How many rows one receiver gets before the next one is served, where rows go to whoever has room. Pure.

A batch given to one worker whole leaves the others idle: 500 photos are one batch. A row at a time pays for a frame
with each. So a share is what a receiver does in about 20 ms, by the rate at which receivers have been taking rows.
"""

from __future__ import annotations

from typing import Final

SHARE_S: Final = 0.02
FIRST_SHARES: Final = 4
"""Nothing known yet: this many shares for each receiver."""
FIRST_MOST: Final = 64
_LEAST_SPAN_S: Final = 0.001


class Shares:
    """The shares of one edge in one sending slot."""

    def __init__(self, receivers: int, most: int) -> None:
        self._receivers = receivers
        self._most = most
        self._rate: float | None = None
        """Rows per second and receiver; while receivers starve, at least this many."""
        self._at: float | None = None
        self._taken = 0

    def rows(self, batch_rows: int, *, taken: int, waiting: int, now: float) -> int:
        """The share for a batch. `taken`: rows that receivers have taken, ever; `waiting`: rows in their queues."""
        self._learn(taken, waiting, now)
        if self._rate is None:
            return min(max(-(-batch_rows // (self._receivers * FIRST_SHARES)), 1), FIRST_MOST, self._most)
        return min(max(int(self._rate * SHARE_S), 1), self._most)

    def _learn(self, taken: int, waiting: int, now: float) -> None:
        if self._at is None:
            self._at, self._taken = now, taken
            return
        span = now - self._at
        if span < _LEAST_SPAN_S or (taken == self._taken and waiting == 0):
            return
        seen = (taken - self._taken) / span / self._receivers
        if taken == self._taken and span < 4 * SHARE_S:
            return  # they are at it; how slow they are will show
        if self._rate is None:
            self._rate = seen
        elif waiting == 0:
            self._rate = max(self._rate, seen)
        else:
            self._rate = (self._rate + seen) / 2
        self._at, self._taken = now, taken
