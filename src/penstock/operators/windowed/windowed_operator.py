"""What the verbs over windows have in common: the window, the time of its rows, and which of them are late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self, TypeAlias

from msgspec.structs import replace

from penstock.operators.keyed_operator import KeyedOperator
from penstock.options import Duration
from penstock.windows import sessions
from penstock.windows.slices import Slices
from penstock.windows.window import SessionWindow, SlicedWindow, Window, microseconds

WindowJudge: TypeAlias = Callable[[Any, int], bool]
"""`(row, watermark)` -> whether the row is late."""


class WindowedOperator(KeyedOperator, frozen=True):
    """Base of the verbs that follow `window`."""

    has_function: ClassVar[bool] = False

    window: Window = Window()
    lateness: Duration = 0
    early: Duration | None = None
    retracts: bool = False
    row_type: Any = Any
    """Of the rows that it is given; the planner says."""
    event_time: Any = None
    """How the rows were given their times (`event_time.EventTime`); the planner says. None: they have none."""

    def placed(self, row_type: Any, event_time: Any) -> Self:
        """As it stands in a plan."""
        return replace(self, row_type=row_type, event_time=event_time)

    @property
    def name(self) -> str:
        return f"window({self.window.name}).{self.verb}()"

    @property
    def row_taken(self) -> Any:
        return Any

    @property
    def lateness_us(self) -> int:
        return microseconds(self.lateness)

    @property
    def early_us(self) -> int | None:
        return None if self.early is None else microseconds(self.early)

    def moment(self) -> Callable[[Any], int]:
        """The time of a row."""
        found: Callable[[Any], int] = _no_time if self.event_time is None else self.event_time.moments()
        return found

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

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        for what, remedy in self.window.mistakes():
            yield f"{name}: {what}", remedy
        for option, value in (("lateness", self.lateness), ("early", self.early)):
            if value is None:
                continue
            try:
                length = microseconds(value)
            except ValueError as error:
                what, _, remedy = str(error).partition("; ")
                yield f"{name}: {option}: {what}", remedy
            else:
                if option == "early" and length == 0:
                    yield f"{name}: early: {value!r} is no time at all", 'write a duration like "10s"'


def _no_time(row: Any) -> int:
    return 0
