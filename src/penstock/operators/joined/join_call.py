"""A join in a worker: the rows of both sides by key, in the order of their times, and when something is due for a key.

A row that is decided and has no match is given and leaves its buffer. One that had a match is kept for as long as it
shows rows of the other side that they have one.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from penstock.event_time import NO_WATERMARK
from penstock.operators.joined.right_row import RightRow
from penstock.operators.keyed_operator import KeyedCall
from penstock.operators.keyed_state import BufferEntry, Buffers
from penstock.operators.undo_log import UndoLog
from penstock.windows.intervals import LEFT, RIGHT, How, Match, Side, gives_unmatched

Pair: TypeAlias = tuple[Any, Any]


class JoinSide(msgspec.Struct, frozen=True):
    """One of the two streams."""

    key_of: Callable[[Any], Any]
    moment: Callable[[Any], int]
    buffers: Buffers


class JoinCall(KeyedCall):
    """All keys of a slot."""

    def __init__(
        self, match: Match, how: How, sides: tuple[JoinSide, JoinSide], lateness: int, undo: UndoLog
    ) -> None:
        self.late = 0
        self.sides = sides
        self.closed: int = NO_WATERMARK
        """The watermark less the lateness."""
        self._match = match
        self._how = how
        self._lateness = lateness
        self._undo = undo
        self._unmatched = [side for side in (LEFT, RIGHT) if gives_unmatched(how, side)]
        self._numbers = 0
        self._heap: list[tuple[int, int, Any]] = []
        """(when something is due, a number that is no other's, key)"""
        self._due: dict[Any, int] = {}
        """The earliest one of each key."""
        self._whole = False
        """True: all buffers are in memory, and their keys in the heap."""

    def begin(self, watermark_us: int) -> None:
        self.closed = watermark_us - self._lateness

    def __call__(self, row: Any) -> list[Pair]:
        if row.__class__ is RightRow:
            return [(other, row.row) for other in self._take(RIGHT, row.row)]
        return [(row, other) for other in self._take(LEFT, row)]

    def _take(self, side: Side, row: Any) -> Sequence[Any]:
        """Keep a row; gives the rows of the other side that it belongs together with."""
        own, other = self.sides[side], self.sides[1 - side]
        time, key = own.moment(row), own.key_of(row)
        if self._match.is_late(time, self.closed):
            self._undo.note(_put_late, self, self.late)
            self.late += 1
            return ()
        entry = own.buffers.insert(key, time, row)
        self._remember(key, self._due_of(side, entry))
        there = other.buffers.find(key)
        return () if there is None else there.value[self._matching(side, time, there)]

    def _matching(self, side: Side, time: int, others: BufferEntry) -> slice:
        start, stop = self._match.matching(side, time)
        return slice(bisect_left(others.times, start), bisect_left(others.times, stop))

    # When something is due for a key.

    def _remember(self, key: Any, due: int | None) -> None:
        if due is not None and due < self._due.get(key, due + 1):
            self._due[key] = due
            self._numbers += 1
            heapq.heappush(self._heap, (due, self._numbers, key))

    def _due_of(self, side: Side, entry: BufferEntry) -> int | None:
        """When a row of a buffer is to be given or to go; None: it is empty."""
        if not entry.times:
            return None
        due = self._match.needed_until(side, entry.times[0], self._how)
        if side in self._unmatched:
            undecided = self._first_undecided(side, entry, self.closed)
            if undecided < len(entry.times):
                due = min(due, self._match.decided_at(side, entry.times[undecided]))
        return due

    def _first_undecided(self, side: Side, entry: BufferEntry, closed: int) -> int:
        return bisect_left(entry.times, True, key=lambda time: self._match.decided_at(side, time) > closed)

    # Time.

    def advance(self, watermark_us: int) -> Iterable[Pair]:
        return self._pass(watermark_us - self._lateness)

    def _pass(self, closed: int) -> Iterator[Pair]:
        if not self._whole:
            self._whole = True
            for side in (LEFT, RIGHT):
                for entry in self.sides[side].buffers.all():
                    self._remember(entry.key, self._due_of(side, entry))
        keys = []
        while self._heap and self._heap[0][0] <= closed:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                keys.append(key)
        for key in keys:
            # Before what is decided now: it may show that rows of the other side have a match, which the next life must
            # see, too, if this one dies before the watermark is committed.
            self._evict(key)
            for side in self._unmatched:
                yield from self._without_match(side, key, closed)
        self.closed = closed
        for key in keys:
            for side in (LEFT, RIGHT):
                found = self.sides[side].buffers.find(key)
                if found is not None:
                    self._remember(key, self._due_of(side, found))

    def _evict(self, key: Any) -> None:
        """What is needed no more by the watermark that was committed."""
        for side in (LEFT, RIGHT):
            buffers = self.sides[side].buffers
            entry = buffers.find(key)
            if entry is None:
                continue
            kept = bisect_left(
                entry.times, True, key=lambda time: self._match.needed_until(side, time, self._how) > self.closed
            )
            if kept == len(entry.times):
                buffers.remove(entry)
            elif kept:
                buffers.evict_before(entry, entry.times[kept])

    def _without_match(self, side: Side, key: Any, closed: int) -> Iterator[Pair]:
        """The rows of a key that are decided by now, and were not before, and have no match."""
        buffers, others = self.sides[side].buffers, self.sides[1 - side].buffers.find(key)
        entry = buffers.find(key)
        if entry is None:
            return
        at, stop = self._first_undecided(side, entry, self.closed), self._first_undecided(side, entry, closed)
        while at < stop:
            time, row = entry.times[at], entry.value[at]
            if others is not None and others.value[self._matching(side, time, others)]:
                at += 1
                continue
            stop -= 1
            del entry.times[at], entry.value[at]
            if entry.times:
                buffers.touch(entry)
            else:
                buffers.remove(entry)
            yield (row, None) if side == LEFT else (None, row)

    def end(self) -> Iterable[Pair]:
        for side in self.sides:
            for entry in side.buffers.all():
                side.buffers.remove(entry)
        return ()

    def holds_back_us(self) -> int:
        """Rows that are not decided may be as old as this."""
        return self._match.oldest_undecided(self.closed)


def _put_late(call: JoinCall, late: int) -> None:
    """Undo: so many rows were late."""
    call.late = late
