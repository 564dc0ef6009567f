"""`dedupe`: of the rows of a key that come within a time, the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final

from penstock.event_time import END_OF_TIME
from penstock.operators.event_time import EventTime
from penstock.operators.expiry import Expiry
from penstock.operators.keyed_operator import KeyedCall, KeyedOperator, KeyOf
from penstock.operators.keyed_state import StageState
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Becomes
from penstock.options import Duration, parse_duration
from penstock.signatures.fields_read import both, fields_of

_FORGETS_LATER_US: Final = 1_000_000
"""By the wall clock keys are forgotten so much later, many at once."""


class Dedupe(KeyedOperator, frozen=True):
    """A row is passed on if no row of its key was passed on less than `within` before it. `fn` is None."""

    verb: ClassVar[str] = "dedupe"
    becomes: ClassVar[Becomes] = Becomes.KEPT
    has_function: ClassVar[bool] = False

    within: Duration | None = None
    """None: for ever."""
    time: EventTime | None = None
    """How rows were given their times; None: the wall clock counts."""

    @property
    def name(self) -> str:
        return f"dedupe(within={self.within!r})"

    @property
    def row_taken(self) -> Any:
        return Any

    def row_given(self, before: Any) -> Any:
        return before

    def fields_read(self, row_class: type) -> frozenset[str] | None:
        times = frozenset[str]() if self.time is None else self.time.fields_read(row_class)
        return both(fields_of([self.key], row_class), times)

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        if self.within is None:
            return
        try:
            parse_duration(self.within)
        except ValueError as error:
            what, _, remedy = str(error).partition("; ")
            yield f"{name}: within: {what}", remedy

    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> KeyedCall:
        within_us = None if self.within is None else round(parse_duration(self.within) * 1e6)
        if self.time is None or within_us is None:
            return DedupeByWallClock(self.key_of(), within_us, state)
        return DedupeByEventTime(self.key_of(), within_us, self.time.moment_of(self.time.function()), state)


class DedupeByWallClock(KeyedCall):
    """Of the rows that come within a time."""

    def __init__(self, key_of: KeyOf, within_us: int | None, state: StageState) -> None:
        self._key_of = key_of
        self._within_us = within_us
        self._state = state
        self._passed = Expiry(state, "")

    def __call__(self, row: Any) -> bool:
        key, now = self._key_of(row), self._state.now_us()
        until = self._passed.until(key)
        if until is not None and now < until:
            return False
        self._passed.keep_until(key, END_OF_TIME if self._within_us is None else now + self._within_us)
        return True

    @property
    def next_tick_us(self) -> int | None:  # type: ignore[override]
        due = None if self._within_us is None else self._passed.next_us()
        return None if due is None else due + _FORGETS_LATER_US

    def tick(self, now_us: int) -> Iterable[Any]:
        for _ in self._passed.passed(now_us):
            pass
        return ()


class DedupeByEventTime(KeyedCall):
    """Of the rows whose times are within a time. A row that is older than the one passed on counts by its distance."""

    def __init__(self, key_of: KeyOf, within_us: int, time_of: Callable[[Any], int], state: StageState) -> None:
        self._key_of = key_of
        self._within_us = within_us
        self._time_of = time_of
        self._passed = Expiry(state, "")

    def __call__(self, row: Any) -> bool:
        key, time = self._key_of(row), self._time_of(row)
        until = self._passed.until(key)
        if until is not None and abs(time - (until - self._within_us)) < self._within_us:
            return False
        if until is None or time + self._within_us > until:
            self._passed.keep_until(key, time + self._within_us)
        return True

    def advance(self, watermark_us: int) -> Iterable[Any]:
        # What comes in order from now on is not older than the watermark.
        for _ in self._passed.passed(watermark_us):
            pass
        return ()
