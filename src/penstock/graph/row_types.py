"""Row types along the graph: what each call gives, and the line that decided it."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.graph.graph import (
    BroadcastCall,
    Call,
    Graph,
    KeyByCall,
    MergeCall,
    OperatorCall,
    ResultsCall,
    SinkCall,
    SourceCall,
    StageCall,
    Where,
)
from penstock.operators.joined.two_streams import TwoStreams
from penstock.operators.verb import Becomes
from penstock.signatures.row_classes import union


class RowType(msgspec.Struct, frozen=True):
    """A stream's row, and the line that decided it."""

    type: Any
    where: Where


def row_types(graph: Graph) -> dict[int, RowType]:
    """The row that each call gives, `Any` where nobody says."""
    found: dict[int, RowType] = {}
    for number, call in graph.calls.items():
        found[number] = _after(call, found)
    return found


def _after(call: Call, found: dict[int, RowType]) -> RowType:
    match call:
        case SourceCall():
            return RowType(Any if call.source is None else call.source.row_type, call.where)
        case OperatorCall():
            before, operator = found[call.parent], call.operator
            if isinstance(operator, TwoStreams) and call.other is not None:
                operator = operator.between(before.type, found[call.other].type)
            given = operator.row_given(before.type)
            is_kept = operator.becomes in (Becomes.KEPT, Becomes.PASSED) and given is before.type
            return before if is_kept else RowType(given, call.where)
        case MergeCall():
            return RowType(union(found[parent].type for parent in call.parents), call.where)
        case StageCall() | KeyByCall() | BroadcastCall() | SinkCall() | ResultsCall():
            return found[call.parent]
