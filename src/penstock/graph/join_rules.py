"""Checks of joins, and of lookups in streams: what enters the stage, which times and keys the rows of both have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from penstock.errors import Mistake
from penstock.graph.findings import mistake
from penstock.graph.graph import Graph, OperatorCall, parents_of
from penstock.graph.row_types import RowType
from penstock.graph.stages import Stages
from penstock.graph.window_rules import placed
from penstock.names import did_you_mean
from penstock.operators.event_time import EventTime
from penstock.operators.joined.two_streams import TwoStreams
from penstock.signatures.annotations import shown, taken_by
from penstock.signatures.row_classes import can_take, fields_of
from penstock.windows.row_reading import field_mistake, reading


def join_mistakes(stages: Stages, rows: Mapping[int, RowType]) -> Iterator[Mistake]:
    """All mistakes of this kind, but for those that the verb says of its own settings."""
    graph = stages.graph
    for call in graph.calls.values():
        if isinstance(call, OperatorCall) and call.other is not None:
            join = placed(call, graph, rows)
            assert isinstance(join, TwoStreams)
            for what, remedy in (*_shape(stages, call), *_times(join), *_keys(join)):
                yield mistake(call.where, f"{join.name}: {what}", remedy)


def _shape(stages: Stages, call: OperatorCall) -> Iterator[tuple[str, str]]:
    """Only the join is given the rows of its stage, and none of them comes of it."""
    graph, stage, other = stages.graph, stages.of(call.parent), call.other
    if stage is None or other is None:
        return
    if len(graph.consumers()[call.parent]) > 1:
        what = f"stage {stage.name!r} has the rows of both sides, and other operators would be given them, too"
        yield what, "write it in a stage of its own, and do the rest before or after it"
    inside = [graph.calls[number] for number in stage.operators]
    if any(isinstance(each, OperatorCall) and isinstance(each.operator, EventTime) for each in inside):
        what = f"stage {stage.name!r} has the rows of both sides, and event_time would be asked for both"
        yield what, "write event_time in the stages before, once for each side"
    if stage.number in {stages.home.get(number) for number in _ancestors(graph, other)}:
        yield "what is joined comes of the join's own stage", "join it to a stream of another stage"


def _ancestors(graph: Graph, number: int) -> set[int]:
    found, waiting = set[int](), [number]
    while waiting:
        at = waiting.pop()
        if at not in found:
            found.add(at)
            waiting += parents_of(graph.calls[at])
    return found


def _times(join: TwoStreams) -> Iterator[tuple[str, str]]:
    if not join.needs_times:
        return
    sides = {"left": (join.left_time, join.left_type), "right": (join.right_time, join.right_type)}
    for side, (event_time, row_type) in sides.items():
        if event_time is None:
            yield f"the {side} rows have no event time", 'say what it is, in the stage before: .event_time("ts")'
            continue
        fields = fields_of(row_type)
        if event_time.field is not None and fields is not None and event_time.field not in fields:
            name = event_time.name
            what = f"the {side} rows are {shown(row_type)}, which has no field {event_time.field!r} for {name}"
            yield what, "write event_time behind what makes these rows"
        if event_time.field is None and not can_take(taken_by(event_time.fn), row_type):
            taken = shown(taken_by(event_time.fn))
            what = f"{event_time.name} takes {taken}, but the {side} rows are {shown(row_type)}"
            yield what, "write event_time behind what makes these rows"


def _keys(join: TwoStreams) -> Iterator[tuple[str, str]]:
    fields = field_mistake(join.right_key, join.right_type)
    if fields is not None:
        yield f"{shown(join.right_type)} has no field {join.right_key!r}", did_you_mean(str(join.right_key), fields)
        return
    if callable(join.right_key) and not can_take(taken_by(join.right_key), join.right_type):
        what = f"`on` takes {shown(taken_by(join.right_key))}, but the rows are {shown(join.right_type)}"
        yield what, f"pass a function that takes {shown(join.right_type)}"
        return
    left, right = _key_type(join.key, join.left_type), _key_type(join.right_key, join.right_type)
    if not can_take(left, right) and not can_take(right, left):
        yield f"keys of the left rows are {shown(left)}, those of the right ones {shown(right)}", "make them one type"


def _key_type(key: Any, row_type: Any) -> Any:
    return reading(key, row_type, "key_of").type
