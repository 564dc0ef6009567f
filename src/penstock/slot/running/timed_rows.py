"""Rows that follow from the time: what operators give when it has come, on its way through those behind them.

They are given out a few at a time, and committed as often as a turn is full, each time with the state that they leave:
a million windows that close at once take no more memory than one turn, and a kill in the middle loses and repeats none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

from penstock.channel.column_batch import ColumnBatch
from penstock.ctrl_c import is_ctrl_c
from penstock.event_time import shown_moment
from penstock.metrics.catalogue import Activity
from penstock.operators.keyed_operator import KeyFailed
from penstock.operators.keyed_state import CannotTakeBack
from penstock.operators.verb import Operator
from penstock.operators.windowed.given_columns import GivenColumns
from penstock.slot.output.outputs import FRAME_BYTES
from penstock.slot.process.forks import leave_if_child, leave_if_child_by
from penstock.slot.process.pauses import Pauses
from penstock.slot.process.row_failure import Failure
from penstock.slot.process.stops import StageFailed, Stopped
from penstock.slot.process.user_errors import one_line, user_traceback
from penstock.slot.records.control import Control
from penstock.slot.records.work_page import WorkPage
from penstock.slot.turn.meter import Meter
from penstock.slot.turn.row_errors import RowErrors
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.turn.turn import Turn

_FIRST_ROWS: Final = 64
"""So many are taken before it is known how large they are."""
_MOST_ROWS: Final = 4096
_TO_SINK_ROWS: Final = 10_000
"""A sink in the stage itself commits after so many."""


class TimedRows:
    """Gives them out, for the stages of one slot."""

    def __init__(
        self, *, turn: Turn, errors: RowErrors, pauses: Pauses, work: WorkPage, control: Control, meter: Meter,
        between: Callable[[], None],
    ) -> None:
        """`between`: called now and then, for stages that must not be kept waiting."""
        self._turn = turn
        self._errors = errors
        self._pauses = pauses
        self._work = work
        self._control = control
        self._meter = meter
        self._between = between

    def give(self, stage: SlotStage, node: int, rows: Iterable[Any], at_us: int) -> None:
        """All that the operator of a node gives, for the time that has come. Raises `Stopped` and `StageFailed`."""
        self._meter.now_doing(Activity.BUSY)
        due, most, waits = iter(rows), _FIRST_ROWS, 0
        while chunk := self._next(stage, node, due, most, at_us):
            self._turn.begin_time(stage)
            columns = chunk.pop() if isinstance(chunk[-1], GivenColumns) else None
            count = len(chunk)
            for each in _alike(chunk) if chunk else ():
                self._give(stage, node, each)
            if columns is not None:
                count += self._give_columns(stage, node, columns)
            most = self._encode(stage, count)
            waits += count
            if stage.sink is not None and waits >= _TO_SINK_ROWS:
                self._turn.flush()
                waits = 0
            self._work.beat()
            self._between()
            if self._control.stopping:
                raise Stopped

    def _next(self, stage: SlotStage, node: int, due: Iterator[Any], most: int, at_us: int) -> list[Any]:
        try:
            chunk = _up_to_columns(due, most) if stage.chain.takes_columns else list(islice(due, most))
            leave_if_child()
            stage.chain.keep_last()
        except StageFailed:
            raise
        except CannotTakeBack as error:
            self._turn.restart_carefully(stage, 1, error)
        except BaseException as exc:
            # It tells of the user's errors by `KeyFailed`; what comes out here leaves a state that nobody knows.
            if is_ctrl_c(exc):
                raise
            leave_if_child_by(exc)
            operator = _operator(stage, node)
            reason = f"{operator.name} {operator.where} at {shown_moment(at_us)}: {one_line(exc)}"
            raise StageFailed(stage.plan.name, reason, user_traceback(exc), exc) from exc
        return chunk

    def _give(self, stage: SlotStage, node: int, rows: list[Any]) -> None:
        if isinstance(rows[0], KeyFailed):
            for failed in rows:
                self._turn.carry_out(self._errors.at_its_time(stage, _operator(stage, node), failed))
            return
        while rows:
            failures = self._run(stage, node, rows)
            through = failures[0].index if failures else len(rows)
            if not stage.edges and stage.sink is None:
                stage.counts.rows_out += through
            if failures:
                self._try_again(stage, node, rows[through], failures[0])
            rows = rows[through + 1 :]
        if stage.sink is not None:
            self._turn.write(stage, 0)

    def _give_columns(self, stage: SlotStage, node: int, columns: GivenColumns) -> int:
        """Many rows of results at once: as they are, where nothing is behind the operator. Gives how many."""
        if stage.chain.runs_behind(node):
            self._give(stage, node, columns.rows())
            return columns.count
        stage.chain.run_behind(node, ColumnBatch(columns.table, columns.row_type), stage.outs)
        if not stage.edges and stage.sink is None:
            stage.counts.rows_out += columns.count
        if stage.sink is not None:
            self._turn.write(stage, 0)
        return columns.count

    def _run(self, stage: SlotStage, node: int, rows: list[Any]) -> list[Failure]:
        """Up to the first row that fails, which is given back."""
        try:
            failures = stage.chain.run_behind(node, rows, stage.outs, stop_at_failure=True)
        except CannotTakeBack as error:
            self._turn.restart_carefully(stage, 1, error)
        leave_if_child(failures)
        return failures

    def _try_again(self, stage: SlotStage, node: int, row: Any, failure: Failure) -> None:
        """A row has no place in the input to be read from again: it is tried here, and those behind it wait."""
        attempts = 1
        while (after_s := self._errors.in_place(stage, failure, attempts)) is not None:
            stage.counts.retries += 1
            self._pauses.pause(after_s)
            attempts += 1
            failures = self._run(stage, node, [row])
            if not failures:
                return
            failure = failures[0]
        self._turn.carry_out(self._errors.failed_for_good(stage, [row], 0, failure, attempts))

    def _encode(self, stage: SlotStage, rows: int) -> int:
        """Gives how many rows are to be taken next, so that they fill a frame."""
        before = sum(queue.prepared_bytes for queue in stage.queues)
        commits = stage.counts.frames_out
        for row, error in self._turn.encode_given(stage):
            self._turn.carry_out(self._errors.not_encoded(stage, [row], error))
        grown = sum(queue.prepared_bytes for queue in stage.queues) - before
        if stage.counts.frames_out != commits or grown <= 0:
            return min(2 * rows, _MOST_ROWS)
        return max(min(int(FRAME_BYTES * rows / grown), 2 * rows, _MOST_ROWS), 1)


def _operator(stage: SlotStage, node: int) -> Operator:
    return stage.plan.nodes[node].operator


def _up_to_columns(due: Iterator[Any], most: int) -> list[Any]:
    """So many rows, or fewer where columns come behind them, which are the last item then."""
    chunk: list[Any] = []
    for row in islice(due, most):
        chunk.append(row)
        if isinstance(row, GivenColumns):
            break
    return chunk


def _alike(chunk: list[Any]) -> Iterator[list[Any]]:
    """A chunk cut where rows become `KeyFailed`, or the other way round."""
    if KeyFailed not in set(map(type, chunk)):
        yield chunk
        return
    start = 0
    for index in range(1, len(chunk) + 1):
        if index == len(chunk) or isinstance(chunk[index], KeyFailed) is not isinstance(chunk[start], KeyFailed):
            yield chunk[start:index]
            start = index
