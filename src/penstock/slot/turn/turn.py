"""A turn: what was taken in and given out since the last commit.

Rows are routed and encoded (`sending`) as soon as they fill a frame; `flush` encodes the rest, waits for room, appends
past the published tails and commits (`commit`). When that is, `turn_policy` says. Rows that a sink refuses, or that
cannot be sent, are set aside on the way (`row_errors`), within the same commit.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.slot.input.queue_inputs import QueueInputs
from penstock.slot.input.source_input import SourceInput
from penstock.slot.input.unit import Unit
from penstock.slot.output.sink_output import Refused
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.process.forks import leave_if_child
from penstock.slot.process.stops import CarefulRestart
from penstock.slot.records.retries import WaitingRow
from penstock.slot.records.work_page import TURN_INPUT, Doing, Mark, WorkPage
from penstock.slot.time_and_chance import Clock
from penstock.slot.turn.commit import Commit
from penstock.slot.turn.meter import Meter
from penstock.slot.turn.part import Part
from penstock.slot.turn.row_errors import RowErrors, StageEnd
from penstock.slot.turn.sending import Sending
from penstock.slot.turn.turn_policy import TRANSACTION_S, TurnPolicy


class Turn:
    """The turn of one slot. One stage of the slot at a time."""

    def __init__(
        self, parts: Sequence[Part], *, sending: Sending, commit: Commit, errors: RowErrors, work: WorkPage,
        meter: Meter, crash: CrashPoints, clock: Clock,
    ) -> None:
        """`parts`: with their sinks open."""
        self._now_s = clock.now_s
        self._policies = [_policy(part, len(parts)) for part in parts]
        self._sending = sending
        self._commit = commit
        self._errors = errors
        self._work = work
        self._meter = meter
        self._crash = crash
        self._part: Part | None = None
        self._unit: Unit | None = None
        self._since = 0.0
        self._rows = 0
        self._encoded_rows = 0
        """Rows taken whose output is encoded already."""
        self._ingest_ns = 0
        self.pending = False
        """True: something is to be committed."""

    # Between two commits.

    def begin(self, part: Part, unit: Unit) -> None:
        """A batch was taken."""
        self.goes_on(part, unit)
        part.counts.frames_in += 1
        self._meter.batch_taken(unit, is_last=not part.edges)

    def goes_on(self, part: Part, unit: Unit) -> None:
        """More rows of a batch that was begun are through."""
        self._switch_to(part)
        self._unit = unit
        self._note_ingest(unit.ingest_ns)

    def begin_retry(self, part: Part, waiting: WaitingRow) -> None:
        """A row has its next attempt."""
        self._switch_to(part)
        self._unit = None
        self._note_ingest(waiting.ingest_ns)

    def rows_done(self, part: Part, rows: int) -> None:
        """Rows of the batch are through."""
        part.counts.rows_in += rows
        self._rows += rows
        self.pending = True

    def succeeded(self, part: Part, rows: int) -> None:
        """User code is through with rows and none of them raised."""
        part.counts.succeeded += rows
        if not part.edges and part.sink is None:
            part.counts.rows_out += rows  # what was called for its effect is delivered

    def write(self, part: Part, rows: int) -> None:
        """Hand what the chain gave of `rows` rows to the sink of the stage."""
        out = part.outs[-1]
        batches = out.batches()
        out.rows, out.blocks = [], []
        if batches:
            self._crash.reached("before_sink_write", part.counts.rows_in + rows)
            self._set_aside(part, part.sink_output.write(batches, part.counts))
            self._crash.reached("after_sink_write", part.counts.rows_in + rows)

    def go_on(self, part: Part) -> None:
        """After a piece: encode what fills a frame; commit when it is time, though there may be more to read."""
        if not self.pending:
            return
        if self._ends(part):
            self.flush()
        elif self._sending.fills_a_frame(part, self._rows - self._encoded_rows):
            self._encode(part)
            if self._sending.fills_a_turn(part):
                self.flush()

    def _ends(self, part: Part) -> bool:
        unit, inputs = self._unit, part.inputs
        more = unit is not None and unit.done < unit.length
        waits_s = inputs.read_waits_s if not more and isinstance(inputs, SourceInput) else 0.0
        waited_for = part.is_waited_for()
        if waited_for and not more:  # a source may stand still where it reads
            more = isinstance(inputs, QueueInputs) and inputs.ready()
        return self._policies[part.number].ends(
            self._now_s() - self._since, self._rows, source_waits_s=waits_s, piece_s=part.piece_s,
            receiver_waits=waited_for, more_is_here=more,
        )

    def collects_for(self) -> float:
        """Seconds that the turn may still wait for rows; 0 or less: commit it now."""
        part = self._part
        if part is None:
            return 0.0
        in_flight = part.rows_in_flight > 0
        return self._policies[part.number].collects_for(
            self._now_s() - self._since, rows_in_flight=in_flight, receiver_waits=in_flight and part.is_waited_for()
        )

    # Its end.

    def flush(self) -> None:
        """Make the turn happen. Raises `CarefulRestart` when what some row gave cannot be encoded."""
        part = self._part
        if part is None or not self.pending:
            return
        self._encode(part)
        self._append_and_commit(part)

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
        part = self._part
        assert part is not None
        error = self._encode_marked(part, mark)
        if error is not None:
            if self._rows > 1:
                raise CarefulRestart(part.number, self._rows) from error
            # Nothing of this row was appended: without its results the turn can be committed as if it had failed.
            part.clear_outs()
            part.chain.take_back_last()
            part.counts.succeeded -= 1
            return error
        self._append_and_commit(part)
        return None

    def mark_of_all(self, part: Part, more: int = 0) -> Mark:
        """All rows since the last commit, and this many more."""
        return Mark(part.number, TURN_INPUT, self._commit.number + 1, 0, max(self._rows + more, 1))

    def send_spooled(self, part: Part) -> None:
        """Send on what a row gave that was too much for memory; a commit for each piece says how far that is."""
        spool = part.chain.spool
        if spool is None or not part.spills:
            return
        while part.spills:
            spill = part.spills[0]
            self._switch_to(part)
            self._unit = None
            chunk = spool.chunk(spill.name, spill.offset)
            if chunk is None:
                part.spills.pop(0)
            else:
                part.outs[spill.leaf].rows.extend(chunk[0])
                spill.offset = chunk[1]
            if spill.leaf >= len(part.edges):
                self.write(part, 0)
            self.pending = True
            self.flush()
        spool.clean(())

    def finish(self, part: Part) -> None:
        """The stage is through: flush the sink, tell the receivers, commit for the last time."""
        self._switch_to(part)
        # One commit for the sink's last rows, the END frames and the mark that the stage is done: killed before it, the
        # successor finishes again.
        part.sink_output.finish()
        self._sending.append_end(part)
        part.finished = True
        self.pending = True
        self._make_happen(part)

    def _encode(self, part: Part) -> None:
        error = self._encode_marked(part, self.mark_of_all(part))
        if error is not None:
            raise CarefulRestart(part.number, self._rows) from error

    def _encode_marked(self, part: Part, mark: Mark) -> BaseException | None:
        turn, _ = self._turn_given(part)
        error = self._sending.encode(part, mark, turn)
        if error is not None:
            return error
        self._encoded_rows = self._rows
        unsent = self._sending.unsent
        if unsent:
            self._work.enter(mark, Doing.TELLING)
            for edge, failure in unsent:
                self.carry_out(self._errors.unsent(part, edge, failure))
            self._work.leave()
        return None

    def _append_and_commit(self, part: Part) -> None:
        leave_if_child()
        turn, end_turn = self._turn_given(part)
        self._sending.append(part, self._rows, ingest_ns=self._ingest_ns, turn=turn, end_turn=end_turn)
        self._make_happen(part)

    def _make_happen(self, part: Part) -> None:
        # Refused rows are set aside within the same commit, so that a row is stored or has a letter, never both.
        while refused := self._commit.attempt(part):
            self._set_aside(part, refused)
        self._rows, self._encoded_rows, self._ingest_ns, self.pending = 0, 0, 0, False

    def _set_aside(self, part: Part, refused: Sequence[Refused]) -> None:
        for row, reason in refused:
            self.carry_out(self._errors.rejected(part, row, reason))

    def _turn_given(self, part: Part) -> tuple[int, bool]:
        """(number of the turn that is given out, whether it ends here)."""
        unit = self._unit
        if part.carries_turns:
            return (unit.turn, unit.done >= unit.length and unit.turn_end) if unit is not None else (0, False)
        return part.turn_out, part.deals_turns

    def _switch_to(self, part: Part) -> None:
        if self._part is not part and self.pending:
            self.flush()
        if not self.pending:
            self._since = self._now_s()
            self._ingest_ns = 0
        self._part = part

    def _note_ingest(self, ingest_ns: int) -> None:
        self._ingest_ns = min(self._ingest_ns, ingest_ns) if self._ingest_ns else ingest_ns


def _policy(part: Part, parts: int) -> TurnPolicy:
    transaction_s = TRANSACTION_S / parts if part.sink_output.collects else 0.0
    return TurnPolicy(linger_s=part.linger_s, sends=bool(part.queues), transaction_s=transaction_s)
