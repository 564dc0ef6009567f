"""A verb that looks at the time as it passes: what stands here for windows and timers, without their state on disk.

It counts rows by the second in which they happened. When event time has come so far that no row of that second can
come any more, it gives the count.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import msgspec

from penstock.event_time import END_OF_TIME, NO_WATERMARK
from penstock.graph.graph import Where
from penstock.operators.keyed_operator import KeyedCall, KeyedOperator
from penstock.operators.keyed_state import StageState
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Becomes
from penstock.pipeline import Stream

SECOND = 1_000_000


class Event(msgspec.Struct, frozen=True):
    """A row."""

    us: int
    """When it happened."""
    number: int = 0
    key: str = ""


class Counted(msgspec.Struct, frozen=True):
    """How many rows of a second came in time."""

    end_us: int
    rows: int
    watch: int = 0
    """Which of the calls gave it."""


class Seen(msgspec.Struct, frozen=True):
    """What one call has seen: a row's time, or how far event time had come."""

    watch: int
    kind: str
    us: int


LOG: list[Seen] = []
"""In the order in which it happened, of all calls in this process."""
_numbers = itertools.count()


class Watch(KeyedCall):
    """The call of one slot."""

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.next_tick_us: int | None = None
        self.late = 0
        self._watermark = NO_WATERMARK
        self._counts: Counter[int] = Counter()

    def __call__(self, row: Event) -> list[Any]:
        LOG.append(Seen(self.number, "row", row.us))
        if row.us < self._watermark:
            self.late += 1
        else:
            self._counts[row.us // SECOND * SECOND + SECOND] += 1
        return []

    def advance(self, watermark_us: int) -> Iterator[Any]:
        LOG.append(Seen(self.number, "time", watermark_us))
        for end in sorted(self._counts):
            if end <= watermark_us:
                yield Counted(end, self._counts.pop(end), self.number)
        self._watermark = watermark_us

    def tick(self, now_us: int) -> Iterator[Any]:
        LOG.append(Seen(self.number, "tick", now_us))
        return iter(())

    def end(self) -> Iterator[Any]:
        LOG.append(Seen(self.number, "end", 0))
        yield Counted(END_OF_TIME, 0, self.number)

    def holds_back_us(self) -> int:
        return END_OF_TIME


class Watching(KeyedOperator, frozen=True):
    """`fn` is called with each call that is made, in the worker."""

    verb: ClassVar[str] = "watching"
    becomes: ClassVar[Becomes] = Becomes.ROWS
    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> KeyedCall:
        return fn

    def function(self) -> Callable[[Any], Any]:
        return self.fn()  # type: ignore[no-any-return]

    def row_given(self, before: Any) -> Any:
        return Any


def watched(stream: Stream[Any], made: Callable[[], Any] = Watch) -> Stream[Any]:
    """The counts of a stream of `Event`s."""
    where = Where(__file__, 1)
    return stream._then(where, Watching(made, str(where)))
