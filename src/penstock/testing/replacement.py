"""A plan with its sources and sinks taken out: scripts in, lists out, so that no test touches a real system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from msgspec.structs import replace

from penstock.errors import PenstockError
from penstock.names import did_you_mean
from penstock.operators.each import Each
from penstock.plan.plan import Node, Output, Plan, StagePlan
from penstock.sequences import SequenceSource
from penstock.source import Source
from penstock.testing.list_sink import ListSink
from penstock.testing.scripted_source import ScriptedSource

Input: TypeAlias = Iterable[Any] | ScriptedSource[Any]


def with_inputs(plan: Plan, inputs: Mapping[str, Input]) -> Plan:
    """Every source replaced by what stands under its name. Raises `PenstockError` where one lacks or is too many."""
    sources = [stage.name for stage in plan.stages.values() if stage.source is not None]
    for name in inputs:
        if name not in sources:
            raise PenstockError(f"inputs has {name!r}, but no source has this name; {did_you_mean(name, sources)}")
    missing = [name for name in sources if name not in inputs]
    if missing:
        listed = ", ".join(repr(name) for name in missing)
        raise PenstockError(
            f"inputs says nothing of the source {listed}; give its rows, [] for none: a test reads no real source"
        )
    stages = {
        name: _reading(stage, inputs[name]) if stage.source is not None else stage
        for name, stage in plan.stages.items()
    }
    return replace(plan, stages=stages)


def with_list_sinks(plan: Plan) -> Plan:
    """Every sink replaced by a `ListSink`; a function given to `sink` is not called."""
    return replace(plan, stages={name: _collecting(plan, stage) for name, stage in plan.stages.items()})


def list_sinks(plan: Plan) -> dict[str, ListSink[Any]]:
    """The sinks that `with_list_sinks` put in, by the name of their stage."""
    return {name: stage.sink for name, stage in plan.stages.items() if isinstance(stage.sink, ListSink)}


def _reading(stage: StagePlan, given: Input) -> StagePlan:
    source = _source(stage, given)
    assert stage.source is not None
    if stage.source.parse is None:
        return replace(stage, source=source)
    # The connector's own parsing goes with it: what is given are rows.
    return replace(_without_node(stage, 0), source=source, source_type=stage.source.row_type)


def _source(stage: StagePlan, given: Input) -> Source[Any]:
    if isinstance(given, ScriptedSource):
        return given
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise PenstockError(
            f"inputs[{stage.name!r}] is a {type(given).__name__}; give a list of rows, or a ScriptedSource"
        )
    return SequenceSource(list(given)).divided(stage.settings.workers)


def _collecting(plan: Plan, stage: StagePlan) -> StagePlan:
    for index, node in enumerate(stage.nodes):
        if isinstance(node.operator, Each):
            return replace(_without_node(stage, index), sink=ListSink(_row_type(plan, stage)), sink_node=node.parent)
    return stage if stage.sink is None else replace(stage, sink=ListSink(_row_type(plan, stage)))


def _row_type(plan: Plan, stage: StagePlan) -> Any:
    """The type of the rows that a sink is given, where it is a stage of its own; a fused sink's is not known."""
    incoming = plan.inputs(stage.name)
    return incoming[0].row_type if len(incoming) == 1 and len(stage.nodes) <= 1 else Any


def _without_node(stage: StagePlan, index: int) -> StagePlan:
    """A stage's tree less one node; what hung below it hangs below its parent."""
    parent = stage.nodes[index].parent

    def moved(node: int) -> int:
        if node == index:
            return parent
        return node - 1 if node > index else node

    nodes = [Node(n.operator, moved(n.parent)) for at, n in enumerate(stage.nodes) if at != index]
    outputs = tuple(Output(moved(output.node), output.edge) for output in stage.outputs)
    return replace(stage, nodes=tuple(nodes), outputs=outputs, sink_node=moved(stage.sink_node))
