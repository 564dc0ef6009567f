"""A turn: what was taken in and given out since the last commit.

Rows are routed and encoded (`sending`) as soon as they fill a frame; `flush` encodes the rest, waits for room, appends
past the published tails and commits (`commit`). When that is, `turn_policy` says. Rows that a sink refuses, or that
cannot be sent, are set aside on the way (`row_errors`), within the same commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from penstock.operators.keyed_state import StateNotEncoded
from penstock.slot.input.batches import as_row_list, batch_length
from penstock.slot.input.intake import Intake
from penstock.slot.input.queue_inputs import QueueInputs
from penstock.slot.input.source_input import SourceInput
from penstock.slot.output.sink_output import Refused
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.process.forks import leave_if_child
from penstock.slot.process.stops import CarefulRestart, StageFailed
from penstock.slot.process.user_errors import one_line
from penstock.slot.records.retries import WaitingRow
from penstock.slot.records.work_page import TURN_INPUT, Doing, Mark, WorkPage
from penstock.slot.time_and_chance import Clock
from penstock.slot.turn.commit import Commit
from penstock.slot.turn.meter import Meter
from penstock.slot.turn.row_errors import RowErrors, StageEnd
from penstock.slot.turn.sending import Sending
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.turn.turn_policy import TRANSACTION_S, TurnPolicy
from penstock.slot.watermarks.stage_time import TELL_S


class Turn:
    """The turn of one slot. One stage of the slot at a time."""

    def __init__(
        self, stages: Sequence[SlotStage], *, sending: Sending, commit: Commit, errors: RowErrors, work: WorkPage,
        meter: Meter, crash: CrashPoints, clock: Clock,
    ) -> None:
        """`stages`: with their sinks open."""
        self._now_s = clock.now_s
        self._policies = [_policy(stage, len(stages)) for stage in stages]
        self._sending = sending
        self._commit = commit
        self._errors = errors
        self._work = work
        self._meter = meter
        self._crash = crash
        self._stage: SlotStage | None = None
        self._intake: Intake | None = None
        self._since = 0.0
        self._rows = 0
        self._encoded_rows = 0
        """Rows taken whose output is encoded already."""
        self._called = 0
        """Rows since the last commit of which the sink was given what they gave."""
        self._given = 0
        """What that was, in rows; those that it refused do not count."""
        self._ingest_ns = 0
        self.pending = False
        """True: something is to be committed."""
        self._tells = False
        """True: receivers are told of event time now, because the source stands still where it is read next."""

    # Between two commits.

    def begin(self, stage: SlotStage, intake: Intake) -> None:
        """A batch was taken."""
        self.continue_batch(stage, intake)
        stage.counts.frames_in += 1
        self._meter.batch_taken(intake, is_last=not stage.edges)

    def continue_batch(self, stage: SlotStage, intake: Intake) -> None:
        """More rows of a batch that was begun are through."""
        self._switch_to(stage)
        self._intake = intake
        self._note_ingest(intake.ingest_ns)

    def begin_retry(self, stage: SlotStage, waiting: WaitingRow) -> None:
        """A row has its next attempt."""
        self._switch_to(stage)
        self._intake = None
        self._note_ingest(waiting.ingest_ns)

    def rows_done(self, stage: SlotStage, rows: int) -> None:
        """Rows of the batch are through."""
        stage.counts.rows_in += rows
        self._rows += rows
        self.pending = True

    def succeeded(self, stage: SlotStage, rows: int) -> None:
        """User code is through with rows and none of them raised."""
        stage.counts.succeeded += rows
        if not stage.edges and stage.sink is None:
            stage.counts.rows_out += rows  # what was called for its effect is delivered

    def write(self, stage: SlotStage, rows: int) -> None:
        """Hand what the chain gave of `rows` rows to the sink of the stage."""
        out = stage.outs[-1]
        self._called += rows
        batches = out.batches()
        out.rows, out.blocks = [], []
        if batches:
            self._crash.reached("before_sink_write", stage.counts.rows_in + rows)
            self._given += sum(map(batch_length, batches))
            self._set_aside(stage, stage.sink_output.write(batches, stage.counts))
            self._crash.reached("after_sink_write", stage.counts.rows_in + rows)

    def after_piece(self, stage: SlotStage) -> None:
        """After a piece: encode what fills a frame; commit when it is time, though there may be more to read."""
        if not self.pending:
            return
        if self._ends(stage):
            self.flush()
        elif self._sending.fills_a_frame(stage, self._rows - self._encoded_rows):
            self._encode(stage)
            if self._sending.fills_a_turn(stage):
                self.flush()

    def _ends(self, stage: SlotStage) -> bool:
        intake, inputs = self._intake, stage.inputs
        more = intake is not None and intake.done < intake.length
        waits_s = inputs.read_waits_s if not more and isinstance(inputs, SourceInput) else 0.0
        self._tells = waits_s >= TELL_S and stage.time is not None
        waited_for = stage.is_waited_for()
        if waited_for and not more:  # a source may stand still where it reads
            more = isinstance(inputs, QueueInputs) and inputs.ready()
        return self._policies[stage.number].ends(
            self._now_s() - self._since, self._rows, source_waits_s=waits_s, piece_s=stage.piece_s,
            receiver_waits=waited_for, more_is_here=more,
        )

    def collects_for(self) -> float:
        """Seconds that the turn may still wait for rows; 0 or less: commit it now."""
        stage = self._stage
        if stage is None:
            return 0.0
        in_flight = stage.rows_in_flight > 0
        return self._policies[stage.number].collects_for(
            self._now_s() - self._since, rows_in_flight=in_flight, receiver_waits=in_flight and stage.is_waited_for()
        )

    # Its end.

    def flush(self) -> None:
        """Make the turn happen. Raises `CarefulRestart` when what some row gave cannot be encoded."""
        stage = self._stage
        if stage is None or not self.pending:
            return
        error = self._encode_state(stage, self.mark_of_all(stage))
        if error is not None:
            raise CarefulRestart(stage.number, self._rows) from error
        self._encode(stage)
        self._append_and_commit(stage)

    def note(self, stage: SlotStage) -> None:
        """Commit what its sink has to say, though no row came."""
        self._switch_to(stage)
        if not self.pending:
            self._intake = None
            self.pending = True
        self.flush()

    def restart_carefully(self, stage: SlotStage, rows: int, error: BaseException) -> NoReturn:
        """Have a successor go over all rows since the last commit one by one, and over this many more."""
        raise CarefulRestart(stage.number, max(self._rows + rows, 1)) from error

    def carry_out(self, end: StageEnd | None) -> None:
        """What a row's error asks for, where that is more than to set the row aside. Raises `StageFailed`."""
        if end is None:
            return
        if not end.undoes:
            self.flush()
        raise end.error

    def flush_carefully(self, mark: Mark) -> BaseException | None:
        """As `flush`, for a turn of one piece: gives the error when what a single row gave cannot be encoded.

        `mark`: whose it is. Raises `CarefulRestart` where the piece has more rows: it is not known yet which one it is.
        """
        stage = self._stage
        assert stage is not None
        error = self._encode_state(stage, mark) or self._encode_marked(stage, mark)
        if error is not None:
            if self._rows > 1:
                raise CarefulRestart(stage.number, self._rows) from error
            # Nothing of this row was appended: without its results the turn can be committed as if it had failed.
            stage.clear_outs()
            stage.chain.take_back_last()
            stage.counts.succeeded -= 1
            return error
        self._append_and_commit(stage)
        return None

    def mark_of_all(self, stage: SlotStage, more: int = 0) -> Mark:
        """All rows since the last commit, and this many more."""
        return Mark(stage.number, TURN_INPUT, self._commit.number + 1, 0, max(self._rows + more, 1))

    # As time passes.

    def begin_time(self, stage: SlotStage) -> None:
        """Rows are about to be given that follow from the time, and from no row in progress."""
        self._switch_to(stage)
        if self.pending and stage.sink is not None:
            self.flush()  # what the sink refuses of rows in progress is theirs, and for it their state is undone
        if not self.pending:
            self._intake = None
            return
        # What rows in progress gave goes first: an error in it is theirs.
        error = self._encode_state(stage, self.mark_of_all(stage))
        if error is not None:
            raise CarefulRestart(stage.number, self._rows) from error
        self._encode(stage)

    def has_passed(self, stage: SlotStage) -> None:
        """What its operators know of the time is another state: it is committed, even if nothing came of it."""
        self._switch_to(stage)
        self.pending = True
        self.after_piece(stage)

    def encode_given(self, stage: SlotStage) -> list[tuple[Any, BaseException]]:
        """Encode what followed from the time, and commit if it is enough for a turn. Gives what cannot be encoded."""
        self.pending = True
        mark, (turn, _) = self.mark_of_all(stage), self._turn_given(stage)
        error = self._encode_state(stage, mark)
        if error is not None:  # there is no row that could be left out instead
            raise StageFailed(stage.plan.name, one_line(error)) from error
        refused: list[tuple[Any, BaseException]] = []
        if self._sending.encode(stage, mark, turn, keeps=True) is not None:
            given = [(out, as_row_list(batch)) for out in stage.outs for batch in out.batches()]
            stage.clear_outs()
            for out, row in [(out, row) for out, rows in given for row in rows]:
                out.rows = [row]
                error = self._sending.encode(stage, mark, turn, keeps=True)
                if error is not None:
                    stage.clear_outs()
                    refused.append((row, error))
                self._tell_unsent(stage, mark)
        self._tell_unsent(stage, mark)
        if self._sending.fills_a_turn(stage):
            self._append_and_commit(stage)
        return refused

    def tell_time(self, stage: SlotStage) -> None:
        """Say to all receivers how far event time has come, and commit that it was said."""
        self._switch_to(stage)
        if self.pending:
            self.flush()  # rows that are to be sent say it, too
        if not stage.lags():
            return
        self._intake = None
        turn, end_turn = self._turn_given(stage)
        if end_turn and not all(edge.has_room(True) for edge in stage.edges):
            return  # time is told in whole turns here, and nobody waits for room only to tell it
        self.pending = True
        self._sending.append(stage, 0, ingest_ns=0, turn=turn, end_turn=end_turn, tells=True)
        self._make_happen(stage)

    def send_spooled(self, stage: SlotStage) -> None:
        """Send on what a row gave that was too much for memory; a commit for each piece says how far that is."""
        spool = stage.chain.spool
        if spool is None or not stage.spills:
            return
        while stage.spills:
            spill = stage.spills[0]
            self._switch_to(stage)
            self._intake = None
            chunk = spool.chunk(spill.name, spill.offset)
            if chunk is None:
                stage.spills.pop(0)
            else:
                # Both in one commit: killed before it, the successor sends from the old offset; after it, from here.
                stage.outs[spill.leaf].rows.extend(chunk[0])
                spill.offset = chunk[1]
            if spill.leaf >= len(stage.edges):
                self.write(stage, 0)
            self.pending = True
            self.flush()
        # Only now: until that commit the record named the file, and a successor would have read it.
        spool.clean(())

    def finish(self, stage: SlotStage) -> None:
        """The stage is through: flush the sink, tell the receivers, commit for the last time."""
        self._switch_to(stage)
        # One commit for the sink's last rows, the END frames and the mark that the stage is done: killed before it, the
        # successor finishes again.
        stage.sink_output.finish()
        self._sending.append_end(stage)
        stage.finished = True
        self.pending = True
        self._make_happen(stage)

    def _encode(self, stage: SlotStage) -> None:
        error = self._encode_marked(stage, self.mark_of_all(stage))
        if error is not None:
            raise CarefulRestart(stage.number, self._rows) from error

    def _encode_state(self, stage: SlotStage, mark: Mark) -> BaseException | None:
        """Log what was written to state. First of all, for a value that cannot be stored is a failure of its row."""
        if not stage.chain.logs_state:
            return None
        self._work.enter(mark, Doing.ENCODING)
        try:
            stage.chain.encode_state()
        except StateNotEncoded as exc:
            self._work.leave()
            return exc
        self._work.leave()
        return None

    def _encode_marked(self, stage: SlotStage, mark: Mark) -> BaseException | None:
        turn, _ = self._turn_given(stage)
        error = self._sending.encode(stage, mark, turn)
        if error is not None:
            return error
        self._encoded_rows = self._rows
        self._tell_unsent(stage, mark)
        return None

    def _tell_unsent(self, stage: SlotStage, mark: Mark) -> None:
        unsent = self._sending.unsent
        if unsent:
            self._work.enter(mark, Doing.TELLING)
            for edge, failure in unsent:
                self.carry_out(self._errors.unsent(stage, edge, failure))
            self._work.leave()
            self._sending.unsent = []

    def _append_and_commit(self, stage: SlotStage) -> None:
        leave_if_child()
        turn, end_turn = self._turn_given(stage)
        self._sending.append(
            stage, self._rows, ingest_ns=self._ingest_ns, turn=turn, end_turn=end_turn, tells=self._tells
        )
        self._tells = False
        self._make_happen(stage)

    def _make_happen(self, stage: SlotStage) -> None:
        # Refused rows are set aside within the same commit, so that a row is stored or has a letter, never both.
        while refused := self._commit.attempt(stage):
            self._set_aside(stage, refused)
        self._rows, self._encoded_rows, self._ingest_ns, self.pending = 0, 0, 0, False
        self._called = self._given = 0

    def _set_aside(self, stage: SlotStage, refused: Sequence[Refused]) -> None:
        """Rows that the sink refused."""
        if refused and stage.chain.keeps_state:
            if self._called > 1:  # whose they are is not known, and others may have built on what those wrote to state
                raise CarefulRestart(stage.number, self._called)
            self._given -= len(refused)
            if self._called and not self._given:
                stage.chain.take_back_last()
        for row, reason in refused:
            self.carry_out(self._errors.rejected(stage, row, reason))

    def _turn_given(self, stage: SlotStage) -> tuple[int, bool]:
        """(number of the turn that is given out, whether it ends here)."""
        intake = self._intake
        if stage.carries_turns:
            return (intake.turn, intake.done >= intake.length and intake.turn_end) if intake is not None else (0, False)
        return stage.turn_out, stage.deals_turns

    def _switch_to(self, stage: SlotStage) -> None:
        if self._stage is not stage and self.pending:
            self.flush()
        if not self.pending:
            self._since = self._now_s()
            self._ingest_ns = 0
        self._stage = stage

    def _note_ingest(self, ingest_ns: int) -> None:
        if not ingest_ns:  # of a frame without rows, which tells of event time
            return
        self._ingest_ns = min(self._ingest_ns, ingest_ns) if self._ingest_ns else ingest_ns


def _policy(stage: SlotStage, stages: int) -> TurnPolicy:
    transaction_s = TRANSACTION_S / stages if stage.sink_output.collects else 0.0
    return TurnPolicy(linger_s=stage.linger_s, sends=bool(stage.queues), transaction_s=transaction_s)
