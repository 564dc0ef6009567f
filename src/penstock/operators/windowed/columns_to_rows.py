"""What windows have in columns becomes accumulators of rows, where rows of the same windows have come one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.operators.windowed.column_shelf import ColumnShelf
from penstock.operators.windowed.slice_shelf import END, KEY, Accumulator, SliceShelf
from penstock.windows.columnar.partials import Partials

if TYPE_CHECKING:
    from penstock.operators.windowed.sliced_calls import SlicedCall

Merge = Callable[[Accumulator, Accumulator], None]


def become_rows(call: SlicedCall, columns: ColumnShelf, made: Partials, merge: Merge) -> None:
    """All of it: what was given already is not among it, or is marked as given. Both shelves have it in one commit."""
    call.shelf.load_all()
    given = {
        window: {key for keys in columns.given(window) for key in keys.to_pylist()} for window in columns.windows()
    }
    for partial in columns.partials():
        for values in made.accumulators(partial):
            end, key = values[:2]
            if call.slices.shared or key not in given.get(end, ()):
                _put(call.shelf, [0, call.shelf.group_of(key), *values], merge)
    for window, keys in given.items():
        call.note_given(window, keys)
    columns.clear()


def _put(shelf: SliceShelf, accumulator: Accumulator, merge: Merge) -> None:
    of_slice, touched = shelf.open(accumulator[END]), shelf.touched
    found = of_slice.get(accumulator[KEY])
    if found is None:
        accumulator[0] = touched.turn
        of_slice[accumulator[KEY]] = accumulator
        shelf.members[accumulator[1]].append(accumulator)
        touched.add[accumulator[1]](accumulator)
        return
    if found[0] != touched.turn:
        touched.add[found[1]](found)
        found[0] = touched.turn
    merge(found, accumulator)
