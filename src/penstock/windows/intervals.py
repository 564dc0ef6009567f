"""Which rows of two streams belong together by their times, and how long a row must be kept. Pure.

An interval join pairs rows of one key when the right one's time lies between `before` ahead of the left one's and
`after` behind it. A window join pairs those in the same window. Both say the same three things: which times can match,
when nothing can match any more, and when a row is not needed any more.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import msgspec

from penstock.windows.slices import Slices

Side: TypeAlias = Literal[0, 1]
LEFT: Side = 0
RIGHT: Side = 1

How: TypeAlias = Literal["inner", "left", "right", "outer"]
HOWS: tuple[How, ...] = ("inner", "left", "right", "outer")


def gives_unmatched(how: How, side: Side) -> bool:
    """True: rows of this side are given although nothing matches them."""
    return how == "outer" or how == ("left" if side == LEFT else "right")


class Match(Protocol):
    """`closed` is the watermark less the lateness."""

    def is_late(self, time: int, closed: int) -> bool:
        """True: what the row would have matched may be gone, or given as without a match."""
        ...

    def matching(self, side: Side, time: int) -> tuple[int, int]:
        """From and up to (not including) which times rows of the other side match a row of this side."""
        ...

    def decided_at(self, side: Side, time: int) -> int:
        """Once `closed` is this, no row can come that matches."""
        ...

    def needed_until(self, side: Side, time: int, how: How) -> int:
        """Once `closed` is this, the row is not needed any more, be it to see that others have a match."""
        ...

    def oldest_undecided(self, closed: int) -> int:
        """No row that is not decided at `closed` has an earlier time."""
        ...


class Interval(msgspec.Struct, frozen=True):
    """The right row's time - the left one's is from -`before` to `after`, both included."""

    before: int
    after: int

    def is_late(self, time: int, closed: int) -> bool:
        return time < closed

    def matching(self, side: Side, time: int) -> tuple[int, int]:
        if side == LEFT:
            return time - self.before, time + self.after + 1
        return time - self.after, time + self.before + 1

    def decided_at(self, side: Side, time: int) -> int:
        return time + 1 + (self.after if side == LEFT else self.before)

    def needed_until(self, side: Side, time: int, how: How) -> int:
        own = self.decided_at(side, time)
        other: Side = RIGHT if side == LEFT else LEFT
        if not gives_unmatched(how, other):
            return own
        # The last row of the other side that it matches is decided then.
        return self.decided_at(other, self.matching(side, time)[1] - 1)

    def oldest_undecided(self, closed: int) -> int:
        return closed - max(self.before, self.after)


class SameWindow(msgspec.Struct, frozen=True):
    """Both rows are in the same window. Windows do not overlap: a pair would be given once for each of them."""

    slices: Slices

    def is_late(self, time: int, closed: int) -> bool:
        return self.slices.end_of(time) <= closed

    def matching(self, side: Side, time: int) -> tuple[int, int]:
        end = self.slices.end_of(time)
        return end - self.slices.slice, end

    def decided_at(self, side: Side, time: int) -> int:
        return self.slices.end_of(time)

    def needed_until(self, side: Side, time: int, how: How) -> int:
        return self.slices.end_of(time)

    def oldest_undecided(self, closed: int) -> int:
        return self.slices.end_of(closed) - self.slices.slice
