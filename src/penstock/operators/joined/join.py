"""`join`: pairs of rows with one key, from two streams, whose times belong together."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from penstock.operators.joined.join_call import JoinCall, JoinSide
from penstock.operators.joined.two_streams import TwoStreams
from penstock.operators.keyed_operator import KeyedCall
from penstock.operators.keyed_state import StageState
from penstock.operators.undo_log import UndoLog
from penstock.options import Duration
from penstock.windows.intervals import HOWS, LEFT, RIGHT, How, Interval, Match, SameWindow, gives_unmatched
from penstock.windows.row_reading import shown_value
from penstock.windows.slices import Slices
from penstock.windows.window import SlicedWindow, Window, microseconds


class Join(TwoStreams, frozen=True):
    """A row gives its pairs with rows that came before it; as time passes, rows without a match follow."""

    verb: ClassVar[str] = "join"

    within: Duration | tuple[Duration, Duration] | None = None
    """How much earlier or later than the left row the right one may be; None: both are in one window."""
    window: Window | None = None
    how: How = "inner"
    lateness: Duration = 0

    @property
    def name(self) -> str:
        where = f"within={self.within!r}" if self.window is None else self.window.name
        return f"join(on={shown_value(self.right_key)}, {where}, how={self.how!r})"

    def row_given(self, before: Any) -> Any:
        left, right = self.left_type, self.right_type
        if gives_unmatched(self.how, RIGHT):
            left = left if left is Any else left | None
        if gives_unmatched(self.how, LEFT):
            right = right if right is Any else right | None
        return types.GenericAlias(tuple, (left, right))

    @property
    def match(self) -> Match:
        if isinstance(self.window, SlicedWindow):
            return SameWindow(Slices.of(self.window))
        assert self.within is not None
        before, after = self.within if isinstance(self.within, tuple) else (self.within, self.within)
        return Interval(microseconds(before), microseconds(after))

    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> KeyedCall:
        left = JoinSide(self.key_of(), self.left_moment(), state.buffers("left"))
        right = JoinSide(self.right_key_of(), self.right_moment(), state.buffers("right"))
        return JoinCall(self.match, self.how, (left, right), microseconds(self.lateness), undo)

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        if self.how not in HOWS:
            yield f"{name}: how={self.how!r} is none of {', '.join(map(repr, HOWS))}", "write one of them"
        if self.window is not None:
            for what, remedy in self.window.mistakes():
                yield f"{name}: {what}", remedy
            if not isinstance(self.window, SlicedWindow) or self.window.every != self.window.size:
                remedy = "join in tumbling windows, or with within="
                yield f"{name}: rows of {self.window.name} may be in several windows, or in none that is known", remedy
        parts = self.within if isinstance(self.within, tuple) else (self.within,)
        named = [("within", part) for part in parts if self.window is None] + [("lateness", self.lateness)]
        for option, value in named:
            try:
                microseconds(value)  # type: ignore[arg-type]
            except ValueError as error:
                what, _, remedy = str(error).partition("; ")
                yield f"{name}: {option}: {what}", remedy
