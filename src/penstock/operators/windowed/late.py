"""`.late`: the rows that a window does not count, because what they belong to may have been given already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from penstock.event_time import NO_WATERMARK
from penstock.operators.keyed_operator import KeyedCall
from penstock.operators.keyed_state import StageState
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Becomes
from penstock.operators.windowed.windowed_operator import WindowedOperator, WindowJudge


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
        return LateCall(self.judge())


class LateCall(KeyedCall):
    """The same judgement as that of the window: the window counts the rows."""

    def __init__(self, judge: WindowJudge) -> None:
        self._judge = judge
        self._watermark: int = NO_WATERMARK

    def begin(self, watermark_us: int) -> None:
        self._watermark = watermark_us

    def __call__(self, row: Any) -> bool:
        return self._judge(row, self._watermark)

    def advance(self, watermark_us: int) -> tuple[()]:
        self._watermark = watermark_us
        return ()
