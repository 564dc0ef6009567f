"""Where no row can fail once a window has it, nothing is noted of what it writes, and programs do not ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from window_driver import Event, Times

import penstock as ps
from penstock.operator import Context
from penstock.operators.flat_map import FlatMap
from penstock.operators.map import Map
from penstock.operators.windowed.aggregate import Aggregate
from penstock.operators.windowed.windowed_operator import WindowOptions
from penstock.plan.plan import Node
from penstock.slot.state.slot_state import SlotState
from penstock.slot.user_code.chain import Chain

AGGREGATE = Aggregate(
    None, "f.py:1", key="k", options=WindowOptions(ps.tumbling("10s")), aggregations=(("n", ps.count()),)
).placed(Event, Times())
SESSIONS = Aggregate(
    None, "f.py:2", key="k", options=WindowOptions(ps.session("10s")), aggregations=(("n", ps.count()),)
).placed(Event, Times())


def same(row: Any) -> Any:
    return row


MAP, FLAT = Map(same, "f.py:3"), FlatMap(same, "f.py:4")

ALONE: dict[str, tuple[Sequence[Node], Sequence[int]]] = {
    "window": ([Node(AGGREGATE, -1)], [0]),
    "behind a map": ([Node(MAP, -1), Node(AGGREGATE, 0)], [1]),
    "before a map": ([Node(AGGREGATE, -1), Node(MAP, 0)], [1]),
    "before two": ([Node(AGGREGATE, -1), Node(MAP, 0), Node(FLAT, 0)], [1, 2]),
}
NOT_ALONE: dict[str, tuple[Sequence[Node], Sequence[int]]] = {
    "map beside it": ([Node(AGGREGATE, -1), Node(MAP, -1)], [0, 1]),
    "map that ends beside it": ([Node(MAP, -1), Node(AGGREGATE, -1)], [0, 1]),
    "its input is sent": ([Node(AGGREGATE, -1)], [0, -1]),
    "its input after a map is sent": ([Node(MAP, -1), Node(AGGREGATE, 0)], [1, 0]),
    "another window beside it": ([Node(AGGREGATE, -1), Node(AGGREGATE, -1)], [0, 1]),
    "several rows of one": ([Node(FLAT, -1), Node(AGGREGATE, 0)], [1]),
    "sessions, whose shelf notes": ([Node(SESSIONS, -1)], [0]),
}


def undoes(nodes: Sequence[Node], leaves: Sequence[int]) -> bool:
    chain = Chain(nodes, leaves, label="s")
    chain.open(Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1), SlotState())
    return chain._undo is not None


@pytest.mark.interpreted
@pytest.mark.parametrize("which", ALONE)
def test_nothing_is_noted_where_nothing_can_fail(which: str) -> None:
    assert not undoes(*ALONE[which])


@pytest.mark.interpreted
@pytest.mark.parametrize("which", NOT_ALONE)
def test_what_is_written_is_noted_where_a_row_may_still_fail(which: str) -> None:
    assert undoes(*NOT_ALONE[which])
