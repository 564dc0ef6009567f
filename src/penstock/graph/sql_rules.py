"""Checks of queries: all that is known of them before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from penstock.errors import Mistake
from penstock.graph.findings import mistake
from penstock.graph.graph import Graph, OperatorCall
from penstock.graph.row_types import RowType
from penstock.operators.queried.sql import Sql


def sql_mistakes(graph: Graph, rows: Mapping[int, RowType]) -> Iterator[Mistake]:
    """All mistakes of this kind."""
    for call in graph.calls.values():
        if isinstance(call, OperatorCall) and isinstance(call.operator, Sql):
            operator = call.operator.placed(rows[call.parent].type)
            for what, remedy in operator.query_mistakes():
                yield mistake(call.where, f"{operator.name}: {what}", remedy)
