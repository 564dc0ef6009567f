"""Drives a keyed call over the real state, as a worker does: rows, watermarks, commits, kills, and rows that fail."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from penstock.event_time import END_OF_TIME, NO_WATERMARK
from penstock.memory_files import MemoryFiles
from penstock.operators.keyed_operator import KeyedCall, KeyedOperator
from penstock.operators.verb import Becomes
from penstock.slot.state.slot_state import SlotState


class Event(msgspec.Struct):
    """A row: its key, its time in microseconds, and a value."""

    k: str
    t: int
    v: int


class Times:
    """Stands for `event_time("t", unit="us")`."""

    field = "t"
    fn = None
    unit = "us"

    def function(self) -> None: ...

    def moment_of(self, fn: None) -> Callable[[Event], int]:
        return lambda row: row.t


class Committed(msgspec.Struct):
    """What a record has."""

    numbers: list[int] = []
    watermark: int = NO_WATERMARK
    position: int = 0
    given: int = 0
    late: int = 0


class Driver:
    """One slot. What is given is in `given`, once it is committed for good."""

    def __init__(self, operator: KeyedOperator, events: list[Event], disorder: int, chance: random.Random) -> None:
        self._operator = operator
        self._events = events
        self._disorder = disorder
        self._chance = chance
        self._files = MemoryFiles()
        self._committed = Committed()
        self.given: list[Any] = []
        self.watermarks: list[int] = []
        """For each event the watermark that it was judged by."""
        self._late_before = 0
        self._live()

    def time_of(self, event: Any) -> int:
        return event.t  # type: ignore[no-any-return]

    # A life.

    def _live(self) -> None:
        record = self._committed
        del self.given[record.given :]
        del self.watermarks[record.position :]
        self._state = SlotState()
        stage = self._state.stage("s")
        self._stage = stage
        undo = stage.undo if self._chance.random() < 0.5 or not self._may_skip_undo else None
        self._undo = stage.undo
        self.call: KeyedCall = self._operator.with_state(None, undo, stage.of(self._operator.verb))  # type: ignore[arg-type]
        self._has_undo = undo is not None
        self._state.open(Path("log"), record.numbers, self._files)
        stage.watermark_us = record.watermark
        self.call.begin(record.watermark)
        self._position, self._watermark = record.position, record.watermark

    @property
    def _may_skip_undo(self) -> bool:
        return self._operator.becomes is Becomes.NOTHING

    def _commit(self) -> None:
        self._committed = Committed(
            self._state.flush(), self._watermark, self._position, len(self.given),
            self._committed.late + self.call.late - self._late_before,
        )
        if self._chance.random() < 0.5:
            self._state.committed()
        self._late_before = self.call.late

    def _is_killed(self) -> bool:
        """Commits now and then, and is killed now and then; the next life has begun."""
        if self._chance.random() < 0.4:
            self._commit()
        if self._chance.random() >= 0.1:
            return False
        self._late_before = 0
        self._live()
        return True

    # What it does.

    def run(self) -> None:
        """All events, and the end of the input."""
        while not self._goes_on():
            pass
        self._commit()

    def _goes_on(self) -> bool:
        """One life, from where the last one was committed. False: it was killed."""
        while True:
            # What an earlier life has not got to comes before any row.
            newest = max(map(self.time_of, self._events[: self._position]), default=None)
            if newest is not None and self._advance_to(newest - self._disorder):
                return False
            if self._is_killed():
                return False
            if self._position == len(self._events):
                return self._end()
            for _ in range(self._chance.randint(1, 6)):
                if self._position < len(self._events):
                    self._row(self._events[self._position])

    def _row(self, event: Event) -> None:
        self._undo.begin()
        if self._has_undo and self._chance.random() < 0.2:
            self.call(event)
            self._undo.roll_back()  # an operator beside it has failed, and the row is tried again
            self._undo.begin()
        self.watermarks.append(self._watermark)
        self._take(event, self.call(event))
        self._position += 1

    def _take(self, event: Event, result: Any) -> None:
        if self._operator.becomes is Becomes.ROWS:
            self.given += result
        elif self._operator.becomes is Becomes.KEPT and result:
            self.given.append(event)

    def _advance_to(self, watermark: int) -> bool:
        """True: killed in the middle."""
        if watermark <= self._watermark:
            return False
        self._stage.watermark_us = self._watermark
        for row in self.call.advance(watermark):
            self.given.append(row)
            if self._is_killed():
                return True
        self._watermark = self._stage.watermark_us = watermark
        return False

    def _end(self) -> bool:
        if self._advance_to(END_OF_TIME):
            return False
        for row in self.call.end():
            self.given.append(row)
            if self._is_killed():
                return False
        return True

    @property
    def late(self) -> int:
        return self._committed.late
