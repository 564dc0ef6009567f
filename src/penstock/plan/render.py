"""A plan as text for people, as JSON for programs, as a Mermaid flowchart. Pure; `Plan.to_text` and so on call it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.operators.verb import Shape
from penstock.operators.windowed.aggregate import Aggregate
from penstock.plan.plan import EdgePlan, Plan, Route, StagePlan
from penstock.plan.projection import Projection, projection_of
from penstock.plan.promises import (
    converts,
    edge_shape,
    input_shape,
    notes,
    promise,
    promises,
    queues,
    shape_after,
    size_text,
    total_bytes,
    why_windows_need_rows,
)
from penstock.plan.travel import Form, travel_of
from penstock.plan.windows_in_columns import over_input
from penstock.signatures.annotations import shown
from penstock.signatures.callables import fn_name

WIDTH = 80


def render_text(plan: Plan) -> str:
    """Stage by stage: what enters, what runs, what leaves; then what to know."""
    groups = plan.slot_groups()
    workers = sum(stages[0].settings.workers for stages in groups.values() if not stages[0].caller)
    memory = size_text(sum(total_bytes(plan, edge) for edge in plan.edges))
    lines = [f"{plan.pipeline}: {_count(len(plan.stages), 'stage')}, {_count(workers, 'worker')}, queues of {memory}"]
    for stage in plan.stages.values():
        lines += ["", *_stage_lines(plan, stage)]
    lines += _promise_lines(plan)
    told = [textwrap.fill(note, WIDTH, initial_indent="- ", subsequent_indent="  ") for note in notes(plan)]
    return "\n".join(lines + (["", "Notes", *told] if told else [])) + "\n"


_PROMISE_WIDTHS = (18, 29)


def _promise_lines(plan: Plan) -> list[str]:
    """What holds if a process is lost, and what if the machine is: a column for each."""
    rows = [(given.stage, given.process, given.machine) for given in promises(plan)]
    if not rows:
        return []
    head = ("If this is lost:", "a process", "the machine (with checkpoints)")
    return ["", *(_promise_line(*row) for row in (head, *rows))]


def _promise_line(stage: str, process: str, machine: str) -> str:
    """A long name has a line of its own."""
    name, second = _PROMISE_WIDTHS
    begin = f"{stage:<{name}}" if len(stage) < name else f"{stage}\n{'':<{name}}"
    return f"{begin}{process:<{second}}{machine}"


def _stage_lines(plan: Plan, stage: StagePlan) -> Iterator[str]:
    yield _columns(f"{stage.name}  {_who(stage)}", stage.where)
    for edge in plan.inputs(stage.name):
        yield f"  from {edge.sender}: {', '.join(_edge_words(plan, edge))}"
    projection = projection_of(plan, stage)
    if projection is not None:
        text = _projection_text(projection)
        yield textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)
    if stage.settings.state_cache_bytes:
        yield f"  keeps state on disk (rocksdict), {size_text(stage.settings.state_cache_bytes)} of it in memory"
    if stage.source is not None:
        yield f"  reads {_thing(stage.source.label, stage.source.target)}"
    yield from _leaving(plan, stage, -1, 1)
    yield from _tree(plan, stage, -1, 1)


def _projection_text(projection: Projection) -> str:
    """What of a row is decoded: `decodes user, ms of each row, and passes it on as it came`."""
    behind = ", and passes it on as it came" if projection.passes_on else ""
    return f"decodes {', '.join(projection.fields) or 'nothing'} of each row{behind}"


def _who(stage: StagePlan) -> str:
    if stage.caller:
        return "read by the caller"
    shared = f", in the worker of {stage.slot_group}" if stage.slot_group != stage.name else ""
    ordered = ", ordered" if stage.settings.ordered else ""
    return _count(stage.settings.workers, "worker") + ordered + shared


def _edge_words(plan: Plan, edge: EdgePlan) -> Iterator[str]:
    yield route_text(edge)
    yield f"{_count(queues(plan, edge), 'queue')} of {size_text(edge.channel_bytes)}"
    shape = edge_shape(plan, edge)
    yield f"{shape.value} of {shown(edge.row_type)}" if edge.row_type is not Any else shape.value
    if shape is Shape.ROWS and travel_of(edge.row_type).form is Form.PICKLED:
        yield "pickled"


def route_text(edge: EdgePlan) -> str:
    """How an edge chooses the worker: `balance`, `hash by 'user'`."""
    text = edge.route.value
    if edge.route is Route.HASH and edge.key is not None:
        text = f"hash by {edge.key!r}" if isinstance(edge.key, str) else f"hash by {fn_name(edge.key)}"
    text = f"{text}, joined" if edge.is_right else text
    return f"{text}, in turn" if edge.merge else text


def _tree(plan: Plan, stage: StagePlan, parent: int, depth: int) -> Iterator[str]:
    """Operators from `parent` on; only a branch is indented."""
    children = [n for n, node in enumerate(stage.nodes) if node.parent == parent]
    inner = depth + (len(children) > 1)
    for child in children:
        operator = stage.nodes[child].operator
        if converts(plan, stage, stage.nodes[child]):
            given = shape_after(plan, stage, parent)
            yield f"{'  ' * inner}({given.value} to {operator.takes.value})"
        yield from _operator_lines("  " * inner, operator.name, operator.where)
        is_first = child in over_input(stage.nodes)
        if isinstance(operator, Aggregate) and is_first and input_shape(plan, stage) is Shape.COLUMNS:
            why = why_windows_need_rows(stage)
            yield f"{'  ' * inner}  row by row: {why}" if why else f"{'  ' * inner}  takes columns as they are"
        yield from _leaving(plan, stage, child, inner)
        yield from _tree(plan, stage, child, inner)


def _operator_lines(indent: str, name: str, where: str) -> Iterator[str]:
    """What is too long for one line goes on in others; the place stands in the first one."""
    if len(indent) + len(name) <= WIDTH:
        yield _columns(f"{indent}{name}", where)
        return
    first, *others = textwrap.wrap(
        f"{indent}{name}", WIDTH - len(where) - 2, subsequent_indent=f"{indent}    ", break_long_words=False,
        break_on_hyphens=False,
    )
    yield _columns(first, where)
    yield from others


def _leaving(plan: Plan, stage: StagePlan, node: int, depth: int) -> Iterator[str]:
    """Where the rows of a node go: to other stages, into a sink, to the caller."""
    indent = "  " * depth
    names = [plan.edge(output.edge).receiver for output in stage.outputs if output.node == node]
    if names:
        yield f"{indent}to {', '.join(names)}"
    said = promise(stage)
    if said is None:
        return
    if stage.sink is not None and stage.sink_node == node:
        yield f"{indent}writes {_thing(stage.sink.sink_label, stage.sink.target)}"
        yield f"{indent}  {said}"
    elif stage.sink is None and node == len(stage.nodes) - 1:
        yield f"{indent}  {said}"


def _thing(label: str, target: str) -> str:
    return label if target == label else f"{label}: {target}"


def _columns(left: str, right: str) -> str:
    gap = WIDTH - len(left) - len(right)
    return f"{left}{' ' * gap}{right}" if gap >= 2 else f"{left}  {right}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def render_json(plan: Plan) -> str:
    """One object: the stages and edges by name, and the notes."""
    value = {
        "pipeline": plan.pipeline,
        "bounded": plan.bounded,
        "stages": {name: _stage_value(plan, stage) for name, stage in plan.stages.items()},
        "edges": {edge.name: _edge_value(plan, edge) for edge in plan.edges},
        "notes": list(notes(plan)),
    }
    return msgspec.json.format(msgspec.json.encode(value)).decode()


def _stage_value(plan: Plan, stage: StagePlan) -> dict[str, object]:
    projection = projection_of(plan, stage)
    return {
        "where": stage.where,
        "workers": stage.settings.workers,
        "ordered": stage.settings.ordered,
        "slot_group": stage.slot_group,
        "caller": stage.caller,
        "source": None if stage.source is None else _thing(stage.source.label, stage.source.target),
        "sink": None if stage.sink is None else _thing(stage.sink.sink_label, stage.sink.target),
        "promise": promise(stage),
        "promise_for_machine": next((given.machine for given in promises(plan) if given.stage == stage.name), None),
        "decodes": "rows" if projection is None else list(projection.fields),
        "operators": [
            {
                "name": node.operator.name,
                "where": node.operator.where,
                "parent": node.parent,
                "takes": node.operator.takes.value,
                "gives": node.operator.gives.value,
                "converts": converts(plan, stage, node),
            }
            for node in stage.nodes
        ],
        "outputs": [{"node": output.node, "edge": output.edge} for output in stage.outputs],
    }


def _edge_value(plan: Plan, edge: EdgePlan) -> dict[str, object]:
    return {
        "from": edge.sender,
        "to": edge.receiver,
        "route": edge.route.value,
        "key": edge.key if isinstance(edge.key, str) or edge.key is None else fn_name(edge.key),
        "in_turn": edge.merge,
        "queues": queues(plan, edge),
        "queue_bytes": edge.channel_bytes,
        "memory_bytes": total_bytes(plan, edge),
        "shape": edge_shape(plan, edge).value,
        "row_type": shown(edge.row_type),
        "travels": "arrow" if edge_shape(plan, edge) is Shape.COLUMNS else travel_of(edge.row_type).form.value,
    }


def render_mermaid(plan: Plan) -> str:
    """Stages as boxes with their operators, edges with their routes."""
    numbers = {name: f"s{number}" for number, name in enumerate(plan.stages)}
    lines = ["flowchart LR"]
    for name, stage in plan.stages.items():
        inside = [f"{name} x{stage.settings.workers}", *(node.operator.name for node in stage.nodes)]
        text = "<br/>".join(map(_escaped, inside))
        left, right = _box(stage)
        lines.append(f'  {numbers[name]}{left}"{text}"{right}')
    for edge in plan.edges:
        columns = " (columns)" if edge_shape(plan, edge) is Shape.COLUMNS else ""
        text = _escaped(route_text(edge) + columns)
        lines.append(f'  {numbers[edge.sender]} -->|"{text}"| {numbers[edge.receiver]}')
    return "\n".join(lines) + "\n"


def _box(stage: StagePlan) -> tuple[str, str]:
    """A cylinder for what is written, a rounded box for what is read."""
    if stage.sink is not None:
        return "[(", ")]"
    return ("[", "]") if stage.source is None else ("([", "])")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
