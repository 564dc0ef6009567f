"""A turn: what was taken in and given out since the last commit, and the step that makes it happen.

Rows are routed and encoded as soon as they fill a frame; `flush` encodes the rest, waits for room, appends past the
published tails, commits to the journal (and to a transactional sink before it), publishes and rings. Killed before
the journal's flip: nothing happened. After: all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from penstock.channel.bell import Bell, Sleep, Waits
from penstock.channel.frame import space
from penstock.channel.router import KeyFailure
from penstock.metrics.catalogue import Activity
from penstock.plan.plan import EdgePlan
from penstock.sink import RowsRejected, TransactionalWriter
from penstock.slot.batches import batch_length, batch_without, row_at
from penstock.slot.control import Control
from penstock.slot.crash_points import CrashPoints
from penstock.slot.dead_letter_file import DeadLetterFile
from penstock.slot.forks import leave_if_child
from penstock.slot.journal import Journal
from penstock.slot.last_error import write_last_error
from penstock.slot.meter import Meter
from penstock.slot.outputs import FRAME_BYTES, Unsendable
from penstock.slot.part import Part
from penstock.slot.queue_inputs import QueueInputs
from penstock.slot.record import Record, encode_record
from penstock.slot.retries import RetryFile, WaitingRow
from penstock.slot.source_input import SourceInput
from penstock.slot.spool import read_chunk
from penstock.slot.stops import CarefulRestart, Stopped, Trouble
from penstock.slot.unit import Unit
from penstock.slot.work import TURN_INPUT, Doing, Mark, WorkPage

_SAFETY_POLL_S: Final = 2.0
_TRANSACTION_S: Final = 0.1
"""Transactional sinks of a slot, one after the other, collect waiting frames for so long, and for so many rows."""
_TRANSACTION_ROWS: Final = 100_000
_RUSH_S: Final = 0.001
"""A receiver that waits is served at once, or, where more input waits and a piece takes less than this, after so long:
a commit for every frame, and a process woken for it, would cost more than the work."""
_TURN_BYTES: Final = 256 * 1024
"""A turn gives out so much at most before it is committed; of a small queue, a quarter."""
_COMMIT_S: Final = 0.00005
"""About what a commit takes. A source that waits longer for rows has the time to commit those it has."""
_TELL_S: Final = 0.5
_TURN_END_BYTES = space(64)


class Fates(Protocol):
    """What the turn asks of `rows.RowFates`."""

    def without_key(self, part: Part, edge: EdgePlan, failure: KeyFailure) -> None: ...
    def unsendable(self, part: Part, edge: EdgePlan, failure: Unsendable) -> None: ...
    def rejected(self, part: Part, row: Any, reason: str) -> None: ...


class Turn:
    """The turn of one slot. One stage of the slot at a time."""

    def __init__(
        self, parts: Sequence[Part], journal: Journal, record: Record, *, dead_letters: DeadLetterFile,
        retries: RetryFile, bell: Bell, waiter: Waits, meter: Meter, crash: CrashPoints, control: Control, fates: Fates,
        after_commit: Callable[[], None], last_errors: Path, run_id: str, work: WorkPage,
    ) -> None:
        self._parts = tuple(parts)
        self._journal = journal
        self._number = record.number
        self._epoch = record.epoch
        self._run_id = run_id
        self._dead_letters = dead_letters
        self._retries = retries
        self._bell = bell
        self._waiter = waiter
        self._meter = meter
        self._crash = crash
        self._control = control
        self._fates = fates
        self._after_commit = after_commit
        self._last_errors = last_errors
        self._work = work
        self._error_told_at = 0.0
        self._part: Part | None = None
        self._unit: Unit | None = None
        self._since = 0.0
        self._rows = 0
        self._encoded_rows = 0
        """Rows taken whose output is encoded already."""
        self._ingest_ns = 0
        self._taken: list[int] = []
        self._ingested: list[int] = []
        self._written: list[Any] = []
        self.pending = False

    # What goes on between two commits.

    def begin(self, part: Part, unit: Unit) -> None:
        """A batch was taken."""
        self._switch_to(part)
        self._unit = unit
        self._taken.append(unit.taken_ns)
        if not part.edges:
            self._ingested.append(unit.ingest_ns)
        self._note_ingest(unit.ingest_ns)

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

    def took(self, part: Part, rows: int) -> None:
        """Rows of the batch are through."""
        part.counts.rows_in += rows
        self._rows += rows
        self.pending = True

    def succeeded(self, part: Part, rows: int) -> None:
        """User code is through with rows and none of them raised."""
        part.counts.succeeded += rows
        if not part.edges and part.writer is None:
            part.counts.rows_out += rows  # what was called for its effect is delivered

    def write(self, part: Part, rows: int) -> None:
        """Hand what the chain gave of `rows` rows to the sink, if the stage has one."""
        if part.writer is None:
            return
        out = part.outs[-1]
        batches = out.batches()
        out.rows, out.blocks = [], []
        if batches:
            self._crash.reached("before_sink_write", part.counts.rows_in + rows)
        for batch in batches:
            self._write(part, batch)
        if batches:
            self._crash.reached("after_sink_write", part.counts.rows_in + rows)

    def _write(self, part: Part, batch: Any) -> None:
        assert part.writer is not None
        rows = batch_length(batch)
        try:
            part.writer.write(batch)
        except RowsRejected as rejected:
            for index, reason in sorted(rejected.reasons.items()):
                self._fates.rejected(part, row_at(batch, index), reason)
            batch = batch_without(batch, rejected.reasons)
            rows -= len(rejected.reasons)
        except Exception as exc:
            raise Trouble(part.plan.name, f"{part.sink_name}: write", exc, of_sink=True) from exc
        part.counts.rows_out += rows
        if isinstance(part.writer, TransactionalWriter):
            self._written.append(batch)

    def go_on(self, part: Part) -> None:
        """After a piece: encode what fills a frame; commit when it is time, though there may be more to read."""
        if not self.pending:
            return
        if self._has_waited(part) or self._is_waited_for(part):
            self.flush()
        elif self._fills_a_frame(part):
            self._encode(part)
            if any(queue.prepared_bytes >= min(_TURN_BYTES, queue.ring.capacity // 4) for queue in part.queues):
                self.flush()

    def _has_waited(self, part: Part) -> bool:
        """True: rows are pending for so long that they must be committed, or will be when the source gives more."""
        expected = self._source_waits_s(part)
        if isinstance(part.writer, TransactionalWriter):
            return self._rows >= _TRANSACTION_ROWS or self.collects_for() <= expected
        if part.queues and expected >= _COMMIT_S:
            return True
        return time.monotonic() - self._since + expected >= part.linger_s

    def _source_waits_s(self, part: Part) -> float:
        """How long the source is expected to wait where it reads, if that comes next; nothing can be done meanwhile."""
        if not isinstance(part.inputs, SourceInput) or (self._unit is not None and self._unit.done < self._unit.length):
            return 0.0
        return part.inputs.read_waits_s

    def _is_waited_for(self, part: Part) -> bool:
        """True: a receiver waits, and there is no more to take, or no time to take it first."""
        if not any(queue.reader_waits for queue in part.queues):
            return False
        if part.piece_s >= _RUSH_S or time.monotonic() - self._since >= _RUSH_S:
            return True
        if self._unit is not None and self._unit.done < self._unit.length:
            return False
        return not (isinstance(part.inputs, QueueInputs) and part.inputs.ready())  # a source may wait where it reads

    def _fills_a_frame(self, part: Part) -> bool:
        if part.bytes_per_row * (self._rows - self._encoded_rows) >= FRAME_BYTES:
            return True
        return any(
            len(out.rows) >= edge.edge.batch_rows or out.blocks
            for out, edge in zip(part.outs, part.edges, strict=False)
        )

    def collects_for(self) -> float:
        """Seconds that the turn may go on waiting: a transaction costs the same for many rows as for few.

        Where rows are in flight: as long as it would while input is there.
        """
        part = self._part
        if part is None:
            return 0.0
        if isinstance(part.writer, TransactionalWriter):
            return self._since + _TRANSACTION_S / len(self._parts) - time.monotonic()
        if not part.rows_in_flight:
            return 0.0
        waited_for = any(queue.reader_waits for queue in part.queues)
        return self._since + (_RUSH_S if waited_for else part.linger_s) - time.monotonic()

    def pause(self, seconds: float) -> None:
        """Do nothing for so long, with nothing pending. Raises `Stopped` when the supervisor asks for it meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._control.stopping:
                raise Stopped
            self._waiter.wait(min(left, _SAFETY_POLL_S))
            self._bell.drain()

    # The step.

    def flush(self) -> None:
        """Make the turn happen. Raises `CarefulRestart` when what some row gave cannot be encoded."""
        part = self._part
        if part is None or not self.pending:
            return
        self._encode(part)
        self._append_and_commit(part)

    def _encode(self, part: Part) -> None:
        error = self._prepare(part, self.mark_of_all(part))
        if error is not None:
            raise CarefulRestart(part.number, self._rows) from error

    def mark_of_all(self, part: Part, more: int = 0) -> Mark:
        """All rows since the last commit, and so many more."""
        return Mark(part.number, TURN_INPUT, self._number + 1, 0, max(self._rows + more, 1))

    def flush_carefully(self, mark: Mark) -> BaseException | None:
        """As `flush`, for a turn of one piece: gives the error when what a single row gave cannot be encoded.

        `mark`: whose it is. Raises `CarefulRestart` where the piece has more rows: it is not known yet which one it is.
        """
        part = self._part
        assert part is not None
        error = self._prepare(part, mark)
        if error is not None:
            if self._rows > 1:
                raise CarefulRestart(part.number, self._rows) from error
            part.clear_outs()
            part.counts.succeeded -= 1
            return error
        self._append_and_commit(part)
        return None

    def send_spooled(self, part: Part) -> None:
        """Send on what a row gave that was too much for memory; a commit for each piece says how far that is."""
        spool = part.chain.spool
        if spool is None or not part.spills:
            return
        while part.spills:
            spill = part.spills[0]
            self._switch_to(part)
            self._unit = None
            chunk = read_chunk(spool.path(spill.name), spill.offset)
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
        if part.writer is not None:
            try:
                part.writer.finish()
            except Exception as exc:
                raise Trouble(part.plan.name, f"{part.sink_name}: finish", exc, of_sink=True) from exc
        self._wait_until(lambda: all(queue.has_room_for_end() for queue in part.queues))
        for queue in part.queues:
            queue.append_end()
        part.finished = True
        self.pending = True
        self._commit(part)

    def _prepare(self, part: Part, mark: Mark) -> BaseException | None:
        """Route and encode what the leaves gave; on an error nothing is left prepared. `mark`: of whose rows it is."""
        turn, _ = self._turn_given(part)
        rows = 0
        unsent: list[tuple[EdgePlan, KeyFailure | Unsendable]] = []
        for edge, out in zip(part.edges, part.outs, strict=False):
            if not out.rows and not out.blocks:
                continue
            if edge.balances:
                self._wait_until(lambda edge=edge: any(queue.has_some_room() for queue in edge.queues))  # type: ignore[misc]
            self._work.enter(mark, Doing.ENCODING, edge.limit_ns)
            try:
                failures = edge.prepare(out, turn)
            except KeyboardInterrupt:
                raise
            except BaseException as exc:  # pickling runs the user's code: whatever it raises
                self._work.leave()
                for other in part.edges:
                    other.forget()
                return exc
            self._work.leave()
            unsent.extend((edge.edge, failure) for failure in failures)
            rows += out.length - len(failures)
        part.clear_outs()
        self._encoded_rows = self._rows
        if unsent:
            self._work.enter(mark, Doing.TELLING)
        for plan, failure in unsent:
            if isinstance(failure, Unsendable):
                self._fates.unsendable(part, plan, failure)
            else:
                self._fates.without_key(part, plan, failure)
        self._work.leave()
        part.counts.rows_out += rows
        return None

    def _append_and_commit(self, part: Part) -> None:
        leave_if_child()
        turn, end_turn = self._turn_given(part)
        concerned = [q for edge in part.edges for q in edge.queues if q.prepared or (end_turn and edge.turns)]
        if concerned:
            self._crash.reached("before_append", part.counts.rows_in)
            self._wait_until(lambda: all(queue.has_room(_TURN_END_BYTES) for queue in concerned))
            sent = sum(edge.append(ingest_ns=self._ingest_ns, turn=turn, end_turn=end_turn) for edge in part.edges)
            part.counts.bytes_out += sent
            part.counts.frames_out += 1
            part.learn(self._rows, sent)
            if part.deals_turns and not part.carries_turns:
                part.turn_out += 1
            self._crash.reached("after_append", part.counts.rows_in)
        self._commit(part)

    def _turn_given(self, part: Part) -> tuple[int, bool]:
        """(number of the turn that is given out, whether it ends here)."""
        unit = self._unit
        if part.carries_turns:
            return (unit.turn, unit.done >= unit.length and unit.turn_end) if unit is not None else (0, False)
        return part.turn_out, part.deals_turns

    def _commit(self, part: Part) -> None:
        leave_if_child()
        self._crash.reached("before_commit", part.counts.rows_in)
        part.counts.frames_in += len(self._taken)
        if part.writer is not None:
            part.sink_position = part.writer.position()
        record = self._record()
        if isinstance(part.writer, TransactionalWriter):
            record = self._commit_sink(part, part.writer, record)
        self._journal.commit(record)
        self._number = record.number
        self._crash.reached("after_commit", part.counts.rows_in)
        part.publish()
        self._crash.reached("after_publish", part.counts.rows_in)
        self._ring(part)
        part.show_counts(commit=True)
        self._meter.committed(part.page, self._taken, self._ingested)
        self._rows, self._encoded_rows, self._ingest_ns, self.pending = 0, 0, 0, False
        self._taken, self._ingested, self._written = [], [], []
        self._tell_last_error(part)
        self._after_commit()

    def _tell_last_error(self, part: Part) -> None:
        if part.last_error and time.monotonic() >= self._error_told_at + _TELL_S:
            self._error_told_at = time.monotonic()
            unwritten = write_last_error(self._last_errors, part.plan.name, part.last_error)
            if unwritten is not None:
                part.context.log.warning("the last error is not shown by `penstock status`: %s", unwritten)
            part.last_error = ""

    def _record(self) -> Record:
        return Record(
            self._number + 1, self._epoch, self._dead_letters.flush(), self._retries.flush(), self._retries.generation,
            self._run_id, [part.save() for part in self._parts],
        )

    def _commit_sink(self, part: Part, writer: TransactionalWriter[Any], record: Record) -> Record:
        """Rows and record in one transaction; refused rows are set aside and the others written again."""
        while True:
            self._crash.reached("before_sink_commit", part.counts.rows_in)
            try:
                writer.commit(encode_record(record))
            except RowsRejected as rejected:
                self._write_others(part, rejected.reasons)
                record = self._record()
                continue
            except Exception as exc:
                raise Trouble(part.plan.name, f"{part.sink_name}: commit", exc, of_sink=True) from exc
            self._crash.reached("after_sink_commit", part.counts.rows_in)
            return record

    def _write_others(self, part: Part, refused: Mapping[int, str]) -> None:
        """Set refused rows aside, by their index over all batches written, and write the others again."""
        written, self._written, first = self._written, [], 0
        for batch in written:
            length = batch_length(batch)
            mine = {index - first: reason for index, reason in refused.items() if first <= index < first + length}
            for index, reason in sorted(mine.items()):
                self._fates.rejected(part, row_at(batch, index), reason)
            part.counts.rows_out -= length
            if len(mine) < length:
                self._write(part, batch_without(batch, mine) if mine else batch)
            first += length

    def _ring(self, part: Part) -> None:
        self._bell.fence()
        for queue in part.queues:
            if queue.reader_sleeps:
                queue.receiver_bell.ring()
        if isinstance(part.inputs, QueueInputs):
            for source in part.inputs.queues:
                if source.sender_bell.asleep & Sleep.FOR_ROOM and source.ring.half_empty:
                    source.sender_bell.ring()

    def _wait_until(self, has_room: Callable[[], bool]) -> None:
        if has_room():
            return
        self._meter.now_doing(Activity.WAITING_FOR_OUTPUT)
        while True:
            self._bell.say_asleep(Sleep.FOR_ROOM)
            if has_room():
                break
            if self._control.stopping:
                raise Stopped
            self._waiter.wait(_SAFETY_POLL_S)
        self._bell.say_awake()
        self._meter.now_doing(Activity.BUSY)

    def _switch_to(self, part: Part) -> None:
        if self._part is not part and self.pending:
            self.flush()
        if not self.pending:
            self._since = time.monotonic()
            self._taken, self._ingested = [], []
            self._ingest_ns = 0
        self._part = part

    def _note_ingest(self, ingest_ns: int) -> None:
        self._ingest_ns = min(self._ingest_ns, ingest_ns) if self._ingest_ns else ingest_ns
