"""The operators of one stage, as one thing that runs over a batch.

`loop` gives a batch and a list of `Out`s; what a row gives is there whole or not at all. Plain row functions run in
a fused `row_program`, coroutines in `async_rows`, batch functions in a `batch_tree`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec

from penstock.batch import Lines
from penstock.channel.column_batch import ColumnBatch
from penstock.ctrl_c import is_ctrl_c
from penstock.operator import Context
from penstock.operators.map_batches import MapBatches
from penstock.operators.map_many import MapMany
from penstock.operators.operator import Operator
from penstock.operators.parse_json import ParseJson
from penstock.options import BATCH_ROWS, parse_duration
from penstock.plan.plan import Node
from penstock.slot import forks
from penstock.slot.async_rows import AsyncRows, Steps
from penstock.slot.batch_tree import BatchTree, Origin
from penstock.slot.batches import Out, as_row_list
from penstock.slot.event_loop import EventLoop
from penstock.slot.expansion import Expansion
from penstock.slot.failure import Failure, Unmade
from penstock.slot.json_block import decode_block, decodes_without_user_code
from penstock.slot.row_in_work import row_in_work
from penstock.slot.row_program import (
    AsRows,
    ProgramNode,
    RowProgram,
    as_rows,
    compile_async_program,
    compile_program,
)
from penstock.slot.spool import Spool
from penstock.slot.timers import RowTimer


class Chain:
    """The operator tree of a stage in one worker."""

    def __init__(
        self, nodes: Sequence[Node], leaves: Sequence[int], *, label: str,
        batch_rows: int = BATCH_ROWS, concurrency: int = 16, timer: RowTimer | None = None,
        timeout_s: float | None = None, spool: Spool | None = None, expansion: Expansion | None = None,
        event_loop: EventLoop | None = None, steps: Steps | None = None,
    ) -> None:
        """`event_loop`: the worker's, for coroutines, whose steps are told to `steps`; None: one of its own.

        `expansion`: bounds what one row gives; None: nothing does.
        """
        self._nodes = tuple(nodes)
        self._leaves = tuple(leaves)
        self._label = label
        batch_functions = [n.operator for n in nodes if isinstance(n.operator, (MapMany, MapBatches))]
        self.asked_rows = max((operator.rows or 0 for operator in batch_functions), default=0)
        """Rows that a call of the batch functions shall have; 0: as many as there are."""
        self.wait_s = max((parse_duration(op.wait) for op in batch_functions if op.wait is not None), default=0.0)
        """How long they are waited for."""
        self.batch_rows = self.asked_rows or batch_rows
        """Rows of a call at most."""
        self._concurrency = concurrency
        self._timer = timer
        self._timeout_s = timeout_s
        self.spool = spool
        """Takes what a row gives that is too much for memory; None: all of it waits there."""
        self._as_rows: AsRows = as_rows if expansion is None else expansion.as_rows
        self._instances: list[Any] = []
        self._event_loop = event_loop
        self._owns_event_loop = False
        self._steps = steps
        self._program: RowProgram | None = None
        self._after_parsing: tuple[Callable[[Any], Any], RowProgram] | None = None
        self.async_rows: AsyncRows | None = None
        """Set once it is open, where rows are coroutines."""
        self._tree: BatchTree | None = None
        self._left: Callable[[], int] | None = None
        self._at: list[int] | None = None
        """Where rows in work stand in their batch, if not all of it is run."""
        self._count = 0

    @property
    def has_batch_operators(self) -> bool:
        return any(node.operator.batch for node in self._nodes)

    @property
    def is_async(self) -> bool:
        return any(node.operator.is_async for node in self._nodes)

    @property
    def row_in_work(self) -> int | None:
        """Index, in the batch given to `run`, of the row whose function is running; None: none is."""
        index: int | None
        if self.async_rows is not None:
            row = row_in_work.get(None)
            index = None if row is None else row.index
        else:
            index = None if self._left is None else self._count - self._left() - 1
        return index if index is None or self._at is None else self._at[index]

    def open(self, context: Context) -> None:
        """Make instances, call their `open`, compile. Whatever user code raises here comes out."""
        functions = [self._function(node.operator) for node in self._nodes]
        for instance in self._instances:
            if hasattr(instance, "open"):
                self._finish(instance.open(context))
        nodes = [
            ProgramNode(n.operator, n.parent, f, n.operator.is_async)
            for n, f in zip(self._nodes, functions, strict=True)
        ]
        if self.has_batch_operators:
            self._tree = BatchTree(
                self._nodes, self._leaves, functions,
                batch_rows=self.batch_rows, timer=self._timer,
                as_rows=self._as_rows,
            )
        elif self.is_async:
            program = compile_async_program(nodes, self._leaves, self._label, as_rows=self._as_rows)
            self.async_rows = AsyncRows(
                self._loop(), program, len(self._leaves), self._concurrency, self._timeout_s, self._steps,
                self._label,
            )
        elif nodes:
            self._program = self._compile(nodes, self._leaves)
            self._after_parsing = self._compile_after_parsing(nodes)

    def run(
        self, batch: Any, outs: Sequence[Out], *, stop_at_failure: bool = False, origin: Origin | None = None
    ) -> list[Failure]:
        """Run over a batch; gives the rows that failed. `outs` get what the others gave, in order.

        With `stop_at_failure` nothing behind the first failed row is given out.
        """
        if not self._nodes:
            for out in outs:
                out.add(batch)
            return []
        if self._tree is not None:
            return self._tree.run(batch, outs, stop_at_failure=stop_at_failure, origin=origin)
        if self.async_rows is not None:
            rows = self.rows_of(batch)
            if rows is None:
                return self._run_those_made(batch, outs, stop_at_failure)
            return self.async_rows.run(rows, outs, stop_at_failure=stop_at_failure)
        if self._after_parsing is not None and isinstance(batch, Lines):
            decode, program = self._after_parsing
            parsed = decode_block(decode, batch)
            if parsed is not None:
                return self._run_rows(program, parsed, outs, stop_at_failure)
        assert self._program is not None
        rows = self.rows_of(batch)
        if rows is None:
            return self._run_those_made(batch, outs, stop_at_failure)
        return self._run_rows(self._program, rows, outs, stop_at_failure)

    def closers(self) -> Iterator[Callable[[], None]]:
        """What is to be called at the end: the instances' `close` in reverse order, each whatever others raised.

        Call one before asking for the next: a coroutine among them needs a loop, which is the last to be closed.
        """
        for instance in self._instances[::-1]:
            if hasattr(instance, "close"):
                yield partial(self._close, instance)
        if self._event_loop is not None and self._owns_event_loop:
            yield self._event_loop.close

    def rows_of(self, batch: Any) -> list[Any] | None:
        """The rows of a batch; None: there are columns of which some row cannot be made."""
        if not isinstance(batch, ColumnBatch):
            return as_row_list(batch)
        try:
            return batch.rows()
        except BaseException as exc:  # Arrow's, or of the row's class: looked at row by row
            if is_ctrl_c(exc):
                raise
            return None

    def _run_those_made(self, columns: ColumnBatch, outs: Sequence[Out], stop_at_failure: bool) -> list[Failure]:
        """As `run`, where some rows cannot be made: these failed, and the others are run."""
        rows, unmade = columns.rows_or_failures()
        if stop_at_failure and unmade:
            rows, first = rows[: min(unmade)], min(unmade)
            unmade = {first: unmade[first]}
        self._at = [index for index in range(len(rows)) if index not in unmade]
        failures = [
            Failure(self._at[failure.index], failure.error, failure.operator)
            for failure in self.run([rows[index] for index in self._at], outs, stop_at_failure=stop_at_failure)
        ]
        self._at = None
        if stop_at_failure and failures:
            return failures
        failures += [Failure(index, Unmade(reason), None) for index, (_, reason) in unmade.items()]
        return sorted(failures, key=attrgetter("index"))

    def _run_rows(
        self, program: RowProgram, rows: list[Any], outs: Sequence[Out], stop_at_failure: bool
    ) -> list[Failure]:
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
                if is_ctrl_c(exc):
                    raise
                forks.leave_if_child_by(exc)
                failures.append(Failure(self._count - self._left() - 1, exc, program.operator_at(exc)))
                if stop_at_failure:
                    break
        self._left = None
        forks.call_for([])
        return failures

    def _function(self, operator: Operator) -> Callable[[Any], Any]:
        if isinstance(operator, ParseJson):
            return msgspec.json.Decoder(operator.type).decode
        fn: Callable[[Any], Any] = operator.fn() if operator.made_in_worker else operator.fn
        if not inspect.isroutine(fn) and not inspect.isclass(fn) and not any(fn is known for known in self._instances):
            self._instances.append(fn)
        return fn

    def _loop(self) -> EventLoop:
        if self._event_loop is None:
            self._event_loop, self._owns_event_loop = EventLoop(), True
        return self._event_loop

    def _close(self, instance: Any) -> None:
        self._finish(instance.close())

    def _finish(self, result: Any) -> None:
        """Await what an `async def open` or `close` gave."""
        if inspect.isawaitable(result):

            async def finish() -> None:
                await result

            self._loop().complete(finish())

    def _compile(self, nodes: Sequence[ProgramNode], leaves: Sequence[int]) -> RowProgram:
        return compile_program(
            nodes, leaves, self._label, interrupted=self._timer is not None, spool=self.spool, as_rows=self._as_rows
        )

    def _compile_after_parsing(self, nodes: Sequence[ProgramNode]) -> tuple[Callable[[Any], Any], RowProgram] | None:
        """What decodes a line, and the program behind it, where parsing comes first."""
        first = nodes[0].operator
        if not isinstance(first, ParseJson) or -1 in self._leaves or sum(n.parent == -1 for n in nodes) != 1:
            return None
        if not decodes_without_user_code(first.type):
            return None
        rest = [ProgramNode(n.operator, n.parent - 1, n.fn) for n in nodes[1:]]
        program = self._compile(rest, [leaf - 1 for leaf in self._leaves])
        return nodes[0].fn, program
