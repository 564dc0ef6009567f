"""Whether the windows of a stage take batches of columns as they are, and why not. Pure.

All of them do or none does: a batch is taken whole, or its rows are run one by one (`slot/user_code/over_columns.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.operators.event_time import EventTime
from penstock.operators.verb import Operator
from penstock.operators.windowed.aggregate import Aggregate
from penstock.operators.windowed.late import Late
from penstock.plan.plan import Node


def why_rows(nodes: Sequence[Node], leaves: Sequence[int]) -> str:
    """What needs rows; empty: nothing does. `leaves`: the nodes whose rows leave the stage."""
    taken = set(over_input(nodes))
    windows = False
    for number, node in enumerate(nodes):
        if number not in taken:
            continue
        why = _why_rows(node.operator)
        if why:
            return why
        behind = [other.operator for other in nodes if other.parent == number]
        if isinstance(node.operator, Late) and behind:
            return f"{behind[0].name} runs over late rows"
        windows = windows or isinstance(node.operator, Aggregate)
    if not windows:
        return "there are no windows"
    passing = [-1, *(number for number in taken if isinstance(nodes[number].operator, EventTime))]
    return "rows leave the stage as they came" if any(leaf in passing for leaf in leaves) else ""


def over_input(nodes: Sequence[Node]) -> list[int]:
    """The nodes that are given what the stage is given."""
    found = list[int]()
    for number, node in enumerate(nodes):
        if node.parent == -1 or (node.parent in found and isinstance(nodes[node.parent].operator, EventTime)):
            found.append(number)
    return found


def _why_rows(operator: Operator) -> str:
    match operator:
        case Aggregate():
            return operator.why_rows()
        case EventTime():
            return "" if operator.field is not None else "the time is a function of the row"
        case Late():
            return "" if operator.field is not None else "the time is a function of the row"
    return f"{operator.name} takes rows"
