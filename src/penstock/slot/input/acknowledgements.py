"""What a reader is still to be told: the positions that were committed and are not durable yet. Pure.

They are few where checkpoints are taken, one for each commit between two of them. Where a store fails for hours they
are thinned out: any of them may be acknowledged once its commit is durable, so fewer of them tell less exactly, and
never too much.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

MOST: Final = 1024


class Committed(msgspec.Struct, frozen=True):
    """A position, and the commit that it went into first."""

    number: int
    position: Any


class Acknowledgements:
    """Of one split, in the order of the commits."""

    def __init__(self) -> None:
        self._waiting: list[Committed] = []

    @property
    def newest(self) -> int:
        """The commit that has to be durable before all is acknowledged; 0: all is."""
        return self._waiting[-1].number if self._waiting else 0

    def add(self, number: int, position: Any) -> None:
        """A position was committed."""
        if len(self._waiting) >= MOST:
            del self._waiting[1::2]
        self._waiting.append(Committed(number, position))

    def covered(self, number: int) -> Committed | None:
        """The furthest position that is durable now that this commit is, and was not given before."""
        found = None
        for place, committed in enumerate(self._waiting):
            if committed.number > number:
                del self._waiting[:place]
                return found
            found = committed
        self._waiting.clear()
        return found
