"""All checks of a graph that need no settings: nothing runs, nothing is read, nothing is raised.

One file for each kind of mistake stands beside this one; what depends on resolved options is checked in `plan`.
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock.errors import Mistake
from penstock.graph.endpoint_rules import connector_mistakes, endpoint_mistakes
from penstock.graph.event_times import event_time_mistakes
from penstock.graph.findings import Caution, Findings, in_line_order
from penstock.graph.function_rules import function_mistakes, travel_findings, uses
from penstock.graph.graph import Graph, SinkCall, SourceCall
from penstock.graph.join_rules import join_mistakes
from penstock.graph.row_types import RowType
from penstock.graph.shape_rules import described, shape_mistakes
from penstock.graph.stages import Stages
from penstock.graph.window_rules import window_mistakes, window_travel
from penstock.options import MIB
from penstock.sequences import CallableSource, SequenceSource
from penstock.sink import Sink

SAMPLE = 100
"""Items of a sequence that are tried: all of them may be a great deal."""
LARGE_ITEMS_BYTES = 64 * MIB
"""Items are data: a list of some size is what it is for."""


def validate(stages: Stages, rows: dict[int, RowType], *, ask_connectors: bool = True) -> Findings:
    """Everything wrong in a graph, by line."""
    graph = stages.graph
    travelling = list(_travelling(graph, rows))
    mistakes = [
        *shape_mistakes(stages),
        *endpoint_mistakes(graph),
        *(connector_mistakes(graph) if ask_connectors else ()),
        *function_mistakes(graph, rows),
        *event_time_mistakes(stages, rows),
        *window_mistakes(graph, rows),
        *join_mistakes(stages, rows),
        *(found for found in travelling if isinstance(found, Mistake)),
    ]
    return Findings(in_line_order(mistakes), tuple(found for found in travelling if isinstance(found, Caution)))


def _travelling(graph: Graph, rows: dict[int, RowType]) -> Iterator[Mistake | Caution]:
    for use in uses(graph, rows):
        if callable(use.operator.fn):
            yield from travel_findings(use.where, use.name, use.operator.fn)
        if use.operator.carries:
            yield from travel_findings(use.where, use.name, use.operator.carries, limit=LARGE_ITEMS_BYTES)
    yield from window_travel(graph, rows)
    for call in graph.calls.values():
        match call:
            case SourceCall(source=SequenceSource() as source):
                sample = source.items[:SAMPLE]
                share = len(source.items) / max(1, len(sample))
                yield from travel_findings(call.where, described(call), sample, times=share, limit=LARGE_ITEMS_BYTES)
            case SourceCall(source=CallableSource() as source):
                yield from travel_findings(call.where, described(call), source.fn)
            case SourceCall(source=endpoint) | SinkCall(sink=Sink() as endpoint) if endpoint is not None:
                yield from travel_findings(call.where, described(call), endpoint)
