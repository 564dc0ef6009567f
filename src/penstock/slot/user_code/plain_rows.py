"""Plain functions called for each row of a batch; a row whose function raises fails alone, and the next ones still run.

`row_program` is the loop over the rows, `chain` decides which batches come here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from penstock.batch import Lines
from penstock.ctrl_c import is_ctrl_c
from penstock.operators.undo_log import UndoLog
from penstock.slot.input.batches import Out
from penstock.slot.process import forks
from penstock.slot.process.row_failure import Failure
from penstock.slot.process.row_timeout import RowTimer
from penstock.slot.process.stops import StageFailed
from penstock.slot.user_code.row_program import RowProgram


class PlainRows:
    """The program of one stage in one worker."""

    def __init__(
        self, program: RowProgram, timer: RowTimer | None, undo: UndoLog | None,
        rows_of_lines: Callable[[Lines], list[Any] | None] | None = None, after_lines: RowProgram | None = None,
    ) -> None:
        """`rows_of_lines`: the first operator, where it can take a block of lines at once, for `after_lines`."""
        self._program = program
        self._timer = timer
        self._undo = undo
        self._rows_of_lines = rows_of_lines
        self._after_lines = after_lines
        self._left: Callable[[], int] | None = None
        """How many rows are not begun yet; None: no row is in progress."""
        self._count = 0

    @property
    def row_in_work(self) -> int | None:
        """Index of the row whose function is running; None: none is."""
        return None if self._left is None else self._count - self._left() - 1

    def run_lines(self, lines: Lines, outs: Sequence[Out], stop_at_failure: bool) -> list[Failure] | None:
        """A block of lines, whose rows are made at once; None: they must be run one by one, as any other rows."""
        if self._rows_of_lines is None or self._after_lines is None:
            return None
        rows = self._rows_of_lines(lines)
        return None if rows is None else self._run(self._after_lines, rows, outs, stop_at_failure)

    def run(self, rows: list[Any], outs: Sequence[Out], stop_at_failure: bool) -> list[Failure]:
        """All rows; gives those that failed. With `stop_at_failure` only up to the first of them."""
        return self._run(self._program, rows, outs, stop_at_failure)

    def _run(self, program: RowProgram, rows: list[Any], outs: Sequence[Out], stop_at_failure: bool) -> list[Failure]:
        iterator, failures = iter(rows), []
        forks.call_for(rows)
        self._count, self._left = len(rows), iterator.__length_hint__  # type: ignore[attr-defined]
        targets = [out.rows for out in outs]
        while True:
            try:
                if self._timer is None:
                    program.run(iterator, *targets)
                else:
                    with self._timer.watching(self._left, program.run.__code__, frozenset(program.operator_of_line)):
                        program.run(iterator, *targets)
                break
            except BaseException as exc:  # the user's function, be it an exit or a panic: its error belongs to the row
                if is_ctrl_c(exc) or isinstance(exc, StageFailed):  # the state cannot be read: no row's fault
                    raise
                forks.leave_if_child_by(exc)
                if self._undo is not None:
                    self._undo.roll_back()
                failures.append(Failure(self._count - self._left() - 1, exc, program.operator_at(exc)))
                if stop_at_failure:
                    break
        self._left = None
        forks.call_for([])
        return failures
