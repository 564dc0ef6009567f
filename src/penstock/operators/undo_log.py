"""What undoes the writes to state of the row in progress, should an operator behind them raise.

Operators with `writes_state` note their writes here. The programs that run rows start the log over with each row, and
roll it back if the row fails: a row gives all that it gives and writes all that it writes, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class UndoLog:
    """The log of one stage in one worker."""

    __slots__ = ("_entries", "add", "begin")

    def __init__(self) -> None:
        self._entries: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.begin: Callable[[], None] = self._entries.clear
        """A row begins (or a batch, where functions take one): what was written before it stays."""
        self.add: Callable[[tuple[Callable[..., object], tuple[Any, ...]]], None] = self._entries.append
        """As `note`, without its call: `add((undo, args))`."""

    def note(self, undo: Callable[..., object], *args: Any) -> None:
        """`undo(*args)` takes back what is written next; it must do no harm if that was not written.

        Note first, write then: a time-out may interrupt between the two.
        """
        self._entries.append((undo, args))

    def roll_back(self) -> None:
        """Take back what was written since `begin`, the last write first."""
        while self._entries:
            undo, args = self._entries.pop()
            undo(*args)
