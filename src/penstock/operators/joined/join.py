"""`join`: pairs of rows with one key, from two streams, whose times belong together."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

from msgspec.structs import replace

from penstock.operators.field_key import field_getter
from penstock.operators.joined.join_call import JoinCall, JoinSide
from penstock.operators.keyed_operator import KeyedCall, KeyedOperator
from penstock.operators.keyed_state import StageState
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Becomes
from penstock.options import Duration
from penstock.windows.intervals import HOWS, LEFT, RIGHT, How, Interval, Match, SameWindow, gives_unmatched
from penstock.windows.row_reading import Value, shown_value
from penstock.windows.slices import Slices
from penstock.windows.window import SlicedWindow, Window, microseconds


class Join(KeyedOperator, frozen=True):
    """A row gives the pairs that it makes with rows that came before it; as time passes, rows without a match follow.

    `key` is that of the left rows. What a join is given are left rows, and right ones in a `RightRow`.
    """

    verb: ClassVar[str] = "join"
    becomes: ClassVar[Becomes] = Becomes.ROWS
    has_function: ClassVar[bool] = False

    right_key: Value = None
    within: Duration | tuple[Duration, Duration] | None = None
    """How much earlier or later than the left row the right one may be; None: both are in one window."""
    window: Window | None = None
    how: How = "inner"
    lateness: Duration = 0
    left_type: Any = Any
    """This and what follows are what the planner says."""
    right_type: Any = Any
    left_time: Any = None
    right_time: Any = None

    @property
    def name(self) -> str:
        where = f"within={self.within!r}" if self.window is None else self.window.name
        return f"join(on={shown_value(self.right_key)}, {where}, how={self.how!r})"

    def between(self, left: Any, right: Any, left_time: Any = None, right_time: Any = None) -> Self:
        """As it stands in a plan."""
        return replace(self, left_type=left, right_type=right, left_time=left_time, right_time=right_time)

    @property
    def row_taken(self) -> Any:
        return Any

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
        left = JoinSide(self.key_of(), self.left_time.moment_of(self.left_time.function()), state.buffers("left"))
        on = self.right_key
        right_key = field_getter(on) if isinstance(on, str) else on
        assert right_key is not None
        right_moment = self.right_time.moment_of(self.right_time.function())
        right = JoinSide(right_key, right_moment, state.buffers("right"))
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
