"""Rows of an async stage that were taken and are not called for yet. Each is made, or found to be none, at its turn."""

from __future__ import annotations

from collections import deque
from typing import Any

from penstock.channel.column_batch import ColumnBatch
from penstock.slot.input.batches import as_row_list
from penstock.slot.input.intake import Intake
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.process.row_failure import Failure, Unmade
from penstock.slot.records.work_page import Doing, Mark, WorkPage
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.user_code.row_in_work import RowInWork


class _Taken:
    """A batch of which rows are ready."""

    def __init__(self, intake: Intake, rows: list[Any] | None, unmade: dict[int, tuple[Any, str]]) -> None:
        self.intake = intake
        self.rows = rows
        """None: columns, of which each row is made just before its call."""
        self.unmade = unmade
        self.next = intake.done


class ReadyRows:
    """Of one stage in one slot, in their order."""

    def __init__(self, stage: SlotStage, suspicion: Suspicion, work: WorkPage) -> None:
        self._stage = stage
        self._suspicion = suspicion
        self._work = work
        self._batches: deque[_Taken] = deque()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, intake: Intake) -> None:
        """Rows behind those that are there."""
        if not intake.left:
            return
        if isinstance(intake.batch, ColumnBatch) and not self._suspicion.trusts_all:
            taken = _Taken(intake, None, {})  # making one may be what ends workers
        else:
            taken = _Taken(intake, *self._rows_of(intake))
        self._batches.append(taken)
        self._length += intake.left

    def _rows_of(self, intake: Intake) -> tuple[list[Any], dict[int, tuple[Any, str]]]:
        """All rows, and those of columns that cannot be made. Making them may be the user's code."""
        if not isinstance(intake.batch, ColumnBatch):
            return as_row_list(intake.batch), {}
        first = intake.first_row + intake.done
        self._work.enter(Mark(self._stage.number, intake.input, intake.sequence, first, max(intake.left, 1)))
        rows = self._stage.chain.rows_of(intake.batch)
        made = intake.batch.rows_or_failures() if rows is None else (rows, {})
        self._work.leave()
        return made

    @property
    def is_careful(self) -> bool:
        """True: there is a next row, and it must not be in flight beside others."""
        if self._suspicion.trusts_all or not self._batches:
            return False
        taken = self._batches[0]
        return self._suspicion.careful(RowInWork(None, taken.next, intake=taken.intake).mark(self._stage.number))

    @property
    def intake(self) -> Intake:
        """That of the next row."""
        return self._batches[0].intake

    def take(self) -> RowInWork:
        """The next row; where user code is not to be called for it, it is `done`."""
        taken = self._batches[0]
        intake, index = taken.intake, taken.next
        row = RowInWork(None if taken.rows is None else taken.rows[index], index, intake=intake)
        if intake.failures or not self._suspicion.trusts_all:
            row.done = row.never = self._is_never_called(row)
        if index in taken.unmade:
            _cannot_be_made(row, *taken.unmade[index])
        if taken.rows is None and not row.done:
            self._make(row)
        self._passed(taken, index + 1)
        return row

    def worked_apart(self, intake: Intake) -> None:
        """Rows of the intake were worked elsewhere, up to `intake.done`."""
        if self._batches and self._batches[0].intake is intake:
            self._passed(self._batches[0], intake.done)

    def make_anew(self, row: RowInWork) -> None:
        """As it came: its function may have changed it in place."""
        intake = row.intake
        assert intake is not None
        if isinstance(intake.batch, ColumnBatch):
            self._make(row)
        elif isinstance(intake.batch, list):  # text is never changed
            self._work.enter(row.mark(self._stage.number), Doing.DECODING)
            row.row = intake.made_anew()[row.index]
            self._work.leave()

    def _make(self, row: RowInWork) -> None:
        """A row of columns by itself."""
        assert row.intake is not None
        self._work.enter(row.mark(self._stage.number))
        made, why = row.intake.batch.row_or_failure(row.index)
        self._work.leave()
        if why:
            _cannot_be_made(row, made, why)
        else:
            row.row = made

    def _passed(self, taken: _Taken, until: int) -> None:
        self._length -= until - taken.next
        taken.next = until
        if until >= taken.intake.length:
            self._batches.popleft()

    def _is_never_called(self, row: RowInWork) -> bool:
        assert row.intake is not None
        blamed = self._suspicion.blamed(row.mark(self._stage.number))
        return row.index in row.intake.failures or blamed is not None


def _cannot_be_made(row: RowInWork, shown: Any, why: str) -> None:
    """Columns hold no such row: what can be shown of it is set aside."""
    row.row = shown
    row.done, row.failure = True, Failure(row.index, Unmade(why), None)
