"""Calls of the user's functions for the rows of a batch, and what follows: given out, tried in place, or set aside.

The rows in progress are written on the worker's page around each call, so that a death there is known to be theirs.
`plain`, `gathered_calls`, `in_flight` and `due_retries` share it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.slot.input.batches import batch_slice
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.input.unit import Unit
from penstock.slot.output.spool import GivesTooMuch
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.process.forks import leave_if_child
from penstock.slot.process.pauses import Pauses
from penstock.slot.process.row_failure import Failure
from penstock.slot.records.work_page import Doing, Mark, WorkPage
from penstock.slot.running.gathering import Together
from penstock.slot.time_and_chance import Clock
from penstock.slot.turn.part import Part
from penstock.slot.turn.row_errors import RowErrors, StageEnd
from penstock.slot.turn.turn import Turn
from penstock.slot.user_code.async_rows import current_key


class Calls:
    """Calls for the stages of one slot."""

    def __init__(
        self, *, turn: Turn, errors: RowErrors, pauses: Pauses, suspicion: Suspicion, work: WorkPage,
        crash: CrashPoints, clock: Clock,
    ) -> None:
        self._now_s = clock.now_s
        self._turn = turn
        self._errors = errors
        self._pauses = pauses
        self._suspicion = suspicion
        self._work = work
        self._crash = crash
        self._in_call: Part | None = None
        self._key = ""
        self._key_row = 0

    def idempotency_key(self) -> str:
        """The name of the row in progress."""
        key = current_key()
        if key is not None:
            return key
        part = self._in_call
        row = part.chain.row_in_work if part is not None else None
        if part is None or row is None:
            raise RuntimeError("idempotency_key names the row in progress; read it inside a call, not outside")
        return f"{self._key}/{self._key_row + row}" if self._key_row >= 0 else self._key

    def name_rows(self, key: str, first_row: int) -> None:
        """What is called next is named so: rows of a batch are counted from its first; -1: a single row has the key."""
        self._key, self._key_row = key, first_row

    # The next rows of a batch.

    def run_next(self, part: Part, unit: Unit) -> None:
        """As many as go in one piece."""
        mark = self.mark_of(part, unit)
        blamed = self._suspicion.blamed(mark)
        careful = self._suspicion.careful(mark)
        if careful and self._turn.pending:
            self._turn.flush()  # what is marked is what is not committed
        if blamed is not None or unit.done in unit.failures:
            self.tell(mark, self._errors.never_called, part, unit, blamed)
            self.advance(part, unit, 1)
        else:
            self._run_piece(part, unit, mark, careful)
        self._errors.settle(part)
        if careful:
            self._turn.flush()
        else:
            self._turn.go_on(part)

    def _run_piece(self, part: Part, unit: Unit, mark: Mark, careful: bool) -> None:
        rows = self._piece(part, unit, mark)
        mark = mark.over(rows)
        if careful:
            self.pause_before(mark)
        self.name_rows(unit.key, unit.first_row + unit.done)
        batch = batch_slice(unit.batch, unit.done, unit.done + rows)
        stops = self._errors.stops_at_failure(part)
        failures = self.call_piece(part, batch, mark, rows, stops, unit)
        if failures:
            batch = self.untouched(unit, mark, unit.done, rows)
        if failures and stops:
            rows = failures[0].index
        self._turn.succeeded(part, rows if stops else rows - len(failures))
        self.write(part, mark)
        if not stops:
            for failure in failures:
                row = Mark(mark.part, mark.input, mark.sequence, mark.row + failure.index, 1)
                self.tell(row, self._errors.failed, part, unit, batch, failure, row.row)
            failures = []
        self.advance(part, unit, rows)
        if failures:
            self.end_piece(part, unit, batch, failures[0])
        if careful:
            error = self._turn.flush_carefully(mark)
            if error is not None:
                batch = self.untouched(unit, mark, unit.done - 1, 1)
                self.tell(mark, self._errors.not_encoded, part, batch, error)

    def _piece(self, part: Part, unit: Unit, mark: Mark) -> int:
        rows = min(part.piece_rows(unit.length - unit.done), self._suspicion.piece(mark))
        # A row that must not be called for ends the piece.
        for index in range(unit.done + 1, unit.done + rows) if self._suspicion.any_blamed or unit.failures else ():
            if index in unit.failures or self._suspicion.blamed(self.mark_of(part, unit, index)) is not None:
                return index - unit.done
        return rows

    def end_piece(self, part: Part, unit: Unit, batch: Any, failure: Failure) -> None:
        """The next row of the unit has failed, and those behind it wait until it is known what becomes of it.

        The rows before it are through by now: where it is the end of the stage, they are committed.
        """
        mark = self.mark_of(part, unit)
        if isinstance(failure.error, GivesTooMuch):  # alone and later, which nobody behind it need wait for
            self.tell(mark, self._errors.failed, part, unit, batch, failure, mark.row)
        else:
            self._try_in_place(part, unit, batch, failure, mark)
        self.advance(part, unit, 1)

    def _try_in_place(self, part: Part, unit: Unit, batch: Any, failure: Failure, mark: Mark) -> None:
        self.name_rows(unit.key, mark.row)
        attempts = 1
        last: Failure | None = failure
        while last is not None and (after_s := self._errors.in_place(part, last, attempts)) is not None:
            if self._turn.pending:
                self._turn.flush()  # what is through already need not wait
            part.counts.retries += 1
            self._pauses.pause(after_s)
            attempts += 1
            failures = self.call(part, unit.rows_anew(1), mark, True)
            last = failures[0] if failures else None
        if last is None:
            self._turn.succeeded(part, 1)
        else:
            self.tell(mark, self._errors.failed_for_good, part, batch, failure.index, last, attempts)
        self.write(part, mark)

    # The steps of it.

    def untouched(self, unit: Unit, mark: Mark, first: int, rows: int) -> Any:
        """Rows of a unit as they came, to decide about them. Making them again is the user's code, too."""
        self._work.enter(mark, Doing.TELLING)
        batch = batch_slice(unit.untouched(), first, first + rows)
        self._work.leave()
        return batch

    def call_piece(
        self, part: Part, batch: Any, mark: Mark, rows: int, stops: bool, origin: Unit | Together
    ) -> list[Failure]:
        """As `call`; how long these rows took says how many are called for next. `mark` may be about more of them."""
        began = self._now_s()
        failures = self.call(part, batch, mark, stops, origin)
        part.learn_pace(rows, self._now_s() - began)
        return failures

    def pause_before(self, mark: Mark) -> None:
        """Do nothing for a while, where these rows may have killed a worker."""
        self._pauses.pause(self._suspicion.pause_s(mark))

    def call(
        self, part: Part, batch: Any, mark: Mark, stops: bool, origin: Unit | Together | None = None
    ) -> list[Failure]:
        """Run the stage's functions over rows; gives those that failed.

        `origin`: can make the rows again, which functions may have changed in place before one raised.
        """
        self._in_call = part
        self._crash.reached("in_user_code", part.counts.rows_in + mark.count)
        self._work.enter(mark)
        failures = part.chain.run(batch, part.outs, stop_at_failure=stops, origin=origin)
        leave_if_child(failures)
        self._work.leave()
        self._in_call = None
        return failures

    def tell(self, mark: Mark, decide: Callable[..., StageEnd | None], *about: Any) -> None:
        """Have it decided about a row, and do so. Its words, its error's and its pickle are the user's code."""
        self._work.enter(mark, Doing.TELLING)
        end = decide(*about)
        self._work.leave()
        self._turn.carry_out(end)

    def write(self, part: Part, mark: Mark) -> None:
        """Hand what rows gave to the stage's sink, if it has one."""
        if part.sink is not None:
            self._work.enter(mark)
            self._turn.write(part, mark.count)
            leave_if_child()
            self._work.leave()

    def advance(self, part: Part, unit: Unit, rows: int) -> None:
        """Rows of the unit are through, one way or the other."""
        unit.done += rows
        part.inputs.progress(unit)
        self._turn.rows_done(part, rows)
        self._suspicion.rows_done(rows)

    def mark_of(self, part: Part, unit: Unit, index: int | None = None) -> Mark:
        """A row of the unit, by default the next one."""
        row = unit.first_row + (unit.done if index is None else index)
        return Mark(part.number, unit.input, unit.sequence, row, 1)
