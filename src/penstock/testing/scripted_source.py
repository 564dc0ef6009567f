"""A source that plays a script of rows, pauses and sudden deaths, in a worker or in the test's own process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.event_time import moments
from penstock.operator import Context
from penstock.options import Duration, parse_duration
from penstock.source import EndOfSplit, Position, Reader, Source

T_co = TypeVar("T_co", covariant=True)


class Pause:
    """Give nothing for this long."""

    def __init__(self, duration: Duration) -> None:
        self.duration_s = parse_duration(duration)

    def __repr__(self) -> str:
        return f"Pause({self.duration_s:g} s)"


class Abort:
    """Kill the worker that reads the script here, as `kill -9` does; its successor resumes after this step.

    A worker's n-th life skips the first n - 1 of them, so a script with several of them kills as many lives. Without
    processes (`testing.run` without `processes=True`), the source is opened again at its committed position.
    """

    def __repr__(self) -> str:
        return "Abort()"


class Watermark:
    """Event time has come this far: no row behind this step happened before. Only where `event_time` gives the times.

    So windows close, and timers fire, without a row that says so.
    """

    def __init__(self, time: datetime | float) -> None:
        """`time`: a `datetime` with its time zone, or seconds since 1970."""
        moments("s")(time)  # raises what the pipeline would raise
        self.time = time

    def __repr__(self) -> str:
        return f"Watermark({self.time!r})"


Step: TypeAlias = Any
"""A row, a `Pause`, an `Abort` or a `Watermark`."""
_STEPS = (Pause, Abort, Watermark)


def die(reader: ScriptedReader) -> None:
    """What an `Abort` does in a worker."""
    os.kill(os.getpid(), signal.SIGKILL)


class ScriptedSource(Source[T_co], Generic[T_co]):
    """Gives the rows of `steps` in order, in one batch up to each `Pause`, `Abort` or `Watermark`."""

    def __init__(self, steps: Sequence[T_co | Pause | Abort | Watermark], *, clock: Clock = SYSTEM_CLOCK) -> None:
        """`clock` measures pauses; use a `ManualClock` if the reader runs in the test's own process."""
        self._steps = tuple(steps)
        self._clock = clock

    @property
    def steps(self) -> Sequence[T_co | Pause | Abort | Watermark]:
        """The script."""
        return self._steps

    @property
    def label(self) -> str:
        return "script"

    def open(self, split: Any, position: Position | None, context: Context) -> ScriptedReader:
        return ScriptedReader(self._steps, position or 0, self._clock, lives_before=context.attempt - 1)


class ScriptedReader(Reader[Any]):
    """Plays a script from a position: the number of steps that are through."""

    poll_after = "10ms"

    def __init__(
        self, steps: Sequence[Step], position: int, clock: Clock, *, lives_before: int = 0,
        abort: Callable[[ScriptedReader], None] = die,
    ) -> None:
        self._steps = steps
        self._at = position
        self._clock = clock
        self._aborts_survived = lives_before
        self._abort = abort
        self._until_s: float | None = None
        before = [step.time for step in steps[:position] if isinstance(step, Watermark)]
        self._watermark = before[-1] if before else None

    @property
    def resumes_s(self) -> float | None:
        """When the pause that it stands in is over, by the clock; None: it stands in none."""
        return self._until_s

    def read(self) -> list[Any] | None:
        while self._at < len(self._steps):
            step = self._steps[self._at]
            if isinstance(step, Pause):
                if not self._is_over(step):
                    return None
            elif isinstance(step, Abort):
                self._at += 1
                if self._number_of_abort() > self._aborts_survived:
                    self._abort(self)
            elif isinstance(step, Watermark):
                self._at += 1
                self._watermark = step.time
                return None  # asked again, it continues; and this is looked at between the two
            else:
                return self._rows()
        raise EndOfSplit

    def watermark(self) -> datetime | float | None:
        return self._watermark

    def position(self) -> Position:
        return self._at

    def _is_over(self, pause: Pause) -> bool:
        now = self._clock.monotonic()
        if self._until_s is None:
            self._until_s = now + pause.duration_s
        if now < self._until_s:
            return False
        self._until_s = None
        self._at += 1
        return True

    def _number_of_abort(self) -> int:
        """How many aborts there are up to where it stands."""
        return sum(isinstance(step, Abort) for step in self._steps[: self._at])

    def _rows(self) -> list[Any]:
        rows: list[Any] = []
        while self._at < len(self._steps) and not isinstance(self._steps[self._at], _STEPS):
            rows.append(self._steps[self._at])
            self._at += 1
        return rows
