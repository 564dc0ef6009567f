"""Calls of the user's functions for the rows of a batch, and what follows: given out, tried in place, or set aside.

The rows in progress are written on the worker's page around each call, so that a death there is known to be theirs.
`plain`, `gathered_calls`, `in_flight` and `due_retries` share it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.operators.keyed_state import CannotTakeBack
from penstock.slot.input.batches import batch_slice
from penstock.slot.input.intake import Intake
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.output.spool import GivesTooMuch
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.process.forks import leave_if_child
from penstock.slot.process.pauses import Pauses
from penstock.slot.process.row_failure import Failure
from penstock.slot.records.work_page import Doing, Mark, WorkPage
from penstock.slot.running.gathering import Together
from penstock.slot.time_and_chance import Clock
from penstock.slot.turn.row_errors import RowErrors, StageEnd
from penstock.slot.turn.slot_stage import SlotStage
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
        self._in_call: SlotStage | None = None
        self._key = ""
        self._key_row = 0

    def idempotency_key(self) -> str:
        """The name of the row in progress."""
        key = current_key()
        if key is not None:
            return key
        stage = self._in_call
        row = stage.chain.row_in_work if stage is not None else None
        if stage is None or row is None:
            raise RuntimeError("idempotency_key names the row in progress; read it inside a call, not outside")
        return f"{self._key}/{self._key_row + row}" if self._key_row >= 0 else self._key

    def name_rows(self, key: str, first_row: int) -> None:
        """What is called next is named so: rows of a batch are counted from its first; -1: a single row has the key."""
        self._key, self._key_row = key, first_row

    # The next rows of a batch.

    def run_next(self, stage: SlotStage, intake: Intake) -> None:
        """As many as go in one piece."""
        mark = self.mark_of(stage, intake)
        blamed = self._suspicion.blamed(mark)
        careful = self._suspicion.careful(mark)
        if careful and self._turn.pending:
            self._turn.flush()  # what is marked is what is not committed
        if blamed is not None or intake.done in intake.failures:
            self.tell(mark, self._errors.never_called, stage, intake, blamed)
            self.advance(stage, intake, 1)
        else:
            self._run_piece(stage, intake, mark, careful)
        self._errors.settle(stage)
        if careful:
            self._turn.flush()
        else:
            self._turn.after_piece(stage)

    def _run_piece(self, stage: SlotStage, intake: Intake, mark: Mark, careful: bool) -> None:
        rows = self._piece(stage, intake, mark)
        mark = mark.over(rows)
        if careful:
            self.pause_before(mark)
        self.name_rows(intake.key, intake.first_row + intake.done)
        batch = batch_slice(intake.batch, intake.done, intake.done + rows)
        stops = self._errors.stops_at_failure(stage)
        failures = self.call_piece(stage, batch, mark, rows, stops, intake)
        if failures:
            batch = self.untouched(intake, mark, intake.done, rows)
        if failures and stops:
            rows = failures[0].index
        if not careful:
            stage.note_moments(intake)
        self._turn.succeeded(stage, rows if stops else rows - len(failures))
        self.write(stage, mark)
        if not stops:
            for failure in failures:
                row = Mark(mark.stage, mark.input, mark.sequence, mark.row + failure.index, 1)
                self.tell(row, self._errors.failed, stage, intake, batch, failure, row.row)
            failures = []
        self.advance(stage, intake, rows)
        if failures:
            self.end_piece(stage, intake, batch, failures[0])
        if careful:
            error = self._turn.flush_carefully(mark)
            if error is None:
                stage.note_moments(intake)
            else:
                stage.forget_moments()
                batch = self.untouched(intake, mark, intake.done - 1, 1)
                self.tell(mark, self._errors.not_encoded, stage, batch, error)

    def _piece(self, stage: SlotStage, intake: Intake, mark: Mark) -> int:
        rows = min(stage.piece_rows(intake.length - intake.done), self._suspicion.piece(mark))
        # A row that must not be called for ends the piece.
        looks = self._suspicion.any_blamed or intake.failures
        for index in range(intake.done + 1, intake.done + rows) if looks else ():
            if index in intake.failures or self._suspicion.blamed(self.mark_of(stage, intake, index)) is not None:
                return index - intake.done
        return rows

    def end_piece(self, stage: SlotStage, intake: Intake, batch: Any, failure: Failure) -> None:
        """The next row of the intake has failed, and those behind it wait until it is known what becomes of it.

        The rows before it are through by now: where it is the end of the stage, they are committed.
        """
        mark = self.mark_of(stage, intake)
        if isinstance(failure.error, GivesTooMuch):  # alone and later, which nobody behind it need wait for
            self.tell(mark, self._errors.failed, stage, intake, batch, failure, mark.row)
        else:
            self._try_in_place(stage, intake, batch, failure, mark)
        self.advance(stage, intake, 1)

    def _try_in_place(self, stage: SlotStage, intake: Intake, batch: Any, failure: Failure, mark: Mark) -> None:
        self.name_rows(intake.key, mark.row)
        attempts = 1
        last: Failure | None = failure
        while last is not None and (after_s := self._errors.in_place(stage, last, attempts)) is not None:
            if self._turn.pending:
                self._turn.flush()  # what is through already need not wait
            stage.counts.retries += 1
            self._pauses.pause(after_s)
            attempts += 1
            failures = self.call(stage, intake.rows_anew(1), mark, True)
            last = failures[0] if failures else None
        if last is None:
            stage.note_moments(intake)
            self._turn.succeeded(stage, 1)
        else:
            self.tell(mark, self._errors.failed_for_good, stage, batch, failure.index, last, attempts)
        self.write(stage, mark)

    # The steps of it.

    def untouched(self, intake: Intake, mark: Mark, first: int, rows: int) -> Any:
        """Rows of an intake as they came, to decide about them. Making them again is the user's code, too."""
        self._work.enter(mark, Doing.TELLING)
        batch = batch_slice(intake.untouched(), first, first + rows)
        self._work.leave()
        return batch

    def call_piece(
        self, stage: SlotStage, batch: Any, mark: Mark, rows: int, stops: bool, origin: Intake | Together
    ) -> list[Failure]:
        """As `call`; how long these rows took says how many are called for next. `mark` may be about more of them."""
        began = self._now_s()
        failures = self.call(stage, batch, mark, stops, origin)
        stage.learn_pace(rows, self._now_s() - began)
        return failures

    def pause_before(self, mark: Mark) -> None:
        """Do nothing for a while, where these rows may have killed a worker."""
        self._pauses.pause(self._suspicion.pause_s(mark))

    def call(
        self, stage: SlotStage, batch: Any, mark: Mark, stops: bool, origin: Intake | Together | None = None
    ) -> list[Failure]:
        """Run the stage's functions over rows; gives those that failed.

        `origin`: can make the rows again, which functions may have changed in place before one raised.
        """
        self._in_call = stage
        self._crash.reached("in_user_code", stage.counts.rows_in + mark.count)
        self._work.enter(mark)
        try:
            failures = stage.chain.run(batch, stage.all_outs, stop_at_failure=stops, origin=origin)
        except CannotTakeBack as error:
            self._turn.restart_carefully(stage, mark.count, error)
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

    def write(self, stage: SlotStage, mark: Mark) -> None:
        """Hand what rows gave to the stage's sink, if it has one."""
        if stage.sink is not None:
            self._work.enter(mark)
            self._turn.write(stage, mark.count)
            leave_if_child()
            self._work.leave()

    def advance(self, stage: SlotStage, intake: Intake, rows: int) -> None:
        """Rows of the intake are through, one way or the other."""
        intake.done += rows
        stage.inputs.progress(intake)
        self._turn.rows_done(stage, rows)
        self._suspicion.rows_done(rows)

    def mark_of(self, stage: SlotStage, intake: Intake, index: int | None = None) -> Mark:
        """A row of the intake, by default the next one."""
        row = intake.first_row + (intake.done if index is None else index)
        return Mark(stage.number, intake.input, intake.sequence, row, 1)
