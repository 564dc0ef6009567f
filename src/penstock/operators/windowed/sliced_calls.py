"""Tumbling and sliding windows in a worker: one generated function adds a row, and a watermark gives rows of results.

A row goes to the accumulator of its slice and key. `advance` gives a row for each key of each window that is complete;
before it gives a row, it has noted in the state that it has: what is left is given again by the next life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from penstock.ctrl_c import is_ctrl_c
from penstock.event_time import NO_WATERMARK
from penstock.operators.keyed_operator import KeyedCall, KeyFailed
from penstock.operators.undo_log import UndoLog
from penstock.operators.windowed.slice_shelf import GROUP, KEY, PLACES, Accumulator, SliceShelf
from penstock.operators.windowed.spec import CallSpec, put_late
from penstock.windows.accumulators import AccumulatorCode, function
from penstock.windows.slices import Slices


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
        code = spec.code(PLACES)
        self._row_of = spec.row_of(code, f"a[{KEY}]")
        self._call = _adder(self, spec, code, undo)

    def begin(self, watermark_us: int) -> None:
        self.closed = watermark_us - self.lateness

    def __call__(self, row: Any) -> None:
        self._call(row)

    @property
    def adds(self) -> Callable[[Any], None]:
        """What adds a row: as `__call__`, without a call more."""
        return self._call

    def advance(self, watermark_us: int) -> Iterable[Any]:
        closed = watermark_us - self.lateness
        if closed <= self.closed:
            return ()
        if not self.shelf.cold and all(self.slices.first_window_of(end) > closed for end in self.shelf.slices):
            self.closed = closed
            return ()
        return self._complete(closed)

    def _complete(self, closed: int) -> Iterator[Any]:
        self.shelf.load_all()
        for end in sorted(end for end in self.shelf.slices if end <= closed):
            start = end - self.slices.size
            for accumulator in list(self.shelf.slices[end].values()):
                row = self._result(accumulator, start, end)
                self.shelf.take_out(accumulator)
                yield row
            self.shelf.drop(end)
        self.closed = closed

    def _result(self, accumulator: Accumulator, start: int, end: int) -> Any:
        try:
            return self._row_of(accumulator, start, end)
        except BaseException as exc:  # of a result of the user's own, or of the class of the row
            if is_ctrl_c(exc):
                raise
            return KeyFailed(accumulator[KEY], end, exc)

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
        self.closed = closed

    def _forget(self, closed: int) -> None:
        """What no window needs after this.

        Not before the watermark that completed its windows was committed, as it was before this one came: until then a
        next life gives what is left of them, and must find them as they were.
        """
        for end in self.slices.needless(self.shelf.slices, closed):
            self.shelf.drop(end)
        for end in [end for end in self.marks.slices if end <= closed]:
            self.marks.drop(end)

    def end(self) -> Iterable[Any]:
        self._forget(self.closed)
        return ()

    def _give(self, end: int) -> Iterator[Any]:
        marked = self.marks.open(end)
        start = end - self.slices.size
        for key, accumulator in self.window(end).items():
            if key in marked:
                continue
            row = accumulator if isinstance(accumulator, KeyFailed) else self._result(accumulator, start, end)
            self.mark(end, accumulator_group(accumulator, self.shelf, key), key)
            yield row

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


def _adder(call: SlicedCall, spec: CallSpec, code: AccumulatorCode, undo: UndoLog | None) -> Callable[[Any], None]:
    """The function that adds a row to the accumulator of its key and slice."""
    slices, shelf = call.slices, call.shelf
    key, names = spec.keyed(code)
    late = "end <= c.closed" + (" and is_late(end, c.closed)" if slices.shared else "")
    noted, undone, counted = [], [], []
    if undo is not None:
        noted = ["note(take_back, slices, shelf, a)"]
        undone = code.undo()
        counted = ["note(put_late, c, c.late)"]
    lines = [
        *spec.moment_text[0],
        f"end = {slices.end_text('t')}",
        f"if {late}:", *_indented([*counted, "c.late += 1", "return"]),
        *code.reads(),
        f"key = {key}",
        "d = slices.get(end)",
        "if d is None: d = open_slice(end)",
        "a = d.get(key)",
        "if a is None:",
        "    if cold: a = find(end, key)",
        "    if a is None:",
        "        g = groups.get(key)",
        "        if g is None: g = group_of(key)",
        f"        a = [touched.turn, g, end, key, {code.first()}]",
        *_indented(_indented(noted)),
        "        d[key] = a",
        "        members[g].append(a)",
        "        touch[g](a)",
        "        return",
        *undone,
        "if a[0] != touched.turn:",
        "    touch[a[1]](a)",
        "    a[0] = touched.turn",
        *code.update(),
    ]
    made: Callable[[Any], None] = function("row", lines, {
        **names, "c": call, "slices": shelf.slices, "open_slice": shelf.open, "find": shelf.find, "cold": shelf.cold,
        "group_of": shelf.group_of, "groups": shelf.groups, "touched": shelf.touched, "touch": shelf.touched.add,
        "members": shelf.members,
        "is_late": slices.is_late, "shelf": shelf, "take_back": take_back, "put_late": put_late,
        "note": None if undo is None else undo.note,
    })
    return made


def take_back(slices: Mapping[int, dict[Any, Accumulator]], shelf: SliceShelf, accumulator: Accumulator) -> None:
    """Undo: the accumulator was not there before."""
    of_slice = slices.get(accumulator[2], {})
    if of_slice.get(accumulator[KEY]) is accumulator:
        shelf.take_out(accumulator)
        del of_slice[accumulator[KEY]]


def _indented(lines: Iterable[str]) -> list[str]:
    return ["    " + line for line in lines]
