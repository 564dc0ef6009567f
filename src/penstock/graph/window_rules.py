"""Checks of windows: rows have times, fields exist, aggregations fit their values, and results fit their class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from penstock.errors import Mistake
from penstock.graph.event_times import event_time_of
from penstock.graph.findings import Caution, mistake
from penstock.graph.function_rules import travel_findings
from penstock.graph.graph import Graph, OperatorCall
from penstock.graph.row_types import RowType
from penstock.names import did_you_mean
from penstock.operators.event_time import EventTime
from penstock.operators.joined.two_streams import TwoStreams
from penstock.operators.verb import Operator
from penstock.operators.windowed.aggregate import Aggregate
from penstock.operators.windowed.bounds import is_between
from penstock.operators.windowed.result_rows import END, START, ResultRow
from penstock.operators.windowed.windowed_operator import WindowedOperator
from penstock.signatures.annotations import shown, taken_by
from penstock.signatures.row_classes import can_take, fields_of, plain_class, required_fields
from penstock.windows.aggregations.folded import Folded
from penstock.windows.row_reading import Value, field_mistake, reading, without_none
from penstock.windows.window import SessionWindow, SlicedWindow, Window


def window_mistakes(graph: Graph, rows: Mapping[int, RowType]) -> Iterator[Mistake]:
    """All mistakes of this kind. Several verbs may follow one window, of which what is wrong with it is said once."""
    told = set[tuple[int, str]]()
    for call, operator in _windowed(graph, rows):
        row_type = rows[call.parent].type
        for what, remedy in (*operator.window_mistakes(), *_time(operator, row_type)):
            if (id(operator.options), what) not in told:
                yield mistake(call.where, f"{operator.name}: {what}", remedy)
            told.add((id(operator.options), what))
        if isinstance(operator, Aggregate) and not any(operator.window.mistakes()):
            found = [*_values(operator, row_type)]
            if not found and not any(_time(operator, row_type)):
                found += [*_aggregations(operator), *_results(operator, row_type)]
            for what, remedy in found:
                yield mistake(call.where, f"{operator.name}: {what}", remedy)


def window_travel(graph: Graph, rows: Mapping[int, RowType]) -> Iterator[Mistake | Caution]:
    """Whether the functions in aggregations can be copied to the workers."""
    for call, operator in _windowed(graph, rows):
        if isinstance(operator, Aggregate):
            yield from travel_findings(call.where, operator.name, operator.aggregations)


def _windowed(graph: Graph, rows: Mapping[int, RowType]) -> Iterator[tuple[OperatorCall, WindowedOperator]]:
    for call in graph.calls.values():
        if isinstance(call, OperatorCall):
            operator = placed(call, graph, rows)
            if isinstance(operator, WindowedOperator):
                yield call, operator


def placed(call: OperatorCall, graph: Graph, rows: Mapping[int, RowType]) -> Operator:
    """A verb as it stands in a plan: what reads times, windows and joins know the rows that they are given."""
    operator, parent, other = call.operator, call.parent, call.other
    if isinstance(operator, WindowedOperator):
        return operator.placed(rows[parent].type, event_time_of(graph, parent))
    if isinstance(operator, EventTime):
        return operator.placed(rows[parent].type)
    if isinstance(operator, TwoStreams) and other is not None:
        times = event_time_of(graph, parent), event_time_of(graph, other)
        return operator.between(rows[parent].type, rows[other].type, *times)
    return operator.knowing(rows[parent].type)


def _time(operator: WindowedOperator, row_type: Any) -> Iterator[tuple[str, str]]:
    """The rows have times, and what gives them can be asked of these rows."""
    event_time = operator.event_time
    if event_time is None:
        if operator.window.needs_time and not operator.options.by_clock:
            yield "the rows have no event time", 'say what it is: .window(..., time="ts"), or .event_time("ts") before'
        return
    remedy = 'say where these rows have their time: .window(..., time="ts")'
    fields = fields_of(row_type)
    if event_time.field is not None and fields is not None and event_time.field not in fields:
        yield f"{shown(row_type)} has no field {event_time.field!r}, which {event_time.name} reads", remedy
    if event_time.field is None and not can_take(taken_by(event_time.fn), row_type):
        yield f"{event_time.name} takes {shown(taken_by(event_time.fn))}, but the rows are {shown(row_type)}", remedy


def _values(operator: Aggregate, row_type: Any) -> Iterator[tuple[str, str]]:
    for name, aggregation in operator.aggregations:
        for value in aggregation.read():
            fields = field_mistake(value, row_type)
            if fields is not None:
                what = f"{name}={aggregation.name}: {shown(row_type)} has no field {value!r}"
                yield what, did_you_mean(str(value), fields)
            elif callable(value) and not can_take(taken_by(value), row_type):
                what = f"{name}={aggregation.name} takes {shown(taken_by(value))}, but the rows are {shown(row_type)}"
                yield what, f"pass a function that takes {shown(row_type)}"


def _aggregations(operator: Aggregate) -> Iterator[tuple[str, str]]:
    types = operator.accumulators().value_types()
    for name, aggregation in operator.aggregations:
        found = reading(aggregation.where, operator.row_type, "").type
        if isinstance(aggregation.where, str) and plain_class(without_none(found)) not in (None, bool, object):
            what = f"{name}={aggregation.name}: field {aggregation.where!r} is {shown(found)}, and where= takes a bool"
            condition = '== "..."' if can_take(str, found) else "> 0"
            yield what, f"pass a function of the row: where=lambda row: row.{aggregation.where} {condition}"
        for what, remedy in aggregation.mistakes(types[name]):
            yield f"{name}: {what}", remedy
        if isinstance(aggregation, Folded) and aggregation.merge is None and merges(operator.window):
            what = f"{name}: windows are put together from parts, and fold has nothing that merges two values"
            yield what, "pass merge=, a function of two values"


def merges(window: Window) -> bool:
    """True: accumulators of one window are merged."""
    if isinstance(window, SlicedWindow):
        return window.slice_us != window.size_us
    return isinstance(window, SessionWindow)


def _results(operator: Aggregate, row_type: Any) -> Iterator[tuple[str, str]]:
    result, types = operator.result, operator.accumulators().result_types()
    taken = (result.key_field, START, END)
    for name in result.names:
        if name in taken:
            yield f"{name!r} is what the window's key, start or end is called", "give the result another name"
    fields = fields_of(result.type)
    if fields is None:
        if not result.is_dict:
            yield f"{shown(result.type)} has no fields", "name a msgspec.Struct, a dataclass or a NamedTuple"
        return
    yield from _fields(operator, result, fields, {result.key_field: _key_type(operator.key, row_type), **types})
    yield from _rounded(operator.window, result, fields)


def _fields(
    operator: Aggregate, result: ResultRow, fields: Mapping[str, Any], types: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """What the class of the results has, against what it is given."""
    kind = shown(result.type)
    for name in result.names:
        if name not in fields:
            yield f"{kind} has no field {name!r}", did_you_mean(name, fields)
    given = {START: result.bound_type(START), END: result.bound_type(END), **types}
    required = required_fields(result.type)
    for field, annotation in fields.items():
        if field not in given:
            if field in required:
                key = "" if result.key_field in fields else f"call it {result.key_field!r} if it is the key, or "
                remedy = f"{key}add {field}=ps.count() or another aggregation, or give the field a default"
                yield f"nothing gives field {field!r} of {kind}", remedy
        elif not can_take(annotation, given[field]):
            what = f"field {field!r} of {kind} is {shown(annotation)}, but is given {shown(given[field])}"
            yield what, "change the field, or what is computed"


def _key_type(key: Value, row_type: Any) -> Any:
    return reading(key, row_type, "key_of").type


def _rounded(window: Window, result: ResultRow, fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Bounds of windows that whole numbers cannot show."""
    if not is_between(window, result.unit):
        return
    for bound in (START, END):
        if bound in fields and result.bound_type(bound) is int:
            kind = shown(result.type)
            what = f"field {bound!r} of {kind} is int, in {result.unit}, and bounds of windows lie between whole ones"
            yield what, "make the field a float or a datetime"
