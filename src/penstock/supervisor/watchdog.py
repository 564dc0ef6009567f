"""How long the row in progress has really had: time in which its worker could not run is not the row's.

A worker that is stopped (`SIGSTOP`, a debugger), or that prints faster than somebody reads, stands still by no fault
of its row; so does everything while the whole group of processes is stopped, the supervisor with it. Pure.
"""

from __future__ import annotations

_LONG_LOOK_NS = 1_000_000_000
"""The supervisor looks several times a second. Where it did not, it was stopped itself, and so may the worker."""


class Watchdog:
    """Looks at one worker from time to time."""

    def __init__(self) -> None:
        self._looked_ns: int | None = None
        self._since_ns = -1
        self._excused_ns = 0

    def overdue(self, since_ns: int | None, limit_ns: float, now_ns: int, *, held_up: bool) -> bool:
        """True: the row in progress since then (None: no row is) has had its time. `held_up`: it cannot run now."""
        gap_ns = 0 if self._looked_ns is None else now_ns - self._looked_ns
        self._looked_ns = now_ns
        if since_ns is None:
            return False
        if since_ns != self._since_ns:
            self._since_ns, self._excused_ns = since_ns, 0
            gap_ns = max(gap_ns, now_ns - since_ns) if held_up else gap_ns
        if held_up or gap_ns > _LONG_LOOK_NS:
            self._excused_ns += min(gap_ns, now_ns - since_ns)
        return now_ns - since_ns - self._excused_ns > limit_ns
