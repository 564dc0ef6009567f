"""What a stage needs of the rows that come over its queues: some fields of each. Pure.

What a stage does not read stays as the bytes that came, and travels on as these (`channel/packed_rows.py`). Workers ask
here for themselves, with the functions that they have, and `render` asks for whoever looks at the plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.operators.verb import Becomes
from penstock.plan.plan import Node, Output, Plan, Route, StagePlan
from penstock.plan.topology import text_of
from penstock.plan.travel import Form, is_immutable, travel_of
from penstock.signatures.fields_read import fields_of


class Projection(msgspec.Struct, frozen=True):
    """What of each row a stage decodes."""

    row_class: Any
    """A Struct, of which all rows are."""
    fields: tuple[str, ...]
    """In the order of the class."""
    passes_on: bool
    """True: rows leave the stage as they came."""


def projection_of(plan: Plan, stage: StagePlan) -> Projection | None:
    """What the stage needs of each row; None: all of it."""
    row_class = _row_class(plan, stage)
    if row_class is None or not stage.nodes:
        return None
    if any(node.operator.batch or node.operator.is_async for node in stage.nodes):
        return None
    passing = frozenset(nodes_that_pass_rows_on(stage.nodes))
    given = [output for output in stage.outputs if output.node in passing]
    if stage.sink is not None and stage.sink_node in passing:
        return None
    if not all(_takes(plan, output, row_class) for output in given):
        return None
    read = _all_read(plan, stage, passing, given, row_class)
    if read is None or (len(read) == len(row_class.__struct_fields__) and not given):
        return None
    return Projection(row_class, tuple(name for name in row_class.__struct_fields__ if name in read), bool(given))


def nodes_that_pass_rows_on(nodes: tuple[Node, ...]) -> Iterator[int]:
    """The nodes whose rows are rows of the stage's input, as they came; -1 is the input itself."""
    found = {-1}
    for number, node in enumerate(nodes):
        if node.parent in found and node.operator.becomes in (Becomes.KEPT, Becomes.PASSED):
            found.add(number)
    return iter(found)


def _row_class(plan: Plan, stage: StagePlan) -> Any:
    """The class of all rows that come in, if they travel by their fields' names."""
    kinds = {edge.row_type for edge in plan.inputs(stage.name)}
    if stage.source is not None or stage.caller or len(kinds) != 1:
        return None
    kind = kinds.pop()
    if travel_of(kind).form is not Form.TYPED or not isinstance(kind, type):
        return None
    return None if kind.__struct_config__.array_like else kind  # type: ignore[attr-defined]


def _takes(plan: Plan, output: Output, row_class: Any) -> bool:
    """True: what came in may be sent over the edge as it is."""
    edge = plan.edge(output.edge)
    return edge.row_type is row_class and text_of(plan, edge) is None


def _all_read(
    plan: Plan, stage: StagePlan, passing: frozenset[int], given: list[Output], row_class: Any
) -> frozenset[str] | None:
    """The fields that functions and keys read of the rows that came in; None: more than that."""
    found = [node.operator.fields_read(row_class) for node in stage.nodes if node.parent in passing]
    for edge in (plan.edge(output.edge) for output in given):
        if edge.route is not Route.HASH:
            continue
        found.append(fields_of([edge.key], row_class))
    types = {field.name: field.type for field in msgspec.structs.fields(row_class)}
    read: set[str] = set()
    for names in found:
        if names is None or not all(name in types and is_immutable(types[name]) for name in names):
            return None
        read |= names
    return frozenset(read)
