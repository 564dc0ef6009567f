"""Whether a worker that was killed had run out of memory: what tells such a death from anybody's SIGKILL.

Two witnesses must agree. The kernel counts its kills for want of memory in the cgroup that this process and its
workers live in; but the one it killed may be another process there, and it chooses the largest, which need not be the
one that grew. So the worker's own peak must have grown while the row was in progress, too. The machine's counter in
`/proc/vmstat` is no witness: it counts everybody's.
"""

from __future__ import annotations

import time
from pathlib import Path

from penstock.slot.records.work_page import WorkState

_RECENT_S = 10.0
"""A kill that was counted longer ago is not this death's."""
_LEAST_GROWTH_KIB = 64 * 1024
_LEAST_SHARE = 0.25
"""Of its peak, what the row must have brought."""


class MemoryKills:
    """The count of the cgroup that this process lives in."""

    def __init__(self) -> None:
        self._path = _cgroup_events()
        self._last = self._count()
        self._grown_at = -_RECENT_S

    def look(self) -> None:
        """Note whether there were any; called often, so that it is known when."""
        now = self._count()
        if now > self._last:
            self._grown_at = time.monotonic()
        self._last = now

    def happened(self) -> bool:
        """True when there was one a moment ago."""
        self.look()
        return time.monotonic() < self._grown_at + _RECENT_S

    def _count(self) -> int:
        if self._path is None:
            return 0
        try:
            lines = self._path.read_text().splitlines()
        except OSError:
            return 0  # not every kernel and container shows it; then SIGKILL stays anybody's
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def row_ate_the_memory(seen: WorkState, peak_kib: int) -> bool:
    """True when the rows in progress may be blamed. `peak_kib`: of the dead worker, as the kernel says; 0: unknown.

    Several rows are only worked in smaller pieces for it, so of them no growth is asked.
    """
    if seen.mark is None:
        return False
    if seen.mark.count > 1:
        return True
    return seen.peak_kib > 0 and peak_kib - seen.peak_kib >= max(_LEAST_GROWTH_KIB, _LEAST_SHARE * peak_kib)


def _cgroup_events() -> Path | None:
    try:
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2]
    except OSError:
        return None
    return Path("/sys/fs/cgroup" + own) / "memory.events"
