"""Which event time the rows of a stream have, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from penstock.errors import Mistake
from penstock.graph.findings import mistake
from penstock.graph.graph import Graph, OperatorCall, Where, parents_of
from penstock.graph.row_types import RowType
from penstock.graph.stages import Stage, Stages
from penstock.names import did_you_mean
from penstock.operators.event_time import EventTime
from penstock.signatures.annotations import returned_by, shown
from penstock.signatures.row_classes import fields_of, plain_class

_NO_TIMES = (bool, str, bytes, bytearray, complex, list, tuple, dict, set, frozenset, date, timedelta, type(None))
TIMES_ARE = "times are numbers, or datetimes with their time zone; convert it before, or give a function that does"


def event_time_of(graph: Graph, number: int) -> EventTime | None:
    """How the rows of a stream were given their times last. None: they have none, or some have others."""
    call = graph.calls[number]
    if isinstance(call, OperatorCall) and isinstance(call.operator, EventTime):
        return call.operator
    found = [event_time_of(graph, parent) for parent in parents_of(call)]
    first = found[0] if found else None
    return first if first is not None and all(_alike(first, other) for other in found) else None


def _alike(one: EventTime, other: EventTime | None) -> bool:
    return other is not None and (one.fn, one.unit) == (other.fn, other.unit)


def event_time_mistakes(stages: Stages, rows: Mapping[int, RowType]) -> Iterator[Mistake]:
    """All mistakes of this kind, but for those that every function can have."""
    graph = stages.graph
    for call in graph.calls.values():
        if isinstance(call, OperatorCall) and isinstance(call.operator, EventTime):
            yield from _of_row(call, call.operator, rows[call.parent])
    for stage in stages.by_number.values():
        yield from _in_stage(stages, stage)


def _of_row(call: OperatorCall, operator: EventTime, row: RowType) -> Iterator[Mistake]:
    name, field = operator.name, operator.field
    if field is None:
        given = returned_by(operator.fn)
        if given is not None and _is_no_time(given):
            yield mistake(call.where, f"{name} returns {shown(given)}", TIMES_ARE)
        return
    fields = fields_of(row.type)
    line = f"line {row.where.line}" if row.where.file == call.where.file else str(row.where)
    if fields is None and plain_class(row.type) in (str, bytes, int, float, bool, type(None), datetime):
        what = f"{name} names a field, but {line} gives {shown(row.type)}"
        yield mistake(call.where, what, "pass a function of the row: .event_time(lambda row: ...)")
    elif fields is not None and field not in fields:
        yield mistake(call.where, f"{shown(row.type)} ({line}) has no field {field!r}", did_you_mean(field, fields))
    elif fields is not None and _is_no_time(fields[field]):
        yield mistake(call.where, f"field {field!r} is {shown(fields[field])}", TIMES_ARE)


def _is_no_time(annotation: Any) -> bool:
    kind = plain_class(annotation)
    return kind is not None and issubclass(kind, _NO_TIMES) and not issubclass(kind, datetime)


def _in_stage(stages: Stages, stage: Stage) -> Iterator[Mistake]:
    """One event time in a stage, and nothing before it that needs one."""
    first: Where | None = None
    for number in stage.operators:
        call = stages.graph.calls[number]
        if not isinstance(call, OperatorCall) or not isinstance(call.operator, EventTime):
            continue
        if first is not None:
            what = f"stage {stage.name!r} has an event time already (line {first.line})"
            yield mistake(call.where, what, 'open a stage for this one: .stage("name").event_time(...)')
        first = first or call.where
        before = _state_before(stages, stage, number)
        if before is not None:
            yield mistake(
                call.where,
                f"{call.operator.name} stands behind {before}, which keeps state by the event time of its stage",
                'open a stage for it: .stage("name").event_time(...), or write it in front',
            )


def _state_before(stages: Stages, stage: Stage, number: int) -> str | None:
    graph = stages.graph
    for parent in parents_of(graph.calls[number]):
        if stages.home.get(parent) != stage.number:
            continue
        call = graph.calls[parent]
        if isinstance(call, OperatorCall) and call.operator.uses_state:
            return call.operator.name
        found = _state_before(stages, stage, parent)
        if found is not None:
            return found
    return None
