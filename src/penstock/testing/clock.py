"""A clock that stands still until a test advances it; replaces `penstock.clock.SystemClock`."""

from __future__ import annotations

from penstock.options import Duration, parse_duration

_START_WALL_S = 1_700_000_000.0


class ManualClock:
    """A clock that a test controls. Sleeping by it advances it at once."""

    def __init__(self) -> None:
        self._passed_s = 0.0

    def advance(self, duration: Duration) -> None:
        """Let this much time pass."""
        self._passed_s += parse_duration(duration)

    def monotonic(self) -> float:
        return self._passed_s

    def wall(self) -> float:
        return _START_WALL_S + self._passed_s

    def sleep(self, seconds: float) -> None:
        """Advance the clock instead of waiting."""
        self._passed_s += max(seconds, 0.0)
