"""A shelf with rows by key in the order of their times; insertions and evictions are logged, not the whole buffer."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from penstock.channel.router import group_of_key
from penstock.operators.keyed_state import BufferEntry
from penstock.slot.state.change import Change, Op
from penstock.slot.state.shelf import groups_of
from penstock.slot.state.values import ByKey


class BufferShelf(ByKey[BufferEntry]):
    """As `keyed_state.Buffers` says."""

    kind: ClassVar[str] = "buffers"

    def insert(self, key: Any, time_us: int, row: Any) -> BufferEntry:
        entry = self.find(key)
        if entry is None:
            entry = BufferEntry(key, [time_us], [row], group_of_key(key))
            entry.whole = True
            self._put_in(entry)
            return entry
        times = entry.times
        place = bisect_right(times, time_us) if times and times[-1] > time_us else len(times)
        self._undo.add((self._take_out_row, (entry, times, entry.value, place, len(times))))
        times.insert(place, time_us)
        entry.value.insert(place, row)
        entry.inserted.append((time_us, row))
        super().touch(entry)
        return entry

    def evict_before(self, entry: BufferEntry, time_us: int) -> None:
        count = bisect_left(entry.times, time_us)
        if not count:
            return
        self._undo.add((self._put_back_rows, (entry, entry.times, entry.value)))
        entry.times, entry.value = entry.times[count:], entry.value[count:]
        entry.inserted = [new for new in entry.inserted if new[0] >= time_us]
        if entry.evicted_before is None or entry.evicted_before < time_us:
            entry.evicted_before = time_us
        super().touch(entry)

    def touch(self, entry: BufferEntry) -> None:
        entry.whole = True
        super().touch(entry)

    def _take_out_row(
        self, entry: BufferEntry, times: list[int], rows: list[Any], place: int, length: int
    ) -> None:
        """`length`: of both before the row was put in, if it was."""
        for column in (times, rows):
            if len(column) > length:
                del column[place]
        self.touch(entry)

    def _put_back_rows(self, entry: BufferEntry, times: list[int], rows: list[Any]) -> None:
        entry.times, entry.value = times, rows
        self.touch(entry)

    def _changes(self, entries: list[BufferEntry]) -> Iterator[Change]:
        yield from self._wholes([entry for entry in entries if entry.whole])
        parts = [entry for entry in entries if not entry.whole]
        evicted = [entry for entry in parts if entry.evicted_before is not None]
        if evicted:
            bounds = [entry.evicted_before for entry in evicted]
            yield Change(Op.EVICT, groups_of(evicted), [entry.key for entry in evicted], fields=bounds)
        yield from _inserted([(entry, time_us, row) for entry in parts for time_us, row in entry.inserted])

    def _wholes(self, entries: Sequence[BufferEntry]) -> Iterator[Change]:
        if entries:
            yield Change(Op.EMPTY, groups_of(entries), [entry.key for entry in entries])
        yield from _inserted([(entry, *pair) for entry in entries for pair in zip(entry.times, entry.value)])

    def logged(self) -> None:
        for band in self.touched.bands:
            for entry in band:
                entry.inserted, entry.evicted_before, entry.whole = [], None, False
        super().logged()

    def _made(self, key: Any, value: Any, group: int) -> BufferEntry:
        times, rows = value
        return BufferEntry(key, times, rows, group)

    def _apply(self, change: Change, fresh: dict[Any, Any]) -> None:
        match change.op:
            case Op.EMPTY:
                for key in change.keys:
                    fresh[key] = ([], [])
            case Op.INSERT:
                for key, time_us, row in zip(change.keys, change.fields, change.values):
                    times, rows = fresh[key]
                    place = bisect_right(times, time_us)
                    times.insert(place, time_us)
                    rows.insert(place, row)
            case Op.EVICT:
                for key, time_us in zip(change.keys, change.fields):
                    times, rows = fresh[key]
                    count = bisect_left(times, time_us)
                    del times[:count], rows[:count]
            case _:
                for key in change.keys:
                    fresh.pop(key, None)


def _inserted(parts: Sequence[tuple[BufferEntry, int, Any]]) -> Iterator[Change]:
    if parts:
        owners = [entry for entry, _, _ in parts]
        times, rows = [time_us for _, time_us, _ in parts], [row for _, _, row in parts]
        yield Change(Op.INSERT, groups_of(owners), [entry.key for entry in owners], rows, fields=times)
