"""Rows that failed: another attempt, the dead-letter store, left out, or the end of the stage.

What is decided here about a row goes with the next commit: a letter, a waiting row, a count. That the stage ends is
given back as a value, for only the caller knows what must be committed before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import structs

from penstock.batch import UndecodedRow
from penstock.channel.column_batch import ColumnBatch
from penstock.channel.router import KeyFailure
from penstock.ctrl_c import is_ctrl_c
from penstock.dead_letter_frames import DeadLetterRecord
from penstock.dead_letter_record import decode_record, encode_record, new_record
from penstock.error_text import cut
from penstock.event_time import END_OF_TIME, shown_moment
from penstock.operator import Drop
from penstock.operators.keyed_operator import KeyFailed
from penstock.operators.keyed_state import StateNotEncoded
from penstock.operators.verb import Operator
from penstock.plan.plan import EdgePlan, StageSettings
from penstock.slot.input.batches import row_at
from penstock.slot.input.intake import Intake
from penstock.slot.output.outputs import Unsendable
from penstock.slot.output.spool import GivesTooMuch
from penstock.slot.process.row_failure import Failure
from penstock.slot.process.stops import StageFailed
from penstock.slot.process.user_errors import one_line, user_traceback
from penstock.slot.records.dead_letter_file import DeadLetterFile
from penstock.slot.records.life import Blamed
from penstock.slot.records.retries import RetryFile, WaitingRow
from penstock.slot.time_and_chance import Clock
from penstock.slot.turn import trial
from penstock.slot.turn.error_policy import Decision, FailStage, RetryRow, SetAside, SkipRow, decide, last_resort
from penstock.slot.turn.slot_stage import SlotStage


class Lost(msgspec.Struct, frozen=True):
    """A row without further attempts, and why."""

    row: Any
    error: str
    attempts: int
    traceback: str = ""
    operator: str = ""
    stage: str | None = None
    """Whose row it is, if not the stage's that is running."""
    cause: BaseException | None = None
    """What the user's code raised."""


class _Came(msgspec.Struct, frozen=True):
    """How a row came that may wait for another attempt."""

    key: str
    """Its idempotency key."""
    ingest_ns: int
    holds_us: int
    """How far event time may go while it waits."""


class StageEnd(msgspec.Struct, frozen=True):
    """The stage fails at a row."""

    error: StageFailed
    undoes: bool
    """True: the row counts as taken and its loss is written down nowhere, so its turn must not be committed.

    False: what is before the row is to be committed first.
    """


class RowErrors:
    """Decides by each stage's settings; keeps dead letters and waiting rows for the next commit.

    A method gives None where the row is dealt with. `StageFailed` is raised at once where no row of the stage can be
    expected to succeed: then nothing of the turn is committed.
    """

    def __init__(
        self, pipeline: str, dead_letters: DeadLetterFile, retries: RetryFile, clock: Clock,
        pickled: Callable[[object], bytes],
    ) -> None:
        self._clock = clock
        self._pickled = pickled
        self._pipeline = pipeline
        self._dead_letters = dead_letters
        self._retries = retries
        self._never_sent = 0
        """Rows of this life that have no key, or that a sink has no text for."""
        self._last: dict[int, tuple[str, str]] = {}
        """By stage: the last error before any success, and its traceback."""

    def stops_at_failure(self, stage: SlotStage) -> bool:
        """True: rows behind a failed one may not be given out before its fate is known."""
        return stage.in_place_retries or stage.plan.settings.on_error.kind == "fail"

    def failed(self, stage: SlotStage, intake: Intake, batch: Any, failure: Failure, number: int) -> StageEnd | None:
        """A row raised for the first time, and those behind it may run. `number`: the row's own, as `Mark` has it."""
        columns = isinstance(batch, ColumnBatch)
        row, unmade = batch.row_or_failure(failure.index) if columns else (row_at(batch, failure.index), "")
        # No further: what was noted of rows behind it is not settled while its batch is in progress.
        holds_us = END_OF_TIME if stage.time is None else stage.time.watermark
        return self._decide(stage, row, failure, 1, _Came(f"{intake.key}/{number}", intake.ingest_ns, holds_us), unmade)

    def in_place(self, stage: SlotStage, failure: Failure, attempts: int) -> float | None:
        """A row raised and those behind it wait: after how many seconds to try it again; None: never.

        `attempts`: calls made so far.
        """
        decision = decide(stage.plan.settings, failure.error, attempts, self._clock.chance())
        return decision.after_s if isinstance(decision, RetryRow) else None

    def failed_for_good(
        self, stage: SlotStage, batch: Any, index: int, failure: Failure, attempts: int
    ) -> StageEnd | None:
        """A row that was tried in its place has no further attempt. `index`: its own, in the batch."""
        decision = decide(stage.plan.settings, failure.error, attempts, self._clock.chance())
        return self._end(stage, decision, _lost(_row(stage, batch, index), failure, attempts))

    def never_called(self, stage: SlotStage, intake: Intake, blamed: Blamed | None) -> StageEnd | None:
        """A row that killed its worker, or that could not be decoded."""
        if intake.done in intake.failures:
            row, why = intake.failures[intake.done]
            lost = _undecoded(row, why, blamed.attempts if blamed is not None else 1)
        else:
            assert blamed is not None
            row = UndecodedRow() if blamed.untouchable else _row(stage, intake.batch, intake.done)
            lost = Lost(row, blamed.reason, blamed.attempts)
        return self._end(stage, last_resort(stage.plan.settings), lost)

    def not_encoded(self, stage: SlotStage, batch: Any, error: BaseException) -> StageEnd | None:
        """What a single row gave cannot travel. The row counts as taken, so its turn may not be committed as it is."""
        lost = _not_sendable(_row(stage, batch, 0), error, 1)
        return self._end(stage, last_resort(stage.plan.settings), lost, undoes=True)

    def retried(self, stage: SlotStage, waiting: WaitingRow, failure: Failure | None) -> StageEnd | None:
        """A waiting row had its next attempt."""
        stage.counts.retries += int(waiting.attempts > 0)
        end = None
        if failure is not None:
            came = _Came(waiting.key, waiting.ingest_ns, waiting.holds_us)
            end = self._decide(stage, waiting.load(), failure, waiting.attempts + 1, came)
        if end is None:  # else nothing comes after, and the row stays: fixed code finds it waiting
            self._retries.through(waiting.number)
        return end

    def retry_lost(self, stage: SlotStage, waiting: WaitingRow, blamed: Blamed) -> StageEnd | None:
        """A waiting row that killed its worker."""
        self._retries.through(waiting.number)
        row = UndecodedRow(waiting.row) if blamed.untouchable else waiting.load()
        lost = Lost(row, blamed.reason, waiting.attempts + 1)
        return self._end(stage, last_resort(stage.plan.settings), lost, undoes=True)

    def retry_undecoded(self, stage: SlotStage, waiting: WaitingRow, error: BaseException) -> StageEnd | None:
        """A waiting row that cannot be brought back."""
        self._retries.through(waiting.number)
        lost = _undecoded(UndecodedRow(waiting.row), error, waiting.attempts)
        return self._end(stage, last_resort(stage.plan.settings), lost, undoes=True)

    def retry_not_encoded(self, stage: SlotStage, waiting: WaitingRow, error: BaseException) -> StageEnd | None:
        """What a waiting row gave in its last attempt cannot travel."""
        lost = _not_sendable(waiting.load(), error, waiting.attempts + 1)
        return self._end(stage, last_resort(stage.plan.settings), lost, undoes=True)

    def unsent(self, stage: SlotStage, edge: EdgePlan, failure: KeyFailure | Unsendable) -> StageEnd | None:
        """A row that cannot go over an edge: it is set aside under the name and the policy of the receiver."""
        if isinstance(failure, Unsendable):
            return self._unsendable(stage, edge, failure)
        return self._without_key(stage, edge, failure)

    def _without_key(self, stage: SlotStage, edge: EdgePlan, failure: KeyFailure) -> StageEnd | None:
        """The receiving stage's key function raised, here in the sending worker: its policy counts."""
        lost = Lost(
            failure.row, one_line(failure.error), 1, user_traceback(failure.error), f"key_by {edge.key_where}".rstrip(),
            edge.receiver, failure.error,
        )
        settings = StageSettings(on_error=edge.on_error)
        # A verdict counts; there are no further attempts, because the row that would be tried is the sender's.
        decision = SkipRow() if isinstance(failure.error, Drop) else last_resort(settings)
        end = self._end(stage, decision, lost, undoes=True)
        return end or self._give_up_on_edge(stage, edge, lost)

    def _unsendable(self, stage: SlotStage, edge: EdgePlan, failure: Unsendable) -> StageEnd | None:
        """The sink behind the edge has no text for a row, here in the sending worker: the sink's policy counts."""
        lost = Lost(
            failure.row, f"rejected by the sink: {cut(failure.reason)}", 1, operator="sink", stage=edge.receiver
        )
        end = self._end(stage, last_resort(StageSettings(on_error=edge.on_error)), lost, undoes=True)
        return end or self._give_up_on_edge(stage, edge, lost)

    def _give_up_on_edge(self, stage: SlotStage, edge: EdgePlan, lost: Lost) -> StageEnd | None:
        self._never_sent += 1
        limit = edge.on_error.give_up_after
        sent = any(out.sent_anything for out in stage.edges if out.edge is edge)
        if limit is not None and not sent and self._never_sent >= limit / stage.context.workers:
            hopeless = trial.hopeless(self._never_sent, lost.error)
            return StageEnd(StageFailed(edge.receiver, hopeless, lost.traceback), undoes=True)
        return None

    def at_its_time(self, stage: SlotStage, operator: Operator, failed: KeyFailed) -> StageEnd | None:
        """User code raised for a key when its time had come; there is no row, so the key stands for it."""
        error = f"{one_line(failed.error)}; it was called at {shown_moment(failed.at_us)} for this key"
        lost = Lost(
            failed.key, error, 1, user_traceback(failed.error), f"{operator.name} {operator.where}", cause=failed.error
        )
        decision = SkipRow() if isinstance(failed.error, Drop) else last_resort(stage.plan.settings)
        return self._end(stage, decision, lost)

    def rejected(self, stage: SlotStage, row: Any, reason: str) -> StageEnd | None:
        """A sink refused a row."""
        lost = Lost(row, f"rejected by the sink: {cut(reason)}", 1, operator="sink")
        return self._end(stage, last_resort(stage.plan.settings), lost, undoes=True)

    def _decide(
        self, stage: SlotStage, row: Any, failure: Failure, attempts: int, came: _Came, unmade: str = ""
    ) -> StageEnd | None:
        """Let a row wait for its next attempt, or end it.

        `unmade`: why `row` is only what can be shown of it; functions of columns took it, and it cannot come alone.
        """
        decision = decide(stage.plan.settings, failure.error, attempts, self._clock.chance())
        attempts -= int(isinstance(failure.error, GivesTooMuch))
        lost = _lost(row, failure, attempts)
        if isinstance(decision, RetryRow) and unmade:
            lost = structs.replace(lost, error=f"{lost.error}; it cannot be retried later: {cut(unmade)}")
            decision = last_resort(stage.plan.settings)
        elif isinstance(decision, RetryRow):
            try:
                data = self._pickled(row)
            except BaseException as exc:  # pickling runs the user's code; and such a row cannot outlive its worker
                if is_ctrl_c(exc):
                    raise
                lost = structs.replace(lost, error=f"{lost.error}; it cannot be retried later: {one_line(exc)}")
                decision = last_resort(stage.plan.settings)
            else:
                self._retries.add(
                    stage=stage.number, due_s=self._retries.now_s() + decision.after_s, attempts=attempts, row=data,
                    key=came.key, ingest_ns=came.ingest_ns, holds_us=came.holds_us,
                )
                return None
        return self._end(stage, decision, lost, came)

    def _end(
        self, stage: SlotStage, decision: Decision, lost: Lost, held: _Came | None = None, *, undoes: bool = False,
    ) -> StageEnd | None:
        """Carry the decision out, as far as it is about the row.

        `held`: how it came, where it may be tried again by another run. `undoes`: of `StageEnd`.
        """
        name = lost.stage or stage.plan.name
        told = f"{lost.operator}: {lost.error}" if lost.operator else lost.error
        match decision:
            case FailStage():
                # Its words before others' results are encoded and sent: they may say that the row is to blame.
                reason = f"{told}; the row was {_shown(lost.row)}"
                return StageEnd(StageFailed(name, reason, lost.traceback, lost.cause), undoes)
            case SkipRow() if lost.stage is not None:
                stage.count_unsent(lost.stage, skipped=1)
            case SkipRow():
                stage.counts.skipped += 1
            case SetAside():
                self.settle(stage)  # older letters first
                letter = new_record(
                    pipeline=self._pipeline, stage=name, slot=stage.context.slot, operator=lost.operator,
                    time_s=self._clock.wall_s(), attempts=lost.attempts, error=lost.error, traceback=lost.traceback,
                    row=lost.row, pickled=self._pickled,
                )
                if held is None or not self._hold(stage, lost, letter, held):
                    self._dead_letters.append(letter)
                    if lost.stage is not None:
                        stage.count_unsent(lost.stage, set_aside=1)
                    else:
                        stage.counts.dead_letters += 1
        if not isinstance(decision, SkipRow) and stage.counts.succeeded == 0:
            stage.counts.failed_before_success += 1
            self._last[stage.number] = told, lost.traceback
            trial.give_up_if_hopeless(stage, told, lost.traceback)
        stage.last_error, stage.last_error_stage = told, name
        return None

    def _hold(self, stage: SlotStage, lost: Lost, letter: DeadLetterRecord, held: _Came) -> bool:
        """Let a row wait for the verdict about its stage. False: there is no room, or it cannot wait."""
        if stage.in_place_retries or not letter.row or not self._retries.may_hold(letter.row) or not trial.is_on(stage):
            return False
        self._retries.add(
            stage=stage.number, due_s=math.inf, attempts=lost.attempts, row=letter.row, key=held.key,
            ingest_ns=held.ingest_ns, letter=encode_record(structs.replace(letter, row=b"")), holds_us=held.holds_us,
        )
        return True

    def settle(self, stage: SlotStage, *, anyhow: bool = False) -> None:
        """Make letters of what waited for a verdict, if the code is good. `anyhow`: there will be no verdict."""
        if not self._retries.holds or (not anyhow and trial.is_on(stage)):
            return
        for waiting in self._retries.held(stage.number):
            letter = decode_record(waiting.letter)
            self._dead_letters.append(structs.replace(letter, row=waiting.row, time_s=self._clock.wall_s()))
            self._retries.through(waiting.number)
            stage.counts.dead_letters += 1

    def may_finish(self, stage: SlotStage, *, draining: bool) -> bool:
        """At the end of its input. Raises `StageFailed` where no row of the stage has ever succeeded."""
        told, traceback = self._last.get(stage.number, ("", ""))
        for waiting in self._retries.held(stage.number) if not told else ():
            letter = decode_record(waiting.letter)  # of an earlier life
            told, traceback = f"{letter.operator}: {letter.error}", letter.traceback
        decided = draining or trial.is_decided_at_the_end(stage, told, traceback)
        self.settle(stage, anyhow=decided)
        return decided


def _lost(row: Any, failure: Failure, attempts: int) -> Lost:
    operator = f"{failure.operator.name} {failure.operator.where}" if failure.operator else ""
    error = failure.error
    return Lost(row, one_line(error), attempts, user_traceback(error), operator, cause=error)


def _not_sendable(row: Any, error: BaseException, attempts: int) -> Lost:
    if isinstance(error, StateNotEncoded):
        cause = error.error
        told = f"the state of {_shown(error.key)} cannot be stored: {one_line(cause)}"
        return Lost(row, told, attempts, user_traceback(cause), error.where, cause=cause)
    told = f"the function's result cannot be pickled: {one_line(error)}"
    return Lost(row, told, attempts, user_traceback(error), cause=error)


def _undecoded(row: Any, why: BaseException | str, attempts: int) -> Lost:
    if isinstance(why, str):
        return Lost(row, cut(why), attempts)
    told = f"the row cannot be decoded: {one_line(why)}"
    return Lost(row, told, attempts, user_traceback(why), "decoding", cause=why)


def _row(stage: SlotStage, batch: Any, index: int) -> Any:
    return row_at(batch, index)


def _shown(row: Any) -> str:
    try:
        text = repr(row)
    except BaseException as exc:  # a repr of the user's
        if is_ctrl_c(exc):
            raise
        return f"a {type(row).__name__} whose repr raises {type(exc).__name__}"
    return cut(text, 300)
