"""Tumbling and sliding windows over batches of columns: what a batch gives is appended to the state as one table.

Stands beside the call that takes rows, for the same windows: a batch that columns cannot do, and rows that come one by
one, go there. What both have of a window is put together as rows have it, before it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from penstock.columns import arrow, compute
from penstock.event_time import NO_WATERMARK
from penstock.operators.windowed.column_shelf import ColumnShelf
from penstock.operators.windowed.column_times import RowsInTime, timed
from penstock.operators.windowed.columns_to_rows import become_rows
from penstock.operators.windowed.given_columns import GivenColumns, columns_of_results
from penstock.operators.windowed.slice_shelf import PLACES, Accumulator
from penstock.operators.windowed.sliced_calls import SlicedCall, result_failed
from penstock.operators.windowed.spec import CallSpec
from penstock.windows.columnar import partials as names
from penstock.windows.columnar.partials import Partials
from penstock.windows.columnar.readable import NotInColumns, key_column, makes_rows
from penstock.windows.slices import Slices

_FEW_ROWS: Final = 256
"""So many results are given as rows: columns are more work."""
_MOST_ROWS: Final = 16_384
"""So many results are given at once: a commit may fall between any two pieces."""


class Taken(msgspec.Struct, frozen=True):
    """What a batch comes to."""

    partial: Any
    """None: all rows were late."""
    least_end: int
    late: int


class SlicedColumns:
    """Of one call."""

    def __init__(self, call: SlicedCall, spec: CallSpec, slices: Slices, shelf: ColumnShelf) -> None:
        self.shelf = shelf
        self._call = call
        self._spec = spec
        self._slices = slices
        self._made = Partials(spec.aggregations, spec.row_type)
        self._key = str(spec.key)
        self._time = str(spec.time_field)
        self._unit = spec.result.unit
        shelf.merge = self._made.merged

    # What comes in.

    def take(self, table: Any, row_type: Any) -> Taken | None:
        """What a batch comes to, which changes nothing yet; None: its rows are to be taken one by one."""
        try:
            rows = self._timed(table, row_type)
            if not len(rows.times):
                return Taken(None, 0, rows.late)
            keys = key_column(rows.table.column(self._key))
            return Taken(self._made.of_rows(rows.table, keys, rows.times, rows.ends), rows.least_end, rows.late)
        except (NotInColumns, arrow().ArrowNotImplementedError):
            return None

    def _timed(self, table: Any, row_type: Any) -> RowsInTime:
        if self._key not in table.column_names or not makes_rows(row_type, table.column_names):
            raise NotInColumns
        return timed(table, self._time, self._unit, self._slices, self._call.closed)

    def add(self, taken: Taken) -> None:
        """Put it in the state: nothing of the batch can fail any more."""
        self._call.late += taken.late
        if taken.partial is not None:
            self.shelf.append(taken.partial, taken.least_end)

    # What is given.

    def advance(self, closed: int) -> Iterable[Any] | None:
        """What is complete at `closed`. None: that is the business of the call over rows, which has all of it now."""
        call, least = self._call, self.shelf.least_end()
        if self.shelf.done > call.closed:
            call.close_until(self.shelf.done)  # what an earlier life has given before it was killed
        if least is None or self._slices.first_window_of(least) > closed:
            return None
        call.shelf.load_all()
        partials = self.shelf.partials()
        if any(call.shelf.slices.values()) or len(partials) != 1:  # of several schemas, or too large for columns
            become_rows(call, self.shelf, self._made, self._spec.accumulators(PLACES).merge)
            return None
        return self._complete(partials[0], closed)

    def _complete(self, partial: Any, closed: int) -> Iterator[Any]:
        slices, ends = self._slices, compute().unique(partial[names.END]).to_pylist()
        for window in list(slices.completed(ends, self._call.closed, closed)):
            yield from self._give(window, partial)
            self.shelf.note_done(window, self._floor(window, ends))
        self._call.close_until(closed)

    def _floor(self, window: int, ends: list[int]) -> int:
        """The last slice that no window after this one needs."""
        return max((end for end in ends if self._slices.last_window_of(end) <= window), default=NO_WATERMARK)

    def _give(self, window: int, partial: Any) -> Iterator[Any]:
        """The results of a window, some at once, each noted as given before it is."""
        found = self._left_of(window, partial)
        start, keys = window - self._slices.size, found[names.KEY]
        for at in range(0, found.num_rows, _MOST_ROWS):
            given = self._results(found.slice(at, _MOST_ROWS), start, window)
            if isinstance(given, GivenColumns):
                self.shelf.note_given(window, keys, at, at + given.count)
                yield given
                continue
            for index, row in enumerate(given, at):
                self.shelf.note_given(window, keys, index, index + 1)
                yield row

    def _left_of(self, window: int, partial: Any) -> Any:
        """What the window has, a row for each key, without those that were given in an earlier life."""
        pc, slices = compute(), self._slices
        in_window = pc.equal(partial[names.END], window)
        if slices.shared:
            ends = partial[names.END]
            in_window = pc.and_(pc.greater(ends, window - slices.size), pc.less_equal(ends, window))
        found = partial.filter(in_window)
        if slices.shared:
            found = self._made.merged([found.take(pc.sort_indices(found[names.END]))], window)
        return self.shelf.not_given(window, found)

    def _results(self, piece: Any, start: int, end: int) -> Any:
        if piece.num_rows >= _FEW_ROWS:
            try:
                return columns_of_results(self._spec.result, self._made, piece, start, end)
            except NotInColumns:
                pass
        row_of = self._call.rows_of_window(end)
        return [_row(row_of, [0, 0, *values], end) for values in self._made.accumulators(piece)]


def _row(row_of: Callable[[Accumulator], Any], accumulator: Accumulator, end: int) -> Any:
    try:
        return row_of(accumulator)
    except BaseException as exc:  # the class of the row
        return result_failed(accumulator, end, exc)
