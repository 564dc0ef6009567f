"""Watches a new worker until it has got something done: one that waits without using its processor is reported.

A lock that was lost in a fork, a server that does not answer: nothing else says why no row comes. Loading a large
model takes long, too, but uses the processor, the disk or the network in between. Pure, but for `wanted_s`.
"""

from __future__ import annotations

import os
from pathlib import Path

AFTER_S = 5.0
_IDLE_S = 0.25
"""Who uses less than this in `AFTER_S` does nothing but wait."""


class FirstRow:
    """One life, from its birth."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._used_s = 0.0

    def due(self) -> float:
        """When to look next."""
        return self._since + AFTER_S

    def hangs(self, now: float, used_s: float) -> bool:
        """True when it has done nothing but wait for this long. `used_s`: of its life so far, from `wanted_s`."""
        if now < self.due():
            return False
        waited = used_s - self._used_s < _IDLE_S
        self._since, self._used_s = now, used_s
        return waited


def wanted_s(pid: int) -> float:
    """Processor time that a process has used, and that its main thread has waited for; 0 where it has gone.

    On a busy machine a process may get next to nothing of what it asks for; it does not wait for anything else.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0
    try:
        queued_ns = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    except (OSError, IndexError):  # not every kernel counts it
        queued_ns = 0
    return used_s + queued_ns / 1e9
