"""The timers of keys: kept in shelves, and in heaps once they are needed in the order of their times."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from penstock.operators.keyed_state import Maps, StageState, Values


class KeyTimers:
    """Timers by event time, any number for each key, and one by the wall clock. Those of failed rows are taken back."""

    def __init__(self, state: StageState, *, fires: bool = True, fires_by_wall: bool = True) -> None:
        """Not `fires`, `fires_by_wall`: nobody would be called."""
        self._fires = fires
        self._fires_by_wall = fires_by_wall
        self._events: Maps = state.maps("timers", bool)
        self._walls: Values = state.values("wall timers", int)
        self._event_heap: list[tuple[int, int, Any]] | None = None
        """(time, number, key), some of them cancelled by now; None: not needed yet."""
        self._wall_heap: list[tuple[int, int, Any]] | None = None
        self._number = 0
        """Keys cannot be compared."""

    def set(self, key: Any, at_us: int) -> None:
        if not self._fires:
            raise TypeError("nobody is called by this timer; give the class on_timer(self, state, time)")
        self._events.put(key, at_us, True)
        if self._event_heap is not None:
            self._push(self._event_heap, at_us, key)

    def cancel(self, key: Any, at_us: int) -> None:
        entry = self._events.find(key)
        if entry is not None and at_us in entry.value:
            if len(entry.value) == 1:
                self._events.remove(entry)
            else:
                self._events.drop(entry, (at_us,))

    def of(self, key: Any) -> list[int]:
        entry = self._events.find(key)
        return [] if entry is None else sorted(entry.value)

    def set_wall(self, key: Any, at_us: int | None) -> None:
        entry = self._walls.find(key)
        if at_us is None:
            if entry is not None:
                self._walls.remove(entry)
            return
        if not self._fires_by_wall:
            raise TypeError("nobody is called by this timer; give the class on_wall_timer(self, state, time)")
        if entry is None:
            self._walls.add(key, at_us)
        else:
            self._walls.replace(entry, at_us)
        if self._wall_heap is not None:
            self._push(self._wall_heap, at_us, key)

    def forget(self, key: Any) -> None:
        for shelf in (self._events, self._walls):
            entry = shelf.find(key)
            if entry is not None:
                shelf.remove(entry)  # type: ignore[arg-type]

    def keys(self) -> Iterator[Any]:
        """Those that have timers."""
        for shelf in (self._events, self._walls):
            yield from [entry.key for entry in shelf.all()]

    def due(self, until_us: int) -> Iterator[tuple[int, Any]]:
        """(time, key) of the timers that event time has reached, in order. Each is gone once it is given."""
        if self._event_heap is None:
            self._event_heap = [
                (at_us, self._next(), entry.key) for entry in self._events.all() for at_us in entry.value
            ]
            heapq.heapify(self._event_heap)
        heap = self._event_heap
        while heap and heap[0][0] <= until_us:
            at_us, _, key = heapq.heappop(heap)
            entry = self._events.find(key)
            if entry is not None and at_us in entry.value:
                self.cancel(key, at_us)
                yield at_us, key

    def due_by_wall(self, now_us: int) -> Iterator[tuple[int, Any]]:
        """As `due`, by the wall clock."""
        heap = self._walls_in_order()
        while heap and heap[0][0] <= now_us:
            at_us, _, key = heapq.heappop(heap)
            entry = self._walls.find(key)
            if entry is not None and entry.value == at_us:
                self._walls.forget(entry)
                yield at_us, key

    def next_by_wall(self) -> int | None:
        """When the next one by the wall clock is due, or an earlier one that was cancelled; None: there is none."""
        if self._wall_heap is None:
            return 0  # at once: those that an earlier life has set are not known yet
        return self._wall_heap[0][0] if self._wall_heap else None

    def _walls_in_order(self) -> list[tuple[int, int, Any]]:
        if self._wall_heap is None:
            self._wall_heap = [(entry.value, self._next(), entry.key) for entry in self._walls.all()]
            heapq.heapify(self._wall_heap)
        return self._wall_heap

    def _push(self, heap: list[tuple[int, int, Any]], at_us: int, key: Any) -> None:
        heapq.heappush(heap, (at_us, self._next(), key))

    def _next(self) -> int:
        self._number += 1
        return self._number
