"""Watches a new worker until it has got something done: one that waits without using its processor is told of.

A lock that was lost in a fork, a server that does not answer: nothing else says why no row comes. Loading a large
model takes long, too, but uses the processor, the disk or the network in between. Pure, but for `cpu_s`.
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
        """True when it has done nothing but wait for so long. `used_s`: processor time of its life so far."""
        if now < self.due():
            return False
        waited = used_s - self._used_s < _IDLE_S
        self._since, self._used_s = now, used_s
        return waited


def cpu_s(pid: int) -> float:
    """Processor time that a process has used; 0 where it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
