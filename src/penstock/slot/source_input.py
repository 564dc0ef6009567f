"""The splits of a source in one slot, read one after the other or in turn; where each stands is committed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final
from zlib import crc32

from penstock.batch import Lines
from penstock.channel.bell import Bell
from penstock.errors import SourceDamaged
from penstock.operator import Context
from penstock.options import parse_duration
from penstock.slot.batches import as_row_list, batch_length, normalized
from penstock.slot.forks import leave_if_child
from penstock.slot.gathered import GatheringReader
from penstock.slot.record import PartRecord, SplitRecord
from penstock.slot.stops import StageFailed
from penstock.slot.unit import Unit
from penstock.source import EndOfSplit, Reader, Rejected, Source, WithRejected
from penstock.text_form import TextForm

_NONE: Final[dict[int, Rejected]] = {}


class SourceInput:
    """A source's splits in one slot: bounded ones one after the other, endless ones in turn."""

    def __init__(
        self, source: Source[Any], splits: dict[str, Any], frozen: frozenset[str], context: Context, run_id: str,
        *, gather_rows: int = 0,
    ) -> None:
        """`splits`: those of this slot; `frozen`: the names of all that were there at the start.

        `gather_rows`: blocks of lines are gathered to so many (0: taken as they come).
        """
        self._gather_rows = gather_rows
        self._source = source
        self._splits = dict(splits)
        self._frozen = frozen
        self._context = context
        self._run_id = run_id
        self._readers: dict[str, Reader[Any]] = {}
        self._records: dict[str, SplitRecord] = {}
        self._rotation: Iterator[str] = iter(())
        self._unit_split = ""
        self._next_position: Any = None
        self._unit_is_last = False
        """The unit in work is the last of its split."""
        self._idle_until = 0.0
        self._stopped = False
        self._discover_s = parse_duration(source.discover_every) if source.discover_every else None
        self._discovered_at = time.monotonic()
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
    def cut_short(self) -> bool:
        """True when it was stopped before its end."""
        return self._stopped and not all(self._record(name).done for name in self._splits)

    def stop(self) -> None:
        """Read no more: the pipeline drains."""
        self._stopped = True
        for name in self._splits:
            self._record(name)  # what was never opened is recorded as not done: the input was cut short

    def ready(self) -> bool:
        return not self.ended and time.monotonic() >= self._idle_until

    def wake_after(self) -> float | None:
        """Seconds until it is worth asking again."""
        return max(self._idle_until - time.monotonic(), 0.0) if not self.ended else None

    def descriptors(self) -> set[int]:
        fds = (reader.fileno() for reader in self._readers.values())
        return {fd for fd in fds if fd is not None}

    def woken(self) -> None:
        """A descriptor is readable: ask again at once."""
        self._idle_until = 0.0

    def neighbours(self) -> list[Bell]:
        """A source has none before it."""
        return []

    def take(self) -> Unit | None:
        """The next batch. `StageFailed` where what is read is damaged; other exceptions of readers come out."""
        if self._stopped:
            return None
        self._discover()
        for name in self._turns():
            unit = self._read(name)
            if unit is not None:
                return unit
            if self._source.bounded and not self._record(name).done:
                break
        if not self.ended:
            self._idle_until = time.monotonic() + self._pause()
        return None

    def _turns(self) -> list[str]:
        names = [name for name in self._splits if not self._record(name).done]
        if self._source.bounded or self._unit_split not in names:
            return names
        at = names.index(self._unit_split) + 1
        return names[at:] + names[:at]

    def _read(self, name: str) -> Unit | None:
        record = self._record(name)
        self._unit_is_last = False
        try:
            given = self._given(name, record)
        except SourceDamaged as damage:
            return self._damaged(name, record, damage)
        if given is None:
            return None
        batch, rejected = checked(given, name)
        length = batch_length(batch)
        self._unit_split = name
        if length == 0:
            record.position = self._next_position
            return None
        if length <= record.rows_done:  # rows behind the position that an earlier life is through with
            record.rows_done -= length
            record.position = self._next_position
            return self._read(name)
        failures: dict[int, tuple[Any, BaseException | str]] = {
            index: (found.row, found.reason) for index, found in rejected.items()
        }
        return self._unit(name, record, batch, length, failures)

    def _given(self, name: str, record: SplitRecord) -> Any:
        """What the split's reader gives next; None: nothing now, or its end."""
        reader = self._readers.get(name)
        if reader is None:
            reader = self._source.open(self._splits[name], record.position, self._context)
            if self._gather_rows:
                reader = GatheringReader(reader, self._gather_rows)
            self._readers[name] = reader
        began, computed = time.monotonic(), time.thread_time()
        try:
            given = reader.read()
            leave_if_child()
        except EndOfSplit:
            record.done, record.rows_done = True, 0
            self._close(name)
            return None
        waited = time.monotonic() - began - (time.thread_time() - computed)
        self.read_waits_s = max(waited, self.read_waits_s / 2)
        if given is not None:
            self._next_position = reader.position()
        return given

    def _damaged(self, name: str, record: SplitRecord, damage: SourceDamaged) -> Unit:
        """The rest of a damaged split as one row that failed; the end of the stage where nothing may be skipped."""
        if name in self._readers:
            self._close(name)
        if not self._source.skips_damaged:
            raise StageFailed(self._context.stage, str(damage)) from damage
        reason = f"{damage.told}; the rest of it is skipped, {record.rows} rows of it were read"
        self._context.log.warning("%s", reason)
        self._unit_split, self._unit_is_last, record.rows_done = name, True, 0
        return self._unit(name, record, [name], 1, {0: (name, reason)})

    def _unit(
        self, name: str, record: SplitRecord, batch: Any, length: int,
        failures: dict[int, tuple[Any, BaseException | str]],
    ) -> Unit:
        return Unit(
            batch, length, record.rows_done, time.time_ns(), time.monotonic_ns(), crc32(name.encode()), 0,
            record.rows - record.rows_done, f"{self._run_id}/{self._context.stage}/{name}", failures,
        )

    def _close(self, name: str) -> None:
        self._readers.pop(name).close()

    def progress(self, unit: Unit) -> None:
        """Rows of the unit are through up to `unit.done`."""
        record = self._record(self._unit_split)
        record.rows = unit.first_row + unit.done
        if unit.done < unit.length:
            record.rows_done = unit.done
        elif self._unit_is_last:
            record.done, record.rows_done = True, 0
        else:
            record.position, record.rows_done = self._next_position, 0

    def publish(self) -> None:
        """A source has nobody to tell."""

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
        if self._discover_s is None or time.monotonic() < self._discovered_at + self._discover_s:
            return
        self._discovered_at = time.monotonic()
        for name, split in self._source.splits().items():
            mine = crc32(name.encode()) % self._context.workers == self._context.slot
            if mine and name not in self._splits and name not in self._frozen:
                self._splits[name] = split
                self._record(name).discovered = split


def checked(given: Any, where: str) -> tuple[Any, Mapping[int, Rejected]]:
    """A reader's batch as the engine carries it, and the rows in it that are none.

    Lines must be UTF-8 from here on: those of a reader that did not look are looked at.
    """
    if isinstance(given, Lines) and not given.is_text:
        given = TextForm().block(given.data, given.first, where)
    if isinstance(given, WithRejected):
        rows: list[Any] = as_row_list(given.batch)
        return rows, given.rejected
    return normalized(given), _NONE
