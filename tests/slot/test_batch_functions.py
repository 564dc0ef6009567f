"""Functions of many rows: every library's shape, and bisecting down to the row that cannot be taken."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import Lines
from penstock.operator import Context
from penstock.operators.filter import Filter
from penstock.operators.map import Map
from penstock.operators.map_batches import MapBatches
from penstock.operators.map_many import MapMany
from penstock.operators.verb import Operator
from penstock.plan.plan import Node
from penstock.slot.input.batches import Out, as_row_list, normalized
from penstock.slot.process.row_failure import Failure
from penstock.slot.user_code.chain import Chain

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)
numbers = st.lists(st.integers(0, 100), max_size=40)


class Visit(msgspec.Struct):
    user: str
    ms: int


def run(
    operators: list[Operator], batch: Any, *, stop: bool = False, batch_rows: int = 4096, input_type: Any = Any
) -> tuple[list[Any], list[Failure]]:
    """A chain of operators, its last one the only leaf; what it gave as rows."""
    nodes = [Node(operator, index - 1) for index, operator in enumerate(operators)]
    chain = Chain(nodes, [len(nodes) - 1], label="s", batch_rows=batch_rows)
    chain.open(CONTEXT)
    out = Out()
    failures = chain.run(normalized(batch, input_type), [out], stop_at_failure=stop)
    return [row for given in out.batches() for row in as_row_list(given)], failures


def _popped(rows: list[int]) -> list[int]:
    return [rows.pop(0) for _ in range(len(rows))]


def _in_place(rows: list[int]) -> list[int]:
    rows[:] = [row for row in rows if row % 2]
    return rows


def test_a_function_of_many_rows_may_take_them_out_of_its_list() -> None:
    rows = list(range(100))
    given_back, failures = run([MapMany(_popped, "f.py:1")], rows)
    assert (given_back, failures, rows) == (list(range(100)), [], list(range(100)))


def test_a_function_of_many_rows_that_leaves_some_out_in_place_is_told() -> None:
    _, failures = run([MapMany(_in_place, "f.py:1")], list(range(100)))
    assert [failure.index for failure in failures] == list(range(0, 100, 2))


@given(numbers, st.sets(st.integers(0, 100), max_size=4), st.integers(1, 10), st.booleans())
def test_a_function_of_many_rows_gives_all_but_the_rows_that_it_cannot_take(
    rows: list[int], bad: set[int], batch_rows: int, stop: bool
) -> None:
    def doubled(batch: list[int]) -> list[int]:
        assert len(batch) <= batch_rows
        if bad & set(batch):
            raise ValueError("some row is bad")
        return [2 * row for row in batch]

    operator = MapMany(doubled, "f.py:1")
    given_back, failures = run([operator], rows, stop=stop, batch_rows=batch_rows)
    places = [index for index, row in enumerate(rows) if row in bad]
    taken = rows[: places[0]] if stop and places else rows
    assert given_back == [2 * row for row in taken if row not in bad]
    assert [failure.index for failure in failures] == (places[:1] if stop else places)
    assert all(failure.operator is operator for failure in failures)


def test_a_function_of_many_rows_must_give_one_result_for_each() -> None:
    _, failures = run([MapMany(lambda rows: rows[1:], "")], [1, 2])
    assert "0 results for 1 rows" in str(failures[0].error)
    assert [failure.index for failure in failures] == [0, 1]


@given(numbers, st.integers(0, 100))
def test_rows_are_filtered_before_and_after_a_function_of_many(rows: list[int], limit: int) -> None:
    operators: list[Operator] = [
        Filter(lambda row: row < limit, ""), MapMany(lambda rows: [row + 1 for row in rows], ""), Map(str, ""),
    ]
    assert run(operators, rows) == ([str(row + 1) for row in rows if row < limit], [])


def test_a_batch_function_is_not_called_when_every_row_was_filtered_away() -> None:
    pytest.importorskip("pyarrow")

    def needs_x(batch: Any) -> Any:
        assert "x" in batch.schema.names
        return batch

    for last in (MapBatches(needs_x, ""), MapMany(lambda rows: [rows[0]], "")):
        assert run([Filter(lambda row: False, ""), last], [{"x": 1}, {"x": 2}]) == ([], [])


LIBRARIES = ["pyarrow.RecordBatch", "pyarrow.Table", "polars.DataFrame", "pandas.DataFrame"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_batch_function_is_given_what_it_is_annotated_with(library: str) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip(library.partition(".")[0])
    seen: list[str] = []

    def f(batch: Any) -> Any:
        seen.append(type(batch).__name__)
        return batch

    rows = [Visit("a", 1), Visit("b", 2), Visit("c", 3)]
    given_back, failures = run([MapBatches(f, "", library=library, type=Visit)], rows)
    assert not failures
    assert given_back == rows
    assert seen == [library.rpartition(".")[2]]


def test_rows_behind_a_batch_function_are_of_its_type() -> None:
    pytest.importorskip("pyarrow")
    operators: list[Operator] = [MapBatches(lambda batch: batch, "", type=Visit), Map(lambda visit: visit.user, "")]
    assert run(operators, [Visit("a", 1), Visit("b", 2)]) == (["a", "b"], [])


@given(st.lists(st.integers(0, 20), min_size=1, max_size=20), st.sampled_from(LIBRARIES))
def test_a_batch_function_that_raises_loses_its_bad_rows_only(rows: list[int], library: str) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip(library.partition(".")[0])

    def f(batch: Any) -> Any:
        values = batch["x"].to_pylist() if "pyarrow" in library else list(batch["x"])
        if 13 in values:
            raise ValueError("unlucky")
        return batch

    pa = pytest.importorskip("pyarrow")
    given_back, failures = run([MapBatches(f, "", library=library)], pa.table({"x": rows}))
    assert given_back == [{"x": row} for row in rows if row != 13]
    assert [failure.index for failure in failures] == [index for index, row in enumerate(rows) if row == 13]


def test_a_batch_function_may_give_more_or_fewer_rows_and_other_columns() -> None:
    pa = pytest.importorskip("pyarrow")
    given_back, _ = run([MapBatches(lambda batch: pa.table({"n": [batch.num_rows] * 2}), "")], [{"x": 1}] * 3)
    assert given_back == [{"n": 3}, {"n": 3}]


def test_a_batch_function_that_gives_no_columns_fails_its_rows_with_what_to_give() -> None:
    pytest.importorskip("pyarrow")
    _, failures = run([MapBatches(lambda batch: [1], "")], [{"x": 1}])
    assert "return a pyarrow.RecordBatch" in str(failures[0].error)


def test_lines_are_rows_to_a_function_of_many() -> None:
    assert run([MapMany(lambda rows: [row.upper() for row in rows], "")], Lines(b"a\nb\nc", 1)) == (["A", "B", "C"], [])


def test_branches_behind_a_batch_get_the_same_rows() -> None:
    nodes = [Node(MapMany(lambda rows: rows, ""), -1), Node(Map(lambda x: -x, ""), 0), Node(Filter(bool, ""), 0)]
    chain = Chain(nodes, [1, 2, -1], label="s")
    chain.open(CONTEXT)
    outs = [Out(), Out(), Out()]
    assert chain.run([0, 1, 2], outs) == []
    assert [out.rows for out in outs] == [[0, -1, -2], [1, 2], [0, 1, 2]]


class _Again:
    """Rows as a queue holds them: each time they are asked for they are made of bytes."""

    def __init__(self, values: list[int], made: type) -> None:
        self._values = values
        self._made = made

    def rows_anew(self, rows: int) -> list[Any]:
        assert rows == len(self._values)
        return [self._made(value) for value in self._values]


class Changing:
    def __init__(self, value: int) -> None:
        self.value = value
        self.changes = 0


class Unpicklable(Changing):
    def __reduce__(self) -> Any:
        raise TypeError("not to be copied")


@given(numbers, st.integers(1, 50), st.booleans(), st.sampled_from([Changing, Unpicklable]))
def test_rows_that_a_function_changed_before_it_raised_are_given_again_as_they_came(
    values: list[int], batch_rows: int, stop: bool, made: type
) -> None:
    def change(rows: list[Changing]) -> list[Changing]:
        for row in rows:
            row.changes += 1
            if row.value % 5 == 3:
                raise ValueError(row.value)
        return rows

    again = _Again(values, made)
    chain = Chain([Node(MapMany(change, "f.py:1"), -1)], [0], label="s", batch_rows=batch_rows)
    chain.open(CONTEXT)
    out = Out()
    failures = chain.run(again.rows_anew(len(values)), [out], stop_at_failure=stop, origin=again)
    bad = [index for index, value in enumerate(values) if value % 5 == 3]
    through = bad[0] if bad and stop else len(values)
    assert [failure.index for failure in failures] == (bad[:1] if stop else bad)
    assert [(row.value, row.changes) for given in out.batches() for row in given] == [
        (value, 1) for value in values[:through] if value % 5 != 3
    ]


@pytest.mark.parametrize("given_back", ["x", b"x", {"a": 1}, {1}, frozenset([1])])
def test_what_is_not_a_list_of_results_is_reported_even_with_the_right_length(given_back: Any) -> None:
    rows, [failure] = run([MapMany(lambda _: given_back, "f.py:1")], [5])
    assert rows == []
    assert str(failure.error) == (
        f"a map_many function returned {type(given_back).__name__}; return a list, one result per row"
    )
