"""When the log is rewritten, and how far that is: group by group, a little with each commit. Pure.

While it lasts, the state is logged a second time, so it begins only when reading what was logged since the last time
would take longer than it may, or than writing the whole state.
"""

from __future__ import annotations

from typing import Final

from penstock.plan.membership import KEY_GROUPS
from penstock.slot.state.bands import COLUMNS_BAND

TAIL_S: Final = 0.3
"""A successor shall not need longer for what was logged since the last rotation."""
BUDGET_S: Final = 0.005
"""A commit spends about so long on it."""
_WHILE_READING: Final = 8
"""So many times as long the tail may be where lives are too short for reading everything."""
_FRAME_S: Final = 3e-6
_BYTE_S: Final = 25e-9
"""What reading takes, for a life that has read too little to know."""
_ENOUGH_BYTES: Final = 1 << 20


_COLUMN_BYTES: Final = 8
"""So many bytes of columns are read in the time of one of rows: they are taken in as they are."""


def counted_bytes(band: int, length: int) -> int:
    """The bytes of a frame of this band, as bytes of rows."""
    return length // _COLUMN_BYTES if band == COLUMNS_BAND else length


class Rotation:
    """Of one changelog."""

    def __init__(self) -> None:
        self._byte_s = _BYTE_S
        self._tail_s = 0.0
        self._written_s = 0.0
        """What writing the whole state took last time."""
        self._spent_s = 0.0
        self.group = KEY_GROUPS
        """The one that is due; `KEY_GROUPS`: no rotation is in progress."""
        self.segment = 0
        """The one in which it began."""

    def measured(self, length: int, seconds: float) -> None:
        """So long it took to read this many bytes."""
        if length >= _ENOUGH_BYTES:
            self._byte_s = seconds / length

    def logged(self, frames: int, length: int) -> None:
        """Changes were logged."""
        self._tail_s += frames * _FRAME_S + length * self._byte_s

    def is_due(self, *, reads: bool) -> bool:
        """True: another one should begin. `reads`: the log is still being read, which comes first, but not for ever."""
        most_s = max(TAIL_S, self._written_s)
        return self.group == KEY_GROUPS and self._tail_s > (_WHILE_READING * most_s if reads else most_s)

    @property
    def goes_on(self) -> bool:
        return self.group < KEY_GROUPS

    def begin(self, segment: int) -> None:
        """What is logged from now on stands in this segment."""
        self.group, self.segment = 0, segment
        self._tail_s = self._spent_s = 0.0

    def written(self, seconds: float) -> bool:
        """A group was written, which took so long. True: it was the last one."""
        self.group += 1
        self._spent_s += seconds
        if self.group < KEY_GROUPS:
            return False
        self._written_s = self._spent_s
        return True
