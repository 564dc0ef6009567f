"""What undoes the writes to state of the row in progress, should an operator behind them raise.

Operators with `writes_state` note their writes here. The programs that run rows start the log over with each row, and
roll it back if the row fails: a row gives all that it gives and writes all that it writes, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class TakesBack(Protocol):
    """An operator that knows by itself what its last row has written."""

    def take_back(self) -> None:
        """Take it back; nothing where the row did not come so far."""
        ...

    def keep(self) -> None:
        """It stays."""
        ...


class UndoLog:
    """The log of one stage in one worker."""

    __slots__ = ("_entries", "add", "alone", "begin", "single")

    def __init__(self) -> None:
        self._entries: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.begin: Callable[[], None] = self._entries.clear
        """A row begins (or a batch, where functions take one): what was written before it stays."""
        self.add: Callable[[tuple[Callable[..., object], tuple[Any, ...]]], None] = self._entries.append
        """As `note`, without its call: `add((undo, args))`."""
        self.alone = False
        """True: one operator of the stage writes, and is called once for each row. It may make itself `single`."""
        self.single: TakesBack | None = None
        """What is asked in the place of the log; rows need not `begin` then."""

    def note(self, undo: Callable[..., object], *args: Any) -> None:
        """`undo(*args)` takes back what is written next; it must do no harm if that was not written.

        Note first, write then: a time-out may interrupt between the two.
        """
        self._entries.append((undo, args))

    def roll_back(self) -> None:
        """Take back what was written since `begin`, the last write first."""
        if self.single is not None:
            self.single.take_back()
        else:
            self.undo_all()

    def keep_all(self) -> None:
        """What was written so far stays."""
        self.begin()
        if self.single is not None:
            self.single.keep()

    def undo_all(self) -> None:
        """Undo what was noted since `begin`."""
        while self._entries:
            undo, args = self._entries.pop()
            undo(*args)
