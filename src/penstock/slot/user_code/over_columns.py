"""A batch of columns in a stage of windows, taken as it is: each window adds all of it, and gives its late rows.

All of the batch is computed before anything is written, so there is nothing to take back. Where an operator cannot take
these columns, none of them has taken anything, and the rows are run one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock import columns
from penstock.channel.column_batch import ColumnBatch
from penstock.event_time import moments
from penstock.operators.event_time import EventTime
from penstock.operators.keyed_operator import KeyedCall
from penstock.operators.windowed.column_calls import SlicedColumns
from penstock.operators.windowed.late import LateCall
from penstock.operators.windowed.sliced_calls import SlicedCall
from penstock.plan.plan import Node
from penstock.plan.windows_in_columns import over_input, why_rows
from penstock.slot.input.batches import Out
from penstock.windows.columnar.readable import NotInColumns


class OverColumns:
    """The windows of a stage, and what is before them."""

    def __init__(self, windows: Sequence[SlicedColumns], late: Sequence[tuple[int, LateCall]], times: EventTime | None):
        """`late`: (out, call). `times`: gives rows their times here."""
        self._windows = windows
        self._late = late
        self._times = times

    def run(self, batch: ColumnBatch, outs: Sequence[Out]) -> bool:
        """False: the rows are to be run; nothing has happened."""
        table = batch.table()
        noted = self._moments(table)
        if noted is None:
            return False
        found = [window.take(table, batch.row_type) for window in self._windows]
        if any(taken is None for taken in found):
            return False
        try:
            late = [(out, call.late_rows(table)) for out, call in self._late]
        except NotInColumns:
            return False
        for window, taken in zip(self._windows, found, strict=True):
            if taken is not None:
                window.add(taken)
        for out, rows in late:
            if rows.num_rows:
                outs[out].add(ColumnBatch(rows, batch.row_type))
        if self._times is not None:
            outs[-1].add(noted)
        return True

    def _moments(self, table: Any) -> list[int] | None:
        """The latest of the rows' times at least; None: they must be looked at row by row."""
        if self._times is None:
            return []
        try:
            return list(map(moments(self._times.unit), columns.ends_of(table, str(self._times.field)))) or None
        except (TypeError, ValueError):  # of a row that has no time
            return None


def over_columns(
    nodes: Sequence[Node], leaves: Sequence[int], calls: Mapping[int, KeyedCall]
) -> OverColumns | None:
    """What takes columns; None: something in the stage needs rows. `calls`: by their nodes."""
    if why_rows(nodes, leaves):
        return None
    windows, late = list[SlicedColumns](), list[tuple[int, LateCall]]()
    times: EventTime | None = None
    for number in over_input(nodes):
        operator, call = nodes[number].operator, calls.get(number)
        if isinstance(operator, EventTime):
            times = operator
        elif isinstance(call, SlicedCall) and call.columns is not None:
            windows.append(call.columns)
        elif isinstance(call, LateCall):
            late += [(out, call) for out, leaf in enumerate(leaves) if leaf == number]
    return OverColumns(windows, late, times)
