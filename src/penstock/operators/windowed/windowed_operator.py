"""What the verbs over windows have in common: the window, the time of its rows, and which of them are late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self, TypeAlias

import msgspec
from msgspec.structs import replace

from penstock.operators.keyed_operator import KeyedOperator
from penstock.options import Duration
from penstock.windows import sessions
from penstock.windows.slices import Slices
from penstock.windows.window import SessionWindow, SlicedWindow, Window, microseconds

WindowJudge: TypeAlias = Callable[[Any, int], bool]
"""`(row, watermark)` -> whether the row is late."""


class WindowOptions(msgspec.Struct, frozen=True):
    """What `KeyedStream.window` was given, apart from the time."""

    window: Window
    lateness: Duration = 0
    early: Duration | None = None
    """How often windows that are not complete are given; None: never."""
    retracts: bool = False
    by_clock: bool = False
    """True: rows count when they come, by the clock on the wall."""


class WindowedOperator(KeyedOperator, frozen=True):
    """Base of the verbs that follow `window`."""

    has_function: ClassVar[bool] = False

    options: WindowOptions = WindowOptions(Window())
    row_type: Any = Any
    """Of the rows that it is given; the planner says."""
    event_time: Any = None
    """How the rows were given their times (`event_time.EventTime`); the planner says. None: they have none."""

    def placed(self, row_type: Any, event_time: Any) -> Self:
        """As it stands in a plan."""
        return replace(self, row_type=row_type, event_time=None if self.options.by_clock else event_time)

    @property
    def name(self) -> str:
        return f"window({self.window.name}).{self.verb}()"

    @property
    def row_taken(self) -> Any:
        return Any

    @property
    def window(self) -> Window:
        return self.options.window

    @property
    def lateness_us(self) -> int:
        return microseconds(self.options.lateness)

    @property
    def early_us(self) -> int | None:
        return None if self.options.early is None else microseconds(self.options.early)

    def fields_read(self, row_class: type) -> frozenset[str] | None:
        """Those of the rows' times; a verb that looks at more says so."""
        return frozenset() if self.event_time is None else self.event_time.fields_read(row_class)

    def moment(self) -> Callable[[Any], int]:
        """The time of a row."""
        if self.event_time is None:
            return _no_time
        made: Callable[[Any], int] = self.event_time.moment_of(self.event_time.function())
        return made

    @property
    def field(self) -> str | None:
        """The field that has the time of a row; None: a function gives it, or there is none."""
        field: str | None = None if self.event_time is None else self.event_time.field
        return field

    def judge(self) -> WindowJudge:
        moment, lateness = self.moment(), self.lateness_us
        match self.window:
            case SlicedWindow():
                slices = Slices.of(self.window)
                return lambda row, watermark: slices.is_late(slices.end_of(moment(row)), watermark - lateness)
            case SessionWindow():
                return lambda row, watermark: sessions.is_late(moment(row), watermark - lateness)
            case _:
                return lambda row, watermark: False

    def window_mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong with the window, and what to write instead; several verbs may have the same one."""
        yield from self.window.mistakes()
        if self.options.by_clock:
            yield from self._clock_mistakes()
        for option, value in (("lateness", self.options.lateness), ("early", self.options.early)):
            if value is None:
                continue
            try:
                length = microseconds(value)
            except ValueError as error:
                what, _, remedy = str(error).partition("; ")
                yield f"{option}: {what}", remedy
            else:
                if option == "early" and length == 0:
                    yield f"early: {value!r} is no time at all", 'write a duration like "10s"'

    def _clock_mistakes(self) -> Iterator[tuple[str, str]]:
        if not isinstance(self.window, SlicedWindow):
            what = f"{self.window.name} cannot be by processing time"
            yield what, "use ps.tumbling or ps.sliding, or process with timers by the wall clock"
        if self.options.lateness:
            yield "lateness without effect: no row is late by processing time", "leave it out"
        if self.options.early is not None:
            yield "early is for event time", "leave it out, or make the windows shorter"


def _no_time(row: Any) -> int:
    return 0
