"""A stage with batch functions, which are given what waits together (`gathering`)."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.channel.bell import Sleep
from penstock.metrics.catalogue import Activity
from penstock.slot.process.row_failure import Failure
from penstock.slot.process.stops import Stopped
from penstock.slot.records.control import Control
from penstock.slot.records.retries import RetryFile
from penstock.slot.running.calls import Calls
from penstock.slot.running.gathering import Gathering, Span, Together, spans_of
from penstock.slot.turn.meter import Meter
from penstock.slot.turn.row_errors import RowErrors
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.turn.turn import Turn


class GatheredRunner:
    """One call for rows of several batches."""

    def __init__(
        self, stage: SlotStage, calls: Calls, gathering: Gathering, *, turn: Turn, errors: RowErrors,
        retries: RetryFile, meter: Meter, control: Control,
    ) -> None:
        self.stage = stage
        self._calls = calls
        self._gathering = gathering
        self._turn = turn
        self._errors = errors
        self._retries = retries
        self._meter = meter
        self._control = control

    def step(self) -> bool:
        gathering = self._gathering
        if not self._retries.full:
            gathering.fill()
        if not gathering:
            if gathering.damage is not None:
                self._turn.flush()
                raise gathering.damage
            return False
        rows = gathering.due(patient=not self._control.draining)
        if not rows and gathering.first.left:
            return False
        self._run(rows)
        if self._control.stopping:
            raise Stopped
        return True

    def has_work(self) -> bool:
        gathering = self._gathering
        if gathering:
            if not gathering.first.left or gathering.due(patient=not self._control.draining):
                return True
        elif gathering.damage is not None:
            return True
        return gathering.wants_more() and self.stage.inputs.ready() and not self._retries.full

    @property
    def through(self) -> bool:
        return not self._gathering and self.stage.inputs.ended

    @property
    def sleeps_for(self) -> int:
        return Sleep.FOR_MORE if self._gathering else Sleep.FOR_INPUT

    @property
    def nap_s(self) -> float | None:
        return self._gathering.waits_s() if self._gathering else None

    def _run(self, rows: int) -> None:
        stage, gathering = self.stage, self._gathering
        self._meter.now_doing(Activity.BUSY)
        together = gathering.together(stage.piece_rows(rows)) if rows else None
        if together is not None:
            self._run_together(*together)
        else:
            intake = gathering.first
            if gathering.begins(intake):
                self._turn.begin(stage, intake)
            done = intake.done
            if intake.left:
                self._calls.run_next(stage, intake)
            else:
                self._calls.advance(stage, intake, 0)
            gathering.rows_done(intake.done - done)
        if stage.deals_turns:
            self._turn.flush()

    def _run_together(self, batch: object, spans: list[Span]) -> None:
        """Rows of several batches in one call; those that fail are set aside as rows of their own batch."""
        stage, gathering = self.stage, self._gathering
        rows = sum(span.rows for span in spans)
        if gathering.begins(spans[0].intake):
            self._turn.begin(stage, spans[0].intake)
        mark, stops = self._turn.mark_of_all(stage, rows), self._errors.stops_at_failure(stage)
        # The mark is about all rows since the last commit: after a death, that many are called for batch by batch, and
        # those of this call are the last of them.
        failures = self._calls.call_piece(stage, batch, mark, rows, stops, Together(spans))
        stage.note_moments(spans[0].intake)
        through = failures[0].index if failures and stops else rows
        self._turn.succeeded(stage, through if stops else rows - len(failures))
        self._calls.write(stage, mark)
        for first, span in spans_of(spans):
            if gathering.begins(span.intake):
                self._turn.begin(stage, span.intake)
            mine = [failure for failure in failures if first <= failure.index < first + span.rows]
            self._advance(span, mine, first, min(through - first, span.rows), stops)
            if stops and mine:
                break
        self._errors.settle(stage)
        self._turn.after_piece(stage)

    def _advance(self, span: Span, failures: Sequence[Failure], first: int, rows: int, stops: bool) -> None:
        """`failures`: of this batch, their indices counted through the call, in which its rows begin at `first`."""
        stage, intake, calls = self.stage, span.intake, self._calls
        batch = calls.untouched(intake, calls.mark_of(stage, intake), intake.done, span.rows) if failures else []
        own = [Failure(failure.index - first, failure.error, failure.operator) for failure in failures]
        for failure in () if stops else own:
            mark = calls.mark_of(stage, intake, intake.done + failure.index)
            calls.tell(mark, self._errors.failed, stage, intake, batch, failure, mark.row)
        calls.advance(stage, intake, rows)
        if stops and own:
            calls.end_piece(stage, intake, batch, own[0])
            rows += 1
        self._gathering.rows_done(rows)
