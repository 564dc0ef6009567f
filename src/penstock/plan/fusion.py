"""Stages of the graph into trees of the plan: which operators run together, and which of them gives which stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.graph.graph import BroadcastCall, Call, Graph, KeyByCall, OperatorCall, SinkCall, SourceCall
from penstock.graph.row_types import RowType
from penstock.graph.stages import Stage, Stages
from penstock.graph.window_rules import placed
from penstock.operators.each import Each
from penstock.operators.verb import Operator
from penstock.plan.plan import Node
from penstock.sequences import SequenceSource
from penstock.sink import Sink
from penstock.source import Source


class Tree(msgspec.Struct, frozen=True):
    """What runs in one stage."""

    nodes: tuple[Node, ...]
    node_of: Mapping[int, int]
    """For each call in the stage the node whose rows its stream has; -1: the stage's input."""
    sink: Sink[Any] | None
    sink_node: int


def tree_of(stages: Stages, stage: Stage, rows: Mapping[int, RowType]) -> Tree:
    """Fuse what was written in a stage. A source's own parsing comes first, a function given to `sink` last."""
    nodes: list[Node] = []
    source = source_of(stage)
    if source is not None and source.parse is not None:
        nodes.append(Node(source.parse, -1))
    node_of = {stage.number: len(nodes) - 1}
    sink, sink_node = None, -1
    for number in sorted((*stage.operators, *stage.routing, *stage.fused_sinks)):
        call = stages.graph.calls[number]
        parent = node_of.get(_parent(call), -1)
        operator = _operator(call, stages.graph, rows)
        node_of[number] = parent
        if operator is not None:
            nodes.append(Node(operator, parent))
            node_of[number] = len(nodes) - 1
        elif isinstance(call, SinkCall) and isinstance(call.sink, Sink):
            sink, sink_node = call.sink, parent
    if isinstance(stage.opener, SinkCall):
        if isinstance(stage.opener.sink, Each):
            nodes.append(Node(stage.opener.sink, -1))
        else:
            sink = stage.opener.sink
    return Tree(tuple(nodes), node_of, sink, sink_node)


def source_of(stage: Stage, workers: int = 1) -> Source[Any] | None:
    """What a stage reads; a sequence is divided among the workers."""
    source = stage.opener.source if isinstance(stage.opener, SourceCall) else None
    return source.divided(workers) if isinstance(source, SequenceSource) else source


def _parent(call: Call) -> int:
    match call:
        case OperatorCall() | KeyByCall() | BroadcastCall() | SinkCall():
            return call.parent
        case _:
            return -1


def _operator(call: Call, graph: Graph, rows: Mapping[int, RowType]) -> Operator | None:
    match call:
        case OperatorCall():
            return placed(call, graph, rows)
        case SinkCall(sink=Each() as each):
            return each
        case _:
            return None
