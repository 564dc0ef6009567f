"""The splits of a source in one slot, read one after the other or in turn; where each stands is committed.

Batches may be read ahead of the one in work; what is saved is where the rows stand that are done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from zlib import crc32

import msgspec

from penstock.batch import Lines
from penstock.errors import SourceDamaged
from penstock.operator import Context
from penstock.options import parse_duration
from penstock.slot.batches import as_row_list, batch_length, normalized
from penstock.slot.forks import leave_if_child
from penstock.slot.gathered import GatheringReader
from penstock.slot.record import PartRecord, SplitRecord
from penstock.slot.stops import StageFailed
from penstock.slot.time_and_chance import MACHINE, Clock
from penstock.slot.unit import Unit
from penstock.source import EndOfSplit, Reader, Rejected, Source, WithRejected
from penstock.text_form import TextForm

_NONE: Final[dict[int, Rejected]] = {}


class _Ahead(msgspec.Struct, gc=False):
    """What of a split was read and is not done."""

    batches: int = 0
    rows: int = 0
    """Rows of the split that were read, ever."""
    ended: bool = False


class SourceInput:
    """A source's splits in one slot: bounded ones one after the other, endless ones in turn."""

    def __init__(
        self, source: Source[Any], splits: dict[str, Any], frozen: frozenset[str], context: Context, run_id: str,
        *, gather_rows: int = 0, row_type: Any = Any, clock: Clock = MACHINE,
    ) -> None:
        """`splits`: those of this slot; `frozen`: the names of all that were there at the start.

        `gather_rows`: blocks of lines are gathered to so many (0: taken as they come). `row_type`: what rows of
        columns are.
        """
        self._row_type = row_type
        self._gather_rows = gather_rows
        self._clock = clock
        self._now_s = clock.now_s
        self._source = source
        self._splits = dict(splits)
        self._frozen = frozen
        self._context = context
        self._run_id = run_id
        self._readers: dict[str, Reader[Any]] = {}
        self._records: dict[str, SplitRecord] = {}
        self._rotation: Iterator[str] = iter(())
        self._ahead: dict[str, _Ahead] = {}
        self._last_split = ""
        self._idle_until = 0.0
        self._stopped = False
        self._discover_s = parse_duration(source.discover_every) if source.discover_every is not None else None
        self._discovered_at = self._now_s()
        self.read_waits_s = 0.0
        """How long the next read is expected to wait for rows, in seconds: up at once, down slowly."""

    def restore(self, record: PartRecord) -> None:
        self._records = dict(record.splits)
        for name, saved in self._records.items():
            if saved.discovered is not None:
                self._splits.setdefault(name, saved.discovered)

    def save(self, record: PartRecord) -> None:
        record.splits = self._records

    @property
    def ended(self) -> bool:
        if self._stopped:
            return True
        return self._source.bounded and all(self._record(name).done for name in self._splits)

    @property
    def exhausted(self) -> bool:
        """True when nothing comes any more, though some may still be in work."""
        return not self._gives_more()

    @property
    def cut_short(self) -> bool:
        """True when it was stopped before its end."""
        return self._stopped and not all(self._record(name).done for name in self._splits)

    def stop(self) -> None:
        """Read no more: the pipeline drains."""
        self._stopped = True
        for name in self._splits:
            self._record(name)  # what was never opened is recorded as not done: the input was cut short

    def ready(self) -> bool:
        return self._gives_more() and self._now_s() >= self._idle_until

    def wake_after(self) -> float | None:
        """Seconds until it is worth asking again."""
        return max(self._idle_until - self._now_s(), 0.0) if self._gives_more() else None

    def descriptors(self) -> set[int]:
        fds = (reader.fileno() for reader in self._readers.values())
        return {fd for fd in fds if fd is not None}

    def woken(self) -> None:
        """A descriptor is readable: ask again at once."""
        self._idle_until = 0.0

    def take(self) -> Unit | None:
        """The next batch. `StageFailed` where what is read is damaged; other exceptions of readers come out."""
        if self._stopped:
            return None
        self._discover()
        for name in self._turns():
            unit = self._read(name)
            if unit is not None:
                return unit
            if self._source.bounded and not self._exhausted(name):
                break
        if not self.ended:
            self._idle_until = self._now_s() + self._pause()
        return None

    def _turns(self) -> list[str]:
        names = [name for name in self._splits if not self._exhausted(name)]
        if self._source.bounded or self._last_split not in names:
            return names
        at = names.index(self._last_split) + 1
        return names[at:] + names[:at]

    def _gives_more(self) -> bool:
        """True while there may be something left to read."""
        return not self._stopped and not (self._source.bounded and all(map(self._exhausted, self._splits)))

    def _exhausted(self, name: str) -> bool:
        """True when nothing is left to read of a split, though rows of it may still be in work."""
        return self._record(name).done or self._ahead_of(name).ended

    def _read(self, name: str) -> Unit | None:
        while True:
            try:
                given = self._given(name)
            except SourceDamaged as damage:
                return self._damaged(name, damage)
            if given is None:
                return None
            batch, rejected = checked(given, name, self._row_type)
            failures: dict[int, tuple[Any, BaseException | str]] = {
                index: (found.row, found.reason) for index, found in rejected.items()
            }
            unit = self._unit(name, batch, self._readers[name].position(), failures)
            if unit is not None or batch_length(batch) == 0:
                return unit

    def _given(self, name: str) -> Any:
        """What the split's reader gives next; None: nothing now, or its end."""
        reader = self._readers.get(name)
        if reader is None:
            reader = self._source.open(self._splits[name], self._record(name).position, self._context)
            if self._gather_rows:
                reader = GatheringReader(reader, self._gather_rows)
            self._readers[name] = reader
        began, computed = self._now_s(), self._clock.computed_s()
        try:
            given = reader.read()
            leave_if_child()
        except EndOfSplit:
            self._ahead_of(name).ended = True
            self._end_if_through(name)
            self._close(name)
            return None
        waited = self._now_s() - began - (self._clock.computed_s() - computed)
        self.read_waits_s = max(waited, self.read_waits_s / 2)
        return given

    def _damaged(self, name: str, damage: SourceDamaged) -> Unit:
        """The rest of a damaged split as one row that failed; the end of the stage where nothing may be skipped."""
        if name in self._readers:
            self._close(name)
        if not self._source.skips_damaged:
            raise StageFailed(self._context.stage, str(damage)) from damage
        record, ahead = self._record(name), self._ahead_of(name)
        if ahead.batches == 0:
            record.rows_done, ahead.rows = 0, record.rows
        reason = f"{damage.told}; the rest of it is skipped, {ahead.rows} rows of it were read"
        self._context.log.warning("%s", reason)
        ahead.ended = True
        self._last_split = name
        return self._taken(name, [name], 1, 0, record.position, {0: (name, reason)})

    def _unit(
        self, name: str, batch: Any, position: Any, failures: dict[int, tuple[Any, BaseException | str]]
    ) -> Unit | None:
        """A batch as what is in work; None: an earlier life is through with it, or it has no rows."""
        record, ahead, length = self._record(name), self._ahead_of(name), batch_length(batch)
        self._last_split = name
        done = 0
        if ahead.batches == 0:  # `rows_done` counts from where the reader began; what is ahead of it is new
            if length <= record.rows_done:
                record.rows_done -= length
                record.position = position
                return None
            done, ahead.rows = record.rows_done, record.rows - record.rows_done
        elif length == 0:
            return None
        return self._taken(name, batch, length, done, position, failures)

    def _taken(
        self, name: str, batch: Any, length: int, done: int, position: Any,
        failures: dict[int, tuple[Any, BaseException | str]],
    ) -> Unit:
        ahead = self._ahead_of(name)
        first, ahead.rows = ahead.rows, ahead.rows + length
        ahead.batches += 1
        return Unit(
            batch, length, done, self._clock.wall_ns(), self._clock.now_ns(), crc32(name.encode()), 0, first,
            f"{self._run_id}/{self._context.stage}/{name}", failures, end=position, split=name,
        )

    def _close(self, name: str) -> None:
        self._readers.pop(name).close()

    def progress(self, unit: Unit) -> None:
        """Rows of the oldest unit in work of its split are through up to `unit.done`."""
        record = self._record(unit.split)
        record.rows = unit.first_row + unit.done
        if unit.done < unit.length:
            record.rows_done = unit.done
            return
        record.position, record.rows_done = unit.end, 0
        self._ahead_of(unit.split).batches -= 1
        self._end_if_through(unit.split)

    def _end_if_through(self, name: str) -> None:
        ahead = self._ahead_of(name)
        if ahead.ended and ahead.batches == 0:
            record = self._record(name)
            record.done, record.rows_done = True, 0

    def _ahead_of(self, name: str) -> _Ahead:
        ahead = self._ahead.get(name)
        if ahead is None:
            ahead = self._ahead[name] = _Ahead()
        return ahead

    def publish(self) -> None:
        """A source has nobody to tell."""

    def wake_senders(self) -> None:
        """A source has no senders."""

    def ring_senders(self) -> None:
        """A source has no senders."""

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _record(self, name: str) -> SplitRecord:
        record = self._records.get(name)
        if record is None:
            record = self._records[name] = SplitRecord()
        return record

    def _pause(self) -> float:
        pauses = [parse_duration(r.poll_after) for r in self._readers.values() if r.fileno() is None]
        if self._discover_s is not None:
            pauses.append(self._discover_s)
        return min(pauses, default=1.0)

    def _discover(self) -> None:
        if self._discover_s is None or self._now_s() < self._discovered_at + self._discover_s:
            return
        self._discovered_at = self._now_s()
        for name, split in self._source.splits().items():
            mine = crc32(name.encode()) % self._context.workers == self._context.slot
            if mine and name not in self._splits and name not in self._frozen:
                self._splits[name] = split
                self._record(name).discovered = split


def checked(given: Any, where: str, row_type: Any = Any) -> tuple[Any, Mapping[int, Rejected]]:
    """A reader's batch as the engine carries it, and the rows in it that are none.

    Lines must be UTF-8 from here on: those of a reader that did not look are looked at.
    """
    if isinstance(given, Lines) and not given.is_text:
        given = TextForm().block(given.data, given.first, where)
    if isinstance(given, WithRejected):
        return as_row_list(normalized(given.batch, row_type)), given.rejected
    return normalized(given, row_type), _NONE
