"""Whose step in the event loop it is, told to the worker's page: what happens meanwhile is that row's doing."""

from __future__ import annotations

from penstock.slot.records.work_page import RETRY_INPUT, WorkPage
from penstock.slot.user_code.row_in_work import RowInWork


class PageSteps:
    """Tells the worker's page whose step it is, and which rows of its stage are in flight."""

    def __init__(self, work: WorkPage, stage: int) -> None:
        self._work = work
        self._stage = stage

    def step(self, row: RowInWork) -> None:
        intake = row.intake
        if intake is not None:
            self._work.step(self._stage, intake.input, intake.sequence, intake.first_row + row.index)
        elif row.retry is not None:
            self._work.step(self._stage, RETRY_INPUT, row.retry.number, 0)

    def step_over(self) -> None:
        self._work.step_over()

    def runs_since(self, since_ns: int) -> None:
        self._work.runs_since(since_ns)

    def stuck(self, row: RowInWork) -> None:
        """It keeps running although its time is over; this row is in progress, and since when stays as it is."""
        if row.intake is not None or row.retry is not None:
            self._work.in_flight(row.mark(self._stage))
