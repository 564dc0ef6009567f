"""A sink that waits for checkpoints: rows become visible once a checkpoint covers them that outlives the machine.

Until then they stand in the slot's `epoch_spool`, which is a part of every checkpoint. Then they are applied: one
transaction of the target stores the rows together with a note of how far in the spool that is. The note counts: killed
between the transaction and the record that says the same, the next life reads it, and so does a run that was restored
from a checkpoint of before. `two_phase_output` is for targets without such a transaction.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from penstock.byte_files import Files
from penstock.channel.codec import RowCodec
from penstock.errors import TargetDamaged
from penstock.operator import Context
from penstock.sink import RowsRejected, Sink, TransactionalWriter, Writer
from penstock.slot.input.batches import as_given, as_row_list, batch_length, batch_without, row_at
from penstock.slot.output.epoch_spool import EpochSpool
from penstock.slot.output.sink_output import PositionOutput, Refused
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.process.forks import leave_if_child_by
from penstock.slot.process.user_errors import one_line
from penstock.slot.records.record import Counts, EpochRecord

APPLY_BYTES: Final = 32 * 1024 * 1024
"""Of the spool in one transaction, about: after an outage of the store there may be far more than fits in memory."""
_NOTE: Final = b"E"
"""How a note begins; the record of another kind of sink begins with its version."""


class Place(msgspec.Struct, frozen=True):
    """Where in a run an epoch sink is."""

    folder: Path
    """Of the slot."""
    stage: int
    """The stage's place among those of the slot."""
    row_type: Any
    """Annotation of the rows, where it is known."""
    run_id: str
    files: Files
    pinned: Callable[[], bool]
    crash: CrashPoints


class EpochOutput(PositionOutput):
    """Spools what is written, and applies what is durable. For a target that stores a note together with rows."""

    def __init__(self, sink: Sink[Any], writer: Writer[Any], place: Place, context: Context) -> None:
        super().__init__(context.stage, sink.target, writer, None)
        self._sink = sink
        self._place = place
        self._context = context
        self._spool: EpochSpool | None = None
        self._codec = RowCodec(place.row_type)
        self._marks: deque[tuple[int, int]] = deque()
        """(number of a commit, the place behind the rows that it made count)."""
        self._covered = 0
        """What stands before it is durable."""
        self._refused: list[Refused] = []
        """Rows that the target refused since the last commit of the stage: they go with the next one."""
        self._refused_numbers: set[int] = set()
        self._refused_since = 0
        """Nothing is applied before this commit is durable, which has the letters of rows that are left out."""
        self._given_back = False
        """True: refused rows go with the commit that is being made."""
        self._last = 0
        """The number of the slot's last commit."""
        self._rows_in = 0

    # Its life.

    def resume(self) -> None:
        if self.epoch is None:
            self.epoch = EpochRecord()
        self._given_back = bool(self.epoch.refused)
        self._read_note(self.epoch)
        self._spool = EpochSpool(
            self._place.folder, self._place.stage, self.epoch, self._codec, self._place.files, self._place.pinned
        )

    def _read_note(self, epoch: EpochRecord) -> None:
        """An earlier life may have applied more than it came to commit."""
        applied = self._noted()
        # The same lineage: a record of before. Another one: what was durable then is in the checkpoint, unless this
        # run resumes from one of before that.
        if applied > epoch.length:
            what = (
                "it has rows of this run that are newer than the checkpoint that the run resumes from, and they would "
                "be there twice; resume from a newer checkpoint (`--from ID`; `penstock checkpoints list` names them)"
            )
            raise TargetDamaged(self._target, what)
        if applied < epoch.applied:
            raise TargetDamaged(self._target, "it lacks rows that this run has written to it, or the note of them")
        if applied > epoch.applied:
            epoch.applied, epoch.refused = applied, []

    def _noted(self) -> int:
        """How far the target says that it has the rows of this run."""
        assert isinstance(self._writer, TransactionalWriter)
        data = self._writer.last_record()
        if not data or data[:1] != _NOTE:  # none, or of a run whose sink did not wait
            return 0
        run_id, applied = msgspec.msgpack.decode(data[1:], type=tuple[str, int])
        return applied if run_id == self._place.run_id else 0

    def close(self) -> None:
        super().close()
        if self._spool is not None:
            self._spool.close()

    # Turns.

    def write(self, batches: Sequence[Any], counts: Counts) -> list[Refused]:
        refused: list[Refused] = []
        for batch in batches:
            counts.rows_out += self._keep(batch, refused)
        return refused

    def _keep(self, batch: Any, refused: list[Refused]) -> int:
        """Spool a batch; how many of its rows."""
        assert self._spool is not None
        try:
            self._spool.add(batch)
            return batch_length(batch)
        except Exception as exc:  # pickling runs code of the rows' classes; it is seen below whose
            leave_if_child_by(exc)
            rows = as_row_list(batch)
            if len(rows) == 1:
                refused.append((rows[0], f"it cannot be kept until a checkpoint: {one_line(exc)}"))
                return 0
        return sum(self._keep([row], refused) for row in rows)

    def prepare(self, counts: Counts) -> list[Refused]:
        """Rows that the target refused when they were applied go with this commit, and so does what it leaves out."""
        spool, epoch = self._spool, self.epoch
        assert spool is not None and epoch is not None
        self._rows_in = counts.rows_in
        spool.flush()
        if not self._refused:
            return []
        refused, self._refused = self._refused, []
        epoch.refused = sorted({*epoch.refused, *self._refused_numbers})
        self._refused_numbers.clear()
        self._given_back = True
        counts.rows_out -= len(refused)
        return refused

    def committed(self, number: int) -> None:
        assert self._spool is not None and self.epoch is not None
        self._last = number
        self._spool.committed()
        self.wants_commit = bool(self._refused)
        if self._given_back:
            self._given_back, self._refused_since = False, number
        length = self.epoch.length
        if length > (self._marks[-1][1] if self._marks else max(self._covered, self.epoch.applied)):
            self._marks.append((number, length))

    def durable(self, number: int) -> None:
        while self._marks and self._marks[0][0] <= number:
            self._covered = self._marks.popleft()[1]
        if number >= self._refused_since:
            self._apply_covered()

    def _apply_covered(self) -> None:
        assert self.epoch is not None
        while self._covered > self.epoch.applied and not self._refused:
            self._place.crash.reached("before_apply", self._rows_in)
            self._apply(self.epoch)
            self.wants_commit = True

    @property
    def awaits(self) -> int:
        if self._marks:
            return self._marks[-1][0]
        assert self.epoch is not None
        if self.epoch.length == self.epoch.applied:
            return 0
        # Rows were left out: not before the next commit, if it is not there yet.
        return self._last + 1 if self._refused else self._refused_since

    # Applying.

    def _apply(self, epoch: EpochRecord) -> None:
        """Store rows and note in one transaction; or nothing, where the target refuses rows of it."""
        given, end, rows = self._read(epoch)
        written = self._write_all(given)
        if written is None:
            return
        self._place.crash.reached("before_sink_commit", self._rows_in)
        refused = self._commit(_NOTE + msgspec.msgpack.encode((self._place.run_id, end)), written)
        self._place.crash.reached("after_sink_commit", self._rows_in)
        if not refused:
            epoch.applied, epoch.refused = end, [number - rows for number in epoch.refused if number >= rows]

    def _read(self, epoch: EpochRecord) -> tuple[list[tuple[Any, list[int]]], int, int]:
        """(each batch with the numbers of its rows, without those left out; the place behind; how many rows)."""
        assert self._spool is not None
        left_out, given = set(epoch.refused), []
        rows, end = 0, epoch.applied
        for decoded, count, end in self._spool.frames(epoch.applied, self._covered):
            numbers = list(range(rows, rows + count))
            failures = {index: failure for index, failure in decoded.failures.items() if rows + index not in left_out}
            for index, (row, why) in failures.items():
                self._refuse(row, str(why), rows + index)
            absent = {*decoded.failures, *(number - rows for number in left_out if rows <= number < rows + count)}
            batch = batch_without(decoded.batch, absent) if absent else decoded.batch
            if absent:
                numbers = [number for number in numbers if number - rows not in absent]
            if numbers:
                given.append((batch, numbers))
            rows += count
            if end - epoch.applied >= APPLY_BYTES:
                break
        return given, end, rows

    def _write_all(self, given: Sequence[tuple[Any, list[int]]]) -> Sequence[tuple[Any, list[int]]] | None:
        """Into the open transaction; None: rows were refused, and there is none any more."""
        for batch, numbers in given:
            self._written_but(batch, numbers)
        if not self._refused:
            return given
        # What was written is in an open transaction, and there is no other way to be rid of it.
        self._writer.close()
        self._writer = self._opened()
        return None

    def _written_but(self, batch: Any, numbers: Sequence[int]) -> Mapping[int, str]:
        """Write a batch; by index, the rows that the target refuses, and why."""
        if not numbers:
            return {}
        try:
            self._writer.write(as_given(batch))
        except RowsRejected as rejected:
            self._require_rows("write", rejected, batch_length(batch))
            self._refuse_all(batch, numbers, rejected.reasons)
            return rejected.reasons
        except BaseException as exc:  # the sink's code, be it an exit or a panic
            leave_if_child_by(exc)
            raise self._trouble("write", exc) from exc
        return {}

    def _opened(self) -> Writer[Any]:
        try:
            writer = self._sink.writer(None, self._context)
            assert isinstance(writer, TransactionalWriter)
            writer.last_record()
        except BaseException as exc:
            leave_if_child_by(exc)
            raise self._trouble("open", exc) from exc
        return writer

    def _commit(self, note: bytes, written: Sequence[tuple[Any, list[int]]]) -> bool:
        """True: the target has refused rows."""
        assert isinstance(self._writer, TransactionalWriter)
        try:
            self._writer.commit(note)
        except RowsRejected as rejected:
            self._require_rows("commit", rejected, sum(len(numbers) for _, numbers in written))
            first = 0
            for batch, numbers in written:
                reasons = {i - first: why for i, why in rejected.reasons.items() if first <= i < first + len(numbers)}
                self._refuse_all(batch, numbers, reasons)
                first += len(numbers)
            return True
        except BaseException as exc:  # the sink's code, be it an exit or a panic
            leave_if_child_by(exc)
            raise self._trouble("commit", exc) from exc
        return False

    def _refuse_all(self, batch: Any, numbers: Sequence[int], reasons: Mapping[int, str]) -> None:
        for index, why in sorted(reasons.items()):
            self._refuse(row_at(batch, index), why, numbers[index])

    def _refuse(self, row: Any, why: str, number: int) -> None:
        """Its letter must be durable before the others are visible: a note of the target says nothing of it."""
        self._refused.append((row, why))
        self._refused_numbers.add(number)
