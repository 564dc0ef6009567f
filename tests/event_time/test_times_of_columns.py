"""Times in columns: only that column is looked at, the others stay columns, and a row without a time fails alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock.channel.column_batch import ColumnBatch
from penstock.event_time import moments
from penstock.operator import Context
from penstock.operators.event_time import EventTime, Field
from penstock.operators.map_batches import MapBatches
from penstock.operators.verb import Operator
from penstock.plan.plan import Node
from penstock.slot.input.batches import Out
from penstock.slot.user_code.chain import Chain

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def same(columns: pa.Table) -> pa.Table:
    return columns


def run(table: pa.Table, *, unit: str = "s", behind_batch: bool = False) -> tuple[Out, list[int], list[Any]]:
    """What was given out, the moments, and the failures."""
    times: Operator = EventTime(Field("at"), "f.py:1", unit=unit)
    operators = [MapBatches(same, "f.py:0", library="pyarrow.Table"), times] if behind_batch else [times]
    nodes = [Node(operator, index - 1) for index, operator in enumerate(operators)]
    chain = Chain(nodes, [len(nodes) - 1], label="s")
    chain.open(CONTEXT)
    out, noted = Out(), Out()
    failures = chain.run(ColumnBatch(table), [out, noted])
    return out, noted.rows, failures


TIMES = st.one_of(
    st.lists(st.integers(-10**6, 10**6), min_size=1).map(lambda at: pa.array(at, pa.int64())),
    st.lists(st.floats(-1e6, 1e6), min_size=1).map(lambda at: pa.array(at, pa.float64())),
    st.lists(st.datetimes(timezones=st.just(UTC), min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)),
             min_size=1).map(lambda at: pa.array(at, pa.timestamp("us", tz="Europe/Paris"))),
)  # fmt: skip


@given(TIMES, st.booleans())
def test_the_latest_moment_is_that_of_the_rows(times: pa.Array, behind_batch: bool) -> None:
    out, noted, failures = run(pa.table({"at": times, "other": times}), behind_batch=behind_batch)
    assert not failures
    assert max(noted) == max(map(moments("s"), times.to_pylist()))
    [block] = out.batches()
    assert isinstance(block, ColumnBatch) and block.count == len(times)


@pytest.mark.parametrize(("times", "wrong"), [
    (pa.array([1, None, 3]), {1}), (pa.array([1.0, 2.0, float("nan")]), {2}), (pa.array(["1", "2"]), {0, 1}),
    (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us")), {0}), (pa.array([1, 10**15]), {1}),
])  # fmt: skip
@pytest.mark.parametrize("behind_batch", [False, True])
def test_a_row_without_a_time_fails_alone(times: pa.Array, wrong: set[int], behind_batch: bool) -> None:
    out, noted, failures = run(pa.table({"at": times}), behind_batch=behind_batch)
    assert {failure.index for failure in failures} == wrong
    assert out.length == len(times) - len(wrong)
    right = [value for index, value in enumerate(times.to_pylist()) if index not in wrong]
    assert max(noted, default=None) == max(map(moments("s"), right), default=None)


def test_nanoseconds_are_cut_down() -> None:
    times = pa.array([1_999], pa.timestamp("ns", tz="UTC"))
    _, noted, failures = run(pa.table({"at": times}))
    assert not failures and max(noted) == 1


def test_the_plan_keeps_columns() -> None:
    app = ps.Pipeline("columns-with-times")
    stream = app.source([{"at": 1}]).stage("work").map_batches(same).event_time("at")
    stream.stage("more").map_batches(same).sink(ps.discard())
    text = app.plan().to_text()
    assert "columns" in text.partition("more  1 worker")[2]
    assert "(columns to rows)" not in text
