"""Where the rows of a stage leave the pipeline: into no sink, by position, by flush, or by transaction.

A sink by position is written to as rows come; the record says how far it counts, and what is behind is cut away
by the next life. A sink by flush has a client that buffers rows, which is waited for before each commit. A sink by
transaction stores the record itself, together with the rows. Rows that a sink refuses are
given back, for `turn` to have them set aside. Another kind of sink is another class here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.operator import Context
from penstock.sink import RowsRejected, Sink, TransactionalWriter, Writer
from penstock.slot.input.batches import as_given, batch_length, batch_without, require_rows, row_at
from penstock.slot.process.forks import leave_if_child_by
from penstock.slot.process.stops import Trouble
from penstock.slot.records.record import Counts, EpochRecord, Record, decode_record, encode_record, is_of_this_version

Refused = tuple[Any, str]
"""A row that a sink refused, and why."""


class SinkOutput:
    """No sink, or one that is not open."""

    collects = False
    """True: the more rows are written before a commit, the less it costs."""

    def __init__(self, position: Any = None) -> None:
        self.position = position
        """Goes into the record."""
        self.epoch: EpochRecord | None = None
        """Goes into the record, where the sink waits for checkpoints."""
        self.wants_commit = False
        """True: there is something to commit though no row came."""

    def resume(self) -> None:
        """Called once, after opening: `position` and `epoch` are those of the newest record, which is known now."""

    def write(self, batches: Sequence[Any], counts: Counts) -> list[Refused]:
        """Hand rows to the sink and count them; gives those that it refused."""
        raise AssertionError("rows for a sink that is not open")

    def prepare(self, counts: Counts) -> list[Refused]:
        """A commit comes: see to it that `position` covers all that was written. Gives rows that the sink refused."""
        return []

    def commit(self, record: Record, counts: Counts) -> list[Refused]:
        """Store rows and record in one transaction, if the sink has them.

        Where it refuses rows nothing is stored: the others are written again, and the commit has to be, too, with a
        record that knows of the refused ones.
        """
        return []

    def record_of(self, run_id: str, lineage: int) -> Record | None:
        """The record that the sink holds of this run and lineage, if it holds records."""
        return None

    def committed(self, number: int) -> None:
        """A record was committed that covers what was prepared; at the start, the one that this life resumes from."""

    def durable(self, number: int) -> None:
        """The commits up to this one are covered by a checkpoint that outlives the machine. Between two turns.

        Numbers grow, and some are left out. Raises `Trouble`.
        """

    @property
    def awaits(self) -> int:
        """The stage may not finish before this commit is durable; 0: it may."""
        return 0

    def finish(self) -> None:
        """The stage is through with its input."""

    def close(self) -> None:
        """The last call of a life that ends in order."""


class PositionOutput(SinkOutput):
    """A sink whose position is committed with everything else."""

    def __init__(self, stage: str, target: str, writer: Writer[Any], position: Any) -> None:
        super().__init__(position)
        self._stage = stage
        self._target = target
        self._writer = writer

    def write(self, batches: Sequence[Any], counts: Counts) -> list[Refused]:
        refused: list[Refused] = []
        for batch in batches:
            self._write(batch, counts, refused)
        return refused

    def _write(self, batch: Any, counts: Counts, refused: list[Refused]) -> Any:
        """Write one batch; gives what of it was written."""
        try:
            self._writer.write(as_given(batch))
        except RowsRejected as rejected:
            self._require_rows("write", rejected, batch_length(batch))
            refused.extend(_rows(batch, rejected.reasons))
            batch = batch_without(batch, rejected.reasons)
        except BaseException as exc:  # the sink's code, be it an exit or a panic
            leave_if_child_by(exc)
            raise self._trouble("write", exc) from exc
        counts.rows_out += batch_length(batch)
        return batch

    def prepare(self, counts: Counts) -> list[Refused]:
        # If this position is not committed, the successor cuts off what was written beyond the last one that was.
        self.position = self._writer.position()
        return []

    def finish(self) -> None:
        # Before the last commit: killed between the two, the successor calls it again.
        try:
            self._writer.finish()
        except BaseException as exc:  # the sink's code, be it an exit or a panic
            leave_if_child_by(exc)
            raise self._trouble("finish", exc) from exc

    def close(self) -> None:
        self._writer.close()

    def _require_rows(self, what: str, rejected: RowsRejected, length: int) -> None:
        try:
            require_rows(rejected.reasons, length, "RowsRejected")
        except ValueError as exc:
            raise self._trouble(what, exc) from rejected

    def _trouble(self, what: str, error: BaseException) -> Trouble:
        return Trouble(self._stage, f"{self._target}: {what}", error, of_sink=True)


class FlushOutput(PositionOutput):
    """A sink whose client buffers rows, or sends them in the background."""

    def __init__(self, stage: str, target: str, writer: Writer[Any], position: Any) -> None:
        super().__init__(stage, target, writer, position)
        self._written: list[Any] = []
        """The batches since the last flush."""

    def write(self, batches: Sequence[Any], counts: Counts) -> list[Refused]:
        refused: list[Refused] = []
        for batch in batches:
            written = self._write(batch, counts, refused)
            if batch_length(written):
                self._written.append(written)
        return refused

    def prepare(self, counts: Counts) -> list[Refused]:
        if self._written:
            # Killed between this flush and the flip: the target has these rows, and the successor writes them again.
            try:
                self._writer.flush()
            except RowsRejected as rejected:
                self._require_rows("flush", rejected, sum(map(batch_length, self._written)))
                refused = [row for batch, mine in _with_reasons(self._written, rejected) for row in _rows(batch, mine)]
                self._written = []
                counts.rows_out -= len(refused)
                return refused
            except BaseException as exc:  # the sink's code, be it an exit or a panic
                leave_if_child_by(exc)
                raise self._trouble("flush", exc) from exc
            self._written = []
        return super().prepare(counts)


class TransactionOutput(PositionOutput):
    """A sink that stores rows and record in one transaction of its own."""

    collects = True

    def __init__(self, stage: str, target: str, writer: TransactionalWriter[Any], position: Any) -> None:
        super().__init__(stage, target, writer, position)
        self._transactional = writer
        self._written: list[Any] = []
        """The batches since the last commit, to be written again where the transaction fails for some of their rows."""

    def write(self, batches: Sequence[Any], counts: Counts) -> list[Refused]:
        refused: list[Refused] = []
        for batch in batches:
            self._written.append(self._write(batch, counts, refused))
        return refused

    def commit(self, record: Record, counts: Counts) -> list[Refused]:
        try:
            self._transactional.commit(encode_record(record))
        except RowsRejected as rejected:
            self._require_rows("commit", rejected, sum(map(batch_length, self._written)))
            return self._write_others(rejected, counts)
        except BaseException as exc:  # the sink's code, be it an exit or a panic
            leave_if_child_by(exc)
            raise self._trouble("commit", exc) from exc
        self._written = []
        return []

    def _write_others(self, rejected: RowsRejected, counts: Counts) -> list[Refused]:
        """Write all but the refused rows again; these are numbered over all batches written."""
        written, self._written = self._written, []
        refused: list[Refused] = []
        for batch, mine in _with_reasons(written, rejected):
            refused.extend(_rows(batch, mine))
            counts.rows_out -= batch_length(batch)
            if len(mine) < batch_length(batch):
                others = batch_without(batch, mine) if mine else batch
                self._written.append(self._write(others, counts, refused))
        return refused

    def record_of(self, run_id: str, lineage: int) -> Record | None:
        data = self._transactional.last_record()
        if not data or not is_of_this_version(data):  # nobody resumes from a journal of another version: not this run's
            return None
        record = decode_record(data)
        # One of another lineage is of lives that a restore from a checkpoint has undone, as far as files can tell.
        return record if (record.run_id, record.lineage) == (run_id, lineage) else None


def open_sink(sink: Sink[Any], position: Any, context: Context) -> SinkOutput:
    """Open a sink for writing behind `position`. Raises what the connector raises."""
    writer = sink.writer(position, context)
    if isinstance(writer, TransactionalWriter):
        return TransactionOutput(context.stage, sink.target, writer, position)
    if type(writer).flush is not Writer.flush:
        return FlushOutput(context.stage, sink.target, writer, position)
    return PositionOutput(context.stage, sink.target, writer, position)


def _with_reasons(batches: Sequence[Any], rejected: RowsRejected) -> list[tuple[Any, dict[int, str]]]:
    """Each batch with the reasons of its own rows, which were numbered over all of them."""
    found, first = [], 0
    for batch in batches:
        length = batch_length(batch)
        found.append((batch, {i - first: why for i, why in rejected.reasons.items() if first <= i < first + length}))
        first += length
    return found


def _rows(batch: Any, reasons: dict[int, str]) -> list[Refused]:
    return [(row_at(batch, index), reason) for index, reason in sorted(reasons.items())]
