"""A lookup in a stream, in a worker: the versions of each key, in the state, and the rows that wait for theirs.

By event time, a row waits until no version can come any more that holds at its time. It leaves the state before it is
given, and with it all that are due for its key at once: those that are not passed on yet are `pending`.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from penstock.event_time import NO_WATERMARK
from penstock.operators.joined.join_call import JoinSide
from penstock.operators.joined.right_row import RightRow
from penstock.operators.keyed_operator import KeyedCall, KeyOf
from penstock.operators.keyed_state import StageState, Values
from penstock.operators.pending import Pending
from penstock.operators.undo_log import UndoLog

Pair: TypeAlias = tuple[Any, Any]
IsGone: TypeAlias = Callable[[Any], Any]


class LatestCall(KeyedCall):
    """A row is given with the version that came last before it."""

    def __init__(
        self, key_of: KeyOf, version_key: KeyOf, gone: IsGone | None, versions: Values, *, is_left: bool
    ) -> None:
        """`is_left`: rows whose key has no version are given, too."""
        self._key_of = key_of
        self._version_key = version_key
        self._gone = gone
        self._versions = versions
        self._is_left = is_left

    def __call__(self, row: Any) -> Sequence[Pair]:
        if row.__class__ is RightRow:
            self._take(row.row)
            return ()
        entry = self._versions.find(self._key_of(row))
        if entry is not None:
            return ((row, entry.value),)
        return ((row, None),) if self._is_left else ()

    def _take(self, version: Any) -> None:
        is_gone = self._gone is not None and self._gone(version)
        key = self._version_key(version)
        entry = self._versions.find(key)
        if entry is None:
            if not is_gone:
                self._versions.add(key, version)
        elif is_gone:
            self._versions.remove(entry)
        else:
            self._versions.replace(entry, version)


class AsOfCall(KeyedCall):
    """A row is given with the newest version that is not newer than the row, once that is certain."""

    def __init__(
        self, rows: JoinSide, versions: JoinSide, gone: IsGone | None, state: StageState, undo: UndoLog, *,
        is_left: bool,
    ) -> None:
        """`is_left`: rows for which there is no version are given, too."""
        self.late = 0
        self.rows = rows
        self.versions = versions
        self._gone = gone
        self._is_left = is_left
        self._undo = undo
        self._pending = Pending(state)
        self._watermark: int = NO_WATERMARK
        self._heap: list[tuple[int, int, Any]] = []
        """(time of a row that waits, a number that is no other's, key)"""
        self._first: dict[Any, int] = {}
        """The earliest time of the rows of each key that wait."""
        self._numbers = 0
        self._whole = False
        """True: all rows that wait are in memory, and their keys in the heap."""

    def begin(self, watermark_us: int) -> None:
        self._watermark = watermark_us

    def __call__(self, row: Any) -> Sequence[Pair]:
        if row.__class__ is RightRow:
            self._take_version(row.row)
            return ()
        time, key = self.rows.moment(row), self.rows.key_of(row)
        if time < self._watermark:  # versions that held then may be gone
            self._count_late()
        else:
            self.rows.buffers.insert(key, time, row)
            self._remember(key, time)
        return ()

    def _take_version(self, version: Any) -> None:
        """Keep it. One that is late holds for the rows to come, if it is the newest; rows were given without it."""
        is_gone = self._gone is not None and self._gone(version)
        time, key = self.versions.moment(version), self.versions.key_of(version)
        if time < self._watermark:
            self._count_late()
        entry = self.versions.buffers.insert(key, time, None if is_gone else version)
        holds = bisect_right(entry.times, self._watermark) - 1  # for the oldest row that may come
        if holds > 0:
            self.versions.buffers.evict_before(entry, entry.times[holds])

    def _count_late(self) -> None:
        self._undo.note(_put_late, self, self.late)
        self.late += 1

    def _remember(self, key: Any, time: int) -> None:
        if time < self._first.get(key, time + 1):
            self._first[key] = time
            self._numbers += 1
            heapq.heappush(self._heap, (time, self._numbers, key))

    def advance(self, watermark_us: int) -> Iterator[Pair]:
        yield from self._pending.left()
        self._load()
        while self._heap and self._heap[0][0] < watermark_us:
            time, _, key = heapq.heappop(self._heap)
            if self._first.get(key) == time:
                del self._first[key]
                yield from self._pending.through(self._due(key, watermark_us))
        self._watermark = watermark_us

    def end(self) -> Iterable[Pair]:
        for entry in self.versions.buffers.all():
            self.versions.buffers.remove(entry)
        return ()

    def _load(self) -> None:
        if not self._whole:
            self._whole = True
            for entry in self.rows.buffers.all():
                if entry.times:
                    self._remember(entry.key, entry.times[0])

    def _due(self, key: Any, watermark_us: int) -> list[Pair]:
        """The pairs of the rows of a key that are decided by now; the rows leave the state."""
        buffers = self.rows.buffers
        entry = buffers.find(key)
        if entry is None:  # the row that was remembered has failed
            return []
        count = bisect_left(entry.times, watermark_us)
        pairs = self._pairs(key, list(zip(entry.times[:count], entry.value[:count])))
        if count == len(entry.times):
            buffers.remove(entry)
        else:
            buffers.evict_before(entry, watermark_us)
            self._remember(key, entry.times[0])
        return pairs

    def _pairs(self, key: Any, rows: Sequence[tuple[int, Any]]) -> list[Pair]:
        versions = self.versions.buffers.find(key)
        given: list[Pair] = []
        for time, row in rows:
            place = -1 if versions is None else bisect_right(versions.times, time) - 1
            found = None if versions is None or place < 0 else versions.value[place]
            if found is not None or self._is_left:
                given.append((row, found))
        return given


def _put_late(call: AsOfCall, late: int) -> None:
    """Undo: so many rows were late."""
    call.late = late
