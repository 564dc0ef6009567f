"""Windows by the clock on the wall, in a worker: a row counts when it comes, and a window is given once it is over.

The clock may be set back. What was given up to is in the state, so no window is given twice: rows that come in such a
time count in the earliest window that is not given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from penstock.event_time import END_OF_TIME
from penstock.operators.keyed_operator import KeyedCall
from penstock.operators.keyed_state import StageState
from penstock.operators.windowed.sliced_calls import SlicedCall


class ClockCall(KeyedCall):
    """Drives a call over slices by the clock. Its watermark is how far windows were given."""

    def __init__(self, state: StageState, made: Callable[[Callable[[Any], int]], SlicedCall]) -> None:
        """`made`: makes the call, of what gives the time of a row."""
        self._now_us = state.now_us
        self._given = state.values("given until", int)
        self.windows = made(self._moment)
        self.step, self.loop = self.windows.step, self.windows.loop

    def begin(self, watermark_us: int) -> None:
        entry = self._given.find(None)
        if entry is not None:
            self.windows.begin(entry.value)

    def _moment(self, row: Any) -> int:
        return max(self._now_us(), self.windows.closed)

    def __call__(self, row: Any) -> None:
        self.windows(row)

    @property
    def next_tick_us(self) -> int | None:  # type: ignore[override]
        windows = self.windows
        if windows.shelf.cold:
            return 0  # not known: `tick` reads them
        return min(windows.slices.open_windows(windows.shelf.slices, windows.closed), default=None)

    def tick(self, now_us: int) -> Iterator[Any]:
        windows = self.windows
        windows.shelf.load_all()
        yield from windows.advance(now_us)
        entry = self._given.find(None)
        if entry is None:
            self._given.add(None, windows.closed)
        elif entry.value != windows.closed:
            self._given.replace(entry, windows.closed)

    def end(self) -> Iterator[Any]:
        """Nothing comes any more: windows that are not over are given, too."""
        yield from self.windows.advance(END_OF_TIME)
        yield from self.windows.end()
