"""Until when keys are kept: by a time for each key, which may grow; a key whose time has passed is to be forgotten."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from penstock.operators.keyed_state import StageState


class Expiry:
    """The times of the keys of one operator, in microseconds; taken back with the row that sets them, if it fails."""

    def __init__(self, state: StageState, name: str) -> None:
        self.shelf = state.values(name, int)
        self._heap: list[tuple[int, int, Any]] | None = None
        """(time, number, key), some of them earlier than what is true by now; None: not needed yet."""
        self._number = 0

    def until(self, key: Any) -> int | None:
        """The time of a key; None: it has none."""
        entry = self.shelf.find(key)
        return None if entry is None else entry.value

    def keep_until(self, key: Any, time_us: int) -> None:
        """Keep a key until this time; where it is kept for longer already, it stays so."""
        entry = self.shelf.find(key)
        if entry is None:
            self.shelf.add(key, time_us)
            if self._heap is not None:
                self._push(time_us, key)
        elif time_us > entry.value:  # it stands in its old place until that is looked at
            self.shelf.replace(entry, time_us)

    def passed(self, time_us: int) -> Iterator[Any]:
        """The keys whose time is before this one; each is forgotten here once it is given."""
        heap = self._in_order()
        while heap and heap[0][0] < time_us:
            _, _, key = heapq.heappop(heap)
            entry = self.shelf.find(key)
            if entry is None:
                continue
            if entry.value >= time_us:
                self._push(entry.value, key)  # its time has grown meanwhile
            else:
                self.shelf.forget(entry)
                yield key

    def next_us(self) -> int | None:
        """No time is earlier than this; None: there is none. 0: not known yet."""
        if self._heap is None:
            return 0
        return self._heap[0][0] if self._heap else None

    def _in_order(self) -> list[tuple[int, int, Any]]:
        if self._heap is None:
            self._heap = [(entry.value, number, entry.key) for number, entry in enumerate(self.shelf.all())]
            self._number = len(self._heap)
            heapq.heapify(self._heap)
        return self._heap

    def _push(self, time_us: int, key: Any) -> None:
        self._number += 1
        heapq.heappush(self._in_order(), (time_us, self._number, key))
