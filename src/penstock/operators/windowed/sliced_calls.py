"""Tumbling and sliding windows in a worker: one generated function adds a row, and a watermark gives rows of results.

A row goes to the accumulator of its slice and key. `advance` gives a row for each key of each window that is complete;
before it gives a row, it has noted in the state that it has: what is left is given again by the next life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from penstock.ctrl_c import is_ctrl_c
from penstock.event_time import NO_WATERMARK
from penstock.operators.keyed_operator import KeyedCall, KeyFailed
from penstock.operators.undo_log import UndoLog
from penstock.operators.windowed.slice_adding import Adding
from penstock.operators.windowed.slice_shelf import GROUP, KEY, PLACES, Accumulator, SliceShelf
from penstock.operators.windowed.spec import CallSpec
from penstock.windows.slices import Slices

if TYPE_CHECKING:  # most windows are over rows
    from penstock.operators.windowed.column_calls import SlicedColumns


class SlicedCall(KeyedCall):
    """Windows that are one slice each: what is complete leaves the state key by key."""

    def __init__(
        self, spec: CallSpec, slices: Slices, shelf: SliceShelf, undo: UndoLog | None
    ) -> None:
        """`undo`: None if nothing that comes after this call can fail for the same row."""
        self.late = 0
        self.slices = slices
        self.shelf = shelf
        self.lateness = spec.lateness_us
        self.closed: int = NO_WATERMARK
        """The watermark less the lateness: slices whose windows all end before are complete."""
        self.open_slices: dict[Any, tuple[dict[Any, Accumulator], int]] = {}
        """Slices that are open, with their ends, by the times of rows in units of slices: where rows are added."""
        self.columns: SlicedColumns | None = None
        """What takes batches of columns in the place of their rows."""
        code = spec.code(PLACES)
        self._rows_of_window = spec.rows_of_window(code, f"a[{KEY}]")
        adding = Adding(self, spec, code, undo)
        self.step = adding.function()
        self.loop = adding.loop() if undo is None else None

    def begin(self, watermark_us: int) -> None:
        self.close_until(watermark_us - self.lateness)

    def close_until(self, closed: int) -> None:
        """Rows of slices that are complete by now are late."""
        self.closed = closed
        self.open_slices.clear()

    def __call__(self, row: Any) -> None:
        assert self.step is not None
        self.step(row)

    def advance(self, watermark_us: int) -> Iterable[Any]:
        closed = watermark_us - self.lateness
        if closed <= self.closed:
            return ()
        if self.columns is not None:
            given = self.columns.advance(closed)
            if given is not None:
                return given
        if not self.shelf.cold and all(self.slices.first_window_of(end) > closed for end in self.shelf.slices):
            self.close_until(closed)
            return ()
        return self._complete(closed)

    def _complete(self, closed: int) -> Iterator[Any]:
        self.shelf.load_all()
        for end in sorted(end for end in self.shelf.slices if end <= closed):
            row_of, take_out = self.rows_of_window(end), self.shelf.take_out
            for accumulator in list(self.shelf.slices[end].values()):
                try:
                    row = row_of(accumulator)
                except BaseException as exc:
                    row = result_failed(accumulator, end, exc)
                take_out(accumulator)
                yield row
            self.drop(end)
        self.close_until(closed)

    def rows_of_window(self, end: int) -> Callable[[Accumulator], Any]:
        """What makes the row of an accumulator's results, for the window that ends there."""
        return self._rows_of_window(end - self.slices.size, end)

    def drop(self, end: int) -> None:
        """All of a slice is gone."""
        self.open_slices.clear()
        self.shelf.drop(end)

    def note_given(self, window: int, keys: Iterable[Any]) -> None:
        """These keys of a window were given: they are not on the shelf."""

    def holds_back_us(self) -> int:
        """What is given from now on ends later than this."""
        return self.closed


class SharedSlicesCall(SlicedCall):
    """Windows that overlap: each is put together from the slices that it shares, and marked as given, key by key."""

    def __init__(
        self, spec: CallSpec, slices: Slices, shelf: SliceShelf, undo: UndoLog | None, marks: SliceShelf
    ) -> None:
        """`marks`: the keys of each window that were given."""
        super().__init__(spec, slices, shelf, undo)
        self.marks = marks
        made = spec.accumulators(PLACES)
        self._copy = made.copy
        self._merge = made.merge

    def _complete(self, closed: int) -> Iterator[Any]:
        self.shelf.load_all()
        self.marks.load_all()
        self._forget(self.closed)
        for end in list(self.slices.completed(self.shelf.slices, self.closed, closed)):
            yield from self._give(end)
        self.close_until(closed)

    def _forget(self, closed: int) -> None:
        """What no window needs after this.

        Not before the watermark that completed its windows was committed, as it was before this one came: until then a
        next life gives what is left of them, and must find them as they were.
        """
        for end in self.slices.needless(self.shelf.slices, closed):
            self.drop(end)
        for end in [end for end in self.marks.slices if end <= closed]:
            self.marks.drop(end)

    def end(self) -> Iterable[Any]:
        self._forget(self.closed)
        return ()

    def _give(self, end: int) -> Iterator[Any]:
        marked, row_of = self.marks.open(end), self.rows_of_window(end)
        for key, accumulator in self.window(end).items():
            if key in marked:
                continue
            row: Any = accumulator
            if not isinstance(accumulator, KeyFailed):
                try:
                    row = row_of(accumulator)
                except BaseException as exc:
                    row = result_failed(accumulator, end, exc)
            self.mark(end, accumulator_group(accumulator, self.shelf, key), key)
            yield row

    def note_given(self, window: int, keys: Iterable[Any]) -> None:
        self.marks.load_all()
        for key in keys:
            self.mark(window, self.shelf.group_of(key), key)

    def mark(self, end: int, group: int, key: Any, values: Iterable[Any] = ()) -> None:
        """Note that a window of a key was given, with these results."""
        touched = self.marks.touched
        made = [touched.turn, group, end, key, *values]
        self.marks.open(end)[key] = made
        self.marks.members[group].append(made)
        touched.add[group](made)

    def window(self, end: int) -> Mapping[Any, Accumulator | KeyFailed]:
        """The accumulators of a window; `KeyFailed` where the user's own could not be merged."""
        found: dict[Any, Any] = {}
        copied = set[Any]()
        for slice_end in self.slices.slices_of(end):
            for key, accumulator in self.shelf.slices.get(slice_end, {}).items():
                into = found.get(key)
                if into is None:
                    found[key] = accumulator
                elif not isinstance(into, KeyFailed):
                    found[key] = self._merged(into if key in copied else self._copy(into), accumulator, end)
                    copied.add(key)
        return found

    def _merged(self, into: Accumulator, other: Accumulator, end: int) -> Accumulator | KeyFailed:
        try:
            self._merge(into, other)
        except BaseException as exc:  # the user's own
            if is_ctrl_c(exc):
                raise
            return KeyFailed(into[KEY], end, exc)
        return into


def accumulator_group(accumulator: Accumulator | KeyFailed, shelf: SliceShelf, key: Any) -> int:
    """The group of a key."""
    if isinstance(accumulator, KeyFailed):
        return shelf.group_of(key)
    group: int = accumulator[GROUP]
    return group


def result_failed(accumulator: Accumulator, end: int, error: BaseException) -> KeyFailed:
    """A result of the user's own raised, or the class of the row did; raises a Ctrl-C again."""
    if is_ctrl_c(error):
        raise error
    return KeyFailed(accumulator[KEY], end, error)
