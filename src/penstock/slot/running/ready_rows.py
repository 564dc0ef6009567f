"""Rows of an async stage that were taken and are not called for yet. Each is made, or found to be none, at its turn."""

from __future__ import annotations

from collections import deque
from typing import Any

from penstock.channel.column_batch import ColumnBatch
from penstock.slot.input.batches import as_row_list
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.input.unit import Unit
from penstock.slot.process.row_failure import Failure, Unmade
from penstock.slot.records.work_page import Doing, Mark, WorkPage
from penstock.slot.turn.part import Part
from penstock.slot.user_code.row_in_work import RowInWork


class _Taken:
    """A batch of which rows are ready."""

    def __init__(self, unit: Unit, rows: list[Any] | None, unmade: dict[int, tuple[Any, str]]) -> None:
        self.unit = unit
        self.rows = rows
        """None: columns, of which each row is made just before its call."""
        self.unmade = unmade
        self.next = unit.done


class ReadyRows:
    """Of one stage in one slot, in their order."""

    def __init__(self, part: Part, suspicion: Suspicion, work: WorkPage) -> None:
        self._part = part
        self._suspicion = suspicion
        self._work = work
        self._batches: deque[_Taken] = deque()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, unit: Unit) -> None:
        """Rows behind those that are there."""
        if not unit.left:
            return
        if isinstance(unit.batch, ColumnBatch) and not self._suspicion.trusts_all:
            taken = _Taken(unit, None, {})  # making one may be what ends workers
        else:
            taken = _Taken(unit, *self._rows_of(unit))
        self._batches.append(taken)
        self._length += unit.left

    def _rows_of(self, unit: Unit) -> tuple[list[Any], dict[int, tuple[Any, str]]]:
        """All rows, and those of columns that cannot be made. Making them may be the user's code."""
        if not isinstance(unit.batch, ColumnBatch):
            return as_row_list(unit.batch), {}
        first = unit.first_row + unit.done
        self._work.enter(Mark(self._part.number, unit.input, unit.sequence, first, max(unit.left, 1)))
        rows = self._part.chain.rows_of(unit.batch)
        made = unit.batch.rows_or_failures() if rows is None else (rows, {})
        self._work.leave()
        return made

    @property
    def is_careful(self) -> bool:
        """True: there is a next row, and it must not be in flight beside others."""
        if self._suspicion.trusts_all or not self._batches:
            return False
        taken = self._batches[0]
        return self._suspicion.careful(RowInWork(None, taken.next, unit=taken.unit).mark(self._part.number))

    @property
    def unit(self) -> Unit:
        """That of the next row."""
        return self._batches[0].unit

    def take(self) -> RowInWork:
        """The next row; where user code is not to be called for it, it is `done`."""
        taken = self._batches[0]
        unit, index = taken.unit, taken.next
        row = RowInWork(None if taken.rows is None else taken.rows[index], index, unit=unit)
        if unit.failures or not self._suspicion.trusts_all:
            row.done = row.never = self._is_never_called(row)
        if index in taken.unmade:
            _cannot_be_made(row, *taken.unmade[index])
        if taken.rows is None and not row.done:
            self._make(row)
        self._passed(taken, index + 1)
        return row

    def worked_apart(self, unit: Unit) -> None:
        """Rows of the unit were worked elsewhere, up to `unit.done`."""
        if self._batches and self._batches[0].unit is unit:
            self._passed(self._batches[0], unit.done)

    def make_anew(self, row: RowInWork) -> None:
        """As it came: its function may have changed it in place."""
        unit = row.unit
        assert unit is not None
        if isinstance(unit.batch, ColumnBatch):
            self._make(row)
        elif isinstance(unit.batch, list):  # text is never changed
            self._work.enter(row.mark(self._part.number), Doing.DECODING)
            row.row = unit.made_anew()[row.index]
            self._work.leave()

    def _make(self, row: RowInWork) -> None:
        """A row of columns by itself."""
        assert row.unit is not None
        self._work.enter(row.mark(self._part.number))
        made, why = row.unit.batch.row_or_failure(row.index)
        self._work.leave()
        if why:
            _cannot_be_made(row, made, why)
        else:
            row.row = made

    def _passed(self, taken: _Taken, until: int) -> None:
        self._length -= until - taken.next
        taken.next = until
        if until >= taken.unit.length:
            self._batches.popleft()

    def _is_never_called(self, row: RowInWork) -> bool:
        assert row.unit is not None
        blamed = self._suspicion.blamed(row.mark(self._part.number))
        return row.index in row.unit.failures or blamed is not None


def _cannot_be_made(row: RowInWork, shown: Any, why: str) -> None:
    """Columns hold no such row: what can be shown of it is set aside."""
    row.row = shown
    row.done, row.failure = True, Failure(row.index, Unmade(why), None)
