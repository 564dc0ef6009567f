"""What a plan promises and what it costs, in sentences: delivery of each sink, and what is worth knowing beforehand.

Used by `render`; pure.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from penstock.operators.verb import Becomes, Shape
from penstock.operators.windowed.late import Late
from penstock.options import KIB, MIB
from penstock.plan.plan import EdgePlan, Node, Plan, StagePlan
from penstock.plan.travel import travel_of
from penstock.plan.windows_in_columns import why_rows
from penstock.sink import Delivery

_SENTENCES = {
    Delivery.EXACTLY_ONCE: "exactly once",
    Delivery.KEYED: "effectively once: a row written again replaces itself by its key",
    Delivery.AT_LEAST_ONCE: "at least once: rows in progress when a worker is killed may be repeated",
}


_PROCESS = {
    Delivery.EXACTLY_ONCE: "exactly once",
    Delivery.KEYED: "effectively once, by key",
    Delivery.AT_LEAST_ONCE: "rows in progress may repeat",
}
_MACHINE = {
    Delivery.EXACTLY_ONCE: "exactly once",
    Delivery.KEYED: "effectively once, by key",
    Delivery.AT_LEAST_ONCE: "rows of one interval may repeat",
}


class Promise(msgspec.Struct, frozen=True):
    """What holds for the rows that a stage delivers, in few words."""

    stage: str
    process: str
    """If any process is lost, at any moment."""
    machine: str
    """If the machine is lost, and the run resumes from its newest checkpoint."""


def promises(plan: Plan) -> list[Promise]:
    """For each stage that ends something."""
    found = []
    for stage in plan.stages.values():
        if promise(stage) is not None:
            process = machine = Delivery.AT_LEAST_ONCE
            if stage.sink is not None:
                process, machine = stage.sink.delivery, stage.sink.recovered_delivery
            found.append(Promise(stage.name, _PROCESS[process], _MACHINE[machine]))
    return found


def promise(stage: StagePlan) -> str | None:
    """How often a row of a stage without outputs arrives where it goes; None: the stage ends nothing."""
    if stage.sink is not None:
        waits = ", once a checkpoint covers it" if stage.sink.waits_for_checkpoint else ""
        return _SENTENCES[stage.sink.delivery] + waits
    # A window gives no row for a row either, but its stage has outputs: where its results go.
    calls = not stage.outputs and any(node.operator.becomes is Becomes.NOTHING for node in stage.nodes)
    return _SENTENCES[Delivery.AT_LEAST_ONCE] if stage.caller or calls else None


def notes(plan: Plan) -> Iterator[str]:
    """What a user should know of this plan."""
    for stage in plan.stages.values():
        yield from _about_stage(plan, stage)
    for edge in plan.edges:
        total = total_bytes(plan, edge)
        if total > edge.memory_bytes:
            yield (
                f"{edge.name} takes {size_text(total)} instead of {size_text(edge.memory_bytes)}: "
                f"{queues(plan, edge)} queues need at least {size_text(edge.channel_bytes)} each"
            )
        reason = travel_of(edge.row_type).reason
        if reason and edge_shape(plan, edge) is Shape.ROWS:
            yield f"rows of {edge.name} are pickled, which takes several times as long as msgpack: {reason}"
    for group, stages in plan.slot_groups().items():
        if len(stages) > 1:
            names = ", ".join(stage.name for stage in stages)
            yield f"{names} share the worker of {group}: they write to one database"


def _about_stage(plan: Plan, stage: StagePlan) -> Iterator[str]:
    if stage.source is not None and stage.source.journal:
        yield f"{stage.name} keeps its rows in {stage.source.journal} until a checkpoint covers them or the run ends"
    elif stage.source is not None and not stage.source.replayable:
        yield f"{stage.name} cannot be read again: rows that were read but not committed are lost with its worker"
    if stage.settings.workers_most > stage.settings.workers:
        most = stage.settings.workers_most
        yield f"{stage.name} may have up to {most} workers; it is fixed at {stage.settings.workers}"
    receivers = list(dict.fromkeys(plan.edge(output.edge).receiver for output in stage.outputs))
    if len(receivers) > 1:
        together = f"{', '.join(receivers[:-1])} and {receivers[-1]}"
        yield f"{together} wait for each other: the slowest one holds up {stage.name}, and so all of them"


def queues(plan: Plan, edge: EdgePlan) -> int:
    """How many queues an edge has."""
    senders, receivers = (plan.stages[name].settings.workers for name in (edge.sender, edge.receiver))
    return len(edge.channels(senders, receivers))


def total_bytes(plan: Plan, edge: EdgePlan) -> int:
    """What the queues of an edge reserve together."""
    return queues(plan, edge) * edge.channel_bytes


def input_shape(plan: Plan, stage: StagePlan) -> Shape:
    """How rows enter a stage: as columns only if all its inputs carry columns."""
    shapes = {edge_shape(plan, edge) for edge in plan.inputs(stage.name)}
    return Shape.COLUMNS if shapes == {Shape.COLUMNS} else Shape.ROWS


def edge_shape(plan: Plan, edge: EdgePlan) -> Shape:
    """How rows travel over an edge: as the operator that gave them left them."""
    sender = plan.stages[edge.sender]
    node = next(output.node for output in sender.outputs if output.edge == edge.name)
    return input_shape(plan, sender) if node < 0 else shape_after(plan, sender, node)


def shape_after(plan: Plan, stage: StagePlan, node: int) -> Shape:
    """How rows leave a node; -1: how they enter the stage."""
    if node < 0:
        return input_shape(plan, stage)
    operator = stage.nodes[node].operator
    # What only looks at a column passes columns on as they came, where nothing else in the stage makes rows of them.
    is_late = isinstance(operator, Late) and not why_windows_need_rows(stage)
    if is_late:
        return input_shape(plan, stage)
    if operator.becomes is Becomes.PASSED and _all_look_only(stage):
        return shape_after(plan, stage, stage.nodes[node].parent)
    return operator.gives


def converts(plan: Plan, stage: StagePlan, node: Node) -> bool:
    """True: an operator is given rows in another shape than they have."""
    if input_shape(plan, stage) is Shape.COLUMNS and not why_windows_need_rows(stage):
        return False
    given = shape_after(plan, stage, node.parent)
    return given is not node.operator.takes and not (node.operator.becomes is Becomes.PASSED and _all_look_only(stage))


def why_windows_need_rows(stage: StagePlan) -> str:
    """As `windows_in_columns.why_rows`."""
    leaves = [output.node for output in stage.outputs]
    return why_rows(stage.nodes, leaves if stage.sink is None else [*leaves, stage.sink_node])


def _all_look_only(stage: StagePlan) -> bool:
    """True: whatever shape rows have where an operator only looks at them, they keep it."""
    operators = [node.operator for node in stage.nodes]
    return any(one.batch for one in operators) or all(one.becomes is Becomes.PASSED for one in operators)


def size_text(size: int) -> str:
    """`8 MiB`, `512 KiB`, `1.5 MiB`."""
    if size >= MIB:
        return f"{size / MIB:.4g} MiB"
    return f"{size / KIB:.4g} KiB" if size >= KIB else f"{size} B"
