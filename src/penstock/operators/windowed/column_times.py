"""Which slices the rows of a batch of columns are in, and which of them are late."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.columns import arrow, compute
from penstock.windows.columnar.readable import NotInColumns, moments_of
from penstock.windows.slices import Slices


class RowsInTime(msgspec.Struct, frozen=True):
    """The rows of a batch that count, and which those are."""

    table: Any
    times: Any
    ends: Any
    """Of their slices; a number where it is one, for all of them."""
    least_end: int
    in_time: Any
    """True for each row of the batch that counts; None: all do."""
    late: int


def timed(table: Any, field: str, unit: str, slices: Slices, closed: int) -> RowsInTime:
    """`closed`: the watermark less the lateness. Raises `NotInColumns`."""
    if field not in table.column_names:
        raise NotInColumns
    pc = compute()
    times = moments_of(table.column(field), unit)
    ends, least, most = _ends(times, slices)
    floor = latest_complete(slices, least, most, closed)
    if floor is None:
        return RowsInTime(table, times, ends, least, None, 0)
    if floor >= most:
        none = arrow().repeat(arrow().scalar(False), len(times))
        return RowsInTime(table.slice(0, 0), times.slice(0, 0), ends, most, none, len(times))
    in_time = pc.greater(ends, floor)
    table, times, ends = table.filter(in_time), times.filter(in_time), ends.filter(in_time)
    return RowsInTime(table, times, ends, pc.min(ends).as_py(), in_time, len(in_time) - len(times))


def _ends(times: Any, slices: Slices) -> tuple[Any, int, int]:
    """The ends of the slices, the least and the greatest of them."""
    pc = compute()
    found = pc.min_max(times)
    least, most = slices.end_of(found["min"].as_py()), slices.end_of(found["max"].as_py())
    if least == most:
        return least, least, most
    # Division rounds towards zero, so it is done from the first slice on.
    passed = pc.divide(pc.subtract(times, least - slices.slice), slices.slice)
    return pc.add(pc.multiply(passed, slices.slice), least), least, most


def latest_complete(slices: Slices, least: int, most: int, closed: int) -> int | None:
    """The latest slice from `least` to `most` of which all windows are complete; None: there is none."""
    if not slices.is_late(least, closed):
        return None
    if slices.is_late(most, closed):
        return most
    # Between the two, later slices have later windows: the border is where slices ends are, a window's size below.
    end = min(slices.end_of(closed), most)
    while not slices.is_late(end, closed):
        end -= slices.slice
    return end
