"""`window(...).aggregate(...)`: one row of results for each key and window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import GenericAlias
from typing import Any, ClassVar

from penstock.operators.keyed_operator import KeyedCall
from penstock.operators.keyed_state import StageState
from penstock.operators.moment_text import moment_text
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Becomes
from penstock.operators.windowed.changes import Change
from penstock.operators.windowed.count_call import CountCall
from penstock.operators.windowed.early_calls import EarlySlicesCall
from penstock.operators.windowed.result_rows import ResultRow
from penstock.operators.windowed.session_call import SessionCall
from penstock.operators.windowed.sliced_calls import SharedSlicesCall, SlicedCall
from penstock.operators.windowed.spec import CallSpec
from penstock.operators.windowed.windowed_operator import WindowedOperator
from penstock.signatures.fields_read import both, fields_of
from penstock.windows.accumulators import AccumulatorCode
from penstock.windows.aggregations.aggregation import Aggregation
from penstock.windows.row_reading import reading
from penstock.windows.slices import Slices
from penstock.windows.window import CountWindow, SessionWindow, SlicedWindow


class Aggregate(WindowedOperator, frozen=True):
    """Windows by time: rows are taken in, and what is complete is given as time passes."""

    verb: ClassVar[str] = "aggregate"
    becomes: ClassVar[Becomes] = Becomes.NOTHING

    aggregations: tuple[tuple[str, Aggregation], ...] = ()
    type: Any = dict[str, Any]
    """The class of the rows that it gives."""
    key_as: str = ""
    """The field of a result that has the key; empty: that of the rows, or `key`."""

    @property
    def name(self) -> str:
        if self.key_as:  # fold, collect, top: the user has named no columns
            return f"window({self.window.name}).{self.aggregations[0][1].name}"
        columns = ", ".join(f"{name}={one.name}" for name, one in self.aggregations)
        return f"window({self.window.name}).{self.verb}({columns})"

    def row_given(self, before: Any) -> Any:
        return GenericAlias(Change, (self.type,)) if self.options.retracts else self.type

    def fields_read(self, row_class: type) -> frozenset[str] | None:
        values = [self.key, *(value for _, aggregation in self.aggregations for value in aggregation.read())]
        return both(super().fields_read(row_class), fields_of(values, row_class))

    @property
    def key_field(self) -> str:
        """The field of a result that has the key."""
        return self.key_as or (self.key if isinstance(self.key, str) else "key")

    @property
    def time_type(self) -> Any:
        """The annotation of the rows' times."""
        if self.event_time is None:
            return Any
        field = self.event_time.field
        return reading(self.event_time.fn if field is None else field, self.row_type, "time_of").type

    @property
    def result(self) -> ResultRow:
        unit = "s" if self.event_time is None else self.event_time.unit
        names = tuple(name for name, _ in self.aggregations)
        return ResultRow(self.type, self.key_field, names, self.window, self.time_type, unit)

    def why_rows(self) -> str:
        """Why batches of columns are taken row by row; empty: they need not be."""
        if not isinstance(self.window, SlicedWindow):
            return f"{self.window.name} needs rows"
        if self.options.early is not None:
            return "results before the end need rows"
        if self.options.by_clock:
            return "windows by the clock need rows"
        if not isinstance(self.key, str):
            return "the key is a function of the row"
        if self.event_time is None or self.event_time.field is None:
            return "the time is a function of the row"
        from penstock.windows.columnar.parts import why_rows  # as below

        return next(filter(None, (why_rows(one) for _, one in self.aggregations)), "")

    def accumulators(self) -> AccumulatorCode:
        """What is known of its state and its results."""
        return AccumulatorCode(dict(self.aggregations), self.row_type, 0)

    def spec(self, clock: Callable[[Any], int] | None = None) -> CallSpec:
        """`clock`: what gives the time of a row; None: its event time."""
        aggregations: Mapping[str, Aggregation] = dict(self.aggregations)
        field = None if self.event_time is None else self.event_time.field
        return CallSpec(
            self.window, aggregations, self.result, self.row_type, self.key, clock or self.moment(),
            moment_text(self.event_time, self.row_type), field, self.lateness_us, self.early_us, self.options.retracts,
        )

    def with_state(self, fn: Callable[..., Any], undo: UndoLog | None, state: StageState) -> KeyedCall:
        if self.options.by_clock:
            from penstock.operators.windowed.clock_call import ClockCall  # few windows are of this kind

            return ClockCall(state, lambda clock: self._by_slices(self.spec(clock), undo, state))
        spec = self.spec()
        # What is on a shelf is right for these aggregations over these windows only.
        name, kind = self.name, self._state_type
        match self.window:
            case SlicedWindow():
                return self._by_slices(spec, undo, state)
            case SessionWindow():
                return SessionCall(spec, self.window.gap_us, state.values(name, kind, in_memory=True), undo)
            case CountWindow():
                return CountCall(spec, self.window.rows, state.values(name, kind, in_memory=True), undo)
        raise AssertionError(self.window)

    def _by_slices(self, spec: CallSpec, undo: UndoLog | None, state: StageState) -> SlicedCall:
        assert isinstance(self.window, SlicedWindow)
        name, kind, slices = self.name, self._state_type, Slices.of(self.window)
        shelf = state.slices(name, kind)
        if self.options.early is not None:
            return EarlySlicesCall(spec, slices, shelf, undo, state.slices(f"{name} given", kind))
        if slices.shared:
            call: SlicedCall = SharedSlicesCall(spec, slices, shelf, undo, state.slices(f"{name} given"))
        else:
            call = SlicedCall(spec, slices, shelf, undo)
        if not self.why_rows():
            # Not at the top: it costs each run's first row, and most windows are over rows.
            from penstock.operators.windowed.column_calls import SlicedColumns

            call.columns = SlicedColumns(call, spec, slices, state.columns(f"{name} in columns", kind))
        return call

    @property
    def _state_type(self) -> Any:
        return GenericAlias(tuple, tuple(self.accumulators().state_types()))

    def without_undo(self, fn: Callable[..., Any], state: StageState) -> KeyedCall | None:
        if not isinstance(self.window, SlicedWindow) or self.options.by_clock:
            return None  # the clock has a shelf of its own, which notes what it writes
        return self.with_state(fn, None, state)


class CountAggregate(Aggregate, frozen=True):
    """Windows of a number of rows: a row gives the results of the window that it completes."""

    becomes: ClassVar[Becomes] = Becomes.ROWS

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        for option, is_given in (("lateness", self.options.lateness), ("early", self.options.early is not None)):
            if is_given:
                yield f"{name}: {option} without effect: {self.window.name} does not look at times", "leave it out"
