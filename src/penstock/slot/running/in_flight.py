"""A stage of coroutines: many rows in flight, over the borders of batches, given out and committed in their order.

`called_ahead` keeps them going; here batches are taken for it, and what is through is given out. Between two steps the
event loop runs (`event_loop`).
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from penstock.channel.bell import Sleep
from penstock.slot.input.intake import Intake
from penstock.slot.input.source_input import SourceInput
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.process.row_failure import Failure
from penstock.slot.process.stops import StageFailed
from penstock.slot.records.retries import RetryFile, WaitingRow
from penstock.slot.records.work_page import WorkPage
from penstock.slot.running.called_ahead import MOST_ROWS, CalledAhead
from penstock.slot.running.calls import Calls
from penstock.slot.turn.row_errors import RowErrors
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.turn.turn import Turn
from penstock.slot.user_code.row_in_work import RowInWork

_MOST_UNITS: Final = 64
_SOURCE_WAITS_S: Final = 0.02
"""A source that waits longer where it reads is read while nothing is in flight: the event loop stands still then."""


class InFlight:
    """The rows of one stage in one slot, as a `runner`."""

    def __init__(
        self, stage: SlotStage, calls: Calls, ahead: CalledAhead, *, turn: Turn, errors: RowErrors, retries: RetryFile,
        suspicion: Suspicion, work: WorkPage,
    ) -> None:
        self.stage = stage
        self._calls = calls
        self._ahead = ahead
        self._turn = turn
        self._errors = errors
        self._retries = retries
        self._suspicion = suspicion
        self._work = work
        self._intakes: deque[Intake] = deque()
        """Taken, and not through; the first one may be begun."""
        self._most_units = max(_MOST_UNITS, 2 * stage.plan.settings.concurrency)
        self._begun = False
        self._damage: StageFailed | None = None
        """What is read next is damaged: raised once the rows before it are given out."""

    # What `loop` asks for.

    def step(self) -> bool:
        """Give out what is through, and take more. False: there is nothing to do until a row ends or input comes."""
        intake = self._apart()
        if intake is not None:
            self._run_apart(intake)
            return True
        ahead = self._ahead
        ahead.look()
        did = self._give_out_retry() or self._give_out()
        if ahead.has_waited and not self._ready_to_give_out():
            ahead.has_waited = False
            if self._turn.pending and self.stage.is_waited_for():
                self._turn.flush()
        if self._damage is not None and not self._intakes:
            self._turn.flush()
            raise self._damage
        if self._wants_more():
            did = self._take_more() or did
        ahead.start()
        ahead.show(self._work)
        return did

    def has_work(self) -> bool:
        ahead = self._ahead
        if ahead.is_broken or (self._damage is not None and not self._intakes):
            return True
        if ahead.retried or self._ready_to_give_out() or self._apart() is not None:
            return True
        return self._wants_more() and self.stage.inputs.ready()

    @property
    def through(self) -> bool:
        return not self._intakes and self._ahead.empty and self.stage.inputs.ended

    @property
    def sleeps_for(self) -> int:
        return Sleep.FOR_INPUT if self._ahead.hungry else Sleep.AWAKE

    @property
    def nap_s(self) -> float | None:
        return None

    def let_run(self) -> None:
        """A round of the event loop, without waiting for anything."""
        self._ahead.let_run()

    # What `due_retries` asks for.

    def retry(self, waiting: WaitingRow, row: Any) -> None:
        """A row's next attempt is due."""
        self._ahead.retry(waiting, row)

    def hold(self, holds: bool) -> None:
        """True: call for no more rows, so that soon none is in flight."""
        self._ahead.hold(holds)

    @property
    def idle(self) -> bool:
        """True when nothing is in flight, and nothing that was waits to be given out."""
        return self._ahead.idle

    # In.

    def _wants_more(self) -> bool:
        if self._retries.full or self._damage is not None or not self._ahead.wants_more:
            return False
        if len(self._intakes) >= self._most_units:
            return False
        inputs = self.stage.inputs
        return not (isinstance(inputs, SourceInput) and inputs.read_waits_s > _SOURCE_WAITS_S and not self.idle)

    def _take_more(self) -> bool:
        try:
            intake = self.stage.inputs.take()
        except StageFailed as failed:
            self._damage = failed
            return True
        if intake is not None:
            self._intakes.append(intake)
            self._ahead.add(intake)
        return intake is not None

    # Rows that must not be in flight beside others.

    def _apart(self) -> Intake | None:
        intake = self._ahead.next_apart()
        return intake if intake is not None and intake is self._intakes[0] else None

    def _run_apart(self, intake: Intake) -> None:
        self._begin()
        self._calls.run_next(self.stage, intake)
        self._ahead.worked_apart(intake)
        if intake.left == 0:
            self._through()

    # Out.

    def _begin(self) -> None:
        """Rows of the first intake are about to be given out."""
        if self._begun:
            self._turn.continue_batch(self.stage, self._intakes[0])
        else:
            self._begun = True
            self._turn.begin(self.stage, self._intakes[0])

    def _through(self) -> None:
        self._intakes.popleft()
        self._begun = False

    def _ready_to_give_out(self) -> bool:
        window = self._ahead.window
        return bool(window and window[0].done) or bool(self._intakes and self._intakes[0].left == 0)

    def _give_out(self) -> bool:
        """What the next rows gave, as far as they are through; of one intake."""
        if not self._ready_to_give_out():
            return False
        stage, intake, window, calls = self.stage, self._intakes[0], self._ahead.window, self._calls
        self._begin()
        if intake.left == 0:
            calls.advance(stage, intake, 0)
        elif window[0].never:
            mark = window.popleft().mark(stage.number)
            calls.tell(mark, self._errors.never_called, stage, intake, self._suspicion.blamed(mark))
            calls.advance(stage, intake, 1)
        else:
            self._give_out_piece(intake)
        self._errors.settle(stage)
        self._turn.after_piece(stage)
        if intake.left == 0:
            self._through()
            if stage.carries_turns or stage.deals_turns:
                self._turn.flush()
        return True

    def _give_out_piece(self, intake: Intake) -> None:
        stage, window = self.stage, self._ahead.window
        piece: list[RowInWork] = []
        failed: RowInWork | None = None
        most = max(int(stage.piece_bytes / stage.bytes_per_row), 1) if stage.bytes_per_row else MOST_ROWS
        while window and window[0].done and not window[0].never and window[0].intake is intake and len(piece) < most:
            row = window.popleft()
            if row.failure is not None and self._ahead.in_place:
                failed = row
                break
            piece.append(row)
            stage.counts.retries += max(row.attempts - 1, 0)
        if piece:
            self._give_out_rows(intake, piece)
        if failed is not None:
            stage.counts.retries += max(failed.attempts - 1, 0)
            self._calls.tell(
                failed.mark(stage.number), self._errors.failed_for_good, stage,
                self._as_it_came(failed), 0, failed.failure, max(failed.attempts, 1),
            )
            self._calls.advance(stage, intake, 1)

    def _give_out_rows(self, intake: Intake, piece: list[RowInWork]) -> None:
        stage, calls = self.stage, self._calls
        failed = [row for row in piece if row.failure is not None]
        for row in piece:
            if row.failure is None:
                self._give(row.given)
        stage.note_moments(intake)
        self._turn.succeeded(stage, len(piece) - len(failed))
        calls.write(stage, piece[0].mark(stage.number, len(piece)))
        for row in failed:
            assert row.failure is not None
            mark, failure = row.mark(stage.number), Failure(0, row.failure.error, row.failure.operator)
            calls.tell(mark, self._errors.failed, stage, intake, self._as_it_came(row), failure, mark.row)
        calls.advance(stage, intake, len(piece))

    def _as_it_came(self, row: RowInWork) -> Any:
        """A batch of it alone, without what its function may have changed in it before it raised."""
        assert row.intake is not None
        return self._calls.untouched(row.intake, row.mark(self.stage.number), row.index, 1)

    def _give(self, given: list[list[Any]]) -> None:
        for out, rows in zip(self.stage.all_outs, given, strict=True):
            out.rows.extend(rows)

    def _give_out_retry(self) -> bool:
        """The outcome of a row's next attempt, in a turn of its own."""
        if not self._ahead.retried:
            return False
        stage, row, calls = self.stage, self._ahead.retried.popleft(), self._calls
        mark = row.mark(stage.number)
        assert row.retry is not None
        self._turn.flush()
        self._turn.begin_retry(stage, row.retry)
        if row.failure is None:
            self._give(row.given)
            stage.forget_moments()
        calls.write(stage, mark)
        self._turn.succeeded(stage, 1 if row.failure is None else 0)
        calls.tell(mark, self._errors.retried, stage, row.retry, row.failure)
        self._turn.rows_done(stage, 0)
        self._errors.settle(stage)
        error = self._turn.flush_carefully(mark)
        if error is not None:
            calls.tell(mark, self._errors.retry_not_encoded, stage, row.retry, error)
            self._turn.flush()
        return True
