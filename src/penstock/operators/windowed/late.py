"""`.late`: the rows that a window does not count, because what they belong to may have been given already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from penstock.columns import compute
from penstock.event_time import NO_WATERMARK
from penstock.operators.keyed_operator import KeyedCall
from penstock.operators.keyed_state import StageState
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Becomes
from penstock.operators.windowed.windowed_operator import WindowedOperator, WindowJudge
from penstock.windows.columnar.readable import NotInColumns
from penstock.windows.slices import Slices
from penstock.windows.window import SlicedWindow


class Late(WindowedOperator, frozen=True):
    """Keeps the rows that the aggregations of the same window leave out."""

    verb: ClassVar[str] = "late"
    becomes: ClassVar[Becomes] = Becomes.KEPT

    def row_given(self, before: Any) -> Any:
        return before

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        yield from super().mistakes(name)
        if self.options.by_clock:
            yield f"{name}: no row is late by processing time", "leave .late out"

    def with_state(self, fn: Callable[..., Any], undo: UndoLog | None, state: StageState) -> KeyedCall:
        field, unit = (None, "s") if self.event_time is None else (self.event_time.field, self.event_time.unit)
        slices = Slices.of(self.window) if isinstance(self.window, SlicedWindow) else None
        return LateCall(self.judge(), field, unit, slices, self.lateness_us)


class LateCall(KeyedCall):
    """The same judgement as that of the window: the window counts the rows."""

    def __init__(
        self, judge: WindowJudge, field: str | None, unit: str, slices: Slices | None, lateness_us: int
    ) -> None:
        """`field`: has the time of rows, in `unit`s; None: a function has it. `slices`: None for other windows."""
        self._judge = judge
        self._field = field
        self._unit = unit
        self._slices = slices
        self._lateness = lateness_us
        self._watermark: int = NO_WATERMARK

    def begin(self, watermark_us: int) -> None:
        self._watermark = watermark_us

    def late_rows(self, table: Any) -> Any:
        """Those of a batch of columns. Raises `NotInColumns`."""
        from penstock.operators.windowed.column_times import timed  # most windows are over rows

        if self._field is None or self._slices is None:
            raise NotInColumns
        rows = timed(table, self._field, self._unit, self._slices, self._watermark - self._lateness)
        return table.slice(0, 0) if rows.in_time is None else table.filter(compute().invert(rows.in_time))

    def __call__(self, row: Any) -> bool:
        return self._judge(row, self._watermark)

    def advance(self, watermark_us: int) -> tuple[()]:
        self._watermark = watermark_us
        return ()
