"""Whether a file is whole: nothing was written to it for a while. Used by `follow` and `follow_discovery`."""

from __future__ import annotations

from collections.abc import Collection

from penstock.clock import Clock
from penstock.connectors.files.identity import Inode

SETTLES_S = 10.0
"""A file to which nothing was written for this long is whole: no copy or packed one that is still being made."""


class Settling:
    """What was last seen of files that may be in the making."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[Inode, tuple[int, int, float]] = {}
        """Size and time stamp when last seen changed, and when that was."""

    def is_settled(self, inode: Inode, size: int, mtime_ns: int) -> bool:
        """True: nothing was written to a file for a while, as seen from here."""
        now = self._clock.monotonic()
        seen_size, seen_mtime_ns, at = self._seen.get(inode, (-1, -1, now))
        if (seen_size, seen_mtime_ns) != (size, mtime_ns):
            self._seen[inode] = size, mtime_ns, now
            return False
        return now >= at + SETTLES_S

    def keep(self, there: Collection[Inode]) -> None:
        """Forget all files but these."""
        self._seen = {inode: what for inode, what in self._seen.items() if inode in there}
