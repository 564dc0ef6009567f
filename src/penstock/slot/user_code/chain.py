"""The operators of one stage, as one thing that runs over a batch.

`calls` gives a batch and a list of `Out`s; what a row gives is there whole or not at all. `plain_rows` calls plain
functions row by row, `async_rows` runs coroutines, and `batch_tree` calls batch functions. `instances` makes, opens
and closes what they call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from penstock.batch import Lines
from penstock.channel.column_batch import ColumnBatch
from penstock.channel.packed_rows import PackedRows
from penstock.ctrl_c import is_ctrl_c
from penstock.errors import PenstockError
from penstock.event_time import NO_WATERMARK
from penstock.operator import Context
from penstock.operators.batch_operator import BatchOperator
from penstock.operators.event_time import EventTime
from penstock.operators.keyed_operator import KeyedCall, KeyedOperator, RowLoop
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Becomes, Operator
from penstock.options import BATCH_ROWS, parse_duration
from penstock.plan.plan import Node
from penstock.plan.projection import nodes_that_pass_rows_on
from penstock.slot.input.batches import Out, as_row_list
from penstock.slot.output.expansion import Expansion
from penstock.slot.output.spool import Spool
from penstock.slot.process.row_failure import Failure, Unmade
from penstock.slot.process.row_timeout import RowTimer
from penstock.slot.user_code.async_rows import AsyncRows, Coroutines
from penstock.slot.user_code.batch_tree import BatchTree, Origin
from penstock.slot.user_code.behind import Behind, Runs
from penstock.slot.user_code.instances import Instances
from penstock.slot.user_code.plain_rows import PlainRows
from penstock.slot.user_code.row_in_work import row_in_work
from penstock.slot.user_code.row_program import AsRows, ProgramNode, RowProgram, compile_async_program, compile_program

if TYPE_CHECKING:  # stages that keep nothing do not load it
    from penstock.slot.state.slot_state import SlotState
    from penstock.slot.state.stage_shelves import StageShelves
    from penstock.slot.user_code.over_columns import OverColumns


class Chain:
    """The operator tree of a stage in one worker."""

    def __init__(
        self, nodes: Sequence[Node], leaves: Sequence[int], *, label: str,
        batch_rows: int = BATCH_ROWS, timer: RowTimer | None = None, spool: Spool | None = None,
        expansion: Expansion | None = None, coroutines: Coroutines | None = None,
    ) -> None:
        """`expansion`: bounds what one row gives; None: nothing does."""
        self._nodes = tuple(nodes)
        self._leaves = tuple(leaves)
        self._label = label
        self.asked_rows = max((operator.rows or 0 for operator in self._batch_operators()), default=0)
        """Rows that a call of the batch functions shall have; 0: as many as there are."""
        self.batch_rows = self.asked_rows or batch_rows
        """Rows of a call at most."""
        self.notes_moments = any(node.operator.becomes is Becomes.PASSED for node in nodes)
        """True: rows have times, which `run` puts into an out of its own, behind those of the leaves."""
        passing = frozenset(nodes_that_pass_rows_on(self._nodes))
        self._passes_on = [*(leaf in passing for leaf in self._leaves), *([False] if self.notes_moments else [])]
        """For each out of `run` whether its rows are those that came in."""
        self.spool = spool
        """Takes what a row gives that is too much for memory; None: all of it waits there."""
        self._as_rows: AsRows = list if expansion is None else expansion.as_rows
        self._keeps_state = any(node.operator.writes_state for node in nodes)
        self._undo: UndoLog | None = None
        self._undoes = False
        """True: an operator notes in it what it writes."""
        self._state: StageShelves | None = None
        """Once the chain is open, if an operator keeps any."""
        self._timer = timer
        self._coroutines = Coroutines() if coroutines is None else coroutines
        self._instances = Instances(self._coroutines.event_loop)
        # One of these is set once the chain is open; none of them where the stage has no operators.
        self._plain: PlainRows | None = None
        self.async_rows: AsyncRows | None = None
        self._tree: BatchTree | None = None
        self._over_columns: BatchTree | None = None
        """Beside `_plain`, where all that operators want of columns is one of them: they need not become rows."""
        self._windows: OverColumns | None = None
        """Beside `_plain`, where windows take columns as they are."""
        self.keyed_calls: list[tuple[int, KeyedCall]] = []
        """(number of its node, keyed operator) in the order of the tree; there once the chain is open."""
        self._behind: dict[int, Behind] = {}
        self._at: list[int] | None = None
        """Where rows in progress are in their batch, if not all of it is run."""

    @property
    def wait_s(self) -> float:
        """How long `asked_rows` are waited for."""
        waits = [operator.wait for operator in self._batch_operators() if operator.wait is not None]
        return max(map(parse_duration, waits), default=0.0)

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
            index = None if self._plain is None else self._plain.row_in_work
        return index if index is None or self._at is None else self._at[index]

    @property
    def opening(self) -> str:
        """The operator whose `open` raised, and where it is written; empty: it was none of the user's."""
        return self._instances.opening

    def open(self, context: Context, state: SlotState | None = None) -> None:
        """Make instances, call their `open`, compile. Whatever user code raises here comes out.

        `state`: of the slot; None: what operators keep is in memory only.
        """
        if any(node.operator.uses_state for node in self._nodes):
            self._state = _state_of(self._label, state)
            self._undo = self._state.undo if self._keeps_state else None
            self._state.undo.alone = self._writes_first_and_alone() and not self._state.room.copies
        nodes = [
            ProgramNode(
                n.operator, n.parent, self._function(index, n.operator), n.operator.is_async, self._loop_of(index),
                self._over(index),
            )
            for index, n in enumerate(self._nodes)
        ]
        if not self._undoes:
            self._undo = None  # and programs have not a line for it
        self._instances.open(context)
        if self.has_batch_operators:
            self._tree = self._tree_of(self._nodes, self._leaves, [node.fn for node in nodes], self._undo)
        elif self.is_async:
            self._check_without_state()
            program = compile_async_program(nodes, self._leaves, self._label, as_rows=self._as_rows)
            self.async_rows = AsyncRows(
                self._instances.event_loop(), program, len(self._leaves) + self.notes_moments, self._coroutines,
                self._label,
            )
        elif nodes:
            self._plain = self._plain_rows(nodes)
            if all(node.operator.becomes is Becomes.PASSED for node in self._nodes):
                self._over_columns = self._tree_of(self._nodes, self._leaves, [node.fn for node in nodes], self._undo)
        if self.keyed_calls and self._plain is not None:
            from penstock.slot.user_code.over_columns import over_columns  # most stages have no windows

            self._windows = over_columns(self._nodes, self._leaves, dict(self.keyed_calls))
        for index, _ in self.keyed_calls:
            self._behind[index] = Behind(self._nodes, self._leaves, index, partial(self._runs, nodes))

    def run(
        self, batch: Any, outs: Sequence[Out], *, stop_at_failure: bool = False, origin: Origin | None = None
    ) -> list[Failure]:
        """Run over a batch; gives the rows that failed. `outs` get what the others gave, in order.

        With `stop_at_failure` nothing behind the first failed row is given out.
        """
        if self._tree is not None:
            return self._tree.run(batch, outs, stop_at_failure=stop_at_failure, origin=origin)
        if self._plain is None and self.async_rows is None:
            for out in outs:
                out.add(batch)
            return []
        if self._plain is not None and isinstance(batch, PackedRows):
            return self._run_packed(self._plain, batch, outs, stop_at_failure)
        if self._plain is not None and isinstance(batch, Lines):
            failures = self._plain.run_lines(batch, outs, stop_at_failure)
            if failures is not None:
                return failures
        if self._over_columns is not None and isinstance(batch, ColumnBatch):
            return self._over_columns.run(batch, outs, stop_at_failure=stop_at_failure)
        if self._windows is not None and isinstance(batch, ColumnBatch) and self._windows.run(batch, outs):
            if self._undo is not None:
                self._undo.begin()  # what an earlier row wrote is not of the last one any more
            return []
        rows = self.rows_of(batch)
        if rows is None:
            return self._run_those_made(batch, outs, stop_at_failure)
        if self._plain is not None:
            return self._plain.run(rows, outs, stop_at_failure)
        assert self.async_rows is not None
        return self.async_rows.run(rows, outs, stop_at_failure=stop_at_failure)

    def run_behind(
        self, node: int, rows: Any, outs: Sequence[Out], *, stop_at_failure: bool = False
    ) -> list[Failure]:
        """Run what a keyed operator gave by itself through what is behind it; gives the rows that failed.

        `rows`: a list, or any batch where nothing is behind it.
        """
        return self._behind[node].run(rows, outs, stop_at_failure)

    def runs_behind(self, node: int) -> bool:
        """True: there are operators behind a keyed one."""
        return self._behind[node].runs

    @property
    def takes_columns(self) -> bool:
        """True: windows take columns as they are, and may give some."""
        return self._windows is not None

    @property
    def watermark_us(self) -> int:
        """How far operators that keep state are told event time has come."""
        return NO_WATERMARK if self._state is None else self._state.watermark_us

    @watermark_us.setter
    def watermark_us(self, watermark_us: int) -> None:
        if self._state is not None:
            self._state.watermark_us = watermark_us

    def begin_at(self, watermark_us: int) -> None:
        """A life begins, in which event time has come so far already."""
        self.watermark_us = watermark_us
        for _, call in self.keyed_calls:
            call.begin(watermark_us)

    @property
    def keeps_state(self) -> bool:
        """True: an operator writes to state."""
        return self._keeps_state

    @property
    def logs_state(self) -> bool:
        """True: there is something that `encode_state` may have to log."""
        return self._state is not None

    def encode_state(self) -> None:
        """Log what was written to state. Raises `StateNotEncoded` for a value that cannot be stored."""
        if self._state is not None:
            self._state.room.encode()

    def keep_last(self) -> None:
        """What was written to state since the last row is not undone any more: rows that time gave are given out."""
        if self._undo is not None:
            self._undo.keep_all()

    def take_back_last(self) -> None:
        """What the last row of the last `run` wrote to state is undone: it cannot be sent, so it failed after all."""
        if self._undo is not None:
            self._undo.roll_back()

    def closers(self) -> Iterator[Callable[[], None]]:
        """What to call at the end; call one before asking for the next."""
        return self._instances.closers()

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

    def _run_packed(
        self, plain: PlainRows, packed: PackedRows, outs: Sequence[Out], stop_at_failure: bool
    ) -> list[Failure]:
        """As `run`: functions are given what they read of the rows, and what passes them on gives out their bytes."""
        given = [Out() if passes_on else out for out, passes_on in zip(outs, self._passes_on, strict=True)]
        failures = plain.run(packed.seen, given, stop_at_failure)
        for out, seen in zip(outs, given, strict=True):
            if seen is not out and seen.rows:
                out.add(packed.kept(seen.rows))
        return failures

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

    def _batch_operators(self) -> list[BatchOperator]:
        return [node.operator for node in self._nodes if isinstance(node.operator, BatchOperator)]

    def _function(self, index: int, operator: Operator) -> Callable[[Any], Any]:
        fn = self._instances.function(operator)
        if isinstance(operator, EventTime):
            return operator.moment_of(fn)
        if self._state is not None and operator.gives_at_end:
            from penstock.operators.at_end import at_end  # most stages have no use for it

            self.keyed_calls.append((index, at_end(fn, self._state.of(f"on_end of {operator.verb}"))))
        if self._state is None or self._undo is None or not operator.writes_state:
            return fn
        state, call = self._state.of(operator.verb), None
        if isinstance(operator, KeyedOperator) and not self._may_fail_after(index):
            call = operator.without_undo(fn, state)
        if call is None:
            self._undoes = True
            made = operator.with_state(fn, self._undo, state)
            if not isinstance(made, KeyedCall):
                return made
            call = made
        self.keyed_calls.append((index, call))
        return call.step or call

    def _loop_of(self, index: int) -> RowLoop | None:
        """Of the call that stands for a node, once it was made."""
        return next((call.loop for number, call in self.keyed_calls if number == index), None)

    def _over(self, index: int) -> Callable[[Iterator[Any], list[Any]], None] | None:
        """What does all rows in one call, of the call that stands for a node."""
        return next((call.over for number, call in self.keyed_calls if number == index and call.over), None)

    def _may_fail_after(self, index: int) -> bool:
        """True: a row may fail once this operator has been given it: there is more that is done with it.

        What follows as time passes is not done with the row.
        """
        above = set[int]()
        at = self._nodes[index].parent
        while at != -1:
            above.add(at)
            at = self._nodes[at].parent
        others = [number for number in range(len(self._nodes)) if number != index and number not in above]
        return (
            self._timer is not None or self.has_batch_operators
            or self._nodes[index].operator.becomes is not Becomes.NOTHING
            or any(self._nodes[number].operator.becomes is Becomes.ROWS for number in above)
            or not all(self._gives_later(self._nodes[number].parent) for number in others)
            or not all(map(self._gives_later, self._leaves))
        )

    def _gives_later(self, node: int) -> bool:
        """True: what it gives, it gives as time passes. -1: the input of the stage."""
        while node != -1:
            if self._nodes[node].operator.becomes is Becomes.NOTHING:
                return True
            node = self._nodes[node].parent
        return False

    def _writes_first_and_alone(self) -> bool:
        """True: what is done first for each row writes to state, and nothing else does."""
        writing = [index for index, node in enumerate(self._nodes) if node.operator.writes_state]
        return writing == [0] and not self.has_batch_operators

    def _check_without_state(self) -> None:
        """Rows of coroutines overlap: taking back what one wrote would take back what others built on it."""
        for operator in (node.operator for node in self._nodes if node.operator.writes_state):
            waits = next(node.operator.name for node in self._nodes if node.operator.is_async)
            raise PenstockError(
                f"stage {self._label!r}: {operator.name} keeps state, and {waits} is a coroutine, whose rows overlap; "
                "put a stage between the two"
            )

    def _plain_rows(self, nodes: Sequence[ProgramNode]) -> PlainRows:
        program, first = self._compile(nodes, self._leaves), nodes[0]
        rows_of_lines = first.operator.rows_of_lines(first.fn)
        # Only where the first operator is all that is done with the lines themselves.
        if rows_of_lines is None or -1 in self._leaves or sum(node.parent == -1 for node in nodes) != 1:
            return PlainRows(program, self._timer, self._undo)
        rest = [ProgramNode(n.operator, n.parent - 1, n.fn) for n in nodes[1:]]
        after = self._compile(rest, [leaf - 1 for leaf in self._leaves])
        return PlainRows(program, self._timer, self._undo, rows_of_lines, after)

    def _runs(self, nodes: Sequence[ProgramNode], numbers: list[int], leaves: list[int]) -> Runs:
        """What runs some of the nodes by themselves."""
        at = {number: place for place, number in enumerate(numbers)}
        parents = [at.get(self._nodes[number].parent, -1) for number in numbers]
        # What the last row wrote is no business of those that write nothing.
        undo = self._undo if any(self._nodes[number].operator.writes_state for number in numbers) else None
        if self._tree is not None:
            tree = [Node(self._nodes[number].operator, parent) for number, parent in zip(numbers, parents)]
            return self._tree_of(tree, leaves, [nodes[number].fn for number in numbers], undo)
        mine = [
            ProgramNode(nodes[number].operator, parent, nodes[number].fn) for number, parent in zip(numbers, parents)
        ]
        program = compile_program(
            mine, leaves, self._label, interrupted=self._timer is not None, as_rows=self._as_rows, undo=undo
        )
        return PlainRows(program, self._timer, undo)

    def _tree_of(
        self, nodes: Sequence[Node], leaves: Sequence[int], functions: Sequence[Callable[[Any], Any]],
        undo: UndoLog | None,
    ) -> BatchTree:
        return BatchTree(
            nodes, leaves, functions, label=self._label, batch_rows=self.batch_rows, timer=self._timer,
            as_rows=self._as_rows, undo=undo,
        )

    def _compile(self, nodes: Sequence[ProgramNode], leaves: Sequence[int]) -> RowProgram:
        return compile_program(
            nodes, leaves, self._label, interrupted=self._timer is not None, spool=self.spool,
            as_rows=self._as_rows, undo=None if self._undo is not None and self._undo.single else self._undo,
        )


def _state_of(stage: str, room: SlotState | None) -> StageShelves:
    if room is None:
        from penstock.slot.state.slot_state import SlotState  # only in tests of the chain itself

        room = SlotState()
    return room.stage(stage)
