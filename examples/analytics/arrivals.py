"""The events of a feed as a collector would have received them: all its files at once, merged by their clocks.

Within a file the order stays: what comes late or out of order there comes late or out of order here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

import penstock as ps
from analytics.events import Event, Normal, Unit
from analytics.ingest import read
from analytics.normalize import normalize
from penstock.source import EndOfSplit, Position, Reader, Source

E = TypeVar("E", bound=Event)
_BATCH = 100
"""Events of one read: event time moves from batch to batch."""


class Arrivals(Source[E]):
    """Events of one kind. Its position is how many were read: the same files give the same events again."""

    def __init__(self, units: Sequence[Unit], kind: type[E], pace: float | None = None) -> None:
        """`pace`: so many events per second at most. A reader that resumes has to catch up, and keeps none."""
        self.units = units
        self.kind = kind
        self.pace = pace

    @property
    def row_type(self) -> Any:
        return self.kind

    def open(self, split: Any, position: Position | None, context: ps.Context) -> Reader[E]:
        events = arrivals(self.units, self.kind)
        if position is None:
            return ArrivalsReader(events, 0, self.pace)
        return ArrivalsReader(islice(events, position, None), position, None)


class ArrivalsReader(Reader[E]):
    """Gives them in batches; `at`: how many were given, in this life and those before."""

    def __init__(self, events: Iterator[E], at: int, pace: float | None) -> None:
        self.events = events
        self.at = at
        self.pace = pace
        self.begin_s = math.inf
        """When the first batch was there: until then, files are read."""

    def read(self) -> list[E] | None:
        """None while the pace says to wait."""
        if self.pace and self.at and time.monotonic() - self.begin_s < self.at / self.pace:
            return None
        rows = list(islice(self.events, _BATCH))
        if not rows:
            raise EndOfSplit
        self.begin_s = min(self.begin_s, time.monotonic())
        self.at += len(rows)
        return rows

    def position(self) -> Position:
        return self.at


def arrivals(units: Sequence[Unit], kind: type[E]) -> Iterator[E]:
    """The events of all units, each when its unit's clock says so."""
    for _, event in merge(*(_clocked(unit, kind) for unit in units), key=itemgetter(0)):
        yield event


def _clocked(unit: Unit, kind: type[E]) -> Iterator[tuple[float, E]]:
    """Events with the newest time that the unit has told so far: an old event comes when it comes."""
    clock = -math.inf
    for stretch in read(unit):
        for part in normalize(stretch):
            if isinstance(part, Normal):
                for event in part.events[part.context :]:
                    if isinstance(event, kind):
                        clock = max(clock, event.ts)
                        yield clock, event
