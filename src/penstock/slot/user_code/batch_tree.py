"""Operator trees with batch functions in them: operator by operator over the whole batch.

A batch function that raises is bisected until the row is found that it cannot take; the functions of the stage are
called again for the halves.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from penstock import columns
from penstock.channel.column_batch import ColumnBatch
from penstock.ctrl_c import is_ctrl_c
from penstock.event_time import moments
from penstock.operator import Unavailable
from penstock.operators.batch_operator import BatchOperator
from penstock.operators.event_time import EventTime
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Becomes, Operator, Shape
from penstock.plan.plan import Node
from penstock.slot.input.batches import Out, as_row_list, batch_cut, batch_join, batch_length, batch_slice
from penstock.slot.process import forks
from penstock.slot.process.row_failure import Failure, Unmade
from penstock.slot.process.row_timeout import RowTimer
from penstock.slot.process.stops import StageFailed, Trouble
from penstock.slot.user_code.row_program import AsRows, over_rows

_ANY = 1 << 62


class _OperatorRaised(Exception):
    def __init__(self, operator: Operator, error: BaseException) -> None:
        self.operator = operator
        self.error = error


class Origin(Protocol):
    """Where the rows of a call come from."""

    def rows_anew(self, rows: int) -> Any:
        """As many of them as the call was given, as they were before it."""


class BatchTree:
    """Runs the tree over batches of at most `batch_rows` rows."""

    def __init__(
        self, nodes: Sequence[Node], leaves: Sequence[int], functions: Sequence[Callable[[Any], Any]], *,
        label: str, batch_rows: int, timer: RowTimer | None, as_rows: AsRows, undo: UndoLog | None,
    ) -> None:
        """`as_rows`: makes lists of what generators give. `undo`: where operators note what they write to state."""
        self._nodes = nodes
        self._label = label
        self._leaves = leaves
        self._functions = [
            fn if node.operator.batch or node.operator.becomes is Becomes.PASSED
            else over_rows(node.operator, fn, label, as_rows)
            for node, fn in zip(nodes, functions, strict=True)
        ]
        self._batch_rows = batch_rows
        self._timer = timer
        self._origin: Origin | None = None
        self._untouched: list[Any] | None = None
        """The rows of the call as they came, once a function has raised; never handed to one."""
        self._undo = undo
        self._notes = any(node.operator.becomes is Becomes.PASSED for node in nodes)
        self._noted: list[int] = []
        """The moments of the rows of the attempt, where they are noted."""

    def run(
        self, batch: Any, outs: Sequence[Out], *, stop_at_failure: bool, origin: Origin | None = None
    ) -> list[Failure]:
        """All rows but the failed ones; with `stop_at_failure` only up to the first failed.

        `origin`: makes the rows again that a function changed in place before it raised; None: they stay changed.
        """
        failures: list[Failure] = []
        length = batch_length(batch)
        self._untouched = None
        self._origin = origin if isinstance(batch, list) else None
        for start in range(0, length, self._batch_rows):
            stop = min(start + self._batch_rows, length)
            self._bisect(batch, start, stop, outs, failures, stop_at_failure)
            if failures and stop_at_failure:
                break
        self._origin = self._untouched = None
        return failures

    def _bisect(
        self, batch: Any, start: int, stop: int, outs: Sequence[Out], failures: list[Failure], stop_early: bool
    ) -> None:
        if failures and stop_early:
            return
        try:
            given = self._attempt(self._rows(batch, start, stop))
        except _OperatorRaised as raised:
            if self._undo is not None:
                self._undo.roll_back()
            if stop - start == 1:
                failures.append(Failure(start, raised.error, raised.operator))
                return
            self._make_anew(batch_length(batch))
            middle = (start + stop) // 2
            self._bisect(batch, start, middle, outs, failures, stop_early)
            self._bisect(batch, middle, stop, outs, failures, stop_early)
            return
        for out, value in zip(outs, given, strict=True):
            out.add(value)

    def _make_anew(self, rows: int) -> None:
        """Once a call has raised, what it was given may be half changed: those that follow are given copies."""
        if self._untouched is None and self._origin is not None:
            self._untouched = self._origin.rows_anew(rows)

    def _rows(self, batch: Any, start: int, stop: int) -> Any:
        if self._untouched is None:
            return batch_slice(batch, start, stop)
        rows = self._untouched[start:stop]
        try:
            return pickle.loads(pickle.dumps(rows, 5))
        except Exception:  # rows of a class that came as MessagePack, and that cannot be pickled: all are made again
            assert self._origin is not None
            return self._origin.rows_anew(len(batch))[start:stop]

    def _attempt(self, batch: Any) -> list[Any]:
        if self._undo is not None:
            self._undo.begin()
        values: dict[int, Any] = {-1: batch}
        self._noted = []
        for index, node in enumerate(self._nodes):
            values[index] = self._apply(index, node, values[node.parent])
        given = [values[leaf] for leaf in self._leaves]
        return [*given, self._noted] if self._notes else given

    def _apply(self, index: int, node: Node, value: Any) -> Any:
        if batch_length(value) == 0:
            return []  # all was filtered away, and with the rows their columns
        try:
            if isinstance(node.operator, BatchOperator):
                return self._call_batch(index, node, node.operator, value)
            if node.operator.becomes is Becomes.PASSED:
                self._noted += self._moments(index, node, value)
                return value
            return self._watched(partial(self._functions[index], self._rows_for(node, value)))
        except (_OperatorRaised, Trouble):
            raise
        except BaseException as exc:  # the user's function, be it an exit or a panic
            if is_ctrl_c(exc):
                raise
            if isinstance(exc, StageFailed):  # the state cannot be read: no row's fault
                raise
            forks.leave_if_child_by(exc)
            if node.operator.waits and isinstance(exc, Unavailable):
                raise Trouble(self._label, node.operator.name, exc) from exc
            raise _OperatorRaised(node.operator, exc) from exc

    def _moments(self, index: int, node: Node, value: Any) -> list[int]:
        """Those of the rows; of columns, at least the latest, where all of them have one."""
        operator = node.operator
        if isinstance(value, ColumnBatch) and isinstance(operator, EventTime) and operator.field is not None:
            ends = columns.ends_of(value.table(), operator.field)
            if ends:
                return list(map(moments(operator.unit), ends))
        rows = self._rows_for(node, value)
        found: list[int] = self._watched(lambda: list(map(self._functions[index], rows)))
        return found

    def _call_batch(self, index: int, node: Node, operator: BatchOperator, value: Any) -> Any:
        most = operator.rows or _ANY
        if batch_length(value) > most:
            return self._in_parts(index, node, value, most)
        given = _columns(value) if operator.takes is Shape.COLUMNS else self._rows_for(node, value)
        result = operator.over(self._functions[index], given, self._watched)
        return ColumnBatch(result, operator.row_given(Any)) if operator.gives is Shape.COLUMNS else result

    def _watched(self, call: Callable[[], Any]) -> Any:
        """Run what is of the user's; a row timer interrupts it there, and nowhere else."""
        if self._timer is None:
            return _call(call)
        with self._timer.watching(int, _call.__code__):
            return _call(call)

    def _rows_for(self, node: Node, value: Any) -> list[Any]:
        """The rows that a function is given. Raises `Unmade` for a row of the input that columns cannot give."""
        try:
            return as_row_list(value)
        except BaseException as exc:  # Arrow's, or of the row's class
            if is_ctrl_c(exc) or node.parent != -1 or batch_length(value) > 1:
                raise
            _, unmade = value.rows_or_failures()
            if not unmade:
                raise
            raise Unmade(unmade[0][1]) from exc

    def _in_parts(self, index: int, node: Node, value: Any, rows: int) -> Any:
        """What operators before it gave is more than it shall be given at once."""
        given = [self._apply(index, node, part) for part in batch_cut(value, rows)]
        joined = batch_join(given)
        return [row for part in given for row in as_row_list(part)] if joined is None else joined


def _call(call: Callable[[], Any]) -> Any:
    result = call()
    forks.leave_if_child()
    return result


def _columns(value: Any) -> Any:
    if isinstance(value, ColumnBatch):
        return value.columns
    return columns.rows_to_table(value) if isinstance(value, list) else columns.lines_to_table(value)
