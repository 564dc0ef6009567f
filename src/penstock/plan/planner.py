"""Graph and settings into a plan: everything decided that can be decided before anything runs. Pure.

`examine` collects all mistakes, `plan_of` makes the plan of what has none; `pipeline` calls them one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from penstock.errors import Mistake, PipelineInvalid
from penstock.graph.findings import Findings, in_line_order
from penstock.graph.graph import BroadcastCall, Graph, KeyByCall, OperatorCall, ResultsCall
from penstock.graph.row_types import RowType, row_types
from penstock.graph.stages import Stage, Stages, stages_of
from penstock.graph.validate import validate
from penstock.operators.joined.two_streams import TwoStreams
from penstock.options import KIB
from penstock.plan.fusion import Tree, source_of, tree_of
from penstock.plan.option_rules import option_mistakes
from penstock.plan.plan import EdgePlan, Output, Route, StagePlan
from penstock.plan.printable import PrintablePlan
from penstock.plan.settings import Resolved, resolve

CHANNEL_LEAST_BYTES = 512 * KIB
PAGE_BYTES = 4096


class Examined(msgspec.Struct, frozen=True):
    """A graph with all that the checks found out about it."""

    stages: Stages
    rows: Mapping[int, RowType]
    options: Mapping[int, Resolved]
    findings: Findings


def examine(graph: Graph, settings: Mapping[str, object], *, ask_connectors: bool = True) -> Examined:
    """Run every check; those of the connectors themselves only if asked to."""
    stages = stages_of(graph)
    rows = row_types(graph)
    options, wrong = resolve(stages, settings)
    found = validate(stages, rows, ask_connectors=ask_connectors)
    mistakes: list[Mistake] = [*found.mistakes, *wrong, *option_mistakes(stages, options)]
    return Examined(stages, rows, options, Findings(in_line_order(mistakes), found.cautions))


def plan_of(examined: Examined) -> PrintablePlan:
    """What will run. Raises `PipelineInvalid` with all mistakes, if there are any."""
    if examined.findings.mistakes:
        raise PipelineInvalid(examined.findings.mistakes)
    stages = examined.stages
    trees = {number: tree_of(stages, stage, examined.rows) for number, stage in stages.by_number.items()}
    outputs: dict[int, list[Output]] = {number: [] for number in trees}
    edges = []
    for sender, output, edge in _edges(examined, trees):
        outputs[sender].append(output)
        edges.append(edge)
    groups = _slot_groups(trees, stages)
    planned = [
        _stage(examined, stage, trees[number], tuple(outputs[number]), groups[number])
        for number, stage in stages.by_number.items()
    ]
    return PrintablePlan(stages.graph.pipeline, {s.name: s for s in _timed(planned, edges)}, tuple(edges))


def _timed(stages: Sequence[StagePlan], edges: Sequence[EdgePlan]) -> Iterator[StagePlan]:
    """The stages, with what is known of event time in each: where rows have times, all that is behind it hears."""
    timed = set[str]()
    for stage in stages:  # senders stand before receivers
        if stage.event_time is not None or any(edge.receiver == stage.name and edge.sender in timed for edge in edges):
            timed.add(stage.name)
            stage = replace(stage, timed=True)
        yield stage


def _stage(examined: Examined, stage: Stage, tree: Tree, outputs: tuple[Output, ...], slot_group: str) -> StagePlan:
    settings = examined.options[stage.number].stage
    source = source_of(stage, settings.workers)
    return StagePlan(
        name=stage.name,
        settings=settings,
        nodes=tree.nodes,
        outputs=outputs,
        source=source,
        **({} if source is None or source.parse is not None else {"source_type": source.row_type}),
        sink=tree.sink,
        sink_node=tree.sink_node,
        caller=isinstance(stage.opener, ResultsCall),
        slot_group=slot_group,
        where=str(stage.where),
    )


def _slot_groups(trees: Mapping[int, Tree], stages: Stages) -> dict[int, str]:
    """Sinks with an equal `shared_slot` sit where the first of them sits; every other stage sits alone."""
    first: dict[str, str] = {}
    groups = {}
    for number, stage in stages.by_number.items():
        sink = trees[number].sink
        shared = None if sink is None else sink.shared_slot
        groups[number] = stage.name if shared is None else first.setdefault(shared, stage.name)
    return groups


def _edges(examined: Examined, trees: Mapping[int, Tree]) -> Iterator[tuple[int, Output, EdgePlan]]:
    """For every edge the number of the sending stage, what of it enters, and the edge."""
    stages = examined.stages
    names: dict[str, int] = {}
    for receiver in stages.by_number.values():
        for place, call in enumerate(receiver.inputs):
            sender = stages.by_number[stages.home[call]]
            name = f"{sender.name}->{receiver.name}"
            names[name] = names.get(name, 0) + 1
            if names[name] > 1:
                name = f"{name}#{names[name]}"
            edge = _edge(examined, name, sender, receiver, call)
            if receiver.is_joined(place):
                edge = _joined(stages, receiver, edge)
            yield sender.number, Output(trees[sender.number].node_of[call], name), edge


def _joined(stages: Stages, receiver: Stage, edge: EdgePlan) -> EdgePlan:
    """An edge that a join takes as its right side: its rows have a key of their own."""
    for number in receiver.operators:
        call = stages.graph.calls[number]
        if isinstance(call, OperatorCall) and isinstance(call.operator, TwoStreams):
            return replace(edge, key=call.operator.right_key, key_where=str(call.where), is_right=True)
    raise AssertionError(edge.name)


def _edge(examined: Examined, name: str, sender: Stage, receiver: Stage, call: int) -> EdgePlan:
    before, after = examined.options[sender.number], examined.options[receiver.number]
    routing = examined.stages.routing_of(receiver)
    route = _route(routing, after)
    senders, receivers = before.stage.workers, after.stage.workers
    channels = senders if route is Route.FORWARD else senders * receivers
    by_key = routing if isinstance(routing, KeyByCall) else None
    return EdgePlan(
        name=name,
        sender=sender.name,
        receiver=receiver.name,
        route=route,
        memory_bytes=after.edge.memory_bytes,
        channel_bytes=channel_bytes(after.edge.memory_bytes, channels),
        batch_rows=after.edge.batch_rows,
        linger_s=after.edge.linger_s,
        row_type=examined.rows[call].type,
        key=None if by_key is None else by_key.key,  # type: ignore[arg-type]
        key_where="" if by_key is None else str(by_key.where),
        on_error=after.stage.on_error,
        timeout_s=after.stage.timeout_s,
        merge=merges(before, route, receivers),
    )


def _route(routing: KeyByCall | BroadcastCall | None, receiver: Resolved) -> Route:
    match routing:
        case KeyByCall():
            return Route.HASH
        case BroadcastCall():
            return Route.BROADCAST
    if receiver.stage.ordered and receiver.stage.workers > 1:
        return Route.DEAL
    return Route.FORWARD if receiver.edge.route == "forward" else Route.BALANCE


def merges(sender: Resolved, route: Route, receivers: int) -> bool:
    """Whether a receiver takes turns by their numbers: behind an ordered stage that has several workers.

    With `forward` there is one sender to each receiver; with `balance` among several receivers a turn goes to one of
    them, and the others would wait for it for ever.
    """
    is_parallel = sender.stage.ordered and sender.stage.workers > 1
    return is_parallel and (receivers == 1 or route in (Route.DEAL, Route.HASH, Route.BROADCAST))


def channel_bytes(memory_bytes: int, channels: int) -> int:
    """Each queue's share of the edge's memory, in whole pages, and never too little for a batch."""
    return max(CHANNEL_LEAST_BYTES, memory_bytes // channels // PAGE_BYTES * PAGE_BYTES)
