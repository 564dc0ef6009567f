"""One split of a source in one slot: its reader, what was read ahead, what of it is done, and what is acknowledged.

Batches may be read ahead of the one in progress; what is saved is how far the rows are done. `source_input` has all
splits of the slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from zlib import crc32

from penstock.batch import Lines
from penstock.errors import SourceDamaged
from penstock.event_time import END_OF_TIME, NO_WATERMARK, moments
from penstock.operator import Context
from penstock.slot.input.acknowledgements import Acknowledgements
from penstock.slot.input.batches import as_row_list, batch_length, normalized, require_rows
from penstock.slot.input.gathered import GatheringReader
from penstock.slot.input.intake import Intake
from penstock.slot.process.forks import leave_if_child
from penstock.slot.process.stops import StageFailed
from penstock.slot.records.record import SplitRecord
from penstock.slot.records.work_page import READ_ONCE
from penstock.slot.time_and_chance import Clock
from penstock.slot.watermarks.origin import Origin
from penstock.source import EndOfSplit, Reader, Rejected, Source, WithRejected
from penstock.text_form import TextForm

_NONE: Final[dict[int, Rejected]] = {}
_moment = moments("s")


class Reading:
    """What all splits of a source in one slot have in common."""

    def __init__(
        self, source: Source[Any], context: Context, run_id: str, clock: Clock, *, gather_rows: int = 0,
        row_type: Any = Any, gives_times: bool = False,
    ) -> None:
        """`gives_times`: rows are given their event times here.

        `gather_rows`: blocks of lines are gathered to this many; 0: they are taken as they come.

        `row_type`: what rows of columns are.
        """
        self.source = source
        self.context = context
        self.run_id = run_id
        self.clock = clock
        self.gather_rows = gather_rows
        self.row_type = row_type
        self.gives_times = gives_times
        self.acknowledging: dict[str, SplitInput] = {}
        """By name: splits with rows that are done, and not yet acknowledged to a reader that wants to know."""
        self.committed = 0
        """The number of the slot's last commit."""


class SplitInput:
    """Reads one split."""

    def __init__(self, reading: Reading, name: str, split: Any, record: SplitRecord) -> None:
        self.record = record
        self.origin = Origin()
        self.origin.watermark = record.watermark
        self.ended = False
        """Nothing is left to read, though rows of it may still be in progress."""
        self.waited_s = 0.0
        """How long the last `read` waited for rows, in seconds."""
        self.opened = False
        """True: the reader was opened at a position, and was not told yet how far that is durable."""
        self._reading = reading
        self._name = name
        self._split = split
        self._reader: Reader[Any] | None = None
        self._acknowledges = False
        """True: the reader is told what is durable."""
        self._unacknowledged = Acknowledgements()
        self._knows_time = False
        """True: the reader may know how far event time has come."""
        self._advanced = False
        """True: rows are done, and not yet committed, of which the reader is to be told."""
        self._batches_ahead = 0
        self._rows = 0
        """Rows that were read, ever; as far as this life knows."""
        self._sequence = 0
        self._key = f"{reading.run_id}/{reading.context.stage}/{name}"

    def restore(self, record: SplitRecord) -> None:
        """Resume from what is committed."""
        self.record = record
        self.origin.watermark = record.watermark

    @property
    def exhausted(self) -> bool:
        """True when nothing is left to read, though rows of it may still be in progress."""
        return self.record.done or self.ended

    @property
    def open_reader(self) -> Reader[Any] | None:
        """The reader, while there may be more to read."""
        return None if self.ended else self._reader

    # Reading.

    def read(self) -> Intake | None:
        """The next batch; None: nothing now, or its end. Raises `StageFailed` where what is read is damaged."""
        self.waited_s = 0.0
        while True:
            try:
                given = self._given()
            except SourceDamaged as damage:
                return self._damaged(damage)
            if given is None:
                self.origin.had_nothing = not self.ended and self._batches_ahead == 0
                if self.origin.had_nothing and self._knows_time:
                    self.origin.raise_to(self._watermark())
                return None
            batch, rejected = checked(given, self._name, self._reading.row_type)
            failures: dict[int, tuple[Any, BaseException | str]] = {
                index: (found.row, found.reason) for index, found in rejected.items()
            }
            assert self._reader is not None
            intake = self._intake(batch, self._reader.position(), failures)
            if intake is not None and self._knows_time:
                intake.watermark = self._watermark()
            if intake is not None or batch_length(batch) == 0:
                return intake

    def _watermark(self) -> int:
        """What the reader knows of event time, behind what it gave last."""
        assert self._reader is not None
        told = self._reader.watermark()
        return NO_WATERMARK if told is None else _moment(told)

    def _given(self) -> Any:
        """What the reader gives next; None: nothing now, or its end."""
        reader = self._reader
        if reader is None:
            reader = self._open()
        clock = self._reading.clock
        began, computed = clock.now_s(), clock.computed_s()
        try:
            given = reader.read()
            leave_if_child()
        except EndOfSplit:
            self.ended = True
            self.origin.has_come()
            self._end_if_through()
            self._close_unless_waiting()
            return None
        waited = clock.now_s() - began - (clock.computed_s() - computed)
        self.waited_s = max(waited, self.waited_s)
        return given

    def _open(self) -> Reader[Any]:
        reading = self._reading
        reader = reading.source.open(self._split, self.record.position, reading.context)
        self._acknowledges = type(reader).acknowledge is not Reader.acknowledge
        self._knows_time = reading.gives_times and type(reader).watermark is not Reader.watermark
        if not reader.repeatable:
            # Rows that an earlier life has done are not the first ones of what comes now: none is passed over, and no
            # number of a row means what it meant to an earlier life.
            self.record.rows_done = 0
            self._sequence = READ_ONCE + reading.context.attempt
            self._key = f"{self._key}/{reading.context.attempt}"
        elif self._acknowledges and self.record.position is not None:
            # What an earlier life committed, and perhaps did not acknowledge. A position of a reader that is not
            # repeatable says nothing to another one of what that has given.
            self._unacknowledged.add(reading.committed, self.record.position)
            reading.acknowledging[self._name] = self
            self.opened = True
        if reading.gather_rows:
            reader = GatheringReader(reader, reading.gather_rows)
        self._reader = reader
        return reader

    def _damaged(self, damage: SourceDamaged) -> Intake:
        """The rest of a damaged split as one row that failed; the end of the stage where nothing may be skipped."""
        self._close_unless_waiting()
        reading, record = self._reading, self.record
        if not reading.source.skips_damaged:
            raise StageFailed(reading.context.stage, str(damage)) from damage
        if self._batches_ahead == 0:
            record.rows_done, self._rows = 0, record.rows
        reason = f"{damage.told}; the rest of it is skipped after {self._rows} rows"
        reading.context.log.warning("%s", reason)
        self.ended = True
        return self._taken([self._name], 1, 0, record.position, {0: (self._name, reason)})

    def _intake(self, batch: Any, position: Any, failures: dict[int, tuple[Any, BaseException | str]]) -> Intake | None:
        """A batch as what is in progress; None: an earlier life is through with it, or it has no rows."""
        record, length = self.record, batch_length(batch)
        done = 0
        if self._batches_ahead == 0:  # `rows_done` counts from where the reader began; what is ahead of it is new
            if length <= record.rows_done:
                record.rows_done -= length
                record.position = position
                return None
            done, self._rows = record.rows_done, record.rows - record.rows_done
        elif length == 0:
            return None
        return self._taken(batch, length, done, position, failures)

    def _taken(
        self, batch: Any, length: int, done: int, position: Any,
        failures: dict[int, tuple[Any, BaseException | str]],
    ) -> Intake:
        first, self._rows = self._rows, self._rows + length
        self._batches_ahead += 1
        self.origin.has_come()
        clock = self._reading.clock
        return Intake(
            batch, length, done, clock.wall_ns(), clock.now_ns(), crc32(self._name.encode()), self._sequence, first,
            self._key, failures, end=position, split=self._name,
        )

    # What is done.

    def progress(self, intake: Intake) -> None:
        """Rows of the oldest intake in progress are through up to `intake.done`."""
        record = self.record
        record.rows = intake.first_row + intake.done
        if intake.done < intake.length:
            record.rows_done = intake.done
            return
        record.position, record.rows_done = intake.end, 0
        self.origin.raise_to(intake.watermark)
        self._batches_ahead -= 1
        self._end_if_through()
        if self._acknowledges:
            self._advanced = True
            self._reading.acknowledging[self._name] = self

    def _end_if_through(self) -> None:
        if self.ended and self._batches_ahead == 0:
            self.record.done, self.record.rows_done = True, 0
            self.origin.raise_to(END_OF_TIME)

    def saved(self) -> SplitRecord:
        """Where it stands, for a successor."""
        self.record.watermark = self.origin.watermark
        return self.record

    def committed(self, number: int) -> None:
        """Rows of whole batches are committed as far as they are done."""
        if self._advanced:
            self._advanced = False
            self._unacknowledged.add(number, self.record.position)

    def acknowledge(self, number: int) -> bool:
        """Tell the reader how far rows are durable, now that this commit is. True: it knows all that was committed."""
        found = self._unacknowledged.covered(number)
        if found is not None and self._reader is not None:
            self._reader.acknowledge(found.position)
            leave_if_child()
        if self._advanced or self._unacknowledged.newest:
            return False
        if self.record.done:
            self.close()
        return True

    @property
    def awaits(self) -> int:
        """The commit that must be durable for the reader to be told of all that was committed; 0: it was."""
        return self._unacknowledged.newest

    def close(self) -> None:
        """Close the reader, if it is open."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _close_unless_waiting(self) -> None:
        """A reader that is told what is durable is closed after that, by `acknowledge`."""
        if not self._acknowledges or (self._batches_ahead == 0 and self._name not in self._reading.acknowledging):
            self.close()


def checked(given: Any, where: str, row_type: Any = Any) -> tuple[Any, Mapping[int, Rejected]]:
    """A reader's batch as the engine carries it, and the rows in it that are none.

    Lines must be UTF-8 from here on: those of a reader that did not look are looked at.
    """
    if isinstance(given, Lines) and not given.is_text:
        given = TextForm().block(given.data, given.first, where)
    if isinstance(given, WithRejected):
        rows = as_row_list(normalized(given.batch, row_type))
        require_rows(given.rejected, len(rows), "WithRejected")
        return rows, given.rejected
    return normalized(given, row_type), _NONE
