"""A row gives all that it gives and writes all that it writes to state, or nothing, wherever it fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import PenstockError, RowTimeout
from penstock.operator import Context
from penstock.operators.each import Each
from penstock.operators.flat_map import FlatMap
from penstock.operators.keyed_state import StageState
from penstock.operators.map import Map
from penstock.operators.map_many import MapMany
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Operator
from penstock.plan.plan import Node
from penstock.slot.input.batches import Out
from penstock.slot.process.row_timeout import RowTimer
from penstock.slot.user_code.chain import Chain
from penstock.slot.user_code.row_program import ProgramNode, compile_program

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)


class Count(Operator, frozen=True):
    """`fn(row)` is a key; gives how often the key has come, and keeps that in a dict."""

    verb: ClassVar[str] = "count"
    writes_state: ClassVar[bool] = True

    counts: dict[Any, int] = {}  # noqa: RUF012  a field of a Struct, copied for each

    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> Callable[[Any], Any]:
        counts = self.counts

        def count(row: Any) -> int:
            key = fn(row)
            if key in counts:
                undo.note(counts.__setitem__, key, counts[key])
            else:
                undo.note(counts.pop, key, None)
            counts[key] = counts.get(key, 0) + 1
            return counts[key]

        return count


def key_of(row: int) -> int:
    return row % 3


def two_rows(row: int) -> list[int]:
    return [row, row + 1]


class Bad(Exception):
    """Raised for some rows."""


def choosy(salt: int) -> Callable[[int], int]:
    def fn(row: int) -> int:
        if (row * 7 + salt) % 4 == 0:
            raise Bad
        return row + salt

    return fn


steps = st.lists(
    st.one_of(st.just("count"), st.just("two"), st.integers(0, 9).map(lambda salt: f"choosy {salt}")),
    min_size=1, max_size=6,
)
given_rows = st.lists(st.integers(0, 30), max_size=12)


def operators_of(names: list[str]) -> list[Operator]:
    made: list[Operator] = []
    for name in names:
        kind, _, salt = name.partition(" ")
        if kind == "count":
            made.append(Count(key_of, "", counts={}))
        else:
            made.append(FlatMap(two_rows, "") if kind == "two" else Map(choosy(int(salt)), ""))
    return made


def expected(names: list[str], rows: list[int]) -> tuple[list[int], list[dict[int, int]], list[int]]:
    """What the rows give, what the state is behind them, and which of them fail, one row after the other."""
    states: list[dict[int, int]] = [{} for name in names if name == "count"]
    given_back: list[int] = []
    failed = []
    for index, row in enumerate(rows):
        tried = [dict(state) for state in states]
        try:
            given_back += _one(names, row, tried)
        except Bad:
            failed.append(index)
            continue
        states = tried
    return given_back, states, failed


def _one(names: list[str], row: int, states: list[dict[int, int]]) -> list[int]:
    values, left = [row], iter(states)
    for name in names:
        kind, _, salt = name.partition(" ")
        if kind == "count":
            state, counted = next(left), []
            for value in values:
                state[value % 3] = state.get(value % 3, 0) + 1
                counted.append(state[value % 3])
            values = counted
        elif kind == "two":
            values = [out for value in values for out in two_rows(value)]
        else:
            values = [choosy(int(salt))(value) for value in values]
    return values


@given(steps, given_rows, st.booleans(), st.integers(1, 5))
def test_a_row_that_fails_leaves_nothing_in_state(
    names: list[str], rows: list[int], in_batches: bool, batch_rows: int
) -> None:
    operators = operators_of(names)
    if in_batches:
        operators.append(MapMany(list, ""))
    nodes = [Node(operator, index - 1) for index, operator in enumerate(operators)]
    chain = Chain(nodes, [len(nodes) - 1], label="s", batch_rows=batch_rows)
    chain.open(CONTEXT)
    out = Out()
    failures = chain.run(list(rows), [out])
    given_back, states, failed = expected(names, rows)
    assert [failure.index for failure in failures] == failed
    assert out.rows == given_back
    assert [operator.counts for operator in operators if isinstance(operator, Count)] == states


def test_a_row_whose_time_is_over_leaves_nothing_in_state() -> None:
    def slow(count: int) -> int:
        until = time.monotonic() + 60
        while count == 2 and time.monotonic() < until:
            pass
        return count

    counting = Count(key_of, "", counts={})
    timer = RowTimer(0.2, lambda since_ns: None)
    chain = Chain([Node(counting, -1), Node(Map(slow, ""), 0)], [1], label="s", timer=timer)
    chain.open(CONTEXT)
    out = Out()
    failures = chain.run([0, 1, 3], [out])  # 3 is the second of its key
    assert [(failure.index, type(failure.error)) for failure in failures] == [(2, RowTimeout)]
    assert counting.counts == {0: 1, 1: 1}


def test_what_the_last_row_wrote_can_be_taken_back_until_the_next_one() -> None:
    counting = Count(key_of, "", counts={})
    chain = Chain([Node(counting, -1)], [0], label="s")
    chain.open(CONTEXT)
    chain.run([0, 1], [Out()])
    chain.run([3], [Out()])
    chain.take_back_last()
    assert counting.counts == {0: 1, 1: 1}


def test_state_and_coroutines_do_not_share_a_stage() -> None:
    async def later(row: int) -> int:
        return row

    chain = Chain([Node(Count(key_of, "", counts={}), -1), Node(Map(later, ""), 0)], [1], label="s")
    with pytest.raises(PenstockError, match=r"count\(key_of\) keeps state, .* map\(.*later\).* coroutine"):
        chain.open(CONTEXT)


def test_a_stage_without_state_pays_nothing() -> None:
    nodes = [ProgramNode(Map(str, ""), -1, str), ProgramNode(Each(print, ""), 0, print)]
    assert "begin" not in compile_program(nodes, [0], "s").source
    assert "begin" in compile_program(nodes, [0], "s", undo=UndoLog()).source


def test_writes_are_taken_back_the_last_one_first() -> None:
    log = UndoLog()
    state = {"a": 1}
    log.note(state.__setitem__, "a", 0)
    log.begin()
    log.note(state.__setitem__, "a", 1)
    log.note(state.__setitem__, "a", 2)
    state["a"] = 3
    log.roll_back()
    assert state == {"a": 1}
    log.roll_back()
    assert state == {"a": 1}
