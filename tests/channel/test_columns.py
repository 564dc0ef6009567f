"""Columns of rows and back: no field is lost on the way, whichever row has it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import penstock as ps
from penstock import columns, testing
from penstock.batch import Lines

pa = pytest.importorskip("pyarrow")


class Visit(msgspec.Struct):
    user: str
    ms: int


class Anything(msgspec.Struct):
    x: Any


@dataclasses.dataclass
class Point:
    x: int
    y: float


@given(st.lists(st.builds(Visit, st.text(max_size=5), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=5))
def test_structs_come_back(rows: list[Visit]) -> None:
    assert columns.table_to_rows(columns.rows_to_table(rows), Visit) == rows


@given(st.lists(st.builds(Point, st.integers(0, 99), st.floats(allow_nan=False)), min_size=1, max_size=5))
def test_dataclasses_come_back(rows: list[Point]) -> None:
    assert columns.table_to_rows(columns.rows_to_table(rows), Point) == rows


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 99), min_size=1), min_size=1, max_size=6))
def test_a_field_that_only_later_rows_have_is_not_lost(rows: list[dict[str, int]]) -> None:
    back = columns.table_to_rows(columns.rows_to_table(rows), dict)
    assert [{name: value for name, value in row.items() if value is not None} for row in back] == rows


@given(st.lists(st.text(max_size=5), min_size=1, max_size=5))
def test_scalars_become_one_column_and_come_back(rows: list[str]) -> None:
    table = columns.rows_to_table(rows)
    assert table.column_names == ["value"]
    assert columns.table_to_rows(table, str) == rows


pieces_of_text = st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"Gr\xc3\xbc\xc3\x9fe", b"\xff", b" ", b"x" * 99])


@given(st.lists(pieces_of_text, min_size=1))
def test_lines_become_the_column_that_their_split_would_be(pieces: list[bytes]) -> None:
    lines = Lines(b"".join(pieces), 1)
    table = columns.lines_to_table(lines)
    assert table.to_pydict() == {"value": lines.split()}
    assert table.num_rows == lines.count
    assert table.schema == columns.rows_to_table(lines.split()).schema


def test_a_frame_of_polars_stays_one_and_what_the_function_does_with_it_later_does_not_show() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"x": [1, 2]})
    kept = columns.as_result(frame)
    shown = columns.as_library(kept, "polars.DataFrame")
    frame.extend(frame)
    shown.insert_column(0, polars.Series("y", [3, 4]))
    assert isinstance(kept, polars.DataFrame) and kept.to_dict(as_series=False) == {"x": [1, 2]}


@pytest.mark.parametrize(
    ("library", "module"),
    [("pyarrow.RecordBatch", "pyarrow"), ("pyarrow.Table", "pyarrow"), ("polars.DataFrame", "polars"),
     ("pandas.DataFrame", "pandas")],
)
def test_every_library_gets_its_own_shape_and_gives_it_back(library: str, module: str) -> None:
    pytest.importorskip(module)
    table = pa.table({"x": [1, 2], "s": ["a", "b"]})
    shaped = columns.as_library(table, library)
    assert type(shaped).__name__ == library.rpartition(".")[2]
    assert columns.as_table(shaped).to_pydict() == table.to_pydict()


@given(st.lists(st.sampled_from([None, "key", "day", "x"]), min_size=1, max_size=3), st.integers(0, 4))
def test_levels_of_a_pandas_index_that_have_a_name_are_columns(names: list[str | None], rows: int) -> None:
    pandas = pytest.importorskip("pandas")
    assume(len({name for name in names if name}) == len([name for name in names if name]))
    levels = {name: [f"{name}{n}" for n in range(rows)] for name in names if name is not None}
    arrays = [levels[name] if name is not None else list(range(rows)) for name in names]
    index = pandas.MultiIndex.from_arrays(arrays, names=names) if len(names) > 1 else pandas.Index(
        arrays[0], name=names[0])
    frame = pandas.DataFrame({"x": list(range(rows)), "y": [1.0] * rows}, index=index)
    given_back = columns.as_table(frame).to_pydict()
    assert given_back == {**levels, "x": list(range(rows)), "y": [1.0] * rows}
    assert list(frame.columns) == ["x", "y"]  # the function may use its own again


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_series_is_not_taken_for_columns(library: str) -> None:
    series = pytest.importorskip(library).Series([1, 2])
    with pytest.raises(TypeError, match="a batch function returned Series; return a pyarrow"):
        columns.as_table(series)


def test_no_rows_make_an_empty_record_batch_with_the_columns() -> None:
    empty = pa.table({"x": pa.array([], pa.int64())})
    assert columns.as_library(empty, "pyarrow.RecordBatch").schema == empty.schema


@pytest.mark.parametrize("given_back", [None, [1, 2], {"x": [1]}])
def test_a_result_that_is_not_columns_is_reported_with_what_to_return(given_back: Any) -> None:
    with pytest.raises(TypeError, match="return a pyarrow"):
        columns.as_table(given_back)


ZONED, BARE = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1)


@pytest.mark.parametrize(("values", "kinds"), [
    ([ZONED, BARE], "with a zone and without a zone"), ([BARE, None, ZONED], "with a zone and without a zone"),
    ([BARE.date(), BARE], "date and datetime"), ([b"x", "x"], "bytes and str"), (["x", b"x"], "bytes and str"),
    ([time(1), time(1, tzinfo=UTC)], "with a zone and without a zone"),
])
def test_values_that_arrow_would_change_to_be_as_the_first_are_refused(values: list[Any], kinds: str) -> None:
    for rows in ([{"x": value} for value in values], [Anything(value) for value in values]):
        with pytest.raises(TypeError, match=f"column 'x' has values of several kinds: {kinds}; make them one kind"):
            columns.rows_to_table(rows)


def test_times_in_several_zones_are_the_same_moments() -> None:
    values = [ZONED, None, ZONED.astimezone(timezone(timedelta(hours=5)))]
    back = columns.table_to_rows(columns.rows_to_table([{"x": value} for value in values]), dict)
    assert [row["x"] for row in back] == values


def same(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def test_rows_of_several_kinds_come_through_a_batch_function_as_they_are() -> None:
    rows = [{"x": value} for value in (ZONED, BARE, ZONED, BARE.date(), b"x", "x")]
    app = ps.Pipeline("kinds")
    app.source(rows, name="rows").stage("same").map_batches(same).sink(print, name="out")
    assert testing.run(app, {"rows": rows}).outputs["out"] == rows
