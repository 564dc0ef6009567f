"""Tumbling and sliding windows whose results are given before they are complete, and again when they have changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from penstock.ctrl_c import is_ctrl_c
from penstock.event_time import NO_WATERMARK
from penstock.operators.keyed_operator import KeyFailed
from penstock.operators.undo_log import UndoLog
from penstock.operators.windowed.changes import changes, is_due
from penstock.operators.windowed.slice_shelf import PLACES, SliceShelf
from penstock.operators.windowed.sliced_calls import SharedSlicesCall, accumulator_group
from penstock.operators.windowed.spec import CallSpec
from penstock.windows.slices import Slices


class EarlySlicesCall(SharedSlicesCall):
    """Every `early` of event time, the windows that are open are given; `marks` have the results given last."""

    def __init__(
        self, spec: CallSpec, slices: Slices, shelf: SliceShelf, undo: UndoLog | None, marks: SliceShelf
    ) -> None:
        super().__init__(spec, slices, shelf, undo, marks)
        self._results = spec.accumulators(PLACES).results
        self._row = spec.row_of_values()
        self._retracts = spec.retracts
        assert spec.early_us is not None
        self._early_us = spec.early_us
        self._watermark: int = NO_WATERMARK

    def begin(self, watermark_us: int) -> None:
        super().begin(watermark_us)
        self._watermark = watermark_us

    def advance(self, watermark_us: int) -> Iterable[Any]:
        before, self._watermark = self._watermark, watermark_us
        if not is_due(before, watermark_us, self._early_us):
            return super().advance(watermark_us)
        return self._with_early(watermark_us)

    def _with_early(self, watermark_us: int) -> Iterator[Any]:
        yield from super().advance(watermark_us)
        self.shelf.load_all()
        self.marks.load_all()
        for end in list(self.slices.open_windows(self.shelf.slices, self.closed)):
            yield from self._give(end)

    def _give(self, end: int) -> Iterator[Any]:
        marked, start = self.marks.open(end), end - self.slices.size
        for key, accumulator in self.window(end).items():
            if isinstance(accumulator, KeyFailed):
                if key not in marked:
                    self.mark(end, accumulator_group(accumulator, self.shelf, key), key)
                    yield accumulator
                continue
            try:
                now = self._results(accumulator)
            except BaseException as exc:  # a result of the user's own
                if is_ctrl_c(exc):
                    raise
                self._note(end, accumulator_group(accumulator, self.shelf, key), key, ())
                yield KeyFailed(key, end, exc)
                continue
            mark = marked.get(key)
            given = tuple(mark[PLACES:]) if mark and len(mark) > PLACES else None
            group = accumulator_group(accumulator, self.shelf, key)
            yield from changes(
                given, now, partial(self._safe_row, key, start, end), partial(self._note, end, group, key),
                retracts=self._retracts,
            )

    def _safe_row(self, key: Any, start: int, end: int, values: tuple[Any, ...]) -> Any:
        try:
            return self._row(key, start, end, values)
        except BaseException as exc:  # of the class of the row
            if is_ctrl_c(exc):
                raise
            return KeyFailed(key, end, exc)

    def _note(self, end: int, group: int, key: Any, values: tuple[Any, ...] | None) -> None:
        marked = self.marks.open(end)
        if key in marked:
            self.marks.take_out(marked.pop(key))
        if values is not None:
            self.mark(end, group, key, values)
